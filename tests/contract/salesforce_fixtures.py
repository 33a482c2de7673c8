"""Fixtures of the tests of events: one server a module, one fresh org a test, no violation left behind.

Rules that hold here: each test begins at the same instant of the world's clock, far enough ahead that no date of a test is ever
over by itself, on a day of the week that the tests count on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.contract.salesforce_world import ANNA, CLIENT, Served, serving

#: A Monday. 2094 has the calendar of 2027.
BEGIN = datetime(2094, 1, 11, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


@pytest.fixture
def org(served: Served) -> Iterator[Served]:
    served.fresh()
    served.world.clock.advance((BEGIN - served.world.clock.now()).total_seconds())
    served.token = served.org.issue_token(ANNA, CLIENT)["access_token"]
    served.http.headers["Authorization"] = f"Bearer {served.token}"
    yield served
    served.refuse_violations()
