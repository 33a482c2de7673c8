"""What mail capture decides, mail by mail, in memory. That nothing is lost under faults is judged in tests/property."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from shared.core.errors import Refused, RowLocked, Stale
from shared.core.mail import Address, MailRecord
from shared.ports import Changed, Insert, Put
from shared.session import records
from shared.session.claims import GRACE_S, Claims
from shared.session.poll import poll
from tests.property.capture_world import HOME, ORG, START, World


@pytest.fixture
def world() -> World:
    return World()


class Feed:
    """A change feed that answers what it was given."""

    def __init__(self, changes: list[Changed]) -> None:
        self.changes = changes
        self.asked: list[Mapping[str, datetime]] = []

    def changed(self, since: Mapping[str, datetime]) -> list[Changed]:
        self.asked.append(since)
        return self.changes


def rules(world: World) -> list[str]:
    return [note.rule for note in world.notes]


def stranger(number: int, world: World, **changes: object):  # type: ignore[no-untyped-def]
    return world.mail(number, sender="nobody@elsewhere.test", to=(Address(f"ann@{HOME}"),), **changes)


def test_mail_of_strangers_is_saved_by_hand_and_not_by_itself(world: World) -> None:
    world.put(stranger(1, world), "ann")
    world.put(stranger(2, world, categories=()), "ann")
    world.session("ann")
    assert sorted(rules(world)) == ["saved.marked", "skipped.unmatched"]
    assert [one.record.identifier for one in world.crm.alive()] == ["<1@mail.test>"]


def test_a_mail_that_was_decided_on_costs_nothing_when_it_is_only_read(world: World) -> None:
    world.put(stranger(2, world, categories=()), "ann")
    world.session("ann")
    calls, reads = world.crm.calls, world.mailboxes["ann"].reads
    world.mailboxes["ann"].change("ann-id2", subject="somebody opened it")
    world.session("ann")
    assert (world.crm.calls, world.mailboxes["ann"].reads) == (calls, reads)
    assert rules(world) == ["skipped.unmatched"]


def test_a_mark_set_later_saves_it(world: World) -> None:
    world.put(stranger(2, world, categories=()), "ann")
    world.session("ann")
    world.mailboxes["ann"].change("ann-id2", categories=("Salesforce",))
    world.session("ann")
    assert rules(world) == ["skipped.unmatched", "saved.marked"]
    assert world.wrong() == []


def test_a_saved_mail_stays_when_it_is_unmarked_moved_and_deleted(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.session("ann")
    world.mailboxes["ann"].change("ann-id1", categories=(), role="deleteditems")
    world.session("ann")
    world.mailboxes["ann"].remove("ann-id1")
    world.session("ann")
    assert rules(world) == ["saved.marked"]
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
    assert rules(world) == ["saved.marked", "saved.shared", "severed.unsync", "removed.unsync"]


def test_what_was_taken_back_comes_again_only_by_hand(world: World) -> None:
    world.put(world.mail(1, categories=()), "ann")
    for categories in ((), ("Salesforce Unsync",), (), ("Salesforce",)):
        world.mailboxes["ann"].change("ann-id1", categories=categories)
        world.session("ann")
    assert rules(world) == ["saved.auto", "removed.unsync", "saved.marked"]
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
    assert (rules(world)[-1], len(world.crm.alive())) == (rule, 2)
    world.step = lambda name, effect: None
    world.time += timedelta(hours=2)
    world.session("ann")
    assert rules(world)[-1] == "removed.unsync"
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
    assert sorted(rules(world)) == ["held.bug", "saved.marked", "saved.marked"]
    world.crm.refuse = lambda record: None
    world.time += timedelta(hours=2)
    world.session("ann")
    assert rules(world)[3:] == ["held.bug"], "the category could not be taken off"
    world.step = lambda name, effect: None
    world.time += timedelta(hours=7)
    world.session("ann")
    world.session("bob")
    assert rules(world)[4:] == ["saved.marked"]
    assert world.wrong() + world.idle() == []


def test_a_record_that_a_person_deleted_while_its_mail_is_held_ends_the_hold(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def break_down(name: str, effect: str) -> None:
        if effect == "before attach":
            raise ZeroDivisionError

    world.step = break_down
    world.session("ann")
    assert rules(world) == ["held.bug"]
    world.step = lambda name, effect: None
    world.crm.alive()[0].deleted = True
    poll(
        Feed([Changed("mail", "m0", "1", deleted=True)]), ["mail"], store=world.inner, bell=world, clock=world, org=ORG,
        place_of=world.place, owners=lambda user: (),
    )  # fmt: skip
    world.session("ann")
    world.time += timedelta(hours=2)
    world.session("ann")
    assert rules(world) == ["held.bug", "severed.deleted"]
    assert world.crm.alive() == [] and not list(world.inner.scan(world.place("ann"), "held_", "held`"))


def test_a_held_mail_whose_record_stands_is_taken_back_on_demand(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def break_down(name: str, effect: str) -> None:
        if effect == "before attach":
            raise ZeroDivisionError

    world.step = break_down
    world.session("ann")
    world.mailboxes["ann"].change("ann-id1", categories=("Salesforce", "Salesforce Unsync"))
    world.session("ann")
    assert rules(world) == ["held.bug", "removed.unsync"]
    assert world.crm.alive() == []


def test_unsync_of_a_record_that_was_there_before_only_severs(world: World) -> None:
    world.put(world.mail(1), "bob")
    world.session("bob")
    for row in list(world.inner.scan(ORG)):  # the other product's record: nothing of ours knows it
        world.inner.commit(ORG, [Put(row.key, row.value | {"made": False, "holders": ["bob"]}, row.etag)])
    world.mailboxes["bob"].change("bob-id1", categories=("Salesforce Unsync",))
    world.session("bob")
    assert rules(world)[-1] == "severed.unsync"
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
    assert rules(other) == ["saved.adopted"]
    assert (len(other.crm.saved), other.crm.saved[0].files) == (1, [])


def test_the_marked_copy_speaks_for_both_copies_of_a_mailbox(world: World) -> None:
    world.put(stranger(1, world, categories=()), "ann")
    world.put(stranger(1, world, id="copy"), "ann")
    world.session("ann")
    assert sorted(rules(world)) == ["saved.marked", "saved.shared"]
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
    assert rules(world) == ["held.refused.field_custom_validation_exception"]
    assert world.notes[0].fields == ("Subject",)
    assert world.mailboxes["ann"].marked == [("ann-id1", "+Sync Error")]
    world.session("ann")
    assert len(world.notes) == 1
    world.crm.refuse = lambda record: None
    world.time += timedelta(hours=1, minutes=1)
    world.session("ann")
    assert rules(world)[1:] == ["saved.marked"]
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


def test_what_one_mailbox_may_not_write_another_may(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    world.crm.refuse = lambda record: Refused("refused.insufficient_access")
    world.session("ann")
    world.crm.refuse = lambda record: None
    world.session("bob")
    assert rules(world) == ["held.refused.insufficient_access", "saved.marked"]


def test_a_row_that_is_locked_is_written_by_a_later_session(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.crm.refuse = lambda record: Stale()
    assert world.session("ann").result == "ok"
    assert [delay > 0 for _, delay in world.rings] == [True]
    world.crm.refuse = lambda record: None
    world.time += timedelta(minutes=2)
    world.session("ann")
    assert world.wrong() == []
    assert rules(world) == ["waiting.retry", "saved.marked"]


def test_an_org_that_asks_to_wait_loses_nothing(world: World) -> None:
    world.put(world.mail(1, files=("a.txt",)), "ann")

    def busy(name: str, effect: str) -> None:
        if effect == "before save":
            raise RowLocked

    world.step = busy
    assert world.session("ann").result == "retry.row_locked"
    world.settle()
    assert world.wrong() + world.idle() == []


def test_the_mail_of_a_claim_that_is_alive_waits_for_its_end(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.session("bob")
    other = Claims(world.inner, ORG, "zoe")  # type: ignore[arg-type]
    key = world.capture("ann")._work(world.mail(1).mail, row={}).claim_key
    other.claim([key], world.now())
    world.session("ann")
    assert rules(world) == ["waiting.claim"]
    assert 60 < world.rings[-1][1] < 200
    looked = 0
    while rules(world) == ["waiting.claim"]:  # its own mailbox does not come back
        world.time += timedelta(seconds=world.rings[-1][1])
        world.session("ann")
        looked += 1
    assert rules(world) == ["waiting.claim", "saved.marked"]
    assert 5 < looked < 20
    assert GRACE_S < (world.time - START).total_seconds() < GRACE_S + 600


def test_a_mail_that_vanished_between_announcement_and_write_leaves_nothing_open(world: World) -> None:
    world.put(world.mail(1), "ann")

    def vanish(name: str, effect: str) -> None:
        if effect == "before texts":
            world.mailboxes["ann"].mails.pop("ann-id1", None)

    world.step = vanish
    world.session("ann")
    world.settle()
    assert rules(world) == ["skipped.gone"]
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
    assert rules(world).count("saved.marked") == 990
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
    assert sorted(rules(world)) == ["saved.marked", "skipped.look_back"]


def test_a_record_that_a_person_deleted_takes_the_mark_off_and_does_not_come_back(world: World) -> None:
    world.put(world.mail(1), "ann", "bob")
    world.session("ann")
    world.session("bob")
    world.crm.alive()[0].deleted = True
    told = poll(
        Feed([Changed("mail", "m0", "1", deleted=True)]), ["mail"], store=world.inner, bell=world, clock=world, org=ORG,
        place_of=world.place, owners=lambda user: (),
    )  # fmt: skip
    assert (told.changed, told.mailboxes) == (1, 2)
    for name in ("ann", "bob", "ann", "bob"):
        world.session(name)
    assert world.crm.alive() == []
    assert [world.mailboxes[name].marked for name in ("ann", "bob")] == [
        [("ann-id1", "-Salesforce")],
        [("bob-id1", "-Salesforce")],
    ]
    assert rules(world)[2:] == ["severed.deleted", "severed.deleted"]
    assert not list(world.inner.scan(ORG, "claim_", "holder`"))
    world.mailboxes["ann"].change("ann-id1", categories=("Salesforce",))
    world.session("ann")
    assert len(world.crm.alive()) == 1


def test_a_state_row_of_newer_code_parks_the_mailbox(world: World) -> None:
    world.put(world.mail(1), "ann")
    world.inner.commit(world.place("ann"), [Insert("open_x", records.row(kind="mail") | {"v": 99})])
    assert world.session("ann").result == "store.newer_row"
    assert world.crm.alive() == []
