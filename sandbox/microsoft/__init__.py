"""The Microsoft world: a stateful stand-in for Entra sign-in and Microsoft Graph mail on one https origin.

Rules that hold here:
- What it says is held to the vendor's contract on every answer (`contract.py`); what the product relies on stands in FACTS.md,
  each row with its test; what is unsure about the vendor is a switch `microsoft.<name>` in `World.switches`.
- An endpoint is a row of `routes.py`; anything else is answered 501 with a sentence.
- A call is counted under vendor "microsoft" (Graph; $batch parts each under their own template) or "microsoft-login".
- State is in memory and is touched in the event loop's thread only.

It must never hold product knowledge, and never answer what the vendor would not.
"""

from __future__ import annotations

import uuid
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.frame import World, vendor_application
from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.contract import Contract
from sandbox.microsoft.errors import GraphError, envelope, refusal
from sandbox.microsoft.login import Client, Login
from sandbox.microsoft.mailbox import Mailbox
from sandbox.microsoft.notify import Notifier
from sandbox.microsoft.routes import ROOT, ROUTES, Route, Router
from sandbox.microsoft.subscriptions import Subscriptions
from sandbox.microsoft.tokens import Caller, Tokens

__all__ = ["Mailbox", "Microsoft"]

VENDOR, LOGIN_VENDOR = "microsoft", "microsoft-login"
MAX_BODY = 8 * 1024 * 1024
RETRY_AFTER_S = 10


class Microsoft:
    """One instance per sandbox. `base_url` (https, no slash at the end) must be set before the first call is served."""

    def __init__(self, world: World, *, base_url: str | None = None) -> None:
        self.world = world
        self.base_url = base_url or ""
        self.contract = Contract()
        self.tokens = Tokens(world)
        self.notifier = Notifier(world, lambda body: self.contract.problems("changeNotificationCollection", body))
        self.subscriptions = Subscriptions(self)
        self.router = Router()
        self.login = Login(self)
        self.secret = uuid.uuid4().bytes
        self._mailboxes: dict[str, Mailbox] = {}
        self._recent: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

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
        mailbox = Mailbox(self.world, tenant, address, name, tuple(aliases), time_zone, self.subscriptions.on_change)
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

    def switch(self, name: str, default: Any) -> Any:
        return self.world.switches.get(f"microsoft.{name}", default)

    # --- serving

    def application(self) -> web.Application:
        """Sign-in and Graph on one origin."""
        graph_routes = [(route.method, route.template, self._serve) for route in ROUTES]
        graph_routes.append(("*", ROOT + "/{path:.*}", self._serve))
        graph = vendor_application(
            self.world, VENDOR, graph_routes, check=self._check, count_as=self._count, max_body=MAX_BODY,
            not_built=self._not_built,
        )  # fmt: skip
        login = vendor_application(self.world, LOGIN_VENDOR, self.login.routes(), max_body=MAX_BODY)
        application = _merged(login, graph)
        application.on_startup.append(lambda _: self.notifier.start())
        application.on_cleanup.append(lambda _: self.notifier.stop())
        return application

    def _count(self, request: web.Request, name: str) -> Mapping[str, int]:
        found = self.router.match(request.method, request.rel_url.raw_path)
        return {found[0].name if found else f"{request.method} (not built)": 1}

    def _check(self, request: web.Request, template: str, sent: Any, status: int, answered: Any) -> list[str] | None:
        return self.contract.answer_problems(request.get("answers", "error"), status, answered, dict(request.query))

    def _not_built(self, sentence: str) -> web.Response:
        return web.json_response({"error": {"code": "NotImplemented", "message": sentence}}, status=501)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        found = self.router.match(request.method, request.rel_url.raw_path)
        if found is None:
            answer = self.refused(refusal("not_built", what=f"{request.method} {request.path}"), headers)
        else:
            request["answers"] = found[0].answers
            answer = await self._answer(found, request.path, request.query, headers, await request.read())
        sent_headers = {
            "request-id": str(uuid.uuid4()),
            "client-request-id": headers.get("client-request-id", ""),
            **answer.headers,
        }
        if isinstance(answer.body, bytes):
            return web.Response(body=answer.body, status=answer.status, headers=sent_headers, content_type=answer.content_type)
        if answer.body is None:
            return web.Response(status=answer.status, headers=sent_headers)
        return web.json_response(answer.body, status=answer.status, headers=sent_headers)

    async def run_part(self, method: str, url: str, headers: Mapping[str, str], payload: bytes) -> Answer:
        """One part of a $batch: counted, faulted and checked like a call of its own."""
        path, _, query_text = url.partition("?")
        path = path if path.startswith(ROOT) else ROOT + path
        query = dict(parse_qsl(query_text, keep_blank_values=True))
        found = self.router.match(method, path)
        name = found[0].name if found else f"{method} (not built)"
        self.world.calls.add(VENDOR, name)
        if found is None:
            return self.refused(refusal("not_built", what=f"{method} {path}"), headers)
        if rule := self.world.fault(VENDOR, "status", name):
            body = rule.body if isinstance(rule.body, dict) else None
            return Answer(rule.status, body, rule.headers)
        answer = await self._answer(found, path, query, headers, payload)
        if isinstance(answer.body, dict):
            problems = self.contract.answer_problems(found[0].answers, answer.status, answer.body, query)
            self.world.violations.extend(f"{VENDOR} $batch {name}: {problem}" for problem in problems or ())
        return answer

    async def _answer(
        self, found: tuple[Route, Mapping[str, str]], path: str, query: Mapping[str, str], headers: Mapping[str, str], payload: bytes
    ) -> Answer:  # fmt: skip
        route, places = found
        try:
            caller = self.tokens.caller(headers.get("authorization"))
            if route.allowed and not route.allowed & caller.permissions:
                raise refusal("denied")
            inside = route.template.startswith((f"{ROOT}/me", f"{ROOT}/users"))
            owner = self.owner(places.get("user"), caller) if inside else None
            self._throttle(caller, owner)
            return await route.handler(
                Call(self, route.method, route.template, path, places, dict(query), headers, payload, caller, owner)
            )
        except GraphError as error:
            return self.refused(error, headers)

    def refused(self, error: GraphError, headers: Mapping[str, str]) -> Answer:
        asked = headers.get("client-request-id") or str(uuid.uuid4())
        return Answer(error.status, envelope(error, self.world.clock.now(), str(uuid.uuid4()), asked), error.headers)

    def owner(self, user: str | None, caller: Caller) -> Mailbox:
        """Whose mailbox a path names: `user` (id or address), None = the caller's own. Raises GraphError."""
        key = user if user is not None and user.lower() != "me" else caller.address
        if key is None:
            raise refusal("me_needs_user")
        mailbox = self.find_mailbox(key)
        if mailbox is None or mailbox.tenant != caller.tenant:
            raise refusal("no_user", user=key)
        if caller.address is not None and mailbox is not self.find_mailbox(caller.address):
            raise refusal("denied")
        return mailbox

    def _throttle(self, caller: Caller, owner: Mailbox | None) -> None:
        """The vendor's counter, where the switch `microsoft.requests_per_10_min` sets one (its own value is 10,000)."""
        limit = self.switch("requests_per_10_min", None)
        if limit is None or owner is None:
            return
        now = self.world.clock.now().timestamp()
        recent = self._recent[caller.client_id, owner.user_id]
        while recent and recent[0] <= now - 600:
            recent.popleft()
        if len(recent) >= limit:
            after = max(1, int(recent[0] + 600 - now) + 1)
            raise refusal("too_many_requests", {"Retry-After": str(after)}, after=after)
        recent.append(now)


def _merged(*applications: web.Application) -> web.Application:
    """One application with the routes of all; only the last one's answer to unknown paths is kept."""
    merged = web.Application(client_max_size=MAX_BODY)
    for application in applications:
        for resource in application.router.resources():
            if resource.canonical == "/{anything}" and application is not applications[-1]:
                continue
            for route in resource:
                merged.router.add_route(route.method, _pattern(resource), route.handler)
    return merged


def _pattern(resource: web.AbstractResource) -> str:
    """The path a resource was added with; a tail place's pattern is not part of its canonical form."""
    return resource.canonical.replace("/{path}", "/{path:.*}").replace("/{anything}", "/{anything:.*}")
