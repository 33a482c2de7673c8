"""Deletions that the brake holds, and the person who confirms them.

Rules that hold here (design section 4, "Brake"): too many deletions at once of one kind on one side stop; the links are kept
with `gone` naming the side, their other ends stay as they are, everything else goes on, and health says so. A confirmation
speaks for what is held when it is read, for nothing later: it is used up with the last of the deletions it let go. Each is read
again first: what came back meanwhile is in step again, what was edited on the other side is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.core import brake
from shared.core.model import SIDES, Link, Side
from shared.ports import Delete, LinkStore, Place, Put, Write
from shared.session import links, records
from shared.session.lease import Held

HEALTH = "mailbox.deletes_held"


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


def stopped(held: Held, kind: str, *, gone: int, inferred: bool, empty: bool) -> bool:
    """Whether so many deletions at once must wait. `empty`: a complete listing named nothing."""
    if gone <= brake.EMPTY_LISTING:
        return False
    known = sum(1 for _ in links.every(held.store, held.place, kind))
    return brake.holds(gone, known, inferred=inferred, empty_listing=empty)


def _word(kind: str, side: Side) -> str:
    return f"confirm_{side}_{kind}"
