"""One record for a mail of two mailboxes, whoever dies. `python -m tests.system.pair` runs 200 seeds."""

from __future__ import annotations

from pathlib import Path

from sandbox.azurite import Azurite
from tests.system import pair

SEEDS = range(25)


def test_one_record_with_its_files_whoever_dies_where(tmp_path: Path, azurite: Azurite) -> None:
    assert pair.run(tmp_path, azurite, SEEDS) == {}
