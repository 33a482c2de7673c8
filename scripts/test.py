"""Runs the test groups in order, each with its budget, all of them even when one fails: `scripts/test.py [group ...]`.

Rules that hold here: no standard input; a line of time per group and one final line; the exit code is 0 only if every group
passed and something ran. In CI (`CI` is set) nothing hides behind a skip: the vendor contracts must be there, and a skipped
contract or browser test counts as a failure. Reports stay in `.run/tests/{group}.xml`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".run" / "tests"
CONTRACTS = ROOT.parent / "shared" / "contracts"
NO_TESTS_YET = "no tests yet"
NO_TESTS = 5  # pytest's exit code for an empty group


@dataclass(frozen=True)
class Group:
    """Test folders, minutes they may take on 2 cores, and the script that brings what only they need."""

    folders: tuple[str, ...]
    budget: int
    needs: str = ""
    may_skip_in_ci: bool = True


GROUPS = {
    "unit": Group(("tests/unit", "tests/property"), 3),
    "contract": Group(("tests/contract",), 2, may_skip_in_ci=False),
    "system": Group(("tests/system",), 4),
    "browser": Group(("tests/browser",), 3, needs="scripts/chromium.sh", may_skip_in_ci=False),
}


@dataclass
class Outcome:
    """What one group did: `problem` is empty where it went well."""

    problem: str = ""
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


def main(wanted: list[str]) -> int:
    if unknown := [name for name in wanted if name not in GROUPS]:
        print(f"There is no group {', '.join(unknown)}; there are {', '.join(GROUPS)}.", file=sys.stderr)
        return 2
    if os.environ.get("CI") and not CONTRACTS.is_dir():
        print("CI needs the vendor contracts at ../shared/contracts: without them contract tests skip.", file=sys.stderr)
        return 1
    outcomes = {name: run(name) for name in wanted or GROUPS}
    for name, outcome in outcomes.items():
        budget = GROUPS[name].budget * 60
        over = ", over budget" if outcome.seconds > budget else ""
        print(f"{name:<9} {outcome.seconds:4.0f} s of {budget} s{over}: {outcome.problem or 'passed'}")
    counts = sum((outcome.counts for outcome in outcomes.values()), Counter[str]())
    failed = [name for name, outcome in outcomes.items() if outcome.problem not in ("", NO_TESTS_YET)]
    print(
        f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
        f" in {sum(outcome.seconds for outcome in outcomes.values()):.0f} s"
        f"{'; failed groups: ' + ', '.join(failed) if failed else ''}"
    )
    return 0 if counts["passed"] and not failed else 1


def run(name: str) -> Outcome:
    """Runs one group. A group without a test file is said to have none."""
    group = GROUPS[name]
    folders = [folder for folder in group.folders if any((ROOT / folder).rglob("test_*.py"))]
    if not folders:
        return Outcome(NO_TESTS_YET)
    print(f"== {name}", flush=True)
    if group.needs and subprocess.run([ROOT / group.needs], check=False, stdin=subprocess.DEVNULL).returncode:
        return Outcome(f"what it needs is missing ({group.needs})")
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *folders]
    began = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode
    outcome = Outcome(seconds=time.monotonic() - began, counts=counted(report))
    if code not in (0, NO_TESTS):
        outcome.problem = f"failed (pytest ended with {code})"
    elif outcome.counts["skipped"] and os.environ.get("CI") and not group.may_skip_in_ci:
        outcome.problem = f"{outcome.counts['skipped']} skipped, which CI does not accept here"
    return outcome


def counted(report: Path) -> Counter[str]:
    """passed, failed and skipped of pytest's report; errors count as failed. Empty where pytest died before writing it."""
    if not report.exists():
        return Counter()
    suite = xml.parse(report).getroot()[0].attrib
    bad, skipped = int(suite["failures"]) + int(suite["errors"]), int(suite["skipped"])
    return Counter(passed=int(suite["tests"]) - bad - skipped, failed=bad, skipped=skipped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
