/**
 * Elements, and lists of them that change without losing what a person sees.
 *
 * Rules that hold here: text is always set as text, never read as HTML; a part whose data did not change keeps its node, and
 * with it scroll position, focus and what was typed.
 */

/** An element. Attributes: `onX` are listeners, true/false/null set or leave out; `class`, `text` and `value` as expected. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else if (name === "value") node.value = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat(2).filter((child) => child != null && child !== false));
  return node;
}

export const $ = (id) => document.getElementById(id);

const PRINT = Symbol("print");

/** Makes `host` hold exactly these parts in this order. A part: {key, data, make(data) -> Element}; keys are unique. */
export function keyed(host, parts) {
  const old = new Map(Array.from(host.children, (node) => [node.dataset.key, node]));
  const place = focusPlace(host);
  const nodes = parts.map(({ key, data, make }) => {
    const print = JSON.stringify(data) ?? "";
    const kept = old.get(key);
    if (kept && kept[PRINT] === print) return kept;
    const made = make(data);
    made.dataset.key = key;
    made[PRINT] = print;
    return made;
  });
  const wanted = new Set(nodes);
  for (const node of Array.from(host.childNodes)) if (!wanted.has(node)) node.remove();
  nodes.forEach((node, at) => {
    if (host.childNodes[at] !== node) host.insertBefore(node, host.childNodes[at] ?? null);
  });
  if (place && !host.contains(document.activeElement)) refocus(host, place);
}

const FOCUSABLE = "a[href],button,input,select,textarea,summary,[tabindex]";

function focusPlace(host) {
  const active = document.activeElement;
  if (!active || active === host || !host.contains(active)) return null;
  const part = Array.from(host.children).find((node) => node.contains(active));
  const within = part ? [part, ...part.querySelectorAll(FOCUSABLE)].indexOf(active) : -1;
  return part && within >= 0 ? { key: part.dataset.key, within } : null;
}

function refocus(host, { key, within }) {
  const part = Array.from(host.children).find((node) => node.dataset.key === key);
  const again = part && [part, ...part.querySelectorAll(FOCUSABLE)][within];
  again?.focus({ preventScroll: true });
}

/** Calls `act` when `wait` ms have passed without another call. */
export function settled(act, wait = 250) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}
