"""WHERE: from the tree of a condition to a function over rows, and to the few rows an index can name.

Rules that hold here: text compares without case (ids and case-sensitive fields with it); `!=` and `NOT IN` take nulls in,
`<` and its kin leave them out; a literal must be of the field's type; a field that is not filterable is refused.
An index only narrows the rows: the function decides.

It must never order, page or show rows.

Source: SOQL and SOSL Reference, "Comparison Operators", "Date Formats and Date Literals", "Semi-Joins".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Any

from sandbox.salesforce import ids, invitees, values
from sandbox.salesforce.paths import Paths, Resolved
from sandbox.salesforce.records import Records
from sandbox.salesforce.refused import Refused, refuse
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.soql import Among, Compare, Condition, Junction, Literal, Not, Path, Query, malformed, unescaped
from sandbox.salesforce.store import Row, index_key

Test = Callable[[Row], bool]
#: (first instant or day, the one after the last)
Span = tuple[date, date]
NUMERIC = frozenset({"int", "double", "currency", "percent"})
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
#: The field that names an event by its parent: a child's id means the parent's there.
OF_THE_MASTER = ("EventRelation", "EventId")
#: date literal -> days from today of its first day and of the day after its last
DAY_LITERALS = {
    "TODAY": (0, 1), "YESTERDAY": (-1, 0), "TOMORROW": (1, 2), "LAST_90_DAYS": (-90, 1), "NEXT_90_DAYS": (1, 91),
}  # fmt: skip
#: with a count n: the days from today as functions of n
COUNTED_LITERALS: dict[str, Callable[[int], tuple[int, int]]] = {
    "LAST_N_DAYS": lambda n: (-n, 1),
    "NEXT_N_DAYS": lambda n: (1, n + 1),
    "N_DAYS_AGO": lambda n: (-n, -n + 1),
}
MONTH_LITERALS = {"LAST_MONTH": -1, "THIS_MONTH": 0, "NEXT_MONTH": 1}


class Conditions:
    """Compiles the conditions of one statement."""

    def __init__(
        self, records: Records, paths: Paths, owner: ObjectType, text: str, semi_join: Callable[[Query], set[Any]]
    ) -> None:
        self._records = records
        self._paths = paths
        self._owner = owner
        self._text = text
        self._semi_join = semi_join
        self._found: dict[Query, set[Any]] = {}

    def compile(self, condition: Condition) -> Test:
        """A function that tells whether a row meets the condition. Raises `Refused` for what SOQL would not run."""
        match condition:
            case Not(term):
                inner = self.compile(term)
                return lambda row: not inner(row)
            case Junction(word, terms):
                tests = [self.compile(term) for term in terms]
                if word == "AND":
                    return lambda row: all(test(row) for test in tests)
                return lambda row: any(test(row) for test in tests)
            case Among():
                return self._among(condition)
            case Compare():
                return self._compare(condition)

    def narrowed(self, condition: Condition | None) -> Iterable[Row] | None:
        """Rows that hold every hit, found by an index; None where no index helps."""
        match condition:
            case Junction("AND", terms):
                found = [rows for term in terms if (rows := self.narrowed(term)) is not None]
                sized = [rows for rows in found if isinstance(rows, list)]
                return min(sized, key=len) if sized else (found[0] if found else None)
            case Junction("OR", terms):
                parts = [self.narrowed(term) for term in terms]
                if any(part is None for part in parts):
                    return None
                return list({row["Id"]: row for part in parts if part is not None for row in part}.values())
            case Compare(path, "=", literal) if literal.kind == "string" and (field := self._indexed(path)):
                return self._records.store.having(field, [self._value(field, literal)])
            case Among(path, False, literals, None) if field := self._indexed(path):
                texts = [literal for literal in literals if literal.kind == "string"]
                if len(texts) == len(literals):
                    return self._records.store.having(field, [self._value(field, literal) for literal in texts])
            case Among(path, False, (), Query() as query) if field := self._indexed(path):
                return self._records.store.having(field, self._joined(query))
            case Compare(path, ">=" | ">", literal) if literal.kind == "datetime" and path.parts == ("SystemModstamp",):
                since = values.datetime_of(literal.text)
                if since is not None:
                    first = values.written(since)
                    return takewhile(
                        lambda row: row["SystemModstamp"] >= first, self._records.store.newest_first(self._owner.name)
                    )
        return None

    def resolve(self, path: Path, act: str) -> Resolved:
        """The field a condition or an order names. `act`: filtered or sorted."""
        try:
            found = self._paths.resolve(self._owner, path.parts)
        except Refused as refusal:
            raise malformed(self._text, path.at, refusal.message, refusal.code) from None
        if ("f" if act == "filtered" else "s") not in found.field.flags:
            message = f"field '{found.field.name}' can not be {act} in a query call"
            raise malformed(self._text, path.at, message, "INVALID_FIELD")
        return found

    def _joined(self, query: Query) -> set[Any]:
        """The values of a semi-join, run once for both uses."""
        if query not in self._found:
            self._found[query] = self._semi_join(query)
        return self._found[query]

    def _indexed(self, path: Path) -> Field | None:
        field = self._owner.field(path.parts[0]) if len(path.parts) == 1 else None
        usable = field is not None and (field.type == "id" or self._records.store.is_indexed(field))
        return field if usable else None

    def _among(self, among: Among) -> Test:
        found = self.resolve(among.path, "filtered")
        field, read, negated = found.field, found.read, among.negated
        if among.query is not None:
            wanted = self._joined(among.query)
        else:
            wanted = {index_key(field, self._value(field, literal)) for literal in among.literals}

        def test(row: Row) -> bool:
            return (index_key(field, read(row)) in wanted) != negated

        return test

    def _compare(self, compare: Compare) -> Test:
        found = self.resolve(compare.path, "filtered")
        field, read, operator, literal = found.field, found.read, compare.operator, compare.literal
        if operator == "LIKE":
            return self._like(field, found, literal)
        if literal.kind == "name":
            return self._in_span(field, found, operator, literal)
        value = index_key(field, self._value(field, literal))
        if operator in ("=", "!="):
            equal = operator == "="
            return lambda row: (index_key(field, read(row)) == value) == equal
        if field.type == "boolean" or value is None:
            raise refuse("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on field '{field.name}': {operator}")
        order = COMPARE[operator]

        def test(row: Row) -> bool:
            actual = index_key(field, read(row))
            return actual is not None and order(actual, value)

        return test

    def _like(self, field: Field, found: Resolved, literal: Literal) -> Test:
        if not field.is_text:
            raise refuse(
                "INVALID_QUERY_FILTER_OPERATOR", f"operator LIKE is not valid on field '{field.name}' of type {field.type}"
            )
        self._require(field, literal, "string", quoted=True)
        pattern = re.compile(
            _like_pattern(unescaped(self._text, literal.text, literal.at, like=True)), re.IGNORECASE | re.DOTALL
        )
        read = found.read
        return lambda row: (value := read(row)) is not None and pattern.fullmatch(value) is not None

    def _in_span(self, field: Field, found: Resolved, operator: str, literal: Literal) -> Test:
        span = _span(literal.text, self._records.world.clock.now())
        if span is None:
            raise malformed(self._text, literal.at, f"unexpected token: '{literal.text}'")
        if field.type not in ("date", "datetime"):
            self._require(field, literal, "string", quoted=True)
        first, after = (_edge(field, day) for day in span)
        tests: dict[str, Test] = {
            "=": lambda row: first <= (found.read(row) or "") < after,
            "!=": lambda row: not first <= (found.read(row) or "") < after,
            "<": lambda row: "" < (found.read(row) or "") < first,
            "<=": lambda row: "" < (found.read(row) or "") < after,
            ">": lambda row: (found.read(row) or "") >= after,
            ">=": lambda row: (found.read(row) or "") >= first,
        }
        return tests[operator]

    def _value(self, field: Field, literal: Literal) -> Any:
        """The literal as the field keeps values. Raises INVALID_FIELD where the kinds differ."""
        if literal.kind == "null":
            return None
        if field.type == "boolean":
            self._require(field, literal, "boolean", quoted=False)
            return literal.text == "TRUE"
        if field.type in NUMERIC:
            self._require(field, literal, "number", quoted=False)
            return float(literal.text)
        if field.type == "date":
            self._require(field, literal, "date", quoted=False)
            day = values.date_of(literal.text)
            if day is None:
                raise malformed(self._text, literal.at, f"invalid date: {literal.text}", "INVALID_FIELD")
            return day.isoformat()
        if field.type == "datetime":
            self._require(field, literal, "datetime", quoted=False)
            moment = values.datetime_of(literal.text)
            if moment is None:
                raise malformed(self._text, literal.at, f"invalid dateTime: {literal.text}", "INVALID_FIELD")
            return values.written(moment)
        self._require(field, literal, "string", quoted=True)
        text = unescaped(self._text, literal.text, literal.at)
        if not field.is_id:
            return text
        record_id = ids.canonical(text)
        if record_id is None and text:
            raise malformed(self._text, literal.at, f"invalid ID field: {text}", "INVALID_QUERY_FILTER_OPERATOR")
        return invitees.master_of(self._records, record_id) if (field.object_name, field.name) == OF_THE_MASTER else record_id

    def _require(self, field: Field, literal: Literal, kind: str, *, quoted: bool) -> None:
        if literal.kind == kind:
            return
        shown = {"datetime": "dateTime", "number": field.type}.get(kind, kind)
        raise malformed(
            self._text,
            literal.at,
            f"value of filter criterion for field '{field.name}' must be of type {shown} and should "
            f"{'' if quoted else 'not '}be enclosed in quotes",
            "INVALID_FIELD",
        )


def _like_pattern(text: str) -> str:
    out, escaped = "", False
    for letter in text:
        if escaped or letter not in "%_\\":
            out, escaped = out + re.escape(letter), False
        elif letter == "\\":
            escaped = True
        else:
            out += ".*" if letter == "%" else "."
    return out


def _edge(field: Field, day: date) -> str:
    return day.isoformat() if field.type == "date" else values.written(datetime.combine(day, time(), UTC))


def _span(name: str, now: datetime) -> Span | None:
    """The days a date literal means, in UTC; None for a name that is no date literal."""
    today = now.astimezone(UTC).date()
    word, _, count = name.partition(":")
    if word in MONTH_LITERALS and not count:
        return _month(today, MONTH_LITERALS[word]), _month(today, MONTH_LITERALS[word] + 1)
    if word in ("THIS_YEAR",) and not count:
        return date(today.year, 1, 1), date(today.year + 1, 1, 1)
    days = DAY_LITERALS.get(word) if not count else None
    if word in COUNTED_LITERALS and count:
        days = COUNTED_LITERALS[word](int(count))
    return (today + timedelta(days=days[0]), today + timedelta(days=days[1])) if days else None


def _month(today: date, ahead: int) -> date:
    months = today.year * 12 + today.month - 1 + ahead
    return date(months // 12, months % 12 + 1, 1)
