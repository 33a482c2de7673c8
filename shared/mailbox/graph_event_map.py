"""Microsoft Graph's events -> the vocabulary of two-way sync, and back. Pure.

Rules that hold here:
- Nothing a calendar may hold makes this fail: what is missing or broken becomes empty.
- An occurrence is named by its series and its original start, for the vendor's own id of it may change when it becomes an
  exception: `<id of the series>/20261201T090000Z`, of whole days midnight in UTC. Its series is never an item itself.
- `uid` is the same in every mailbox and every report: of an occurrence the iCalUId of its series, then its original start. Who
  was invited to one occurrence alone has it as a single event, whose iCalUId names the series too (MS-OXOCAL 2.2.1.27).
- A mark or a stamp that a series carries says nothing of one occurrence about our key: only single events have one.
- Times are written on the wall of the event's own zone; where that wall has no such time, or nobody knows the zone, in UTC.

Sources: learn.microsoft.com/graph/api/resources/event, /graph/api/event-update, /graph/api/resources/responsestatus;
MS-OXOCAL 2.2.1.27 (PidLidGlobalObjectId). It must never write attendees: Graph mails whoever is named there.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from shared.core import zones
from shared.core.fields import canonical
from shared.core.model import Facts, Fields, Item, Seen, Value
from shared.core.scope import ERROR_MARK, MARK, UNSYNC
from shared.mailbox import graph_event_body as bodies
from shared.mailbox.graph_map import PROPERTIES, moment, names, own_name, text, version

Json = Mapping[str, Any]

KIND = "event"
#: the properties that every request for whole events selects
EVENT = (
    "id,changeKey,createdDateTime,subject,body,start,end,isAllDay,isCancelled,isOrganizer,location,showAs,sensitivity,categories,"
    "attendees,organizer,responseStatus,type,seriesMasterId,originalStart,originalStartTimeZone,iCalUId,isOnlineMeeting,onlineMeeting"
)
#: and for occurrences beside their series
TIMES = "id,changeKey,type,seriesMasterId,originalStart,start,end,isAllDay"
STAMP = "String {b7c1a5d2-6f0e-4d39-9a84-3e52f1c80d67} Name MailspanKey"
EXPAND_STAMP = f"singleValueExtendedProperties($filter=id eq '{STAMP}')"
SINGLE, MASTER, OCCURRENCE, EXCEPTION = "singleInstance", "seriesMaster", "occurrence", "exception"
#: What a page cannot do without. The vendor may report a change with nothing but what changed.
_ESSENTIAL = ("type", "subject", "start", "end", "isAllDay", "categories")
#: What an occurrence has for itself; all else is its series' where the report leaves it out.
_OF_OCCURRENCE = frozenset(("id", "type", "seriesMasterId", "originalStart", "start", "end", "recurrence", PROPERTIES))
_TRANSACTIONS = uuid.UUID("0f2c9c36-5d5e-4f5c-8f6f-1c6a2be0b7d4")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_STAMPED = re.compile(r"(040000008200E00074C5B7101A82E008)([0-9A-F]{8})([0-9A-F]+)", re.IGNORECASE)
_ANSWERS = {"accepted": "accepted", "organizer": "accepted", "tentativelyAccepted": "tentative", "declined": "declined"}
_PRIVATE = frozenset(("private", "confidential", "personal"))
#: what XML 1.0 (section 2.2) takes for no character
_UNSHOWN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OURS = frozenset((MARK, UNSYNC, ERROR_MARK))


# --- names


def is_whole(event: Json) -> bool:
    """Whether the report says enough to be read as an event."""
    return all(name in event for name in _ESSENTIAL)


def kind_of(event: Json) -> str:
    return text(event.get("type"))


def is_occurrence(event: Json) -> bool:
    return kind_of(event) in (OCCURRENCE, EXCEPTION)


def merged(occurrence: Json, master: Json) -> Json:
    """An occurrence with what it leaves to its series."""
    if is_whole(occurrence):
        return occurrence
    return {**{name: value for name, value in master.items() if name not in _OF_OCCURRENCE}, **occurrence}


def original_start(occurrence: Json, master: Json | None) -> datetime:
    """When the rule put it there, UTC; of a series of whole days midnight."""
    start = moment(occurrence.get("originalStart")) or _instant(occurrence.get("start")) or _NEVER
    start = start.replace(microsecond=0)
    series = master if master is not None else occurrence
    if series.get("isAllDay") is True and start.time() != time():
        wall = start.astimezone(_zone_info(series)).date()
        return datetime.combine(wall, time(), UTC)
    return start


def occurrence_id(occurrence: Json, master: Json | None) -> str:
    return named(text(occurrence.get("seriesMasterId")), original_start(occurrence, master))


def named(series: str, start: datetime) -> str:
    """Our id of the occurrence of a series that the rule put at that start (UTC)."""
    return f"{series}/{_stamp(start)}"


def split(item_id: str) -> tuple[str, datetime | None]:
    """(id of the event or series, the original start of an occurrence)."""
    series, _, stamp = item_id.rpartition("/")
    try:
        return series, datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return item_id, None


def _stamp(when: datetime) -> str:
    return when.strftime("%Y%m%dT%H%M%SZ")


def uid(event: Json, master: Json | None = None) -> str:
    """What names the event in every mailbox; "" where nobody said."""
    if master is not None:
        series = text(master.get("iCalUId"))
        return f"{series}/{_stamp(original_start(event, master))}" if series else ""
    own = text(event.get("iCalUId"))
    found = _STAMPED.fullmatch(own)
    if found is None or not int(found[2], 16):
        return own
    return f"{found[1]}00000000{found[3]}/{_stamp(original_start(event, None))}"


# --- what is seen


def seen(event: Json, master: Json | None = None) -> Seen:
    """The report of a whole event; `master` is the series of an occurrence, whose version stands where it has none. An
    invitation that its organiser took back is gone, although its copy stays in the calendar until somebody clears it away."""
    facts = facts_of(event, master)
    item_id = text(event.get("id")) if master is None else occurrence_id(event, master)
    if event.get("isCancelled") is True:
        return gone(item_id)
    return Seen(
        id=item_id,
        version=version_of(event, master),
        item=item(event),
        key=key(event) if master is None else "",
        marked=MARK in facts.marks and UNSYNC not in facts.marks,
        facts=facts,
    )


def version_of(event: Json, master: Json | None) -> str:
    return version(event) or (version(master) if master is not None else "")


def gone(item_id: str) -> Seen:
    return Seen(item_id, "", None)


def item(event: Json) -> Item:
    fields: dict[str, Value] = {
        "subject": _carried(text(event.get("subject"))),
        "when": _when(event),
        "location": _carried(_location(event.get("location"))),
        "description": _carried(bodies.plain(bodies.body_of(event))),
        "show_as": text(event.get("showAs")) or "busy",
        "private": "yes" if text(event.get("sensitivity")) in _PRIVATE else "no",
    }
    return Item(KIND, canonical(KIND, fields))


def facts_of(event: Json, master: Json | None = None) -> Facts:
    begins, ends = span(event)
    own = event.get("isOrganizer") is not False
    organizer = _address(event.get("organizer"))
    others = [(one, answer) for one, answer in _attendees(event.get("attendees")) if one != organizer]
    # a room is mailed as people are, and so is, for all we know, who has no address here
    mailed = [_address(one) for one in _objects(event.get("attendees"))]
    people = set(others) | ({(organizer, "accepted")} if organizer and not own else set())
    return Facts(
        made=moment(event.get("createdDateTime")),
        begins=begins,
        ends=ends,
        marks=frozenset(own_name(name) for name in names(event.get("categories"))) & _OURS,
        group=text(event.get("seriesMasterId")) if master is not None else "",
        uid=uid(event, master),
        own=own,
        shared=any(not one or one != organizer for one in mailed),
        answer="" if own else _answer(event.get("responseStatus")),
        organizer=organizer,
        people=tuple(sorted(people)),
    )


def key(event: Json) -> str:
    """Our key on the event, where the stamp was asked for."""
    stamps = event.get(PROPERTIES)
    return next((text(one.get("value")) for one in _objects(stamps) if str(one.get("id")).lower() == STAMP.lower()), "")


def span(event: Json) -> tuple[datetime | None, datetime | None]:
    """(begin, end) in UTC to the second; whole days are days of UTC."""
    begin, end = _instant(event.get("start")), _instant(event.get("end"))
    if event.get("isAllDay") is True:
        begin, end = _day(event.get("start")), _day(event.get("end"))
        if begin and end and end <= begin:
            end = begin + timedelta(days=1)
    return begin and begin.replace(microsecond=0), end and end.replace(microsecond=0)


def _when(event: Json) -> str:
    begin, end = span(event)
    if begin is None or end is None:
        return ""
    form = "%Y-%m-%d" if event.get("isAllDay") is True else "%Y-%m-%dT%H:%M:%SZ"
    return f"{begin.strftime(form)}/{end.strftime(form)}"


def _instant(value: Any) -> datetime | None:
    """A time beside its zone, in UTC. A zone nobody knows counts as UTC, in which times come unless asked otherwise."""
    if not isinstance(value, dict):
        return None
    try:
        wall = datetime.fromisoformat(str(value.get("dateTime")))
        if wall.tzinfo is not None:
            return wall.astimezone(UTC)
        return zones.instant(wall, zones.iana_of(text(value.get("timeZone"))) or "Etc/UTC")
    except (ValueError, OverflowError):
        return None


def _day(value: Any) -> datetime | None:
    """The date that stands there, whatever the zone, as midnight in UTC."""
    try:
        return datetime.combine(date.fromisoformat(str(value["dateTime"])[:10]), time(), UTC)
    except (TypeError, KeyError, ValueError):
        return None


def _zone_info(event: Json) -> Any:
    return zones.zone_info(zones.iana_of(text(event.get("originalStartTimeZone"))) or "Etc/UTC")


def _carried(value: str) -> str:
    """Text without the characters that no calendar shows and the other side does not keep: control characters but tab and
    line break, and what is no character."""
    return _UNSHOWN.sub("", value)


def _location(value: Any) -> str:
    return text(value.get("displayName")) if isinstance(value, dict) else ""


def _objects(value: Any) -> Iterable[Json]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _address(person: Any) -> str:
    inner = person.get("emailAddress") if isinstance(person, dict) else None
    address = text(inner.get("address")).strip().lower() if isinstance(inner, dict) else ""
    return address if "@" in address else ""


def _attendees(value: Any) -> Iterable[tuple[str, str]]:
    """(address, answer) of the people among them; rooms and things take no part."""
    for one in _objects(value):
        if (address := _address(one)) and one.get("type") != "resource":
            yield address, _answer(one.get("status"))


def _answer(status: Any) -> str:
    return _ANSWERS.get(text(status.get("response")), "none") if isinstance(status, dict) else "none"


# --- what is written


def transaction_id(of_key: str) -> str:
    """The same for every try to create the item with this key."""
    return str(uuid.uuid5(_TRANSACTIONS, of_key))


def new_event(fields: Fields, of_key: str, zone: str) -> dict[str, Any]:
    """The body of a create; `zone`: the Windows or IANA name on whose wall its times are written."""
    said = canonical(KIND, fields)
    body: dict[str, Any] = {
        "transactionId": transaction_id(of_key),
        "categories": [MARK],
        PROPERTIES: [{"id": STAMP, "value": of_key}],
    }
    if "description" in said:
        body["body"] = bodies.as_json(bodies.new_body(str(said["description"])))
    return body | _plain_changes(said, {}) | _times(str(said.get("when", "")), zone)


def changes(fields: Fields, above: frozenset[str], now: Json) -> dict[str, Any]:
    """The body of a patch with these fields and nothing else; `now` is the whole event as it is."""
    said = canonical(KIND, fields)
    body = _plain_changes(said, now)
    if "when" in said:
        body |= _times(str(said["when"]), text(now.get("originalStartTimeZone")))
    if "description" in said:
        put = bodies.with_text_above if "description" in above else bodies.with_text
        body["body"] = bodies.as_json(put(bodies.body_of(now), str(said["description"])))
    return body


def unmarked(event: Json) -> dict[str, Any]:
    """The body that takes our marks off and leaves every other category; {} where there is none."""
    there = names(event.get("categories"))
    kept = [name for name in there if own_name(name) not in (MARK, ERROR_MARK)]
    return {} if kept == there else {"categories": kept}


def _plain_changes(said: Fields, now: Json) -> dict[str, Any]:
    """Everything but times and description."""
    body: dict[str, Any] = {}
    if "subject" in said:
        body["subject"] = said["subject"]
    if "location" in said:
        body["location"] = {"displayName": said["location"]}
    if "show_as" in said:
        body["showAs"] = said["show_as"]
    if "private" in said:
        there = text(now.get("sensitivity"))
        is_private = said["private"] == "yes"
        # personal and confidential are private enough: a person chose them
        body["sensitivity"] = (there if there in _PRIVATE else "private") if is_private else "normal"
    return body


def _times(when: str, zone: str) -> dict[str, Any]:
    """start, end and isAllDay of an interval. Raises ValueError for what is none."""
    begin, _, end = when.partition("/")
    name = zone if zones.iana_of(zone) not in (None, "Etc/UTC") else "UTC"
    is_all_day = "T" not in begin
    if is_all_day:
        walls = [datetime.combine(date.fromisoformat(day), time()) for day in (begin, end)]
    else:
        moments = [datetime.fromisoformat(one).astimezone(UTC) for one in (begin, end)]
        shown = [zones.on_the_wall(one, zones.iana_of(name) or "Etc/UTC") for one in moments]
        walls = [wall for wall in shown if wall is not None]
        if len(walls) < len(moments):
            name, walls = "UTC", [one.replace(tzinfo=None) for one in moments]
    start, stop = ({"dateTime": wall.isoformat(timespec="seconds"), "timeZone": name} for wall in walls)
    return {"start": start, "end": stop, "isAllDay": is_all_day}
