import assert from "node:assert/strict";
import { isIn, isNotIn, letter, mailsWith, openMail, recordsOf } from "../acts.mjs";

const SUBJECT = "To be moved about";

export default async function ({ page, olivia, world, open }) {
  await world(`/deliver?mailbox=${olivia.mailbox}`, { body: letter(SUBJECT, { from: "stranger@unknown.example" }) });
  await open();
  await openMail(page, SUBJECT);
  await page.getByRole("button", { name: "Move…" }).click();
  const dialog = page.getByRole("dialog", { name: "Move to a folder" });
  await dialog.getByRole("searchbox").fill("salesforce em");
  await dialog.getByRole("button", { name: "Salesforce Emails", exact: true }).click();
  await page.getByRole("article", { name: "Mail shown" }).getByText("Salesforce Emails").waitFor();
  await isIn(page);
  const { id } = await olivia
    .graph("/mailFolders?$top=50")
    .then(({ value }) => value.find((one) => one.displayName === "Salesforce Emails"));
  const [moved] = await mailsWith(olivia, SUBJECT);
  assert.equal(moved.parentFolderId, id);

  await page.getByRole("button", { name: "Salesforce Unsync" }).click();
  await isNotIn(page);
  assert.deepEqual(await recordsOf(olivia, moved.internetMessageId), []);

  await page.getByRole("button", { name: "Mark unread" }).click();
  await page.getByRole("button", { name: "Mark read" }).waitFor();
  assert.equal((await mailsWith(olivia, SUBJECT))[0].isRead, false);

  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal((await mailsWith(olivia, SUBJECT))[0].parentFolderId, id);
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("Choose a mail to read it.").waitFor();
  const gone = await olivia.graph("/mailFolders/deleteditems");
  assert.equal((await mailsWith(olivia, SUBJECT))[0].parentFolderId, gone.id);
}
