/**
 * One event of the calendar as a form, and what a person does with it: mark it for Salesforce, change, move, answer, delete.
 *
 * Rules that hold here: only what a person changed is sent (`Typed`), so that a text is left as it is where nobody touched it; a
 * category is set on what stands there now; times are typed as the clock on this machine's wall shows them. What attendees are
 * told of a change is the calendar's own business, as in every mail program.
 * Sources: learn.microsoft.com/graph/api/event-get, event-update, user-post-events, event-delete, event-accept.
 */
import { GRAPH, graph, soql, Trouble } from "./api.js";
import { firstDay, later, utcOf } from "./agenda.js";
import { chip } from "./chips.js";
import { $, h } from "./dom.js";
import { part, Region } from "./region.js";
import { confirmed, doing, say } from "./told.js";
import { Typed } from "./typed.js";
import { localTime, now, person } from "./words.js";

export const NEW = "new";
const MARKS = ["Salesforce", "Salesforce Unsync"];
const SHOWN = [
  ["free", "Free"],
  ["tentative", "Tentative"],
  ["busy", "Busy"],
  ["oof", "Out of office"],
  ["workingElsewhere", "Working elsewhere"],
];
const ANSWERS = [
  ["accept", "Accept"],
  ["tentativelyAccept", "Tentative"],
  ["decline", "Decline"],
];
const FIELDS =
  "subject,start,end,isAllDay,location,categories,showAs,sensitivity,type,attendees,organizer,isOrganizer,responseStatus,body";
const AS_TEXT = { prefer: 'IdType="ImmutableId", outlook.body-content-type="text"' };
const PEOPLE = "SELECT Name, Email FROM Contact WHERE Email != null ORDER BY Name LIMIT 100";

const pathOfEvent = (id, rest = "") => `${GRAPH}/events/${encodeURIComponent(id)}${rest}`;
const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

async function loadEvent({ id }) {
  if (id === NEW) return blank();
  try {
    return await graph(pathOfEvent(id, `?$select=${FIELDS}`), AS_TEXT);
  } catch (problem) {
    if (problem instanceof Trouble && problem.status === 404) return null;
    throw problem;
  }
}

/** The next full hour. */
function blank() {
  const start = new Date(Math.ceil(now() / 3_600_000) * 3_600_000);
  const time = (at) => ({ dateTime: at.toISOString().slice(0, 19) });
  return {
    id: NEW,
    subject: "",
    start: time(start),
    end: time(new Date(start.getTime() + 3_600_000)),
    isAllDay: false,
    location: {},
    categories: [],
    showAs: "busy",
    sensitivity: "normal",
    type: "singleInstance",
    attendees: [],
    isOrganizer: true,
    body: { content: "" },
  };
}

/** What the fields of the form show. */
function textsOf(event) {
  const last = event.isAllDay ? later(event.end.dateTime.slice(0, 10), -1) : "";
  return {
    subject: event.subject ?? "",
    isAllDay: String(event.isAllDay),
    start: event.isAllDay ? `${firstDay(event)}T00:00` : localTime(utcOf(event.start)),
    end: event.isAllDay ? `${last}T00:00` : localTime(utcOf(event.end)),
    location: event.location?.displayName ?? "",
    showAs: event.showAs,
    private: String(event.sensitivity === "private"),
    attendees: event.attendees.map(person).join(", "),
    body: event.body.content.trim(),
  };
}

export class EventForm {
  /** `went(id)`: another event is to be shown, "" for none. */
  constructor(went) {
    this.went = went;
    this.typed = new Typed("the calendar");
    this.region = new Region($("event"), {
      load: loadEvent,
      draw: (event, question) => this.draw(event, question),
      empty: "Choose an event to see and change it.",
      lines: 8,
    });
    this.known = h("datalist", { id: "known-attendees" });
    document.body.append(this.known);
  }

  show(user, id) {
    return this.region.show(id ? { user, id } : null);
  }

  refresh = () => this.region.refresh();

  draw(event, { id }) {
    if (!event) return [part("gone", id, () => h("p", { class: "empty", text: "This event is not in the calendar any more." }))];
    for (const [name, text] of Object.entries(textsOf(event))) this.typed.update(name, text);
    const isNew = id === NEW;
    const answer = event.responseStatus?.response ?? "";
    return [
      ...(isNew ? [] : [part("acts", [id, event.categories, answer], () => this.acts(event))]),
      part("head", [id, event.subject, event.categories, event.type, event.isOrganizer], () => this.head(event, isNew)),
      part("form", id, () => this.form(event, isNew)),
    ];
  }

  acts(event) {
    const toggles = MARKS.map((name) => {
      const isOn = event.categories.some((one) => one.toLowerCase() === name.toLowerCase());
      return h(
        "button",
        { type: "button", class: "toggle", "aria-pressed": String(isOn), onclick: () => this.mark(event, name, !isOn) },
        name,
      );
    });
    return h(
      "div",
      { class: "acts", role: "toolbar", "aria-label": "What to do with this event" },
      h("div", { class: "group", role: "group", "aria-label": "Categories" }, toggles),
      !event.isOrganizer &&
        h(
          "div",
          { class: "group", role: "group", "aria-label": "Answer" },
          ANSWERS.map(([act, name]) => h("button", { type: "button", onclick: () => this.answer(event, act, name) }, name)),
        ),
      h("button", { type: "button", class: "danger", onclick: () => this.remove(event) }, "Delete"),
    );
  }

  head(event, isNew) {
    const series = { occurrence: "One of a series", exception: "One of a series, changed", seriesMaster: "A series" }[event.type];
    const organizer = !event.isOrganizer && `Organised by ${person(event.organizer)}`;
    const notes = [series, organizer].filter(Boolean).join(" · ");
    return h(
      "header",
      { class: "mail-head" },
      h("h2", { text: isNew ? "New event" : event.subject || "(no subject)" }),
      notes && h("p", { class: "quiet", text: notes }),
      h("div", { class: "chips" }, event.categories.map(chip)),
    );
  }

  form(event, isNew) {
    this.typed.clear();
    this.problem = h("p", { class: "bad-text", role: "alert" });
    const texts = textsOf(event);
    const text = (name, label, input, more) => this.typed.field(name, label, input, texts[name], more);
    const line = (more = {}) => h("input", { type: "text", autocomplete: "off", ...more });
    this.suggest();
    return h(
      "form",
      {
        class: "record-form",
        onsubmit: (submitted) => {
          submitted.preventDefault();
          this.save(event, isNew);
        },
      },
      text("subject", "Subject", line({ maxlength: 255 })),
      h(
        "div",
        { class: "together" },
        text("start", "Start", h("input", { type: "datetime-local", required: true }), { required: true }),
        text("end", "End", h("input", { type: "datetime-local", required: true }), { required: true }),
      ),
      h(
        "div",
        { class: "together ticks" },
        text("isAllDay", "All day", h("input", { type: "checkbox" })),
        text("private", "Private", h("input", { type: "checkbox" })),
      ),
      text("location", "Place", line()),
      text(
        "showAs",
        "Show as",
        h(
          "select",
          {},
          (event.showAs === "unknown" ? [["unknown", "Unknown"], ...SHOWN] : SHOWN).map(([value, name]) => h("option", { value, text: name })),
        ),
      ),
      text(
        "attendees",
        "Attendees",
        line({ list: "known-attendees", disabled: !event.isOrganizer, placeholder: "name@customer.example, …" }),
      ),
      text("body", "Text", h("textarea", { rows: 8 })),
      this.problem,
      h(
        "div",
        { class: "actions" },
        !isNew && h("button", { type: "button", onclick: () => this.move(event, -1) }, "A day earlier"),
        !isNew && h("button", { type: "button", onclick: () => this.move(event, 1) }, "A day later"),
        h("span", { class: "gap" }),
        h(
          "button",
          { type: "button", onclick: () => (isNew ? this.went("") : this.typed.discard()) },
          isNew ? "Cancel" : "Discard changes",
        ),
        h("button", { type: "submit", class: "primary" }, isNew ? "Make" : "Save"),
      ),
    );
  }

  async suggest() {
    try {
      const found = await soql(PEOPLE);
      this.known.replaceChildren(...found.records.map((one) => h("option", { value: `${one.Name} <${one.Email}>` })));
    } catch (problem) {
      if (!(problem instanceof Trouble)) throw problem; // suggestions only: an address can be typed as well
    }
  }

  // --- acts

  /** The properties of the named fields, as Graph wants them; both times go together. */
  properties(names) {
    const value = (name) => this.typed.value(name);
    const makers = {
      subject: () => ({ subject: value("subject") }),
      location: () => ({ location: { displayName: value("location") } }),
      showAs: () => ({ showAs: value("showAs") }),
      private: () => ({ sensitivity: value("private") === "true" ? "private" : "normal" }),
      attendees: () => ({ attendees: attendees(value("attendees")) }),
      body: () => ({ body: { contentType: "text", content: value("body") } }),
    };
    const json = Object.assign({}, ...names.map((name) => makers[name]?.() ?? {}));
    if (["start", "end", "isAllDay"].some((name) => names.includes(name)))
      Object.assign(json, times(value("start"), value("end"), value("isAllDay") === "true"));
    return json;
  }

  async save(event, isNew) {
    const changed = isNew ? this.typed.names() : this.typed.changed();
    if (!changed.length) return say("Nothing was changed.");
    this.problem.textContent = "";
    try {
      const json = this.properties(changed);
      if (isNew) {
        const made = await graph(`${GRAPH}/events`, { method: "POST", json });
        say("The event stands in the calendar.");
        return this.went(made.id);
      }
      await graph(pathOfEvent(event.id), { method: "PATCH", json });
      this.typed.settle(changed);
      say("Saved.");
      await this.refresh();
    } catch (problem) {
      if (!(problem instanceof Trouble)) throw problem;
      this.problem.textContent = `The calendar refused it: ${problem.message}`;
    }
  }

  async move(event, days) {
    const moved = async () => {
      const fresh = textsOf(await graph(pathOfEvent(event.id, `?$select=${FIELDS}`), AS_TEXT));
      const [start, end] = [fresh.start, fresh.end].map((at) => `${later(at.slice(0, 10), days)}${at.slice(10)}`);
      await graph(pathOfEvent(event.id), { method: "PATCH", json: times(start, end, fresh.isAllDay === "true") });
    };
    if (await doing(moved, "Moved.")) await this.refresh();
  }

  async mark(event, name, isOn) {
    const marked = async () => {
      const fresh = await graph(pathOfEvent(event.id, "?$select=categories"));
      const others = fresh.categories.filter((one) => one.toLowerCase() !== name.toLowerCase());
      const json = { categories: isOn ? [...others, name] : others };
      await graph(pathOfEvent(event.id), { method: "PATCH", match: fresh["@odata.etag"], json });
    };
    if (await doing(marked)) await this.refresh();
  }

  async answer(event, act, name) {
    const answered = () => graph(pathOfEvent(event.id, `/${act}`), { method: "POST", json: { sendResponse: true } });
    if (await doing(answered, `Answered: ${name}.`)) await this.refresh();
  }

  async remove(event) {
    const told = event.isOrganizer && event.attendees.length ? " Its attendees are told." : "";
    if (!(await confirmed(`Delete this event?${told}`, "Delete"))) return;
    if (await doing(() => graph(pathOfEvent(event.id), { method: "DELETE" }), "The event was deleted.")) this.went("");
  }
}

function times(start, end, isAllDay) {
  const time = (text) => ({ dateTime: text.length === 16 ? `${text}:00` : text, timeZone: zone() });
  if (!isAllDay) return { isAllDay, start: time(start), end: time(end) };
  const day = (text) => time(`${text}T00:00`);
  return { isAllDay, start: day(start.slice(0, 10)), end: day(later(end.slice(0, 10), 1)) };
}

/** "Name <address>, address" as attendees. */
function attendees(text) {
  return text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean)
    .map((one) => {
      const [, name, address] = /^(.*?)\s*<([^>]+)>$/.exec(one) ?? [null, "", one];
      return { type: "required", emailAddress: { name: name || address, address } };
    });
}
