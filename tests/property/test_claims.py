"""A mail that two mailboxes hold is written once: both sessions at once, each step interleaved, one of them killed anywhere.

The CRM here has no uniqueness of its own; what keeps it single is the claim. Seeds are 0 to 1,999.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from shared.ports import MailboxKey, Place, TenantId
from shared.session.claims import LIFE_S, Claim, claim, settle, take_over
from shared.store.memory import MemoryStore

ORG = Place("state", TenantId("tenant"), "org", "o")
KEY = "k" * 32
SEEDS = 2000


class Org:
    """A CRM that takes every create, and a clock."""

    def __init__(self) -> None:
        self.store, self.records = MemoryStore(), list[str]()
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def write(self) -> str:
        self.records.append(f"r{len(self.records)}")
        return self.records[-1]


def session(org: Org, mailbox: MailboxKey) -> Iterator[None]:
    """What mail capture does with a claim, one effect at a time; ends without a value when it has to come back later."""
    mine: Claim = claim(org.store, ORG, KEY, mailbox, org.time)
    yield
    record = ""
    if mine.state == "dead":
        record = org.records[0] if org.records else ""  # the lookup by Message-ID
        yield
        mine = take_over(org.store, ORG, mine, mailbox, org.time)
        yield
    if mine.state == "mine":
        if not record:
            record = org.write()
            yield
        settle(org.store, ORG, mine, record)
        yield


def test_one_record_whoever_dies_where() -> None:
    took_over = saved_by_other = 0
    for seed in range(SEEDS):
        rng, org = random.Random(seed), Org()
        names = [MailboxKey("ann"), MailboxKey("bob")]
        running = {name: session(org, name) for name in names}
        victim, dies_after = rng.choice(names), rng.randrange(4)
        steps = dict.fromkeys(names, 0)
        while running:
            name = rng.choice(sorted(running))
            if name == victim and steps[name] == dies_after:
                del running[name]
                continue
            steps[name] += 1
            if next(running[name], "ended") == "ended":
                del running[name]
        for name in names:  # everybody comes back when the claim has run out
            org.time += timedelta(seconds=LIFE_S + 1)
            before = len(org.records)
            list(session(org, name))
            took_over += len(org.records) > before
        end = claim(org.store, ORG, KEY, names[0], org.time)
        saved_by_other += end.state == "saved"
        assert (len(org.records), end.crm_id) == (1, "r0"), f"seed {seed}: {org.records}"
    print(f"claims: {SEEDS} seeds, {took_over} written only after a take-over")
    assert saved_by_other == SEEDS
    assert took_over > 20
