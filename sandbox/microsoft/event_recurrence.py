"""Recurrence of events: the six patterns and three ranges of Graph, read, shown again, and expanded by python-dateutil.

Rules that hold here: a series has at most one occurrence a day, so days name occurrences; days are those of the series' own
zone. A month without the day of an absolute pattern takes its last day. Of several days in a relative pattern the first that
satisfies it counts.
Sources: learn.microsoft.com/graph/api/resources/recurrencepattern, /recurrencerange; MS-OXOCAL 2.2.1.44 (last day of a month).

It must never know events: a series is its recurrence and nothing else here.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Literal

from dateutil.rrule import DAILY, FR, MO, MONTHLY, SA, SU, TH, TU, WE, WEEKLY, YEARLY, rrule

from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event_zones import zone as find_zone

Json = dict[str, Any]

_DAYS = {"sunday": SU, "monday": MO, "tuesday": TU, "wednesday": WE, "thursday": TH, "friday": FR, "saturday": SA}
_INDEX = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
#: pattern -> (how often, what it needs)
_PATTERNS: Mapping[str, tuple[Literal[0, 1, 2, 3], tuple[str, ...]]] = {
    "daily": (DAILY, ()),
    "weekly": (WEEKLY, ("daysOfWeek",)),
    "absoluteMonthly": (MONTHLY, ("dayOfMonth",)),
    "relativeMonthly": (MONTHLY, ("daysOfWeek",)),
    "absoluteYearly": (YEARLY, ("dayOfMonth", "month")),
    "relativeYearly": (YEARLY, ("daysOfWeek", "month")),
}
#: range -> what it needs beside startDate
_RANGES: Mapping[str, tuple[str, ...]] = {"endDate": ("endDate",), "noEnd": (), "numbered": ("numberOfOccurrences",)}
_NO_DATE = "0001-01-01"
MAX_INTERVAL = 999
MAX_COUNT = 999


@dataclass(frozen=True)
class Recurrence:
    """`start` is the day of the first occurrence, `end` the last day on which one may lie (None = open), `count` 0 = open."""

    pattern: str
    interval: int
    days: tuple[str, ...]
    first_day: str
    index: str
    day_of_month: int
    month: int
    range: str
    start: date
    end: date | None
    count: int
    zone: str

    def as_json(self) -> Json:
        pattern: Json = {"type": self.pattern, "interval": self.interval, "month": self.month, "dayOfMonth": self.day_of_month}
        if self.days:
            pattern["daysOfWeek"] = list(self.days)
        pattern |= {"firstDayOfWeek": self.first_day, "index": self.index}
        shown_range = {
            "type": self.range,
            "startDate": self.start.isoformat(),
            "endDate": self.end.isoformat() if self.end else _NO_DATE,
            "recurrenceTimeZone": self.zone,
            "numberOfOccurrences": self.count,
        }
        return {"pattern": pattern, "range": shown_range}

    def between(self, first: date, last: date) -> list[date]:
        """The days of its occurrences from `first` to `last`, both included."""
        return [found.date() for found in _rule(self).between(_midnight(first), _midnight(last), inc=True)]

    def has(self, day: date) -> bool:
        return bool(self.between(day, day))

    def before(self, day: date) -> date | None:
        found = _rule(self).before(_midnight(day))
        return found.date() if found else None

    def after(self, day: date) -> date | None:
        found = _rule(self).after(_midnight(day))
        return found.date() if found else None

    def first(self) -> date | None:
        """The first day that satisfies the pattern; None where the range holds none."""
        found = _rule(self).after(_midnight(self.start), inc=True)
        return found.date() if found else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


@lru_cache(4096)
def _rule(recurrence: Recurrence) -> rrule:
    how: Json = {"interval": recurrence.interval}
    frequency, needs = _PATTERNS[recurrence.pattern]
    if "daysOfWeek" in needs:
        how["byweekday"] = [_DAYS[day] for day in recurrence.days]
    if recurrence.pattern == "weekly":
        how["wkst"] = _DAYS[recurrence.first_day]
    elif "daysOfWeek" in needs:
        how["bysetpos"] = _INDEX[recurrence.index]
    if "dayOfMonth" in needs:
        how |= {"bymonthday": [*range(min(recurrence.day_of_month, 28), recurrence.day_of_month + 1)], "bysetpos": -1}
    if "month" in needs:
        how["bymonth"] = recurrence.month
    if recurrence.count:
        how["count"] = recurrence.count
    elif recurrence.end:
        how["until"] = _midnight(recurrence.end)
    return rrule(frequency, dtstart=_midnight(recurrence.start), cache=True, **how)


def read(value: Json, start: date, zone: str) -> Recurrence:
    """The recurrence of a body whose event starts on that day in that zone. Raises GraphError 400."""
    pattern, given = value.get("pattern") or {}, value.get("range") or {}
    kind, span = str(pattern.get("type")), str(given.get("type"))
    if kind not in _PATTERNS or span not in _RANGES:
        raise refusal("bad_property")
    needs = _PATTERNS[kind][1]
    needed = [*(pattern.get(name) for name in needs), *(given.get(name) for name in _RANGES[span])]
    if not all(needed) or given.get("startDate") != start.isoformat():
        raise refusal("bad_property")
    recurrence = Recurrence(
        pattern=kind,
        interval=pattern.get("interval", 0),
        days=tuple(pattern.get("daysOfWeek") or ()) if "daysOfWeek" in needs else (),
        first_day=pattern.get("firstDayOfWeek") or "sunday",
        index=pattern.get("index") or "first",
        day_of_month=pattern["dayOfMonth"] if "dayOfMonth" in needs else 0,
        month=pattern["month"] if "month" in needs else 0,
        range=span,
        start=start,
        end=_day(given["endDate"]) if span == "endDate" else None,
        count=given["numberOfOccurrences"] if span == "numbered" else 0,
        zone=find_zone(given["recurrenceTimeZone"]).name if given.get("recurrenceTimeZone") else zone,
    )
    _refuse_impossible(recurrence)
    return recurrence


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refusal("bad_property") from None


def _refuse_impossible(recurrence: Recurrence) -> None:
    longest = calendar.monthrange(2024, recurrence.month)[1] if 1 <= recurrence.month <= 12 else 31
    possible = (
        1 <= recurrence.interval <= MAX_INTERVAL,
        0 <= recurrence.month <= 12,
        0 <= recurrence.day_of_month <= longest,
        0 <= recurrence.count <= MAX_COUNT,
        recurrence.end is None or recurrence.end >= recurrence.start,
    )
    if not all(possible) or recurrence.first() is None:
        raise refusal("bad_property")
