/**
 * What Salesforce has of the mail that is shown, and what the ledger says about it. It stands where the sidebar will stand.
 *
 * Rules that hold here: Salesforce is asked by the Message-ID and answers for itself, whatever the ledger says, so that the two
 * can be compared; records, people and files come with one call (a composite counts once).
 * Sources: Object Reference, EmailMessage, EmailMessageRelation, ContentDocumentLink; REST API, "Composite"; docs/api.md.
 */
import { linkTo, product, quoted, SALESFORCE, salesforce, Trouble } from "./api.js";
import { $, h } from "./dom.js";
import { KIND_OF } from "./kinds.js";
import { part, Region } from "./region.js";
import { count, size, whenFull } from "./words.js";

const MAIL =
  "SELECT Id, Subject, MessageDate, Incoming, FromAddress, RelatedToId, RelatedTo.Name, RelatedTo.Type, CreatedBy.Name, " +
  "CreatedDate FROM EmailMessage";
const PEOPLE =
  "SELECT EmailMessageId, RelationType, RelationAddress, RelationId, Relation.Name, RelationObjectType " +
  "FROM EmailMessageRelation";
const FILES =
  "SELECT LinkedEntityId, ContentDocument.Title, ContentDocument.FileExtension, ContentDocument.ContentSize, " +
  "ContentDocument.LatestPublishedVersionId FROM ContentDocumentLink";
const ROLES = [
  ["FromAddress", "From"],
  ["ToAddress", "To"],
  ["CcAddress", "Cc"],
  ["BccAddress", "Bcc"],
  ["OtherAddress", "Other"],
];
const MAIL_HIDDEN = "INVALID_TYPE";

/** {records: [{...EmailMessage, people, files}] | null, entries: [ledger entry]}; null: this org keeps no mail records. */
async function loadBeside({ messageId }) {
  const [records, entries] = await Promise.all([loadRecords(messageId), loadEntries(messageId)]);
  return { records, entries };
}

async function loadRecords(messageId) {
  const where = `WHERE MessageIdentifier = ${quoted(messageId)}`;
  const those = `(SELECT Id FROM EmailMessage ${where})`;
  const queries = [
    `${MAIL} ${where} ORDER BY CreatedDate`,
    `${PEOPLE} WHERE EmailMessageId IN ${those}`,
    `${FILES} WHERE LinkedEntityId IN ${those}`,
  ];
  const compositeRequest = queries.map((text, at) => ({
    method: "GET",
    url: `${SALESFORCE}/query?q=${encodeURIComponent(text)}`,
    referenceId: `q${at}`,
  }));
  const { compositeResponse } = await salesforce("/composite", {
    method: "POST",
    json: { compositeRequest },
    isQuestion: true,
  });
  const refused = compositeResponse.find((one) => one.httpStatusCode >= 400)?.body[0];
  if (refused?.errorCode === MAIL_HIDDEN) return null;
  if (refused) throw new Trouble(refused.message, 400, refused.errorCode);
  const [mails, people, files] = compositeResponse.map((one) => one.body.records);
  return mails.map((mail) => ({
    ...mail,
    people: people.filter((one) => one.EmailMessageId === mail.Id),
    files: files.filter((one) => one.LinkedEntityId === mail.Id).map((one) => one.ContentDocument),
  }));
}

async function loadEntries(messageId) {
  try {
    return (await product(`/me/ledger/${encodeURIComponent(messageId)}?limit=20`)).entries;
  } catch (problem) {
    if (problem instanceof Trouble && problem.code === "ledger.unknown") return [];
    throw problem;
  }
}

export class Beside {
  /** `open(kind, id)`: a record is to be shown. */
  constructor(open) {
    this.open = open;
    this.region = new Region($("beside"), {
      load: loadBeside,
      draw: (data) => this.draw(data),
      empty: "Choose a mail to see what Salesforce has of it.",
      lines: 6,
    });
  }

  show(user, messageId) {
    return this.region.show(messageId ? { user, messageId } : null);
  }

  refresh = () => this.region.refresh();

  draw({ records, entries }) {
    const title = records === null ? "No mail records in this org" : records.length ? "In Salesforce" : "Not in Salesforce";
    return [
      part("state", title, (text) => h("h2", { class: records?.length ? "state in" : "state", text })),
      ...(records ?? []).map((record, at) =>
        part(record.Id, [record, records.length], () => this.record(record, at, records.length)),
      ),
      part("decision", entries, () => decision(entries)),
    ];
  }

  record(record, at, all) {
    const related =
      record.RelatedTo &&
      this.link(
        KIND_OF[record.RelatedToId.slice(0, 3)],
        record.RelatedToId,
        `${record.RelatedTo.Name} (${record.RelatedTo.Type})`,
      );
    return h(
      "section",
      { class: "card", "aria-label": all > 1 ? `Record ${at + 1} of ${all}` : "E-mail record" },
      h(
        "p",
        { class: "card-title" },
        this.link("EmailMessage", record.Id, record.Subject || "(no subject)"),
        all > 1 && h("span", { class: "quiet", text: ` ${at + 1} of ${all}` }),
      ),
      h(
        "dl",
        {},
        h("dt", { text: "Direction" }),
        h("dd", { text: record.Incoming ? "Incoming" : "Outgoing" }),
        h("dt", { text: "Related to" }),
        h("dd", {}, related || "nothing"),
        h("dt", { text: "Sent" }),
        h("dd", { text: whenFull(record.MessageDate) }),
        h("dt", { text: "Saved by" }),
        h("dd", { text: record.CreatedBy?.Name ?? "" }),
      ),
      h("h3", { text: "People" }),
      this.people(record.people),
      record.files.length > 0 && h("h3", { text: count(record.files.length, "file", "files") }),
      record.files.length > 0 && files(record.files),
    );
  }

  people(people) {
    const rank = (one) => ROLES.findIndex(([type]) => type === one.RelationType);
    const shown = people.toSorted((a, b) => rank(a) - rank(b));
    return h(
      "ul",
      { class: "people" },
      shown.map((one) =>
        h(
          "li",
          {},
          h("span", { class: "role", text: ROLES[rank(one)]?.[1] ?? one.RelationType }),
          h(
            "span",
            {},
            one.RelationId
              ? this.link(KIND_OF[one.RelationId.slice(0, 3)], one.RelationId, one.Relation?.Name ?? one.RelationAddress)
              : one.RelationAddress,
            h("span", { class: "quiet", text: one.RelationId ? ` ${one.RelationObjectType}` : " no record" }),
          ),
        ),
      ),
    );
  }

  /** A link to a record that this page can show, else its name alone. */
  link(kind, id, text) {
    return kind
      ? h("button", { type: "button", class: "link", onclick: () => this.open(kind, id) }, text)
      : h("span", { text });
  }
}

function files(listed) {
  return h(
    "ul",
    { class: "files" },
    listed.map((file) => {
      const name = file.FileExtension ? `${file.Title}.${file.FileExtension}` : file.Title;
      const address = linkTo(
        "salesforce",
        `${SALESFORCE}/sobjects/ContentVersion/${file.LatestPublishedVersionId}/VersionData`,
      );
      return h(
        "li",
        {},
        h(
          "a",
          { class: "file", href: address, download: name },
          h("span", { class: "clip", "aria-hidden": "true" }),
          name,
          h("span", { class: "quiet", text: ` ${size(file.ContentSize)}` }),
        ),
      );
    }),
  );
}

/** What was decided about an item, the newest first. */
export function decision(entries, what = "mail") {
  const [newest, ...older] = entries;
  if (!newest)
    return h(
      "section",
      { class: "card" },
      h("h3", { text: "Ledger" }),
      h("p", { class: "quiet", text: `Nothing was decided about this ${what} yet.` }),
    );
  return h(
    "section",
    { class: "card", "aria-label": "Decision" },
    h("h3", { text: "Ledger" }),
    entryText(newest),
    older.length > 0 &&
      h("details", {}, h("summary", { text: count(older.length, "older decision", "older decisions") }), older.map(entryText)),
  );
}

/** A decision with its sentences, as the ledger tells them. */
export function entryText(entry) {
  return h(
    "div",
    { class: "entry" },
    h("p", { text: entry.text }),
    entry.because.map((one) => h("p", { class: "quiet", text: one.text })),
    h("p", { class: "small-text quiet" }, h("code", { text: entry.rule }), ` · ${whenFull(entry.at)}`),
  );
}
