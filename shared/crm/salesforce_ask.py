"""From a question about a batch of mails to SOQL, and from the rows back to people and records. Pure.

Rules that hold here:
- Every e-mail field of a Contact or Lead counts (behaviour.md M1); a field that cannot be filtered by is left out, and an
  object of which none is left, or that this user has not, is not asked and is named as left out.
- A statement stays below `STATEMENT` characters; longer lists become more statements.
- Text is compared in SOQL without regard to case; where case matters (Message-IDs) the rows are looked at again.
- Numbers of cases are padded to eight digits by default: both forms are asked for.
- What our own code cannot ask, or a row that it cannot read, breaks the addresses, numbers and identifiers concerned, and no
  others. Whom a row concerns is seen from its values as they came, compared as loosely as Salesforce does; a row that
  concerns nothing of the question could have linked nobody. It is left out and told of.

Source: SOQL and SOSL Reference, "WHERE", "Semi-Joins with IN", "SOQL Limits"; Object Reference, pages of the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, cast

from simple_salesforce.format import quote_soql_value

from shared.core.errors import Bug, bug_or
from shared.core.match import Case, Opportunity, Person
from shared.crm import salesforce_map, salesforce_task
from shared.crm.salesforce_text import line
from shared.crm.schema import Described
from shared.ports import Matches, Question

STATEMENT = 20_000
LITERAL = 1_000
CASE_DIGITS = 8
TASKS_BACK = timedelta(days=3)
MOST_TASKS = 2_000
#: objects of which also archived records are asked for: the Task of a mail of last year is archived soon after it is made
ARCHIVED = ("Task",)

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
Kind = Literal["Contact", "Lead", "User"]

#: kind -> further fields to read, further condition
PEOPLE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "Contact": (("AccountId",), ""),
    "Lead": ((), " AND IsConverted = false"),
    "User": ((), " AND IsActive = true"),
}
#: a user's other addresses are those of signatures and delegations, not their own
USER_EMAILS = ("Email",)


@dataclass(frozen=True)
class Statements:
    """`asked`: (object, SOQL); `left_out`: objects that could not be asked; `broken`: what our own code could not ask."""

    asked: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]
    broken: Mapping[str, Bug]


@dataclass
class _Sorting:
    """Keeps apart what was made and the Bugs. `nobodys`: those that concern nothing that was asked."""

    broken: dict[str, Bug] = field(default_factory=dict)
    nobodys: list[Bug] = field(default_factory=list)

    def each[I, M](self, items: Iterable[I], make: Callable[[I], M], concerned: Callable[[I], Iterable[str]]) -> list[M]:
        """What `make` makes of the items; of one that it makes nothing of, what it concerns is broken."""
        found: list[M] = []
        for one in items:
            made = bug_or(partial(make, one))
            if not isinstance(made, Bug):
                found.append(made)
                continue
            keys = list(concerned(one))
            self.broken.update(dict.fromkeys(keys, made))
            if not keys:
                self.nobodys.append(made)
        return found


def objects(*, enhanced: bool) -> tuple[str, ...]:
    """The objects whose description a question needs."""
    return (*PEOPLE, "Opportunity", "Case", "EmailMessage") if enhanced else (*PEOPLE, "Opportunity", "Case", "Task")


def statements(question: Question, schema: Mapping[str, Described], *, user_id: str, now: datetime) -> Statements:
    """What is asked for a question; nothing for an empty one."""
    wanted: list[tuple[str, list[str]]] = []
    sorting = _Sorting()
    if question.addresses:
        addresses = sorting.each(question.addresses, literal, _itself)
        wanted += [(kind, list(_people(kind, addresses, schema[kind]))) for kind in PEOPLE]
        if question.opportunities:
            wanted.append(("Opportunity", list(_opportunities(addresses, schema))))
    if question.case_numbers:
        forms = sorting.each(question.case_numbers, _number_forms, _itself)
        wanted.append(("Case", list(_cases(forms, schema["Case"]))))
    if question.identifiers:
        form = partial(_identifier_literal, schema=schema)
        identifiers = sorting.each(question.identifiers, form, _itself)
        wanted.append(_saved(identifiers, schema, user_id, now))
    return Statements(
        tuple((name, soql) for name, soqls in wanted for soql in soqls),
        tuple(name for name, soqls in wanted if not soqls),
        sorting.broken,
    )


def matches(question: Question, rows: Rows, schema: Mapping[str, Described]) -> tuple[Matches, Sequence[Bug]]:
    """The answer of the rows, by object; and the Bugs of rows that concern nothing of the question."""
    sorting = _Sorting()
    people: dict[str, Person] = {}
    for kind in PEOPLE:
        person, said = partial(_person, kind, described=schema[kind]), partial(_addresses_in, question.addresses)
        people |= {one.id: one for one in sorting.each(rows.get(kind, ()), person, said)}
    of_account = partial(_addresses_of_account, people.values())
    opportunities = {one.id: one for one in sorting.each(rows.get("Opportunity", ()), _opportunity, of_account)}
    cases: dict[str, Case] = {}
    for case in sorted(sorting.each(rows.get("Case", ()), _case, partial(_numbers_in, question)), key=lambda one: one.id):
        cases.setdefault(case.number, case)
    saved = _saved_by_identifier(question.identifiers, rows, schema, sorting)
    return Matches(tuple(people.values()), tuple(opportunities.values()), cases, saved, sorting.broken), sorting.nobodys


def _itself(asked: str) -> tuple[str]:
    return (asked,)


def _addresses_in(asked: Iterable[str], row: Row) -> list[str]:
    said = {value.strip().lower() for value in row.values() if isinstance(value, str)}
    return [address for address in asked if address in said]


def _addresses_of_account(people: Iterable[Person], row: Row) -> list[str]:
    return [address for one in people if one.account and one.account == row.get("AccountId") for address in one.addresses]


def _numbers_in(question: Question, row: Row) -> list[str]:
    said = {value.lstrip("0") for value in row.values() if isinstance(value, str)}
    return [number for number in question.case_numbers if number in said]


def literal(value: str) -> str:
    """The value as it stands in a statement; "" for what no record can hold, which would get the statement refused."""
    return "" if len(value) > LITERAL or value != line(value) else quote_soql_value(value)


def _number_forms(number: str) -> dict[str, None]:
    return dict.fromkeys((literal(number), literal(number.zfill(CASE_DIGITS))))


def _identifier_form(identifier: str, schema: Mapping[str, Described]) -> str:
    """An identifier as a saved mail keeps it."""
    described = schema.get("EmailMessage")
    return salesforce_map.identifier(identifier, described) if described and described.exists else line(identifier)


def _identifier_literal(identifier: str, schema: Mapping[str, Described]) -> str:
    form = _identifier_form(identifier, schema)
    return literal(form) if form else ""


def _people(kind: str, addresses: Sequence[str], described: Described) -> Iterator[str]:
    emails = USER_EMAILS if kind == "User" else described.emails
    asked, (further, condition) = described.filterable(emails), PEOPLE[kind]
    read = ("Id", "CreatedDate", *(name for name in (*emails, *further) if name in described.fields))
    if asked:
        yield from packed(f"SELECT {', '.join(read)} FROM {kind} WHERE (", asked, addresses, f"){condition}")


def _opportunities(addresses: Sequence[str], schema: Mapping[str, Described]) -> Iterator[str]:
    contact, opportunity = schema["Contact"], schema["Opportunity"]
    asked = contact.filterable(contact.emails)
    if asked and contact.filterable(["AccountId"]) and len(opportunity.filterable(["AccountId", "IsClosed"])) == 2:
        head = (
            "SELECT Id, AccountId, OwnerId, CreatedDate FROM Opportunity WHERE IsClosed = false "
            "AND AccountId IN (SELECT AccountId FROM Contact WHERE "
        )
        yield from packed(head, asked, addresses, ")")


def _cases(numbers: Iterable[Iterable[str]], described: Described) -> Iterator[str]:
    asked = described.filterable(["CaseNumber"])
    if asked:
        both = dict.fromkeys(form for forms in numbers for form in forms)
        read = [name for name in ("Id", "CaseNumber", "AccountId") if name == "Id" or name in described.fields]
        yield from packed(f"SELECT {', '.join(read)} FROM Case WHERE ", asked, both, "")


def _saved(identifiers: Sequence[str], schema: Mapping[str, Described], user_id: str, now: datetime) -> tuple[str, list[str]]:
    if "Task" in schema:
        since = salesforce_map.moment(now - TASKS_BACK)
        soql = (
            "SELECT Id, Description, CreatedDate FROM Task WHERE TaskSubtype = 'Email' AND IsDeleted = false AND CreatedById = "
            f"{quote_soql_value(user_id)} AND CreatedDate >= {since} ORDER BY CreatedDate DESC LIMIT {MOST_TASKS}"
        )
        return "Task", [soql]
    described = schema["EmailMessage"]
    asked = described.filterable(["MessageIdentifier"])
    head = "SELECT Id, MessageIdentifier, CreatedDate FROM EmailMessage WHERE "
    return "EmailMessage", list(packed(head, asked, dict.fromkeys(identifiers), "")) if asked else []


def packed(head: str, fields: Sequence[str], literals: Iterable[str], tail: str) -> Iterator[str]:
    """Statements `head F1 IN (...) OR F2 IN (...) tail`, each below `STATEMENT` characters."""
    fixed = len(head) + len(tail) + sum(len(name) + 10 for name in fields)
    taken: list[str] = []
    used = fixed
    for quoted in filter(None, literals):
        cost = (len(quoted) + 1) * len(fields)
        if taken and used + cost > STATEMENT:
            yield _statement(head, fields, taken, tail)
            taken, used = [], fixed
        taken.append(quoted)
        used += cost
    if taken:
        yield _statement(head, fields, taken, tail)


def _statement(head: str, fields: Sequence[str], quoted: Sequence[str], tail: str) -> str:
    among = f"({','.join(quoted)})"
    return head + " OR ".join(f"{name} IN {among}" for name in fields) + tail


def _person(kind: str, row: Row, described: Described) -> Person:
    emails = USER_EMAILS if kind == "User" else described.emails
    addresses = dict.fromkeys(str(row[name]).strip().lower() for name in emails if row.get(name))
    return Person(row["Id"], cast(Kind, kind), tuple(addresses), row["CreatedDate"], row.get("AccountId") or "")


def _opportunity(row: Row) -> Opportunity:
    return Opportunity(str(row["Id"]), row["AccountId"] or "", row["OwnerId"], row["CreatedDate"])


def _case(row: Row) -> Case:
    return Case(str(row["Id"]), str(row["CaseNumber"]).lstrip("0"), row.get("AccountId") or "")


def _saved_by_identifier(
    identifiers: Iterable[str], rows: Rows, schema: Mapping[str, Described], sorting: _Sorting
) -> dict[str, str]:
    """identifier -> the oldest record that has exactly it."""
    kept = dict(sorting.each(identifiers, lambda one: (one, _identifier_form(one, schema)), _itself))

    def concerned(row: Row) -> list[str]:
        said = [str(row.get(name) or "") for name in ("MessageIdentifier", "Description")]
        return [one for one, form in kept.items() if form and any(form in text for text in said)]

    standing: dict[str, str] = {}
    every = [*rows.get("EmailMessage", ()), *rows.get("Task", ())]
    for _, record_id, named in sorted(sorting.each(every, _saved_row, concerned)):
        if named:
            standing.setdefault(named, record_id)
    return {one: standing[form] for one, form in kept.items() if form in standing}


def _saved_row(row: Row) -> tuple[str, str, str]:
    """(when it was made, id, the mail it names) of a saved mail."""
    named = row["MessageIdentifier"] if "MessageIdentifier" in row else salesforce_task.identifier_in(row["Description"])
    return str(row["CreatedDate"]), str(row["Id"]), str(named or "")
