"""Invitees of events in the Salesforce stand-in: EventRelation, child events, resources, changes of owner."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.salesforce_world import Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)
pytestmark = pytest.mark.usefixtures("monday")
TIMED = {"Subject": "Review", "StartDateTime": "2094-03-01T09:00:00Z", "EndDateTime": "2094-03-01T10:00:00Z"}
GROUP = ("IsGroupEvent", "GroupEventType")


def shown(org: Served, event: str, *fields: str) -> tuple[Any, ...]:
    row = org.get(f"/sobjects/Event/{event}", fields=",".join(fields))
    return tuple(row[field] for field in fields)


def children(org: Served) -> list[str]:
    return [row["Id"] for row in org.query("SELECT Id FROM Event WHERE IsChild = true ORDER BY Id")]


def invited(org: Served, event: str) -> set[str]:
    return {row["RelationId"] for row in org.query(f"SELECT RelationId FROM EventRelation WHERE EventId IN ('{event}')")}


@pytest.fixture
def meeting(org: Served) -> str:
    return org.make("Event", **TIMED)


def test_an_invited_user_gets_a_child_event(org: Served, meeting: str) -> None:
    made = org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    [child] = children(org)
    told = ("Subject", "StartDateTime", "EndDateTime", "IsChild", "OwnerId", "CreatedById", *GROUP)
    assert shown(org, child, *told) == (
        "Review", "2094-03-01T09:00:00.000+0000", "2094-03-01T10:00:00.000+0000", True, org.ben, org.anna, True, "1",
    )  # fmt: skip
    assert shown(org, meeting, "IsChild", *GROUP) == (False, True, "1")
    row = org.get(f"/sobjects/EventRelation/{made}", fields="Status,EventId,RespondedDate,Response")
    assert (row["Status"], row["EventId"], row["RespondedDate"], row["Response"]) == ("New", meeting, None, None)


def test_contacts_and_leads_are_invited_without_a_child(org: Served, meeting: str) -> None:
    contact, lead = org.make("Contact", LastName="Adler"), org.make("Lead", LastName="Lind", Company="Lind AG")
    for person in (contact, lead):
        org.make("EventRelation", EventId=meeting, RelationId=person, Status="Accepted")
    rows = org.query(f"SELECT Relation.Type, Relation.Name, Status FROM EventRelation WHERE EventId = '{meeting}' ORDER BY Id")
    assert [(row["Relation"]["Type"], row["Relation"]["Name"], row["Status"]) for row in rows] == [
        ("Contact", "Adler", "Accepted"),
        ("Lead", "Lind", "Accepted"),
    ]
    assert children(org) == [] and shown(org, meeting, *GROUP) == (True, "1")


def test_a_child_follows_its_parent(org: Served, meeting: str) -> None:
    org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    [child] = children(org)
    account = org.make("Account", Name="Acme")
    changes = {"Subject": "New", "StartDateTime": "2094-03-02T11:00:00Z", "Location": "Vienna", "WhatId": account}
    before = shown(org, child, "SystemModstamp")
    org.world.clock.advance(5)
    org.call("PATCH", f"/sobjects/Event/{meeting}", json=changes)
    told = ("Subject", "StartDateTime", "EndDateTime", "EndDate", "Location", "WhatId", "AccountId")
    assert shown(org, child, *told) == shown(org, meeting, *told)
    assert shown(org, child, "Subject", "OwnerId", "IsChild") == ("New", org.ben, True)
    assert shown(org, child, "SystemModstamp") > before


def test_of_a_child_only_the_reminder_can_be_changed(org: Served, meeting: str) -> None:
    org.org.add_key_field("Mailspan_Key__c")
    org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    [child] = children(org)
    for changes in ({"Subject": "Mine"}, {"OwnerId": org.anna}, {"Mailspan_Key__c": "abc"}, {"DurationInMinutes": 15}):
        refusal = org.refusal("PATCH", f"/sobjects/Event/{child}", json=changes)
        assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION"), changes
    reminder = {"IsReminderSet": True, "ReminderDateTime": "2094-03-01T08:45:00Z"}
    assert org.call("PATCH", f"/sobjects/Event/{child}", json=reminder).status_code == 204
    assert shown(org, child, "IsReminderSet", "Subject") == (True, "Review")
    assert shown(org, meeting, "IsReminderSet") == (False,)


def test_a_child_has_no_invitees(org: Served, meeting: str) -> None:
    org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    [child] = children(org)
    contact = org.make("Contact", LastName="Adler")
    refusal = org.refusal("POST", "/sobjects/EventRelation", json={"EventId": child, "RelationId": contact})
    assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")


def test_who_asks_for_the_relations_of_a_child_is_told_those_of_its_parent(org: Served, meeting: str) -> None:
    other = org.make("Event", **TIMED)
    for event in (meeting, other):
        org.make("EventRelation", EventId=event, RelationId=org.ben)
    first, _ = children(org)
    rows = org.query(f"SELECT EventId, RelationId FROM EventRelation WHERE EventId = '{first}'")
    assert [(row["EventId"], row["RelationId"]) for row in rows] == [(meeting, org.ben)]


def test_without_the_invitation_the_child_is_gone(org: Served, meeting: str) -> None:
    contact = org.make("Contact", LastName="Adler")
    user, other = (org.make("EventRelation", EventId=meeting, RelationId=one) for one in (org.ben, contact))
    [child] = children(org)
    org.call("DELETE", f"/sobjects/EventRelation/{user}")
    assert children(org) == [] and shown(org, meeting, *GROUP) == (True, "1")
    [row] = org.get("/queryAll", q="SELECT Id, IsDeleted FROM Event WHERE IsChild = true")["records"]
    assert (row["Id"], row["IsDeleted"]) == (child, True)
    org.call("DELETE", f"/sobjects/EventRelation/{other}")
    assert shown(org, meeting, *GROUP) == (False, "0")


def test_a_deleted_parent_takes_all_with_it_and_brings_all_back(org: Served, meeting: str) -> None:
    org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    [child] = children(org)
    org.call("DELETE", f"/sobjects/Event/{meeting}")
    assert org.query("SELECT Id FROM Event") == [] and org.query("SELECT Id FROM EventRelation") == []
    rows = org.get("/queryAll", q="SELECT Id FROM Event WHERE IsDeleted = true")["records"]
    assert {row["Id"] for row in rows} == {meeting, child}
    org.org.records.undelete("Event", meeting, org.anna)
    assert children(org) == [child] and invited(org, meeting) == {org.ben}
    assert shown(org, meeting, *GROUP) == (True, "1")


@pytest.mark.parametrize(("switch", "left"), [("uninvites", []), ("declines", ["Declined"])])
def test_what_deleting_a_child_means_is_a_switch(org: Served, meeting: str, switch: str, left: list[str]) -> None:
    org.world.switches["salesforce.child_deleted"] = switch
    org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    [child] = children(org)
    assert org.call("DELETE", f"/sobjects/Event/{child}").status_code == 204
    assert [row["Status"] for row in org.query("SELECT Status FROM EventRelation")] == left
    assert shown(org, meeting, "Subject") == ("Review",)


def test_a_status_is_answered_and_who_is_invited_to_what_is_fixed(org: Served, meeting: str) -> None:
    made = org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    path = f"/sobjects/EventRelation/{made}"
    for status in ("Accepted", "Declined", "Maybe", "Uninvited", "New"):
        body = {"Status": status, "RespondedDate": "2094-02-01T08:00:00Z", "Response": "by mail"}
        assert org.call("PATCH", path, json=body).status_code == 204
        assert org.get(path, fields="Status")["Status"] == status
    assert org.refusal("PATCH", path, json={"Status": "Tentative"})[1] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert org.refusal("PATCH", path, json={"RelationId": org.anna})[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_nobody_is_invited_twice(org: Served, meeting: str) -> None:
    org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    refusal = org.refusal("POST", "/sobjects/EventRelation", json={"EventId": meeting, "RelationId": org.ben})
    assert refusal[:2] == (400, "DUPLICATE_VALUE") and refusal[2].endswith("on record with id: <unknown>")
    assert len(children(org)) == 1


@pytest.mark.parametrize(("allowed", "status"), [(False, 400), (True, 201)])
def test_whether_an_owner_can_be_invited_is_a_switch(org: Served, meeting: str, allowed: bool, status: int) -> None:
    org.world.switches["salesforce.owner_may_be_invited"] = allowed
    body = {"EventId": meeting, "RelationId": org.anna}
    assert org.call("POST", "/sobjects/EventRelation", json=body).status_code == status


@pytest.mark.parametrize("touches", [False, True])
def test_whether_a_status_moves_the_stamp_of_its_event_is_a_switch(org: Served, meeting: str, touches: bool) -> None:
    org.world.switches["salesforce.invitee_touches_event"] = touches
    made = org.make("EventRelation", EventId=meeting, RelationId=org.ben)
    before = shown(org, meeting, "SystemModstamp", "LastModifiedDate")
    org.world.clock.advance(5)
    org.call("PATCH", f"/sobjects/EventRelation/{made}", json={"Status": "Accepted"})
    after = shown(org, meeting, "SystemModstamp", "LastModifiedDate")
    assert (after[0] > before[0], after[1] == before[1]) == (touches, True)


def test_an_event_given_to_an_invitee_has_them_as_owner_only(org: Served, meeting: str) -> None:
    carl = org.org.add_user("carl@acme.example.com", "Carl", "Cross", "carl@acme.example.com")
    for person in (org.ben, carl):
        org.make("EventRelation", EventId=meeting, RelationId=person)
    org.call("PATCH", f"/sobjects/Event/{meeting}", json={"OwnerId": org.ben})
    assert invited(org, meeting) == {carl}
    owners = [(row["OwnerId"], row["IsChild"]) for row in org.query("SELECT OwnerId, IsChild FROM Event ORDER BY IsChild")]
    assert owners == [(org.ben, False), (carl, True)]


def test_a_resource_is_available_and_accepts(org: Served, meeting: str) -> None:
    room, fairs = org.org.add_calendar("Room 1", "Resource"), org.org.add_calendar("Fairs")
    made = org.make("EventRelation", EventId=meeting, RelationId=room)
    assert org.get(f"/sobjects/EventRelation/{made}", fields="Status")["Status"] == "Accepted"
    overlapping = org.make("Event", **{**TIMED, "StartDateTime": "2094-03-01T09:30:00Z"})
    later = org.make("Event", Subject="Later", StartDateTime="2094-03-01T10:00:00Z", DurationInMinutes=30)
    for event, relation in ((overlapping, room), (later, fairs)):
        refusal = org.refusal("POST", "/sobjects/EventRelation", json={"EventId": event, "RelationId": relation})
        assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")
    assert org.call("POST", "/sobjects/EventRelation", json={"EventId": later, "RelationId": room}).status_code == 201
    assert children(org) == []


def test_a_series_has_100_invitees_at_most(org: Served) -> None:
    org.world.switches["salesforce.series_occurrences"] = 2
    event = org.make("Event", **TIMED, Recurrence2PatternText="FREQ=DAILY;COUNT=2")
    people = [org.org.records.create("Contact", {"LastName": f"C{n}"}, org.anna) for n in range(101)]
    rows = [{"attributes": {"type": "EventRelation"}, "EventId": event, "RelationId": person} for person in people]
    answers = org.call("POST", "/composite/sobjects", json={"records": rows}).json()
    assert [answer["success"] for answer in answers] == [True] * 100 + [False]
    assert answers[100]["errors"][0]["statusCode"] == "FIELD_INTEGRITY_EXCEPTION"
