"""When an event is: start, end, duration and date agree, whichever of them a client sent.

Rules that hold here:
- A timed event needs a start and an end or a duration; both may be sent where they add up to the same. An all-day event lasts
  one day where neither is sent; its instants are midnights UTC, whatever time of day was sent.
- ActivityDateTime and ActivityDate match the start or are null.
- An event lasts a day at most, or 14 days in an org with Multiday Events.
- What is wrong with the length is told on DurationInMinutes where that was sent, else on EndDateTime (API 39.0 and later).

It must never look at another event.

Source: Object Reference, page Event: the fields named above, "Multiday Events". That the end of an all-day event is its last
day is remembered only, so it is a switch (`salesforce.all_day_end`).
"""

from __future__ import annotations

from collections.abc import Set
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from sandbox.salesforce import values
from sandbox.salesforce.refused import Refused, refuse_row
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

DAY = 1440
LONGEST_MULTIDAY = 14 * DAY
#: Years that Salesforce knows (SOAP API Developer Guide, "Primitive Data Types").
YEARS = range(1700, 4001)
#: What a client may send about the time of an event.
SENT_TIMES = frozenset(
    {"StartDateTime", "ActivityDateTime", "ActivityDate", "EndDateTime", "DurationInMinutes", "IsAllDayEvent"}
)


def settle(records: Records, row: Row, old: Row | None, sent: Set[str]) -> None:
    """Makes the times of a row agree. `sent`: the names of `SENT_TIMES` that the client gave. Raises `Refused`."""
    start = _start(row, old, sent)
    if start.year not in YEARS:
        raise _refused(f"StartDateTime: the year must be between {YEARS[0]} and {YEARS[-1]}", "StartDateTime")
    minutes = _minutes(records, row, old, sent, start)
    most = LONGEST_MULTIDAY if records.settings.multiday_events else DAY
    if not (DAY if row["IsAllDayEvent"] else 0) <= minutes <= most:
        raise _refused(f"Duration must be between 0 and {most} minutes", _length_field(row, sent))
    if "ActivityDate" in sent and row["ActivityDate"] not in (None, start.date().isoformat()):
        raise _refused("ActivityDate: must match StartDateTime", "ActivityDate")
    row |= of(records, start, minutes, row["IsAllDayEvent"])


def of(records: Records, start: datetime, minutes: int, whole: bool) -> Row:
    """Every time field of an event that starts then and lasts that long. `whole`: it is an all-day event."""
    start = datetime.combine(start.date(), time(), UTC) if whole else start
    inclusive = whole and _ends_inclusive(records)
    end = start + timedelta(minutes=minutes - (DAY if inclusive else 0))
    last = start + timedelta(minutes=minutes - DAY) if whole else end
    return {
        "StartDateTime": values.written(start),
        "EndDateTime": values.written(end),
        "ActivityDateTime": None if whole else values.written(start),
        "ActivityDate": start.date().isoformat(),
        "EndDate": last.date().isoformat(),
        "DurationInMinutes": minutes,
    }


def _ends_inclusive(records: Records) -> bool:
    """Unsure: whether the end of an all-day event is its last day (inclusive) or the midnight after it."""
    return str(records.world.switches.get("salesforce.all_day_end", "inclusive")) == "inclusive"


def _start(row: Row, old: Row | None, sent: Set[str]) -> datetime:
    given = [row[name] for name in ("StartDateTime", "ActivityDateTime") if name in sent and row[name]]
    if len(set(given)) > 1:
        raise _refused("ActivityDateTime: must match StartDateTime", "ActivityDateTime")
    if given:
        start = values.read(given[0])
    elif "ActivityDate" in sent and row["ActivityDate"] and row["IsAllDayEvent"]:
        start = values.read(row["ActivityDate"] + "T00:00:00.000+0000")
    elif old is not None and "StartDateTime" not in sent:
        start = values.read(old["StartDateTime"])
    else:
        raise _missing("StartDateTime")
    return datetime.combine(start.date(), time(), UTC) if row["IsAllDayEvent"] else start


def _minutes(records: Records, row: Row, old: Row | None, sent: Set[str], start: datetime) -> int:
    whole = row["IsAllDayEvent"]
    by_end = _minutes_to_end(records, row, start) if "EndDateTime" in sent and row["EndDateTime"] else None
    given = row["DurationInMinutes"] if "DurationInMinutes" in sent else None
    if given is not None and whole:
        given = _whole_days(given)
    if by_end is not None and given is not None and by_end != given:
        raise _refused("DurationInMinutes: must match EndDateTime", "DurationInMinutes")
    if by_end is not None or given is not None:
        return int(by_end if by_end is not None else given or 0)
    if whole:
        return _whole_days(int(old["DurationInMinutes"])) if old else DAY
    if old is not None:
        return int(old["DurationInMinutes"])
    raise _missing("DurationInMinutes", "EndDateTime")


def _minutes_to_end(records: Records, row: Row, start: datetime) -> int:
    end = values.read(row["EndDateTime"])
    if not row["IsAllDayEvent"]:
        return int((end - start).total_seconds() // 60)
    days = (end.date() - start.date()).days + (1 if _ends_inclusive(records) else 0)
    return (days if days or _ends_inclusive(records) else 1) * DAY


def _whole_days(minutes: int) -> int:
    return max(1, -(-minutes // DAY)) * DAY


def _length_field(row: Row, sent: Set[str]) -> str:
    return "DurationInMinutes" if "DurationInMinutes" in sent and row["DurationInMinutes"] is not None else "EndDateTime"


def _refused(message: str, field: str) -> Refused:
    return refuse_row("FIELD_INTEGRITY_EXCEPTION", message, field)


def _missing(*fields: str) -> Refused:
    return refuse_row("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(fields)}]", *fields)
