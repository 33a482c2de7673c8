"""Real parts for the system tests: one Azurite for the run, a certificate authority, and hosts started on free ports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from sandbox.authority import Authority
from sandbox.azurite import Azurite
from shared.store.memory import MemoryStore
from tests.system.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
#: The vendors' contracts; where they are absent what needs them is skipped or left out, and CI refuses to run.
CONTRACTS = ROOT.parent / "shared" / "contracts"


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def stage(tmp_path: Path, azurite: Azurite) -> Iterator[Stage]:
    """The product and its local world in one process; afterwards no answer of a vendor may have broken its contract, and nobody
    may have got a mail about an event but by what a person did or approved."""
    yield from _stage(Stage(tmp_path, azurite.connection_string))


@pytest.fixture
def memory_stage(tmp_path: Path) -> Iterator[Stage]:
    """The same with the product's rows in memory, for tests of very many items."""
    yield from _stage(Stage(tmp_path, "UseDevelopmentStorage=true", MemoryStore()))


def _stage(made: Stage) -> Iterator[Stage]:
    yield made
    made.close()
    assert made.world.violations == []
    assert made.unasked() == []


@dataclass
class RunningHost:
    """A host process: `https` is its address, `errors` the file with its stderr."""

    process: subprocess.Popen[str]
    http: str
    https: str
    errors: Path
    ca: str

    def call(self, method: str, path: str, **more: object) -> requests.Response:
        return requests.request(method, self.https + path, verify=self.ca, timeout=20, **more)  # type: ignore[arg-type]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def _hosts(authority: Authority, azurite: Azurite, folder: Path) -> Iterator[Callable[..., RunningHost]]:
    started: list[RunningHost] = []

    def start(app: Path, *more: str, **environment: str) -> RunningHost:
        errors = folder / f"host-{len(started)}.err"
        command = [sys.executable, "-m", "sandbox.host", "--app", str(app), "--http-port", "0", "--https-port", "0",
                   "--authority", str(authority.folder), *more]  # fmt: skip
        values = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AzureWebJobsStorage": azurite.connection_string,
            **environment,
        }
        with errors.open("w") as stderr:
            process = subprocess.Popen(command, cwd=ROOT, env=values, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), errors.read_text()
        http, https = (part.split("=", 1)[1] for part in line.split()[1:])
        host = RunningHost(process, http, https, errors, str(authority.ca_file))
        started.append(host)
        return host

    yield start
    for host in started:
        if host.process.poll() is None:
            host.stop()


@pytest.fixture
def start_host(authority: Authority, azurite: Azurite, tmp_path: Path) -> Iterator[Callable[..., RunningHost]]:
    """start_host(app folder, **environment) -> RunningHost; every host started is ended with the test."""
    yield from _hosts(authority, azurite, tmp_path)


@pytest.fixture(scope="module")
def start_module_host(
    authority: Authority, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., RunningHost]]:
    """The same for hosts that a module's tests share."""
    yield from _hosts(authority, azurite, tmp_path_factory.mktemp("hosts"))
