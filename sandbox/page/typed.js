/**
 * Fields in which a person types while what they show may change elsewhere.
 *
 * Rules that hold here: what is being typed is never overwritten, a change from elsewhere is told beside the field; only what a
 * person changed counts as changed.
 */
import { h } from "./dom.js";

export class Typed {
  /** `where`: who else may change it, as "Changed in Salesforce meanwhile". */
  constructor(where) {
    this.where = where;
    this.held = {};
  }

  clear() {
    this.held = {};
  }

  /** The field with its label and its note. */
  field(name, label, input, value, { required = false } = {}) {
    const note = h("span", { class: "small-text warn" });
    write(input, value);
    this.held[name] = { input, note, was: value };
    const isTick = input.type === "checkbox";
    return h("label", { class: isTick ? "tick" : null }, isTick && input, `${label}${required ? " *" : ""}`, !isTick && input, note);
  }

  names = () => Object.keys(this.held);

  /** A value that came from elsewhere: into the field where nobody typed, else beside it. */
  update(name, value) {
    const held = this.held[name];
    if (!held || held.was === value) return;
    if (read(held.input) === held.was) write(held.input, value);
    else held.note.textContent = `Changed in ${this.where} meanwhile: ${value || "empty"}`;
    held.was = value;
  }

  value = (name) => read(this.held[name].input);

  /** The names of fields that hold something else than what stands there. */
  changed() {
    return this.names().filter((name) => this.value(name) !== this.held[name].was);
  }

  discard() {
    for (const held of Object.values(this.held)) {
      write(held.input, held.was);
      held.note.textContent = "";
    }
  }

  /** What was typed in these fields stands there now. */
  settle(names) {
    for (const name of names) {
      this.held[name].was = this.value(name);
      this.held[name].note.textContent = "";
    }
  }
}

const read = (input) => (input.type === "checkbox" ? String(input.checked) : input.value);

function write(input, value) {
  if (input.type === "checkbox") input.checked = value === "true";
  else input.value = value;
}
