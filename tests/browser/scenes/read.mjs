import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beside, mailsWith, openFolder, openMail } from "../acts.mjs";

export default async function ({ page, olivia, open }) {
  await open();
  await page.getByRole("treeitem", { name: /^Inbox ?,/ }).waitFor();
  const folders = await olivia.graph("/mailFolders/delta?$select=displayName&$top=1000");
  assert.ok(folders.value.length >= 300);
  await page.getByRole("searchbox", { name: "Filter folders" }).fill("20");
  const inside = folders.value.filter((one) => one.displayName.includes("20")).length;
  assert.ok((await page.getByRole("treeitem").count()) >= inside);

  await openFolder(page, "west 2025", "2025");
  await page.locator(".mail-row").first().waitFor();
  assert.equal(await page.locator(".mail-row").count(), 12);

  await openMail(page, "A bit of everything");
  const [mail] = await mailsWith(olivia, "A bit of everything", "id,hasAttachments");
  const { value: files } = await olivia.graph(`/messages/${encodeURIComponent(mail.id)}/attachments`);
  const wanted = files.find((file) => file.name === "terms.docx");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("list", { name: "Attachments" }).getByRole("link", { name: "terms.docx" }).click(),
  ]);
  assert.equal(download.suggestedFilename(), "terms.docx");
  assert.deepEqual(readFileSync(await download.path()), Buffer.from(wanted.contentBytes, "base64"));

  const text = page.frameLocator("iframe[title='Text of the mail']");
  await text.getByText("Good day").first().waitFor();
  assert.match(await text.locator("img").first().getAttribute("src"), /^data:image\//);
  await beside(page).getByText("Ann Reyes").waitFor();
  await page.waitForFunction(() => document.querySelector(".mail-row[aria-current]")?.classList.contains("unread") === false);
  assert.equal((await mailsWith(olivia, "A bit of everything"))[0].isRead, true);
}
