"""The two sides and the sync of a history: the product's own, but they tell the world what they see and do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shared.core import fields as law
from shared.core.errors import CursorExpired, ItemError
from shared.core.item_scope import Judged
from shared.core.model import SIDES, Link, Seen, Side, Value, other
from shared.core.plan import Plan, Terms, classify
from shared.ports import Page, Place, Send, Sent, TenantId
from shared.session import links
from shared.session.item_work import Work
from shared.session.items import ItemSync
from shared.session.lease import Held
from shared.store.providers import MemorySide
from tests.property.lineage import token

if TYPE_CHECKING:
    from tests.property.world import World

DIGEST_KEY = b"d" * 32
PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
KINDS = ("note", "card", "event")


class WorldScope:
    """What is marked is ours. Of every third event others see the changes: those of the CRM wait for a person."""

    def __init__(self, world: World) -> None:
        self.world = world

    def judged(self, side: Side, seen: Seen) -> Judged:
        ours = side == "crm" or seen.marked
        return Judged(ours, "created" if ours else "skipped.not_marked")

    user = ""

    def owns(self, crm: Seen) -> bool:
        return True

    def gave_away(self, link: Link, crm: Seen) -> bool:
        return False

    def rests(self, link: Link, seen: Seen) -> str:
        return "unmarked" if link.marked and not seen.marked else ""

    def is_over(self, link: Link) -> bool:
        return False

    def unsynced(self, seen: Seen) -> bool:
        return False

    def shown(self, link: Link | None, mail: Seen) -> Seen:
        return mail

    def terms(self, link: Link, mail: Seen | None) -> Terms:
        if link.kind != "event" or mail is None or mail.item is None:
            return Terms()
        texts = [value for value in mail.item.fields.values() if isinstance(value, str)]
        if self.world.lineage.item_of[token(texts[0])] % 3:
            return Terms()
        return Terms(waits={one.name: "held.approval" for one in law.KINDS["event"] if one.others_see})


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
        if isinstance(answer, Sent) and self.side == "mail":
            self._watch_careful(send, answer.id, before)
        if send.verb == "patch" and isinstance(answer, Sent) and not self.world.calm:
            self._brought(send.id, before)
        return answer

    def _watch_careful(self, send: Send, item_id: str, before: Mapping[str, Value]) -> None:
        """What a person wrote into a field that is handled with care may be added to, and never replaced."""
        for name in send.fields:
            if not law.field_of(send.kind, name).careful or name in send.above:
                continue
            if before.get(name) and (item_id, name) in self.world.users.wrote:
                self.world.defects.append(f"overwritten: {name} of {item_id}, which a person had written")
            self.world.users.wrote.discard((item_id, name))

    def _brought(self, item_id: str, before: Mapping[str, Value]) -> None:
        """Remembers what a patch of ours changed."""
        record = self.records[item_id]
        new = {e for name, v in record.fields.items() if isinstance(v, tuple) for e in set(v) - set(before.get(name, ()))}
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
