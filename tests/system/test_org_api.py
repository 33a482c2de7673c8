"""An admin has the key field made through the API, and from then on records carry the key. Real runtime, stand-ins, Azurite."""

from __future__ import annotations

from typing import Any

import requests

from shared.access.tokens import issue
from shared.ports import MailboxKey
from tests.system.broken import host
from tests.system.broken_rows import ROOT
from tests.system.diary import KEY_FIELD, Diary
from tests.system.stage import Stage


def test_an_admin_has_the_key_field_made_and_records_carry_the_key(stage: Stage) -> None:
    stage.users("ann", "bob")
    key = MailboxKey(stage.key("ann"))
    with host(stage, ROOT) as log:
        origin = log.with_suffix(".address").read_text()

        def call(method: str, path: str, role: str) -> tuple[int, Any]:
            token = issue(stage.wire.settings, stage.clock.now(), key, role)  # type: ignore[arg-type]
            answer = requests.request(
                method, f"{origin}/api/v1/{path}", timeout=30, verify=str(stage.authority.ca_file),
                headers={"Authorization": f"Bearer {token}"},
            )  # fmt: skip
            return answer.status_code, answer.json()

        status, told = call("GET", "org", "user")
        assert (status, told["mode"]) == (200, "lookup")
        assert "may be made twice" in told["text"]
        status, told = call("POST", "org/key-field", "user")
        assert (status, told["code"]) == (403, "settings.role")
        for _ in range(2):
            status, told = call("POST", "org/key-field", "admin")
            assert (status, told["mode"]) == (200, "key"), told
    for name in ("ann", "bob"):
        stage.sessions(name)
        Diary(stage, name).make(f"Talk of {name}", marked=True)
        stage.sessions(name)
    rows = stage.do(lambda: [dict(row) for row in stage.salesforce.records.store.all("Event")])
    assert [bool(row[KEY_FIELD]) for row in rows] == [True, True]
