"""What users wrote in a history, and what they meant by it: the memory the oracle judges by.

Every user edit writes a value nobody wrote before and remembers which value it replaced, so that at the end the oracle
(`tests/property/oracle.py`) can tell an edit that was undone from one that lost a fair conflict.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.core.model import Value
from shared.store.providers import Record


@dataclass
class Lineage:
    """What users wrote: token -> (item, field, token it replaced); and what they did to items as a whole."""

    parents: dict[str, str] = field(default_factory=dict)
    item_of: dict[str, int] = field(default_factory=dict)
    added: dict[int, set[str]] = field(default_factory=dict)
    removed: dict[int, set[str]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)  # items somebody deleted or unmarked
    clean: set[tuple[int, str]] = field(default_factory=set)  # deleted there when all was in step, and never touched since
    unmarked: set[int] = field(default_factory=set)  # items whose mark was ever off: what befell them meanwhile stays there
    unsure: set[str] = field(default_factory=set)  # elements whose removal nobody can tell from a write that was never made
    by_robot: dict[str, str] = field(default_factory=dict)  # what each side's robot wrote last
    excused: dict[int, str] = field(default_factory=dict)  # items that lookup mode may double, and why
    twins: set[int] = field(default_factory=set)  # items that somebody typed in on both sides
    items: int = 0
    tokens: int = 0

    def item(self, record: Record) -> int:
        """Which item a record is about, by the values it holds."""
        found = {self.item_of[v.split("-", 1)[0]] for v in record.fields.values() if isinstance(v, str) and v}
        assert len(found) == 1, f"values of several items in one record: {record}"
        return found.pop()


def token(value: Value | None) -> str:
    return value.split("-")[0] if isinstance(value, str) else ""
