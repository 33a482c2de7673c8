"""What others see of an event.

Rules that hold here: the switch `salesforce.own_events_only` holds the ids of users to whom no other's events are shared: for
them such an event, deleted or not, is not there, and neither are its relations. With the switch `salesforce.private_details` at
"hidden", who neither owns nor made a private event is answered its times without its words; at "shown" (a user who may view all
data) everything. Nothing else depends on the reader.

It must never keep a condition from matching, nor hide anything from the platform itself.

Source: Object Reference, page Event, field IsPrivate: which of the two an API client meets is unsure, hence the switch.
Salesforce Help, "Organization-Wide Sharing Defaults" (Activity, Calendar).
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


def is_visible(records: Records, user_id: str, row: Row) -> bool:
    """Whether the row is there for that user."""
    if user_id not in records.world.switches.get("salesforce.own_events_only", ()):
        return True
    event = records.store.get("Event", row["EventId"]) if "EventId" in row else row
    return event is None or not event["Id"].startswith("00U") or event["OwnerId"] == user_id
