// A gateway to which nothing has happened yet teaches what to do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { overflow, violations } from "../lib/browser.mjs";
import { house } from "../lib/house.mjs";

const h = house();

test("empty views teach", async () => {
  for (const width of [1440, 390]) {
    const tab = await h.browser.open(h.gateway, { viewport: { width, height: 844 } });
    for (const [path, says] of Object.entries({
      "/": /Nothing has arrived yet[^]*Sources are configured[^]*Send a test event from here/,
      "/requests": /Nothing has arrived yet[^]*Sources are configured/,
      "/events": /Nothing has arrived yet[^]*Sources are configured/,
      "/events?source=payments": /No event fits these filters/,
      "/dead": /Nothing is dead/,
      "/dead?source=payments": /No dead delivery fits/,
      "/quarantine": /Nothing was refused lately[^]*a clock that is off/,
      "/replays": /Nothing was sent again yet[^]*caddy webhooks replay/,
      "/replay": /Choose at least one filter/,
      "/replay?state=dead": /Nothing fits/,
      "/destination?name=billing": /nothing waits[^]*Closed|closed for the last 24 hours/,
      "/source?name=payments": /0 accepted/,
      "/providers?q=nobody-is-called-that": /webhook hmac \{/,
      "/audit": /Nobody has changed anything yet/,
    })) {
      await tab.page.goto(h.gateway.dashboard + path);
      assert.match(await tab.page.locator("main").innerText(), says, path);
      assert.deepEqual(await violations(tab.page), [], `axe on ${path}`);
      assert.equal(await overflow(tab.page), 0, path);
    }
    assert.deepEqual(tab.wrong, []);
    await tab.close();
  }
});

test("the first event can be sent from there", async () => {
  const tab = await h.browser.open(h.gateway);
  await tab.page.goto(`${h.gateway.dashboard}/`);
  await tab.page.getByRole("link", { name: "Send a test event from here" }).click();
  await tab.page.getByRole("button", { name: "Send", exact: true }).click();
  await tab.page.waitForURL(/event=wh_/);
  await tab.page.getByRole("link", { name: "Open the event" }).click();
  await tab.page.waitForURL(/\/events\/wh_/);
  assert.deepEqual(tab.wrong, []);
  await tab.close();
});
