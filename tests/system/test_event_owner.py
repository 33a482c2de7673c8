"""An event that is given to another Salesforce user (behaviour.md C9): the first mailbox keeps its item, unshared; the second
user's mailbox gets one of its own."""

from __future__ import annotations

import pytest

from tests.system.diary import Diary, contact, events, only, outbox, rules, with_key_field
from tests.system.stage import HOME, Stage

Two = tuple[Diary, Diary]


@pytest.fixture(params=["key, first owner first", "lookup, new owner first"])
def two(request: pytest.FixtureRequest, memory_stage: Stage) -> Two:
    """Ann and Bob, both connected to one org that is polled as a whole."""
    stage = memory_stage
    stage.users("ann", "bob")
    if request.param.startswith("key"):
        with_key_field(stage)
    for name in ("ann", "bob"):
        stage.sessions(name)
    stage.wire.poll()
    stage.advance(61)
    ann, bob = Diary(stage, "ann"), Diary(stage, "bob")
    ann.order, bob.order = (0, 1) if request.param.startswith("key") else (1, 0)
    return ann, bob


def step(two: Two) -> None:
    """Everybody's sessions, twice, so that what one of them does is told to the others."""
    for _ in range(2):
        for diary in sorted(two, key=lambda one: one.order):
            diary.step()


def shown(diary: Diary) -> list[tuple[str, tuple[str, ...]]]:
    return sorted((one.details.subject, one.own.categories) for one in diary.all())


@pytest.mark.parametrize("made_in", ["mailbox", "salesforce"])
def test_it_leaves_the_first_mailbox_unshared_and_reaches_the_second(two: Two, made_in: str) -> None:
    ann, bob = two
    if made_in == "mailbox":
        ann.make("Talk", marked=True)
    else:
        ann.record("Talk")
    step(two)
    record = only(ann.stage)["Id"]
    ann.give(record, "bob")
    step(two)
    assert shown(ann) == [("Talk", ())]
    assert shown(bob) == [("Talk", ("Salesforce",))]
    assert list(rules(ann.stage, "ann")).count("severed.owner") == 1
    assert [row["Id"] for row in events(ann.stage)] == [record]
    [mine], [theirs] = ann.all(), bob.all()
    ann.change(mine.shown_id(True), subject="Only here")
    bob.change(theirs.shown_id(True), subject="Bob's talk")
    step(two)
    assert (shown(ann), only(ann.stage)["Subject"]) == ([("Only here", ())], "Bob's talk")
    bob.edit(record, Location="Room 9")
    step(two)
    assert [one.details.locations[0]["displayName"] for one in bob.all()] == ["Room 9"]
    assert [one.details.locations for one in ann.all()] == [()]
    ann.delete(mine.shown_id(True))
    step(two)
    assert [row["Id"] for row in events(ann.stage)] == [record]
    assert outbox(ann.stage) == []


def test_a_meeting_is_unshared_without_a_word_to_its_people(two: Two) -> None:
    ann, bob = two
    contact(ann.stage, "cora@customer.test")
    made = ann.make("Review", attendees=["cora@customer.test"], isOnlineMeeting=True)
    step(two)
    outbox(ann.stage)
    ann.give(only(ann.stage)["Id"], "bob")
    step(two)
    assert outbox(ann.stage) == []
    assert ann.event(made).details.join_url
    assert [one.details.attendees for one in bob.all()] == [()]
    assert len(events(ann.stage)) == 1


def test_a_meeting_that_the_new_owner_holds_already_stays_with_both(two: Two) -> None:
    ann, bob = two
    contact(ann.stage, "cora@customer.test")
    made = ann.make("Review", attendees=["cora@customer.test", f"bob@{HOME}"], marked=True)
    [copy] = bob.all()
    bob.act(lambda calendar: calendar.respond(copy.shown_id(True), "accepted"))
    bob.mark(copy.shown_id(True), "Salesforce")
    step(two)
    bob.step(901)  # an attendee's mailbox waits for the organiser's
    record = only(ann.stage)["Id"]
    ann.give(record, "bob")
    step(two)
    assert "severed.owner" not in [*rules(ann.stage, "ann"), *rules(ann.stage, "bob")]
    assert (len(ann.all()), len(bob.all())) == (1, 1)
    ann.change(made, subject="Long review")
    step(two)
    assert [(row["Id"], row["Subject"]) for row in events(ann.stage)] == [(record, "Long review")]


def test_it_goes_on_where_it_is_given_back(two: Two) -> None:
    ann, bob = two
    made = ann.make("Talk", marked=True)
    step(two)
    record = only(ann.stage)["Id"]
    ann.give(record, "bob")
    step(two)
    ann.give(record, "ann")
    step(two)
    assert shown(bob) == [("Talk", ())]
    ann.change(made, subject="Long talk")
    step(two)
    assert [(row["Id"], row["Subject"]) for row in events(ann.stage)] == [(record, "Long talk")]
    assert shown(bob) == [("Talk", ())]


def test_marked_again_by_hand_it_gets_a_record_of_its_own(two: Two) -> None:
    ann, bob = two
    made = ann.make("Talk", marked=True)
    step(two)
    record = only(ann.stage)["Id"]
    ann.give(record, "bob")
    step(two)
    ann.mark(made, "Salesforce")
    step(two)
    owners = {row["Id"]: row["OwnerId"] for row in events(ann.stage)}
    assert len(owners) == 2
    assert owners.pop(record) == bob.user
    assert list(owners.values()) == [ann.user]


def test_somebody_without_a_mailbox_may_have_it_too(two: Two) -> None:
    ann, _ = two
    ann.make("Talk", marked=True)
    step(two)
    ann.edit(only(ann.stage)["Id"], OwnerId=ann.stage.salesforce.admin_id)
    step(two)
    assert shown(ann) == [("Talk", ())]
    assert len(events(ann.stage)) == 1


def test_a_deletion_in_the_mailbox_after_it_was_given_away_deletes_nothing(two: Two) -> None:
    ann, bob = two
    made = ann.make("Talk", marked=True)
    step(two)
    ann.give(only(ann.stage)["Id"], "bob")
    ann.delete(made)
    step(two)
    assert len(events(ann.stage)) == 1
    assert shown(bob) == [("Talk", ("Salesforce",))]


@pytest.mark.parametrize("made_in", ["mailbox", "salesforce"])
def test_a_record_that_is_hidden_from_its_first_owner_takes_nothing_with_it(two: Two, made_in: str) -> None:
    """Where events are not shared, who gives one away is answered nothing of it any more. That is no deletion: nothing goes
    from the mailbox, and nothing is made anew."""
    ann, bob = two
    stage = ann.stage
    if made_in == "mailbox":
        ann.make("Talk", marked=True)
    else:
        ann.record("Talk")
    step(two)
    record = only(stage)["Id"]
    stage.world.switches["salesforce.own_events_only"] = (ann.user, bob.user)
    ann.give(record, "bob")
    step(two)
    [mine] = ann.all()
    assert shown(bob) == [("Talk", ("Salesforce",))]
    ann.change(mine.shown_id(True), subject="Ann's talk")
    step(two)
    bob.edit(record, Location="Room 9")
    step(two)
    assert [(row["Id"], row["Subject"], row["Location"]) for row in events(stage)] == [(record, "Talk", "Room 9")]
    assert [one.details.subject for one in ann.all()] == ["Ann's talk"]
    assert not {"deleted.crm", "edit_beats_delete.crm"} & set(rules(stage, "ann"))
    assert "refused.not_visible" in list(rules(stage, "ann"))
    ann.delete(mine.shown_id(True))
    step(two)
    stage.advance(7 * 3600)
    step(two)
    assert [row["Id"] for row in events(stage)] == [record]
    assert len(bob.all()) == 1


def test_a_record_that_is_shown_again_is_in_step_again(two: Two) -> None:
    ann, _ = two
    stage = ann.stage
    made = ann.make("Talk", marked=True)
    step(two)
    record = only(stage)["Id"]
    stage.world.switches["salesforce.own_events_only"] = (ann.user,)
    ann.give(record, "bob")
    ann.step()
    ann.change(made, subject="Long talk")
    ann.step()
    ann.give(record, "ann")
    stage.advance(7 * 3600)
    ann.step()
    assert (only(stage)["Subject"], shown(ann)) == ("Long talk", [("Long talk", ("Salesforce",))])
    ann.edit(record, Location="Room 9")
    ann.step()
    assert ann.event(made).details.locations[0]["displayName"] == "Room 9"
    ann.remove(record)
    ann.step()
    assert shown(ann) == [("Long talk", ())]
