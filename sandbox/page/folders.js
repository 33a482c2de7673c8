/**
 * The folders of a mailbox as a tree that opens and closes, with a filter.
 *
 * Rules that hold here: all folders come with one call (the folder delta without a token is a flat list of everything); a
 * closed folder shows what lies in it and below it; the tree is one stop for the Tab key, arrows move in it.
 * Sources: learn.microsoft.com/graph/api/mailfolder-delta; WAI-ARIA Authoring Practices, "Tree View".
 */
import { GRAPH, graph, pathOf } from "./api.js";
import { $, h } from "./dom.js";
import { part, Region } from "./region.js";

const FIELDS = "displayName,parentFolderId,childFolderCount,totalItemCount,unreadItemCount,isHidden";
const AT_ONCE = 500;

/** Every folder: [{id, name, parent, total, unread}], in the vendor's order. */
async function loadFolders() {
  const found = [];
  let path = `${GRAPH}/mailFolders/delta?$select=${FIELDS}&$top=${AT_ONCE}`;
  while (path) {
    const page = await graph(path);
    found.push(...page.value.filter((folder) => !folder.isHidden && !folder["@removed"]));
    path = page["@odata.nextLink"] ? pathOf(page["@odata.nextLink"]) : "";
  }
  return found.map((folder) => ({
    id: folder.id,
    name: folder.displayName,
    parent: folder.parentFolderId,
    total: folder.totalItemCount,
    unread: folder.unreadItemCount,
  }));
}

/** Folders with their place: [{...folder, level, children, path}], parents before children. */
export function ordered(folders) {
  const known = new Set(folders.map((folder) => folder.id));
  const below = grouped(folders);
  const rows = [];
  const add = (folder, level, above) => {
    const children = [...(below.get(folder.id) ?? [])].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    const row = { ...folder, level, children: children.length, path: above ? `${above} / ${folder.name}` : folder.name };
    rows.push(row);
    for (const child of children) {
      const added = add(child, level + 1, row.path);
      row.totalBelow = (row.totalBelow ?? 0) + added.total + (added.totalBelow ?? 0);
      row.unreadBelow = (row.unreadBelow ?? 0) + added.unread + (added.unreadBelow ?? 0);
    }
    return row;
  };
  for (const folder of folders) if (!known.has(folder.parent)) add(folder, 1, "");
  return rows;
}

function grouped(folders) {
  const groups = new Map();
  for (const folder of folders) {
    if (!groups.has(folder.parent)) groups.set(folder.parent, []);
    groups.get(folder.parent).push(folder);
  }
  return groups;
}

export class Folders {
  /** `pick(id)`: a folder was chosen. */
  constructor(pick) {
    Object.assign(this, { pick, user: "", chosen: "", opened: new Set(), active: "", rows: [] });
    this.region = new Region($("folders"), { load: loadFolders, draw: (data) => this.draw(data), lines: 12 });
    $("folder-filter").addEventListener("input", () => this.region.redraw());
  }

  show(user, chosen) {
    if (user !== this.user) Object.assign(this, { user, rows: [], opened: new Set(), active: "" });
    else if (chosen !== this.chosen) this.uncover(chosen);
    this.chosen = chosen;
    if (this.rows.length) this.region.redraw();
    return this.region.show({ user });
  }

  refresh = () => this.region.refresh();

  /** The folder's row, also where it is not visible. */
  of = (id) => this.rows.find((row) => row.id === id);

  /** Opens everything above a folder. */
  uncover(id) {
    let row = this.of(id);
    while (row && (row = this.of(row.parent))) this.opened.add(row.id);
  }

  draw(folders) {
    const isNew = !this.rows.length;
    this.rows = ordered(folders);
    if (isNew) this.uncover(this.chosen);
    const visible = this.visible($("folder-filter").value.trim().toLowerCase());
    if (!visible.length) return [part("none", "", () => h("p", { class: "empty", text: "No folder matches." }))];
    return [part("tree", [visible, this.chosen, this.tabStop(visible)], () => this.tree(visible))];
  }

  tabStop = (visible) =>
    visible.some((row) => row.id === this.active)
      ? this.active
      : (visible.find((row) => row.id === this.chosen) ?? visible[0]).id;

  /**
   * The rows to be seen: below opened folders, or with the filter all that match and what is above them. "west 2025" is the
   * folder 2025 somewhere below West.
   */
  visible(filter) {
    const shown = new Set();
    if (filter) {
      const words = filter.split(/\s+/);
      const matches = (row) =>
        row.name.toLowerCase().includes(words.at(-1)) && words.every((word) => row.path.toLowerCase().includes(word));
      for (const row of this.rows.filter(matches)) for (let at = row; at; at = this.of(at.parent)) shown.add(at.id);
    }
    return this.rows
      .filter((row) => (filter ? shown.has(row.id) : this.isUncovered(row)))
      .map((row) => ({
        ...row,
        isOpen: filter
          ? row.children > 0 && this.rows.some((one) => one.parent === row.id && shown.has(one.id))
          : this.opened.has(row.id),
      }));
  }

  isUncovered(row) {
    for (let at = this.of(row.parent); at; at = this.of(at.parent)) if (!this.opened.has(at.id)) return false;
    return true;
  }

  tree(visible) {
    const stop = this.tabStop(visible);
    return h(
      "div",
      { role: "tree", class: "tree", "aria-label": "Folders", onkeydown: (event) => this.key(event) },
      visible.map((row) => this.item(row, row.id === stop)),
    );
  }

  item(row, isStop) {
    const unread = row.unread + (row.isOpen ? 0 : (row.unreadBelow ?? 0));
    const total = row.total + (row.isOpen ? 0 : (row.totalBelow ?? 0));
    return h(
      "div",
      {
        role: "treeitem",
        class: "folder",
        "data-id": row.id,
        "aria-level": row.level,
        title: row.path,
        "aria-selected": row.id === this.chosen ? "true" : "false",
        "aria-expanded": row.children ? String(row.isOpen) : null,
        tabindex: isStop ? "0" : "-1",
        style: `--level:${row.level - 1}`,
        onclick: (event) => this.click(event, row),
      },
      h("span", { class: row.children ? "twisty" : "twisty none", "aria-hidden": "true", text: row.isOpen ? "▾" : "▸" }),
      h("span", { class: "name" }, row.name, h("span", { class: "hidden", text: `, ${unread} unread of ${total}` })),
      h("span", { class: unread ? "count unread" : "count", "aria-hidden": "true", text: unread || total || "" }),
    );
  }

  click(event, row) {
    this.active = row.id;
    if (event.target.closest(".twisty:not(.none)")) this.toggle(row.id, !this.opened.has(row.id));
    else this.pick(row.id);
  }

  toggle(id, isOpen) {
    this.opened[isOpen ? "add" : "delete"](id);
    this.active = id;
    this.region.redraw();
    this.focus(id);
  }

  focus(id) {
    this.active = id;
    for (const item of $("folders").querySelectorAll("[role=treeitem]")) item.tabIndex = item.dataset.id === id ? 0 : -1;
    $("folders")
      .querySelector(`[data-id="${CSS.escape(id)}"]`)
      ?.focus();
  }

  key(event) {
    const items = [...$("folders").querySelectorAll("[role=treeitem]")];
    const at = items.indexOf(document.activeElement);
    if (at < 0) return;
    const row = this.of(items[at].dataset.id);
    const isOpen = items[at].getAttribute("aria-expanded");
    const moves = {
      ArrowDown: () => items[at + 1],
      ArrowUp: () => items[at - 1],
      Home: () => items[0],
      End: () => items.at(-1),
      ArrowRight: () => (isOpen === "false" ? void this.toggle(row.id, true) : isOpen && items[at + 1]),
      ArrowLeft: () =>
        isOpen === "true" ? void this.toggle(row.id, false) : items.find((item) => item.dataset.id === row.parent),
      Enter: () => void this.pick(row.id),
      " ": () => void this.pick(row.id),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    const next = moves[event.key]();
    if (next) this.focus(next.dataset.id);
  }
}
