"""What a semi-join (`IN (SELECT ...)`) may be. Checked before a statement runs.

Rules that hold here: both sides are an id or a reference; the inner statement selects one such field of its own object, is of
another object than the outer one, and has no order, limit or count; at most two in a statement, never under OR or NOT, never
one inside another; activities cannot be the inner object.

It must never run a statement.

Source: SOQL and SOSL Reference, "Comparison Operators", section "Semi-Joins with IN and Anti-Joins with NOT IN".
"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.salesforce.records import Records
from sandbox.salesforce.refused import Refused, refuse
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.soql import Among, Condition, Junction, Not, Query

MOST_SEMI_JOINS = 2
NO_INNER = frozenset({"Event", "Task"})


def check(query: Query, records: Records) -> None:
    """Raises MALFORMED_QUERY for a semi-join that SOQL does not run."""
    found = list(_semi_joins(query.where, under=""))
    if len(found) > MOST_SEMI_JOINS:
        raise _malformed(f"maximum {MOST_SEMI_JOINS} semi join sub-selects are allowed in a query")
    outer = records.schema.find(query.object_name)
    for among, under in found:
        if under:
            raise _malformed(f"Semi join sub-selects are not allowed with the '{under}' operator")
        if outer is not None and among.query is not None:
            _check_one(outer, among, among.query, records)


def _check_one(outer: ObjectType, among: Among, inner: Query, records: Records) -> None:
    owner = records.schema.find(inner.object_name)
    if owner is None:
        return  # the inner statement says so itself, with its place
    if inner.count or inner.all_fields or inner.order or inner.limit is not None or inner.offset:
        raise _malformed("Semi join sub-selects support neither COUNT, FIELDS, ORDER BY, LIMIT nor OFFSET")
    if len(inner.fields) != 1:
        raise _malformed("only root queries support selecting more than one field")
    if owner is outer:
        raise _malformed("The inner and outer selects should not be on the same object type")
    if owner.name in NO_INNER:
        raise _malformed(f"Entity '{owner.name}' is not supported for semi join inner selects")
    if any(True for _ in _semi_joins(inner.where, under="")):
        raise _malformed("Nesting of semi join sub-selects is not supported")
    selected = owner.field(inner.fields[0].parts[0]) if len(inner.fields[0].parts) == 1 else None
    if selected is None or not selected.is_id:
        raise _malformed("The inner select field must be an ID or reference field of the selected object")
    left = outer.field(among.path.parts[-1]) if len(among.path.parts) == 1 else None
    if left is not None and not left.is_id:
        raise _malformed(f"The left operand of a semi join must be an ID or reference field: {left.name}")


def _semi_joins(condition: Condition | None, under: str) -> Iterator[tuple[Among, str]]:
    """Each semi-join with the word (OR, NOT) it stands under."""
    match condition:
        case Not(term):
            yield from _semi_joins(term, "NOT")
        case Junction(word, terms):
            for term in terms:
                yield from _semi_joins(term, under or ("OR" if word == "OR" else ""))
        case Among(query=Query()):
            yield condition, under


def _malformed(message: str) -> Refused:
    return refuse("MALFORMED_QUERY", message)
