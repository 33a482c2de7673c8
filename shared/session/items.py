"""Items in step: the part of a session that carries events, contacts and tasks both ways.

Rules that hold here (design sections 3 to 5), in the order in which they happen:
- Unfinished announcements first, both ends read again, with what was held and is due, and the deletions a person confirmed;
  then pages of changes, one of either side at a time. How links are decided and written: `session/item_writing.py`.
- The cursor rides in the last commit of its page, never before; a dead one begins a full listing.
- Only a completed listing may turn absence into a deletion, after a read that confirms it; many at once meet the brake
  (`session/deletes.py`).
- Where items carry no key of ours, an item that may be the fruit of an unfinished create is nobody's until that is settled.
- Rows are read side by side, a page's at once, never one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import batched
from typing import Any

from shared.core.errors import CursorExpired
from shared.core.model import SIDES, End, Link, Seen, Side, other
from shared.ports import Delete, Ledger, Provider, Put
from shared.session import deletes, links, records, waiting
from shared.session.item_writing import BATCH, ItemWriting, Work, created
from shared.session.lease import Held
from shared.session.run import PartReport

BATCH_ROWS = 50


class ItemSync(ItemWriting):
    """Two-way sync of the given kinds between a mailbox and a CRM. `digest_key` is the tenant's."""

    name = "items"

    def __init__(
        self, kinds: Sequence[str], sides: Mapping[Side, Provider], ledger: Ledger, *, mailbox: str, digest_key: bytes
    ) -> None:  # fmt: skip
        super().__init__(sides, ledger, digest_key)
        self._kinds, self._mailbox = kinds, mailbox
        self._health = ""

    def run(self, held: Held) -> PartReport:
        found = 0
        for kind in self._kinds:
            self._finish_open(held, kind)
            for side in SIDES:
                for page_found in self._pull(held, kind, side):
                    found += page_found
                    if held.spent():
                        return PartReport(found, again=True, health=self._health)
        return PartReport(found, health=self._health)

    # what there is to do

    def _finish_open(self, held: Held, kind: str) -> None:
        due, still = self._held_items(held, kind)
        works = {link.key: Work(link, link) for link in links.unfinished(held.store, held.place, kind) if link.key not in still}
        works |= due
        self._at_rest(held, kind, [work for work in works.values() if work.link.state != "live"])
        live = [work for work in works.values() if work.link.state == "live"]
        self._read_again(held, kind, [work for work in live if not work.link.announced])
        self._carry_out(held, kind, live, ())
        confirmed = deletes.confirmed(held, kind)
        self._health = self._health or confirmed.health
        if confirmed.words:
            let_go = [Work(replace(link, gone="", rule="same"), link) for link in confirmed.links]
            self._at_rest(held, kind, [work for work in let_go if work.link.state != "live"])
            live = [work for work in let_go if work.link.state == "live"]
            self._read_again(held, kind, live)
            self._carry_out(held, kind, live, confirmed.words)

    def _at_rest(self, held: Held, kind: str, works: Sequence[Work]) -> None:
        """What was paused or severed while it was held or unfinished is written no more; a paused one goes on when marked."""
        done = []
        for work in works:
            link = replace(work.link, announced=()) if work.link.state == "severed" else work.link
            if link != work.stored or work.also:
                done.append([*links.writes(link, before=work.stored), *work.also])
        self._commit(held, kind, done, ())

    def _pull(self, held: Held, kind: str, side: Side) -> Iterator[int]:
        key = records.cursor(side, kind)
        row = held.store.get(held.place, key)
        state: dict[str, Any] = dict(records.read(row)) if row is not None else {}
        cursor: str | None = state.get("cursor")
        while True:
            try:
                page = self._sides[side].changes(kind, cursor)
            except CursorExpired:
                cursor = None
                state.pop("listed", None)
                continue
            works = self._works(held, kind, side, page.seen)
            if page.listing:
                state["listed"] = [*state.get("listed", ()), *(links.hash_of(seen.id) for seen in page.seen)]
            if page.listing and page.done:
                works += self._absent(held, kind, side, set(state.pop("listed")), {work.link.key for work in works})
            self._brake(held, kind, side, works, empty=page.listing and page.done and not page.seen)
            # the cursor rides in the last commit of its page, never before
            value = records.row(cursor=page.cursor, **({"listed": state["listed"]} if "listed" in state else {}))
            unchanged = row is not None and dict(records.read(row)) == value
            self._carry_out(held, kind, works, () if unchanged else (Put(key, value),))
            held.count(len(page.seen))
            yield len(works)
            cursor, row = page.cursor, None
            if page.done:
                return

    def _works(self, held: Held, kind: str, side: Side, seen: Sequence[Seen]) -> list[Work]:
        works: dict[str, Work] = {}
        new: list[tuple[Work, Seen]] = []
        known = links.by_ids(held.store, held.place, side, [one.id for one in seen])
        own = self._own(held, side, [one for one in seen if one.key and one.id not in known])
        undecided = self._undecided(held, kind, side)
        for one in seen:
            stored = known.get(one.id) or own.get(one.id)
            if stored is None:
                if one.item is None or not one.marked or any(self._is_of(link, side, one) for link in undecided):
                    continue
                key = links.link_key(self._mailbox, kind, side, one.id)
                link: Link | None = Link(key, kind, rule="created", **{side: End(one.id, one.version)})  # type: ignore[arg-type]
            elif stored.end(side).version == one.version and not stored.announced and one.item is not None:
                continue  # an echo, or a replay: nothing to look at
            else:
                link = self._state(held, stored, side, one)
            if link is None:
                continue
            work = works.setdefault(link.key, Work(link, stored))
            work.link, work.seen[side] = link, one
            if stored is None:
                new.append((work, one))
        self._twins(held, kind, side, new)
        return list(works.values())

    def _own(self, held: Held, side: Side, keyed: Sequence[Seen]) -> dict[str, Link]:
        """The links whose unfinished creates made these items, by the item's id."""
        found = links.many(held.store, held.place, [links.key_of_item(one.key) for one in keyed])
        mine = {one.id: found.get(links.key_of_item(one.key)) for one in keyed}
        keys = {one.id: one.key for one in keyed}
        return {
            item_id: link
            for item_id, link in mine.items()
            if link is not None and not link.end(side).id and links.item_key(link) == keys[item_id]
        }

    def _undecided(self, held: Held, kind: str, side: Side) -> list[Link]:
        """Links whose create on this side may have happened, where no key would tell."""
        if self._sides[side].keyed:
            return []
        open_links = links.unfinished(held.store, held.place, kind)
        return [link for link in open_links if not link.end(side).id and created(link, side)]

    def _twins(self, held: Held, kind: str, side: Side, new: Sequence[tuple[Work, Seen]]) -> None:
        """Lets new links adopt what stands on the other side already and is linked to nothing."""
        if not new:
            return
        there = other(side)
        offered = self._sides[there].twins([one.item for _, one in new if one.item is not None])
        linked = links.by_ids(held.store, held.place, there, [twin.id for twins in offered for twin in twins])
        undecided = self._undecided(held, kind, there)
        taken: set[str] = set()
        for (work, _), twins in zip(new, offered, strict=True):
            for twin in twins:
                if twin.id in taken or twin.id in linked or twin.key:
                    continue
                if any(self._is_of(link, there, twin) for link in undecided):
                    continue
                work.link = replace(work.link, rule="adopted", **{there: End(twin.id)})  # type: ignore[arg-type]
                work.seen[there] = twin
                self._note(held, work.link, "adopted", there)
                taken.add(twin.id)
                break

    def _state(self, held: Held, stored: Link, side: Side, one: Seen) -> Link | None:
        """The link if it is to be planned; marks and severed states are dealt with here."""
        if stored.state == "severed":
            return self._severed(held, stored, side, one)
        link = stored
        if side == "mail" and one.item is not None and one.marked != (link.state != "paused"):
            link = replace(link, state="live" if one.marked else "paused", rule="marked" if one.marked else "unmarked")
        if link.gone == side and one.item is not None:
            link = replace(link, gone="", rule="same")  # it is back
        if link.state == "paused":
            held.commit(links.writes(link, before=stored))
            return None
        return link

    def _severed(self, held: Held, link: Link, side: Side, one: Seen) -> Link | None:
        """A severed link ends when both ends are gone, and goes on anew when a person marks the item by hand."""
        if one.item is None:
            rest = replace(link, **{side: replace(link.end(side), version="gone")})  # type: ignore[arg-type]
            both = all(rest.end(s).version == "gone" or not rest.end(s).id for s in SIDES)
            held.commit(links.removal(link) if both else links.writes(rest, before=link))
            return None
        by_hand = side == "mail" and one.marked and link.rule == "deleted.crm"
        if by_hand and link.end(side).version != one.version:
            fresh = replace(link, state="live", rule="marked_again", generation=link.generation + 1)
            return replace(fresh, crm=End(), announced=())
        return None

    def _absent(self, held: Held, kind: str, side: Side, listed: set[str], known: set[str]) -> list[Work]:
        """Links that a completed listing did not name, each confirmed by a read before it counts as deleted."""
        missing = [
            link
            for link in links.every(held.store, held.place, kind)
            if link.end(side).id and link.key not in known and links.hash_of(link.end(side).id) not in listed
        ]
        works = []
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            confirmed = self._sides[side].read(kind, [link.end(side).id for link in batch])
            for link in batch:
                one = confirmed[link.end(side).id]
                if (planned := self._state(held, link, side, one)) is not None:
                    works.append(Work(planned, link, {side: one}, inferred=True))
        return works

    def _brake(self, held: Held, kind: str, side: Side, works: Sequence[Work], *, empty: bool) -> None:
        gone = [work for work in works if side in work.seen and work.seen[side].item is None]
        if not deletes.stopped(held, kind, gone=len(gone), inferred=any(work.inferred for work in gone), empty=empty):
            return
        self._health = deletes.HEALTH
        for work in gone:
            if work.link.gone != side:
                work.link = replace(work.link, gone=side, rule="held.deletes")
                self._note(held, work.link, "held.deletes", side)

    def _held_items(self, held: Held, kind: str) -> tuple[dict[str, Work], set[str]]:
        """(held items whose time has come, by link; keys of those that still wait)."""
        due: dict[str, tuple[str, ...]] = {}
        still = set()
        for row in list(held.store.scan(held.place, *records.every("held"))):
            value = records.read(row)
            if value["kind"] != kind:
                continue
            key, _, field_only = row.key.removeprefix(records.held("")).partition(".")
            age = (held.now() - records.moment_of(value["since"])).total_seconds()
            if age >= value.get("wait_s", waiting.RETRY_S):
                due[key] = (*due.get(key, ()), row.key)
            elif not field_only:
                still.add(key)
        found = links.many(held.store, held.place, list(due))
        for some in batched((row for key, rows in due.items() if key not in found for row in rows), BATCH_ROWS, strict=False):
            held.commit([Delete(row) for row in some])  # the link ended meanwhile
        return {key: _due(link, due[key]) for key, link in found.items() if key not in still}, still


def _due(link: Link, rows: Sequence[str]) -> Work:
    """A held item that is tried again: its held row goes with the decision; what two systems insisted on is decided anew."""
    again = replace(link, insists={}, turns={}) if links.insisting(link.key) in rows else link
    return Work(again, link, also=tuple(Delete(row) for row in rows if row != links.insisting(link.key)))
