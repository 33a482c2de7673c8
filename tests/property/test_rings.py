"""No interleaving of two ringers, a holder and crashes loses a ring (`tests/property/interleavings.py`), and the test of that
test: each mutant breaks one rule of the ring protocol, and the exploration must find a ring that is lost by it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.property.interleavings import explore
from tests.property.test_mutants import judge

PATCHES = sorted((Path(__file__).parent / "mutants").glob("rings_*.patch"))


def test_no_interleaving_of_two_ringers_a_holder_and_crashes_loses_a_ring() -> None:
    states, ends, losing = explore()
    print(f"ring protocol: {states} states, {ends} ends")
    assert losing == []
    assert ends > 1000


def test_there_are_mutants() -> None:
    assert len(PATCHES) >= 7


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_broken_rule_is_noticed(patch: Path, tmp_path: Path) -> None:
    ended = judge(patch, tmp_path, "tests.property.interleavings")
    assert ended.stderr == "", f"died of an exception: {ended.stderr[-600:]}"
    assert ended.returncode == 3, "survived"
    assert ended.stdout.startswith("oracle: lost")
