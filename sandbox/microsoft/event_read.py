"""JSON of an event -> what the calendar keeps: reading the bodies of "create event" and "update event".

Rules that hold here: what a caller may set is the tables below, everything else is refused in Graph's words; times, whole days
and the recurrence are judged together, over what the event was before. A series whose start does not satisfy its pattern
begins on the first day that does.
Sources: learn.microsoft.com/graph/api/user-post-events, /graph/api/event-update, /graph/api/resources/event.

It must never change an event.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from sandbox.microsoft.drafts import read_properties
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event import Attendee, Details, Own
from sandbox.microsoft.event_json import EVENT
from sandbox.microsoft.event_recurrence import read as read_recurrence
from sandbox.microsoft.event_zones import Zone, zone
from sandbox.microsoft.mime import Address, Content
from sandbox.microsoft.represent import Json

_TIMES = frozenset({"start", "end", "isAllDay", "recurrence"})
_UNBUILT = frozenset({"attachments", "extensions", "multiValueExtendedProperties"})
_ONLINE = frozenset({"isOnlineMeeting", "onlineMeetingProvider"})
_USUAL = Own()
#: what Exchange keeps: years of times, the longest event (MS-OXOCAL; EWS ErrorCalendarDurationIsTooLong)
FIRST_YEAR, LAST_YEAR = 1601, 4500
LONGEST = timedelta(days=5 * 365 + 1)
_HEAD = '<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\r\n</head>\r\n<body>\r\n'


def _attendees(value: Any) -> dict[str, Any]:
    found: dict[str, Attendee] = {}
    for one in value or ():
        person = one.get("emailAddress") or {}
        if not isinstance(person.get("address"), str) or not person["address"]:
            raise refusal("bad_property")
        attendee = Attendee(Address(person.get("name") or person["address"], person["address"]), one.get("type") or "required")
        found.setdefault(attendee.address, attendee)
    return {"attendees": tuple(found.values())}


def _body(value: Any) -> dict[str, Any]:
    """HTML is kept as it is, inside the frame of a document where it brings none."""
    content = (value or {}).get("content") or ""
    if str((value or {}).get("contentType") or "text").lower() != "html":
        return {"html": Content(text=content).body_html}
    return {"html": content if "<html" in content.lower() else f"{_HEAD}{content}\r\n</body>\r\n</html>\r\n"}


#: what a meeting says to everybody in it: property -> fields of Details
SHARED: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "subject": lambda value: {"subject": value or ""},
    "body": _body,
    "importance": lambda value: {"importance": value or "normal"},
    "sensitivity": lambda value: {"sensitivity": value or "normal"},
    "location": lambda value: {"locations": (value,) if value and value.get("displayName") else ()},
    "locations": lambda value: {"locations": tuple(one for one in value if one.get("displayName"))},
    "attendees": _attendees,
    "responseRequested": lambda value: {"response_requested": value is not False},
    "allowNewTimeProposals": lambda value: {"new_times": value is not False},
    "hideAttendees": lambda value: {"hide_attendees": value is True},
}
#: what one mailbox keeps for itself: property -> (field of Own, reader)
PRIVATE: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "categories": ("categories", lambda value: tuple(dict.fromkeys(value))),
    "showAs": ("show_as", str),
    "isReminderOn": ("is_reminder_on", bool),
    "reminderMinutesBeforeStart": ("reminder_minutes", int),
    "singleValueExtendedProperties": ("properties", read_properties),
}


@dataclass(frozen=True)
class Read:
    """What a body sets. `named`: the properties in it that everybody in the meeting sees; `online`: it asks for an online
    meeting."""

    details: dict[str, Any]
    own: dict[str, Any]
    named: frozenset[str]
    online: bool


def read(body: Json, before: Details, *, is_new: bool = False, is_occurrence: bool = False) -> Read:
    """`before`: what the event says now; for a new one only its organiser counts. Raises GraphError 400."""
    details: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in body.items():
        if name in SHARED:
            details |= SHARED[name](value)
        elif name in PRIVATE:
            field, reader = PRIVATE[name]
            own[field] = getattr(_USUAL, field) if value is None else reader(value)
        elif not (name in _TIMES or name in _ONLINE or name.startswith("@odata.") or (is_new and name == "transactionId")):
            _refuse(name)
    if is_occurrence and "recurrence" in body:
        raise refusal("read_only", name="recurrence")
    if is_new and not (body.get("start") and body.get("end")):
        raise refusal("bad_property")
    if _TIMES & body.keys():
        details |= _times(body, before)
    named = frozenset(name for name in body if name in SHARED or name in _TIMES or name in _ONLINE)
    return Read(details, own, named, body.get("isOnlineMeeting") is True)


def _refuse(name: str) -> None:
    if name in _UNBUILT:
        raise refusal("not_built", what=f"{name} of an event in a body")
    if name in EVENT:
        raise refusal("read_only", name=name)
    raise refusal("unknown_body_property", name=name, type="event")


def read_wall(value: Json) -> tuple[datetime, Zone]:
    """(what the clock shows, where). The time has no offset: its zone stands beside it."""
    where = zone(str(value.get("timeZone") or ""))
    try:
        wall = datetime.fromisoformat(str(value.get("dateTime")))
    except ValueError:
        raise refusal("bad_property") from None
    if wall.tzinfo is not None or not FIRST_YEAR <= wall.year <= LAST_YEAR:
        raise refusal("bad_property")
    return wall, where


def _times(body: Json, before: Details) -> dict[str, Any]:
    """Fields of Details: times, zones, whole days, recurrence."""
    start, where = read_wall(body["start"]) if body.get("start") else (before.start, before.zone)
    end, end_zone = read_wall(body["end"]) if body.get("end") else (before.end, before.end_zone)
    is_all_day = bool(body.get("isAllDay", before.is_all_day))
    if is_all_day:
        _refuse_no_days(start, end, where, end_zone)
    else:
        there = before.zone if not body.get("end") else end_zone
        end = end if there.iana == where.iana else where.wall(there.instant(end))
    if end < start:
        raise refusal("bad_property")
    if end - start > LONGEST:
        raise refusal("too_long")
    details = {"start": start, "end": end, "zone": where, "end_zone": end_zone, "is_all_day": is_all_day}
    return details | _recurring(body, before, details)


def _refuse_no_days(start: datetime, end: datetime, where: Zone, end_zone: Zone) -> None:
    for name, wall in (("Start", start), ("End", end)):
        if wall.time() != time():
            raise refusal("all_day_midnight", name=name)
    if where.iana != end_zone.iana:
        raise refusal("all_day_zone")
    if end - start < timedelta(days=1):
        raise refusal("all_day_short")


def _recurring(body: Json, before: Details, details: dict[str, Any]) -> dict[str, Any]:
    """The recurrence, and the times moved to the first day that satisfies it. A new start needs the range's start to follow."""
    start: datetime = details["start"]
    if "recurrence" in body:
        given = body["recurrence"]
        recurrence = read_recurrence(given, start.date(), details["zone"].name) if given else None
    else:
        recurrence = before.recurrence
        if recurrence and recurrence.start != start.date():
            raise refusal("bad_property")
    first = recurrence.first() if recurrence else None
    if recurrence is None or first is None:
        return {"recurrence": None}
    moved = first - start.date()
    recurrence = dataclasses.replace(recurrence, start=first)
    return {"recurrence": recurrence, "start": start + moved, "end": details["end"] + moved}
