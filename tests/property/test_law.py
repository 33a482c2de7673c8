"""The law over thousands of faulted histories, judged by the lineage oracle (`tests/property/oracle.py`).

MAILSPAN_HISTORIES sets how many (2,000; `make soak` runs 50,000). Seeds are 0, 1, 2 ..., so a verdict names its history.
"""

from __future__ import annotations

import multiprocessing
import os

import pytest

from shared.core.plan import DECISIONS
from tests.property.histories import Sum, call_log, run

HISTORIES = int(os.environ.get("MAILSPAN_HISTORIES", "2000"))
AT_LEAST = 20
#: The classes of the error tree that a history can meet; Bug and the waiting classes have tests of their own.
ERRORS = ("NetworkDown", "Stale", "Gone", "Refused", "CursorExpired", "LeaseLost")


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
    counts = summed.counts
    print(f"\n{HISTORIES} histories, seeds 0 to {HISTORIES - 1}: {counts['acts']} acts, {counts['crashes']} crashes,"
          f" {counts['lost answers']} lost answers, {counts['concurrent edits']} concurrent edits,"
          f" {counts['note conflict']} conflicts, {counts['twins']} adoptions offered,"
          f" {counts['note deleted.crm'] + counts['note deleted.mail.not_ours']} severed")  # fmt: skip
    print(", ".join(f"{cell}: {n}" for cell, n in sorted(summed.cells.items())))
    print(", ".join(f"{error}: {counts[error]}" for error in ERRORS))
    return summed


def test_no_edit_is_lost_undone_or_doubled_in_any_history(total: Sum) -> None:
    assert total.broken == []


def test_no_session_meets_a_row_it_did_not_expect(total: Sum) -> None:
    assert total.counts["store errors"] == 0


def test_every_history_has_at_least_thirty_acts(total: Sum) -> None:
    assert total.counts["acts"] >= 30 * HISTORIES


@pytest.mark.parametrize("cell", [f"{mail} x {crm}" for mail, crm in DECISIONS])
def test_every_cell_of_the_decision_table_was_reached(total: Sum, cell: str) -> None:
    assert total.cells[cell] >= AT_LEAST


@pytest.mark.parametrize("error", ERRORS)
def test_every_class_of_error_was_met(total: Sum, error: str) -> None:
    assert total.counts[error] >= AT_LEAST


@pytest.mark.parametrize("seed", [3, 17, 1042])
def test_the_same_seed_makes_the_same_calls(seed: int) -> None:
    assert call_log(seed) == call_log(seed)
