"""One link in hand, and the two things that are asked about it from outside: is it ours, and who of its people is known.

Nothing here reads or writes; `items.py` gathers works, `item_writing.py` decides and carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from shared.core import fields as law
from shared.core.errors import ItemError
from shared.core.item_scope import Judged
from shared.core.model import Announcement, End, Link, Seen, Side
from shared.core.plan import Plan, Terms
from shared.ports import Sent, Write


@dataclass
class Work:
    """One link in hand: as stored (None = new), as it is now, what was seen of its ends, and the plan.

    `problem`: why it cannot be decided; `also`: rows that change with it; `inferred`: its deletion is a listing's conclusion.
    `unsync`: a person took it out; `given_away`: its record is somebody else's now. `granted`, `discard`: fields of which a
    person said that they cross, or that the mailbox's value stands. `related`: the CRM record it is about. `unpaired`: the
    rule by which it stays away where no pair of it is found. `joined`: it has just joined a record of another mailbox.
    `again`: it was held and is tried again. `made_already`: its create was refused because one with its key stands.
    `to_settle`: its record was made or found, which its claim is to say.
    """

    link: Link
    stored: Link | None
    seen: dict[Side, Seen] = field(default_factory=dict)
    plan: Plan | None = None
    inferred: bool = False
    problem: ItemError | None = None
    also: tuple[Write, ...] = ()
    unsync: bool = False
    given_away: bool = False
    granted: Mapping[str, str] = field(default_factory=dict)
    discard: Mapping[str, str] = field(default_factory=dict)
    related: str = ""
    to_settle: bool = False
    joined: bool = False
    again: bool = False
    made_already: bool = False
    unpaired: str = ""


class Scope(Protocol):
    """What `core.item_scope` says of one mailbox."""

    @property
    def user(self) -> str: ...

    def judged(self, side: Side, seen: Seen) -> Judged: ...

    def owns(self, crm: Seen) -> bool: ...

    def gave_away(self, link: Link, crm: Seen) -> bool: ...

    def rests(self, link: Link, seen: Seen) -> str: ...

    def is_over(self, link: Link) -> bool: ...

    def unsynced(self, seen: Seen) -> bool: ...

    def terms(self, link: Link, mail: Seen | None) -> Terms: ...

    def shown(self, link: Link | None, mail: Seen) -> Seen: ...


class People(Protocol):
    """Who of an item's people is in the CRM: `session/item_people.py`."""

    def fill(self, works: Sequence[Work]) -> None: ...


def created(link: Link, side: Side) -> bool:
    """Whether a create is announced to this side."""
    return any(one.create and one.side == side for one in link.announced)


def adopt(work: Work, side: Side, one: Seen) -> None:
    work.seen[side] = one
    work.link = replace(work.link, **{side: End(one.id)})  # type: ignore[arg-type]


def end_after(work: Work, side: Side, answer: Sent | None) -> End:
    assert work.plan is not None
    end, one = work.link.end(side), work.seen.get(side)
    item_id, version = (one.id, one.version) if one is not None and one.item is not None else (end.id, end.version)
    if answer is not None:
        # what is put above a text makes a text that nobody has read yet: the item is looked at again
        item_id, version = answer.id, "" if side == "mail" and work.plan.above else answer.version
    if side in work.plan.bases:
        return End(item_id, version, work.plan.bases[side], law.CANON)
    return End(item_id, version, end.base, end.canon)


def together(work: Work, writes: Sequence[Write]) -> list[Write]:
    """The writes of one link that are committed together."""
    keys = {write.key for write in writes}
    return [*writes, *(more for more in work.also if more.key not in keys)]


def taken_back(link: Link, side: Side) -> Link:
    """The link without its last announcement to `side`: the provider said that the write was not made."""
    for position in range(len(link.announced) - 1, -1, -1):
        if link.announced[position].side == side:
            rest: tuple[Announcement, ...] = (*link.announced[:position], *link.announced[position + 1 :])
            return replace(link, announced=rest)
    return link
