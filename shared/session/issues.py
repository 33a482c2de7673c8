"""What is held in a mailbox, and the answers its owner may give: again, send, discard, and let deletions go.

Rules that hold here: an issue is named by its row, says why and about which fields, and shows no content. What waits for
another mailbox is no issue: nobody has to do anything about it. An answer changes the one row and nothing else; the next
session acts on it, and whoever answers rings. Deletions that the brake holds are counted by kind and side, and let go as a
whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from shared.core.errors import RowChanged
from shared.core.model import Side
from shared.ports import LinkStore, Place, Put
from shared.session import records, waiting

MOST = 200
#: What a mailbox waits for by itself.
BY_ITSELF = "waiting."
Answer = Literal["retry", "send", "discard"]


@dataclass(frozen=True)
class Issue:
    """`name` leads back to the row. `since` None = not told. `answers`: what its owner may say."""

    name: str
    kind: str
    code: str
    fields: tuple[str, ...]
    since: datetime | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class HeldDeletions:
    """`side`: where the items are gone."""

    kind: str
    side: Side
    count: int


def rows(store: LinkStore, place: Place) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, value) of everything that is an issue."""
    for row in store.scan(place, *records.every("held")):
        value = records.read(row)
        if not str(value.get("code", "")).startswith(BY_ITSELF):
            yield row.key.removeprefix(records.held("")), value


def read(store: LinkStore, place: Place) -> tuple[list[Issue], list[HeldDeletions]]:
    """The first MOST issues, and the deletions that wait for a word."""
    found = [_issue(name, value) for name, value in islice(rows(store, place), MOST)]
    gone = Counter(
        (value["kind"], value["side"]) for value in map(records.read, store.scan(place, *records.every("gone")))
    )  # fmt: skip
    return found, [HeldDeletions(kind, side, count) for (kind, side), count in sorted(gone.items())]


def _issue(name: str, value: Mapping[str, Any]) -> Issue:
    since = records.moment_of(value["since"]) if value.get("since") else None
    answers: tuple[Answer, ...] = ("send", "discard") if "asked" in value else ("retry",)
    return Issue(name, str(value["kind"]), str(value["code"]), tuple(value.get("fields", ())), since, answers)


def answer(store: LinkStore, place: Place, name: str, said: Answer, now: datetime) -> Literal["taken", "unknown", "unfit"]:
    """Writes the answer down for the next session. `unknown`: no such issue any more; `unfit`: not an answer to it."""
    row = store.get(place, records.held(name))
    if row is None:
        return "unknown"
    value = records.read(row)
    if said not in _issue(name, value).answers:
        return "unfit"
    if said != "retry":
        return "taken" if waiting.say(store, place, name, said) else "unknown"
    if "next" not in value:
        return "taken" if waiting.release(store, place, name) else "unknown"
    try:
        store.commit(place, [Put(row.key, {**value, "next": records.text_of(now)}, row.etag)])
    except RowChanged:
        return "unknown"
    return "taken"
