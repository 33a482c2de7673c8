"""Random histories of two calendars: who follows the delta knows what a fresh view shows; copies say what the organiser says.

A client that follows the rules of `calendar_delta.py` is the judge: a series that arrives replaces all that was known of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest

from tests.contract.microsoft_calendar import DECEMBER, HIM, ME, december, every, wall
from tests.contract.microsoft_world import ADA, BO, IMMUTABLE, Json, Stand

pytest_plugins = ("tests.contract.microsoft_fixtures",)
ACTS_IN_A_HISTORY = 30
PATTERNS: tuple[Json, ...] = (
    {"type": "daily", "interval": 2},
    {"type": "weekly", "interval": 1, "daysOfWeek": ["tuesday", "friday"]},
    {"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["monday"], "index": "second"},
)


class Follower:
    """Keeps {id: (start, series or None)} of a window by its delta alone."""

    def __init__(self, ms: Stand, path: str) -> None:
        self.ms, self.path = ms, path
        self.known: dict[str, tuple[str, str | None]] = {}
        self.link = f"{path}/calendarView/delta?{DECEMBER}"

    def follow(self) -> None:
        items, self.link = self.ms.round(self.link, prefer=f"{IMMUTABLE}, odata.maxpagesize=3")
        for item in items:
            self._forget(item["id"])
            if "@removed" not in item and item["type"] != "seriesMaster":
                self.known[item["id"]] = (item["start"]["dateTime"], item.get("seriesMasterId"))

    def _forget(self, event_id: str) -> None:
        self.known = {key: seen for key, seen in self.known.items() if event_id not in (key, seen[1])}

    def agrees(self) -> bool:
        shown = {item["id"]: (item["start"]["dateTime"], item["seriesMasterId"]) for item in december(self.ms, self.path)}
        return self.known == shown


class History:
    """Acts of the organiser on one calendar, each by the dice."""

    def __init__(self, ms: Stand, seed: int) -> None:
        self.ms, self.dice = ms, random.Random(seed)
        self.acts: list[Callable[[Any], None]] = [self.make, self.make, self.repeat, self.rename, self.move, self.take_one,
                                                  self.change_one, self.shorten, self.delete, self.invite]  # fmt: skip

    def act(self) -> None:
        self.ms.box(lambda box: self.dice.choice(self.acts)(box.calendar))

    def start(self) -> Any:
        return wall("2026-11-20T08:00") + timedelta(days=self.dice.randrange(60), hours=self.dice.randrange(10))

    def make(self, calendar: Any, **more: Any) -> None:
        start = self.start()
        calendar.create("Made", start, start + timedelta(hours=1), zone="Europe/Berlin", **more)

    def repeat(self, calendar: Any) -> None:
        span = self.dice.choice([{}, {"type": "numbered", "numberOfOccurrences": self.dice.randrange(1, 9)}])
        self.make(calendar, recurrence={"pattern": self.dice.choice(PATTERNS), "range": span}, attendees=[BO])

    def pick(self, calendar: Any, *, series: bool) -> Any:
        found = [event for event in calendar.events() if bool(event.details.recurrence) is series]
        return self.dice.choice(found).instance().shown_id(True) if found else None

    def one(self, calendar: Any) -> Any:
        found = [seen for seen in calendar.view(*map(moment, ("2026-11-25", "2027-01-10"))) if seen.day]
        return self.dice.choice(found) if found else None

    def rename(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=self.dice.random() < 0.5):
            calendar.change(event, subject=f"Name {self.dice.randrange(100)}")

    def move(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=False):
            start = self.start()
            calendar.change(event, start=start, end=start + timedelta(hours=1))

    def take_one(self, calendar: Any) -> None:
        if one := self.one(calendar):
            calendar.delete(one.shown_id(True))

    def change_one(self, calendar: Any) -> None:
        if one := self.one(calendar):
            later = one.details.start + timedelta(hours=self.dice.randrange(1, 5))
            calendar.change(one.shown_id(True), start=later, end=later + timedelta(hours=1), subject="Changed")

    def shorten(self, calendar: Any) -> None:
        if series := self.pick(calendar, series=True):
            shown = calendar.find(series).details.recurrence.as_json()
            last = (calendar.find(series).details.start + timedelta(days=self.dice.randrange(40))).date().isoformat()
            start = shown["range"]["startDate"]
            calendar.update(series, {"recurrence": every("daily", start) | {
                "pattern": shown["pattern"], "range": {"type": "endDate", "startDate": start, "endDate": last}}})  # fmt: skip

    def delete(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=self.dice.random() < 0.5):
            calendar.delete(event)

    def invite(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=False):
            calendar.change(event, attendees=self.dice.choice([[BO], []]))


def moment(day: str) -> Any:
    return wall(day).replace(tzinfo=UTC)


@pytest.mark.parametrize("seed", range(12))
def test_who_follows_the_delta_knows_what_a_fresh_view_shows(ms: Stand, seed: int) -> None:
    history, followers = History(ms, seed), [Follower(ms, path) for path in (ME, HIM)]
    ms.world.switches["microsoft.delta_gone_occurrence"] = seed % 2 == 1
    for number in range(ACTS_IN_A_HISTORY):
        history.act()
        if number % 3 == 2:
            for follower in followers:
                follower.follow()
                assert follower.agrees(), f"seed {seed}, act {number}, {follower.path}"


@pytest.mark.parametrize("seed", range(12, 18))
def test_copies_say_what_the_organiser_says(ms: Stand, seed: int) -> None:
    history = History(ms, seed)
    for _ in range(ACTS_IN_A_HISTORY):
        history.act()
    mine = {item["iCalUId"]: item for item in december(ms) if item["attendees"]}
    his = {item["iCalUId"]: item for item in december(ms, HIM) if not item["isCancelled"]}
    assert his.keys() == mine.keys()
    for ical, item in mine.items():
        assert [his[ical][name] for name in ("start", "end", "subject")] == [item[name] for name in ("start", "end", "subject")]
    assert {mail["from"] for mail in ms.world.outbox} <= {ADA}
