"""Named scenarios of how items end and come back: deletions and the brake, severed pairs, revivals, waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.core.errors import Refused
from shared.core.model import Item
from shared.ports import Page
from shared.session import links, records
from tests.property.pairs import ORG, Pair
from tests.property.sides import PLACE
from tests.unit.test_items import calm, note, rest, rules
from tests.unit.test_items_waiting import asked
from tests.unit.test_items_waiting import calm as calm_events
from tests.unit.test_items_waiting import pair as event_pair
from tests.unit.test_items_waiting import rest as rest_events

CORA = ("cora@customer.test", "accepted")
EXT = "cora@customer.test"


def test_what_ann_deleted_and_bob_holds_does_not_come_back_to_ann() -> None:
    """Ann owns the record, for she made it. Bob's session patches it, and the poll tells its owner."""
    pair = Pair()
    a = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    b = pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    pair.rest(pair.bob)
    pair.ann.mail.remove(a)
    pair.rest(pair.ann)
    assert "deleted.mail.others_hold" in pair.ann.rules()
    pair.bob.mail.edit(b, {"location": "Room 9"})
    pair.rest(pair.bob)
    pair.rest(pair.ann)
    assert pair.ann.mail.alive("event") == []


def test_what_ann_took_out_and_bob_holds_stays_out() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    b = pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    pair.rest(pair.bob)
    pair.ann.unsync(a)
    pair.rest(pair.ann)
    assert "unsync.others_hold" in pair.ann.rules()
    pair.bob.mail.edit(b, {"location": "Room 9"})
    pair.rest(pair.bob)
    pair.rest(pair.ann)
    assert len(pair.ann.mail.alive("event")) == 1
    assert [one.state for one in pair.ann.links()] == ["severed"]


@pytest.mark.parametrize("keyed", [True, False])
def test_whose_claim_was_taken_over_makes_no_second_record(keyed: bool) -> None:
    pair = Pair(keyed=keyed)
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.kill = ("ann", "crm", "write", "before")
    pair.ann.session()  # claimed and announced, not made
    pair.rest(pair.bob)
    pair.time += timedelta(hours=1)
    pair.rest(pair.bob)
    assert len(pair.records()) == (1 if keyed else 0)  # without keys nobody can tell what a dead session made: Bob waits
    pair.rest(pair.ann)
    assert len(pair.records()) == 1


class FakePeople:
    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def fill(self, works: Sequence[Any]) -> None:
        for work in works:
            one = work.seen.get("mail")
            if one is not None and one.item is not None and "people" not in one.item.fields:
                ids = tuple(sorted(self.known[a] for a, _ in one.facts.people if a in self.known))
                fields = {**one.item.fields, "people": ids, "answers": tuple(f"{i}=accepted" for i in ids)}
                work.seen["mail"] = replace(one, item=Item("event", fields))


def test_a_new_contact_is_no_edit_of_the_event_and_brings_no_deleted_record_back() -> None:
    pair = Pair()
    pair.ann.people = people = FakePeople()
    pair.ann.event("Talk", "u1", people=[CORA])
    pair.rest(pair.ann)
    [record] = pair.records()
    people.known[CORA[0]] = "003cora"  # somebody made a Contact for Cora
    pair.crm.remove(record)
    pair.rest(pair.ann)
    assert pair.records() == []


def test_a_revived_events_uid_is_claimed() -> None:
    """Deleted in the calendar while the record was edited: the event is made again, and has another uid."""
    pair = Pair()
    a = pair.ann.event("Talk", "u1")
    pair.rest(pair.ann)
    [record] = pair.records()
    pair.ann.mail.remove(a)
    pair.crm.edit(record, {"location": "Room 9"})
    pair.rest(pair.ann)
    [again] = pair.ann.mail.alive("event")
    uid = pair.ann.mail.facts[again.id].uid
    assert uid != "u1"
    pair.bob.event("Talk", uid, own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted")])
    for _ in range(8):
        pair.rest(pair.bob, times=1)
        pair.time += timedelta(minutes=20)
    assert [bool(one.crm.id) for one in pair.bob.links()] == [True]


def test_a_joiner_by_hand_whose_copy_is_private_leaves_the_record_as_it_is() -> None:
    pair = Pair()
    pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest(pair.ann)
    pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA], private="yes", show_as="free")
    pair.rest()
    assert (pair.records()[0].fields["private"], pair.records()[0].fields["show_as"]) == ("no", "busy")


def test_a_session_whose_people_cannot_be_filled_holds_the_item_only() -> None:
    pair = Pair()

    class Breaks(FakePeople):
        def fill(self, works: Sequence[Any]) -> None:
            if any(w.seen["mail"].item and w.seen["mail"].item.fields["subject"] == "Odd" for w in works if "mail" in w.seen):
                raise Refused("refused.malformed_query")

    pair.ann.people = Breaks()
    pair.ann.event("Odd", "u1")
    pair.ann.event("Talk", "u2")
    pair.ann.session()
    pair.rest(pair.ann)
    assert [one.fields["subject"] for one in pair.records()] == ["Talk"]


@pytest.mark.parametrize(("days", "left"), [(13, 0), (17, 1)])
@pytest.mark.parametrize("edited", [False, True])
def test_what_is_cleared_away_long_after_takes_no_record_along(days: int, left: int, edited: bool) -> None:
    """The event was a day ahead; the window reaches two weeks back. Edited: somebody wrote down what was said."""
    pair = Pair()
    a = pair.ann.event("Talk", "u1")
    pair.rest(pair.ann)
    pair.time += timedelta(days=days)
    if edited:
        pair.crm.edit(pair.records()[0], {"description": "what was said"})
    pair.ann.mail.remove(a)
    pair.rest(pair.ann)
    pair.rest(pair.ann)
    past = ("severed", "deleted.mail.past") in [(one.state, one.rule) for one in pair.ann.links()]
    assert (len(pair.records()), past) == ((1, True) if left else (int(edited), False))
    assert len(pair.ann.mail.alive("event")) == (1 if edited and not left else 0)


def test_what_was_moved_ahead_in_salesforce_is_not_over() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1")
    pair.rest(pair.ann)
    [record] = pair.records()
    later = pair.time + timedelta(days=20)
    pair.crm.facts[record.id] = replace(pair.crm.facts[record.id], begins=later, ends=later)
    pair.crm.edit(record, {"when": "later"})
    pair.rest(pair.ann)
    assert a.fields["when"] == "later"
    pair.time += timedelta(days=17)
    pair.ann.mail.remove(a)
    pair.rest(pair.ann)
    assert pair.records() == []


def test_a_past_meeting_that_a_colleague_holds_too_is_cleared_away_from_one_calendar() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    b = pair.bob.event("Talk", "u1", own=False, organizer=EXT, people=[CORA])
    pair.rest()
    pair.time += timedelta(days=17)
    for mailbox, event in ((pair.ann, a), (pair.bob, b)):
        mailbox.mail.remove(event)
        pair.rest(mailbox)
        assert len(pair.records()) == 1
    assert pair.ann.links()[0].rule == "deleted.mail.past.others_hold"
    assert pair.bob.links()[0].rule == "deleted.mail.past"


def test_what_is_deleted_on_both_sides_leaves_no_claim() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1")
    pair.rest(pair.ann)
    pair.crm.remove(pair.records()[0])
    pair.ann.mail.remove(a)
    pair.rest(pair.ann)
    assert [row.key for prefix in ("claim", "holder") for row in pair.store.scan(ORG, *records.every(prefix))] == []


# --- one mailbox


def test_after_a_revival_the_mailboxes_text_is_still_ours() -> None:
    world = calm_events()
    mail, crm = event_pair(world, 1, description="")
    world.sides["crm"].edit(crm, {"description": "v10"})
    rest_events(world)
    assert mail.fields["description"] == "v10"
    world.sides["crm"].remove(crm)
    world.sides["mail"].edit(mail, {"location": "v11"})
    rest_events(world)
    [crm] = world.sides["crm"].alive("event")
    world.sides["crm"].edit(crm, {"description": "v12"})
    rest_events(world)
    assert (mail.fields["description"], asked(world)) == ("v12", [])


def test_forty_deleted_in_two_sessions_of_a_day_meet_the_brake() -> None:
    """Design section 4: confirmed tombstones of 24 h above max(25, 20 %)."""
    world = calm()
    made = [note(world, n) for n in range(40)]
    rest(world)
    for start in (0, 20):
        for record in made[start : start + 20]:
            world.sides["mail"].remove(record)
        rest(world)
    assert "held.deletes" in rules(world)


def test_sixty_of_sixty_deleted_in_one_answer_of_three_pages_meet_the_brake() -> None:
    world = calm()
    made = [note(world, n) for n in range(60)]
    rest(world, 8)
    mail = world.sides["mail"]
    whole = mail.changes

    def paged(kind: str, cursor: str | None) -> Page:
        """The vendor answers in pages of 20, as a delta does."""
        skip = 0
        if cursor is not None and "#" in cursor:
            cursor, _, text = cursor.partition("#")
            skip = int(text)
        page = whole(kind, cursor)
        if page.listing or len(page.seen) <= skip + 20:
            return replace(page, seen=page.seen[skip:])
        return replace(page, seen=page.seen[skip : skip + 20], cursor=f"{cursor}#{skip + 20}", done=False)

    mail.changes = paged  # type: ignore[method-assign]
    for record in made:
        mail.remove(record)
    rest(world, 8)
    assert len(world.sides["crm"].alive("note")) >= 60 - 25  # so many are always allowed


def test_a_listing_whose_last_page_is_empty_is_not_empty() -> None:
    world = calm()
    made = [note(world, n) for n in range(200)]
    rest(world, 12)
    mail = world.sides["mail"]
    whole = mail.changes

    def trailing(kind: str, cursor: str | None) -> Page:
        """As Graph's rounds do, the link to the next round comes on a page of its own."""
        if cursor is not None and cursor.startswith("end "):
            return Page((), cursor.removeprefix("end "), True, True)
        page = whole(kind, cursor)
        return replace(page, cursor=f"end {page.cursor}", done=False) if page.listing and page.done else page

    mail.changes = trailing  # type: ignore[method-assign]
    for record in made[:8]:  # 4 %
        record.deleted = True
    mail.generation += 1
    rest(world, 12)
    assert "held.deletes" not in rules(world)
    assert len(world.sides["crm"].alive("note")) == 192


def test_a_paused_pair_that_is_gone_on_both_sides_is_forgotten() -> None:
    world = calm()
    record = note(world, 1)
    rest(world)
    world.sides["mail"].mark(record, False)
    rest(world)
    world.sides["crm"].remove(world.sides["crm"].alive("note")[0])
    world.sides["mail"].remove(record)
    rest(world)
    for side in world.sides.values():
        side.generation += 1
    rest(world)
    assert list(links.every(world.inner, PLACE, "note")) == []


def test_an_undeleted_record_is_not_made_a_second_time() -> None:
    """Deleted in the CRM, taken out of the recycle bin again, and the event is marked by hand."""
    world = calm()
    record = note(world, 1)
    rest(world)
    crm = world.sides["crm"]
    [twin] = crm.alive("note")
    crm.remove(twin)
    rest(world)
    twin.deleted = False
    crm.open(twin)
    rest(world)
    world.sides["mail"].mark(record, True)
    rest(world)
    assert [one.id for one in crm.alive("note")] == [twin.id]


def test_a_restored_record_goes_on_by_itself_or_is_at_least_not_brought_back_as_new() -> None:
    """The link of a severed pair ends when both ends are gone: here one end is back."""
    world = calm()
    twin = world.sides["crm"].create("note", {"title": "v1", "text": "v1", "where": "v1", "tags": ()})
    rest(world)
    [event] = world.sides["mail"].alive("note")
    world.sides["crm"].remove(twin)
    rest(world)
    twin.deleted = False
    world.sides["crm"].open(twin)
    rest(world)
    world.sides["mail"].remove(event)
    rest(world)
    world.sides["crm"].edit(twin, {"text": "v2"})
    rest(world)
    assert world.sides["mail"].alive("note") == []


def test_waiting_for_an_organiser_who_never_saves_ends_when_the_meeting_is_long_over() -> None:
    pair = Pair()
    a = pair.ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")], marked=False)
    pair.ann.unsync(a)
    pair.bob.event("Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted"), CORA])
    pair.rest()
    pair.time += timedelta(days=60)
    pair.rest()
    pair.time += timedelta(minutes=20)
    pair.bob.session()
    assert [delay for _, delay in pair.bob.rings if delay == 900.0] == []


def test_a_deletion_waits_for_a_claim_no_longer_than_it_must() -> None:
    """A follower's record is deleted in the CRM while the meeting moves: nobody makes it again, so nobody waits for ever."""
    pair = Pair()
    ann_copy = pair.ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")])
    b = pair.bob.event("Talk", "u1", own=False, organizer="ann@home.example", people=[("ann@home.example", "accepted"), CORA])
    pair.rest()
    pair.crm.edit(pair.records()[0], {"people": ("003x",)})
    pair.rest()
    pair.time += timedelta(minutes=16)
    pair.rest()
    assert [one.follows for one in pair.bob.links()] == [True]
    pair.ann.mail.edit(ann_copy, {"location": "Room 9"})
    pair.rest(pair.ann)
    pair.bob.mail.edit(b, {"location": "Room 9"})
    pair.crm.remove(pair.records()[0])
    pair.rest(pair.ann)
    for _ in range(6):
        pair.rest(pair.bob, times=1)
        pair.time += timedelta(minutes=20)
    pair.bob.session()
    assert "waiting.organizer" not in [one["code"] for one in pair.bob.held()]


def test_what_waits_when_an_event_is_deleted_is_no_reason_to_make_it_anew() -> None:
    """Profile "never": a change from Salesforce never reaches a meeting, so it is no edit that beats its deletion."""
    pair = Pair(meeting_changes="never")
    a = pair.ann.event("Talk", "u1", people=[CORA])
    pair.rest(pair.ann)
    pair.crm.edit(pair.records()[0], {"subject": "Our name for it"})
    pair.rest(pair.ann)
    pair.ann.mail.remove(a)
    pair.rest(pair.ann)
    assert pair.ann.mail.alive("event") == []
