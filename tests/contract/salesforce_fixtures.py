"""Fixtures of the tests of the Salesforce stand-in and its adapters: one server a module, one fresh org a test, no violation of
the contract left behind. Named in `pytest_plugins`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.contract.salesforce_desk import Desk
from tests.contract.salesforce_world import ANNA, CLIENT, Served, serving

#: A Monday. 2094 has the calendar of 2027.
MONDAY = datetime(2094, 1, 11, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


@pytest.fixture
def org(served: Served) -> Iterator[Served]:
    served.fresh()
    yield served
    served.refuse_violations()


@pytest.fixture
def monday(org: Served) -> None:
    """The test begins at the same instant of the world's clock each time, on a day of the week it can count on, far enough
    ahead that no date of a test is ever over by itself."""
    org.world.clock.advance((MONDAY - org.world.clock.now()).total_seconds())
    org.token = org.org.issue_token(ANNA, CLIENT)["access_token"]
    org.http.headers["Authorization"] = f"Bearer {org.token}"


@pytest.fixture
def desk(org: Served) -> Desk:
    return Desk(org)
