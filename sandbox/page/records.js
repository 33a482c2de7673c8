/** The list of one kind of Salesforce records: search, pages, choosing one, a new one. Source: SOQL and SOSL Reference. */
import { containing, soql } from "./api.js";
import { $, h, settled } from "./dom.js";
import { KINDS } from "./kinds.js";
import { PAGE, pager } from "./pager.js";
import { part, Region } from "./region.js";
import { when, whenFull } from "./words.js";

async function loadRecords({ kind, search, page }) {
  const { columns, search: places, order } = KINDS[kind];
  const where = search ? ` WHERE ${places.map((field) => `${field} LIKE ${containing(search)}`).join(" OR ")}` : "";
  const fields = columns.map(([path]) => path).join(", ");
  const [counted, found] = await Promise.all([
    soql(`SELECT COUNT() FROM ${kind}${where}`),
    soql(`SELECT Id, ${fields} FROM ${kind}${where} ORDER BY ${order} LIMIT ${PAGE} OFFSET ${page * PAGE}`),
  ]);
  return { total: counted.totalSize, records: found.records };
}

const valueAt = (record, path) => path.split(".").reduce((at, name) => at?.[name], record) ?? "";
const isTime = (value) => /^\d{4}-\d\d-\d\dT/.test(value);

export class Records {
  /** `pick(kind, id)`: a record was chosen, "new" for one that is not there yet. */
  constructor(pick) {
    Object.assign(this, { pick, user: "", kind: "Account", chosen: "", page: 0 });
    this.region = new Region($("records"), {
      load: loadRecords,
      draw: (data, question) => this.draw(data, question),
      lines: 10,
    });
    $("record-search").addEventListener(
      "input",
      settled(() => this.turn(0)),
    );
    $("record-new").addEventListener("click", () => this.pick(this.kind, "new"));
  }

  show(user, kind, chosen) {
    if (kind !== this.kind) {
      this.page = 0;
      $("record-search").value = "";
    }
    Object.assign(this, { user, kind, chosen });
    $("kinds").replaceChildren(
      ...Object.entries(KINDS).map(([name, { plural }]) =>
        h(
          "button",
          { type: "button", class: "toggle", "aria-pressed": String(name === kind), onclick: () => this.pick(name, "") },
          plural,
        ),
      ),
    );
    $("record-search").placeholder = `Search ${KINDS[kind].plural.toLowerCase()}`;
    $("record-new").textContent = `New ${KINDS[kind].one}`;
    this.region.redraw();
    return this.ask();
  }

  refresh = () => this.region.refresh();

  turn(page) {
    this.page = page;
    this.ask();
  }

  ask() {
    return this.region.show({ user: this.user, kind: this.kind, search: $("record-search").value.trim(), page: this.page });
  }

  draw({ records, total }, { kind, page }) {
    if (!records.length && !page) return [part("empty", kind, () => h("p", { class: "empty", text: "There are none." }))];
    const more = (page + 1) * PAGE < total;
    return [
      part("table", [kind, this.chosen, records], () => this.table(kind, records)),
      part("pager", { page, shown: records.length, total, more, names: ["Back", "Next"] }, (data) =>
        pager(data, (step) => this.turn(page + step)),
      ),
    ];
  }

  table(kind, records) {
    const { columns, plural } = KINDS[kind];
    return h(
      "table",
      {},
      h("caption", { class: "hidden", text: plural }),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map(([, heading]) => h("th", { scope: "col", text: heading })),
        ),
      ),
      h(
        "tbody",
        {},
        records.map((record) =>
          h(
            "tr",
            { class: record.Id === this.chosen ? "chosen" : "", onclick: () => this.pick(kind, record.Id) },
            columns.map(([path], at) =>
              h("td", {}, at === 0 ? this.opener(kind, record, valueAt(record, path)) : shown(valueAt(record, path))),
            ),
          ),
        ),
      ),
    );
  }

  opener(kind, record, text) {
    const open = (event) => {
      event.stopPropagation();
      this.pick(kind, record.Id);
    };
    return h(
      "button",
      { type: "button", class: "link", "aria-current": record.Id === this.chosen ? "true" : null, onclick: open },
      String(text) || "(no name)",
    );
  }
}

function shown(value) {
  return isTime(value) ? h("time", { title: whenFull(value), text: when(value) }) : String(value);
}
