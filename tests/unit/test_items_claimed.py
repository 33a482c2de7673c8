"""Named scenarios of pairs: what is no twin, what is claimed, what is held and judged again, what a crash must not turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.errors import NetworkDown, Refused
from shared.core.item_scope import ItemScope, Judged
from shared.core.model import Seen, Side
from tests.property.pairs import Pair

CORA = ("cora@customer.test", "accepted")
EXT = "cora@customer.test"


@pytest.mark.parametrize("what", ["private", "unsync"])
def test_what_is_out_of_scope_is_no_twin(what: str) -> None:
    """A record of the same subject and time comes down: what stands in the calendar is out by its own rule."""
    pair = Pair()
    a = pair.ann.event("Lunch", "u1", marked=False, private="yes" if what == "private" else "no", description="a secret")
    if what == "unsync":
        pair.ann.unsync(a)
    pair.rest(pair.ann)
    record = pair.record("Lunch", "ann")
    pair.rest(pair.ann)
    assert record.fields["description"] == ""


def test_a_new_copy_marked_by_hand_ends_what_was_severed() -> None:
    pair = Pair()
    record = pair.record("Talk", "ann")
    pair.crm.facts[record.id] = replace(pair.crm.facts[record.id], made=pair.time - timedelta(days=9))
    old = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    pair.ann.mail.remove(old)
    pair.rest(pair.ann)
    assert [one.state for one in pair.ann.links()] == ["severed"]
    new = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])  # invited again, marked by hand
    pair.rest(pair.ann)
    pair.ann.mail.edit(new, {"location": "Room 9"})
    pair.rest(pair.ann)
    assert "Room 9" in [one.fields["location"] for one in pair.records()]


class OddScope(ItemScope):
    def judged(self, side: Side, seen: Seen) -> Judged:
        if seen.item is not None and seen.item.fields["subject"] == "Odd":
            raise KeyError
        return super().judged(side, seen)


def test_a_mistake_while_one_item_is_judged_holds_that_item() -> None:
    pair = Pair()
    pair.ann.scope = OddScope
    pair.ann.event("Odd", "u1")
    pair.ann.event("Talk", "u2")
    pair.rest(pair.ann)
    assert [one.fields["subject"] for one in pair.records()] == ["Talk"]


def test_a_held_item_that_left_the_scope_is_not_created() -> None:
    """Declined while it waited for its organiser's mailbox."""
    pair = Pair()
    pair.ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")], marked=False, private="yes")  # stays out
    b = pair.bob.event(
        "Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted"), CORA], marked=False
    )
    pair.rest()
    assert pair.bob.held()
    pair.bob.mail.facts[b.id] = replace(pair.bob.mail.facts[b.id], answer="declined")
    pair.bob.mail.open(b)
    pair.rest(pair.bob)
    pair.connected.discard("ann")
    pair.time += timedelta(minutes=20)
    pair.rest(pair.bob)
    assert pair.records() == []


def test_a_held_record_whose_owner_changed_comes_to_the_new_owner_alone() -> None:
    pair = Pair()
    pair.ann.mail.refuses = lambda send: Refused("refused.validation")
    record = pair.record("Talk", "ann")
    pair.rest(pair.ann)
    assert pair.ann.held()
    pair.crm.facts[record.id] = replace(pair.crm.facts[record.id], owner="bob")
    pair.crm.open(record)
    pair.ann.mail.refuses = lambda send: None
    pair.rest(pair.bob)
    pair.time += timedelta(hours=7)
    pair.rest(pair.ann)
    assert [len(one.mail.alive("event")) for one in (pair.ann, pair.bob)] == [0, 1]


def test_the_record_of_an_unsynced_organiser_goes_with_the_last_follower() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")])
    b = pair.bob.event("Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted"), CORA])
    pair.rest()
    pair.time += timedelta(minutes=16)
    pair.rest()
    pair.crm.facts[pair.records()[0].id] = pair.crm_facts("carol")
    pair.ann.unsync(a)
    pair.rest()
    assert len(pair.records()) == 1
    pair.bob.unsync(b)
    pair.rest()
    assert pair.records() == []


def test_whose_deletion_came_too_late_still_holds_the_record() -> None:
    """Ann's copy is deleted while the record is edited: the deletion is stale, the event is made again, and the meeting is
    still one record."""
    pair = Pair()
    a = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    [record] = pair.records()
    pair.crm.edit(record, {"description": "v2"})
    pair.ann.mail.remove(a)
    pair.rest(pair.ann)
    assert len(pair.records()) == 1
    pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    for _ in range(3):
        pair.rest(pair.bob)
        pair.time += timedelta(hours=7)
    assert [one.crm.id for one in pair.bob.links()] == [record.id]
    assert len(pair.records()) == 1


def test_announcements_of_a_write_that_fails_again_and_again_do_not_pile_up() -> None:
    pair = Pair()
    pair.ann.event("Talk", "u1")
    before = pair.crm.before

    def down(what: str) -> None:
        if what == "write":
            raise NetworkDown
        before(what)

    pair.crm.before = down
    for _ in range(20):
        pair.ann.session()
        pair.time += timedelta(hours=1)
    assert len(pair.ann.links()[0].announced) <= 3


def test_a_record_adopted_with_a_difference_is_claimed_too() -> None:
    pair = Pair()
    record = pair.record("Talk", "ann")
    pair.crm.facts[record.id] = replace(pair.crm.facts[record.id], made=pair.time - timedelta(days=9))
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA], location="Room 9")
    pair.rest(pair.ann)
    assert record.fields["location"] == "Room 9"
    pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA], location="Room 9")
    pair.rest(pair.bob)
    assert len(pair.records()) == 1


def test_a_crash_before_the_first_write_of_an_adopted_pair_does_not_turn_the_winner() -> None:
    pair = Pair()
    record = pair.record("Talk", "ann", location="crm's")
    pair.crm.facts[record.id] = replace(pair.crm.facts[record.id], made=pair.time - timedelta(days=9))
    event = pair.ann.event("Talk", "u1", location="mailbox's")
    pair.kill = ("ann", "crm", "write", "before")
    pair.ann.session()
    pair.rest(pair.ann)
    assert (event.fields["location"], record.fields["location"]) == ("mailbox's", "mailbox's")  # the field's winner: mail


def test_of_a_pair_just_joined_the_other_sides_value_is_not_taken_for_a_persons_edit() -> None:
    """The same for a record that was joined: a crash between announcement and write."""
    pair = Pair()
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA], show_as="busy")
    pair.rest(pair.ann)
    b = pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA], show_as="oof")
    pair.kill = ("bob", "crm", "write", "before")
    pair.bob.session()
    pair.rest(pair.bob)
    assert b.fields["show_as"] == "oof"
