"""`sandbox/FACTS.md` holds: every fact has a test that exists, what is unsure has a switch, and refusals are the stand-in's.

All tables of the file are read, whichever vendor they belong to.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.microsoft.switches import SWITCHES

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT / "sandbox" / "FACTS.md"
HEAD = ["fact", "source", "tag", "refusal in the vendor's words", "switch", "test"]
TAGS = {"V", "K", "3P", "unsure"}


class Row(NamedTuple):
    section: str
    fact: str
    source: str
    tag: str
    refusal: str
    switch: str
    test: str


def cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def rows() -> list[Row]:
    found, section = [], ""
    for line in FACTS.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:].strip()
        elif line.startswith("|") and cells(line) != HEAD and not re.fullmatch(r"[|\s:-]+", line):
            shown = cells(line)
            assert len(shown) == len(HEAD), f"{len(shown)} cells instead of {len(HEAD)}: {line}"
            found.append(Row(section, *shown))
    return found


@cache
def functions_of(file: str) -> frozenset[str]:
    """Names of the test functions of a file of tests/contract; none where it is absent."""
    path = ROOT / "tests" / "contract" / file
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def sandbox_source() -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "sandbox").rglob("*.py")))


@pytest.fixture(scope="module")
def facts() -> list[Row]:
    return rows()


def test_the_file_has_facts(facts: list[Row]) -> None:
    assert len([row for row in facts if row.section == "Microsoft"]) > 50


def test_every_fact_has_a_test_that_exists(facts: list[Row]) -> None:
    named = {row: re.findall(r"`(test_\w+\.py)::(test_\w+)`", row.test) for row in facts}
    assert [row.fact for row in facts if not named[row]] == [], "no test is named"
    assert [one for row in facts for one in named[row] if one[1] not in functions_of(one[0])] == [], "no such test"


def test_every_fact_says_where_it_is_read_and_how_sure_it_is(facts: list[Row]) -> None:
    assert [row.fact for row in facts if not row.fact or not row.source or row.tag not in TAGS] == []
    assert [row.fact for row in facts if row.tag == "unsure" and not row.switch] == [], "what is unsure needs a switch"


def test_every_switch_and_refusal_is_one_the_sandbox_has(facts: list[Row]) -> None:
    source = sandbox_source()
    switches = [name for row in facts for name in re.findall(r"`\w+\.(\w+)`", row.switch)]
    assert [name for name in switches if f'"{name}"' not in source and f".{name}" not in source] == []
    codes = [code for row in facts for code in re.findall(r"`([^`]+)`", row.refusal)]
    assert [code for code in codes if code not in source] == []
    numbers = [number for row in facts for number in re.findall(r"AADSTS(\d+)", row.refusal)]
    assert [number for number in numbers if f" {number}," not in source] == []


def test_every_switch_of_the_microsoft_world_has_a_row(facts: list[Row]) -> None:
    shown = " ".join(row.switch for row in facts if row.section == "Microsoft")
    assert {name for name in SWITCHES if f"`microsoft.{name}`" not in shown} == set()
