import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beside, isIn, mailsWith, recordsOf } from "../acts.mjs";

const SUBJECT = "Größe der Öfen – 見積 😀 und eine Betreffzeile, die länger ist als eine Zeile eines Mailkopfes sein darf";
const FILE = { name: "Maße (neu).csv", mimeType: "text/csv", buffer: Buffer.from("a;b\n1;2\n".repeat(200)) };

export default async function ({ page, olivia, open }) {
  await open();
  await page.getByRole("button", { name: "New mail" }).click();
  const form = page.getByRole("dialog", { name: "New incoming mail" });
  await form.getByLabel("From").fill("Nobody");
  await form.getByLabel("Subject").fill(SUBJECT);
  await form.getByLabel("Text").fill("Guten Tag,\n\ndie Maße liegen bei.");
  await form.getByLabel("File").setInputFiles(FILE);
  await form.getByRole("button", { name: "Deliver" }).click();
  await form.getByText('"Nobody" is no mail address.').waitFor();
  assert.equal(await form.getByLabel("Subject").inputValue(), SUBJECT);

  await form.getByLabel("From").fill("Ann Reyes <ann.reyes@northpier.example>");
  await form.getByRole("button", { name: "Deliver" }).click();
  await page.getByRole("article", { name: "Mail shown" }).getByRole("heading", { name: SUBJECT }).waitFor();
  await page.frameLocator("iframe[title='Text of the mail']").getByText("die Maße liegen bei.").waitFor();
  assert.equal(await page.locator(".mail-row").first().locator(".subject").textContent(), SUBJECT);
  await page.getByRole("treeitem", { selected: true, name: /^Inbox ?,/ }).waitFor();

  await isIn(page);
  await beside(page).getByText("Saved to Salesforce by itself.").waitFor();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    beside(page).getByRole("link", { name: "Maße" }).click(),
  ]);
  assert.deepEqual(readFileSync(await download.path()), FILE.buffer);
  const [mail] = await mailsWith(olivia, SUBJECT);
  assert.equal((await recordsOf(olivia, mail.internetMessageId)).length, 1);
}
