"""In-memory sides of two-way sync that obey the Provider port, for the fast property tests. Stricter than the vendors.

Rules that hold here: every write gives a new version; a stale version is refused; a side may be narrow; a tombstone stays; the
mailbox tells changes by a delta feed with dead cursors, the CRM by stamps with one second's resolution; "merely opened"
items get a new version with the same content. `before` is called ahead of each call and may raise, edit or kill: the tests'
fault plan; `after` is called when the work is done and the answer is not given yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from shared.core import fields as law
from shared.core.errors import CursorExpired, Gone, ItemError, Stale
from shared.core.model import Facts, Item, Seen, Side, Value
from shared.ports import Page, Send, Sent

LONG_AGO = datetime.min.replace(tzinfo=UTC)
NO_FACTS = Facts()
PAGE = 10
OVERLAP = 3


@dataclass
class Record:
    """One item at a provider, as the provider keeps it."""

    id: str
    kind: str
    fields: dict[str, Value]
    key: str = ""
    version: int = 1
    deleted: bool = False
    marked: bool = True
    changed_at: int = 0
    by: Literal["user", "us"] = "user"
    made_at: datetime = LONG_AGO
    facts: Facts = NO_FACTS


@dataclass
class MemorySide:
    """One provider. `now` is its logical clock, `time` the one on the wall; users edit through `edit`, `create`, `remove`,
    `mark`. Without `keyed` it has no place for our keys (lookup mode)."""

    side: Side
    before: Callable[[str], None]
    after: Callable[[str], None]
    keyed: bool = True
    time: Callable[[], datetime] = lambda: LONG_AGO
    records: dict[str, Record] = field(default_factory=dict)
    now: int = 0
    writes: int = 0
    calls: int = 0
    generation: int = 0  # a cursor of another generation is dead

    # what users do

    def create(self, kind: str, fields: Mapping[str, Value], *, key: str = "", by: Literal["user", "us"] = "user") -> Record:
        record = Record(f"{self.side}{len(self.records)}", kind, law.narrowed(kind, self.side, fields), key, by=by)
        record.made_at = self.time()
        self.records[record.id] = record
        self._touch(record)
        return record

    def edit(self, record: Record, fields: Mapping[str, Value]) -> None:
        record.fields |= law.narrowed(record.kind, self.side, fields)
        self._touch(record)

    def remove(self, record: Record) -> None:
        record.deleted = True
        self._touch(record)

    def mark(self, record: Record, marked: bool) -> None:
        record.marked = marked
        self._touch(record)

    def open(self, record: Record) -> None:
        """Looking at an item moves its version and nothing else."""
        self._touch(record)

    def alive(self, kind: str) -> list[Record]:
        return [record for record in self.records.values() if record.kind == kind and not record.deleted]

    def _touch(self, record: Record) -> None:
        self.now += 1
        record.version += 1
        record.changed_at = self.now

    # the port

    def changes(self, kind: str, cursor: str | None) -> Page:
        self._called("changes")
        if cursor is not None and not cursor.startswith(f"{self.generation}:"):
            raise CursorExpired(f"{self.side}.{kind}")
        since, listing_after = -1, ""
        listing = cursor is None or cursor.split(":")[1] == "list"
        began = self.now  # a cursor is taken when the fetch begins
        if cursor is not None:
            _, mode, position, *rest = cursor.split(":")
            if mode == "list":
                began, listing_after = int(position), rest[0]
            else:
                since = int(position)
        found = [r for r in self.records.values() if r.kind == kind]
        if listing:
            ordered = sorted((r for r in found if not r.deleted and r.id > listing_after), key=lambda r: r.id)
            page = ordered[:PAGE]
            done = len(ordered) <= PAGE
        else:
            overlap = OVERLAP if self.side == "crm" else 0
            page = sorted((r for r in found if r.changed_at > since - overlap), key=lambda r: r.changed_at)
            done = True
        answer = tuple(self._seen(record) for record in page)
        self.before("page")  # users go on while the answer is made
        following = f"{self.generation}:at:{began}" if done else f"{self.generation}:list:{began}:{page[-1].id}"
        self.after("changes")
        return Page(answer, following, done, listing)

    def read(self, kind: str, ids: Sequence[str]) -> Mapping[str, Seen]:
        self._called("read")
        answer = {item_id: self._seen(self.records[item_id]) for item_id in ids}
        self.after("read")
        return answer

    def find(self, kind: str, keys: Sequence[str]) -> Mapping[str, Seen]:
        self._called("find")
        answer = {r.key: self._seen(r) for r in self.records.values() if r.kind == kind and r.key in keys and self.keyed}
        self.after("find")
        return answer

    def made_since(self, kind: str, since: datetime) -> Sequence[Seen]:
        self._called("made_since")
        made = [self._seen(record) for record in self.alive(kind) if record.by == "us" and record.made_at >= since]
        self.after("made_since")
        return made

    def twins(self, items: Sequence[Item]) -> Sequence[Sequence[Seen]]:
        self._called("twins")
        answer = [self._twins(item) for item in items]
        self.after("twins")
        return answer

    def _twins(self, item: Item) -> Sequence[Seen]:
        wanted = law.natural_key(item)
        return [
            self._seen(record)
            for record in self.alive(item.kind)
            if wanted is not None and law.natural_key(Item(item.kind, record.fields)) == wanted and record.marked
        ]

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | ItemError]:
        self._called("write")
        answers = [self._write(send) for send in sends]
        self.after("write")
        return answers

    def _write(self, send: Send) -> Sent | ItemError:
        if send.verb == "create":
            if self.keyed and send.key and any(r.key == send.key for r in self.records.values()):
                return Stale()
            record = self.create(send.kind, send.fields, key=send.key, by="us")
        else:
            record = self.records[send.id]
            if record.deleted:
                return Gone()
            if send.version not in ("*", str(record.version)):  # "*" is any version, RFC 9110 13.1.1
                return Stale()
            if send.verb == "patch":
                above = {name: f"{send.fields[name]}\n{record.fields[name]}" for name in send.above}
                self.edit(record, {**send.fields, **above})
            elif send.verb == "delete":
                self.remove(record)
            else:
                self.mark(record, False)
        self.writes += 1
        return Sent(record.id, str(record.version))

    def _called(self, what: str) -> None:
        self.calls += 1
        self.before(what)

    def _seen(self, record: Record) -> Seen:
        item = None if record.deleted else Item(record.kind, dict(record.fields))
        return Seen(record.id, str(record.version), item, record.key if self.keyed else "", record.marked, record.facts)
