"""The fixture `ms`: a fresh Microsoft world for each test. Named in `pytest_plugins` of the test files that use it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest

from tests.contract.microsoft_world import Stand


@pytest.fixture(scope="session")
def microsoft_stand() -> Iterator[Stand]:
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(folder)
        yield stand
        stand.close()


@pytest.fixture
def ms(microsoft_stand: Stand) -> Iterator[Stand]:
    """A fresh world; afterwards every answer with a body must have been checked against the contract and found right."""
    microsoft_stand.reset()
    yield microsoft_stand
    assert microsoft_stand.world.violations == []
    world = microsoft_stand.world
    if microsoft_stand.microsoft.contract.schema_file.is_file():
        assert world.answers["microsoft"] == world.validated["microsoft"]
