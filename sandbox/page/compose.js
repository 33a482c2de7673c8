/**
 * Writing a mail as somebody outside and delivering it into the Inbox.
 *
 * Rules that hold here: what was typed stays until it is delivered, also when the dialog is closed; only the chosen mailbox
 * gets the mail, whoever else stands in To.
 */
import { soql, Trouble, world } from "./api.js";
import { h } from "./dom.js";
import { mime } from "./mime.js";
import { say } from "./told.js";
import { now } from "./words.js";

const PEOPLE = "SELECT Name, Email FROM Contact WHERE Email != null ORDER BY Name LIMIT 100";

export class Compose {
  /** `delivered(id)`: a mail lies in the Inbox. */
  constructor(delivered) {
    this.delivered = delivered;
    const field = (name, label, more = {}) =>
      h("label", {}, label, h("input", { name, required: true, autocomplete: "off", ...more }));
    this.known = h("datalist", { id: "known-people" });
    this.problem = h("p", { class: "bad-text", role: "alert" });
    this.send = h("button", { type: "submit", class: "primary" }, "Deliver");
    this.form = h(
      "form",
      { onsubmit: (event) => this.submit(event) },
      h("h2", { id: "compose-title", text: "New incoming mail" }),
      h("p", { class: "quiet", text: "It arrives in the chosen mailbox as if somebody outside had sent it." }),
      field("from", "From", { list: "known-people", placeholder: "Name <name@customer.example>" }),
      this.known,
      field("to", "To"),
      field("subject", "Subject", { required: false }),
      h("label", {}, "Text", h("textarea", { name: "text", rows: 8 })),
      h("label", {}, "File", h("input", { name: "file", type: "file" })),
      this.problem,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => this.dialog.close() }, "Cancel"), this.send),
    );
    this.dialog = h("dialog", { class: "dialog", "aria-labelledby": "compose-title" }, this.form);
    document.body.append(this.dialog);
  }

  async open(mailbox) {
    const { to } = this.form.elements;
    if (!to.value || to.value === this.mailbox) to.value = mailbox;
    this.mailbox = mailbox;
    this.problem.textContent = "";
    this.dialog.showModal();
    try {
      const found = await soql(PEOPLE);
      this.known.replaceChildren(...found.records.map((one) => h("option", { value: `${one.Name} <${one.Email}>` })));
    } catch (problem) {
      if (!(problem instanceof Trouble)) throw problem; // suggestions only: an address can be typed as well
    }
  }

  async submit(event) {
    event.preventDefault();
    const { from, to, subject, text, file } = this.form.elements;
    this.send.disabled = true;
    this.problem.textContent = "";
    try {
      const [given] = file.files;
      const attached = given && { name: given.name, type: given.type, bytes: new Uint8Array(await given.arrayBuffer()) };
      const body = mime({
        from: from.value,
        to: to.value,
        subject: subject.value,
        text: text.value,
        file: attached,
        at: now(),
      });
      const { id } = await world(`/_world/deliver?mailbox={mailbox}`, {
        method: "POST",
        headers: { "Content-Type": "message/rfc822" },
        body,
      });
      this.dialog.close();
      this.form.reset();
      say("The mail lies in the Inbox.");
      this.delivered(id);
    } catch (problem) {
      if (!(problem instanceof Trouble) && !(problem instanceof RangeError)) throw problem;
      this.problem.textContent = problem.message;
    } finally {
      this.send.disabled = false;
    }
  }
}
