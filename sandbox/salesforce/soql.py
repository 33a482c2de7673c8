"""SOQL as text: tokens, and the tree of a query.

Built: SELECT of fields, relationship paths, FIELDS(), COUNT(); FROM with alias; WHERE with AND, OR, NOT, =, !=, <, <=, >,
>=, LIKE, IN, NOT IN (lists and semi-joins), parentheses; ORDER BY with NULLS; LIMIT; OFFSET; ALL ROWS.
What SOQL has beyond that (GROUP BY, TYPEOF, child sub-queries, functions) is answered NOT_BUILT, never guessed.

Rules that hold here: AND and OR are not mixed without parentheses; keywords and names are case-insensitive; a mistake is
MALFORMED_QUERY with its place, in the vendor's form.

It must never know an object: names are looked up in `query`.

Source: SOQL and SOSL Reference, "SOQL SELECT Syntax", "Quoted String Escape Sequences", "Date Formats and Date Literals".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import NoReturn

from sandbox.salesforce.refused import Refused, refuse

LONGEST_STATEMENT = 100_000
LONGEST_LITERAL = 4_000
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "%": "%", "_": "_"}
OPERATORS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
NOT_BUILT = ("GROUP", "HAVING", "WITH", "FOR", "USING", "TYPEOF", "UPDATE")
KEYWORDS = frozenset(
    {"SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "ORDER", "LIMIT", "OFFSET", "NULLS", *NOT_BUILT}
)
TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::\d+)?)
    | (?P<operator><=|>=|!=|<>|=|<|>)
    | (?P<mark>[(),])
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int


@dataclasses.dataclass(frozen=True)
class Path:
    """A field, or a field of a parent: the parts between the dots, and where it stands in the statement."""

    parts: tuple[str, ...]
    at: int


@dataclasses.dataclass(frozen=True)
class Literal:
    """kind: string (raw, still escaped), number, date, datetime, boolean, null, name (a date literal such as TODAY)."""

    kind: str
    text: str
    at: int


@dataclasses.dataclass(frozen=True)
class Compare:
    path: Path
    operator: str
    literal: Literal


@dataclasses.dataclass(frozen=True)
class Among:
    """`IN` and `NOT IN`, with a list or a semi-join."""

    path: Path
    negated: bool
    literals: tuple[Literal, ...]
    query: Query | None = None


@dataclasses.dataclass(frozen=True)
class Not:
    term: Condition


@dataclasses.dataclass(frozen=True)
class Junction:
    """AND or OR of two or more terms."""

    word: str
    terms: tuple[Condition, ...]


Condition = Compare | Among | Not | Junction


@dataclasses.dataclass(frozen=True)
class Order:
    path: Path
    descending: bool = False
    nulls_last: bool = False


@dataclasses.dataclass(frozen=True)
class Query:
    """One parsed statement. `fields` is empty for COUNT(); `all_fields` is ALL, STANDARD, CUSTOM or empty."""

    text: str
    object_name: str
    object_at: int
    fields: tuple[Path, ...] = ()
    count: bool = False
    all_fields: str = ""
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    all_rows: bool = False


def malformed(text: str, at: int, message: str, code: str = "MALFORMED_QUERY") -> Refused:
    """A refusal that points to its place, as Salesforce prints it."""
    before = text[:at]
    row, column = before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
    excerpt = text[max(0, at - 20) : at + 20].replace("\n", " ")
    return refuse(code, f"\n{excerpt}\n{' ' * min(at, 20)}^\nERROR at Row:{row}:Column:{column}\n{message}")


def parse(text: str) -> Query:
    """The tree of a statement. Raises `Refused` MALFORMED_QUERY or NOT_BUILT."""
    if len(text) > LONGEST_STATEMENT:
        raise refuse("MALFORMED_QUERY", f"SOQL statements cannot be longer than {LONGEST_STATEMENT} characters.")
    parser = _Parser(text)
    query = parser.query()
    parser.end()
    return query


def unescaped(text: str, raw: str, at: int, *, like: bool = False) -> str:
    """The characters of a quoted literal. For LIKE, `\\%` and `\\_` stay escaped."""

    def one(match: re.Match[str]) -> str:
        letter = match[1]
        if letter.startswith("u"):
            return chr(int(letter[1:], 16))
        if letter not in ESCAPES:
            raise malformed(text, at, f"invalid string literal: unknown escape '\\{letter}'")
        return match[0] if like and letter in "%_\\" else ESCAPES[letter]

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", one, raw[1:-1], flags=re.DOTALL)


class _Parser:
    """Recursive descent over the tokens of one statement."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.place = 0

    def query(self) -> Query:
        self.word("SELECT")
        fields, count, all_fields = self._selection()
        self.word("FROM")
        found = self.take("name")
        object_name, at = found.text, found.at
        alias = self._alias()
        where = self._condition() if self.take_word("WHERE") else None
        order: tuple[Order, ...] = ()
        if self.take_word("ORDER"):
            self.word("BY")
            order = self._separated(self._order)
        limit = self._number() if self.take_word("LIMIT") else None
        offset = self._number() if self.take_word("OFFSET") else 0
        all_rows = bool(self.take_word("ALL") and self.word("ROWS"))
        self._refuse_not_built()
        query = Query(self.text, object_name, at, fields, count, all_fields, where, order, limit, offset, all_rows)
        return _without_alias(query, alias)

    def end(self) -> None:
        if self.place < len(self.tokens):
            self._unexpected()

    def _tokens(self) -> list[Token]:
        found, place, text = [], 0, self.text.rstrip()
        while place < len(text):
            match = TOKEN.match(text, place)
            if match is None:
                start = place + len(text[place:]) - len(text[place:].lstrip())
                raise malformed(text, start, f"unexpected token: '{text[start : start + 1]}'")
            kind = str(match.lastgroup)
            found.append(Token(kind, match[kind], match.start(kind)))
            place = match.end()
        return found

    def _selection(self) -> tuple[tuple[Path, ...], bool, str]:
        token = self._peek()
        if token.text.upper() == "COUNT" and self._peek(1).text == "(" and self._peek(2).text == ")":
            self.place += 3
            return (), True, ""
        if token.text.upper() == "FIELDS" and self._peek(1).text == "(":
            self.place += 2
            group = self.take("name")
            if group.text.upper() not in ("ALL", "STANDARD", "CUSTOM"):
                raise malformed(self.text, group.at, f"unexpected token: '{group.text}'")
            self.mark(")")
            return (), False, group.text.upper()
        return self._separated(self._path), False, ""

    def _separated[T](self, one: Callable[[], T]) -> tuple[T, ...]:
        items = [one()]
        while self._peek().text == ",":
            self.place += 1
            items.append(one())
        return tuple(items)

    def _alias(self) -> str:
        token = self._peek()
        if token.kind != "name" or token.text.upper() in KEYWORDS or token.text.upper() == "ALL":
            return ""
        self.place += 1
        return token.text

    def _condition(self) -> Condition:
        terms = [self._term()]
        word = ""
        while self._peek().text.upper() in ("AND", "OR"):
            token = self.take("name")
            if word and token.text.upper() != word:
                raise malformed(self.text, token.at, f"unexpected token: '{token.text}'")
            word = token.text.upper()
            terms.append(self._term())
        return Junction(word, tuple(terms)) if word else terms[0]

    def _term(self) -> Condition:
        if self.take_word("NOT"):
            return Not(self._term())
        if self._peek().text == "(":
            self.place += 1
            inner = self._condition()
            self.mark(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        path = self._path()
        if self.take_word("LIKE"):
            return Compare(path, "LIKE", self._literal())
        negated = bool(self.take_word("NOT"))
        if negated or self._peek().text.upper() == "IN":
            self.word("IN")
            return self._among(path, negated)
        token = self.take("operator")
        return Compare(path, OPERATORS[token.text], self._literal())

    def _among(self, path: Path, negated: bool) -> Among:
        self.mark("(")
        if self._peek().text.upper() == "SELECT":
            among = Among(path, negated, (), self.query())
        else:
            among = Among(path, negated, self._separated(self._literal))
        self.mark(")")
        return among

    def _order(self) -> Order:
        path = self._path()
        descending = self.take_word("DESC") is not None
        if not descending:
            self.take_word("ASC")
        nulls_last = False
        if self.take_word("NULLS"):
            nulls_last = bool(self.take_word("LAST"))
            if not nulls_last:
                self.word("FIRST")
        return Order(path, descending, nulls_last)

    def _path(self) -> Path:
        if self._peek().text == "(":
            raise refuse("NOT_BUILT", "The sandbox has not built child sub-queries of SOQL; build them when the product asks.")
        token = self.take("name")
        if ":" in token.text or (token.text.upper() in KEYWORDS and token.text.upper() not in NOT_BUILT):
            self.place -= 1
            self._unexpected()
        if token.text.upper() == "TYPEOF" or self._peek().text == "(":
            raise refuse("NOT_BUILT", f"The sandbox has not built '{token.text}' of SOQL; build it when the product asks.")
        return Path(tuple(token.text.split(".")), token.at)

    def _literal(self) -> Literal:
        token = self._peek()
        self.place += 1
        if token.kind == "string" and len(token.text) > LONGEST_LITERAL + 2:
            raise malformed(self.text, token.at, f"string literal is longer than {LONGEST_LITERAL} characters")
        if token.kind in ("string", "number", "date", "datetime"):
            return Literal(token.kind, token.text, token.at)
        word = token.text.upper()
        if token.kind != "name" or word in KEYWORDS or "." in word:
            self.place -= 1
            self._unexpected()
        if word in ("TRUE", "FALSE"):
            return Literal("boolean", word, token.at)
        return Literal("null" if word == "NULL" else "name", word, token.at)

    def _number(self) -> int:
        token = self.take("number")
        if not token.text.isdigit():
            raise malformed(self.text, token.at, f"unexpected token: '{token.text}'")
        return int(token.text)

    def take(self, kind: str) -> Token:
        token = self._peek()
        if token.kind != kind:
            self._unexpected()
        self.place += 1
        return token

    def take_word(self, word: str) -> Token | None:
        token = self._peek()
        if token.kind != "name" or token.text.upper() != word:
            return None
        self.place += 1
        return token

    def word(self, word: str) -> Token:
        return self.take_word(word) or self._unexpected()

    def mark(self, mark: str) -> None:
        if self._peek().text != mark:
            self._unexpected()
        self.place += 1

    def _peek(self, ahead: int = 0) -> Token:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else Token("end", "<EOF>", len(self.text))

    def _refuse_not_built(self) -> None:
        token = self._peek()
        if token.text.upper() in NOT_BUILT:
            raise refuse(
                "NOT_BUILT", f"The sandbox has not built {token.text.upper()} of SOQL; build it when the product asks."
            )

    def _unexpected(self) -> NoReturn:
        token = self._peek()
        raise malformed(self.text, token.at, f"unexpected token: '{token.text}'")


def _without_alias(query: Query, alias: str) -> Query:
    """Paths may start with the object's name or alias; the tree has neither."""
    names = {query.object_name.lower(), alias.lower()} - {""}

    def path(old: Path) -> Path:
        shorter = len(old.parts) > 1 and old.parts[0].lower() in names
        return Path(old.parts[1:], old.at) if shorter else old

    def condition(old: Condition) -> Condition:
        if isinstance(old, Not):
            return Not(condition(old.term))
        if isinstance(old, Junction):
            return Junction(old.word, tuple(condition(term) for term in old.terms))
        return dataclasses.replace(old, path=path(old.path))

    return dataclasses.replace(
        query,
        fields=tuple(path(field) for field in query.fields),
        where=condition(query.where) if query.where else None,
        order=tuple(dataclasses.replace(order, path=path(order.path)) for order in query.order),
    )
