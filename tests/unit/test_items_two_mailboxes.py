"""Named scenarios of one meeting in two mailboxes: who makes its record, who holds it, who follows, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.errors import Refused
from shared.core.model import Facts
from tests.property.pairs import Pair

CORA = ("cora@customer.test", "accepted")
EXT = "cora@customer.test"


def test_smoke_two_holders() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")])
    pair.bob.event("Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted"), CORA])
    pair.rest()
    pair.time += timedelta(minutes=16)
    pair.rest()
    assert len(pair.records()) == 1
    assert [one.follows for one in pair.bob.links()] == [True]
    pair.ann.mail.remove(a)
    pair.rest()
    assert len(pair.records()) == 1


@pytest.mark.parametrize("keyed", [True, False])
def test_a_create_of_a_dead_mailbox_is_found_by_whoever_takes_over(keyed: bool) -> None:
    pair = Pair(keyed=keyed)
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.kill = ("ann", "crm", "write", "after")
    pair.ann.session()  # ann's create lands, and her mailbox does not come back
    assert len(pair.records()) == 1
    pair.rest(pair.bob)
    pair.time += timedelta(hours=1)
    pair.rest(pair.bob, times=3)
    pair.time += timedelta(hours=7)
    pair.rest(pair.bob, times=3)
    [record] = pair.records()
    if keyed:
        assert ([one.crm.id for one in pair.bob.links()], pair.bob.held()) == ([record.id], [])
    else:  # without keys he waits for a day, and says so, rather than make a second one
        assert ([one.crm.id for one in pair.bob.links()], len(pair.bob.held())) == ([""], 1)


def test_a_record_adopted_from_the_crm_side_is_claimed_for_the_meeting() -> None:
    """Ann's record pairs with her meeting, found from the CRM's side; Bob has the same meeting."""
    pair = Pair()
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA], marked=False, answer="none")
    pair.rest(pair.ann)  # not accepted yet: skipped
    pair.record("Talk", "ann")
    pair.rest(pair.ann)
    assert [one.rule for one in pair.ann.links()] != []
    assert len(pair.ann.mail.alive("event")) == 1
    pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.bob)
    assert len(pair.records()) == 1


def test_an_organiser_whose_record_was_adopted_lets_attendees_follow() -> None:
    pair = Pair()
    pair.ann.event("Talk", "u1", people=[("bob@home.example", "accepted")], marked=False)  # internal: skipped
    pair.rest(pair.ann)
    pair.record("Talk", "ann")
    pair.rest(pair.ann)
    pair.bob.event("Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted")])
    for _ in range(8):
        pair.rest(pair.bob, times=1)
        pair.time += timedelta(minutes=20)
    assert [bool(one.crm.id) for one in pair.bob.links()] == [True]


def test_an_event_made_by_us_is_claimed_though_the_answer_was_lost() -> None:
    pair = Pair()
    pair.record("Talk", "ann")
    pair.kill = ("ann", "mail", "write", "after")
    pair.ann.session()
    pair.rest(pair.ann)
    [event] = pair.ann.mail.alive("event")
    uid = pair.ann.mail.facts.get(event.id, Facts()).uid
    assert [bool(one.claim) for one in pair.ann.links()] == [True], uid


def test_accepted_again_in_the_same_page_the_meeting_is_kept() -> None:
    """The calendar replaces the copy of a meeting: the old id is gone, a new one has the same uid."""
    pair = Pair()
    old = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    assert len(pair.records()) == 1
    pair.ann.mail.remove(old)
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann, times=5)
    assert len(pair.records()) == 1


def test_unsync_of_a_held_item_is_not_created() -> None:
    pair = Pair()
    pair.crm.refuses = lambda send: Refused("refused.validation") if send.verb == "create" else None
    a = pair.ann.event("Talk", "u1")
    pair.rest(pair.ann)
    assert pair.records() == []
    pair.ann.unsync(a)
    pair.crm.refuses = lambda send: None
    pair.rest(pair.ann, times=1)
    pair.time += timedelta(hours=7)
    pair.rest(pair.ann, times=3)
    assert pair.records() == []


def test_marked_again_after_unsync_the_adopted_record_is_claimed_again() -> None:
    pair = Pair()
    pair.record("Talk", "ann")
    pair.crm.facts["crm0"] = replace(pair.crm.facts["crm0"], made=pair.time - timedelta(days=9))
    a = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    assert [(one.rule, one.made) for one in pair.ann.links()] == [("adopted", "")]
    pair.ann.unsync(a)
    pair.rest(pair.ann)
    assert pair.ann.links()[0].state == "severed"
    pair.ann.unsync(a, False)
    pair.ann.mail.mark(a, True)
    pair.rest(pair.ann)
    assert pair.ann.links()[0].state == "live"
    pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.bob)
    assert len(pair.records()) == 1


def test_a_joiners_private_copy_does_not_overwrite_the_shared_record() -> None:
    pair = Pair(private_items="busy_only")
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA], description="Bring the plan", location="Room 7")
    pair.rest(pair.ann)
    pair.bob.event(
        "Talk",
        "u1",
        own=False,
        organizer=EXT,
        people=[CORA],
        marked=False,
        private="yes",
        description="Bring the plan",
        location="Room 7",
    )
    pair.rest()
    [record] = pair.records()
    assert (record.fields["subject"], record.fields["location"], record.fields["description"]) == (
        "Talk",
        "Room 7",
        "Bring the plan",
    )


def test_a_record_whose_owner_changed_is_not_deleted_while_the_new_owner_holds_it() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1")
    pair.rest(pair.ann)
    [record] = pair.records()
    pair.crm.facts[record.id] = replace(pair.crm.facts[record.id], owner="bob")
    pair.crm.open(record)
    pair.rest(pair.bob)
    assert [one.crm.id for one in pair.bob.links()] == [record.id]
    pair.ann.mail.remove(a)
    pair.rest(pair.ann)
    assert len(pair.records()) == 1


def test_a_follower_who_deletes_the_own_copy_does_not_get_it_back() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")])
    b = pair.bob.event("Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted"), CORA])
    pair.rest()
    [record] = pair.records()
    pair.crm.edit(record, {"people": ("003x",)})  # the record has people, as every meeting's has
    pair.rest()
    pair.time += timedelta(minutes=16)
    pair.rest()
    assert [one.follows for one in pair.bob.links()] == [True]
    pair.ann.mail.edit(a, {"subject": "Moved talk"})
    pair.rest(pair.ann)
    pair.bob.mail.remove(b)
    pair.rest(pair.bob)
    assert pair.bob.mail.alive("event") == []


def test_a_cancelled_meeting_of_somebody_else_does_not_come_back() -> None:
    """A change from Salesforce that never reached the meeting (kept.not_organizer) is no reason to make it anew."""
    pair = Pair()
    a = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    pair.crm.edit(pair.records()[0], {"subject": "Our name for it"})
    pair.rest(pair.ann)
    assert a.fields["subject"] == "Talk"
    pair.ann.mail.remove(a)  # the organiser cancels
    pair.rest(pair.ann)
    assert pair.ann.mail.alive("event") == []


def test_attendees_carry_the_record_when_the_organiser_is_disconnected() -> None:
    pair = Pair()
    pair.ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")])
    b = pair.bob.event("Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted"), CORA])
    pair.rest()
    pair.time += timedelta(minutes=16)
    pair.rest()
    pair.connected.discard("ann")
    pair.bob.mail.edit(b, {"subject": "Moved talk"})
    pair.rest(pair.bob)
    assert pair.records()[0].fields["subject"] == "Moved talk"


def test_restored_and_marked_after_a_sever_it_is_in_step_again() -> None:
    pair = Pair()
    record = pair.record("Talk", "ann")
    pair.rest(pair.ann)
    [event] = pair.ann.mail.alive("event")
    pair.ann.mail.remove(event)
    pair.rest(pair.ann)
    assert pair.ann.links()[0].rule == "deleted.mail.not_ours"
    event.deleted = False
    pair.ann.mail.mark(event, True)
    pair.rest(pair.ann)
    pair.crm.edit(record, {"location": "Room 9"})
    pair.rest(pair.ann)
    assert event.fields["location"] == "Room 9"
