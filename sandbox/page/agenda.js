/**
 * The events of some weeks, day by day.
 *
 * Rules that hold here: a day is a day here, on this machine's wall; a whole day stands on its date wherever one looks from it; an
 * event of several days stands once, on its first one shown.
 * Source: learn.microsoft.com/graph/api/user-list-calendarview.
 */
import { GRAPH, graph, pathOf } from "./api.js";
import { chip } from "./chips.js";
import { $, h } from "./dom.js";
import { part, Region } from "./region.js";
import { clock, count, dayName, dayOf, dayShort, now } from "./words.js";

const WEEKS = 3;
const FIELDS = "subject,start,end,isAllDay,location,categories,showAs,sensitivity,type,attendees,responseStatus,isOnlineMeeting";

/** The day so many days later. */
export function later(day, days) {
  const at = new Date(`${day}T12:00`);
  at.setDate(at.getDate() + days);
  return dayOf(at);
}

/** A time of Graph (in UTC, without saying so) as an ISO text. */
export const utcOf = (time) => `${time.dateTime.slice(0, 19)}Z`;

/** The day on which an event begins. */
export const firstDay = (event) => (event.isAllDay ? event.start.dateTime.slice(0, 10) : dayOf(utcOf(event.start)));

async function loadAgenda({ from }) {
  const until = later(from, 7 * WEEKS);
  const span = { startDateTime: new Date(`${from}T00:00`).toISOString(), endDateTime: new Date(`${until}T00:00`).toISOString() };
  const query = new URLSearchParams({ ...span, $select: FIELDS, $orderby: "start/dateTime", $top: 200 });
  const events = [];
  let path = `${GRAPH}/calendarView?${query}`;
  while (path) {
    const page = await graph(path);
    events.push(...page.value);
    path = page["@odata.nextLink"] && pathOf(page["@odata.nextLink"]);
  }
  return { from, until, events };
}

export class Agenda {
  /** `pick(id)`: an event was chosen; `turn(day)`: the weeks from that day on are to be shown. */
  constructor(pick, turn) {
    Object.assign(this, { pick, turn, chosen: "", from: "" });
    this.region = new Region($("agenda"), { load: loadAgenda, draw: (data) => this.draw(data), lines: 10 });
    $("agenda-earlier").addEventListener("click", () => turn(later(this.from, -7 * WEEKS)));
    $("agenda-later").addEventListener("click", () => turn(later(this.from, 7 * WEEKS)));
    $("agenda-today").addEventListener("click", () => turn(""));
    $("agenda").addEventListener("keydown", (event) => this.key(event));
  }

  show(user, from, chosen) {
    this.from = from || dayOf(now());
    this.chosen = chosen;
    this.region.redraw();
    return this.region.show({ user, from: this.from });
  }

  refresh = () => this.region.refresh();

  draw({ from, until, events }) {
    $("agenda-title").textContent = `${dayShort(from)} to ${dayShort(later(until, -1))}`;
    if (!events.length) return [part("empty", "", () => h("p", { class: "empty", text: "There is nothing in these weeks." }))];
    const days = Map.groupBy(events, (event) => {
      const day = firstDay(event);
      return day < from ? from : day;
    });
    return [...days.keys()].toSorted().flatMap((day) => [
      part(`day ${day}`, day === dayOf(now()), (isToday) =>
        h("h3", { class: isToday ? "day today" : "day", text: `${isToday ? "Today, " : ""}${dayName(day)}` }),
      ),
      ...days
        .get(day)
        .map((event) =>
          part(event.id, { ...event, "@odata.etag": "", isChosen: event.id === this.chosen }, (data) => this.row(data)),
        ),
    ]);
  }

  row(event) {
    const time = event.isAllDay ? "All day" : `${clock(utcOf(event.start))}–${clock(utcOf(event.end))}`;
    const series = { occurrence: "series", exception: "series, changed" }[event.type];
    const notes = [
      event.location?.displayName,
      event.attendees.length > 0 && count(event.attendees.length, "attendee", "attendees"),
      series,
      event.sensitivity === "private" && "private",
      event.isOnlineMeeting && "online",
      ANSWERS[event.responseStatus?.response],
    ].filter(Boolean);
    return h(
      "button",
      {
        type: "button",
        class: `event-row shows-${event.showAs}`,
        "aria-current": event.isChosen ? "true" : null,
        onclick: () => this.pick(event.id),
      },
      h("span", { class: "time", text: time }),
      h(
        "span",
        { class: "what" },
        h("span", { class: "subject", text: event.subject || "(no subject)" }),
        notes.length > 0 && h("span", { class: "preview", text: notes.join(" · ") }),
        event.categories.length > 0 && h("span", { class: "chips" }, event.categories.map(chip)),
      ),
    );
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const rows = [...$("agenda").querySelectorAll(".event-row")];
    const at = rows.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    rows[at + step]?.focus();
  }
}

const ANSWERS = { notResponded: "not answered", tentativelyAccepted: "tentative", declined: "declined" };
