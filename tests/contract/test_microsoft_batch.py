"""$batch, throttling and the named faults of single calls in the Microsoft world."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.microsoft_world import ADA, BO, IMMUTABLE, Json, Stand, mime

pytest_plugins = ("tests.contract.microsoft_fixtures",)
ME = f"/users/{ADA}"
LIST = f"GET /v1.0/users/{'{user}'}/messages"


def test_one_batch_asks_for_everything_a_session_needs(ms: Stand) -> None:
    marked = ms.deliver(mime("Marked"), folder="archive", categories=["Salesforce"])
    one = ms.deliver(mime("Hi"))
    prefer = {"Prefer": f"{IMMUTABLE}, odata.maxpagesize=100"}
    since = "2026-01-01T00:00:00Z"
    parts = ms.batch(
        {"url": f"{ME}/mailFolders/delta", "headers": prefer},
        {"url": f"{ME}/mailFolders/inbox/messages/delta?$select=id&$filter=receivedDateTime ge {since}", "headers": prefer},
        {"url": f"{ME}/mailFolders/sentitems/messages/delta?$select=id&$filter=receivedDateTime+ge+{since}", "headers": prefer},
        {"url": f"{ME}/messages?$filter=categories/any(c:c eq 'Salesforce') and lastModifiedDateTime ge {since}"
                "&$select=id&$top=50", "headers": prefer},
    )  # fmt: skip
    assert {part["status"] for part in parts.values()} == {200}
    assert len(parts["1"]["body"]["value"]) == 8
    assert [[item["id"] for item in parts[n]["body"]["value"]] for n in "234"] == [[one], [], [marked]]
    assert "odata.maxpagesize=100" in parts["2"]["headers"]["Preference-Applied"]


def test_twenty_mails_come_in_one_batch_and_each_is_counted(ms: Stand) -> None:
    sent = [ms.deliver(mime(f"Mail {n}", text=f"Text {n}")) for n in range(20)]
    asked = "?$select=subject,body,internetMessageHeaders&$expand=attachments($select=id,name,contentType,size,isInline)"
    parts = ms.batch(*({"url": f"{ME}/messages/{one}{asked}", "headers": {"Prefer": IMMUTABLE}} for one in sent))
    assert [parts[str(n)]["body"]["id"] for n in range(1, 21)] == sent
    assert ms.world.calls.snapshot()["microsoft"] == {
        "GET /v1.0/users/{user}/messages/{message}": 20, "POST /v1.0/$batch": 1,
    }  # fmt: skip
    assert ms.world.calls.http["microsoft"] == 1


def test_parts_come_back_in_no_order_that_may_be_relied_on(ms: Stand) -> None:
    body = {"requests": [{"id": str(n), "method": "GET", "url": "/users/x"} for n in range(20)]}
    orders = {tuple(part["id"] for part in ms.call("POST", "/$batch", json=body).json()["responses"]) for _ in range(3)}
    assert len(orders) > 1


def test_the_batch_is_200_and_its_parts_fail_one_by_one(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    patch = {"method": "PATCH", "url": f"{ME}/messages/{one}", "body": {"isRead": True}}
    parts = ms.batch(
        {"url": f"{ME}/messages/nothing"},
        {**patch, "headers": {"Content-Type": "application/json"}, "id": "read"},
        {"url": f"{ME}/messages/{one}", "dependsOn": ["read"], "id": "after"},
        {"url": f"{ME}/messages/gone-and-well-formed-0123456789", "id": "bad"},
        {"url": f"{ME}/messages/{one}", "dependsOn": ["bad"], "id": "never"},
        {"url": f"{ME}/messages/{one}/$value", "id": "raw"},
        {"method": "DELETE", "url": f"{ME}/messages/{one}", "dependsOn": ["raw"], "id": "delete"},
    )
    assert {name: part["status"] for name, part in parts.items()} == {
        "1": 400, "read": 200, "after": 200, "bad": 400, "never": 424, "raw": 200, "delete": 204,
    }  # fmt: skip
    assert parts["after"]["body"]["isRead"] is True and "body" not in parts["delete"]
    assert parts["1"]["body"]["error"]["code"] == "ErrorInvalidIdMalformed"
    assert parts["raw"]["headers"]["Content-Type"] == "text/plain"


@pytest.mark.parametrize(
    "requests",
    [
        [{"id": str(n), "method": "GET", "url": "/me"} for n in range(21)],
        [{"id": "1", "method": "GET", "url": "/me"}, {"id": "1", "method": "GET", "url": "/me"}],
        [{"id": "1", "method": "GET", "url": "https://graph.microsoft.com/v1.0/me"}],
        [{"id": "1", "method": "PATCH", "url": "/me/messages/x", "body": {"isRead": True}}],
        [{"id": "1", "method": "GET", "url": "/me", "dependsOn": ["2"]}],
        [{"method": "GET", "url": "/me"}],
        [{"id": "1", "method": "GET", "url": "/me", "header": {}}],
        [],
    ],
)
def test_a_batch_that_is_not_well_formed_is_refused_whole(ms: Stand, requests: list[Json]) -> None:
    assert ms.code(ms.call("POST", "/$batch", json={"requests": requests}, status=400)) == "BadRequest"


def test_the_version_is_no_part_of_a_parts_url_and_the_first_slash_may_be_left_out(ms: Stand) -> None:
    parts = ms.batch({"url": f"/v1.0{ME}"}, {"url": ME[1:]})
    assert (parts["1"]["status"], parts["2"]["status"]) == (400, 200)
    assert parts["1"]["body"]["error"]["message"] == "Resource not found for the segment 'v1.0'."


@pytest.mark.parametrize(
    ("kind", "status", "code", "after"),
    [
        ("throttled", 429, "ApplicationThrottled", "10"),
        ("unavailable", 503, "ServiceUnavailable", "10"),
        ("token_expired", 401, "InvalidAuthenticationToken", None),
        ("access_denied", 403, "ErrorAccessDenied", None),
        ("no_mailbox", 404, "MailboxNotEnabledForRESTAPI", None),
        ("stale", 412, "ErrorIrresolvableConflict", None),
        ("lost", 504, "GatewayTimeout", None),
    ],
)
def test_a_named_fault_hits_one_call_alone_or_as_a_part(
    ms: Stand, kind: str, status: int, code: str, after: str | None
) -> None:
    ms.fault(kind, match=LIST, times=2)
    alone = ms.call("GET", f"{ME}/messages", status=status)
    parts = ms.batch({"url": f"{ME}/messages"}, {"url": f"{ME}/mailFolders"}, {"url": f"{ME}/messages"})
    assert (ms.code(alone), alone.headers.get("retry-after")) == (code, after)
    assert (parts["1"]["body"]["error"]["code"], parts["1"]["headers"].get("Retry-After")) == (code, after)
    assert [parts[n]["status"] for n in "123"] == [status, 200, 200]


def test_a_lost_answer_was_done(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    ms.fault("lost", match="PATCH")
    ms.call("PATCH", f"{ME}/messages/{one}", json={"isRead": True}, status=504)
    assert ms.get(f"{ME}/messages/{one}")["isRead"] is True
    ms.fault("drop_after", match="PATCH")
    with pytest.raises(httpx.RemoteProtocolError):
        ms.call("PATCH", f"{ME}/messages/{one}", json={"isRead": False})
    assert ms.get(f"{ME}/messages/{one}")["isRead"] is False


def test_a_fault_finds_its_call_however_the_path_is_spelled(ms: Stand) -> None:
    ms.fault("status", status=500, match="GET /v1.0/users/{user}/mailFolders/{folder}", body={"error": {"code": "x"}})
    assert ms.call("GET", f"{ME}/mailfolders('inbox')", status=500).json() == {"error": {"code": "x"}}
    ms.fault("status", status=503, match="/messages/delta", headers={"Retry-After": "7"})
    part = ms.batch({"url": f"{ME}/mailFolders('inbox')/messages/delta()"})["1"]
    assert (part["status"], part["headers"]["Retry-After"]) == (503, "7")


def test_more_than_the_limit_within_ten_minutes_is_throttled_until_they_pass(ms: Stand) -> None:
    ms.world.switches["microsoft.requests_per_10_min"] = 5
    parts = ms.batch(*({"url": f"{ME}/mailFolders"} for _ in range(7)), {"url": f"/users/{BO}/mailFolders"})
    assert [parts[str(n)]["status"] for n in range(1, 9)] == [200] * 5 + [429] * 2 + [200]
    late = ms.call("GET", f"{ME}/mailFolders", status=429)
    assert ms.code(late) == "TooManyRequests"
    ms.world.clock.advance(int(late.headers["retry-after"]))
    ms.call("GET", f"{ME}/mailFolders", status=200)


def test_more_than_four_requests_at_a_time_to_one_mailbox_are_throttled(ms: Stand) -> None:
    ms.world.latency_s = 0.2
    ready = threading.Barrier(8)

    def ask(n: int) -> int:
        with httpx.Client(verify=ms.authority.client_context()) as client:
            ready.wait(10)
            address = ADA if n < 7 else BO
            url = f"{ms.url}/v1.0/users/{address}/mailFolders"
            return client.get(url, headers={"Authorization": f"Bearer {ms.token}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert sorted(answers[:7])[:4] == [200] * 4 and 429 in answers[:7] and answers[7] == 200


def test_what_is_not_built_says_so(ms: Stand) -> None:
    answer = ms.call("GET", f"{ME}/contacts", status=501)
    assert "has not built GET /v1.0/users/ada@example.test/contacts" in answer.json()["error"]["message"]
    assert ms.world.calls.snapshot()["microsoft"] == {"GET (not built)": 1}
    assert ms.batch({"url": f"{ME}/contacts"}, {"method": "POST", "url": "/$batch"})["2"]["status"] == 501


def test_the_same_seed_gives_the_same_answers(ms: Stand) -> None:
    def tell() -> tuple[str, list[str], str]:
        ms.reset()
        made = ms.subscribe(f"{ME}/messages")["id"]
        order = [
            part["id"]
            for part in ms.call(
                "POST",
                "/$batch",
                json={"requests": [{"id": str(n), "method": "GET", "url": f"{ME}/mailFolders"} for n in range(9)]},
            ).json()["responses"]
        ]
        return made, order, ms.get(f"{ME}/messages/{ms.deliver(mime('No id'))}?$select=internetMessageId")["internetMessageId"]

    assert tell() == tell()
