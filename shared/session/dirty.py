"""What the org's poll told a mailbox, as pages of changes: the CRM's side of two-way sync, without a question of its own.

Rules that hold here (design section 5):
- A dirty row names a record; its page holds the record as it is now, read in one go with the others. The row goes with If-Match
  once the page is worked off, so that whatever is told meanwhile is told.
- Where very much changed at once one row stands for all: then everything of the user is listed, page after page.
- A mailbox that was just connected asks for nothing, unless its profile takes what stood before: then it is listed once.
- Everything but the changes is the provider's own business, asked as it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.core.errors import ItemError
from shared.core.model import Item, Seen
from shared.ports import Delete, LinkStore, Page, Place, Provider, Row, Send, Sent
from shared.session import records

MOST = 200
#: The cursor while nothing is listed; before a listing's own cursor stands LISTING.
TOLD, LISTING = "told", "list:"


def everything(kind: str) -> str:
    """The row that stands for very many changes of a kind."""
    return f"dirty_all_{kind}"


class ToldChanges:
    """A CRM whose changes of one mailbox are told by rows at `place`. `takes_all`: what stood before is listed once."""

    def __init__(self, crm: Provider, store: LinkStore, place: Place, *, takes_all: bool) -> None:
        self._crm, self._store, self._place, self._takes_all = crm, store, place, takes_all

    @property
    def keyed(self) -> bool:
        return self._crm.keyed

    def changes(self, kind: str, cursor: str | None) -> Page:
        if cursor is not None and cursor.startswith(LISTING):
            return self._listed(kind, cursor.removeprefix(LISTING) or None)
        if (cursor is None and self._takes_all) or self._store.get(self._place, everything(kind)) is not None:
            return self._listed(kind, None)
        rows = self._rows(kind)
        if not rows:
            return Page((), TOLD, done=True)
        ids = list(dict.fromkeys(str(row.value["crm"]) for row in rows))
        found = self._crm.read(kind, ids)
        seen = tuple(found[one] for one in ids if one in found)
        return Page(seen, TOLD, done=len(rows) < MOST, after=tuple(Delete(row.key, row.etag) for row in rows))

    def _listed(self, kind: str, cursor: str | None) -> Page:
        """A page of everything. The row that asked for it, as it was when the listing began, goes with the first page: what is
        told later asks anew."""
        asked = self._store.get(self._place, everything(kind)) if cursor is None else None
        page = self._crm.changes(kind, cursor)
        after = (Delete(asked.key, asked.etag),) if asked is not None else ()
        return Page(page.seen, TOLD if page.done else LISTING + page.cursor, page.done, listing=True, after=after)

    def _rows(self, kind: str) -> list[Row]:
        rows = []
        for row in self._store.scan(self._place, *records.every("dirty_crm")):
            if records.read(row)["kind"] == kind:
                rows.append(row)
            if len(rows) == MOST:
                break
        return rows

    def read(self, kind: str, ids: Sequence[str]) -> Mapping[str, Seen]:
        return self._crm.read(kind, ids)

    def find(self, kind: str, keys: Sequence[str]) -> Mapping[str, Seen]:
        return self._crm.find(kind, keys)

    def made_since(self, kind: str, since: datetime) -> Sequence[Seen]:
        return self._crm.made_since(kind, since)

    def twins(self, items: Sequence[Item]) -> Sequence[Sequence[Seen]]:
        return self._crm.twins(items)

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | ItemError]:
        return self._crm.write(sends)
