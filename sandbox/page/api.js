/**
 * Asking: the vendors, the product and the world, as the chosen user.
 *
 * Rules that hold here: every refusal is a `Trouble` whose message is a sentence; no token is known here (the server adds it);
 * Graph is asked three things at a time at most, because more than four of one mailbox are refused there.
 * Sources: learn.microsoft.com/graph/errors, /graph/throttling-limits; Salesforce REST API, "Status Codes and Error Responses";
 * RFC 9457 for the product.
 */

export const SALESFORCE = "/services/data/v65.0";
export const GRAPH = "/v1.0/me";
const AT_A_TIME = 3;
/** The event that says that a person's act was done somewhere: what is shown may be old now. */
export const ACTED = "mailspan-acted";

export class Trouble extends Error {
  /** `status` 0: there was no answer. `code` is the vendor's or the product's. */
  constructor(sentence, status = 0, code = "") {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

let mailbox = "";

/** From here on everything is asked as the user of this mailbox. */
export function askAs(address) {
  mailbox = address;
}

/** The address at which a file of a vendor can be fetched by a link. */
export const linkTo = (target, path) => `/_pass/${target}/${encodeURIComponent(mailbox)}${path}`;

/** The path of a link that Graph gave (`@odata.nextLink`), without its origin. */
export const pathOf = (link) => new URL(link).pathname + new URL(link).search;

export const graph = (path, more) => inTurn(() => passed("microsoft", path, { prefer: 'IdType="ImmutableId"', ...more }));
export const salesforce = (path, more) => passed("salesforce", SALESFORCE + path, more);
export const product = (path, more) => passed("product", `/api/v1${path}`, more);
export const soql = (text) => salesforce(`/query?q=${encodeURIComponent(text)}`);
export const world = (path, more) => asked(path.replace("{mailbox}", encodeURIComponent(mailbox)), more);

/** Text as SOQL wants it between quotes. */
export const quoted = (text) => `'${text.replace(/[\\']/g, "\\$&")}'`;
/** Text to be found anywhere, as LIKE wants it. */
export const containing = (text) => `'%${text.replace(/[\\'%_]/g, "\\$&")}%'`;

async function passed(target, path, { method = "GET", json, prefer, key, match, isQuestion = method === "GET" } = {}) {
  const headers = { "Mailspan-Told": "1", Accept: "application/json" };
  if (prefer) headers.Prefer = prefer;
  if (match) headers["If-Match"] = match;
  if (key) headers["Idempotency-Key"] = key;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const body = json === undefined ? undefined : JSON.stringify(json);
  return asked(linkTo(target, path), { method, headers, body, isQuestion });
}

async function asked(address, { method = "GET", headers = {}, body, isQuestion = method === "GET" } = {}) {
  let answer;
  try {
    answer = await fetch(address, { method, headers, body });
  } catch {
    throw new Trouble("The local world does not answer. If the run has ended, start it again.");
  }
  const status = Number(answer.headers.get("Mailspan-Status") ?? answer.status);
  if (status >= 400) throw refusal(status, await answer.text());
  if (!isQuestion) dispatchEvent(new Event(ACTED));
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** What a refusal says, whoever it comes from. */
function refusal(status, text) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    return new Trouble(`The answer was ${status}: ${text.slice(0, 200) || "nothing"}`, status);
  }
  if (Array.isArray(said)) said = said[0] ?? {};
  const sentence = [said.title, said.detail].filter(Boolean).join(" ") || said.error?.message || said.message || said.error;
  const told = typeof sentence === "string" && sentence ? sentence : `The answer was ${status}.`;
  return new Trouble(told, status, said.code ?? said.errorCode ?? said.error?.code ?? "");
}

const waiting = [];
let running = 0;

async function inTurn(act) {
  if (running >= AT_A_TIME) await new Promise((go) => waiting.push(go));
  running += 1;
  try {
    return await act();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}
