"""A small world for the law: two in-memory sides, users who edit, a fault plan and sessions that crash.

A seed decides everything; some seeds have a rare thing in them as well (`RARE`). What users do is in `users.py`, what they
meant by it in `lineage.py`, the two sides and the sync in `sides.py`, what goes wrong in `faults.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from shared.core import fields as law
from shared.core.errors import Bug, ItemError, NewerRow, Refused, RowTooLarge, StoreError, SyncError
from shared.core.model import SIDES, Link, Side, Value
from shared.ports import Insert, LedgerEntry, MailboxKey, Place, Put, Ring, Row, TenantId, Write
from shared.session import deletes, links, records, rings
from shared.session.run import SessionReport, new_state, run_session
from shared.store.memory import MemoryStore
from shared.store.providers import MemorySide, Record
from tests.property.faults import Crash, Fault, drawn
from tests.property.lineage import Lineage
from tests.property.sides import DIGEST_KEY, KINDS, FaultySide, WatchedSync
from tests.property.users import Users

PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
#: Rare things by the remainder of the seed: (divisor, remainder).
RARE = {
    "no key field": (4, 1),  # the CRM has no place for our keys: lookup mode
    "emptied": (13, 5),  # a mistake empties one side
    "insisting": (17, 3),  # two systems set a field back to theirs whenever it changes
    "older rows": (7, 3),  # rows of the release before, with its canonical forms
    "monster": (19, 6),  # one item's row is too large to be kept
}


class World:
    """One history. `share`: how many calls and commits fault; `edits`: how many meet a concurrent edit."""

    def __init__(self, seed: int, *, share: float = 0.12, edits: float = 0.08, keyed: bool | None = None) -> None:
        self.random = random.Random(seed)
        self.share, self.edits = share, edits
        self.rare = {name for name, (divisor, rest) in RARE.items() if seed % divisor == rest}
        self.lineage = Lineage()
        self.counts: Counter[str] = Counter()
        self.cells: Counter[str] = Counter()
        self.log = hashlib.sha256()
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.inner = MemoryStore()
        self.inner.commit(PLACE, [Insert(records.STATE, new_state(self.time))])
        self.queue: list[Ring] = []
        self.notes: list[LedgerEntry] = []
        self.defects: list[str] = []
        self.allowed: list[str] = []  # twins that lookup mode is allowed, each by name
        self.calm = False
        self.nested = False
        self.ahead: Fault | None = None  # drawn for the call that is under way, for its end
        self.mid = False  # a user edits while the answer is made
        self.monster = ""
        self.reads = 0
        self.protected: set[tuple[Side, str]] = set()  # what the brake must leave alone until somebody confirms or touches it
        self.brought: dict[str, tuple[set[str], dict[str, Value]]] = {}  # by record: what our last patch brought
        self.carried: dict[tuple[int, str], list[tuple[datetime, Side]]] = {}  # our patches of a field: when, to which side
        self.sync = WatchedSync
        self.sides: dict[Side, MemorySide] = {}
        for side in SIDES:
            made = FaultySide(side, self._before(side), self._after(side), time=lambda: self.time)
            made.world = self
            self.sides[side] = made
        self.users = Users(self)
        self.sides["crm"].keyed = "no key field" not in self.rare if keyed is None else keyed

    # the clock, the bell, the ledger and the store that sessions get

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.queue.append(ring)

    def note(self, entry: LedgerEntry) -> None:
        self.notes.append(entry)
        self.counts[f"note {entry.rule}"] += 1

    def flush(self) -> None:
        """Notes stand as they come."""

    def get(self, place: Place, key: str) -> Row | None:
        self.reads += 1
        return self.inner.get(place, key)

    def get_many(self, place: Place, keys: Sequence[str]) -> Mapping[str, Row]:
        assert len(keys) <= 100
        self.reads += 1
        return self.inner.get_many(place, keys)

    def scan(self, place: Place, first: str = "", last: str | None = None) -> list[Row]:
        return list(self.inner.scan(place, first, last))

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        if any(write.key == records.WAKE for write in writes):
            self._another_ringer()
        self._begin("store", "commit")
        self._refuse_monster(writes)
        try:
            etags = self.inner.commit(place, writes)
        except StoreError as refused:
            self.counts[type(refused).__name__] += 1
            raise
        self._end("store")
        return etags

    def _refuse_monster(self, writes: Sequence[Write]) -> None:
        if "monster" not in self.rare or self.calm:
            return
        for write in writes:
            if isinstance(write, Put) and write.value.get("announced") and not self.monster:
                self.monster = write.key
            if isinstance(write, Put) and write.key == self.monster and write.value["announced"]:
                self.counts["RowTooLarge"] += 1
                raise RowTooLarge(write.key)

    def _another_ringer(self) -> None:
        """Somebody else rings at the same moment."""
        if not self.calm and self.random.random() < 0.02:
            ring = Ring(MailboxKey("m"), "push", self.time)
            rings.leave_mark(self.inner, PLACE, self.inner.get(PLACE, records.WAKE), ring)

    # faults

    def _begin(self, where: str, what: str) -> None:
        """Before a call or commit: users may edit, and it may be decided that it fails."""
        if self.calm:
            return
        self.counts["calls"] += 1
        if self.random.random() < self.edits:
            self.counts["concurrent edits"] += 1
            self.mid = what == "changes" and self.random.random() < 0.5
            if not self.mid:
                self.users.act(concurrent=True)
        if self.random.random() < self.share:
            self.counts["faults"] += 1
            self.ahead = drawn(self.random, where)
            if self.ahead.when == "before":
                self._end(where)

    def _end(self, where: str) -> None:
        fault, self.ahead = self.ahead, None
        if fault is not None:
            self.counts[fault.name] += 1
            raise fault.made(self.time)

    def _before(self, side: Side):  # type: ignore[no-untyped-def]
        def before(what: str) -> None:
            self.log.update(f"{side} {what} {self.sides[side].now}\n".encode())
            if what == "page":
                if self.mid:
                    self.mid = False
                    self.users.act(concurrent=True)
                return
            if not self.calm:
                if what == "changes" and self.random.random() < 0.02:
                    self.sides[side].generation += 1
                # what is on its way to a vendor without a key is never that late: the port promises it
                if (what == "write") == self.sides[side].keyed and what != "twins" and self.random.random() < 0.01:
                    self._zombie()
            self._begin(side, what)

        return before

    def _after(self, side: Side):  # type: ignore[no-untyped-def]
        def after(what: str) -> None:
            self._end(side)

        return after

    def refusal(self) -> ItemError | None:
        """What a single item meets, now and then."""
        roll = 1.0 if self.calm else self.random.random()
        if roll >= 0.013:
            return None
        refused: ItemError = Refused("refused.validation", ("title",)) if roll < 0.01 else Bug("KeyError", "map.py:1")
        self.counts[type(refused).__name__] += 1
        return refused

    def stumbles(self) -> bool:
        """Whether our own code makes a mistake with this item."""
        if self.calm or self.random.random() >= 0.004:
            return False
        self.counts["Bug"] += 1
        return True

    def _zombie(self) -> None:
        """This session hangs so long that another one takes over and finishes; then it wakes up."""
        if self.nested:
            return
        self.time += timedelta(seconds=100)
        self.nested = True
        self.session()
        self.nested = False

    # sessions

    def session(self) -> SessionReport | None:
        """One session; None when it died or rose to the host (its lease then has to run out)."""
        self.users.judge_suspects()
        # a session that died before it wrote the hold down has held nothing
        self.protected = {(side, one) for side, one in self.protected if (link := self.stored(side, one)) and link.gone}
        sync = self.sync(KINDS, self.sides, self, mailbox="m", digest_key=DIGEST_KEY)
        sync.world = self
        ring = Ring(MailboxKey("m"), "user", self.now())
        try:
            report = run_session(
                ring, place=PLACE, store=self, bell=self, clock=self, session_id=f"s{self.time:%f}", parts=lambda: [sync]
            )  # type: ignore[arg-type]
        except Crash:
            self.time += timedelta(seconds=100)
            return None
        except StoreError:
            self.counts["store errors"] += 1
            self.time += timedelta(seconds=100)
            return None
        except SyncError:  # rises to the host, which tries again later
            self.counts["rose to the host"] += 1
            self.time += timedelta(seconds=100)
            return None
        self.counts["LeaseLost" if report.result == "lease.lost" else report.result] += 1
        return report

    def stored(self, side: Side, item_id: str) -> Link | None:
        """The link of an item as the rows have it; none where newer code wrote it."""
        with contextlib.suppress(NewerRow):
            return links.by_ids(self.inner, PLACE, side, [item_id]).get(item_id)
        return None

    def is_held_back(self, side: MemorySide, item_id: str) -> bool:
        """Whether a deletion that nobody confirmed is behind a write."""
        if (side.side, item_id) in self.protected:
            return True
        link = self.stored(side.side, item_id)
        if link is None or not link.gone:
            return False
        return self.inner.get(PLACE, f"confirm_{link.gone}_{link.kind}") is None

    def touched(self, item: int) -> None:
        """A user did something to an item: what the brake held of it is the user's from here on."""
        self.protected = {(where, one) for where, one in self.protected if self.item(self.sides[where].records[one]) != item}

    def newer_row(self) -> None:
        """One session while a row stands as newer code left it; the row must stay as it is."""
        rows = [r for first in ("link_", "cursor_", "0state") for r in self.inner.scan(PLACE, first, first + "~")]
        if not rows:
            return
        self.users.judge_suspects()
        row = self.random.choice(rows)
        newer = {**row.value, "v": records.VERSION + 1}
        self.inner.commit(PLACE, [Put(row.key, newer)])
        report = self.session()
        self.counts["NewerRow"] += report is not None and report.result == "store.newer_row"
        found = self.inner.get(PLACE, row.key)
        if found is None or found.value != newer:
            self.defects.append("overwritten: a row that newer code had written")
        self.inner.commit(PLACE, [Put(row.key, row.value)])

    def item(self, record: Record) -> int:
        """Which item a record is about."""
        return self.lineage.item(record)

    # a whole history

    def run(self, acts: int = 30, sessions: int = 20) -> None:
        if "emptied" in self.rare:
            for _ in range(8):
                self.users.create("crm", "note")
        for n in range(sessions):
            for _ in range(acts // sessions + (1 if n < acts % sessions else 0)):
                self.users.act()
            self._rare_things(n)
            self.session()
            self.time += timedelta(minutes=1)
        self.settle()

    def _rare_things(self, n: int) -> None:
        if n == 6 and "insisting" in self.rare and (alive := self.sides["mail"].alive("note")):
            self.users.robots = (self.item(self.random.choice(alive)), "text")
        if n == 10 and "older rows" in self.rare:
            self.age_rows()
        if n == 12 and "emptied" in self.rare:
            self.users.empty(self.random.choice(SIDES), "note")
        if self.random.random() < 0.01:
            self.newer_row()

    def age_rows(self) -> None:
        """Makes all links look as the release before wrote them: digests of the forms it knew."""
        for row in list(self.inner.scan(PLACE, *records.every("link"))):
            link = links.from_row(row)
            value = {**row.value, **{side: {**row.value[side], "canon": law.CANON - 1} for side in SIDES}}
            for side in SIDES:
                record = self.sides[side].records.get(link.end(side).id)
                base = dict(link.end(side).base)
                if record is None or link.announced:
                    continue
                for one in (one for one in law.KINDS[link.kind] if one.before and one.name in base):
                    raw = record.fields[one.name]
                    if law.digest(DIGEST_KEY, link.key, one.name, one.form(raw)) == base[one.name]:
                        base[one.name] = law.digest(DIGEST_KEY, link.key, one.name, one.before(raw))
                value[side] = {**value[side], "base": base}
            if not link.announced:
                self.counts["older rows"] += 1
                self.inner.commit(PLACE, [Put(row.key, value)])

    def settle(self) -> None:
        """No more faults or edits: sessions until the world is at rest, and a person who confirms what is held."""
        self.calm = True
        for _ in range(2):
            self.time += timedelta(hours=25)
            for _ in range(2):
                self.session()
                self.time += timedelta(minutes=1)
            for kind in KINDS:
                for side in SIDES:
                    self.counts["confirmed"] += deletes.confirm(self.inner, PLACE, kind, side, self.time)
            self.protected = set()
