"""The contract check itself: answers that the vendor would not give are named, answers that it gives are not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.frame import World
from sandbox.salesforce import Salesforce
from sandbox.salesforce.contract import Contract, asked_by

ROOT = Path(__file__).resolve().parents[2]
VERSION = "/services/data/{version}"
DATA = "/services/data/v67.0"
ID = "003Ms0000000001IAA"


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract(Salesforce(World()).records.schema)


def contact(**fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact", "url": f"{DATA}/sobjects/Contact/{ID}"}, **fields}


def query(contract: Contract, soql: str, *records: Any, **more: Any) -> list[str] | None:
    answered = {"totalSize": len(records), "done": True, "records": list(records), **more}
    return contract.problems(f"GET {VERSION}/query", f"{DATA}/query", {"q": soql}, None, 200, answered)


def test_a_right_answer_has_no_problems(contract: Contract) -> None:
    parent = {"attributes": {"type": "Account", "url": "/x"}, "Name": "Acme"}
    record = contact(Id=ID, Email=None, Account=parent, CreatedDate="2026-11-24T08:00:00.000+0000")
    assert query(contract, "SELECT Id, Email, Account.Name, CreatedDate FROM Contact", record) == []
    assert query(contract, "SELECT c.Id, c.Account.Name FROM Contact c", contact(Id=ID, Account=None)) == []
    assert query(contract, "SELECT FIELDS(ALL) FROM Contact LIMIT 1", contact(Id=ID, LastName="x")) == []


@pytest.mark.parametrize(
    ("soql", "record", "words"),
    [
        ("SELECT Id FROM Contact", contact(Id=ID, Email="a@x.test"), "email is answered and was not selected"),
        ("SELECT Id, Email FROM Contact", contact(Id=ID), "email was selected and is not answered"),
        ("SELECT Id, Nope FROM Contact", contact(Id=ID, Nope=1), "Contact has no field Nope"),
        ("SELECT Id, email FROM Contact", contact(Id=ID, email="x"), "Contact has no field email"),
        ("SELECT Id FROM Contact", contact(Id="003"), "Contact.Id is id"),
        ("SELECT Id FROM Contact", contact(Id=None), "Contact.Id is id"),
        ("SELECT IsDeleted FROM Contact", contact(IsDeleted=None), "Contact.IsDeleted is boolean"),
        ("SELECT IsDeleted FROM Contact", contact(IsDeleted="false"), "Contact.IsDeleted is boolean"),
        ("SELECT Email FROM Contact", contact(Email=5), "Contact.Email is email"),
        ("SELECT CreatedDate FROM Contact", contact(CreatedDate="2026-11-24T08:00:00Z"), "Contact.CreatedDate is datetime"),
        ("SELECT Birthdate FROM Contact", contact(Birthdate="24.11.2026"), "Contact.Birthdate is date"),
        ("SELECT MailingLatitude FROM Contact", contact(MailingLatitude=True), "Contact.MailingLatitude is double"),
        ("SELECT Account.Name FROM Contact", contact(Account={"attributes": {"type": "Nope"}}), "unknown object: Nope"),
        ("SELECT Id FROM Contact", {"Id": ID}, "lacks its shape"),
    ],
)
def test_a_wrong_record_is_named(contract: Contract, soql: str, record: dict[str, Any], words: str) -> None:
    problems = query(contract, soql, record)
    assert problems and any(words in problem for problem in problems), problems


def test_the_pages_of_an_answer_are_held_to_its_statement(contract: Contract) -> None:
    place = f"{DATA}/query/01gabc-200"
    assert query(contract, "SELECT Id FROM Contact", contact(Id=ID), done=False, nextRecordsUrl=place) == []
    answered = {"totalSize": 2, "done": True, "records": [contact(Id=ID, Email=None)]}
    problems = contract.problems(f"GET {VERSION}/query/{{locator}}", place, {}, None, 200, answered)
    assert problems == ["email is answered and was not selected"]
    contradiction = query(contract, "SELECT Id FROM Contact", done=False)
    assert contradiction == ["done and nextRecordsUrl contradict each other"]


@pytest.mark.parametrize(
    ("name", "status", "answered"),
    [
        ("GET /services/data", 200, [{"label": "x", "url": "/x"}]),
        (f"GET {VERSION}/limits", 200, {"DailyApiRequests": {"Max": "5", "Remaining": 1}}),
        (f"POST {VERSION}/sobjects/{{object}}", 201, {"id": "003", "success": True, "errors": []}),
        (f"POST {VERSION}/sobjects/{{object}}", 201, {"id": ID, "success": True, "errors": [{"errorCode": "X"}]}),
        (f"POST {VERSION}/composite/sobjects", 200, [{"success": False, "errors": [{"errorCode": "X", "message": "x"}]}]),
        (f"GET {VERSION}/sobjects/{{object}}/describe", 200, {"name": "Contact", "fields": []}),
        (f"GET {VERSION}/limits", 403, {"message": "an object", "errorCode": "X"}),
        (f"GET {VERSION}/limits", 403, []),
        (f"GET {VERSION}/limits", 403, [{"message": "x"}]),
        (f"GET {VERSION}/limits", 403, [{"message": "x", "errorCode": "X", "detail": "more"}]),
        ("", 200, {}),
    ],
)
def test_an_answer_of_the_wrong_shape_is_named(contract: Contract, name: str, status: int, answered: Any) -> None:
    assert contract.problems(name, f"{DATA}/x", {}, None, status, answered)


def test_the_parts_of_a_composite_are_checked_like_calls(contract: Contract) -> None:
    sent = {"compositeRequest": [{"method": "GET", "url": f"{DATA}/query?q=SELECT%20Id%20FROM%20Contact", "referenceId": "q"}]}
    body = {"totalSize": 1, "done": True, "records": [contact(Id=ID, Email=None)]}
    result = {"body": body, "httpHeaders": {}, "httpStatusCode": 200, "referenceId": "q"}
    answered = {"compositeResponse": [result]}
    problems = contract.problems(f"POST {VERSION}/composite", f"{DATA}/composite", {}, sent, 200, answered)
    assert problems == ["q: email is answered and was not selected"]


def test_bytes_are_not_checked(contract: Contract) -> None:
    assert contract.problems(f"GET {VERSION}/sobjects/{{object}}/{{id}}/{{value}}", "/x", {}, None, 200, None) is None


def test_what_a_statement_asks_for_is_read_without_the_parser() -> None:
    asked = asked_by("select Id , c.Account.Name\nfrom Contact c where Name = 'from x'")
    assert asked == frozenset({"id", "account.name"})
    assert asked_by("SELECT Contact.Id FROM Contact ORDER BY Id") == frozenset({"id"})
    assert asked_by("SELECT COUNT() FROM Contact") is None


def test_every_fact_names_a_test_and_every_switch_has_a_fact() -> None:
    facts = (ROOT / "sandbox/FACTS.md").read_text(encoding="utf-8").partition("## Salesforce")[2].partition("\n## ")[0]
    named = re.findall(r"`(test_salesforce_\w+\.py)::(\w+)`", facts)
    assert len(named) > 50
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests/contract" / file).read_text(encoding="utf-8"), test
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sandbox/salesforce").glob("*.py"))
    asked = set(re.findall(r'"salesforce\.(\w+)"', source)) | set(re.findall(r'switch\("(\w+)"', source))
    assert asked == set(re.findall(r"`salesforce\.(\w+)`", facts))
