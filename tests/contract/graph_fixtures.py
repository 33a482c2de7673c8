"""The fixture `seen`: one mailbox of a fresh Microsoft world, through the Graph adapter. Named in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

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
