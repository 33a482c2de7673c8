"""A record that a person deleted in the CRM: its mail stays, loses its marks, and comes again only by hand."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from shared.ports import Put
from tests.property.capture_world import ORG, Crash, World


@pytest.fixture
def world() -> World:
    return World()


def test_a_record_that_a_person_deleted_takes_the_mark_off_and_does_not_come_back(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    world.session("ann")
    world.session("bob")
    world.crm.alive()[0].deleted = True
    told = world.tell_deleted("m0")
    assert (told.changed, told.mailboxes) == (1, 2)
    for name in ("ann", "bob", "ann", "bob"):
        world.session(name)
    assert world.crm.alive() == []
    assert [world.mailboxes[name].marked for name in ("ann", "bob")] == [
        [("ann-id1", "-Salesforce")],
        [("bob-id1", "-Salesforce")],
    ]
    assert world.rules()[2:] == ["severed.deleted", "severed.deleted"]
    assert not list(world.inner.scan(ORG, "claim_", "holder`"))
    world.mailboxes["ann"].change("ann-id1", categories=("Salesforce",))
    world.session("ann")
    assert len(world.crm.alive()) == 1


def test_a_record_that_a_person_deleted_while_its_mail_is_held_ends_the_hold(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def break_down(name: str, effect: str) -> None:
        if effect == "before attach":
            raise ZeroDivisionError

    world.step = break_down
    world.session("ann")
    assert world.rules() == ["held.bug"]
    world.step = lambda name, effect: None
    world.crm.alive()[0].deleted = True
    world.tell_deleted("m0")
    world.session("ann")
    world.time += timedelta(hours=2)
    world.session("ann")
    assert world.rules() == ["held.bug", "severed.deleted"]
    assert world.crm.alive() == [] and not list(world.inner.scan(world.place("ann"), "held_", "held`"))


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
    world.tell_deleted("m0")
    world.settle()
    assert world.mailboxes["ann"].mails["ann-id1"].mail.categories == ()


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
    world.tell_deleted("m0")
    world.settle()
    for categories in ((), ("Salesforce",)):
        world.mailboxes["ann"].change("ann-id1", categories=categories)
        world.settle()
    assert world.count("<1@mail.test>") == 1


def test_nobody_joins_a_record_whose_deletion_was_told(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    world.session("ann")
    world.crm.alive()[0].deleted = True
    world.tell_deleted("m0")
    world.session("bob")
    world.settle()
    assert world.loose() == []


def test_a_deletion_that_is_told_twice_at_once_does_not_stop_the_session(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.session("ann")
    world.crm.alive()[0].deleted = True
    world.tell_deleted("m0")

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
        world.tell_deleted(one.id)

    def slow(name: str, effect: str) -> None:
        if effect == "after mark":
            world.time += timedelta(seconds=1)

    world.step = slow
    assert world.session("ann").seconds < 90
