"""The item ledger: what was decided about each item of a mailbox, and by which rule. Answers "why" and "why not".

Rules that hold here (design section 5, behaviour.md 0.9):
- Content-free: a `LedgerEntry` is all that is ever stored; its item is a keyed hash.
- Decisions are packed, at most PACK a row, in the mailbox's partition of the table `ledger`. A row key begins with inverted
  time, so that the newest row comes first and what is old is one range at the end.
- A row once written never changes. A flush that failed keeps what was noted and writes the same rows when tried again: a
  decision may be told twice, never lost.
- A cursor names a row and a place in it: newer rows do not move it. It is opaque outside.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched, islice
from typing import Any

from shared.core.errors import RowChanged
from shared.ports import MAX_COMMIT, Delete, LedgerEntry, LinkStore, MailboxKey, Place, Put, Row, TenantId
from shared.session import records

#: Decisions a row, and rows a commit: a commit stays far below the store's 4 MiB even with many field names.
PACK, ROWS_A_COMMIT = 100, 30
#: Microseconds since 1970 are counted down from here, which lies in the year 2286.
_END = 10**16
_CURSOR = re.compile(r"([0-9]{16}_[0-9a-z-]{0,64}_[0-9]{4}_[0-9a-f]{8})\.([0-9]{1,3})")
_NOT_IN_KEY = re.compile(r"[^0-9a-z-]")


class BadCursor(Exception):
    """The cursor is none that this ledger gave."""

    code = "request.next"


@dataclass(frozen=True)
class LedgerPage:
    """Newest first. `next` goes on after it, "" at the end."""

    entries: tuple[LedgerEntry, ...]
    next: str = ""


class TableLedger:
    """The ledger of one mailbox. Writing is one session's; not thread-safe."""

    def __init__(self, store: LinkStore, tenant: TenantId, mailbox: MailboxKey) -> None:
        self._store = store
        self._place = Place("ledger", tenant, "mailbox", mailbox)
        self._noted: list[LedgerEntry] = []
        self._rows_written = 0

    def note(self, entry: LedgerEntry) -> None:
        self._noted.append(entry)

    def flush(self) -> None:
        """Writes what was noted, in the order it was. Raises what the store raises; then it is still noted."""
        rows = [self._row(n, pack) for n, pack in enumerate(_packs(self._noted), self._rows_written)]
        for batch in batched(rows, ROWS_A_COMMIT, strict=False):
            self._store.commit(self._place, batch)
        self._rows_written += len(rows)
        self._noted.clear()

    def _row(self, n: int, pack: Sequence[LedgerEntry]) -> Put:
        session = pack[0].session_id
        packed = [[e.item, e.kind, e.rule, records.text_of(e.at), e.side, list(e.fields)] for e in pack]
        # the same decisions again are the same row; others at the same time, from another part of the session, are not
        digest = hashlib.sha256(json.dumps(packed).encode()).hexdigest()[:8]
        # of rows with the same time the one written last comes first
        key = f"{_inverted(pack[-1].at)}_{_NOT_IN_KEY.sub('-', session.lower())[:64]}_{9999 - n % 10000:04}_{digest}"
        return Put(key, records.row(session=session, entries=packed))

    def entries(self, after: str = "", limit: int = 50, items: Collection[str] = ()) -> LedgerPage:
        """At most `limit` decisions after the cursor, newest first; with `items` only those about one of them.

        Raises BadCursor.
        """
        first, skip = _position(after) if after else ("", 0)
        found = ((place, entry) for place, entry in self._all(first, skip) if not items or entry.item in items)
        page = list(islice(found, limit + 1))
        more = _cursor(*page[limit - 1][0]) if len(page) > limit else ""
        return LedgerPage(tuple(entry for _, entry in page[:limit]), more)

    def _all(self, first: str, skip: int) -> Iterator[tuple[tuple[str, int], LedgerEntry]]:
        """Every decision with the place after it: its row and how many of that row have been told."""
        for row in self._store.scan(self._place, first):
            for told, entry in enumerate(_unpacked(row), 1):
                if row.key != first or told > skip:
                    yield (row.key, told), entry

    def prune(self, before: datetime) -> int:
        """Deletes the rows whose newest decision is older than `before`; answers how many."""
        old = [row.key for row in self._store.scan(self._place, f"{_inverted(before)}`")]
        deleted = 0
        for batch in batched(old, MAX_COMMIT, strict=False):
            with contextlib.suppress(RowChanged):  # somebody else prunes it too
                self._store.commit(self._place, [Delete(key) for key in batch])
                deleted += len(batch)
        return deleted


def _packs(entries: Sequence[LedgerEntry]) -> Iterator[Sequence[LedgerEntry]]:
    """Runs of one session, at most PACK long."""
    start = 0
    for n in range(1, len(entries) + 1):
        if n == len(entries) or n - start == PACK or entries[n].session_id != entries[start].session_id:
            yield entries[start:n]
            start = n


def _unpacked(row: Row) -> Iterator[LedgerEntry]:
    value = records.read(row)
    packed: list[list[Any]] = value["entries"]
    for item, kind, rule, at, side, fields in reversed(packed):
        yield LedgerEntry(item, kind, rule, records.moment_of(at), value["session"], side, tuple(fields))


def _inverted(moment: datetime) -> str:
    return f"{_END - round(moment.timestamp() * 1_000_000):016}"


def _cursor(row_key: str, told: int) -> str:
    return base64.urlsafe_b64encode(f"{row_key}.{told}".encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[str, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise BadCursor from None
    if (match := _CURSOR.fullmatch(text)) is None:
        raise BadCursor
    return match[1], int(match[2])
