"""The manners of every door of the JSON API: who asks, how it is answered, what a refusal looks like.

Rules that hold here:
- A door is opened by its name in `functions.openapi.ROUTES`, which says path, method and whether it needs a token.
- A route of a mailbox gets a `Call` only with a verified token of a mailbox that is connected.
- Refusals are RFC 9457 problem details: a stable `code`, its sentence, and `type` = the address that explains the code.
- No answer may be kept by a cache or guessed at by a browser; 401 says how to sign in (RFC 6750).
- Errors that have a class become problems; any other exception rises to the host without its text (`functions.quiet`), which
  logs it and answers 500.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import azure.functions as func

from functions.openapi import BY_NAME, PREFIX, Route
from functions.quiet import quietly

if TYPE_CHECKING:
    from shared.access.directory import MailboxEntry
    from shared.access.tokens import Identity
    from shared.ports import Place

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
#: Seconds after which to try again where nobody said better.
RETRY_S = 5


@dataclass(frozen=True)
class Call:
    """One request of the mailbox's owner. `place` is the mailbox's own partition."""

    request: func.HttpRequest
    identity: "Identity"
    entry: "MailboxEntry"
    place: "Place"


@dataclass(frozen=True)
class Answer:
    """`body` is what json.dumps takes."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Problem(Exception):
    """Refuses the request: `parameters` fill the code's sentence."""

    def __init__(self, status: int, code: str, headers: Mapping[str, str] | None = None, **parameters: object) -> None:
        super().__init__(code)
        self.status, self.code, self.headers, self.parameters = status, code, dict(headers or {}), parameters


type MailboxHandler = Callable[[Call], Answer]
type OpenHandler = Callable[[func.HttpRequest], Answer]


def door(bp: func.Blueprint, name: str) -> Callable[[MailboxHandler], MailboxHandler]:
    """Opens a route that needs a token and a connected mailbox."""

    def opened(handler: MailboxHandler) -> MailboxHandler:
        _register(bp, name, lambda request: handler(_call(request)), mailbox=True)
        return handler

    return opened


def open_door(bp: func.Blueprint, name: str) -> Callable[[OpenHandler], OpenHandler]:
    """Opens a route that anybody may call."""

    def opened(handler: OpenHandler) -> OpenHandler:
        _register(bp, name, handler, mailbox=False)
        return handler

    return opened


def _register(bp: func.Blueprint, name: str, handler: OpenHandler, *, mailbox: bool) -> None:
    route: Route = BY_NAME[name]
    if route.mailbox != mailbox:
        raise ValueError(f"the route {name} is registered with the wrong kind of door")

    def answered(req: func.HttpRequest) -> func.HttpResponse:
        try:
            answer = quietly(lambda: _guarded(handler, req), told=(Problem,))
            return _response(answer.body, answer.status, answer.headers, "application/json")
        except Problem as problem:
            return _refusal(problem)

    bp.function_name(name)(bp.route(route.template, methods=[route.method], auth_level=func.AuthLevel.ANONYMOUS)(answered))


def _guarded(handler: OpenHandler, req: func.HttpRequest) -> Answer:
    """The answer; our own errors come out as problems. Raises Problem."""
    from shared.access.tokens import SigningKeyMissing
    from shared.core.errors import Retry, SyncError
    from shared.settings import SettingsError

    try:
        return handler(req)
    except SettingsError:
        raise Problem(503, "settings.missing") from None
    except SigningKeyMissing as missing:
        raise Problem(503, missing.code) from None
    except Retry as later:
        raise Problem(503, later.code, {"Retry-After": str(round(later.after_s or RETRY_S))}) from later
    except SyncError as stopped:
        raise Problem(500, stopped.code) from stopped


def _call(request: func.HttpRequest) -> Call:
    from shared.access import directory
    from shared.wire import wire

    identity = _identity(request)
    entry = directory.by_key(wire().store, identity.tenant, identity.mailbox)
    if entry is None or entry.key != identity.mailbox:
        raise Problem(404, "mailbox.unknown")
    return Call(request, identity, entry, identity.place)


def _identity(request: func.HttpRequest) -> "Identity":
    from shared.access.tokens import TokenRefused, verify
    from shared.wire import wire

    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "token.missing", {"WWW-Authenticate": 'Bearer realm="mailspan"'})
    try:
        return verify(wire().settings, wire().clock.now(), token.strip())
    except TokenRefused as refused:
        raise Problem(
            401, refused.code, {"WWW-Authenticate": 'Bearer realm="mailspan", error="invalid_token"'}
        ) from None  # fmt: skip


def _refusal(problem: Problem) -> func.HttpResponse:
    from shared.texts import sentence

    told = sentence(problem.code, **problem.parameters)
    body = {
        "type": _address(problem.code),
        "title": told.what,
        "status": problem.status,
        "code": problem.code,
        "detail": " ".join(part for part in (told.data, told.act) if part),
    }
    return _response(body, problem.status, problem.headers, "application/problem+json")


def _address(code: str) -> str:
    """Where the code is explained; relative where the deployment does not know its own address."""
    from shared.settings import SettingsError, current

    path = f"/api/{PREFIX}/problems/{code}"
    try:
        return current().public_url + path
    except SettingsError:
        return path


def _response(body: Any, status: int, headers: Mapping[str, str], media: str) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, headers={**HEADERS, **headers}, mimetype=media)
