"""Mail capture under races, slow vendors and long waits: each test here names something that a reader of the rules would
expect and that does not hold yet."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.core.errors import NetworkDown, Refused, Stale
from shared.core.mail import MailRecord
from shared.ports import Changed, MailPage, Put
from shared.session import records
from shared.session.poll import poll
from shared.session.run import run_session
from shared.store.mail_memory import MemoryMail, Saved
from tests.property.capture_world import ORG, Crash, FaultyStore, World, cut

UNSYNC = ("Salesforce", "Salesforce Unsync")


@pytest.fixture
def world() -> World:
    return World()


class Feed:
    """A change feed that answers what it was given."""

    def __init__(self, *changes: Changed) -> None:
        self.changes = changes

    def changed(self, since: Mapping[str, datetime]) -> tuple[Changed, ...]:
        return self.changes


def tell_deleted(world: World, record: str) -> None:
    poll(
        Feed(Changed("mail", record, "1", deleted=True)), ["mail"], store=world.inner, bell=world, clock=world, org=ORG,
        place_of=world.place, owners=lambda user: (),
    )  # fmt: skip


def rules(world: World) -> list[str]:
    return [note.rule for note in world.notes]


def records_of(world: World, identifier: str) -> int:
    return sum(one.record.identifier == identifier for one in world.crm.alive())


def deliver(world: World) -> list[str]:
    """The rings of ann that wait, and those they lead to, each at its time; at most 50. Answers what the sessions said."""
    said = []
    for _ in range(50):
        waiting = [(ring.at + timedelta(seconds=delay), ring, delay) for ring, delay in world.rings]
        if not waiting:
            break
        due, ring, delay = min(waiting, key=lambda one: one[0])
        world.rings.remove((ring, delay))
        world.time = max(world.time, due)
        said.append(
            run_session(
                ring, place=world.place("ann"), store=FaultyStore(world, "ann"), bell=world, clock=world, session_id="d",
                parts=lambda: [world.capture("ann")],
            ).result
        )  # fmt: skip
    return said


def test_a_slow_mailbox_whose_claim_ran_out_writes_nothing_that_another_wrote_meanwhile(world: World) -> None:
    for number in range(200):
        world.put(world.mail(number), "ann")
    world.put(world.mail(0), "bob")
    passed = timedelta()

    def slow(name: str, effect: str) -> None:
        nonlocal passed
        if name != "ann" or effect != "after texts":
            return
        world.time += timedelta(seconds=15)
        passed += timedelta(seconds=15)
        if passed == timedelta(seconds=135):
            world.session("bob")
            world.running = "ann"

    world.step = slow
    world.session("ann")
    world.settle()
    assert records_of(world, "<0@mail.test>") == 1


def test_a_mailbox_that_comes_as_the_last_holder_leaves_saves_the_mail_itself(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    at = 0

    def race(name: str, effect: str) -> None:
        nonlocal at
        if name != "bob" or effect != "before commit":
            return
        at += 1
        if at == 5:  # mark, lease, announcement; then claim (4), then join (5)
            leave()
        if at == 4:
            world.session("ann")

    def leave() -> None:
        world.mailboxes["ann"].change("ann-id1", categories=UNSYNC)
        world.session("ann")

    world.step = race
    world.session("bob")
    assert rules(world)[:2] == ["saved.marked", "removed.unsync"], "the race happened"
    world.settle()
    assert records_of(world, "<1@mail.test>") == 1


def with_a_foreign_record() -> tuple[World, Saved]:
    """A marked mail of which another product made a record before."""
    world = World(names=("ann",))
    text = world.mail(1, files=("new.pdf",))
    world.put(world.mail(2), "ann")
    world.session("ann")
    theirs = Saved("theirs", replace(world.crm.alive()[0].record, identifier=text.mail.message_id))
    world.crm.saved.append(theirs)
    world.put(text, "ann")
    return world, theirs


@pytest.mark.parametrize("network", [False, True], ids=["process dies", "network fails"])
def test_a_record_that_stood_before_stays_untouched_whatever_fails_where(network: bool) -> None:
    touched = {}
    for at in range(1, 25):
        world, theirs = with_a_foreign_record()
        cut(world, "ann", at, network=network)
        with suppress(Crash, NetworkDown):
            world.session("ann")
        world.settle()
        world.mailboxes["ann"].change("ann-id1", categories=UNSYNC)
        world.settle()
        if theirs.deleted or theirs.related_sender or theirs.files:
            touched[at] = "deleted" if theirs.deleted else "written"
    assert touched == {}


def test_unsync_set_while_a_mail_waits_for_another_mailbox_is_obeyed(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")

    def meanwhile(name: str, effect: str) -> None:
        if (name, effect) == ("bob", "before save"):
            world.session("ann")

    world.step = meanwhile
    world.session("bob")
    world.step = lambda name, effect: None
    assert rules(world)[0] == "waiting.claim"
    world.mailboxes["ann"].change("ann-id1", categories=UNSYNC)
    world.settle()
    holders = [row.value["holders"] for row in world.inner.scan(ORG, "claim_", "claim`")]
    assert holders == [["bob"]]


def test_the_ring_at_a_claims_end_is_not_answered_by_a_session_before_it(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")

    def die(name: str, effect: str) -> None:
        if name == "bob" and effect == "before save":
            raise Crash

    world.step = die
    with suppress(Crash):
        world.session("bob")
    world.step = lambda name, effect: None
    world.rings.clear()
    world.session("ann")
    assert rules(world) == ["waiting.claim"]
    world.time += timedelta(seconds=20)
    world.session("ann", "push")  # something else arrived
    deliver(world)
    assert records_of(world, "<1@mail.test>") == 1


def test_a_row_that_stays_locked_is_not_asked_for_every_minute_for_ever(world: World) -> None:
    world.put(world.mail(1), "ann")
    tries = []

    def refuse(record: MailRecord) -> Stale:
        tries.append(record.identifier)
        return Stale()

    world.crm.refuse = refuse
    began = world.time
    world.session("ann")
    while len(tries) < 60 and world.rings:
        deliver(world)
    assert world.time - began > timedelta(hours=6), "60 tries"


def test_a_mail_whose_record_was_deleted_while_unfinished_can_be_saved_again_by_hand(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann", "bob")

    def die(name: str, effect: str) -> None:
        if effect == "before attach":
            raise Crash

    world.step = die
    with suppress(Crash):
        world.session("ann")
    world.step = lambda name, effect: None
    world.crm.alive()[0].deleted = True
    tell_deleted(world, "m0")
    world.settle()
    for categories in ((), ("Salesforce",)):
        world.mailboxes["ann"].change("ann-id1", categories=categories)
        world.settle()
    assert records_of(world, "<1@mail.test>") == 1


def test_nobody_joins_a_record_whose_deletion_was_told(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    world.session("ann")
    world.crm.alive()[0].deleted = True
    tell_deleted(world, "m0")
    world.session("bob")
    world.settle()
    assert world.loose() == []


def test_a_lost_hold_takes_its_error_mark_along(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def break_down(name: str, effect: str) -> None:
        if effect == "before attach":
            raise ZeroDivisionError

    world.step = break_down
    world.session("ann")
    world.step = lambda name, effect: None
    assert "Sync Error" in world.mailboxes["ann"].mails["ann-id1"].mail.categories
    world.crm.alive()[0].deleted = True
    tell_deleted(world, "m0")
    world.settle()
    assert world.mailboxes["ann"].mails["ann-id1"].mail.categories == ()


def test_a_deletion_that_is_told_twice_at_once_does_not_stop_the_session(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.session("ann")
    world.crm.alive()[0].deleted = True
    tell_deleted(world, "m0")

    def again(name: str, effect: str) -> None:
        if effect == "before mark":
            (row,) = world.inner.scan(world.place("ann"), "dirty_", "dirty`")
            world.inner.commit(world.place("ann"), [Put(row.key, row.value)])

    world.step = again
    assert world.session("ann").result == "ok"


def test_following_deletions_keeps_to_the_slice(world: World) -> None:
    for number in range(300):
        world.put(world.mail(number), "ann")
    world.session("ann")
    for one in list(world.crm.alive()):
        one.deleted = True
        tell_deleted(world, one.id)

    def slow(name: str, effect: str) -> None:
        if effect == "after mark":
            world.time += timedelta(seconds=1)

    world.step = slow
    assert world.session("ann").seconds < 90


def test_trying_held_mails_again_keeps_to_the_slice(world: World) -> None:
    for number in range(400):
        world.put(world.mail(number), "ann")
    world.crm.refuse = lambda record: Refused("refused.field_custom_validation_exception")
    world.session("ann")
    world.session("ann")
    world.time += timedelta(hours=2)

    def slow(name: str, effect: str) -> None:
        if effect == "after texts":
            world.time += timedelta(seconds=30)

    world.step = slow
    assert world.session("ann").seconds < 120


class ManyFolders(MemoryMail):
    """A mailbox with 120 folders below the one that marks: each has a stream of its own."""

    def pull(self, cursors: Mapping[str, str], since: datetime) -> MailPage:
        page = super().pull({name: at for name, at in cursors.items() if name == "all"}, since)
        return replace(page, cursors={**page.cursors, **{f"marked_{n}": "begin" for n in range(120)}})


def test_a_mailbox_with_many_folders_below_the_marking_one_is_read(world: World) -> None:
    old = world.mailboxes["ann"]
    world.mailboxes["ann"] = ManyFolders(old.before, old.after)
    world.put(world.mail(1), "ann")
    assert world.session("ann").result == "ok"
    assert len(list(world.inner.scan(world.place("ann"), *records.every("cursor")))) == 121
