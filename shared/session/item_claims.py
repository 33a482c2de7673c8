"""What several mailboxes may hold is one record: items that carry a uid are claimed in the org before their record is made.

Rules that hold here (design section 5, "Claims"):
- Whoever comes first claims and makes the record; who comes later joins it. The organiser's mailbox carries the record; where
  the organiser is connected, an attendee's item waits for it and then only follows: it changes nothing of the record.
- The claim's key is the link's own key, the same in every mailbox. So the record's key is too, and where records carry keys a
  second create is refused whatever became of the claim.
- A record is deleted only when its last holder leaves. One that was given to another user is left to them, unless they hold it
  by the same claim: then it is one thing of both.
- Where records carry no keys (lookup mode), what a dead session of another mailbox claimed is left to that mailbox for a
  day: it alone can find the record that it may have made.
- A claim that is settled twice is settled once: what an earlier session left half done is done again here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared.core.model import End, Facts, Link, Side
from shared.core.plan import Plan
from shared.ports import MailboxKey
from shared.session.claims import LOOK_S, Claim, Claims, Held
from shared.session.item_work import Work, created

#: Seconds until an attendee's item looks again whether its organiser's mailbox made the record.
ORGANIZER_S = 900.0
#: Seconds for which a dead claim is left to its mailbox where no key tells whether its record stands.
LEFT_S = 24 * 3600.0


@dataclass(frozen=True)
class Taken:
    """`make`: go on. `join`: it is `crm_id`, `made` by us or not; `follows` as in the link. `wait`: look again after `wait_s`,
    for the reason `rule`."""

    what: Literal["make", "join", "wait"]
    crm_id: str = ""
    made: bool = True
    follows: bool = False
    wait_s: float = 0.0
    rule: str = ""


@dataclass(frozen=True)
class Sorted:
    """Works that go on, works that joined a record and are to be planned again, and works that wait."""

    ready: Sequence[Work]
    joined: Sequence[Work]
    waiting: Sequence[tuple[Work, Taken]]


#: the rule of an item that is on neither side any more
BOTH_GONE = "deleted.both"


class ItemClaims:
    """The claims of one mailbox in one session. `mailbox_of(address)`: that person's, "" if not of this org;
    `keyed()`: whether records carry keys there; `mailboxes(user)`: those of a CRM user; `tell(mailbox, record,
    item)`: another holder of a record that is gone."""

    def __init__(
        self, claims: Claims, mailbox_of: Callable[[str], str], keyed: Callable[[], bool],
        mailboxes: Callable[[str], Iterable[str]] = lambda user: (),
        tell: Callable[[MailboxKey, str, str], None] = lambda mailbox, crm_id, item_id: None,
    ) -> None:  # fmt: skip
        self._tell = tell
        self._claims, self._mailbox_of, self._keyed, self._mailboxes = claims, mailbox_of, keyed, mailboxes
        self._mine: dict[str, Claim] = {}

    def sorted(self, works: Sequence[Work], now: datetime) -> Sorted:
        """Which works may do what they plan. Whoever no longer has an item leaves its record to those who hold it too."""
        self._leave(works, now)
        wanting = [work for work in works if _wants_claim(work)]
        self.forget([work.link for work in wanting if work.plan is not None and work.plan.verb == "revive"], now)
        taken = self._take(wanting, now)
        ready, joined, waiting = list[Work](), list[Work](), list[tuple[Work, Taken]]()
        for work in works:
            found = taken.get(work.link.key, Taken("make"))
            match found.what:
                case "make":
                    ready.append(work)
                case "join":
                    joined.append(_joined(work, found))
                case "wait":
                    waiting.append((work, found))
        return Sorted(ready, joined, waiting)

    def carry_on(self, works: Sequence[Work], now: datetime) -> None:
        """Whoever followed carries the record from now on where its organiser's mailbox holds it no more: what it did not carry
        is in every copy, so the mailbox's values count as new."""
        standing = self._claims.standing([work.link.claim for work in works], now)
        for work in works:
            claim, seen = standing[work.link.claim], work.seen.get("mail")
            if claim.state != "saved" or seen is None or seen.item is None:
                continue
            if self._mailbox_of(seen.facts.organizer) not in claim.holders:
                work.link = replace(work.link, follows=False, mail=replace(work.link.mail, base={}))

    def holds_too(self, user: str, link: Link) -> bool:
        """Whether a mailbox of that user holds the same thing."""
        theirs = set(self._mailboxes(user)) if link.claim else set()
        return bool(theirs) and not theirs.isdisjoint(self._claims.holding(link.crm.id, link.claim))

    def _leave(self, works: Sequence[Work], now: datetime) -> None:
        for work in works:
            decided = work.plan
            if not work.link.claim or decided is None:
                continue
            if decided.verb == "revive" and decided.target == "mail":
                self._leaves(work.link, now)  # it is made anew under another name
            elif work.given_away:
                self._leaves(work.link, now)
            elif decided.verb not in ("delete", "sever") and decided.rule != BOTH_GONE:
                continue
            elif decided.rule == BOTH_GONE:
                self.forget([work.link], now)
                self._leaves(work.link, now)  # a session that died while it deleted the record had left already
            elif decided.target == "mail" and not work.unsync:
                self.forget([work.link], now)
            elif not self._leaves(work.link, now):
                # kept, severed: or its owner would be told of the record as of a new one
                work.plan = Plan("sever", f"{decided.rule}.others_hold", target="crm")

    def _take(self, wanted: Sequence[Work], now: datetime) -> dict[str, Taken]:
        """What each link may do, by its key."""
        result: dict[str, Taken] = {}
        standing = self._claims.standing([one.link.claim for one in wanted], now)
        free = []
        for one in wanted:
            claim = standing[one.link.claim]
            if claim.state == "saved":
                result[one.link.key] = self._joining(one, claim, now)
            elif claim.state in ("free", "dead") and self._follows(one):
                result[one.link.key] = Taken("wait", wait_s=ORGANIZER_S, rule="waiting.organizer")
            elif claim.state == "theirs" or (claim.state == "dead" and self._is_left(claim, now)):
                result[one.link.key] = Taken("wait", wait_s=LOOK_S, rule="waiting.claim")
            else:
                free.append((one, claim))
        return result | self._claimed(free, now)

    def _is_left(self, claim: Claim, now: datetime) -> bool:
        ended = claim.until or now
        return claim.foreign and not self._keyed() and (now - ended).total_seconds() < LEFT_S

    def _follows(self, one: Work) -> bool:
        facts = one.seen["mail"].facts if "mail" in one.seen else Facts()
        return not facts.own and bool(self._mailbox_of(facts.organizer))

    def _joining(self, one: Work, claim: Claim, now: datetime) -> Taken:
        joined = self._claims.join(claim, one.link.mail.id, now)
        if joined.state != "saved":
            return Taken("wait", wait_s=LOOK_S, rule="waiting.claim")
        return Taken(
            "join",
            joined.crm_id,
            joined.made,
            follows=self._follows(one) and self._mailbox_of(one.seen["mail"].facts.organizer) in joined.holders,
        )

    def _claimed(self, wanted: Iterable[tuple[Work, Claim]], now: datetime) -> dict[str, Taken]:
        """Takes what is free, and what a dead session left: whether its record stands, its key tells with the create."""
        result: dict[str, Taken] = {}
        fresh: list[Work] = []
        for one, claim in wanted:
            key = one.link.key
            if claim.state == "free" and claim.key not in self._mine:
                fresh.append(one)
                continue
            if claim.state == "dead":
                claim = self._claims.take_over(claim, now)
                if claim.state == "mine":
                    self._mine[key] = claim
            result[key] = Taken("make") if claim.state != "theirs" else Taken("wait", wait_s=LOOK_S, rule="waiting.claim")
        foreign = frozenset(one.link.claim for one in fresh if _stands(one))
        taken = self._claims.claim([one.link.claim for one in fresh], now, foreign=foreign)
        for one in fresh:
            claim = taken[one.link.claim]
            if claim.state == "mine":
                self._mine[one.link.key] = claim
                result[one.link.key] = Taken("make")
            elif claim.state == "saved":
                result[one.link.key] = self._joining(one, claim, now)
            else:
                result[one.link.key] = Taken("wait", wait_s=LOOK_S, rule="waiting.claim")
        return result

    def settle(self, links: Iterable[Link], now: datetime) -> None:
        """Writes down which records the claims became; before the links, so that a change of them is told to this mailbox. What
        another session claimed and left, or what was made from a record that stood, is claimed here first."""
        found = {link.claim: link for link in links if link.claim and link.crm.id and link.mail.id}
        mine = {claim.key: claim for claim in self._mine.values() if claim.key in found}
        for key, claim in self._claims.standing([key for key in found if key not in mine], now).items():
            link = found[key]
            if claim.state == "free":
                claim = self._claims.claim([key], now, foreign=frozenset() if link.made == "crm" else frozenset((key,)))[key]
            elif claim.state == "dead":
                claim = self._claims.take_over(claim, now)
            if claim.state == "saved":
                self._claims.join(claim, link.mail.id, now)
            elif claim.state == "mine":
                mine[key] = claim
        self._claims.settle(mine, {key: Held(found[key].crm.id, found[key].mail.id) for key in mine})
        self._mine = {key: claim for key, claim in self._mine.items() if claim.key not in mine}

    def _leaves(self, link: Link, now: datetime) -> bool:
        """Takes this mailbox out; answers whether the record is nobody's now."""
        claim = self._claims.leave(link.claim, now)
        if claim.state == "mine":
            self._mine[link.key] = claim
        return claim.state != "saved"

    def has(self, link: Link) -> bool:
        """Whether this session has the link's claim."""
        return link.key in self._mine

    def release(self, links: Sequence[Link]) -> None:
        """Gives back what was not used, or whose record is deleted."""
        self._claims.release([self._mine.pop(link.key) for link in links if link.key in self._mine])

    def forget(self, links: Iterable[Link], now: datetime) -> None:
        """The records are gone, whoever deleted them; whoever held them too is told, for the poll finds them here no more."""
        for link in links:
            if link.claim and link.crm.id:
                for mailbox, item_id in self._claims.forget(link.claim, link.crm.id, now).items():
                    self._tell(mailbox, link.crm.id, item_id)


def _wants_claim(work: Work) -> bool:
    """Whether a record is about to be made, or was found that is to be linked."""
    link, decided = work.link, work.plan
    if not link.claim or decided is None:
        return False
    makes = decided.target == "crm" and decided.verb in ("write", "revive")
    if created(link, "crm"):
        return makes and not link.crm.id  # claimed before it was announced, but somebody may have taken it over meanwhile
    is_new = work.stored is None or not work.stored.crm.id or work.stored.state == "severed"
    found = bool(link.crm.id) and link.rule != "joined" and is_new
    return makes or found


def _stands(work: Work) -> str:
    """The record that stood before, or ""."""
    return work.link.crm.id if work.plan is not None and work.plan.verb != "revive" else ""


def _joined(work: Work, found: Taken) -> Work:
    made: Side | Literal[""] = "crm" if found.made else ""
    work.link = replace(work.link, crm=End(found.crm_id), follows=found.follows, made=made, rule="joined")
    work.seen.pop("crm", None)
    work.joined = True
    return work
