"""What others see of a private event.

Rules that hold here: with the switch `salesforce.private_details` at "hidden", who neither owns nor made a private event is
answered its times without its words; at "shown" (a user who may view all data) everything. Nothing else depends on the reader.

It must never hide a row, nor keep a condition from matching.

Source: Object Reference, page Event, field IsPrivate. Which of the two an API client meets is unsure, hence the switch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

Show = Callable[[Row], Row]
WORDS = ("Subject", "Location", "Description")


def seen_by(records: Records, user_id: str, show: Show) -> Show:
    """The function that shows a row, as that user is answered."""
    if records.world.switches.get("salesforce.private_details", "shown") != "hidden":
        return show
    blank = dict.fromkeys(WORDS)

    def veiled(row: Row) -> Row:
        is_hidden = row["Id"].startswith("00U") and row["IsPrivate"] and user_id not in (row["OwnerId"], row["CreatedById"])
        return show({**row, **blank} if is_hidden else row)

    return veiled
