// Every action, clicked through with real events; what it does is looked up in the admin API and at the application.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, violations } from "../lib/browser.mjs";
import { house, seed, status } from "../lib/house.mjs";

const h = house(seed);
const get = async (path) => (await h.gateway.api("GET", path)).body;

// visit opens a page and accepts every question that it asks.
async function visit(path, options) {
  const tab = await h.browser.open(h.gateway, options);
  tab.questions = [];
  tab.page.on("dialog", (dialog) => { tab.questions.push(dialog.message()); dialog.accept(); });
  await tab.page.goto(h.gateway.dashboard + path);
  return tab;
}
const flash = (tab) => tab.page.locator("#flash").innerText();
async function leave(tab) {
  assert.deepEqual(tab.wrong, []);
  await tab.close();
}

// leaveRefused leaves a page that was answered with 400, which the browser notes on the console.
async function leaveRefused(tab) {
  tab.wrong = tab.wrong.filter((line) => !line.includes("status of 400"));
  await leave(tab);
}

test("events are filtered, the address says how, and pages follow one another", async () => {
  const tab = await visit("/events");
  await tab.page.getByLabel("Source").selectOption("payments");
  await tab.page.getByLabel("dead", { exact: true }).check();
  await tab.page.getByRole("button", { name: "Filter" }).click();
  await tab.page.waitForURL(/\/events\?source=payments&state=dead$/);
  assert.equal(await tab.page.locator("tbody tr").count(), 2);
  await tab.page.getByRole("link", { name: "Clear" }).click();
  await tab.page.goto(`${h.gateway.dashboard}/events?limit=5`);
  const first = await tab.page.locator("tbody tr").first().getAttribute("id");
  await tab.page.getByRole("link", { name: "Older" }).click();
  await tab.page.waitForURL(/cursor=/);
  assert.notEqual(await tab.page.locator("tbody tr").first().getAttribute("id"), first);
  await tab.page.getByRole("link", { name: "Newest" }).click();
  await tab.page.waitForURL(/events\?limit=5$/);
  await leave(tab);
});

test("what the reader begins to choose outlives a renewal that is under way", async () => {
  const tab = await visit("/events");
  let asked, answer;
  const [isAsked, mayAnswer] = [new Promise((resolve) => { asked = resolve; }), new Promise((resolve) => { answer = resolve; })];
  await tab.page.route("**/events", async (route) => {
    if (!route.request().headers()["hx-request"]) return route.continue();
    asked();
    await mayAnswer;
    return route.continue();
  });
  await tab.page.evaluate(() => {
    window.renewed = new Promise((resolve) => document.addEventListener("htmx:afterRequest", resolve, { once: true }));
    htmx.trigger("#live", "refresh");
  });
  await isAsked;
  await tab.page.getByLabel("Source").selectOption("payments");
  await tab.page.getByLabel("dead", { exact: true }).check();
  answer();
  await tab.page.evaluate(() => window.renewed.then(() => true));
  assert.equal(await tab.page.getByLabel("Source").inputValue(), "payments");
  assert.equal(await tab.page.getByLabel("dead", { exact: true }).isChecked(), true);
  await leave(tab);
});

test("live updates wait while a filter is touched, say so, and go on when it is as it was", async () => {
  const tab = await visit("/events");
  const live = (state, text) => tab.page.locator(`.live[data-state=${state}]`).filter({ hasText: text }).waitFor();
  await live("on", "Live");
  for (const [touch, undo] of [
    [() => tab.page.getByLabel("Type").fill("a"), () => tab.page.getByLabel("Type").fill("")],
    [() => tab.page.getByLabel("Source").selectOption("payments"), () => tab.page.getByLabel("Source").selectOption("")],
    [() => tab.page.getByLabel("dead", { exact: true }).check(), () => tab.page.getByLabel("dead", { exact: true }).uncheck()],
  ]) {
    await touch();
    await live("wait", "Waiting");
    const renewed = tab.page.waitForRequest((request) => request.headers()["hx-request"] === "true");
    await undo();
    await live("on", "Live");
    await renewed;
  }
  await leave(tab);
});

test("an event is found by the provider's id, its payload masked, its times in the reader's zone", async () => {
  const tab = await visit("/");
  await tab.page.getByLabel("Find an event by its id").fill(h.paid.id);
  await tab.page.keyboard.press("Enter");
  await tab.page.waitForURL(/\/events\//);
  const [raw, normalised] = await tab.page.locator("pre.json").allInnerTexts();
  assert.equal(JSON.parse(raw).data.object.customer_email, "***");
  assert.equal(JSON.parse(normalised).specversion, "1.0");
  assert.doesNotMatch(await tab.page.content(), /ada@example\.com/);
  const shown = tab.page.locator("dl time").first();
  const at = new Date(await shown.getAttribute("datetime"));
  const tokyo = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(at);
  assert.equal(await shown.innerText(), tokyo);
  assert.match(await shown.getAttribute("title"), /GMT\+9[\s\S]*Z$/);
  assert.match(await tab.page.locator(".headers").innerText(), /Stripe-Signature\s+\*\*\*/);
  await leave(tab);
});

test("ids and the curl command are copied, payloads downloaded", async () => {
  const tab = await visit(`/events/${h.events.failed.id}`, { permissions: ["clipboard-read", "clipboard-write"] });
  const clipboard = () => tab.page.evaluate(() => navigator.clipboard.readText());
  await tab.page.getByRole("button", { name: `Copy ${h.failed.id}` }).click();
  assert.equal(await clipboard(), h.failed.id);
  await tab.page.getByText("As a curl command").click();
  await tab.page.getByRole("button", { name: "Copy", exact: true }).click();
  assert.match(await clipboard(), /^curl -X 'POST' 'http[^]*-H 'Stripe-Signature: \*\*\*'[^]*--data-binary '\{/);
  for (const [name, file] of [["As it came", ".json"], ["Normalised", ".cloudevent.json"]]) {
    const [download] = await Promise.all([tab.page.waitForEvent("download"), tab.page.getByRole("link", { name: `Download ${name}` }).click()]);
    assert.equal(download.suggestedFilename(), h.events.failed.id + file);
  }
  await leave(tab);
});

test("a source that redacts shows no payload", async () => {
  const [event] = (await get("events?source=private")).events;
  const tab = await visit(`/events/${event.id}`);
  assert.match(await tab.page.locator("main").innerText(), /Not shown: .*redact/);
  assert.equal(await tab.page.locator("pre.json").count(), 0);
  await leave(tab);
});

test("an event is sent again, to one destination and to all", async () => {
  const tab = await visit(`/events/${h.events.paid.id}`);
  const arrived = () => h.application.received.filter((r) => r.body.includes(h.paid.id)).length;
  const before = arrived();
  await tab.page.getByRole("button", { name: "Send again to billing" }).click();
  assert.match(await flash(tab), /1 delivery put back/);
  await eventually("the application gets it again", arrived, (n) => n === before + 1);
  await tab.page.getByRole("button", { name: "Send again", exact: true }).click();
  await eventually("and once more", arrived, (n) => n === before + 2);
  await eventually("the timeline shows it", () => tab.page.locator(".timeline").innerText(), (text) => text.includes("attempt 3 (replay)"));
  assert.deepEqual(tab.questions, ["Make all deliveries of this event once more?"]);
  await leave(tab);
});

test("an event is edited and sent as a new one", async () => {
  const tab = await visit(`/events/${h.events.pushed.id}`);
  await tab.page.getByText("Edit it and send it").click();
  const field = tab.page.getByLabel("Payload", { exact: true });
  await field.fill((await field.inputValue()).replace("refs/heads/main", "refs/heads/edited"));
  await tab.page.getByRole("button", { name: "Send the edited event" }).click();
  await tab.page.waitForURL((url) => !url.pathname.endsWith(h.events.pushed.id));
  assert.match(await flash(tab), /Sent as a new event/);
  assert.match(await tab.page.locator("dl").first().innerText(), new RegExp(`Made from\\s+${h.events.pushed.id}`));
  await eventually("the application gets it", () => h.application.received.some((r) => r.body.includes("refs/heads/edited")));
  await status(h, "and refuses it", ({ totals }) => totals.dead === 4);
  await leave(tab);
  const masked = await visit(`/events/${h.events.paid.id}`);
  assert.equal(await masked.page.getByText("Edit it and send it").count(), 0);
  await leave(masked);
});

test("an edited payload that is no JSON is refused and kept", async () => {
  const tab = await visit(`/events/${h.events.pushed.id}`);
  await tab.page.getByText("Edit it and send it as a new event").click();
  const field = tab.page.getByLabel("Payload", { exact: true });
  await field.fill('{"mine": }');
  await tab.page.getByRole("button", { name: "Send the edited event" }).click();
  assert.match(await tab.page.getByRole("alert").innerText(), /not JSON[^]*Line 1/);
  assert.equal(await field.inputValue(), '{"mine": }');
  assert.deepEqual(await violations(tab.page), []);
  await leaveRefused(tab);
});

test("a delivery that waits is cancelled", async () => {
  const tab = await visit(`/events/${h.events.waiting.id}`);
  assert.match(await tab.page.locator(".timeline").innerText(), /next attempt/);
  await tab.page.getByRole("button", { name: "Cancel the delivery to slow_retry" }).click();
  assert.match(await flash(tab), /Cancelled: 1 delivery/);
  assert.equal((await get(`events/${h.events.waiting.id}`)).deliveries.find((d) => d.destination === "slow_retry").state, "cancelled");
  await leave(tab);
});

test("a group of dead letters is looked at, planned, and sent again once the application is repaired", async () => {
  const tab = await visit("/dead");
  assert.match(await tab.page.locator("table.list").innerText(), /broken[^]*500 2[^]*gone[^]*410 2/);
  await tab.page.getByRole("link", { name: /Send again….*broken/ }).click();
  await tab.page.waitForURL(/\/replay\?/);
  assert.match(await tab.page.locator("main").innerText(), /2 deliveries of 2 events, in less than 0.1 s at 100 a second/);
  h.application.repair("/broken");
  await tab.page.getByRole("button", { name: "Start" }).click();
  await tab.page.waitForURL(/\/replays\/rp_/);
  await eventually("the page shows that the job is done", () => tab.page.locator("main").innerText(), (text) => /done\s+2 of 2 deliveries/.test(text));
  await status(h, "both are delivered", ({ destinations }) => destinations.find((d) => d.name === "broken").delivered === 2);
  await tab.page.goto(`${h.gateway.dashboard}/dead`);
  assert.doesNotMatch(await tab.page.locator("table.list").innerText(), /broken/);
  h.application.break("/broken");
  await leave(tab);
});

test("a long replay shows its progress and is cancelled", async () => {
  const tab = await visit("/events?type=invoice.*&destination=billing");
  await tab.page.getByRole("link", { name: "Send these again…" }).click();
  await tab.page.getByLabel("Deliveries a second").fill("0.5");
  await tab.page.getByRole("button", { name: "Show the plan" }).click();
  await tab.page.waitForURL(/rate=0.5/);
  assert.match(await tab.page.locator("main").innerText(), /10 deliveries of 10 events, in 20 s at 0.5 a second/);
  await tab.page.getByRole("button", { name: "Start" }).click();
  await tab.page.waitForURL(/\/replays\/rp_/);
  await eventually("progress is shown while it runs", () => tab.page.locator("main").innerText(), (text) => /running\s+[1-9] of 10 deliveries/.test(text));
  await tab.page.getByRole("button", { name: "Cancel" }).click();
  assert.match(await flash(tab), /What had been put back stays/);
  assert.match(await tab.page.locator("main").innerText(), /cancelled\s+[1-9] of 10/);
  await tab.page.getByRole("link", { name: "Replays" }).first().click();
  assert.match(await tab.page.locator("table.list").innerText(), /cancelled/);
  await leave(tab);
});

test("a plan that makes no sense says so and starts nothing", async () => {
  const jobs = (await get("replays")).replays.length;
  const tab = await visit("/replay?state=dead&move=1");
  assert.match(await tab.page.getByRole("alert").innerText(), /a move needs a destination/);
  assert.equal(await tab.page.getByRole("button", { name: "Start" }).count(), 0);
  assert.equal((await get("replays")).replays.length, jobs);
  await leaveRefused(tab);
});

test("a destination is paused, holds what comes, is tested, and resumed", async () => {
  const tab = await visit("/destinations");
  await tab.page.getByRole("link", { name: "billing" }).click();
  await tab.page.getByRole("button", { name: "Pause" }).click();
  assert.match(await flash(tab), /Paused/);
  assert.match(tab.questions[0], /Pause billing\?/);
  const held = await h.gateway.stripe("invoice.created");
  await eventually("the page shows what is held", () => tab.page.locator(".tiles").innerText(), (text) => /Pending\s+1\s/.test(text));
  await tab.page.getByRole("button", { name: "Send a test request" }).click();
  assert.match(await flash(tab), /The test event was delivered: 200 after/);
  assert.ok(h.application.received.some((r) => r.body.includes("sluice.test")));
  assert.ok(!h.application.received.some((r) => r.body.includes(held.id)));
  await tab.page.getByRole("button", { name: "Resume" }).click();
  assert.match(await flash(tab), /Resumed/);
  await eventually("what was held arrives", () => h.application.received.some((r) => r.body.includes(held.id)));
  await tab.page.goto(`${h.gateway.dashboard}/destination?name=broken`);
  await tab.page.getByRole("button", { name: "Send a test request" }).click();
  assert.match(await flash(tab), /not delivered: 500 after .* \(answered with a failure\)\. database is down/);
  await leave(tab);
});

test("a breaker that opens is in the destination's history", async () => {
  const tab = await visit("/destination?name=fragile");
  for (let i = 0; i < 3; i++) await h.gateway.stripe("dispute.created", { i });
  await eventually("the history", () => tab.page.locator("main").innerText(), (text) => text.includes("Opened: it fails"));
  assert.match(await tab.page.locator("h1").innerText(), /breaker (open|probing)/);
  await leave(tab);
});

test("a refused request is released once its secret is known, another is dropped", async () => {
  const tab = await visit("/quarantine?reason=mismatch");
  await tab.page.getByRole("link", { name: "wrong signature" }).click();
  await tab.page.waitForURL(/\/quarantine\/rq_/);
  assert.match(await tab.page.locator("main").innerText(), /It cannot be released now/);
  assert.equal(await tab.page.getByRole("button", { name: "Release" }).count(), 0);
  await h.gateway.reload((text) => text.replace(/(name {4}payments\n\t+secret {2}\S+)/, "$1 whsec_of_somebody_else"));
  await tab.page.reload();
  assert.match(await tab.page.locator("main").innerText(), /It verifies with the configuration of now/);
  await tab.page.getByRole("button", { name: "Release" }).click();
  await tab.page.waitForURL(/\/events\/wh_/);
  assert.match(await flash(tab), /Released: it verified/);
  await tab.page.goto(`${h.gateway.dashboard}/quarantine?reason=stale`);
  await tab.page.getByRole("link", { name: "outside the time tolerance" }).click();
  await tab.page.getByRole("button", { name: "Drop" }).click();
  await tab.page.waitForURL(/\/quarantine$/);
  assert.match(await flash(tab), /Dropped/);
  assert.deepEqual((await get("quarantine")).requests.map((r) => r.reason), ["unsigned"]);
  await leave(tab);
});

test("a test event passes every stage", async () => {
  const tab = await visit("/send?source=payments");
  await tab.page.getByLabel("Source").selectOption("github");
  await tab.page.waitForURL(/source=github/);
  await tab.page.getByLabel("Source").selectOption("payments");
  await tab.page.waitForURL(/source=payments/);
  await tab.page.getByLabel("Type").selectOption("invoice.paid");
  await tab.page.getByRole("button", { name: "Send", exact: true }).click();
  await tab.page.waitForURL(/event=wh_/);
  const stages = await eventually("every stage", () => tab.page.locator(".stages b").allInnerTexts(), (titles) => titles.length === 5);
  assert.deepEqual(stages, ["Received", "Verified", "Stored", "Acknowledged", "Forwarded to billing"]);
  await eventually("it is delivered while the page is open", () => tab.page.locator(".stages").innerText(), (text) => text.includes("delivered, 200"));
  assert.match(await tab.page.locator(".stages").innerText(), /the provider got 200 after/);
  await leave(tab);
});

test("requests show what was refused and why, and lead to the diagnosis", async () => {
  const tab = await visit("/requests");
  await tab.page.getByLabel("refused", { exact: true }).check();
  await tab.page.getByRole("button", { name: "Filter" }).click();
  await tab.page.waitForURL(/result=refused/);
  assert.equal(await tab.page.locator("tbody tr").count(), 3);
  assert.match(await tab.page.locator("tbody").innerText(), /no signature[^]*outside the time tolerance[^]*wrong signature/);
  await tab.page.getByRole("link", { name: "Why?" }).first().click();
  await tab.page.waitForURL(/\/quarantine\?reason=unsigned&source=github/);
  assert.equal(await tab.page.locator("tbody tr").count(), 1);
  await leave(tab);
});

test("providers are searched, and show how to set one up", async () => {
  const tab = await visit("/providers");
  await tab.page.getByLabel("Name, id or scheme").fill("shopify");
  await tab.page.keyboard.press("Enter");
  await tab.page.waitForURL(/q=shopify/);
  await tab.page.getByRole("link", { name: "Shopify" }).first().click();
  assert.match(await tab.page.locator("#caddyfile").innerText(), /webhook shopify \{[^]*secret {2}\{env\.SHOPIFY_SECRET\}/);
  assert.match(await tab.page.locator("#send").innerText(), /^caddy webhooks send shopify --secret-env SHOPIFY_SECRET/);
  await leave(tab);
});

test("every change is in the audit log", async () => {
  const tab = await visit("/audit");
  const text = await tab.page.locator("tbody").innerText();
  for (const what of ["paused", "resumed", "replay", "cancelled a replay", "cancelled", "released", "dropped", "sent a test event", "tested a destination"]) {
    assert.ok(text.includes(what), `${what} is not in the audit log`);
  }
  await leave(tab);
});
