"""`events.csv` joined with what was made: what must stand in the calendars and in Salesforce of each event, and why.

Rules that hold here:
- The table is written by hand from the behaviour's reference, before and apart from any code that decides; this module only
  joins it with ids, texts and times. It never computes an outcome.
- A row speaks for one event of a calendar, or for a record of Salesforce (`record:KEY`). Everything that was made has a row.
  Rows of what people make later wait for it.
- `people`: contacts, leads and users that the record is with, a user's answer behind "="; `related` "*" is any record. `shows`
  is how the other side shows the time. `text`: full, cut (a long text to its limit), block (without the join block).
  `days`: the days on which a series has records.

It must never import the product.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sandbox.sample.events import PlacedEvent, PlacedRecord, Times, keys
from sandbox.sample.loading import Sample
from sandbox.sample.mails import FOLDER

#: How a record that only stands in Salesforce is shown there, by the table's "yes" and "no".
PRIVATE = {"yes": True, "no": False, "": False}
HELD = "Sync Error"


@dataclass(frozen=True)
class InMailbox:
    """An event of a calendar. `id` "" where it comes from Salesforce; `start` and `end` are dates or UTC."""

    mailbox: str
    id: str
    subject: str
    start: str
    end: str
    whole: bool
    place: str
    shows: str
    private: bool
    categories: tuple[str, ...]
    contains: str
    is_series: bool


@dataclass(frozen=True)
class InSalesforce:
    """An Event. `id` "" where the product makes it; `people`: (id, answer or "", name); `related` "*" is any."""

    id: str
    subject: str
    start: str
    end: str
    whole: bool
    place: str
    shows: str
    private: bool
    owner: str
    people: tuple[tuple[str, str, str], ...]
    related: str
    related_name: str
    text: str
    contains: str


@dataclass(frozen=True)
class ExpectedEvent:
    """Everything that must stand on both sides of one event."""

    event: str
    saved: bool
    rule: str
    why: str
    mailbox: tuple[InMailbox, ...]
    records: tuple[InSalesforce, ...]


def event_rows() -> dict[str, dict[str, str]]:
    """The table by its first column. Raises ValueError for an event that stands twice."""
    with (FOLDER / "events.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    found = {row["event"]: row for row in table}
    if len(found) != len(table):
        raise ValueError("events.csv names an event twice.")
    return found


def expected_events(sample: Sample) -> list[ExpectedEvent]:
    """One entry per event. Raises ValueError for one without a row, and, when all are made, for a row without an event."""
    table, diaries = event_rows(), sample.diaries
    made = set(keys(diaries))
    missing = made - set(table) | (set(table) - made if diaries.has_gone_on else set())
    if missing:
        raise ValueError(f"events.toml and events.csv do not cover each other: {', '.join(sorted(missing))}.")
    records = {record.key: record for record in diaries.records}
    events = {event.key for event in diaries.events}
    alone = [record for record in diaries.records if record.key not in events]
    return [
        *(_of_event(sample, event, records.get(event.key), table[event.key]) for event in diaries.events),
        *(_of_record(sample, record, table[f"record:{record.key}"]) for record in alone),
    ]


def events_as_json(sample: Sample) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in expected_events(sample)]


def _of_event(sample: Sample, event: PlacedEvent, twin: PlacedRecord | None, row: Mapping[str, str]) -> ExpectedEvent:
    is_saved, spec = row["saved"] == "yes", event.row
    held = (HELD,) if row["rule"] == "held" else ()
    addresses = {user.key: user.address for user in sample.users}
    answer = spec.get("answer", "")
    own_shows = {"declined": "free", "tentativelyAccepted": "tentative"}.get(answer, spec.get("show_as", "busy"))
    copies = tuple(
        InMailbox(
            mailbox=addresses[key],
            id=event_id,
            subject=event.subject,
            **_times(event.times),
            place=event.place,
            shows=("tentative" if "from" in spec and not answer else own_shows) if key == spec["mailbox"] else "",
            private=bool(spec.get("private")),
            categories=(*spec.get("categories", ()), *held) if key == spec["mailbox"] else (),
            contains=event.token,
            is_series="every" in spec,
        )
        for key, event_id in event.copies
    )
    shown = {int(day): event.occurrences[int(day)] for day in row["days"].split()} or {0: (event.subject, event.times)}
    records = tuple(
        InSalesforce(
            id=twin.record_id if twin else "",
            subject=subject,
            **_times(times),
            place=event.place,
            shows=row["shows"],
            private=PRIVATE[row["private"]],
            owner=sample.records[f"user:{spec['mailbox']}"],
            people=tuple(_person(sample, text) for text in _listed(row["people"])),
            related=row["related"] if row["related"] in ("", "*") else sample.records[row["related"]],
            related_name=row["related"],
            text=row["text"],
            contains=event.token,
        )
        for subject, times in shown.values()
    )
    return ExpectedEvent(event.key, is_saved, row["rule"], row["why"], copies, records if is_saved else ())


def _of_record(sample: Sample, record: PlacedRecord, row: Mapping[str, str]) -> ExpectedEvent:
    """An event that people made in Salesforce: it stands there as they made it, and in the calendar where it comes down."""
    spec, is_saved = record.row, row["saved"] == "yes"
    address = next((user.address for user in sample.users if user.key == spec["user"]), "")
    common: dict[str, Any] = {
        "subject": record.subject,
        **_times(record.times),
        "place": record.place,
        "private": bool(spec.get("private")),
        "contains": record.token,
    }
    down = InMailbox(mailbox=address, id="", shows=row["shows"], categories=("Salesforce",), is_series=False, **common)
    stands = InSalesforce(
        id=record.record_id,
        shows={"oof": "OutOfOffice", "free": "Free"}.get(spec.get("show_as", ""), "Busy"),
        owner=sample.records[f"user:{spec['user']}"],
        people=tuple((sample.records[f"contact:{one}"], "", f"contact:{one}") for one in spec.get("with", ())),
        related="*",
        related_name="*",
        text="full",
        **common,
    )
    return ExpectedEvent(f"record:{record.key}", is_saved, row["rule"], row["why"], (down,) if is_saved else (), (stands,))


def _times(times: Times) -> dict[str, Any]:
    def written(moment: date | datetime) -> str:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(moment, datetime) else moment.isoformat()

    end = times.end if isinstance(times.end, datetime) else times.end - timedelta(days=1)  # the last day, as people say it
    return {"start": written(times.start), "end": written(end), "whole": times.is_whole}


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(";") if one.strip()]


def _person(sample: Sample, text: str) -> tuple[str, str, str]:
    name, _, answer = text.partition("=")
    return sample.records[name], answer, name
