"""The fixture `vault`: that of a new installation, which counts how often it is opened. Named in `pytest_plugins`."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.access.install import new_install
from tests.unit.grant_home import CountingVault


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> CountingVault:
    folder: Path = tmp_path_factory.mktemp("install")
    return CountingVault(Path(new_install(folder)["MAILSPAN_VAULT"].removeprefix("file:")))
