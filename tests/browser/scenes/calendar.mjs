import assert from "node:assert/strict";
import { besideEvent, calendarWith, eventRow, eventsWith } from "../acts.mjs";

const SUBJECT = "Rehearsal on the quay";

export default async function ({ page, marek, open }) {
  await open(`#view=calendar&user=${encodeURIComponent(marek.mailbox)}`); // the own connection: a session looks at the org itself
  await page.getByRole("button", { name: "New event" }).click();
  const form = page.getByRole("article", { name: "Event shown" });
  await form.getByLabel("Subject").fill(SUBJECT);
  await form.getByLabel("Place").fill("Quay 3");
  await form.getByLabel("Attendees").fill("Aino Aalto <aino@aalto.example>");
  await form.getByLabel("Text").fill("Bring your own tea.");
  await form.getByRole("button", { name: "Make" }).click();
  await form.getByRole("heading", { name: SUBJECT }).waitFor();

  // a meeting with a customer is saved by itself, and its record stands beside it
  const beside = besideEvent(page);
  await beside.getByRole("heading", { name: "In Salesforce", exact: true }).waitFor();
  await beside.getByText("saved.auto").waitFor();
  await beside.getByLabel("Location").waitFor();
  assert.equal(await beside.getByLabel("Location").inputValue(), "Quay 3");
  const [record] = await eventsWith(marek, SUBJECT);
  assert.equal(record.Description, "Bring your own tea.");
  assert.ok(record.WhoId);

  // without people in it a change in Salesforce comes down at once
  await form.getByLabel("Attendees").fill("");
  await form.getByLabel("Show as").selectOption("Free");
  await form.getByRole("button", { name: "Save" }).click();
  await page.waitForFunction(() => document.querySelector("#event-record select")?.value === "Free");
  await form.getByRole("button", { name: "Salesforce", exact: true }).click();
  await eventRow(page, SUBJECT).getByText("Salesforce", { exact: true }).waitFor();
  await beside.getByLabel("Location").fill("Quay 5");
  await beside.getByLabel("Private").waitFor();
  await beside.getByRole("button", { name: "Save" }).click();
  await page.getByRole("button", { name: "Sync now" }).click();
  await eventRow(page, SUBJECT).getByText("Quay 5").waitFor();
  assert.equal(await form.getByLabel("Place").inputValue(), "Quay 5");
  assert.equal((await calendarWith(marek, SUBJECT))[0].location.displayName, "Quay 5");

  await form.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("Choose an event to see and change it.").waitFor();
  for (let n = 0; n < 100 && (await eventsWith(marek, SUBJECT)).length; n += 1) await page.waitForTimeout(200);
  assert.deepEqual(await eventsWith(marek, SUBJECT), []);
  assert.deepEqual(await calendarWith(marek, SUBJECT), []);
}
