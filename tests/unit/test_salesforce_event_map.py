"""The event map: rows to canonical fields, canonical fields to rows, and who sits where. Pure tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.core.fields import canonical, narrowed
from shared.core.model import Fields, Item
from shared.crm import salesforce_event_map as map_
from shared.crm import salesforce_event_people as people
from shared.crm.salesforce_event_people import Relation, Seats
from shared.crm.schema import WANTED, Described, Facts

ANNA, BEN = "005Ms00000000010AA", "005Ms00000000020AA"
ADLER, BRANDT, CONRAD = (f"003Ms000000000{n}0AA" for n in (1, 2, 3))
LIND, MOLL = "00QMs00000000010AA", "00QMs00000000020AA"
EVENT = "00UMs00000000010AA"


def described(name: str, *without: str, createable: bool = True) -> Described:
    lengths = {"Subject": 255, "Location": 255, "Description": 32_000}
    fields = {one: Facts("string", lengths.get(one, 0), True, createable) for one in WANTED[name] if one not in without}
    return Described(name, True, fields)


def org(*without: str, shared: bool = True, createable: bool = True) -> map_.Org:
    relation = described("EventRelation", *(() if shared else ("IsInvitee", "IsParent")))
    return map_.Org(described("Event", *without, createable=createable), relation)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "Id": EVENT, "OwnerId": ANNA, "IsChild": False, "IsDeleted": False, "CreatedById": ANNA, "LastModifiedById": ANNA,
        "CreatedDate": "2026-11-01T08:00:00.000+0000", "SystemModstamp": "2026-11-02T08:00:00.000+0000", "Subject": "Review",
        "Location": "Room 4", "Description": "First\r\nSecond", "StartDateTime": "2026-12-01T09:00:30.000+0000",
        "EndDateTime": "2026-12-01T10:00:30.000+0000", "DurationInMinutes": 60, "IsAllDayEvent": False, "ShowAs": "Busy",
        "IsPrivate": False, "WhoId": None, "WhatId": None, "IsRecurrence": False, "GroupEventType": "0", map_.KEY: "k1",
    } | changes  # fmt: skip


def fields_of(one: Mapping[str, Any], relations: Sequence[Relation] | None = (), user: str = ANNA) -> Fields:
    item = map_.seen(one, relations, user).item
    assert item is not None
    return item.fields


def without(one: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name not in names}


def invitation(person: str, status: str = "New", *, invited: bool = True, parent: bool = False, number: int = 1) -> Relation:
    return Relation(f"0RE{number}", EVENT, person, status, invited, parent)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_row_is_a_canonical_item() -> None:
    seen = map_.seen(row(), (), ANNA)
    assert seen.item == Item("event", {
        "subject": "Review", "when": "2026-12-01T09:00:30Z/2026-12-01T10:00:30Z", "location": "Room 4",
        "description": "First\nSecond", "show_as": "busy", "private": "no", "people": (), "answers": (),
    })  # fmt: skip
    assert canonical("event", seen.item.fields) == seen.item.fields
    assert (seen.id, seen.version, seen.key) == (EVENT, "2026-11-02T08:00:00.000+0000", "k1")
    assert seen.facts.made == datetime(2026, 11, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "minutes", "when"),
    [
        ("2026-12-01T00:00:00.000+0000", 1440, "2026-12-01/2026-12-02"),
        ("2026-12-31T00:00:00.000+0000", 2880, "2026-12-31/2027-01-02"),
        ("2026-12-01T00:00:00.000+0000", 0, "2026-12-01/2026-12-02"),
        ("2026-12-01T05:00:00.000+0000", 1441, "2026-12-01/2026-12-03"),
    ],
)
def test_whole_days_come_from_the_length(start: str, minutes: int, when: str) -> None:
    for end in ("2026-12-01T00:00:00.000+0000", "2027-06-01T00:00:00.000+0000", None):
        one = row(IsAllDayEvent=True, StartDateTime=start, EndDateTime=end, DurationInMinutes=minutes)
        assert fields_of(one)["when"] == when


def test_a_timed_event_without_its_end_ends_by_its_length() -> None:
    assert fields_of(without(row(), "EndDateTime"))["when"] == "2026-12-01T09:00:30Z/2026-12-01T10:00:30Z"


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        (("Subject",), {"subject"}), (("Location", "Description"), {"location", "description"}), (("StartDateTime",), {"when"}),
        (("EndDateTime", "DurationInMinutes"), {"when"}), (("ShowAs", "IsPrivate"), {"show_as", "private"}),
        (("IsAllDayEvent",), {"when"}),
    ],
)  # fmt: skip
def test_what_this_user_does_not_see_is_absent(names: tuple[str, ...], absent: set[str]) -> None:
    assert fields_of(row()).keys() - fields_of(without(row(), *names)).keys() == absent


def test_of_a_whole_day_without_a_length_nothing_is_guessed() -> None:
    assert "when" not in fields_of(without(row(IsAllDayEvent=True), "DurationInMinutes"))


def test_relations_that_cannot_be_read_leave_people_absent() -> None:
    assert not {"people", "answers"} & fields_of(row(WhoId=ADLER), None).keys()


@pytest.mark.parametrize(
    ("changes", "user", "is_there"),
    [
        ({}, BEN, True), ({"IsPrivate": True}, BEN, False), ({"IsPrivate": True}, ANNA, True),
        ({"IsPrivate": True, "OwnerId": BEN}, BEN, True), ({"IsPrivate": True, "Subject": "Seen"}, BEN, True),
        ({"IsPrivate": True}, ANNA[:15], True),
    ],
)  # fmt: skip
def test_only_hidden_words_are_absent(changes: dict[str, Any], user: str, is_there: bool) -> None:
    one = row(**{"Subject": None, "Location": None, "Description": None, **changes})
    assert ("subject" in fields_of(one, (), user)) is is_there


@pytest.mark.parametrize(
    ("changes", "never"),
    [
        ({}, ""), ({"IsChild": True}, "skipped.child"), ({"IsRecurrence": True}, "skipped.series"),
        ({"GroupEventType": "3"}, "skipped.series"), ({"GroupEventType": "1"}, ""), ({"GroupEventType": None}, ""),
    ],
)  # fmt: skip
def test_what_is_never_ours(changes: dict[str, Any], never: str) -> None:
    assert map_.seen(row(**changes), (), ANNA).facts.never == never


def test_a_deleted_row_is_a_tombstone() -> None:
    seen = map_.seen(row(IsDeleted=True, StartDateTime=None), (), ANNA)
    assert (seen.item, seen.version) == (None, "2026-11-02T08:00:00.000+0000")


def test_a_busy_word_that_nobody_knows_is_busy() -> None:
    assert [fields_of(row(ShowAs=one))["show_as"] for one in ("Free", "OutOfOffice", "Busy", None, "Away")] == [
        "free", "oof", "busy", "busy", "busy",
    ]  # fmt: skip


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"subject": "A\tB\n"}, {"Subject": "A B"}),
        ({"subject": ""}, {"Subject": None}),
        ({"location": "x" * 300}, {"Location": "x" * 255}),
        ({"description": "a\x07b\nc"}, {"Description": "ab\nc"}),
        ({"show_as": "oof", "private": "yes"}, {"ShowAs": "OutOfOffice", "IsPrivate": True}),
        ({"show_as": "workingElsewhere", "private": "no"}, {"ShowAs": "Busy", "IsPrivate": False}),
        (
            {"when": "2026-12-01/2026-12-03"},
            {"IsAllDayEvent": True, "StartDateTime": "2026-12-01T00:00:00.000+0000", "DurationInMinutes": 2880},
        ),
        (
            {"when": "2026-12-01T09:00:30Z/2026-12-01T10:00:45Z"},
            {
                "IsAllDayEvent": False,
                "StartDateTime": "2026-12-01T09:00:30.000+0000",
                "EndDateTime": "2026-12-01T10:00:45.000+0000",
            },
        ),
        ({"people": (ADLER,)}, {}),
        ({}, {}),
    ],
)
def test_fields_become_a_row(fields: Fields, body: dict[str, Any]) -> None:
    assert map_.written(fields, org()) == body


def test_what_this_user_may_not_write_is_left_out() -> None:
    whole: Fields = {"subject": "x", "location": "y", "when": "2026-12-01/2026-12-02"}
    assert map_.written(whole, org("Location")).keys() == {"Subject", "IsAllDayEvent", "StartDateTime", "DurationInMinutes"}
    assert map_.written(whole, org(createable=False)) == {}
    assert org().keyed and not org(map_.KEY).keyed and not org(createable=False).keyed


@pytest.mark.parametrize(
    "when", ["2026-12-01/2026-12-02", "2026-12-01/2026-12-15", "2026-12-01T09:00:01Z/2026-12-02T08:00:59Z"]
)
@pytest.mark.parametrize("show_as", ["free", "busy", "oof", "tentative", "workingElsewhere", "unknown"])
def test_what_is_written_is_read_back_narrowed(when: str, show_as: str) -> None:
    sent: Fields = {
        "subject": "Größe \U0001f600 " + "x" * 300, "when": when, "location": "", "description": "a\n\nb", "show_as": show_as,
        "private": "no",
    }  # fmt: skip
    read = fields_of(row(**{"EndDateTime": None, **map_.written(sent, org())}))
    assert {name: read[name] for name in sent} == narrowed("event", "crm", canonical("event", sent))


def test_a_row_holds_what_was_sent_or_somebody_changed_it() -> None:
    sent: Fields = {"subject": " Review ", "show_as": "tentative", "people": (ADLER,)}
    assert map_.holds(row(), sent, ANNA)
    assert not map_.holds(row(Subject="Other"), sent, ANNA) and not map_.holds(row(ShowAs="Free"), sent, ANNA)
    assert map_.holds(without(row(Subject="Other"), "Subject"), sent, ANNA)


def test_starts_stand_in_a_statement_once() -> None:
    whens = (
        "2026-12-01T09:00:00Z/2026-12-01T10:00:00Z",
        "2026-12-01T09:00:00Z/2026-12-01T11:00:00Z",
        "2026-12-01/2026-12-02",
        "",
    )
    items = [Item("event", {"when": when}) for when in whens]
    assert list(map_.starts(items)) == ["2026-12-01T09:00:00Z", "2026-12-01T00:00:00Z"]


# --- people ----------------------------------------------------------------------------------------------------------


def test_people_are_who_and_invited_without_owner_resources_and_records() -> None:
    relations = [
        invitation(ADLER, "Accepted"), invitation(BEN, "Maybe"), invitation(LIND, "Declined"), invitation(ANNA),
        invitation("023Ms00000000010AA"), invitation("001Ms00000000010AA", invited=False), invitation(CONRAD, "Uninvited"),
        invitation(BRANDT, "", invited=False, parent=True),
    ]  # fmt: skip
    fields = fields_of(row(WhoId=BRANDT), relations)
    assert fields["people"] == tuple(sorted((ADLER, BEN, LIND, CONRAD, BRANDT)))
    assert fields["answers"] == tuple(sorted((f"{ADLER}=accepted", f"{BEN}=tentative", f"{LIND}=declined", f"{CONRAD}=none")))


@pytest.mark.parametrize(
    ("people_", "answers", "more", "who", "invited"),
    [
        ((), (), {}, (), {}),
        ((ADLER, BRANDT), (), {}, (ADLER, BRANDT), {}),
        ((ADLER, BRANDT), (), {"primary": BRANDT}, (BRANDT, ADLER), {}),
        ((ADLER, BRANDT), (), {"shared": False}, (ADLER,), {BRANDT: ""}),
        ((ADLER, BRANDT), (), {"shared": False, "primary": BRANDT}, (BRANDT,), {ADLER: ""}),
        ((ADLER,), (f"{ADLER}=accepted",), {}, (ADLER,), {ADLER: "accepted"}),
        ((ADLER, LIND), (), {}, (ADLER,), {LIND: ""}),
        ((LIND, MOLL), (), {}, (LIND,), {MOLL: ""}),
        ((LIND,), (), {"about": "001"}, (), {LIND: ""}),
        ((ADLER,), (), {"about": "001"}, (ADLER,), {}),
        ((ANNA, BEN), (f"{ANNA}=accepted", f"{BEN}=declined"), {}, (), {BEN: "declined"}),
        ((ADLER, BEN), (f"{BEN}=none",), {"private": True}, (), {}),
        (("001Ms00000000010AA",), (), {}, (), {}),
        ((), (f"{BEN}=accepted",), {}, (), {}),
    ],
)
def test_everybody_has_a_seat(people_: Any, answers: Any, more: Any, who: Any, invited: Any) -> None:
    assert people.seats(people_, answers, **{"shared": True, "owner": ANNA, **more}) == Seats(who, invited)


def test_fifty_contacts_are_with_an_event_and_the_rest_is_invited() -> None:
    many = tuple(f"003Ms{n:010d}0AA" for n in range(60))
    seats = people.seats(many, (), shared=True, owner=ANNA)
    assert (len(seats.who), len(seats.invited)) == (50, 10)


def changes(seats: Seats, *relations: Relation, flags: bool = True, owner: str = ANNA) -> people.Changes:
    return people.changes(EVENT, seats, relations, flags=flags, owner=owner)


def test_relations_are_made_changed_and_deleted() -> None:
    kind = {"attributes": {"type": "EventRelation"}}
    made = changes(Seats((), {BEN: "accepted", LIND: ""}))
    assert made.make == (
        {**kind, "EventId": EVENT, "RelationId": BEN, "Status": "Accepted"},
        {**kind, "EventId": EVENT, "RelationId": LIND, "Status": "New"},
    )
    assert changes(Seats((ADLER,), {ADLER: "declined"}), invitation(ADLER, "", invited=False, parent=True)).change == (
        {**kind, "Id": "0RE1", "Status": "Declined", "IsInvitee": True},
    )
    assert changes(Seats((), {BEN: "tentative"}), invitation(BEN)).change == ({**kind, "Id": "0RE1", "Status": "Maybe"},)
    assert changes(Seats(), invitation(BEN)).delete == ("0RE1",)


@pytest.mark.parametrize(
    ("seats", "relation"),
    [
        (Seats((), {BEN: "none"}), invitation(BEN, "Uninvited")),
        (Seats((), {BEN: ""}), invitation(BEN, "Accepted")),
        (Seats((ADLER,), {}), invitation(ADLER, "Accepted", parent=True)),
        (Seats((ADLER,), {}), invitation(ADLER, "", invited=False, parent=True)),
        (Seats(), invitation(ANNA)),
        (Seats(), invitation("023Ms00000000010AA")),
        (Seats(), invitation(ADLER, "", invited=False, parent=True)),
    ],
)
def test_what_is_as_it_should_be_stays(seats: Seats, relation: Relation) -> None:
    assert changes(seats, relation) == people.Changes()


def test_a_relation_without_flags_is_an_invitation() -> None:
    one = Relation.of({"Id": "0RE1", "EventId": EVENT, "RelationId": BEN, "Status": None})
    assert (one.invited, one.parent, one.answer) == (True, False, "none")
    assert org(shared=False).relation_columns() == "Id, EventId, RelationId, Status"
    assert not org(shared=False).shared and org().shared
