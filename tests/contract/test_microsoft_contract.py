"""The contract check of the Microsoft world: what it finds, and that no answer slips past it."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.microsoft.contract import Contract
from tests.contract.microsoft_world import ADA, IMMUTABLE, Json, Stand
from tests.contract.test_microsoft_mail import with_attachments

pytest_plugins = ("tests.contract.microsoft_fixtures",)
ME = f"/users/{ADA}"
needs_contract = pytest.mark.skipif(
    not Contract().schema_file.is_file(), reason="the vendor's schema is not at ../shared/contracts/graph"
)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract()


def a_message(**more: Any) -> Json:
    return {"@odata.etag": 'W/"1"', "id": "AAMk", "subject": "Hi", **more}


SUBJECT = {"$select": "subject"}
PART = {"id": "1", "status": 200}
ERROR = {"code": "x", "message": "y", "innerError": {"date": "d", "request-id": "r", "client-request-id": "c"}}


@needs_contract
@pytest.mark.parametrize(
    ("kind", "status", "answered", "query", "problem"),
    [
        ("message", 200, a_message(mood="good"), SUBJECT, "mood"),
        ("message", 200, a_message(mood="good"), {"$select": "subject,mood"}, "mood"),
        ("message", 200, a_message(isRead=True), SUBJECT, "isRead was not selected"),
        ("message", 200, {"@odata.etag": "1", "id": "AAMk"}, SUBJECT, "subject is missing"),
        ("message", 200, {"id": "AAMk", "subject": "Hi"}, SUBJECT, "@odata.etag"),
        ("message", 200, a_message(), {}, "receivedDateTime is missing"),
        ("message", 200, a_message(subject=7), SUBJECT, "subject"),
        ("message", 200, a_message(importance="urgent"), {"$select": "subject,importance"}, "importance"),
        ("message", 200, a_message(sentDateTime="yesterday"), {"$select": "subject,sentDateTime"}, "sentDateTime"),
        ("message", 200, a_message(attachments=[{"id": "A"}]), {**SUBJECT, "$expand": "attachments"}, "@odata.type"),
        ("message", 200, a_message(attachments=[{"id": "A", "@odata.type": "#x", "nme": 1}]),
         {**SUBJECT, "$expand": "attachments"}, "nme"),
        ("message", 200, a_message(attachments=[{"id": "A", "@odata.type": "#x", "size": 1}]),
         {**SUBJECT, "$expand": "attachments($select=id,name)"}, "attachments/size was not selected"),
        ("message", 200, None, SUBJECT, "object"),
        ("message[]", 200, {"value": [a_message(), {"subject": "x"}]}, SUBJECT, "id"),
        ("message[]", 200, {"values": []}, SUBJECT, "value"),
        ("message[+]", 200, {"value": []}, SUBJECT, "oneOf"),
        ("message[+]", 200, {"value": [], "@odata.nextLink": "n", "@odata.deltaLink": "d"}, SUBJECT, "oneOf"),
        ("message[+]", 200, {"value": [{"id": "A", "@removed": {"reason": "moved"}}], "@odata.deltaLink": "d"}, {}, "moved"),
        ("message[+]", 200, {"value": [a_message(**{"@removed": {"reason": "deleted"}})], "@odata.deltaLink": "d"}, {}, "etag"),
        ("outlookCategory", 201, {"id": "1", "displayName": "x", "color": "blue"}, {}, "blue"),
        ("subscription", 201, {"id": "1", "resource": "r"}, {}, "changeType"),
        ("batch", 200, {"responses": [{**PART, "headers": {"a": 1}}]}, {}, "headers"),
        ("batch", 200, {"responses": [{**PART, "time": 1}]}, {}, "time"),
        ("message", 404, {"error": {"code": "x"}}, {}, "message"),
        ("message", 404, {"error": {**ERROR, "hint": "z"}}, {}, "hint"),
        ("message", 404, a_message(), {}, "error"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_found(contract: Contract, kind: str, status: int, answered: Any, query: Json, problem: str) -> None:
    assert problem in " ".join(contract.answer_problems(kind, status, answered, query) or [])


@needs_contract
@pytest.mark.parametrize(
    ("kind", "status", "answered", "query"),
    [
        ("message", 200, a_message(), SUBJECT),
        ("message", 404, {"error": ERROR}, {}),
        ("message[+]", 200, {"value": [{"id": "A", "@removed": {"reason": "deleted"}}], "@odata.deltaLink": "d"}, SUBJECT),
        ("batch", 200, {"responses": [{**PART, "headers": {"Retry-After": "1"}, "body": {}}]}, {}),
        ("raw", 200, None, {}),
    ],
)
def test_a_right_answer_passes(contract: Contract, kind: str, status: int, answered: Any, query: Json) -> None:
    assert contract.answer_problems(kind, status, answered, query) == []


@needs_contract
def test_every_answer_with_a_body_is_checked_and_every_part_of_a_batch(ms: Stand) -> None:
    one = ms.deliver(with_attachments())
    ms.get(f"{ME}/messages/{one}?$expand=attachments")
    ms.call("GET", f"{ME}/messages/{one}/$value")
    ms.call("GET", f"{ME}/messages/nothing", status=400)
    ms.call("DELETE", f"{ME}/messages/{one}", status=204)
    ms.batch({"url": f"{ME}/messages"}, {"url": f"{ME}/messages/nothing"}, {"url": f"{ME}/messages/{one}/$value"})
    assert ms.world.answers["microsoft"] == ms.world.validated["microsoft"] == 3 + 1 + 3
    assert "every answer" in ms.microsoft.contract.note


@needs_contract
def test_a_wrong_answer_fails_the_call_that_caused_it(ms: Stand) -> None:
    ms.box(lambda box: box.categories.update(x={"id": "x", "displayName": "Mine", "color": "blue", "mood": "good"}))
    answer = ms.call("GET", f"{ME}/outlook/masterCategories", status=599)
    assert any("mood" in problem for problem in answer.json()["sandbox_contract_violations"])
    assert ms.batch({"url": f"{ME}/outlook/masterCategories"})["1"]["status"] == 599
    found = ms.world.violations
    assert len(found) == 4 and sum("$batch GET /v1.0/users/{user}/outlook/masterCategories" in one for one in found) == 2
    found.clear()


@needs_contract
def test_notifications_are_held_to_the_contract(contract: Contract) -> None:
    wrong = {"value": [{"changeType": "moved"}]}
    assert any("moved" in problem for problem in contract.problems("changeNotificationCollection", wrong))


@needs_contract
def test_ids_of_attachments_follow_the_preference_too(ms: Stand) -> None:
    one = ms.deliver(with_attachments())
    rest = ms.get(f"{ME}/messages/{one}", prefer="")["id"]
    kept = [a["id"] for a in ms.value(f"{ME}/messages/{one}/attachments", prefer=IMMUTABLE)]
    assert kept != [a["id"] for a in ms.value(f"{ME}/messages/{rest}/attachments", prefer="")]
    ms.box(lambda box: box.move(one, "archive"))
    assert kept == [a["id"] for a in ms.value(f"{ME}/messages/{one}/attachments", prefer=IMMUTABLE)]


def test_without_the_vendors_schema_the_checks_say_that_they_are_off(tmp_path: Any) -> None:
    absent = Contract(tmp_path / "graph.schema.json")
    assert "checks of types are off" in absent.note
    assert absent.answer_problems("message", 200, a_message(mood="good"), SUBJECT) is None
    assert absent.answer_problems("message", 404, {"error": {}}, {}) != []
