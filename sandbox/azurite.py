"""Starts and stops Azurite, Microsoft's storage emulator, from the repository's `node_modules`.

Rules that hold here:
- Port 0 means a free port, chosen by Azurite itself; the ports in use are read from what it prints, so nothing races.
- It is up when all three services say that they listen. It ends by SIGTERM, which saves `location` to disk.
- Only the process started here is ever signalled, by its own id.

It must never fetch or install anything: a missing Node or package is an error that says what to install.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPT = Path("node_modules/azurite/dist/src/azurite.js")
#: The emulator's well-known account, the same on every machine (Azurite README, "Default Storage Account").
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SERVICES = ("Blob", "Queue", "Table")
LISTENING = re.compile(r"Azurite (\w+) service is successfully listening at https?://\S+:(\d+)")
STOP_WITHIN_S = 10.0


class AzuriteError(Exception):
    """Azurite could not be started; the text says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Ports:
    """Loopback ports of the three services; 0 = a free one."""

    blob: int = 0
    queue: int = 0
    table: int = 0


class Azurite:
    """One running Azurite: `with Azurite() as azurite: ... azurite.connection_string`.

    `location`: folder that keeps the data between runs; None = in memory, gone at the end.
    `root`: folder whose `node_modules` holds the package. Raises `AzuriteError`.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        ports: Ports = Ports(),
        *,
        root: Path = REPOSITORY,
        start_within_s: float = 60.0,
    ) -> None:
        self.location = None if location is None else Path(location).absolute()
        self.ports = ports
        self._root = root
        self._start_within_s = start_within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._output: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def connection_string(self) -> str:
        """What `AzureWebJobsStorage` and the storage SDKs take."""
        ends = ((service, getattr(self.ports, service.lower())) for service in SERVICES)
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};" + "".join(
            f"{service}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};" for service, port in ends
        )

    def start(self) -> None:
        """Starts it and returns when blobs, queues and tables are served; `ports` holds the real ports then."""
        if self._process is not None:
            raise AzuriteError("This Azurite is already running; stop it first.")
        command = self._command()
        handle, name = tempfile.mkstemp(prefix="azurite-", suffix=".log")
        self._output = Path(name)
        with os.fdopen(handle, "wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=self.location
            )
        try:
            self.ports = self._wait_until_listening()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends it (SIGTERM; SIGKILL only if it hangs) and waits. Does nothing where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._output is not None:
            self._output.unlink(missing_ok=True)
            self._output = None

    def _command(self) -> list[str]:
        node = shutil.which("node")
        if node is None:
            raise AzuriteError("Azurite needs Node.js and no `node` is on the PATH: install Node.js 20 or newer.")
        script = self._root / SCRIPT
        if not script.is_file():
            raise AzuriteError(f"The npm package azurite is not installed in {self._root}: run `npm ci` there.")
        command = [node, str(script), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        for service in SERVICES:
            port = getattr(self.ports, service.lower())
            command += [f"--{service.lower()}Host", "127.0.0.1", f"--{service.lower()}Port", str(port)]
        if self.location is None:
            return [*command, "--inMemoryPersistence"]
        self.location.mkdir(parents=True, exist_ok=True)
        return [*command, "--location", str(self.location)]

    def _wait_until_listening(self) -> Ports:
        process, output = self._process, self._output
        if process is None or output is None:
            raise AzuriteError("Azurite was stopped while it started.")
        give_up_at = time.monotonic() + self._start_within_s
        while True:
            ended = process.poll() is not None
            text = output.read_text(encoding="utf-8", errors="replace")
            found = {service.lower(): int(port) for service, port in LISTENING.findall(text)}
            if len(found) == len(SERVICES):
                return Ports(**found)
            if ended:
                raise AzuriteError(f"Azurite ended with code {process.returncode} while starting. It said:\n{text}")
            if time.monotonic() > give_up_at:
                raise AzuriteError(f"Azurite did not listen within {self._start_within_s:g} s. It said:\n{text}")
            time.sleep(0.02)
