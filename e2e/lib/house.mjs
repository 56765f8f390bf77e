// Everything a test needs: an application, a gateway with its dashboard, and a browser.
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { startApplication } from "./application.mjs";
import { eventually, startBrowser } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";

const binary = process.env.SLUICE_CADDY ?? fileURLToPath(new URL("../../dist/caddy", import.meta.url));

// house starts it all before the tests of a file and ends it after them; fill runs in between.
export function house(fill = async () => {}) {
  const h = {};
  before(async () => {
    h.application = await startApplication();
    h.gateway = await startGateway({ binary, application: h.application });
    h.browser = await startBrowser();
    await fill(h);
  });
  after(async () => {
    await h.browser?.close();
    await h.gateway?.stop();
    await h.application?.close();
  });
  return h;
}

// status waits until the gateway's status holds, and returns it.
export const status = (h, what, holds) => eventually(what, async () => (await h.gateway.api("GET", "status")).body, holds);

// seed brings an event into every state, and refused requests with different causes.
export async function seed(h) {
  const { gateway } = h;
  h.paid = await gateway.stripe("invoice.paid", { customer_email: "ada@example.com", amount: 4200 });
  for (let i = 0; i < 8; i++) await gateway.stripe("invoice.paid", { amount: i });
  h.failed = await gateway.stripe("charge.failed", { amount: 1 });
  await gateway.stripe("charge.failed", { amount: 2 });
  h.waiting = await gateway.stripe("payout.paid", {});
  await gateway.stripe("invoice.paid", {}, { id: h.paid.id }); // a duplicate
  await gateway.stripe("invoice.paid", {}, { secret: "whsec_of_somebody_else" });
  await gateway.stripe("invoice.paid", {}, { at: 1_700_000_000 });
  await gateway.stripe("invoice.paid", {}, { path: "/private" });
  h.pushed = await gateway.github("push", { ref: "refs/heads/main" });
  await fetch(`${gateway.origin}/github`, { method: "POST", body: "{}" }).then((answer) => answer.arrayBuffer());
  await status(h, "every delivery is settled or waits", ({ totals }) => totals.dead === 3 && totals.delivered === 13 && totals.delivering === 0);
  h.refused = await eventually("refused requests are in the quarantine", async () => (await gateway.api("GET", "quarantine")).body.requests, (list) => list.length === 3);
  h.events = Object.fromEntries(await Promise.all(["paid", "failed", "waiting", "pushed"].map(async (name) => [name, (await gateway.api("GET", `events/${h[name].id}`)).body])));
}
