"""A fixed day of forty events: the process dies before and after every single effect of its session, or another worker takes
over there. Whatever happens, both sides end in step with as many events as without it, and the CRM is asked little more.
(Where one field was edited on both sides, who wins may depend on what was known when the process died; the oracle judges
that.)
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import pytest

from shared.core.model import SIDES, Side, Value
from shared.store.providers import Record
from tests.property.faults import Crash
from tests.property.oracle import verdict
from tests.property.world import World

SEED = 3  # of a world with events and a key field; nothing else is drawn
MOST_EXTRA = 3  # calls to the CRM
SEEDS = int(os.environ.get("MAILSPAN_SEEDS", "1000"))
Act = Literal["die", "another worker"]


class Day(World):
    """`acts`: what happens before ("a0") or after ("b0") the n-th effect of the day's session."""

    def __init__(self, seed: int = SEED, *, keyed: bool = True) -> None:
        super().__init__(seed, share=0, edits=0, keyed=keyed)
        self.calm = True
        self.rare.clear()
        self.at: tuple[int, str] | None = None
        self.act: Act = "die"
        self.effects = -1  # not counting yet

    def _begin(self, where: str, what: str) -> None:
        if self.effects >= 0:
            self.effects += 1
            self._happens("before")

    def _end(self, where: str) -> None:
        if self.effects >= 0:
            self._happens("after")

    def _happens(self, when: str) -> None:
        if self.at != (self.effects, when):
            return
        self.at = None
        if self.act == "die":
            self.effects = -1
            raise Crash
        counted, self.effects = self.effects, -1
        self.time += timedelta(seconds=100)
        self.session()
        self.effects = counted

    def text(self, item: int) -> str:
        self.lineage.tokens += 1
        self.lineage.item_of[f"v{self.lineage.tokens}"] = item
        return f"v{self.lineage.tokens}-"

    def fields(self) -> dict[str, Value]:
        self.lineage.items += 1
        item = self.lineage.items
        texts = ("subject", "when", "location", "description", "show_as", "private")
        return {**{name: self.text(item) for name in texts}, "people": (), "answers": ()}

    def born(self, side: Side) -> Record:
        return self.sides[side].create("event", self.fields())

    def edit(self, side: Side, record: Record, name: str) -> None:
        self.sides[side].edit(record, {name: self.text(self.lineage.item(record))})

    def pair_of(self, record: Record, side: Side) -> Record:
        item = self.lineage.item(record)
        return next(one for one in self.sides[side].alive("event") if self.lineage.item(one) == item)

    def begin(self) -> None:
        """Twenty pairs in step."""
        self.before = [self.born("mail") for _ in range(20)]
        for _ in range(3):
            self.session()
            self.time += timedelta(minutes=1)

    def morning(self) -> None:
        """What people do overnight: of the pairs some are edited, on one side or both, some deleted; twenty events are new, and
        some of those stand on both sides."""
        for n, record in enumerate(self.before):
            pair = self.pair_of(record, "crm")
            match n % 5:
                case 0:
                    self.edit("mail", record, "location")
                case 1:
                    self.edit("crm", pair, "show_as")
                case 2:
                    self.edit("mail", record, "private")
                    self.edit("crm", pair, "private")
                case 3:
                    self._ended(record)
                    self.sides["mail" if n % 2 else "crm"].remove(record if n % 2 else pair)
        for n in range(20):
            made = self.born("mail" if n % 2 else "crm")
            if n % 5 == 0:
                there: Side = "crm" if n % 2 else "mail"
                self.sides[there].create("event", dict(made.fields))

    def _ended(self, record: Record) -> None:
        self.lineage.ended.add(self.lineage.item(record))

    def day(self) -> None:
        """One session with the effects counted; then as many as it takes."""
        self.effects = 0
        self.session()
        self.last, self.effects = self.effects, -1
        for _ in range(4):
            self.time += timedelta(minutes=2)
            self.session()

    def ends(self) -> list[tuple[str, list[tuple[int, bool]]]]:
        """Which items stand on which side, and whether they are marked."""
        return [
            (side, sorted((self.lineage.item(one), one.marked) for one in self.sides[side].alive("event"))) for side in SIDES
        ]  # fmt: skip


def played(at: tuple[int, str] | None, act: Act = "die", *, keyed: bool = True) -> tuple[Day, int]:
    """(the world at the end, calls to the CRM in the day)."""
    world = Day(keyed=keyed)
    world.begin()
    world.morning()
    world.at, world.act = at, act
    before = world.sides["crm"].calls
    world.day()
    calls = world.sides["crm"].calls - before
    world.settle()
    return world, calls


def places(keyed: bool) -> list[tuple[int, str]]:
    world, _ = played(None, keyed=keyed)
    return [(n, when) for n in range(1, world.last + 1) for when in ("before", "after")]


@pytest.mark.parametrize("keyed", [True, False], ids=["key", "lookup"])
def test_a_crash_before_and_after_every_effect_ends_as_without_it(keyed: bool) -> None:
    whole, calls = played(None, keyed=keyed)
    assert verdict(whole) == ""
    counted = Counter[int]()
    for at in places(keyed):
        world, asked = played(at, keyed=keyed)
        assert world.ends() == whole.ends(), at
        assert verdict(world) == "", at
        counted[asked - calls] += 1
    print(f"\n{'key' if keyed else 'lookup'} mode: {sum(counted.values())} crashes; extra CRM calls: {sorted(counted.items())}")
    assert sum(counted.values()) >= 20
    assert max(counted) <= MOST_EXTRA


@pytest.mark.parametrize("keyed", [True], ids=["key"])
def test_another_worker_may_take_over_at_every_effect(keyed: bool) -> None:
    whole, _ = played(None, keyed=keyed)
    for at in places(keyed):
        world, _ = played(at, "another worker", keyed=keyed)
        assert world.ends() == whole.ends(), at
        assert verdict(world) == "", at


def _two_workers(seed: int) -> str:
    """A history with no other fault: at one random effect of each session another worker takes over."""
    world = Day(seed, keyed=True)
    world.kinds = ("event", "card")
    world.begin()
    for _ in range(6):
        for _ in range(3):
            world.users.act()
        world.at, world.act = (world.random.randint(1, 12), world.random.choice(("before", "after"))), "another worker"
        world.effects = 0
        world.session()
        world.effects, world.at = -1, None
        world.time += timedelta(minutes=2)
    world.settle()
    return verdict(world)


def _worked(seeds: range) -> Iterator[str]:
    return (f"{broken} (seed {seed})" for seed in seeds if (broken := _two_workers(seed)))


def _part(seeds: range) -> list[str]:
    return list(_worked(seeds))


def test_two_workers_on_one_mailbox_make_nothing_twice() -> None:
    parts = [range(first, min(first + 50, SEEDS)) for first in range(0, SEEDS, 50)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        broken = [one for part in pool.imap(_part, parts) for one in part]
    assert broken == []
