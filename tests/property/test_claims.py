"""A mail that two mailboxes hold is written once: both sessions at once, each step interleaved, one of them killed anywhere.

The CRM here has no uniqueness of its own; what keeps it single is the claim. Seeds are 0 to 1,999.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from shared.ports import MailboxKey, Place, TenantId
from shared.session.claims import GRACE_S, LIFE_S, Claim, Claims, Held, holders_of
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
    claims = Claims(org.store, ORG, mailbox)
    mine: Claim = claims.claim([KEY], org.time)[KEY]
    yield
    record = ""
    if mine.state == "dead":
        record = org.records[0] if org.records else ""  # the lookup by Message-ID
        yield
        mine = claims.take_over(mine, org.time)
        yield
    if mine.state == "mine":
        if not record:
            record = org.write()
            yield
        claims.settle({KEY: mine}, {KEY: Held(record, "mail")})
        yield
    elif mine.state == "saved":
        claims.join(mine, "mail", org.time)
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
        for name in names:  # everybody comes back when the claim has run out and its mailbox was waited for
            org.time += timedelta(seconds=LIFE_S + GRACE_S + 1)
            before = len(org.records)
            list(session(org, name))
            took_over += len(org.records) > before
        end = Claims(org.store, ORG, names[0]).standing([KEY], org.time)[KEY]
        saved_by_other += end.state == "saved"
        assert (len(org.records), end.crm_id) == (1, "r0"), f"seed {seed}: {org.records}"
        assert end.holders == tuple(names), f"seed {seed}: {end.holders}"
        rows = [row.value["mailbox"] for row in org.store.scan(ORG, holders_of("r0"), "holder`")]
        assert rows == names, f"seed {seed}: {rows}"
    print(f"claims: {SEEDS} seeds, {took_over} written only after a take-over")
    assert saved_by_other == SEEDS
    assert took_over > 20


def test_the_record_goes_with_its_last_holder_whoever_leaves_when() -> None:
    """Three mailboxes hold a record and leave it at once, by chance one after the other: exactly one is the last."""
    for seed in range(SEEDS // 10):
        rng, org = random.Random(seed), Org()
        holders = [Claims(org.store, ORG, MailboxKey(name)) for name in ("ann", "bob", "cem")]
        mine = holders[0].claim([KEY], org.time)
        holders[0].settle(mine, {KEY: Held(org.write(), "mail")})
        for each in holders[1:]:
            each.join(each.standing([KEY], org.time)[KEY], "mail", org.time)
        rng.shuffle(holders)
        left = [each.leave(KEY, org.time) for each in holders]
        assert [one.state for one in left] == ["saved", "saved", "mine"]
        assert (left[-1].crm_id, left[-1].made) == ("r0", True)
        holders[-1].release([left[-1]])
        assert holders[0].standing([KEY], org.time)[KEY].state == "free"
        assert not list(org.store.scan(ORG))


def test_a_batch_claims_what_is_free_and_tells_who_has_the_rest() -> None:
    org = Org()
    ann, bob = (Claims(org.store, ORG, MailboxKey(name)) for name in ("ann", "bob"))
    ann.claim(["k3"], org.time)
    saved = ann.claim(["k4"], org.time)
    ann.settle(saved, {"k4": Held(org.write(), "mail")})
    found = bob.claim([f"k{n}" for n in range(250)], org.time)
    assert {key for key, one in found.items() if one.state != "mine"} == {"k3", "k4"}
    assert (found["k3"].state, found["k4"].state, found["k4"].crm_id) == ("theirs", "saved", "r0")
