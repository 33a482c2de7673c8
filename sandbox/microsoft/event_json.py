"""How events look in JSON: one table of properties.

Rules that hold here: a property not selected is never made; start and end come in the zone of `Prefer: outlook.timezone`, UTC
without it; an all-day event has the dates it has in any zone. `originalStart` and `transactionId` come where there is one,
`cancelledOccurrences` when selected for a series, `exceptionOccurrences` when expanded.
Sources: learn.microsoft.com/graph/api/resources/event, /graph/api/event-get, /graph/api/resources/calendar.

It must never change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sandbox.microsoft import odata
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event import MASTER, OCCURRENCE, Attendee, Instance
from sandbox.microsoft.event_online import PROVIDER, conference_id
from sandbox.microsoft.event_zones import UTC_ZONE, Zone
from sandbox.microsoft.mime import Address, html_to_text
from sandbox.microsoft.represent import Json, View, chosen, extended_json, time_text

if TYPE_CHECKING:
    from sandbox.microsoft.calendar import Calendar

NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class EventView(View):
    zone: Zone = UTC_ZONE


def wall_json(wall: datetime, zone: Zone) -> Json:
    return {"dateTime": wall.strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": zone.name}


def _time(instance: Instance, view: EventView, which: str) -> Json:
    details = instance.details
    if details.is_all_day:
        return wall_json(details.start if which == "start" else details.end, view.zone)
    return wall_json(view.zone.wall(details.begins if which == "start" else details.ends), view.zone)


def _recipient(person: Address) -> Json:
    return {"emailAddress": {"name": person.name, "address": person.address}}


def _attendee(one: Attendee) -> Json:
    status = {"response": one.response, "time": time_text(one.at) if one.at else NEVER}
    return {"type": one.kind, "status": status, **_recipient(one.person)}


def _location(given: Mapping[str, Any]) -> Json:
    usual = {"locationType": "default", "uniqueId": given.get("displayName"), "uniqueIdType": "private"}
    return {"displayName": "", **usual, **given}


_NOWHERE: Json = {
    "displayName": "",
    "locationType": "default",
    "uniqueIdType": "unknown",
    "address": {},
    "coordinates": {},
}


def _body(instance: Instance, text: bool) -> Json:
    if text:
        return {"contentType": "text", "content": html_to_text(instance.details.html)}
    return {"contentType": "html", "content": instance.details.html}


def _online(url: str) -> Json | None:
    return {"joinUrl": url, "conferenceId": conference_id(url)} if url else None


def _recurrence(instance: Instance) -> Json | None:
    return instance.details.recurrence.as_json() if instance.details.recurrence else None


EVENT: Mapping[str, Callable[[Instance, EventView], Any]] = {
    "id": lambda i, v: i.shown_id(v.immutable),
    "createdDateTime": lambda i, v: time_text(i.event.created),
    "lastModifiedDateTime": lambda i, v: time_text(i.event.modified),
    "changeKey": lambda i, v: i.change_key,
    "categories": lambda i, v: list(i.own.categories),
    "transactionId": lambda i, v: i.event.transaction_id,
    "originalStartTimeZone": lambda i, v: i.details.zone.name,
    "originalEndTimeZone": lambda i, v: i.details.end_zone.name,
    "originalStart": lambda i, v: time_text(i.original_start) if i.original_start else None,
    "iCalUId": lambda i, v: i.ical_uid,
    "reminderMinutesBeforeStart": lambda i, v: i.own.reminder_minutes,
    "isReminderOn": lambda i, v: i.own.is_reminder_on,
    "hasAttachments": lambda i, v: False,
    "subject": lambda i, v: i.details.subject,
    "bodyPreview": lambda i, v: html_to_text(i.details.html).strip()[:255],
    "importance": lambda i, v: i.details.importance,
    "sensitivity": lambda i, v: i.details.sensitivity,
    "isAllDay": lambda i, v: i.details.is_all_day,
    "isCancelled": lambda i, v: i.own.is_cancelled,
    "isOrganizer": lambda i, v: i.event.is_organizer,
    "responseRequested": lambda i, v: i.details.response_requested,
    "seriesMasterId": lambda i, v: i.event.shown_id(v.immutable) if i.day else None,
    "showAs": lambda i, v: i.own.show_as,
    "type": lambda i, v: i.kind,
    "webLink": lambda i, v: i.web_link,
    "onlineMeetingUrl": lambda i, v: None,
    "isOnlineMeeting": lambda i, v: bool(i.details.join_url),
    "onlineMeetingProvider": lambda i, v: PROVIDER if i.details.join_url else "unknown",
    "allowNewTimeProposals": lambda i, v: i.details.new_times,
    "isDraft": lambda i, v: False,
    "hideAttendees": lambda i, v: i.details.hide_attendees,
    "responseStatus": lambda i, v: {"response": i.own.response, "time": time_text(i.own.answered) if i.own.answered else NEVER},
    "body": lambda i, v: _body(i, v.text),
    "start": lambda i, v: _time(i, v, "start"),
    "end": lambda i, v: _time(i, v, "end"),
    "location": lambda i, v: _location(i.details.locations[0]) if i.details.locations else dict(_NOWHERE),
    "locations": lambda i, v: [_location(one) for one in i.details.locations],
    "recurrence": lambda i, v: _recurrence(i),
    "attendees": lambda i, v: [_attendee(one) for one in i.seen_attendees],
    "organizer": lambda i, v: _recipient(i.details.organizer),
    "onlineMeeting": lambda i, v: _online(i.details.join_url),
    "cancelledOccurrences": lambda i, v: [
        f"OID.{i.event.shown_id(v.immutable)}.{day.isoformat()}" for day in sorted(i.event.cancelled)
    ],
}
ONLY_SELECTED = frozenset({"cancelledOccurrences"})
ONLY_WHERE_SET = frozenset({"originalStart", "transactionId"})
_DEFAULT = tuple(name for name in EVENT if name not in ONLY_SELECTED)
#: what delta shows of an unchanged occurrence (microsoft-graph-docs issues 7632 and 22197)
REDUCED = ("id", "seriesMasterId", "type", "start", "end")


def event_json(instance: Instance, view: EventView) -> Json:
    """`view` must have gone through `check_view`."""
    shown: Json = {"@odata.etag": instance.etag}
    for name in chosen(view.select, EVENT, _DEFAULT, "event"):
        value = EVENT[name](instance, view)
        if value is not None or name not in ONLY_WHERE_SET or view.select is not None:
            shown[name] = value
    for expand in view.expand:
        if expand.name == "singleValueExtendedProperties":
            if wanted := extended_json(instance.own.properties, expand.options.get("$filter")):
                shown[expand.name] = wanted
        elif instance.kind == MASTER:
            shown[expand.name] = _exceptions(instance, view, expand)
    return shown


def check_view(view: EventView) -> None:
    """Refuses what cannot be shown, before anything is done. Raises GraphError 400, 501."""
    chosen(view.select, EVENT, (), "event")
    for expand in view.expand:
        if expand.name == "singleValueExtendedProperties":
            extended_json({}, expand.options.get("$filter"))
        elif expand.name != "exceptionOccurrences":
            raise refusal("bad_select", name=expand.name, type="event")
        elif other := expand.options.keys() - {"$select"}:
            raise refusal("not_built", what=f"{min(other)} inside $expand of exceptionOccurrences")


def _exceptions(master: Instance, view: EventView, expand: odata.Expand) -> list[Json]:
    """The changed occurrences of a series, with the properties selected for them or, without a choice, for it."""
    select = odata.parse_select(expand.options.get("$select")) or view.select
    names = None if select is None else tuple(name for name in select if name not in ONLY_SELECTED)
    inner = replace(view, expand=(), select=names)
    return [event_json(master.event.instance(day), inner) for day in sorted(master.event.changed)]


def delta_json(instance: Instance, view: EventView, *, reduced: bool) -> Json:
    """An item of calendarView/delta; `reduced`: unchanged occurrences come with little more than their times."""
    if reduced and instance.kind == OCCURRENCE:
        named = {name: EVENT[name](instance, view) for name in REDUCED}
        return {"@odata.type": "#microsoft.graph.event", "@odata.etag": instance.etag, **named}
    return {"@odata.type": "#microsoft.graph.event", **event_json(instance, view)}


CALENDAR: Mapping[str, Callable[[Calendar], Any]] = {
    "id": lambda c: c.id,
    "name": lambda c: "Calendar",
    "color": lambda c: "auto",
    "hexColor": lambda c: "",
    "isDefaultCalendar": lambda c: True,
    "changeKey": lambda c: c.change_key,
    "canShare": lambda c: True,
    "canViewPrivateItems": lambda c: True,
    "canEdit": lambda c: True,
    "allowedOnlineMeetingProviders": lambda c: list(c.providers),
    "defaultOnlineMeetingProvider": lambda c: c.providers[0] if c.providers else "unknown",
    "isTallyingResponses": lambda c: True,
    "isRemovable": lambda c: False,
    "owner": lambda c: {"name": c.owner.name, "address": c.owner.address},
}


def calendar_json(calendar: Calendar, select: Sequence[str] | None) -> Json:
    names = chosen(tuple(select) if select is not None else None, CALENDAR, tuple(CALENDAR), "calendar")
    return {name: CALENDAR[name](calendar) for name in names}


_PLAIN = EventView()
_COMPARABLE: Mapping[str, Callable[[Instance], Any]] = {
    "createdDateTime": lambda i: i.event.created,
    "lastModifiedDateTime": lambda i: i.event.modified,
    "start/dateTime": lambda i: wall_json(UTC_ZONE.wall(i.details.begins), UTC_ZONE)["dateTime"],
    "end/dateTime": lambda i: wall_json(UTC_ZONE.wall(i.details.ends), UTC_ZONE)["dateTime"],
    "categories": lambda i: i.own.categories,
    "singleValueExtendedProperties": lambda i: [{"id": key, "value": value} for key, (_, value) in i.own.properties.items()],
    **{
        name: lambda i, name=name: EVENT[name](i, _PLAIN)  # type: ignore[misc]
        for name in ("iCalUId", "subject", "isAllDay", "isCancelled", "isOrganizer", "importance", "sensitivity", "showAs",
                     "type", "seriesMasterId", "isOnlineMeeting", "isReminderOn", "hasAttachments")
    },
}  # fmt: skip


def comparable(instance: Instance, path: str) -> Any:
    """The value that a $filter or $orderby path means."""
    return _COMPARABLE[path](instance)


def check_paths(paths: Sequence[str]) -> None:
    """Raises GraphError 400 for a property that events do not have, or that the service does not filter by."""
    for path in paths:
        if path.partition("/")[0] not in EVENT and path not in _COMPARABLE:
            raise refusal("bad_filter_property", name=path.partition("/")[0], type="event")
        if path not in _COMPARABLE:
            raise refusal("filter_refused")


def normal(node: odata.Node) -> odata.Node:
    """The filter with texts of times as long as those they are compared with (`2026-11-24T09:00` -> seven decimals)."""
    match node:
        case odata.Both(parts):
            return odata.Both(tuple(normal(part) for part in parts))
        case odata.Either(parts):
            return odata.Either(tuple(normal(part) for part in parts))
        case odata.Negated(part):
            return odata.Negated(normal(part))
        case odata.Compare("start/dateTime" | "end/dateTime" as path, operator, str(value)):
            moment = odata.moment(value)
            return odata.Compare(path, operator, wall_json(UTC_ZONE.wall(moment), UTC_ZONE)["dateTime"])
        case _:
            return node
