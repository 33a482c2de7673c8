"""`make run`: brings the whole product up locally and keeps it up until SIGTERM or Ctrl-C.

That is Azurite, a local certificate authority, fresh secrets, the sandbox's process (Microsoft, Salesforce, the world) and the
function app in the stand-in host, with the sample's users connected. Once they are, the sample's people go on working: they
make the events that are to be made after activation. State lives in memory: every run starts anew.

Rules that hold here: a taken port is told with the setting that moves it, never moved silently; children are ended by their
process id; `endpoints.json` is written when everything answers and removed at the end; no secret has a default.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from sandbox.authority import Authority
from sandbox.azurite import Azurite, AzuriteError, Ports
from sandbox.connect import ConnectError, connect_users
from shared.access.install import new_install
from shared.settings import read

ROOT = Path(__file__).resolve().parent.parent
#: setting -> (default port, what listens there); MAILSPAN_PORT_BASE moves all by counting up from it
PORTS: Mapping[str, tuple[int, str]] = {
    "MAILSPAN_PORT_HTTPS": (7071, "the product, https"),
    "MAILSPAN_PORT_HTTP": (7070, "the product, http"),
    "MAILSPAN_PORT_BLOBS": (10000, "Azurite blobs"),
    "MAILSPAN_PORT_QUEUES": (10001, "Azurite queues"),
    "MAILSPAN_PORT_TABLES": (10002, "Azurite tables"),
    "MAILSPAN_PORT_WORLD": (7072, "the world: page and control API"),
    "MAILSPAN_PORT_MICROSOFT": (7073, "Microsoft: sign-in and Graph"),
    "MAILSPAN_PORT_SALESFORCE": (7074, "Salesforce: sign-in and REST"),
}
UP_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
#: what one second separates is told apart by time stamps without fractions
WHOLE_SECOND_S = 1.0
USER_KEYS = ("mailbox", "vendor", "salesforce_connection", "mailbox_token", "salesforce_user_id", "salesforce_token",
             "product_token")  # fmt: skip
CONNECTIONS = {"org": "Salesforce org-wide", "personal": "Salesforce personal"}


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


def new_settings(folder: Path, chosen: Mapping[str, int], storage: str, ca_file: Path) -> dict[str, str]:
    """The product's settings of a new run: fresh secrets, and every address in the sandbox."""
    product, microsoft, salesforce = (
        f"https://localhost:{chosen[f'MAILSPAN_PORT_{name}']}" for name in ("HTTPS", "MICROSOFT", "SALESFORCE")
    )
    return new_install(folder / "install") | {
        "AzureWebJobsStorage": storage,
        "MAILSPAN_STORAGE": storage,
        "MAILSPAN_PUBLIC_URL": product,
        "MAILSPAN_MICROSOFT_LOGIN": microsoft,
        "MAILSPAN_MICROSOFT_GRAPH": f"{microsoft}/v1.0",
        "MAILSPAN_MICROSOFT_TENANT": str(uuid.uuid5(uuid.NAMESPACE_DNS, "harbourline.example")),
        "MAILSPAN_MICROSOFT_CLIENT_ID": str(uuid.uuid4()),
        "MAILSPAN_MICROSOFT_CLIENT_SECRET": secrets.token_urlsafe(32),
        "MAILSPAN_SALESFORCE_LOGIN": salesforce,
        "MAILSPAN_SALESFORCE_CLIENT_ID": f"3MVG9{secrets.token_urlsafe(48)}",
        "MAILSPAN_SALESFORCE_CLIENT_SECRET": secrets.token_urlsafe(32),
        "MAILSPAN_SALESFORCE_JWT_KEY_FILE": str(_jwt_key(folder / "install" / "salesforce.pem")),
        "MAILSPAN_CA_FILE": str(ca_file),
        "MAILSPAN_CLOCK_FILE": str(folder / "clock"),
        "MAILSPAN_HOST_STATE": str(folder / "timers"),
    }


def _jwt_key(file: Path) -> Path:
    """A fresh RSA key, as Salesforce wants it for JWT bearer."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


class Run:
    """One run: its folder, its children, and their end."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.stopping = threading.Event()
        self.children: dict[str, subprocess.Popen[str]] = {}

    def go(self) -> None:
        """Brings everything up, waits for the end, takes everything down."""
        chosen = ports(self.environment)
        self.folder.mkdir(parents=True, exist_ok=True)
        endpoints = self.folder / "endpoints.json"
        began = time.monotonic()
        authority = Authority(self.folder / "authority")
        azurite = Azurite(ports=Ports(*(chosen[f"MAILSPAN_PORT_{name}"] for name in ("BLOBS", "QUEUES", "TABLES"))))
        settings = new_settings(self.folder, chosen, azurite.connection_string, authority.ca_file)
        try:
            self._start("world", settings, _world_arguments(authority, chosen))
            with azurite:
                self._start("host", settings, self._host_arguments(authority, chosen))
                if self._come_up(endpoints, settings, chosen, began):
                    self._keep()
                self._stop("host")
                _tell_contracts(f"https://localhost:{chosen['MAILSPAN_PORT_WORLD']}/_world", settings["MAILSPAN_CA_FILE"])
        finally:
            endpoints.unlink(missing_ok=True)
            self._stop("host", "world")

    def _come_up(self, endpoints: Path, settings: Mapping[str, str], chosen: Mapping[str, int], began: float) -> bool:
        """Waits for both processes, connects the users, tells where everything is. False where the end came before."""
        product, ca = settings["MAILSPAN_PUBLIC_URL"], settings["MAILSPAN_CA_FILE"]
        origin = f"https://localhost:{chosen['MAILSPAN_PORT_WORLD']}"
        world = f"{origin}/_world"
        if not self._wait("The sandbox", "world", f"{world}/sample", ca):
            return False
        if self.stopping.wait(WHOLE_SECOND_S):  # what stands there is older than the connecting, also in whole seconds
            return False
        connect_users(read(settings), _get(f"{world}/sample", ca))
        if not self._wait("The product", "host", f"{product}/api/v1/health", ca):
            return False
        if not self._wait_for_first_sessions(product, world, ca):
            return False
        _post(f"{world}/go_on", ca)
        told: dict[str, Any] = {
            "product": product,
            "page": f"{origin}/",
            "world": world,
            "ca": ca,
            "microsoft": {"login": settings["MAILSPAN_MICROSOFT_LOGIN"], "graph": settings["MAILSPAN_MICROSOFT_GRAPH"]},
            "salesforce": {"login": settings["MAILSPAN_SALESFORCE_LOGIN"], "instance": settings["MAILSPAN_SALESFORCE_LOGIN"]},
            "users": [{key: user[key] for key in USER_KEYS} for user in _get(f"{world}/users", ca)],
        }
        _write(endpoints, told)
        _tell(told, _get(f"{world}/mailboxes", ca), time.monotonic() - began)
        if self.environment.get("MAILSPAN_HEADLESS") != "1":
            _open(told["page"])
        return True

    def _wait_for_first_sessions(self, product: str, world: str, ca: str) -> bool:
        """Until every mailbox is active, so that what people make from then on is made afterwards. False where the end came."""
        waiting = [user["product_token"] for user in _get(f"{world}/users", ca)]
        end = time.monotonic() + UP_WITHIN_S
        while waiting and time.monotonic() < end:
            waiting = [token for token in waiting if not _get(f"{product}/api/v1/me/health", ca, token).get("activated")]
            if self.stopping.wait(0.1):
                return False
            self._check_children()
        return not self.stopping.wait(WHOLE_SECOND_S)

    def _host_arguments(self, authority: Authority, chosen: Mapping[str, int]) -> list[str]:
        return ["sandbox.host", "--app", str(ROOT), "--authority", str(authority.folder),
                "--http-port", str(chosen["MAILSPAN_PORT_HTTP"]), "--https-port", str(chosen["MAILSPAN_PORT_HTTPS"]),
                "--clock-file", str(self.folder / "clock")]  # fmt: skip

    def _start(self, name: str, settings: Mapping[str, str], arguments: list[str]) -> None:
        """Starts a child; what it says goes to NAME.log of the run's folder."""
        environment = {**self.environment, **settings, "PYTHONPATH": str(ROOT)}
        with (self.folder / f"{name}.log").open("w") as log:
            command = [sys.executable, "-m", *arguments]
            self.children[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True
            )

    def _wait(self, who: str, child: str, address: str, ca: str) -> bool:
        """Until `address` answers 200. False where the run is ended before."""
        end = time.monotonic() + UP_WITHIN_S
        while not self.stopping.wait(0.1):
            self._check_children()
            try:
                answer = requests.get(address, verify=ca, timeout=5)
                if answer.status_code == 200:
                    return True
                problem = f"it answers {answer.status_code} {answer.text[:500]}"
            except (requests.ConnectionError, requests.Timeout):
                problem = "it does not answer"
            if time.monotonic() > end:
                raise RunError(f"{who} is not well after {UP_WITHIN_S:.0f} s: {problem}. See {self.folder}/{child}.log.")
        return False

    def _keep(self) -> None:
        while not self.stopping.wait(0.5):
            self._check_children()

    def _check_children(self) -> None:
        for name, child in self.children.items():
            if child.poll() is not None:
                lines = (self.folder / f"{name}.log").read_text().splitlines()[-15:]
                raise RunError(f"The {name} ended by itself. Its last lines:\n" + "\n".join(lines))

    def _stop(self, *names: str) -> None:
        """Ends these children, in this order, and waits for each."""
        for name in names:
            child = self.children.pop(name, None)
            if child is None or child.poll() is not None:
                continue
            child.terminate()
            try:
                child.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _world_arguments(authority: Authority, chosen: Mapping[str, int]) -> list[str]:
    origins = ("world", "microsoft", "salesforce")
    given = [text for name in origins for text in (f"--{name}-port", str(chosen[f"MAILSPAN_PORT_{name.upper()}"]))]
    return ["sandbox.world", "--authority", str(authority.folder), *given]


def _get(address: str, ca: str, token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    answer = requests.get(address, headers=headers, verify=ca, timeout=30)
    answer.raise_for_status()
    return answer.json()


def _post(address: str, ca: str) -> None:
    requests.post(address, verify=ca, timeout=30).raise_for_status()


def _write(file: Path, value: object) -> None:
    """Whole or not at all, and for nobody else's eyes: there are tokens in it."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(json.dumps(value, indent=2) + "\n")
    part.replace(file)


def _tell_contracts(world: str, ca: str) -> None:
    """Which share of what the vendors' stand-ins said was held against the vendors' contracts."""
    with contextlib.suppress(requests.RequestException):  # the world is gone already: it has nothing more to say
        told = _get(f"{world}/contracts", ca)
        shares = [
            f"{vendor} {told[vendor]['share']:.0%} of {told[vendor]['answers']} answers"
            for vendor in ("microsoft", "salesforce")
            if vendor in told
        ]
        print(f"Held against the vendors' contracts: {', '.join(shares)}; {len(told['violations'])} violations.", flush=True)


def _tell(told: Mapping[str, Any], mailboxes: list[Mapping[str, Any]], seconds: float) -> None:
    counts = {entry["mailbox"]: entry for entry in mailboxes}
    print(f"Mailspan is up ({seconds:.1f} s). Ctrl-C ends the run.")
    print(f"  page      {told['page']}")
    print(f"  product   {told['product']}/api/v1/health")
    print(f"  world     {told['world']}")
    print(f"  trust     {told['ca']}")
    for user in told["users"]:
        count = counts[user["mailbox"]]
        print(
            f"  {user['mailbox']}: {user['vendor'].title()}, {CONNECTIONS[user['salesforce_connection']]}, "
            f"{count['mails']} mails, {count['saved']} saved so far"
        )
    sys.stdout.flush()


def _open(page: str) -> None:
    """Shows the page where there is a browser with a window; none is no reason to fail."""
    try:
        browser = webbrowser.get()
        in_terminal = isinstance(browser, webbrowser.GenericBrowser) and not isinstance(browser, webbrowser.BackgroundBrowser)
        if not in_terminal and browser.open(page):
            return
    except (webbrowser.Error, OSError):
        pass
    print("  No browser could be started: open the page by hand, or set MAILSPAN_HEADLESS=1.", flush=True)


def main() -> int:
    folder = Path(os.environ.get("MAILSPAN_RUN_DIR") or ROOT / ".run").absolute()
    run = Run(folder, dict(os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: run.stopping.set())
    try:
        run.go()
    except (RunError, AzuriteError, ConnectError, requests.RequestException) as problem:
        print(f"Mailspan could not run. {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
