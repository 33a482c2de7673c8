"""The product against its local world in one process: the vendors' stand-ins on TLS sockets, Azurite, and the product's own
composition root. Sessions are run by hand, so that a test sees each of them; rings are kept in a list.

Rules that hold here: nothing of the product is replaced but what stands at its rim by design (bell and clock are ports); what
a test does to the world goes through `do`, in the thread where the stand-ins live.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.authority import Authority
from sandbox.frame import World
from sandbox.microsoft import Microsoft
from sandbox.salesforce import LONGEST_LINE, Salesforce
from shared.access import directory
from shared.access.grants import Tokens
from shared.access.install import new_install
from shared.access.profiles import COMPANY
from shared.core import ringing
from shared.ports import LedgerEntry, LinkStore, MailboxKey, Ring
from shared.session.run import SessionReport
from shared.settings import read
from shared.wire import Wire

TENANT_ID, APP, APP_SECRET = "8d3f4c52-1a0e-4c57-9a55-0d6f3c1b2a10", "mailspan-app", "only for the sandbox"
SCOPES = (
    "openid", "profile", "offline_access", "Mail.ReadWrite", "Calendars.ReadWrite", "MailboxSettings.ReadWrite", "User.Read",
)  # fmt: skip
HOME = "home.example"
Json = dict[str, Any]


def address_of(name: str) -> str:
    """The address of a mailbox of the stage; a whole address is its own."""
    return name if "@" in name else f"{name}@{HOME}"


class Rung:
    """The Bell as a list: tests decide when a ring is answered."""

    def __init__(self) -> None:
        self.rings: list[tuple[Ring, float]] = []

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.rings.append((ring, delay_s))


class StageClock:
    """The world's clock, seen by the product."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.clock.now()


class StageWire(Wire):
    """The product's wire with the stage's bell and clock, and with its store where it brings one."""

    def __init__(self, settings: Any, bell: Rung, clock: StageClock, store: LinkStore | None = None) -> None:
        super().__init__(settings)
        self.__dict__["bell"], self.__dict__["clock"] = bell, clock
        if store is not None:
            self.__dict__["store"] = store


class Stage:
    """`connection`: Azurite. Users are added with `user`; `session(address)` runs one session and answers its report.
    `store`: the product's rows stand there instead of in Azurite, where a test has very many of them or counts them."""

    def __init__(self, folder: Path, connection: str, store: LinkStore | None = None) -> None:
        self.folder, self.connection, self.store = folder, connection, store
        self.authority = Authority(folder / "authority")
        self.world = World()
        self.caused: list[Json] = []  # mails of the outbox that a person's act or word is the reason of
        self.looked = 0
        self.microsoft, self.salesforce = Microsoft(self.world), Salesforce(self.world)
        self.microsoft.ca_file = str(self.authority.ca_file)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._runners: list[web.AppRunner] = []
        self.microsoft.base_url = self.serve(self.microsoft.application())
        self.salesforce.base_url = self.serve(self.salesforce.application())
        self.bell, self.clock = Rung(), StageClock(self.world)
        self.wire = self.new_wire(self._settings())
        self.do(self._found)

    def _settings(self) -> dict[str, str]:
        self._jwt = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key_file = self.folder / "jwt.pem"
        key_file.write_bytes(
            self._jwt.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        self.environment = new_install(self.folder / "install") | {
            "MAILSPAN_STORAGE": self.connection,
            "MAILSPAN_PUBLIC_URL": "https://localhost:1",
            "MAILSPAN_MICROSOFT_LOGIN": self.microsoft.base_url,
            "MAILSPAN_MICROSOFT_GRAPH": f"{self.microsoft.base_url}/v1.0",
            "MAILSPAN_MICROSOFT_TENANT": TENANT_ID,
            "MAILSPAN_MICROSOFT_CLIENT_ID": APP,
            "MAILSPAN_MICROSOFT_CLIENT_SECRET": APP_SECRET,
            "MAILSPAN_SALESFORCE_LOGIN": self.salesforce.base_url,
            "MAILSPAN_SALESFORCE_CLIENT_ID": APP,
            "MAILSPAN_SALESFORCE_JWT_KEY_FILE": str(key_file),
            "MAILSPAN_CA_FILE": str(self.authority.ca_file),
            "MAILSPAN_CLOCK_FILE": str(self.folder / "clock"),
        }
        return self.environment

    def advance(self, seconds: float) -> None:
        """Moves the time of the world and of a host beside it."""
        self.world.clock.advance(seconds)
        (self.folder / "clock").write_text(str(self.world.clock.advanced.total_seconds()))

    def at(self, moment: datetime) -> None:
        """Moves that time to a moment, in whichever direction; before anybody is connected."""
        self.advance((moment - self.clock.now()).total_seconds())

    def new_wire(self, environment: dict[str, str]) -> StageWire:
        """A further instance of the product, as after a restart: nothing is remembered in the process."""
        return StageWire(read(environment), self.bell, self.clock, self.store)

    def serve(self, application: web.Application, *, tls: bool = True) -> str:
        """Serves an application beside the stand-ins; answers its origin."""

        async def start() -> int:
            runner = web.AppRunner(application, access_log=None, max_line_size=LONGEST_LINE, shutdown_timeout=1)
            await runner.setup()
            context = self.authority.server_context() if tls else None
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            self._runners.append(runner)
            port: int = runner.addresses[0][1]
            return port

        port = asyncio.run_coroutine_threadsafe(start(), self.loop).result(10)
        return f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"

    def _found(self) -> None:
        self.microsoft.add_tenant(TENANT_ID)
        self.microsoft.add_client(APP, APP_SECRET)

    def close(self) -> None:
        async def stop() -> None:
            for runner in self._runners:
                await runner.cleanup()
            await asyncio.sleep(0)  # transports that were closed say goodbye in the next turn

        self.wire.http.close()
        asyncio.run_coroutine_threadsafe(stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def do[T](self, work: Callable[[], T]) -> T:
        """Runs `work` where the stand-ins live."""

        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(60)

    # --- who is there

    def users(
        self, *names: str, connection: str = "org", aliases: Mapping[str, Sequence[str]] | None = None, **settings: Any
    ) -> None:
        """Connects mailboxes `name@home.example` (or of a whole address), each with a Salesforce user of the same address.

        `aliases`: further addresses of a mailbox, by its name. `settings` are the company's.
        """
        public = self._jwt.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        addresses = [address_of(name) for name in names]
        self.ids = {
            address: self.do(lambda a=address: self.salesforce.add_user(a, a.split("@")[0].title(), "Home", a))
            for address in addresses
        }  # type: ignore[misc]
        poller = f"poller@{HOME}"
        self.do(lambda: self.salesforce.add_user(poller, "Mailspan", "Poller", poller))
        self.do(
            lambda: self.salesforce.add_client(APP, jwt_public_key_pem=public.decode(), pre_authorised=[*addresses, poller])
        )
        self.wire.profiles.save(COMPANY, {"internal_domains": [HOME], **settings})
        org_id = self.salesforce.org_id
        origin = self.salesforce.base_url
        directory.keep_org(
            self.wire.store, self.wire.settings.tenant, directory.OrgEntry(org_id, origin, origin, "org", poller)
        )
        for name, address in zip(names, addresses, strict=True):
            self._connect(address, connection, (aliases or {}).get(name, ()))

    def _connect(self, address: str, connection: str, aliases: Sequence[str]) -> None:
        self.do(lambda: self.microsoft.add_mailbox(address, address.split("@")[0].title(), aliases=aliases))
        answer = self.do(lambda: self.microsoft.issue_token(address, APP, SCOPES))
        wire = self.wire
        entry = directory.connect(
            wire.store, wire.clock, wire.settings.install_secret, wire.settings.tenant, address=address,
            org=self.salesforce.org_id, user=self.ids[address], username=address, connection=connection,  # type: ignore[arg-type]
            aliases=aliases,
        )  # fmt: skip
        wire.grants.keep(
            entry.key, "microsoft", Tokens("", wire.settings.microsoft_graph, datetime.now(UTC), answer["refresh_token"])
        )
        if connection == "personal":
            given = self.do(lambda: self.salesforce.issue_token(address, APP))
            tokens = Tokens(given["access_token"], given["instance_url"], None, given["refresh_token"])
            wire.grants.keep(entry.key, "salesforce", tokens)

    def key(self, name: str) -> str:
        wire = self.wire
        entry = directory.find(wire.store, wire.settings.install_secret, wire.settings.tenant, address_of(name))
        assert entry is not None
        return entry.key

    def mailbox(self, name: str) -> Any:
        return self.microsoft.mailbox(address_of(name))

    # --- what happens

    def deliver(self, name: str, raw: bytes, **more: Any) -> str:
        return self.do(lambda: self.mailbox(name).deliver(raw, **more))

    def session(self, name: str, why: str = "user", wire: Wire | None = None) -> SessionReport:
        """One session, right now."""
        return (wire or self.wire).session(ringing.encoded(self.key(name), why, self.clock.now()))

    def sessions(self, name: str, most: int = 30) -> list[SessionReport]:
        """Sessions until a slice was not used up any more."""
        reports = []
        for _ in range(most):
            self.bell.rings.clear()
            reports.append(self.session(name))
            if not any(ring.why == "self" and delay == 0.0 for ring, delay in self.bell.rings):
                return reports
        raise AssertionError(f"no end after {most} sessions: {reports[-1]}")

    def unasked(self) -> list[Json]:
        """The mails that the vendors would have sent because the product wrote, and nobody had asked for."""
        return [mail for mail in self.world.outbox if not any(mail is one for one in self.caused)]

    def calls(self, vendor: str) -> int:
        return sum(self.world.calls.snapshot().get(vendor, {}).values())

    def saved(self) -> list[Json]:
        """The mail records that are not deleted."""
        rows = self.do(lambda: list(self.salesforce.records.store.all("EmailMessage")))
        return [row for row in rows if not row["IsDeleted"]]

    def files(self) -> list[Json]:
        rows = self.do(lambda: list(self.salesforce.records.store.all("ContentVersion")))
        return [row for row in rows if not row.get("IsDeleted")]

    def ledger(self, name: str) -> list[str]:
        """Rules of the mailbox's decisions, oldest first."""
        return [entry.rule for entry in self.decisions(name)]

    def decisions(self, name: str) -> list[LedgerEntry]:
        """The mailbox's decisions, oldest first."""
        from shared.store.ledger import TableLedger

        page = TableLedger(self.wire.store, self.wire.settings.tenant, MailboxKey(self.key(name))).entries(limit=5000)
        return list(reversed(page.entries))


def mail(
    number: int, *, sender: str = "Cora <cora@customer.test>", to: str = f"Ann <ann@{HOME}>", subject: str = "",
    text: str = "Hello.", files: Iterable[str] = (), at: datetime | None = None, **headers: str,
) -> bytes:  # fmt: skip
    """A raw mail."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject or f"Mail {number}"
    message["Date"] = format_datetime(at or datetime.now(UTC) - timedelta(minutes=number))
    message["Message-ID"] = f"<mail-{number}@customer.test>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    for name in files:
        message.add_attachment(f"content of {name}".encode(), maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def told(report: SessionReport) -> str:
    return json.dumps({"result": report.result, "counts": dict(report.counts)})
