"""The safety net: every mailbox is rung by the clock once in a while, whether or not a notification came.

Rules that hold here: a mailbox has a fixed minute slot; each run of the sweep rings the slots since the last one, so a missed
minute is made good and a ring too many costs a session one query. The row that says how far the sweep came is written after
the rings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shared.ports import Bell, Clock, LinkStore, MailboxKey, Place, Put, Ring
from shared.session import records

ROW = "sweep"


def sweep(
    store: LinkStore, bell: Bell, clock: Clock, place: Place, due: Callable[[int], Iterable[MailboxKey]], *, slots: int
) -> int:
    """Rings who is due; answers how many. `due(minute)` names the mailboxes of a minute, repeating every `slots` minutes."""
    now = clock.now()
    minute = int(now.timestamp() // 60)
    row = store.get(place, ROW)
    last = int(records.read(row)["minute"]) if row is not None else minute - 1
    rung = 0
    for passed in range(max(last, minute - slots) + 1, minute + 1):
        for mailbox in due(passed):
            bell.ring(Ring(mailbox, "sweep", now))
            rung += 1
    if minute != last:
        store.commit(place, [Put(ROW, records.row(minute=minute))])
    return rung
