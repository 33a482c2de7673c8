"""Runs histories by seed and sums up what they reached; also a program, so that a changed copy of the engine can be judged.

python -m tests.property.histories FIRST LAST      ends at the first broken rule with the line "oracle: <rule>" and code 3
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

from tests.property.oracle import verdict
from tests.property.world import World


@dataclass
class Sum:
    counts: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, other: Sum) -> None:
        self.counts += other.counts
        self.cells += other.cells
        self.broken += other.broken


def run(first: int, last: int, *, stop: bool = False) -> Sum:
    """Histories of the seeds first..last-1."""
    total = Sum()
    for seed in range(first, last):
        world = World(seed)
        world.run()
        found = verdict(world)
        total.counts += world.counts
        total.cells += world.cells
        if found:
            total.broken.append(f"{found} (seed {seed})")
            if stop:
                break
    return total


def call_log(seed: int) -> str:
    world = World(seed)
    world.run()
    return world.log.hexdigest()


if __name__ == "__main__":
    judged = run(int(sys.argv[1]), int(sys.argv[2]), stop=True)
    for rule in judged.broken:
        print(f"oracle: {rule}")
    sys.exit(3 if judged.broken else 0)
