"""Forty histories of events through the real runtime; `make soak` runs 400."""

from __future__ import annotations

from pathlib import Path

from tests.system.histories import run_all


def test_forty_histories_end_in_step(tmp_path: Path) -> None:
    problems, told = run_all(tmp_path, 0, 40)
    print(told)
    assert problems == []
