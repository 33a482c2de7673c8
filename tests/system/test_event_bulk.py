"""A mass update in Salesforce costs a mailbox what it has to know, not what was changed. The full size: `tests.system.bulk`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import bulk
from tests.system.diary import Diary, events, with_key_field
from tests.system.stage import Stage


def test_five_thousand_records_changed_at_once_cost_no_more_calls_and_rows_than_fifty_thousand_may(tmp_path: Path) -> None:
    cost = bulk.run(5_000, 20, tmp_path)
    assert cost.calls <= bulk.MOST_CALLS
    assert cost.written <= bulk.MOST_ROWS
    assert cost.rows.get("link", 0) == 0
    assert cost.graph <= 20 * 2


@pytest.mark.parametrize("side", ["mailbox", "salesforce"])
def test_an_edit_after_it_still_crosses(memory_stage: Stage, side: str) -> None:
    """The links know an older version: whoever writes is told so, reads again, and writes."""
    stage = memory_stage
    stage.users("ann")
    with_key_field(stage)
    stage.sessions("ann")
    ann = Diary(stage, "ann")
    made = ann.make("Talk", marked=True)
    ann.step()
    ann.step()
    [row] = events(stage)
    ann.edit(row["Id"], IsReminderSet=True)
    ann.step()
    if side == "mailbox":
        ann.change(made, subject="Long talk")
    else:
        ann.edit(row["Id"], Subject="Long talk")
    ann.step()
    assert (events(stage)[0]["Subject"], ann.event(made).details.subject) == ("Long talk", "Long talk")
    ann.edit(row["Id"], IsReminderSet=False)
    ann.step()
    ann.delete(made)
    ann.step()
    assert events(stage) == []
