"""The quick judge of the Salesforce stand-in: a few vendor facts, each asked over the wire.

`python -m tests.contract.salesforce_facts` ends with 0 where all facts hold, with 3 and the first broken fact's name where not;
`test_salesforce_planted` runs it.

Rules that hold here: a fact is one function that is true where the vendor's behaviour is met; nothing is looked up inside
the stand-in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any

from tests.contract.salesforce_event_facts import EVENT_FACTS
from tests.contract.salesforce_world import Served, part, serving

Fact = Callable[[Served], bool]


def _last_names(org: Served, where: str) -> list[str]:
    answer = org.call("GET", "/query", params={"q": f"SELECT LastName FROM Contact WHERE {where} ORDER BY LastName"})
    return [row["LastName"] for row in answer.json()["records"]] if answer.ok else ["refused"]


def _two(org: Served) -> str:
    first = org.make("Contact", LastName="Adler", Email="ada@x.example.com")
    org.make("Contact", LastName="Brandt")
    return first


def _code(answer: Any) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body[0].get("errorCode", "") if isinstance(body, list) else ""


def like_finds_by_pattern(org: Served) -> bool:
    _two(org)
    return _last_names(org, "LastName LIKE 'A%'") == ["Adler"]


def not_turns_a_condition_round(org: Served) -> bool:
    _two(org)
    return _last_names(org, "NOT LastName = 'Adler'") == ["Brandt"]


def a_required_field_is_required(org: Served) -> bool:
    return _code(org.call("POST", "/sobjects/Contact", json={"FirstName": "x"})) == (400, "REQUIRED_FIELD_MISSING")


def a_text_has_a_longest_length(org: Served) -> bool:
    return _code(org.call("POST", "/sobjects/Contact", json={"LastName": "x" * 81})) == (400, "STRING_TOO_LONG")


def only_selected_fields_are_answered(org: Served) -> bool:
    _two(org)
    answer = org.call("GET", "/query", params={"q": "SELECT LastName FROM Contact"})
    return answer.status_code == 200 and all(set(row) == {"attributes", "LastName"} for row in answer.json()["records"])


def a_stale_condition_changes_nothing(org: Served) -> bool:
    made = _two(org)
    seen = format_datetime(org.org.now().replace(microsecond=0), usegmt=True)
    org.world.clock.advance(5)
    org.call("PATCH", f"/sobjects/Contact/{made}", json={"Title": "one"})
    stale = org.call("PATCH", f"/sobjects/Contact/{made}", json={"Title": "two"}, headers={"If-Unmodified-Since": seen})
    return stale.status_code == 412 and org.get(f"/sobjects/Contact/{made}", fields="Title")["Title"] == "one"


def all_or_none_keeps_nothing_of_a_failed_composite(org: Served) -> bool:
    parts = (part("a", "POST", "/sobjects/Contact", {"LastName": "x"}), part("b", "POST", "/sobjects/Contact", {}))
    org.composite(*parts, all_or_none=True)
    return _last_names(org, "LastName != null") == []


def a_locked_row_fails_alone(org: Served) -> bool:
    org.world.plan_faults({"rules": [{"vendor": "salesforce", "kind": "locked_row"}]})
    records = [{"attributes": {"type": "Contact"}, "LastName": last} for last in ("One", "Two")]
    rows = org.call("POST", "/composite/sobjects", json={"records": records}).json()
    return [row["errors"][0]["statusCode"] if row["errors"] else None for row in rows] == ["UNABLE_TO_LOCK_ROW", None]


def a_session_ends_by_not_being_used(org: Served) -> bool:
    org.world.clock.advance(7201)
    return _code(org.call("GET", "/limits")) == (401, "INVALID_SESSION_ID")


def a_spent_budget_is_refused(org: Served) -> bool:
    org.org.settings.api_limit = 1
    org.get("/limits")
    return _code(org.call("GET", "/limits")) == (403, "REQUEST_LIMIT_EXCEEDED")


FACTS: tuple[Fact, ...] = (
    only_selected_fields_are_answered,
    like_finds_by_pattern,
    not_turns_a_condition_round,
    a_required_field_is_required,
    a_text_has_a_longest_length,
    a_stale_condition_changes_nothing,
    all_or_none_keeps_nothing_of_a_failed_composite,
    a_locked_row_fails_alone,
    a_session_ends_by_not_being_used,
    a_spent_budget_is_refused,
    *EVENT_FACTS,
)


def main() -> int:
    with serving() as org:
        for fact in FACTS:
            org.fresh()
            if not fact(org):
                print(f"broken: {fact.__name__}")
                return 3
    print(f"all {len(FACTS)} facts hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
