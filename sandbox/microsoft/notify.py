"""Change and lifecycle notifications: what the vendor POSTs to the product.

Rules that hold here:
- https only, the receiver's certificate is verified; what waits for one address goes out in one body (batched).
- Each notification is delayed by `world.notify_delay_s`. An answer that is not 2xx, or none in time, is tried again with
  growing pauses for up to four hours, then dropped.
- Named faults: `notify_drop` (never sent), `notify_double` (sent twice), `notify_reorder` (sent behind the next one),
  `notify_forge` (a copy with a clientState nobody gave goes out beside it, in a body of its own).
  Their `match` sees "notification {changeType}" or "lifecycle {event}".
Sources: learn.microsoft.com/graph/change-notifications-delivery-webhooks, /graph/change-notifications-lifecycle-events.

It must never hand out content: ids alone.
"""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

import aiohttp

from sandbox.frame import World
from sandbox.microsoft.errors import refusal

Json = dict[str, Any]
HANDSHAKE_S = 10.0
ANSWER_S = 10.0
MAX_IN_ONE = 50
#: pauses before each further try; together four hours
RETRY_S = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 6209)
#: a notification held back by `notify_reorder` goes out after this long even when no other follows
HELD_S = 2.0


class Notifier:
    """`start` and `stop` belong to the application's life; `post` may be called from any thread.

    Takes the kinds `notify_drop`, `notify_double`, `notify_reorder` and `notify_forge` of `World.fault("microsoft", ...)`.
    """

    def __init__(self, world: World, check: Callable[[Json], list[str]]) -> None:
        self.world, self.check = world, check
        self.ca_file: str | None = None
        self.sent = 0
        self.history: deque[Json] = deque(maxlen=2000)  # {"at", "id", "change"} of what was sent, oldest first
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: defaultdict[str, list[Json]] = defaultdict(list)
        self._sending: set[str] = set()
        self._held: dict[str, Json] = {}

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        self._loop = self._session = None

    def clear(self) -> None:
        """Forgets what waits, and what would be tried again."""
        for task in self._tasks:
            task.cancel()
        self._waiting.clear()
        self._held.clear()
        self.history.clear()

    async def handshake(self, url: str) -> None:
        """The validation of an address. Raises GraphError 400 as "create subscription" then does."""
        if not url.startswith("https://"):
            raise refusal("subscription", why=f"The notification URL '{url.split('?')[0]}' must be an https address.")
        token = f"Validation: Testing client application reachability for subscription Request-Id: {uuid.uuid4()}"
        joined = f"{url}{'&' if '?' in url else '?'}{urlencode({'validationToken': token})}"
        try:
            status, content_type, text = await self._send(joined, None, HANDSHAKE_S)
        except TimeoutError:
            raise refusal("handshake_slow") from None
        except aiohttp.ClientError:
            raise refusal("handshake") from None
        if status != 200:
            raise refusal("handshake")
        if content_type != "text/plain" or text != token:
            raise refusal("handshake_text")

    def post(self, url: str, notification: Json) -> None:
        """Sends a notification when its delay is over. Nothing is sent before the application runs.

        Faults and delay are settled here, so that a plan changed afterwards does not reach what was posted before.
        """
        if self._loop is None:
            return
        name = _name(notification)
        if self.world.fault("microsoft", "notify_drop", name):
            return
        if self.world.fault("microsoft", "notify_forge", name):
            forged = {**notification, "clientState": f"forged-{self.world.random.getrandbits(64):016x}"}
            self._loop.call_soon_threadsafe(lambda: self._spawn(self._forged(url, forged)))
        copies = 2 if self.world.fault("microsoft", "notify_double", name) else 1
        is_held = self.world.fault("microsoft", "notify_reorder", name) is not None
        for _ in range(copies):
            delay_s = self.world.random.uniform(*self.world.notify_delay_s)
            self._loop.call_soon_threadsafe(self._start, url, notification, delay_s, is_held)

    def _start(self, url: str, notification: Json, delay_s: float, is_held: bool) -> None:
        self._spawn(self._later(url, notification, delay_s, is_held))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forged(self, url: str, notification: Json) -> None:
        """What somebody else sends: once, whatever is answered."""
        await self._delivered(url, [notification])

    async def _later(self, url: str, notification: Json, delay_s: float, is_held: bool) -> None:
        await asyncio.sleep(delay_s)
        if is_held and url not in self._held:
            self._held[url] = notification
            await asyncio.sleep(HELD_S)
            if self._held.pop(url, None) is None:
                return
            self._waiting[url].append(notification)
        else:
            self._waiting[url].append(notification)
            if held := self._held.pop(url, None):
                self._waiting[url].append(held)
        if url not in self._sending:
            await self._flush(url)

    async def _flush(self, url: str) -> None:
        self._sending.add(url)
        try:
            while batch := self._waiting[url][:MAX_IN_ONE]:
                del self._waiting[url][:MAX_IN_ONE]
                if not await self._delivered(url, batch):
                    self._spawn(self._again(url, batch))
        finally:
            self._sending.discard(url)

    async def _again(self, url: str, batch: list[Json]) -> None:
        for pause in RETRY_S:
            await asyncio.sleep(pause)
            if await self._delivered(url, batch):
                return

    async def _delivered(self, url: str, batch: list[Json]) -> bool:
        body = {"value": batch}
        if problems := self.check(body):
            self.world.violations.extend(f"microsoft notification: {problem}" for problem in problems)
        at = self.world.clock.now().isoformat()
        self.history.extend({"at": at, "id": one.get("resourceData", {}).get("id", ""), "change": _name(one)} for one in batch)
        try:
            status, _, _ = await self._send(url, body, ANSWER_S)
        except (TimeoutError, aiohttp.ClientError):
            return False
        self.sent += len(batch)
        return 200 <= status < 300

    async def _send(self, url: str, body: Json | None, within_s: float) -> tuple[int, str, str]:
        """(status, content type, text). Raises TimeoutError or aiohttp.ClientError."""
        if self._session is None:
            context = ssl.create_default_context(cafile=self.ca_file)
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
        more: dict[str, Any] = {"json": body} if body else {"data": b"", "headers": {"Content-Type": "text/plain"}}
        timeout = aiohttp.ClientTimeout(total=within_s)
        async with self._session.post(url, timeout=timeout, allow_redirects=False, **more) as answer:
            return answer.status, answer.content_type, await answer.text()


def _name(notification: Json) -> str:
    if event := notification.get("lifecycleEvent"):
        return f"lifecycle {event}"
    return f"notification {notification['changeType']}"
