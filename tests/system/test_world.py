"""The sandbox's process by itself: three origins, the control API, the sample data, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.authority import Authority
from sandbox.control import BASE, ROUTES
from sandbox.run import PORTS, new_settings
from tests.system.conftest import CONTRACTS, ROOT

OLIVIA, MAREK = "olivia.brandt@harbourline.example", "marek.novak@harbourline.example"
MAIL = (
    b"From: Carl <carl@customer.example>\r\nTo: marek.novak@harbourline.example\r\nSubject: Just arrived\r\n"
    b"Message-ID: <just.arrived@customer.example>\r\nContent-Type: text/plain\r\n\r\nHello.\r\n"
)


@dataclass
class Running:
    """A sandbox process and its three addresses."""

    process: subprocess.Popen[str]
    origins: dict[str, str]
    ca: str
    clock_file: Path

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, self.origins["world"] + BASE + path, verify=self.ca, timeout=30, **more)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def user(self, address: str) -> dict[str, str]:
        found: dict[str, str] = next(user for user in self.get("/users") if user["mailbox"] == address)
        return found

    def graph(self, address: str, path: str) -> Any:
        token = self.user(address)["mailbox_token"]
        headers = {"Authorization": f"Bearer {token}", "Prefer": 'IdType="ImmutableId"'}
        answer = requests.get(f"{self.origins['microsoft']}/v1.0{path}", headers=headers, verify=self.ca, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def soql(self, statement: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.user(OLIVIA)['salesforce_token']}"}
        address = f"{self.origins['salesforce']}/services/data/v60.0/query"
        answer = requests.get(address, params={"q": statement}, headers=headers, verify=self.ca, timeout=30)
        assert answer.status_code == 200, answer.text
        records: list[dict[str, Any]] = answer.json()["records"]
        return records

    def endpoints(self, folder: Path) -> Path:
        """An `endpoints.json` for the comparer, without a product."""
        vendors = {
            "microsoft": {"graph": f"{self.origins['microsoft']}/v1.0"},
            "salesforce": {"instance": self.origins["salesforce"]},
        }
        file = folder / "endpoints.json"
        file.write_text(json.dumps({"world": self.origins["world"] + BASE, "ca": self.ca, **vendors}))
        return file


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[Running]:
    authority = Authority(folder / "authority")
    settings = new_settings(folder, dict.fromkeys(PORTS, 1), "storage of no account", authority.ca_file)
    command = [sys.executable, "-m", "sandbox.world", "--authority", str(authority.folder)]
    values = {**os.environ, **settings, **environment}
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=values, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening "), (folder / "errors").read_text()
        origins = dict(part.split("=", 1) for part in line.split()[1:])
        yield Running(process, origins, str(authority.ca_file), folder / "clock")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(one: Running) -> Running:
    """The module's sandbox, back at the sample data."""
    assert one.ask("POST", "/reset").status_code == 200
    return one


def compare(endpoints: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests" / "system" / "compare.py"), "--endpoints", str(endpoints)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_each_user_comes_with_tokens_that_open_the_vendors(one: Running) -> None:
    users = one.get("/users")
    assert [(user["mailbox"], user["vendor"], user["salesforce_connection"]) for user in users] == [
        (OLIVIA, "microsoft", "org"),
        (MAREK, "microsoft", "personal"),
    ]
    for user in users:
        assert one.graph(user["mailbox"], "/me")["mail"] == user["mailbox"]
        assert re.fullmatch(r"005\w{15}", user["salesforce_user_id"])
        assert user["product_token"].count(".") == 2
    found = one.soql(f"SELECT Id, Email FROM User WHERE Id = '{users[1]['salesforce_user_id']}'")
    assert [row["Email"] for row in found] == [MAREK]


def test_the_sample_has_three_hundred_folders_in_one_mailbox_and_every_mail_of_the_manifest(world: Running) -> None:
    counts = {entry["mailbox"]: entry["mails"] for entry in world.get("/mailboxes")}
    manifest = world.get("/manifest")
    for address, count in counts.items():
        assert count == sum(1 for entry in manifest for copy in entry["copies"] if copy[0] == address)
    assert 300 <= len(manifest) <= 450
    page = world.graph(OLIVIA, "/me/mailFolders/delta")
    folders = {folder["id"]: folder["parentFolderId"] for folder in page["value"]}
    while link := page.get("@odata.nextLink"):
        page = world.graph(OLIVIA, link.split("/v1.0", 1)[1])
        folders |= {folder["id"]: folder["parentFolderId"] for folder in page["value"]}
    assert len(folders) == 300


def test_people_go_on_once_and_everything_they_make_has_its_row(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        before = {entry["event"] for entry in world.get("/manifest/events")}
        for _ in range(2):
            assert world.ask("POST", "/go_on").json() == {}
        after = world.get("/manifest/events")
        assert before < {entry["event"] for entry in after}
        for address in (OLIVIA, MAREK):
            there = {event["id"] for event in world.graph(address, "/me/events?$select=id&$top=200")["value"]}
            expected = {one["id"] for entry in after for one in entry["mailbox"] if one["mailbox"] == address}
            assert there == expected - {""}
        stand = {row["Id"] for row in world.soql("SELECT Id FROM Event")}
        assert stand == {one["id"] for entry in after for one in entry["records"]} - {""}


def test_a_delivered_mail_lies_in_that_inbox_and_in_no_other(world: Running) -> None:
    answer = world.ask("POST", f"/deliver?mailbox={MAREK}", data=MAIL)
    assert answer.status_code == 200, answer.text
    listed = {address: world.graph(address, "/me/mailFolders/inbox/messages?$select=id,subject&$top=1")["value"]
              for address in (MAREK, OLIVIA)}  # fmt: skip
    assert [(mail["id"], mail["subject"]) for mail in listed[MAREK]] == [(answer.json()["id"], "Just arrived")]
    assert listed[OLIVIA][0]["subject"] != "Just arrived"


def test_many_mails_can_be_delivered_at_once(world: Running) -> None:
    asked = {"mailbox": MAREK, "count": 300, "folder": "Bulk/Here", "categories": ["Salesforce"], "file_size": 500}
    answer = world.ask("POST", "/bulk", json=asked)
    assert answer.status_code == 200, answer.text
    assert len(set(answer.json()["message_ids"])) == 300
    newest = world.graph(
        MAREK, "/me/messages?$filter=categories/any(c:c eq 'Salesforce')&$select=subject,hasAttachments&$top=400"
    )
    assert sum(1 for mail in newest["value"] if mail["subject"].startswith("bulk ") and mail["hasAttachments"]) == 300


def test_calls_are_counted_by_vendor_and_template_and_can_be_cleared(world: Running) -> None:
    world.graph(OLIVIA, "/me/mailFolders/inbox/messages?$top=1")
    world.soql("SELECT Id FROM Account")
    assert world.get("/calls") == {
        "microsoft": {"GET /v1.0/me/mailFolders/{folder}/messages": 1},
        "salesforce": {"GET /services/data/{version}/query": 1},
    }
    assert world.get("/requests") == {"microsoft": 1, "salesforce": 1}
    assert world.ask("DELETE", "/calls").status_code == 200
    assert world.get("/calls") == {}


def test_the_clock_moves_the_world_and_the_products_clock_file_alike(one: Running) -> None:
    before = one.get("/clock")
    answer = one.ask("POST", "/clock", json={"advance_s": 90})
    assert answer.status_code == 200, answer.text
    after = one.get("/clock")
    assert after["advanced_s"] - before["advanced_s"] == 90
    assert float(one.clock_file.read_text()) == after["advanced_s"]
    passed = datetime.fromisoformat(after["now"]) - datetime.fromisoformat(before["now"])
    assert passed.total_seconds() >= 90


def test_a_planned_fault_strikes_as_often_as_it_says(world: Running) -> None:
    rule = {"vendor": "microsoft", "kind": "status", "match": "/messages", "status": 503, "times": 1}
    planned = world.ask("POST", "/faults", json={"rules": [rule], "notify_delay_s": [0.2, 2], "switches": {"microsoft.x": 1}})
    assert planned.status_code == 200, planned.text
    assert planned.json()["rules"][0]["times"] == 1
    headers = {"Authorization": f"Bearer {world.user(OLIVIA)['mailbox_token']}"}
    address = f"{world.origins['microsoft']}/v1.0/me/messages?$top=1"
    statuses = [requests.get(address, headers=headers, verify=world.ca, timeout=20).status_code for _ in range(2)]
    assert statuses == [503, 200]


def test_a_person_marks_and_moves_a_mail(world: Running) -> None:
    mail_id = world.graph(MAREK, "/me/mailFolders/inbox/messages?$select=id&$top=1")["value"][0]["id"]
    for act in ({"act": "categorize", "categories": ["Salesforce"]}, {"act": "move", "folder": "Kept/Here"}):
        answer = world.ask("POST", "/act", json={"mailbox": MAREK, "mail": mail_id, **act})
        assert answer.status_code == 200, answer.text
    mail = world.graph(MAREK, f"/me/messages/{mail_id}?$select=categories,parentFolderId")
    assert mail["categories"] == ["Salesforce"]
    assert world.graph(MAREK, f"/me/mailFolders/{mail['parentFolderId']}")["displayName"] == "Here"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/deliver?mailbox=nobody@example.test", MAIL, 400, "no mailbox nobody@example.test"),
        ("POST", f"/deliver?mailbox={OLIVIA}", b"", 400, "raw MIME"),
        ("POST", "/clock", b'{"advance_s": -1}', 400, "forward"),
        ("POST", "/clock", b"{}", 400, "number of seconds"),
        ("POST", "/clock", b"[", 400, "JSON object"),
        ("POST", "/faults", b'{"rule": []}', 400, "Not known here: rule"),
        ("POST", "/faults", b'{"rules": [{"vendor": "microsoft"}]}', 400, "kind"),
        ("POST", "/faults", b'{"rules": [{"vendor": "x", "kind": "y", "often": 2}], "latency_ms": 9}', 400, "no often"),
        ("POST", "/bulk", f'{{"mailbox": "{OLIVIA}", "count": 0}}'.encode(), 400, "from 1"),
        ("POST", "/act", b'{"act": "burn"}', 400, "categorize"),
        ("POST", "/act", f'{{"act": "delete", "mailbox": "{OLIVIA}", "mail": "x"}}'.encode(), 400, "refuse"),
        ("GET", "/nothing", None, 404, "lists what there is"),
        ("POST", "/users", b"", 405, "GET"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    one: Running, method: str, path: str, body: bytes | None, status: int, says: str
) -> None:
    answer = one.ask(method, path, data=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    "headers", [{"Host": "elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_a_page_of_another_site_gets_nothing(one: Running, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/users"), ("POST", "/reset"), ("GET", "/nothing")):
        answer = one.ask(method, path, headers=headers)
        assert (answer.status_code, list(answer.json())) == (403, ["error"])


def test_a_reset_brings_the_same_sample_back(world: Running) -> None:
    before = world.get("/manifest")
    world.ask("POST", f"/deliver?mailbox={MAREK}", data=MAIL)
    world.ask("POST", "/faults", json={"rules": [{"vendor": "microsoft", "kind": "status"}], "latency_ms": 5})
    assert world.ask("POST", "/reset").status_code == 200
    assert world.get("/manifest") == before
    assert world.get("/faults") == {"latency_ms": 0, "notify_delay_s": [0, 0], "rules": [], "switches": {}}
    assert world.get("/calls") == {}


@pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"the vendors' contracts are not at {CONTRACTS}")
def test_every_answer_of_graph_was_checked_against_the_contract(world: Running) -> None:
    for path in ("/me", "/me/messages?$top=200", "/me/mailFolders", "/me/mailFolders/inbox/messages/delta"):
        world.graph(OLIVIA, path)
    told = world.get("/contracts")
    assert told["microsoft"] == {"answers": 4, "validated": 4, "share": 1.0}
    assert told["violations"] == []


def test_the_comparer_misses_every_record_while_no_product_runs(world: Running, tmp_path: Path) -> None:
    compared = compare(world.endpoints(tmp_path))
    assert compared.returncode == 1
    missing = re.findall(r"^(\S+): 0 records, expected 1", compared.stdout, re.MULTILINE)
    assert missing == [entry["mail"] for entry in world.get("/manifest") if entry["saved"]]
    assert "the category Salesforce stands there 0 times" in compared.stdout


def test_the_comparer_names_a_mail_that_came_or_changed(world: Running, tmp_path: Path) -> None:
    world.ask("POST", f"/deliver?mailbox={MAREK}", data=MAIL)
    moved = next(entry for entry in world.get("/manifest") if entry["mail"] == "unsync")
    act = {"mailbox": OLIVIA, "mail": moved["copies"][0][1], "act": "categorize", "categories": []}
    assert world.ask("POST", "/act", json=act).status_code == 200
    said = compare(world.endpoints(tmp_path)).stdout
    assert "a mail nobody expected: 'Just arrived'" in said
    assert "unsync has the categories [], expected ['Salesforce Unsync']" in said


def test_without_being_asked_there_is_no_canary(one: Running) -> None:
    assert one.get("/canaries") == []


def test_every_canary_is_unique_and_stands_in_the_state(tmp_path: Path) -> None:
    with running(tmp_path, MAILSPAN_CANARIES="1") as world:
        assert world.ask("POST", "/go_on").status_code == 200
        canaries = world.get("/canaries")
        words = [canary["word"] for canary in canaries]
        there = set(re.findall(r"qz[a-z2-7]{13}", world.ask("GET", "/state").text.lower()))
        assert len(set(words)) == len(words)
        assert [canary for canary in canaries if canary["word"] not in there] == []
        assert {canary["field"] for canary in canaries} >= {
            "subject", "body", "name", "first name", "last name", "address", "domain", "company", "file name", "Message-ID",
            "folder", "opportunity", "case", "file content", "event subject", "event place", "event body", "event description",
        }  # fmt: skip
        assert all(any(word in entry for word in words) for entry in world.get("/sample")["settings"]["blocklist"])
        assert {entry["mail"] for entry in world.get("/manifest") if entry["saved"]}  # the canaries changed no outcome


def test_two_sandboxes_live_side_by_side_and_a_sigterm_ends_one_cleanly(one: Running, tmp_path: Path) -> None:
    with running(tmp_path) as other:
        assert other.origins.keys() == one.origins.keys()
        assert set(other.origins.values()).isdisjoint(one.origins.values())
        other.process.send_signal(signal.SIGTERM)
        assert other.process.wait(20) == 0
        assert (tmp_path / "errors").read_text() == ""
    assert one.get("/mailboxes")


def test_every_endpoint_of_the_control_api_is_described() -> None:
    text = (ROOT / "docs" / "running.md").read_text()
    described = set(re.findall(r"^\| `(GET|POST|DELETE) (/[^`? ]*)", text, re.MULTILINE))
    assert described == {(method, path) for method, path, _ in ROUTES}
