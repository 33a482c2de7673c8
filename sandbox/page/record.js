/**
 * One Salesforce record as a form: edit, create, delete.
 *
 * Rules that hold here: only fields that a person changed are sent (`Typed`); what a field may hold is what the org's describe
 * says; moments are typed as the clock on this machine's wall shows them.
 * Sources: REST API Developer Guide, "sObject Rows", "sObject Describe".
 */
import { salesforce, soql, Trouble } from "./api.js";
import { $, h } from "./dom.js";
import { KINDS } from "./kinds.js";
import { part, Region } from "./region.js";
import { confirmed, doing, say } from "./told.js";
import { Typed } from "./typed.js";
import { localTime, utcTime, whenFull } from "./words.js";

const NEW = "new";
const CHOICES = 200;
/** describe's type -> attributes of the input */
const INPUTS = {
  email: { type: "email" },
  phone: { type: "tel" },
  url: { type: "text", inputmode: "url" },
  date: { type: "date" },
  currency: { type: "number", step: "0.01" },
  datetime: { type: "datetime-local" },
  boolean: { type: "checkbox" },
};
/** where a field may refer to one of many kinds its id is typed */
const NAMES = { Case: "CaseNumber" };

const described = new Map();

/** {name: field} of the org's describe; asked once. */
async function describe(kind) {
  if (!described.has(kind)) {
    const { fields } = await salesforce(`/sobjects/${kind}/describe`);
    described.set(kind, Object.fromEntries(fields.map((field) => [field.name, field])));
  }
  return described.get(kind);
}

async function loadRecord({ kind, id }) {
  const fields = await describe(kind);
  const record = id === NEW ? {} : await one(kind, id);
  const references = KINDS[kind].fields.filter((name) => isPicked(fields[name]));
  const choices = await Promise.all(references.map((name) => loadChoices(fields[name].referenceTo[0])));
  return { record, fields, choices: Object.fromEntries(references.map((name, at) => [name, choices[at]])) };
}

async function one(kind, id) {
  const wanted = [...new Set(["Id", KINDS[kind].title, "CreatedDate", "LastModifiedDate", ...KINDS[kind].fields])];
  const found = await soql(
    `SELECT ${wanted.join(", ")}, CreatedBy.Name, LastModifiedBy.Name FROM ${kind} WHERE Id = '${id.replace(/\W/g, "")}'`,
  );
  return found.records[0] ?? null;
}

const isPicked = (field) => field?.type === "reference" && field.referenceTo.length === 1;

async function loadChoices(kind) {
  const name = NAMES[kind] ?? "Name";
  const found = await soql(`SELECT Id, ${name} FROM ${kind} ORDER BY ${name} LIMIT ${CHOICES}`);
  return found.records.map((record) => [record.Id, record[name]]);
}

export class Record {
  /** `went(kind, id)`: another record is to be shown, "" for none. `host`: where it stands; `empty`: what it says without one. */
  constructor(went, { host = "record", empty = "Choose a record to see and edit it." } = {}) {
    this.went = went;
    this.typed = new Typed("Salesforce");
    this.region = new Region($(host), {
      load: loadRecord,
      draw: (data, question) => this.draw(data, question),
      empty,
      lines: 8,
    });
  }

  show(user, kind, id) {
    return this.region.show(id ? { user, kind, id } : null);
  }

  refresh = () => this.region.refresh();

  draw({ record, fields, choices }, { kind, id }) {
    if (!record) return [part("gone", id, () => h("p", { class: "empty", text: "This record is not there any more." }))];
    for (const name of this.typed.names()) this.typed.update(name, textOf(record[name], fields[name], record));
    const title = id === NEW ? `New ${KINDS[kind].one}` : record[KINDS[kind].title] || "(no name)";
    const known = KINDS[kind].fields.filter((name) => fields[name]);
    return [
      part("title", title, () => h("h2", { text: title })),
      part("form", [kind, id], () =>
        this.form(
          kind,
          id,
          record,
          known.map((name) => [fields[name], choices[name]]),
        ),
      ),
      part("made", [record.CreatedDate, record.LastModifiedDate], () =>
        h("p", { class: "quiet small-text", text: made(record) }),
      ),
    ];
  }

  form(kind, id, record, known) {
    this.typed.clear();
    this.problem = h("p", { class: "bad-text", role: "alert" });
    const isNew = id === NEW;
    return h(
      "form",
      {
        class: "record-form",
        onsubmit: (event) => {
          event.preventDefault();
          this.save(kind, id);
        },
      },
      known.map(([field, choices]) => this.field(field, choices, textOf(record[field.name], field, record), isNew)),
      this.problem,
      h(
        "div",
        { class: "actions" },
        !isNew && h("button", { type: "button", class: "danger", onclick: () => this.remove(kind, id) }, "Delete"),
        h("span", { class: "gap" }),
        h("button", { type: "button", onclick: () => this.discard(isNew) }, isNew ? "Cancel" : "Discard changes"),
        h("button", { type: "submit", class: "primary" }, isNew ? "Create" : "Save"),
      ),
    );
  }

  field(field, choices, value, isNew) {
    const isFixed = isNew ? !field.createable : !field.updateable;
    const required = field.createable && !field.nillable && !field.defaultedOnCreate;
    const input = inputOf(field, choices, value, {
      name: field.name,
      required,
      disabled: isFixed,
      maxlength: field.length || null,
    });
    return this.typed.field(field.name, field.label.replace(/ ID$/, ""), input, value, { required });
  }

  discard(isNew) {
    if (isNew) return this.went(this.region.question.kind, "");
    this.typed.discard();
  }

  async save(kind, id) {
    const changed = this.typed.changed();
    const isWhole = this.typed.held.IsAllDayEvent && this.typed.value("IsAllDayEvent") === "true";
    const json = Object.fromEntries(changed.map((name) => [name, valueOf(this.typed.held[name].input, isWhole)]));
    if (!changed.length) return say("Nothing was changed.");
    this.problem.textContent = "";
    try {
      if (id === NEW) {
        const made = await salesforce(`/sobjects/${kind}`, { method: "POST", json: { ...KINDS[kind].preset?.(), ...json } });
        say(`The ${KINDS[kind].one} was created.`);
        return this.went(kind, made.id);
      }
      await salesforce(`/sobjects/${kind}/${id}`, { method: "PATCH", json });
      this.typed.settle(changed);
      say("Saved.");
    } catch (problem) {
      if (!(problem instanceof Trouble)) throw problem;
      this.problem.textContent = `Salesforce refused it: ${problem.message}`;
    }
  }

  async remove(kind, id) {
    if (!(await confirmed(`Delete this ${KINDS[kind].one}?`, "Delete"))) return;
    if (await doing(() => salesforce(`/sobjects/${kind}/${id}`, { method: "DELETE" }), `The ${KINDS[kind].one} was deleted.`))
      this.went(kind, "");
  }
}

function inputOf(field, choices, value, attributes) {
  const listed =
    choices ??
    (field.type === "picklist" && field.picklistValues.filter((one) => one.active).map((one) => [one.value, one.label]));
  if (listed) {
    const known = !value || listed.some(([one]) => one === value) ? listed : [[value, value], ...listed];
    const select = h(
      "select",
      { ...attributes, maxlength: null },
      [["", ""], ...known].map(([one, label]) => h("option", { value: one, text: label })),
    );
    select.value = value;
    return select;
  }
  if (field.type === "boolean") return h("input", { ...attributes, required: false, maxlength: null, ...INPUTS.boolean });
  if (field.type === "textarea") return h("textarea", { ...attributes, rows: field.name === "TextBody" ? 10 : 4, value });
  return h("input", { ...attributes, autocomplete: "off", ...(INPUTS[field.type] ?? { type: "text" }), value });
}

/** A whole day is a date, whatever the clock on this machine's wall shows. */
function textOf(value, field, record) {
  if (field?.type === "datetime" && value) return record.IsAllDayEvent ? value.slice(0, 16) : localTime(value);
  if (field?.type === "boolean") return String(value === true);
  return value == null ? "" : String(value);
}

function valueOf(input, isWhole) {
  if (input.type === "checkbox") return input.checked;
  if (input.value === "") return null;
  if (input.type === "datetime-local") return isWhole ? `${input.value}:00Z` : utcTime(input.value);
  return input.type === "number" ? Number(input.value) : input.value;
}

function made(record) {
  if (!record.CreatedDate) return "";
  const by = (user) => user?.Name ?? "somebody";
  const created = `Created ${whenFull(record.CreatedDate)} by ${by(record.CreatedBy)}.`;
  return `${created} Last changed ${whenFull(record.LastModifiedDate)} by ${by(record.LastModifiedBy)}.`;
}
