"""The fixtures `seen` and `cal`: a mailbox of a fresh Microsoft world through the Graph adapters. Named in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.contract.graph_calendar_seen import NOON, Calendar
from tests.contract.graph_seen import Seen
from tests.contract.microsoft_world import Stand


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def seen(ms: Stand, http: requests.Session) -> Seen:
    http.verify = str(ms.authority.ca_file)
    return Seen(ms, http)


@pytest.fixture
def cal(ms: Stand, http: requests.Session) -> Calendar:
    """Ada's calendar at noon of 1 December 2026, a Tuesday."""
    http.verify = str(ms.authority.ca_file)
    calendar = Calendar(ms, http)
    calendar.to(NOON)
    return calendar
