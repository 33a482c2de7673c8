"""The two sides and the sync of a history: the product's own, but they tell the world what they see and do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shared.core.errors import CursorExpired, ItemError
from shared.core.model import SIDES, Side, Value, other
from shared.core.plan import Plan, classify
from shared.ports import Page, Send, Sent
from shared.session import links
from shared.session.item_writing import Work
from shared.session.items import ItemSync
from shared.session.lease import Held
from shared.store.providers import MemorySide

if TYPE_CHECKING:
    from tests.property.world import World

DIGEST_KEY = b"d" * 32
KINDS = ("note", "card")


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
