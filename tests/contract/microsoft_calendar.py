"""Bodies, windows and short ways for the tests of the calendar world."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from tests.contract.microsoft_world import ADA, BO, Json, Stand

ME, HIM = f"/users/{ADA}", f"/users/{BO}"
CARL = "carl@customer.example"
BERLIN = "W. Europe Standard Time"
DECEMBER = "startDateTime=2026-12-01T00:00:00Z&endDateTime=2027-01-01T00:00:00Z"


def at(text: str, zone: str = "UTC") -> Json:
    return {"dateTime": text, "timeZone": zone}


def body(subject: str = "Talk", start: str = "2026-12-01T10:00:00", end: str = "2026-12-01T11:00:00", **more: Any) -> Json:
    """A body of "create event"; `zone` is that of both times, `attendees` are addresses."""
    zone = more.pop("zone", "UTC")
    if "attendees" in more:
        more["attendees"] = people(*more["attendees"])
    return {"subject": subject, "start": at(start, zone), "end": at(end, zone), **more}


def people(*addresses: str) -> list[Json]:
    return [{"emailAddress": {"address": address, "name": address}, "type": "required"} for address in addresses]


def every(pattern: str, start: str = "2026-12-01", *, span: Json | None = None, interval: int = 1, **more: Any) -> Json:
    shown = {"type": "noEnd"} if span is None else span
    return {"pattern": {"type": pattern, "interval": interval, **more}, "range": {"startDate": start, **shown}}


TUESDAYS = every("weekly", daysOfWeek=["tuesday"])


def make(ms: Stand, *args: Any, path: str = ME, **more: Any) -> Json:
    """A new event, as the API answers."""
    made: Json = ms.call("POST", f"{path}/calendar/events", json=body(*args, **more), status=201).json()
    return made


def patch(ms: Stand, event_id: str, change: Json, *, path: str = ME, status: int = 200, **more: Any) -> Json:
    changed: Json = ms.call("PATCH", f"{path}/events/{event_id}", json=change, status=status, **more).json()
    return changed


def december(ms: Stand, path: str = ME, **more: Any) -> list[Json]:
    """The month as calendarView expands it, by start."""
    return ms.value(f"{path}/calendarView?{DECEMBER}&$orderby=start/dateTime&$top=100", **more)


def days(items: list[Json]) -> list[str]:
    return [item["start"]["dateTime"][:10] for item in items]


def occurrence(ms: Stand, series: str, day: str, address: str = ADA) -> str:
    """The id of the occurrence that the pattern puts on that day."""
    found: str = ms.box(lambda box: box.calendar.occurrence(series, date.fromisoformat(day)), address)
    return found


def outbox(ms: Stand) -> list[tuple[str, str, list[str]]]:
    """(kind, from, to) of every mail since the last look."""
    mails = [(mail["kind"], mail["from"], mail["to"]) for mail in ms.world.outbox]
    ms.world.outbox.clear()
    return mails


def message(ms: Stand, method: str, path: str, status: int, **more: Any) -> tuple[str, str]:
    """(code, message) of a refusal."""
    error = ms.call(method, path, status=status, **more).json()["error"]
    return error["code"], error["message"]


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)
