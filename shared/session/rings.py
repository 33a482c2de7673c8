"""The ring protocol: no ring is lost, whoever dies, and a ring that is answered already costs one query.

Rules that hold here (design section 2; why it departs from it in two places: docs/decisions/002-rings.md):
- A ringer first leaves its mark in the wake row, then tries the lease. The holder first releases, then reads wake. So one
  of the two always sees the other.
- A ringer that finds the lease held rings once more for the time after the lease ends, unless somebody has promised to
  already: the promise stands in the wake row with the time it is for, is made after the ring, and is void once that time
  is over. The queue itself hides a dead holder's message for ten minutes, which is too long to wait for.
- A ring counts as answered only if the last completed pull began after it *and* after the wake row's time: a delayed ring
  also speaks for those who found the promise and left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.core.errors import RowChanged, RowExists
from shared.ports import Bell, Delete, Insert, LinkStore, Place, Put, Ring, Row
from shared.session import records

#: Seconds after a lease's end at which a delayed ring looks again.
AFTER_LEASE_S = 5.0
#: Tries to write the wake row while others write it too; each failure means that somebody else's mark was left.
TRIES = 20


@dataclass(frozen=True)
class Head:
    """The rows every ring reads, by one query. None = not there; a pause row there means that a person paused the mailbox."""

    lease: Row | None
    state: Row | None
    wake: Row | None
    pause: Row | None = None

    def value(self, name: str) -> Mapping[str, Any]:
        found: Row | None = getattr(self, name)
        return records.read(found) if found is not None else {}

    def pulled_at(self) -> datetime | None:
        """When the last completed pull began."""
        text = self.value("state").get("pulled_at")
        return records.moment_of(text) if text else None

    def woken_at(self) -> datetime | None:
        text = self.value("wake").get("at")
        return records.moment_of(text) if text else None


def read_head(store: LinkStore, place: Place) -> Head:
    """Raises NewerRow when any of the rows was written by newer code."""
    rows = {found.key: found for found in store.scan(place, *records.HEAD)}
    for found in rows.values():
        records.read(found)
    return Head(rows.get(records.LEASE), rows.get(records.STATE), rows.get(records.WAKE), rows.get(records.PAUSE))


def is_answered(head: Head, ring: Ring) -> bool:
    pulled, woken = head.pulled_at(), head.woken_at()
    return pulled is not None and pulled > (ring.at if woken is None else max(ring.at, woken))


def leave_mark(store: LinkStore, place: Place, wake: Row | None, ring: Ring) -> None:
    """Writes into the wake row that there is something to see since `ring.at`; a later time that stands there stays."""
    for _ in range(TRIES):
        old = records.read(wake) if wake is not None else {}
        at = max(records.text_of(ring.at), old.get("at", ""))
        value = records.row(why=ring.why, at=at, promised=old.get("promised", ""))
        try:
            store.commit(place, [Insert(records.WAKE, value) if wake is None else Put(records.WAKE, value, wake.etag)])
            return
        except (RowExists, RowChanged):
            wake = store.get(place, records.WAKE)
    raise RowChanged(records.WAKE)


def look_again(store: LinkStore, bell: Bell, place: Place, ring: Ring, now: datetime) -> None:
    """The lease is held: makes sure that somebody looks again after its end, this ringer or one before it."""
    head = read_head(store, place)
    if head.wake is None:
        return  # the holder has read the mark and taken it away: it rang, or its pull began after the mark
    promised = head.value("wake").get("promised", "")
    if promised and records.moment_of(promised) > now:
        return
    ends = records.moment_of(head.value("lease")["until"]) if head.lease is not None else now
    again = max(ends, now) + timedelta(seconds=AFTER_LEASE_S)
    bell.ring(ring, (again - now).total_seconds())
    value = {**head.value("wake"), "promised": records.text_of(again)}
    with contextlib.suppress(RowChanged):  # without the promise the next ringer rings too, which is only one ring more
        store.commit(place, [Put(records.WAKE, value, head.wake.etag)])


def answer_wake(store: LinkStore, bell: Bell, place: Place, ring: Ring, pull_began: datetime | None) -> None:
    """What the holder does after releasing: rings itself for a mark newer than its pull, and takes the mark away.

    The ring comes first: a crash between the two costs one ring too many, never one too few.
    """
    for _ in range(TRIES):
        wake = store.get(place, records.WAKE)
        if wake is None:
            return
        at = records.moment_of(records.read(wake)["at"])
        if pull_began is None or at >= pull_began:
            bell.ring(Ring(ring.mailbox, "wake", at))
        try:
            store.commit(place, [Delete(records.WAKE, wake.etag)])
            return
        except RowChanged:
            continue
