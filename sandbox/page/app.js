/**
 * The page: which region shows what, and looking again.
 *
 * Rules that hold here: a look is cheap (one question to the world, one to the product); vendors are asked again only where a
 * mark says that something changed; nobody looks while the page is hidden.
 */
import { Agenda } from "./agenda.js";
import { ACTED, askAs, Trouble, world } from "./api.js";
import { Beside } from "./beside.js";
import { loadCategories } from "./chips.js";
import { Compose } from "./compose.js";
import { Diary } from "./diary.js";
import { $, h, settled } from "./dom.js";
import { EventForm, NEW } from "./event.js";
import { Folders } from "./folders.js";
import { Health } from "./health.js";
import { Ledger } from "./ledger.js";
import { Mail } from "./mail.js";
import { Mails } from "./mails.js";
import { go, moved, onMove, place } from "./place.js";
import { Record } from "./record.js";
import { Records } from "./records.js";
import { say } from "./told.js";
import { worldTime } from "./words.js";

const LOOK_MS = 2500;
const VIEWS = ["mail", "calendar", "salesforce", "ledger"];

const folders = new Folders((folder) => {
  toggleFolders(false);
  go({ folder, mail: "" });
});
const mails = new Mails((mail) => go({ mail }));
const beside = new Beside((kind, record) => go({ view: "salesforce", kind, record }));
const mail = new Mail(folders, {
  left: () => go({ mail: "" }),
  seen: (shown) => {
    beside.show(place.user, shown?.internetMessageId);
    if (shown && shown.id !== place.mail) go({ mail: shown.id }, { quietly: true });
  },
});
const records = new Records((kind, record) => go({ kind, record }));
const record = new Record((kind, id) => go({ kind, record: id }));
const agenda = new Agenda(
  (event) => go({ event }),
  (from) => go({ from }),
);
const eventForm = new EventForm((event) => go({ event }));
const diary = new Diary();
const ledger = new Ledger((item) => {
  if (item.mail) go({ view: "mail", mail: item.mail });
  else if (item.event) go({ view: "calendar", event: item.event });
  else go({ view: "salesforce", kind: "Event", record: item.record });
});
const compose = new Compose(async (id) => go({ view: "mail", folder: await inbox(), mail: id }));
const health = new Health(() => visible("product"));

/** view -> what of it is looked at again when that has changed */
const SHOWN = {
  mail: { mail: [folders, mails, mail], records: [beside], product: [beside] },
  calendar: { mail: [agenda, eventForm, diary], records: [diary], product: [diary] },
  salesforce: { mail: [], records: [records, record], product: [] },
  ledger: { mail: [], records: [], product: [ledger] },
};

const visible = (what) => Promise.all(SHOWN[place.view][what].map((region) => region.refresh()));

let users = [];
let user = "";
let marks = {};

async function inbox() {
  await folders.show(place.user, place.folder);
  return folders.rows.find((row) => row.name === "Inbox")?.id ?? folders.rows[0]?.id ?? "";
}

async function show() {
  if (!users.some((one) => one.mailbox === place.user))
    return go({ user: users[0].mailbox, folder: "", mail: "", event: "" }, { quietly: true });
  if (!VIEWS.includes(place.view)) return go({ view: VIEWS[0] }, { quietly: true });
  if (user !== place.user) await choose(place.user);
  for (const view of VIEWS) $(`view-${view}`).hidden = view !== place.view;
  for (const tab of document.querySelectorAll("[data-view]")) tab.ariaCurrent = tab.dataset.view === place.view ? "page" : null;
  document.title = `${$(`view-${place.view}`).getAttribute("aria-label")} · Mailspan local world`;
  await { mail: showMail, calendar: showCalendar, salesforce: showSalesforce, ledger: () => ledger.show(user) }[place.view]();
}

async function choose(address) {
  user = address;
  marks = {};
  askAs(address);
  $("who").value = address;
  health.show(address);
  await loadCategories().catch(told);
}

async function showMail() {
  const isNew = !folders.rows.length;
  const tree = folders.show(user, place.folder);
  mail.show(user, place.mail);
  if (!place.mail) beside.show(user, "");
  if (isNew || !place.folder) await tree;
  if (!place.folder) return folders.rows.length && go({ folder: await inbox() }, { quietly: true });
  folders.uncover(place.folder);
  mails.show(user, place.folder, folders.of(place.folder)?.name ?? "", place.mail);
}

function showCalendar() {
  agenda.show(user, place.from, place.event);
  diary.show(user, place.event === NEW ? "" : place.event);
  return eventForm.show(user, place.event);
}

function showSalesforce() {
  const kind = place.kind || "Account";
  records.show(user, kind, place.record);
  return record.show(user, kind, place.record);
}

function toggleFolders(isOpen = $("folders-toggle").ariaExpanded !== "true") {
  $("folders-toggle").ariaExpanded = String(isOpen);
  $("folders-pane").classList.toggle("opened", isOpen);
}

/** Looks whether anything changed, and has that shown again. */
async function look() {
  if (document.hidden || !user) return;
  const asked = user;
  const found = await world("/_page/marks/{mailbox}");
  if (asked !== user) return;
  worldTime(found.now);
  const changed = ["mail", "records"].filter((what) => marks[what] && marks[what] !== found[what]);
  marks = found;
  await Promise.all([health.refresh(), ...changed.map(visible)]);
}

let isDown = false;

async function looking() {
  try {
    await look();
    if (isDown) {
      isDown = false;
      say("The local world answers again.");
      await show();
    }
  } catch (problem) {
    if (!(problem instanceof Trouble)) throw problem;
    if (!isDown) say(problem.message, { isTrouble: true });
    isDown = true;
  } finally {
    clearTimeout(looking.timer);
    looking.timer = setTimeout(looking, LOOK_MS);
  }
}

function told(problem) {
  if (!(problem instanceof Trouble)) throw problem;
  say(problem.message, { retry: () => location.reload() });
}

async function start() {
  users = await world("/_page/users");
  $("who").replaceChildren(...users.map((one) => h("option", { value: one.mailbox, text: one.name, title: one.mailbox })));
  $("who").addEventListener("change", () => go({ user: $("who").value, folder: "", mail: "", event: "" }));
  for (const tab of document.querySelectorAll("[data-view]"))
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      go({ view: tab.dataset.view });
    });
  $("event-new").addEventListener("click", () => go({ event: NEW }));
  $("write").addEventListener("click", () => compose.open(user));
  $("folders-toggle").addEventListener("click", () => toggleFolders());
  addEventListener(ACTED, settled(looking, 50));
  document.addEventListener("visibilitychange", () => !document.hidden && looking());
  onMove(() => show().catch(told));
  moved();
  await looking();
}

start().catch(told);
