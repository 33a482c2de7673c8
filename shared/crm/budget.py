"""The Salesforce API budget of one org, remembered between sessions in the org's partition (row `budget`).

Rules that hold here:
- `check` comes before every call. A session that was let in while sessions stretch may finish; once only people may call, or
  nobody, it stops at its next call.
- `heard` takes the limit header of every answer. It never raises: an answer that has arrived must not be lost to a row.
- The row is written at most once a minute, or when the band changes.
- When the news is old, one session in the whole org is let through to ask: whoever wins the row.

It must never hold anything but numbers, a band and times.
Source: REST API Developer Guide, "Limit Info Header" (`api-usage=18/5000; per-app-api-usage=17/250(appName=x)`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.core import budget as bands
from shared.core.budget import Standing
from shared.core.errors import BudgetSpent, NewerRow, RowChanged, SyncError
from shared.ports import Clock, LinkStore, Place, Put, Row

ROW, VERSION = "budget", 1
WRITE_EVERY = timedelta(minutes=1)
_USAGE = re.compile(r"usage=([0-9]+)/([0-9]+)")


class Budget:
    """One session's view. `org` is the org's place; `by_person`: this session does what a person clicked."""

    def __init__(self, store: LinkStore, org: Place, clock: Clock, by_person: bool = False) -> None:
        self._store = store
        self._org = org
        self._clock = clock
        self._by_person = by_person
        self._standing: Standing | None = None
        self._etag = ""
        self._written: datetime | None = None
        self._read = False
        self._begun = False
        self._asking = False

    @property
    def standing(self) -> Standing | None:
        """What is known of the org, None before anything was heard."""
        return self._standing

    def check(self) -> None:
        """Raises BudgetSpent where this session may not call now."""
        if not self._read:
            self._load()
        standing, now = self._standing, self._clock.now()
        if standing is None or self._asking or (self._begun and standing.band == "stretched"):
            self._begun = True
            return
        until = bands.closed_until(standing, now, by_person=self._by_person)
        if until is not None and not (bands.may_ask(standing, now) and self._ask(standing, now)):
            raise BudgetSpent(max(until, now + timedelta(minutes=1)))
        self._begun = True

    def heard(self, header: str | None) -> None:
        """Takes the `Sforce-Limit-Info` header of an answer; the fullest of its budgets counts."""
        self._asking = False
        shares = [int(used) / int(limit) for used, limit in _USAGE.findall(header or "") if int(limit)]
        if not shares:
            return
        now, before = self._clock.now(), self._standing
        self._standing = bands.heard(before, max(shares), now)
        changed = before is None or before.band != self._standing.band
        if changed or self._written is None or now - self._written >= WRITE_EVERY:
            with contextlib.suppress(SyncError):
                self._write(Put(ROW, _value(self._standing)), now)

    def _load(self) -> None:
        row = self._store.get(self._org, ROW)
        self._read = True
        if row is not None and self._standing is None:
            self._standing, self._etag = _standing(row), row.etag
            self._written = self._standing.heard

    def _ask(self, standing: Standing, now: datetime) -> bool:
        """Whether this session is the one that asks: it writes the row first, so that nobody else does."""
        self._standing = bands.heard(standing, standing.share, now)
        try:
            self._write(Put(ROW, _value(self._standing), self._etag), now)
        except RowChanged:  # somebody else asks
            return False
        self._asking = True
        return True

    def _write(self, write: Put, now: datetime) -> None:
        self._etag = self._store.commit(self._org, [write])[ROW]
        self._written = now


def _value(standing: Standing) -> dict[str, Any]:
    return {
        "v": VERSION,
        "band": standing.band,
        "share": round(standing.share, 4),
        "since": standing.since.isoformat(),
        "heard": standing.heard.isoformat(),
    }


def _standing(row: Row) -> Standing:
    value: Mapping[str, Any] = row.value
    if value.get("v", 0) > VERSION:
        raise NewerRow(row.key)
    since, heard = (datetime.fromisoformat(value[name]).astimezone(UTC) for name in ("since", "heard"))
    return Standing(value["band"], value["share"], since, heard)
