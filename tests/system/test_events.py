"""Events of a Microsoft 365 calendar and of Salesforce in step, both ways, with the key field and without it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox.frame import FaultRule
from tests.system.diary import Diary, contact, events, only, outbox, rules, utc, wall, with_key_field
from tests.system.stage import Stage, mail


@pytest.fixture(params=["key", "lookup"])
def ann(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Diary]:
    """One connected mailbox, its first session behind it."""
    stage.users("ann")
    if request.param == "key":
        with_key_field(stage)
    stage.sessions("ann")
    stage.wire.poll()
    stage.advance(61)
    yield Diary(stage, "ann")


def test_a_marked_event_arrives_and_edits_cross_both_ways(stage: Stage, ann: Diary) -> None:
    made = ann.make("Talk", marked=True, location={"displayName": "Room 7"}, showAs="tentative")
    ann.step()
    record = only(stage)
    assert (record["Subject"], record["Location"], record["ShowAs"]) == ("Talk", "Room 7", "Busy")
    assert (record["StartDateTime"], record["EndDateTime"]) == tuple(
        one.replace("Z", "+0000") for one in (utc(ann.at(24)), utc(ann.at(25)))
    )
    assert record["OwnerId"] == ann.user
    ann.change(made, subject="Long talk", end=wall(ann.at(26)))
    ann.step()
    assert (only(stage)["Subject"], only(stage)["EndDateTime"][:13]) == ("Long talk", utc(ann.at(26))[:13])
    ann.edit(record["Id"], Subject="Better talk", Location="Room 9")
    ann.step()
    found = ann.event(made)
    assert (found.details.subject, found.details.locations[0]["displayName"]) == ("Better talk", "Room 9")
    assert found.own.show_as == "tentative"
    assert outbox(stage) == []


def test_a_record_made_in_salesforce_comes_down_with_the_mark(stage: Stage, ann: Diary) -> None:
    record = ann.record("Lunch", 30, Location="Canteen", Description="Bring the plan.")
    ann.step()
    [event] = ann.all()
    assert (event.details.subject, event.own.categories) == ("Lunch", ("Salesforce",))
    assert "Bring the plan." in event.details.html
    ann.change(event.shown_id(True), subject="Late lunch")
    ann.step()
    assert [(row["Id"], row["Subject"]) for row in events(stage)] == [(record, "Late lunch")]
    assert list(rules(stage, "ann")).count("saved.crm") == 1


def test_what_nobody_marked_stays_where_it_is(stage: Stage, ann: Diary) -> None:
    ann.make("Dentist")
    ann.make("Secret", sensitivity="private", marked=True)
    ann.step()
    assert [(row["Subject"], row["IsPrivate"]) for row in events(stage)] == [("Secret", True)]
    assert "skipped.auto_off" in list(rules(stage, "ann"))


def test_what_we_made_goes_with_the_event_and_what_stood_before_stays(stage: Stage, ann: Diary) -> None:
    ours, foreign = ann.make("Ours", 24, marked=True), ann.make("Theirs", 48)
    record = ann.record("Theirs", 48)
    ann.mark(foreign, "Salesforce")
    ann.step()
    assert sorted(row["Subject"] for row in events(stage)) == ["Ours", "Theirs"]
    ann.delete(ours)
    ann.delete(foreign)
    ann.step()
    assert [row["Id"] for row in events(stage)] == [record]
    assert {"deleted.mail", "deleted.mail.not_ours"} <= set(rules(stage, "ann"))


def test_a_record_deleted_in_salesforce_leaves_the_event_without_its_mark(stage: Stage, ann: Diary) -> None:
    made = ann.make("Talk", categories=["Salesforce", "Blue"])
    ann.step()
    ann.remove(only(stage)["Id"])
    for _ in range(3):
        ann.step()
    assert ann.event(made).own.categories == ("Blue",)
    assert events(stage) == []
    ann.mark(made, "Blue", "Salesforce")
    ann.step()
    assert only(stage)["Subject"] == "Talk"


def test_unsync_deletes_what_we_made_and_a_mark_brings_it_back(stage: Stage, ann: Diary) -> None:
    made = ann.make("Talk", marked=True)
    ann.step()
    ann.mark(made, "Salesforce", "Salesforce Unsync")
    ann.step()
    assert events(stage) == []
    ann.step()
    assert events(stage) == []
    ann.mark(made, "Salesforce")
    ann.step()
    assert only(stage)["Subject"] == "Talk"


def test_an_event_without_its_mark_rests_and_goes_on_with_it(stage: Stage, ann: Diary) -> None:
    made = ann.make("Talk", marked=True)
    ann.step()
    ann.mark(made)
    ann.step()
    ann.change(made, subject="Changed")
    ann.edit(only(stage)["Id"], Location="Room 9")
    ann.step()
    assert (only(stage)["Subject"], ann.event(made).details.subject) == ("Talk", "Changed")
    ann.mark(made, "Salesforce")
    ann.step()
    assert (only(stage)["Subject"], only(stage)["Location"]) == ("Changed", "Room 9")
    assert ann.event(made).details.locations[0]["displayName"] == "Room 9"


def test_two_more_sessions_write_nothing_and_an_idle_one_costs_two_requests(stage: Stage, ann: Diary) -> None:
    ann.make("Talk", marked=True)
    ann.record("Lunch", 30)
    ann.step()
    for _ in range(2):
        ann.step()
    stage.world.calls.clear()
    report = stage.session("ann")
    assert (report.result, report.found) == ("ok", 0)
    print(stage.world.calls.snapshot())
    assert stage.world.calls.http["microsoft"] == 2
    assert stage.calls("salesforce") == 0


def test_a_meeting_brings_its_people_and_their_account(stage: Stage, ann: Diary) -> None:
    person = contact(stage, "cora@customer.test")
    made = ann.make("Review", attendees=["cora@customer.test", "nobody@elsewhere.test"])
    outbox(stage)
    ann.step()
    record = only(stage)
    assert record["WhoId"][:15] == person[:15]
    assert record["WhatId"]
    assert list(rules(stage, "ann")) == ["saved.auto"]
    ann.change(made, attendees=[])
    outbox(stage)
    ann.step()
    assert only(stage)["WhoId"] is None
    assert outbox(stage) == []


def test_a_change_of_a_meeting_waits_for_its_organiser(stage: Stage, ann: Diary) -> None:
    contact(stage, "cora@customer.test")
    made = ann.make("Review", attendees=["cora@customer.test"])
    ann.step()
    outbox(stage)
    ann.edit(only(stage)["Id"], Subject="Moved review", ShowAs="Free")
    ann.step()
    assert (ann.event(made).details.subject, ann.event(made).own.show_as) == ("Review", "free")
    assert "held.approval" in list(rules(stage, "ann"))
    assert outbox(stage) == []


def test_a_whole_day_stays_a_whole_day_on_both_sides(stage: Stage, ann: Diary) -> None:
    day, following = ann.at(48).date().isoformat(), ann.at(72).date().isoformat()
    times = {"start": {"dateTime": day, "timeZone": "UTC"}, "end": {"dateTime": following, "timeZone": "UTC"}}
    made = ann.make("Holiday", marked=True, isAllDay=True, **times)
    ann.step()
    assert (only(stage)["IsAllDayEvent"], only(stage)["StartDateTime"][:10]) == (True, day)
    ann.edit(only(stage)["Id"], Subject="Long holiday")
    ann.step()
    found = ann.event(made).details
    assert (found.subject, found.is_all_day, found.start.date().isoformat()) == ("Long holiday", True, day)


def test_the_occurrences_of_a_series_in_the_window_become_single_records(stage: Stage, ann: Diary) -> None:
    start = ann.at(24)
    pattern = {"type": "daily", "interval": 1}
    span = {"type": "numbered", "startDate": start.date().isoformat(), "numberOfOccurrences": 5}
    series = ann.make("Stand-up", 24, marked=True, recurrence={"pattern": pattern, "range": span})
    ann.step()
    assert [row["Subject"] for row in events(stage)] == ["Stand-up"] * 5
    assert len({row["StartDateTime"] for row in events(stage)}) == 5
    calendar = stage.mailbox("ann").calendar
    second = stage.do(lambda: calendar.occurrence(series, ann.at(48).date()))
    ann.change(second, subject="Special")
    third = stage.do(lambda: calendar.occurrence(series, ann.at(72).date()))
    ann.delete(third)
    ann.step()
    assert sorted(row["Subject"] for row in events(stage)) == ["Special", "Stand-up", "Stand-up", "Stand-up"]
    special = next(row for row in events(stage) if row["Subject"] == "Special")
    ann.edit(special["Id"], Location="Room 9")
    ann.step()
    [moved] = [one for one in stage.do(lambda: calendar.view(ann.at(0), ann.at(200))) if one.details.subject == "Special"]
    assert moved.details.locations[0]["displayName"] == "Room 9"
    ann.delete(series)
    ann.step()
    assert events(stage) == []


def test_an_event_that_is_not_finished_stops_neither_mail_nor_events(stage: Stage, ann: Diary) -> None:
    """Its rows stand among those of unfinished mails."""
    contact(stage, "cora@customer.test")
    made = ann.make("Talk", marked=True)
    ann.step()
    stage.world.rules.append(FaultRule("salesforce", "drop_after", match="composite"))
    ann.change(made, subject="Long talk")
    stage.advance(61)
    assert stage.session("ann").result != "ok"
    stage.deliver("ann", mail(1), categories=["Salesforce"])
    for _ in range(2):
        stage.advance(120)
        ann.step()
    assert len(stage.saved()) == 1
    assert only(stage)["Subject"] == "Long talk"


def test_an_org_without_events_is_polled_for_mail_all_the_same(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.users("ann")
    stage.do(lambda: stage.salesforce.records.schema._objects.pop("event"))
    caplog.set_level("INFO", "mailspan")
    for _ in range(3):
        stage.advance(61)
        stage.wire.poll()
    polls = [json.loads(one.message) for one in caplog.records if '"poll"' in one.message]
    assert [one["result"] for one in polls] == ["ok", "ok", "ok"]
