"""The vendor's notifications: a session keeps its mailbox's subscription alive, before it looks at anything else.

Rules that hold here: renewed once a day, at once when the vendor says so (ring "renew"), made anew when the vendor no longer
knows it; so one that the vendor dropped without a word is missed for a day at most. Notifications only make things quicker:
where the vendor refuses to send any, or is out of order, the mailbox goes on by the sweep, the reason stands in the row, and
it is tried again: after six hours, or after ten minutes where it will probably work soon. A vendor that is wholly away is told
by what the session does next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.core.errors import ConsentNeeded, Gone, ItemError, Retry, SyncError
from shared.ports import Push, Put, Subscription
from shared.session import records
from shared.session.lease import Held
from shared.session.run import PartReport

#: Of the vendor's seven days; six means once a day.
RENEW_BEFORE = timedelta(days=6)
TRY_AGAIN, SOON = timedelta(hours=6), timedelta(minutes=10)
NONE: Mapping[str, Any] = {"id": "", "generation": 0, "expires": "", "refused": "", "next": ""}


@dataclass(frozen=True)
class Door:
    """Where notifications of one generation arrive, and what they carry to prove themselves."""

    notify_url: str
    lifecycle_url: str
    state: str


class KeepPush:
    """`stream`: what it is about, a row of its own; `door(generation)` makes the addresses; `at_once`: the vendor asked for a
    renewal."""

    name = "push"

    def __init__(self, push: Push, door: Callable[[int], Door], *, stream: str = "mail", at_once: bool = False) -> None:
        self._push, self._door, self._at_once = push, door, at_once
        self._row = f"sub_{stream}"

    def run(self, held: Held) -> PartReport:
        row = held.store.get(held.place, self._row)
        value: dict[str, Any] = dict(records.read(row) if row is not None else NONE)
        now = records.text_of(held.now())
        soon = records.text_of(held.now() + RENEW_BEFORE)
        if value["next"] > now or (value["id"] and value["expires"] > soon and not self._at_once):
            return PartReport()
        try:
            subscription = self._renewed(value["id"]) or self._subscribed(value["generation"] + 1)
        except (ItemError, ConsentNeeded) as refused:
            return self._put_off(held, value | {"id": ""}, refused, TRY_AGAIN)
        except Retry as later:
            return self._put_off(held, value, later, SOON)
        generation = value["generation"] + (subscription.id != value["id"])
        kept = records.row(
            id=subscription.id, generation=generation, expires=records.text_of(subscription.expires), refused="", next=""
        )
        held.commit([Put(self._row, kept)])
        return PartReport(counts={"push.renewed": 1})

    def _put_off(self, held: Held, value: Mapping[str, Any], problem: SyncError, wait: timedelta) -> PartReport:
        again = records.text_of(held.now() + wait)
        held.commit([Put(self._row, {**value, "refused": problem.code, "next": again, "v": records.VERSION})])
        return PartReport(counts={"push.refused": 1})

    def _renewed(self, subscription_id: str) -> Subscription | None:
        if not subscription_id:
            return None
        try:
            return self._push.renew(subscription_id)
        except Gone:
            return None

    def _subscribed(self, generation: int) -> Subscription:
        door = self._door(generation)
        return self._push.subscribe(door.notify_url, door.lifecycle_url, door.state)
