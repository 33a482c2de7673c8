/**
 * The mails of a folder, or those in the whole mailbox that a search finds, newest first, a page at a time.
 *
 * Rules that hold here: a search goes by $filter with the time first, as Graph wants it beside $orderby; previews are text.
 * Source: learn.microsoft.com/graph/api/user-list-messages, "Using filter and orderby in the same query".
 */
import { GRAPH, graph } from "./api.js";
import { chip } from "./chips.js";
import { $, h, settled } from "./dom.js";
import { PAGE, pager } from "./pager.js";
import { part, Region } from "./region.js";
import { shortPerson, when, whenFull } from "./words.js";

const FIELDS =
  "subject,from,toRecipients,receivedDateTime,isRead,isDraft,hasAttachments,categories,bodyPreview,internetMessageId";

async function loadMails({ folder, search, page }) {
  const query = new URLSearchParams({
    $select: FIELDS,
    $orderby: "receivedDateTime desc",
    $top: PAGE,
    $skip: page * PAGE,
    $count: "true",
  });
  if (search) {
    const text = search.replaceAll("'", "''");
    const places = ["subject", "from/emailAddress/address", "from/emailAddress/name"];
    query.set(
      "$filter",
      `receivedDateTime ge 1970-01-01T00:00:00Z and (${places.map((at) => `contains(${at},'${text}')`).join(" or ")})`,
    );
  }
  const found = await graph(`${GRAPH}/${search ? "" : `mailFolders/${encodeURIComponent(folder)}/`}messages?${query}`);
  return { total: found["@odata.count"], more: "@odata.nextLink" in found, mails: found.value };
}

export class Mails {
  /** `pick(id)`: a mail was chosen. */
  constructor(pick) {
    Object.assign(this, { pick, user: "", folder: "", name: "", chosen: "", page: 0 });
    this.region = new Region($("mails"), { load: loadMails, draw: (data, question) => this.draw(data, question), lines: 10 });
    $("mail-search").addEventListener(
      "input",
      settled(() => this.turn(0)),
    );
    $("mails").addEventListener("keydown", (event) => this.key(event));
  }

  show(user, folder, name, chosen) {
    if (this.folder && (user !== this.user || folder !== this.folder)) {
      this.page = 0;
      $("mail-search").value = "";
    }
    Object.assign(this, { user, folder, name, chosen });
    this.region.redraw();
    return this.ask();
  }

  refresh = () => this.region.refresh();

  turn(page) {
    this.page = page;
    this.ask();
  }

  ask() {
    const search = $("mail-search").value.trim();
    $("mails-title").textContent = search ? "Found in the mailbox" : this.name || "Mails";
    return this.region.show(this.folder ? { user: this.user, folder: this.folder, search, page: this.page } : null);
  }

  draw({ mails, total, more }, { search, page }) {
    if (!mails.length && !page) {
      const text = search ? "No mail has this in its subject or sender." : "This folder is empty.";
      return [part("empty", text, () => h("p", { class: "empty", text }))];
    }
    const rows = mails.map((mail) =>
      part(
        mail.id,
        { ...mail, "@odata.etag": "", at: when(mail.receivedDateTime), isChosen: mail.id === this.chosen },
        (data) => this.row(data),
      ),
    );
    return [
      ...rows,
      part("pager", { page, shown: mails.length, total, more }, (data) => pager(data, (step) => this.turn(page + step))),
    ];
  }

  row(mail) {
    const isOwn = mail.from?.emailAddress?.address?.toLowerCase() === this.user;
    const who =
      isOwn && mail.toRecipients.length ? `To: ${mail.toRecipients.map(shortPerson).join(", ")}` : shortPerson(mail.from);
    return h(
      "button",
      {
        type: "button",
        class: mail.isRead ? "mail-row" : "mail-row unread",
        "aria-current": mail.isChosen ? "true" : null,
        onclick: () => this.pick(mail.id),
      },
      !mail.isRead && h("span", { class: "hidden", text: "Unread. " }),
      h(
        "span",
        { class: "line" },
        h("span", { class: "sender", text: who }),
        mail.hasAttachments && h("span", { class: "clip", role: "img", "aria-label": "has attachments" }),
        h("time", { datetime: mail.receivedDateTime, title: whenFull(mail.receivedDateTime), text: mail.at }),
      ),
      h("span", { class: "subject", text: (mail.isDraft ? "Draft: " : "") + (mail.subject || "(no subject)") }),
      h("span", { class: "preview", text: mail.bodyPreview }),
      mail.categories.length > 0 && h("span", { class: "chips" }, mail.categories.map(chip)),
    );
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const rows = [...$("mails").querySelectorAll(".mail-row")];
    const at = rows.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    rows[at + step]?.focus();
  }
}
