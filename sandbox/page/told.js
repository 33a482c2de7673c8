/**
 * Sentences about what a person just did, at the foot of the page, and questions before something is lost.
 *
 * Rules that hold here: a sentence about trouble stays until it is closed or tried again; any other goes by itself.
 */
import { $, h } from "./dom.js";
import { Trouble } from "./api.js";

const SHOWN_MS = 6000;

/** Says a sentence; `retry` makes it a trouble that can be tried again. */
export function say(text, { retry = null, isTrouble = retry !== null } = {}) {
  const close = () => note.remove();
  const again =
    retry &&
    h(
      "button",
      {
        type: "button",
        class: "small",
        onclick: () => {
          close();
          retry();
        },
      },
      "Try again",
    );
  const note = h(
    "div",
    { class: isTrouble ? "note bad" : "note" },
    h("span", { text }),
    again,
    h("button", { type: "button", class: "icon", "aria-label": "Close", onclick: close }, "✕"),
  );
  $("told").replaceChildren(note);
  if (!isTrouble) setTimeout(close, SHOWN_MS);
}

/** Does something a person asked for; trouble is told with a way to do it again. Answers whether it went well. */
export async function doing(act, done = "") {
  try {
    await act();
  } catch (problem) {
    if (!(problem instanceof Trouble)) throw problem;
    say(problem.message, { retry: () => doing(act, done) });
    return false;
  }
  if (done) say(done);
  return true;
}

/** Asks in a dialog; answers whether `yes` was chosen. */
export function confirmed(question, yes) {
  return new Promise((answer) => {
    const dialog = h(
      "dialog",
      {
        class: "dialog narrow",
        "aria-label": question,
        onclose: () => {
          dialog.remove();
          answer(dialog.returnValue === "yes");
        },
      },
      h("p", { text: question }),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => dialog.close("no") }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, yes),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
