"""Shared Activities: the several people of one event or task, as lists in a request and as relations in the org.

Rules that hold here:
- Without the org's setting the lists are unknown fields; with it EventWhoIds and TaskWhoIds name up to 50 contacts or a lead.
- WhoId is the primary one: the first of the list where none is named; one that is not in the list joins it; where it is taken
  away another of the list moves up.
- Each of them, and the record an activity is about, is a row of EventRelation (IsParent; IsWhat) or TaskRelation. Someone who
  is invited as well is one row with both flags.

It must never be asked for these fields by a query: they are no columns.

Source: Object Reference, pages Event (EventWhoIds, WhoId, WhoCount, WhatCount), Task, EventRelation, TaskRelation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import ids
from sandbox.salesforce.activities import check_who_and_what
from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.schema import Field
from sandbox.salesforce.store import Row
from sandbox.salesforce.values import ParseRefused

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

MOST_CONTACTS = 50
#: prefix of an activity -> (its list, its relation object, the relation's field for the activity)
LISTS = {"00U": ("EventWhoIds", "EventRelation", "EventId"), "00T": ("TaskWhoIds", "TaskRelation", "TaskId")}


def _flag(owner: str, name: str) -> Field:
    return Field(owner, name, "boolean", flags=frozenset("fsgdcu"), label=name, default=False)


def _count(owner: str, name: str) -> Field:
    return Field(owner, name, "int", flags=frozenset("nfsg"), label=name, number=(9, 0, 0))


#: Fields and objects that an org has with Shared Activities only.
SHARED_FIELDS = (
    *(_flag("EventRelation", name) for name in ("IsParent", "IsInvitee", "IsWhat")),
    *(_count(owner, name) for owner in ("Event", "Task") for name in ("WhoCount", "WhatCount")),
)
SHARED_OBJECTS = frozenset({"TaskRelation"})


def gather(records: Records, row: Row, old: Row | None, lists: Mapping[str, Any]) -> None:
    """Settles WhoId from the list of the request. Raises `Refused` for a list that cannot be."""
    if not records.settings.shared_activities:
        return
    named = _named(records, row, lists)
    unchanged = old is not None and row["WhoId"] == old["WhoId"]
    if named and (row["WhoId"] is None or (unchanged and row["WhoId"] not in named)):
        row["WhoId"] = named[0]
    elif named is None and old is not None and old["WhoId"] and row["WhoId"] is None:
        left = [person for person in _people(records, row) if person != old["WhoId"]]
        row["WhoId"] = left[0] if left else None
    people = _wanted(records, row, old, named)
    leads = [person for person in people if person.startswith("00Q")]
    if len(people) > (1 if leads else MOST_CONTACTS):
        list_name = LISTS[row["Id"][:3]][0]
        raise refuse_row(
            "FIELD_INTEGRITY_EXCEPTION",
            f"{list_name}: an activity can be related to up to {MOST_CONTACTS} contacts or one lead",
            list_name,
        )


def saved(records: Records, row: Row, old: Row | None, lists: Mapping[str, Any]) -> None:
    """Makes the relations say what the activity says."""
    if not records.settings.shared_activities or row.get("IsChild"):
        return
    people = _wanted(records, row, old, _named(records, row, lists))
    wanted = {**dict.fromkeys(people, "IsParent"), **({row["WhatId"]: "IsWhat"} if row["WhatId"] else {})}
    for relation in _relations(records, row):
        flag = wanted.pop(relation["RelationId"], None)
        if flag is None:
            _take_away(records, row, relation)
        elif not relation.get(flag):
            records.system_update(LISTS[row["Id"][:3]][1], relation["Id"], {flag: True})
    for related_id, flag in wanted.items():
        _relate(records, row, related_id, flag)


def is_person(relation: Row) -> bool:
    """Whether a relation says who an activity is with: neither an invitation alone nor what it is about."""
    return bool(relation.get("IsParent")) and not relation.get("IsWhat")


def counted(records: Records, row: Row, name: str) -> int:
    """WhoCount or WhatCount of an activity: how many relations of that kind it has."""
    if name == "WhatCount":
        return 1 if row["WhatId"] else 0
    return len(_people(records, row)) or (1 if row["WhoId"] else 0)


def relation_binned(records: Records, relation: Row) -> Row | None:
    """A living event no longer names whom the relation named: where the primary person went, another one moves up.

    The changed event, None where nothing changed.
    """
    event = records.referred(relation["EventId"])
    field = "WhatId" if relation.get("IsWhat") else "WhoId"
    if event is None or not relation.get("IsParent") or event[field] != relation["RelationId"]:
        return None
    left = _people(records, event) if field == "WhoId" else []
    changed = {**event, field: left[0] if left else None}
    check_who_and_what(records, changed)
    return records.system_update("Event", event["Id"], {name: changed[name] for name in (field, "AccountId")})


def _named(records: Records, row: Row, lists: Mapping[str, Any]) -> list[str] | None:
    """The people of the request's list, None where it has none. Null is the empty list."""
    name = LISTS[row["Id"][:3]][0]
    if name not in lists:
        return None
    sent = lists[name] or []
    if not isinstance(sent, list) or not all(isinstance(one, str) for one in sent):
        raise ParseRefused("JSON_PARSER_ERROR", f"Cannot deserialize instance of JunctionIdList from value of {name}")
    found: dict[str, None] = {}
    for one in sent:
        person_id = ids.canonical(one)
        if person_id is None or person_id[:3] not in ("003", "00Q"):
            raise refuse_row("MALFORMED_ID", f"{name}: id value of incorrect type: {one}", name)
        if records.referred(person_id) is None:
            raise refuse_row("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", name)
        found[person_id] = None
    return list(found)


def _wanted(records: Records, row: Row, old: Row | None, named: list[str] | None) -> list[str]:
    """Everybody the activity is with from now on, the primary one first; nobody without a primary one."""
    if row["WhoId"] is None:
        return []
    if named is None:
        before = old["WhoId"] if old else None
        kept = [person for person in _people(records, row) if person != before or person == row["WhoId"]]
    else:
        kept = named
    return list(dict.fromkeys([row["WhoId"], *kept]))


def _relations(records: Records, row: Row) -> list[Row]:
    _, object_name, field_name = LISTS[row["Id"][:3]]
    return records.children(object_name, field_name, row["Id"])


def _people(records: Records, row: Row) -> list[str]:
    return [one["RelationId"] for one in _relations(records, row) if is_person(one)]


def _relate(records: Records, row: Row, related_id: str, flag: str) -> None:
    _, object_name, field_name = LISTS[row["Id"][:3]]
    fields = {field_name: row["Id"], "RelationId": related_id, "IsParent": True, "IsWhat": flag == "IsWhat"}
    records.system_create(object_name, fields, row["LastModifiedById"])


def _take_away(records: Records, row: Row, relation: Row) -> None:
    """An invitation outlives the relation; a relation that is nothing else goes."""
    _, object_name, _ = LISTS[row["Id"][:3]]
    if not relation.get("IsInvitee"):
        records.system_delete(object_name, relation["Id"], row["LastModifiedById"])
    elif relation.get("IsParent") or relation.get("IsWhat"):
        records.system_update(object_name, relation["Id"], {"IsParent": False, "IsWhat": False})
