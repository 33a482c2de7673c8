"""The frame every vendor stand-in hangs in: one clock, one call counter, one fault plan, one outbox, one contract check.

Rules that hold here:
- A stand-in is an aiohttp application made by `vendor_application`; every route is named by its template, and a
  request that matches no template is answered 501 with a sentence (an endpoint is built when the product first calls it).
- A call is counted once, when its route is known, as the vendor counts it; a handler may count more (`count_as`).
- Faults happen before the handler (`before`: the vendor did nothing) or after it (`after`: the vendor did the work and
  the answer is lost). Both are what real networks do; the second is the one that doubles records.
- Every answer with a body goes through the vendor's contract check. A violation turns into a 599 answer that no client
  mistakes for success, is kept in `World.violations`, and is shown by `GET {world}/contracts`.

It must never hold product knowledge: nothing in here may import `shared` or `functions`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: (request, template, status, response body or None) -> a sentence per violation; None = not checked. What a request may hold
#: is the stand-ins' own business: they refuse it in the vendor's words.
ContractCheck = Callable[[web.Request, str, int, Any], "list[str] | None"]


class WorldClock:
    """The world's time: the machine's clock plus what tests advanced it by. UTC, microseconds."""

    def __init__(self) -> None:
        self.advanced = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.advanced

    def advance(self, seconds: float) -> None:
        self.advanced += timedelta(seconds=seconds)


class Calls:
    """How often each vendor was called, as that vendor counts: {vendor: {"METHOD route template": n}}."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self.http: Counter[str] = Counter()  # plain HTTP requests by vendor, whatever the vendor counts them as

    def add(self, vendor: str, name: str, n: int = 1) -> None:
        if n:
            self._counts.setdefault(vendor, Counter())[name] += n

    def snapshot(self) -> dict[str, dict[str, int]]:
        return {vendor: dict(sorted(counts.items())) for vendor, counts in sorted(self._counts.items())}

    def clear(self) -> None:
        self._counts.clear()
        self.http.clear()


@dataclasses.dataclass
class FaultRule:
    """One line of the fault plan. It applies to calls of `vendor` whose "METHOD template" contains `match`.

    `kind`: `status` (answer `status` with `body` and `headers`, the vendor does nothing), `drop_before` (connection cut,
    nothing done), `drop_after` (done, then the connection is cut: the lost answer), or a vendor's own named fault, which
    its handlers ask for with `World.fault(vendor, kind)`.
    `after`: skip that many matching calls first. `times`: how often it applies, None = always. `share`: 0..1 by the seed.
    """

    vendor: str
    kind: str
    match: str = ""
    status: int = 503
    body: Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    after: int = 0
    times: int | None = 1
    share: float = 1.0
    detail: Any = None


class World:
    """What all stand-ins share. One instance per sandbox process; `reset()` puts every stand-in back to its sample data."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = WorldClock()
        self.calls = Calls()
        self.random = random.Random(seed)
        self.rules: list[FaultRule] = []
        self.latency_s = 0.0
        self.notify_delay_s: tuple[float, float] = (0.0, 0.0)
        self.switches: dict[str, Any] = {}
        self.outbox: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.answers: Counter[str] = Counter()  # "{vendor}" answers with a body
        self.validated: Counter[str] = Counter()  # "{vendor}" answers that a contract check looked at
        self.tasks: set[asyncio.Task[Any]] = set()
        self.on_call: list[Callable[[str, str, int], None]] = []  # (vendor, name, running number), for crash tests
        self._numbers = itertools.count(1)

    def fault(self, vendor: str, kind: str, name: str = "") -> FaultRule | None:
        """Takes the first rule of that kind that applies to this call, or None. Taking uses it up."""
        for rule in self.rules:
            if rule.vendor != vendor or rule.kind != kind or rule.match not in name:
                continue
            if rule.after > 0:
                rule.after -= 1
                continue
            if rule.times is not None and rule.times <= 0:
                continue
            if rule.share < 1.0 and self.random.random() >= rule.share:
                continue
            if rule.times is not None:
                rule.times -= 1
            return rule
        return None

    def plan_faults(self, body: Mapping[str, Any]) -> None:
        """`POST {world}/faults`: {"latency_ms", "notify_delay_s": [lo, hi], "rules": [FaultRule...], "switches": {}, "seed"}.

        Given keys replace what stood there; `rules: []` clears the plan.
        """
        if "seed" in body:
            self.random.seed(body["seed"])
        if "latency_ms" in body:
            self.latency_s = float(body["latency_ms"]) / 1000
        if "notify_delay_s" in body:
            low, high = body["notify_delay_s"]
            self.notify_delay_s = (float(low), float(high))
        if "rules" in body:
            self.rules = [FaultRule(**rule) for rule in body["rules"]]
        if "switches" in body:
            self.switches.update(body["switches"])

    def spawn(self, work: Awaitable[Any]) -> None:
        """Runs work beside the request (a notification, say) and keeps it from being collected half-way."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Dropped(Exception):
    """The connection was cut on purpose by the fault plan."""


def vendor_application(
    world: World,
    vendor: str,
    routes: Sequence[tuple[str, str, Handler]],
    *,
    check: ContractCheck | None = None,
    count_as: Callable[[web.Request, str], Mapping[str, int]] | None = None,
    not_built: Callable[[str], web.Response] | None = None,
    max_body: int = 256 * 1024 * 1024,
) -> web.Application:
    """One vendor's stand-in.

    `routes`: (METHOD, template, handler); the template is what calls are counted under.
    `count_as`: given (request, "METHOD template"), the counts this call makes ({} = none); default is one under its name.
    `check`: the contract check; see `ContractCheck`.
    """

    async def guarded(request: web.Request, template: str, handler: Handler) -> web.StreamResponse:
        name = f"{request.method} {template}"
        world.calls.http[vendor] += 1
        for counted, n in (count_as(request, name) if count_as else {name: 1}).items():
            world.calls.add(vendor, counted, n)
        for listener in world.on_call:
            listener(vendor, name, next(world._numbers))
        if world.latency_s:
            await asyncio.sleep(world.latency_s)
        if rule := world.fault(vendor, "status", name):
            body = rule.body if isinstance(rule.body, (str, type(None))) else json.dumps(rule.body)
            content_type = "text/plain" if isinstance(rule.body, (str, type(None))) else "application/json"
            return web.Response(status=rule.status, text=body or "", headers=rule.headers, content_type=content_type)
        if world.fault(vendor, "drop_before", name):
            return _cut(request)
        try:
            response = await handler(request)
        except ConnectionResetError:  # the client died while it was sending: nobody is there to be answered
            return web.Response(status=400)
        response = await _checked(request, template, response)
        if world.fault(vendor, "drop_after", name):
            return _cut(request)
        return response

    async def _checked(request: web.Request, template: str, response: web.StreamResponse) -> web.StreamResponse:
        if not isinstance(response, web.Response) or not response.body:
            return response
        world.answers[vendor] += 1
        if check is None:
            return response
        answered = json.loads(response.text or "null") if response.content_type == "application/json" else None
        problems = check(request, template, response.status, answered)
        if problems is None:
            return response
        world.validated[vendor] += 1
        if problems:
            world.violations.extend(f"{vendor} {request.method} {template}: {problem}" for problem in problems)
            return web.json_response({"sandbox_contract_violations": problems}, status=599)
        return response

    def bound(template: str, handler: Handler) -> Handler:
        async def call(request: web.Request) -> web.StreamResponse:
            return await guarded(request, template, handler)

        return call

    async def unknown(request: web.Request) -> web.StreamResponse:
        world.calls.http[vendor] += 1
        world.calls.add(vendor, f"{request.method} (not built)")
        sentence = f"The sandbox has not built {request.method} {request.path}; build it with the product line that calls it."
        return not_built(sentence) if not_built else web.json_response({"error": sentence}, status=501)

    application = web.Application(client_max_size=max_body)
    for method, template, handler in routes:
        application.router.add_route(method, template, bound(template, handler))
    application.router.add_route("*", "/{anything:.*}", unknown)
    return application


def _cut(request: web.Request) -> web.StreamResponse:
    """Closes the client's connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise Dropped
