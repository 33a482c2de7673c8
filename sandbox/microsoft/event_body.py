"""Bodies of events as Graph wants them, from what sample data, pages and tests say: dates, moments, addresses.

Rules that hold here: dates make whole days; a moment with a zone of its own is moved to the named one, one without is what the
clock on the wall shows there.

It must never judge: what makes no sense is refused where the API's bodies are.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from sandbox.microsoft.event_zones import zone
from sandbox.microsoft.represent import Json


def times(start: date | datetime | None, end: date | datetime | None, name: str) -> Json:
    """start, end and isAllDay of a body: dates make whole days, moments with a zone of their own are moved to the named one."""
    shown: Json = {"isAllDay": not isinstance(start or end, datetime)}
    for which, given in (("start", start), ("end", end)):
        if given is None:
            continue
        wall = given if isinstance(given, datetime) else datetime.combine(given, time())
        if wall.tzinfo is not None:
            wall = zone(name).wall(wall.astimezone(UTC))
        shown[which] = {"dateTime": wall.isoformat(), "timeZone": name}
    return shown


def plain(properties: dict[str, Any], start: date | datetime) -> Json:
    """Attendees given as addresses, and a range without its start, as Graph wants them."""
    shown = dict(properties)
    if "attendees" in shown:
        shown["attendees"] = [
            {"emailAddress": {"address": one, "name": one}} if isinstance(one, str) else one for one in shown["attendees"]
        ]
    if recurrence := shown.get("recurrence"):
        first = (start.date() if isinstance(start, datetime) else start).isoformat()
        shown["recurrence"] = {**recurrence, "range": {"type": "noEnd", "startDate": first, **recurrence.get("range", {})}}
    return shown
