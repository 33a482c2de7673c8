/**
 * A region of the page that shows the answer to a question and keeps itself up to date.
 *
 * Rules that hold here: another question shows a skeleton at once, the same question again changes only what differs; an answer
 * that comes too late for its question is dropped; trouble is a sentence with a way to try again, and what was shown before
 * stays where the question is still the same.
 */
import { h, keyed } from "./dom.js";
import { Trouble } from "./api.js";

export class Region {
  /**
   * `load(question)` answers data; `draw(data, question)` answers parts for `keyed`. `lines`: bars of the skeleton.
   * A question of null empties the region; `empty` is then its sentence.
   */
  constructor(host, { load, draw, lines = 6, empty = "" }) {
    Object.assign(this, { host, load, draw, lines, empty });
    this.question = undefined;
    this.data = undefined;
    this.turn = 0;
  }

  /** Asks; what is there already is kept where the question is the one that was asked. */
  async show(question) {
    const isNew = JSON.stringify(question) !== JSON.stringify(this.question);
    this.question = question;
    if (!isNew) return this.refresh();
    this.data = undefined;
    this.host.scrollTop = 0;
    if (question === null) {
      this.turn += 1;
      return this.place(this.empty ? [part("empty", this.empty, sentence)] : []);
    }
    this.place([part("skeleton", this.lines, skeleton)]);
    return this.refresh();
  }

  async refresh() {
    if (this.question == null) return;
    const turn = ++this.turn;
    this.host.setAttribute("aria-busy", "true");
    try {
      const data = await this.load(this.question);
      if (turn !== this.turn) return;
      this.data = data;
      this.redraw();
    } catch (problem) {
      if (!(problem instanceof Trouble)) throw problem;
      if (turn !== this.turn) return;
      this.place([part("trouble", problem.message, (text) => this.trouble(text)), ...this.drawn()]);
    } finally {
      if (turn === this.turn) this.host.removeAttribute("aria-busy");
    }
  }

  /** Draws the data that is there once more, as after something beside it changed. */
  redraw() {
    if (this.data !== undefined) this.place(this.drawn());
  }

  drawn() {
    return this.data === undefined ? [] : this.draw(this.data, this.question);
  }

  place(parts) {
    keyed(this.host, parts);
  }

  trouble(text) {
    return h(
      "div",
      { class: "trouble", role: "alert" },
      h("p", { text }),
      h("button", { type: "button", class: "small", onclick: () => this.refresh() }, "Try again"),
    );
  }
}

export const part = (key, data, make) => ({ key, data, make });

const sentence = (text) => h("p", { class: "empty", text });

function skeleton(lines) {
  const bars = Array.from({ length: lines }, () => h("div", { class: "bar-skeleton" }));
  return h("div", { class: "skeleton" }, h("span", { class: "hidden", text: "Loading" }), bars);
}
