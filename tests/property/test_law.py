"""The law over thousands of faulted histories, judged by the lineage oracle (`tests/property/oracle.py`).

MAILSPAN_HISTORIES sets how many (2,000; `make soak` runs 50,000). Seeds are 0, 1, 2 ..., so a verdict names its history.
A quarter of them have no key field in the CRM (lookup mode). Every cell of the decision table and every class of the error
tree must have been met; which way each class comes in is listed in `tests/property/faults.py` and `world.py`.
"""

from __future__ import annotations

import multiprocessing
import os
import re

import pytest

from shared.core.fields import LOOKUP
from shared.core.plan import DECISIONS
from tests.property.histories import CLASSES, Sum, call_log, run

HISTORIES = int(os.environ.get("MAILSPAN_HISTORIES", "2000"))
AT_LEAST = 20
LOOKED_UP = "|".join(name for names in LOOKUP.values() for name in names)


def _part(bounds: tuple[int, int]) -> Sum:
    return run(*bounds)


@pytest.fixture(scope="module")
def total() -> Sum:
    size = 100
    parts = [(start, min(start + size, HISTORIES)) for start in range(0, HISTORIES, size)]
    summed = Sum()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for part in pool.imap(_part, parts):
            summed.add(part)
    print(f"\nseeds 0 to {HISTORIES - 1}: {summed.told()}")
    return summed


def test_no_edit_is_lost_undone_or_doubled_in_any_history(total: Sum) -> None:
    assert total.broken == []


def test_no_session_meets_a_row_it_did_not_expect(total: Sum) -> None:
    assert total.counts["store errors"] == 0


def test_every_history_has_at_least_thirty_acts(total: Sum) -> None:
    assert total.counts["acts"] >= 30 * HISTORIES


@pytest.mark.parametrize(("what", "share"), [("faults", 0.12), ("concurrent edits", 0.08)])
def test_the_share_of_calls_and_commits_that_it_says_is_disturbed(total: Sum, what: str, share: float) -> None:
    assert abs(total.counts[what] / total.counts["calls"] - share) < 0.005


@pytest.mark.parametrize("cell", [f"{mail} x {crm}" for mail, crm in DECISIONS])
def test_every_cell_of_the_decision_table_was_reached(total: Sum, cell: str) -> None:
    assert total.cells[cell] >= AT_LEAST


@pytest.mark.parametrize("error", CLASSES)
def test_every_class_of_error_was_met(total: Sum, error: str) -> None:
    assert total.counts[error] >= AT_LEAST


@pytest.mark.parametrize("what", ["note held.deletes", "confirmed", "note held.insist", "older rows", "note adopted"])
def test_every_rare_thing_happened(total: Sum, what: str) -> None:
    assert total.counts[what] >= AT_LEAST


def test_twins_are_few_named_and_only_of_lookup_mode(total: Sum) -> None:
    named = re.compile(rf"allowed twin: item (\d+) on (mail|crm), crm\d+: .*\b({LOOKED_UP})\b.* \(seed (\d+)\)")
    found = [named.fullmatch(twin) for twin in total.allowed]
    assert all(found)
    assert all(int(one[4]) % 4 == 1 for one in found if one)
    items = {(one[1], one[4]) for one in found if one}  # one that was doubled is named on either side
    assert len(items) < 0.1 * total.counts["without a key"]


@pytest.mark.parametrize("seed", [3, 17, 1042])
def test_the_same_seed_makes_the_same_calls(seed: int) -> None:
    assert call_log(seed) == call_log(seed)
