"""Very many records of an org changed at once, and what that costs: calls at Salesforce, rows written, by kind of row.

`python -m tests.system.bulk [--records 50000] [--mailboxes 20]`. The product's rows stand in memory and are counted. Each event
is made in a mailbox and linked by the product's own sessions; then all records change in Salesforce in a field that is not
carried, as a mass update or a nightly job does it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from shared.ports import Place, Write
from shared.store.memory import MemoryStore
from tests.system.diary import events, wall, with_key_field
from tests.system.stage import Stage

MOST_CALLS, MOST_ROWS = 100, 200


class CountingStore(MemoryStore):
    """Counts the rows that are written, by what their keys begin with."""

    def __init__(self) -> None:
        super().__init__()
        self.written: Counter[str] = Counter()

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        etags = super().commit(place, writes)
        self.written.update(write.key.partition("_")[0] for write in writes)
        return etags


@dataclass(frozen=True)
class Cost:
    """`seconds` of the poll and the sessions after it."""

    calls: int
    graph: int
    rows: Mapping[str, int]
    seconds: float

    @property
    def written(self) -> int:
        return sum(self.rows.values())


def filled(stage: Stage, records: int, mailboxes: int) -> list[str]:
    """Connected mailboxes with that many linked events among them; answers their names."""
    names = [f"user{number}" for number in range(mailboxes)]
    stage.users(*names)
    with_key_field(stage)
    first = stage.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(days=2)

    def fill(name: str) -> None:
        calendar = stage.mailbox(name).calendar
        for number in range(records // mailboxes):
            begin = first + timedelta(hours=4 * number)
            times = {"start": wall(begin), "end": wall(begin + timedelta(hours=1))}
            calendar.add({"subject": f"Event {number}", "categories": ["Salesforce"], **times})

    for name in names:
        stage.do(lambda one=name: fill(one))  # type: ignore[misc]
        stage.sessions(name, most=200)
    assert len(events(stage)) == records // mailboxes * mailboxes
    settle(stage, names)
    return names


def settle(stage: Stage, names: Sequence[str]) -> None:
    """Until nothing is told any more."""
    for _ in range(3):
        stage.advance(180)
        stage.wire.poll()
        for name in names:
            stage.sessions(name, most=200)


def changed_at_once(stage: Stage, store: CountingStore, names: Sequence[str]) -> Cost:
    """All records change; the poll and every mailbox's sessions after it."""

    def change() -> None:
        records = stage.salesforce.records
        for row in list(records.store.all("Event")):
            records.system_update("Event", row["Id"], {"IsReminderSet": not row["IsReminderSet"]}, stage.salesforce.admin_id)
        records.store.commit()

    stage.advance(180)
    stage.do(change)
    stage.advance(60)
    store.written.clear()
    stage.world.calls.clear()
    began = time.monotonic()
    stage.wire.poll()
    for name in names:
        stage.sessions(name, most=200)
    calls = stage.world.calls
    return Cost(calls.http["salesforce"], calls.http["microsoft"], dict(store.written), time.monotonic() - began)


def run(records: int, mailboxes: int, folder: Path) -> Cost:
    store = CountingStore()
    stage = Stage(folder, "UseDevelopmentStorage=true", store)
    try:
        began = time.monotonic()
        names = filled(stage, records, mailboxes)
        print(f"{records} linked events in {mailboxes} mailboxes after {time.monotonic() - began:.0f} s", flush=True)
        cost = changed_at_once(stage, store, names)
        assert (stage.world.violations, stage.unasked()) == ([], [])
    finally:
        stage.close()
    calls = f"{cost.calls} calls at Salesforce, {cost.graph} at Graph"
    rows = f"{cost.written} rows written: {dict(sorted(cost.rows.items(), key=lambda one: -one[1]))}"
    print(f"{records} records changed at once: {calls}, {rows}, {cost.seconds:.0f} s")
    return cost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--mailboxes", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cost = run(given.records, given.mailboxes, Path(folder))
    return 0 if cost.calls <= MOST_CALLS and cost.written <= MOST_ROWS else 1


if __name__ == "__main__":
    sys.exit(main())
