"""The test of the contract tests: each planted fault breaks one promise of the Microsoft world, and the driver must name it.

A fault is a patch of at most ten changed lines in `planted/microsoft_*.patch`, applied to a copy of the sandbox. One that the
driver does not notice, that makes it die of an exception, or that no longer applies fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.microsoft.contract import SCHEMA_FILE

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted((Path(__file__).parent / "planted").glob("microsoft_*.patch"))
pytestmark = pytest.mark.skipif(not SCHEMA_FILE.is_file(), reason="the vendor's schema is not at ../shared/contracts/graph")
#: planted fault -> the fact that must be named
BROKEN = {
    "unknown_property": "a message shows what the model knows",
    "missing_field": "a message shows what the model knows",
    "unselected_field": "what is not selected is not shown",
    "page_skips_one": "pages of a listing lose nothing",
    "stale_if_match_accepted": "a stale If-Match is 412",
    "immutable_id_moves": "an immutable id survives a move",
    "200_instead_of_410": "a dead delta link is 410",
    "removed_left_out": "what was deleted is handed out as @removed",
    "retry_after_left_out": "429 says in Retry-After",
    "batch_part_unchecked": "every part of a batch is checked",
    "client_state_left_out": "a notification carries the clientState",
    "refresh_token_kept": "a refresh token is replaced",
    "calendar_out_of_window_left_out": "a change outside the window",
    "calendar_window_not_baked_in": "the window of a calendar's delta",
    "calendar_stale_if_match_accepted": "a stale If-Match on an event",
    "calendar_transaction_id_ignored": "one transactionId makes one event",
    "calendar_outbox_silent": "an organiser's patch mails",
    "calendar_cancelled_occurrence_expanded": "a cancelled occurrence",
}


def judge(patch: Path | None, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the driver in a copy of the sandbox, which finds the vendor's contracts where the original does."""
    copy = folder / "copy"
    left_out = shutil.ignore_patterns("planted", "test_*", "salesforce*")
    for name in ("sandbox", "tests/contract"):
        shutil.copytree(ROOT / name, copy / name, ignore=left_out)
    (copy / "tests/__init__.py").touch()
    (folder / "shared").symlink_to(ROOT.parent / "shared")
    if patch:
        applied = subprocess.run(["git", "apply", str(patch)], cwd=copy, capture_output=True, text=True, check=False)
        assert applied.returncode == 0, f"{patch.stem} no longer applies: {applied.stderr}"
    command = [sys.executable, "-m", "tests.contract.microsoft_driver"]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """By name of the fault; "" is the sandbox as it is."""
    cases = {"": None, **{patch.stem.removeprefix("microsoft_"): patch for patch in PATCHES}}
    with ThreadPoolExecutor(2) as pool:
        judged = pool.map(lambda patch: judge(patch, tmp_path_factory.mktemp("planted")), cases.values())
        return dict(zip(cases, judged, strict=True))


def test_the_sandbox_as_it_is_keeps_every_promise(verdicts: dict[str, subprocess.CompletedProcess[str]]) -> None:
    ended = verdicts[""]
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr[-600:]
    assert ended.stdout.endswith("facts hold\n")


def test_every_named_fault_is_there() -> None:
    assert {patch.stem.removeprefix("microsoft_") for patch in PATCHES} == set(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_a_planted_fault_is_named(name: str, verdicts: dict[str, subprocess.CompletedProcess[str]]) -> None:
    ended = verdicts[name]
    assert ended.returncode == 3, f"not noticed, or died: {ended.stdout}{ended.stderr[-600:]}"
    assert ended.stdout.startswith(f"broken: {BROKEN[name]}")


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_fault_is_small(patch: Path) -> None:
    changed = [line for line in patch.read_text().splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert 1 <= len(changed) <= 10
