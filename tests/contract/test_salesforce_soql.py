"""SOQL of the stand-in against another reader of it: @jetstreamapp/soql-parser-js accepts, refuses and understands the same.

The corpus holds what the product asks and what surrounds it. Where the two differ the stand-in follows the vendor's reference,
and the statement stands in a table of its own with the reason.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.salesforce.refused import Refused
from sandbox.salesforce.soql import Among, Compare, Condition, Junction, Not, Query, parse, unescaped
from sandbox.salesforce.soql import Path as FieldPath

SCRIPT = Path(__file__).parent / "salesforce_soql.mjs"
ROOT = SCRIPT.parents[2]

ACCEPTED = (
    "SELECT Id FROM Contact",
    "select id, name from contact limit 5",
    "SELECT Id, Account.Name, Owner.Profile.Name FROM Contact",
    "SELECT c.Id, c.Account.Name FROM Contact c WHERE c.LastName = 'x'",
    "SELECT COUNT() FROM Contact WHERE Email != null",
    "SELECT FIELDS(ALL) FROM Account LIMIT 200",
    "SELECT FIELDS(STANDARD) FROM Account",
    "SELECT Id FROM Contact WHERE Email IN ('a@x.test','b@x.test') AND IsDeleted = false",
    "SELECT Id FROM Contact WHERE Email NOT IN ('a@x.test', 'b@x.test')",
    "SELECT Id FROM Contact WHERE (Email = 'a' OR Email = 'b') AND (NOT Title LIKE '%x_\\%')",
    "SELECT Id FROM Contact WHERE NOT (Title = 'a' OR (Title = 'b' AND Name = 'c'))",
    "SELECT Id FROM Contact WHERE ((Title = 'a'))",
    "SELECT Id FROM Contact WHERE NOT Title = 'a' AND Name != 'c'",
    "SELECT Id FROM Contact WHERE LastName = 'O\\'Hara \\\\ \\n \\u00e9'",
    "SELECT Id FROM Contact WHERE LastName = ''",
    "SELECT Id FROM Contact WHERE LastName = 'AND OR NOT IN (SELECT)'",
    "SELECT Id FROM Event WHERE SystemModstamp >= 2026-11-24T08:00:00Z ORDER BY SystemModstamp, Id",
    "SELECT Id FROM Event WHERE StartDateTime < 2026-11-24T08:00:00.000+01:00 AND EndDateTime >= 2026-11-24T08:00:00-05:00",
    "SELECT Id FROM Event WHERE ActivityDate = 2026-11-24 OR ActivityDate > TODAY",
    "SELECT Id FROM Task WHERE ActivityDate = LAST_N_DAYS:30 AND IsClosed = TRUE",
    "SELECT Id FROM Opportunity WHERE Amount > 1000.50 AND Probability <= 90 AND Amount <> -5",
    "SELECT Id FROM Opportunity WHERE AccountId IN (SELECT AccountId FROM Contact WHERE Email IN ('a@x.test'))",
    "SELECT Id FROM Account WHERE Id NOT IN (SELECT AccountId FROM Contact WHERE Email != null AND Title = 'x')",
    "SELECT Id FROM Contact ORDER BY LastName DESC NULLS LAST, FirstName ASC NULLS FIRST, Id",
    "SELECT Id FROM Contact ORDER BY Account.Name LIMIT 10 OFFSET 20",
    "SELECT Id, What.Name, What.Type, Who.Name FROM Task WHERE What.Type = 'Account'",
    "SELECT Id FROM EmailMessage WHERE MessageIdentifier IN ('<a@x.test>','<b@x.test>') AND ParentId = null",
    "SELECT Id, My_Field__c, Parent__r.Other__c FROM Contact WHERE Mailspan_Key__c = 'abc'",
    "SELECT\n  Id,\n  Name\nFROM\tContact\nWHERE  Name='x'",
)
REFUSED = (
    "",
    "SELECT FROM Contact",
    "SELECT Id",
    "SELECT Id FROM",
    "SELECT Id, FROM Contact",
    "SELECT Id FROM Contact WHERE",
    "SELECT Id FROM Contact WHERE Name",
    "SELECT Id FROM Contact WHERE Name =",
    "SELECT Id FROM Contact WHERE = 'x'",
    "SELECT Id FROM Contact WHERE Name == 'x'",
    "SELECT Id FROM Contact WHERE Name = \"x\"",
    "SELECT Id FROM Contact WHERE Name = 'x",
    "SELECT Id FROM Contact WHERE Name = 'O'Hara'",
    "SELECT Id FROM Contact WHERE Name = 'x' AND",
    "SELECT Id FROM Contact WHERE (Name = 'x'",
    "SELECT Id FROM Contact WHERE Name = 'x')",
    "SELECT Id FROM Contact WHERE Name IN ()",
    "SELECT Id FROM Contact WHERE Name IN ('a',)",
    "SELECT Id FROM Contact WHERE Name IN ('a' 'b')",
    "SELECT Id FROM Contact WHERE Name NOT LIKE 'x'",
    "SELECT Id FROM Contact WHERE Name IS NULL",
    "SELECT Id FROM Contact WHERE Name = 'x'; DROP",
    "SELECT Id FROM Contact ORDER Name",
    "SELECT Id FROM Contact ORDER BY",
    "SELECT Id FROM Contact ORDER BY Name NULLS",
    "SELECT Id FROM Contact LIMIT",
    "SELECT Id FROM Contact LIMIT x",
    "SELECT Id FROM Contact LIMIT 5 WHERE Name = 'x'",
    "UPDATE Contact SET Name = 'x'",
    "SELECT Id FROM Contact WHERE Id IN (SELECT FROM Account)",
)  # fmt: skip
#: What the other reader lets through and the vendor does not. statement -> the vendor's rule
STRICTER = {
    "SELECT Id FROM Contact WHERE Title = 'a' AND Name = 'b' OR Name = 'c'": "AND and OR need parentheses between them",
    "SELECT Id FROM Contact WHERE Name = 'a\\x'": "an unknown escape is no string",
    "SELECT Id Name FROM Contact": "only aggregates have an alias",
    "SELECT Id FROM Contact WHERE AND Name = 'x'": "a condition starts with no AND",
    "SELECT Id FROM Contact WHERE Name IN 'x'": "the values of IN stand in parentheses",
    "SELECT Id FROM Contact LIMIT -1": "a limit is not negative",
}


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """Their tree of each statement, None where they refuse it."""
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules/@jetstreamapp/soql-parser-js").exists():
        pytest.skip("node and the npm packages of the repository are not installed")
    texts = [*ACCEPTED, *REFUSED, *STRICTER]
    ran = subprocess.run([node, str(SCRIPT)], input=json.dumps(texts), capture_output=True, text=True, timeout=60, check=True)
    return dict(zip(texts, json.loads(ran.stdout), strict=True))


@pytest.mark.parametrize("text", ACCEPTED)
def test_both_accept_and_understand_the_same(text: str, theirs: dict[str, Any]) -> None:
    assert theirs[text] is not None
    assert ours_as_facts(parse(text)) == theirs_as_facts(theirs[text])


@pytest.mark.parametrize("text", REFUSED)
def test_both_refuse(text: str, theirs: dict[str, Any]) -> None:
    assert theirs[text] is None
    assert refusal(text) == "MALFORMED_QUERY"


@pytest.mark.parametrize("text", STRICTER)
def test_the_vendor_is_stricter_than_the_other_reader(text: str) -> None:
    assert refusal(text) == "MALFORMED_QUERY"


def refusal(text: str) -> str:
    """The code a statement is refused with: while it is read, or where its strings are."""
    try:
        query = parse(text)
        for one in comparisons(query.where):
            if isinstance(one, Compare) and one.literal.kind == "string":
                unescaped(text, one.literal.text, one.literal.at)
    except Refused as refused:
        return refused.code
    return "accepted"


def comparisons(condition: Condition | None) -> list[Compare | Among]:
    match condition:
        case Not(term):
            return comparisons(term)
        case Junction(_, terms):
            return [one for term in terms for one in comparisons(term)]
        case Compare() | Among():
            return [condition]
    return []


# --- both trees as the same plain facts: fields, object, condition as nested lists, order, limit, offset


def ours_as_facts(query: Query) -> dict[str, Any]:
    fields = (
        ["COUNT()"]
        if query.count
        else [f"FIELDS({query.all_fields})"]
        if query.all_fields
        else [dotted(f) for f in query.fields]
    )
    return {
        "fields": fields,
        "object": query.object_name,
        "where": ours_where(query.where),
        "order": [[dotted(o.path), o.descending, o.nulls_last] for o in query.order],
        "limit": query.limit,
        "offset": query.offset,
    }


def dotted(path: FieldPath) -> str:
    return ".".join(path.parts)


def ours_where(condition: Condition | None) -> Any:
    match condition:
        case Not(term):
            return ["NOT", ours_where(term)]
        case Junction(word, terms):
            return [word, *[ours_where(term) for term in terms]]
        case Compare(path, operator, literal):
            return [
                dotted(path),
                operator,
                literal.text.upper() if literal.kind in ("boolean", "null", "name") else literal.text,
            ]
        case Among(path, negated, literals, query):
            values = ours_as_facts(query) if query else [literal.text for literal in literals]
            return [dotted(path), "NOT IN" if negated else "IN", values]
    return None


def theirs_as_facts(tree: dict[str, Any]) -> dict[str, Any]:
    alias = f"{tree.get('sObjectAlias')}."
    where = tree.get("where")
    return {
        "fields": [(f.get("rawValue") or f["field"]).removeprefix(alias) for f in tree["fields"]],
        "object": tree["sObject"],
        "where": folded(their_tokens(where, alias)) if where else None,
        "order": [
            [one["field"].removeprefix(alias), one.get("order") == "DESC", one.get("nulls") == "LAST"]
            for one in tree.get("orderBy", [])
        ],
        "limit": tree.get("limit"),
        "offset": tree.get("offset", 0),
    }


def their_tokens(node: dict[str, Any] | None, alias: str) -> list[Any]:
    """Their chain of conditions as a flat list: "(", ")", AND, OR, NOT, and [field, operator, value]."""
    tokens: list[Any] = []
    while node is not None:
        left = node.get("left")
        if left is not None:
            tokens += ["("] * left.get("openParen", 0)
            if "operator" in left:
                tokens.append([left["field"].removeprefix(alias), left["operator"].replace("<>", "!="), their_value(left)])
            tokens += [")"] * left.get("closeParen", 0)
        if node.get("operator"):
            tokens.append(node["operator"])
        node = node.get("right")
    return tokens


def their_value(left: dict[str, Any]) -> Any:
    if "valueQuery" in left:
        return theirs_as_facts(left["valueQuery"])
    value = left["value"]
    return value if isinstance(value, list) or str(value).startswith("'") else str(value).upper()


def folded(tokens: list[Any]) -> Any:
    """The nested lists of a flat list: NOT binds one term, AND and OR a run of terms, parentheses group."""
    place = 0

    def term() -> Any:
        nonlocal place
        token = tokens[place]
        place += 1
        if token == "NOT":
            return ["NOT", term()]
        if token == "(":
            inner = run()
            place += 1
            return inner
        return token

    def run() -> Any:
        nonlocal place
        terms, word = [term()], ""
        while place < len(tokens) and tokens[place] in ("AND", "OR"):
            word = tokens[place]
            place += 1
            terms.append(term())
        return [word, *terms] if word else terms[0]

    return run()
