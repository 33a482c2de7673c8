"""Mail capture never loses and never doubles a mail, whoever dies where. Every effect is enumerated; seeds are 0 to 199."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress

import greenlet
import pytest

from shared.core.errors import NetworkDown
from tests.property.capture_world import Crash, World, cut

SEEDS = 200


def scenario() -> World:
    """40 mails in two mailboxes, 12 of them in both, some with files, two copies of one mail in one mailbox."""
    world = World()
    for number in range(40):
        files = ("offer.pdf", "offer.pdf", "notes.txt")[: number % 4] if number % 4 else ()
        owners = ("ann", "bob") if number < 12 else ("ann",) if number < 30 else ("bob",)
        world.put(world.mail(number, files=files), *owners)
    world.put(world.mail(20, id="copy", files=()), "ann")
    return world


def test_a_whole_run_saves_every_mail_once_and_then_is_still() -> None:
    world = scenario()
    for name in world.mailboxes:
        assert world.session(name).result == "ok"
    assert world.wrong() == []
    assert world.idle() == []
    assert Counter(note.rule for note in world.notes) == {"saved.marked": 40, "saved.shared": 13}


@pytest.mark.parametrize("network", [False, True], ids=["process dies", "network fails"])
def test_a_fault_at_each_effect_in_turn(network: bool) -> None:
    world = scenario()
    effects = cut(world, "ann", 0)
    world.session("ann")
    total = effects()
    assert total > 40
    broken = {}
    for at in range(1, total + 1):
        world = scenario()
        cut(world, "ann", at, network=network)
        with suppress(Crash, NetworkDown):  # around the lease a failing network rises to the host, which tries again
            world.session("ann")
        world.session("bob")
        world.settle()
        if problems := world.wrong() + world.idle():
            broken[at] = problems[:3]
    print(f"capture: {total} effects of one session, each struck")
    assert broken == {}


def test_two_sessions_at_once_and_one_of_them_dies() -> None:
    broken, doubled_work = {}, 0
    for seed in range(SEEDS):
        rng, world = random.Random(seed), scenario()
        victim, at = rng.choice(["ann", "bob"]), rng.randrange(1, 90)
        run_interleaved(world, rng, victim, at)
        world.settle()
        doubled_work += sum(note.rule == "waiting.claim" for note in world.notes)
        if problems := world.wrong() + world.idle():
            broken[seed] = problems[:3]
    print(f"capture: {SEEDS} seeds of two sessions at once, {doubled_work} mails waited for the other's claim")
    assert broken == {}
    assert doubled_work > SEEDS


def run_interleaved(world: World, rng: random.Random, victim: str, dies_at: int) -> None:
    """Both sessions, switched at effects by chance; the victim dies at its `dies_at`-th effect."""
    hub = greenlet.getcurrent()
    counts = Counter[str]()

    def step(name: str, effect: str) -> None:
        counts[name] += 1
        if name == victim and counts[name] == dies_at:
            raise Crash(effect)
        hub.switch()

    def session(name: str) -> None:
        with suppress(Crash):
            world.session(name)

    world.step = step
    running = {name: greenlet.greenlet(session) for name in world.mailboxes}
    while running:
        name = rng.choice(sorted(running))
        world.running = name
        running[name].switch(name)
        if running[name].dead:
            del running[name]
