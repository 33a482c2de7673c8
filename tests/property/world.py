"""A small world for the law: two in-memory sides, users who edit, a fault plan, sessions that crash, and what users meant.

Every user edit writes a value nobody wrote before and remembers which value it replaced, so that at the end the oracle
(`tests/property/oracle.py`) can tell an edit that was undone from one that lost a fair conflict. A seed decides everything;
some seeds have a rare thing in them as well (`RARE`). What goes wrong is listed in `tests/property/faults.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.core import fields as law
from shared.core.errors import Bug, CursorExpired, ItemError, NewerRow, Refused, RowTooLarge, StoreError, SyncError
from shared.core.model import SIDES, Link, Side, Value, other
from shared.core.plan import Plan, classify
from shared.ports import Insert, LedgerEntry, MailboxKey, Page, Place, Put, Ring, Row, Send, Sent, TenantId, Write
from shared.session import deletes, links, records, rings
from shared.session.item_writing import Work
from shared.session.items import ItemSync
from shared.session.lease import Held
from shared.session.run import SessionReport, new_state, run_session
from shared.store.memory import MemoryStore
from shared.store.providers import MemorySide, Record
from tests.property.faults import Crash, Fault, drawn

PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
DIGEST_KEY = b"d" * 32
KINDS = ("note", "card")
#: Rare things by the remainder of the seed: (divisor, remainder).
RARE = {
    "no key field": (4, 1),  # the CRM has no place for our keys: lookup mode
    "emptied": (13, 5),  # a mistake empties one side
    "insisting": (17, 3),  # two systems set a field back to theirs whenever it changes
    "older rows": (7, 3),  # rows of the release before, with its canonical forms
    "monster": (19, 6),  # one item's row is too large to be kept
}


@dataclass
class Lineage:
    """What users wrote: token -> (item, field, token it replaced); and what they did to items as a whole."""

    parents: dict[str, str] = field(default_factory=dict)
    item_of: dict[str, int] = field(default_factory=dict)
    added: dict[int, set[str]] = field(default_factory=dict)
    removed: dict[int, set[str]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)  # items somebody deleted or unmarked
    clean: set[tuple[int, str]] = field(default_factory=set)  # deleted there when all was in step, and never touched since
    unmarked: set[int] = field(default_factory=set)  # items whose mark was ever off: what befell them meanwhile stays there
    unsure: set[str] = field(default_factory=set)  # elements whose removal nobody can tell from a write that was never made
    by_robot: dict[str, str] = field(default_factory=dict)  # what each side's robot wrote last
    excused: dict[int, str] = field(default_factory=dict)  # items that lookup mode may double, and why
    items: int = 0
    tokens: int = 0


def token(value: Value | None) -> str:
    return value.split("-")[0] if isinstance(value, str) else ""


class FaultySide(MemorySide):
    """A side that may also refuse a single item, as vendors and adapters do for reasons of their own, and that watches."""

    world: World

    def changes(self, kind: str, cursor: str | None) -> Page:
        try:
            return super().changes(kind, cursor)
        except CursorExpired:
            self.world.counts["CursorExpired"] += 1
            raise

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | ItemError]:
        world = self.world
        refused: dict[int, ItemError] = {n: problem for n in range(len(sends)) if (problem := world.refusal()) is not None}
        for n, send in enumerate(sends):
            if send.verb in ("delete", "unmark") and n not in refused and world.is_held_back(self, send.id):
                world.defects.append(f"let go: a held deletion was carried out at {send.id}")
        made = super().write([send for n, send in enumerate(sends) if n not in refused])
        for answer in made:
            if isinstance(answer, ItemError):
                world.counts[type(answer).__name__] += 1
        answers = iter(made)
        return [refused[n] if n in refused else next(answers) for n in range(len(sends))]

    def _write(self, send: Send) -> Sent | ItemError:
        before = dict(self.records[send.id].fields) if send.verb == "patch" else {}
        answer = super()._write(send)
        if send.verb == "patch" and isinstance(answer, Sent) and not self.world.calm:
            self._brought(send.id, before)
        return answer

    def _brought(self, item_id: str, before: Mapping[str, Value]) -> None:
        """Remembers what a patch of ours changed."""
        record = self.records[item_id]
        new = set(record.fields.get("tags", ())) - set(before.get("tags", ()))
        scalars = {name: v for name, v in record.fields.items() if isinstance(v, str) and before.get(name) != v}
        self.world.brought[item_id] = (new, scalars)
        for name in scalars:
            carried = self.world.carried.setdefault((self.world.item(record), name), [])
            carried.append((self.world.time, self.side))


class WatchedSync(ItemSync):
    """Counts the cells of the decision table as they are reached."""

    world: World

    def _plan(self, work: Work, now: float) -> Plan:
        if self.world.stumbles():
            raise KeyError
        decided = super()._plan(work, now)
        if all(work.link.end(side).id for side in SIDES):
            cell = [classify(work.link, side, work.seen.get(side), DIGEST_KEY) for side in SIDES]
            self.world.cells[f"{cell[0]} x {cell[1]}"] += 1
        return decided

    def _brake(self, held: Held, kind: str, side: Side, works: Sequence[Work], *, empty: bool) -> None:
        """Of so many deletions in one listing not one may be carried out: 5, or 5 % of the links, or any of an empty one."""
        gone = [w.link for w in works if side in w.seen and w.seen[side].item is None and w.inferred]
        known = sum(1 for _ in links.every(held.store, held.place, kind)) if len(gone) > 5 else 0
        if known and (empty or len(gone) > known * 5 // 100):
            there = other(side)
            self.world.protected |= {(there, link.end(there).id) for link in gone if link.end(there).id}
        super()._brake(held, kind, side, works, empty=empty)


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
        self.suspects: list[tuple[Side, Record, int, tuple[str, ...]]] = []  # edits that met a write nobody heard of yet
        self.robots: tuple[int, str] | None = None
        self.sync = WatchedSync
        self.twins: set[int] = set()
        self.sides: dict[Side, MemorySide] = {}
        for side in SIDES:
            made = FaultySide(side, self._before(side), self._after(side), time=lambda: self.time)
            made.world = self
            self.sides[side] = made
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
                self.act(concurrent=True)
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
                    self.act(concurrent=True)
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
        self._judge_suspects()
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

    def newer_row(self) -> None:
        """One session while a row stands as newer code left it; the row must stay as it is."""
        rows = [r for first in ("link_", "cursor_", "0state") for r in self.inner.scan(PLACE, first, first + "~")]
        if not rows:
            return
        self._judge_suspects()
        row = self.random.choice(rows)
        newer = {**row.value, "v": records.VERSION + 1}
        self.inner.commit(PLACE, [Put(row.key, newer)])
        report = self.session()
        self.counts["NewerRow"] += report is not None and report.result == "store.newer_row"
        found = self.inner.get(PLACE, row.key)
        if found is None or found.value != newer:
            self.defects.append("overwritten: a row that newer code had written")
        self.inner.commit(PLACE, [Put(row.key, row.value)])

    # users

    def value(self, item: int, replaced: str = "") -> str:
        """A text nobody wrote before, sometimes longer than a side can hold, sometimes not in canonical form."""
        self.lineage.tokens += 1
        new = f"v{self.lineage.tokens}"
        self.lineage.item_of[new] = item
        if replaced:
            self.lineage.parents[new] = replaced
        return new + self.random.choice(("-", "-", "- ")) + "x" * self.random.choice((1, 1, 30))

    def act(self, *, concurrent: bool = False) -> None:
        self.counts["acts"] += 1
        side = self.random.choice(SIDES)
        kind = self.random.choice(KINDS)
        alive = self.sides[side].alive(kind)
        roll = self.random.random()
        self._robots_act()
        if not alive or (roll < 0.15 and not concurrent):
            self._create(side, kind)
            return
        record = self.random.choice(alive)
        item = self.item(record)
        self.protected = {(where, one) for where, one in self.protected if self.item(self.sides[where].records[one]) != item}
        self.lineage.clean -= {(item, s) for s in SIDES if roll < 0.75 or 0.83 <= roll < 0.90}
        if roll < 0.75:
            self._edit(side, record, item)
        elif roll < 0.83:
            self.lineage.ended.add(item)
            self._remove(side, record, item)
        elif roll < 0.90 and side == "mail":
            self.lineage.ended.add(item)
            self.lineage.unmarked.add(item)
            self.sides[side].mark(record, not record.marked)
        else:
            self.sides[side].open(record)

    def _remove(self, side: Side, record: Record, item: int) -> None:
        self.lineage.ended.add(item)
        known = item not in self.twins | self.lineage.unmarked and item not in self.lineage.excused
        if known and self._in_step(side, record, item):
            self.lineage.clean.add((item, side))
        self.sides[side].remove(record)

    def _empty(self, side: Side, kind: str) -> None:
        """A mistake: everything of a kind is gone at once, and the vendor begins a new feed."""
        for record in self.sides[side].alive(kind):
            self._remove(side, record, self.item(record))
        self.sides[side].generation += 1

    def _robots_act(self) -> None:
        """Whoever finds that the field is not what it wrote last writes it again."""
        if self.robots is None or self.calm:
            return
        item, name = self.robots
        for side in SIDES:
            for record in self.sides[side].alive("note"):
                written = f"{side} {item}"
                if self.item(record) == item and token(record.fields[name]) != self.lineage.by_robot.get(written):
                    new = self.value(item, token(record.fields[name]))
                    self.lineage.by_robot[written] = token(new)
                    self.sides[side].edit(record, {name: new})

    def _in_step(self, side: Side, record: Record, item: int) -> bool:
        """Whether the item's two ends hold the same, and are marked."""
        ends = [r for r in self.sides[other(side)].alive(record.kind) if self.item(r) == item]
        if any(self._unheard(end) for end in (*ends, record)):
            return False
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
        self.suspects.append((side, record, item, tuple(new) if self._unheard(record) else ()))

    def _unheard(self, record: Record) -> bool:
        """Whether we made this record where no key could be written, and its own link does not know it."""
        crm = self.sides["crm"]
        if crm.keyed or record.by != "us" or record.id not in crm.records:
            return False
        link = self.stored("crm", record.id)
        return link is None or link.key != links.key_of_item(record.key)

    def _judge_suspects(self) -> None:
        """A new session begins: what was edited before the engine heard of its own write can now be named."""
        for side, record, item, names in self.suspects:
            if set(names) & set(law.LOOKUP[record.kind]) and self._unheard(record):
                self.lineage.excused[item] = f"{record.id}: {' and '.join(names)} changed before the answer was known"
            new, scalars = self.brought.get(record.id, (set(), {}))
            there = set(record.fields.get("tags", ()))
            seen = any(record.fields.get(name) == value for name, value in scalars.items())
            link = self.stored(side, record.id)
            if link is not None and link.announced and not new & there and not seen:
                self.lineage.unsure |= new
        self.suspects = []

    def item(self, record: Record) -> int:
        """Which item a record is about, by the values it holds."""
        found = {self.lineage.item_of[v.split("-", 1)[0]] for v in record.fields.values() if isinstance(v, str) and v}
        assert len(found) == 1, f"values of several items in one record: {record}"
        return found.pop()

    # a whole history

    def run(self, acts: int = 30, sessions: int = 20) -> None:
        if "emptied" in self.rare:
            for _ in range(8):
                self._create("crm", "note")
        for n in range(sessions):
            for _ in range(acts // sessions + (1 if n < acts % sessions else 0)):
                self.act()
            self._rare_things(n)
            self.session()
            self.time += timedelta(minutes=1)
        self.settle()

    def _rare_things(self, n: int) -> None:
        if n == 6 and "insisting" in self.rare and (alive := self.sides["mail"].alive("note")):
            self.robots = (self.item(self.random.choice(alive)), "text")
        if n == 10 and "older rows" in self.rare:
            self.age_rows()
        if n == 12 and "emptied" in self.rare:
            self._empty(self.random.choice(SIDES), "note")
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
