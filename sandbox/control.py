"""The control API of the world, at `{world}` = https://localhost:PORT/_world: what stands outside every vendor.

Rules that hold here:
- A row of `ROUTES` is an endpoint; docs/running.md describes each, and a test compares the two.
- Everything is answered as JSON; what cannot be done is {"error": a sentence} with 400, 404 or 405. A page of another site, by
  its Host or by what browsers say of it (Fetch Metadata Request Headers, W3C), gets 403.
- Nothing here counts as a vendor's call, and nothing here is possible that a person, an administrator or the weather could not
  do: acts go through the same ways as the vendors' own.

It must never be reachable from another machine: it hands out tokens and content to whoever asks.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from aiohttp import web

from sandbox.frame import FaultRule
from sandbox.microsoft.errors import GraphError
from sandbox.salesforce.refused import Refused
from sandbox.sample import as_json, events_as_json
from sandbox.sample.bulk import deliver_many
from sandbox.serve import Sandbox
from sandbox.state import state

BASE = "/_world"
MOST_AT_ONCE = 20_000
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
Json = dict[str, Any]
Handler = Callable[[Sandbox, web.Request], Awaitable[Any]]


async def users(sandbox: Sandbox, _request: web.Request) -> Any:
    return [sandbox.user(user) for user in sandbox.sample.users]


async def mailboxes(sandbox: Sandbox, _request: web.Request) -> Any:
    return [sandbox.counts(user) for user in sandbox.sample.users]


async def sample(sandbox: Sandbox, _request: web.Request) -> Any:
    return {"settings": sandbox.sample.settings, "users": [asdict(user) for user in sandbox.sample.users]}


async def manifest(sandbox: Sandbox, _request: web.Request) -> Any:
    return as_json(sandbox.sample)


async def event_manifest(sandbox: Sandbox, _request: web.Request) -> Any:
    return events_as_json(sandbox.sample)


async def go_on(sandbox: Sandbox, _request: web.Request) -> Any:
    """What the sample's people do once their mailboxes are connected; a second time nothing happens."""
    sandbox.sample.diaries.go_on()
    return {}


async def canaries(sandbox: Sandbox, _request: web.Request) -> Any:
    return sandbox.sample.words.list()


async def calls(sandbox: Sandbox, _request: web.Request) -> Any:
    return sandbox.world.calls.snapshot()


async def requests(sandbox: Sandbox, _request: web.Request) -> Any:
    return dict(sorted(sandbox.world.calls.http.items()))


async def notifications(sandbox: Sandbox, _request: web.Request) -> Any:
    return list(sandbox.microsoft.notifier.history)


async def clear_calls(sandbox: Sandbox, _request: web.Request) -> Any:
    sandbox.world.calls.clear()
    return {}


async def deliver(sandbox: Sandbox, request: web.Request) -> Any:
    mailbox = sandbox.mailbox(request.query.get("mailbox", ""))
    raw = await request.read()
    if not raw.strip():
        raise ValueError("The body must be a raw MIME message.")
    message_id = mailbox.deliver(raw)
    return {"id": message_id, "message_id": mailbox.message(message_id).message_id}


async def bulk(sandbox: Sandbox, request: web.Request) -> Any:
    """Values that are not given are those of `given`."""
    given: Json = {"from": "ann", "name": "bulk", "days": 1, "file_size": 0, "folder": "inbox", "categories": [], "count": 0}
    given |= await _object(request, {"mailbox", *given})
    mailbox = sandbox.mailbox(str(given.get("mailbox", "")))
    if not isinstance(given["count"], int) or not 1 <= given["count"] <= MOST_AT_ONCE:
        raise ValueError(f"count must be a number from 1 to {MOST_AT_ONCE}.")
    identifiers = deliver_many(
        mailbox, sandbox.sample.book.party(given["from"]), given["count"], name=given["name"], days=given["days"],
        file_size=given["file_size"], folder=_folder(mailbox, given["folder"]), categories=given["categories"],
    )  # fmt: skip
    return {"message_ids": identifiers}


async def clock(sandbox: Sandbox, request: web.Request) -> Any:
    if request.method == "POST":
        given = await _object(request, {"advance_s"})
        seconds = given.get("advance_s")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise ValueError('advance_s must be a number of seconds, as {"advance_s": 60}.')
        sandbox.advance(seconds)
    now = sandbox.world.clock
    return {"now": now.now().isoformat(), "advanced_s": now.advanced.total_seconds()}


async def faults(sandbox: Sandbox, request: web.Request) -> Any:
    if request.method == "POST":
        given = await _object(request, {"seed", "latency_ms", "notify_delay_s", "rules", "switches"})
        _refuse_bad_rules(given.get("rules", []))
        sandbox.world.plan_faults(given)
    world = sandbox.world
    return {
        "latency_ms": world.latency_s * 1000,
        "notify_delay_s": list(world.notify_delay_s),
        "rules": [asdict(rule) for rule in world.rules],
        "switches": world.switches,
    }


def _refuse_bad_rules(rules: Any) -> None:
    """Raises ValueError before anything of a plan is taken on."""
    known = {field.name for field in fields(FaultRule)}
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ValueError("rules must be a list of objects.")
    for rule in rules:
        if unknown := sorted(set(rule) - known):
            raise ValueError(f"A rule has no {', '.join(unknown)}. It has: {', '.join(sorted(known))}.")
        if missing := sorted({"vendor", "kind"} - set(rule)):
            raise ValueError(f"A rule needs {' and '.join(missing)}.")


async def outbox(sandbox: Sandbox, _request: web.Request) -> Any:
    return sandbox.world.outbox


async def reset(sandbox: Sandbox, _request: web.Request) -> Any:
    sandbox.reset()
    return {}


async def contracts(sandbox: Sandbox, _request: web.Request) -> Any:
    world = sandbox.world
    counted = {vendor: (n, world.validated[vendor]) for vendor, n in sorted(world.answers.items())}
    told = {vendor: {"answers": n, "validated": checked, "share": checked / n} for vendor, (n, checked) in counted.items() if n}
    notes = [
        f"{n - checked} answers of {vendor} were not checked: no contract speaks of them."
        for vendor, (n, checked) in counted.items()
        if checked < n
    ]
    return {**told, "violations": world.violations, "notes": notes}


async def whole_state(sandbox: Sandbox, _request: web.Request) -> Any:
    return {**state(sandbox.microsoft, sandbox.salesforce), "settings": sandbox.sample.settings}


#: act -> what a person does to a mail in the mailbox; the given values are those of docs/running.md
MAIL_ACTS: Mapping[str, Callable[[Any, str, Json], Any]] = {
    "categorize": lambda mailbox, mail, given: mailbox.set_categories(mail, given["categories"]),
    "move": lambda mailbox, mail, given: mailbox.move(mail, _folder(mailbox, given["folder"])),
    "read": lambda mailbox, mail, given: mailbox.set_read(mail, given.get("is_read", True)),
    "open": lambda mailbox, mail, given: mailbox.open(mail),
    "delete": lambda mailbox, mail, given: mailbox.delete(mail),
}


def _folder(mailbox: Any, name: str) -> str:
    """An id or a well-known name as it is, a path of names as the folder at it, made where it is missing."""
    try:
        return str(mailbox.folder(name).id)
    except GraphError:
        return str(mailbox.make_folder(name))


async def act(sandbox: Sandbox, request: web.Request) -> Any:
    """{"mailbox", "mail": id, "act", ...}: what a person does in the mail program."""
    given = await _object(request, {"mailbox", "mail", "act", "categories", "folder", "is_read"})
    if given.get("act") not in MAIL_ACTS:
        raise ValueError(f"act must be one of {', '.join(MAIL_ACTS)}.")
    MAIL_ACTS[given["act"]](sandbox.mailbox(str(given.get("mailbox", ""))), str(given.get("mail", "")), given)
    return {}


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/users", users),
    ("GET", "/mailboxes", mailboxes),
    ("GET", "/sample", sample),
    ("GET", "/manifest", manifest),
    ("GET", "/manifest/events", event_manifest),
    ("POST", "/go_on", go_on),
    ("GET", "/canaries", canaries),
    ("GET", "/calls", calls),
    ("DELETE", "/calls", clear_calls),
    ("GET", "/requests", requests),
    ("GET", "/notifications", notifications),
    ("POST", "/deliver", deliver),
    ("POST", "/bulk", bulk),
    ("GET", "/clock", clock),
    ("POST", "/clock", clock),
    ("GET", "/faults", faults),
    ("POST", "/faults", faults),
    ("GET", "/outbox", outbox),
    ("POST", "/reset", reset),
    ("GET", "/contracts", contracts),
    ("GET", "/state", whole_state),
    ("POST", "/act", act),
)


async def _object(request: web.Request, known: set[str]) -> Json:
    """The JSON object of the body. Raises ValueError with a sentence."""
    try:
        given = json.loads(await request.read())
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ValueError("The body must be a JSON object.")
    if unknown := sorted(set(given) - known):
        raise ValueError(f"Not known here: {', '.join(unknown)}. Known are: {', '.join(sorted(known))}.")
    return given


@web.middleware
async def _sentences(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Every refusal of the control API as JSON with a sentence."""
    if not request.path.startswith(BASE):
        return await handler(request)
    if request.url.host not in THIS_MACHINE or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return _error(403, "Only this machine's own programs may ask here, no page of another site.")
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return _error(404, f"There is no {request.path} here. GET {BASE} lists what there is.")
    except web.HTTPMethodNotAllowed as refused:
        return _error(405, f"{request.path} takes {', '.join(sorted(refused.allowed_methods))}.")
    except (KeyError, TypeError, ValueError) as problem:
        what = f"{problem.args[0]} is missing." if isinstance(problem, KeyError) else str(problem)
        return _error(400, what or "The request could not be read.")
    except (GraphError, Refused) as problem:
        return _error(400, f"The vendor would refuse this: {problem}")


def _error(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def application(sandbox: Sandbox) -> web.Application:
    """The control API; whoever serves it may add routes of its own beside `BASE`."""

    def bound(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(await handler(sandbox, request))

        return answer

    async def index(_request: web.Request) -> web.Response:
        return web.json_response({"endpoints": [f"{method} {BASE}{path}" for method, path, _ in ROUTES]})

    made = web.Application(middlewares=[_sentences], client_max_size=256 * 1024 * 1024)
    made.router.add_route("GET", BASE, index)
    for method, path, handler in ROUTES:
        made.router.add_route(method, BASE + path, bound(handler))
    return made
