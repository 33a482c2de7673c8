"""The lease of a mailbox, with fencing: whoever holds it proves so with every write.

Rules that hold here: a lease is taken only when it is free or over, by insert or If-Match; every commit carries the lease
row first, with If-Match, and moves its end, so a holder that was thought dead and comes back writes nothing (LeaseLost).
Nothing else in the engine may write a mailbox's link, cursor or state rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.core.errors import LeaseLost, RowChanged, RowExists
from shared.ports import MAX_COMMIT, Clock, Insert, LinkStore, Place, Put, Row, Write
from shared.session import records

#: Of a lease's time, the part below which `extend` writes: what is left of 90 s outlasts the longest call of a vendor (70 s),
#: so that nobody is still writing when another session begins.
EXTEND_BELOW = 0.85


class Held:
    """A lease that was taken. Not thread-safe: one session is one thread."""

    def __init__(
        self, store: LinkStore, clock: Clock, place: Place, *, session_id: str, epoch: int, etag: str, until: datetime,
        lease_s: float, slice_s: float, slice_items: int,
    ) -> None:  # fmt: skip
        self.store, self.clock, self.place = store, clock, place
        self.session_id, self.epoch = session_id, epoch
        self._etag, self._until, self._lease_s = etag, until, lease_s
        self._slice_ends = clock.now() + timedelta(seconds=slice_s)
        self._items_left = slice_items

    def now(self) -> datetime:
        return self.clock.now()

    def commit(self, writes: Sequence[Write]) -> Mapping[str, str]:
        """One transaction of at most MAX_COMMIT - 1 writes that also proves and extends the lease.

        Raises LeaseLost when somebody else holds the mailbox; any other refusal as the store tells it.
        """
        if len(writes) > MAX_COMMIT - 1:
            raise ValueError(f"a session's commit takes at most {MAX_COMMIT - 1} writes")
        until = self.clock.now() + timedelta(seconds=self._lease_s)
        etags = self._write([Put(records.LEASE, _lease(self.session_id, self.epoch, until), self._etag), *writes])
        self._etag, self._until = etags[records.LEASE], until
        return etags

    def extend(self) -> None:
        """Moves the lease's end when little of it is left; call it between slow steps."""
        if (self._until - self.clock.now()).total_seconds() < self._lease_s * EXTEND_BELOW:
            self.commit(())

    def release(self, writes: Sequence[Write] = ()) -> None:
        """Gives the lease back, together with the last writes of the session."""
        self._write([Put(records.LEASE, _lease("", self.epoch, self.clock.now()), self._etag), *writes])

    def count(self, items: int) -> None:
        self._items_left -= items

    def spent(self) -> bool:
        """Whether the slice is used up: the session should stop at the next safe place and ring itself."""
        return self._items_left <= 0 or self.clock.now() >= self._slice_ends

    def _write(self, writes: Sequence[Write]) -> Mapping[str, str]:
        try:
            return self.store.commit(self.place, writes)
        except RowChanged as refused:
            if refused.key == records.LEASE:
                raise LeaseLost from None
            raise


def take(
    store: LinkStore, clock: Clock, place: Place, lease: Row | None, *, session_id: str, lease_s: float, slice_s: float,
    slice_items: int,
) -> Held | None:  # fmt: skip
    """The lease, or None when somebody holds it. `lease` is the row as read; a free one is written with If-Match."""
    now = clock.now()
    if lease is not None and is_held(lease, now):
        return None
    until = now + timedelta(seconds=lease_s)
    epoch = 1 if lease is None else int(records.read(lease)["epoch"]) + 1
    value = _lease(session_id, epoch, until)
    write: Write = Insert(records.LEASE, value) if lease is None else Put(records.LEASE, value, lease.etag)
    try:
        etag = store.commit(place, [write])[records.LEASE]
    except (RowExists, RowChanged):
        return None
    return Held(
        store, clock, place, session_id=session_id, epoch=epoch, etag=etag, until=until, lease_s=lease_s, slice_s=slice_s,
        slice_items=slice_items,
    )  # fmt: skip


def is_held(lease: Row, now: datetime) -> bool:
    value = records.read(lease)
    return bool(value["owner"]) and records.moment_of(value["until"]) > now


def _lease(owner: str, epoch: int, until: datetime) -> dict[str, object]:
    return records.row(owner=owner, epoch=epoch, until=records.text_of(until))
