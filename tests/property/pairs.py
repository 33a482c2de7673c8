"""Two mailboxes of one org in memory: real sync, scope and claims over the in-memory sides, whose items have facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.core import fields as law
from shared.core.item_scope import ItemScope, Owner
from shared.core.model import Facts, Item, Link, Seen
from shared.core.profile import Profile
from shared.core.scope import MARK, UNSYNC, Filters
from shared.ports import Insert, LedgerEntry, MailboxKey, Page, Place, Ring, Send, Sent, TenantId
from shared.session import links, records
from shared.session.claims import Claims, holders_of
from shared.session.item_claims import ItemClaims
from shared.session.items import ItemSync
from shared.session.run import SessionReport, new_state, run_session
from shared.store.memory import MemoryStore
from shared.store.providers import MemorySide, Record

TENANT = TenantId("tenant")
ORG = Place("state", TENANT, "org", "o")
DIGEST, SECRET = b"d" * 32, b"s" * 32


class Dies(BaseException):
    """The process is killed."""


class Side_(MemorySide):
    """Facts by record; `user` is as whom the CRM is asked now."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.facts: dict[str, Facts] = {}
        self.user = ""
        self.maker: dict[str, str] = {}
        self.holds: Callable[[str], bool] = lambda item_id: True
        self.new_facts: Callable[[], Facts] = Facts
        self.refuses: Callable[[Send], Any] = lambda send: None

    def _seen(self, record: Record) -> Seen:
        seen = super()._seen(record)
        facts = self.facts.get(record.id, Facts())
        marks = ({MARK} if record.marked else set()) | (set(facts.marks) - {MARK})
        marked = record.marked and UNSYNC not in marks
        return replace(
            seen, facts=replace(facts, marks=frozenset(marks) if self.side == "mail" else frozenset()), marked=marked
        )

    # of the CRM a user is told what is theirs and what they hold, and finds twins and own makings among what is theirs

    def _is_theirs(self, item_id: str) -> bool:
        return self.side == "mail" or self.facts.get(item_id, Facts()).owner in ("", self.user)

    def changes(self, kind: str, cursor: str | None) -> Page:
        page = super().changes(kind, cursor)
        return replace(page, seen=tuple(one for one in page.seen if self._is_theirs(one.id) or self.holds(one.id)))

    def twins(self, items: Sequence[Item]) -> Sequence[Sequence[Seen]]:
        return [[one for one in some if self._is_theirs(one.id)] for some in super().twins(items)]

    def _twins(self, item: Item) -> Sequence[Seen]:
        """A calendar offers what nobody marked too: whether it may be paired is the scope's to say."""
        wanted = law.natural_key(item)
        alive = self.alive(item.kind) if wanted is not None else []
        return [self._seen(one) for one in alive if law.natural_key(Item(item.kind, one.fields)) == wanted]

    def made_since(self, kind: str, since: datetime) -> Sequence[Seen]:
        return [one for one in super().made_since(kind, since) if self.maker.get(one.id) == self.user]

    def _write(self, send: Send) -> Any:
        if (problem := self.refuses(send)) is not None:
            return problem
        answer = super()._write(send)
        if send.verb == "create" and isinstance(answer, Sent):
            self.facts[answer.id] = self.new_facts()
            self.maker[answer.id] = self.user
            return replace(answer, uid=self.facts[answer.id].uid)
        return answer


class Mailbox:
    def __init__(self, pair: Pair, name: str, **profile: Any) -> None:
        self.pair, self.name = pair, name
        self.place = Place("state", TENANT, "mailbox", name)
        self.profile = Profile(profile)
        self.notes: list[LedgerEntry] = []
        self.rings: list[tuple[Ring, float]] = []
        self.people: Any = None
        self.scope: type[ItemScope] = ItemScope
        self.mail = Side_(
            "mail",
            lambda what: pair.hook(name, "mail", what, "before"),
            lambda what: pair.hook(name, "mail", what, "after"),
            time=pair.now,
        )
        self.mail.new_facts = self._made
        self.n = 0
        pair.store.commit(self.place, [Insert(records.STATE, new_state(pair.time - timedelta(days=1)))])

    def _made(self) -> Facts:
        self.n += 1
        at = self.pair.time + timedelta(days=1)
        return Facts(
            made=self.pair.time,
            begins=at,
            ends=at + timedelta(hours=1),
            uid=f"uid-made-{self.name}{self.n}",
            organizer=f"{self.name}@home.example",
        )

    def event(
        self,
        subject: str,
        uid: str,
        *,
        own: bool = True,
        organizer: str = "",
        people: Sequence[tuple[str, str]] = (),
        marked: bool = True,
        answer: str = "accepted",
        **more: Any,
    ) -> Record:
        at = self.pair.time + timedelta(days=1)
        fields = {
            "subject": subject,
            "when": "w",
            "location": "",
            "description": "",
            "show_as": "busy",
            "private": "no",
            **more,
        }
        record = self.mail.create("event", fields)
        record.marked = marked
        self.mail.facts[record.id] = Facts(
            made=self.pair.time,
            begins=at,
            ends=at + timedelta(hours=1),
            uid=uid,
            own=own,
            shared=bool(people),
            answer="" if own else answer,
            organizer=organizer or f"{self.name}@home.example",
            people=tuple(people),
        )
        return record

    def unsync(self, record: Record, on: bool = True) -> None:
        facts = self.mail.facts[record.id]
        self.mail.facts[record.id] = replace(facts, marks=frozenset((UNSYNC,) if on else ()))
        self.mail.open(record)

    # the ledger and the bell of a session

    def note(self, entry: LedgerEntry) -> None:
        self.notes.append(entry)

    def flush(self) -> None: ...

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.rings.append((ring, delay_s))

    def rules(self) -> list[str]:
        return [one.rule for one in self.notes]

    def links(self) -> list[Link]:
        return list(links.every(self.pair.store, self.place, "event"))

    def held(self) -> list[dict[str, Any]]:
        return [dict(row.value) for row in self.pair.store.scan(self.place, *records.every("held"))]

    def session(self) -> SessionReport | None:
        pair = self.pair
        pair.crm.user = self.name
        pair.who = self.name
        scope = self.scope(
            Owner(self.name, pair.time - timedelta(days=1)),
            self.profile,
            Filters(self.profile, (f"{self.name}@home.example",)),
            pair.time,
        )
        sync = ItemSync(
            ("event",),
            {"mail": self.mail, "crm": pair.crm},
            self,
            mailbox=self.name,
            digest_key=DIGEST,
            scope=scope,
            claims=ItemClaims(
                Claims(pair.store, ORG, MailboxKey(self.name)),
                lambda address: next((one for one in pair.connected if one == address.split("@")[0]), ""),
                lambda: pair.crm.keyed,
            ),
            people=self.people,
            secret=SECRET,
        )
        self.rings.clear()
        try:
            return run_session(
                Ring(MailboxKey(self.name), "user", pair.now()),
                place=self.place,
                store=pair.store,
                bell=self,
                clock=pair,
                session_id=f"s{pair.time:%f}",
                parts=lambda: [sync],
            )  # type: ignore[arg-type]
        except Dies:
            pair.time += timedelta(seconds=100)
            return None


class Pair:
    def __init__(self, *, keyed: bool = True, connected: Sequence[str] = ("ann", "bob"), **profile: Any) -> None:
        self.time = datetime(2026, 1, 10, 9, tzinfo=UTC)
        self.store = MemoryStore()
        self.connected = set(connected)
        self.who = ""
        self.kill: tuple[str, str, str, str] | None = None
        self.before_call: dict[tuple[str, str, str, str], Callable[[], None]] = {}
        self.crm = Side_(
            "crm",
            lambda what: self.hook(self.who, "crm", what, "before"),
            lambda what: self.hook(self.who, "crm", what, "after"),
            keyed=keyed,
            time=self.now,
        )
        self.crm.holds = lambda item_id: self.store.get(ORG, f"{holders_of(item_id)}{self.who}") is not None
        self.crm.new_facts = lambda: self.crm_facts(self.who)
        self.ann, self.bob = Mailbox(self, "ann", **profile), Mailbox(self, "bob", **profile)

    def crm_facts(self, owner: str) -> Facts:
        at = self.time + timedelta(days=1)
        return Facts(made=self.time, begins=at, ends=at + timedelta(hours=1), owner=owner)

    def record(self, subject: str, owner: str, **more: Any) -> Record:
        record = self.crm.create(
            "event",
            {
                "subject": subject,
                "when": "w",
                "location": "",
                "description": "",
                "show_as": "busy",
                "private": "no",
                "people": (),
                "answers": (),
                **more,
            },
        )
        self.crm.facts[record.id] = self.crm_facts(owner)
        return record

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def hook(self, *what: str) -> None:
        if act := self.before_call.pop(what, None):  # type: ignore[arg-type]
            act()
        if self.kill == what:
            self.kill = None
            raise Dies

    def rest(self, *who: Mailbox, times: int = 3) -> None:
        for _ in range(times):
            for one in who or (self.ann, self.bob):
                one.session()
            self.time += timedelta(minutes=1)

    def records(self) -> list[Record]:
        return self.crm.alive("event")
