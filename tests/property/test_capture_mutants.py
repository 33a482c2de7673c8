"""The test of the tests of mail capture: each mutant breaks one of its rules, and the test that guards the rule must say so.

A mutant is a patch of at most ten changed lines, `mutants/capture_*.patch`. It is applied to a copy of the product, in which
the test named for it then runs. What counts is a verdict: an assertion of that test that does not hold. A mutant that
survives, that dies of an exception or that no longer applies fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).parent / "mutants"
FAULTS, UNIT = "tests/property/test_capture.py::test_", "tests/unit/test_"
RULES, CLAIMS, DELETIONS, PATIENCE = (f"{UNIT}capture{name}.py::test_" for name in ("", "_claims", "_deletions", "_patience"))
DEATH = f"{FAULTS}a_small_mailbox_is_finished_after_a_death_at_each_effect"
UNMARKED = f"{FAULTS}what_was_begun_is_finished_although_the_mails_lost_their_marks_meanwhile"
#: mutant -> the test that must notice
GUARDS = {
    "not_announced": UNMARKED,
    "announced_after_the_claim": UNMARKED,
    "claim_not_inserted": f"{FAULTS}two_sessions_at_once_and_one_of_them_dies",
    "claim_settled_before_the_record": DEATH,
    "take_over_without_look_up": DEATH,
    "cursors_before_the_rows": DEATH,
    "cursors_early_in_a_slice": f"{FAULTS}a_slice_that_ends_between_two_batches_skips_nothing",
    "cursors_of_one_commit_only": f"{RULES}a_mailbox_with_many_folders_below_the_marking_one_is_read",
    "files_again_after_a_crash": DEATH,
    "files_not_finished_after_a_crash": DEATH,
    "foreign_is_ours_after_a_take_over": (
        f"{FAULTS}a_record_that_stood_before_stays_untouched_whatever_fails_where[process dies]"
    ),
    "gone_left_open": f"{FAULTS}what_was_begun_leaves_nothing_open_although_the_mails_are_gone_meanwhile",
    "copies_written_twice": f"{FAULTS}a_whole_run_saves_every_mail_once_and_then_is_still",
    "sig_without_the_mark": f"{RULES}a_mark_set_later_saves_it",
    "identifier_of_the_copy": f"{RULES}a_mail_without_message_id_is_written_once_from_both_copies",
    "unsync_deletes_what_others_hold": f"{RULES}unsync_takes_the_record_back_when_the_last_holder_says_so",
    "unsync_deletes_an_adopted_record": f"{RULES}unsync_of_a_record_that_was_there_before_only_severs",
    "unsynced_saved_again_by_itself": f"{RULES}what_was_taken_back_comes_again_only_by_hand",
    "unsync_ignored_while_waiting": f"{CLAIMS}unsync_set_while_a_mail_waits_for_another_mailbox_is_obeyed",
    "claim_kept_on_refusal": f"{CLAIMS}what_one_mailbox_may_not_write_another_may",
    "claims_not_renewed": f"{CLAIMS}a_mailbox_that_slept_until_its_claim_was_taken_over_writes_nothing",
    "taken_over_without_grace": f"{CLAIMS}the_mail_of_a_claim_that_is_alive_waits_for_its_end",
    "joined_without_if_match": f"{CLAIMS}a_mailbox_that_comes_as_the_last_holder_leaves_saves_the_mail_itself",
    "joined_and_not_looked_at": f"{CLAIMS}a_mailbox_that_comes_as_the_last_holder_leaves_saves_the_mail_itself",
    "ring_speaks_for_now": f"{UNIT}run.py::test_a_ring_for_later_is_not_answered_by_a_session_before_it",
    "disconnected_stays_a_holder": f"{UNIT}directory.py::test_a_mailbox_that_was_disconnected_holds_no_record",
    "deleted_stays_claimed": f"{DELETIONS}nobody_joins_a_record_whose_deletion_was_told",
    "deleted_while_unfinished_stays_claimed": (
        f"{DELETIONS}a_mail_whose_record_was_deleted_while_unfinished_can_be_saved_again_by_hand"
    ),
    "deletions_beyond_the_slice": f"{DELETIONS}following_deletions_keeps_to_the_slice",
    "lease_not_first": f"{PATIENCE}a_session_that_lost_its_lease_stops_silently_whatever_row_it_was_about_to_write",
    "lease_extended_late": f"{PATIENCE}a_write_that_takes_a_minute_is_not_made_a_second_time_meanwhile[write]",
    "tried_again_while_in_doubt": f"{PATIENCE}a_write_whose_answer_was_lost_is_not_made_again_before_it_must_have_ended",
    "held_tried_for_ever": f"{RULES}a_held_mail_is_not_tried_for_ever",
    "held_that_left_waits_for_ever": f"{PATIENCE}a_held_mail_that_was_deleted_in_the_mailbox_is_no_issue_any_more",
    "stale_dropped": f"{RULES}a_row_that_is_locked_is_written_by_a_later_session",
    "pause_does_not_grow": f"{PATIENCE}a_row_that_stays_locked_is_not_asked_for_every_minute_for_ever",
    "try_counted_too_late": (
        f"{PATIENCE}one_mail_whose_file_always_fails_does_not_stop_the_others[the mailbox cannot read one attachment]"
    ),
    "told_to_wait_without_end": f"{PATIENCE}a_vendor_that_always_says_wait_a_second_is_not_asked_every_second",
}
UNPATCHED = "unpatched"
#: pytest without the plugins that happen to be installed: importing them takes longer than most of the guards
BARE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
#: runs tests; tells what they raised: [test, kind of exception, its first line]
JUDGE = """
import json, sys, pytest
class Verdicts:
    found = []
    def pytest_exception_interact(self, node, call):
        self.found.append([node.nodeid, call.excinfo.typename, str(call.excinfo.value).partition(chr(10))[0]])
verdicts = Verdicts()
code = pytest.main(["-q", "-p", "no:cacheprovider", "--tb=no", *sys.argv[1:]], plugins=[verdicts])
print(chr(10) + json.dumps([int(code), verdicts.found]))
"""

#: exit code of the run, [[test, kind of exception, its first line]]
Verdict = tuple[int, list[list[str]]]


def judged(mutant: str, folder: Path) -> Verdict:
    leave = shutil.ignore_patterns("mutants")
    for name in ("shared", "tests/property", "tests/unit"):
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    (folder / "tests/__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)
    if mutant != UNPATCHED:
        patch = PATCHES / f"capture_{mutant}.patch"
        applied = subprocess.run(["git", "apply", str(patch)], cwd=folder, capture_output=True, text=True, check=False)
        assert applied.returncode == 0, f"{mutant} no longer applies: {applied.stderr}"
    tests = [GUARDS[mutant]] if mutant != UNPATCHED else sorted(set(GUARDS.values()))
    command = [sys.executable, "-c", JUDGE, *tests]
    ended = subprocess.run(command, cwd=folder, env=BARE, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-600:]
    code, found = json.loads(ended.stdout.rstrip().rpartition("\n")[2])
    return code, found


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    names = [UNPATCHED, *GUARDS]
    folders = [tmp_path_factory.mktemp(name) for name in names]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(names, pool.map(judged, names, folders), strict=True))


def test_every_patch_has_its_guard() -> None:
    assert {path.stem.removeprefix("capture_") for path in PATCHES.glob("capture_*.patch")} == set(GUARDS)


def test_the_guards_are_content_with_the_product_as_it_is(verdicts: dict[str, Verdict]) -> None:
    assert verdicts[UNPATCHED] == (0, [])


@pytest.mark.parametrize("mutant", GUARDS)
def test_its_guard_kills_it_by_a_verdict(mutant: str, verdicts: dict[str, Verdict]) -> None:
    code, found = verdicts[mutant]
    assert found, "survived"
    (noticed,) = found
    assert (code, noticed[0], noticed[1]) == (1, GUARDS[mutant], "AssertionError"), noticed


@pytest.mark.parametrize("mutant", GUARDS)
def test_it_is_small(mutant: str) -> None:
    text = (PATCHES / f"capture_{mutant}.patch").read_text(encoding="utf-8")
    changed = [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert 1 <= len(changed) <= 10
