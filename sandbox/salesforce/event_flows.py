"""The org's automation: a flow that writes a record once more after a client wrote it.

Rules that hold here:
- The switch `salesforce.flows` lists them: {"object", "field" (or null: touched only), "value", "delay_s"}. With delay 0 a flow
  runs in the writer's transaction, else once so many seconds have passed, before the next call is answered.
- A flow runs as the one who wrote: LastModifiedById stays, LastModifiedDate and SystemModstamp move again.
- A flow starts no flow, and one whose write is refused does nothing. A write that was undone has none.

It must never run for a change that the platform makes by itself.

Source: Salesforce Help, "Record-Triggered Flow" (run immediately, scheduled paths); that a flow shows the writing user is
known and not re-read.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.refused import Refused
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records


@dataclasses.dataclass(frozen=True)
class Due:
    """A flow that waits. `row` is the row as it was written: one that is older by then was undone."""

    at: datetime
    object_name: str
    row: Row
    changes: Row


class Flows:
    def __init__(self, records: Records) -> None:
        self._records = records
        self._due: list[Due] = []
        self._running = False

    def written(self, object_name: str, row: Row) -> None:
        """A client's write is done: runs what runs at once and keeps what runs later."""
        if self._running:
            return
        for flow in self._records.world.switches.get("salesforce.flows", ()):
            if flow["object"] != object_name:
                continue
            changes: dict[str, Any] = {flow["field"]: flow["value"]} if flow.get("field") else {}
            delay = timedelta(seconds=float(flow.get("delay_s", 1)))
            one = Due(self._records.world.clock.now() + delay, object_name, row, changes)
            if delay:
                self._due.append(one)
            else:
                self._run(one)

    def run_due(self) -> None:
        """Runs the flows whose time has come. Never inside a client's transaction."""
        now = self._records.world.clock.now()
        ready, self._due = [one for one in self._due if one.at <= now], [one for one in self._due if one.at > now]
        for one in ready:
            row = self._records.store.get(one.object_name, one.row["Id"])
            if row is not None and row["LastModifiedDate"] >= one.row["LastModifiedDate"]:
                self._run(one)

    def _run(self, one: Due) -> None:
        self._running = True
        try:
            self._records.update(one.object_name, one.row["Id"], one.changes, str(one.row["LastModifiedById"]))
        except Refused:
            return
        finally:
            self._running = False
