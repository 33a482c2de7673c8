"""getSchedule: when people of this world are free or busy.

Rules that hold here: of the own calendar an item has subject and place, of somebody else's its times and status alone; free
items are listed too. A slot of the view shows the busiest thing in it. A person nobody knows has an error of his own and no
items.
Sources: learn.microsoft.com/graph/api/calendar-getschedule, /graph/outlook-get-free-busy-schedule (20 schedules, 62 days).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event import Instance
from sandbox.microsoft.event_json import wall_json
from sandbox.microsoft.event_read import read_wall
from sandbox.microsoft.event_zones import Zone
from sandbox.microsoft.mailbox import Mailbox
from sandbox.microsoft.represent import Json

MAX_SCHEDULES = 20
MAX_SPAN = timedelta(days=62)
MAX_ENTRIES = 1000
#: what a slot shows for each status, the busiest first
_SHOWN = {"oof": "3", "busy": "2", "tentative": "1", "workingElsewhere": "4", "free": "0", "unknown": "0"}
_RANK = list(_SHOWN)
_NOBODY = {"message": "Proxy web request failed.", "responseCode": "5016"}
_TOO_MANY = {"message": "The result set contains too many calendar entries.", "responseCode": "5006"}
_WEEK = ["monday", "tuesday", "wednesday", "thursday", "friday"]


async def get_schedule(call: Call) -> Answer:
    given = {name[:1].lower() + name[1:]: value for name, value in call.body.items()}
    for name in given:
        if name not in ("schedules", "startTime", "endTime", "availabilityViewInterval"):
            raise refusal("bad_parameter", name=name)
    people, interval = given.get("schedules"), given.get("availabilityViewInterval", 30)
    if not isinstance(people, list) or not 1 <= len(people) <= MAX_SCHEDULES:
        raise refusal("schedules_too_many")
    if not isinstance(interval, int) or not 5 <= interval <= 1440:
        raise refusal("schedule_interval")
    begin, end = _moment(given, "startTime"), _moment(given, "endTime")
    if end <= begin:
        raise refusal("bad_window")
    if end - begin > MAX_SPAN:
        raise refusal("schedule_too_long")
    value = [_schedule(call, str(person), begin, end, timedelta(minutes=interval)) for person in people]
    context = f"{call.microsoft.base_url}/v1.0/$metadata#Collection(microsoft.graph.scheduleInformation)"
    return Answer(body={"@odata.context": context, "value": value}, headers=call.applied)


def _moment(given: Json, name: str) -> datetime:
    value = given.get(name)
    if not isinstance(value, dict):
        raise refusal("missing", name=name)
    wall, where = read_wall(value)
    return where.instant(wall)


def _schedule(call: Call, person: str, begin: datetime, end: datetime, step: timedelta) -> Json:
    mailbox = call.microsoft.find_mailbox(person)
    if mailbox is None or mailbox.tenant != call.mailbox.tenant:
        return {"scheduleId": person, "availabilityView": "", "scheduleItems": None, "error": _NOBODY}
    found = mailbox.calendar.view(begin, end)
    if len(found) > MAX_ENTRIES:
        return {"scheduleId": person, "availabilityView": "", "scheduleItems": None, "error": _TOO_MANY}
    slots = []
    at = begin
    while at < end:
        slots.append(_slot(found, at, min(at + step, end)))
        at += step
    items = [_item(one, call.time_zone, is_own=mailbox is call.mailbox) for one in found]
    return {
        "scheduleId": person,
        "availabilityView": "".join(slots),
        "scheduleItems": items,
        "workingHours": _hours(mailbox),
    }


def _slot(found: list[Instance], begin: datetime, end: datetime) -> str:
    statuses = [one.own.show_as for one in found if one.touches(begin, end)]
    return _SHOWN[min(statuses, key=_RANK.index)] if statuses else "0"


def _item(found: Instance, shown_in: Zone, *, is_own: bool) -> Json:
    item: dict[str, Any] = {
        "status": found.own.show_as,
        "start": wall_json(shown_in.wall(found.details.begins), shown_in),
        "end": wall_json(shown_in.wall(found.details.ends), shown_in),
    }
    if is_own:
        place = found.details.locations[0]["displayName"] if found.details.locations else ""
        is_private = found.details.sensitivity in ("private", "confidential")
        item |= {"isPrivate": is_private, "subject": found.details.subject, "location": place}
    return item


def _hours(mailbox: Mailbox) -> Json:
    times = {"startTime": "08:00:00.0000000", "endTime": "17:00:00.0000000"}
    return {"daysOfWeek": _WEEK, **times, "timeZone": {"name": mailbox.time_zone}}
