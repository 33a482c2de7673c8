"""The rows of the org, in memory: by object, in the order of their last change, with indexes and undo.

Rules that hold here:
- A row is a plain dict of canonical JSON values (see `values`) and is never changed in place: a write puts a new dict, so
  a query's cursor keeps seeing the rows it found.
- Rows of an object stand in the order of SystemModstamp: "what changed since" reads from the end and stops early.
- Every write is journalled until `commit`, so that a refused record, collection or composite can be undone exactly.
- Text keys of an index are lower-case unless the field is case-sensitive: SOQL compares text that way.

It must never know an object's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sandbox.salesforce.schema import Field, ObjectType, Schema

Row = dict[str, Any]


def index_key(field: Field, value: Any) -> Any:
    """The value as equality sees it."""
    return value.lower() if isinstance(value, str) and not field.is_id and "k" not in field.flags else value


class Store:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._rows: dict[str, dict[str, Row]] = {}
        self._indexes: dict[tuple[str, str], tuple[Field, dict[Any, dict[str, None]]]] = {}
        self._journal: list[tuple[ObjectType, str, Row | None]] = []

    def get(self, object_name: str, record_id: str) -> Row | None:
        return self._rows.get(object_name, {}).get(record_id)

    def all(self, object_name: str) -> Iterable[Row]:
        """Every row, deleted ones too, oldest change first."""
        return self._rows.get(object_name, {}).values()

    def newest_first(self, object_name: str) -> Iterator[Row]:
        return reversed(self._rows.get(object_name, {}).values())

    def count(self, object_name: str) -> int:
        return len(self._rows.get(object_name, {}))

    def is_indexed(self, field: Field) -> bool:
        return field.type == "reference" or not field.flags.isdisjoint("iqx")

    def having(self, field: Field, values: Iterable[Any]) -> list[Row]:
        """The rows, deleted ones too, whose indexed field equals one of the values."""
        rows = self._rows.get(field.object_name, {})
        if field.type == "id":
            return [rows[value] for value in values if value in rows]
        index = self._index(field)
        found: dict[str, None] = {}
        for value in values:
            found.update(index.get(index_key(field, value), {}))
        return [rows[record_id] for record_id in found]

    def values_of(self, field: Field) -> list[Any]:
        """The values that rows have in an indexed field."""
        return [value for value, ids in self._index(field).items() if ids]

    def put(self, owner: ObjectType, row: Row) -> None:
        """Writes a whole row, new or in place of the one with its Id."""
        rows = self._rows.setdefault(owner.name, {})
        old = rows.pop(row["Id"], None)
        self._journal.append((owner, row["Id"], old))
        rows[row["Id"]] = row
        self._reindex(owner, old, row)

    def savepoint(self) -> int:
        return len(self._journal)

    def rollback(self, savepoint: int) -> None:
        """Undoes every write since the savepoint, newest first."""
        touched: dict[str, None] = {}
        while len(self._journal) > savepoint:
            owner, record_id, old = self._journal.pop()
            rows = self._rows[owner.name]
            new = rows.pop(record_id)
            if old is not None:
                rows[record_id] = old
            self._reindex(owner, new, old)
            touched[owner.name] = None
        for name in touched:
            self._rows[name] = dict(sorted(self._rows[name].items(), key=lambda item: item[1]["SystemModstamp"]))

    def commit(self) -> None:
        self._journal.clear()

    def _index(self, field: Field) -> dict[Any, dict[str, None]]:
        """The index of a field, built at its first use and kept from then on."""
        place = (field.object_name, field.name)
        known = self._indexes.get(place)
        if known is None:
            known = self._indexes[place] = (field, {})
            for row in self.all(field.object_name):
                _enter(known[1], field, row)
        return known[1]

    def _reindex(self, owner: ObjectType, old: Row | None, new: Row | None) -> None:
        for (object_name, field_name), (field, index) in self._indexes.items():
            if object_name != owner.name:
                continue
            if old is not None and new is not None and old.get(field_name) == new.get(field_name):
                continue
            if old is not None and old.get(field_name) is not None:
                index[index_key(field, old[field_name])].pop(old["Id"], None)
            if new is not None:
                _enter(index, field, new)


def _enter(index: dict[Any, dict[str, None]], field: Field, row: Row) -> None:
    value = row.get(field.name)
    if value is not None:
        index.setdefault(index_key(field, value), {})[row["Id"]] = None
