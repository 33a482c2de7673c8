/**
 * Times, sizes and people as a person reads them. The world's clock counts, not the machine's: it can be moved.
 */
let ahead = 0;

/** What time it is in the world, as an ISO text. */
export function worldTime(iso) {
  ahead = Date.parse(iso) - Date.now();
}

export const now = () => Date.now() + ahead;

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const YEAR = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "short" });

const moment = (iso) => new Date(iso.replace(/\+0000$/, "Z"));

const two = (n) => String(n).padStart(2, "0");
const dateText = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;

/** A moment as the field of a form has it: what the clock on this machine's wall shows. */
export function localTime(iso) {
  const at = moment(iso);
  return `${dateText(at)}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The other way round. */
export const utcTime = (local) => new Date(local).toISOString();

/** The day of a moment here. */
export const dayOf = (at) => dateText(new Date(at));

const WEEKDAY = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });

/** "Tuesday 1 December" of a day. */
export const dayName = (day) => WEEKDAY.format(new Date(`${day}T12:00`));

/** "24 Nov" of a day. */
export const dayShort = (day) => DAY.format(new Date(`${day}T12:00`));

export const clock = (iso) => TIME.format(moment(iso));

/** Short: the time today, else the day. */
export function when(iso) {
  if (!iso) return "";
  const at = moment(iso);
  const today = new Date(now());
  if (at.toDateString() === today.toDateString()) return TIME.format(at);
  return (at.getFullYear() === today.getFullYear() ? DAY : YEAR).format(at);
}

export const whenFull = (iso) => (iso ? FULL.format(moment(iso)) : "");

const STEPS = [
  [60, "s"],
  [60, "min"],
  [24, "h"],
  [Infinity, "days"],
];

/** "12 s ago"; "" for never. */
export function ago(iso) {
  if (!iso) return "";
  let left = Math.max(0, Math.round((now() - moment(iso)) / 1000));
  for (const [most, unit] of STEPS) {
    if (left < most) return left < 5 && unit === "s" ? "just now" : `${left} ${unit} ago`;
    left = Math.floor(left / most);
  }
  return "";
}

/** Bytes. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

export const count = (n, one, many) => `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;

/** A Graph recipient as text. */
export function person(recipient) {
  const { name, address } = recipient?.emailAddress ?? {};
  return name && name !== address ? `${name} <${address ?? ""}>` : (address ?? name ?? "");
}

export const shortPerson = (recipient) => recipient?.emailAddress?.name || recipient?.emailAddress?.address || "(nobody)";
