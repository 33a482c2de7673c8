"""Tasks and events: who and what they are about, closed tasks, and the times of an event.

Rules that hold here: a lead stands alone (no related-to record); the account is derived; the start, end, duration and date
fields of an event always agree, whichever of them a client sent.

It must never make series: an occurrence is an event of its own here.

Source: Object Reference, pages Task and Event ("Working with Dates and Times", multiday events, WhoId and WhatId).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from sandbox.salesforce import values
from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

DAY = 1440
LONGEST_MULTIDAY = 14 * DAY
EVENT_TIMES = ("StartDateTime", "ActivityDateTime", "ActivityDate", "EndDateTime", "DurationInMinutes", "IsAllDayEvent")
#: status of a new org -> whether it closes a task
STATUSES = (
    ("Not Started", False),
    ("In Progress", False),
    ("Completed", True),
    ("Waiting on someone else", False),
    ("Deferred", False),
)
#: A closed task or a past event is archived after this: plain queries do not see it any more.
ARCHIVED_AFTER = timedelta(days=365)


def check_who_and_what(records: Records, row: Row) -> None:
    """A lead has no related-to record; a campaign beside a lead is a switch (unsure). Derives AccountId."""
    who, what = records.referred(row["WhoId"]), records.referred(row["WhatId"])
    if row["WhoId"] and row["WhoId"].startswith("00Q") and row["WhatId"]:
        campaign = row["WhatId"].startswith("701")
        if not (campaign and records.world.switches.get("salesforce.lead_with_campaign", False)):
            raise refuse_row(
                "FIELD_INTEGRITY_EXCEPTION", "Related To ID: an activity of a lead cannot have a related-to record", "WhatId"
            )
    about = what if what and what["Id"].startswith("001") else None
    row["AccountId"] = about["Id"] if about else (what or {}).get("AccountId") or (who or {}).get("AccountId")


def task(records: Records, row: Row, old: Row | None) -> None:
    check_who_and_what(records, row)
    row["TaskSubtype"] = row["TaskSubtype"] or "Task"
    row["IsClosed"] = closes(records, row["Status"])
    row["IsHighPriority"] = row["Priority"] == "High"
    row["CompletedDateTime"] = (row["CompletedDateTime"] or records.now()) if row["IsClosed"] else None


def closes(records: Records, status: str | None) -> bool:
    """Whether a task of that status is closed: the org's own list says so."""
    field = records.object("TaskStatus").field("ApiName")
    rows = records.store.having(field, [status]) if field and status else []
    return any(row["IsClosed"] and not row["IsDeleted"] for row in rows)


def found_statuses(records: Records, user_id: str) -> None:
    """The statuses of a new org."""
    for order, (name, is_closed) in enumerate(STATUSES, start=1):
        fields = {"ApiName": name, "MasterLabel": name, "SortOrder": order, "IsDefault": order == 1, "IsClosed": is_closed}
        records.system_create("TaskStatus", fields, user_id)


def event(records: Records, row: Row, old: Row | None) -> None:
    check_who_and_what(records, row)
    sent = {name for name in EVENT_TIMES if row[name] != (old or {}).get(name)} - ({"IsAllDayEvent"} if old is None else set())
    if old is not None and not sent:
        return
    start = _start(row, old, sent)
    minutes = _minutes(records, row, old, sent, start)
    most = LONGEST_MULTIDAY if records.settings.multiday_events else DAY
    if not 0 <= minutes <= most:
        raise refuse_row("FIELD_INTEGRITY_EXCEPTION", f"Duration must be between 0 and {most} minutes", "EndDateTime")
    whole = row["IsAllDayEvent"]
    inclusive = whole and _ends_inclusive(records)
    end = start + timedelta(minutes=minutes - (DAY if inclusive else 0))
    last = start + timedelta(minutes=minutes - DAY) if whole else end
    row |= {
        "StartDateTime": values.written(start),
        "EndDateTime": values.written(end),
        "ActivityDateTime": None if whole else values.written(start),
        "ActivityDate": start.date().isoformat(),
        "EndDate": last.date().isoformat(),
        "DurationInMinutes": minutes,
    }


def is_archived(object_name: str, row: Row, now: datetime) -> bool:
    """Whether plain queries hide this activity: a closed task or an ended event older than a year."""
    limit = (now - ARCHIVED_AFTER).date().isoformat()
    if object_name == "Task":
        return bool(row["IsClosed"] and row["ActivityDate"] and row["ActivityDate"] < limit)
    return object_name == "Event" and bool(row["EndDate"] and row["EndDate"] < limit)


def _ends_inclusive(records: Records) -> bool:
    """Unsure: whether the end of an all-day event is its last day (inclusive) or the midnight after it."""
    return str(records.world.switches.get("salesforce.all_day_end", "inclusive")) == "inclusive"


def _start(row: Row, old: Row | None, sent: set[str]) -> datetime:
    given = [row[name] for name in ("StartDateTime", "ActivityDateTime") if name in sent and row[name]]
    if len(set(given)) > 1:
        raise refuse_row("FIELD_INTEGRITY_EXCEPTION", "ActivityDateTime: must match StartDateTime", "ActivityDateTime")
    if given:
        start = values.read(given[0])
    elif "ActivityDate" in sent and row["ActivityDate"] and row["IsAllDayEvent"]:
        start = values.read(row["ActivityDate"] + "T00:00:00.000+0000")
    elif old is not None and "StartDateTime" not in sent:
        start = values.read(old["StartDateTime"])
    else:
        raise refuse_row("REQUIRED_FIELD_MISSING", "Required fields are missing: [StartDateTime]", "StartDateTime")
    return datetime.combine(start.date(), time(), UTC) if row["IsAllDayEvent"] else start


def _minutes(records: Records, row: Row, old: Row | None, sent: set[str], start: datetime) -> int:
    by_end = None
    if "EndDateTime" in sent and row["EndDateTime"]:
        end = values.read(row["EndDateTime"])
        if row["IsAllDayEvent"]:
            days = (end.date() - start.date()).days + (1 if _ends_inclusive(records) else 0)
            by_end = (days if days or _ends_inclusive(records) else 1) * DAY
        else:
            by_end = int((end - start).total_seconds() // 60)
    given = row["DurationInMinutes"] if "DurationInMinutes" in sent else None
    if given is not None and row["IsAllDayEvent"]:
        given = max(1, -(-given // DAY)) * DAY
    if by_end is not None and given is not None and by_end != given:
        raise refuse_row("FIELD_INTEGRITY_EXCEPTION", "DurationInMinutes: must match EndDateTime", "DurationInMinutes")
    if by_end is not None or given is not None:
        return int(by_end if by_end is not None else given or 0)
    if row["IsAllDayEvent"]:
        return max(1, -(-int(old["DurationInMinutes"]) // DAY)) * DAY if old else DAY
    if old is not None:
        return int(old["DurationInMinutes"])
    raise refuse_row(
        "REQUIRED_FIELD_MISSING",
        "Required fields are missing: [DurationInMinutes, EndDateTime]",
        "DurationInMinutes",
        "EndDateTime",
    )
