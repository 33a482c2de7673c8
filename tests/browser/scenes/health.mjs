import assert from "node:assert/strict";

export default async function ({ page, marek, open }) {
  await open();
  const health = page.getByRole("group", { name: "Health of the mailbox" });
  await page.getByRole("combobox", { name: "Mailbox" }).selectOption({ label: "Marek Novák" });
  await health.getByText("In step", { exact: true }).click();
  await health.getByText("personal connection").waitFor();
  await page.getByRole("treeitem", { name: /^Salesforce Emails ?,/ }).waitFor();
  await health.getByRole("button", { name: "Pause" }).click();
  await health.getByText("Paused", { exact: true }).waitFor();
  assert.equal((await marek.product("/me")).paused, true);
  await health.getByText("personal connection").waitFor(); // what was opened stays open

  await health.getByRole("button", { name: "Sync now" }).click();
  await page.getByRole("status").getByText("The mailbox is paused.").waitFor();
  await health.getByRole("button", { name: "Resume" }).click();
  await health.getByText("In step", { exact: true }).waitFor();
  assert.equal((await marek.product("/me")).paused, false);

  await page.reload();
  assert.equal(await page.getByRole("combobox", { name: "Mailbox" }).inputValue(), marek.mailbox);
  await page.goBack();
  await page.waitForFunction(() => document.querySelector("#who").selectedOptions[0]?.text === "Olivia Brandt");
}
