"""A mail that two mailboxes hold, while both are at it: one record, held by whoever wants it, whoever is slow or dies."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from shared.core.errors import Refused
from shared.session.claims import GRACE_S, LIFE_S, Claims
from tests.property.capture_world import ORG, START, Crash, World


@pytest.fixture
def world() -> World:
    return World()


def test_the_mail_of_a_claim_that_is_alive_waits_for_its_end(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.session("bob")
    other = Claims(world.inner, ORG, "zoe")  # type: ignore[arg-type]
    key = world.capture("ann")._work(world.mail(1).mail, row={}).claim_key
    other.claim([key], world.now())
    world.session("ann")
    assert world.rules() == ["waiting.claim"]
    assert 60 < world.rings[-1][1] < 200
    looked = 0
    while world.rules() == ["waiting.claim"]:  # its own mailbox does not come back
        world.time += timedelta(seconds=world.rings[-1][1])
        world.session("ann")
        looked += 1
    assert world.rules() == ["waiting.claim", "saved.marked"]
    assert 5 < looked < 20
    assert GRACE_S < (world.time - START).total_seconds() < GRACE_S + 600


def test_what_one_mailbox_may_not_write_another_may(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    world.crm.refuse = lambda record: Refused("refused.insufficient_access")
    world.session("ann")
    world.crm.refuse = lambda record: None
    world.session("bob")
    assert world.rules() == ["held.refused.insufficient_access", "saved.marked"]


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
    assert world.count("<0@mail.test>") == 1


def test_a_mailbox_that_slept_until_its_claim_was_taken_over_writes_nothing(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    slept = False

    def sleep(name: str, effect: str) -> None:
        nonlocal slept
        if (name, effect) == ("ann", "after texts") and not slept:
            slept = True
            world.time += timedelta(seconds=LIFE_S + GRACE_S)
            world.session("bob")

    world.step = sleep
    world.session("ann")
    assert world.rules()[0] == "saved.marked", "taken over while it slept"
    world.settle()
    assert world.count("<1@mail.test>") == 1


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
        world.mailboxes["ann"].change("ann-id1", categories=("Salesforce", "Salesforce Unsync"))
        world.session("ann")

    world.step = race
    world.session("bob")
    assert world.rules()[:2] == ["saved.marked", "removed.unsync"], "the race happened"
    world.settle()
    assert world.count("<1@mail.test>") == 1


def test_unsync_set_while_a_mail_waits_for_another_mailbox_is_obeyed(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")

    def meanwhile(name: str, effect: str) -> None:
        if (name, effect) == ("bob", "before save"):
            world.session("ann")

    world.step = meanwhile
    world.session("bob")
    world.step = lambda name, effect: None
    assert world.rules()[0] == "waiting.claim"
    world.mailboxes["ann"].change("ann-id1", categories=("Salesforce", "Salesforce Unsync"))
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
    assert world.rules() == ["waiting.claim"]
    world.time += timedelta(seconds=20)
    world.session("ann", "push")  # something else arrived
    world.deliver("ann")
    assert world.count("<1@mail.test>") == 1
