/**
 * Categories as coloured chips, in the colours that the mailbox has for them.
 * Source: learn.microsoft.com/graph/api/resources/outlookcategory (preset colours).
 */
import { GRAPH, graph } from "./api.js";
import { h } from "./dom.js";

/** hue of preset0 to preset24; null is a grey */
const HUES = [
  0,
  28,
  35,
  52,
  130,
  175,
  80,
  215,
  275,
  330,
  205,
  210,
  null,
  null,
  null,
  0,
  22,
  38,
  50,
  120,
  180,
  85,
  225,
  285,
  320,
];
let hues = new Map();

/** Reads the mailbox's own categories; without them chips are grey. */
export async function loadCategories() {
  const found = await graph(`${GRAPH}/outlook/masterCategories`);
  hues = new Map(
    found.value.map((one) => [one.displayName.toLowerCase(), HUES[Number(one.color?.replace("preset", ""))] ?? null]),
  );
}

export function chip(name) {
  const hue = hues.get(name.toLowerCase());
  return h("span", { class: hue == null ? "chip grey" : "chip", style: hue == null ? null : `--hue:${hue}`, text: name });
}
