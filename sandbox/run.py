"""`make run`: brings the product up locally and keeps it up until SIGTERM or Ctrl-C.

Today that is Azurite, a local certificate authority, fresh secrets and the function app in the stand-in host; the vendors'
stand-ins join here as they are built. State lives in memory: every run starts anew.

Rules that hold here: a taken port is told with the setting that moves it, never moved silently; children are ended by their
process id; `endpoints.json` is written when everything answers and removed at the end.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import requests

from sandbox.authority import Authority
from sandbox.azurite import Azurite, AzuriteError, Ports
from shared.access.install import new_install

ROOT = Path(__file__).resolve().parent.parent
#: setting -> (default port, what listens there); MAILSPAN_PORT_BASE moves all by counting up from it
PORTS: Mapping[str, tuple[int, str]] = {
    "MAILSPAN_PORT_HTTPS": (7071, "the product, https"),
    "MAILSPAN_PORT_HTTP": (7070, "the product, http"),
    "MAILSPAN_PORT_BLOBS": (10000, "Azurite blobs"),
    "MAILSPAN_PORT_QUEUES": (10001, "Azurite queues"),
    "MAILSPAN_PORT_TABLES": (10002, "Azurite tables"),
}
UP_WITHIN_S = 60.0


class RunError(Exception):
    """The run cannot go on; the text says why and what to do."""


def ports(environment: Mapping[str, str]) -> dict[str, int]:
    """The ports of this run. Raises RunError for one that is no port or is taken."""
    base = environment.get("MAILSPAN_PORT_BASE")
    chosen = {}
    for n, (name, (default, what)) in enumerate(PORTS.items()):
        text = environment.get(name) or (str(int(base) + n) if base and base.isdigit() else str(default))
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise RunError(f"{name}={text} is not a port.")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", int(text)))
            except OSError:
                raise RunError(
                    f"Port {text} ({what}) is taken. Set {name} to another one, or MAILSPAN_PORT_BASE to move all of them."
                ) from None
        chosen[name] = int(text)
    return chosen


class Run:
    """One run: its folder, its children, and their end."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.stopping = threading.Event()
        self.host: subprocess.Popen[str] | None = None

    def go(self) -> None:
        """Brings everything up, waits for the end, takes everything down."""
        chosen = ports(self.environment)
        self.folder.mkdir(parents=True, exist_ok=True)
        endpoints = self.folder / "endpoints.json"
        began = time.monotonic()
        authority = Authority(self.folder / "authority")
        azurite_ports = Ports(*(chosen[f"MAILSPAN_PORT_{name}"] for name in ("BLOBS", "QUEUES", "TABLES")))
        try:
            with Azurite(ports=azurite_ports) as azurite:
                self._start_host(azurite, authority, chosen)
                product = f"https://localhost:{chosen['MAILSPAN_PORT_HTTPS']}"
                self._wait_until_well(product, authority)
                self._write(endpoints, {"product": product, "ca": str(authority.ca_file), "users": []})
                print(f"Mailspan is up ({time.monotonic() - began:.1f} s).")
                print(f"  product   {product}/api/v1/health   (trust {authority.ca_file})")
                print("  No mailbox yet: the vendors' stand-ins are not built. Ctrl-C ends the run.", flush=True)
                self._keep()
        finally:
            endpoints.unlink(missing_ok=True)
            self._stop_host()

    def _start_host(self, azurite: Azurite, authority: Authority, chosen: Mapping[str, int]) -> None:
        product = f"https://localhost:{chosen['MAILSPAN_PORT_HTTPS']}"
        # no vendor is reachable from here: the addresses below are placeholders of the settings, not of a service
        settings = new_install(self.folder / "install") | {
            "AzureWebJobsStorage": azurite.connection_string,
            "MAILSPAN_STORAGE": azurite.connection_string,
            "MAILSPAN_PUBLIC_URL": product,
            "MAILSPAN_MICROSOFT_TENANT": "local",
            "MAILSPAN_MICROSOFT_CLIENT_ID": "local",
            "MAILSPAN_MICROSOFT_CLIENT_SECRET": "local",
            "MAILSPAN_SALESFORCE_CLIENT_ID": "local",
            "MAILSPAN_CA_FILE": str(authority.ca_file),
            "MAILSPAN_CLOCK_FILE": str(self.folder / "clock"),
        }
        command = [sys.executable, "-m", "sandbox.host", "--app", str(ROOT), "--authority", str(authority.folder),
                   "--http-port", str(chosen["MAILSPAN_PORT_HTTP"]), "--https-port", str(chosen["MAILSPAN_PORT_HTTPS"]),
                   "--clock-file", str(self.folder / "clock")]  # fmt: skip
        with (self.folder / "host.log").open("w") as log:
            environment = {**self.environment, **settings, "PYTHONPATH": str(ROOT)}
            self.host = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, text=True)

    def _wait_until_well(self, product: str, authority: Authority) -> None:
        end = time.monotonic() + UP_WITHIN_S
        while not self.stopping.wait(0.1):
            self._check_host()
            try:
                answer = requests.get(f"{product}/api/v1/health", verify=str(authority.ca_file), timeout=5)
                if answer.status_code == 200:
                    return
                problem = answer.text
            except requests.ConnectionError:
                problem = "it does not answer"
            if time.monotonic() > end:
                raise RunError(f"The product is not well after {UP_WITHIN_S:.0f} s: {problem}. See {self.folder}/host.log.")

    def _keep(self) -> None:
        while not self.stopping.wait(0.5):
            self._check_host()

    def _check_host(self) -> None:
        if self.host is not None and self.host.poll() is not None:
            lines = (self.folder / "host.log").read_text().splitlines()[-15:]
            raise RunError("The host ended by itself. Its last lines:\n" + "\n".join(lines))

    def _stop_host(self) -> None:
        if self.host is not None and self.host.poll() is None:
            self.host.terminate()
            try:
                self.host.wait(30)
            except subprocess.TimeoutExpired:
                self.host.kill()
                self.host.wait()

    @staticmethod
    def _write(file: Path, value: object) -> None:
        part = file.with_suffix(".part")
        part.write_text(json.dumps(value, indent=2) + "\n")
        part.replace(file)


def main() -> int:
    folder = Path(os.environ.get("MAILSPAN_RUN_DIR") or ROOT / ".run").absolute()
    run = Run(folder, dict(os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: run.stopping.set())
    try:
        run.go()
    except (RunError, AzuriteError) as problem:
        print(f"Mailspan could not run. {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
