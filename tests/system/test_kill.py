"""A host that dies by SIGKILL loses and doubles nothing. `python -m tests.system.kill` does it with 500 mails and 50 values."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.azurite import Azurite
from tests.system import kill

MAILS = 40


@pytest.mark.parametrize("share", [0.2, 0.55, 0.9])
def test_every_mail_is_there_once_after_the_host_was_killed(tmp_path: Path, azurite: Azurite, share: float) -> None:
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "killed").mkdir()
    effects, problems = kill.run(tmp_path / "undisturbed", azurite, MAILS, 0)
    assert problems == []
    _, problems = kill.run(tmp_path / "killed", azurite, MAILS, round(effects * share))
    assert problems == []
