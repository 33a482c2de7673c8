"""What the org says of itself: versions, describe, limits, its budget, and how calls are counted and fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.frame import FaultRule
from sandbox.salesforce import faults, make_fields
from tests.contract.salesforce_world import ANNA, CLIENT, Served, part

CONTRACTS = make_fields.CONTRACTS
DESCRIBED = make_fields.DESCRIBED
#: Keys of a field that the stand-in does not promise: hints for pages, and what needs objects it does not have.
NOT_PROMISED = frozenset(
    {"permissionable", "aggregatable", "extraTypeInfo", "searchPrefilterable", "autoNumber", "byteLength", "namePointing"}
)
OF_THE_OBJECT = ("name", "keyPrefix", "label", "labelPlural", "createable", "updateable", "deletable", "queryable", "mergeable")
#: (object, field): references and values that were left out on purpose; see `make_fields`.
LEFT_OUT = {("Event", "WhatId"), ("Event", "RecurrenceTimeZoneSidKey")}
pytest_plugins = ("tests.contract.salesforce_fixtures",)


def recorded(name: str) -> dict[str, Any]:
    path = CONTRACTS / f"GET_sobjects_{name}_describe.json"
    if not path.exists():
        pytest.skip(f"the recorded contracts are not at {CONTRACTS}")
    answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return answer


# --- versions


def test_versions_are_open_and_cost_nothing(org: Served) -> None:
    del org.http.headers["Authorization"]
    versions = org.get("/services/data")
    assert versions[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    assert versions[0]["version"] == "31.0"
    assert org.org.budget.used == 0 and "salesforce" not in org.world.calls.snapshot()
    org.world.switches["salesforce.newest_version"] = "68.0"
    assert org.get("/services/data")[-1]["label"] == "Winter '27"


def test_a_retired_version_is_gone_and_a_future_one_not_found(org: Served) -> None:
    assert org.refusal("GET", "/services/data/v30.0/limits")[0] == 410
    assert org.refusal("GET", "/services/data/v68.0/limits")[:2] == (404, "NOT_FOUND")
    assert org.refusal("GET", "/services/data/67/limits")[:2] == (404, "NOT_FOUND")


# --- describe


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_describe_says_of_each_field_what_the_recorded_one_says(org: Served, name: str) -> None:
    theirs, ours = recorded(name), org.get(f"/sobjects/{name}/describe")
    assert set(theirs) <= set(ours)
    assert {key: ours[key] for key in OF_THE_OBJECT} == {key: theirs[key] for key in OF_THE_OBJECT}
    expected = {field["name"]: field for field in theirs["fields"]}
    assert {field["name"] for field in ours["fields"]} == {one for one in expected if not one.endswith("__c")}
    for field in ours["fields"]:
        assert set(field) == set(expected[field["name"]])
        if (name, field["name"]) in LEFT_OUT:
            continue
        promised = set(field) - NOT_PROMISED - {"picklistValues", "defaultValue"}
        wrong = {
            key: (field[key], expected[field["name"]][key]) for key in promised if field[key] != expected[field["name"]][key]
        }
        assert wrong == {}, field["name"]


def test_the_list_of_objects_has_the_shape_of_the_recorded_one(org: Served) -> None:
    theirs, ours = recorded("Global"), org.get("/sobjects")
    assert set(ours) == set(theirs)
    shape = {key for row in theirs["sobjects"] for key in row}
    assert all(set(row) == shape for row in ours["sobjects"])
    assert all(set(row["urls"]) <= set(theirs["sobjects"][0]["urls"]) for row in ours["sobjects"])


def test_the_field_table_is_made_from_the_contracts(tmp_path: Path) -> None:
    recorded("Contact")
    make_fields.main(CONTRACTS, tmp_path / "fields.json")
    assert (tmp_path / "fields.json").read_text(encoding="utf-8") == make_fields.TARGET.read_text(encoding="utf-8")


def test_a_describe_that_did_not_change_is_304(org: Served) -> None:
    for path in ("/sobjects", "/sobjects/Contact/describe"):
        first = org.call("GET", path)
        again = org.call("GET", path, headers={"If-Modified-Since": first.headers["Last-Modified"]})
        assert (again.status_code, again.content) == (304, b"")
        org.world.clock.advance(5)
        org.org.records.schema.add_field("Contact", {"name": f"X{len(path)}__c", "type": "string"})
        changed = org.call("GET", path, headers={"If-Modified-Since": first.headers["Last-Modified"]})
        assert changed.status_code == 200


def test_a_new_field_is_described_and_used_at_once(org: Served) -> None:
    old = org.make("Contact", LastName="Before")
    org.org.records.schema.add_field("Contact", {"name": "Vip__c", "type": "boolean"})
    new = org.make("Contact", LastName="After", Vip__c=True)
    rows = org.query("SELECT Id, Vip__c FROM Contact ORDER BY Id")
    assert [(row["Id"], row["Vip__c"]) for row in rows] == [(old, False), (new, True)]


# --- limits and the budget


def test_every_answer_tells_the_usage(org: Served) -> None:
    org.org.settings.api_limit, org.org.settings.api_used_before = 50, 10
    assert org.call("GET", "/limits").headers["Sforce-Limit-Info"] == "api-usage=11/50"
    refused = org.call("GET", "/sobjects/Nope/describe")
    assert refused.headers["Sforce-Limit-Info"] == "api-usage=12/50"
    assert org.get("/limits")["DailyApiRequests"] == {"Max": 50, "Remaining": 37}


def test_a_spent_budget_is_403_until_the_window_has_rolled(org: Served) -> None:
    org.org.settings.api_limit = 2
    for _ in range(2):
        org.get("/limits")
    answer = org.call("GET", "/limits")
    assert answer.status_code == 403 and "Retry-After" not in answer.headers
    assert answer.json() == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    org.world.clock.advance(86_401)
    fresh = org.org.issue_token(ANNA, CLIENT)["access_token"]
    assert org.call("GET", "/limits", headers={"Authorization": f"Bearer {fresh}"}).status_code == 200


@pytest.mark.parametrize("kind", [*faults.OF_THE_ORG, *faults.OF_A_CALL])
def test_a_named_fault_refuses_one_call_in_the_vendors_words(org: Served, kind: str) -> None:
    org.world.rules.append(FaultRule("salesforce", kind, match="GET"))
    assert org.refusal("GET", "/limits") == {**faults.OF_THE_ORG, **faults.OF_A_CALL}[kind]
    assert org.call("GET", "/limits").status_code == 200


def test_a_named_fault_strikes_a_part_and_leaves_the_whole(org: Served) -> None:
    org.world.rules.append(FaultRule("salesforce", "unavailable", match="{version}/limits"))
    results = org.composite(part("a", "GET", "/limits"), part("b", "GET", "/limits"))
    assert [one["httpStatusCode"] for one in results] == [503, 200]


def test_an_ended_session_stays_ended(org: Served) -> None:
    org.world.rules.append(FaultRule("salesforce", "session_expired"))
    for _ in range(2):
        assert org.refusal("GET", "/limits")[:2] == (401, "INVALID_SESSION_ID")


def test_a_gateway_may_lose_the_answer_of_what_was_done(org: Served) -> None:
    org.world.rules.append(FaultRule("salesforce", "lost", match="POST"))
    assert org.refusal("POST", "/sobjects/Contact", json={"LastName": "Kept"})[0] == 504
    assert len(org.query("SELECT Id FROM Contact")) == 1


# --- counting and faults


def test_a_call_is_counted_by_its_template(org: Served) -> None:
    made = org.make("Contact", LastName="x")
    org.call("GET", f"/sobjects/Contact/{made}/")
    org.call("GET", "/query/", params={"q": "SELECT Id FROM Contact"})
    assert org.world.calls.snapshot()["salesforce"] == {
        "GET /services/data/{version}/query": 1,
        "GET /services/data/{version}/sobjects/{object}/{id}": 1,
        "POST /services/data/{version}/sobjects/{object}": 1,
    }


def test_a_lost_answer_leaves_what_was_written(org: Served) -> None:
    org.world.rules.append(FaultRule("salesforce", "drop_after", match="POST"))
    with pytest.raises(requests.ConnectionError):
        org.call("POST", "/sobjects/Contact", json={"LastName": "Kept"})
    assert len(org.query("SELECT Id FROM Contact")) == 1


def test_a_refused_composite_costs_one_call_too(org: Served) -> None:
    org.call("POST", "/composite", json={"compositeRequest": []})
    org.composite(part("a", "GET", "/limits"))
    assert org.org.budget.used == 2


def test_a_reset_org_is_empty_and_starts_anew(org: Served) -> None:
    org.make("Contact", LastName="x")
    org.org.settings.multiday_events = True
    org.fresh()
    assert org.query("SELECT Id FROM Contact") == []
    assert org.org.settings.multiday_events is False
    assert org.org.budget.used == 1
    assert [row["Username"] for row in org.query("SELECT Username FROM User ORDER BY Id")][1:] == [ANNA, "ben@acme.example.com"]
