"""How a mailbox stands, and the three things its owner may ask of it: sync now, pause, resume.

Rules that hold here (behaviour.md S3, S4, S5, 3.1 row 6):
- Well is only who read successfully not long ago: a mailbox whose last good session is older than LATE_INTERVALS intervals is
  late, whatever its last session said.
- A person may ask for a session once in FORCE_S seconds. The time stands in the mailbox's partition and is taken before the
  ring, so that of two that come at once one is refused. The same request sent again (`repeat`) is the same answer, not a
  second ring.
- A paused mailbox stays paused until it is resumed by hand; resuming rings, pausing twice is pausing once.
- Nothing here asks a vendor, and nothing changes a link, cursor, lease or state row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal

from shared.core.errors import NewerRow, RowChanged, RowExists, SyncError
from shared.ports import Bell, Clock, Delete, Insert, LinkStore, MailboxKey, Place, Put, Ring
from shared.session import issues, records, rings

Status = Literal["ok", "new", "late", "paused", "parked", "waiting", "failing"]

FORCE_S = 60
LATE_INTERVALS = 3
#: Issues are counted up to here: a page shows "1000 or more".
MOST_ISSUES = 1000
#: The row of the last sync a person asked for.
FORCED = "forced"


class TooSoon(Exception):
    """A sync was asked for less than FORCE_S seconds ago; `wait_s` whole seconds are left."""

    code = "sync.too_soon"

    def __init__(self, wait_s: int) -> None:
        super().__init__(self.code)
        self.wait_s = wait_s


class IsPaused(Exception):
    """The mailbox is paused: it syncs when it is resumed."""

    code = "sync.paused"


@dataclass(frozen=True)
class Standing:
    """`stage` as the state row says, connecting where there is none yet, parked where newer code wrote it. `code` has a
    sentence in the catalogue. Times in UTC, None = never or not set. `issues`: items that are held, at most MOST_ISSUES."""

    status: Status
    stage: str
    code: str
    issues: int
    failures: int = 0
    activated: datetime | None = None
    last_ok: datetime | None = None
    last_tried: datetime | None = None
    not_before: datetime | None = None
    paused: datetime | None = None


def read(store: LinkStore, place: Place, now: datetime, interval_s: float) -> Standing:
    """How the mailbox stands. `interval_s`: seconds between its sessions without a notification."""
    counted = sum(1 for _ in islice(issues.rows(store, place), MOST_ISSUES))
    try:
        head = rings.read_head(store, place)
    except NewerRow as newer:
        return Standing("failing", "parked", newer.code, counted)
    state = head.value("state")
    paused = records.moment_of(head.value("pause")["at"]) if head.pause is not None else None
    stage, code = str(state.get("stage", "connecting")), str(state.get("health", "new"))
    last_ok, activated = _moment(state, "last_ok"), _moment(state, "activated")
    fresh_since = last_ok or activated or now
    late = now - fresh_since > timedelta(seconds=interval_s * LATE_INTERVALS)
    status = "paused" if paused else _status(stage, code, late)
    return Standing(
        status, stage, _CODES.get(status, code), counted, int(state.get("failures", 0)), activated, last_ok,
        _moment(state, "last_tried"), _moment(state, "not_before"), paused,
    )  # fmt: skip


#: Where the status says more than the last session's code does.
_CODES: Mapping[Status, str] = {"late": "mailbox.late", "paused": "mailbox.paused"}


def _status(stage: str, code: str, late: bool) -> Status:
    if code in ("ok", "new"):
        return "late" if late else "ok" if code == "ok" else "new"
    if stage == "waiting":
        return "waiting"
    return "parked" if code.startswith("budget.") else "failing"


def _moment(state: Mapping[str, Any], name: str) -> datetime | None:
    return records.moment_of(state[name]) if state.get(name) else None


def force(store: LinkStore, bell: Bell, clock: Clock, place: Place, mailbox: MailboxKey, repeat: str = "") -> datetime:
    """Rings for a person; answers when that was. `repeat`: a key of the request, "" where it has none.

    Raises TooSoon, IsPaused, and what the store or the bell raises; then nothing has happened.
    """
    now = clock.now()
    if store.get(place, records.PAUSE) is not None:
        raise IsPaused
    former = store.get(place, FORCED)
    if former is not None:
        value = records.read(former)
        at = records.moment_of(value["at"])
        if (left := FORCE_S - (now - at).total_seconds()) > 0:
            if repeat and value["repeat"] == repeat:
                return at
            raise TooSoon(min(FORCE_S, max(1, round(left))))
    new = records.row(at=records.text_of(now), repeat=repeat)
    try:
        etags = store.commit(place, [Insert(FORCED, new) if former is None else Put(FORCED, new, former.etag)])
    except (RowExists, RowChanged):
        raise TooSoon(FORCE_S) from None
    try:
        bell.ring(Ring(mailbox, "user", now))
    except SyncError:
        with contextlib.suppress(SyncError):
            store.commit(place, [Delete(FORCED, etags[FORCED])])
        raise
    return now


def pause(store: LinkStore, clock: Clock, place: Place) -> None:
    """Stops automatic sync from now on; a pause that stands keeps its time."""
    with contextlib.suppress(RowExists):
        store.commit(place, [Insert(records.PAUSE, records.row(at=records.text_of(clock.now())))])


def resume(store: LinkStore, bell: Bell, clock: Clock, place: Place, mailbox: MailboxKey) -> bool:
    """Ends a pause and rings; False, and no ring, where there was none."""
    try:
        store.commit(place, [Delete(records.PAUSE)])
    except RowChanged:
        return False
    bell.ring(Ring(mailbox, "user", clock.now()))
    return True
