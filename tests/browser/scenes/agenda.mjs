import assert from "node:assert/strict";
import { besideEvent, calendarWith, eventRow, openEvent } from "../acts.mjs";

export default async function ({ page, olivia, open }) {
  await open();
  await openEvent(page, "Trade fair");
  await eventRow(page, "Trade fair").getByText("All day").waitFor();
  assert.equal(await page.locator("#agenda .day.today").count() <= 1, true);
  const beside = besideEvent(page);
  await beside.getByText("saved.marked").waitFor();
  assert.equal(await beside.getByLabel("Show Time As").inputValue(), "OutOfOffice");

  // a text that is being typed stays while the event changes elsewhere
  const form = page.getByRole("article", { name: "Event shown" });
  const [fair] = await calendarWith(olivia, "Trade fair");
  await form.getByLabel("Place").fill("typing");
  await olivia.graph(`/events/${fair.id}`, { method: "PATCH", json: { location: { displayName: "Hall 9" } } });
  await form.getByText("Changed in the calendar meanwhile: Hall 9").waitFor();
  assert.equal(await form.getByLabel("Place").inputValue(), "typing");
  await form.getByRole("button", { name: "Discard changes" }).click();
  assert.equal(await form.getByLabel("Place").inputValue(), "Hall 9");
  await form.getByRole("button", { name: "A day later" }).click();
  await page.getByText("Moved.").waitFor();
  const [moved] = await calendarWith(olivia, "Trade fair");
  assert.equal(Date.parse(moved.start.dateTime) - Date.parse(fair.start.dateTime), 86_400_000);
  assert.equal(moved.isAllDay, true);

  await openEvent(page, "Supplier breakfast");
  await beside.getByRole("heading", { name: "Not in Salesforce" }).waitFor();
  await beside.getByText("skipped.not_accepted").waitFor();
  await form.getByRole("button", { name: "Accept", exact: true }).click();
  await beside.getByRole("heading", { name: "In Salesforce", exact: true }).waitFor();

  // outside the weeks shown there is nothing of the sample
  await page.getByRole("button", { name: "Later", exact: true }).click();
  await page.getByRole("button", { name: "Later", exact: true }).click();
  await page.getByText("There is nothing in these weeks.").or(eventRow(page, "Pier works")).first().waitFor();
  await page.getByRole("button", { name: "Today" }).click();
  await eventRow(page, "Trade fair").waitFor();

  await page.getByRole("link", { name: "Ledger" }).click();
  const decisions = page.getByRole("region", { name: "Decisions" });
  await decisions.getByRole("button", { name: "Supplier breakfast" }).first().click();
  await form.getByRole("heading", { name: "Supplier breakfast" }).waitFor();
}
