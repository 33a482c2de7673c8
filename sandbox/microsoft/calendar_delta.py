"""calendarView/delta: a round over one window of a calendar.

Rules that hold here:
- The window is settled by the first request and is in the token; it never moves. Properties cannot be chosen.
- A series comes with everything of it in the window, on one page: itself, its exceptions whole, its other occurrences with
  their times alone. One change of it brings all of that again. An occurrence that is gone is told by its absence beside its
  series (unsure: switches `delta_reduced`, `delta_master`, `delta_gone_occurrence`).
- What changed and does not lie in the window is @removed, whether it was ever inside or not (switch `delta_out_of_window`: only
  what was inside). The reason is always `deleted`.
- An idle round costs a search in the log, however many events there are.
Sources: learn.microsoft.com/graph/api/event-delta, /graph/delta-query-events; microsoft-graph-docs issues 7632, 22197 and 5520,
pull request 4501.
"""

from __future__ import annotations

import dataclasses
from datetime import date, datetime

from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.delta import round_answer, round_state, round_top
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event import MASTER, Event, Instance
from sandbox.microsoft.event_json import delta_json
from sandbox.microsoft.event_window import window
from sandbox.microsoft.represent import Json

REFUSED = ("$select", "$expand", "$filter", "$orderby", "$search")


class _Round:
    def __init__(self, call: Call, state: Json) -> None:
        self.call, self.state = call, state
        self.calendar, self.view = call.mailbox.calendar, call.event_view()
        self.begin, self.end = (datetime.fromisoformat(text) for text in state["window"])

    def first_page(self, top: int) -> tuple[Json, list[Json], bool]:
        """What lies in the window now, in the order it was made."""
        state = self.state
        state.setdefault("number", self.call.mailbox.number)
        items: list[Json] = []
        for event in self.calendar.events():
            if event.serial <= state["skip"]:
                continue
            if len(items) >= top:
                return state, items, True
            items += self.shown(event, event.within(self.begin, self.end))
            state["skip"] = event.serial
        since = state.pop("number")
        return {**state, "since": since, "skip": 0}, items, False

    def later_page(self, top: int) -> tuple[Json, list[Json], bool]:
        """What changed, oldest change first."""
        since = self.state["since"]
        items: list[Json] = []
        for number, serial in self.calendar.log.since(since):
            if len(items) >= top:
                return {**self.state, "since": since}, items, True
            items += self.changed(serial)
            since = number
        return {**self.state, "since": since}, items, False

    def changed(self, serial: int) -> list[Json]:
        event = self.calendar.event(serial)
        found = event.within(self.begin, self.end) if event else []
        event = event or self.calendar.gone(serial)
        lost = self._lost(event, {one.day for one in found})
        gone = [self._removed(event, day) for day in sorted(lost)]
        if found:
            return self.shown(event, found) + gone
        is_told = self.call.microsoft.switch("delta_out_of_window") or self._was_inside(event)
        return [self._removed(event, None)] * is_told + gone

    def shown(self, event: Event, found: list[Instance]) -> list[Json]:
        master = event.instance()
        if found and master.kind == MASTER and self.call.microsoft.switch("delta_master"):
            found = [master, *found]
        reduced = self.call.microsoft.switch("delta_reduced")
        return [delta_json(one, self.view, reduced=reduced) for one in found]

    def _shapes(self, event: Event) -> list[Event]:
        """What the event was since the link, and is, by its rule alone."""
        said = [details for until, details in event.former if until > self.state["since"]]
        return [dataclasses.replace(event, details=details, changed={}, cancelled=set()) for details in (*said, event.details)]

    def _was_inside(self, event: Event) -> bool:
        return any(shape.within(self.begin, self.end) for shape in self._shapes(event))

    def _lost(self, event: Event, found: set[date | None]) -> set[date]:
        """Days in the window that the series had or should have, and has not."""
        if not self.call.microsoft.switch("delta_gone_occurrence"):
            return set()
        days = {one.day for shape in self._shapes(event) for one in shape.within(self.begin, self.end)}
        return {day for day in days - found if day is not None}

    def _removed(self, event: Event, day: date | None) -> Json:
        return {"id": event.instance(day).shown_id(self.view.immutable), "@removed": {"reason": "deleted"}}


async def calendar_delta(call: Call) -> Answer:
    if any(name.lower() in REFUSED for name in call.query):
        raise refusal("delta_query", type="CalendarView", names=", ".join(REFUSED))
    state = round_state(call)
    if "window" not in state:
        state["window"] = [moment.isoformat() for moment in window(call)]
    top = round_top(call, state)
    current = _Round(call, state)
    page = current.first_page(top) if state["since"] is None else current.later_page(top)
    return round_answer(call, "Collection(event)", *page)
