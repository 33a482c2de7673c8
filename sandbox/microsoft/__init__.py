"""The Microsoft world: a stateful stand-in for Entra sign-in, Microsoft Graph mail and calendars on one https origin.

Rules that hold here:
- What it says is held to the vendor's contract on every answer (`contract.py`); what the product relies on stands in FACTS.md,
  each row with its test; what is unsure about the vendor is a switch `microsoft.<name>` in `World.switches`.
- An endpoint is a row of `routes.py`; anything else is answered 501 with a sentence.
- A call is counted under vendor "microsoft" (Graph; $batch parts each under their own template) or "microsoft-login".
- State is in memory and is touched in the event loop's thread only.
- What decides anything comes from `World.random` and `World.clock`; request and trace ids and sign-in codes are noise and do
  not draw from it.

It must never hold product knowledge, and never answer what the vendor would not.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from sandbox.frame import Handler, World, vendor_application
from sandbox.microsoft.batch import run_batch
from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.contract import Contract
from sandbox.microsoft.errors import GraphError, envelope, refusal
from sandbox.microsoft.faults import answer_lost, strike
from sandbox.microsoft.login import Client, Login
from sandbox.microsoft.mailbox import Mailbox
from sandbox.microsoft.notify import Notifier
from sandbox.microsoft.routes import ROOT, ROUTES, Route, Router, refuse_options
from sandbox.microsoft.subscriptions import Subscriptions
from sandbox.microsoft.switches import switch
from sandbox.microsoft.tokens import Caller, Tokens

__all__ = ["Mailbox", "Microsoft"]

_ELSE = "/{anything}"
VENDOR, LOGIN_VENDOR = "microsoft", "microsoft-login"
MAX_BODY = 8 * 1024 * 1024
Texts = Mapping[str, str]
Match = tuple[Route, Texts]


@dataclass
class Served:
    """What is known of a request under way; `query` is what its answer is checked against."""

    found: Match
    headers: Texts
    query: Texts


_SERVED = web.RequestKey("served", Served)


class Microsoft:
    """One instance per sandbox. `base_url` (https, no slash at the end) must be set before the first call is served.

    `World.fault("microsoft", kind)` takes the kinds of `faults.py` (single calls), `delta.py` (cursors) and `notify.py`
    (notifications); `World.switches["microsoft.<name>"]` the names of `switches.py`. A page lists `mailboxes()`.
    """

    def __init__(self, world: World, *, base_url: str | None = None) -> None:
        self.world = world
        self.base_url = base_url or ""
        self.contract = Contract()
        self.tokens = Tokens(world)
        self.notifier = Notifier(world, lambda body: self.contract.problems("changeNotificationCollection", body))
        self.subscriptions = Subscriptions(self)
        self.router = Router()
        self.login = Login(self)
        self.secret = world.random.randbytes(16)
        self._mailboxes: dict[str, Mailbox] = {}
        self._recent: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._in_flight: Counter[tuple[str, str]] = Counter()

    # --- what sample data, the page and tests use

    @property
    def ca_file(self) -> str | None:
        """The CA bundle that receivers of notifications are verified with; None = the machine's own."""
        return self.notifier.ca_file

    @ca_file.setter
    def ca_file(self, path: str | None) -> None:
        self.notifier.ca_file = str(path) if path else None

    def reset(self) -> None:
        """Forgets tenants, mailboxes, clients, grants and subscriptions; keys and address stay."""
        self._mailboxes.clear()
        self._recent.clear()
        self.subscriptions.clear()
        self.notifier.clear()
        self.login.clear()

    def add_tenant(self, tenant_id: str) -> None:
        """Mailboxes and clients added from now on belong to this tenant."""
        self.login.add_tenant(tenant_id)

    def add_mailbox(self, address: str, name: str, *, aliases: Iterable[str] = (), time_zone: str = "UTC") -> Mailbox:
        """`time_zone` is a Windows or IANA name, as `mailboxSettings` shows it. Raises ValueError for an address in use."""
        addresses = [address, *aliases]
        if taken := [one for one in addresses if one.lower() in self._mailboxes]:
            raise ValueError(f"The address {taken[0]} belongs to a mailbox already.")
        tenant = self.login.current_tenant
        heard = self.subscriptions.on_change
        mailbox = Mailbox(self.world, tenant, address, name, tuple(aliases), time_zone, heard, self.find_mailbox)
        for key in (*addresses, mailbox.user_id):
            self._mailboxes[key.lower()] = mailbox
        return mailbox

    def mailbox(self, address: str) -> Mailbox:
        """By primary address, alias or user id. Raises KeyError."""
        return self._mailboxes[address.lower()]

    def find_mailbox(self, address: str) -> Mailbox | None:
        return self._mailboxes.get(address.lower())

    def mailboxes(self) -> list[Mailbox]:
        return list(dict.fromkeys(self._mailboxes.values()))

    def add_client(
        self,
        client_id: str,
        secret: str | None = None,
        redirect_uris: Iterable[str] = (),
        app_permissions: Iterable[str] = (),
    ) -> Client:
        """An app registration; without `secret` a public client. `app_permissions` are the consented application roles."""
        return self.login.add_client(client_id, secret, tuple(redirect_uris), tuple(app_permissions))

    def issue_token(self, address: str, client_id: str, scopes: Iterable[str]) -> dict[str, Any]:
        """The token answer a sign-in of that user would have ended with."""
        return self.login.issue(self.mailbox(address), client_id, tuple(scopes))

    def switch(self, name: str) -> Any:
        return switch(self.world, name)

    # --- serving

    def application(self) -> web.Application:
        """Sign-in and Graph on one origin."""
        routes = [(route.method, route.template, self._serve) for route in ROUTES]
        graph = vendor_application(
            self.world, VENDOR, routes, check=self._check, max_body=MAX_BODY, not_built=self._not_built
        )  # fmt: skip
        application = vendor_application(self.world, LOGIN_VENDOR, self.login.routes(), max_body=MAX_BODY)
        served = {(route.method, route.resource.canonical): route.handler for route in graph.router.routes() if route.resource}
        merged = web.Application(client_max_size=MAX_BODY)
        for route in application.router.routes():
            if route.resource and route.resource.canonical != _ELSE:
                merged.router.add_route(route.method, route.resource.canonical, route.handler)
        merged.router.add_route("*", "/{anything:.*}", self._dispatch(served))
        merged.on_startup.append(lambda _: self.notifier.start())
        merged.on_cleanup.append(lambda _: self.notifier.stop())
        return merged

    def _dispatch(self, served: Mapping[tuple[str, str], Any]) -> Handler:
        """Finds the route however the path is spelled, so that counts and faults see the template alone."""

        async def dispatch(request: web.Request) -> web.StreamResponse:
            found = self.router.match(request.method, request.rel_url.raw_path)
            if found is None:
                unknown: web.StreamResponse = await served["*", _ELSE](request)
                return unknown
            route, places = found
            headers = {name.lower(): value for name, value in request.headers.items()}
            request[_SERVED] = Served(found, headers, request.query)
            key = self._lane(places, headers)
            self._in_flight[key] += 1
            try:
                response: web.StreamResponse = await served[route.method, route.template](request)
                return response
            finally:
                self._in_flight[key] -= 1

        return dispatch

    def _lane(self, places: Texts, headers: Texts) -> tuple[str, str]:
        """(app, mailbox) of a call, which share the vendor's limit of requests at a time; empty where there is none."""
        with contextlib.suppress(GraphError):
            caller = self.tokens.caller(headers.get("authorization"))
            return caller.client_id, self.owner(places.get("user"), caller).user_id
        return "", ""

    def _check(self, request: web.Request, template: str, status: int, answered: Any) -> list[str] | None:
        served = request[_SERVED]
        return self.contract.answer_problems(served.found[0].answers, status, answered, served.query)

    def _not_built(self, sentence: str) -> web.Response:
        return web.json_response({"error": {"code": "NotImplemented", "message": sentence}}, status=501)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        served = request[_SERVED]
        headers = served.headers
        answer = await self._answer(served.found, request.path, request.query, headers, await request.read())
        served.query = answer.asked if answer.asked is not None else served.query
        asked = headers.get("client-request-id") or str(uuid.uuid4())
        sent_headers = {"request-id": str(uuid.uuid4()), "client-request-id": asked, **answer.headers}
        if isinstance(answer.body, bytes):
            return web.Response(body=answer.body, status=answer.status, headers=sent_headers, content_type=answer.content_type)
        if answer.body is None:
            return web.Response(status=answer.status, headers=sent_headers)
        return web.json_response(answer.body, status=answer.status, headers=sent_headers)

    async def run_part(self, method: str, url: str, headers: Mapping[str, str], payload: bytes) -> Answer:
        """One part of a $batch: counted, faulted and checked like a call of its own."""
        path, _, query_text = url.partition("?")
        query = dict(parse_qsl(query_text, keep_blank_values=True))
        found = self.router.match(method, ROOT + path)
        name = found[0].name if found else f"{method} (not built)"
        self.world.calls.add(VENDOR, name)
        if path.startswith(f"{ROOT}/"):
            return self.refused(refusal("bad_segment", segment=ROOT[1:]), headers)
        if found is None or found[0].handler is run_batch:
            return self.refused(refusal("not_built", what=f"{method} {path} in a batch"), headers)
        if rule := self.world.fault(VENDOR, "status", name):
            return Answer(rule.status, rule.body if isinstance(rule.body, dict) else None, rule.headers)
        answer = await self._answer(found, unquote(ROOT + path), query, headers, payload)
        return self._checked_part(found[0], answer, query)

    def _checked_part(self, route: Route, answer: Answer, query: Texts) -> Answer:
        """The same check that answers of their own go through (`vendor_application`)."""
        if not answer.body:
            return answer
        self.world.answers[VENDOR] += 1
        shown = answer.body if isinstance(answer.body, dict) else None
        problems = self.contract.answer_problems(route.answers, answer.status, shown, answer.asked or query)
        if problems is None:
            return answer
        self.world.validated[VENDOR] += 1
        self.world.violations.extend(f"{VENDOR} $batch {route.name}: {problem}" for problem in problems)
        return Answer(599, {"sandbox_contract_violations": problems}) if problems else answer

    async def _answer(self, found: Match, path: str, query: Texts, headers: Texts, payload: bytes) -> Answer:
        route, places = found
        try:
            strike(self.world, route.name)
            caller = self.tokens.caller(headers.get("authorization"))
            if route.allowed and not route.allowed & caller.permissions:
                raise refusal("denied")
            inside = route.template.startswith((f"{ROOT}/me", f"{ROOT}/users"))
            below = route.template != f"{ROOT}/users/{{user}}"
            owner = self.owner(places.get("user"), caller, below=below) if inside else None
            self._throttle(caller, owner)
            refuse_options(route, query)
            call = Call(self, route.method, route.template, path, places, dict(query), headers, payload, caller, owner)
            answer = await route.handler(call)
            answer_lost(self.world, route.name)
            return answer
        except GraphError as error:
            return self.refused(error, headers)

    def refused(self, error: GraphError, headers: Mapping[str, str]) -> Answer:
        asked = headers.get("client-request-id") or str(uuid.uuid4())
        return Answer(error.status, envelope(error, self.world.clock.now(), str(uuid.uuid4()), asked), error.headers)

    def owner(self, user: str | None, caller: Caller, *, below: bool = True) -> Mailbox:
        """Whose mailbox a path names: `user` (id or address), None = the caller's own; `below`: the path goes on into the
        mailbox. Raises GraphError."""
        key = user if user is not None and user.lower() != "me" else caller.address
        if key is None:
            raise refusal("me_needs_user")
        mailbox = self.find_mailbox(key)
        if mailbox is None or mailbox.tenant != caller.tenant:
            raise refusal("no_user" if below else "no_directory_object", user=key)
        if caller.address is not None and mailbox is not self.find_mailbox(caller.address):
            raise refusal("denied")
        return mailbox

    def _throttle(self, caller: Caller, owner: Mailbox | None) -> None:
        """The vendor's two limits per app and mailbox (throttling-limits, "Outlook service limits")."""
        if owner is None:
            return
        if self._in_flight[caller.client_id, owner.user_id] > self.switch("concurrency"):
            raise refusal("throttled", {"Retry-After": "1"})
        now = self.world.clock.now().timestamp()
        recent = self._recent[caller.client_id, owner.user_id]
        while recent and recent[0] <= now - 600:
            recent.popleft()
        if len(recent) >= self.switch("requests_per_10_min"):
            after = max(1, int(recent[0] + 600 - now) + 1) if recent else 600
            raise refusal("too_many_requests", {"Retry-After": str(after)}, after=after)
        recent.append(now)
