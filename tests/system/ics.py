"""Series in the words of Graph as an iCalendar file, and what an expander that nobody here wrote makes of it.

Rules that hold here: a pattern is written as the RFC 5545 rule that means the same, an exception as its own VEVENT under its
RECURRENCE-ID, a cancelled occurrence as EXDATE. A month without the day of an absolute pattern takes its last day: its rule
names the days that may be it and takes the last of them. Nothing of the product or of the sandbox is used, so that a mistake in
their recurrence is not repeated here.

Sources: RFC 5545, 3.3.10 (RRULE), 3.8.5.1 (EXDATE), 3.8.4.4 (RECURRENCE-ID);
learn.microsoft.com/graph/api/resources/recurrencepattern, /recurrencerange.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

Json = Mapping[str, Any]
_DAYS = {"sunday": "SU", "monday": "MO", "tuesday": "TU", "wednesday": "WE", "thursday": "TH", "friday": "FR", "saturday": "SA"}
_PLACES = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
#: (subject, begin, end): instants in UTC, or days with the end exclusive, as text
Shown = tuple[str, str, str]


def export(series: Sequence[Json]) -> str:
    """The file; an exception marked so stands before its series."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example.test//series//EN"]
    for number, one in enumerate(series):
        exceptions = [line for changed in one.get("changed", ()) for line in _exception(number, one, changed)]
        whole = _event(number, one, one["title"], one["start"], end_of(one), _rules(one))
        lines += [*exceptions, *whole] if one.get("override_first") else [*whole, *exceptions]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def end_of(one: Json, start: date | None = None) -> date:
    """The end on the wall of what begins at `start`, the series' own start where none is given; of whole days the day after."""
    begin: date = start or one["start"]
    return begin + (timedelta(days=one["days"]) if "days" in one else timedelta(minutes=one["minutes"]))


def moved(one: Json, changed: Json) -> tuple[date, date]:
    """Begin and end of an exception."""
    on_its_day = datetime.combine(changed["day"], one["start"].time()) if isinstance(one["start"], datetime) else changed["day"]
    start = changed.get("start", on_its_day)
    return start, end_of({**one, **changed}, start)


def expanded(text: str, begin: datetime, end: datetime) -> set[Shown]:
    """Everything of the file that touches that span of time; whole days are days of UTC."""
    calendar = icalendar.Calendar.from_ical(text)
    found = recurring_ical_events.of(calendar).between(begin - timedelta(days=3), end + timedelta(days=3))
    shown = [(str(one["SUMMARY"]), one["DTSTART"].dt, one["DTEND"].dt) for one in found]
    near = [one for one in shown if _instant(one[1]) < end and max(_instant(one[1]), _instant(one[2])) > begin]
    return {(subject, _said(first), _said(last)) for subject, first, last in near}


def _instant(when: date) -> datetime:
    return when.astimezone(UTC) if isinstance(when, datetime) else datetime.combine(when, time(), UTC)


def _said(when: date) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(when, datetime) else when.isoformat()


def _event(number: int, one: Json, subject: str, start: date, end: date, more: Sequence[str]) -> Iterator[str]:
    yield from ("BEGIN:VEVENT", f"UID:series-{number}@example.test", "DTSTAMP:20270101T000000Z", f"SUMMARY:{_escaped(subject)}")
    yield f"DTSTART{_time(one, start)}"
    yield f"DTEND{_time(one, end)}"
    yield from more
    yield "END:VEVENT"


def _exception(number: int, one: Json, changed: Json) -> Iterator[str]:
    start, end = moved(one, changed)
    original, _ = moved(one, {"day": changed["day"]})
    where = f"RECURRENCE-ID{_time(one, original)}"
    return _event(number, one, changed.get("subject", one["title"]), start, end, [where])


def _rules(one: Json) -> list[str]:
    lines = [f"RRULE:{';'.join(f'{name}={value}' for name, value in _rule(one).items())}"]
    for day in one.get("cancelled", ()):
        lines.append(f"EXDATE{_time(one, moved(one, {'day': day})[0])}")
    return lines


def _rule(one: Json) -> dict[str, Any]:
    pattern, span = one["pattern"], one["range"]
    rule = {"FREQ": _frequency(pattern["type"]), "INTERVAL": pattern["interval"]} | _which(pattern)
    if "month" in pattern:
        rule["BYMONTH"] = pattern["month"]
    if span["type"] == "numbered":
        rule["COUNT"] = span["numberOfOccurrences"]
    elif span["type"] == "endDate":
        rule["UNTIL"] = _until(one, date.fromisoformat(span["endDate"]))
    return rule


def _frequency(kind: str) -> str:
    return {"daily": "DAILY", "weekly": "WEEKLY"}.get(kind, "MONTHLY" if kind.endswith("Monthly") else "YEARLY")


def _which(pattern: Json) -> dict[str, Any]:
    days = [_DAYS[day] for day in pattern.get("daysOfWeek", ())]
    if pattern["type"] == "weekly":
        return {"BYDAY": ",".join(days), "WKST": _DAYS[pattern["firstDayOfWeek"]]}
    if len(days) == 1:
        return {"BYDAY": f"{_PLACES[pattern['index']]}{days[0]}"}
    if days:
        return {"BYDAY": ",".join(days), "BYSETPOS": _PLACES[pattern["index"]]}
    day = pattern.get("dayOfMonth")
    if day is None or day < 29:
        return {} if day is None else {"BYMONTHDAY": day}
    return {"BYMONTHDAY": ",".join(str(one) for one in range(28, day + 1)), "BYSETPOS": -1}


def _until(one: Json, last: date) -> str:
    if "days" in one:
        return last.strftime("%Y%m%d")
    return datetime.combine(last, time(23, 59), ZoneInfo(one["iana"])).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _time(one: Json, when: date) -> str:
    if not isinstance(when, datetime):
        return f";VALUE=DATE:{when.strftime('%Y%m%d')}"
    return f";TZID={one['iana']}:{when.strftime('%Y%m%dT%H%M%S')}" if one["iana"] != "UTC" else f":{when:%Y%m%dT%H%M%S}Z"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
