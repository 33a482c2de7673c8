"""From a question about a batch of mails to SOQL, and from the rows back to people and records. Pure.

Rules that hold here:
- Every e-mail field of a Contact or Lead counts (behaviour.md M1); a field that cannot be filtered by is left out, and an
  object of which none is left, or that this user has not, is not asked and is named as left out.
- A statement stays below `STATEMENT` characters; longer lists become more statements.
- Text is compared in SOQL without regard to case; where case matters (Message-IDs) the rows are looked at again.
- Numbers of cases are padded to eight digits by default: both forms are asked for.

Source: SOQL and SOSL Reference, "WHERE", "Semi-Joins with IN", "SOQL Limits"; Object Reference, pages of the objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from simple_salesforce.format import quote_soql_value

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

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
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
    """`asked`: (object, SOQL); `left_out`: objects that could not be asked."""

    asked: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]


def objects(*, enhanced: bool) -> tuple[str, ...]:
    """The objects whose description a question needs."""
    return (*PEOPLE, "Opportunity", "Case", "EmailMessage") if enhanced else (*PEOPLE, "Opportunity", "Case", "Task")


def statements(question: Question, schema: Mapping[str, Described], *, user_id: str, now: datetime) -> Statements:
    """What is asked for a question; nothing for an empty one."""
    wanted: list[tuple[str, list[str]]] = []
    if question.addresses:
        wanted += [(kind, list(_people(kind, question.addresses, schema[kind]))) for kind in PEOPLE]
        if question.opportunities:
            wanted.append(("Opportunity", list(_opportunities(question.addresses, schema))))
    if question.case_numbers:
        wanted.append(("Case", list(_cases(question.case_numbers, schema["Case"]))))
    if question.identifiers:
        wanted.append(_saved(question.identifiers, schema, user_id, now))
    return Statements(
        tuple((name, soql) for name, soqls in wanted for soql in soqls), tuple(name for name, soqls in wanted if not soqls)
    )


def matches(question: Question, rows: Rows, schema: Mapping[str, Described]) -> Matches:
    """The answer of the rows, by object."""
    people = {str(row["Id"]): _person(kind, row, schema[kind]) for kind in PEOPLE for row in rows.get(kind, ())}
    opportunities = {
        str(row["Id"]): Opportunity(row["Id"], row["AccountId"] or "", row["OwnerId"], row["CreatedDate"])
        for row in rows.get("Opportunity", ())
    }
    return Matches(
        tuple(people.values()),
        tuple(opportunities.values()),
        _cases_by_number(rows.get("Case", ())),
        _saved_by_identifier(question.identifiers, rows, schema),
    )


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


def _cases(numbers: Sequence[str], described: Described) -> Iterator[str]:
    asked = described.filterable(["CaseNumber"])
    if asked:
        both = dict.fromkeys(form for number in numbers for form in (number, number.zfill(CASE_DIGITS)))
        read = [name for name in ("Id", "CaseNumber", "AccountId") if name == "Id" or name in described.fields]
        yield from packed(f"SELECT {', '.join(read)} FROM Case WHERE ", asked, tuple(both), "")


def _saved(identifiers: Sequence[str], schema: Mapping[str, Described], user_id: str, now: datetime) -> tuple[str, list[str]]:
    if "Task" in schema:
        since = salesforce_map.moment(now - TASKS_BACK)
        soql = (
            "SELECT Id, Description, CreatedDate FROM Task WHERE TaskSubtype = 'Email' AND CreatedById = "
            f"{quote_soql_value(user_id)} AND CreatedDate >= {since} ORDER BY CreatedDate DESC LIMIT {MOST_TASKS}"
        )
        return "Task", [soql]
    described = schema["EmailMessage"]
    asked = described.filterable(["MessageIdentifier"])
    kept = dict.fromkeys(salesforce_map.identifier(one, described) for one in identifiers)
    head = "SELECT Id, MessageIdentifier, CreatedDate FROM EmailMessage WHERE "
    return "EmailMessage", list(packed(head, asked, [one for one in kept if one], "")) if asked else []


def packed(head: str, fields: Sequence[str], values: Iterable[str], tail: str) -> Iterator[str]:
    """Statements `head F1 IN (...) OR F2 IN (...) tail`, each below `STATEMENT` characters."""
    fixed = len(head) + len(tail) + sum(len(name) + 10 for name in fields)
    taken: list[str] = []
    used = fixed
    for value in values:
        if len(value) > LITERAL or value != line(value):
            continue  # no record holds it, and the statement would be refused as a whole
        quoted = quote_soql_value(value)
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


def _person(kind: str, row: Mapping[str, Any], described: Described) -> Person:
    emails = USER_EMAILS if kind == "User" else described.emails
    addresses = dict.fromkeys(str(row[name]).strip().lower() for name in emails if row.get(name))
    return Person(row["Id"], cast(Kind, kind), tuple(addresses), row["CreatedDate"], row.get("AccountId") or "")


def _cases_by_number(rows: Iterable[Mapping[str, Any]]) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for row in sorted(rows, key=lambda one: str(one["Id"])):
        number = str(row["CaseNumber"]).lstrip("0")
        found.setdefault(number, Case(row["Id"], number, row.get("AccountId") or ""))
    return found


def _saved_by_identifier(identifiers: Iterable[str], rows: Rows, schema: Mapping[str, Described]) -> dict[str, str]:
    """identifier -> the oldest record that has exactly it."""
    standing: dict[str, str] = {}
    every = [*rows.get("EmailMessage", ()), *rows.get("Task", ())]
    for row in sorted(every, key=lambda one: (str(one["CreatedDate"]), str(one["Id"]))):
        named = row["MessageIdentifier"] if "MessageIdentifier" in row else salesforce_task.identifier_in(row["Description"])
        if named:
            standing.setdefault(named, str(row["Id"]))
    described = schema.get("EmailMessage")
    kept = {
        one: salesforce_map.identifier(one, described) if described and described.exists else line(one) for one in identifiers
    }
    return {one: standing[form] for one, form in kept.items() if form in standing}
