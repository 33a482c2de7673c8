"""The stand-in host against what Azure documents of the real one, over real TLS, Azurite and Microsoft's own runtime."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.storage.queue import QueueClient

from sandbox.azurite import Azurite
from shared.access.install import new_install
from tests.system.conftest import ROOT, RunningHost

APPS = ROOT / "tests/system/apps"
BASIC, SLOW, CLOCKWORK = APPS / "basic", APPS / "slow", APPS / "clockwork"
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
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture(scope="module")
def shared_seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(tmp_path_factory.mktemp("shared") / "seen")


@pytest.fixture(scope="module")
def host(start_module_host: Callable[..., RunningHost], shared_seen: Seen) -> RunningHost:
    """One for all tests that leave it as it was."""
    return start_module_host(BASIC, SEEN=str(shared_seen.file), SCHEDULE=NEVER, MAILSPAN_HOST_KEY="host-key", QUEUE=new_queue())


def new_queue() -> str:
    return f"q{uuid.uuid4().hex}"


def quarter_past() -> int:
    """The seconds that bring a host's clock to a quarter past some hour: nothing hourly is due while a test runs."""
    return 900 - int(time.time() % 3600)


def put(azurite: Azurite, queue: str, text: str) -> QueueClient:
    """A message as host.json's encoding wants it, in a queue that is made for it."""
    client = QueueClient.from_connection_string(azurite.connection_string, queue)
    client.create_queue()
    client.send_message(base64.b64encode(text.encode()).decode())
    return client


def said(host: RunningHost) -> list[dict[str, Any]]:
    """The JSON lines the host has written so far."""
    return [json.loads(line) for line in host.errors.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


def until(true: Callable[[], bool], within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


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


def test_headers_and_parameters_that_are_repeated_arrive_joined_by_commas(host: RunningHost) -> None:
    head = "GET /api/repeated?tag=a&tag=b HTTP/1.1\r\nHost: localhost\r\nX-Tag: 1\r\nx-tag: 2\r\nConnection: close\r\n\r\n"
    assert json.loads(raw(host, head).rpartition("\r\n\r\n")[2]) == ["1,2", "a,b"]


def raw(host: RunningHost, text: str) -> str:
    """The whole answer to a request as written."""
    with socket.create_connection(("127.0.0.1", int(host.http.rpartition(":")[2])), 20) as connection:
        connection.sendall(text.encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()


def test_a_failing_message_is_tried_three_times_and_then_poison_while_others_go_on(
    host: RunningHost, shared_seen: Seen
) -> None:
    assert host.call("POST", "/api/enqueue", json=["one", "poison", "two"]).status_code == 202
    events = shared_seen.until(lambda all_: {"poison": "poison"} in all_)
    assert [e["count"] for e in events if e.get("queue") == "poison"] == [1, 2, 3]
    assert {e["queue"] for e in events if "queue" in e} >= {"one", "two", "poison"}


def test_a_message_whose_output_storage_refuses_is_retried_and_then_poison(host: RunningHost, shared_seen: Seen) -> None:
    assert host.call("POST", "/api/enqueue", json=["large"]).status_code == 202
    events = shared_seen.until(lambda all_: {"poison": "large"} in all_)
    assert [e["count"] for e in events if e.get("queue") == "large"] == [1, 2, 3]


def test_a_message_that_crashed_the_host_in_its_last_try_is_poison_without_another(
    start_host: Callable[..., RunningHost], azurite: Azurite, seen: Seen
) -> None:
    queue = new_queue()
    client = put(azurite, queue, "crashed")
    for _ in range(3):  # three hosts took it and died
        message = client.receive_message(visibility_timeout=60)
        client.update_message(message, visibility_timeout=0)
    start_host(BASIC, SEEN=str(seen.file), SCHEDULE=NEVER, QUEUE=queue)
    assert seen.until(bool) == [{"poison": "crashed"}]


def test_admin_runs_a_timer_and_a_queue_function_by_hand(host: RunningHost, shared_seen: Seen) -> None:
    assert host.call("POST", "/admin/functions/tick", json={}).status_code == 202
    assert host.call("POST", "/admin/functions/work", json={"input": "by hand"}).status_code == 202
    shared_seen.until(lambda all_: {"timer": False} in all_ and {"queue": "by hand", "count": 1} in all_)


def test_a_queue_output_given_as_the_return_value_is_sent(host: RunningHost, shared_seen: Seen) -> None:
    assert host.call("POST", "/admin/functions/pass_on", json={"input": "returned"}).status_code == 202
    shared_seen.until(lambda all_: {"queue": "returned", "count": 1} in all_)


def test_what_fails_is_told_once_by_class_and_place_and_never_by_its_words(host: RunningHost, shared_seen: Seen) -> None:
    assert host.call("GET", "/api/fail?q=canary", headers={"X-Canary": "canary"}).status_code == 500
    assert host.call("GET", "/api/fail/later").status_code == 500
    assert host.call("POST", "/api/enqueue", data=b"canary, no JSON").status_code == 500
    assert host.call("POST", "/admin/functions/work", json={"input": "poison"}).status_code == 202
    assert raw(host, "GET / HTTP/1.1\r\nHost: localhost\r\ncanary in no header\r\n\r\n").startswith("HTTP/1.0 400")
    until(lambda: any(line.get("function") == "work" and line["outcome"] == "failed" for line in said(host)))
    told = host.errors.read_text()
    assert "on purpose" not in told
    assert "canary" not in told
    assert "Traceback" not in told
    failed = {line["function"]: line["error"].rpartition(":")[0] for line in said(host) if line.get("outcome") == "failed"}
    assert failed.pop("enqueue") == "JSONDecodeError at basic/function_app.py"
    assert failed == dict.fromkeys(("fail", "fail_later", "work"), "ValueError at basic/function_app.py")
    assert sum(line.get("function") == "fail" for line in said(host)) == told.count('"fail"')


def test_timers_follow_the_schedule_and_a_missed_run_happens_once_past_due(
    start_host: Callable[..., RunningHost], seen: Seen, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    values = {"SEEN": str(seen.file), "SCHEDULE": "0 0 * * * *", "QUEUE": new_queue(),
              "MAILSPAN_HOST_STATE": str(tmp_path / "state")}  # fmt: skip
    start = quarter_past()
    clock.write_text(str(start))
    first = start_host(BASIC, "--clock-file", str(clock), **values)
    clock.write_text(str(start + 3600))
    assert seen.until(lambda all_: bool(all_)) == [{"timer": False}]
    assert first.stop() == 0
    clock.write_text(str(start + 5 * 3600))
    start_host(BASIC, "--clock-file", str(clock), **values)
    assert seen.until(lambda all_: len(all_) >= 2) == [{"timer": False}, {"timer": True}]


def test_a_timer_that_a_crash_cut_off_runs_again_and_what_falls_due_meanwhile_runs_once_afterwards(
    start_host: Callable[..., RunningHost], seen: Seen, gate: Path, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    values = {"SEEN": str(seen.file), "SCHEDULE": "0 0 * * * *", "GATE": str(gate), "QUEUE": new_queue(),
              "MAILSPAN_HOST_STATE": str(tmp_path / "state")}  # fmt: skip
    start = quarter_past()
    clock.write_text(str(start))
    first = start_host(BASIC, "--clock-file", str(clock), **values)
    clock.write_text(str(start + 3600))
    seen.until(lambda all_: {"began": "timer"} in all_)
    first.process.kill()
    first.process.wait(20)
    start_host(BASIC, "--clock-file", str(clock), **values)
    seen.until(lambda all_: all_.count({"began": "timer"}) == 2)
    clock.write_text(str(start + 4 * 3600))
    gate.touch()
    events = seen.until(lambda all_: all_.count({"ended": "timer"}) == 2)
    assert [event["timer"] for event in events if "timer" in event] == [False, True, False]


def test_on_sigterm_what_runs_is_run_to_its_end_and_nothing_new_is_taken(
    start_host: Callable[..., RunningHost], azurite: Azurite, seen: Seen, gate: Path, tmp_path: Path
) -> None:
    clock, queue, state = tmp_path / "clock", new_queue(), tmp_path / "state"
    client = put(azurite, queue, "gated")
    values = {"SEEN": str(seen.file), "SCHEDULE": "0 0 * * * *", "GATE": str(gate), "QUEUE": queue,
              "MAILSPAN_HOST_STATE": str(state)}  # fmt: skip
    start = quarter_past()
    clock.write_text(str(start))
    host = start_host(BASIC, "--clock-file", str(clock), **values)
    clock.write_text(str(start + 3600))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(host.call, "GET", "/api/gated")
        seen.until(lambda all_: sum("began" in event for event in all_) == 3)
        host.process.terminate()
        until(lambda: not _listens(host))
        gate.touch()
        assert (answer.result().status_code, host.process.wait(30)) == (200, 0)
    assert {event["ended"] for event in seen.all() if "ended" in event} == {"http", "queue", "timer"}
    assert client.get_queue_properties().approximate_message_count == 0
    assert json.loads((state / "timer-tick.json").read_text())["last"] is not None


def _listens(host: RunningHost) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(host.https.rpartition(":")[2]))) == 0


def test_a_function_over_its_time_ends_the_worker_and_its_message_is_not_done(
    start_host: Callable[..., RunningHost], azurite: Azurite, seen: Seen, gate: Path
) -> None:
    queue = new_queue()
    host = start_host(SLOW, SEEN=str(seen.file), GATE=str(gate), QUEUE=queue)
    before = host.call("GET", "/api/worker").text
    put(azurite, f"{queue}-done", "nothing so far")
    QueueClient.from_connection_string(azurite.connection_string, queue).send_message(base64.b64encode(b"x").decode())
    seen.until(lambda all_: {"poison": True} in all_)  # by the worker after it
    gate.touch()
    assert host.call("GET", "/api/worker").text != before
    assert seen.all() == [{"began": True}, {"poison": True}]
    outcomes = [line["outcome"] for line in said(host) if line.get("function") == "stuck"]
    assert outcomes == ["timed out"]
    assert any("the worker ends" in str(line.get("host")) for line in said(host))
    done = QueueClient.from_connection_string(azurite.connection_string, f"{queue}-done")
    assert done.get_queue_properties().approximate_message_count == 1


def test_after_a_jump_of_a_day_each_timer_of_the_product_runs_once_and_then_goes_on(
    start_host: Callable[..., RunningHost], azurite: Azurite, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    minute = 31 - time.time() % 60  # the host's minute stands right behind the poll's second: nothing is due for a while
    values = dict.fromkeys(("MICROSOFT_TENANT", "MICROSOFT_CLIENT_ID", "MICROSOFT_CLIENT_SECRET", "SALESFORCE_CLIENT_ID"), "x")
    settings = {f"MAILSPAN_{name}": value for name, value in values.items()} | new_install(tmp_path / "install")
    places = {"MAILSPAN_STORAGE": azurite.connection_string, "MAILSPAN_PUBLIC_URL": "https://localhost",
              "MAILSPAN_CLOCK_FILE": str(clock)}  # fmt: skip
    clock.write_text(str(minute))
    host = start_host(CLOCKWORK, "--clock-file", str(clock), **settings, **places)

    def ran() -> Counter[tuple[str, str]]:
        return Counter((line["function"], line["outcome"]) for line in said(host) if "function" in line)

    assert ran() == {}
    clock.write_text(str(minute + 86400))
    until(lambda: sum(ran().values()) >= 3)
    assert ran() == {("sweep", "ok"): 1, ("poll", "ok"): 1, ("prune", "ok"): 1}
    clock.write_text(str(minute + 86460))
    until(lambda: sum(ran().values()) >= 5)
    assert ran() == {("sweep", "ok"): 2, ("poll", "ok"): 2, ("prune", "ok"): 1}


def test_an_app_that_does_not_load_is_told_with_its_trace(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("import there_is_no_such_module\n")
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    ended = refused_start(tmp_path, tmp_path / "ca")
    assert ended.returncode == 1
    assert "there_is_no_such_module" in ended.stderr


def test_a_binding_that_names_a_setting_that_is_not_set_stops_the_start(tmp_path: Path) -> None:
    ended = refused_start(BASIC, tmp_path / "ca", AzureWebJobsStorage="UseDevelopmentStorage=true", SCHEDULE=NEVER)
    assert ended.returncode == 1
    assert "The app setting QUEUE is named by a binding and is not set." in ended.stderr


def refused_start(app: Path, authority: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox.host", "--app", str(app), "--http-port", "0", "--https-port", "0",
               "--authority", str(authority)]  # fmt: skip
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=False
    )
