"""Figures, printed. Each bench is a function here; one that misses its goal makes the run fail."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 15


def seconds_of(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
    return time.perf_counter() - began


def import_cost() -> bool:
    """`import function_app` against bare `import azure.functions`, paired, fresh interpreters. Goal: at most 1.5."""
    ratios = []
    for _ in range(ROUNDS):
        base = seconds_of("pass")
        bare = seconds_of("import azure.functions") - base
        ours = seconds_of("import function_app") - base
        ratios.append(ours / bare)
    ratio = statistics.median(ratios)
    print(f"import function_app / import azure.functions: {ratio:.2f} (median of {ROUNDS}; goal <= 1.5)")
    return ratio <= 1.5


def histories() -> bool:
    """How many faulted histories of the law one core judges in a second. A figure without a goal."""
    sys.path.insert(0, str(ROOT))
    from tests.property.histories import run

    began = time.perf_counter()
    run(0, 200)
    print(f"law: {200 / (time.perf_counter() - began):.0f} histories a second on one core")
    return True


if __name__ == "__main__":
    results = [bench() for bench in (import_cost, histories)]
    sys.exit(0 if all(results) else 1)
