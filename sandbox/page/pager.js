/** One page of a longer list: where one is in it, and the ways to newer and older. */
import { h } from "./dom.js";

export const PAGE = 50;

/** `total` null where nobody counts. `move(step)` with -1 or 1. */
export function pager({ page, shown, total, more, names = ["Newer", "Older"] }, move) {
  const first = page * PAGE + 1;
  const range = shown ? `${first}–${first + shown - 1}` : "0";
  return h(
    "div",
    { class: "pager" },
    h("span", { class: "quiet", text: total === null ? `${range}` : `${range} of ${total.toLocaleString("en-GB")}` }),
    h("button", { type: "button", class: "small", disabled: page === 0, onclick: () => move(-1) }, names[0]),
    h("button", { type: "button", class: "small", disabled: !more, onclick: () => move(1) }, names[1]),
  );
}
