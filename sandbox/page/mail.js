/**
 * One mail, and what a person does with it: mark it for Salesforce, move, delete, read or unread.
 *
 * Rules that hold here: a mail that is opened is read from then on, as in every mail program; a category is set
 * on what stands there now and on no older version, so that nobody's change is undone; a mail that went is told, not an error.
 * Sources: learn.microsoft.com/graph/api/message-get, message-update, message-move, message-delete, attachment-get.
 */
import { GRAPH, graph, linkTo, Trouble } from "./api.js";
import { frame, harmless } from "./body.js";
import { chip } from "./chips.js";
import { $, h } from "./dom.js";
import { pickFolder } from "./move.js";
import { part, Region } from "./region.js";
import { confirmed, doing, say } from "./told.js";
import { count, person, size, whenFull } from "./words.js";

/** what puts a mail into Salesforce, and what keeps it out */
const MARKS = ["Salesforce", "Salesforce Unsync"];
const FIELDS =
  "subject,from,toRecipients,ccRecipients,bccRecipients,receivedDateTime,isRead,isDraft,categories,body," +
  "internetMessageId,parentFolderId,hasAttachments";
const FILES = "attachments($select=id,name,contentType,size,isInline)";

const pathOfMail = (id, rest = "") => `${GRAPH}/messages/${encodeURIComponent(id)}${rest}`;

async function loadMail({ id }) {
  let mail;
  try {
    mail = await graph(pathOfMail(id, `?$select=${FIELDS}&$expand=${FILES}`));
  } catch (problem) {
    if (problem instanceof Trouble && problem.status === 404) return null;
    throw problem;
  }
  const pictures = /cid:/i.test(mail.body.content) ? await loadPictures(id, mail.attachments) : {};
  return { ...mail, pictures };
}

/** The pictures that stand in the text: {content id: data address}. */
async function loadPictures(id, attachments) {
  const wanted = attachments.filter((one) => one.contentType?.startsWith("image/"));
  const found = await Promise.all(wanted.map((one) => graph(pathOfMail(id, `/attachments/${encodeURIComponent(one.id)}`))));
  return Object.fromEntries(
    found
      .filter((one) => one.contentId)
      .map((one) => [one.contentId.replace(/[<>]/g, ""), `data:${one.contentType};base64,${one.contentBytes}`]),
  );
}

export class Mail {
  /** `folders`: the tree; `seen(mail)`: a mail is shown now; `left()`: the mail that was shown went. */
  constructor(folders, { seen, left }) {
    Object.assign(this, { folders, seen, left, opened: "" });
    this.region = new Region($("reader"), {
      load: (question) => this.load(question),
      draw: (mail) => this.draw(mail),
      empty: "Choose a mail to read it.",
      lines: 8,
    });
  }

  show(user, id) {
    return this.region.show(id ? { user, id } : null);
  }

  refresh = () => this.region.refresh();

  async load(question) {
    const mail = await loadMail(question);
    this.seen(mail);
    if (mail && !mail.isRead && this.opened !== mail.id) mail.isRead = await doing(() => this.change(mail, { isRead: true }));
    this.opened = mail?.id ?? "";
    return mail;
  }

  draw(mail) {
    if (!mail) return [part("gone", "", () => h("p", { class: "empty", text: "This mail is not in the mailbox any more." }))];
    const files = mail.attachments.filter((one) => !(one.isInline && Object.keys(mail.pictures).length));
    return [
      part("acts", [mail.id, mail.categories, mail.isRead], () => this.acts(mail)),
      part("head", [mail.id, mail.subject, mail.categories, this.folders.of(mail.parentFolderId)?.path], () => this.head(mail)),
      ...(files.length ? [part("files", [mail.id, files], () => this.files(mail, files))] : []),
      part("body", [mail.id, mail.body], () => this.body(mail)),
    ];
  }

  acts(mail) {
    const toggles = MARKS.map((name) => {
      const isOn = mail.categories.some((one) => one.toLowerCase() === name.toLowerCase());
      return h(
        "button",
        { type: "button", class: "toggle", "aria-pressed": String(isOn), onclick: () => this.mark(mail, name, !isOn) },
        name,
      );
    });
    return h(
      "div",
      { class: "acts", role: "toolbar", "aria-label": "What to do with this mail" },
      h("div", { class: "group", role: "group", "aria-label": "Categories" }, toggles),
      h("button", { type: "button", onclick: () => this.move(mail) }, "Move…"),
      h(
        "button",
        { type: "button", onclick: () => this.act(() => this.change(mail, { isRead: !mail.isRead })) },
        mail.isRead ? "Mark unread" : "Mark read",
      ),
      h("button", { type: "button", class: "danger", onclick: () => this.remove(mail) }, "Delete"),
    );
  }

  head(mail) {
    const lines = [
      ["From", [mail.from]],
      ["To", mail.toRecipients],
      ["Cc", mail.ccRecipients],
      ["Bcc", mail.bccRecipients],
    ];
    const shown = lines
      .map(([name, people]) => [name, people.map(person).filter(Boolean).join(", ")])
      .filter(([, text]) => text);
    return h(
      "header",
      { class: "mail-head" },
      h("h2", { text: mail.subject || "(no subject)" }),
      h("div", { class: "chips" }, mail.categories.map(chip)),
      h(
        "dl",
        {},
        shown.map(([name, text]) => [h("dt", { text: name }), h("dd", { text })]),
        h("dt", { text: "Date" }),
        h("dd", { text: whenFull(mail.receivedDateTime) }),
        h("dt", { text: "Folder" }),
        h("dd", { text: this.folders.of(mail.parentFolderId)?.path ?? "" }),
      ),
    );
  }

  files(mail, files) {
    return h(
      "ul",
      { class: "files", "aria-label": "Attachments" },
      files.map((file) =>
        h(
          "li",
          {},
          /reference/i.test(file["@odata.type"])
            ? h("span", { class: "file" }, file.name, h("span", { class: "quiet", text: " link" }))
            : h(
                "a",
                {
                  class: "file",
                  href: linkTo("microsoft", pathOfMail(mail.id, `/attachments/${encodeURIComponent(file.id)}/$value`)),
                  download: file.name || "file",
                },
                h("span", { class: "clip", "aria-hidden": "true" }),
                file.name || "(no name)",
                h("span", { class: "quiet", text: ` ${size(file.size)}` }),
              ),
        ),
      ),
    );
  }

  body(mail) {
    if (mail.body.contentType !== "html") return h("pre", { class: "paper plain", text: mail.body.content });
    const { html, blocked } = harmless(mail.body.content, mail.pictures);
    return h(
      "div",
      {},
      frame(html),
      blocked > 0 && h("p", { class: "quiet small-text", text: `${count(blocked, "picture is", "pictures are")} not shown.` }),
    );
  }

  // --- acts

  async act(work, done = "") {
    if (await doing(work, done)) await this.refresh();
  }

  change(mail, fields) {
    return graph(pathOfMail(mail.id), { method: "PATCH", json: fields });
  }

  mark(mail, name, isOn) {
    return this.act(async () => {
      const fresh = await graph(pathOfMail(mail.id, "?$select=categories"));
      const others = fresh.categories.filter((one) => one.toLowerCase() !== name.toLowerCase());
      const json = { categories: isOn ? [...others, name] : others };
      await graph(pathOfMail(mail.id), { method: "PATCH", match: fresh["@odata.etag"], json });
    });
  }

  async move(mail) {
    const target = await pickFolder(this.folders.rows, mail.parentFolderId);
    if (target)
      await this.act(
        () => graph(pathOfMail(mail.id, "/move"), { method: "POST", json: { destinationId: target.id } }),
        `Moved to ${target.path}.`,
      );
  }

  async remove(mail) {
    if (!(await confirmed("Delete this mail? It goes to the deleted items; there it is deleted for good.", "Delete"))) return;
    const isDone = await doing(() => graph(pathOfMail(mail.id), { method: "DELETE" }));
    if (!isDone) return;
    say("The mail was deleted.");
    this.left();
  }
}
