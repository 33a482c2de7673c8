"""Deletions that the brake holds, and the person who confirms them.

Rules that hold here (design section 4, "Brake"): too many deletions at once of one kind on one side stop; the links are kept
with `gone` naming the side, their other ends stay as they are, everything else goes on, and health says so. A confirmation
speaks for what is held when it is read, for nothing later: it is used up with the last of the deletions it let go. Each is read
again first: what came back meanwhile is in step again, what was edited on the other side is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core import brake
from shared.core.model import SIDES, Link, Side
from shared.ports import Delete, LinkStore, Place, Put, Write
from shared.session import links, records
from shared.session.lease import Held

HEALTH = "mailbox.deletes_held"
DAY = timedelta(hours=24)
#: Pages with deletions that are remembered of a day.
MOST_COUNTED = 200


@dataclass(frozen=True)
class Confirmed:
    """`links`: whose deletion may be carried out now. `words`: what uses the confirmation up. `health`: of what still waits."""

    links: Sequence[Link]
    words: Sequence[Write]
    health: str


def confirm(store: LinkStore, place: Place, kind: str, side: Side, now: datetime) -> bool:
    """What a person's click does: the next session carries the held deletions out. False where none is held: a confirmation
    must not wait for the next mistake."""
    if all(link.gone != side for link in links.gone(store, place, kind)):
        return False
    store.commit(place, [Put(_word(kind, side), records.row(at=records.text_of(now)))])
    return True


def confirmed(held: Held, kind: str) -> Confirmed:
    """What of the held deletions a person has let go. Costs one query where nothing is held."""
    waiting = links.gone(held.store, held.place, kind)
    if not waiting:
        return Confirmed((), (), "")
    words = held.store.get_many(held.place, [_word(kind, side) for side in SIDES])
    let_go = [link for link in waiting if link.gone and _word(kind, link.gone) in words]
    uses = [Delete(key, row.etag) for key, row in words.items()] if let_go else []
    return Confirmed(let_go, uses, HEALTH if len(let_go) < len(waiting) else "")


def stopped(held: Held, kind: str, side: Side, *, gone: int, inferred: bool, empty: bool) -> bool:
    """Whether so many deletions must wait, with those of the last DAY, in however many pages and sessions they came. What may
    go on is counted. `empty`: a complete listing named nothing."""
    if not gone:
        return False
    row = held.store.get(held.place, _counted(kind, side))
    since = records.text_of(held.now() - DAY)
    lately = [[at, n] for at, n in (records.read(row)["deleted"] if row is not None else ()) if at > since]
    before = sum(int(n) for _, n in lately)
    if gone + before > brake.EMPTY_LISTING:
        known = before + sum(1 for _ in links.every(held.store, held.place, kind))
        if brake.holds(gone + before, known, inferred=inferred, empty_listing=empty):
            return True
    counted = [*lately, [records.text_of(held.now()), gone]][-MOST_COUNTED:]
    held.commit([Put(_counted(kind, side), records.row(deleted=counted))])
    return False


def _counted(kind: str, side: Side) -> str:
    return f"deleted_{side}_{kind}"


def _word(kind: str, side: Side) -> str:
    return f"confirm_{side}_{kind}"
