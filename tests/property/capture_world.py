"""A world for mail capture: mailboxes of one org, the CRM, the state, and a fault plan that strikes at any effect.

An effect is a call of a mailbox or of the CRM, or a commit; each may be cut before it happens or after it happened and
before its answer arrived. A cut is the death of the process (`Crash`, which no code of the product catches) or a network that
fails (`NetworkDown`). `step` is called at every effect, so that a test can let another session go on there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.core.errors import NetworkDown
from shared.core.mail import Address, Attachment, Mail, MailText
from shared.core.match import Person
from shared.core.profile import Profile
from shared.ports import Changed, Insert, LedgerEntry, MailboxKey, Place, Ring, Row, TenantId, Write
from shared.session import records
from shared.session.capture import MailCapture, Owner
from shared.session.poll import PollReport, poll
from shared.session.run import SessionReport, new_state, run_session
from shared.store.mail_memory import MemoryCrm, MemoryMail, Saved
from shared.store.memory import MemoryStore

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
ORG = Place("state", TenantId("t"), "org", "o")
SECRET = b"s" * 32
HOME = "home.example"
CONTACTS = tuple(Person(f"003{n}", "Contact", (f"c{n}@customer.test",), f"2026-01-0{n + 1}", "001a") for n in range(4))


class Crash(BaseException):
    """The process is gone."""


class Feed:
    """A change feed that answers what it was given."""

    def __init__(self, *changes: Changed) -> None:
        self.changes = changes

    def changed(self, since: Mapping[str, datetime]) -> tuple[Changed, ...]:
        return self.changes


class FaultyStore:
    """The memory store, with an effect at every commit."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.inner = world, name, world.inner

    def get(self, place: Place, key: str) -> Row | None:
        return self.inner.get(place, key)

    def get_many(self, place: Place, keys: Sequence[str]) -> Mapping[str, Row]:
        return self.inner.get_many(place, keys)

    def scan(self, place: Place, first: str = "", last: str | None = None) -> list[Row]:
        return list(self.inner.scan(place, first, last))

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self.world.effect(self.name, "before commit")
        self.world.commits += 1
        etags = self.inner.commit(place, writes)
        self.world.effect(self.name, "after commit")
        return etags


class World:
    """`step(session name, effect)` may raise; it is what a test plans faults with."""

    def __init__(self, names: Sequence[str] = ("ann", "bob")) -> None:
        self.inner, self.time = MemoryStore(), START
        self.step: Callable[[str, str], None] = lambda name, effect: None
        self.crm = MemoryCrm(lambda what: self._crm_effect(f"before {what}"), lambda what: self._crm_effect(f"after {what}"))
        self.crm.people = CONTACTS
        self.mailboxes = {name: self._mailbox(name) for name in names}
        self.rings: list[tuple[Ring, float]] = []
        self.notes: list[LedgerEntry] = []
        self.running = ""
        self.commits = 0
        self.profile: Mapping[str, object] = {"internal_domains": (HOME,)}
        for name in names:
            self.inner.commit(self.place(name), [self._new_state()])

    def _mailbox(self, name: str) -> MemoryMail:
        return MemoryMail(lambda what: self.effect(name, f"before {what}"), lambda what: self.effect(name, f"after {what}"))

    def _new_state(self) -> Write:
        return Insert(records.STATE, new_state(START))

    def _crm_effect(self, what: str) -> None:
        self.effect(self.running, what)

    def effect(self, name: str, what: str) -> None:
        self.step(name, what)
        self.running = name  # whoever goes on from here

    # clock, bell and ledger as a session gets them

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.rings.append((ring, delay_s))

    def note(self, entry: LedgerEntry) -> None:
        self.notes.append(entry)

    def flush(self) -> None:
        return None

    def place(self, name: str) -> Place:
        return Place("state", TenantId("t"), "mailbox", name)

    # what people do

    def mail(
        self, number: int, *, sender: str = "", files: Sequence[str] = (), message_id: str | None = None, **changes: object
    ) -> MailText:
        sent = START - timedelta(minutes=number)
        customer = Address(f"c{number % 4}@customer.test", "Customer")
        made: dict[str, object] = {
            "id": f"id{number}", "version": "1", "thread": f"<{number}@mail.test>", "subject": f"subject {number}",
            "message_id": f"<{number}@mail.test>" if message_id is None else message_id,
            "sender": Address(sender) if sender else customer, "to": (Address(f"ann@{HOME}"), customer), "cc": (), "bcc": (),
            "categories": ("Salesforce",), "role": "inbox", "marked_folder": False, "draft": False, "meeting": False,
            "private": False, "received": sent, "sent": sent,
        }  # fmt: skip
        attachments = tuple(Attachment(f"a{n}", name, "text/plain", 9, "file", False) for n, name in enumerate(files))
        return MailText(Mail(**(made | changes)), f"text {number}", "", attachments)  # type: ignore[arg-type]

    def put(self, text: MailText, *names: str) -> None:
        """The same mail into several mailboxes, each copy with an id of its own."""
        for name in names:
            self.mailboxes[name].put(replace(text, mail=replace(text.mail, id=f"{name}-{text.mail.id}")))

    def tell_deleted(self, record: str) -> PollReport:
        """The poll of the org answers that somebody deleted this record."""
        feed = Feed(Changed("mail", record, "1", deleted=True))
        return poll(
            feed, ["mail"], store=self.inner, bell=self, clock=self, org=ORG, place_of=self.place, owners=lambda user: ()
        )

    # sessions

    def session(self, name: str, why: str = "user") -> SessionReport:
        """One session of a mailbox, whatever its back-off says."""
        return self.answer(name, Ring(MailboxKey(name), why, self.now()))  # type: ignore[arg-type]

    def answer(self, name: str, ring: Ring) -> SessionReport:
        self.running = name
        return run_session(
            ring, place=self.place(name), store=FaultyStore(self, name), bell=self, clock=self,
            session_id=f"{name}{self.time:%H%M%S%f}", parts=lambda: [self.capture(name)],
        )  # fmt: skip

    def capture(self, name: str) -> MailCapture:
        owner = Owner(MailboxKey(name), (f"{name}@{HOME}",), f"005{name}", START)
        return MailCapture(
            self.mailboxes[name], self.crm, self, org=ORG, owner=owner, profile=Profile(self.profile), secret=SECRET
        )

    def deliver(self, name: str) -> None:
        """The rings of a mailbox that wait, and those they lead to, each at its time; at most 50."""
        for _ in range(50):
            if not self.rings:
                return
            due, ring, delay = min(((ring.at + timedelta(seconds=delay), ring, delay) for ring, delay in self.rings), key=_due)
            self.rings.remove((ring, delay))
            self.time = max(self.time, due)
            self.answer(name, ring)

    def settle(self) -> None:
        """Everybody comes back, after leases and claims are over, until nothing more happens."""
        self.step = lambda name, effect: None
        for _ in range(4):
            self.time += timedelta(minutes=5)
            for name in self.mailboxes:
                while self.session(name).result == "ok" and self.rings and self.rings[-1][1] == 0.0:
                    self.rings.clear()

    # what was decided and what must be true

    def rules(self) -> list[str]:
        """What the ledger was told, in its order."""
        return [note.rule for note in self.notes]

    def count(self, identifier: str) -> int:
        """How many records of this mail stand."""
        return sum(one.record.identifier == identifier for one in self.crm.alive())

    def wrong(self) -> list[str]:
        """A sentence for every mail that is not there exactly once, complete, with its files."""
        wanted: dict[str, tuple[str, ...]] = {}
        for mailbox in self.mailboxes.values():
            for text in mailbox.mails.values():
                wanted[text.mail.message_id] = tuple(sorted(file.name for file in text.attachments))
        by_identifier: dict[str, list[Saved]] = {}
        for one in self.crm.alive():
            by_identifier.setdefault(one.record.identifier, []).append(one)
        problems = [
            f"{key}: {len(by_identifier.get(key, ()))} records" for key in wanted if len(by_identifier.get(key, ())) != 1
        ]
        for key, found in by_identifier.items():
            files = tuple(sorted(name for name, _ in found[0].files))
            if files != wanted.get(key, ()):
                problems.append(f"{key}: files {files}, not {wanted.get(key)}")
            if not found[0].related_sender:
                problems.append(f"{key}: the sender is not linked")
        for name in self.mailboxes:
            problems += [f"{name}: {row.key} left" for row in self.inner.scan(self.place(name), "open_", "open`")]
        return problems

    def loose(self) -> list[str]:
        """A sentence for everything that was begun and not ended: announcements, claims, records, holds."""
        alive = {one.id: one for one in self.crm.alive()}
        claims = {row.key: row.value for row in self.inner.scan(ORG, "claim_", "claim`")}
        problems = [f"{key}: claimed for ever" for key, value in claims.items() if value["state"] != "saved"]
        saved = {value["crm"]: value["holders"] for value in claims.values() if value["state"] == "saved"}
        problems += [f"a claim names {crm}, which is not there" for crm in saved if crm not in alive]
        for name in self.mailboxes:
            for what in ("open", "held"):
                problems += [f"{name}: {row.key} left" for row in self.inner.scan(self.place(name), f"{what}_", f"{what}`")]
        for one in alive.values():
            if not saved.get(one.id):
                problems.append(f"{one.record.identifier}: a record that nobody holds")
        return problems

    def idle(self) -> list[str]:
        """What two sessions in a row of everybody still do; nothing is right."""
        calls, reads = self.crm.calls, sum(mailbox.reads for mailbox in self.mailboxes.values())
        rows = self._rows()
        for name in [*self.mailboxes, *self.mailboxes]:
            self.session(name)
        after = sum(mailbox.reads for mailbox in self.mailboxes.values())
        said = [f"{self.crm.calls - calls} CRM calls"] * (self.crm.calls != calls) + [f"{after - reads} reads"] * (
            after != reads
        )
        changed = self._rows() - rows
        return said + sorted(f"{key} written" for key in changed)

    def _rows(self) -> Counter[str]:
        kept = Counter[str]()
        for place in (*map(self.place, self.mailboxes), ORG):
            kept.update(f"{place.key}/{row.key}@{row.etag}" for row in self.inner.scan(place) if not row.key.startswith("0"))
        return kept


def _due(waiting: tuple[datetime, Ring, float]) -> datetime:
    return waiting[0]


def cut(world: World, victim: str, at: int, *, network: bool = False) -> Callable[[], int]:
    """Plans one fault: the victim's `at`-th effect (counted from 1). Answers a function that tells how many it had."""
    seen = 0

    def step(name: str, effect: str) -> None:
        nonlocal seen
        if name != victim:
            return
        seen += 1
        if seen == at:
            raise NetworkDown if network else Crash(effect)

    world.step = step
    return lambda: seen
