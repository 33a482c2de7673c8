"""A mistake of our own in an adapter holds the mails it meets, and no others; repaired, the product saves them too.

`python -m tests.system.broken` does it with 1,000 mails and every function of the adapters that handles one item.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import broken
from tests.system.broken_rows import ROWS, Row, planted

MAILS, BROKEN = 60, 3
SHORT = [row for row in ROWS if row.short]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return broken.run_all(tmp_path_factory.mktemp("broken"), SHORT, MAILS, BROKEN)


@pytest.mark.parametrize("row", SHORT, ids=lambda row: row.name)
def test_its_mails_are_held_with_the_place_and_all_others_arrive(row: Row, found: dict[str, list[str]]) -> None:
    assert found[row.name] == []


def test_no_answer_of_a_vendor_broke_its_contract(found: dict[str, list[str]]) -> None:
    assert set(found) == {row.name for row in SHORT}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_line_can_be_planted(row: Row, tmp_path: Path) -> None:
    file, lines = planted(row, tmp_path, tmp_path / "marks")
    text = (tmp_path / "shared" / row.file).read_text(encoding="utf-8").splitlines()
    assert file == Path(row.file).name
    assert sum("raise ZeroDivisionError" in line for line in text) == 1
    assert any("raise ZeroDivisionError" in text[number - 1] for number in lines)


def test_every_way_is_in_the_short_run() -> None:
    assert {(row.way, row.tasks) for row in SHORT} >= {(row.way, False) for row in ROWS} | {("new", True)}
