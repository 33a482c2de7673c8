"""Change logs and sorted lists: what makes delta queries and listings cost what they return, not what a mailbox holds.

Rules that hold here: a log remembers each key once, at its latest change; asking "since n" costs the answer and a binary
search; stale entries are dropped when they outnumber the live ones.

It must never know what a key stands for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Iterator
from datetime import datetime


class ChangeLog[K: Hashable]:
    """(number, key) in rising order of number; numbers come from one counter of the mailbox."""

    def __init__(self) -> None:
        self._log: list[tuple[int, K]] = []
        self._latest: dict[K, int] = {}

    def note(self, key: K, number: int) -> None:
        self._log.append((number, key))
        self._latest[key] = number
        if len(self._log) > 2 * len(self._latest) + 64:
            self._log = [entry for entry in self._log if self._latest.get(entry[1]) == entry[0]]

    def since(self, number: int) -> Iterator[tuple[int, K]]:
        """Every key whose latest change is after `number`, oldest change first."""
        log = self._log
        for at in range(bisect_right(log, number, key=_number), len(log)):
            if self._latest[log[at][1]] == log[at][0]:
                yield log[at]

    def forget(self, key: K) -> None:
        """Takes the key out as if it had never been there."""
        if self._latest.pop(key, None) is not None:
            self._log = [entry for entry in self._log if entry[1] != key]


def _number(entry: tuple[int, object]) -> int:
    return entry[0]


class NewestFirst:
    """Serial numbers of messages sorted by (received, serial), newest first."""

    def __init__(self) -> None:
        self._keys: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, received: datetime, serial: int) -> None:
        insort(self._keys, (-received.timestamp(), -serial))

    def remove(self, received: datetime, serial: int) -> None:
        key = (-received.timestamp(), -serial)
        at = bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            del self._keys[at]

    def page(self, skip: int, count: int | None = None) -> list[int]:
        keys = self._keys[skip:] if count is None else self._keys[skip : skip + count]
        return [-serial for _, serial in keys]

    def after(self, received: datetime | None, serial: int) -> Iterator[int]:
        """Serials behind that key, in order; None = from the start."""
        at = 0 if received is None else bisect_right(self._keys, (-received.timestamp(), -serial))
        for index in range(at, len(self._keys)):
            yield -self._keys[index][1]

    def since(self, received: datetime) -> list[int]:
        """Serials received at that moment or later, newest first."""
        return [-serial for _, serial in self._keys[: bisect_right(self._keys, -received.timestamp(), key=_received)]]


def _received(key: tuple[float, int]) -> float:
    return key[0]
