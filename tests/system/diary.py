"""Acts on calendars and on the Salesforce events behind them, for the system tests: what people do, and what can be seen.

Rules that hold here: the mails that a person's act causes are kept with the stage as caused; so are those of a change that a
person approved, to the meeting it was about. Whatever else stands in the outbox the product sent of its own accord; that fails
the test at its end (`conftest.stage`). So a person's act goes through a Diary, never past it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal

from shared.core.model import Link
from shared.ports import MailboxKey, Place
from shared.session import links, records, waiting
from tests.system.stage import Stage, address_of

KEY_FIELD = "Mailspan_Key__c"
Json = dict[str, Any]


class Diary:
    """One mailbox's calendar and its user's Salesforce events. Times are given as hours from the stage's present hour."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.name = stage, name
        self.order = 0
        self.user = stage.ids[address_of(name)]
        self.hour = stage.clock.now().replace(minute=0, second=0, microsecond=0)  # of all times, however long a test takes

    def at(self, hours: float) -> datetime:
        return self.hour + timedelta(hours=hours)

    # --- the calendar

    def make(self, subject: str, hours: float = 24, length: float = 1, **more: Any) -> str:
        """A new event; `attendees` are addresses, `marked` sets our category."""
        body: Json = {"subject": subject, "start": wall(self.at(hours)), "end": wall(self.at(hours + length))}
        if more.pop("marked", False):
            body["categories"] = ["Salesforce"]
        if "attendees" in more:
            body["attendees"] = [
                {"emailAddress": {"address": one, "name": one}, "type": "required"} for one in more.pop("attendees")
            ]
        made = self.act(lambda calendar: calendar.add({**body, **more}))
        return str(made.shown_id(True))

    def change(self, event_id: str, **body: Any) -> None:
        self.act(lambda calendar: calendar.update(event_id, body))

    def delete(self, event_id: str) -> None:
        self.act(lambda calendar: calendar.delete(event_id))

    def mark(self, event_id: str, *names: str) -> None:
        self.change(event_id, categories=list(names))

    def occurrence(self, series_id: str, day: date) -> str:
        """The id of the occurrence that the pattern puts on that day."""
        return str(self.act(lambda calendar: calendar.occurrence(series_id, day)))

    def event(self, event_id: str) -> Any:
        """Subject, times, categories ... as the stand-in keeps them."""
        return self.act(lambda calendar: calendar.find(event_id))

    def all(self) -> list[Any]:
        return list(self.act(lambda calendar: [event.instance() for event in calendar.events()]))

    def act[T](self, work: Callable[[Any], T]) -> T:
        """Something a person does in the calendar, with the mails it causes."""
        outbox = self.stage.world.outbox

        def done() -> T:
            before = len(outbox)
            result = work(self.stage.mailbox(self.name).calendar)
            self.stage.caused += outbox[before:]
            return result

        return self.stage.do(done)

    # --- what waits

    def waits(self, event_id: str) -> list[str]:
        """The fields of the event that wait for this person."""
        row = self.stage.wire.store.get(self._place, records.held(self._waiting(event_id)))
        return list(records.read(row)["fields"]) if row is not None else []

    def answer(self, event_id: str, answer: Literal["send", "discard"]) -> None:
        """A person's word on what waits, and the session that hears it. Only that meeting may mail anybody in it."""
        assert waiting.say(self.stage.wire.store, self._place, self._waiting(event_id), answer)
        outbox, uid = self.stage.world.outbox, self.event(event_id).ical_uid
        before = len(outbox)
        self.step()
        self.stage.caused += [mail for mail in outbox[before:] if answer == "send" and mail["event"] == uid]

    def link(self, event_id: str) -> Link:
        return links.by_ids(self.stage.wire.store, self._place, "mail", [event_id])[event_id]

    def _waiting(self, event_id: str) -> str:
        return links.waiting(self.link(event_id).key).removeprefix(records.held(""))

    @property
    def _place(self) -> Place:
        return self.stage.wire.mailbox_place(MailboxKey(self.stage.key(self.name)))

    # --- Salesforce

    def record(self, subject: str, hours: float = 24, length: float = 1, **more: Any) -> str:
        """A new event of the user's in Salesforce."""
        fields = {"Subject": subject, "StartDateTime": utc(self.at(hours)), "EndDateTime": utc(self.at(hours + length))}
        made: str = self.stage.do(lambda: self.stage.salesforce.records.create("Event", {**fields, **more}, self.user))
        return made

    def edit(self, record_id: str, **fields: Any) -> None:
        self.stage.do(lambda: self.stage.salesforce.records.update("Event", record_id, fields, self.user))

    def give(self, record_id: str, to: str) -> None:
        """Makes another user the owner of a record."""
        self.edit(record_id, OwnerId=self.stage.ids[address_of(to)])

    def invite(self, record_id: str, person: str) -> None:
        """Invites a contact, lead or user to the event in Salesforce."""
        fields = {"EventId": record_id, "RelationId": person}
        self.stage.do(lambda: self.stage.salesforce.records.create("EventRelation", fields, self.user))

    def invited(self, record_id: str) -> set[str]:
        rows = self.stage.do(lambda: self.stage.salesforce.records.children("EventRelation", "EventId", record_id))
        return {str(row["RelationId"]) for row in rows}

    def remove(self, record_id: str) -> None:
        self.stage.do(lambda: self.stage.salesforce.records.delete("Event", record_id, self.user))

    # --- sync

    def step(self, seconds: float = 61) -> None:
        """Time goes on, the org is polled, and the mailbox has its sessions."""
        self.stage.advance(seconds)
        self.stage.wire.poll()
        self.stage.sessions(self.name)


def events(stage: Stage) -> list[Mapping[str, Any]]:
    """The Salesforce events that stand, children left out."""
    rows = stage.do(lambda: list(stage.salesforce.records.store.all("Event")))
    return [row for row in rows if not row["IsDeleted"] and not row.get("IsChild")]


def only(stage: Stage) -> Mapping[str, Any]:
    [row] = events(stage)
    return row


def with_key_field(stage: Stage) -> None:
    stage.do(lambda: stage.salesforce.add_key_field(KEY_FIELD))


def contact(stage: Stage, email: str, account: str = "") -> str:
    records, admin = stage.salesforce.records, stage.salesforce.admin_id
    account = account or stage.do(lambda: records.create("Account", {"Name": "Customer"}, admin))
    fields = {"LastName": email.split("@")[0].title(), "Email": email, "AccountId": account}
    made: str = stage.do(lambda: records.create("Contact", fields, admin))
    return made


def outbox(stage: Stage) -> list[tuple[str, str, list[str]]]:
    """(kind, from, to) of every mail the vendors would have sent since the last look."""
    new, stage.looked = stage.world.outbox[stage.looked :], len(stage.world.outbox)
    return [(mail["kind"], mail["from"], mail["to"]) for mail in new]


def wall(moment: datetime) -> Json:
    return {"dateTime": moment.strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"}


def utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def rules(stage: Stage, name: str) -> Iterator[str]:
    """The mailbox's decisions about events, oldest first."""
    return (entry.rule for entry in stage.decisions(name) if entry.kind == "event")
