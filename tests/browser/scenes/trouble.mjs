import assert from "node:assert/strict";

const FAULT = {
  vendor: "microsoft",
  kind: "status",
  match: "messages",
  status: 503,
  times: null,
  body: { error: { code: "serviceNotAvailable", message: "The mail service rests." } },
};

export default async function ({ page, world, told, open }) {
  await open();
  await page.locator(".mail-row").first().waitFor();
  await world("/faults", { body: { rules: [FAULT] } });
  await page.getByRole("treeitem", { name: /^Sent Items ?,/ }).click();
  const trouble = page.locator("#mails").getByRole("alert");
  await trouble.getByText("The mail service rests.").waitFor();
  await world("/faults", { body: { rules: [] } });
  await trouble.getByRole("button", { name: "Try again" }).click();
  await page.locator(".mail-row").first().waitFor();
  assert.equal(await trouble.count(), 0);

  // a vendor that cuts the connection
  await world("/faults", { body: { rules: [{ vendor: "salesforce", kind: "drop_before", match: "/query", times: null }] } });
  await page.getByRole("link", { name: "Salesforce", exact: true }).click();
  await page.locator("#records").getByRole("alert").getByText("salesforce does not answer").waitFor();
  await world("/faults", { body: { rules: [] } });
  await page.locator("#records").getByRole("button", { name: "Try again" }).click();
  await page.getByRole("table", { name: "Accounts" }).waitFor();
  assert.ok(told.page.startsWith("https://localhost:"));
}
