"""Bad and good input at the webhooks, line by line of the design's table, through the real runtime, TLS and Azurite."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from sandbox.azurite import Azurite
from shared.access.install import new_install
from shared.core.keys import client_state, mailbox_key
from tests.system.conftest import ROOT, RunningHost

DOORS = ROOT / "tests/system/apps/doors"


class Doors:
    """The product's webhooks in a host whose queue nobody empties."""

    def __init__(self, host: RunningHost, secret: bytes, mailbox: str, queue: QueueClient) -> None:
        self.host, self.secret, self.mailbox, self._queue = host, secret, mailbox, queue

    def body(self, *states: str) -> bytes:
        values = [{"subscriptionId": "s", "changeType": "created", "clientState": state} for state in states]
        return json.dumps({"value": values}).encode()

    def state(self, generation: int = 3) -> str:
        return client_state(self.secret, self.mailbox, generation)

    def post(self, body: bytes, *, kind: str = "notify", mailbox: str = "", generation: str = "3", query: str = "") -> Any:
        path = f"/api/graph/{kind}/{mailbox or self.mailbox}/{generation}{query}"
        return self.host.call("POST", path, data=body, headers={"Content-Type": "application/json"})

    def rings(self) -> list[dict[str, Any]]:
        try:
            found = [json.loads(message.content) for message in self._queue.receive_messages(max_messages=32)]
            self._queue.clear_messages()
            return found
        except ResourceNotFoundError:
            return []


@pytest.fixture
def doors(start_host: Callable[..., RunningHost], azurite: Azurite, tmp_path: Path) -> Doors:
    install = new_install(tmp_path / "install")
    common = {
        "MAILSPAN_STORAGE": azurite.connection_string,
        "MAILSPAN_PUBLIC_URL": "https://localhost",
        "MAILSPAN_MICROSOFT_TENANT": "t",
        "MAILSPAN_MICROSOFT_CLIENT_ID": "c",
        "MAILSPAN_MICROSOFT_CLIENT_SECRET": "s",
        "MAILSPAN_SALESFORCE_CLIENT_ID": "c",
    }
    host = start_host(DOORS, **install, **common)
    secret = base64.b64decode(install["MAILSPAN_WEBHOOK_SECRETS"])
    mailbox = mailbox_key(base64.b64decode(install["MAILSPAN_INSTALL_SECRET"]), "microsoft", "Ann@Example.test")
    connection = azurite.connection_string
    queue = QueueClient.from_connection_string(connection, "sessions", message_decode_policy=TextBase64DecodePolicy())
    made = Doors(host, secret, mailbox, queue)
    made.rings()
    return made


def test_a_handshake_gets_its_token_back_as_escaped_text(doors: Doors) -> None:
    answer = doors.post(b"", query="?validationToken=abc%20%3Cscript%3E", generation="99")
    assert (answer.status_code, answer.text) == (200, "abc &lt;script&gt;")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert doors.post(b"", query="?validationToken=" + "x" * 513).status_code == 400
    assert doors.post(b"", query="?validationToken=" + "x" * 512).text == "x" * 512
    assert doors.rings() == []


def test_a_valid_notification_is_202_and_one_ring_however_many_it_carries(doors: Doors) -> None:
    assert doors.post(doors.body(doors.state(), doors.state())).status_code == 202
    rings = doors.rings()
    assert [(ring["mailbox"], ring["why"], ring["v"]) for ring in rings] == [(doors.mailbox, "push", 1)]
    assert doors.post(doors.body(doors.state()), kind="lifecycle").status_code == 202
    assert len(doors.rings()) == 1


@pytest.mark.parametrize("case", ["wrong state", "no state", "one of two", "other mailbox", "other generation", "number"])
def test_what_does_not_verify_is_401_with_an_empty_body_and_nothing_is_queued(doors: Doors, case: str) -> None:
    right = doors.state()
    answer = {
        "wrong state": lambda: doors.post(doors.body("x" * 52)),
        "no state": lambda: doors.post(b'{"value": [{"subscriptionId": "s"}]}'),
        "one of two": lambda: doors.post(doors.body(right, "forged")),
        "other mailbox": lambda: doors.post(doors.body(right), mailbox="a" * 26),
        "other generation": lambda: doors.post(doors.body(right), generation="4"),
        "number": lambda: doors.post(b'{"value": [{"clientState": 1}]}'),
    }[case]()
    assert (answer.status_code, answer.content) == (401, b"")
    assert doors.rings() == []


MALFORMED = [
    b"",
    b"{",
    b"[]",
    b'"text"',
    b"{}",
    b'{"value": {}}',
    b'{"value": []}',
    b'{"value": ["a"]}',
    b"\xff\xfe",
    b"[" * 50_000,
]


@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_json_is_400(doors: Doors, body: bytes) -> None:
    assert doors.post(body).status_code == 400
    assert doors.rings() == []


def test_over_a_megabyte_is_413_and_a_wrong_method_405(doors: Doors) -> None:
    assert doors.post(b'{"value": [' + b" " * 1024 * 1024 + b"]}").status_code == 413
    assert doors.host.call("GET", f"/api/graph/notify/{doors.mailbox}/3").status_code == 405
    assert doors.post(doors.body(doors.state()), generation="x").status_code == 404
    assert doors.post(doors.body(doors.state()), kind="other").status_code == 404
    assert doors.rings() == []
