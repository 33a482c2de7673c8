"""Links as rows: how a link is written down, found by either end's id, and kept in the list of unfinished ones.

Rows of a link: `link_{key}`, one index row for each end (`mail_{hash}`, `crm_{hash}` -> key), and `open_{key}` as long as
an announcement is not finished, so that the next session finds those without reading every link.
"""

from __future__ import annotations

import hashlib
from base64 import b32hexencode
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from shared.core.model import SIDES, Announcement, End, Link, Side
from shared.ports import Delete, LinkStore, Place, Put, Row, Write
from shared.session import records

_GENERATION = 2  # characters of an item's key after the link's key


def link_key(mailbox: str, kind: str, side: Side, source_id: str) -> str:
    """The key of the link that an item of `side` begins: base32hex, 32 characters, a legal key and event id everywhere."""
    text = "\x1f".join((mailbox, kind, side, source_id))
    return b32hexencode(hashlib.sha256(text.encode()).digest()).decode().lower()[:32]


def item_key(link: Link) -> str:
    """The key that the item we make for this link carries at the provider."""
    return f"{link.key}{link.generation:0{_GENERATION}x}"


def key_of_item(key: str) -> str:
    return key[:-_GENERATION]


def hash_of(item_id: str) -> str:
    return b32hexencode(hashlib.sha256(item_id.encode()).digest()).decode().lower()[:32]


def to_row(link: Link) -> dict[str, Any]:
    value = asdict(link)
    value["announced"] = [asdict(announcement) for announcement in link.announced]
    return records.row(**value)


def from_row(row: Row) -> Link:
    value = dict(records.read(row))
    value.pop("v")
    announced = tuple(Announcement(**announcement) for announcement in value.pop("announced"))
    mail, crm = (End(**value.pop(side)) for side in SIDES)
    return Link(**value, mail=mail, crm=crm, announced=announced)


def writes(link: Link, *, before: Link | None = None) -> list[Write]:
    """What stores the link with its index rows. `before` is the link as stored, so that old index rows go."""
    result: list[Write] = [Put(records.link(link.key), to_row(link))]
    for side in SIDES:
        old, new = before.end(side).id if before else "", link.end(side).id
        if new and new != old:
            result.append(Put(records.index(side, hash_of(new)), records.row(key=link.key)))
        if old and new != old:
            result.append(Delete(records.index(side, hash_of(old))))
    was_open, is_open = bool(before and before.announced), bool(link.announced)
    if is_open and not was_open:
        result.append(Put(f"open_{link.key}", records.row(kind=link.kind)))
    if was_open and not is_open:
        result.append(Delete(f"open_{link.key}"))
    return result


def removal(link: Link) -> list[Write]:
    """What forgets a stored link."""
    result: list[Write] = [Delete(records.link(link.key))]
    result += [Delete(records.index(side, hash_of(link.end(side).id))) for side in SIDES if link.end(side).id]
    return [*result, Delete(f"open_{link.key}")] if link.announced else result


def load(store: LinkStore, place: Place, key: str) -> Link | None:
    row = store.get(place, records.link(key))
    return from_row(row) if row is not None else None


def by_id(store: LinkStore, place: Place, side: Side, item_id: str) -> Link | None:
    row = store.get(place, records.index(side, hash_of(item_id)))
    return load(store, place, str(records.read(row)["key"])) if row is not None else None


def unfinished(store: LinkStore, place: Place, kind: str) -> Iterator[Link]:
    for row in list(store.scan(place, *records.every("open"))):
        if records.read(row)["kind"] == kind and (link := load(store, place, row.key.removeprefix("open_"))) is not None:
            yield link


def every(store: LinkStore, place: Place, kind: str) -> Iterator[Link]:
    for row in store.scan(place, *records.every("link")):
        if (link := from_row(row)).kind == kind:
            yield link
