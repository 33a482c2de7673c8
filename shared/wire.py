"""The composition root: the only module that knows adapters. Everything is made at first use and kept per instance."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, get_args

from shared.core import ringing
from shared.ports import Bell, Clock, LinkStore, MailboxKey, Place, Ring, Vault, Why
from shared.settings import Settings, current

if TYPE_CHECKING:
    import requests

    from shared.access.directory import MailboxEntry
    from shared.access.grants import Grants
    from shared.access.microsoft import MicrosoftLogin
    from shared.access.profiles import Profiles
    from shared.access.salesforce import SalesforceLogin
    from shared.crm.budget import Budget
    from shared.crm.salesforce_feed import Understood
    from shared.crm.schema import Schema
    from shared.ports import AccessToken, ChangeFeed, Crm, MailCrm
    from shared.session.push import Door
    from shared.session.run import Part, SessionReport

log = logging.getLogger("mailspan")

#: The kinds whose changes in Salesforce concern a mailbox.
KINDS = ("mail", "event")
#: What a mailbox notifies of: name of the subscription's row -> kind of item.
STREAMS: Mapping[str, Literal["messages", "events"]] = {"mail": "messages", "events": "events"}
#: Days for which decisions are kept.
LEDGER_DAYS = 90


class Wire:
    """What one instance of the product is made of."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._thread = threading.local()
        self._salesforce: dict[str, SalesforceLogin] = {}
        self._schemas: dict[str, Schema] = {}
        self._understood: dict[tuple[str, str], Understood] = {}

    @cached_property
    def clock(self) -> Clock:
        from shared.clock import SystemClock

        return SystemClock(self.settings.clock_file)

    @cached_property
    def store(self) -> LinkStore:
        from shared.store.tables import connect

        return connect(self.settings.storage)

    @cached_property
    def bell(self) -> Bell:
        from shared.store.queue import QueueBell

        return QueueBell(self.settings.storage)

    @cached_property
    def vault(self) -> Vault:
        from shared.store.vault import vault_of

        return vault_of(self.settings.vault)

    @cached_property
    def grants(self) -> Grants:
        from shared.access.grants import Grants

        return Grants(self.store, self.vault, self.clock, self.settings.tenant)

    @cached_property
    def digest_key(self) -> bytes:
        from shared.access.digest_key import digest_key

        return digest_key(self.store, self.vault, self.settings.tenant)

    @cached_property
    def profiles(self) -> Profiles:
        from shared.access.profiles import Profiles

        return Profiles(self.store, self.vault, self.settings.tenant)

    @property
    def http(self) -> requests.Session:
        """The thread's own session: connections are reused, and never shared between threads."""
        if not hasattr(self._thread, "http"):
            from shared.access.ask import new_session

            self._thread.http = new_session(self.settings.ca_file)
        session: requests.Session = self._thread.http
        return session

    @property
    def microsoft(self) -> MicrosoftLogin:
        if not hasattr(self._thread, "microsoft"):
            from shared.access.microsoft import MicrosoftLogin

            self._thread.microsoft = MicrosoftLogin(self.settings, self.http, self.clock)
        login: MicrosoftLogin = self._thread.microsoft
        return login

    def salesforce(self, login: str = "") -> SalesforceLogin:
        """The sign-in service at that address, "" = the setting's. Kept with its tokens for all threads."""
        if login not in self._salesforce:
            from shared.access.ask import new_session
            from shared.access.salesforce import SalesforceLogin

            self._salesforce[login] = SalesforceLogin(self.settings, new_session(self.settings.ca_file), self.clock, login)
        return self._salesforce[login]

    # places

    def mailbox_place(self, mailbox: MailboxKey) -> Place:
        return Place("state", self.settings.tenant, "mailbox", mailbox)

    def org_place(self, org: str) -> Place:
        return Place("state", self.settings.tenant, "org", org)

    def tenant_place(self) -> Place:
        return Place("state", self.settings.tenant, "tenant", "settings")

    # sessions

    def parts(self, mailbox: MailboxKey, why: Why, session_id: str) -> Sequence[Part]:
        """The work of one mailbox's session, by what is connected. Raises MailboxMissing."""
        from shared.access import directory
        from shared.core.errors import MailboxMissing
        from shared.mailbox.graph import GraphMailbox
        from shared.mailbox.graph_push import GraphPush
        from shared.session.capture import MailCapture, Owner
        from shared.session.push import KeepPush
        from shared.session.records import STATE, moment_of, read
        from shared.store.ledger import TableLedger

        entry = directory.by_key(self.store, self.settings.tenant, mailbox)
        state = self.store.get(self.mailbox_place(mailbox), STATE)
        if entry is None or state is None:
            raise MailboxMissing
        token = self.grants.of(entry.key, "microsoft", self.microsoft.refresh)
        graph = GraphMailbox(self.http, token, entry.address, self.clock, session_id)
        activated = moment_of(read(state)["activated"])
        owner = Owner(entry.key, (entry.address, *entry.aliases), entry.user, activated)
        crm = self.mail_crm(entry, session_id, by_person=why == "user")
        capture = MailCapture(
            graph,
            crm,
            TableLedger(self.store, self.settings.tenant, entry.key),
            org=self.org_place(entry.org),
            owner=owner,
            profile=self.profiles.of(entry.key),
            secret=self.settings.install_secret,
        )
        pushes = [
            KeepPush(
                GraphPush(self.http, token, entry.address, self.clock, session_id, kind),
                lambda generation: self.door(entry.key, generation), stream=stream, at_once=why == "renew",
            )
            for stream, kind in STREAMS.items()
        ]  # fmt: skip
        events = self._events(entry, token, crm, activated, session_id, by_person=why == "user")
        return (*pushes, *self._own_changes(entry, activated, session_id), capture, events)

    def _events(
        self, entry: MailboxEntry, token: AccessToken, crm: MailCrm, activated: datetime, session_id: str, *, by_person: bool
    ) -> Part:
        """The mailbox's calendar and its user's events in step."""
        from shared.access import directory
        from shared.core.item_scope import ItemScope, Owner
        from shared.core.scope import Filters
        from shared.mailbox.graph_calendar import GraphCalendar, Window
        from shared.session.claims import Claims
        from shared.session.dirty import ToldChanges
        from shared.session.item_claims import ItemClaims
        from shared.session.item_people import ItemPeople
        from shared.session.items import ItemSync
        from shared.session.poll import tell_deleted
        from shared.store.ledger import TableLedger

        profile, now, place = self.profiles.of(entry.key), self.clock.now(), self.mailbox_place(entry.key)
        filters = Filters(profile, (entry.address, *entry.aliases))
        owner = Owner(entry.user, activated)
        window = Window(occurrences_ahead_days=profile["occurrence_days"])
        calendar = GraphCalendar(self.http, token, entry.address, self.clock, session_id, window=window)
        org, events = self.org_place(entry.org), self.event_crm(entry, session_id, by_person=by_person)

        def mailbox_of(address: str) -> str:
            other = directory.find(self.store, self.settings.install_secret, self.settings.tenant, address) if address else None
            return other.key if other is not None and other.org == entry.org else ""

        def tell(mailbox: MailboxKey, crm_id: str, item_id: str) -> None:
            tell_deleted(self.store, self.mailbox_place(mailbox), "event", crm_id, item_id)
            self.bell.ring(Ring(mailbox, "poll", self.clock.now()))

        return ItemSync(
            ("event",),
            {"mail": calendar, "crm": ToldChanges(events, self.store, place, takes_all=profile["existing_items"] == "take")},
            TableLedger(self.store, self.settings.tenant, entry.key),
            mailbox=entry.key,
            digest_key=self.digest_key,
            scope=ItemScope(owner, profile, filters, now),
            claims=ItemClaims(
                Claims(self.store, org, entry.key), mailbox_of, lambda: events.keyed, self._owners(entry.org), tell
            ),
            people=ItemPeople(crm, owner, profile, filters),
            secret=self.settings.install_secret,
        )

    def _schema(self, org: str) -> Schema:
        from shared.crm.schema import Schema

        return self._schemas.setdefault(org, Schema(self.store, self.org_place(org), self.clock))

    def _budget(self, org: str, *, by_person: bool = False) -> Budget:
        from shared.crm.budget import Budget

        return Budget(self.store, self.org_place(org), self.clock, by_person=by_person)

    def _own_changes(self, entry: MailboxEntry, activated: datetime, session_id: str) -> Sequence[Part]:
        """What changed in the org, where nobody asks for the whole org."""
        from shared.session.poll import OwnChanges

        if entry.connection == "org":
            return ()
        feed = self._feed(entry.org, entry.user, self.salesforce_access(entry), session_id)
        place = self.org_place(entry.org)
        changes = OwnChanges(
            feed, KINDS, self.bell, org=place, mailbox=entry.key, place_of=self.mailbox_place, user=entry.user,
            connected=activated,
        )  # fmt: skip
        return (changes,)

    def _feed(self, org: str, user: str, access: AccessToken, session_id: str) -> ChangeFeed:
        from shared.crm.salesforce_feed import SalesforceFeed, Understood

        budget = self._budget(org)
        understood = self._understood.setdefault((org, user), Understood())
        return SalesforceFeed(self.http, access, budget=budget, clock=self.clock, session_id=session_id, understood=understood)

    def mail_crm(self, entry: MailboxEntry, session_id: str, *, by_person: bool) -> MailCrm:
        """Salesforce as the mailbox's user."""
        from shared.crm.salesforce import SalesforceMail

        return SalesforceMail(
            self.http,
            self.salesforce_access(entry),
            user_id=entry.user,
            schema=self._schema(entry.org),
            budget=self._budget(entry.org, by_person=by_person),
            session_id=session_id,
            clock=self.clock,
        )

    def event_crm(self, entry: MailboxEntry, session_id: str, *, by_person: bool) -> Crm:
        """The events of Salesforce as the mailbox's user."""
        from shared.core.item_scope import BACK_DAYS
        from shared.crm.salesforce_events import SalesforceEvents

        return SalesforceEvents(
            self.http, self.salesforce_access(entry), user_id=entry.user, schema=self._schema(entry.org), clock=self.clock,
            session_id=session_id, budget=self._budget(entry.org, by_person=by_person),
            since=self.clock.now() - timedelta(days=BACK_DAYS),
        )  # fmt: skip

    def make_key_field(self, entry: MailboxEntry) -> None:
        """Makes the key field in the mailbox's org, as its user, for the users of all mailboxes there. Raises Refused."""
        from shared.access import directory
        from shared.crm import key_field
        from shared.crm.salesforce_client import Client

        entries = directory.every(self.store, self.settings.tenant)
        users = sorted({one.user for one in entries if one.org == entry.org})
        budget = self._budget(entry.org, by_person=True)
        client = Client(self.http, self.salesforce_access(entry), budget=budget, clock=self.clock, session_id=uuid.uuid4().hex)
        key_field.create(client, users)
        self._schema(entry.org).renew(key_field.OBJECTS, users, client.describe)

    def salesforce_access(self, entry: MailboxEntry) -> AccessToken:
        """The user's own session at Salesforce, whichever way the org is connected."""
        from shared.access import directory

        org = directory.find_org(self.store, self.settings.tenant, entry.org)
        login = self.salesforce(org.login if org is not None else "")
        if entry.connection == "org":
            return login.as_user(entry.username)
        return self.grants.of(entry.key, "salesforce", login.refresh)

    def door(self, mailbox: MailboxKey, generation: int) -> Door:
        """Where the notifications of a mailbox arrive."""
        from shared.core.keys import client_state
        from shared.session.push import Door

        base = f"{self.settings.public_url}/api/graph"
        state = client_state(self.settings.webhook_secrets[0], mailbox, generation)
        return Door(f"{base}/notify/{mailbox}/{generation}", f"{base}/lifecycle/{mailbox}/{generation}", state)

    def session(self, message: str) -> SessionReport:
        """Answers one queue message; one JSON line tells how it went. Raises NotARing and what the session raises."""
        from shared.session.run import run_session

        mailbox, why, at = ringing.decoded(message)
        key, reason, session_id = MailboxKey(mailbox), _why(why), uuid.uuid4().hex
        report = run_session(
            Ring(key, reason, at),
            place=self.mailbox_place(key),
            store=self.store,
            bell=self.bell,
            clock=self.clock,
            session_id=session_id,
            parts=lambda: self.parts(key, reason, session_id),
        )
        log.info(json.dumps({"event": "session", "session": session_id, **asdict(report)}))
        return report

    def poisoned(self, message: str) -> None:
        """A ring that failed too often: its mailbox backs off, and health shows it."""
        from shared.session.run import mark_broken

        mailbox, _, _ = ringing.decoded(message)
        mark_broken(self.store, self.clock, self.mailbox_place(MailboxKey(mailbox)), "mailbox.broken")
        log.error(json.dumps({"event": "poison", "mailbox": mailbox}))

    # the clock's work

    def sweep(self) -> None:
        from shared.access import directory
        from shared.session.sweep import sweep

        tenant = self.settings.tenant
        rung = sweep(
            self.store, self.bell, self.clock, self.tenant_place(),
            lambda minute: filter(self._is_due, directory.due(self.store, tenant, minute)), slots=directory.SLOTS,
        )  # fmt: skip
        log.info(json.dumps({"event": "sweep", "rung": rung}))

    def _is_due(self, mailbox: MailboxKey) -> bool:
        """Whether the mailbox's interval is over, give or take the minute of its slot."""
        from shared.session.records import STATE, moment_of, read

        state = self.store.get(self.mailbox_place(mailbox), STATE)
        pulled_at = read(state).get("pulled_at") if state is not None else None
        if not pulled_at:
            return True
        interval = timedelta(seconds=self.profiles.of(mailbox)["interval_s"])
        return self.clock.now() - moment_of(pulled_at) >= interval - timedelta(minutes=2)

    def poll(self) -> None:
        """Asks each org that is connected as a whole what changed, as its poller; one line for each."""
        from shared.access import directory
        from shared.core.errors import SyncError
        from shared.session.poll import poll

        for org in directory.every_org(self.store, self.settings.tenant):
            if org.connection != "org" or not org.poller:
                continue
            line: dict[str, object] = {"event": "poll", "org": org.id}
            try:
                feed = self._feed(org.id, org.poller, self.salesforce(org.login).as_user(org.poller), uuid.uuid4().hex)
                report = poll(
                    feed, KINDS, store=self.store, bell=self.bell, clock=self.clock, org=self.org_place(org.id),
                    place_of=self.mailbox_place, owners=self._owners(org.id), connected=partial(self._first_connected, org.id),
                )  # fmt: skip
                log.info(json.dumps({**line, "result": "ok", **asdict(report)}))
            except SyncError as problem:  # the other orgs go on; what was missed stands before the watermark
                log.warning(json.dumps({**line, "result": problem.code}))

    def _first_connected(self, org: str) -> datetime | None:
        """When the first mailbox of the org was connected; read for an org that was never asked."""
        from shared.access import directory
        from shared.session.records import STATE, moment_of, read

        places = [self.mailbox_place(one.key) for one in directory.every(self.store, self.settings.tenant) if one.org == org]
        states = [state for place in places if (state := self.store.get(place, STATE)) is not None]
        return min((moment_of(read(state)["activated"]) for state in states), default=None)

    def _owners(self, org: str) -> Callable[[str], Iterable[MailboxKey]]:
        """The mailboxes of a Salesforce user; the directory is read when something changed, once."""
        known: dict[str, list[MailboxKey]] = {}

        def of(user: str) -> Iterable[MailboxKey]:
            from shared.access import directory

            if not known:
                for entry in directory.every(self.store, self.settings.tenant):
                    if entry.org == org:
                        known.setdefault(entry.user[:15], []).append(entry.key)
            return known.get(user[:15], ())

        return of

    def prune(self) -> None:
        from shared.access import directory
        from shared.store.ledger import TableLedger

        before = self.clock.now() - timedelta(days=LEDGER_DAYS)
        tenant = self.settings.tenant
        rows = sum(TableLedger(self.store, tenant, entry.key).prune(before) for entry in directory.every(self.store, tenant))
        log.info(json.dumps({"event": "prune", "rows": rows}))


def _why(text: str) -> Why:
    reasons: dict[str, Why] = {why: why for why in get_args(Why)}
    return reasons[text]


_wire: list[Wire] = []


def wire() -> Wire:
    """The instance's Wire, made at first use."""
    if not _wire:
        _wire.append(Wire(current()))
    return _wire[0]
