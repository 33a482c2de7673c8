"""A small world for the law: two in-memory sides, users who edit, a fault plan, sessions that crash, and what users meant.

Every user edit writes a value nobody wrote before and remembers which value it replaced, so that at the end the oracle
(`tests/property/oracle.py`) can tell an edit that was undone from one that lost a fair conflict.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.core import fields as law
from shared.core.errors import ItemError, NetworkDown, Refused, StoreError, SyncError
from shared.core.model import SIDES, Side, Value, other
from shared.core.plan import Plan, classify
from shared.ports import Insert, LedgerEntry, MailboxKey, Place, Ring, Row, Send, Sent, TenantId, Write
from shared.session import records
from shared.session.items import ItemSync, Work
from shared.session.run import SessionReport, new_state, run_session
from shared.store.memory import MemoryStore
from shared.store.providers import MemorySide, Record

PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
DIGEST_KEY = b"d" * 32
KINDS = ("note", "card")


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Lineage:
    """What users wrote: token -> (item, field, token it replaced); and what they did to items as a whole."""

    parents: dict[str, str] = field(default_factory=dict)
    item_of: dict[str, int] = field(default_factory=dict)
    added: dict[int, set[str]] = field(default_factory=dict)
    removed: dict[int, set[str]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)  # items somebody deleted or unmarked
    clean: set[tuple[int, str]] = field(default_factory=set)  # deleted there when all was in step, and never touched since
    items: int = 0
    tokens: int = 0


def token(value: Value | None) -> str:
    return value.split("-")[0] if isinstance(value, str) else ""


class FaultySide(MemorySide):
    """A side that may also refuse a single item, as vendors do for reasons of their own."""

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | SyncError]:  # type: ignore[override]
        refuse = self.refuse  # type: ignore[attr-defined]
        refused = {n for n in range(len(sends)) if refuse()}
        made = super().write([send for n, send in enumerate(sends) if n not in refused])
        for answer in made:
            if isinstance(answer, ItemError):
                self.counts[type(answer).__name__] += 1  # type: ignore[attr-defined]
        answers = iter(made)
        return [Refused("refused.validation", ("title",)) if n in refused else next(answers) for n in range(len(sends))]


class WatchedSync(ItemSync):
    """Counts the cells of the decision table as they are reached."""

    cells: Counter[str]

    def _plan(self, work: Work) -> Plan:
        decided = super()._plan(work)
        if all(work.link.end(side).id for side in SIDES):
            cell = [classify(work.link, side, work.seen.get(side), DIGEST_KEY) for side in SIDES]
            self.cells[f"{cell[0]} x {cell[1]}"] += 1
        return decided


class World:
    """One history. `share`: how many calls fault; `edits`: how many meet a concurrent edit."""

    def __init__(self, seed: int, *, share: float = 0.12, edits: float = 0.08) -> None:
        self.random = random.Random(seed)
        self.share, self.edits = share, edits
        self.lineage = Lineage()
        self.counts: Counter[str] = Counter()
        self.cells: Counter[str] = Counter()
        self.log = hashlib.sha256()
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.inner = MemoryStore()
        self.inner.commit(PLACE, [Insert(records.STATE, new_state(self.time))])
        self.queue: list[Ring] = []
        self.notes: list[LedgerEntry] = []
        self.calm = False
        self.nested = False
        self.sync = WatchedSync
        self.twins: set[int] = set()
        self.sides: dict[Side, MemorySide] = {}
        for side in SIDES:
            made = FaultySide(side, self._before(side), self._after(side))
            made.refuse = self._refuses  # type: ignore[attr-defined]
            made.counts = self.counts  # type: ignore[attr-defined]
            self.sides[side] = made

    # the clock, the bell, the ledger and the store that sessions get

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.queue.append(ring)

    def note(self, entry: LedgerEntry) -> None:
        self.notes.append(entry)
        self.counts[f"note {entry.rule}"] += 1

    def get(self, place: Place, key: str) -> Row | None:
        return self.inner.get(place, key)

    def scan(self, place: Place, first: str = "", last: str | None = None) -> list[Row]:
        return list(self.inner.scan(place, first, last))

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self._fault("store", "before")
        etags = self.inner.commit(place, writes)
        self._fault("store", "after")
        return etags

    # faults

    def _before(self, side: Side):  # type: ignore[no-untyped-def]
        def before(what: str) -> None:
            self.log.update(f"{side} {what} {self.sides[side].now}\n".encode())
            if self.calm or self.nested:
                return
            if self.random.random() < self.edits:
                self.counts["concurrent edits"] += 1
                self.act(concurrent=True)
            if what == "changes" and self.random.random() < 0.02:
                self.counts["CursorExpired"] += 1
                self.sides[side].generation += 1
            if what == "write" and self.random.random() < 0.01:
                self._zombie()
            self._fault(side, "before")

        return before

    def _after(self, side: Side):  # type: ignore[no-untyped-def]
        def after(what: str) -> None:
            self._fault(side, "after")

        return after

    def _fault(self, where: str, when: str) -> None:
        if self.calm or self.nested or self.random.random() >= self.share / 2:
            return
        if self.random.random() < 0.4 or where == "store":
            self.counts["crashes"] += 1
            raise Crash
        self.counts["lost answers" if when == "after" else "NetworkDown"] += 1
        raise NetworkDown

    def _refuses(self) -> bool:
        if self.calm or self.random.random() >= 0.01:
            return False
        self.counts["Refused"] += 1
        return True

    def _zombie(self) -> None:
        """This session hangs so long that another one takes over and finishes; then it wakes up."""
        self.time += timedelta(seconds=100)
        self.nested = True
        self.session()
        self.nested = False

    # sessions

    def session(self) -> SessionReport | None:
        """One session; None when it crashed (its lease then has to run out)."""
        sync = self.sync(KINDS, self.sides, self, mailbox="m", digest_key=DIGEST_KEY)
        sync.cells = self.cells
        ring = Ring(MailboxKey("m"), "user", self.now())
        try:
            report = run_session(
                ring, place=PLACE, store=self, bell=self, clock=self, session_id=f"s{self.time:%f}", parts=lambda: [sync]
            )  # type: ignore[arg-type]
        except Crash:
            self.time += timedelta(seconds=100)
            return None
        except StoreError:  # rises to the host, which tries again later
            self.counts["store errors"] += 1
            self.time += timedelta(seconds=100)
            return None
        self.counts["LeaseLost" if report.result == "lease.lost" else report.result] += 1
        return report

    # users

    def value(self, item: int, replaced: str = "") -> str:
        """A text nobody wrote before, sometimes longer than a side can hold."""
        self.lineage.tokens += 1
        new = f"v{self.lineage.tokens}"
        self.lineage.item_of[new] = item
        if replaced:
            self.lineage.parents[new] = replaced
        return new + "-" + "x" * self.random.choice((1, 1, 30))

    def act(self, *, concurrent: bool = False) -> None:
        self.counts["acts"] += 1
        side = self.random.choice(SIDES)
        kind = self.random.choice(KINDS)
        alive = self.sides[side].alive(kind)
        roll = self.random.random()
        if not alive or (roll < 0.15 and not concurrent):
            self._create(side, kind)
            return
        record = self.random.choice(alive)
        item = self.item(record)
        self.lineage.clean -= {(item, s) for s in SIDES if roll < 0.75 or 0.83 <= roll < 0.90}
        if roll < 0.75:
            self._edit(side, record, item)
        elif roll < 0.83:
            self.lineage.ended.add(item)
            if item not in self.twins and self._in_step(side, record, item):
                self.lineage.clean.add((item, side))
            self.sides[side].remove(record)
        elif roll < 0.90 and side == "mail":
            self.lineage.ended.add(item)
            self.sides[side].mark(record, not record.marked)
        else:
            self.sides[side].open(record)

    def _in_step(self, side: Side, record: Record, item: int) -> bool:
        """Whether the item's two ends hold the same, and are marked."""
        ends = [r for r in self.sides[other(side)].alive(record.kind) if self.item(r) == item]
        return len(ends) == 1 and ends[0].marked and record.marked and all(
            law.same(record.kind, side, name, value, ends[0].fields[name])
            or law.same(record.kind, other(side), name, ends[0].fields[name], value)
            for name, value in record.fields.items()
        )  # fmt: skip

    def _create(self, side: Side, kind: str) -> None:
        self.lineage.items += 1
        item = self.lineage.items
        fields = self._fresh(kind, item)
        self.sides[side].create(kind, fields)
        if self.random.random() < 0.15:  # the same thing stood on the other side already, typed in by hand
            twin = self._fresh(kind, item)
            twin |= {name: fields[name] for name in law.NATURAL_KEYS[kind]}
            self.sides[other(side)].create(kind, twin)
            self.counts["twins"] += 1
            self.twins.add(item)

    def _fresh(self, kind: str, item: int) -> dict[str, Value]:
        fresh: dict[str, Value] = {}
        for one in law.KINDS[kind]:
            if one.is_set:
                fresh[one.name] = tuple(sorted({self._element(item)}))
            else:
                fresh[one.name] = self.value(item)
        return fresh

    def _element(self, item: int) -> str:
        made = self.value(item)
        self.lineage.added.setdefault(item, set()).add(made)
        return made

    def _edit(self, side: Side, record: Record, item: int) -> None:
        # twins whose natural key somebody changes before they meet are two items for everybody, also for the oracle
        keyed = law.NATURAL_KEYS[record.kind] if item in self.twins else ()
        editable = [one for one in law.KINDS[record.kind] if one.name not in keyed]
        chosen = self.random.sample(editable, min(len(editable), self.random.randint(1, 3)))
        new: dict[str, Value] = {}
        for one in chosen:
            old = record.fields.get(one.name, "")
            if one.is_set:
                elements = list(old) if isinstance(old, tuple) else []
                if elements and self.random.random() < 0.3:
                    gone = self.random.choice(elements)
                    elements.remove(gone)
                    self.lineage.removed.setdefault(item, set()).add(gone)
                else:
                    elements.append(self._element(item))
                new[one.name] = tuple(sorted(elements))
            else:
                new[one.name] = self.value(item, token(old))
        self.sides[side].edit(record, new)

    def item(self, record: Record) -> int:
        """Which item a record is about, by the values it holds."""
        found = {self.lineage.item_of[token(v)] for v in record.fields.values() if isinstance(v, str) and v}
        assert len(found) == 1, f"values of several items in one record: {record}"
        return found.pop()

    # a whole history

    def run(self, acts: int = 30, sessions: int = 20) -> None:
        for n in range(sessions):
            for _ in range(acts // sessions + (1 if n < acts % sessions else 0)):
                self.act()
            self.session()
            self.time += timedelta(minutes=1)
        self.settle()

    def settle(self) -> None:
        """No more faults or edits: sessions until the world is at rest."""
        self.calm = True
        self.time += timedelta(hours=7)
        for _ in range(6):
            self.session()
            self.time += timedelta(minutes=1)
