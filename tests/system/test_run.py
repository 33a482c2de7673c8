"""`make run`'s conductor as a person uses it: up, described, told when it cannot, and cleanly gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import requests

from tests.system.conftest import ROOT


def _free_base() -> int:
    """The first of ten ports in a row that are free now."""
    for base in range(21000, 60000, 10):
        with_sockets = [socket.socket() for _ in range(10)]
        try:
            for n, each in enumerate(with_sockets):
                each.bind(("127.0.0.1", base + n))
            return base
        except OSError:
            continue
        finally:
            for each in with_sockets:
                each.close()
    raise AssertionError("no ten free ports in a row")


def _start(folder: Path, base: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "MAILSPAN_RUN_DIR": str(folder), "MAILSPAN_PORT_BASE": str(base), "MAILSPAN_HEADLESS": "1"}
    command = [sys.executable, "-m", "sandbox.run"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )


def test_it_comes_up_says_where_and_ends_on_sigterm_with_its_children(tmp_path: Path) -> None:
    run = _start(tmp_path, _free_base())
    assert run.stdout is not None
    lines = [run.stdout.readline() for _ in range(3)]
    assert lines[0].startswith("Mailspan is up"), run.stderr and run.stderr.read()
    endpoints = json.loads((tmp_path / "endpoints.json").read_text())
    answer = requests.get(endpoints["product"] + "/api/v1/health", verify=endpoints["ca"], timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": {"settings": "ok", "storage": "ok"}})
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(run.pid)], capture_output=True, text=True, check=True)
    children = [int(pid) for pid in listed.stdout.split() if Path(f"/proc/{pid}/cmdline").exists()]
    assert len(children) >= 2
    run.send_signal(signal.SIGTERM)
    assert run.wait(40) == 0
    assert not (tmp_path / "endpoints.json").exists()
    for pid in children:
        assert not Path(f"/proc/{pid}").exists()


def test_a_taken_port_is_told_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    base = _free_base()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 1))
        taken.listen()
        run = _start(tmp_path, base)
        _, errors = run.communicate(timeout=40)
    assert run.returncode == 1
    assert "MAILSPAN_PORT_HTTP" in errors
    assert "is taken" in errors
