"""The stand-in host against what Azure documents of the real one, over real TLS, Azurite and Microsoft's own runtime."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.system.conftest import ROOT, RunningHost

BASIC = ROOT / "tests/system/apps/basic"
NEVER = "0 0 0 1 1 *"


class Seen:
    """What the sample app wrote down."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []

    def until(self, wanted: Callable[[list[dict[str, Any]]], bool], within_s: float = 20) -> list[dict[str, Any]]:
        end = time.monotonic() + within_s
        while not wanted(self.all()):
            assert time.monotonic() < end, f"did not happen; seen: {self.all()}"
            time.sleep(0.05)
        return self.all()


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return Seen(tmp_path / "seen")


@pytest.fixture
def host(start_host: Callable[..., RunningHost], seen: Seen) -> RunningHost:
    return start_host(BASIC, SEEN=str(seen.file), SCHEDULE=NEVER, MAILSPAN_HOST_KEY="host-key", QUEUE=f"q{uuid.uuid4().hex}")


def test_http_carries_route_query_body_and_headers_both_ways(host: RunningHost) -> None:
    answer = host.call("POST", "/api/echo/abc?q=1%202", data=b"\x00\xff")
    assert answer.json() == {"name": "abc", "q": "1 2", "body": "\x00\xff"}
    assert answer.headers["X-Seen"] == "yes"
    assert requests.get(host.http + "/api/echo/abc", timeout=20).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/echo/12", 404),  # the constraint alpha refuses it
        ("GET", "/api/nothing", 404),
        ("PUT", "/api/echo/abc", 405),
        ("GET", "/api/fail", 500),
        ("GET", "/api/locked", 401),
        ("GET", "/api/locked?code=wrong", 401),
        ("GET", "/api/locked?code=host-key", 200),
        ("GET", "/admin/host/status", 200),
        ("POST", "/admin/functions/unknown", 404),
    ],
)
def test_http_refuses_as_the_real_host_does(host: RunningHost, method: str, path: str, status: int) -> None:
    answer = host.call(method, path)
    assert answer.status_code == status
    if status == 405:
        assert answer.headers["Allow"] == "GET, POST"


def test_the_literal_route_wins_over_the_pattern(host: RunningHost) -> None:
    answer = host.call("GET", "/api/echo/literal")
    assert answer.text == "literal"
    assert answer.headers["Set-Cookie"] == "seen=yes; HttpOnly; Path=/"


def test_a_failing_message_is_tried_three_times_and_then_poison_while_others_go_on(host: RunningHost, seen: Seen) -> None:
    assert host.call("POST", "/api/enqueue", json=["one", "poison", "two"]).status_code == 202
    events = seen.until(lambda all_: {"poison": "poison"} in all_)
    assert [e["count"] for e in events if e.get("queue") == "poison"] == [1, 2, 3]
    assert {e["queue"] for e in events if "queue" in e} == {"one", "two", "poison"}


def test_a_message_whose_output_storage_refuses_is_retried_and_then_poison(host: RunningHost, seen: Seen) -> None:
    assert host.call("POST", "/api/enqueue", json=["large"]).status_code == 202
    events = seen.until(lambda all_: {"poison": "large"} in all_)
    assert [e["count"] for e in events if e.get("queue") == "large"] == [1, 2, 3]


def test_admin_runs_a_timer_and_a_queue_function_by_hand(host: RunningHost, seen: Seen) -> None:
    assert host.call("POST", "/admin/functions/tick", json={}).status_code == 202
    assert host.call("POST", "/admin/functions/work", json={"input": "by hand"}).status_code == 202
    seen.until(lambda all_: {"timer": False} in all_ and {"queue": "by hand", "count": 1} in all_)


def test_timers_follow_the_schedule_and_a_missed_run_happens_once_past_due(
    start_host: Callable[..., RunningHost], seen: Seen, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    values = {"SEEN": str(seen.file), "SCHEDULE": "0 0 * * * *", "MAILSPAN_HOST_STATE": str(tmp_path / "state")}
    first = start_host(BASIC, "--clock-file", str(clock), **values)
    clock.write_text("3600")
    assert seen.until(lambda all_: bool(all_)) == [{"timer": False}]
    assert first.stop() == 0
    clock.write_text(str(5 * 3600))
    start_host(BASIC, "--clock-file", str(clock), **values)
    assert seen.until(lambda all_: len(all_) >= 2) == [{"timer": False}, {"timer": True}]


def test_it_ends_cleanly_on_sigterm(host: RunningHost) -> None:
    assert host.stop() == 0


def test_an_app_that_does_not_load_is_told_with_its_trace(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("import there_is_no_such_module\n")
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    command = [sys.executable, "-m", "sandbox.host", "--app", str(tmp_path), "--http-port", "0", "--https-port", "0",
               "--authority", str(tmp_path / "ca")]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "there_is_no_such_module" in ended.stderr
