"""Shared Activities in the Salesforce stand-in: several people of one event or task."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.salesforce_world import Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)
pytestmark = pytest.mark.usefixtures("monday")
TIMED = {"Subject": "Review", "StartDateTime": "2094-03-01T09:00:00Z", "EndDateTime": "2094-03-01T10:00:00Z"}
ACTIVITIES = [("Event", "EventWhoIds", "EventRelation", TIMED), ("Task", "TaskWhoIds", "TaskRelation", {"Subject": "Review"})]


@pytest.fixture
def shared(org: Served) -> Served:
    org.org.settings.shared_activities = True
    return org


@pytest.fixture
def people(org: Served) -> list[str]:
    return [org.make("Contact", LastName=last) for last in ("Adler", "Brandt", "Conrad")]


def who(org: Served, event: str, relation: str = "EventRelation") -> list[str]:
    flags = "IsParent = true AND IsWhat = false AND " if relation == "EventRelation" else "IsWhat = false AND "
    rows = org.query(f"SELECT RelationId FROM {relation} WHERE {flags}{relation[:-8]}Id = '{event}' ORDER BY Id")
    return [row["RelationId"] for row in rows]


def primary(org: Served, event: str) -> tuple[Any, Any]:
    row = org.get(f"/sobjects/Event/{event}", fields="WhoId,WhoCount")
    return row["WhoId"], row["WhoCount"]


@pytest.mark.parametrize(("name", "people_list", "relation", "fields"), ACTIVITIES)
def test_without_the_setting_the_lists_are_no_fields(
    org: Served, people: list[str], name: str, people_list: str, relation: str, fields: dict[str, Any]
) -> None:
    refusal = org.refusal("POST", f"/sobjects/{name}", json={**fields, people_list: people})
    assert refusal == (400, "INVALID_FIELD", f"No such column '{people_list}' on sobject of type {name}")
    assert org.call("POST", f"/sobjects/{name}", json={**fields, "WhoId": people[0]}).status_code == 201


@pytest.mark.parametrize("is_shared", [False, True])
def test_without_the_setting_a_relation_has_no_flags(org: Served, people: list[str], is_shared: bool) -> None:
    org.org.settings.shared_activities = is_shared
    made = org.make("Event", **TIMED, WhoId=people[0])
    org.make("EventRelation", EventId=made, RelationId=people[1])
    fields = {one["name"] for one in org.get("/sobjects/EventRelation/describe")["fields"]}
    flags = {"IsParent", "IsInvitee", "IsWhat"}
    assert flags & fields == (flags if is_shared else set())
    if not is_shared:
        soql = "SELECT IsInvitee FROM EventRelation"
        assert org.refusal("GET", "/query", params={"q": soql})[:2] == (400, "INVALID_FIELD")
    assert len(org.query(f"SELECT Id FROM EventRelation WHERE EventId = '{made}'")) == (2 if is_shared else 1)


@pytest.mark.parametrize(("name", "people_list", "relation", "fields"), ACTIVITIES)
def test_the_first_of_the_list_is_the_primary_one(
    shared: Served, people: list[str], name: str, people_list: str, relation: str, fields: dict[str, Any]
) -> None:
    made = shared.make(name, **fields, **{people_list: people})
    row = shared.get(f"/sobjects/{name}/{made}", fields="WhoId,WhoCount,WhatCount")
    assert (row["WhoId"], row["WhoCount"], row["WhatCount"]) == (people[0], 3, 0)
    assert who(shared, made, relation) == people
    shared.call("PATCH", f"/sobjects/{name}/{made}", json={people_list: people[1:]})
    assert shared.get(f"/sobjects/{name}/{made}", fields="WhoId")["WhoId"] == people[1]
    assert who(shared, made, relation) == people[1:]


def test_a_named_person_joins_the_list_as_the_primary_one(shared: Served, people: list[str]) -> None:
    made = shared.make("Event", **TIMED, WhoId=people[2], EventWhoIds=people[:2])
    assert primary(shared, made) == (people[2], 3) and who(shared, made) == [people[2], *people[:2]]


def test_another_moves_up_where_the_primary_one_is_taken_away(shared: Served, people: list[str]) -> None:
    made = shared.make("Event", **TIMED, EventWhoIds=people)
    shared.call("PATCH", f"/sobjects/Event/{made}", json={"WhoId": None})
    assert primary(shared, made) == (people[1], 2) and who(shared, made) == people[1:]
    [relation] = shared.query(f"SELECT Id FROM EventRelation WHERE RelationId = '{people[1]}'")
    shared.call("DELETE", f"/sobjects/EventRelation/{relation['Id']}")
    assert primary(shared, made) == (people[2], 1)


def test_without_its_relation_an_event_is_about_nothing(shared: Served) -> None:
    account = shared.make("Account", Name="Acme")
    made = shared.make("Event", **TIMED, WhatId=account)
    [relation] = shared.query(f"SELECT Id FROM EventRelation WHERE RelationId = '{account}'")
    shared.call("DELETE", f"/sobjects/EventRelation/{relation['Id']}")
    row = shared.get(f"/sobjects/Event/{made}", fields="WhatId,AccountId,WhatCount")
    assert (row["WhatId"], row["AccountId"], row["WhatCount"]) == (None, None, 0)


def test_null_leaves_the_primary_one_alone(shared: Served, people: list[str]) -> None:
    made = shared.make("Event", **TIMED, EventWhoIds=people)
    shared.call("PATCH", f"/sobjects/Event/{made}", json={"EventWhoIds": None})
    assert primary(shared, made) == (people[0], 1) and who(shared, made) == people[:1]


def test_fifty_contacts_or_one_lead(shared: Served, people: list[str]) -> None:
    many = [shared.org.records.create("Contact", {"LastName": f"C{n}"}, shared.anna) for n in range(51)]
    lead = shared.make("Lead", LastName="Lind", Company="Lind AG")
    for listed in (many, [lead, people[0]], [shared.make("Lead", LastName="Moll", Company="Moll AG"), lead]):
        refusal = shared.refusal("POST", "/sobjects/Event", json={**TIMED, "EventWhoIds": listed})
        assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")
    for listed in (many[:50], [lead]):
        assert shared.call("POST", "/sobjects/Event", json={**TIMED, "EventWhoIds": listed}).status_code == 201


@pytest.mark.parametrize(
    ("listed", "code"),
    [("003", "JSON_PARSER_ERROR"), (["003"], "MALFORMED_ID"), (["003Ms000000zzzz"], "INVALID_CROSS_REFERENCE_KEY")],
)
def test_a_list_that_names_nobody_is_refused(shared: Served, listed: Any, code: str) -> None:
    assert shared.refusal("POST", "/sobjects/Event", json={**TIMED, "EventWhoIds": listed})[:2] == (400, code)
    assert shared.query("SELECT Id FROM Event") == []


def test_what_an_event_is_about_is_a_relation_too(shared: Served, people: list[str]) -> None:
    account = shared.make("Account", Name="Acme")
    made = shared.make("Event", **TIMED, WhatId=account, WhoId=people[0])
    rows = shared.query(
        f"SELECT RelationId, IsParent, IsWhat, IsInvitee FROM EventRelation WHERE EventId = '{made}' ORDER BY Id"
    )
    assert [(row["RelationId"], row["IsParent"], row["IsWhat"], row["IsInvitee"]) for row in rows] == [
        (people[0], True, False, False),
        (account, True, True, False),
    ]
    assert shared.get(f"/sobjects/Event/{made}", fields="IsGroupEvent")["IsGroupEvent"] is False


def test_someone_related_and_invited_is_one_relation(shared: Served, people: list[str]) -> None:
    made = shared.make("Event", **TIMED)
    relation = shared.make("EventRelation", EventId=made, RelationId=people[0])
    shared.call("PATCH", f"/sobjects/Event/{made}", json={"EventWhoIds": people[:1]})
    path = f"/sobjects/EventRelation/{relation}"
    assert shared.get(path, fields="IsParent")["IsParent"] is True and who(shared, made) == people[:1]
    shared.call("PATCH", f"/sobjects/Event/{made}", json={"WhoId": None})
    row = shared.get(path, fields="IsParent,IsInvitee,Status")
    assert (row["IsParent"], row["IsInvitee"], row["Status"]) == (False, True, "New")


def test_relations_are_written_through_the_event(shared: Served, people: list[str]) -> None:
    made = shared.make("Event", **TIMED)
    body = {"EventId": made, "RelationId": people[0], "IsParent": True}
    assert shared.refusal("POST", "/sobjects/EventRelation", json=body)[:2] == (501, "NOT_BUILT")


def test_the_people_of_a_deleted_task_go_and_come_back_with_it(shared: Served, people: list[str]) -> None:
    made = shared.make("Task", Subject="x", TaskWhoIds=people)
    shared.call("DELETE", f"/sobjects/Task/{made}")
    assert who(shared, made, "TaskRelation") == []
    shared.org.records.undelete("Task", made, shared.anna)
    assert set(who(shared, made, "TaskRelation")) == set(people)
