"""Items in step: the part of a session that carries events, contacts and tasks both ways.

Rules that hold here (design sections 3 to 5), in the order in which they happen:
- Unfinished announcements first, both ends read again, with what was held and is due, and the deletions a person confirmed;
  then pages of changes, one of either side at a time. How links are decided and written: `session/item_writing.py`.
- The cursor rides in the last commit of its page, never before; a dead one begins a full listing.
- Only a completed listing may turn absence into a deletion, after a read that confirms it; many at once meet the brake
  (`session/deletes.py`). The whole of a series inside its window is such a listing too, and counts as one.
- What is linked to nothing is judged first (`core.item_scope`); what is not ours is left alone and the ledger says why. Where a
  page does not tell our keys, what would become new is read before: it may be our own.
- Where items carry no key of ours, an item that may be the fruit of an unfinished create is nobody's until that is settled.
- Rows are read side by side, a page's at once, never one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import batched
from typing import Any

from shared.core.errors import Bug, ConsentNeeded, CursorExpired, ItemError, RowChanged, bug_or
from shared.core.item_scope import Judged
from shared.core.keys import item_key
from shared.core.model import SIDES, End, Link, Seen, Side, other
from shared.ports import MAX_COMMIT, Delete, Ledger, Page, Provider, Put
from shared.session import deletes, links, records, waiting
from shared.session.item_claims import ItemClaims
from shared.session.item_work import People, Scope, Work, created
from shared.session.item_writing import BATCH, ItemWriting
from shared.session.lease import Held
from shared.session.run import PartReport

BATCH_ROWS = 50
#: Why a link was severed although its record stands.
STANDS = frozenset(
    (
        "unsync",
        "unsync.others_hold",
        "deleted.mail.not_ours",
        "deleted.mail.others_hold",
        "deleted.mail.not_ours.others_hold",
        "deleted.mail.past",
        "deleted.mail.past.others_hold",
    )
)
#: Rules by which an item of the mailbox is no pair for a record that comes down, whatever it looks like.
NO_TWIN = frozenset(("skipped.unsync", "skipped.private", "skipped.window", "skipped.declined", "skipped.blocked"))


class ItemSync(ItemWriting):
    """Two-way sync of the given kinds between a mailbox and a CRM. `digest_key` is the tenant's."""

    name = "items"

    def __init__(
        self, kinds: Sequence[str], sides: Mapping[Side, Provider], ledger: Ledger, *, mailbox: str, digest_key: bytes,
        scope: Scope, claims: ItemClaims | None = None, people: People | None = None, secret: bytes = b"",
    ) -> None:  # fmt: skip
        """`secret` keys what stands for a uid; it must be the same for every mailbox of the org."""
        super().__init__(sides, ledger, digest_key, scope, claims, people)
        self._kinds, self._mailbox, self._secret = kinds, mailbox, secret
        self._health = ""

    def run(self, held: Held) -> PartReport:
        try:
            return self._run(held)
        except (ConsentNeeded, ItemError) as refused:  # of the whole kind: what else the mailbox syncs goes on
            return PartReport(health=refused.code)

    def _run(self, held: Held) -> PartReport:
        found = 0
        for kind in self._kinds:
            self._finish_open(held, kind)
            for side in SIDES:
                for page_found in self._pull(held, kind, side):
                    found += page_found
                    if held.spent():
                        return PartReport(found, again=True, health=self._health)
        return PartReport(found, again_after_s=min(self._again_after, default=None), health=self._health)

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
            link = replace(work.link, waits={})
            link = replace(link, announced=()) if link.state == "severed" else link
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
            works = self._works(held, kind, side, page)
            empty = page.listing and page.done and not page.seen and not state.get("listed")
            if page.listing:
                state["listed"] = [*state.get("listed", ()), *(links.hash_of(seen.id) for seen in page.seen)]
            else:
                works += self._gone_of_series(held, kind, side, page, {work.link.key for work in works})
            if page.listing and page.done:
                works += self._absent(held, kind, side, set(state.pop("listed")), {work.link.key for work in works})
            told = len(works)
            works = [work for work in works if not self._says_nothing(work)]
            silent = told - len(works)
            self._brake(held, kind, side, works, empty=empty)
            # the cursor rides in the last commit of its page, never before
            value = records.row(cursor=page.cursor, **({"listed": state["listed"]} if "listed" in state else {}))
            unchanged = row is not None and dict(records.read(row)) == value
            self._carry_out(held, kind, works, () if unchanged else (Put(key, value),))
            self._take_off(held, page.after)
            held.count(len(page.seen) - silent)
            yield len(works)
            cursor, row = page.cursor, None
            if page.done:
                return

    def _take_off(self, held: Held, told: Sequence[Delete]) -> None:
        """Removes the rows that told of a page; what was told again meanwhile stays for the next one."""
        for some in batched(told, MAX_COMMIT - 1, strict=False):
            try:
                held.commit(some)
            except RowChanged:
                for one in some:
                    with suppress(RowChanged):
                        held.commit([one])

    def _works(self, held: Held, kind: str, side: Side, page: Page) -> list[Work]:
        works: dict[str, Work] = {}
        known = links.by_ids(held.store, held.place, side, [one.id for one in page.seen])
        unlinked = [one for one in page.seen if one.id not in known and one.item is not None]
        fresh = {one.id: one for one in self._with_keys(kind, side, unlinked, tells_keys=page.tells_keys)}
        known |= self._own(held, side, [one for one in fresh.values() if one.key])
        undecided = self._undecided(held, kind, side)
        new: list[tuple[Work, Seen]] = []
        for seen in page.seen:
            one = fresh.get(seen.id, seen)
            stored = known.get(one.id)
            if stored is None:
                if one.id not in fresh or any(self._is_of(link, side, one) for link in undecided):
                    continue
                if (began := self._begun(held, kind, side, one, listing=page.listing)) is not None:
                    new.append((began, one))
                continue
            if stored.end(side).version == one.version and not stored.announced and one.item is not None:
                continue  # an echo, or a replay: nothing to look at
            self._known(held, works, stored, side, one)
        for work, one in self._adopting(held, kind, side, self._first_of_their_key(held, works, new)):
            work.seen[side] = one
            works[work.link.key] = work
        return list(works.values())

    def _with_keys(self, kind: str, side: Side, unlinked: Sequence[Seen], *, tells_keys: bool) -> Sequence[Seen]:
        """What is linked to nothing, with our keys: what would become new is read where the page does not tell them. An
        occurrence is never of our making."""
        if tells_keys:
            return unlinked
        wanted = [one.id for one in unlinked if not one.facts.group and self._may_be_wanted(side, one)]
        read: dict[str, Seen] = {}
        for some in batched(wanted, BATCH, strict=False):
            read |= self._sides[side].read(kind, some)
        fresh = [read.get(one.id, one) for one in unlinked]
        return [one for one in fresh if one.item is not None]

    def _may_be_wanted(self, side: Side, one: Seen) -> bool:
        judged = bug_or(lambda: self._scope.judged(side, one))
        return isinstance(judged, Bug) or self._is_wanted(judged)

    @staticmethod
    def _is_wanted(judged: Judged) -> bool:
        return judged.save or judged.pair

    def _begun(self, held: Held, kind: str, side: Side, one: Seen, *, listing: bool) -> Work | None:
        """A new link's work, or None with the rule in the ledger. `work.unpaired`: the rule where no pair is found."""
        judged = self._bugs.guard(lambda: self._scope.judged(side, one))
        key = self._claim_key(kind, one.facts.uid) if side == "mail" else ""
        end = {side: End(one.id, one.version)}
        link = Link(
            key or links.link_key(self._mailbox, kind, side, one.id), kind, rule=getattr(judged, "rule", "held.bug"), claim=key,
            group=links.hash_of(one.facts.group) if one.facts.group else "", marked=side == "mail" and one.marked, **end,  # type: ignore[arg-type]
        )  # fmt: skip
        if isinstance(judged, Bug):
            return Work(link, None, problem=judged)
        if not self._is_wanted(judged):
            if side == "mail" or not listing:  # a listing of the CRM is everything a user ever had there
                self._note(held, link, judged.rule, side)
            return None
        return Work(link, None, unpaired="" if judged.save else judged.rule)

    def _first_of_their_key(
        self, held: Held, works: dict[str, Work], new: Sequence[tuple[Work, Seen]]
    ) -> list[tuple[Work, Seen]]:
        """Without those whose key a link has already: the same meeting stands twice here, or was taken out of step."""
        there = links.many(held.store, held.place, [work.link.key for work, _ in new if work.link.claim])
        taken, first = {*there, *works}, []
        for work, one in new:
            stored = there.get(work.link.key)
            if stored is not None and self._took_its_place(held, works, stored, one):
                continue
            if work.link.key in taken:
                self._note(held, work.link, "skipped.known", "mail")
                continue
            taken.add(work.link.key)
            first.append((work, one))
        return first

    def _took_its_place(self, held: Held, works: dict[str, Work], stored: Link, one: Seen) -> bool:
        """A calendar may replace a copy by another of the same name: the link goes on with the new one, where the old one is
        gone; one that a person marks by hand ends what was severed."""
        work = works.get(stored.key)
        old = work.seen.get("mail") if work is not None else None
        if old is None and stored.mail.id:
            old = self._sides["mail"].read(stored.kind, [stored.mail.id])[stored.mail.id]
        if old is not None and old.item is not None:
            return False
        link = replace(stored, mail=replace(stored.mail, id=one.id, version=""))
        if stored.state != "severed":
            works[stored.key] = Work(replace(link, gone=""), stored, {**(work.seen if work else {}), "mail": one})
            return True
        again = self._severed(held, link, "mail", one) if one.marked else None
        if again is not None:
            works[stored.key] = Work(again, stored, {"mail": one})
        return again is not None

    def _known(self, held: Held, works: dict[str, Work], stored: Link, side: Side, one: Seen) -> None:
        """The work about a linked item, where there is any."""
        link = self._bugs.guard(lambda: self._state(held, stored, side, one))
        if isinstance(link, Bug):
            works[stored.key] = Work(stored, stored, {side: one}, problem=link)
            return
        if link is None:
            return
        if not link.end(side).id and one.item is not None:
            link = replace(link, **{side: End(one.id)})  # type: ignore[arg-type]  # known by its key alone
        work = works.setdefault(link.key, Work(link, stored))
        work.link, work.seen[side] = link, one
        work.unsync |= side == "mail" and one.item is not None and self._scope.unsynced(one)

    def _claim_key(self, kind: str, uid: str) -> str:
        return item_key(self._secret, kind, uid) if uid and self._claims is not None else ""

    def _claim_of(self, link: Link, uid: str) -> str:
        return self._claim_key(link.kind, uid)

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

    def _adopting(
        self, held: Held, kind: str, side: Side, new: Sequence[tuple[Work, Seen]]
    ) -> Iterator[tuple[Work, Seen]]:  # fmt: skip
        """The new links, which adopt what stands on the other side already and is linked to nothing; without those that were to
        be paired and have no pair."""
        if not new:
            return
        there = other(side)
        offered = self._sides[there].twins([one.item for _, one in new if one.item is not None])
        linked = links.by_ids(held.store, held.place, there, [twin.id for twins in offered for twin in twins])
        undecided = self._undecided(held, kind, there)
        taken: set[str] = set()
        for (work, one), twins in zip(new, offered, strict=True):
            free = (twin for twin in twins if twin.id not in taken and twin.id not in linked and not twin.key)
            twin = next((t for t in free if self._may_pair(there, t) and not self._is_of_any(undecided, there, t)), None)
            if twin is not None:
                work.link = replace(work.link, rule="adopted", **{there: End(twin.id)})  # type: ignore[arg-type]
                if there == "mail":
                    claim = self._claim_key(kind, twin.facts.uid)
                    work.link = replace(work.link, claim=claim, marked=twin.marked)
                work.seen[there] = twin
                self._note(held, work.link, "adopted", there)
                taken.add(twin.id)
            elif work.unpaired:
                self._note(held, work.link, work.unpaired, side)
                continue
            yield work, one

    def _may_pair(self, side: Side, twin: Seen) -> bool:
        """Whether an item that looks the same may be paired: of the mailbox not what a person or the profile keeps out."""
        return side == "crm" or self._scope.judged("mail", twin).rule not in NO_TWIN

    def _is_of_any(self, undecided: Sequence[Link], side: Side, one: Seen) -> bool:
        return any(self._is_of(link, side, one) for link in undecided)

    def _state(self, held: Held, stored: Link, side: Side, one: Seen) -> Link | None:
        """The link if it is to be planned; marks and severed states are dealt with here."""
        if stored.state == "severed":
            return self._severed(held, stored, side, one)
        link = stored
        if side == "mail" and one.item is not None:
            link = self._at_work_or_rest(held, link, one)
        if link.gone == side and one.item is not None:
            link = replace(link, gone="", rule="same")  # it is back
        if link.state == "paused":
            if one.item is None:
                self._gone_at_rest(held, stored, side)
            elif link != stored:
                held.commit(links.writes(link, before=stored))
            return None
        return link

    def _gone_at_rest(self, held: Held, link: Link, side: Side) -> None:
        """One end of a resting link is gone: without its mark a deleted record is what unlinked it. Both gone ends it."""
        rest = replace(link, **{side: replace(link.end(side), version="gone")})  # type: ignore[arg-type]
        if all(rest.end(s).version == "gone" or not rest.end(s).id for s in SIDES):
            held.commit(links.removal(link))
            return
        if side == "crm" and link.rule == "unmarked":
            rest = replace(rest, state="severed", rule="deleted.crm", announced=())
            self._note(held, rest, "deleted.crm", "crm")
        if rest != link:
            held.commit(links.writes(rest, before=link))

    def _at_work_or_rest(self, held: Held, link: Link, one: Seen) -> Link:
        """A linked item rests while its mark is off or it lies outside the window; a person's "unsync" ends that too."""
        rests = "" if self._scope.unsynced(one) else self._scope.rests(link, one)
        link = replace(link, marked=link.marked or one.marked)
        if (link.state == "paused") == bool(rests):
            return link
        self._note(held, link, rests or "marked", "mail")
        # whatever waited is found again when both ends are looked at
        return replace(link, state="paused" if rests else "live", rule=rests or "marked", waits={})

    def _severed(self, held: Held, link: Link, side: Side, one: Seen) -> Link | None:
        """A severed link ends when both ends are gone, and goes on anew when a person marks the item by hand, or gives the
        record back to whom it was taken from."""
        if one.item is not None and link.end(side).version == "gone" and not (side == "mail" and one.marked):
            back = replace(link, **{side: replace(link.end(side), version=one.version)})  # type: ignore[arg-type]
            if not (side == "crm" and link.rule == "severed.owner" and self._scope.owns(one)):
                held.commit(links.writes(back, before=link))
                return None
        if one.item is None:
            rest = replace(link, **{side: replace(link.end(side), version="gone")})  # type: ignore[arg-type]
            both = all(rest.end(s).version == "gone" or not rest.end(s).id for s in SIDES)
            held.commit(links.removal(link) if both else links.writes(rest, before=link))
            return None
        by_hand = side == "mail" and one.marked and link.end(side).version != one.version
        if by_hand and link.rule in STANDS:  # the record stands: in step again, as if just found
            return replace(link, state="live", rule="adopted", announced=(), mail=End(one.id), crm=End(link.crm.id))
        if side == "crm" and link.rule == "severed.owner" and self._scope.owns(one):  # it was given back
            return replace(link, state="live", rule="adopted", announced=(), mail=End(link.mail.id), crm=End(one.id))
        if by_hand and link.rule == "deleted.crm" and self._stands_again(link):
            return replace(link, state="live", rule="adopted", announced=(), mail=End(one.id), crm=End(link.crm.id))
        if by_hand and link.rule in ("deleted.crm", "severed.owner"):
            fresh = replace(link, state="live", rule="marked_again", generation=link.generation + 1, owner="")
            return replace(fresh, crm=End(), announced=())
        return None

    def _stands_again(self, link: Link) -> bool:
        """Whether a record that was deleted was taken out of the bin again."""
        if not link.crm.id:
            return False
        return self._sides["crm"].read(link.kind, [link.crm.id])[link.crm.id].item is not None

    def _gone_of_series(self, held: Held, kind: str, side: Side, page: Page, known: set[str]) -> list[Work]:
        """Occurrences that the whole of their series does not name any more."""
        groups = {links.hash_of(group): {links.hash_of(one) for one in ids} for group, ids in page.groups.items()}
        linked = links.of_groups(held.store, held.place, groups) if groups else ()
        missing = [
            link for link in linked
            if link.key not in known and link.state == "live" and links.hash_of(link.end(side).id) not in groups[link.group]
        ]  # fmt: skip
        return self._confirmed_absent(held, kind, side, missing)

    def _absent(self, held: Held, kind: str, side: Side, listed: set[str], known: set[str]) -> list[Work]:
        """Links that a completed listing did not name, each confirmed by a read before it counts as deleted."""
        missing = [
            link
            for link in links.every(held.store, held.place, kind)
            if link.end(side).id
            and link.key not in known
            and links.hash_of(link.end(side).id) not in listed
            and not (link.state == "paused" and link.rule == "skipped.window")
        ]
        return self._confirmed_absent(held, kind, side, missing)

    def _confirmed_absent(self, held: Held, kind: str, side: Side, missing: Sequence[Link]) -> list[Work]:
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
        counted = len({work.link.group or work.link.key for work in gone})  # a series counts as one
        if not deletes.stopped(held, kind, side, gone=counted, inferred=any(work.inferred for work in gone), empty=empty):
            return
        self._health = deletes.HEALTH
        for work in gone:
            if work.link.gone != side:
                work.link = replace(work.link, gone=side, rule="held.deletes")
                self._note(held, work.link, "held.deletes", side)

    @staticmethod
    def _is_due(held: Held, value: Mapping[str, Any]) -> bool:
        """Whether a held item's time has come; what waits for a person has none but their answer."""
        wait_s = value.get("wait_s", waiting.RETRY_S)
        if wait_s is None:
            return "answer" in value
        return bool((held.now() - records.moment_of(value["since"])).total_seconds() >= wait_s)

    def _held_items(self, held: Held, kind: str) -> tuple[dict[str, Work], set[str]]:
        """(held items whose time has come, by link; keys of those that still wait)."""
        due: dict[str, dict[str, Mapping[str, Any]]] = {}
        still = set()
        for row in list(held.store.scan(held.place, *records.every("held"))):
            value = records.read(row)
            if value.get("kind") != kind:
                continue
            key, _, part = row.key.removeprefix(records.held("")).partition(".")
            if self._is_due(held, value):
                due[key] = {**due.get(key, {}), row.key: value}
            elif not part:
                still.add(key)
        found = links.many(held.store, held.place, list(due))
        for some in batched((row for key, rows in due.items() if key not in found for row in rows), BATCH_ROWS, strict=False):
            held.commit([Delete(row) for row in some])  # the link ended meanwhile
        return {key: _due(link, due[key]) for key, link in found.items() if key not in still}, still


def _due(link: Link, rows: Mapping[str, Mapping[str, Any]]) -> Work:
    """A held item that is tried again: its held row goes with the decision; what two systems insisted on is decided anew, and
    what a person said about changes that waited counts."""
    again = replace(link, insists={}, turns={}) if links.insisting(link.key) in rows else link
    of_link = (links.insisting(link.key), links.waiting(link.key))
    said = rows.get(links.waiting(link.key), {})
    answer: dict[str, Mapping[str, str]] = {str(said.get("answer")): said.get("asked", {})}
    return Work(
        again, link, again=True, also=tuple(Delete(row) for row in rows if row not in of_link), granted=answer.get("send", {}),
        discard=answer.get("discard", {}),
    )  # fmt: skip
