"""The OData query options of Graph that the product uses: $filter, $select, $expand, $orderby, read into small values.

Rules that hold here: what is not understood is refused in Graph's words, never ignored; string comparison ignores case, as
Exchange does, except for ids. Sources: OData 4.01 URL conventions, section 5.1;
learn.microsoft.com/graph/filter-query-parameter.

It must never know messages: a value is asked for by its path through a function the caller gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.microsoft.errors import refusal

Lookup = Callable[[str], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][\w.]*(?:/[A-Za-z_][\w.]*)*)"
    r"|(?P<mark>[(),:]))",
    re.IGNORECASE,
)
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}
_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda whole, part: part in whole,
}


@dataclass(frozen=True)
class Compare:
    path: str
    operator: str
    value: Any


@dataclass(frozen=True)
class TextTest:
    path: str
    function: str
    value: str


@dataclass(frozen=True)
class AnyOf:
    path: str
    variable: str
    inner: Node


@dataclass(frozen=True)
class Both:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Either:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Negated:
    part: Node


Node = Compare | TextTest | AnyOf | Both | Either | Negated


class _Reader:
    """Recursive descent over the tokens of one $filter."""

    def __init__(self, source: str) -> None:
        self.source, self.at = source, 0
        self.kind, self.word = "", ""
        self.step()

    def step(self) -> str:
        """Moves on; answers the token left behind."""
        left = self.word
        match = _TOKEN.match(self.source, self.at)
        if match is not None:
            self.kind, self.word = match.lastgroup or "", match.group(match.lastgroup or 0)
            self.at = match.end()
        elif self.source[self.at :].strip():
            raise refusal("bad_filter", why=f"Syntax error at position {self.at} in '{self.source}'.")
        else:
            self.kind, self.word = "end", ""
        return left

    def expect(self, word: str) -> None:
        if self.word != word:
            raise refusal("bad_filter", why=f"'{word}' expected at position {self.at} in '{self.source}'.")
        self.step()

    def is_word(self, word: str) -> bool:
        return self.kind == "name" and self.word.lower() == word

    def chain(self, word: str, part: Callable[[], Node], whole: type[Both] | type[Either]) -> Node:
        parts = [part()]
        while self.is_word(word):
            self.step()
            parts.append(part())
        return parts[0] if len(parts) == 1 else whole(tuple(parts))

    def either(self) -> Node:
        return self.chain("or", self.both, Either)

    def both(self) -> Node:
        return self.chain("and", self.single, Both)

    def single(self) -> Node:
        if self.is_word("not"):
            self.step()
            return Negated(self.single())
        if self.word == "(":
            self.step()
            inner = self.either()
            self.expect(")")
            return inner
        if self.kind != "name":
            raise refusal("bad_filter", why=f"A property name is expected at position {self.at} in '{self.source}'.")
        name = self.step()
        if self.word == "(":
            return self.any_of(name) if name.lower().endswith("/any") else self.text_test(name)
        return self.compare(name)

    def any_of(self, name: str) -> Node:
        self.step()
        variable = self.step()
        self.expect(":")
        inner = self.either()
        self.expect(")")
        return AnyOf(name.rpartition("/")[0], variable, inner)

    def text_test(self, name: str) -> Node:
        if name.lower() not in _TEXT:
            raise refusal("bad_filter", why=f"An unknown function with name '{name}' was found.")
        self.step()
        path = self.step()
        self.expect(",")
        value = self.literal()
        self.expect(")")
        test = TextTest(path, name.lower(), str(value))
        if not self.is_word("eq"):
            return test
        self.step()
        return test if self.literal() is True else Negated(test)

    def compare(self, path: str) -> Node:
        operator = self.step().lower()
        if operator not in _COMPARE:
            raise refusal("bad_filter", why=f"Syntax error: '{operator}' is no operator in '{self.source}'.")
        return Compare(path, operator, self.literal())

    def literal(self) -> Any:
        kind, word = self.kind, self.step()
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "time":
            return moment(word)
        if kind == "number":
            return float(word)
        if word.lower() in _WORDS and kind == "name":
            return _WORDS[word.lower()]
        raise refusal("bad_filter", why=f"A value is expected at position {self.at} in '{self.source}'.")


def moment(text: str) -> datetime:
    """An Edm.DateTimeOffset or a bare date as UTC."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise refusal("bad_filter", why=f"'{text}' is no valid date.") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)


def parse_filter(source: str) -> Node:
    """Reads a $filter. Raises GraphError 400 where it cannot be read."""
    reader = _Reader(source)
    node = reader.either()
    if reader.kind != "end":
        raise refusal("bad_filter", why=f"Syntax error at position {reader.at} in '{source}'.")
    return node


def matches(node: Node, lookup: Lookup) -> bool:
    """Whether the thing behind `lookup` passes the filter."""
    match node:
        case Both(parts):
            return all(matches(part, lookup) for part in parts)
        case Either(parts):
            return any(matches(part, lookup) for part in parts)
        case Negated(part):
            return not matches(part, lookup)
        case AnyOf(path, variable, inner):
            return any(matches(inner, _element(variable, element)) for element in lookup(path) or ())
        case TextTest(path, function, value):
            return _TEXT[function]((lookup(path) or "").casefold(), value.casefold())
        case Compare(path, operator, value):
            return _compared(path, operator, lookup(path), value)


def _element(variable: str, element: Any) -> Lookup:
    def lookup(path: str) -> Any:
        head, _, rest = path.partition("/")
        element_at = element
        if head != variable:
            raise refusal("bad_filter", why=f"'{head}' is not the range variable '{variable}'.")
        for step in rest.split("/") if rest else ():
            element_at = element_at.get(step) if isinstance(element_at, dict) else None
        return element_at

    return lookup


def _compared(path: str, operator: str, left: Any, right: Any) -> bool:
    if left is None or right is None:
        return operator in ("eq", "ne") and _COMPARE[operator](left, right)
    if isinstance(left, str) and isinstance(right, str) and (not path.lower().endswith("id") or path == "internetMessageId"):
        left, right = left.casefold(), right.casefold()
    try:
        return _COMPARE[operator](left, right)
    except TypeError:
        raise refusal("bad_filter", why=f"The types of '{path}' and its value are not compatible.") from None


def mentioned(node: Node) -> Iterator[str]:
    """The paths of a filter in the order they are written."""
    match node:
        case Both(parts) | Either(parts):
            for part in parts:
                yield from mentioned(part)
        case Negated(part):
            yield from mentioned(part)
        case AnyOf(path, _, _) | TextTest(path, _, _) | Compare(path, _, _):
            yield path


def conjuncts(node: Node | None) -> tuple[Node, ...]:
    """The parts that must all hold; what an index can serve is looked for among them."""
    if isinstance(node, Both):
        return tuple(inner for part in node.parts for inner in conjuncts(part))
    return () if node is None else (node,)


@dataclass(frozen=True)
class Expand:
    """One item of $expand with its nested options, `{"$select": "...", "$filter": "..."}`."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


def _split(source: str, separator: str) -> list[str]:
    """Splits outside parentheses and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for at, letter in enumerate(source):
        quoted ^= letter == "'"
        if not quoted:
            depth += (letter == "(") - (letter == ")")
            if letter == separator and depth == 0:
                parts.append(source[start:at])
                start = at + 1
    return [part.strip() for part in (*parts, source[start:]) if part.strip()]


def parse_expand(source: str) -> tuple[Expand, ...]:
    found = []
    for part in _split(source, ","):
        name, bracket, inner = part.partition("(")
        options = dict(option.split("=", 1) for option in _split(inner.rstrip()[:-1], ";") if "=" in option) if bracket else {}
        found.append(Expand(name.strip(), {key.strip(): value.strip() for key, value in options.items()}))
    return tuple(found)


def parse_select(source: str | None) -> tuple[str, ...] | None:
    """None = the default properties."""
    return tuple(_split(source, ",")) if source else None


def parse_orderby(source: str | None) -> tuple[tuple[str, bool], ...]:
    """((path, descending), ...)."""
    found = []
    for part in _split(source or "", ","):
        path, _, direction = part.partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc"):
            raise refusal("bad_query", name="$orderby", value=part)
        found.append((path, direction.strip().lower() == "desc"))
    return tuple(found)
