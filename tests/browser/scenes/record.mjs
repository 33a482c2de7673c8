import assert from "node:assert/strict";
import { openKind } from "../acts.mjs";

const contactOf = async (user, email) =>
  (
    await user.salesforce(
      `/query?q=${encodeURIComponent(`SELECT Id, Title, Phone, Description FROM Contact WHERE Email = '${email}'`)}`,
    )
  ).records[0];

export default async function ({ page, marek, open }) {
  await open();
  await openKind(page, "Contacts");
  await page.getByRole("searchbox", { name: "Search records" }).fill("cora.voss");
  await page.getByRole("button", { name: "Cora Voss" }).click();
  await page.getByLabel("Title").fill("Head of Tests");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("table", { name: "Contacts" }).getByRole("cell", { name: "Head of Tests" }).waitFor();
  const contact = await contactOf(marek, "cora.voss@corvid.example");
  assert.equal(contact.Title, "Head of Tests");

  // somebody else changes two fields while one of them is being typed in
  await page.getByLabel("Mobile Phone").fill("typing");
  await page.getByLabel("Title").fill("Typed here");
  await marek.salesforce(`/sobjects/Contact/${contact.Id}`, {
    method: "PATCH",
    json: { Title: "Changed there", Phone: "+43 1 5550100" },
  });
  await page.getByText("Changed in Salesforce meanwhile: Changed there").waitFor();
  assert.equal(await page.getByLabel("Title").inputValue(), "Typed here");
  assert.equal(await page.getByLabel("Business Phone").inputValue(), "+43 1 5550100");
  await page.getByRole("button", { name: "Discard changes" }).click();
  assert.equal(await page.getByLabel("Title").inputValue(), "Changed there");
  assert.equal(await page.getByLabel("Mobile Phone").inputValue(), "");

  await page.getByRole("group", { name: "Kind of record" }).getByRole("button", { name: "Leads" }).click();
  await page.getByRole("button", { name: "New lead" }).click();
  await page.getByLabel("Last Name").fill("Probst");
  await page.getByLabel("Company").fill("Probst & Söhne");
  await page.getByLabel("Email", { exact: true }).fill("probst@new.example");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("table", { name: "Leads" }).getByRole("button", { name: "Probst" }).waitFor();
  const count = () =>
    marek.salesforce(`/query?q=${encodeURIComponent("SELECT Id FROM Lead WHERE Company = 'Probst & Söhne'")}`);
  assert.equal((await count()).totalSize, 1);

  await page.getByLabel("Website").or(page.getByLabel("Phone")).first().waitFor();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("Choose a record to see and edit it.").waitFor();
  assert.equal((await count()).totalSize, 0);

  // what Salesforce refuses is told in its words, and nothing typed is lost
  await page.getByRole("group", { name: "Kind of record" }).getByRole("button", { name: "E-mail messages" }).click();
  await page.locator("tbody .link").first().click();
  await page.getByLabel("Related To").fill("001000000000000AAA");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(/^Salesforce refused it: /).waitFor();
  assert.equal(await page.getByLabel("Related To").inputValue(), "001000000000000AAA");
}
