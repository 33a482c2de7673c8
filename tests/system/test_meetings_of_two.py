"""A meeting of several connected users is one Event, whoever's session comes first, and goes with the last who holds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from shared.wire import Wire
from tests.system.diary import Diary, contact, events, only, outbox, rules, with_key_field
from tests.system.stage import Stage, address_of

CORA = "cora@customer.test"
Pair = tuple[Diary, Diary]


@pytest.fixture(params=["key", "lookup"])
def pair(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Pair]:
    """Two connected mailboxes of one org, their first sessions behind them, and a customer."""
    stage.users("ann", "bob")
    contact(stage, CORA)
    if request.param == "key":
        with_key_field(stage)
    for name in ("ann", "bob"):
        stage.sessions(name)
    stage.wire.poll()
    stage.advance(61)
    yield Diary(stage, "ann"), Diary(stage, "bob")


def copy(diary: Diary) -> str:
    """The one event of a calendar."""
    [event] = diary.all()
    return str(event.shown_id(True))


def accept(diary: Diary) -> str:
    event_id = copy(diary)
    diary.act(lambda calendar: calendar.respond(event_id, "accepted"))
    return event_id


def organised_by_ann(pair: Pair) -> tuple[str, str]:
    """(Ann's event, Bob's copy), accepted by him."""
    ann, bob = pair
    made = ann.make("Review", attendees=[address_of("bob"), CORA])
    return made, accept(bob)


def organised_elsewhere(pair: Pair) -> tuple[str, str]:
    """Both are invited by somebody who is not connected, and accept."""
    ann, bob = pair
    stage = ann.stage
    outside = "dora@elsewhere.test"
    stage.do(lambda: stage.microsoft.add_mailbox(outside, "Dora"))
    before = len(stage.world.outbox)
    start = ann.at(24).replace(tzinfo=None)
    end = ann.at(25).replace(tzinfo=None)
    people = [address_of("ann"), address_of("bob"), CORA]
    stage.do(lambda: stage.microsoft.mailbox(outside).calendar.create("Review", start, end, attendees=people))
    stage.caused += stage.world.outbox[before:]
    return accept(ann), accept(bob)


@pytest.mark.parametrize("first", ["organiser", "attendee"])
def test_the_organisers_mailbox_makes_the_record_and_the_attendees_follows(stage: Stage, pair: Pair, first: str) -> None:
    ann, bob = pair
    organised_by_ann(pair)
    order = (ann, bob) if first == "organiser" else (bob, ann)
    for one in order:
        stage.sessions(one.name)
    if first == "attendee":
        assert events(stage) != [] and "waiting.organizer" in list(rules(stage, "bob"))
        stage.advance(1000)
        stage.sessions("bob")
    record = only(stage)
    assert (record["Subject"], record["OwnerId"]) == ("Review", ann.user)
    assert list(rules(stage, "bob"))[-1] == "joined"
    for one in (ann, bob):
        one.step()
    assert len(events(stage)) == 1


def test_what_an_attendee_changes_in_an_own_copy_stays_there(stage: Stage, pair: Pair) -> None:
    ann, bob = pair
    made, copied = organised_by_ann(pair)
    for one in (ann, bob, bob):
        one.step()
    bob.change(copied, subject="My notes")
    bob.step()
    ann.step()
    assert (only(stage)["Subject"], ann.event(made).details.subject) == ("Review", "Review")
    outbox(stage)
    ann.change(made, subject="Long review")
    for one in (ann, bob):
        one.step()
    assert only(stage)["Subject"] == "Long review"
    assert [kind for kind, _, to in outbox(stage) if to != [CORA]] == ["update"]


@pytest.mark.parametrize("organised", [organised_by_ann, organised_elsewhere], ids=["by one of them", "elsewhere"])
def test_unsync_by_one_leaves_it_and_by_the_second_removes_it(stage: Stage, pair: Pair, organised: object) -> None:
    ann, bob = pair
    ids = dict(zip(("ann", "bob"), organised(pair), strict=True))  # type: ignore[operator]
    for one in (ann, bob, ann, bob):
        one.step()
    record = only(stage)["Id"]
    ann.mark(ids["ann"], "Salesforce Unsync")
    ann.step()
    assert only(stage)["Id"] == record
    assert "unsync.others_hold" in list(rules(stage, "ann"))
    bob.mark(ids["bob"], "Salesforce Unsync")
    bob.step()
    assert events(stage) == []


def test_a_record_deleted_in_salesforce_stays_away_from_both(stage: Stage, pair: Pair) -> None:
    ann, bob = pair
    organised_by_ann(pair)
    for one in (ann, bob, bob):
        one.step()
    ann.remove(only(stage)["Id"])
    for one in (ann, bob, ann, bob):
        one.step()
    assert events(stage) == []
    for name in ("ann", "bob"):
        assert "deleted.crm" in list(rules(stage, name)), name
    assert len(ann.all()) == len(bob.all()) == 1


def test_both_sessions_at_once_make_one_record(stage: Stage, pair: Pair) -> None:
    organised_elsewhere(pair)
    wires: list[Wire] = [stage.new_wire(stage.environment) for _ in pair]
    begin = threading.Barrier(2)

    def run(name: str, wire: Wire) -> None:
        begin.wait(10)
        stage.session(name, wire=wire)

    threads = [threading.Thread(target=run, args=(one.name, wire)) for one, wire in zip(pair, wires, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for _ in range(3):
        for one in pair:
            one.step(300)
    assert only(stage)["Subject"] == "Review"
    assert sorted({rule for one in pair for rule in rules(stage, one.name)} & {"saved.auto", "joined"}) == [
        "joined",
        "saved.auto",
    ]
