// Who may do what: protected and unprotected routes, forged forms, other sites, a path prefix, the keyboard alone, and live updates.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, violations } from "../lib/browser.mjs";
import { operator } from "../lib/gateway.mjs";
import { house, seed } from "../lib/house.mjs";

const h = house(seed);
const destination = async (name) => (await h.gateway.api("GET", `destinations/${name}`)).body;

test("an unprotected route says so on every page, a protected one names its user", async () => {
  const open = await h.browser.open(h.gateway);
  for (const path of ["/", "/events", "/audit"]) {
    await open.page.goto(h.gateway.dashboard + path);
    assert.match(await open.page.locator("main [role=note]").first().innerText(), /Anybody who can open this page/);
  }
  await open.close();
  assert.equal((await fetch(`${h.gateway.protected}/`)).status, 401);
  const tab = await h.browser.open(h.gateway, { httpCredentials: operator });
  await tab.page.goto(`${h.gateway.protected}/`);
  assert.doesNotMatch(await tab.page.locator("main").innerText(), /Anybody who can open/);
  assert.match(await tab.page.locator(".who").innerText(), /Signed in as grace/);
  assert.deepEqual(tab.wrong, []);
  await tab.close();
});

test("below a path prefix everything works, and the audit log has the user whom Caddy let in", async () => {
  const tab = await h.browser.open(h.gateway, { httpCredentials: operator });
  tab.page.on("dialog", (dialog) => dialog.accept());
  await tab.page.goto(`${h.gateway.protected}/`);
  for (const name of ["Requests", "Events", "Dead letters", "Quarantine", "Destinations", "Replays", "Send a test", "Providers", "Audit log"]) {
    await tab.page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
    await tab.page.waitForURL(new RegExp(`^${h.gateway.protected}/\\w+`));
    assert.equal(await tab.page.locator("nav a[aria-current=page]").innerText(), name);
  }
  await tab.page.goto(`${h.gateway.protected}/destination?name=gone`);
  await tab.page.getByRole("button", { name: "Pause" }).click();
  await tab.page.waitForURL(`${h.gateway.protected}/destination?name=gone`);
  assert.equal((await destination("gone")).paused, true);
  await tab.page.getByRole("button", { name: "Resume" }).click();
  await tab.page.goto(`${h.gateway.protected}/audit`);
  assert.match(await tab.page.locator("tbody tr").first().innerText(), /grace\s+resumed\s+gone/);
  assert.deepEqual(tab.wrong, []);
  await tab.close();
});

test("no change without the page's own token, from another origin, or by GET", async () => {
  const page = await fetch(`${h.gateway.dashboard}/destination?name=billing`);
  const cookie = page.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ");
  for (const c of page.headers.getSetCookie()) assert.match(c, /HttpOnly; SameSite=Strict/);
  const csrf = (await page.text()).match(/name="csrf" value="([^"]+)"/)[1];
  const post = async (headers, body) => {
    const answer = await fetch(`${h.gateway.dashboard}/destination/pause`, { method: "POST", redirect: "manual", headers: { Cookie: cookie, ...headers }, body: new URLSearchParams({ name: "billing", ...body }) });
    await answer.arrayBuffer();
    return answer.status;
  };
  const own = { Origin: h.gateway.origin };
  const refusals = {
    "without a token": [own, {}],
    "with a wrong token": [own, { csrf: csrf.replace(/^./, (c) => (c === "A" ? "B" : "A")) }],
    "with the token of another browser": [{ ...own, Cookie: "webhooks_session=abcdefghijklmnopqrstuvwxyz" }, { csrf }],
    "from another origin": [{ Origin: "https://evil.example" }, { csrf }],
    "from another site": [{ ...own, "Sec-Fetch-Site": "cross-site" }, { csrf }],
    "from a sister site": [{ ...own, "Sec-Fetch-Site": "same-site" }, { csrf }],
    "from nowhere": [{ Origin: "null" }, { csrf }],
  };
  for (const [how, [headers, body]] of Object.entries(refusals)) {
    assert.equal(await post(headers, body), 403, how);
    assert.equal((await destination("billing")).paused, false, how);
  }
  assert.equal((await fetch(`${h.gateway.dashboard}/destination/pause?name=billing&csrf=${csrf}`, { headers: { Cookie: cookie } })).status, 404);
  assert.equal(await post(own, { csrf }), 303);
  assert.equal((await destination("billing")).paused, true);
  await h.gateway.api("POST", "destinations/billing/resume");
});

test("a name that points to this machine does not open an unprotected dashboard", async () => {
  const { request } = await import("node:http");
  const status = await new Promise((resolve, reject) => {
    const { port } = new URL(h.gateway.origin);
    request({ host: "127.0.0.1", port, path: "/dashboard/", headers: { Host: "evil.example" } }, (answer) => { answer.resume(); resolve(answer.statusCode); }).on("error", reject).end();
  });
  assert.equal(status, 403);
});

test("everything can be reached and done with the keyboard alone", async () => {
  const tab = await h.browser.open(h.gateway);
  const { page } = tab;
  const focused = () => page.evaluate(() => (document.activeElement.innerText || document.activeElement.getAttribute("aria-label") || document.activeElement.id).replace(/\s+/g, " ").trim());
  const tabTo = async (text) => {
    for (let i = 0; i < 120; i++) {
      await page.keyboard.press("Tab");
      if ((await focused()) === text) {
        assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none", `focus on ${text} is seen`);
        return;
      }
    }
    assert.fail(`${text} cannot be reached`);
  };
  await page.goto(`${h.gateway.dashboard}/`);
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "find");
  await page.keyboard.type(h.failed.id);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/events\//);
  await tabTo("Send again to broken");
  await page.keyboard.press("Enter");
  await eventually("it is sent again", () => page.locator("#flash").innerText(), (text) => text.includes("1 delivery put back"));
  await page.goto(`${h.gateway.dashboard}/destinations`);
  await tabTo("billing");
  await page.keyboard.press("Enter");
  await page.waitForURL(/name=billing/);
  page.on("dialog", (dialog) => dialog.accept());
  await tabTo("Pause");
  await page.keyboard.press("Space");
  await eventually("it is paused", () => page.locator("#flash").innerText(), (text) => text.includes("Paused"));
  assert.equal((await destination("billing")).paused, true);
  await tabTo("Resume");
  await page.keyboard.press("Enter");
  await eventually("it is resumed", () => page.locator("#flash").innerText(), (text) => text.includes("Resumed"));
  assert.equal((await destination("billing")).paused, false);
  await page.goto(`${h.gateway.dashboard}/dead`);
  await tabTo("Send all of these again…");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/replay\?/);
  await tabTo("Start");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/replays\/rp_/);
  assert.deepEqual(tab.wrong, []);
  await tab.close();
});

test("on a phone, the menu folds out", async () => {
  const tab = await h.browser.open(h.gateway, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await tab.page.goto(`${h.gateway.dashboard}/`);
  const link = tab.page.getByRole("link", { name: "Quarantine" });
  assert.equal(await link.isVisible(), false);
  await tab.page.locator("details.menu summary").tap();
  assert.deepEqual(await violations(tab.page), []);
  await link.tap();
  await tab.page.waitForURL(/\/quarantine$/);
  assert.deepEqual(tab.wrong, []);
  await tab.close();
});

test("light and dark are chosen by the system, and otherwise by the reader, for good", async () => {
  const tab = await h.browser.open(h.gateway, { colorScheme: "dark" });
  const background = () => tab.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await tab.page.goto(`${h.gateway.dashboard}/`);
  const dark = await background();
  await tab.page.getByRole("button", { name: "Light or dark" }).click();
  const light = await background();
  assert.notEqual(light, dark);
  await tab.page.goto(`${h.gateway.dashboard}/events`);
  assert.equal(await background(), light);
  assert.deepEqual(tab.wrong, []);
  await tab.close();
});

test("without scripts, nothing is shown that would do nothing", async () => {
  for (const [javaScriptEnabled, seen] of [[true, true], [false, false]]) {
    const tab = await h.browser.open(h.gateway, { javaScriptEnabled });
    await tab.page.goto(`${h.gateway.dashboard}/events`);
    for (const what of ["[data-live-toggle]", "[data-theme-toggle]", ".find kbd"]) {
      assert.equal(await tab.page.locator(what).isVisible(), seen, `${what} with scripts: ${javaScriptEnabled}`);
    }
    await tab.close();
  }
});

test("pages renew themselves while one looks on, stop when told to, and live through a reload of Caddy", async () => {
  const tab = await h.browser.open(h.gateway);
  const rows = () => tab.page.locator("tbody").innerText();
  await tab.page.goto(`${h.gateway.dashboard}/events`);
  await tab.page.locator(".live[data-state=on]").waitFor();
  await tab.page.evaluate(() => { window.same = true; });
  await h.gateway.stripe("customer.created");
  await eventually("the event appears", rows, (text) => text.includes("customer.created"));
  await h.gateway.reload((text) => text.replace("retry none", "retry 1s"));
  await eventually("it is live again", () => tab.page.locator(".live").getAttribute("data-state"), (state) => state === "on");
  await h.gateway.stripe("customer.updated");
  await eventually("the next one appears", rows, (text) => text.includes("customer.updated"));
  assert.equal(await tab.page.evaluate(() => window.same), true, "the page was not loaded anew");
  await tab.page.getByRole("button", { name: "Live updates" }).click();
  await tab.page.locator(".live[data-state=off]").waitFor();
  assert.deepEqual(tab.wrong.filter((line) => !/ERR_|Failed to load resource/.test(line)), []); // a stream that the server ends is one of those
  await tab.close();
});

test("many that look on are turned away beyond the bound, and keep nobody else waiting", async () => {
  const streams = [];
  const open = async () => {
    const leave = new AbortController();
    const answer = await fetch(`${h.gateway.dashboard}/live`, { signal: leave.signal });
    streams.push({ leave, answer }); // the answer too, or the garbage collector ends the stream
    return answer.status;
  };
  const answers = [];
  for (let i = 0; i < 70; i++) answers.push(await open());
  assert.ok(answers.filter((status) => status === 200).length <= 64);
  assert.equal(answers.at(-1), 503);
  assert.equal((await fetch(`${h.gateway.dashboard}/`)).status, 200);
  for (const { leave } of streams) leave.abort();
  await eventually("places are free again", async () => { const status = await open(); streams.at(-1).leave.abort(); return status; }, (status) => status === 200);
});
