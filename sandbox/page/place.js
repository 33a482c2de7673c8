/**
 * Where a person is (user, view, folder, mail, kind, record, event, first day), kept in the address after `#`, so that reload,
 * back and forward lead to the same. Ids are opaque; no token and no content stands there.
 */
const NAMES = ["user", "view", "folder", "mail", "kind", "record", "event", "from"];
const listeners = [];

export const place = {};

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of NAMES) place[name] = given.get(name) ?? "";
}

/** Goes there; names that are not given stay as they are. `quietly` replaces the step in the history. */
export function go(changes, { quietly = false } = {}) {
  const next = { ...place, ...changes };
  const hash = `#${new URLSearchParams(NAMES.filter((name) => next[name]).map((name) => [name, next[name]]))}`;
  if (hash === location.hash) return;
  history[quietly ? "replaceState" : "pushState"](null, "", hash);
  moved();
}

export function onMove(listener) {
  listeners.push(listener);
}

export function moved() {
  read();
  for (const listener of listeners) listener(place);
}

addEventListener("popstate", moved);
read();
