"""One event of a calendar, and what each of its occurrences looks like.

Rules that hold here:
- `Details` are what a meeting says to everybody in it; `Own` is what one mailbox adds for itself. Updates of the organiser
  carry Details to the copies and leave Own alone.
- An event is a single one or a series. Of a series the mailbox keeps one event, the days that differ (`changed`) and the days
  that are gone (`cancelled`); every other occurrence is made when asked for.
- Days name occurrences: the day, in the series' zone, on which the rule put them. A moved occurrence keeps its day and its id.
- iCalUId is the Global Object ID: the same in every mailbox, another for each occurrence.
- Only `calendar.py` changes an event; every change moves `version` and `modified`, those of one occurrence the series'.
Sources: learn.microsoft.com/graph/api/resources/event; MS-OXOCAL 2.2.1.27 (PidLidGlobalObjectId).
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

from sandbox.microsoft.event_recurrence import Recurrence
from sandbox.microsoft.event_zones import UTC_ZONE, Zone
from sandbox.microsoft.ids import make_day_id, make_id
from sandbox.microsoft.mime import Address

#: the kinds of `type`
SINGLE, OCCURRENCE, EXCEPTION, MASTER = "singleInstance", "occurrence", "exception", "seriesMaster"
_CLASS_ID = bytes.fromhex("040000008200E00074C5B7101A82E008")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Attendee:
    """`kind`: required, optional, resource. `response` and `at` are what the organiser knows of the answer."""

    person: Address
    kind: str = "required"
    response: str = "none"
    at: datetime | None = None

    @property
    def address(self) -> str:
        return self.person.address.lower()


@dataclass(frozen=True)
class Details:
    """`start` and `end` are what the clock on the wall shows in `zone`, midnights for an all-day event; `end_zone` is for
    showing alone. `join_url` is "" where it is no online meeting."""

    start: datetime
    end: datetime
    zone: Zone
    end_zone: Zone
    organizer: Address
    subject: str = ""
    html: str = ""
    is_all_day: bool = False
    importance: str = "normal"
    sensitivity: str = "normal"
    locations: tuple[dict[str, Any], ...] = ()
    attendees: tuple[Attendee, ...] = ()
    recurrence: Recurrence | None = None
    response_requested: bool = True
    new_times: bool = True
    hide_attendees: bool = False
    join_url: str = ""

    @cached_property
    def begins(self) -> datetime:
        """UTC; an all-day event floats: the service counts its days as days of UTC."""
        return (UTC_ZONE if self.is_all_day else self.zone).instant(self.start)

    @cached_property
    def ends(self) -> datetime:
        return (UTC_ZONE if self.is_all_day else self.zone).instant(self.end)

    def attendee(self, address: str) -> Attendee | None:
        return next((one for one in self.attendees if one.address == address.lower()), None)

    def on(self, day: date) -> Details:
        """What the occurrence of that day says."""
        start = datetime.combine(day, self.start.time())
        return dataclasses.replace(self, start=start, end=start + (self.end - self.start), recurrence=None)


@dataclass(frozen=True)
class Own:
    """`properties` are extended properties, {comparable id: (id as sent, value)}."""

    categories: tuple[str, ...] = ()
    show_as: str = "busy"
    is_reminder_on: bool = True
    reminder_minutes: int = 15
    properties: dict[str, tuple[str, str]] = field(default_factory=dict)
    response: str = "organizer"
    answered: datetime | None = None
    is_cancelled: bool = False


@dataclass(slots=True)
class Changed:
    """One day of a series that differs: fields of Details and of Own."""

    details: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Event:
    """`owner`: the addresses of the person whose calendar it is in. `uid`: the tail of the Global Object ID. `stamp`: the day
    of an occurrence to which its owner is invited alone. `former`: (version until which it held, Details) for every other shape
    it had."""

    mailbox: bytes
    serial: int
    uid: bytes
    details: Details
    own: Own
    created: datetime
    modified: datetime
    version: int
    owner: frozenset[str]
    is_organizer: bool = True
    transaction_id: str | None = None
    stamp: date | None = None
    changed: dict[date, Changed] = field(default_factory=dict)
    cancelled: set[date] = field(default_factory=set)
    former: list[tuple[int, Details]] = field(default_factory=list)

    def instance(self, day: date | None = None) -> Instance:
        """The event itself, or its occurrence of that day, which must be there (`has`)."""
        if day is None:
            return Instance(self, None, self.details, self.own, None)
        changed = self.changed.get(day)
        details, own = self.details.on(day), self.own
        if changed:
            details = dataclasses.replace(details, **changed.details)
            own = dataclasses.replace(own, **changed.own)
        return Instance(self, day, details, own, changed)

    def has(self, day: date) -> bool:
        """Whether the series has an occurrence of that day."""
        recurrence = self.details.recurrence
        return recurrence is not None and day not in self.cancelled and recurrence.has(day)

    def neighbours(self, day: date) -> tuple[date | None, date | None]:
        """The days on which the occurrences before and after that one begin now, in the series' zone."""
        recurrence = self.details.recurrence
        assert recurrence is not None

        def begins(step: Callable[[date], date | None]) -> date | None:
            other = step(day)
            while other is not None and other in self.cancelled:
                other = step(other)
            return self.day_of(self.instance(other).details) if other else None

        return begins(recurrence.before), begins(recurrence.after)

    def day_of(self, details: Details) -> date:
        """The day, in the series' zone, on which something begins."""
        return details.start.date() if details.is_all_day else self.details.zone.wall(details.begins).date()

    def reshape(self, before: Details, number: int) -> None:
        """After a change of the whole event, which makes version `number`: which of its days are still true."""
        after = self.details
        if _shape(before) == _shape(after):
            return
        self.former.append((number, before))
        keeps = before.recurrence and after.recurrence and _shape(before, no_end=True) == _shape(after, no_end=True)
        recurrence = after.recurrence if keeps else None
        self.changed = {day: changed for day, changed in self.changed.items() if recurrence and recurrence.has(day)}
        self.cancelled = {day for day in self.cancelled if recurrence and recurrence.has(day)}

    def within(self, begin: datetime, end: datetime) -> list[Instance]:
        """What of it lies at least partly in that span of time (UTC), occurrences instead of the series, by start."""
        if self.details.recurrence is None:
            return [found for found in (self.instance(),) if found.touches(begin, end)]
        length = self.details.ends - self.details.begins
        first = (begin - length - timedelta(days=2)).date()
        days = set(self.details.recurrence.between(first, (end + timedelta(days=2)).date())) - self.cancelled
        found = [self.instance(day) for day in days | self.changed.keys()]
        return sorted((one for one in found if one.touches(begin, end)), key=lambda one: (one.details.begins, one.day))

    def shown_id(self, immutable: bool) -> str:
        return make_id("immutable_event" if immutable else "event", self.mailbox, self.serial)


@dataclass(frozen=True)
class Instance:
    """An event or one occurrence of it (`day`), as it is to be seen."""

    event: Event
    day: date | None
    details: Details
    own: Own
    changed: Changed | None

    @property
    def kind(self) -> str:
        if self.day is not None:
            return EXCEPTION if self.changed else OCCURRENCE
        return MASTER if self.event.details.recurrence else SINGLE

    def touches(self, begin: datetime, end: datetime) -> bool:
        return self.details.begins < end and (self.details.ends > begin or self.details.begins >= begin)

    def shown_id(self, immutable: bool) -> str:
        if self.day is None:
            return self.event.shown_id(immutable)
        kind = "immutable_occurrence" if immutable else "occurrence"
        return make_day_id(kind, self.event.mailbox, self.event.serial, self.day)

    @property
    def seen_attendees(self) -> list[Attendee]:
        """Where attendees are hidden from each other, each sees himself alone."""
        hidden = self.details.hide_attendees and not self.event.is_organizer
        return [one for one in self.details.attendees if not hidden or one.address in self.event.owner]

    @property
    def original_start(self) -> datetime | None:
        """UTC; when the rule put it there. None for what is no occurrence."""
        return self.event.details.on(self.day).begins if self.day else None

    @property
    def change_key(self) -> str:
        """A series and its occurrences are one item with one version."""
        return "DwAAABYAAA" + base64.b64encode(self.event.mailbox[:6] + self.event.version.to_bytes(6, "big")).decode()

    @property
    def etag(self) -> str:
        return f'W/"{self.change_key}"'

    @property
    def ical_uid(self) -> str:
        return ical_uid(self.event.uid, self.day or self.event.stamp)

    @property
    def web_link(self) -> str:
        return f"https://outlook.office365.com/owa/?itemid={quote(self.shown_id(False))}&exvsurl=1&path=/calendar/item"


def _shape(details: Details, *, no_end: bool = False) -> tuple[object, ...]:
    recurrence = details.recurrence
    if no_end and recurrence:
        recurrence = dataclasses.replace(recurrence, range="", end=None, count=0)
    return recurrence, details.start, details.end, details.zone.iana, details.is_all_day


def ical_uid(uid: bytes, day: date | None) -> str:
    """The Global Object ID in hex: class, day of the occurrence, the rest."""
    stamp = day.year.to_bytes(2, "big") + bytes((day.month, day.day)) if day else bytes(4)
    return (_CLASS_ID + stamp + uid).hex().upper()


def new_uid(created: datetime, data: bytes) -> bytes:
    """What follows the day: the time of making (100 ns since 1601), reserved, the length of the data, the data."""
    ticks = int((created - _EPOCH) / timedelta(microseconds=1)) * 10
    return ticks.to_bytes(8, "little") + bytes(8) + len(data).to_bytes(4, "little") + data
