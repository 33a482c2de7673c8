"""A meeting in two connected mailboxes: one session dies, or stops, at every single effect, and the other runs there.

Whatever happens there is one record in the end, both mailboxes hold it, no claim is left open; it goes with the last holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from shared.core.item_scope import Judged
from shared.core.model import Facts, Link, Seen, Side
from shared.core.plan import Terms
from shared.ports import Insert, LedgerEntry, MailboxKey, Place, Ring, Row, TenantId, Write
from shared.session import links, records
from shared.session.claims import GRACE_S, Claims
from shared.session.item_claims import ItemClaims
from shared.session.items import ItemSync
from shared.session.run import SessionReport, new_state, run_session
from shared.store.memory import MemoryStore
from shared.store.providers import MemorySide, Record
from tests.property.faults import Crash

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
ORG = Place("state", TenantId("tenant"), "org", "o")
NAMES = ("ann", "bob")
ANN = "ann@home.example"
SECRET = b"s" * 32
Organiser = Literal["ann", "nobody here"]


class Scope:
    """Events of the mailboxes are ours while they are marked; an attendee's copy is never written."""

    user = ""

    def owns(self, crm: Seen) -> bool:
        return True

    def gave_away(self, link: Link, crm: Seen) -> bool:
        return False

    def judged(self, side: Side, seen: Seen) -> Judged:
        ours = side == "mail" and seen.marked
        return Judged(ours, "saved.marked" if ours else "skipped.other_owner")

    def rests(self, link: Link, seen: Seen) -> str:
        return "unmarked" if link.marked and not seen.marked else ""

    def is_over(self, link: Link) -> bool:
        return False

    def unsynced(self, seen: Seen) -> bool:
        return "unsync" in seen.facts.marks

    def shown(self, link: Link | None, mail: Seen) -> Seen:
        return mail

    def terms(self, link: Link, mail: Seen | None) -> Terms:
        return Terms(follows=link.follows)


class Two:
    """Two mailboxes, one CRM, one storage. `at`: the effect of `who`'s session at which `act` happens, before or after it."""

    def __init__(self, organiser: Organiser, *, keyed: bool) -> None:
        self.time, self.inner = START, MemoryStore()
        self.notes: list[LedgerEntry] = []
        self.running, self.effects = "", 0
        self.at: tuple[str, int, str] = ("", 0, "")
        self.act: Callable[[], None] = lambda: None
        self.organiser = organiser
        self.crm = MemorySide("crm", self.before, self.after, keyed=keyed, time=lambda: self.time)
        self.mail = {name: MemorySide("mail", self.before, self.after, time=lambda: self.time) for name in NAMES}
        self.copies: dict[str, Record] = {}
        for name in NAMES:
            self.inner.commit(self.place(name), [Insert(records.STATE, new_state(self.time))])
            texts = dict.fromkeys(("subject", "when", "location", "description", "show_as", "private"), "x")
            self.copies[name] = self.mail[name].create("event", {**texts, "people": (), "answers": ()})
            own = name == organiser
            self.copies[name].facts = Facts(uid="meeting", own=own, organizer=ANN if organiser == "ann" else "dora@else.test")

    def place(self, name: str) -> Place:
        return Place("state", TenantId("tenant"), "mailbox", name)

    # clock, bell, ledger and storage of the sessions; every effect may be the one

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        """Sessions are run by hand."""

    def note(self, entry: LedgerEntry) -> None:
        self.notes.append(entry)

    def flush(self) -> None:
        """Notes stand as they come."""

    def get(self, place: Place, key: str) -> Row | None:
        return self.inner.get(place, key)

    def get_many(self, place: Place, keys: Sequence[str]) -> Mapping[str, Row]:
        return self.inner.get_many(place, keys)

    def scan(self, place: Place, first: str = "", last: str | None = None) -> Iterator[Row]:
        return self.inner.scan(place, first, last)

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self.before("commit")
        etags = self.inner.commit(place, writes)
        self.after("commit")
        return etags

    def before(self, what: str) -> None:
        if what != "page":
            self.effects += 1
            self._happens("before")

    def after(self, what: str) -> None:
        self._happens("after")

    def _happens(self, when: str) -> None:
        if self.at == (self.running, self.effects, when):
            self.at = ("", 0, "")
            self.act()

    def session(self, name: str) -> SessionReport | None:
        outer, self.running, counted, self.effects = self.running, name, self.effects, 0
        claims = ItemClaims(
            Claims(self, ORG, MailboxKey(name)), lambda address: "ann" if address == ANN else "", lambda: self.crm.keyed
        )  # type: ignore[arg-type]
        sync = ItemSync(
            ("event",), {"mail": self.mail[name], "crm": self.crm}, self, mailbox=name, digest_key=b"d" * 32, scope=Scope(),
            claims=claims, secret=SECRET,
        )  # fmt: skip
        try:
            return run_session(
                Ring(MailboxKey(name), "user", self.now()), place=self.place(name), store=self, bell=self, clock=self,  # type: ignore[arg-type]
                session_id=f"{name}{self.time:%f}", parts=lambda: [sync],
            )  # fmt: skip
        except Crash:
            self.time += timedelta(seconds=100)
            return None
        finally:
            self.last = self.effects
            self.running, self.effects = outer, counted

    def rest(self) -> None:
        """Until nothing is waited for any more: longer than the grace of a claim that nobody finished."""
        for _ in range(4):
            self.time += timedelta(seconds=GRACE_S + 200)
            for name in NAMES:
                assert (report := self.session(name)) is not None
                assert report.result == "ok"

    # what must be true

    def alive(self) -> list[Record]:
        return self.crm.alive("event")

    def holders(self) -> list[list[str]]:
        return [row.value["holders"] for row in self.inner.scan(ORG, "claim_", "claim`") if row.value["state"] == "saved"]

    def open_claims(self) -> int:
        return sum(row.value["state"] != "saved" for row in self.inner.scan(ORG, "claim_", "claim`"))

    def linked(self, name: str) -> str:
        link = links.by_ids(self.inner, self.place(name), "mail", [self.copies[name].id])[self.copies[name].id]
        return link.crm.id

    def mark_unsync(self, name: str) -> None:
        record = self.copies[name]
        record.facts = Facts(**{**vars(record.facts), "marks": frozenset(("unsync",))})
        self.mail[name].mark(record, False)


def effects(organiser: Organiser, keyed: bool, who: str) -> int:
    world = Two(organiser, keyed=keyed)
    world.session(who)
    return world.last


def die() -> None:
    raise Crash


@pytest.mark.parametrize("keyed", [True, False], ids=["key", "lookup"])
@pytest.mark.parametrize("organiser", ["ann", "nobody here"])
@pytest.mark.parametrize("who", NAMES)
@pytest.mark.parametrize("dies", [True, False], ids=["and the first dies", "and both go on"])
def test_the_other_session_runs_at_every_effect(who: str, organiser: Organiser, *, keyed: bool, dies: bool) -> None:
    other = NAMES[1 - NAMES.index(who)]
    for number in range(1, effects(organiser, keyed, who) + 1):
        for when in ("before", "after"):
            world = Two(organiser, keyed=keyed)

            def act(world: Two = world) -> None:
                world.session(other)
                if dies:
                    raise Crash

            world.at, world.act = (who, number, when), act
            world.session(who)
            world.rest()
            at = (number, when)
            assert len(world.alive()) == 1, at
            assert {world.linked(name) for name in NAMES} == {world.alive()[0].id}, at
            assert (world.holders(), world.open_claims()) == ([sorted(NAMES)], 0), at


@pytest.mark.parametrize("keyed", [True, False], ids=["key", "lookup"])
@pytest.mark.parametrize("organiser", ["ann", "nobody here"])
@pytest.mark.parametrize("leaver", NAMES)
def test_it_goes_with_the_last_holder_whatever_dies(leaver: str, organiser: Organiser, *, keyed: bool) -> None:
    stayer = NAMES[1 - NAMES.index(leaver)]
    for number in range(30):
        for when in ("before", "after"):
            world = Two(organiser, keyed=keyed)
            world.rest()
            for name, left in ((leaver, 1), (stayer, 0)):
                world.mark_unsync(name)
                world.at, world.act = (name, number, when), die
                world.session(name)
                world.rest()
                assert len(world.alive()) == left, (number, when, name)
            assert (world.holders(), world.open_claims()) == ([], 0), (number, when)
