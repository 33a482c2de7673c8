"""From a Salesforce Event to the canonical fields of an event, and back. Pure.

Rules that hold here (fields.py, kind "event"; behaviour.md 1.4):
- How long an all-day event is stands in DurationInMinutes alone: what its EndDateTime means nobody is sure of. It is read from
  there and written there, with a start at midnight UTC. A timed event is written by its two instants: minutes have no seconds.
- Salesforce knows no zone, and of busy words only three.
- A field that this user may not see is absent from the item, and one that they may not write is left out of what is written.
- Of somebody else's private event the words may be hidden: where all of them are empty they are absent, not emptied.
- Only a row that says so is deleted. What is not answered at all may be hidden from this user.
- A child event is its invitee's copy and a series is only a pattern: neither is ours to sync.

It must never decide what is synced, nor say what is not there: an absent field is no empty field.

Source: Object Reference, pages Event ("All-day events", DurationInMinutes, ShowAs, IsPrivate, IsChild, GroupEventType) and
EventRelation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from shared.core import fields as law
from shared.core.model import Facts, Fields, Item, Seen, Value
from shared.crm.salesforce_event_people import Relation, answers_of, people_of
from shared.crm.salesforce_map import moment
from shared.crm.salesforce_text import clean, line, narrow
from shared.crm.salesforce_versions import UNSEEN
from shared.crm.schema import Described

KEY = "Mailspan_Key__c"
DAY = timedelta(days=1)
MINUTES = 1440
#: what every user sees of every event.
SYSTEM = (
    "Id", "OwnerId", "IsChild", "IsDeleted", "CreatedById", "CreatedDate", "LastModifiedById", "SystemModstamp",
)  # fmt: skip
#: what is asked for where this user sees it.
FIELDS = (
    "Subject", "Location", "Description", "StartDateTime", "EndDateTime", "DurationInMinutes", "IsAllDayEvent", "ShowAs",
    "IsPrivate", "WhoId", "WhatId", "IsRecurrence", "IsRecurrence2", "GroupEventType", KEY,
)  # fmt: skip
#: canonical name -> (field, how its text is cleaned)
TEXTS = {"subject": ("Subject", line), "location": ("Location", line), "description": ("Description", clean)}
SHOW_AS = {"free": "Free", "busy": "Busy", "oof": "OutOfOffice"}
SHOWN_AS = {there: here for here, there in SHOW_AS.items()}
#: GroupEventType of the event that only shows a series' pattern.
PATTERN = "3"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Org:
    """Events and their relations as this user sees them."""

    event: Described
    relation: Described

    @property
    def keyed(self) -> bool:
        return self.event.createable(KEY)

    @property
    def shared(self) -> bool:
        """Shared Activities: an event names several people. The flags of a relation are there with it only."""
        return "IsParent" in self.relation.fields

    def columns(self) -> str:
        return ", ".join((*SYSTEM, *(name for name in FIELDS if name in self.event.fields)))

    def relation_columns(self) -> str:
        return ", ".join(
            ("Id", "EventId", "RelationId", *(n for n in ("Status", "IsInvitee", "IsParent") if n in self.relation.fields))
        )


# --- reading ---------------------------------------------------------------------------------------------------------


def seen(row: Row, relations: Iterable[Relation] | None, user_id: str) -> Seen:
    """An event as it is reported. `relations` None: they cannot be read, and who takes part is absent."""
    event_id, version = str(row["Id"]), str(row["SystemModstamp"])
    if row["IsDeleted"]:
        return Seen(event_id, version, None)
    fields = words(row, user_id)
    if relations is not None:
        listed = list(relations)
        fields["people"] = people_of(row.get("WhoId"), listed, row["OwnerId"])
        fields["answers"] = answers_of(listed, row["OwnerId"])
    return Seen(event_id, version, Item("event", fields), str(row.get(KEY) or ""), True, _facts(row))


def unreadable(row: Row) -> Seen:
    """An event that our own code could not read: it is there, and nothing is known of it."""
    return Seen(str(row["Id"]), str(row["SystemModstamp"]), Item("event", {}), facts=Facts(never="skipped.unreadable"))


def not_visible(event_id: str) -> Seen:
    """An event of which nothing is answered: this user may not see it, or it is gone for good. Nobody can tell which, so it
    counts as there, with nothing known of it."""
    return Seen(event_id, UNSEEN, Item("event", {}), facts=Facts(never="skipped.not_visible"))


def words(row: Row, user_id: str) -> dict[str, Value]:
    """Everything of an event that stands in its own row."""
    found: dict[str, Value] = {}
    if not _hidden(row, user_id):
        found |= {name: _text(row[field]) for name, (field, _) in TEXTS.items() if field in row}
    if (when := _when(row)) is not None:
        found["when"] = when
    if "ShowAs" in row:
        found["show_as"] = SHOWN_AS.get(row["ShowAs"] or "", "busy")
    if "IsPrivate" in row:
        found["private"] = "yes" if row["IsPrivate"] else "no"
    return found


def _hidden(row: Row, user_id: str) -> bool:
    """Whether the words of somebody else's private event are kept from this user."""
    theirs = user_id[:15] not in (str(row["OwnerId"])[:15], str(row["CreatedById"])[:15])
    return bool(theirs and row.get("IsPrivate")) and not any(row.get(field) for field, _ in TEXTS.values())


def _text(value: Any) -> str:
    text = unicodedata.normalize("NFC", str(value or ""))
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _span(row: Row) -> tuple[datetime, datetime] | None:
    """Begin and end of an event in UTC, the end exclusive; None where this user sees no times."""
    if not row.get("StartDateTime"):
        return None
    start, minutes = read_moment(row["StartDateTime"]), row.get("DurationInMinutes")
    if row.get("IsAllDayEvent"):
        if minutes is None:
            return None
        midnight = datetime.combine(start.date(), time(), UTC)
        return midnight, midnight + max(1, -(-int(minutes) // MINUTES)) * DAY
    if row.get("EndDateTime"):
        return start, read_moment(row["EndDateTime"])
    return None if minutes is None else (start, start + timedelta(minutes=int(minutes)))


def _when(row: Row) -> str | None:
    span = _span(row)
    if span is None or "IsAllDayEvent" not in row:
        return None
    if row["IsAllDayEvent"]:
        return "/".join(one.date().isoformat() for one in span)
    return "/".join(one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in span)


def _facts(row: Row) -> Facts:
    begins, ends = _span(row) or (None, None)
    is_series = bool(row.get("IsRecurrence")) or row.get("GroupEventType") == PATTERN
    return Facts(
        made=read_moment(row["CreatedDate"]),
        begins=begins,
        ends=ends,
        owner=str(row["OwnerId"]),
        never="skipped.child" if row["IsChild"] else "skipped.series" if is_series else "",
    )


def read_moment(text: str) -> datetime:
    """A time as Salesforce writes it, to the second."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)


# --- writing ---------------------------------------------------------------------------------------------------------


def written(fields: Fields, org: Org) -> dict[str, Any]:
    """The fields of the event's own row that say this; what is empty is None. People are no part of it."""
    body: dict[str, Any] = {}
    for name, (field, cleaned) in TEXTS.items():
        if name in fields:
            body[field] = narrow(cleaned(str(fields[name])), org.event.length(field)) or None
    if "when" in fields:
        body |= times(str(fields["when"]))
    if "show_as" in fields:
        body["ShowAs"] = SHOW_AS.get(str(fields["show_as"]), "Busy")
    if "private" in fields:
        body["IsPrivate"] = fields["private"] == "yes"
    return {field: value for field, value in body.items() if org.event.createable(field)}


def times(when: str) -> dict[str, Any]:
    """The fields that say when: by its length for whole days, by its end for instants."""
    begin, _, end = when.partition("/")
    if "T" in begin:
        start, finish = (datetime.fromisoformat(one) for one in (begin, end))
        return {"IsAllDayEvent": False, "StartDateTime": moment(start), "EndDateTime": moment(finish)}
    first, after = date.fromisoformat(begin), date.fromisoformat(end)
    return {
        "IsAllDayEvent": True,
        "StartDateTime": moment(datetime.combine(first, time(), UTC)),
        "DurationInMinutes": max(1, (after - first).days) * MINUTES,
    }


def holds(row: Row, sent: Fields, user_id: str, previous: Row | None = None) -> bool:
    """Whether the row says what was sent, and else what it said before: if not, somebody, or the org's own automation,
    changed it too."""
    now, before = words(row, user_id), words(previous, user_id) if previous is not None else {}
    as_sent = all(law.same("event", "crm", name, now[name], value) for name, value in sent.items() if name in now)
    return as_sent and all(now.get(name) == value for name, value in before.items() if name not in sent)


# --- looking for twins -----------------------------------------------------------------------------------------------


def starts(items: Sequence[Item]) -> dict[str, None]:
    """The starts of items as they stand in a statement, each once."""
    whens = [str(item.fields["when"]) for item in items if item.fields.get("when")]
    return dict.fromkeys(soql_moment(read_moment(times(when)["StartDateTime"])) for when in whens)


def soql_moment(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
