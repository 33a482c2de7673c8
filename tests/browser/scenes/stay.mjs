import assert from "node:assert/strict";
import { letter, mailRow } from "../acts.mjs";

const LOOKS = "/_page/marks/";
/** A session that the delivered mail rang for may still be under way; what it changes is looked at. */
const LOOKS_UNTIL_QUIET = 80;

export default async function ({ page, olivia, world, open }) {
  await page.clock.install();
  let asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await open();
  await page.locator(".mail-row").first().waitFor();
  await mailRow(page, "Note to self").click();
  const frame = page.locator("iframe[title='Text of the mail']");
  await frame.evaluate((node) => (node.isTheSame = true));
  await page.getByRole("button", { name: "New mail" }).click();
  await page.getByRole("textbox", { name: "Subject" }).fill("half typed");
  await page.keyboard.press("Escape");
  await page.getByRole("searchbox", { name: "Filter folders" }).fill("inb");
  await page.locator("#mails").evaluate((list) => {
    list.scrollTop = 600;
  });

  await mailRow(page, "Note to self").evaluate((row) => row.focus({ preventScroll: true }));
  await world(`/deliver?mailbox=${olivia.mailbox}`, { body: letter("Came in between", { from: "stranger@unknown.example" }) });
  await page.clock.runFor(3000);
  await mailRow(page, "Came in between").waitFor({ state: "attached" });
  assert.equal(await frame.evaluate((node) => node.isTheSame), true);
  assert.match(await page.evaluate(() => document.activeElement.textContent), /Note to self/);
  assert.ok((await page.locator("#mails").evaluate((list) => list.scrollTop)) >= 600);
  assert.equal(await page.getByRole("searchbox", { name: "Filter folders" }).inputValue(), "inb");
  await page.getByRole("button", { name: "New mail" }).click();
  assert.equal(await page.getByRole("textbox", { name: "Subject" }).inputValue(), "half typed");
  await page.keyboard.press("Escape");

  // with nothing new a look is a question to the world and one to the product, and none to a vendor
  const look = async () => {
    asked = [];
    const answered = page.waitForResponse((answer) => answer.url().includes("/api/v1/me"));
    await page.clock.runFor(2600);
    await answered;
    return asked.filter((path) => /^\/_pass\/(microsoft|salesforce)/.test(path));
  };
  let quiet = 0;
  for (let n = 0; n < LOOKS_UNTIL_QUIET && quiet < 3; n += 1) quiet = (await look()).length ? 0 : quiet + 1;
  assert.equal(quiet, 3, "vendors are asked again and again");
  assert.ok(asked.some((path) => path.startsWith(LOOKS)));

  await page.evaluate(() => Object.defineProperty(document, "hidden", { configurable: true, get: () => true }));
  asked = [];
  await page.clock.runFor(30_000);
  assert.deepEqual(asked, []);
  await page.evaluate(() => {
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.waitForResponse((answer) => answer.url().includes(LOOKS));
  return /^Blocked script execution in 'about:srcdoc'/; // the moved clock is put into every frame, and this one refuses it
}
