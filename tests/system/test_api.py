"""The JSON API through the real runtime, TLS and Azurite. Every answer is held against the API's own OpenAPI document."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import jsonschema_rs
import jwt
import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64DecodePolicy
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from functions.openapi import ROUTES, document
from sandbox.azurite import Azurite
from shared.access import directory
from shared.access.directory import MailboxEntry
from shared.access.install import new_install
from shared.access.tokens import ROLES, issue
from shared.clock import SystemClock
from shared.core.keys import item_key
from shared.ports import Insert, LedgerEntry, MailboxKey, Place, Put
from shared.session import records
from shared.session.standing import Status
from shared.settings import read
from shared.store.ledger import TableLedger
from shared.store.tables import connect
from tests.system.conftest import ROOT, RunningHost

API = ROOT / "tests/system/apps/api"
DOCUMENT = document()
#: operation -> (path, method), as the document says
WAYS = {way["operationId"]: (path, method) for path, ways in DOCUMENT["paths"].items() for method, way in ways.items()}
DEAD_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:9/a;"
    "QueueEndpoint=http://127.0.0.1:9/a;"
)


class Deployment:
    """The product's API in a host whose queue nobody empties, and its clock in our hand."""

    def __init__(self, start: Callable[..., RunningHost], azurite: Azurite, folder: Path, **of_the_host: str) -> None:
        self.clock_file = folder / "clock"
        environment = {
            **new_install(folder / "install"),
            "MAILSPAN_STORAGE": azurite.connection_string,
            "MAILSPAN_PUBLIC_URL": "https://sync.example.com",
            "MAILSPAN_MICROSOFT_TENANT": "t",
            "MAILSPAN_MICROSOFT_CLIENT_ID": "c",
            "MAILSPAN_MICROSOFT_CLIENT_SECRET": "s",
            "MAILSPAN_SALESFORCE_CLIENT_ID": "c",
            "MAILSPAN_CLOCK_FILE": str(self.clock_file),
        }
        self.settings = read(environment)
        self.clock = SystemClock(str(self.clock_file))
        self.store = connect(azurite.connection_string)
        self.host = start(API, **{**environment, **of_the_host})
        policy = TextBase64DecodePolicy()
        self.queue = QueueClient.from_connection_string(azurite.connection_string, "sessions", message_decode_policy=policy)


class Api:
    """One connected mailbox of a deployment, and its owner with a fresh token."""

    def __init__(self, deployment: Deployment, address: str = "") -> None:
        self.settings, self.clock, self.store = deployment.settings, deployment.clock, deployment.store
        self.host, self.clock_file, self._queue = deployment.host, deployment.clock_file, deployment.queue
        self.clock_file.write_text("0")
        self.entry = self.connect(address or f"{uuid.uuid4().hex}@harbourline.example")
        self.token: str | None = issue(self.settings, self.clock.now(), self.entry.key)
        self.rings()

    def connect(self, address: str) -> MailboxEntry:
        return directory.connect(
            self.store, self.clock, self.settings.install_secret, self.settings.tenant, address=address, org="00Da",
            user="005a", username="ann@crm.example", connection="org",
        )  # fmt: skip

    @property
    def place(self) -> Place:
        return Place("state", self.settings.tenant, "mailbox", self.entry.key)

    def advance(self, seconds: float) -> None:
        """Moves the product's clock; tokens grow old with it."""
        self.clock_file.write_text(str(float(self.clock_file.read_text()) + seconds))

    def call(self, operation: str, item: str = "", *, query: str = "", **headers: str) -> Any:
        """Calls an operation of the document and holds the answer against it."""
        path, method = WAYS[operation]
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        address = "/api/v1" + re.sub(r"\{\w+\}", quote(item, safe=""), path) + query
        answer = self.host.call(method.upper(), address, headers=headers)
        held_against(DOCUMENT["paths"][path][method], answer)
        return answer

    def rings(self) -> list[Mapping[str, Any]]:
        try:
            found = [json.loads(message.content) for message in self._queue.receive_messages(max_messages=32)]
            self._queue.clear_messages()
            return found
        except ResourceNotFoundError:
            return []

    def note(self, *entries: LedgerEntry) -> None:
        ledger = TableLedger(self.store, self.settings.tenant, self.entry.key)
        for entry in entries:
            ledger.note(entry)
        ledger.flush()


def held_against(operation: Mapping[str, Any], answer: Any) -> None:
    """Fails where an answer is not what the document says, or may be kept or guessed at."""
    documented = operation["responses"].get(str(answer.status_code))
    assert documented is not None, f"{operation['operationId']} answered {answer.status_code}: {answer.text}"
    media = answer.headers["Content-Type"].split(";")[0]
    schema = {**documented["content"][media]["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(answer.json())
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if media == "application/problem+json":
        body = answer.json()
        assert body["status"] == answer.status_code
        assert body["code"] in documented["description"]
        assert body["type"] == f"https://sync.example.com/api/v1/problems/{body['code']}"


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture(scope="module")
def deployment(
    start_module_host: Callable[..., RunningHost], azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    return Deployment(start_module_host, azurite, tmp_path_factory.mktemp("deployment"))


@pytest.fixture
def api(deployment: Deployment) -> Api:
    return Api(deployment)


def test_the_document_is_openapi_and_a_broken_one_would_be_noticed() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)
    broken = json.loads(json.dumps(DOCUMENT))
    broken["paths"]["/me/ledger"]["get"]["parameters"][0]["in"] = "nowhere"
    assert len(list(OpenAPIV31SpecValidator(broken).iter_errors())) == 1


def test_the_documents_words_are_the_codes_words() -> None:
    words = {name: schema.get("enum") for name, schema in DOCUMENT["components"]["schemas"]["Me"]["properties"].items()}
    assert words["status"] == list(get_args(Status))
    assert words["role"] == list(ROLES)
    assert words["vendor"] == list(get_args(directory.Vendor))
    assert words["connection"] == list(get_args(directory.Connection))
    page = (ROOT / "docs/api.md").read_text()
    assert re.findall(r"^\| `([a-z]+)` \|", page, re.MULTILINE) == ["status", *words["status"]]


def test_the_doors_that_are_open_are_the_doors_of_the_document() -> None:
    import function_app

    opened: dict[str, tuple[str, list[str]]] = {}
    for one in function_app.app.get_functions():
        trigger = one.get_trigger().get_dict_repr()
        if str(trigger.get("route", "")).startswith("v1/"):
            opened[one.get_function_name()] = (trigger["route"], [str(m.value) for m in trigger["methods"]])
    assert opened == {route.name: (route.template, [route.method]) for route in ROUTES}


def test_every_route_is_explained_in_the_page_about_the_api() -> None:
    page = (ROOT / "docs/api.md").read_text()
    for route in ROUTES:
        assert f"| `{route.method} /{route.path.replace('{*', '{')}` |" in page
    assert set(re.findall(r"\| `([A-Z]+ /\S+)` \|", page)) == {f"{r.method} /{r.path.replace('{*', '{')}" for r in ROUTES}


def test_the_open_doors_need_no_token_and_name_nobody(api: Api) -> None:
    api.token = None
    health = api.call("health")
    assert (health.status_code, health.json()["checks"]) == (200, {"settings": "ok", "storage": "ok", "tokens": "ok"})
    assert api.call("openapi").json() == json.loads(json.dumps(DOCUMENT))
    told = api.call("problem", "sync.too_soon").json()
    assert (told["code"], told["what"]) == ("sync.too_soon", "A sync was asked for less than a minute ago.")
    assert "string_too_long" in api.call("problem", "refused.string_too_long").json()["what"]
    assert refusal(api.call("problem", "no.such.code")) == (404, "request.code")


def test_me_says_whose_mailbox_it_is_and_how_it_stands(deployment: Deployment) -> None:
    api = Api(deployment, "ann@harbourline.example")
    found = api.call("me").json()
    assert (found["mailbox"], found["address"], found["user"]) == (api.entry.key, "ann@harbourline.example", "ann@crm.example")
    assert (found["vendor"], found["org"], found["connection"], found["role"]) == ("microsoft", "00Da", "org", "user")
    assert (found["status"], found["health"]["code"], found["last_ok"], found["api"], found["issues"]) == (
        "new",
        "new",
        None,
        None,
        0,
    )
    now = api.clock.now()
    state = records.row(
        stage="waiting", failures=1, not_before="", health="mailbox.consent_needed.mfa", last_ok=records.text_of(now)
    )
    api.store.commit(api.place, [Put(records.STATE, state), Insert(records.held("a"), records.row())])
    budget = records.row(band="stretched", share=0.75, since=now.isoformat(), heard=now.isoformat())
    api.store.commit(Place("state", api.settings.tenant, "org", "00Da"), [Put("budget", budget)])
    found = api.call("me").json()
    assert (found["status"], found["stage"], found["issues"]) == ("waiting", "waiting", 1)
    assert found["last_ok"] == records.text_of(now)
    assert "second factor" in found["health"]["text"]
    assert found["api"] == {"band": "stretched", "share": 0.75, "heard": records.text_of(now)}
    api.token = issue(api.settings, now, api.entry.key, "admin")
    assert api.call("me").json()["role"] == "admin"


OWNERS = [route.name for route in ROUTES if route.mailbox]


def test_without_a_good_token_every_door_of_a_mailbox_is_shut_and_says_how_to_sign_in(api: Api) -> None:
    good, api.token = api.token, None
    key = base64.b64encode(b"k" * 32)
    cases = {
        None: "token.missing",
        "Basic YTpi": "token.missing",
        "Bearer": "token.missing",
        "Bearer x": "token.refused",
        f"Bearer {good}x": "token.refused",
        f"Bearer {jwt.encode({'sub': api.entry.key}, key, 'HS256')}": "token.refused",
    }
    for operation in OWNERS:
        for header, code in cases.items():
            answer = api.call(operation, "i", **({} if header is None else {"Authorization": header}))
            assert refusal(answer) == (401, code)
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="mailspan"')
    assert api.rings() == []
    assert api.store.get(api.place, records.PAUSE) is None
    api.token = good
    api.advance(15 * 60)
    assert {refusal(api.call(operation, "i")) for operation in OWNERS} == {(401, "token.expired")}
    api.token = issue(api.settings, api.clock.now(), api.entry.key)
    assert api.call("me").status_code == 200


def test_a_good_token_of_a_mailbox_that_is_not_connected_is_404_everywhere(api: Api) -> None:
    api.token = issue(api.settings, api.clock.now(), MailboxKey("z" * 26))
    assert {refusal(api.call(operation, "i")) for operation in OWNERS} == {(404, "mailbox.unknown")}
    stranger = Place("state", api.settings.tenant, "mailbox", "z" * 26)
    assert list(api.store.scan(stranger)) == []
    assert api.rings() == []
    assert directory.disconnect(api.store, api.clock, api.settings.install_secret, api.settings.tenant, api.entry.key)
    api.token = issue(api.settings, api.clock.now(), api.entry.key)
    assert {refusal(api.call(operation, "i")) for operation in OWNERS} == {(404, "mailbox.unknown")}
    assert list(api.store.scan(api.place)) == []


def test_sync_rings_once_a_minute_and_says_when_to_ask_again(api: Api) -> None:
    first = api.call("me_sync")
    assert (first.status_code, first.json()["code"]) == (202, "sync.started")
    rings = api.rings()
    assert [(ring["mailbox"], ring["why"]) for ring in rings] == [(api.entry.key, "user")]
    assert datetime.fromisoformat(rings[0]["at"]) == datetime.fromisoformat(first.json()["at"])
    again = api.call("me_sync")
    assert refusal(again) == (409, "sync.too_soon")
    assert 1 <= int(again.headers["Retry-After"]) <= 60
    assert f"in {again.headers['Retry-After']} seconds" in again.json()["detail"]
    assert api.rings() == []
    api.advance(60)
    assert api.call("me_sync", Idempotency_Key="one").status_code == 202
    assert api.call("me_sync", Idempotency_Key="one").status_code == 202
    assert refusal(api.call("me_sync", Idempotency_Key="two")) == (409, "sync.too_soon")
    assert len(api.rings()) == 1
    assert refusal(api.call("me_sync", Idempotency_Key="x" * 256)) == (400, "request.idempotency_key")
    kept = json.dumps([dict(row.value) for row in api.store.scan(api.place)])
    assert '"one"' not in kept


def test_pause_and_resume_may_be_sent_twice_and_resuming_rings(api: Api) -> None:
    first = api.call("me_pause", Idempotency_Key="p").json()
    assert (first["paused"], first["status"]) == (True, "paused")
    assert api.call("me_pause").json()["paused_at"] == first["paused_at"]
    assert refusal(api.call("me_sync")) == (409, "sync.paused")
    assert api.rings() == []
    assert api.call("me_health").json()["health"]["code"] == "mailbox.paused"
    resumed = api.call("me_resume").json()
    assert (resumed["paused"], resumed["paused_at"], resumed["status"]) == (False, None, "new")
    assert api.call("me_resume").status_code == 200
    assert [ring["why"] for ring in api.rings()] == ["user"]


def test_health_gives_every_time_and_turns_late_by_the_clock(api: Api) -> None:
    now = api.clock.now()
    times = {
        name: records.text_of(now + timedelta(minutes=n)) for n, name in enumerate(("last_ok", "last_tried", "not_before"))
    }
    state = records.row(stage="active", failures=2, health="ok", activated=records.text_of(now), **times)
    api.store.commit(api.place, [Put(records.STATE, state)])
    found = api.call("me_health").json()
    assert (found["status"], found["failures"], found["activated"]) == ("ok", 2, records.text_of(now))
    assert [found[name] for name in ("last_ok", "last_tried", "next_try")] == list(times.values())
    api.advance(91 * 60)
    api.token = issue(api.settings, api.clock.now(), api.entry.key)
    assert (api.call("me_health").json()["status"], api.call("me").json()["health"]["code"]) == ("late", "mailbox.late")


IDS = ["<plain@mail.example>", "<a/b?c#d%2F&e=+@mail.example>", "no brackets@mail.example", "<ümlaut-\U0001f600@mail.example>"]


def test_the_ledger_tells_why_newest_first_page_by_page(api: Api) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    item = item_key(api.settings.install_secret, "mail", IDS[0])
    saved = LedgerEntry(
        item, "mail", "saved.auto", start, "s1", "mail", ("related.account", "file.too_large", "Subject", "odd.name")
    )
    others = [LedgerEntry(f"{n:032}", "mail", "skipped.internal", start + timedelta(seconds=n), "s1") for n in range(1, 120)]
    refused = LedgerEntry(item, "mail", "held.refused.string_too_long", start + timedelta(hours=1), "s2")
    api.note(saved, *others, refused)
    seen, query = [], "?limit=50"
    while True:
        page = api.call("me_ledger", query=query).json()
        seen += page["entries"]
        if page["next"] is None or len(seen) > 200:
            break
        query = f"?limit=50&next={page['next']}"
    assert [entry["at"] for entry in seen] == sorted((entry["at"] for entry in seen), reverse=True)
    assert len(seen) == 121
    assert (seen[0]["rule"], seen[0]["session"]) == ("held.refused.string_too_long", "s2")
    assert "string_too_long" in seen[0]["text"]
    oldest = seen[-1]
    assert [told["code"] for told in oldest["because"]] == ["related.account", "file.too_large"]
    assert oldest["fields"] == ["Subject", "odd.name"]
    assert len(api.call("me_ledger").json()["entries"]) == 50
    for item_form in (item, IDS[0], IDS[0].strip("<>")):
        found = api.call("me_ledger_item", item_form).json()
        assert [entry["rule"] for entry in found["entries"]] == ["held.refused.string_too_long", "saved.auto"]
        assert found["next"] is None
    first = api.call("me_ledger_item", item, query="?limit=1").json()
    rest = api.call("me_ledger_item", item, query=f"?limit=1&next={first['next']}").json()
    assert [first["entries"][0]["rule"], rest["entries"][0]["rule"]] == ["held.refused.string_too_long", "saved.auto"]


def test_an_item_is_found_by_any_message_id_and_an_unknown_one_is_404(api: Api) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for message_id in IDS:
        api.note(LedgerEntry(item_key(api.settings.install_secret, "mail", message_id), "mail", "saved.marked", start, "s"))
    for message_id in IDS:
        assert len(api.call("me_ledger_item", message_id).json()["entries"]) == 1
    for unknown in ("<other@mail.example>", "a" * 32, "x"):
        assert refusal(api.call("me_ledger_item", unknown)) == (404, "ledger.unknown")
    other = api.connect("bob@harbourline.example")
    api.token = issue(api.settings, api.clock.now(), other.key)
    assert refusal(api.call("me_ledger_item", IDS[0])) == (404, "ledger.unknown")
    assert api.call("me_ledger").json() == {"entries": [], "next": None}


def test_a_question_that_cannot_be_answered_is_400(api: Api) -> None:
    for operation in ("me_ledger", "me_ledger_item"):
        for limit in ("0", "201", "-1", "x", "", "1e2", "٣", "9" * 400):
            assert refusal(api.call(operation, "x", query=f"?limit={limit}")) == (400, "request.limit")
        for cursor in ("x", "%00", "MDAwMA", "a" * 2000):
            assert refusal(api.call(operation, "x", query=f"?next={cursor}")) == (400, "request.next")
    assert api.host.call("POST", "/api/v1/me").status_code == 405
    assert api.host.call("GET", "/api/v1/me/sync").status_code == 405
    assert api.host.call("GET", "/api/v1/nothing").status_code == 404


def test_a_storage_that_does_not_answer_is_503_with_a_time_and_nothing_of_the_storage(
    start_host: Callable[..., RunningHost], azurite: Azurite, tmp_path: Path
) -> None:
    api = Api(Deployment(start_host, azurite, tmp_path, MAILSPAN_STORAGE=DEAD_STORAGE))
    answer = api.call("me")
    assert refusal(answer) == (503, "retry.network")
    assert answer.headers["Retry-After"] == "5"
    assert "127.0.0.1" not in answer.text
    health = api.call("health")
    assert (health.status_code, health.json()) == (
        503, {"status": "failing", "checks": {"settings": "ok", "storage": "retry.network", "tokens": "ok"}},
    )  # fmt: skip


def test_a_deployment_without_its_settings_or_key_says_so_and_stays_shut(
    start_host: Callable[..., RunningHost], azurite: Azurite, tmp_path: Path
) -> None:
    without_key = Api(Deployment(start_host, azurite, tmp_path, MAILSPAN_SIGNING_KEY_FILE=str(tmp_path / "none.pem")))
    assert refusal(without_key.call("me")) == (503, "settings.signing_key")
    assert without_key.call("health").json()["checks"]["tokens"] == "settings.signing_key"
    bare = start_host(API)
    for path, code in (("me", "settings.missing"), ("me/ledger/x", "settings.missing")):
        answer = bare.call("GET", f"/api/v1/{path}", headers={"Authorization": "Bearer x"})
        assert refusal(answer) == (503, code)
        assert answer.json()["type"] == f"/api/v1/problems/{code}"
    assert bare.call("GET", "/api/v1/health").json() == {"status": "failing", "checks": {"settings": "settings.missing"}}
