// A headless Chromium that notes everything that should not happen: errors on the console, requests to elsewhere, failed requests.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export async function startBrowser() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  return {
    close: () => browser.close(),
    // open gives a tab of its own: options are those of a browser context
    async open(gateway, options = {}) {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", timezoneId: "Asia/Tokyo", reducedMotion: "reduce", ...options });
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      const wrong = [];
      page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") wrong.push(`console: ${message.text()}`); });
      page.on("pageerror", (error) => wrong.push(`script: ${error}`));
      page.on("request", (request) => { if (!request.url().startsWith(gateway.origin) && !request.url().startsWith(gateway.local)) wrong.push(`request to ${request.url()}`); });
      return { page, wrong, close: () => context.close() };
    },
  };
}

// violations runs axe on what the page shows now.
export async function violations(page) {
  await page.evaluate(axe);
  const result = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return result.violations.flatMap((v) => v.nodes.map((node) => `${v.id}: ${node.target.join(" ")} (${node.failureSummary.split("\n").slice(1, 3).join(";").trim()})`));
}

// overflow is how many pixels the page is wider than its window.
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

// eventually waits until what probe returns satisfies the condition.
export async function eventually(what, probe, holds = Boolean) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const value = await probe();
    if (holds(value)) return value;
    if (Date.now() > deadline) throw new Error(`did not happen in time: ${what}; last: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
