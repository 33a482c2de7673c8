"""No exception leaves a door with its words."""

from __future__ import annotations

import traceback

import pytest

from functions.quiet import Failed, quietly
from shared.core.errors import Unavailable
from shared.settings import SettingsError

SECRET = "what the customer wrote"


def _raising(problem: Exception) -> None:
    raise problem


def test_an_unexpected_exception_keeps_its_class_and_place_and_loses_its_text() -> None:
    def work() -> None:
        try:
            _raising(KeyError(SECRET))
        except KeyError:
            _raising(ValueError(f"{SECRET}, twice"))

    with pytest.raises(Failed) as raised:
        quietly(work)
    told = "".join(traceback.format_exception(raised.value))
    assert SECRET not in told
    assert str(raised.value).startswith("ValueError at test_quiet.py:")


def test_our_own_errors_keep_their_code() -> None:
    with pytest.raises(Failed, match=r"Unavailable \(retry\.unavailable\) at "):
        quietly(lambda: _raising(Unavailable()))


def test_what_is_to_be_told_passes_and_so_does_a_missing_setting() -> None:
    for problem in (LookupError("told"), SettingsError("MAILSPAN_TENANT is missing")):
        with pytest.raises(type(problem)):
            quietly(lambda problem=problem: _raising(problem), told=(LookupError,))  # type: ignore[misc]
    assert quietly(lambda: 7) == 7
