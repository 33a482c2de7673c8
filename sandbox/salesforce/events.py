"""The rules of an event as a whole: what it may be about, whose it is, and what changes with it.

Rules that hold here:
- A private event is about nobody and nothing.
- An owner is a user or a public calendar; who becomes the owner of an event is no invitee of it any more.
- A child event is its invitee's copy: only its reminder is its own, everything else follows the parent (`invitees`).
- An event that is part of a series changes and goes as the series' module says (`series`, `series_classic`).

It must never compute a time (`event_times`) nor expand a pattern (`series_pattern`).

Source: Object Reference, page Event: fields IsChild, IsPrivate, OwnerId, "Event Series and Recurring Events".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import event_people, event_times, invitees, series, series_classic
from sandbox.salesforce.activities import check_who_and_what
from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

#: What a client may change of a child event.
OF_A_CHILD = frozenset({"IsReminderSet", "ReminderDateTime"})
PUBLIC_CALENDAR = "Public"


def gather(records: Records, row: Row, old: Row | None, lists: Mapping[str, Any]) -> None:
    """Before everything else: a child is left alone, and lists of people name the primary one."""
    if old is not None and old["IsChild"] and lists:
        raise _of_the_parent(*lists)
    event_people.gather(records, row, old, lists)


def check_update(records: Records, row: Row, old: Row, changes: Row) -> None:
    changed = [name for name, value in changes.items() if value != old.get(name)]  # the row may be older than a custom field
    if old["IsChild"] and (foreign := [name for name in changed if name not in OF_A_CHILD]):
        raise _of_the_parent(*foreign)
    series_classic.check_update(old, changed)
    sent = changes.keys() & event_times.SENT_TIMES
    if any(name in event_times.SENT_TIMES for name in changed):
        event_times.settle(records, row, old, sent)
    series.check_update(records, row, old, changed)


def check(records: Records, row: Row, old: Row | None) -> None:
    check_who_and_what(records, row)
    if row["IsPrivate"] and (row["WhoId"] or row["WhatId"]):
        named = [name for name in ("WhoId", "WhatId") if row[name]]
        raise refuse_row("FIELD_INTEGRITY_EXCEPTION", "A private event can't be related to other records", "IsPrivate", *named)
    owner = records.referred(row["OwnerId"])
    if owner is not None and owner["Id"].startswith("023") and owner["Type"] != PUBLIC_CALENDAR:
        raise refuse_row(
            "FIELD_INTEGRITY_EXCEPTION", "Assigned To ID: only a user or a public calendar can own an event", "OwnerId"
        )
    if old is None:
        series_classic.check_new(records, row)
        event_times.settle(records, row, None, {name for name in event_times.SENT_TIMES if row[name] is not None})
        series.check_new(records, row)
        row["EventSubtype"] = row["EventSubtype"] or "Event"


def saved(records: Records, row: Row, old: Row | None, lists: Mapping[str, Any]) -> None:
    event_people.saved(records, row, old, lists)
    if old is None:
        series.created(records, row)
        series_classic.created(records, row)
    elif not row["IsChild"]:
        invitees.parent_changed(records, row, old)
        series.changed(records, row, old)
        series_classic.changed(records, row, old)


def binned(records: Records, row: Row, user_id: str) -> None:
    if row["IsChild"]:
        invitees.child_binned(records, row, user_id)
    series_classic.binned(records, row, user_id)


def _of_the_parent(*names: str) -> Exception:
    return refuse_row(
        "FIELD_INTEGRITY_EXCEPTION",
        f"Only IsReminderSet and ReminderDateTime can be updated on a child event: {', '.join(names)}",
        *names,
    )
