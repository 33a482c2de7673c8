"""Every code a person can meet has a sentence. Codes are collected from the code itself, so that a new one fails here."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import functions
import shared
from functions.openapi import ROUTES
from shared.core import errors, match, plan, scope
from shared.session import standing
from shared.texts import Sentence, catalogue, explained, has, sentence

ROOT = Path(__file__).resolve().parents[2]
#: A dotted literal that begins with one of these is a code, wherever it stands.
FAMILIES = (
    "budget", "cursor", "file", "held", "item", "lease", "ledger", "mailbox", "org", "refused", "related", "removed", "request",
    "retry", "saved", "settings", "severed", "skipped", "store", "sync", "token", "waiting",
)  # fmt: skip
CODE = re.compile(rf"({'|'.join(FAMILIES)})(\.[a-z][a-z0-9_]*)+")
#: Parameters by code; every sentence below a code may use them. `code` is always given.
PARAMETERS = {
    "org.key_field_refused": {"reason"},
    "sync.too_soon": {"wait_s"}, "request.limit": {"most"}, "request.idempotency_key": {"longest"},
    "request.body": {"place"}, "request.body_too_large": {"most"}, "settings.unknown": {"name"}, "settings.range": {"name"},
    "settings.forced": {"name"}, "settings.company_only": {"name"},
}  # fmt: skip


def sources() -> Iterator[Path]:
    for folder in ("shared", "functions"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def subclasses(of: type) -> Iterator[type]:
    for one in of.__subclasses__():
        yield one
        yield from subclasses(one)


def given_codes(tree: ast.Module) -> Iterator[str]:
    """Text given as `code=` or `rule=` to a call, or as the class attribute `code`, whatever it looks like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("code", "rule"):
            yield from texts(node.value)
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                named = line.targets if isinstance(line, ast.Assign) else []
                if isinstance(line, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "code" for name in named):
                    yield from texts(line.value)


def texts(value: ast.expr) -> Iterator[str]:
    """The text of a constant, or of each branch of a choice."""
    for part in (
        (value.body, value.orelse)
        if isinstance(value, ast.IfExp)
        else value.values
        if isinstance(value, ast.BoolOp)
        else [value]
    ):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value:
            yield part.value


def literal_codes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value


def told_codes() -> Iterator[str]:
    """What a module says it may raise, in a tuple or mapping CODES."""
    for package in (shared, functions):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            codes = getattr(importlib.import_module(module.name), "CODES", ())
            yield from (str(code) for code in codes)


def collected() -> dict[str, str]:
    """Every code and where it was found."""
    found: dict[str, str] = {}
    for file in sources():
        tree = ast.parse(file.read_text())
        found |= dict.fromkeys([*given_codes(tree), *literal_codes(tree)], str(file.relative_to(ROOT)))
    found |= dict.fromkeys(told_codes(), "CODES")
    found |= {one.code: "core/errors" for one in (errors.SyncError, *subclasses(errors.SyncError))}
    found |= {rule: "core/plan" for _, rule in plan.DECISIONS.values()}
    found |= {code: route.name for route in ROUTES for codes in route.refusals.values() for code in codes}
    return found


def test_the_collection_sees_what_it_should() -> None:
    found = collected()
    for code in (
        "sync.error",
        "retry.storage",
        "skipped.unsync",
        "related.lead_alone",
        "saved.auto",
        "store.newer_row",
        "refused",
    ):
        assert code in found
    tree = ast.parse(
        'raise Unavailable(code="odd"); x = "held.sample"; y = {"a": ("saved.sample", 1)}\nclass A:\n    code = "own"'
    )
    assert {*given_codes(tree), *literal_codes(tree)} == {"odd", "own", "held.sample", "saved.sample"}


def test_every_code_in_the_product_has_a_sentence_of_its_own() -> None:
    missing = {code: where for code, where in sorted(collected().items()) if not has(code) and not code.startswith("refused.")}
    assert missing == {}


def test_every_rule_of_scope_and_match_has_one() -> None:
    rules = {text for module in (scope, match) for text in literal_codes(ast.parse(Path(module.__file__ or "").read_text()))}
    assert {"skipped.internal", "skipped.blocked", "related.case"} <= rules
    assert {rule for rule in rules if not has(rule)} == set()
    assert {rule for rule in scope.NEVER.values() if not has(rule)} == set()


def test_every_status_of_a_mailbox_has_a_code_with_a_sentence() -> None:
    assert {code for code in (*standing._CODES.values(), "ok", "new") if not has(code)} == set()


def test_a_code_below_a_known_one_has_that_ones_sentence_and_may_be_named_in_it() -> None:
    told = sentence("refused.string_too_long")
    assert "(string_too_long)" in told.what
    assert told == explained("refused.string_too_long")
    assert str(told).count(".") >= 3
    assert sentence("mailbox.consent_needed.something_new") == sentence("mailbox.consent_needed")


def test_a_code_nothing_fits_has_the_general_sentence_and_no_explanation() -> None:
    assert "(no.such_thing)" in sentence("no.such_thing").what
    assert sentence("no.such_thing").data == catalogue()["sync.error"][1]
    assert explained("no.such_thing") is None
    assert explained("") is None
    assert explained("sync.error") == sentence("sync.error")


def test_parameters_are_filled_in_and_a_missing_one_is_told() -> None:
    assert "17 seconds" in sentence("sync.too_soon", wait_s=17).act
    with pytest.raises(KeyError, match="wait_s"):
        sentence("sync.too_soon")
    assert "…" in str(explained("sync.too_soon"))


def allowed(code: str) -> set[str]:
    return {"code"} | PARAMETERS.get(code, set())


@pytest.mark.parametrize("code", sorted(catalogue()))
def test_a_sentence_says_what_happened_in_whole_sentences_with_known_parameters(code: str) -> None:
    texts = catalogue()[code]
    assert texts[0]
    for part in texts:
        assert part == "" or re.fullmatch(r"[A-Z\"{].*[.?]", part), part
        assert part == part.strip()
        named = {name for _, name, _, _ in string.Formatter().parse(part) if name is not None}
        assert named <= allowed(code)
    assert isinstance(explained(code), Sentence)


@pytest.mark.parametrize(
    "code", sorted(code for code in catalogue() if code.split(".")[0] in ("mailbox", "org", "held", "refused"))
)
def test_what_waits_for_a_person_says_what_it_means_for_the_data_and_what_to_do(code: str) -> None:
    _, data, act = catalogue()[code]
    assert data
    assert act


def test_a_sentence_never_blames_and_never_speaks_of_what_is_inside() -> None:
    for code, texts in catalogue().items():
        assert not re.search(r"(?i)\b(etag|cursor|exception|lease|null|invalid user|stack|partition)\b", " ".join(texts)), code
