import assert from "node:assert/strict";
import { openKind, openMail } from "../acts.mjs";

/** How each of the three kinds of token looks. */
const TOKEN = /eyJ[\w-]{10,}\.[\w-]{10,}|00D\w{12,15}!/;

export default async function ({ page, context, open, told, marek }) {
  const [user] = told.users;
  for (const name of ["mailbox_token", "salesforce_token", "product_token"])
    assert.match(user[name], TOKEN, `the pattern knows ${name}`);
  const seen = [];
  const bodies = [];
  page.on("request", (request) => seen.push(request.url(), JSON.stringify(request.headers()), request.postData() ?? ""));
  page.on("response", (answer) => {
    seen.push(JSON.stringify(answer.headers()));
    bodies.push(
      answer.text().then(
        (text) => seen.push(text),
        () => undefined,
      ),
    );
  });
  await open();
  await openMail(page, "A bit of everything");
  await openKind(page, "Contacts");
  await page.locator("tbody .link").first().click();
  await page.getByLabel("Last Name").waitFor();
  await page.getByRole("link", { name: "Ledger" }).click();
  await page.getByRole("region", { name: "Decisions" }).getByRole("article").first().waitFor();
  await page.getByRole("combobox", { name: "Mailbox" }).selectOption(marek.mailbox);
  await page.getByRole("group", { name: "Health of the mailbox" }).getByText("In step", { exact: true }).waitFor();
  await Promise.all(bodies);
  assert.ok(seen.length > 60);
  assert.deepEqual(
    seen.filter((text) => TOKEN.test(text)),
    [],
  );
  assert.deepEqual(
    seen.filter((text) => /"authorization"/i.test(text)),
    [],
  );
  const kept = await page.evaluate(async () => [
    localStorage.length,
    sessionStorage.length,
    document.cookie,
    (await indexedDB.databases()).length,
  ]);
  assert.deepEqual(kept, [0, 0, "", 0]);
  assert.deepEqual(await context.cookies(), []);
}
