"""Runs a SOQL statement over the org's rows, and keeps the cursors of long answers.

Rules that hold here: plain queries see neither deleted rows nor archived activities; a page holds 200 to 2,000 records; a
user has a few cursors, the oldest goes first; a cursor shows the rows as they were found.

It must never show a field that was not selected.

Source: REST API Developer Guide, "Query", "QueryAll", "Query Options Header"; SOQL Reference, "ORDER BY", "OFFSET", "FIELDS()".
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce import event_private, semi_joins
from sandbox.salesforce.activities import archive_limit, is_archived
from sandbox.salesforce.conditions import Conditions
from sandbox.salesforce.paths import Paths, Resolved
from sandbox.salesforce.records import Records
from sandbox.salesforce.refused import Refused, refuse
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.soql import Among, Compare, Condition, Junction, Order, Query, malformed, parse
from sandbox.salesforce.store import Row, index_key

LARGEST_PAGE, SMALLEST_PAGE = 2000, 200
LARGEST_OFFSET = 2000
LARGEST_FIELDS_LIMIT = 200
#: object -> fields of which a query must name one with = or IN
FILTER_NEEDED = {"ContentDocumentLink": ("contentdocumentid", "linkedentityid")}


@dataclasses.dataclass(frozen=True)
class Answer:
    """All rows of a statement and how to show one."""

    rows: list[Row]
    show: Callable[[Row], Row]
    counted: bool = False
    total: int = 0


@dataclasses.dataclass(frozen=True)
class Cursor:
    user_id: str
    answer: Answer
    page: int
    resource: str
    made: datetime


class Queries:
    def __init__(self, records: Records) -> None:
        self._records = records
        self._cursors: dict[str, Cursor] = {}

    def first_page(self, text: str, *, user_id: str, version: str, deleted: bool, page: int) -> dict[str, Any]:
        """The first answer of a statement, as REST shows it."""
        answer = self.run(parse(text), version=version, deleted=deleted)
        if answer.counted:
            return {"totalSize": answer.total, "done": True, "records": []}
        rows = [row for row in answer.rows if event_private.is_visible(self._records, user_id, row)]
        answer = dataclasses.replace(answer, rows=rows, show=event_private.seen_by(self._records, user_id, answer.show))
        page = max(SMALLEST_PAGE, min(LARGEST_PAGE, page))
        resource = "queryAll" if deleted else "query"
        cursor = Cursor(user_id, answer, page, resource, self._records.world.clock.now())
        if len(answer.rows) <= page:
            return self._page("", cursor, 0, version)
        locator = "01g" + secrets.token_hex(8)
        self._cursors[locator] = cursor
        mine = [name for name, one in self._cursors.items() if one.user_id == user_id]
        most = int(self._records.world.switches.get("salesforce.cursors_per_user", 10))
        for name in mine[: max(0, len(mine) - most)]:
            del self._cursors[name]
        return self._page(locator, cursor, 0, version)

    def next_page(self, name: str, *, user_id: str, version: str) -> dict[str, Any]:
        """The page that a nextRecordsUrl named. Raises INVALID_QUERY_LOCATOR."""
        locator, _, start = name.rpartition("-")
        cursor = self._cursors.get(locator)
        life = timedelta(seconds=float(self._records.world.switches.get("salesforce.cursor_life_s", 2 * 86400)))
        if (
            cursor is None
            or cursor.user_id != user_id
            or not start.isdigit()
            or self._records.world.clock.now() - cursor.made > life
        ):
            raise refuse("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(locator, cursor, int(start), version)

    def run(self, query: Query, *, version: str, deleted: bool) -> Answer:
        """The rows that a parsed statement selects. Raises `Refused` for unknown names and what may not be filtered."""
        owner = self._owner(query)
        paths = Paths(self._records, version)
        conditions = Conditions(self._records, paths, owner, query.text, self._semi_join)
        selected = self._selected(query, owner, paths)
        test = conditions.compile(query.where) if query.where else None
        self._check(query, owner)
        semi_joins.check(query, self._records)
        orders = [(order, conditions.resolve(order.path, "sorted")) for order in query.order]
        narrowed = conditions.narrowed(query.where)
        candidates = self._records.store.all(owner.name) if narrowed is None else narrowed
        rows = [row for row in candidates if test is None or test(row)]
        if not (deleted or query.all_rows):
            limit = archive_limit(self._records.world.clock.now())
            rows = [row for row in rows if not row["IsDeleted"] and not is_archived(owner.name, row, limit)]
        if query.count:
            total = len(rows) if query.limit is None else min(len(rows), query.limit)
            return Answer([], lambda row: row, counted=True, total=total)
        rows = _sorted(rows, orders)[query.offset :]
        return Answer(rows if query.limit is None else rows[: query.limit], paths.shown(owner, selected))

    def _owner(self, query: Query) -> ObjectType:
        owner = self._records.schema.find(query.object_name)
        if owner is None:
            raise malformed(
                query.text,
                query.object_at,
                f"sObject type '{query.object_name}' is not supported. If you are attempting to use a custom object, be sure "
                "to append the '__c' after the entity name. Please reference your WSDL or the describe call for the "
                "appropriate names.",
                "INVALID_TYPE",
            )
        return owner

    def _selected(self, query: Query, owner: ObjectType, paths: Paths) -> list[Resolved]:
        if query.all_fields:
            if query.all_fields != "STANDARD" and (query.limit is None or query.limit > LARGEST_FIELDS_LIMIT):
                raise refuse("MALFORMED_QUERY", f"The SOQL FIELDS function must have a LIMIT of at most {LARGEST_FIELDS_LIMIT}")
            wanted = {"ALL": (True, False), "STANDARD": (False,), "CUSTOM": (True,)}[query.all_fields]
            return [paths.resolve(owner, (f.name,)) for f in owner.fields.values() if f.custom in wanted]
        selected: list[Resolved] = []
        for path in query.fields:
            try:
                found = paths.resolve(owner, path.parts)
            except Refused as refusal:
                raise malformed(query.text, path.at, refusal.message, refusal.code) from None
            if any(found.names == one.names for one in selected):
                raise malformed(query.text, path.at, f"duplicate field selected: {'.'.join(path.parts)}", "INVALID_FIELD")
            selected.append(found)
        return selected

    def _check(self, query: Query, owner: ObjectType) -> None:
        if query.offset > LARGEST_OFFSET:
            raise refuse("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {LARGEST_OFFSET}")
        needed = FILTER_NEEDED.get(owner.name)
        if needed and not _filters_by(query.where, needed):
            raise refuse(
                "MALFORMED_QUERY",
                f"Implementation restriction: {owner.name} requires a filter by a single Id on ContentDocumentId or "
                "LinkedEntityId using the equals operator or multiple Id's using the IN operator.",
            )

    def _semi_join(self, query: Query) -> set[Any]:
        """The values of the one field a sub-query selects."""
        owner = self._owner(query)
        found = Paths(self._records, "").resolve(owner, query.fields[0].parts)
        answer = self.run(query, version="", deleted=False)
        return {index_key(found.field, value) for row in answer.rows if (value := found.read(row)) is not None}

    def _page(self, locator: str, cursor: Cursor, start: int, version: str) -> dict[str, Any]:
        rows, end = cursor.answer.rows, start + cursor.page
        page: dict[str, Any] = {"totalSize": len(rows), "done": end >= len(rows)}
        if end < len(rows):
            page["nextRecordsUrl"] = f"/services/data/{version}/{cursor.resource}/{locator}-{end}"
        page["records"] = [cursor.answer.show(row) for row in rows[start:end]]
        return page


def _sorted(rows: list[Row], orders: list[tuple[Order, Resolved]]) -> list[Row]:
    """In the asked order; without one in the order of ids, so that the same query gives the same answer."""
    ordered = sorted(rows, key=lambda row: row["Id"])
    for order, found in reversed(orders):
        nulls_come_up = order.nulls_last != order.descending

        def key(row: Row, found: Resolved = found, nulls: bool = nulls_come_up) -> tuple[bool, Any]:
            value = index_key(found.field, found.read(row))
            return (nulls, 0) if value is None else (not nulls, value)

        ordered.sort(key=key, reverse=order.descending)
    return ordered


def _filters_by(condition: Condition | None, names: tuple[str, ...]) -> bool:
    match condition:
        case Junction("AND", terms):
            return any(_filters_by(term, names) for term in terms)
        case Compare(path, "=", _) | Among(path, False, _, _):
            return len(path.parts) == 1 and path.parts[0].lower() in names
    return False
