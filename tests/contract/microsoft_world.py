"""One Microsoft world on a real https port, for the contract tests: server, receiver of notifications, and a plain client.

Rules that hold here: the stand-in runs in a thread of its own and is touched through `do` only; TLS is verified against the
local authority on every side; a test that ends with a contract violation fails, and so does one in which an answer with a body
went unchecked.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from aiohttp import web

from sandbox.authority import Authority
from sandbox.frame import World, WorldClock
from sandbox.microsoft import Microsoft

TENANT = "7d3f4c52-1a0e-4c57-9a55-0d6f3c1b2a10"
CLIENT, SECRET = "0f6a1d2e-5b7c-4d8e-9f10-a1b2c3d4e5f6", "only for the sandbox"
REDIRECT = "https://localhost/connect"
ADA, BO = "ada@example.test", "bo@example.test"
IMMUTABLE = 'IdType="ImmutableId"'
PERMISSIONS = ("Mail.ReadWrite", "Calendars.ReadWrite", "MailboxSettings.ReadWrite", "User.Read.All")
SCOPES = (
    "openid", "profile", "offline_access", "Mail.ReadWrite", "Calendars.ReadWrite", "MailboxSettings.ReadWrite", "User.Read",
)  # fmt: skip
Json = dict[str, Any]


def mime(subject: str, *, text: str = "Hello.", message_id: str = "", more: str = "", to: str = ADA) -> bytes:
    """A small raw mail; `more` are further header lines, each with its line end."""
    own = f"Message-ID: {message_id}\r\n" if message_id else ""
    head = f"From: Carl <carl@customer.example>\r\nTo: {to}\r\nDate: Tue, 03 Nov 2026 09:30:00 +0100\r\n"
    return f"{head}{own}Subject: {subject}\r\n{more}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


class Receiver:
    """The product's webhooks: answers handshakes, keeps what arrives. `answers` are the next statuses, 202 when used up."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, Json]] = []
        self.handshakes: list[str] = []
        self.answers: list[int] = []
        self.echo = True
        self._news = threading.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        if (token := request.query.get("validationToken")) is not None:
            self.handshakes.append(request.path)
            return web.Response(text=token if self.echo else "something else", content_type="text/plain")
        body = await request.json()
        with self._news:
            self.arrived.append((request.path, body))
            self._news.notify_all()
        return web.Response(status=self.answers.pop(0) if self.answers else 202)

    def all(self) -> list[Json]:
        return [one for _, body in self.arrived for one in body["value"]]

    def wait(self, number: int) -> list[Json]:
        """The notifications, as soon as there are that many. Fails after ten seconds."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.all()) >= number, 10), f"{len(self.all())} of {number} arrived"
        return self.all()


class Stand:
    """`url` is the origin of sign-in and Graph; `hooks` that of the receiver."""

    def __init__(self, folder: str) -> None:
        self.authority = Authority(folder)
        self.world = World()
        self.microsoft = Microsoft(self.world)
        self.microsoft.ca_file = str(self.authority.ca_file)
        self.receiver = Receiver()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._runners: list[web.AppRunner] = []
        receiver = web.Application()
        receiver.router.add_post("/{path:.*}", self._receive)
        self.url = self._serve(self.microsoft.application())
        self.hooks = self._serve(receiver)
        self.microsoft.base_url = self.url
        self.http = httpx.Client(verify=self.authority.client_context(), timeout=20)
        self.token = ""

    async def _receive(self, request: web.Request) -> web.Response:
        return await self.receiver.handle(request)

    def _serve(self, application: web.Application) -> str:
        async def start() -> int:
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.authority.server_context())
            await site.start()
            self._runners.append(runner)
            port: int = runner.addresses[0][1]
            return port

        return f"https://localhost:{asyncio.run_coroutine_threadsafe(start(), self.loop).result(10)}"

    def close(self) -> None:
        async def stop() -> None:
            for runner in self._runners:
                await runner.cleanup()

        self.http.close()
        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def reset(self) -> None:
        """Two mailboxes of one tenant, one app, nothing else."""

        def fresh() -> None:
            world, microsoft = self.world, self.microsoft
            world.rules, world.switches, world.clock = [], {}, WorldClock()
            world.latency_s, world.notify_delay_s = 0.0, (0.0, 0.0)
            world.random.seed(1)
            for counter in (world.calls, world.outbox, world.violations, world.answers, world.validated):
                counter.clear()
            microsoft.reset()
            microsoft.add_tenant(TENANT)
            microsoft.add_mailbox(ADA, "Ada Berg", aliases=("a.berg@example.test",), time_zone="W. Europe Standard Time")
            microsoft.add_mailbox(BO, "Bo Lind")
            microsoft.add_client(CLIENT, SECRET, (REDIRECT,), PERMISSIONS)
            self.token = microsoft.tokens.access(CLIENT, TENANT, None, PERMISSIONS)[0]

        self.receiver = Receiver()
        self.do(fresh)

    def do[T](self, work: Callable[[], T]) -> T:
        """Runs `work` where the stand-in lives."""

        async def run() -> T:
            return work()

        return self.await_(run())

    def await_[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def deliver(self, raw: bytes, address: str = ADA, **more: Any) -> str:
        return self.do(lambda: self.microsoft.mailbox(address).deliver(raw, **more))

    def box[T](self, work: Callable[[Any], T], address: str = ADA) -> T:
        """Runs `work(mailbox)` where the stand-in lives."""
        return self.do(lambda: work(self.microsoft.mailbox(address)))

    def fault(self, kind: str, **more: Any) -> None:
        self.world.plan_faults({"rules": [{"vendor": "microsoft", "kind": kind, **more}]})

    def delegated(self, address: str = ADA, scopes: tuple[str, ...] = SCOPES) -> str:
        token: str = self.do(lambda: self.microsoft.issue_token(address, CLIENT, scopes))["access_token"]
        return token

    def call(
        self,
        method: str,
        path: str,
        *,
        prefer: str = IMMUTABLE,
        token: str | None = None,
        status: int | None = None,
        **more: Any,
    ) -> httpx.Response:
        """One Graph call. `path` is below /v1.0 or a whole link; `status`: what it must end with."""
        token = self.token if token is None else token
        headers = {"Prefer": prefer, **({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        url = path if path.startswith("https://") else f"{self.url}/v1.0{path}"
        answer = self.http.request(method, url, headers=headers, **more)
        wanted = status or (200 if method == "GET" else answer.status_code)
        assert answer.status_code == wanted, f"{answer.status_code} instead of {wanted}: {answer.text[:400]}"
        return answer

    def get(self, path: str, **more: Any) -> Json:
        answer: Json = self.call("GET", path, **more).json()
        return answer

    def value(self, path: str, **more: Any) -> list[Json]:
        """Every page of a listing."""
        page = self.get(path, **more)
        items: list[Json] = page["value"]
        while "@odata.nextLink" in page:
            page = self.get(page["@odata.nextLink"], **more)
            items += page["value"]
        return items

    def round(self, path: str, **more: Any) -> tuple[list[Json], str]:
        """A whole delta round: (its items in order, the deltaLink)."""
        page = self.get(path, **more)
        items: list[Json] = page["value"]
        while "@odata.deltaLink" not in page:
            page = self.get(page["@odata.nextLink"], **more)
            items += page["value"]
        return items, page["@odata.deltaLink"]

    def batch(self, *parts: Json, **more: Any) -> dict[str, Json]:
        """The parts' answers by id; `url` alone is enough for a part."""
        requests = [{"id": str(n), "method": "GET", **part} for n, part in enumerate(parts, 1)]
        answer = self.call("POST", "/$batch", json={"requests": requests}, status=200, **more).json()
        return {part["id"]: part for part in answer["responses"]}

    def code(self, answer: httpx.Response) -> str:
        code: str = answer.json()["error"]["code"]
        return code

    def subscribe(self, resource: str, *, status: int = 201, **more: Any) -> Json:
        end = (self.world.clock.now() + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "changeType": "created,updated,deleted", "notificationUrl": f"{self.hooks}/notify",
            "lifecycleNotificationUrl": f"{self.hooks}/lifecycle", "resource": resource, "expirationDateTime": end,
            "clientState": "between us", **more,
        }  # fmt: skip
        answer: Json = self.call("POST", "/subscriptions", json=body, status=status).json()
        return answer


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
