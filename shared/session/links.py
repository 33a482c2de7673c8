"""Links as rows: how a link is written down, found by either end's id, and kept in the list of unfinished ones.

Rows of a link: `link_{key}`; one index row for each end (`mail_{hash}`, `crm_{hash}` -> key); and, so that a session finds
them without reading every link, `open_{key}` as long as an announcement is not finished, `gone_{key}` as long as the brake
holds a deletion, `held_{key}.insist` as long as two systems insist on a field, `held_{key}.wait` as long as a change in the CRM
waits for a person's word, `group_{series}_{key}` for an occurrence. They change with the link, in one transaction.
"""

from __future__ import annotations

import hashlib
from base64 import b32hexencode
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from shared.core import insist
from shared.core.model import SIDES, Announcement, End, Link, Side
from shared.ports import Delete, LinkStore, Place, Put, Row, Write
from shared.session import records

READ_TOGETHER = 100  # rows that are asked for side by side
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
    value: dict[str, Any] = {**vars(link), "announced": [vars(one) for one in link.announced]}
    return records.row(**value | {side: vars(link.end(side)) for side in SIDES})


def from_row(row: Row) -> Link:
    value = dict(records.read(row))
    value.pop("v")
    announced = tuple(Announcement(**announcement) for announcement in value.pop("announced"))
    mail, crm = (End(**value.pop(side)) for side in SIDES)
    value |= {"ours": tuple(value.get("ours", ())), "waits": {name: tuple(one) for name, one in value.get("waits", {}).items()}}
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
    old_marks, new_marks = _marks(before) if before else {}, _marks(link)
    result += [Put(key, value) for key, value in new_marks.items() if old_marks.get(key) != value]
    return result + [Delete(key) for key in old_marks if key not in new_marks]


def _marks(link: Link) -> dict[str, dict[str, Any]]:
    """The rows that say what a link waits for."""
    marks = {}
    if link.announced:
        marks[f"open_{link.key}"] = records.row(kind=link.kind)
    if link.gone:
        marks[f"gone_{link.key}"] = records.row(kind=link.kind, side=link.gone)
    if link.insists:
        since = records.text_of(datetime.fromtimestamp(max(link.insists.values()), UTC))
        fields = sorted(link.insists)
        marks[insisting(link.key)] = records.row(
            kind=link.kind, code="held.insist", fields=fields, since=since, wait_s=insist.HOLD_S
        )
    if asked := {name: digest for name, (rule, digest) in link.waits.items() if rule.startswith("held.")}:
        code = min(rule for rule, _ in link.waits.values() if rule.startswith("held."))
        # tried by a person's word alone, which is about the values of `asked` and no others
        marks[waiting(link.key)] = records.row(kind=link.kind, code=code, fields=sorted(asked), asked=asked, wait_s=None)
    if link.group:
        marks[f"group_{link.group}_{link.key}"] = records.row()
    return marks


def waiting(key: str) -> str:
    return records.held(f"{key}.wait")


def of_groups(store: LinkStore, place: Place, groups: Collection[str]) -> list[Link]:
    """The links of these series' occurrences, in one walk. `groups` as in the links."""
    parts = (row.key.split("_") for row in store.scan(place, *records.every("group")))
    return list(many(store, place, [key for _, group, key in parts if group in groups]).values())


def insisting(key: str) -> str:
    return records.held(f"{key}.insist")


def removal(link: Link) -> list[Write]:
    """What forgets a stored link."""
    result: list[Write] = [Delete(records.link(link.key))]
    result += [Delete(records.index(side, hash_of(link.end(side).id))) for side in SIDES if link.end(side).id]
    return result + [Delete(key) for key in _marks(link)]


def load(store: LinkStore, place: Place, key: str) -> Link | None:
    row = store.get(place, records.link(key))
    return from_row(row) if row is not None else None


def many(store: LinkStore, place: Place, keys: Sequence[str]) -> dict[str, Link]:
    """The links that are there, by key."""
    found = _rows(store, place, [records.link(key) for key in keys])
    return {link.key: link for link in map(from_row, found.values())}


def by_ids(store: LinkStore, place: Place, side: Side, item_ids: Sequence[str]) -> dict[str, Link]:
    """The links of these items, by the item's id."""
    index = {item_id: records.index(side, hash_of(item_id)) for item_id in item_ids}
    rows = _rows(store, place, list(index.values()))
    keys = {item_id: str(records.read(rows[key])["key"]) for item_id, key in index.items() if key in rows}
    links = many(store, place, list(keys.values()))
    return {item_id: links[key] for item_id, key in keys.items() if key in links}


def _rows(store: LinkStore, place: Place, keys: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for some in batched(dict.fromkeys(keys), READ_TOGETHER, strict=False):
        found |= store.get_many(place, some)
    return found


def unfinished(store: LinkStore, place: Place, kind: str) -> list[Link]:
    """Links with an announcement that is not finished."""
    return _marked(store, place, kind, "open")


def gone(store: LinkStore, place: Place, kind: str) -> list[Link]:
    """Links with a deletion that the brake holds."""
    return _marked(store, place, kind, "gone")


def _marked(store: LinkStore, place: Place, kind: str, prefix: str) -> list[Link]:
    rows = list(store.scan(place, *records.every(prefix)))
    keys = [row.key.removeprefix(f"{prefix}_") for row in rows if records.read(row)["kind"] == kind]
    return list(many(store, place, keys).values())


def every(store: LinkStore, place: Place, kind: str) -> Iterator[Link]:
    for row in store.scan(place, *records.every("link")):
        if (link := from_row(row)).kind == kind:
            yield link
