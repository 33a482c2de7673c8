"""The test of the contract tests: each planted fault breaks one vendor fact of the stand-in, and the judge must name it.

A fault is a patch of at most ten changed lines in `tests/contract/planted/`. It is applied to a copy of the stand-in; a patch
that no longer applies, a judge that dies, and a fault that nobody notices fail.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JUDGES = Path(__file__).parent / "salesforce_judges.py"
PLANTED = Path(__file__).parent / "planted"
#: fault -> the fact it breaks
BROKEN = {
    "like_ignored": "like_finds_by_pattern",
    "not_ignored": "not_turns_a_condition_round",
    "missing_field_accepted": "a_required_field_is_required",
    "over_long_text_accepted": "a_text_has_a_longest_length",
    "unselected_field_returned": "only_selected_fields_are_answered",
    "stale_condition_accepted": "a_stale_condition_changes_nothing",
    "failed_composite_kept": "all_or_none_keeps_nothing_of_a_failed_composite",
    "locked_row_written": "a_locked_row_fails_alone",
    "old_session_accepted": "a_session_ends_by_not_being_used",
    "spent_budget_ignored": "a_spent_budget_is_refused",
    "events_multiday_accepted": "an_event_of_two_days_needs_the_setting",
    "events_double_key_accepted": "a_second_event_with_the_key_names_the_first",
    "events_child_not_created": "an_invited_user_gets_a_child_event",
    "events_child_stays_behind": "a_child_event_follows_its_parent",
    "events_invitee_of_a_child_accepted": "a_child_event_has_no_invitees",
    "events_deleted_left_out": "query_all_tells_what_was_deleted",
    "events_flow_without_stamp": "a_flow_moves_the_stamp_again",
}
UNPATCHED = "unpatched"


#: exit code, what the judge said, what went wrong
Verdict = tuple[int, str, str]


def copy(fault: str, folder: Path) -> None:
    """A copy of the stand-in and its judge in the folder, with the fault in it."""
    leave = shutil.ignore_patterns("microsoft", "sample", "planted", "test_*")
    for name in ("sandbox", "tests/contract"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    (folder / "tests/__init__.py").touch()
    if fault != UNPATCHED:
        patch = PLANTED / f"salesforce_{fault}.patch"
        applied = subprocess.run(["git", "apply", str(patch)], cwd=folder, capture_output=True, text=True, check=False)
        assert applied.returncode == 0, f"{fault} no longer applies: {applied.stderr}"


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    folders = {fault: tmp_path_factory.mktemp(fault) for fault in (UNPATCHED, *BROKEN)}
    for fault, folder in folders.items():
        copy(fault, folder)
    command = [sys.executable, str(JUDGES), *map(str, folders.values())]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=folders[UNPATCHED])
    told = json.loads(ended.stdout)
    return {fault: tuple(told[str(folder)]) for fault, folder in folders.items()}


def test_every_patch_has_its_fact() -> None:
    assert {path.stem.removeprefix("salesforce_") for path in PLANTED.glob("salesforce_*.patch")} == set(BROKEN)


def test_the_judge_is_content_with_the_stand_in_as_it_is(verdicts: dict[str, Verdict]) -> None:
    code, said, wrong = verdicts[UNPATCHED]
    assert (code, said.strip()) == (0, f"all {len(BROKEN)} facts hold"), wrong


@pytest.mark.parametrize("fault", BROKEN)
def test_the_judge_names_the_broken_fact(fault: str, verdicts: dict[str, Verdict]) -> None:
    code, said, wrong = verdicts[fault]
    assert "Traceback" not in wrong, wrong[-600:]
    assert (code, said.strip()) == (3, f"broken: {BROKEN[fault]}")


@pytest.mark.parametrize("fault", BROKEN)
def test_it_is_small(fault: str) -> None:
    text = (PLANTED / f"salesforce_{fault}.patch").read_text(encoding="utf-8")
    changed = [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert 1 <= len(changed) <= 10
