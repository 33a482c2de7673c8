"""`make run`'s conductor as a person uses it: up, described, in agreement with the manifest, and cleanly gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.run import PORTS, USER_KEYS
from tests.system.conftest import CONTRACTS, ROOT

ROOM = len(PORTS)
#: lines that a run prints: up, four addresses, one per mailbox
LINES = 7


def _free_base(start: int) -> int:
    """The first of as many ports in a row as a run needs, free now."""
    for base in range(start, 60000, ROOM):
        with ExitStack() as opened:
            try:
                for n in range(ROOM):
                    opened.enter_context(socket.socket()).bind(("127.0.0.1", base + n))
                return base
            except OSError:
                continue
    raise AssertionError("not enough free ports in a row")


def _start(folder: Path, base: int, **settings: str) -> subprocess.Popen[str]:
    own = {"MAILSPAN_RUN_DIR": str(folder), "MAILSPAN_PORT_BASE": str(base), "MAILSPAN_HEADLESS": "1"}
    environment = {**os.environ, **own, **settings}
    command = [sys.executable, "-m", "sandbox.run"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )


def _lives(pid: int) -> bool:
    """Whether the process is there and no mere entry of one that has ended (such an entry has no command line)."""
    file = Path(f"/proc/{pid}/cmdline")
    return file.exists() and file.read_bytes() != b""


class Up:
    """A run that says it is up."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder = process, folder
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("Mailspan is up"), process.stderr and process.stderr.read()
        self.lines = [first, *(process.stdout.readline() for _ in range(LINES - 1))]
        self.endpoints: dict[str, Any] = json.loads((folder / "endpoints.json").read_text())

    def get(self, address: str, token: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(address, headers=headers, verify=self.endpoints["ca"], timeout=20)

    def children(self) -> list[int]:
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=True
        )
        return [int(pid) for pid in listed.stdout.split() if _lives(int(pid))]


@contextmanager
def _up(folder: Path, base: int, **settings: str) -> Iterator[Up]:
    process = _start(folder, base, **settings)
    try:
        yield Up(process, folder)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with _up(tmp_path_factory.mktemp("run"), _free_base(21000)) as up:
        yield up


def test_it_says_where_everything_is_and_how_each_mailbox_stands(run: Up) -> None:
    told = run.endpoints
    assert set(told) == {"product", "page", "world", "ca", "microsoft", "salesforce", "users"}
    for address in (told["page"], f"{told['product']}/api/v1/health", told["world"], told["ca"]):
        assert any(line.rstrip().endswith(address) for line in run.lines)
    for user, line in zip(told["users"], run.lines[-len(told["users"]) :], strict=True):
        assert tuple(user) == USER_KEYS
        assert line.strip().startswith(f"{user['mailbox']}: Microsoft, Salesforce ")
        assert "mails, " in line
    assert [user["salesforce_connection"] for user in told["users"]] == ["org", "personal"]


def test_every_address_and_token_it_tells_works(run: Up) -> None:
    told = run.endpoints
    health = run.get(f"{told['product']}/api/v1/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert run.get(told["page"]).status_code == 200
    for user in told["users"]:
        assert run.get(f"{told['microsoft']['graph']}/me", user["mailbox_token"]).json()["mail"] == user["mailbox"]
        identity = run.get(f"{told['salesforce']['login']}/services/oauth2/userinfo", user["salesforce_token"])
        assert identity.json()["user_id"] == user["salesforce_user_id"]
        limits = run.get(f"{told['salesforce']['instance']}/services/data/v60.0/limits", user["salesforce_token"])
        assert limits.status_code == 200
        me = run.get(f"{told['product']}/api/v1/me", user["product_token"])
        assert (me.status_code, me.json()["address"]) == (200, user["mailbox"])


def test_what_it_keeps_on_disk_is_for_its_owner_alone(run: Up) -> None:
    secret = [run.folder / "endpoints.json", *(run.folder / "install").iterdir()]
    assert len(secret) >= 4
    assert [file.name for file in secret if stat.S_IMODE(file.stat().st_mode) != 0o600] == []


def test_both_sides_come_to_agree_with_the_manifest(run: Up) -> None:
    command = [sys.executable, "tests/system/compare.py", "--within", "90", "--endpoints", str(run.folder / "endpoints.json")]
    compared = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert (compared.returncode, compared.stderr) == (0, ""), compared.stdout + compared.stderr
    contracts = run.get(f"{run.endpoints['world']}/contracts").json()
    assert contracts["violations"] == []
    assert contracts["microsoft"]["share"] == 1.0 or not CONTRACTS.is_dir()


def test_a_second_run_fits_beside_it_shows_its_page_and_ends_on_sigterm_with_its_children(run: Up, tmp_path: Path) -> None:
    shown, browser = tmp_path / "shown", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {shown}\n')
    browser.chmod(0o700)
    with _up(tmp_path, _free_base(41000), MAILSPAN_HEADLESS="", BROWSER=f"{browser} %s &") as second:
        assert second.endpoints["product"] != run.endpoints["product"]
        children = second.children()
        assert len(children) >= 3
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(60) == 0
        assert not (tmp_path / "endpoints.json").exists()
        assert shown.read_text().strip() == second.endpoints["page"]
        assert [pid for pid in children if _lives(pid)] == []
    assert run.get(f"{run.endpoints['product']}/api/v1/health").status_code == 200


def test_a_taken_port_is_told_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    base = _free_base(31000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 1))
        taken.listen()
        process = _start(tmp_path, base)
        _, errors = process.communicate(timeout=40)
    assert process.returncode == 1
    assert "MAILSPAN_PORT_HTTP" in errors
    assert "is taken" in errors
