"""Links in hand are decided, announced, written and committed: the second half of two-way sync, after `session/items.py`.

Rules that hold here (design sections 3 to 5):
- Every write is announced in the link's row before it is made; the commit after the answer sets the new bases, clears the
  announcements and, for the last links of a page, carries the page's cursor.
- A record that says nothing but what is known is not looked at further, and no row is written because its version moved: a
  mass update of what is not carried costs nothing here. Who writes with an old version is told so (Stale) and reads again.
- What is not finished, or remembered in an older canonical form, is decided with both ends read again.
- A base is what was read, or what was sent narrowed; never a read-back. A version comes from the write's own answer.
- Stale is read again and planned again, three times; what is still stale then waits for the next session, announced, or for
  its next try where there was nothing to announce.
- A create whose answer was lost is found by its key; where there is no place for one it is looked up: one hit is adopted, none
  is made again, several wait for a person. Never a blind second create.
- What several mailboxes may hold is claimed before it is made, and settled before its link is stored (`session/item_claims`).
- Where a change must not reach the mailbox by itself the mailbox's end is looked at first, and what waits stands in the link.
- A deletion that the brake holds deletes nothing and severs nothing; everything else about that link goes on.
- An item that our own code, a vendor or a row's size refuses is held with its place; the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from shared.core import fields as law
from shared.core.errors import Bug, Gone, ItemError, Refused, RowTooLarge, Stale
from shared.core.insist import turned
from shared.core.model import SIDES, Announcement, End, Link, Seen, Side, other
from shared.core.plan import Plan, Terms, is_known, made_from, plan
from shared.ports import MAX_COMMIT, Ledger, LedgerEntry, Provider, Put, Send, Sent, Write
from shared.session import links, records
from shared.session.bugs import BugCount
from shared.session.item_claims import ItemClaims, Taken
from shared.session.item_work import People, Scope, Work, adopt, created, end_after, taken_back, together
from shared.session.lease import Held

TRIES = 4  # the first plan and three more after Stale
#: A lost create is looked for from this long before its announcement, for clocks that differ.
LOOK_BACK_S = 120.0
BATCH = 200  # items in one call

DAY_S = 24 * 3600


class ItemWriting:
    """`digest_key` is the tenant's. `claims` and `people` are None where items have neither."""

    def __init__(
        self, sides: Mapping[Side, Provider], ledger: Ledger, digest_key: bytes, scope: Scope, claims: ItemClaims | None = None,
        people: People | None = None,
    ) -> None:  # fmt: skip
        self._sides, self._ledger, self._digest_key = sides, ledger, digest_key
        self._scope, self._claims, self._people = scope, claims, people
        self._bugs = BugCount()  # of this session
        self._again_after: list[float] = []

    def _carry_out(self, held: Held, kind: str, works: Sequence[Work], last: Sequence[Write]) -> None:
        """Decides, writes and commits; `last` is committed with the last of them."""
        self._read_again(held, kind, [work for work in works if self._reads_first(work)])
        pending, done = list(works), list[list[Write]]()
        for _ in range(TRIES):
            ready, joined = self._claimed(held, self._planned(held, self._filled(held, pending), done), done)
            pending = [*joined, *self._write(held, self._announce(held, ready, done), done)]
            if not pending:
                break
            self._read_again(held, kind, pending)
        done += [self._hold(held, work, Stale()) for work in pending if not work.link.announced]
        self._commit(held, kind, done, last)

    def _says_nothing(self, work: Work) -> bool:
        """Whether the CRM alone was heard of, with nothing but what is known. What the mailbox tells is not complete yet: who
        of its people is in the CRM has to be asked."""
        link, crm = work.link, work.seen.get("crm")
        if crm is None or len(work.seen) > 1 or link != work.stored or work.also or work.granted or work.discard:
            return False
        if crm.facts.owner != link.owner or link.insists:
            return False
        return self._bugs.guard(lambda: is_known(link, "crm", crm, self._digest_key)) is True

    def _reads_first(self, work: Work) -> bool:
        """Whether both ends must be known as they are now."""
        link = work.link
        if (
            link.announced
            or link.waits
            or _of_older_form(link)
            or (work.stored is not None and work.stored.state != link.state)
        ):
            return True
        if "crm" not in work.seen and _has_own_elements(link):
            return True  # what only the CRM has of a set must be known before the set is written
        return "mail" not in work.seen and bool(link.mail.id) and law.asks_first(link.kind)

    def _filled(self, held: Held, works: list[Work]) -> list[Work]:
        """The mailbox's items as they cross: as far as they may be shown, with those of their people that the CRM knows."""
        for work in works:
            if "mail" in work.seen and work.problem is None:
                shown = self._bugs.guard(lambda one=work: self._scope.shown(one.link, one.seen["mail"]))  # type: ignore[misc]
                if isinstance(shown, Bug):
                    work.problem = shown
                else:
                    work.seen["mail"] = shown
        if self._claims is not None:
            self._claims.carry_on([work for work in works if work.link.follows], held.now())
        self._fill([work for work in works if not work.link.follows and work.problem is None])
        return works

    def _fill(self, works: Sequence[Work]) -> None:
        """Finds the people of all at once; where the CRM refuses that, of each by itself, so that one holds nobody else."""
        if self._people is None:
            return
        try:
            self._people.fill(works)
        except ItemError as refused:
            if len(works) == 1:
                works[0].problem = refused
                return
            for work in works:
                self._fill([work])

    # deciding

    def _planned(self, held: Held, works: Sequence[Work], done: list[list[Write]]) -> list[Work]:
        planned = []
        for work in works:
            decided = self._decided(held, work)
            if isinstance(decided, ItemError):
                done.append(self._hold(held, work, decided))
            elif work.link.gone and decided.verb in ("delete", "sever"):
                done.append(together(work, links.writes(work.link, before=work.stored)))
            else:
                work.plan = decided
                planned.append(work)
        return planned

    def _decided(self, held: Held, work: Work) -> Plan | ItemError:
        self._bugs.decided += 1
        if work.problem is not None:
            return work.problem
        if self._is_given_away(work):
            work.given_away = True
            there = work.seen.get("mail")
            stands = there is None or there.item is not None
            return Plan("sever", "severed.owner", target="mail") if stands else Plan("end", "severed.owner")
        return self._bugs.guard(lambda: self._plan(work, held.now().timestamp()))

    def _is_given_away(self, work: Work) -> bool:
        """Whether the record is another user's now, who does not hold the same thing."""
        crm = work.seen.get("crm")
        if crm is None or crm.item is None or not self._scope.gave_away(work.link, crm):
            return False
        return self._claims is None or not self._claims.holds_too(crm.facts.owner, work.link)

    def _plan(self, work: Work, now: float) -> Plan:
        link, seen = work.link, work.seen
        if work.unsync and not link.crm.id:
            return Plan("end", "unsync")
        if rule := self._left_scope(work):
            return Plan("end", rule)
        for side in SIDES:
            if not link.end(side).id and side not in seen:  # the other side's item is still to be made
                source = seen.get(other(side))
                if source is None or source.item is None:
                    return Plan("end", "deleted.before_created")
                return made_from(link, other(side), source.item.fields, self._digest_key, rule=link.rule or "created")
        if work.unsync:
            return Plan("delete", "unsync", target="crm") if link.made == "crm" else Plan("sever", "unsync", target="mail")
        terms = self._scope.terms(link, seen.get("mail"))
        if work.joined:  # what differs between a copy and the record it joins was nobody's edit
            terms = Terms(follows=True)
        terms = replace(terms, granted=work.granted, discard=work.discard)
        decided = plan(link, seen.get("mail"), seen.get("crm"), self._digest_key, now, terms)
        if decided.verb in ("delete", "revive") and _is_gone(seen.get("mail")) and self._scope.is_over(link):
            return Plan("sever", "deleted.mail.past", target="crm")
        return decided

    def _left_scope(self, work: Work) -> str:
        """Of an item that was held before anything was made of it: the rule that refuses it by now, or ""."""
        link = work.link
        if not work.again or link.announced or link.generation or (link.mail.id and link.crm.id):
            return ""
        side: Side = "mail" if link.mail.id else "crm"
        seen = work.seen.get(side)
        if seen is None or seen.item is None:
            return ""
        judged = self._scope.judged(side, seen)
        return "" if judged.save else judged.rule

    def _claimed(self, held: Held, works: Sequence[Work], done: list[list[Write]]) -> tuple[Sequence[Work], Sequence[Work]]:
        """(works that go on, works that joined a record and are planned again); the others wait for another mailbox."""
        if self._claims is None:
            return works, []
        found = self._claims.sorted(works, held.now())
        done += [self._later(held, work, taken) for work, taken in found.waiting]
        for work in found.joined:
            self._note(held, work.link, "joined", "crm")
        return found.ready, found.joined

    def _later(self, held: Held, work: Work, taken: Taken) -> list[Write]:
        """The item waits for another mailbox: kept with its link, to be tried again when the time has come."""
        if work.stored is None or not work.stored.crm.id:
            work.link = replace(work.link, crm=End())  # whose record it is, is not settled yet
        if work.stored is None or work.stored.rule != taken.rule:
            self._note(held, work.link, taken.rule)
        work.link = replace(work.link, rule=taken.rule)
        if work.stored is None or taken.rule != "waiting.organizer":  # for an organiser the sweep is soon enough later on
            self._again_after.append(taken.wait_s)
        row = records.row(code=taken.rule, kind=work.link.kind, since=records.text_of(held.now()), wait_s=taken.wait_s)
        return together(work, [*links.writes(work.link, before=work.stored), Put(records.held(work.link.key), row)])

    # announcing

    def _announce(self, held: Held, works: Sequence[Work], done: list[list[Write]]) -> list[Work]:
        """Writes down what is about to be sent; answers the works that may go on."""
        now = held.now().timestamp()
        before = {work.link.key: work.link for work in works}
        groups: dict[str, list[Write]] = {}
        for work in works:
            work.link = self._announced(held, work, now)
            if work.plan is not None and work.plan.writes:
                groups[work.link.key] = links.writes(work.link, before=work.stored)
        too_large = set(_in_transactions(held, list(groups.values())))
        for work in works:
            if records.link(work.link.key) in too_large:
                work.link = before[work.link.key]
                done.append(self._hold(held, work, Refused("refused.too_large")))
            elif work.link.key in groups:
                work.stored = work.link
        return [work for work in works if records.link(work.link.key) not in too_large]

    def _announced(self, held: Held, work: Work, now: float) -> Link:
        link, decided = work.link, work.plan
        assert decided is not None
        if decided.insists:
            link = replace(link, insists={**link.insists, **dict.fromkeys(decided.insists, now)})
            self._note(held, link, "held.insist", fields=decided.insists)
        if not decided.writes:
            return link
        create = decided.target is not None and not link.end(decided.target).id
        if decided.verb == "revive" and decided.target:
            create = True
            if decided.target == "mail":
                link = replace(link, claim="")  # the new item has a name of its own
            link = replace(link, generation=link.generation + 1, gone="", **{decided.target: End()})  # type: ignore[arg-type]
        if create and decided.target and link.made != "crm":
            link = replace(link, made=decided.target)
        if create and decided.target == "mail":
            link = replace(link, marked=True)  # it is made with the mark
        new = decided.announcements(now, create=create)
        if _says_the_same(link.announced[-len(new) :], new):
            new = ()  # it is announced already: a write that fails again and again leaves no trail
        announced = (*link.announced, *new)
        return replace(link, announced=announced, turns=turned(link.turns, decided.winners, now))

    # writing

    def _write(self, held: Held, works: Sequence[Work], done: list[list[Write]]) -> list[Work]:
        """Makes the writes of all plans; answers the works that met somebody else's change."""
        answers: dict[str, dict[Side, Sent]] = {work.link.key: {} for work in works}
        stale: dict[str, Work] = {}
        failed: dict[str, ItemError] = {}
        for side in SIDES:
            sends = [(work, send) for work in works if (send := self._send(work, side)) is not None]
            for start in range(0, len(sends), BATCH):
                batch = sends[start : start + BATCH]
                for (work, _), answer in zip(batch, self._sides[side].write([send for _, send in batch]), strict=True):
                    if isinstance(answer, Sent):
                        answers[work.link.key][side] = answer
                        continue
                    work.made_already |= isinstance(answer, Stale) and not work.link.end(side).id
                    work.link = taken_back(work.link, side)
                    if isinstance(answer, (Stale, Gone)):
                        stale[work.link.key] = work
                    else:
                        failed[work.link.key] = answer
                held.extend()
        for work in works:
            key = work.link.key
            if key in failed:
                done.append(self._hold(held, work, failed[key]))
            elif key not in stale:
                done.append(together(work, self._landed(held, work, answers[key])))
        if self._claims is not None:
            landed = [work for work in works if work.link.key not in failed and work.link.key not in stale]
            self._claims.settle([work.link for work in landed if self._settles(work)], held.now())
            self._claims.release([work.link for work in works if work.link.key not in stale])
        return [work for key, work in stale.items() if key not in failed]

    def _settles(self, work: Work) -> bool:
        """Whether its claim is to say which record it became: one that was made, found, or found to be made already."""
        stays = work.plan is not None and work.plan.verb not in ("delete", "sever", "end")
        return work.to_settle or (stays and self._claims is not None and self._claims.has(work.link))

    def _send(self, work: Work, side: Side) -> Send | None:
        assert work.plan is not None
        link, end = work.link, work.link.end(side)
        version = work.seen[side].version if side in work.seen else end.version
        if fields := work.plan.writes.get(side):
            if not end.id:
                return Send("create", link.kind, fields=fields, key=links.item_key(link), related=work.related)
            above = work.plan.above if side == "mail" else frozenset[str]()
            return Send("patch", link.kind, end.id, version, fields, above=above)
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
        work.to_settle = False
        if decided.verb == "end" or (decided.verb == "delete" and decided.target in answers):
            self._note(held, link, decided.rule)
            return links.removal(work.stored) if work.stored is not None else []
        rule = decided.rule if decided.rule != "same" else link.rule
        ends = {side: end_after(work, side, answers.get(side)) for side in SIDES}
        link = replace(link, announced=(), rule=rule, gone="", mail=ends["mail"], crm=ends["crm"], ours=decided.ours)
        link = replace(link, owner=self._owner_of(work), over=_over(work))
        if decided.waits != link.waits:
            link = self._now_waits(held, link, decided.waits)
        if decided.verb == "sever":
            link = replace(link, state="severed", waits={}, marked=link.marked and not work.given_away)
            if not work.unsync:  # a record that was given away is gone from here, for nobody tells us of it any more
                gone = other(decided.target) if decided.target else "mail"
                link = replace(link, **{gone: replace(link.end(gone), version="gone")})  # type: ignore[arg-type]
        if not link.claim and (uid := self._uid(work, answers)) and link.mail.id and link.crm.id:
            link = replace(link, claim=self._claim_of(link, uid))
            work.to_settle = True
        # the first time that anything is known of its record: it was made or found, and its claim is to say so
        work.to_settle |= created(work.link, "crm") or not work.link.crm.base
        work.link = link
        if decided.writes or decided.verb == "sever":
            self._note(held, link, decided.rule, fields=tuple(sorted({n for f in decided.writes.values() for n in f})))
        for name, winner in decided.conflicts.items():
            self._note(held, link, "conflict", winner, (name,))
        return links.writes(link, before=work.stored)

    @staticmethod
    def _uid(work: Work, answers: Mapping[Side, Sent]) -> str:
        """What names the mailbox's item everywhere, as the answer of its making or the item itself says."""
        if "mail" in answers and answers["mail"].uid:
            return answers["mail"].uid
        return work.seen["mail"].facts.uid if "mail" in work.seen else ""

    def _owner_of(self, work: Work) -> str:
        crm = work.seen.get("crm")
        if crm is not None and crm.item is not None and crm.facts.owner:
            return crm.facts.owner
        return self._scope.user if created(work.link, "crm") else work.link.owner

    def _now_waits(self, held: Held, link: Link, waits: Mapping[str, tuple[str, str]]) -> Link:
        for rule in sorted({rule for rule, _ in waits.values()}):
            fields = tuple(sorted(name for name, why in waits.items() if why[0] == rule and link.waits.get(name) != why))
            if fields:
                self._note(held, link, rule, "mail", fields)
        return replace(link, waits=dict(waits))

    def _claim_of(self, link: Link, uid: str) -> str:
        """The claim's key of an item by what names it in every mailbox; "" where nothing is claimed."""
        return ""

    def _commit(self, held: Held, kind: str, done: Sequence[list[Write]], last: Sequence[Write]) -> None:
        """The groups, none of them split, and `last` with the last of them. What is too large to be kept is held instead."""
        self._ledger.flush()  # before the rows: a decision may be told twice, never lost
        for key in _in_transactions(held, [group for group in done if group], last):
            row = self._held_row(held, kind, Refused("refused.too_large"))
            held.commit([Put(records.held(key.removeprefix(records.link(""))), row)])

    # reading again

    def _read_again(self, held: Held, kind: str, works: Sequence[Work]) -> None:
        for start in range(0, len(works), BATCH):
            for side in SIDES:
                batch = works[start : start + BATCH]
                ids = [work.link.end(side).id for work in batch if work.link.end(side).id]
                read = self._sides[side].read(kind, ids) if ids else {}
                for work in batch:
                    if (item_id := work.link.end(side).id) in read:
                        work.seen[side] = read[item_id]
                lost = [
                    work for work in batch
                    if not work.link.end(side).id and (created(work.link, side) or work.made_already)
                ]  # fmt: skip
                if lost and self._sides[side].keyed:
                    self._find(kind, side, lost)
                elif lost:
                    self._look_up(held, kind, side, lost)

    def _find(self, kind: str, side: Side, works: Sequence[Work]) -> None:
        own = self._sides[side].find(kind, [links.item_key(work.link) for work in works])
        for work in works:
            if (one := own.get(links.item_key(work.link))) is not None:
                adopt(work, side, one)

    def _look_up(self, held: Held, kind: str, side: Side, works: Sequence[Work]) -> None:
        """Finds creates whose answer was lost by what was sent: looked up among the items that this user made since."""
        first = min(one.at for work in works for one in work.link.announced if one.create and one.side == side)
        made = self._sides[side].made_since(kind, datetime.fromtimestamp(first - LOOK_BACK_S, UTC))
        linked = links.by_ids(held.store, held.place, side, [one.id for one in made])
        free = [one for one in made if one.id not in linked]
        for work in works:
            hits = [one for one in free if self._is_of(work.link, side, one)]
            if len(hits) == 1:
                adopt(work, side, hits[0])
                free.remove(hits[0])
            elif hits:
                work.problem = Refused("held.several")

    def _is_of(self, link: Link, side: Side, one: Seen) -> bool:
        """Whether the item is what an unfinished create of this link would have made, as far as it can be told."""
        if one.item is None:
            return False
        found = law.digests(self._digest_key, link.key, law.canonical(link.kind, one.item.fields))
        names = law.LOOKUP[link.kind]
        return any(all(a.of(side).get(n) == found.get(n) for n in names) for a in link.announced if a.create and a.side == side)

    # what stays behind

    def _hold(self, held: Held, work: Work, problem: ItemError) -> list[Write]:
        self._note(held, work.link, problem.code, fields=getattr(problem, "fields", ()))
        link = replace(work.link, rule=problem.code)  # what was announced before and may have landed stays known
        row = Put(records.held(link.key), self._held_row(held, link.kind, problem))
        return together(work, [*links.writes(link, before=work.stored), row])

    def _held_row(self, held: Held, kind: str, problem: ItemError) -> dict[str, object]:
        place = problem.place if isinstance(problem, Bug) else ""
        return records.row(code=problem.code, place=place, kind=kind, since=records.text_of(held.now()))

    def _note(self, held: Held, link: Link, rule: str, side: str = "", fields: tuple[str, ...] = ()) -> None:
        self._ledger.note(LedgerEntry(link.key, link.kind, rule, held.now(), held.session_id, side, fields))


def _has_own_elements(link: Link) -> bool:
    """Whether the CRM holds elements of a set that are not in the mailbox, as far as is remembered."""
    names = [one.name for one in law.KINDS[link.kind] if one.is_set and not one.carried_to("mail")]
    return any(set(link.crm.base.get(n, "").split(",")) - set(link.mail.base.get(n, "").split(",")) - {""} for n in names)


def _over(work: Work) -> int:
    """When the item ends, as that side says after which the other was written: the day, for more is nobody's business here."""
    written = work.plan is not None and bool(work.plan.writes.get("mail"))
    sides: tuple[Side, ...] = ("crm", "mail") if written else SIDES
    ends = [one.facts.ends for side in sides if (one := work.seen.get(side)) is not None and one.facts.ends is not None]
    return int(ends[0].timestamp()) // DAY_S * DAY_S if ends else work.link.over


def _is_gone(seen: Seen | None) -> bool:
    return seen is not None and seen.item is None


def _says_the_same(last: Sequence[Announcement], new: Sequence[Announcement]) -> bool:
    return bool(new) and [replace(one, at=0.0) for one in last] == [replace(one, at=0.0) for one in new]


def _of_older_form(link: Link) -> bool:
    return any(link.end(side).base and link.end(side).canon != law.CANON for side in SIDES)


def _in_transactions(held: Held, groups: Sequence[list[Write]], last: Sequence[Write] = ()) -> list[str]:
    """Commits the groups, none of them split, `last` with the last of them; answers the keys of rows that were too large, whose
    groups were left out."""
    batches: list[list[list[Write]]] = [[]]
    for group in groups:
        if sum(map(len, batches[-1])) + len(group) + len(last) > MAX_COMMIT - 1:
            batches.append([])
        batches[-1].append(group)
    too_large: list[str] = []
    for batch in batches:
        more = last if batch is batches[-1] else ()
        while batch or more:
            try:
                held.commit([write for group in batch for write in group] + list(more))
                break
            except RowTooLarge as refused:
                left = [group for group in batch if all(write.key != refused.key for write in group)]
                if len(left) == len(batch):
                    raise  # not a link's row
                too_large.append(refused.key)
                batch[:] = left
    return too_large
