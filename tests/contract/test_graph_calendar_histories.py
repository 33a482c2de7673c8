"""Random histories of a calendar, seen through the Graph adapter: who follows its pages knows what a fresh look shows.

The judge keeps what an engine would: items by id, the cursor, nothing else. A series' group makes what is missing in it read
again, as does a listing; then whatever is within sight must be known, as it is, and nothing that is not there.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.core.errors import CursorExpired, ItemError, Retry
from shared.core.model import Seen
from shared.ports import Send
from tests.contract.graph_calendar_seen import Calendar, later
from tests.contract.microsoft_calendar import at
from tests.contract.microsoft_world import Stand

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]
ACTS_BETWEEN = 4
ROUNDS = 12
SWITCHES = ("delta_reduced", "delta_master", "delta_gone_occurrence", "delta_out_of_window", "if_match")
PATTERNS = (
    {"type": "daily", "interval": 3},
    {"type": "weekly", "interval": 1, "daysOfWeek": ["tuesday", "friday"]},
    {"type": "relativeMonthly", "interval": 1, "daysOfWeek": ["monday"], "index": "second"},
)
ZONES = ("UTC", "W. Europe Standard Time", "America/New_York", "AUS Eastern Standard Time", "Asia/Kathmandu")
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 503},
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "throttled", "detail": 3},
)


class Follower:
    """What an engine knows."""

    def __init__(self, cal: Calendar) -> None:
        self.cal = cal
        self.known: dict[str, Seen] = {}
        self.listed: set[str] = set()

    def follow(self) -> None:
        for _ in range(60):
            try:
                page = self.cal.page()
                self._take(page.seen, page.groups, listing=page.listing, done=page.done)
            except CursorExpired:
                self.cal.cursor, self.listed = None, set()
                continue
            except Retry:
                continue  # the same page again
            if page.done:
                return
        raise AssertionError("the round never ends")

    def _take(self, seen: tuple[Seen, ...], groups: Any, *, listing: bool, done: bool) -> None:
        for one in seen:
            self._note(one)
        missing = {
            one for one, said in self.known.items() if said.facts.group in groups and one not in groups[said.facts.group]
        }
        if listing:
            self.listed |= {one.id for one in seen}
        if listing and done:
            missing |= self.known.keys() - self.listed
            self.listed = set()
        for one in self._read(sorted(missing)).values():
            self._note(one)

    def _read(self, ids: list[str]) -> dict[str, Seen]:
        for _ in range(20):
            try:
                return dict(self.cal.adapter.read("event", ids))
            except Retry:
                continue
        raise AssertionError("nothing can be read")

    def _note(self, one: Seen) -> None:
        if one.item is None:
            self.known.pop(one.id, None)
        else:
            self.known[one.id] = one

    def judge(self, within_sight: set[str]) -> None:
        """A series changes the version of what is out of sight too; that is told when it comes within sight. What left the
        window is heard of no more, until a listing finds it missing."""
        assert within_sight <= self.known.keys(), "something that is there is not known"
        now = self._read(sorted(self.known))
        for item_id, said in self.known.items():
            assert self._is_outside(said) or now[item_id].item is not None, "something that is not there is known"
            if item_id in within_sight:
                assert (said.item, said.facts, said.version) == (now[item_id].item, now[item_id].facts, now[item_id].version)

    def _is_outside(self, said: Seen) -> bool:
        """Whether it lies outside the round's window, where not every vendor's word reaches."""
        begin, end = (datetime.fromisoformat(json.loads(str(self.cal.cursor))[name]) for name in ("begin", "end"))
        assert said.facts.begins and said.facts.ends
        return said.facts.ends < begin or said.facts.begins > end


class History:
    """Acts of a person and of the engine, by the dice."""

    def __init__(self, cal: Calendar, follower: Follower, dice: random.Random) -> None:
        self.cal, self.follower, self.dice = cal, follower, dice
        self.keys = itertools.count()
        self.deleted: list[str] = []
        self.persons: list[Callable[[Any], None]] = [
            self.make, self.whole_days, self.repeat, self.repeat, self.rename, self.move, self.take_one, self.change_one,
            self.move_one, self.shorten, self.delete, self.restore, self.become_series, self.become_single, self.leave,
        ]  # fmt: skip
        self.engines: list[Callable[[], Send | None]] = [self.create, self.patch, self.patch, self.unmark, self.remove]

    def act(self) -> None:
        if self.dice.random() < 0.7:
            self.cal.person(self.dice.choice(self.persons))
        elif send := self.dice.choice(self.engines)():
            self.write(send)

    # --- a person

    def start(self) -> datetime:
        now = self.cal.ms.world.clock.now().replace(tzinfo=None, minute=0, second=0, microsecond=0)
        return now + timedelta(days=self.dice.randrange(-10, 50), hours=self.dice.randrange(10))

    def make(self, calendar: Any, **more: Any) -> None:
        start = self.start()
        calendar.create("Made", start, start + timedelta(hours=1), zone=self.dice.choice(ZONES), **more)

    def whole_days(self, calendar: Any) -> None:
        day = self.start().date()
        more = self.repetition() if self.dice.random() < 0.5 else {}
        calendar.create("Days", day, day + timedelta(days=self.dice.randrange(1, 3)), zone=self.dice.choice(ZONES), **more)

    def repetition(self) -> dict[str, Any]:
        span = self.dice.choice([{}, {"type": "numbered", "numberOfOccurrences": self.dice.randrange(1, 9)}])
        return {"recurrence": {"pattern": self.dice.choice(PATTERNS), "range": span}}

    def repeat(self, calendar: Any) -> None:
        self.make(calendar, **self.repetition())

    def pick(self, calendar: Any, *, series: bool | None = None) -> Any:
        found = [one for one in calendar.events() if series in (None, bool(one.details.recurrence))]
        return self.dice.choice(found) if found else None

    def one(self, calendar: Any) -> Any:
        now = self.cal.ms.world.clock.now()
        found = [one for one in calendar.view(now - timedelta(days=14), now + timedelta(days=40)) if one.day]
        return self.dice.choice(found) if found else None

    def rename(self, calendar: Any) -> None:
        if event := self.pick(calendar):
            calendar.change(event.shown_id(True), subject=f"Name {self.dice.randrange(100)}", categories=["Salesforce"])

    def move(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=False):
            start = self.start()
            calendar.change(event.shown_id(True), start=start, end=start + timedelta(hours=1))

    def leave(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=False):
            start = self.start() + timedelta(days=2000)
            calendar.change(event.shown_id(True), start=start, end=start + timedelta(hours=1))

    def take_one(self, calendar: Any) -> None:
        if one := self.one(calendar):
            calendar.delete(one.shown_id(True))

    def change_one(self, calendar: Any) -> None:
        if one := self.one(calendar):
            calendar.change(one.shown_id(True), subject=f"One {self.dice.randrange(100)}")

    def move_one(self, calendar: Any) -> None:
        if (one := self.one(calendar)) and not one.details.is_all_day:
            start = one.details.start + timedelta(hours=self.dice.randrange(1, 5))
            if start.date() == one.details.start.date():
                calendar.change(one.shown_id(True), start=start, end=start + timedelta(minutes=30))

    def shorten(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=True):
            first = event.details.start.date()
            end = {"type": "endDate", "endDate": (first + timedelta(days=self.dice.randrange(40))).isoformat()}
            shown = event.details.recurrence.as_json()
            calendar.change(event.shown_id(True), recurrence={**shown, "range": {**end, "startDate": first.isoformat()}})

    def delete(self, calendar: Any) -> None:
        if event := self.pick(calendar):
            self.deleted.append(event.shown_id(True))
            calendar.delete(self.deleted[-1])

    def restore(self, calendar: Any) -> None:
        if self.deleted:
            calendar.restore(self.deleted.pop())

    def become_series(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=False):
            calendar.change(event.shown_id(True), **self.repetition())

    def become_single(self, calendar: Any) -> None:
        if event := self.pick(calendar, series=True):
            calendar.update(event.shown_id(True), {"recurrence": None})

    # --- the engine

    def write(self, send: Send) -> None:
        """What is lost on the way is not asked for again here: the next round tells what became of it."""
        try:
            (outcome,) = self.cal.adapter.write([send])
        except Retry:
            return
        if send.verb != "create" and send.version == "*":
            assert not isinstance(outcome, ItemError) or outcome.code != "item.bug"

    def create(self) -> Send:
        start = self.start()
        when = f"{start:%Y-%m-%dT%H:%M:%SZ}/{start + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        return Send("create", "event", fields={"subject": "Ours", "when": when}, key=f"KEY{next(self.keys)}")

    def chosen(self, verb: Any, **fields: Any) -> Send | None:
        if not self.follower.known:
            return None
        one = self.follower.known[self.dice.choice(sorted(self.follower.known))]
        return Send(verb, "event", one.id, self.dice.choice([one.version, "*"]), fields)

    def patch(self) -> Send | None:
        return self.chosen("patch", subject=f"Patched {self.dice.randrange(100)}", description="Ours\n too")

    def unmark(self) -> Send | None:
        return self.chosen("unmark")

    def remove(self) -> Send | None:
        return self.chosen("delete")


def within_sight(cal: Calendar) -> set[str]:
    """Our ids of what a fresh look shows: single events of the round's window, occurrences near now."""
    now = cal.ms.world.clock.now()
    near = (now - timedelta(days=14), now + timedelta(days=30))

    def look(calendar: Any) -> set[str]:
        found = set()
        for one in calendar.view(now - timedelta(days=14), now + timedelta(days=700)):
            if one.day is None:
                found.add(one.shown_id(True))
            elif one.details.begins < near[1] - timedelta(days=1) and one.details.ends > near[0] + timedelta(minutes=1):
                found.add(f"{one.event.shown_id(True)}/{one.original_start.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        return found

    return set(cal.person(look))


@pytest.mark.parametrize("seed", range(int(os.environ.get("SEEDS", "16"))))
def test_who_follows_the_pages_knows_what_there_is(ms: Stand, cal: Calendar, seed: int) -> None:
    dice = random.Random(seed)
    ms.world.switches |= {f"microsoft.{name}": dice.random() < 0.5 for name in SWITCHES}
    follower = Follower(cal)
    history = History(cal, follower, dice)
    days = 0.0
    for _ in range(ROUNDS):
        for _ in range(dice.randrange(ACTS_BETWEEN + 1)):
            history.act()
        if dice.random() < 0.3:
            ms.fault(**dice.choice(FAULTS), after=dice.randrange(3))
        if dice.random() < 0.1:
            ms.fault("delta_gone")
        follower.follow()
        ms.world.rules.clear()
        follower.follow()
        follower.judge(within_sight(cal))
        days += dice.choice([0, 0.1, 0.7, 1.2, 3, 12])
        cal.to(later(days=days))


def test_a_history_moves(cal: Calendar) -> None:
    """The dice make what the histories are about."""
    history = History(cal, Follower(cal), random.Random(7))
    for _ in range(80):
        cal.person(history.dice.choice(history.persons))
    kinds = cal.person(lambda calendar: {one.kind for one in calendar.view(later(days=-30), later(days=60))})
    assert kinds == {"singleInstance", "occurrence", "exception"} and at("2026-12-01T00:00:00")["timeZone"] == "UTC"
