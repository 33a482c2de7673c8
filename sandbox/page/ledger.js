/**
 * Everything that was decided about the mailbox's items, newest first.
 *
 * Rules that hold here: the ledger holds no content, so subjects come from where the items are, as long as they are there. Source: docs/api.md, "The ledger".
 */
import { product, world } from "./api.js";
import { entryText } from "./beside.js";
import { $, h } from "./dom.js";
import { PAGE, pager } from "./pager.js";
import { part, Region } from "./region.js";

async function loadLedger({ after }) {
  const next = after ? `&next=${encodeURIComponent(after)}` : "";
  const [page, items] = await Promise.all([product(`/me/ledger?limit=${PAGE}${next}`), world("/_page/items/{mailbox}")]);
  return { entries: page.entries.map((entry) => ({ ...entry, of: items[entry.item] ?? null })), next: page.next };
}

export class Ledger {
  /** `open(item)`: a mail, an event or a record is to be shown; the item has the id of what it is. */
  constructor(open) {
    Object.assign(this, { open, user: "", cursors: [""] });
    this.region = new Region($("ledger"), { load: loadLedger, draw: (data) => this.draw(data), lines: 10 });
  }

  show(user) {
    if (user !== this.user) this.cursors = [""];
    this.user = user;
    return this.ask();
  }

  refresh = () => this.region.refresh();

  ask() {
    return this.region.show({ user: this.user, after: this.cursors.at(-1) });
  }

  move(step, next) {
    if (step > 0) this.cursors.push(next);
    else this.cursors.pop();
    this.ask();
  }

  draw({ entries, next }) {
    const page = this.cursors.length - 1;
    if (!entries.length && !page)
      return [part("empty", "", () => h("p", { class: "empty", text: "Nothing was decided yet." }))];
    const seen = new Map();
    const rows = entries.map((entry) => {
      const base = `${entry.item}/${entry.at}/${entry.rule}`;
      const n = seen.get(base) ?? 0; // a decision may be told twice
      seen.set(base, n + 1);
      return part(`${base}/${n}`, entry, (data) => this.row(data));
    });
    return [
      ...rows,
      part("pager", { page, shown: entries.length, next }, () =>
        pager({ page, shown: entries.length, total: null, more: Boolean(next) }, (step) => this.move(step, next)),
      ),
    ];
  }

  row(entry) {
    const subject = entry.of
      ? h(
          "button",
          { type: "button", class: "link", onclick: () => this.open(entry.of) },
          entry.of.subject || "(no subject)",
        )
      : h("span", { class: "quiet", text: `${entry.kind} ${entry.item.slice(0, 8)}` });
    return h(
      "article",
      { class: `ledger-row rule-${entry.rule.split(".")[0]}` },
      h("p", { class: "ledger-subject" }, subject),
      entryText(entry),
    );
  }
}
