import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { besideEvent, isIn, openEvent, openKind, openMail } from "../acts.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** [width, height, scheme, views]: wide, narrow, and a zoom of 200 % */
const LOOKS = [
  [1280, 800, "light", ["mail", "new mail", "calendar", "new event", "record", "ledger"]],
  [1280, 800, "dark", ["mail", "new mail", "calendar", "record", "ledger"]],
  [768, 1024, "light", ["mail", "record"]],
  [640, 400, "dark", ["mail", "calendar", "record"]],
];

async function judged(page, where) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, { iframes: false }));
  assert.ok(passes.length > 10, where);
  assert.deepEqual(
    violations.map((one) => [where, one.id, one.nodes.map((node) => `${node.html.slice(0, 150)} ${node.failureSummary}`)]),
    [],
  );
  const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(tooWide <= 0, `${where}: ${tooWide} px stick out`);
}

export default async function ({ page, open }) {
  await open();
  await openMail(page, "A bit of everything");
  await isIn(page);
  const views = {
    mail: () => page.getByRole("link", { name: "Mail", exact: true }).click(),
    "new mail": async () => {
      if (!(await page.getByRole("button", { name: "New mail" }).isVisible()))
        await page.getByRole("button", { name: "Show folders" }).click();
      await page.getByRole("button", { name: "New mail" }).click();
    },
    calendar: async () => {
      await page.keyboard.press("Escape");
      await openEvent(page, "Benches: drawings");
      await besideEvent(page).getByLabel("Description").waitFor();
    },
    "new event": async () => {
      await page.getByRole("button", { name: "New event" }).click();
      await page.getByRole("button", { name: "Make" }).waitFor();
    },
    record: async () => {
      await page.keyboard.press("Escape");
      await openKind(page, "Contacts");
      await page.locator("tbody .link").first().click();
      await page.getByLabel("Last Name").waitFor();
    },
    ledger: async () => {
      await page.getByRole("link", { name: "Ledger" }).click();
      await page.getByRole("region", { name: "Decisions" }).getByRole("article").first().waitFor();
    },
  };
  for (const [width, height, colorScheme, shown] of LOOKS) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const name of shown) {
      await views[name]();
      await judged(page, `${name} at ${width} x ${height}, ${colorScheme}`);
    }
  }
}
