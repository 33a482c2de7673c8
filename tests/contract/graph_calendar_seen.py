"""What an engine would know of one calendar through the Graph adapter; the fixture `cal` that gives it is in `graph_fixtures`.

Rules that hold here: every page is a session of its own, with an adapter that knows nothing but the cursor.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import requests

from shared.core.errors import ItemError
from shared.core.model import Seen
from shared.mailbox.graph_calendar import GraphCalendar, Window
from shared.ports import Page, Send, Sent
from tests.contract.graph_seen import Token
from tests.contract.microsoft_world import ADA, Stand

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Calendar:
    """`now` of the world is noon of the first of December 2026, a Tuesday."""

    def __init__(self, ms: Stand, http: requests.Session, user: str = ADA) -> None:
        self.ms, self.http, self.token, self.user = ms, http, Token(ms), user
        self.cursor: str | None = None
        self.window = Window()
        self.zone = "UTC"
        self.groups: dict[str, tuple[str, ...]] = {}
        self.pages: list[Page] = []

    def to(self, moment: datetime) -> None:
        self.ms.world.clock.advance((moment - self.ms.world.clock.now()).total_seconds())
        self.token.after(self.token.current())
        self.ms.token = self.token.token

    @property
    def adapter(self) -> GraphCalendar:
        session_id = "5f0c8a52-51c7-4a9c-9a2b-0e7d3b1f6c11"
        return GraphCalendar(
            self.http, self.token, self.user, self.ms.world.clock, session_id, window=self.window, zone=self.zone
        )

    def page(self) -> Page:
        page = self.adapter.changes("event", self.cursor)
        self.cursor = page.cursor
        self.groups |= page.groups
        self.pages.append(page)
        return page

    def all(self, limit: int = 40) -> dict[str, Seen]:
        """Pages until the round is done; answers what they said, by id, the last word counting."""
        seen: dict[str, Seen] = {}
        self.groups, self.pages = {}, []
        for _ in range(limit):
            page = self.page()
            assert len({one.id for one in page.seen}) == len(page.seen)
            seen |= {one.id: one for one in page.seen}
            if page.done:
                return seen
        raise AssertionError("the round never ends")

    def begin(self) -> None:
        """Forgets the cursor."""
        self.cursor = None

    def read(self, item_id: str) -> Seen:
        return self.adapter.read("event", [item_id])[item_id]

    def write(self, *sends: Send) -> list[Sent | ItemError]:
        return list(self.adapter.write(sends))

    def sent(self, send: Send) -> Sent:
        """The outcome of one write, which must go well."""
        (outcome,) = self.write(send)
        assert isinstance(outcome, Sent), repr(outcome)
        return outcome

    def cost(self) -> int:
        """Requests since the last look."""
        cost = self.ms.world.calls.http["microsoft"]
        self.ms.world.calls.clear()
        return cost

    def person[T](self, act: Any) -> Any:
        """What `act(calendar)` does, where the stand-in lives."""
        return self.ms.box(lambda box: act(box.calendar), self.user)

    def make(self, subject: str, start: str, end: str, **more: Any) -> str:
        """A person's new event; dates make whole days. Answers its immutable id."""
        return str(self.person(lambda calendar: calendar.create(subject, _when(start), _when(end), **more)))

    def occurrence(self, series: str, day: str) -> str:
        """The vendor's id."""
        return str(self.person(lambda calendar: calendar.occurrence(series, date.fromisoformat(day))))


def _when(said: str) -> date | datetime:
    return datetime.fromisoformat(said) if "T" in said else date.fromisoformat(said)


def weekly(first: str = "2026-12-01", *, days: tuple[str, ...] = ("tuesday",), **span: Any) -> dict[str, Any]:
    pattern = {"type": "weekly", "interval": 1, "daysOfWeek": list(days)}
    return {"pattern": pattern, "range": {"startDate": first, **(span or {"type": "noEnd"})}}


def daily(first: str, **span: Any) -> dict[str, Any]:
    return {"pattern": {"type": "daily", "interval": 1}, "range": {"startDate": first, **(span or {"type": "noEnd"})}}


def values(seen: dict[str, Seen], name: str) -> dict[str, Any]:
    """One field of all that is there, by id."""
    return {item_id: one.item.fields[name] for item_id, one in seen.items() if one.item is not None}


def later(**how: float) -> datetime:
    return NOON + timedelta(**how)
