"""Histories of events through the real runtime: many mailboxes, users who edit both sides, vendors that fail, and a judge.

`python -m tests.system.histories [--seeds 400] [--first 0]` prints what it did; `test_histories.py` runs 40. A seed is
a mailbox with its Salesforce user. Every second batch of mailboxes is in an org without the key field (lookup mode).

Rules that hold here:
- The product runs unchanged in a host of its own, over HTTPS and Azurite; users act on the stand-ins as people do there.
- Every edit writes a text nobody wrote before and remembers which one it replaced. At the end each item stands once on each
  side, both sides say the same, and no text is the last one that somebody replaced with full knowledge.
- Faults: answers that are lost after the work was done, refusals for a while, cut connections. They end before the judging.
- In lookup mode a record may stand twice where its subject or start was changed after a lost answer; the judge names each.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from sandbox.azurite import Azurite
from sandbox.frame import FaultRule
from shared.ports import MailboxKey, Ring
from shared.session import records
from shared.session.rings import read_head
from shared.store.queue import QueueBell
from tests.system.broken import host, wait
from tests.system.broken_rows import ROOT
from tests.system.diary import Diary, utc, wall, with_key_field
from tests.system.stage import Stage

BATCH = 20  # mailboxes of one org
ROUNDS, ACTS = 3, 4
SHARE = 0.04  # of the calls of each vendor that fail in each of the ways
WAYS: tuple[tuple[str, int], ...] = (("drop_after", 0), ("drop_before", 0), ("status", 503))


class User:
    """One mailbox's owner, acting on both sides, and what was meant by it."""

    def __init__(self, stage: Stage, name: str, seed: int) -> None:
        self.diary, self.random = Diary(stage, name), random.Random(seed)
        self.seed, self.tokens, self.items = seed, 0, 0
        self.parents: dict[str, str] = {}  # text -> the one it replaced
        self.ended: set[int] = set()  # items somebody deleted
        self.renamed: set[int] = set()  # items whose subject or start was changed in Salesforce
        self.counts: Counter[str] = Counter()

    def text(self, item: int, replaced: str = "") -> str:
        self.tokens += 1
        made = f"s{self.seed}i{item}t{self.tokens}"
        if replaced:
            self.parents[made] = replaced
        return made

    # --- what is there

    def events(self) -> dict[str, Any]:
        return {one.shown_id(True): one for one in self.diary.all()}

    def rows(self) -> dict[str, dict[str, Any]]:
        store = self.diary.stage.salesforce.records.store
        rows = self.diary.stage.do(lambda: [dict(row) for row in store.all("Event")])
        return {row["Id"]: row for row in rows if not row["IsDeleted"] and row["OwnerId"] == self.diary.user}

    # --- acts

    def act(self) -> None:
        roll = self.random.random()
        events, rows = self.events(), self.rows()
        if roll < 0.3 or not (events or rows):
            self._create()
        elif roll < 0.62 and events:
            self._edit_event(self.random.choice(sorted(events)), events)
        elif roll < 0.92 and rows:
            self._edit_row(self.random.choice(sorted(rows)), rows)
        elif events:
            event_id = self.random.choice(sorted(events))
            self.ended.add(item_of(events[event_id].details.subject))
            self.diary.delete(event_id)
            self.counts["deleted"] += 1

    def _create(self) -> None:
        self.items += 1
        hours = 24.0 + self.items
        place = self.text(self.items)
        if self.random.random() < 0.6:
            self.diary.make(self.text(self.items), hours, marked=True, location={"displayName": place})
        else:
            self.diary.record(self.text(self.items), hours, Location=place)
        self.counts["made"] += 1

    def _edit_event(self, event_id: str, events: dict[str, Any]) -> None:
        details = events[event_id].details
        item = item_of(details.subject)
        if self.random.random() < 0.5:
            self.diary.change(event_id, subject=self.text(item, details.subject))
        elif self.random.random() < 0.7:
            before = details.locations[0]["displayName"] if details.locations else ""
            self.diary.change(event_id, location={"displayName": self.text(item, before)})
        else:
            start = 200 + self.random.randint(0, 400)
            self.diary.change(event_id, start=wall(self.diary.at(start)), end=wall(self.diary.at(start + 1)))
        self.counts["edited in the mailbox"] += 1

    def _edit_row(self, record_id: str, rows: dict[str, dict[str, Any]]) -> None:
        row = rows[record_id]
        item = item_of(row["Subject"])
        if self.random.random() < 0.5:
            self.renamed.add(item)
            self.diary.edit(record_id, Subject=self.text(item, row["Subject"]))
        elif self.random.random() < 0.7:
            self.diary.edit(record_id, Location=self.text(item, row.get("Location") or ""))
        else:
            self.renamed.add(item)
            start = 200 + self.random.randint(0, 400)
            times = {"StartDateTime": utc(self.diary.at(start)), "EndDateTime": utc(self.diary.at(start + 1))}
            self.diary.edit(record_id, **times)
        self.counts["edited in Salesforce"] += 1

    # --- the judge

    def verdict(self, *, keyed: bool) -> tuple[list[str], list[str]]:
        """(what is wrong, twins that lookup mode is allowed)."""
        events = [shown_event(one) for one in self.events().values() if "Salesforce" in one.own.categories]
        rows = [shown_row(row) for row in self.rows().values()]
        problems, allowed = [], []
        for side, found in (("calendar", events), ("Salesforce", rows)):
            for item, times in Counter(item_of(one[0]) for one in found).items():
                if times > 1 and not keyed and item in self.renamed:
                    allowed.append(f"seed {self.seed}: item {item} stands {times} times in the {side}")
                elif times > 1:
                    problems.append(f"seed {self.seed}: item {item} stands {times} times in the {side}")
        free = self.ended | {int(one.split("item ")[1].split(" ")[0]) for one in allowed}
        there = {item_of(one[0]): one for one in events if item_of(one[0]) not in free}
        for item in range(1, self.items + 1):
            pair = [there.get(item), next((one for one in rows if item_of(one[0]) == item), None)]
            if item in free:
                continue
            if pair[0] != pair[1]:
                problems.append(f"seed {self.seed}: item {item} is {pair[0]} in the calendar and {pair[1]} in Salesforce")
            elif pair[0] is None:
                problems.append(f"seed {self.seed}: item {item} is lost")
            elif undone := {pair[0][0], pair[0][1]} & set(self.parents.values()):
                problems.append(f"seed {self.seed}: item {item} went back to {min(undone)}")
        return problems, allowed


def item_of(text: str) -> int:
    return int(text.split("i")[1].split("t")[0])


def shown_event(one: Any) -> tuple[str, str, str]:
    """Subject, place, start."""
    place = one.details.locations[0]["displayName"] if one.details.locations else ""
    return one.details.subject, place, utc(one.details.begins)


def shown_row(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["Subject"], row.get("Location") or "", row["StartDateTime"].replace("+0000", "Z")


class Run:
    """One org with its mailboxes, their users, and a host."""

    def __init__(self, stage: Stage, seeds: Sequence[int], *, keyed: bool) -> None:
        self.stage, self.keyed = stage, keyed
        self.names = [f"h{seed}" for seed in seeds]
        stage.users(*self.names)
        if keyed:
            with_key_field(stage)
        self.users = [User(stage, name, seed) for name, seed in zip(self.names, seeds, strict=True)]
        self.bell = QueueBell(stage.connection)
        self.random = random.Random(seeds[0])
        self.faults = 0

    def play(self, admin: str) -> None:
        self._poll(admin)
        self._sync()
        for _ in range(ROUNDS):
            for _ in range(ACTS):
                for user in self.users:
                    user.act()
            self._fail()
            self._poll(admin)
            self._sync()
        self._mend()
        for _ in range(3):
            self._poll(admin)
            self._sync()

    def _fail(self) -> None:
        def rules() -> None:
            self.stage.world.rules[:] = [
                FaultRule(vendor, kind, status=status or 503, share=SHARE, times=None)
                for vendor in ("microsoft", "salesforce")
                for kind, status in WAYS
            ]

        self.stage.do(rules)

    def _mend(self) -> None:
        self.stage.do(self.stage.world.rules.clear)
        self.stage.advance(7 * 3600)  # what is held has its next try

    def _poll(self, admin: str) -> None:
        """The org is polled by the host's timer function; a poll that failed is made up for by the next."""
        self.stage.advance(130)
        ca = str(self.stage.authority.ca_file)
        answer = requests.post(f"{admin}/admin/functions/poll", json={"input": ""}, timeout=30, verify=ca)
        assert answer.status_code == 202, answer.text
        time.sleep(0.2)

    def _sync(self) -> None:
        """Every mailbox has a session that began after now and ended, well or not."""
        at = self.stage.clock.now()
        keys = [MailboxKey(self.stage.key(name)) for name in self.names]
        for key in keys:
            self.bell.ring(Ring(key, "user", at))
        for key in keys:
            wait(lambda k=key: self._ended(k, records.text_of(at)))  # type: ignore[misc]

    def _ended(self, key: MailboxKey, at: str) -> bool:
        head = read_head(self.stage.wire.store, self.stage.wire.mailbox_place(key))
        state = head.value("state")
        free = head.lease is not None and not head.value("lease")["owner"]
        return free and max(state.get("pulled_at", ""), state.get("last_tried", "")) >= at

    def judged(self) -> tuple[list[str], list[str]]:
        problems, allowed = [], []
        for user in self.users:
            wrong, twins = user.verdict(keyed=self.keyed)
            problems += wrong
            allowed += twins
        outbox = [mail["kind"] for mail in self.stage.world.outbox]
        if outbox:
            problems.append(f"mails nobody asked for: {Counter(outbox)}")
        return problems + [str(one) for one in self.stage.world.violations[:3]], allowed


@contextmanager
def running(stage: Stage) -> Iterator[str]:
    """A host over the product; answers the address of its admin endpoints."""
    with host(stage, ROOT) as log:
        yield str(log.with_suffix(".address").read_text().strip())


def run(folder: Path, connection: str, seeds: Sequence[int], *, keyed: bool) -> tuple[Run, list[str], list[str]]:
    stage = Stage(folder, connection)
    try:
        made = Run(stage, seeds, keyed=keyed)
        with running(stage) as admin:
            made.play(admin)
        return made, *made.judged()
    finally:
        stage.close()


def run_all(scratch: Path, first: int, seeds: int) -> tuple[list[str], str]:
    """(what is wrong, what was done) of the histories first..first+seeds-1, batch after batch with an Azurite each."""
    problems: list[str] = []
    allowed: list[str] = []
    counts: Counter[str] = Counter()
    for number, start in enumerate(range(first, first + seeds, BATCH)):
        some = range(start, min(start + BATCH, first + seeds))
        folder = scratch / str(number)
        folder.mkdir()
        with Azurite() as azurite:
            made, wrong, twins = run(folder, azurite.connection_string, some, keyed=number % 2 == 0)
        problems += wrong
        allowed += twins
        counts += sum((user.counts for user in made.users), Counter())
        print(f"seeds {some.start} to {some.stop - 1}: {wrong or 'in step'}", flush=True)
    told = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
    return problems, f"{seeds} histories: {told}; {len(allowed)} twins of lookup mode {allowed}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("aiohttp.server").disabled = True  # connections that are cut on purpose
    with tempfile.TemporaryDirectory() as scratch:
        problems, told = run_all(Path(scratch), given.first, given.seeds)
    print(told)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
