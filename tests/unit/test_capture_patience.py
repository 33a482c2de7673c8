"""Patience: what one mail's trouble, a short Retry-After, a mended org and a slow vendor do to a mailbox."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.core.errors import (
    BudgetSpent,
    NetworkDown,
    OrgConsentNeeded,
    Refused,
    RowChanged,
    Stale,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.core.mail import MailRecord
from shared.ports import MailboxKey, Place, Ring, TenantId
from shared.session import lease, mail_rows
from shared.session.mail_writing import IN_DOUBT_S
from shared.session.run import PartReport, SessionReport, run_session
from shared.session.sweep import sweep
from shared.store.mail_memory import Saved
from tests.property.capture_world import START, World

ANN = MailboxKey("ann")
TENANT_PLACE = Place("state", TenantId("t"), "tenant", "settings")


@pytest.fixture
def world() -> World:
    return World()


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
        world.deliver("ann")
    assert world.time - began > timedelta(hours=6), "60 tries"


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


@pytest.mark.parametrize(
    ("effect", "problem"),
    [
        ("before open", Unavailable()),
        ("before attach", BudgetSpent(START + timedelta(hours=1))),
    ],
    ids=["the mailbox cannot read one attachment", "no room for files in the org"],
)
def test_one_mail_whose_file_always_fails_does_not_stop_the_others(effect: str, problem: SyncError) -> None:
    world = World(names=("ann",))
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def fail(name: str, what: str) -> None:
        if what == effect:
            raise problem

    world.step = fail
    world.session("ann")
    world.put(world.mail(2), "ann")
    for _ in range(12):
        world.time += timedelta(hours=2)
        world.session("ann")
    assert "<2@mail.test>" in [one.record.identifier for one in world.crm.alive()]


@pytest.mark.parametrize(
    ("before", "slow", "what"),
    [("after texts", "before save", "records"), ("after save", "before attach", "files")],
    ids=["write", "upload"],
)
def test_a_write_that_takes_a_minute_is_not_made_a_second_time_meanwhile(before: str, slow: str, what: str) -> None:
    world = World(names=("ann",))
    world.put(world.mail(1, files=("a.txt",)), "ann")
    busy = False

    def step(name: str, effect: str) -> None:
        nonlocal busy
        if busy:
            return
        if effect == before:
            world.time += timedelta(seconds=35)
        if effect == slow:
            busy = True
            world.time += timedelta(seconds=60)  # as long as an answer is waited for
            world.session("ann", "push")

    world.step = step
    with suppress(RowChanged):  # see the next test
        world.session("ann")
    alive = world.crm.alive()
    counts = {"records": len(alive), "files": len(alive[0].files)}
    assert counts[what] == 1


def test_a_write_whose_answer_was_lost_is_not_made_again_before_it_must_have_ended(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    under_way: list[Saved] = []

    def lose(name: str, effect: str) -> None:
        if (name, effect) == ("ann", "after save") and not under_way:
            under_way.append(world.crm.saved.pop())
            raise NetworkDown

    world.step = lose
    assert world.session("ann").result == "retry.network"
    for _ in range(4):
        world.time += timedelta(seconds=IN_DOUBT_S / 5)
        world.session("bob")
        world.session("ann")
    world.crm.saved += under_way
    world.settle()
    assert world.count("<1@mail.test>") == 1


def test_a_session_that_lost_its_lease_stops_silently_whatever_row_it_was_about_to_write() -> None:
    world = World(names=("ann",))
    world.put(world.mail(1, files=("a.txt",)), "ann")
    busy = False

    def step(name: str, effect: str) -> None:
        nonlocal busy
        if effect == "before attach" and not busy:
            busy = True
            world.time += timedelta(seconds=100)  # longer than a lease
            world.session("ann", "push")

    world.step = step
    said = ""
    with suppress(RowChanged):
        said = world.session("ann").result
    assert said == "lease.lost"


def test_a_held_mail_that_was_deleted_in_the_mailbox_is_no_issue_any_more() -> None:
    world = World(names=("ann",))
    world.put(world.mail(1), "ann")
    world.crm.refuse = lambda record: Refused("refused.string_too_long", ("Subject",))
    for _ in range(len(mail_rows.RETRY_H) + 2):
        world.session("ann")
        world.time += timedelta(days=8)
    world.mailboxes["ann"].remove("ann-id1")
    world.settle()
    assert not list(world.inner.scan(world.place("ann"), "held_", "held`"))


class Raising:
    """A part that raises while `problem` is set."""

    name = "raising"

    def __init__(self, problem: Callable[[], SyncError] | None) -> None:
        self.problem, self.ran = problem, 0

    def run(self, held: lease.Held) -> PartReport:
        self.ran += 1
        if self.problem is not None:
            raise self.problem()
        return PartReport()


def answer(world: World, ring: Ring, part: Raising) -> SessionReport:
    return run_session(
        ring, place=world.place("ann"), store=world.inner, bell=world, clock=world, session_id="s", parts=lambda: [part]
    )


def test_a_vendor_that_always_says_wait_a_second_is_not_asked_every_second() -> None:
    world, part = World(names=("ann",)), Raising(lambda: Throttled(1.0))
    answer(world, Ring(ANN, "user", world.now()), part)
    while world.rings and part.ran < 100:
        due, ring, delay = min(
            ((ring.at + timedelta(seconds=delay), ring, delay) for ring, delay in world.rings), key=lambda one: one[0]
        )
        world.rings.remove((ring, delay))
        world.time = max(world.time, due)
        answer(world, ring, part)
    assert world.time - START > timedelta(hours=1), "100 tries"


def test_a_mailbox_goes_on_by_itself_after_its_org_was_mended() -> None:
    world, part = World(names=("ann",)), Raising(OrgConsentNeeded)
    answer(world, Ring(ANN, "sweep", world.now()), part)
    part.problem = None
    for _ in range(24):
        world.time += timedelta(hours=1)
        sweep(world.inner, world, world, TENANT_PLACE, lambda minute: [ANN], slots=30)
        for ring, _ in world.rings[-1:]:
            answer(world, ring, part)
    assert part.ran > 1, "24 hours of sweeps"
