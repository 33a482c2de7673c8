"""Invitees of an event: EventRelation, and the child event that a user's invitation makes.

Rules that hold here:
- Every invitee is a row of EventRelation that names the parent event. An invited user also gets a child event of their own:
  IsChild on it, IsGroupEvent and GroupEventType 1 on both. Contacts, leads and resources get none.
- A child shows what its parent shows, and goes when the invitation or the parent goes. A child has no invitees of its own:
  who asks for those of a child is told those of the parent.
- A resource is available and accepts, or the event is not saved.
- Nobody is invited twice; 1,000 invitees at most, 100 in a series.

It must never answer a status for an invitee: only a client or a person sets it.

Source: Object Reference, pages EventRelation and Event ("Attendees, Invitees, and Resources"); Change Data Capture Developer
Guide, "Event Invitees". Switches where no page says: whether an owner may be invited (`salesforce.owner_may_be_invited`),
whether an invitation moves its event's SystemModstamp (`salesforce.invitee_touches_event`), what deleting a child means
(`salesforce.child_deleted`: "uninvites" or "declines").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import event_people
from sandbox.salesforce.refused import Refused, refuse, refuse_row
from sandbox.salesforce.schema import Field
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

#: Which event a child belongs to. The platform's own, no column: no client sees it.
PARENT = Field("Event", "_Parent", "reference")
#: What a child has from its parent.
COPIED = (
    "Subject", "Location", "Description", "WhoId", "WhatId", "AccountId", "IsPrivate", "ShowAs", "IsAllDayEvent",
    "StartDateTime", "EndDateTime", "ActivityDateTime", "ActivityDate", "EndDate", "DurationInMinutes",
)  # fmt: skip
MOST_INVITEES, MOST_IN_A_SERIES = 1000, 100
GROUP, NO_GROUP = {"IsGroupEvent": True, "GroupEventType": "1"}, {"IsGroupEvent": False, "GroupEventType": "0"}
RESOURCE = "Resource"


def gather(records: Records, row: Row, old: Row | None, _lists: Mapping[str, Any]) -> None:
    """A client invites; who an event is with and what it is about is written on the event."""
    if any(row.get(name, False) != (old or {}).get(name, False) for name in ("IsParent", "IsWhat")):
        raise refuse("NOT_BUILT", "The sandbox has not built relations with IsParent or IsWhat; use EventWhoIds and WhatId.")


def check(records: Records, row: Row, old: Row | None) -> None:
    """Before an invitation (or, with Shared Activities, another relation) is written."""
    row["IsInvitee"] = row.get("IsInvitee") or not row.get("IsParent")
    if not row["IsInvitee"]:
        return
    row["Status"] = row["Status"] or "New"
    if row["RelationId"] and row["RelationId"].startswith("023"):
        _check_resource(records, row)
    if old is not None:
        return
    event = records.referred(row["EventId"])
    if event is None:
        return  # a missing EventId is refused as a required field
    if event["IsChild"]:
        raise _refused("Event ID: an event relation can't be created for a child event", "EventId")
    if event["OwnerId"] == row["RelationId"] and not records.world.switches.get("salesforce.owner_may_be_invited", False):
        raise _refused("Relation ID: the owner of an event can't be invited to it", "RelationId")
    others = records.children("EventRelation", "EventId", event["Id"])
    if any(other["RelationId"] == row["RelationId"] for other in others):
        raise refuse_row(
            "DUPLICATE_VALUE", "duplicate value found: <unknown> duplicates value on record with id: <unknown>", "RelationId"
        )
    most = MOST_IN_A_SERIES if event["IsRecurrence"] or event["IsRecurrence2"] else MOST_INVITEES
    if len(others) >= most:
        raise _refused(f"Event ID: an event can have at most {most} invitees", "EventId")


def saved(records: Records, row: Row, old: Row | None, _lists: Mapping[str, Any]) -> None:
    """After a client wrote an invitation: the child of an invited user, and what the event says of itself."""
    event = records.referred(row["EventId"])
    if event is None:
        return
    if row["IsInvitee"] and (old is None or not old["IsInvitee"]):
        _mark(records, event, GROUP)
        if row["RelationId"].startswith("005"):
            _make_child(records, event, row["RelationId"], row["CreatedById"])
    _touch(records, event["Id"])


def relation_binned(records: Records, row: Row, user_id: str) -> None:
    """The invitation is gone, and the child with it; without invitees an event is no group event."""
    if changed := event_people.relation_binned(records, row):
        follow(records, changed)
    if not row["IsInvitee"]:
        return
    for child in _children(records, row["EventId"]):
        if child["OwnerId"] == row["RelationId"]:
            records.system_delete("Event", child["Id"], user_id)
    event = records.referred(row["EventId"])
    if event is None:
        return
    if not any(other["IsInvitee"] for other in records.children("EventRelation", "EventId", event["Id"])):
        _mark(records, event, NO_GROUP)
    _touch(records, event["Id"])


def relation_back(records: Records, row: Row, user_id: str) -> None:
    """The invitation came out of the recycle bin with its event; so does the child."""
    mine = [c for c in records.store.having(PARENT, [row["EventId"]]) if c["OwnerId"] == row["RelationId"] and c["IsDeleted"]]
    if mine and row["IsInvitee"]:
        records.undelete("Event", mine[-1]["Id"], user_id)


def master_of(records: Records, event_id: str | None) -> str | None:
    """The parent's id for that of a child, any other id as it is: relations are asked for by either."""
    row = records.store.get("Event", event_id) if event_id else None
    return str(row[PARENT.name]) if row is not None and row["IsChild"] else event_id


def child_binned(records: Records, row: Row, user_id: str) -> None:
    """A person deleted the own copy: the invitation goes, or stays as declined (a switch)."""
    for relation in _relations(records, row["_Parent"], row["OwnerId"]):
        if records.world.switches.get("salesforce.child_deleted", "uninvites") == "declines":
            records.system_update("EventRelation", relation["Id"], {"Status": "Declined"}, user_id)
        else:
            records.system_delete("EventRelation", relation["Id"], user_id)


def parent_changed(records: Records, parent: Row, before: Row) -> None:
    """An event changed: who owns it now is no invitee, and its children show what it shows."""
    if parent["OwnerId"] != before["OwnerId"]:
        for relation in _relations(records, parent["Id"], parent["OwnerId"]):
            records.system_delete("EventRelation", relation["Id"], parent["LastModifiedById"])
    follow(records, parent)


def follow(records: Records, parent: Row) -> None:
    """The children show what their parent shows now."""
    for child in _children(records, parent["Id"]):
        changed = {name: parent[name] for name in COPIED if child[name] != parent[name]}
        if changed:
            records.system_update("Event", child["Id"], changed, parent["LastModifiedById"])


def _check_resource(records: Records, row: Row) -> None:
    calendar, event = records.referred(row["RelationId"]), records.referred(row["EventId"])
    if calendar is None or calendar["Type"] != RESOURCE:
        raise _refused("Relation ID: of the calendars only a resource can be invited", "RelationId")
    if row["Status"] not in ("New", "Accepted"):
        raise _refused("Status: a resource can only accept", "Status")
    row["Status"] = "Accepted"
    if event is not None and any(_overlap(event, other) for other in _booked(records, row)):
        raise _refused("Relation ID: the resource isn't available", "RelationId")


def _booked(records: Records, row: Row) -> list[Row]:
    """The other events that the resource is invited to."""
    taken = records.children("EventRelation", "RelationId", row["RelationId"])
    events = [records.referred(other["EventId"]) for other in taken if other["EventId"] != row["EventId"]]
    return [event for event in events if event is not None]


def _overlap(one: Row, other: Row) -> bool:
    return bool(one["StartDateTime"] < other["EndDateTime"] and other["StartDateTime"] < one["EndDateTime"])


def _make_child(records: Records, event: Row, invitee_id: str, user_id: str) -> None:
    copied = {name: event[name] for name in COPIED}
    own = {"OwnerId": invitee_id, "IsChild": True, PARENT.name: event["Id"], **GROUP}
    records.system_create("Event", {**copied, **own}, user_id)


def _children(records: Records, parent_id: str) -> list[Row]:
    return [child for child in records.store.having(PARENT, [parent_id]) if not child["IsDeleted"]]


def _relations(records: Records, event_id: str, person_id: str) -> list[Row]:
    found = records.children("EventRelation", "EventId", event_id)
    return [relation for relation in found if relation["RelationId"] == person_id and relation["IsInvitee"]]


def _mark(records: Records, event: Row, marks: Row) -> None:
    if any(event[name] != value for name, value in marks.items()):
        records.system_update("Event", event["Id"], marks)


def _touch(records: Records, event_id: str) -> None:
    if records.world.switches.get("salesforce.invitee_touches_event", False):
        records.system_update("Event", event_id, {})


def _refused(message: str, field: str) -> Refused:
    return refuse_row("FIELD_INTEGRITY_EXCEPTION", message, field)
