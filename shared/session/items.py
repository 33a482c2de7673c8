"""Items in step: the part of a session that carries events, contacts and tasks both ways.

Rules that hold here (design sections 3 to 5), in the order in which they happen:
- Unfinished announcements first, both ends read again; then pages of changes, one of either side at a time.
- Every write is announced in the link's row before it is made; the commit after the answer sets the new bases, clears the
  announcements and, for the last links of a page, carries the page's cursor.
- A base is what was read, or what was sent narrowed; never a read-back. A version comes from the write's own answer.
- Stale is read again and planned again, three times; what is still stale then waits for the next session, announced.
- An item whose planning fails in our own code is held with its place; more than 20 and 5 % of a
  session's items rise to the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.core import brake
from shared.core.errors import Bug, CursorExpired, Gone, ItemError, Stale
from shared.core.model import SIDES, End, Link, Seen, Side, other
from shared.core.plan import Plan, made_from, plan
from shared.ports import MAX_COMMIT, Delete, Ledger, LedgerEntry, Provider, Put, Send, Sent, Write
from shared.session import links, records
from shared.session.bugs import BugCount
from shared.session.lease import Held
from shared.session.run import PartReport

TRIES = 4  # the first plan and three more after Stale
HELD_RETRY_S = 6 * 3600.0


@dataclass
class Work:
    """One link in hand: as stored (None = new), as it is now, what was seen of its ends, and the plan."""

    link: Link
    stored: Link | None
    seen: dict[Side, Seen] = field(default_factory=dict)
    plan: Plan | None = None
    inferred: bool = False


class ItemSync:
    """Two-way sync of the given kinds between a mailbox and a CRM. `digest_key` is the tenant's."""

    name = "items"

    def __init__(
        self, kinds: Sequence[str], sides: Mapping[Side, Provider], ledger: Ledger, *, mailbox: str, digest_key: bytes
    ) -> None:  # fmt: skip
        self._kinds, self._sides, self._ledger = kinds, sides, ledger
        self._mailbox, self._digest_key = mailbox, digest_key
        self._bugs = BugCount()  # of this session

    def run(self, held: Held) -> PartReport:
        found = 0
        for kind in self._kinds:
            self._finish_open(held, kind)
            for side in SIDES:
                for page_found in self._pull(held, kind, side):
                    found += page_found
                    if held.spent():
                        return PartReport(found, again=True)
        return PartReport(found)

    # what there is to do

    def _finish_open(self, held: Held, kind: str) -> None:
        due, waiting = self._held_items(held, kind)
        found = {link.key: link for link in links.unfinished(held.store, held.place, kind) if link.key not in waiting}
        found |= {link.key: link for link in due}
        works = [Work(link, link) for link in found.values()]
        for start in range(0, len(works), 200):
            batch = works[start : start + 200]
            self._read_again(kind, batch)
            self._carry_out(held, kind, batch, ())

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
        taken: set[str] = set()  # twins adopted in this page
        for one in seen:
            link = links.by_id(held.store, held.place, side, one.id)
            if link is None and one.key:
                link = self._own(held, side, one)
            stored, twin = link, None
            if link is None:
                link, twin = self._new(held, kind, side, one, taken)
            elif link.end(side).version == one.version and not link.announced and one.item is not None:
                continue  # an echo, or a replay: nothing to look at
            elif (link := self._state(held, link, side, one)) is None:
                continue
            if link is None:
                continue
            work = works.setdefault(link.key, Work(link, stored))
            work.link, work.seen[side] = link, one
            if twin is not None:
                taken.add(twin.id)
                work.seen[other(side)] = twin
        # what is not finished is decided with both ends at hand
        self._read_again(kind, [work for work in works.values() if work.link.announced])
        return list(works.values())

    def _own(self, held: Held, side: Side, one: Seen) -> Link | None:
        """The link whose unfinished create made this item."""
        link = links.load(held.store, held.place, links.key_of_item(one.key))
        return link if link is not None and not link.end(side).id and links.item_key(link) == one.key else None

    def _new(self, held: Held, kind: str, side: Side, one: Seen, taken: set[str]) -> tuple[Link | None, Seen | None]:
        """A link for an item nobody linked yet, with the twin it adopts, if there is one."""
        if one.item is None or not one.marked:
            return None, None
        key = links.link_key(self._mailbox, kind, side, one.id)
        link = Link(key, kind, rule="created", **{side: End(one.id, one.version)})  # type: ignore[arg-type]
        for twin in self._sides[other(side)].twins(one.item):
            if twin.id in taken or twin.key:
                continue
            if links.by_id(held.store, held.place, other(side), twin.id) is None:
                return replace(link, rule="adopted", **{other(side): End(twin.id)}), twin  # type: ignore[arg-type]
        return link, None

    def _state(self, held: Held, link: Link, side: Side, one: Seen) -> Link | None:
        """The link if it is to be planned; marks and severed states are dealt with here."""
        if link.state == "severed":
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
        if side == "mail" and one.item is not None and one.marked != (link.state != "paused"):
            link = replace(link, state="live" if one.marked else "paused", rule="marked" if one.marked else "unmarked")
        if link.state == "paused":
            held.commit(links.writes(link, before=link))
            return None
        return link

    def _absent(self, held: Held, kind: str, side: Side, listed: set[str], known: set[str]) -> list[Work]:
        """Links that a completed listing did not name, each confirmed by a read before it counts as deleted."""
        missing = [
            link
            for link in links.every(held.store, held.place, kind)
            if link.end(side).id and link.key not in known and links.hash_of(link.end(side).id) not in listed
        ]
        works = []
        for start in range(0, len(missing), 200):
            batch = missing[start : start + 200]
            confirmed = self._sides[side].read(kind, [link.end(side).id for link in batch])
            for link in batch:
                one = confirmed[link.end(side).id]
                if (planned := self._state(held, link, side, one)) is not None:
                    works.append(Work(planned, link, {side: one}, inferred=True))
        return works

    def _brake(self, held: Held, kind: str, side: Side, works: Sequence[Work], *, empty: bool) -> None:
        gone = [work for work in works if side in work.seen and work.seen[side].item is None]
        if len(gone) <= brake.EMPTY_LISTING:
            return
        if held.store.get(held.place, f"confirm_{side}_{kind}") is not None:
            return
        count = sum(1 for _ in links.every(held.store, held.place, kind))
        if brake.holds(len(gone), count, inferred=any(work.inferred for work in gone), empty_listing=empty):
            for work in gone:
                work.link = replace(work.link, gone=side, rule="held.deletes")
                work.seen.clear()
                self._note(held, work.link, "held.deletes", side)

    # doing it

    def _carry_out(self, held: Held, kind: str, works: Sequence[Work], last: Sequence[Write]) -> None:
        pending = [work for work in works if work.link.rule != "held.deletes"]
        done: list[list[Write]] = [links.writes(w.link, before=w.stored) for w in works if w.link.rule == "held.deletes"]
        for _ in range(TRIES):
            pending = self._planned(held, pending, done)
            self._announce(held, pending)
            stale = self._write(held, kind, pending, done)
            if not stale:
                pending = []
                break
            self._read_again(kind, stale)
            pending = stale
        self._commit(held, done, last)

    def _planned(self, held: Held, works: Sequence[Work], done: list[list[Write]]) -> list[Work]:
        planned = []
        for work in works:
            self._bugs.decided += 1
            try:
                work.plan = self._plan(work)
                planned.append(work)
            except Exception as problem:
                if not self._bugs.bearable(problem):
                    raise
                done.append(self._hold(held, work, Bug.of(problem)))
        return planned

    def _plan(self, work: Work) -> Plan:
        link, seen = work.link, work.seen
        for side in SIDES:
            if not link.end(side).id and side not in seen:  # the other side's item is still to be made
                source = seen.get(other(side))
                if source is None or source.item is None:
                    return Plan("end", "deleted.before_created")
                return made_from(link, other(side), source.item.fields, self._digest_key, rule=link.rule or "created")
        return plan(link, seen.get("mail"), seen.get("crm"), self._digest_key)

    def _announce(self, held: Held, works: Sequence[Work]) -> None:
        batch: list[Write] = []
        for work in works:
            assert work.plan is not None
            if not work.plan.writes:
                continue
            before, link = work.stored, work.link
            create = not link.end(work.plan.target).id if work.plan.target else False
            if work.plan.verb == "revive" and work.plan.target:
                create = True
                link = replace(link, generation=link.generation + 1, gone="", **{work.plan.target: End()})  # type: ignore[arg-type]
            if create and work.plan.target:
                link = replace(link, made=work.plan.target)
            work.link = replace(link, announced=(*link.announced, *work.plan.announcements(create=create)))
            more = links.writes(work.link, before=before)
            if len(batch) + len(more) > MAX_COMMIT - 1:
                held.commit(batch)
                batch = []
            batch += more
            work.stored = work.link
        if batch:
            held.commit(batch)

    def _write(self, held: Held, kind: str, works: Sequence[Work], done: list[list[Write]]) -> list[Work]:
        """Makes the writes of all plans; answers the works that met somebody else's change."""
        answers: dict[str, dict[Side, Sent]] = {work.link.key: {} for work in works}
        stale: dict[str, Work] = {}
        failed: dict[str, ItemError] = {}
        for side in SIDES:
            sends = [(work, send) for work in works if (send := self._send(work, side)) is not None]
            for start in range(0, len(sends), 200):
                batch = sends[start : start + 200]
                for (work, _), answer in zip(batch, self._sides[side].write([send for _, send in batch]), strict=True):
                    if isinstance(answer, Sent):
                        answers[work.link.key][side] = answer
                    elif isinstance(answer, (Stale, Gone)):
                        stale[work.link.key] = work
                        work.link = _taken_back(work.link, side)
                    else:
                        failed[work.link.key] = answer
                        work.link = _taken_back(work.link, side)
                held.extend()
        for work in works:
            if work.link.key in failed:
                done.append(self._hold(held, work, failed[work.link.key]))
            elif work.link.key not in stale:
                done.append(self._landed(held, work, answers[work.link.key]))
        return [work for key, work in stale.items() if key not in failed]

    def _send(self, work: Work, side: Side) -> Send | None:
        assert work.plan is not None
        link, end = work.link, work.link.end(side)
        version = work.seen[side].version if side in work.seen else end.version
        if fields := work.plan.writes.get(side):
            if not end.id:
                return Send("create", link.kind, fields=fields, key=links.item_key(link))
            return Send("patch", link.kind, end.id, version, fields)
        if work.plan.target != side:
            return None
        if work.plan.verb == "delete":
            return Send("delete", link.kind, end.id, version)
        if work.plan.verb == "sever" and side == "mail":
            return Send("unmark", link.kind, end.id, version)
        return None

    def _landed(self, held: Held, work: Work, answers: Mapping[Side, Sent]) -> list[Write]:
        assert work.plan is not None
        link, decided = work.link, work.plan
        if decided.verb == "end" or (decided.verb == "delete" and decided.target in answers):
            self._note(held, link, decided.rule)
            return links.removal(work.stored) if work.stored is not None else []
        ends: dict[str, End] = {}
        for side in SIDES:
            end, one = link.end(side), work.seen.get(side)
            item_id, version = (one.id, one.version) if one is not None and one.item is not None else (end.id, end.version)
            if side in answers:
                item_id, version = answers[side].id, answers[side].version
            ends[side] = End(item_id, version, decided.bases.get(side, end.base))
        rule = decided.rule if decided.rule != "same" else link.rule
        link = replace(link, announced=(), rule=rule, gone="", mail=ends["mail"], crm=ends["crm"])
        if decided.verb == "sever":
            gone = other(decided.target) if decided.target else "mail"
            link = replace(link, state="severed", **{gone: replace(link.end(gone), version="gone")})  # type: ignore[arg-type]
        if decided.writes or decided.verb == "sever":
            self._note(held, link, decided.rule, fields=tuple(sorted({n for f in decided.writes.values() for n in f})))
        for name, winner in decided.conflicts.items():
            self._note(held, link, "conflict", winner, (name,))
        return links.writes(link, before=work.stored)

    def _commit(self, held: Held, done: Sequence[list[Write]], last: Sequence[Write]) -> None:
        """Transactions that never split a link; the cursor rides in the last."""
        batch: list[Write] = []
        for group in done:
            if len(batch) + len(group) + len(last) > MAX_COMMIT - 1:
                held.commit(batch)
                batch = []
            batch += group
        if batch or last:
            held.commit([*batch, *last])

    # what stays behind

    def _read_again(self, kind: str, works: Sequence[Work]) -> None:
        for side in SIDES:
            ids = [work.link.end(side).id for work in works if work.link.end(side).id]
            keys = {links.item_key(w.link): w for w in works if not w.link.end(side).id and w.link.announced}
            read = self._sides[side].read(kind, ids) if ids else {}
            own = self._sides[side].find(kind, list(keys)) if keys else {}
            for work in works:
                if (item_id := work.link.end(side).id) in read:
                    work.seen[side] = read[item_id]
                elif (one := own.get(links.item_key(work.link))) is not None and not item_id:
                    work.seen[side] = one
                    work.link = replace(work.link, **{side: End(one.id)})  # type: ignore[arg-type]

    def _hold(self, held: Held, work: Work, problem: ItemError) -> list[Write]:
        place = problem.place if isinstance(problem, Bug) else ""
        retry = records.text_of(held.now())
        self._note(held, work.link, problem.code, fields=getattr(problem, "fields", ()))
        row = records.row(code=problem.code, place=place, kind=work.link.kind, since=retry)
        link = replace(work.link, rule=problem.code)  # what was announced before and may have landed stays known
        return [*links.writes(link, before=work.stored), Put(records.held(link.key), row)]

    def _held_items(self, held: Held, kind: str) -> tuple[list[Link], set[str]]:
        """(links of held items whose time has come, keys of those that still wait)."""
        due, waiting = [], set()
        for row in list(held.store.scan(held.place, *records.every("held"))):
            value, key = records.read(row), row.key.removeprefix("held_")
            age = (held.now() - records.moment_of(value["since"])).total_seconds()
            if age < HELD_RETRY_S:
                waiting.add(key)
            elif value["kind"] == kind:
                held.commit([Delete(row.key, row.etag)])
                if (link := links.load(held.store, held.place, key)) is not None:
                    due.append(link)
        return due, waiting

    def _note(self, held: Held, link: Link, rule: str, side: str = "", fields: tuple[str, ...] = ()) -> None:
        self._ledger.note(LedgerEntry(link.key, link.kind, rule, held.now(), held.session_id, side, fields))


def _taken_back(link: Link, side: Side) -> Link:
    """The link without its last announcement to `side`: the provider said that the write was not made."""
    for position in range(len(link.announced) - 1, -1, -1):
        if link.announced[position].side == side:
            return replace(link, announced=(*link.announced[:position], *link.announced[position + 1 :]))
    return link
