"""`events.toml` -> events in the calendars and in the org: those that stand there at the start, and those people make later.

Rules that hold here:
- An event is known by its key; a record that is the other half of an event has the same key. What must become of them stands
  in `events.csv`, under the key or under `record:KEY`.
- Days count from the day of loading, as the mailbox's owner has it; times are what the clock on the wall shows there.
- What is "before" is made when the sample is loaded, what is "after" by `go_on`, once the mailboxes are connected: the vendors
  write down by themselves when something was made.
- Events go through the calendar's own acts, records through the org's own rules; people answer invitations as people do.

It must never say what the product does with an event.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.microsoft import Mailbox
from sandbox.microsoft.calendar_post import SHOWN_AS
from sandbox.microsoft.event_zones import Zone, zone
from sandbox.salesforce import Salesforce
from sandbox.sample.mails import FOLDER
from sandbox.sample.words import Words

if TYPE_CHECKING:
    from sandbox.sample.mails import AddressBook

#: How Salesforce shows the time of an event that Outlook shows so.
SHOWN_IN_SALESFORCE = {"free": "Free", "oof": "OutOfOffice"}
LONG_TEXT = 40_000
_LINE = "Alle Gäste gehen über die Ostseite; der Kran ist gesperrt 🏗️. "


@dataclass(frozen=True)
class Times:
    """When an event is, in both forms: `start` and `end` are dates for whole days (the end is the day after), else UTC."""

    start: date | datetime
    end: date | datetime

    @property
    def is_whole(self) -> bool:
        return not isinstance(self.start, datetime)


@dataclass(frozen=True)
class PlacedEvent:
    """An event of a calendar. `copies`: (mailbox key, immutable id); `occurrences`: day of the table -> (subject, times)."""

    key: str
    row: Mapping[str, Any]
    subject: str
    place: str
    token: str
    times: Times
    copies: tuple[tuple[str, str], ...]
    occurrences: Mapping[int, tuple[str, Times]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlacedRecord:
    """An event of the org."""

    key: str
    row: Mapping[str, Any]
    subject: str
    place: str
    token: str
    times: Times
    record_id: str


class Diaries:
    """The events of one sample, made in two steps. `ids`: "kind:key" -> record id, as the org's other records have them."""

    def __init__(
        self,
        salesforce: Salesforce,
        boxes: Mapping[str, Mailbox],
        words: Words,
        book: AddressBook,
        ids: Mapping[str, str],
        now: datetime,
        cases: Mapping[str, str],
    ) -> None:
        self._data = tomllib.loads((FOLDER / "events.toml").read_text(encoding="utf-8"))
        self._salesforce, self._boxes, self._words, self._book, self._ids = salesforce, boxes, words, book, ids
        self._now, self._cases = now, cases
        self.events: list[PlacedEvent] = []
        self.records: list[PlacedRecord] = []
        self.has_gone_on = False
        self._make("before")

    def go_on(self) -> None:
        """People go on working: everything that is made later. A second time nothing happens."""
        if not self.has_gone_on:
            self.has_gone_on = True
            self._make("after")

    def _make(self, made: str) -> None:
        self.records += [self._record(row) for row in self._data["record"] if row["made"] == made]
        self.events += [self._event(row) for row in self._data["event"] if row["made"] == made]
        self._salesforce.records.store.commit()

    # --- calendars

    def _event(self, row: Mapping[str, Any]) -> PlacedEvent:
        box, key = self._boxes[row["mailbox"]], row["key"]
        subject = self._text("event subject", key, row["subject"].format(**self._cases))
        place = self._text("event place", key, row.get("place", ""))
        at, zone_name = zone(box.time_zone), box.time_zone
        token = self._words.token("event body", key)
        more: dict[str, Any] = {
            "body": {"contentType": "text", "content": _body(row, token)},
            "categories": row.get("categories", []),
            "showAs": row.get("show_as", "busy"),
            "sensitivity": "private" if row.get("private") else "normal",
            "location": {"displayName": place},
            **({"isOnlineMeeting": True} if row.get("online") else {}),
            **self._recurrence(row, at),
        }
        start, end = self._wall(row, at)
        if "from" in row:
            organizer = self._book.party(row["from"])
            event_id = box.calendar.invited(organizer.address, subject, start, end, zone=zone_name, **more)
            self._answer(box, event_id, row.get("answer", ""))
        else:
            people = [self._person(one) for one in row.get("with", ())]
            event_id = box.calendar.create(subject, start, end, zone=zone_name, attendees=people, **more)
        copies = self._copies(row, box, event_id)
        self._answers(row, box, event_id, dict(copies))
        occurrences = self._occurrences(row, box, event_id, subject, at) if "every" in row else {}
        return PlacedEvent(key, row, subject, place, token, self._times(row, at), copies, occurrences)

    def _person(self, key: str) -> dict[str, Any]:
        party = self._book.party(key)
        return {"emailAddress": {"address": party.address, "name": party.name}, "type": "required"}

    def _copies(self, row: Mapping[str, Any], box: Mailbox, event_id: str) -> tuple[tuple[str, str], ...]:
        """Where the event lies: in its own mailbox, and in those of the world's other people in it."""
        ical = box.calendar.find(event_id).ical_uid
        others = [key for key in row.get("with", ()) if key in self._boxes and key != row["mailbox"]]
        found = [(key, self._boxes[key].calendar.by_ical_uid(ical)) for key in others]
        return ((row["mailbox"], event_id), *((key, copy.instance().shown_id(True)) for key, copy in found if copy))

    def _answer(self, box: Mailbox, event_id: str, answer: str) -> None:
        """A declined invitation stays in the calendar, as a mail program can be told to leave it."""
        if answer == "declined":
            event = box.calendar.find(event_id).event
            box.calendar.write(event, None, {}, {"response": answer, "show_as": SHOWN_AS[answer], "answered": self._now})
        elif answer:
            box.calendar.respond(event_id, answer)

    def _answers(self, row: Mapping[str, Any], box: Mailbox, event_id: str, copies: Mapping[str, str]) -> None:
        for key, answer in row.get("answers", {}).items():
            if key in copies:
                self._boxes[key].calendar.respond(copies[key], answer)
            else:
                box.calendar.answer(event_id, self._book.party(key).address, answer)

    # --- series

    def _recurrence(self, row: Mapping[str, Any], at: Zone) -> dict[str, Any]:
        if "every" not in row:
            return {}
        first = self._day(row["day"], at)
        pattern = {"type": "weekly", "interval": 1, "daysOfWeek": [first.strftime("%A").lower()]}
        return {"recurrence": {"pattern": pattern, "range": {"type": "numbered", "numberOfOccurrences": row["count"]}}}

    def _occurrences(
        self, row: Mapping[str, Any], box: Mailbox, series: str, subject: str, at: Zone
    ) -> dict[int, tuple[str, Times]]:
        """Every one that stands; one may have been changed by a person, some cancelled."""
        days = [row["day"] + 7 * n for n in range(row["count"])]
        found = {day: (subject, self._times({**row, "day": day}, at)) for day in days}
        for day in row.get("cancelled", ()):
            box.calendar.delete(box.calendar.occurrence(series, self._day(day, at)))
            del found[day]
        if changed := row.get("changed"):
            day, other = changed["day"], {**row, **changed}
            renamed = self._text("event subject", f"{row['key']} {day}", other["subject"])
            start, end = self._wall(other, at)
            occurrence = box.calendar.occurrence(series, self._day(day, at))
            box.calendar.change(occurrence, start=start, end=end, zone=at.name, subject=renamed)
            found[day] = (renamed, self._times(other, at))
        return found

    # --- the org

    def _record(self, row: Mapping[str, Any]) -> PlacedRecord:
        key, owner = row["key"], self._ids[f"user:{row['user']}"]
        at = zone(self._boxes[row["user"]].time_zone if row["user"] in self._boxes else "UTC")
        # the two halves of a pair are the same thing to people, so they share their words
        is_half = any(event["key"] == key for event in self._data["event"])
        subject = self._text("event subject", key, row["subject"])
        place = self._text("event place", key, row.get("place", ""))
        token = self._words.token("event body" if is_half else "event description", key)
        times = self._times(row, at)
        people = [self._ids[f"contact:{one}"] for one in row.get("with", ())]
        fields = {
            "Subject": subject,
            "Location": place or None,
            "Description": _body(row, token),
            "ShowAs": SHOWN_IN_SALESFORCE.get(row.get("show_as", ""), "Busy"),
            "IsPrivate": row.get("private", False),
            "WhoId": people[0] if people else None,
            "OwnerId": owner,
            **_in_salesforce(times),
        }
        record_id = self._salesforce.records.create("Event", fields, owner)
        return PlacedRecord(row["key"], row, subject, place, token, times, record_id)

    # --- times and texts

    def _day(self, days: int, at: Zone) -> date:
        return at.wall(self._now).date() + timedelta(days=days)

    def _wall(self, row: Mapping[str, Any], at: Zone) -> tuple[date | datetime, date | datetime]:
        """Start and end on the wall; dates for whole days."""
        day = self._day(row["day"], at)
        if "days" in row:
            return day, day + timedelta(days=row["days"])
        start = datetime.combine(day, time.fromisoformat(row["at"]))
        return start, start + timedelta(minutes=row.get("minutes", 60))

    def _times(self, row: Mapping[str, Any], at: Zone) -> Times:
        start, end = self._wall(row, at)
        if isinstance(start, datetime) and isinstance(end, datetime):
            return Times(at.instant(start), at.instant(end))
        return Times(start, end)

    def _text(self, name: str, of: str, text: str) -> str:
        return self._words.text(name, of, text)


def _body(row: Mapping[str, Any], token: str) -> str:
    """What stands in an event; its token makes it known."""
    text = row.get("text", "Please be on time.")
    return f"{token}\n\n{_LINE * (LONG_TEXT // len(_LINE))}" if text == "long" else f"{text}\n\n{token}"


def _in_salesforce(times: Times) -> dict[str, Any]:
    if not isinstance(times.start, datetime) or not isinstance(times.end, datetime):
        days = (times.end - times.start).days
        start = f"{times.start.isoformat()}T00:00:00.000+0000"
        return {"IsAllDayEvent": True, "StartDateTime": start, "DurationInMinutes": 1440 * days}
    start, end = (one.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000") for one in (times.start, times.end))
    return {"StartDateTime": start, "EndDateTime": end}


def keys(diaries: Diaries) -> Iterable[str]:
    """The keys of everything that was made, as `events.csv` names them; a pair has one row."""
    events = {event.key for event in diaries.events}
    return [*events, *(f"record:{record.key}" for record in diaries.records if record.key not in events)]
