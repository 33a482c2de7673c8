/**
 * How the mailbox stands, and what a person may ask of it: sync now, pause, resume. Source: docs/api.md.
 */
import { product } from "./api.js";
import { $, h } from "./dom.js";
import { part, Region } from "./region.js";
import { doing, say } from "./told.js";
import { ago, count, whenFull } from "./words.js";

/** status -> (word, tone) */
const WORDS = {
  ok: ["In step", "good"],
  new: ["Connecting", "calm"],
  late: ["Late", "warn"],
  paused: ["Paused", "warn"],
  parked: ["Waiting for its time", "calm"],
  waiting: ["Needs you", "bad"],
  failing: ["Failing", "bad"],
};

export class Health {
  /** `changed()`: the product has done something since the last look. */
  constructor(changed) {
    this.changed = changed;
    this.mark = "";
    this.isOpen = false;
    this.region = new Region($("health"), { load: () => product("/me"), draw: (data) => this.draw(data), lines: 1 });
  }

  show(user) {
    return this.region.show({ user });
  }

  async refresh() {
    await this.region.refresh();
    const { status, last_ok: ok, issues } = this.region.data ?? {};
    const mark = JSON.stringify([this.region.question, status, ok, issues]);
    if (this.mark && mark !== this.mark) this.changed();
    this.mark = mark;
  }

  draw(me) {
    const [word, tone] = WORDS[me.status] ?? [me.status, "warn"];
    const detail = [
      me.last_ok ? `synced ${ago(me.last_ok)}` : "not synced yet",
      me.issues && count(me.issues, "issue", "issues"),
    ]
      .filter(Boolean)
      .join(" · ");
    return [
      part("state", [word, detail, me.health.text, me.last_ok, me.api], () =>
        h(
          "details",
          {
            class: "state-details",
            open: this.isOpen,
            ontoggle: (event) => {
              this.isOpen = event.target.open;
            },
          },
          h(
            "summary",
            {},
            h("span", { class: `dot ${tone}`, "aria-hidden": "true" }),
            h("strong", { text: word }),
            h("span", { class: "quiet", text: ` ${detail}` }),
          ),
          this.card(me),
        ),
      ),
      part("acts", me.paused, () =>
        h(
          "div",
          { class: "group" },
          h("button", { type: "button", class: "primary small", onclick: () => this.ask("sync") }, "Sync now"),
          h(
            "button",
            { type: "button", class: "small", onclick: () => this.ask(me.paused ? "resume" : "pause") },
            me.paused ? "Resume" : "Pause",
          ),
        ),
      ),
    ];
  }

  card(me) {
    const rows = [
      ["Last sync", whenFull(me.last_ok) || "never"],
      ["Issues", me.issues ? `${count(me.issues, "item is", "items are")} held` : "none"],
      ["Salesforce", me.connection === "org" ? "org-wide connection" : "personal connection"],
      [
        "API calls",
        me.api
          ? `${me.api.share < 0.01 ? "less than 1" : Math.round(me.api.share * 100)} % of the org's day used (${me.api.band})`
          : "not known yet",
      ],
    ];
    return h(
      "div",
      { class: "card floating" },
      h("p", { text: me.health.text }),
      h(
        "dl",
        {},
        rows.map(([name, text]) => [h("dt", { text: name }), h("dd", { text })]),
      ),
    );
  }

  async ask(what) {
    await doing(async () => {
      const answer = await product(`/me/${what}`, { method: "POST", key: crypto.randomUUID() });
      say(answer.text ?? answer.health.text);
    });
    await this.refresh();
  }
}
