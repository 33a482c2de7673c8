"""Runs histories by seed and sums up what they reached; also a program, so that a changed copy of the engine can be judged.

python -m tests.property.histories FIRST LAST      ends at the first broken rule with the line "oracle: <rule>" and code 3
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

from tests.property.faults import leaves
from tests.property.oracle import verdict
from tests.property.world import World

#: What a history counts under the name of each class that is raised; Throttled comes with and without the vendor's time.
CLASSES = (*leaves(), "Throttled with a time")


@dataclass
class Sum:
    """`allowed`: the twins of lookup mode, each by name."""

    counts: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def add(self, other: Sum) -> None:
        self.counts += other.counts
        self.cells += other.cells
        self.broken += other.broken
        self.allowed += other.allowed

    def told(self) -> str:
        """What was reached, in a few lines."""
        counts = self.counts
        severed = counts["note deleted.crm"] + counts["note deleted.mail.not_ours"]
        classes = {name: counts[name] for name in CLASSES}
        share = {name: counts[name] / max(1, counts["calls"]) for name in ("faults", "concurrent edits")}
        return "\n".join(
            (
                (
                    f"{counts['histories']} histories, {counts['without a key']} of them in lookup mode: {counts['acts']} acts,"
                    f" {counts['calls']} calls and commits, {share['faults']:.1%} faulted, {share['concurrent edits']:.1%}"
                    f" met a concurrent edit; {counts['crashes']} crashes, {counts['lost answers']} lost answers"
                ),
                (
                    f"{counts['note conflict']} conflicts, {counts['note adopted']} adoptions, {severed} severed,"
                    f" {counts['note held.deletes']} deletions held, {counts['confirmed']} confirmed,"
                    f" {counts['note held.insist']} fields insisted on, {counts['older rows']} rows of an older form,"
                    f" {counts['removals nobody can tell']} removals nobody can tell, {len(self.allowed)} twins of lookup mode"
                ),
                f"least reached: {_least(self.cells)}; {_least(classes)}",
                ", ".join(f"{cell}: {n}" for cell, n in sorted(self.cells.items())),
                ", ".join(f"{name}: {n}" for name, n in sorted(classes.items())),
                *self.allowed,
            )
        )


def _least(counts: dict[str, int] | Counter[str]) -> str:
    name = min(counts, key=lambda one: counts[one], default="nothing")
    return f"{name} ({counts.get(name, 0)})"


def run(first: int, last: int, *, stop: bool = False) -> Sum:
    """Histories of the seeds first..last-1."""
    total = Sum()
    for seed in range(first, last):
        world = World(seed)
        world.run()
        found = verdict(world)
        total.counts += world.counts
        total.counts["histories"] += 1
        total.counts["without a key"] += not world.sides["crm"].keyed
        total.cells += world.cells
        total.allowed += [f"{twin} (seed {seed})" for twin in world.allowed]
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
