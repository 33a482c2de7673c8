"""Composite and collections of the Salesforce stand-in: references, limits, rows with their own errors, all or none."""

from __future__ import annotations

from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.frame import FaultRule
from tests.contract.salesforce_world import DATA, Served, part

HALTED = "The transaction was rolled back since another operation in the same transaction failed."
pytest_plugins = ("tests.contract.salesforce_fixtures",)


def contact(last: str, **more: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, "LastName": last, **more}


def codes(rows: list[dict[str, Any]]) -> list[str | None]:
    """The statusCode of each row of a collection, None for a saved one."""
    return [row["errors"][0]["statusCode"] if row["errors"] else None for row in rows]


# --- collections


def test_rows_of_a_collection_succeed_and_fail_by_themselves(org: Served) -> None:
    records = [contact("One"), contact(""), contact("x" * 81), contact("Two")]
    answer = org.call("POST", "/composite/sobjects", json={"allOrNone": False, "records": records})
    assert answer.status_code == 200
    rows = answer.json()
    assert codes(rows) == [None, "REQUIRED_FIELD_MISSING", "STRING_TOO_LONG", None]
    assert rows[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [LastName]",
                "fields": ["LastName"],
            }
        ],
    }
    assert [row["LastName"] for row in org.query("SELECT LastName FROM Contact ORDER BY Id")] == ["One", "Two"]


def test_all_or_none_undoes_every_row(org: Served) -> None:
    body = {"allOrNone": True, "records": [contact("One"), contact("")]}
    rows = org.call("POST", "/composite/sobjects", json=body).json()
    assert codes(rows) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert org.query("SELECT Id FROM Contact") == []


def test_a_collection_updates_and_deletes_by_id(org: Served) -> None:
    one, two = org.make("Contact", LastName="One"), org.make("Contact", LastName="Two")
    org.call("DELETE", f"/sobjects/Contact/{two}")
    records = [contact("New", id=one), contact("New", Id=two), contact("New", id="003000000000001"), contact("New")]
    rows = org.call("PATCH", "/composite/sobjects", json={"records": records}).json()
    assert codes(rows) == [None, "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "MISSING_ARGUMENT"]
    rows = org.call("DELETE", "/composite/sobjects", params={"ids": f"{one},{two},nonsense", "allOrNone": "false"}).json()
    assert codes(rows) == [None, "ENTITY_IS_DELETED", "MALFORMED_ID"]
    assert org.query("SELECT Id FROM Contact") == []


def test_a_collection_upserts_by_key(org: Served) -> None:
    org.org.records.schema.add_field("Contact", {"name": "Key__c", "type": "string", "externalId": True, "unique": True})
    for created in (True, False):
        records = [contact("A", Key__c="a"), contact("B", Key__c="b")]
        rows = org.call("PATCH", "/composite/sobjects/Contact/Key__c", json={"records": records}).json()
        assert [row["created"] for row in rows] == [created, created]


def test_records_are_retrieved_in_order_and_null_where_missing(org: Served) -> None:
    one, two = org.make("Contact", LastName="One"), org.make("Contact", LastName="Two")
    body = {"ids": [two, "003000000000001", one], "fields": ["LastName"]}
    rows = org.call("POST", "/composite/sobjects/Contact", json=body).json()
    assert [row and row["LastName"] for row in rows] == ["Two", None, "One"]
    assert set(rows[0]) == {"attributes", "LastName", "Id"}
    body = {"ids": [one] * 2001, "fields": ["LastName"]}
    assert org.refusal("POST", "/composite/sobjects/Contact", json=body)[:2] == (400, "EXCEEDED_ID_LIMIT")


def test_a_collection_that_is_too_long_or_too_mixed_is_refused_whole(org: Served) -> None:
    status, code, message = org.refusal("POST", "/composite/sobjects", json={"records": [contact("x")] * 201})
    assert (status, code) == (400, "EXCEEDED_ID_LIMIT")
    assert message == "record limit reached. cannot submit more than 200 records into this call"
    account = {"attributes": {"type": "Account"}, "Name": "x"}
    mixed = [contact("x"), account] * 6
    assert org.refusal("POST", "/composite/sobjects", json={"records": mixed})[0] == 400
    assert org.call("POST", "/composite/sobjects", json={"records": mixed[:10]}).status_code == 200


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"attributes": {"type": "Nope"}}, "INVALID_TYPE"),
        ({"LastName": "x"}, "INVALID_INPUT"),
        (contact("x", Nope=1), "INVALID_FIELD"),
        (contact("x", Birthdate=5), "JSON_PARSER_ERROR"),
    ],
)
def test_a_record_that_cannot_be_read_refuses_the_whole_collection(org: Served, record: dict[str, Any], code: str) -> None:
    body = {"records": [contact("One"), record]}
    assert org.refusal("POST", "/composite/sobjects", json=body)[:2] == (400, code)
    assert org.query("SELECT Id FROM Contact") == []


def test_a_locked_row_fails_alone(org: Served) -> None:
    account = org.make("Account", Name="Acme")
    org.world.rules.append(FaultRule("salesforce", "locked_row", match="create Contact", after=1))
    body = {"records": [contact(last, AccountId=account) for last in ("One", "Two", "Three")]}
    rows = org.call("POST", "/composite/sobjects", json=body).json()
    assert codes(rows) == [None, "UNABLE_TO_LOCK_ROW", None]
    assert rows[1]["errors"][0]["message"].startswith("unable to obtain exclusive access to this record")


# --- composite


def test_a_later_part_uses_the_answer_of_an_earlier_one(org: Served) -> None:
    results = org.composite(
        part("acc", "POST", "/sobjects/Account", {"Name": "Acme"}),
        part("con", "POST", "/sobjects/Contact", {"LastName": "Adler", "AccountId": "@{acc.id}"}),
        part("back", "GET", "/sobjects/Contact/@{con.id}?fields=LastName,AccountId"),
        part("query", "GET", "/query?q=" + quote("SELECT Id FROM Contact WHERE LastName = 'Adler'")),
        part("task", "POST", "/sobjects/Task", {"Subject": "x", "WhoId": "@{query.records[0].Id}"}),
        part("change", "PATCH", "/sobjects/Contact/@{con.id}", {"Title": "Chief"}),
    )
    assert [one["httpStatusCode"] for one in results] == [201, 201, 200, 200, 201, 204]
    assert [one["referenceId"] for one in results] == ["acc", "con", "back", "query", "task", "change"]
    assert results[0]["httpHeaders"]["Location"].endswith(results[0]["body"]["id"])
    assert results[2]["body"]["AccountId"] == results[0]["body"]["id"]
    assert results[5]["body"] is None


def test_a_composite_is_one_call_and_says_so(org: Served) -> None:
    answer = org.call("POST", "/composite", json={"compositeRequest": [part(f"p{n}", "GET", "/limits") for n in range(25)]})
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    assert org.world.calls.snapshot()["salesforce"] == {"POST /services/data/{version}/composite": 1}


def test_a_part_without_its_reference_is_halted_and_the_rest_goes_on(org: Served) -> None:
    results = org.composite(
        part("bad", "POST", "/sobjects/Contact", {"FirstName": "no last name"}),
        part("child", "POST", "/sobjects/Task", {"Subject": "x", "WhoId": "@{bad.id}"}),
        part("other", "POST", "/sobjects/Account", {"Name": "Acme"}),
    )
    assert [one["httpStatusCode"] for one in results] == [400, 400, 201]
    assert results[0]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert results[1]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert results[1]["body"][0]["message"].startswith("Invalid reference specified. No value for bad.id found in bad")


def test_all_or_none_undoes_the_composite(org: Served) -> None:
    results = org.composite(
        part("acc", "POST", "/sobjects/Account", {"Name": "Acme"}),
        part("bad", "POST", "/sobjects/Contact", {}),
        part("late", "POST", "/sobjects/Account", {"Name": "Never"}),
        all_or_none=True,
    )
    assert [one["body"][0]["errorCode"] for one in results] == [
        "PROCESSING_HALTED", "REQUIRED_FIELD_MISSING", "PROCESSING_HALTED",
    ]  # fmt: skip
    assert results[0]["body"][0]["message"] == HALTED
    assert org.query("SELECT Id FROM Account") == []


def test_updates_and_deletes_of_a_failed_composite_are_undone_too(org: Served) -> None:
    changed, gone = org.make("Contact", LastName="Old", Email="old@x.example.com"), org.make("Contact", LastName="Kept")
    by_old = "SELECT Id FROM Contact WHERE Email = 'old@x.example.com'"
    assert len(org.query(by_old)) == 1
    before = org.get("/queryAll", q="SELECT FIELDS(ALL) FROM Contact ORDER BY SystemModstamp, Id LIMIT 200")
    org.world.clock.advance(60)
    org.composite(
        part("change", "PATCH", f"/sobjects/Contact/{changed}", {"LastName": "New", "Email": "new@x.example.com"}),
        part("delete", "DELETE", f"/sobjects/Contact/{gone}"),
        part("bad", "POST", "/sobjects/Contact", {}),
        all_or_none=True,
    )
    assert org.get("/queryAll", q="SELECT FIELDS(ALL) FROM Contact ORDER BY SystemModstamp, Id LIMIT 200") == before
    assert [row["Id"] for row in org.query(by_old)] == [changed]
    assert org.query("SELECT Id FROM Contact WHERE Email = 'new@x.example.com'") == []


def test_the_outer_flag_reaches_into_collections(org: Served) -> None:
    body = {"allOrNone": False, "records": [contact("One"), contact("")]}
    parts = (part("rows", "POST", "/composite/sobjects", body), part("acc", "POST", "/sobjects/Account", {"Name": "Acme"}))
    loose = org.composite(*parts)
    assert codes(loose[0]["body"]) == [None, "REQUIRED_FIELD_MISSING"]
    assert loose[1]["httpStatusCode"] == 201
    strict = org.composite(*parts, all_or_none=True)
    assert codes(strict[0]["body"]) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert strict[1]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert len(org.query("SELECT Id FROM Account")) == 1


@pytest.mark.parametrize("works", [True, False])
def test_references_inside_collections_are_a_switch(org: Served, works: bool) -> None:
    org.world.switches["salesforce.composite_collection_references"] = works
    rows = {"records": [contact("One", AccountId="@{acc.id}")]}
    results = org.composite(
        part("acc", "POST", "/sobjects/Account", {"Name": "Acme"}), part("rows", "POST", "/composite/sobjects", rows)
    )
    assert codes(results[1]["body"]) == [None if works else "MALFORMED_ID"]


def test_a_part_carries_its_own_condition(org: Served) -> None:
    made = org.make("Contact", LastName="x")
    seen = format_datetime(org.org.now().replace(microsecond=0), usegmt=True)
    org.world.clock.advance(5)
    change = part("a", "PATCH", f"/sobjects/Contact/{made}", {"Title": "x"}, If_Unmodified_Since=seen)
    again = part("b", "PATCH", f"/sobjects/Contact/{made}", {"Title": "y"}, If_Unmodified_Since=seen)
    assert [one["httpStatusCode"] for one in org.composite(change, again)] == [204, 412]
    assert org.get(f"/sobjects/Contact/{made}", fields="Title")["Title"] == "x"
    forbidden = part("c", "GET", "/limits", None, Authorization="Bearer x")
    assert org.composite(forbidden)[0]["httpStatusCode"] == 400


def test_the_headers_of_the_whole_hold_for_its_parts(org: Served) -> None:
    org.make("Contact", LastName="x", Email="same@x.example.com")
    org.org.settings.duplicate_rule = "alert"
    body = {"compositeRequest": [part("a", "POST", "/sobjects/Contact", {"LastName": "y", "Email": "same@x.example.com"})]}
    refused = org.call("POST", "/composite", json=body).json()["compositeResponse"][0]
    assert refused["body"][0]["errorCode"] == "DUPLICATES_DETECTED"
    headers = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    allowed = org.call("POST", "/composite", json=body, headers=headers).json()["compositeResponse"][0]
    assert allowed["httpStatusCode"] == 201


def test_five_queries_and_collections_are_the_most(org: Served) -> None:
    asked = "/query?q=" + quote("SELECT Id FROM Contact")
    parts = [part(f"q{number}", "GET", asked) for number in range(5)]
    rows = part("rows", "POST", "/composite/sobjects", {"records": [contact("x")]})
    assert org.call("POST", "/composite", json={"compositeRequest": [*parts]}).status_code == 200
    assert org.refusal("POST", "/composite", json={"compositeRequest": [*parts, rows]})[:2] == (400, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [part(f"p{number}", "GET", "/limits") for number in range(26)],
        [part("same", "GET", "/limits"), part("same", "GET", "/limits")],
        [part("not-a-name", "GET", "/limits")],
        [{"method": "GET", "url": f"{DATA}/limits"}],
    ],
)
def test_a_composite_that_is_not_well_formed_is_refused_whole(org: Served, parts: list[dict[str, Any]]) -> None:
    assert org.call("POST", "/composite", json={"compositeRequest": parts}).status_code == 400


def test_a_composite_holds_no_composite(org: Served) -> None:
    [result] = org.composite(part("inner", "POST", "/composite", {"compositeRequest": []}))
    assert (result["httpStatusCode"], result["body"][0]["errorCode"]) == (400, "INVALID_INPUT")


def test_an_address_inside_a_composite_may_be_longer_than_one_outside(org: Served) -> None:
    addresses = ", ".join(f"'someone.with.a.long.name.{number:05d}@some.company.example.com'" for number in range(400))
    soql = quote(f"SELECT Id FROM Contact WHERE Email IN ({addresses})")
    assert len(soql) > 16_384
    assert org.call("GET", f"/query?q={soql}").status_code == 414
    assert org.composite(part("q", "GET", f"/query?q={soql}"))[0]["httpStatusCode"] == 200


def test_a_fault_may_strike_one_part(org: Served) -> None:
    body = [{"message": "Server unavailable", "errorCode": "SERVER_UNAVAILABLE"}]
    org.world.rules.append(
        FaultRule("salesforce", "status", match="GET /services/data/{version}/limits", status=503, body=body)
    )
    results = org.composite(part("a", "GET", "/limits"), part("b", "GET", "/limits"))
    assert [one["httpStatusCode"] for one in results] == [503, 200]
