"""Patience: what one item's trouble, a short Retry-After, a mended org and a slow vendor do to a mailbox."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.core.errors import BudgetSpent, OrgConsentNeeded, Refused, RowChanged, SyncError, Throttled, Unavailable
from shared.core.mail import Address
from shared.ports import MailboxKey, Place, Ring, TenantId
from shared.session import lease, mail_rows
from shared.session.run import PartReport, SessionReport, run_session
from shared.session.sweep import sweep
from tests.property.capture_world import START, World

ANN = MailboxKey("ann")
TENANT_PLACE = Place("state", TenantId("t"), "tenant", "settings")


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
    assert world.session("ann").result == "lease.lost"


def test_the_direction_of_a_mail_does_not_depend_on_whose_copy_was_read() -> None:
    seen = {}
    for reader in ("ann", "bob"):
        world = World()
        world.profile = {}  # as a company that set nothing
        text = world.mail(1, sender="ann@home.example", to=(Address("bob@home.example"), Address("c1@customer.test")))
        world.put(text, reader)
        world.session(reader)
        seen[reader] = [one.record.incoming for one in world.crm.alive()]
    assert seen["ann"] == seen["bob"] == [False]


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


def test_the_other_copy_of_a_mail_that_was_taken_back_can_be_saved_by_hand() -> None:
    world = World(names=("ann",))
    world.put(world.mail(1, categories=()), "ann")
    world.put(world.mail(1, id="sent", role="sentitems", categories=()), "ann")
    world.session("ann")
    first, other = (key for key in world.mailboxes["ann"].mails)
    world.mailboxes["ann"].change(first, categories=("Salesforce Unsync",))
    world.session("ann")
    assert world.crm.alive() == []
    world.mailboxes["ann"].change(other, categories=("Salesforce",))
    world.session("ann")
    assert len(world.crm.alive()) == 1
