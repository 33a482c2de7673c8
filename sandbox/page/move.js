/** Choosing a folder out of hundreds: a dialog with a filter; the folder that puts mail into Salesforce stands first. */
import { h, keyed } from "./dom.js";

const FIRST = ["Salesforce Emails", "Inbox", "Archive"];

const rank = (folder) => (FIRST.includes(folder.path) ? FIRST.indexOf(folder.path) : FIRST.length);

/** Answers the folder that was chosen, or null. `rows` as `ordered` of folders.js makes them. */
export function pickFolder(rows, from) {
  return new Promise((answer) => {
    let chosen = null;
    const all = rows.filter((row) => row.id !== from).toSorted((a, b) => rank(a) - rank(b));
    const list = h("div", { class: "scroll choices", tabindex: "-1" });
    const filter = h("input", {
      type: "search",
      placeholder: "Filter folders",
      "aria-label": "Filter folders to move to",
      oninput: () => draw(),
    });
    const choose = (folder) => {
      chosen = folder;
      dialog.close();
    };
    const draw = () => {
      const words = filter.value.trim().toLowerCase().split(/\s+/);
      const found = all.filter((row) => words.every((word) => row.path.toLowerCase().includes(word)));
      keyed(
        list,
        found.map((folder) => ({
          key: folder.id,
          data: folder.path,
          make: () => h("button", { type: "button", class: "choice", onclick: () => choose(folder) }, folder.path),
        })),
      );
      if (!found.length) list.replaceChildren(h("p", { class: "empty", text: "No folder matches." }));
    };
    const dialog = h(
      "dialog",
      {
        class: "dialog",
        "aria-label": "Move to a folder",
        onclose: () => {
          dialog.remove();
          answer(chosen);
        },
      },
      h("h2", { text: "Move to" }),
      filter,
      list,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")),
    );
    draw();
    document.body.append(dialog);
    dialog.showModal();
    filter.focus();
  });
}
