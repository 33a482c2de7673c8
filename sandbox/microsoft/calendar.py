"""The calendar of one mailbox: its events, their indexes, and every way in which they change.

Rules that hold here:
- Each change takes the next number of the mailbox's one counter and is noted in the calendar's log under the event's serial, so
  a delta never looks at what did not change; a change of one occurrence is a change of its series.
- An event keeps its ids for life. What is deleted goes to Deleted Items, where the calendar does not find it any more.
- A series whose times or pattern change forgets its exceptions and cancelled days; one that only ends elsewhere keeps those
  that are still in it.
- Whatever a meeting's organiser does here is told to its attendees by `calendar_post.py`, on every way that leads here.
Sources: learn.microsoft.com/graph/api/event-update (occurrences and their neighbours), event-delete, event-cancel;
/graph/api/resources/event (transactionId, isOnlineMeeting).

It must never know HTTP or who is allowed what.
"""

from __future__ import annotations

import base64
import dataclasses
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sandbox.microsoft import calendar_post as post
from sandbox.microsoft.changes import ChangeLog
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event import Changed, Details, Event, Instance, Own, new_uid
from sandbox.microsoft.event_body import plain, times
from sandbox.microsoft.event_online import PROVIDER, has_block, join_url, with_block
from sandbox.microsoft.event_read import Read, read
from sandbox.microsoft.event_zones import UTC_ZONE, custom
from sandbox.microsoft.ids import day_of, is_well_formed, make_id, series_of
from sandbox.microsoft.mime import Address
from sandbox.microsoft.switches import switch

if TYPE_CHECKING:
    from sandbox.microsoft.mailbox import Mailbox
    from sandbox.microsoft.represent import Json


@dataclass(frozen=True)
class EventChange:
    """What `Mailbox.on_change` is told of an event: `kind` is created, updated or deleted."""

    mailbox: Mailbox
    event: Event
    kind: str


class Calendar:
    """The calendar of one mailbox, as sample data, pages and tests use it directly; the API's handlers go the same way.

    All ids may have either form; an occurrence has an id like every event. Properties are Graph's, in their JSON form;
    attendees may be plain addresses. What the vendor would refuse is refused in its words (`GraphError`).

    | what | method |
    |---|---|
    | a new event | `create(subject, start, end, zone=, custom_zone=, **properties)` -> immutable id; dates make whole days |
    | an invitation from outside | `invited(organizer, subject, start, end, ...)` -> immutable id of the copy |
    | looking | `find(id)` -> Instance, `events()`, `view(begin, end)`, `occurrence(series id, day)` -> id |
    | a person does something | `change(id, start=, end=, zone=, **properties)`, `delete`, `cancel`, `restore`, `open` |
    | answers | `respond(id, "accepted", send=)`; of an attendee outside: `answer(id, address, "declined")` |
    | as the API | `add(body)`, `update(id, body)` -> Instance |

    `providers` are the online meetings this mailbox may make; without one `isOnlineMeeting` is ignored.
    """

    def __init__(self, mailbox: Mailbox, find_mailbox: Callable[[str], Mailbox | None]) -> None:
        self.mailbox: Mailbox = mailbox
        self.find_mailbox = find_mailbox
        self.id: str = make_id("calendar", mailbox.identity.bytes)
        self.providers: tuple[str, ...] = (PROVIDER,)
        self.log: ChangeLog[int] = ChangeLog()
        self._serial = 0
        self._events: dict[int, Event] = {}
        self._gone: dict[int, Event] = {}
        self._by_id: dict[str, int] = {}
        self._series: dict[bytes, int] = {}
        self._by_ical: dict[str, int] = {}
        self._by_transaction: dict[str, int] = {}

    # --- looking

    @property
    def owner(self) -> Address:
        return Address(self.mailbox.name, self.mailbox.address)

    @property
    def change_key(self) -> str:
        return base64.b64encode(self.mailbox.identity.bytes[:8] + self._serial.to_bytes(4, "big")).decode()

    def known(self, event_id: str) -> Instance | None:
        serial, day = self._by_id.get(event_id), None
        if serial is None and (found := day_of(event_id)):
            serial, day = self._series.get(found[0]), found[1]
        event = self._events.get(serial or 0)
        if event is None or (day is not None and not event.has(day)):
            return None
        return event.instance(day)

    def find(self, event_id: str) -> Instance:
        """Raises GraphError: 400 ErrorInvalidIdMalformed, 404 ErrorItemNotFound (deleted, or a day that is gone, too)."""
        if (found := self.known(event_id)) is None:
            raise refusal("no_item" if is_well_formed(event_id) else "bad_id")
        return found

    def event(self, serial: int) -> Event | None:
        return self._events.get(serial)

    def gone(self, serial: int) -> Event:
        """An event that was deleted."""
        return self._gone[serial]

    def by_ical_uid(self, ical: str) -> Event | None:
        return self._events.get(self._by_ical.get(ical, 0))

    def events(self) -> list[Event]:
        """Single events and series, oldest first."""
        return list(self._events.values())

    def view(self, begin: datetime, end: datetime) -> list[Instance]:
        """Single events and occurrences that touch the span (UTC), by start."""
        found = [one for event in self._events.values() for one in event.within(begin, end)]
        return sorted(found, key=lambda one: (one.details.begins, one.event.serial))

    def occurrence(self, series_id: str, day: date) -> str:
        """The immutable id of the occurrence which the pattern puts on that day. Raises GraphError 404."""
        event = self.find(series_id).event
        if not event.has(day):
            raise refusal("no_item")
        return event.instance(day).shown_id(True)

    # --- what a person or the API does

    def create(
        self,
        subject: str,
        start: date | datetime,
        end: date | datetime,
        *,
        zone: str = "UTC",
        custom_zone: bool = False,
        **properties: Any,
    ) -> str:
        body = {"subject": subject, **times(start, end, zone), **plain(properties, start)}
        return self._add(body, is_custom=custom_zone).shown_id(True)

    def invited(
        self, organizer: str, subject: str, start: date | datetime, end: date | datetime, *, zone: str = "UTC", **more: Any
    ) -> str:
        """An event that somebody outside organises; its attendees are `attendees`, or this mailbox alone."""
        more.setdefault("attendees", [self.mailbox.address])
        body = {"subject": subject, **times(start, end, zone), **plain(more, start)}
        said = read(body, _blank(Address(organizer, organizer)), is_new=True)
        details = dataclasses.replace(_blank(Address(organizer, organizer)), **said.details)
        return self.insert(details, post.UNANSWERED, is_organizer=False).shown_id(True)

    def change(
        self,
        event_id: str,
        *,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        zone: str | None = None,
        **properties: Any,
    ) -> None:
        """Without `zone` times are those of the event's own."""
        found = self.find(event_id).details
        said = times(start, end, zone or found.zone.iana) if start or end else {}
        self.update(event_id, {**said, **plain(properties, start or found.start)})

    def add(self, body: Json) -> Instance:
        """A new event. The transactionId of one that is there answers with that one and makes nothing."""
        return self._add(body)

    def _add(self, body: Json, *, is_custom: bool = False) -> Instance:
        transaction_id = body.get("transactionId")
        if first := self._events.get(self._by_transaction.get(transaction_id or "", 0)):
            return first.instance()
        blank = _blank(self.owner)
        said = read(body, blank, is_new=True)
        details = dataclasses.replace(blank, **said.details)
        if is_custom:
            details = _customised(details)
        made = self.insert(details, dataclasses.replace(Own(), **said.own), said=said, transaction_id=transaction_id)
        post.invite(self, made, [one.address for one in made.details.attendees])
        return made

    def update(self, event_id: str, body: Json) -> Instance:
        """Changes an event or one occurrence, and mails whom the change concerns."""
        before = self.find(event_id)
        said = read(body, before.details, is_occurrence=before.day is not None)
        if before.day is not None and "start" in said.details:
            _refuse_crossing(before.event, before.day, dataclasses.replace(before.details, **said.details))
        details = {**said.details, **self._online(before, said)}
        if "properties" in said.own:
            said.own["properties"] = {**before.own.properties, **said.own["properties"]}
        if "attendees" in details:
            details["attendees"] = _with_answers(details["attendees"], before.details)
        self.write(before.event, before.day, details, said.own)
        after = before.event.instance(before.day)
        post.tell(self, before, after, said.named)
        return after.event.instance(before.day)

    def delete(self, event_id: str) -> None:
        """By the organiser of a meeting: its attendees get a cancellation."""
        found = self.find(event_id)
        if found.event.is_organizer:
            post.cancel_all(self, found)
        else:
            post.deleted_by_attendee(self, found)
        self._take_out(found)

    def restore(self, event_id: str) -> None:
        """A person takes an event back out of Deleted Items; it has its ids again. Mails nobody. Raises KeyError."""
        event = self._gone.pop(self._by_id[event_id])
        event.version, event.modified = self.mailbox.tick()
        self._events = dict(sorted({**self._events, event.serial: event}.items()))
        self._by_ical[event.instance().ical_uid] = event.serial
        self._tell(event, event.version, "created")

    def open(self, event_id: str) -> None:
        """What a person does by looking; with the switch `microsoft.opening_touches` on the last-modified time moves."""
        event = self.find(event_id).event
        if switch(self.mailbox.world, "opening_touches"):
            self.write(event, None, {}, {})

    def cancel(self, event_id: str) -> None:
        """Raises GraphError 400 for who is not the organiser."""
        if not self.find(event_id).event.is_organizer:
            raise refusal("not_organizer")
        self.delete(event_id)

    def respond(self, event_id: str, response: str, *, send: bool = True) -> None:
        """`response`: accepted, tentativelyAccepted or declined, which goes to Deleted Items. Raises GraphError 400."""
        found = self.find(event_id)
        if found.event.is_organizer:
            raise refusal("is_organizer")
        if send and not found.details.response_requested:
            raise refusal("no_response_wanted")
        own = {"response": response, "answered": self.mailbox.world.clock.now(), "show_as": post.SHOWN_AS[response]}
        self.write(found.event, found.day, {}, own)
        if send:
            post.respond(self, found, response)
        if response == "declined":
            self._take_out(found)

    def answer(self, event_id: str, address: str, response: str) -> None:
        """An attendee answers the invitation of this organiser."""
        post.note_answer(self, self.find(event_id), address, response)

    # --- bookkeeping; calendar_post.py writes copies with these

    def insert(
        self, details: Details, own: Own, *, uid: bytes | None = None, said: Read | None = None, **more: Any
    ) -> Instance:
        number, now = self.mailbox.tick()
        self._serial += 1
        data = uuid.uuid5(self.mailbox.identity, f"event {self._serial}").bytes
        event = Event(
            mailbox=self.mailbox.identity.bytes, serial=self._serial, uid=uid or new_uid(now, data), details=details, own=own,
            created=now, modified=now, version=number, owner=frozenset(map(str.lower, self.mailbox.addresses)), **more,
        )  # fmt: skip
        if said:
            event.details = dataclasses.replace(details, **self._online(event.instance(), said))
        self._events[event.serial] = event
        for immutable in (True, False):
            self._by_id[event.shown_id(immutable)] = event.serial
        for kind in ("occurrence", "immutable_occurrence"):
            self._series[series_of(kind, event.mailbox, event.serial)] = event.serial
        self._by_ical[event.instance().ical_uid] = event.serial
        if event.transaction_id:
            self._by_transaction[event.transaction_id] = event.serial
        self._tell(event, number, "created")
        return event.instance()

    def write(self, event: Event, day: date | None, details: dict[str, Any], own: dict[str, Any]) -> None:
        """Sets fields of the event, or of one day of it, as one change; mails nobody."""
        number, now = self.mailbox.tick()
        if day is None:
            before = event.details
            event.details, event.own = dataclasses.replace(before, **details), dataclasses.replace(event.own, **own)
            event.reshape(before, number)
        else:
            changed = event.changed.setdefault(day, Changed())
            changed.details |= details
            changed.own |= own
            event.cancelled.discard(day)
        event.version, event.modified = number, now
        self._tell(event, number, "updated")

    def _take_out(self, found: Instance) -> None:
        """The event to Deleted Items, or one day out of its series."""
        number, now = self.mailbox.tick()
        event = found.event
        if found.day is not None:
            event.changed.pop(found.day, None)
            event.cancelled.add(found.day)
            event.version, event.modified = number, now
            self._tell(event, number, "updated")
            return
        self._gone[event.serial] = self._events.pop(event.serial)
        self._by_ical.pop(event.instance().ical_uid, None)
        self._tell(event, number, "deleted")

    def _tell(self, event: Event, number: int, kind: str) -> None:
        self.log.note(event.serial, number)
        self.mailbox.on_change(EventChange(self.mailbox, event, kind))

    def _online(self, found: Instance, said: Read) -> dict[str, Any]:
        """An online meeting begins when it is asked for and ends when its block is taken out of the body."""
        url, html = found.details.join_url, said.details.get("html", found.details.html)
        if url:
            return {} if has_block(html, url) else {"join_url": ""}
        if not said.online or PROVIDER not in self.providers:
            return {}
        url = join_url(found.event.uid, self.mailbox.tenant, self.mailbox.user_id)
        return {"join_url": url, "html": with_block(html, url)}


def _refuse_crossing(event: Event, day: date, moved: Details) -> None:
    """An occurrence stays between the days of its neighbours. Raises GraphError 400 ErrorOccurrenceCrossingBoundary."""
    before, after = event.neighbours(day)
    to = event.day_of(moved)
    if (before is not None and to <= before) or (after is not None and to >= after):
        raise refusal("occurrence_crossing")


def _with_answers(attendees: Iterable[Any], before: Details) -> tuple[Any, ...]:
    """Those who were in the meeting before keep their answers."""
    known = {one.address: one for one in before.attendees}
    return tuple(
        dataclasses.replace(one, response=known[one.address].response, at=known[one.address].at)
        if one.address in known
        else one
        for one in attendees
    )


def _customised(details: Details) -> Details:
    shown = custom(details.zone.iana)
    recurrence = details.recurrence and dataclasses.replace(details.recurrence, zone=shown.name)
    return dataclasses.replace(details, zone=shown, end_zone=shown, recurrence=recurrence)


def _blank(organizer: Address) -> Details:
    moment = datetime(2000, 1, 1)  # noqa: DTZ001  # a wall clock
    return Details(moment, moment, UTC_ZONE, UTC_ZONE, organizer)
