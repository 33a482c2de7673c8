"""The page of the local world: its static files, and the way by which it reaches the vendors and the product.

    GET /                                   the page
    GET /page/{file}                        its parts
    GET /_page/users                        who there is to choose from
    GET /_page/marks/{mailbox}              {"now", "mail", "records"}: a mark changes when anything changes there
    GET /_page/items/{mailbox}              {ledger item: {"subject", "mail" | "event", "record"}}: what is there, and its ids
    *   /_pass/{target}/{mailbox}/{path}    the same request at microsoft, salesforce or product, as that mailbox's user

Rules that hold here:
- The page uses the vendors' and the product's own APIs; only what no vendor tells (marks, names of ledger items) is answered
  from here, so that looking every few seconds costs no vendor call.
- Tokens are added here and stay here: none reaches the page, its addresses or its storage.
- A request goes to one of this run's three loopback addresses or nowhere: the path cannot name a host, and no redirect is
  followed. A page of another site gets nothing but the files, by its Host and by what browsers say of it (Sec-Fetch-Site).
- What is passed on is content of strangers: browsers are told to keep it as a file and never to run it as part of this page.
- With the header `Mailspan-Told: 1` a refusal is answered 200 with its status in `Mailspan-Status`: to a browser every other
  status is a fault of the page, and a vendor's "not found" is none.

It must never be reachable from another machine.
Source: Fetch Metadata Request Headers (W3C); Content Security Policy Level 3.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from sandbox.page_events import events_of
from sandbox.sample import User
from sandbox.serve import Sandbox
from shared.core.keys import item_key

FILES = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: target -> which token of the user opens it
TOKENS = {"microsoft": "mailbox_token", "salesforce": "salesforce_token", "product": "product_token"}
ASKED = ("Accept", "Content-Type", "Prefer", "If-Match", "If-Unmodified-Since", "Idempotency-Key")
ANSWERED = ("Content-Type", "ETag", "Retry-After")
OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
OWN_SITES = frozenset({"same-origin", "none"})
WITHIN = ClientTimeout(total=30)

#: the page itself; styles of mails stand in their frame, which inherits this
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
STATIC_HEADERS = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer",
                  "X-Content-Type-Options": "nosniff"}  # fmt: skip
PASSED_HEADERS = {"Content-Security-Policy": "sandbox; default-src 'none'", "Cache-Control": "no-store",
                  "Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}  # fmt: skip

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """The routes of one sandbox's page."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._tokens: dict[str, Mapping[str, str]] = {}
        self._targets = {
            "microsoft": sandbox.addresses["microsoft"],
            "salesforce": sandbox.addresses["salesforce"],
            "product": sandbox.settings.public_url,
        }

    async def client(self, application: web.Application) -> Any:
        """Keeps one client for the life of the application; it trusts this run's authority alone."""
        trusted = ssl.create_default_context(cafile=self._sandbox.settings.ca_file or None)
        connector = TCPConnector(ssl=trusted, limit=20)
        async with ClientSession(connector=connector, timeout=WITHIN, auto_decompress=False, trust_env=False) as session:
            application[CLIENT] = session
            yield

    # --- what the page asks of the world

    async def users(self, _request: web.Request) -> web.Response:
        shown = [
            {"mailbox": user.address, "name": self._sandbox.mailbox(user.address).name, "connection": user.connection}
            for user in self._sandbox.sample.users
        ]
        return web.json_response(shown)

    async def marks(self, request: web.Request) -> web.Response:
        mailbox = self._sandbox.mailbox(self._user(request).address)
        records = self._sandbox.salesforce.records
        # the row that was changed last, as a whole: its time alone has whole seconds
        latest = [
            (kind.name, records.store.count(kind.name), [value for value in row.values() if not isinstance(value, bytes)])
            for kind in records.schema
            for row in [next(records.store.newest_first(kind.name), None)]
            if row is not None
        ]
        return web.json_response(
            {
                "now": self._sandbox.world.clock.now().isoformat(),
                "mail": f"{mailbox.number}",
                "records": hashlib.sha256(repr(latest).encode()).hexdigest()[:16],
            }
        )

    async def items(self, request: web.Request) -> web.Response:
        secret = self._sandbox.settings.install_secret
        mailbox = self._sandbox.mailbox(self._user(request).address)
        mails = {
            item_key(secret, "mail", message.message_id): {"mail": message.shown_id(True), "subject": message.content.subject}
            for message in mailbox.messages()
            if message.message_id
        }
        return web.json_response(mails | events_of(self._sandbox, mailbox))

    def _user(self, request: web.Request) -> User:
        """Raises HTTPNotFound for a mailbox that is nobody's."""
        wanted = request.match_info["mailbox"].lower()
        for user in self._sandbox.sample.users:
            if user.address == wanted:
                return user
        raise web.HTTPNotFound(text=f"There is no mailbox {wanted} in this run.")

    # --- passing on

    async def passed(self, request: web.Request) -> web.Response:
        """The request at its target, as the user; with fresh tokens once more where the old ones had run out."""
        user, target = self._user(request), request.match_info["target"]
        if target not in TOKENS:
            raise web.HTTPNotFound(text=f"Nothing is passed on to {target}. Known are: {', '.join(TOKENS)}.")
        body = await request.read()
        try:
            answer = await self._ask(request, user, target, body)
            if answer.status == 401:
                self._tokens.pop(user.address, None)
                answer = await self._ask(request, user, target, body)
        except (ClientError, TimeoutError) as problem:
            answer = web.json_response({"error": f"{target} does not answer: {type(problem).__name__}."}, status=502)
        return _told(answer) if request.headers.get("Mailspan-Told") == "1" else answer

    async def _ask(self, request: web.Request, user: User, target: str, body: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in ASKED if name in request.headers}
        headers["Authorization"] = f"Bearer {self._token(user, target)}"
        _, _, below = request.raw_path.removeprefix(f"/_pass/{target}/").partition("/")
        address = URL(f"{self._targets[target]}/{below}", encoded=True)
        asked = request.app[CLIENT].request(
            request.method, address, data=body or None, headers=headers, allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        )  # fmt: skip
        async with asked as answer:
            kept = {name: answer.headers[name] for name in ANSWERED if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers={**kept, **PASSED_HEADERS})

    def _token(self, user: User, target: str) -> str:
        tokens = self._tokens.get(user.address) or self._sandbox.user(user)
        self._tokens[user.address] = tokens
        return tokens[TOKENS[target]]


CLIENT: web.AppKey[ClientSession] = web.AppKey("page_client", ClientSession)


def _told(answer: web.Response) -> web.Response:
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
    return web.Response(body=answer.body, headers={**headers, "Mailspan-Status": str(answer.status)})


def _guarded(handler: Handler) -> Handler:
    """Refuses what another site's page sends: by a name that leads here, or across sites."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.url.host not in OWN_HOSTS or request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITES:
            raise web.HTTPForbidden(text="Only the page of this run may ask here.")
        return await handler(request)

    return guarded


async def file(request: web.Request) -> web.StreamResponse:
    """One of the page's files by its name; names never hold a slash."""
    found = FILES / request.match_info.get("file", "index.html")
    if found.parent != FILES or found.suffix not in TYPES or not found.is_file():
        raise web.HTTPNotFound(text="The page has no such part.")
    return web.Response(body=found.read_bytes(), content_type=TYPES[found.suffix], charset="utf-8", headers=STATIC_HEADERS)


def mount(application: web.Application, sandbox: Sandbox) -> None:
    """Puts the page at `/` of the world's application."""
    page = Page(sandbox)
    application.cleanup_ctx.append(page.client)
    application.router.add_get("/", file)
    application.router.add_get("/page/{file}", file)
    rows: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/_page/users", page.users),
        ("GET", "/_page/marks/{mailbox}", page.marks),
        ("GET", "/_page/items/{mailbox}", page.items),
        ("*", "/_pass/{target}/{mailbox}/{path:.*}", page.passed),
    )
    for method, path, handler in rows:
        application.router.add_route(method, path, _guarded(handler))
