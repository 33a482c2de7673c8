"""What mail capture decides, mail by mail, in memory. That nothing is lost under faults is judged in tests/property."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.core.errors import (
    Refused,
    RowLocked,
    Stale,
)
from shared.core.mail import Address, MailRecord
from shared.ports import Insert, MailPage, Put
from shared.session import records
from shared.store.mail_memory import MemoryMail
from tests.property.capture_world import HOME, ORG, START, World


@pytest.fixture
def world() -> World:
    return World()


def stranger(number: int, world: World, **changes: object):  # type: ignore[no-untyped-def]
    return world.mail(number, sender="nobody@elsewhere.test", to=(Address(f"ann@{HOME}"),), **changes)


def test_mail_of_strangers_is_saved_by_hand_and_not_by_itself(world: World) -> None:
    world.put(stranger(1, world), "ann")
    world.put(stranger(2, world, categories=()), "ann")
    world.session("ann")
    assert sorted(world.rules()) == ["saved.marked", "skipped.unmatched"]
    assert [one.record.identifier for one in world.crm.alive()] == ["<1@mail.test>"]


def test_a_mail_that_was_decided_on_costs_nothing_when_it_is_only_read(world: World) -> None:
    world.put(stranger(2, world, categories=()), "ann")
    world.session("ann")
    calls, reads = world.crm.calls, world.mailboxes["ann"].reads
    world.mailboxes["ann"].change("ann-id2", subject="somebody opened it")
    world.session("ann")
    assert (world.crm.calls, world.mailboxes["ann"].reads) == (calls, reads)
    assert world.rules() == ["skipped.unmatched"]


def test_a_mark_set_later_saves_it(world: World) -> None:
    world.put(stranger(2, world, categories=()), "ann")
    world.session("ann")
    world.mailboxes["ann"].change("ann-id2", categories=("Salesforce",))
    world.session("ann")
    assert world.rules() == ["skipped.unmatched", "saved.marked"]
    assert world.wrong() == []


def test_a_saved_mail_stays_when_it_is_unmarked_moved_and_deleted(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.session("ann")
    world.mailboxes["ann"].change("ann-id1", categories=(), role="deleteditems")
    world.session("ann")
    world.mailboxes["ann"].remove("ann-id1")
    world.session("ann")
    assert world.rules() == ["saved.marked"]
    assert len(world.crm.alive()) == 1


def test_unsync_takes_the_record_back_when_the_last_holder_says_so(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    world.session("ann")
    world.session("bob")
    world.mailboxes["ann"].change("ann-id1", categories=("Salesforce", "Salesforce Unsync"))
    world.session("ann")
    assert len(world.crm.alive()) == 1
    world.mailboxes["bob"].change("bob-id1", categories=("Salesforce Unsync",))
    world.session("bob")
    assert world.crm.alive() == []
    assert world.rules() == ["saved.marked", "saved.shared", "severed.unsync", "removed.unsync"]


def test_what_was_taken_back_comes_again_only_by_hand(world: World) -> None:
    world.put(world.mail(1, categories=()), "ann")
    for categories in ((), ("Salesforce Unsync",), (), ("Salesforce",)):
        world.mailboxes["ann"].change("ann-id1", categories=categories)
        world.session("ann")
    assert world.rules() == ["saved.auto", "removed.unsync", "saved.marked"]
    assert len(world.crm.alive()) == 1


@pytest.mark.parametrize(
    ("problem", "rule"),
    [(Refused("refused.delete_failed"), "held.refused.delete_failed"), (ZeroDivisionError(), "held.bug")],
    ids=["the CRM refuses", "our own code is wrong"],
)
def test_a_record_that_cannot_be_taken_back_holds_its_mail_and_goes_later(world: World, problem: Exception, rule: str) -> None:
    world.put(world.mail(1), "ann")
    world.put(world.mail(2), "ann")
    world.session("ann")

    def refuse(name: str, effect: str) -> None:
        if effect == "before remove":
            raise problem

    world.step = refuse
    world.mailboxes["ann"].change("ann-id1", categories=("Salesforce", "Salesforce Unsync"))
    assert world.session("ann").result == "ok"
    assert (world.rules()[-1], len(world.crm.alive())) == (rule, 2)
    world.step = lambda name, effect: None
    world.time += timedelta(hours=2)
    world.session("ann")
    assert world.rules()[-1] == "removed.unsync"
    assert [one.record.identifier for one in world.crm.alive()] == ["<2@mail.test>"]
    assert len(list(world.inner.scan(ORG, "claim_", "claim`"))) == 1
    assert not list(world.inner.scan(world.place("ann"), "held_", "held`"))


def test_a_mail_whose_error_mark_breaks_our_own_code_is_held_alone(world: World) -> None:
    for number in range(3):
        world.put(world.mail(number), "ann")
    world.crm.refuse = lambda record: Refused("refused.x") if record.identifier == "<1@mail.test>" else None

    def break_down(name: str, effect: str) -> None:
        if effect == "before mark":
            raise ZeroDivisionError

    world.step = break_down
    assert world.session("ann").result == "ok"
    assert sorted(world.rules()) == ["held.bug", "saved.marked", "saved.marked"]
    world.crm.refuse = lambda record: None
    world.time += timedelta(hours=2)
    world.session("ann")
    assert world.rules()[3:] == ["held.bug"], "the category could not be taken off"
    world.step = lambda name, effect: None
    world.time += timedelta(hours=7)
    world.session("ann")
    world.session("bob")
    assert world.rules()[4:] == ["saved.marked"]
    assert world.wrong() + world.idle() == []


def test_a_held_mail_whose_record_stands_is_taken_back_on_demand(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def break_down(name: str, effect: str) -> None:
        if effect == "before attach":
            raise ZeroDivisionError

    world.step = break_down
    world.session("ann")
    world.mailboxes["ann"].change("ann-id1", categories=("Salesforce", "Salesforce Unsync"))
    world.session("ann")
    assert world.rules() == ["held.bug", "removed.unsync"]
    assert world.crm.alive() == []


def test_unsync_of_a_record_that_was_there_before_only_severs(world: World) -> None:
    world.put(world.mail(1), "bob")
    world.session("bob")
    for row in list(world.inner.scan(ORG)):  # the other product's record: nothing of ours knows it
        world.inner.commit(ORG, [Put(row.key, row.value | {"made": False, "holders": ["bob"]}, row.etag)])
    world.mailboxes["bob"].change("bob-id1", categories=("Salesforce Unsync",))
    world.session("bob")
    assert world.rules()[-1] == "severed.unsync"
    assert len(world.crm.alive()) == 1


def test_a_record_of_somebody_else_with_the_same_message_id_is_adopted_untouched(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.session("ann")
    for row in list(world.inner.scan(ORG)):
        world.inner.commit(ORG, [Put(row.key, row.value, row.etag)])
    other = World(names=("eve",))
    other.crm.saved = world.crm.saved
    other.put(other.mail(1, files=("new.pdf",)), "eve")
    other.session("eve")
    assert other.rules() == ["saved.adopted"]
    assert (len(other.crm.saved), other.crm.saved[0].files) == (1, [])


def test_the_marked_copy_speaks_for_both_copies_of_a_mailbox(world: World) -> None:
    world.put(stranger(1, world, categories=()), "ann")
    world.put(stranger(1, world, id="copy"), "ann")
    world.session("ann")
    assert sorted(world.rules()) == ["saved.marked", "saved.shared"]
    assert len(world.crm.alive()) == 1


def test_a_mail_without_message_id_is_written_once_from_both_copies(world: World) -> None:
    world.put(world.mail(1, message_id=""), "ann", "bob")
    world.session("ann")
    world.session("bob")
    identifiers = [one.record.identifier for one in world.crm.alive()]
    assert len(identifiers) == 1
    assert identifiers[0].endswith("@mailspan.invalid>")


def test_a_refused_mail_is_held_shown_and_saved_once_the_reason_is_gone(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.crm.refuse = lambda record: Refused("refused.field_custom_validation_exception", ("Subject",))
    world.session("ann")
    assert world.rules() == ["held.refused.field_custom_validation_exception"]
    assert world.notes[0].fields == ("Subject",)
    assert world.mailboxes["ann"].marked == [("ann-id1", "+Sync Error")]
    world.session("ann")
    assert len(world.notes) == 1
    world.crm.refuse = lambda record: None
    world.time += timedelta(hours=1, minutes=1)
    world.session("ann")
    assert world.rules()[1:] == ["saved.marked"]
    assert world.mailboxes["ann"].marked[-1] == ("ann-id1", "-Sync Error")
    assert world.wrong() == [] and not list(world.inner.scan(world.place("ann"), "held_", "held`"))


def test_a_held_mail_is_not_tried_for_ever(world: World) -> None:
    world.put(world.mail(1), "ann")
    asked = []

    def refuse(record: MailRecord) -> Refused:
        asked.append(record.identifier)
        return Refused("refused.string_too_long", ("Subject",))

    world.crm.refuse = refuse
    for _ in range(40):
        world.session("ann")
        world.time += timedelta(days=8)
    assert len(asked) == 9
    (row,) = world.inner.scan(world.place("ann"), "held_", "held`")
    assert row.value["next"] == ""


def test_a_row_that_is_locked_is_written_by_a_later_session(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.crm.refuse = lambda record: Stale()
    assert world.session("ann").result == "ok"
    assert [delay > 0 for _, delay in world.rings] == [True]
    world.crm.refuse = lambda record: None
    world.time += timedelta(minutes=2)
    world.session("ann")
    assert world.wrong() == []
    assert world.rules() == ["waiting.retry", "saved.marked"]


def test_an_org_that_asks_to_wait_loses_nothing(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def busy(name: str, effect: str) -> None:
        if effect == "before save":
            raise RowLocked

    world.step = busy
    assert world.session("ann").result == "retry.row_locked"
    world.settle()
    assert world.wrong() + world.idle() == []


def test_a_mail_that_vanished_between_announcement_and_write_leaves_nothing_open(world: World) -> None:
    world.put(world.mail(1), "ann")

    def vanish(name: str, effect: str) -> None:
        if effect == "before texts":
            world.mailboxes["ann"].mails.pop("ann-id1", None)

    world.step = vanish
    world.session("ann")
    world.settle()
    assert world.rules() == ["skipped.gone"]
    assert not list(world.inner.scan(ORG)) and not list(world.inner.scan(world.place("ann"), "open_", "open`"))


def test_a_dead_cursor_lists_again_and_doubles_nothing(world: World) -> None:
    for number in range(30):
        world.put(world.mail(number), "ann")
    world.session("ann")
    world.mailboxes["ann"].generation += 1
    calls = world.crm.calls
    world.session("ann")
    assert (world.crm.calls, len(world.crm.alive())) == (calls, 30)


def test_a_used_up_slice_goes_on_where_it_stopped() -> None:
    world = World(names=("ann",))
    for number in range(450):
        world.put(world.mail(number, files=("a.txt",)), "ann")

    def slow(name: str, effect: str) -> None:
        if effect == "after attach":
            world.time += timedelta(seconds=1)

    world.step = slow
    sessions = 0
    while not sessions or (world.rings and world.rings.pop()[1] == 0.0):
        world.session("ann")
        sessions += 1
    assert sessions > 5
    assert world.wrong() + world.idle() == []


@pytest.mark.parametrize("where", ["judge", "question", "record"])
def test_ten_mails_that_break_our_own_code_are_held_and_the_others_arrive(world: World, where: str) -> None:
    broken: dict[str, object] = {
        "judge": {"categories": (), "received": None},
        "question": {"subject": None},
        "record": {"thread": None},
    }[where]
    for number in range(1000):
        world.put(world.mail(number, **(broken if number % 100 == 0 else {})), "ann")
    while world.session("ann").result == "ok" and world.rings and world.rings.pop()[1] == 0.0:
        pass
    assert world.rules().count("saved.marked") == 990
    held = [note for note in world.notes if note.rule == "held.bug"]
    assert len(held) == 10
    assert all(note.fields[1].endswith(tuple("0123456789")) and ".py:" in note.fields[1] for note in held)


def test_bugs_beyond_bearing_rise_to_the_host(world: World) -> None:
    for number in range(40):
        world.put(world.mail(number, subject=None), "ann")
    with pytest.raises(TypeError):
        world.session("ann")


def test_activation_looks_back_only_so_far(world: World) -> None:
    old = START - timedelta(days=7)
    world.put(world.mail(1, categories=(), received=old), "ann")
    world.put(world.mail(2, categories=("Salesforce",), received=old), "ann")
    world.session("ann")
    assert sorted(world.rules()) == ["saved.marked", "skipped.look_back"]


def test_a_state_row_of_newer_code_parks_the_mailbox(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.inner.commit(world.place("ann"), [Insert("open_x", records.row(kind="mail") | {"v": 99})])
    assert world.session("ann").result == "store.newer_row"
    assert world.crm.alive() == []


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


def test_what_other_kinds_of_item_left_open_or_held_is_none_of_its_business(world: World) -> None:
    place = world.place("ann")
    foreign = [
        Put("open_link", records.row(kind="event")),
        Put(records.held("link"), records.row(kind="event", code="held.bug", since=records.text_of(START))),
        Put(records.held("link.wait"), records.row(kind="event", code="held.approval", asked={}, wait_s=None)),
    ]
    world.inner.commit(place, foreign)
    world.put(stranger(1, world), "ann")
    assert world.session("ann").result == "ok"
    assert world.rules() == ["saved.marked"]
    assert [world.inner.get(place, one.key) is not None for one in foreign] == [True] * 3
