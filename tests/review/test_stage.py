from __future__ import annotations

import pytest

from tests.system.diary import Diary, contact, events, only, outbox, rules, with_key_field
from tests.system.stage import SCOPES, APP, Stage, address_of, mail
from tests.system.conftest import *  # noqa: F403


def diary(stage: Stage, *names: str, **settings: object) -> Diary:
    stage.users(*names, **settings)  # type: ignore[arg-type]
    with_key_field(stage)
    for name in names:
        stage.sessions(name)
    stage.wire.poll()
    stage.advance(61)
    return Diary(stage, names[0])


def test_a_room_is_told_of_no_change_nobody_asked_for(stage: Stage) -> None:
    ann = diary(stage, "ann")
    room = {"emailAddress": {"address": "room7@home.example", "name": "Room 7"}, "type": "resource"}
    made = ann._do(lambda calendar: calendar.add({
        "subject": "Talk", "start": {"dateTime": ann.at(24).strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"},
        "end": {"dateTime": ann.at(25).strftime("%Y-%m-%dT%H:%M:%S"), "timeZone": "UTC"}, "attendees": [room], "categories": ["Salesforce"],
    }))
    ann.step()
    outbox(stage)
    ann.edit(only(stage)["Id"], Subject="Moved talk")
    ann.step()
    assert outbox(stage) == [], made


def test_who_gave_no_leave_for_the_calendar_keeps_the_mail_going(stage: Stage) -> None:
    """A mailbox that was connected before there were events."""
    stage.users("ann")
    contact(stage, "cora@customer.test")
    wire = stage.wire
    from datetime import UTC, datetime

    from shared.access.grants import Tokens

    few = tuple(one for one in SCOPES if not one.startswith("Calendars"))
    answer = stage.do(lambda: stage.microsoft.issue_token(address_of("ann"), APP, few))
    wire.grants.keep(stage.key("ann"), "microsoft", Tokens("", wire.settings.microsoft_graph, datetime.now(UTC), answer["refresh_token"]))
    stage.session("ann", "sweep")
    stage.advance(3600)
    stage.deliver("ann", mail(1, at=stage.clock.now()))
    report = stage.session("ann", "sweep")
    assert (report.result, len(stage.saved())) == ("ok", 1)


def test_a_single_event_that_becomes_a_series_is_not_doubled(stage: Stage) -> None:
    ann = diary(stage, "ann")
    ann.record("Lunch", 24)
    ann.step()
    [event] = ann.all()
    start = ann.at(24)
    pattern = {"type": "daily", "interval": 1}
    span = {"type": "numbered", "startDate": start.date().isoformat(), "numberOfOccurrences": 3}
    ann.change(event.shown_id(True), recurrence={"pattern": pattern, "range": span})
    ann.step()
    ann.step()
    starts = [row["StartDateTime"] for row in events(stage)]
    assert len(starts) == len(set(starts)), starts


def test_an_old_event_that_is_cleared_away_takes_no_record_with_it(stage: Stage) -> None:
    ann = diary(stage, "ann")
    made = ann.make("Talk", 1, marked=True)
    ann.step()
    assert len(events(stage)) == 1
    stage.advance(31 * 86400)
    ann.delete(made)  # retention clears what is older than 30 days away
    ann.step()
    assert len(events(stage)) == 1, list(rules(stage, "ann"))


def test_the_owner_of_a_record_changes(stage: Stage) -> None:
    ann = diary(stage, "ann", "bob")
    bob = Diary(stage, "bob")
    made = ann.make("Talk", marked=True)
    ann.step()
    record = only(stage)["Id"]
    ann.edit(record, OwnerId=bob.user)
    bob.step()
    assert len(bob.all()) == 1
    ann.step()
    ann.delete(made)
    ann.step()
    assert [row["Id"] for row in events(stage)] == [record]


def test_what_ann_deleted_and_bob_holds_does_not_come_back(stage: Stage) -> None:
    """The same as in memory, with the real poll."""
    ann = diary(stage, "ann", "bob")
    bob = Diary(stage, "bob")
    cora = stage.do(lambda: stage.microsoft.add_mailbox("cora@customer.test", "Cora"))
    assert cora
    out = Diary(stage, "ann")
    out.name = "cora@customer.test"
    meeting = out.make("Talk", attendees=[address_of("ann"), address_of("bob")])
    for one in (ann, bob):
        [copy] = one.all()
        one.mark(copy.shown_id(True), "Salesforce")
    ann.step()
    bob.step()
    assert len(events(stage)) == 1
    [copy] = ann.all()
    record = only(stage)["Id"]
    ann.delete(copy.shown_id(True))
    ann.step()
    assert "deleted.mail.others_hold" in list(rules(stage, "ann"))
    assert meeting
    bob.edit(record, Location="Room 9")
    ann.step()
    assert [one.details.subject for one in ann.all()] == []


def test_a_new_contact_brings_no_deleted_record_back(stage: Stage) -> None:
    ann = diary(stage, "ann")
    ann.make("Review", attendees=["cora@customer.test"])
    ann.step()
    record = only(stage)["Id"]
    contact(stage, "cora@customer.test")
    ann.remove(record)
    ann.step()
    ann.step()
    assert events(stage) == []


TEXT = "Agenda\nJoin: https://zoom.us/j/123456\nNotes: bring the plan"


def test_a_description_with_an_address_to_join_at_comes_down_and_stays_whole(stage: Stage) -> None:
    ann = diary(stage, "ann")
    ann.record("Call", 30, Description=TEXT)
    for _ in range(4):
        ann.step()
    stage.advance(7 * 3600)
    for _ in range(3):
        ann.step()
    assert [(row["Description"]) for row in events(stage)] == [TEXT]
    assert len(ann.all()) == 1


def test_a_description_edited_to_hold_an_address_to_join_at_stays_whole(stage: Stage) -> None:
    ann = diary(stage, "ann")
    record = ann.record("Call", 30, Description="Agenda")
    ann.step()
    ann.edit(record, Description=TEXT)
    ann.step()
    [event] = ann.all()
    ann.change(event.shown_id(True), subject="Long call")  # the event is looked at again
    ann.step()
    assert [(row["Subject"], row["Description"]) for row in events(stage)] == [("Long call", TEXT)]


@pytest.mark.parametrize("what", ["private", "unsync"])
def test_what_is_out_of_scope_is_no_twin(stage: Stage, what: str) -> None:
    """A record of the same subject and time comes down: what stands in the calendar is out by its own rule."""
    ann = diary(stage, "ann")
    more = {"sensitivity": "private"} if what == "private" else {"categories": ["Salesforce Unsync"]}
    ann.make("Lunch", 24, body={"contentType": "text", "content": "a secret"}, **more)
    ann.step()
    assert events(stage) == []
    ann.record("Lunch", 24)
    ann.step()
    assert [row["Description"] for row in events(stage)] == [None]


def test_a_record_deleted_before_the_poll_told_of_it_lets_go_of_every_holder(stage: Stage) -> None:
    """Ann's session meets the deletion first, because her event changed, and takes the record out of the books."""
    ann = diary(stage, "ann", "bob")
    bob = Diary(stage, "bob")
    stage.do(lambda: stage.microsoft.add_mailbox("cora@customer.test", "Cora"))
    contact(stage, "dora@customer.test")
    out = Diary(stage, "ann")
    out.name = "cora@customer.test"
    meeting = out.make("Talk", attendees=[address_of("ann"), address_of("bob"), "dora@customer.test"])
    for one in (ann, bob):
        [copy] = one.all()
        one.mark(copy.shown_id(True), "Salesforce")
    for one in (ann, bob, ann, bob):
        one.step()
    record = only(stage)["Id"]
    ann.edit(record, Location="Room 3")  # waits at both, for the meeting is nobody's here: both ends are looked at from now on
    for one in (ann, bob):
        one.step()
    ann.remove(record)
    [copy] = ann.all()
    ann.change(copy.shown_id(True), reminderMinutesBeforeStart=5)
    stage.sessions("ann")
    for one in (ann, bob, ann, bob):
        one.step()
    assert meeting
    assert [copy.own.categories for one in (ann, bob) for copy in one.all()] == [(), ()], (list(rules(stage, "ann")), list(rules(stage, "bob")))
