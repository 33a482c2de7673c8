import assert from "node:assert/strict";
import { beside, isIn, isNotIn, mailRow, mailsWith, openFolder, recordsOf } from "../acts.mjs";

export default async function ({ page, olivia, open }) {
  await open();
  await openFolder(page, "west 2025", "2025");
  const path = page.getByRole("article", { name: "Mail shown" });
  await mailRow(page, "Filed away").click();
  await path.getByText("Customers / West / 2025").waitFor();
  await isNotIn(page);
  await page.getByRole("button", { name: "Salesforce", exact: true }).click();
  await page.locator(".mail-row[aria-current] .chip", { hasText: "Salesforce" }).waitFor();
  await page.getByRole("button", { name: "Sync now" }).click();
  await isIn(page);
  await beside(page).getByText("Saved to Salesforce, because it was marked.").waitFor();
  await beside(page).getByRole("button", { name: "Brightwell & Sons (Account)" }).waitFor();
  await beside(page).getByRole("button", { name: "Brigid O'Dea", exact: true }).waitFor();

  const subject = await path.getByRole("heading", { level: 2 }).textContent();
  const marked = (await mailsWith(olivia, subject)).filter((mail) => mail.categories.includes("Salesforce"));
  assert.equal(marked.length, 1);
  assert.equal((await recordsOf(olivia, marked[0].internetMessageId)).length, 1);

  await page.getByRole("link", { name: "Ledger" }).click();
  const newest = page.getByRole("region", { name: "Decisions" }).getByRole("article").filter({ hasText: subject }).first();
  await newest.getByText("Saved to Salesforce, because it was marked.").waitFor();
  await newest.getByRole("button", { name: subject }).click();
  await isIn(page);
}
