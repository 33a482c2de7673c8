"""Series of events as Lightning Experience makes them (IsRecurrence2).

Rules that hold here:
- A created event with a pattern becomes the first occurrence; the platform makes the others, each an event of its own with the
  pattern on it. Nothing a client can see joins them.
- Only so many occurrences are kept; when a quarter of them is over, an open series grows again.
- A change of a coming occurrence changes all coming ones, and those that are over are marked IsRecurrence2Exclusion; a change
  of an occurrence that is over, or of one that a person changed alone, is an exception and stays alone (API 58.0 and later).
- A deleted occurrence stays away.

It must never make an event of a series a single one, or the other way round.

Source: Object Reference, page Event, "Event Series and Recurring Events" and the fields IsRecurrence2*, Recurrence2*. How many
occurrences are kept is a switch (`salesforce.series_occurrences`), so is whether the pattern shows as an event of its own with
GroupEventType 3 (`salesforce.series_pattern_event`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.salesforce import event_people, event_times, invitees, values
from sandbox.salesforce.invitees import COPIED
from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.schema import Field
from sandbox.salesforce.series_pattern import parse
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

#: Which series an occurrence belongs to, and its start as the pattern said it. The platform's own: no client sees them.
SERIES = Field("Event", "_Series", "reference")
ORIGINAL = "_Original"
OF_THE_SERIES = (
    "Recurrence2PatternText",
    "Recurrence2PatternVersion",
    "Recurrence2PatternStartDate",
    "Recurrence2PatternTimeZone",
)
KEPT = 100
GROWS_BELOW = 0.75
TIMES = frozenset({"StartDateTime", "EndDateTime", "ActivityDateTime", "ActivityDate", "EndDate", "DurationInMinutes"})
#: Fields whose rules join them: they travel together.
ABOUT = {"IsPrivate", "WhoId", "WhatId", "AccountId"}
#: What an occurrence has of its own: it does not travel to the others.
OWN = TIMES | {"IsAllDayEvent"}


def check_new(records: Records, row: Row) -> None:
    """Before an event is created: its pattern in the kept form, and the fields that follow from it."""
    if row["Recurrence2PatternText"] is None or row.get(SERIES.name):
        return
    if row["IsRecurrence"]:
        raise _refused("an event can't have both kinds of recurrence", "IsRecurrence")
    try:
        pattern = parse(row["Recurrence2PatternText"])
    except ValueError as error:
        raise _refused(f"Recurrence Pattern: {error}") from None
    zone = zone_of(records, row["CreatedById"])
    first = next(pattern.starts(values.read(row["StartDateTime"]), _wall(row, zone)), None)
    if first is None:
        raise _refused("Recurrence Pattern: the series has no occurrence")
    row |= event_times.of(records, first, row["DurationInMinutes"], row["IsAllDayEvent"])
    row |= {
        "IsRecurrence2": True,
        "Recurrence2PatternText": pattern.text,
        "Recurrence2PatternVersion": "1",
        "Recurrence2PatternStartDate": row["StartDateTime"],
        "Recurrence2PatternTimeZone": zone.key,
        SERIES.name: row["Id"],
        ORIGINAL: row["StartDateTime"],
    }


def created(records: Records, row: Row) -> None:
    """After the first occurrence is written: the others, and the event of the pattern where the org shows one."""
    if row.get(SERIES.name) != row["Id"]:
        return
    _grow(records, row, [row], _kept(records) - 1)
    if records.world.switches.get("salesforce.series_pattern_event", False):
        shown = {name: row[name] for name in (*COPIED, *OF_THE_SERIES, "OwnerId", "IsRecurrence2")}
        of_the_pattern = {"GroupEventType": "3", SERIES.name: f"pattern of {row['Id']}"}
        records.system_create("Event", {**shown, **of_the_pattern}, row["CreatedById"])


def check_update(records: Records, row: Row, old: Row, changed: Sequence[str]) -> None:
    """A change of an occurrence that is over makes it an exception."""
    if old.get(SERIES.name) and changed and not old["IsRecurrence2Exception"] and _is_over(records, old):
        row["IsRecurrence2Exception"] = True


def changed(records: Records, row: Row, old: Row) -> None:
    """After a change of a coming occurrence: the other ones that are to come change alike."""
    if not row.get(SERIES.name) or row["IsRecurrence2Exception"]:
        return
    alike = travelling(row, old)
    moved = any(row[name] != old[name] for name in OWN)
    if not alike and not moved:
        return
    for other in _occurrences(records, row[SERIES.name]):
        if _is_over(records, other):
            if other["Id"] != row["Id"] and not other["IsRecurrence2Exclusion"]:
                records.system_update("Event", other["Id"], {"IsRecurrence2Exclusion": True}, row["LastModifiedById"])
            continue
        times = _moved(records, row, old, other) if moved and not other["IsRecurrence2Exception"] else {}
        differing = {name: value for name, value in {**alike, **times}.items() if other.get(name) != value}
        if differing:
            now = records.system_update("Event", other["Id"], differing, row["LastModifiedById"])
            event_people.saved(records, now, other, {})
            invitees.parent_changed(records, now, other)


def travelling(row: Row, old: Row) -> Row:
    """What a change of one event of a series does to the others, apart from times. Whom and what it is about goes as one."""
    changed = {name for name in (*COPIED, "OwnerId") if name not in OWN and row[name] != old[name]}
    return {name: row[name] for name in changed | (ABOUT if changed & ABOUT else set())}


def change_alone(records: Records, event_id: str, sent: dict[str, Any], user_id: str) -> None:
    """What a person does in the calendar with "only this event"; the REST API has no such call. Raises `Refused`."""
    if not records.live(records.object("Event"), event_id).get(SERIES.name):
        raise _refused("the event is no occurrence of a series", "Id")
    records.system_update("Event", event_id, {"IsRecurrence2Exception": True})
    records.update("Event", event_id, sent, user_id)


def roll(records: Records) -> None:
    """Lets every open series grow that has used up a quarter of what is kept."""
    for series_id in records.store.values_of(SERIES):
        occurrences = _occurrences(records, series_id)
        coming = sum(1 for one in occurrences if not _is_over(records, one))
        if occurrences and coming <= _kept(records) * GROWS_BELOW:
            _grow(records, occurrences[-1], records.store.having(SERIES, [series_id]), _kept(records) - coming)


def zone_of(records: Records, user_id: str) -> ZoneInfo:
    """The zone of a user; UTC where theirs is unknown."""
    user = records.referred(user_id)
    return zone_named(user["TimeZoneSidKey"] if user else None) or ZoneInfo("UTC")


def zone_named(key: str | None) -> ZoneInfo | None:
    """The IANA zone of that name, None where there is none."""
    try:
        return ZoneInfo(key) if key else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def _kept(records: Records) -> int:
    return int(records.world.switches.get("salesforce.series_occurrences", KEPT))


def _grow(records: Records, like: Row, known: Sequence[Row], number: int) -> None:
    """Makes up to that many occurrences after the last one there ever was. `known`: all of them, deleted ones too."""
    zone = _wall(like, ZoneInfo(like["Recurrence2PatternTimeZone"]))
    starts = parse(like["Recurrence2PatternText"]).starts(values.read(like["Recurrence2PatternStartDate"]), zone)
    last = values.read(max(one[ORIGINAL] for one in known))
    for start in islice((start for start in starts if start > last), number):
        _make(records, like, start)


def _make(records: Records, like: Row, start: datetime) -> None:
    fields = {name: like[name] for name in (*COPIED, *OF_THE_SERIES, "OwnerId", "IsRecurrence2", SERIES.name)}
    fields |= event_times.of(records, start, like["DurationInMinutes"], like["IsAllDayEvent"])
    made = records.system_create("Event", {**fields, ORIGINAL: fields["StartDateTime"]}, like["CreatedById"])
    event_people.saved(records, made, None, {})


def _moved(records: Records, row: Row, old: Row, other: Row) -> Row:
    """The times of another occurrence, moved as far on the wall clock as this one was; its place in the pattern moves along."""
    zone = _wall(row, ZoneInfo(row["Recurrence2PatternTimeZone"]))
    distance = _local(row["StartDateTime"], zone) - _local(old["StartDateTime"], zone)
    start = other["StartDateTime"] if other["Id"] == row["Id"] else _later(other["StartDateTime"], zone, distance)
    times = event_times.of(records, values.read(start), row["DurationInMinutes"], row["IsAllDayEvent"])
    place = {name: _later(other[name], zone, distance) for name in (ORIGINAL, "Recurrence2PatternStartDate")}
    return {**times, **place, "IsAllDayEvent": row["IsAllDayEvent"]}


def _local(text: str, zone: ZoneInfo) -> datetime:
    return values.read(text).astimezone(zone).replace(tzinfo=None)


def _later(text: str, zone: ZoneInfo, distance: timedelta) -> str:
    return values.written((_local(text, zone) + distance).replace(tzinfo=zone))


def _wall(row: Row, zone: ZoneInfo) -> ZoneInfo:
    """The wall clock that repeats: that of the series, and UTC for all-day events, which are dates."""
    return ZoneInfo("UTC") if row["IsAllDayEvent"] else zone


def _occurrences(records: Records, series_id: str) -> list[Row]:
    """The live occurrences, by their place in the pattern."""
    rows = [row for row in records.store.having(SERIES, [series_id]) if not row["IsDeleted"] and ORIGINAL in row]
    return sorted(rows, key=lambda row: str(row[ORIGINAL]))


def _is_over(records: Records, row: Row) -> bool:
    return bool(values.read(row["StartDateTime"]) <= records.world.clock.now())


def _refused(message: str, field: str = "Recurrence2PatternText") -> Exception:
    return refuse_row("FIELD_INTEGRITY_EXCEPTION", message, field)
