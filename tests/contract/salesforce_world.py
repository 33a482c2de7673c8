"""The Salesforce stand-in on a real TLS socket, for contract tests: one server a module, one fresh org a test.

Rules that hold here: clients verify the local authority; after each test no contract violation may be left and some answer must
have been checked.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from aiohttp import web
from aiohttp.web_runner import TCPSite

from sandbox.authority import Authority
from sandbox.frame import World
from sandbox.salesforce import LONGEST_LINE, Salesforce

VERSION = "v67.0"
DATA = f"/services/data/{VERSION}"
CLIENT, SECRET = "mailspan-app", "not-a-secret"
CALLBACK = "https://mailspan.example.com/callback"
ANNA, BEN = "anna@acme.example.com", "ben@acme.example.com"


class Served:
    """One org being served. `anna` and `ben` are the ids of two users; calls are Anna's unless a token says otherwise."""

    def __init__(self, world: World, org: Salesforce, ca_file: str) -> None:
        self.world = world
        self.org = org
        self.ca_file = ca_file
        self.fresh()

    def fresh(self) -> None:
        """A new org, with no faults, switches, counts or violations left from before."""
        self.world.rules.clear()
        self.world.switches.clear()
        self.world.violations.clear()
        self.world.answers.clear()
        self.world.validated.clear()
        self.world.calls.clear()
        self.world.clock.advanced *= 0
        self.org.reset()
        self.anna = self.org.add_user(ANNA, "Anna", "Auer", ANNA)
        self.ben = self.org.add_user(BEN, "Ben", "Berg", BEN)
        self.org.add_client(CLIENT, secret=SECRET, redirect_uris=(CALLBACK,))
        self.token: str = self.org.issue_token(ANNA, CLIENT)["access_token"]
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify = self.ca_file
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def refuse_violations(self) -> None:
        assert self.world.violations == []
        assert self.world.validated["salesforce"] > 0 or self.world.calls.http["salesforce"] == 0

    # --- calls, as a client makes them

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """`path` below `/services/data/vXX.X`, or from the origin where it starts with /services or /id."""
        whole = path if path.startswith(("/services", "/id")) else DATA + path
        return self.http.request(method, self.org.base_url + whole, timeout=30, **more)

    def get(self, path: str, **params: str) -> Any:
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def query(self, soql: str) -> list[dict[str, Any]]:
        """The records of the first page."""
        records: list[dict[str, Any]] = self.get("/query", q=soql)["records"]
        return records

    def make(self, object_name: str, **fields: Any) -> str:
        answer = self.call("POST", f"/sobjects/{object_name}", json=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def refusal(self, method: str, path: str, **more: Any) -> tuple[int, str, str]:
        """(status, errorCode, message) of a call that is refused."""
        answer = self.call(method, path, **more)
        assert answer.status_code >= 400, answer.text
        [error] = answer.json()
        return answer.status_code, error["errorCode"], error["message"]

    def composite(self, *parts: dict[str, Any], all_or_none: bool = False) -> list[dict[str, Any]]:
        body = {"allOrNone": all_or_none, "compositeRequest": list(parts)}
        answer = self.call("POST", "/composite", json=body)
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["compositeResponse"]
        return results


def part(reference: str, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    """One sub-request of a composite; `path` below `/services/data/vXX.X`."""
    whole: dict[str, Any] = {"referenceId": reference, "method": method, "url": DATA + path}
    whole |= {} if body is None else {"body": body}
    return whole | ({"httpHeaders": {name.replace("_", "-"): value for name, value in headers.items()}} if headers else {})


@contextmanager
def serving() -> Iterator[Served]:
    """The stand-in on `https://localhost:{port}`, in a thread of its own."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(folder)
        world = World()
        org = Salesforce(world)
        loop = asyncio.new_event_loop()
        runner = web.AppRunner(org.application(), max_line_size=LONGEST_LINE)
        org.base_url = f"https://localhost:{loop.run_until_complete(_start(runner, authority))}"
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield Served(world, org, str(authority.ca_file))
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _start(runner: web.AppRunner, authority: Authority) -> int:
    await runner.setup()
    site = TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server_context())
    await site.start()
    return int(runner.addresses[0][1])
