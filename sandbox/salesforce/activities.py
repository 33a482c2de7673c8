"""What tasks and events share: who and what they are about, what is archived; and the rules of tasks.

Rules that hold here: a lead stands alone (no related-to record); the account is derived; the org's own list says which
statuses close a task.

It must never know an event's times, invitees or series: these have modules of their own (`events`).

Source: Object Reference, pages Task, TaskStatus and Event (WhoId and WhatId).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

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


def archive_limit(now: datetime) -> str:
    """The day before which activities are archived."""
    return (now - ARCHIVED_AFTER).date().isoformat()


def is_archived(object_name: str, row: Row, limit: str) -> bool:
    """Whether plain queries hide this activity: a closed task or an ended event before the day `archive_limit` gives."""
    if object_name == "Task":
        return bool(row["IsClosed"] and row["ActivityDate"] and row["ActivityDate"] < limit)
    return object_name == "Event" and bool(row["EndDate"] and row["EndDate"] < limit)
