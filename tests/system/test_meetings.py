"""Meetings: online ones keep their join block through edits on both sides; nobody is mailed but by a person's act or word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.diary import Diary, contact, events, only, outbox, rules, utc, wall, with_key_field
from tests.system.stage import Stage

CORA, DAN = "cora@customer.test", "dan@customer.test"


@pytest.fixture
def ann(stage: Stage) -> Iterator[Diary]:
    stage.users("ann")
    with_key_field(stage)
    contact(stage, CORA)
    stage.sessions("ann")
    stage.wire.poll()
    stage.advance(61)
    yield Diary(stage, "ann")


def online(ann: Diary, text: str, **more: Any) -> str:
    body = {"contentType": "html", "content": f"<p>{text}</p>"}
    return ann.make("Review", attendees=[CORA], isOnlineMeeting=True, body=body, location={"displayName": "Room 7"}, **more)


def block(html: str) -> str:
    """The join block with everything below it."""
    return html[html.index('<div class="me-email-text" style="max-width') :]


def patches(stage: Stage) -> int:
    """Requests that wrote to an event at Graph."""
    calls = stage.world.calls.snapshot().get("microsoft", {})
    return sum(n for call, n in calls.items() if "/events" in call and not call.startswith("GET"))


def test_ten_edits_on_both_sides_leave_the_join_block_alone(stage: Stage, ann: Diary) -> None:
    made = online(ann, "Agenda: prices.")
    first = ann.event(made).details
    assert first.join_url
    assert first.join_url.split("?")[0] in block(first.html).replace("&amp;", "&")
    ann.step()
    record = only(stage)["Id"]

    def kept() -> None:
        now, row = ann.event(made).details, only(stage)
        assert now.join_url == first.join_url
        assert block(now.html) == block(first.html)
        assert row["Description"] is None or not any(
            word in row["Description"] for word in ("teams.microsoft.com", "Microsoft Teams", "____", "Meeting ID")
        )
        assert "teams" not in (row["Location"] or "").lower()
        assert stage.unasked() == []

    def person(**fields: Any) -> None:
        ann.change(made, **fields)
        ann.step()
        kept()

    def approved(*waiting: str, **fields: Any) -> None:
        """An edit in Salesforce, which waits and mails nobody; then the organiser's word."""
        ann.step()
        outbox(stage)
        ann.edit(record, **fields)
        ann.step()
        assert ann.waits(made) == sorted(waiting)
        assert outbox(stage) == []
        kept()
        ann.answer(made, "send")
        assert ann.waits(made) == []
        assert [kind for kind, _, _ in outbox(stage)] == ["update"]
        kept()

    kept()
    assert only(stage)["Description"] == "Agenda: prices."
    person(subject="Review of prices")
    approved("subject", Subject="Review of all prices")
    person(start=wall(ann.at(48)), end=wall(ann.at(49)))
    begin, end = utc(ann.at(50)), utc(ann.at(52))
    approved("when", StartDateTime=begin, EndDateTime=end)
    people = [{"emailAddress": {"address": one, "name": one}, "type": "required"} for one in (CORA, DAN)]
    person(attendees=people)
    approved("location", Location="Room 9")
    html = ann.event(made).details.html
    person(body={"contentType": "html", "content": html.replace("Agenda: prices.", "Agenda: all prices.<br>Bring a list.")})
    assert only(stage)["Description"] == "Agenda: all prices.\nBring a list."
    approved("description", Description="What Salesforce says about it.")
    person(attendees=people[:1])
    person(location={"displayName": "Room 10"})
    found, row = ann.event(made).details, only(stage)
    assert (found.subject, found.locations[0]["displayName"]) == ("Review of all prices", "Room 10")
    assert (row["Subject"], row["Location"]) == ("Review of all prices", "Room 10")
    assert "What Salesforce says about it." in found.html
    assert "Bring a list." in found.html  # a text a person wrote is never replaced, ours stands above it
    assert utc(found.begins) == begin
    for _ in range(2):
        ann.step()
    stage.world.calls.clear()
    ann.step()
    assert patches(stage) == 0


def test_a_change_that_is_discarded_gives_salesforce_the_mailbox_s_values(stage: Stage, ann: Diary) -> None:
    made = online(ann, "Agenda.")
    ann.step()
    html = ann.event(made).details.html
    ann.edit(only(stage)["Id"], Subject="Not so", Location="Nowhere", Description="Nothing.")
    ann.step()
    assert ann.waits(made) == ["description", "location", "subject"]
    outbox(stage)
    ann.answer(made, "discard")
    row = only(stage)
    assert (row["Subject"], row["Location"], row["Description"]) == ("Review", "Room 7", "Agenda.")
    assert ann.event(made).details.html == html
    assert outbox(stage) == []


def test_a_meeting_of_somebody_else_is_never_written_but_for_its_marks(stage: Stage, ann: Diary) -> None:
    made = ann.act(
        lambda calendar: calendar.invited(
            "cora@customer.test", "Their review", ann.at(24), ann.at(25), categories=["Salesforce"]
        )
    )
    ann.act(lambda calendar: calendar.respond(made, "accepted"))
    ann.mark(made, "Salesforce")
    ann.step()
    record = only(stage)["Id"]
    stage.world.calls.clear()
    ann.edit(record, Subject="Ours now", ShowAs="Free", Location="Nowhere")
    ann.step()
    ann.step()
    assert patches(stage) == 0
    assert ann.event(made).details.subject == "Their review"
    ann.remove(record)
    ann.step()
    assert patches(stage) == 1
    assert ann.event(made).own.categories == ()


def test_who_is_invited_in_salesforce_is_not_invited_to_the_meeting(stage: Stage, ann: Diary) -> None:
    made = online(ann, "Agenda.")
    ann.step()
    outbox(stage)
    dan = contact(stage, DAN)
    ann.invite(only(stage)["Id"], dan)
    stage.world.calls.clear()
    for _ in range(3):
        ann.step()
    assert patches(stage) == 0
    assert [one.address for one in ann.event(made).details.attendees] == [CORA]
    assert dan in ann.invited(only(stage)["Id"])
    ann.change(made, subject="Long review")
    ann.step()
    assert dan in ann.invited(only(stage)["Id"])


def test_an_event_of_salesforce_comes_down_without_its_invitees(stage: Stage, ann: Diary) -> None:
    record = ann.record("Lunch", 30)
    ann.invite(record, contact(stage, DAN))
    ann.step()
    [event] = ann.all()
    assert (event.details.subject, event.details.attendees) == ("Lunch", ())


@pytest.mark.parametrize("mails", [False, True], ids=["private patches are silent", "private patches mail"])
def test_a_meeting_is_patched_by_itself_only_to_take_its_mark_off(stage: Stage, ann: Diary, mails: bool) -> None:
    """What the mark costs where the vendor mails attendees even for what only the organiser sees: one update, when its record
    is deleted; and one for a change of `show_as`. Nothing else is written to a meeting without a person's word."""
    stage.world.switches["microsoft.private_patch_mails"] = mails
    auto, marked = online(ann, "By itself."), ann.make("By hand", 48, attendees=[CORA], marked=True)
    stage.world.calls.clear()
    ann.step()
    assert len(events(stage)) == 2
    for made in (auto, marked):
        ann.change(made, subject="Changed", location={"displayName": "Room 8"})
    ann.step()
    for row in events(stage):
        ann.edit(row["Id"], Subject="Changed here", Location="Room 9", Description="Held.", IsPrivate=False)
    ann.step()
    assert patches(stage) == 0
    assert stage.unasked() == []
    for row in events(stage):
        ann.remove(row["Id"])
    for _ in range(3):
        ann.step()
    assert patches(stage) == 1  # the one that bore our mark
    assert (ann.event(auto).own.categories, ann.event(marked).own.categories) == ((), ())
    assert [(mail["kind"], mail["to"]) for mail in stage.unasked()] == ([("update", [CORA])] if mails else [])
    stage.caused += stage.unasked()
    assert "deleted.crm" in list(rules(stage, "ann"))


@pytest.mark.parametrize("mails", [False, True], ids=["private patches are silent", "private patches mail"])
def test_how_a_meeting_shows_is_written_to_it_alone(stage: Stage, ann: Diary, mails: bool) -> None:
    stage.world.switches["microsoft.private_patch_mails"] = mails
    made = online(ann, "By itself.")
    ann.step()
    stage.world.calls.clear()
    ann.edit(only(stage)["Id"], ShowAs="OutOfOffice", Subject="Held")
    ann.step()
    assert patches(stage) == 1
    assert (ann.event(made).own.show_as, ann.event(made).details.subject) == ("oof", "Review")
    assert len(stage.unasked()) == mails
    stage.caused += stage.unasked()


def test_a_mail_that_nobody_caused_is_found(stage: Stage, ann: Diary) -> None:
    made = online(ann, "By itself.")
    stage.do(lambda: stage.mailbox("ann").calendar.update(made, {"subject": "Behind everybody's back"}))
    assert [mail["kind"] for mail in stage.unasked()] == ["update"]
    stage.caused += stage.unasked()


def test_a_room_is_told_of_no_change_nobody_asked_for(stage: Stage, ann: Diary) -> None:
    room = {"emailAddress": {"address": "room7@home.example", "name": "Room 7"}, "type": "resource"}
    made = ann.make("Talk", marked=True)
    ann.change(made, attendees=[room])
    ann.step()
    outbox(stage)
    ann.edit(only(stage)["Id"], Subject="Moved talk")
    ann.step()
    assert outbox(stage) == []
    assert ann.waits(made) == ["subject"]


WITH_ADDRESS = "Agenda\nJoin: https://zoom.us/j/123456\nNotes: bring the plan"


def test_a_description_with_an_address_to_join_at_comes_down_and_stays_whole(stage: Stage, ann: Diary) -> None:
    ann.record("Call", 30, Description=WITH_ADDRESS)
    for _ in range(4):
        ann.step()
    stage.advance(7 * 3600)
    for _ in range(3):
        ann.step()
    assert only(stage)["Description"] == WITH_ADDRESS
    assert len(ann.all()) == 1


def test_a_description_edited_to_hold_an_address_to_join_at_stays_whole(stage: Stage, ann: Diary) -> None:
    record = ann.record("Call", 30, Description="Agenda")
    ann.step()
    ann.edit(record, Description=WITH_ADDRESS)
    ann.step()
    [event] = ann.all()
    ann.change(event.shown_id(True), subject="Long call")  # the event is looked at again
    ann.step()
    assert (only(stage)["Subject"], only(stage)["Description"]) == ("Long call", WITH_ADDRESS)
