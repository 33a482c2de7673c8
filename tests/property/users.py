"""The users of both sides: they create, edit, delete, mark and open, and the lineage remembers what they meant by it.

They answer what waits for their word. Some see to it that a field stays as they want it (`robots`), some type the same thing
in on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from shared.core import fields as law
from shared.core.model import SIDES, Side, Value, other
from shared.ports import Row
from shared.session import links, records, waiting
from shared.store.providers import Record
from tests.property.lineage import elements, token
from tests.property.sides import DIGEST_KEY, PLACE

if TYPE_CHECKING:
    from tests.property.world import World


class Users:
    """Whoever is not the engine, on both sides."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random, self.sides, self.lineage = world.random, world.sides, world.lineage
        self.suspects: list[tuple[Side, Record, int, tuple[str, ...]]] = []  # edits that met a write nobody heard of yet
        self.wrote: set[tuple[str, str]] = set()  # (record, field) of the mailbox whose value a person typed in
        self.robots: tuple[int, str] | None = None

    def value(self, item: int, replaced: str = "") -> str:
        """A text nobody wrote before, sometimes longer than a side can hold, sometimes not in canonical form."""
        self.lineage.tokens += 1
        new = f"v{self.lineage.tokens}"
        self.lineage.item_of[new] = item
        if replaced:
            self.lineage.parents[new] = replaced
        return new + self.random.choice(("-", "-", "- ")) + "x" * self.random.choice((1, 1, 30))

    def act(self, *, concurrent: bool = False) -> None:
        self.world.counts["acts"] += 1
        side = self.random.choice(SIDES)
        kind = self.random.choice(self.world.kinds)
        alive = self.sides[side].alive(kind)
        roll = self.random.random()
        self._robots_act()
        if self.random.random() < 0.05:
            self._answer_one()
        if not alive or (roll < 0.15 and not concurrent):
            self.create(side, kind)
            return
        record = self.random.choice(alive)
        item = self.lineage.item(record)
        self.world.touched(item)
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
        known = item not in self.lineage.twins | self.lineage.unmarked and item not in self.lineage.excused
        if known and self._in_step(side, record, item):
            self.lineage.clean.add((item, side))
        self.sides[side].remove(record)

    def empty(self, side: Side, kind: str) -> None:
        """A mistake: everything of a kind is gone at once, and the vendor begins a new feed."""
        for record in self.sides[side].alive(kind):
            self._remove(side, record, self.lineage.item(record))
        self.sides[side].generation += 1

    def _robots_act(self) -> None:
        """Whoever finds that the field is not what it wrote last writes it again."""
        if self.robots is None or self.world.calm:
            return
        item, name = self.robots
        for side in SIDES:
            for record in self.sides[side].alive(self.world.kinds[0]):
                written = f"{side} {item}"
                if self.lineage.item(record) == item and token(record.fields[name]) != self.lineage.by_robot.get(written):
                    new = self.value(item, token(record.fields[name]))
                    self.lineage.by_robot[written] = token(new)
                    self.sides[side].edit(record, {name: new})

    def _in_step(self, side: Side, record: Record, item: int) -> bool:
        """Whether the item's two ends hold the same, and are marked."""
        ends = [r for r in self.sides[other(side)].alive(record.kind) if self.lineage.item(r) == item]
        if any(self._unheard(end) for end in (*ends, record)):
            return False
        return len(ends) == 1 and ends[0].marked and record.marked and all(
            law.same(record.kind, side, name, value, ends[0].fields.get(name, ()))
            or law.same(record.kind, other(side), name, ends[0].fields.get(name, ()), value)
            for name, value in record.fields.items()
        )  # fmt: skip

    def create(self, side: Side, kind: str) -> None:
        self.lineage.items += 1
        item = self.lineage.items
        fields = self._fresh(kind, item)
        self._typed(side, self.sides[side].create(kind, fields), fields)
        if self.random.random() < 0.15:  # the same thing stood on the other side already, typed in by hand
            twin = self._fresh(kind, item)
            twin |= {name: fields[name] for name in law.NATURAL_KEYS[kind]}
            self._typed(other(side), self.sides[other(side)].create(kind, twin), twin)
            self.world.counts["twins"] += 1
            self.lineage.twins.add(item)

    def _typed(self, side: Side, record: Record, fields: Mapping[str, Value]) -> None:
        if side == "mail":
            self.wrote |= {(record.id, name) for name in fields}

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
        keyed = law.NATURAL_KEYS[record.kind] if item in self.lineage.twins else ()
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
        self._typed(side, record, new)
        self.suspects.append((side, record, item, tuple(new) if self._unheard(record) else ()))

    def _answer_one(self) -> None:
        if rows := self._asked():
            self._answer(self.random.choice(rows))

    def answer_all(self) -> None:
        for row in self._asked():
            self._answer(row)

    def _asked(self) -> list[Row]:
        return [row for row in self.world.inner.scan(PLACE, *records.every("held")) if "asked" in row.value]

    def _answer(self, row: Row) -> None:
        """A person says that a change crosses, or takes it back: what the CRM holds then gives way with full knowledge."""
        answer: Literal["send", "discard"] = self.random.choice(("send", "discard"))
        name = row.key.removeprefix(records.held(""))
        self.world.counts[f"answered {answer}"] += waiting.say(self.world.inner, PLACE, name, answer)
        link = links.load(self.world.inner, PLACE, name.partition(".")[0])
        record = self.sides["crm"].records.get(link.crm.id) if link is not None else None
        if record is None or link is None or answer == "send":
            return
        for field, digest in row.value["asked"].items():
            value = law.field_of(link.kind, field).form(record.fields[field])
            if law.digest(DIGEST_KEY, link.key, field, value) == digest:
                given_up: str | None = token(value)
                while given_up:  # with all that led to it
                    given_up = self.lineage.parents.pop(given_up, None)

    def _unheard(self, record: Record) -> bool:
        """Whether we made this record where no key could be written, and its own link does not know it."""
        crm = self.sides["crm"]
        if crm.keyed or record.by != "us" or record.id not in crm.records:
            return False
        link = self.world.stored("crm", record.id)
        return link is None or link.key != links.key_of_item(record.key)

    def judge_suspects(self) -> None:
        """A new session begins: what was edited before the engine heard of its own write can now be named."""
        for side, record, item, names in self.suspects:
            if set(names) & set(law.LOOKUP[record.kind]) and self._unheard(record):
                self.lineage.excused[item] = f"{record.id}: {' and '.join(names)} changed before the answer was known"
            new, scalars = self.world.brought.get(record.id, (set(), {}))
            there = elements(record)
            seen = any(record.fields.get(name) == value for name, value in scalars.items())
            link = self.world.stored(side, record.id)
            if link is not None and link.announced and not new & there and not seen:
                self.lineage.unsure |= new
            pending = link is None or any(a.create and a.side == side for a in link.announced)
            if pending and record.kind == "event" and record.by == "us":
                # the people of an event come after its record, in a write of their own: the record proves nothing of them
                self.lineage.unsure |= self.lineage.removed.get(item, set()) - there
        self.suspects = []
