"""Items that are held, and the person who does not want to wait for their next try, or for whose word they wait.

Rules that hold here: a held item is tried again by itself when its time has come; a person's word moves that time to now and
changes nothing else. The next session finds it, reads both ends again and decides anew. What stands in a held row is content
free: code, place in our own code, kind, names of fields, times.
"""

from __future__ import annotations

from typing import Literal

from shared.core.errors import RowChanged
from shared.ports import LinkStore, Place, Put
from shared.session import records

#: Seconds until a held item is tried again, where its row says nothing else.
RETRY_S = 6 * 3600.0


def release(store: LinkStore, place: Place, name: str) -> bool:
    """Lets the next session try the held item `name` (its row's key without `held_`). False where it is not held any more."""
    row = store.get(place, records.held(name))
    if row is None:
        return False
    try:
        store.commit(place, [Put(row.key, {**records.read(row), "wait_s": 0.0}, row.etag)])
    except RowChanged:
        return False
    return True


def say(store: LinkStore, place: Place, name: str, answer: Literal["send", "discard"]) -> bool:
    """A person's answer to a change that waits: it crosses, or the mailbox's value stands. It is about the values as they were
    told. False where nothing waits any more, or for something else."""
    row = store.get(place, records.held(name))
    if row is None or "asked" not in row.value:
        return False
    try:
        store.commit(place, [Put(row.key, {**records.read(row), "answer": answer}, row.etag)])
    except RowChanged:
        return False
    return True
