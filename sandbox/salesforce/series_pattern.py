"""The pattern of an event series: what may be written, how it is kept, and which instants it means.

Rules that hold here:
- A pattern is one RRULE of the vendor's subset of RFC 5545: the parts of `PARTS` in that order, defaults filled in, `RRULE:` in
  front. Anything outside the subset is a ValueError with a sentence.
- Times repeat by the wall clock of the series' zone: an hour stays the hour across a change to summer time.
- The 31st of a shorter month is its last day.

It must never know a record.

Source: Object Reference, page Event, "Lightning Experience Event Series and Recurring Events" (patterns, parts, limits).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

#: The parts of a pattern, in the order in which they are kept.
PARTS = ("FREQ", "BYMONTH", "BYMONTHDAY", "BYDAY", "WKST", "BYSETPOS", "INTERVAL", "UNTIL", "COUNT")
EVERYWHERE = frozenset({"FREQ", "INTERVAL", "UNTIL", "COUNT"})
#: frequency -> the sets of parts that make a pattern of it
SHAPES: Mapping[str, tuple[frozenset[str], ...]] = {
    "DAILY": (frozenset(),),
    "WEEKLY": (frozenset({"BYDAY"}), frozenset({"BYDAY", "WKST"})),
    "MONTHLY": (frozenset({"BYMONTHDAY"}), frozenset({"BYDAY"}), frozenset({"BYDAY", "BYSETPOS"})),
    "YEARLY": (
        frozenset({"BYMONTH", "BYMONTHDAY"}),
        frozenset({"BYMONTH", "BYDAY", "BYSETPOS"}),
        frozenset({"BYMONTH", "BYDAY"}),
    ),
}
LONGEST_INTERVAL = {"DAILY": 999, "WEEKLY": 99, "MONTHLY": 99, "YEARLY": 1}
DAY = "(?:SU|MO|TU|WE|TH|FR|SA)"
#: part -> what its value looks like
VALUES = {
    "FREQ": "DAILY|WEEKLY|MONTHLY|YEARLY",
    "BYMONTH": "[1-9]|1[0-2]",
    "BYMONTHDAY": "[1-9]|[12][0-9]|3[01]",
    "BYDAY": f"(?:-1|[1-4])?{DAY}(?:,(?:-1|[1-4])?{DAY})*",
    "WKST": DAY,
    "BYSETPOS": "-1|[1-4]",
    "INTERVAL": "[1-9][0-9]{0,2}",
    "UNTIL": r"\d{8}T\d{6}Z",
    "COUNT": "[1-9][0-9]{0,2}",
}
#: The groups of days that a month or a year repeats on; a single day may also stand alone.
DAY_GROUPS = (
    frozenset({"SA", "SU"}),
    frozenset({"MO", "TU", "WE", "TH", "FR"}),
    frozenset({"SU", "MO", "TU", "WE", "TH", "FR", "SA"}),
)


@dataclasses.dataclass(frozen=True)
class Pattern:
    """`text` is the kept form, `until` the last instant a start may be."""

    frequency: str
    text: str
    is_open: bool
    until: datetime | None

    def starts(self, first: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """The starts in UTC, in order; endless for an open pattern. `first`: where the series begins."""
        text = re.sub(r";UNTIL=[^;]+", "", self.text.removeprefix("RRULE:"))
        text = text.replace("BYMONTHDAY=31", "BYMONTHDAY=-1")
        for local in rrulestr(text, dtstart=first.astimezone(zone).replace(tzinfo=None)):
            start = local.replace(tzinfo=zone).astimezone(UTC)
            if self.until is not None and start > self.until:
                return
            yield start


def parse(text: str) -> Pattern:
    """The pattern a client wrote. Raises ValueError with what is wrong."""
    parts = _parts(text.strip().removeprefix("RRULE:"))
    frequency = parts.get("FREQ", "")
    if not frequency:
        raise ValueError("FREQ is required")
    if "UNTIL" in parts and "COUNT" in parts:
        raise ValueError("an RRULE can't contain both UNTIL and COUNT")
    if frozenset(parts) - EVERYWHERE not in SHAPES[frequency]:
        raise ValueError(f"the parts {', '.join(parts)} are no supported pattern of {frequency}")
    parts.setdefault("INTERVAL", "1")
    if int(parts["INTERVAL"]) > LONGEST_INTERVAL[frequency]:
        raise ValueError(f"INTERVAL can be at most {LONGEST_INTERVAL[frequency]} for {frequency}")
    if "BYDAY" in parts:
        _check_days(frequency, parts)
    try:
        until = datetime.fromisoformat(parts["UNTIL"]) if "UNTIL" in parts else None
    except ValueError:
        raise ValueError(f"UNTIL has an unsupported value: {parts['UNTIL']}") from None
    kept = "RRULE:" + ";".join(f"{name}={parts[name]}" for name in PARTS if name in parts)
    return Pattern(frequency, kept, "COUNT" not in parts and until is None, until)


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.rstrip(";").split(";"):
        name, equals, value = part.strip().partition("=")
        value = value.replace(" ", "")
        if name not in PARTS or not equals or name in parts:
            raise ValueError(f"{part.strip() or 'nothing'} is no supported part")
        if not re.fullmatch(VALUES[name], value):
            raise ValueError(f"{name} has an unsupported value: {value}")
        parts[name] = value
    return parts


def _check_days(frequency: str, parts: dict[str, str]) -> None:
    """Plain days by the week; numbered alike, or one of the groups with a position, by the month and the year."""
    days = parts["BYDAY"].split(",")
    numbers = {day[:-2] for day in days}
    if frequency == "WEEKLY":
        if numbers != {""}:
            raise ValueError("BYDAY can't be preceded by a number for WEEKLY")
        return
    if len(numbers) > 1:
        raise ValueError("BYDAY can't use different numbers")
    if len(days) > 1 and frozenset(day[-2:] for day in days) not in DAY_GROUPS:
        raise ValueError("BYDAY must be a single day, weekend days, weekdays or every day of the week")
    if numbers != {""}:
        if "BYSETPOS" in parts:
            raise ValueError("BYDAY with numbers can't be used with BYSETPOS")
    else:
        parts.setdefault("BYSETPOS", "1")
