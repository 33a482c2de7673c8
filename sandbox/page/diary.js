/**
 * What Salesforce has of the event that is shown, to be seen and edited, and what the ledger says about it.
 *
 * Rules that hold here: which record belongs to an event is told by the world, which knows the keys that the product writes;
 * what stands in the record is asked of Salesforce itself.
 */
import { product, Trouble, world } from "./api.js";
import { decision } from "./beside.js";
import { $, h } from "./dom.js";
import { part, Region } from "./region.js";
import { Record } from "./record.js";

/** {record: id, entries: [ledger entry]} */
async function loadDiary({ id }) {
  const items = Object.entries(await world("/_page/items/{mailbox}")).filter(([, item]) => item.event === id);
  const entries = (await Promise.all(items.map(([key]) => loadEntries(key)))).flat();
  return { record: items.find(([, item]) => item.record)?.[1].record ?? "", entries };
}

async function loadEntries(key) {
  try {
    return (await product(`/me/ledger/${encodeURIComponent(key)}?limit=20`)).entries;
  } catch (problem) {
    if (problem instanceof Trouble && problem.code === "ledger.unknown") return [];
    throw problem;
  }
}

export class Diary {
  constructor() {
    this.user = "";
    this.record = new Record(() => this.refresh(), { host: "event-record", empty: "" });
    this.ledger = new Region($("event-ledger"), { load: (data) => data, draw: (data) => this.decided(data), lines: 1 });
    this.region = new Region($("event-state"), {
      load: loadDiary,
      draw: (data) => this.draw(data),
      empty: "Choose an event to see what Salesforce has of it.",
      lines: 3,
    });
  }

  async show(user, id) {
    this.user = user;
    if (id !== this.region.question?.id) {
      this.record.show(user, "Event", "");
      this.ledger.show(null);
    }
    await this.region.show(id ? { user, id } : null);
  }

  refresh = () => this.region.refresh();

  draw({ record, entries }) {
    this.record.show(this.user, "Event", record);
    this.ledger.show({ entries });
    const title = record ? "In Salesforce" : "Not in Salesforce";
    return [part("state", title, (text) => h("h2", { class: record ? "state in" : "state", text }))];
  }

  decided({ entries }) {
    return [part("decision", entries, () => decision(entries, "event"))];
  }
}
