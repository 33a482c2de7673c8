"""Random histories of events in one org: whatever is done and refused, what belongs together agrees.

A failing history is named by its seed: `run(SEED)` repeats it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.frame import World
from sandbox.salesforce import Salesforce
from sandbox.salesforce.invitees import COPIED
from sandbox.salesforce.refused import Refused
from sandbox.salesforce.store import index_key
from sandbox.salesforce.values import read

STEPS = 150
KEY = "Mailspan_Key__c"
PATTERNS = ("FREQ=DAILY;COUNT=3", "FREQ=WEEKLY;BYDAY=MO,WE;COUNT=4", "FREQ=MONTHLY;BYMONTHDAY=31;COUNT=2", "FREQ=HOURLY")
Row = dict[str, Any]


class History:
    """One org and the acts that may happen in it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(seed)
        self.org = Salesforce(self.world, base_url="https://org.test")
        self.org.settings.multiday_events = self.random.random() < 0.5
        self.org.settings.shared_activities = self.random.random() < 0.5
        self.world.switches |= {
            "salesforce.series_occurrences": 4,
            "salesforce.all_day_end": self.random.choice(("inclusive", "exclusive")),
            "salesforce.invitee_touches_event": self.random.random() < 0.5,
            "salesforce.flows": [{"object": "Event", "field": "Location", "value": "by flow", "delay_s": 2}],
        }
        self.org.add_key_field(KEY)
        self.users = [self.org.add_user(f"u{n}@acme.test", "U", str(n), f"u{n}@acme.test") for n in range(3)]
        records = self.org.records
        self.people = [records.create("Contact", {"LastName": f"C{n}"}, self.users[0]) for n in range(3)]
        self.people.append(records.create("Lead", {"LastName": "L", "Company": "L"}, self.users[0]))
        self.accounts = [records.create("Account", {"Name": "A"}, self.users[0])]
        self.room = self.org.add_calendar("Room", "Resource")
        records.store.commit()

    def rows(self, name: str) -> list[Row]:
        return [row for row in self.org.records.store.all(name) if not row["IsDeleted"]]

    def any(self, name: str) -> Row:
        rows = self.rows(name)
        if not rows:
            raise Refused(400, "NOTHING", "there is none yet")
        return self.random.choice(rows)

    def fields(self) -> Row:
        """Fields of an event, often some that do not fit."""
        day, hour = self.random.randint(1, 28), self.random.randint(0, 23)
        some: Row = {
            "Subject": self.random.choice(("One", "Two", "x" * 300)),
            "StartDateTime": f"2094-03-{day:02d}T{hour:02d}:00:00Z",
            "DurationInMinutes": self.random.choice((0, 30, 1440, 3000, -5)),
            "EndDateTime": f"2094-03-{day:02d}T23:30:00Z",
            "IsAllDayEvent": self.random.random() < 0.5,
            "IsPrivate": True,
            "ShowAs": self.random.choice(("Free", "Tentative")),
            "WhoId": self.random.choice([*self.people, None]),
            "WhatId": self.random.choice([*self.accounts, None]),
            "OwnerId": self.random.choice(self.users),
            "EventWhoIds": self.random.sample(self.people, 2),
            KEY: f"k{self.random.randint(1, 6)}",
        }
        return {name: some[name] for name in self.random.sample(list(some), self.random.randint(1, 4))}

    def create(self) -> None:
        times = {
            "Subject": "New",
            "StartDateTime": f"2094-03-{self.random.randint(1, 28):02d}T09:00:00Z",
            "DurationInMinutes": 60,
        }
        series = {"Recurrence2PatternText": self.random.choice(PATTERNS)} if self.random.random() < 0.1 else {}
        self.org.records.create("Event", {**times, **self.fields(), **series}, self.random.choice(self.users))

    def update(self) -> None:
        self.org.records.update("Event", self.any("Event")["Id"], self.fields(), self.random.choice(self.users))

    def delete(self) -> None:
        self.org.records.delete("Event", self.any("Event")["Id"], self.random.choice(self.users))

    def undelete(self) -> None:
        gone = [row for row in self.org.records.store.all("Event") if row["IsDeleted"] and not row["IsChild"]]
        if gone:
            self.org.records.undelete("Event", self.random.choice(gone)["Id"], self.users[0])

    def invite(self) -> None:
        invitee = self.random.choice([*self.users, *self.people, self.room])
        self.org.records.create("EventRelation", {"EventId": self.any("Event")["Id"], "RelationId": invitee}, self.users[0])

    def answer(self) -> None:
        status = self.random.choice(("Accepted", "Declined", "Perhaps"))
        self.org.records.update("EventRelation", self.any("EventRelation")["Id"], {"Status": status}, self.users[1])

    def uninvite(self) -> None:
        self.org.records.delete("EventRelation", self.any("EventRelation")["Id"], self.users[0])

    def wait(self) -> None:
        self.world.clock.advance(self.random.choice((1, 60, 4000)))

    def acts(self) -> list[Callable[[], None]]:
        often = [self.create, self.update, self.update, self.invite, self.invite]
        return [*often, self.delete, self.undelete, self.answer, self.uninvite, self.wait]


def check_times(row: Row) -> None:
    start, end = read(row["StartDateTime"]), read(row["EndDateTime"])
    minutes = (end - start).total_seconds() / 60
    assert row["DurationInMinutes"] - minutes in ((0, 1440) if row["IsAllDayEvent"] else (0,))
    assert row["ActivityDate"] == row["StartDateTime"][:10] <= row["EndDate"]
    assert row["ActivityDateTime"] == (None if row["IsAllDayEvent"] else row["StartDateTime"])


def check_group(history: History, row: Row) -> None:
    """The children of an event are those of its invited users, and show what it shows."""
    relations = [one for one in history.rows("EventRelation") if one["EventId"] == row["Id"] and one["IsInvitee"]]
    children = [one for one in history.rows("Event") if one.get("_Parent") == row["Id"]]
    invited = sorted(one["RelationId"] for one in relations if one["RelationId"].startswith("005"))
    assert sorted(child["OwnerId"] for child in children) == invited and row["OwnerId"] not in invited
    assert row["IsGroupEvent"] == bool(relations) and row["GroupEventType"] == ("1" if relations else "0")
    for child in children:
        assert {name: child[name] for name in COPIED} == {name: row[name] for name in COPIED}
        assert child["IsGroupEvent"] and child.get(KEY) is None


def check_people(history: History, row: Row) -> None:
    if history.org.settings.shared_activities:
        related = [one for one in history.rows("EventRelation") if one["EventId"] == row["Id"] and one["IsParent"]]
        people = {one["RelationId"] for one in related if not one["IsWhat"]}
        assert (row["WhoId"] in people) if people else row["WhoId"] is None
        assert {one["RelationId"] for one in related if one["IsWhat"]} == ({row["WhatId"]} - {None})
    assert not (row["IsPrivate"] and (row["WhoId"] or row["WhatId"]))
    assert not (row["WhatId"] and (row["WhoId"] or "").startswith("00Q"))


def check(history: History) -> None:
    events = history.rows("Event")
    for row in events:
        check_times(row)
        if not row["IsChild"]:
            check_group(history, row)
            check_people(history, row)
    keys = [row[KEY] for row in events if row.get(KEY)]
    assert len(keys) == len(set(keys))


def check_indexes(history: History) -> None:
    """What an index finds is what a look at every row finds."""
    store = history.org.records.store
    for field, index in store._indexes.values():
        rows = [row for row in store.all(field.object_name) if row.get(field.name) is not None]
        wanted: dict[Any, set[str]] = {}
        for row in rows:
            wanted.setdefault(index_key(field, row[field.name]), set()).add(row["Id"])
        assert {value: set(ids) for value, ids in index.items() if ids} == wanted


def run(seed: int) -> dict[str, int]:
    """One history; how often each act was done and refused."""
    history = History(seed)
    counts = {"done": 0, "refused": 0}
    for _ in range(STEPS):
        records = history.org.records
        before = {name: list(records.store.all(name)) for name in ("Event", "EventRelation")}
        act = history.random.choice(history.acts())
        try:
            act()
        except Refused:
            counts["refused"] += 1
            after = {name: list(records.store.all(name)) for name in before}
            assert all(sorted_rows(after[name]) == sorted_rows(before[name]) for name in before), (
                "a refusal left something behind"
            )
        else:
            counts["done"] += 1
        records.store.commit()
        check(history)
    check_indexes(history)
    return counts


def sorted_rows(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["Id"]))


@pytest.mark.parametrize("seed", range(12))
def test_what_belongs_together_agrees_after_every_act(seed: int) -> None:
    counts = run(seed)
    assert counts["done"] > STEPS / 4 and counts["refused"] > STEPS / 20
