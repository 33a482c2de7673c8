"""Writes the tables of docs/sync.md from the code they describe. `--check` only says whether the page is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.core import brake, fields, insist, item_scope, plan, profile, scope  # noqa: E402

PAGE = ROOT / "docs/sync.md"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)])


def decisions() -> str:
    return table(
        ("mail", "crm", "what happens", "rule in the ledger"),
        ((mail, crm, verb, f"`{rule}`") for (mail, crm), (verb, rule) in plan.DECISIONS.items()),
    )


def kinds() -> str:
    rows = []
    for kind, rules in fields.KINDS.items():
        for one in rules:
            limits = ", ".join(f"{side}: {limit}" for side, limit in (one.limits or {}).items())
            holds = ", ".join(f"{side}: {a} as {b}" for side, of in (one.holds or {}).items() for a, b in of.items())
            flags = (
                one.is_set, one.by_person, one.careful, one.others_see, one.name in fields.LOOKUP[kind],
            )  # fmt: skip
            way = "both ways" if one.direction == "both" else "to the crm"
            rows.append((kind, one.name, way, one.winner, limits, holds, *("yes" if flag else "" for flag in flags)))
    head = (
        "kind", "field", "carried", "winner of a conflict", "longest text", "held as", "set", "edited by people",
        "careful", "others see it", "looked up by",
    )  # fmt: skip
    return table(head, rows)


def brakes() -> str:
    return table(("deletions are", "always allowed", "or percent of the links"), ((k, *v) for k, v in brake.LIMITS.items()))


def never() -> str:
    return table(("folder", "rule"), ((folder, f"`{rule}`") for folder, rule in scope.NEVER.items()))


def settings() -> str:
    def kind(one: profile.Setting) -> str:
        bounds = {"number": f" {one.low} to {one.high}", "choice": " " + ", ".join(one.choices)}
        return one.kind + bounds.get(one.kind, "")

    def default(one: profile.Setting) -> object:
        match one.kind:
            case "switch":
                return "on" if one.default else "off"
            case "list":
                return "-"
        return one.default

    rows = ((f"`{one.name}`", kind(one), default(one), one.text, one.seed) for one in profile.SETTINGS)
    return table(("setting", "kind", "default", "what it does", "known as"), rows)


def insisting() -> str:
    rows = (
        ("changes of the winner that are carried", insist.MOST),
        ("minutes in which they are counted", int(insist.WINDOW_S // 60)),
        ("hours a field is held where nobody releases it", int(insist.HOLD_S // 3600)),
    )
    return table(("two systems insist", "number"), rows)


def items() -> str:
    return table(("rule", "an event"), ((f"`{rule}`", when) for rule, when in item_scope.RULES.items()))


def windows() -> str:
    ahead = profile.BY_NAME["occurrence_days"]
    rows = (
        ("single events, days back", item_scope.BACK_DAYS),
        ("single events, days ahead", item_scope.AHEAD_DAYS),
        ("occurrences of a series, days back", item_scope.BACK_DAYS),
        ("occurrences of a series, days ahead", f"{ahead.default} (`occurrence_days`, {ahead.low} to {ahead.high})"),
    )
    return table(("window", "reaches"), rows)


TABLES = {
    "items": items,
    "windows": windows,
    "decisions": decisions,
    "fields": kinds,
    "brake": brakes,
    "insist": insisting,
    "never": never,
    "settings": settings,
}


def filled(text: str) -> str:
    """The page with every table made anew between its markers."""
    for name, make in TABLES.items():
        first, last = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        before, rest = text.split(first)
        _, after = rest.split(last)
        text = f"{before}{first}{make()}\n{last}{after}"
    return text


if __name__ == "__main__":
    page = PAGE.read_text()
    if "--check" in sys.argv:
        if filled(page) != page:
            sys.exit("docs/sync.md is not what the code says; run scripts/sync_doc.py")
    else:
        PAGE.write_text(filled(page))
