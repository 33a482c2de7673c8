"""Recurring events as Salesforce Classic makes them (IsRecurrence): a main record and its occurrences.

Rules that hold here:
- The main record has IsRecurrence; it and every occurrence, an event of its own, name it in RecurrenceActivityId.
- Each type has all of its properties and no other; 24 hours at most; so many occurrences and no more.
- A change of the main record's content goes to the occurrences that are to come; another pattern for it is not built.
- Deleting the main record removes past and future occurrences.

It must never touch an event series of Lightning Experience.

Source: Object Reference, page Event, "Salesforce Classic Event Series and Recurring Events" and the fields Recurrence*;
Salesforce Help, "Considerations for Creating Recurring Events in Salesforce Classic" (numbers of occurrences).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sandbox.salesforce import event_people, event_times, invitees, series, values
from sandbox.salesforce.invitees import COPIED
from sandbox.salesforce.refused import Refused, refuse, refuse_row
from sandbox.salesforce.series_pattern import Pattern
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

PROPERTIES = frozenset(
    {"RecurrenceInterval", "RecurrenceDayOfWeekMask", "RecurrenceDayOfMonth", "RecurrenceInstance", "RecurrenceMonthOfYear"}
)
#: type -> (frequency, its properties, most occurrences)
TYPES = {
    "RecursDaily": ("DAILY", {"RecurrenceInterval"}, 100),
    "RecursEveryWeekday": ("WEEKLY", {"RecurrenceDayOfWeekMask"}, 100),
    "RecursWeekly": ("WEEKLY", {"RecurrenceInterval", "RecurrenceDayOfWeekMask"}, 53),
    "RecursMonthly": ("MONTHLY", {"RecurrenceInterval", "RecurrenceDayOfMonth"}, 60),
    "RecursMonthlyNth": ("MONTHLY", {"RecurrenceInterval", "RecurrenceInstance", "RecurrenceDayOfWeekMask"}, 60),
    "RecursYearly": ("YEARLY", {"RecurrenceDayOfMonth", "RecurrenceMonthOfYear"}, 10),
    "RecursYearlyNth": ("YEARLY", {"RecurrenceDayOfWeekMask", "RecurrenceInstance", "RecurrenceMonthOfYear"}, 10),
}
NEEDED = ("RecurrenceStartDateTime", "RecurrenceEndDateOnly", "RecurrenceType")
OF_THE_PATTERN = PROPERTIES | {*NEEDED, "RecurrenceTimeZoneSidKey"}
DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
WEEKDAYS = 62
POSITIONS = {"First": 1, "Second": 2, "Third": 3, "Fourth": 4, "Last": -1}
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def check_new(records: Records, row: Row) -> None:
    """Before a main record is created. Raises `Refused` where its pattern is none."""
    if not row["IsRecurrence"]:
        if any(row[name] is not None for name in OF_THE_PATTERN):
            raise _refused("recurrence fields can be set only where IsRecurrence is true", "IsRecurrence")
        return
    _check_properties(row)
    row["StartDateTime"] = row["StartDateTime"] or row["RecurrenceStartDateTime"]
    key = row["RecurrenceTimeZoneSidKey"]
    if key and series.zone_named(key) is None:
        message = f"Recurrence Time Zone: bad value for restricted picklist field: {key}"
        raise refuse_row("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, "RecurrenceTimeZoneSidKey")
    row["RecurrenceTimeZoneSidKey"] = key or series.zone_of(records, row["CreatedById"]).key
    row["RecurrenceActivityId"] = row["Id"]


def check_update(old: Row, changed: Sequence[str]) -> None:
    touched = [name for name in changed if name in OF_THE_PATTERN]
    if touched and old["IsRecurrence"]:
        raise refuse("NOT_BUILT", f"The sandbox has not built another pattern for a recurring event: {', '.join(touched)}.")
    if touched:
        raise _refused("recurrence fields can be set only where IsRecurrence is true", *touched)


def created(records: Records, row: Row) -> None:
    """After the main record is written: its occurrences, the first one too."""
    if not row["IsRecurrence"]:
        return
    if row["DurationInMinutes"] > event_times.DAY:
        raise _refused(f"Duration must be between 0 and {event_times.DAY} minutes", "DurationInMinutes")
    zone = ZoneInfo("UTC" if row["IsAllDayEvent"] else row["RecurrenceTimeZoneSidKey"])
    frequency, _, most = TYPES[row["RecurrenceType"]]
    pattern = Pattern(frequency, _rule(row), False, _until(row, zone))
    starts = list(islice(pattern.starts(values.read(row["RecurrenceStartDateTime"]), zone), most + 1))
    if not 1 <= len(starts) <= most:
        raise _refused(f"a {frequency.lower()} recurring event has 1 to {most} occurrences", "RecurrenceEndDateOnly")
    for start in starts:
        fields = {name: row[name] for name in (*COPIED, "OwnerId")} | {"RecurrenceActivityId": row["Id"]}
        fields |= event_times.of(records, start, row["DurationInMinutes"], row["IsAllDayEvent"])
        event_people.saved(records, records.system_create("Event", fields, row["CreatedById"]), None, {})


def changed(records: Records, row: Row, old: Row) -> None:
    """After the main record changed: what is to come changes alike."""
    if not row["IsRecurrence"]:
        return
    alike = series.travelling(row, old)
    for one in _occurrences(records, row["Id"]) if alike else ():
        if values.read(one["StartDateTime"]) > records.world.clock.now():
            now = records.system_update("Event", one["Id"], alike, row["LastModifiedById"])
            event_people.saved(records, now, one, {})
            invitees.parent_changed(records, now, one)


def binned(records: Records, row: Row, user_id: str) -> None:
    for one in _occurrences(records, row["Id"]) if row["IsRecurrence"] else ():
        records.system_delete("Event", one["Id"], user_id)


def _occurrences(records: Records, main_id: str) -> list[Row]:
    return [one for one in records.children("Event", "RecurrenceActivityId", main_id) if one["Id"] != main_id]


def _check_properties(row: Row) -> None:
    missing = [name for name in NEEDED if row[name] is None]
    needed = TYPES[row["RecurrenceType"]][1] if row["RecurrenceType"] in TYPES else set()
    missing += sorted(name for name in needed if row[name] is None)
    if missing:
        raise refuse_row("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)
    unused = sorted(name for name in PROPERTIES - needed if row[name] is not None)
    if unused:
        raise _refused(f"{row['RecurrenceType']}: unused properties must be null: {', '.join(unused)}", *unused)
    ranges = {"RecurrenceInterval": 999, "RecurrenceDayOfWeekMask": 127, "RecurrenceDayOfMonth": 31}
    for name, highest in ranges.items():
        if row[name] is not None and not 1 <= row[name] <= highest:
            raise refuse_row("NUMBER_OUTSIDE_VALID_RANGE", f"{name}: value outside of valid range: {row[name]}", name)
    if row["RecurrenceType"] == "RecursEveryWeekday" and row["RecurrenceDayOfWeekMask"] != WEEKDAYS:
        raise _refused("every weekday can't be Saturday or Sunday", "RecurrenceDayOfWeekMask")
    if row["RecurrenceStartDateTime"][:10] > row["RecurrenceEndDateOnly"]:
        raise _refused("the recurrence must start before it ends", "RecurrenceEndDateOnly")


def _rule(row: Row) -> str:
    """The main record's pattern as an RRULE."""
    parts = {"FREQ": TYPES[row["RecurrenceType"]][0], "INTERVAL": row["RecurrenceInterval"] or 1}
    if row["RecurrenceDayOfWeekMask"]:
        parts["BYDAY"] = ",".join(day for place, day in enumerate(DAYS) if row["RecurrenceDayOfWeekMask"] >> place & 1)
    if row["RecurrenceInstance"]:
        parts["BYSETPOS"] = POSITIONS[row["RecurrenceInstance"]]
    if row["RecurrenceDayOfMonth"]:
        parts["BYMONTHDAY"] = row["RecurrenceDayOfMonth"]
    if row["RecurrenceMonthOfYear"]:
        parts["BYMONTH"] = MONTHS.index(row["RecurrenceMonthOfYear"]) + 1
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _until(row: Row, zone: ZoneInfo) -> datetime:
    """The last instant of the last day on which an occurrence starts."""
    last = datetime.combine(datetime.fromisoformat(row["RecurrenceEndDateOnly"]).date(), time(), zone)
    return last + timedelta(days=1) - timedelta(seconds=1)


def _refused(message: str, *fields: str) -> Refused:
    return refuse_row("FIELD_INTEGRITY_EXCEPTION", message, *fields)
