import assert from "node:assert/strict";
import { isIn } from "../acts.mjs";

const focused = (page) =>
  page.evaluate(() => (document.activeElement.querySelector(".name") ?? document.activeElement).textContent);

async function tabTo(page, pattern) {
  for (let n = 0; n < 60; n += 1) {
    if (pattern.test(await focused(page))) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`the Tab key does not lead to ${pattern}`);
}

export default async function ({ page, open }) {
  await open();
  await page.locator(".mail-row").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Skip to the content");
  await tabTo(page, /^Inbox,/);
  const tree = page.getByRole("tree", { name: "Folders" });
  for (const key of ["End", "Home", "ArrowDown", "ArrowUp"]) await page.keyboard.press(key);
  assert.match(await focused(page), /^Inbox,/);
  while (!/^Customers,/.test(await focused(page))) await page.keyboard.press("ArrowDown");
  for (const key of ["ArrowRight", "ArrowRight", "ArrowRight"]) await page.keyboard.press(key);
  assert.match(await focused(page), /^(?!Customers)/);
  const deep = await tree.evaluate(() => Number(document.activeElement.getAttribute("aria-level")));
  assert.ok(deep >= 2);
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await page.locator(".mail-row").first().waitFor();

  await page.getByRole("searchbox", { name: "Search mails by subject or sender" }).focus();
  await page.keyboard.type("With our logo");
  await page.locator(".mail-row").filter({ hasText: "With our logo" }).waitFor();
  await tabTo(page, /With our logo/);
  await page.keyboard.press("Enter");
  await isIn(page);
  await tabTo(page, /^Move…$/);
  await page.keyboard.press("Enter");
  await page.keyboard.type("arch");
  await page.keyboard.press("Escape"); // empties the filter
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);

  // the calendar: to an event, along the days, and into its form
  await page.getByRole("link", { name: "Calendar", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.locator(".event-row").first().waitFor();
  await tabTo(page, /Prepare the offer/);
  for (const key of ["ArrowDown", "ArrowUp", "Enter"]) await page.keyboard.press(key);
  await page.getByRole("article", { name: "Event shown" }).getByRole("heading", { name: /Prepare the offer/ }).waitFor();
  await tabTo(page, /^Salesforce Unsync$/);
  await tabTo(page, /^A day later$/);
}
