"""`manifest.csv` joined with what was loaded: what must stand in Salesforce of each mail, and why.

Rules that hold here:
- The table is written by hand from the behaviour's reference, before and apart from any code that decides; this module only
  joins it with ids. It never computes an outcome.
- A row speaks for one single mail or for one direction of a series. Every mail has a row and every row has a mail: an
  orphan on either side is an error.

It must never import the product.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.sample.loading import Placed, Sample
from sandbox.sample.mails import FOLDER

ROLES = {"From": "FromAddress", "To": "ToAddress", "Cc": "CcAddress", "Bcc": "BccAddress"}


@dataclass(frozen=True)
class Expected:
    """One mail. `people`: (record id, role, name) as EmailMessageRelation has them; `files`: (name or "~.extension" for any
    name of that kind, bytes or None for any size); `subject` None = any. `text`: full, cut (a long text to its limit) or none;
    `contains`: a word that its text holds. `copies`: (mailbox address, immutable id, categories)."""

    mail: str
    message_id: str
    saved: bool
    rule: str
    why: str
    incoming: bool
    people: tuple[tuple[str, str, str], ...]
    related: str
    related_name: str
    files: tuple[tuple[str, int | None], ...]
    subject: str | None
    text: str
    contains: str
    copies: tuple[tuple[str, str, tuple[str, ...]], ...]


def rows() -> dict[str, dict[str, str]]:
    """The table by its first column. Raises ValueError for a mail that stands twice."""
    with (FOLDER / "manifest.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    found = {row["mail"]: row for row in table}
    if len(found) != len(table):
        raise ValueError("manifest.csv names a mail twice.")
    return found


def expected(sample: Sample) -> list[Expected]:
    """One entry per mail. Raises ValueError where mails and rows do not cover each other."""
    table = rows()
    used = {placed.made.spec.row for placed in sample.mails}
    if missing := used ^ set(table):
        raise ValueError(f"mails.toml and manifest.csv do not cover each other: {', '.join(sorted(missing))}.")
    return [_joined(sample, placed, table[placed.made.spec.row]) for placed in sample.mails]


def as_json(sample: Sample) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in expected(sample)]


def _joined(sample: Sample, placed: Placed, row: Mapping[str, str]) -> Expected:
    letter, spec = placed.made.letter, placed.made.spec
    addresses = {user.key: user.address for user in sample.users}
    flaws = set(spec.flaws)
    subject = "" if "no_subject" in flaws else None if flaws & {"bad_encoded_word", "raw_header"} else letter.subject
    return Expected(
        mail=spec.key,
        message_id=placed.message_id,
        saved=row["saved"] == "yes",
        rule=row["rule"],
        why=row["why"],
        incoming=row["incoming"] == "yes",
        people=tuple(_person(sample, text) for text in _listed(row["people"])),
        related=sample.records[row["related"]] if row["related"] else "",
        related_name=row["related"],
        files=_files(placed, row["files"]),
        subject=subject,
        text=row["text"],
        contains=letter.token if row["text"] in ("full", "cut") else "",
        copies=tuple(
            (addresses[copy.mailbox], message_id, copy.categories)
            for copy, (_, message_id) in zip(spec.copies, placed.copies, strict=True)
        ),
    )


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(";") if one.strip()]


def _person(sample: Sample, text: str) -> tuple[str, str, str]:
    name, _, role = text.partition("=")
    return sample.records[name], ROLES[role], name


def _files(placed: Placed, text: str) -> tuple[tuple[str, int | None], ...]:
    """The named parts with their size. Raises ValueError for a file that the mail does not have."""
    left = [(str(given["file"]), part) for given, part in zip(placed.made.spec.parts, placed.made.letter.parts, strict=True)
            if "file" in given]  # fmt: skip
    found: list[tuple[str, int | None]] = []
    for name in _listed(text):
        if name.startswith("~"):
            odd = next((part for _, part in left), None)
            found.append((name, len(odd.content) if odd else None))
            continue
        fitting = next((pair for pair in left if pair[0] == name), None)
        if fitting is None:
            raise ValueError(f"manifest.csv expects {name} of {placed.made.spec.key}, which has no such part.")
        left.remove(fitting)
        found.append((fitting[1].name, len(fitting[1].content)))
    return tuple(found)
