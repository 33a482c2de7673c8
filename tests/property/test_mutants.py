"""The test of the test: each mutant breaks one rule of the engine, and the lineage oracle must say so.

A mutant is a patch of at most ten changed lines in `tests/property/mutants/`. It is applied to a copy of the product; the
histories then run until the oracle gives a verdict. A mutant that survives, dies of an exception or no longer applies fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: those of mail capture and of the rings are judged by tests of their own (test_capture_mutants, test_rings)
OTHERS = ("capture_", "rings_")
PATCHES = sorted(path for path in (Path(__file__).parent / "mutants").glob("*.patch") if not path.name.startswith(OTHERS))
JUDGE = ("tests.property.histories", "0", "2000")
ISSUED = {
    "cursor_saved_early", "whole_item_writes", "no_if_match", "base_from_read_back", "patch_not_announced",
    "own_orphan_with_empty_base", "announcements_without_order", "no_lookup_and_no_key", "no_fence", "versions_only",
    "dead_cursor_skipped", "severed_created_again", "cursor_taken_at_the_end",
}  # fmt: skip


def judge(patch: Path, folder: Path, *program: str) -> subprocess.CompletedProcess[str]:
    for name in ("shared", "tests/property"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "mutants"))
    (folder / "tests/__init__.py").touch()
    applied = subprocess.run(["git", "apply", str(patch)], cwd=folder, capture_output=True, text=True, check=False)
    assert applied.returncode == 0, f"{patch.stem} no longer applies: {applied.stderr}"
    return subprocess.run(
        [sys.executable, "-m", *program], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    with ThreadPoolExecutor(2) as pool:
        judged = pool.map(lambda patch: judge(patch, tmp_path_factory.mktemp(patch.stem), *JUDGE), PATCHES)
        return {patch.stem: ended for patch, ended in zip(PATCHES, judged, strict=True)}


def test_every_named_mutant_is_there() -> None:
    assert {patch.stem for patch in PATCHES} >= ISSUED


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_the_oracle_kills_it(patch: Path, verdicts: dict[str, subprocess.CompletedProcess[str]]) -> None:
    ended = verdicts[patch.stem]
    assert ended.stderr == "", f"died of an exception: {ended.stderr[-600:]}"
    assert ended.returncode == 3, "survived"
    assert ended.stdout.startswith("oracle: ")


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_it_is_small(patch: Path) -> None:
    changed = [line for line in patch.read_text().splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert 1 <= len(changed) <= 10
