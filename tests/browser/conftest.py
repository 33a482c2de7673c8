"""The stage of the browser tests: one whole run as `make run` brings it up, and Chromium that plays scenes on its page."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.run import PORTS

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _free_base() -> int:
    """The first of as many free ports in a row as a run needs."""
    for base in range(24000, 60000, len(PORTS)):
        with ExitStack() as opened:
            try:
                for n in range(len(PORTS)):
                    opened.enter_context(socket.socket()).bind(("127.0.0.1", base + n))
                return base
            except OSError:
                continue
    raise AssertionError("not enough free ports in a row")


@dataclass
class Stage:
    """A run that is up. `told`: its endpoints.json."""

    folder: Path
    told: dict[str, Any]
    browser: str

    def play(self, scene: str) -> None:
        """Plays a scene of `scenes/`; what it says is the failure."""
        environment = {
            **os.environ,
            "ENDPOINTS": str(self.folder / "endpoints.json"),
            "NODE_EXTRA_CA_CERTS": self.told["ca"],
            "CHROMIUM": self.browser,
            "PICTURES": str(self.folder),
        }
        command = ["node", str(ROOT / "tests" / "browser" / "play.mjs"), scene]
        played = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
        assert played.returncode == 0, f"{played.stderr}\nThe last picture is {self.folder}/{scene}.png"

    def ask(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        """A request to the page's server, as a program on this machine sends it."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, self.told["page"].rstrip("/") + path, verify=self.told["ca"], timeout=20, allow_redirects=False, **more
            )


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    browser = os.environ.get("MAILSPAN_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser, "There is no Chromium here: scripts/browser.sh installs it."
    folder = tmp_path_factory.mktemp("run")
    own = {"MAILSPAN_RUN_DIR": str(folder), "MAILSPAN_PORT_BASE": str(_free_base()), "MAILSPAN_HEADLESS": "1"}
    with (folder / "errors.log").open("w") as errors:
        run = subprocess.Popen(
            [sys.executable, "-m", "sandbox.run"], cwd=ROOT, env={**os.environ, **own}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        assert run.stdout is not None
        first = run.stdout.readline()
        assert first.startswith("Mailspan is up"), (folder / "errors.log").read_text()
        yield Stage(folder, json.loads((folder / "endpoints.json").read_text()), browser)
    finally:
        run.terminate()
        run.wait(60)
