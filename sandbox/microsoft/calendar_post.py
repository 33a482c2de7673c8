"""What a meeting sends: invitations, updates, cancellations and answers, to the outbox and into the copies of this world.

Rules that hold here:
- Every mail the vendor would send stands in `World.outbox`: {vendor, kind, from, to, subject, event, at}; `to` is a list of
  addresses, `event` the iCalUId, `at` UTC. There is no way to write without it.
- An update of nothing but `attendees` goes to who was added and who was removed; any other update of what attendees see goes
  to all of them, whether a value changed or not. What only the organiser sees goes to nobody (switch `private_patch_mails`).
- An update of a series with exceptions is one mail for the series and one for each exception.
- A copy takes over what the organiser says and keeps what is its own. New times ask for the answer again.
Sources: learn.microsoft.com/graph/api/event-update ("attendees property and meeting updates"), event-delete, event-cancel,
event-accept, event-tentativelyaccept, event-decline.

It must never be by-passed: each act of an organiser or an attendee ends here.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from sandbox.microsoft.event import Attendee, Changed, Details, Event, Instance, Own, ical_uid
from sandbox.microsoft.switches import switch

if TYPE_CHECKING:
    from sandbox.microsoft.calendar import Calendar

VENDOR = "microsoft"
#: an invitation nobody has answered yet
UNANSWERED = Own(show_as="tentative", response="notResponded")
#: answer -> how the calendar then shows the time
SHOWN_AS: Mapping[str, str] = {"accepted": "busy", "tentativelyAccepted": "tentative", "declined": "free"}
_TIMES = ("start", "end", "zone", "is_all_day", "recurrence")
_CANCELLED = "Canceled: "


def _mail(calendar: Calendar, kind: str, found: Instance, to: Iterable[str], sender: str | None = None) -> list[str]:
    """Puts one mail into the outbox. Answers whom it goes to: nobody writes to himself."""
    sender = (sender or calendar.mailbox.address).lower()
    people = [address for address in to if address != sender]
    if people:
        calendar.mailbox.world.outbox.append({
            "vendor": VENDOR,
            "kind": kind,
            "from": sender,
            "to": sorted(people),
            "subject": found.details.subject,
            "event": found.ical_uid,
            "at": calendar.mailbox.world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        })  # fmt: skip
    return people


def _calendars(calendar: Calendar, addresses: Iterable[str]) -> list[Calendar]:
    """The calendars of this world behind the addresses."""
    boxes = (calendar.find_mailbox(address) for address in addresses)
    return [box.calendar for box in boxes if box is not None and box.tenant == calendar.mailbox.tenant]


def invite(calendar: Calendar, found: Instance, addresses: Iterable[str]) -> None:
    for other in _calendars(calendar, _mail(calendar, "invitation", found, addresses)):
        _copy(found, other, asks_again=True)


def tell(calendar: Calendar, before: Instance, after: Instance, named: frozenset[str]) -> None:
    """After the organiser's change of the properties `named`, which attendees see."""
    if not before.event.is_organizer:
        return
    was = {one.address for one in before.details.attendees}
    now = {one.address for one in after.details.attendees}
    invite(calendar, after, now - was)
    cancel(calendar, after, was - now)
    seen = named - {"attendees"}
    if seen or (not named and switch(calendar.mailbox.world, "private_patch_mails")):
        _update(calendar, before, after, was & now)
    elif named:
        for other in _calendars(calendar, was & now):
            _copy(after, other, asks_again=False)


def _update(calendar: Calendar, before: Instance, after: Instance, addresses: set[str]) -> None:
    moved = any(getattr(before.details, name) != getattr(after.details, name) for name in _TIMES)
    if moved:
        _forget_answers(calendar, after)
        after = after.event.instance(after.day)
    people = _mail(calendar, "update", after, addresses)
    exceptions = sorted(after.event.changed) if after.day is None else []
    for day in exceptions:
        _mail(calendar, "update", after.event.instance(day), addresses)
    for other in _calendars(calendar, people):
        _copy(after, other, asks_again=moved)


def _forget_answers(calendar: Calendar, found: Instance) -> None:
    asked = tuple(dataclasses.replace(one, response="none", at=None) for one in found.details.attendees)
    if asked != found.details.attendees:
        calendar.write(found.event, found.day, {"attendees": asked}, {})


def _copy(found: Instance, to: Calendar, *, asks_again: bool) -> None:
    """What the organiser says, in the other calendar: the event with its exceptions, or one day."""
    source, asked = found.event, {"response": "notResponded", "answered": None, "show_as": "tentative"} if asks_again else {}
    whole = to.by_ical_uid(ical_uid(source.uid, None))
    if found.day is None:
        _copy_whole(source, whole, to, asked)
    elif whole is not None:
        to.write(whole, found.day, dict(source.changed[found.day].details), asked)
    elif alone := to.by_ical_uid(found.ical_uid):
        to.write(alone, None, _said(found.details), asked)
    else:
        to.insert(found.details, UNANSWERED, uid=source.uid, is_organizer=False, stamp=found.day)


def _copy_whole(source: Event, target: Event | None, to: Calendar, asked: dict[str, Any]) -> None:
    if target is None:
        changed = {day: Changed(dict(one.details)) for day, one in source.changed.items()}
        to.insert(source.details, UNANSWERED, uid=source.uid, is_organizer=False, changed=changed,
                  cancelled=copy.copy(source.cancelled))  # fmt: skip
        return
    to.write(target, None, _said(source.details), {**asked, "is_cancelled": False})
    for day, one in source.changed.items():
        if target.has(day):
            to.write(target, day, dict(one.details), {})


def _said(details: Details) -> dict[str, Any]:
    return {field.name: getattr(details, field.name) for field in dataclasses.fields(details)}


def cancel(calendar: Calendar, found: Instance, addresses: Iterable[str]) -> None:
    """A cancellation; the copies of this world stay as cancelled ones until somebody takes them away."""
    for other in _calendars(calendar, _mail(calendar, "cancellation", found, addresses)):
        target, day = _there(found, other)
        if target is not None:
            subject = target.instance(day).details.subject
            shown = subject if subject.startswith(_CANCELLED) else _CANCELLED + subject
            other.write(target, day, {"subject": shown}, {"is_cancelled": True, "show_as": "free"})


def cancel_all(calendar: Calendar, found: Instance) -> None:
    """The whole meeting, also for who was invited to one day of it alone."""
    everybody = {one.address for one in found.details.attendees}
    cancel(calendar, found, everybody)
    for day in sorted(found.event.changed) if found.day is None else ():
        one = found.event.instance(day)
        cancel(calendar, one, {attendee.address for attendee in one.details.attendees} - everybody)


def _there(found: Instance, calendar: Calendar) -> tuple[Event | None, date | None]:
    """(the same meeting in another calendar, the day of it)."""
    day = found.day or found.event.stamp
    whole = calendar.by_ical_uid(ical_uid(found.event.uid, None))
    if whole is None:
        return calendar.by_ical_uid(found.ical_uid), None
    return (whole, day) if day is None or whole.has(day) else (None, None)


def respond(calendar: Calendar, found: Instance, response: str) -> None:
    """The answer of this mailbox to the organiser."""
    organizer = found.details.organizer.address.lower()
    for other in _calendars(calendar, _mail(calendar, "response", found, [organizer])):
        target, day = _there(found, other)
        if target is not None:
            for address in calendar.mailbox.addresses:
                note_answer(other, target.instance(day), address, response)


def note_answer(calendar: Calendar, found: Instance, address: str, response: str) -> None:
    """The organiser's calendar notes what an attendee answered; that mails nobody."""
    now = calendar.mailbox.world.clock.now()
    if found.details.attendee(address) is None:
        return

    def noted(one: Attendee) -> Attendee:
        return dataclasses.replace(one, response=response, at=now) if one.address == address.lower() else one

    calendar.write(found.event, found.day, {"attendees": tuple(noted(one) for one in found.details.attendees)}, {})


def deleted_by_attendee(calendar: Calendar, found: Instance) -> None:
    """Whether deleting an invitation declines it is unsure: switch `attendee_delete_declines`."""
    if switch(calendar.mailbox.world, "attendee_delete_declines") and not found.own.is_cancelled:
        respond(calendar, found, "declined")
