// Every view with real events: in light and dark, on a phone and on a desk, without a violation that axe finds and without a word on the console.
import assert from "node:assert/strict";
import { test } from "node:test";
import { overflow, violations } from "../lib/browser.mjs";
import { house, seed } from "../lib/house.mjs";

let job;
const h = house(async (h) => {
  await seed(h);
  await h.gateway.api("POST", "destinations/gone/pause");
  job = (await h.gateway.api("POST", "replay", { filter: { destination: "billing", states: ["delivered"] } })).body;
});

const views = () => ({
  overview: ["/", "Overview"],
  requests: ["/requests", "Requests"],
  "refused requests": ["/requests?result=refused", "Requests"],
  events: ["/events", "Events"],
  "filtered events": ["/events?state=dead&destination=broken", "Events"],
  "an event": [`/events/${h.events.failed.id}`, "charge.failed"],
  "an event that waits": [`/events/${h.events.waiting.id}`, "payout.paid"],
  "dead letters": ["/dead", "Dead letters"],
  replays: ["/replays", "Replays"],
  "a replay": [`/replays/${job.id}`, job.id],
  "an empty plan": ["/replay", "Send events again"],
  "a plan": ["/replay?state=dead", "Send events again"],
  destinations: ["/destinations", "Destinations"],
  "a destination": ["/destination?name=broken", "broken active"],
  "a paused destination": ["/destination?name=gone&span=1h", "gone paused"],
  "a source": ["/source?name=payments", "payments stripe"],
  quarantine: ["/quarantine", "Quarantine"],
  "a refused request": [`/quarantine/${h.refused[0].id}`, "No signature refused"],
  "another refused request": [`/quarantine/${h.refused[2].id}`, "Wrong signature refused"],
  providers: ["/providers?q=st", "Providers"],
  "a provider": ["/providers/stripe", "Stripe"],
  "one that signs nothing": ["/providers/docker_hub", "Docker Hub"],
  "the test sender": ["/send?source=payments", "Send a test event"],
  "audit log": ["/audit", "Audit log"],
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1440, 390]) {
    test(`all views, ${colorScheme}, ${width} px`, async () => {
      const tab = await h.browser.open(h.gateway, { colorScheme, viewport: { width, height: 844 } });
      for (const [name, [path, heading]] of Object.entries(views())) {
        const answer = await tab.page.goto(h.gateway.dashboard + path);
        assert.equal(answer.status(), 200, name);
        assert.equal((await tab.page.locator("h1").innerText()).replace(/\s+/g, " ").trim(), heading, name);
        assert.deepEqual(await violations(tab.page), [], `axe on ${name}`);
        assert.equal(await overflow(tab.page), 0, `${name} is wider than the window`);
      }
      assert.deepEqual(tab.wrong, []);
      await tab.close();
    });
  }
}

test("tables fit into windows of every width, and no name is broken into letters", async () => {
  const tab = await h.browser.open(h.gateway);
  for (const width of [1440, 1280, 1024, 800, 720, 390]) {
    await tab.page.setViewportSize({ width, height: 844 });
    for (const [name, [path]] of Object.entries(views())) {
      await tab.page.goto(h.gateway.dashboard + path);
      const [wider, narrowest] = await tab.page.evaluate(() => [
        Math.max(0, ...[...document.querySelectorAll(".scroll:has(.list)")].map((table) => table.scrollWidth - table.clientWidth)),
        Math.min(999, ...[...document.querySelectorAll(".list .to")].map((to) => to.clientWidth)),
      ]);
      assert.equal(wider, 0, `a table of ${name} is wider than its place at ${width} px`);
      assert.ok(narrowest >= 100, `destinations have ${narrowest} px of ${width} in ${name}`);
      assert.equal(await overflow(tab.page), 0, `${name} is wider than ${width} px`);
    }
  }
  await tab.close();
});

test("nothing but its own scripts and styles may run, and every answer says so", async () => {
  for (const path of ["/", "/events", "/nothing", "/live"]) {
    const leave = new AbortController();
    const answer = await fetch(h.gateway.dashboard + path, { signal: leave.signal });
    const policy = answer.headers.get("Content-Security-Policy");
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/, path);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/, path);
    assert.equal(answer.headers.get("X-Content-Type-Options"), "nosniff", path);
    leave.abort();
  }
  const html = await (await fetch(`${h.gateway.dashboard}/`)).text();
  assert.doesNotMatch(html, /<style|style="|\son\w+="|<script>/);
});

test("errors say what to do", async () => {
  const tab = await h.browser.open(h.gateway);
  for (const [path, status, says] of [
    ["/nothing", 404, "There is no page at /nothing."],
    ["/events/wh_zzzz", 404, "It may have been pruned"],
    ["/events?since=yesterday", 400, "want 2006-01-02T15:04:05Z"],
    ["/destination?name=none", 404, "See Destinations"],
    ["/source?name=none", 404, "There is no source none."],
    ["/quarantine/rq_1", 404, "It may have been pruned"],
    ["/providers/nobody", 404, "nobody"],
    ["/replays/rp_1", 404, "Only the last 50 jobs are remembered"],
  ]) {
    assert.equal((await tab.page.goto(h.gateway.dashboard + path)).status(), status, path);
    assert.ok((await tab.page.locator("main").innerText()).includes(says), `${path} does not say ${says}`);
    assert.deepEqual(await violations(tab.page), [], `axe on ${path}`);
  }
  await tab.close();
});

test("charts are drawn, and in words too", async () => {
  const tab = await h.browser.open(h.gateway);
  await tab.page.goto(`${h.gateway.dashboard}/destination?name=billing`);
  await tab.page.locator(".chart canvas").waitFor();
  assert.match(await tab.page.locator(".chart-text").innerText(), /Attempts at billing in the last 24 hours: \d+ successes, 0 failures/);
  assert.notEqual(await tab.page.evaluate(() => { // something was drawn
    const canvas = document.querySelector(".chart canvas");
    return new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size;
  }), 1);
  await tab.page.goto(`${h.gateway.dashboard}/`);
  assert.ok(await tab.page.locator(".spark path.good[d^=M]").count() >= 3);
  assert.ok(await tab.page.locator(".spark path.bad[d^=M]").count() >= 2);
  assert.deepEqual(tab.wrong, []);
  await tab.close();
});
