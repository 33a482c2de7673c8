"""Mail capture never loses and never doubles a mail, whoever dies where. Every effect is enumerated; seeds are 0 to 199."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import greenlet
import pytest

from shared.core.errors import NetworkDown
from shared.store.mail_memory import Saved
from tests.property.capture_world import Crash, World, cut

SEEDS = 200
#: Broken seeds after which no more are looked for.
MOST_SHOWN = 5


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


def a_few() -> World:
    """Five mails of one mailbox, some with files, one of them twice, and one in the other mailbox too."""
    world = World()
    for number in range(5):
        world.put(world.mail(number, files=("offer.pdf", "offer.pdf", "notes.txt")[:number]), "ann")
    world.put(world.mail(2, id="copy", files=("offer.pdf", "offer.pdf")), "ann")
    world.put(world.mail(4, files=("offer.pdf", "offer.pdf", "notes.txt")), "bob")
    return world


def struck(at: int) -> tuple[World, int]:
    """The small world after a session that died at that effect, and how many effects it had."""
    world = a_few()
    effects = cut(world, "ann", at)
    with suppress(Crash):
        world.session("ann")
    return world, effects()


def test_a_small_mailbox_is_finished_after_a_death_at_each_effect() -> None:
    broken = {}
    for at in range(1, struck(0)[1] + 1):
        world, _ = struck(at)
        world.settle()
        if problems := world.wrong() + world.loose() + world.idle():
            broken[at] = problems[:3]
    assert broken == {}


def test_what_was_begun_is_finished_although_the_mails_lost_their_marks_meanwhile() -> None:
    broken = {}
    for at in range(1, struck(0)[1] + 1):
        world, _ = struck(at)
        files = {text.mail.message_id: len(text.attachments) for text in world.mailboxes["ann"].mails.values()}
        for name, mailbox in world.mailboxes.items():
            for mail_id in list(mailbox.mails) if name == "ann" else ():
                mailbox.change(mail_id, categories=(), role="")
        world.settle()
        problems = [
            f"{one.record.identifier}: not complete"
            for one in world.crm.alive()
            if not one.related_sender or len(one.files) != files[one.record.identifier]
        ]
        if problems := problems + world.loose() + world.idle():
            broken[at] = problems[:3]
    assert broken == {}


def test_what_was_begun_leaves_nothing_open_although_the_mails_are_gone_meanwhile() -> None:
    broken = {}
    for at in range(1, struck(0)[1] + 1):
        world, _ = struck(at)
        for mail_id in list(world.mailboxes["ann"].mails):
            world.mailboxes["ann"].remove(mail_id)
        world.settle()
        problems = [problem for problem in world.loose() if "nobody holds" not in problem]  # the mail's files are gone with it
        if problems := problems + world.idle():
            broken[at] = problems[:3]
    assert broken == {}


def test_a_slice_that_ends_between_two_batches_skips_nothing() -> None:
    world = World(names=("ann",))
    for number in range(10):
        world.put(world.mail(number), "ann")
    world.session("ann")
    for number in range(10):
        world.mailboxes["ann"].change(f"ann-id{number}", subject="opened")  # part of a page, and nothing to decide
    for number in range(10, 240):
        world.put(world.mail(number), "ann")

    def slow(name: str, effect: str) -> None:
        if effect == "after save":
            world.time += timedelta(seconds=61)

    world.step = slow
    assert world.session("ann").counts == {"saved.marked": 200}
    world.settle()
    assert world.wrong() + world.loose() + world.idle() == []


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
        if len(broken) == MOST_SHOWN:
            break
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


def with_a_foreign_record() -> tuple[World, Saved]:
    """A marked mail of which another product made a record before."""
    world = World(names=("ann",))
    text = world.mail(1, files=("new.pdf",))
    world.put(world.mail(2), "ann")
    world.session("ann")
    theirs = Saved("theirs", replace(world.crm.alive()[0].record, identifier=text.mail.message_id))
    world.crm.saved.append(theirs)
    world.put(text, "ann")
    return world, theirs


@pytest.mark.parametrize("network", [False, True], ids=["process dies", "network fails"])
def test_a_record_that_stood_before_stays_untouched_whatever_fails_where(network: bool) -> None:
    world, theirs = with_a_foreign_record()
    effects = cut(world, "ann", 0)
    world.session("ann")
    touched = {}
    for at in range(1, effects() + 1):
        world, theirs = with_a_foreign_record()
        cut(world, "ann", at, network=network)
        with suppress(Crash, NetworkDown):
            world.session("ann")
        world.settle()
        world.mailboxes["ann"].change("ann-id1", categories=("Salesforce", "Salesforce Unsync"))
        world.settle()
        if theirs.deleted or theirs.related_sender or theirs.files:
            touched[at] = "deleted" if theirs.deleted else "written"
    assert touched == {}
