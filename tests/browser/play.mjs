// Plays one scene: node tests/browser/play.mjs SCENE, with ENDPOINTS (the run's endpoints.json), CHROMIUM and PICTURES (a
// folder) in the environment. Ends with 0 where the scene went as it says and the console stayed silent.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const told = JSON.parse(readFileSync(process.env.ENDPOINTS, "utf8"));
const users = await (await fetch(`${told.world}/users`)).json();

/** A vendor or the product, asked from outside with the tokens of the run. */
const asker =
  (base, token) =>
  async (path, { method = "GET", json } = {}) => {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json", Prefer: 'IdType="ImmutableId"' };
    const answer = await fetch(base + path, { method, headers, body: json && JSON.stringify(json) });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    const text = await answer.text();
    return text ? JSON.parse(text) : null;
  };

const outside = (user) => ({
  mailbox: user.mailbox,
  graph: asker(`${told.microsoft.graph}/me`, user.mailbox_token),
  salesforce: asker(`${told.salesforce.instance}/services/data/v65.0`, user.salesforce_token),
  product: asker(`${told.product}/api/v1`, user.product_token),
});

async function world(path, { method = "POST", body } = {}) {
  const answer = await fetch(told.world + path, { method, body: typeof body === "string" ? body : JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

const { default: scene, view = {} } = await import(`./scenes/${process.argv[2]}.mjs`);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 }, ...view });
context.setDefaultTimeout(15_000);
const page = await context.newPage();
const complaints = [];
page.on("console", (said) => ["error", "warning"].includes(said.type()) && complaints.push(said.text()));
page.on("pageerror", (error) => complaints.push(error.stack));

try {
  const [olivia, marek] = users.map(outside);
  const expected = await scene({
    page,
    context,
    told,
    world,
    olivia,
    marek,
    open: (place = "") => page.goto(`${told.page}${place}`),
  });
  const others = complaints.filter((said) => !expected?.test(said));
  assert.deepEqual(others, [], "the console complained");
} catch (problem) {
  await page.screenshot({ path: join(process.env.PICTURES, `${process.argv[2]}.png`) }).catch(() => undefined);
  console.error(problem, complaints);
  process.exitCode = 1;
} finally {
  await world("/faults", { body: { rules: [] } });
  await browser.close();
}
