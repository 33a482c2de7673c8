"""The LinkStore in memory, for fast tests. It obeys the port at least as strictly as Azure does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence

from shared.core.errors import RowChanged, RowExists
from shared.ports import Delete, Insert, Place, Row, Write
from shared.store.rows import checked_key, checked_writes, encoded


class MemoryStore:
    """Thread-safe. Values are kept as text, so that nobody changes a row by changing what they were given."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        self._lock = threading.Lock()
        self._etag = 0

    def copy(self) -> MemoryStore:
        """Another store with the same rows and ETags. What is written to one of the two is not seen in the other."""
        made = MemoryStore()
        with self._lock:
            made._rows = {where: dict(rows) for where, rows in self._rows.items()}
            made._etag = self._etag
        return made

    def get(self, place: Place, key: str) -> Row | None:
        checked_key(key)
        with self._lock:
            found = self._rows.get((place.table, place.partition), {}).get(key)
        return Row(key, json.loads(found[0]), found[1]) if found else None

    def get_many(self, place: Place, keys: Sequence[str]) -> Mapping[str, Row]:
        return {key: row for key in keys if (row := self.get(place, key)) is not None}

    def scan(self, place: Place, first: str = "", last: str | None = None) -> Iterator[Row]:
        with self._lock:
            rows = sorted(self._rows.get((place.table, place.partition), {}).items())
        for key, (text, etag) in rows:
            if key >= first and (last is None or key < last):
                yield Row(key, json.loads(text), etag)

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        checked_writes(writes)
        texts = {write.key: "".join(encoded(write.key, write.value)) for write in writes if not isinstance(write, Delete)}
        with self._lock:
            rows = self._rows.setdefault((place.table, place.partition), {})
            for write in writes:
                _check(write, rows.get(write.key))
            etags = {}
            for write in writes:
                if isinstance(write, Delete):
                    del rows[write.key]
                else:
                    self._etag += 1
                    etags[write.key] = f"m{self._etag}"
                    rows[write.key] = (texts[write.key], etags[write.key])
            return etags


def _check(write: Write, there: tuple[str, str] | None) -> None:
    if isinstance(write, Insert):
        if there is not None:
            raise RowExists(write.key)
    elif write.etag is not None:
        if there is None or there[1] != write.etag:
            raise RowChanged(write.key)
    elif isinstance(write, Delete) and there is None:
        raise RowChanged(write.key)
