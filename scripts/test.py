"""Runs the test groups in order, each with its budget, all of them even when one fails. `scripts/test.py [group]`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: group -> (test folders, budget in minutes on 2 cores)
GROUPS = {
    "unit": (("tests/property", "tests/unit"), 3),
    "contract": (("tests/contract",), 2),
    "system": (("tests/system",), 4),
    "browser": (("tests/browser",), 3),
}
#: group -> what has to be there before its tests
NEEDS = {"browser": "scripts/browser.sh"}
#: Both cores: a file's tests stay together, since they share what is costly to start. The browser has its own processes.
ON_BOTH_CORES = ("-n", "2", "--dist", "loadfile")
ALONE = {"browser"}
NO_TESTS = 5  # pytest's exit code for an empty group


def main() -> int:
    wanted = sys.argv[1:] or list(GROUPS)
    if unknown := [group for group in wanted if group not in GROUPS]:
        print(f"unknown group: {', '.join(unknown)}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    if os.environ.get("CI") and not (ROOT.parent / "shared" / "contracts").is_dir():
        print("CI must have the vendor contracts at ../shared/contracts: contract tests would skip.", file=sys.stderr)
        return 1
    failed, totals, lines = [], {"passed": 0, "failed": 0, "skipped": 0}, []
    for group in wanted:
        folders, budget = GROUPS[group]
        present = [folder for folder in folders if any((ROOT / folder).rglob("test_*.py"))]
        if not present:
            lines.append(f"{group}: no tests yet")
            continue
        print(f"== {group}", flush=True)
        if group in NEEDS and subprocess.run([ROOT / NEEDS[group]], cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode:
            failed.append(group)
            continue
        began = time.monotonic()
        code, counts = run(present, () if group in ALONE else ON_BOTH_CORES)
        lines.append(f"{group}: {time.monotonic() - began:.0f} s of {budget * 60} s")
        for word, n in counts.items():
            totals[word] += n
        if code not in (0, NO_TESTS):
            failed.append(group)
    print("\n".join(lines))
    if failed:
        print(f"failed groups: {', '.join(failed)}")
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if failed or not totals["passed"] else 0


def run(folders: list[str], how: Sequence[str]) -> tuple[int, dict[str, int]]:
    """(pytest's exit code, {passed, failed, skipped}); errors count as failed."""
    command = [sys.executable, "-m", "pytest", "-q", *how, *folders]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    last = ""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line if re.search(r"\b(passed|failed|error)", line) else last
    found = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)}
    failures = found.get("failed", 0) + found.get("error", 0) + found.get("errors", 0)
    return process.wait(), {
        "passed": found.get("passed", 0), "failed": failures, "skipped": found.get("skipped", 0)
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
