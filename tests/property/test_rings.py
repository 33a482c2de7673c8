"""Every interleaving of two ringers, a holder and a crash, over the real ring protocol: no ring is ever lost.

The real `run_session` runs in greenlets that give way before every storage and queue operation. A schedule says who goes
next and who dies; schedules are explored depth first, and two schedules that lead to the same storage, queue, clock order
and the same answers seen by every actor are explored once.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import greenlet

from shared.ports import Insert, MailboxKey, Place, Ring, Row, TenantId, Write
from shared.session import records
from shared.session.lease import Held
from shared.session.run import PartReport, new_state, run_session
from shared.store.memory import MemoryStore

PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
START = datetime(2026, 1, 1, tzinfo=UTC)
TIME = re.compile(r"2026-01-01T[0-9:.]+Z")
ACTORS = ("holder", "ringer 1", "ringer 2")


#: Steps after which the holder holds the lease and its pull has begun: read, mark, read, lease.
HOLDING = 5


class Dead(BaseException):
    """Unwinds a killed actor without letting it touch anything."""


class Simulation:
    """One execution by a schedule: a sequence of actor names, "!name" kills that actor before its next operation."""

    def __init__(self, schedule: Sequence[str]) -> None:
        self.store = MemoryStore()
        self.tick = 0
        self.queue: list[tuple[Ring, datetime]] = []
        self.pulls: list[datetime] = []
        self.seen: dict[str, list[str]] = {name: [] for name in ACTORS}
        self.redelivered: list[Ring] = []
        self.rings: dict[str, Ring] = {}  # an actor learns that there is something to see when it takes its first step
        self.steps = dict.fromkeys(ACTORS, 0)
        self.current = ""
        self.local = ""  # who is about to do what no other actor can notice: ringing
        self.main = greenlet.getcurrent()
        self.threads: dict[str, greenlet.greenlet] = {}
        self.store.commit(PLACE, [Insert(records.STATE, new_state(START - timedelta(days=1)))])
        for name in ACTORS:
            self.threads[name] = greenlet.greenlet(self.act)
        for step in schedule:
            self.step(step)

    # the clock, the bell and the store as the session sees them; each gives way first
    def now(self) -> datetime:
        return START + timedelta(seconds=10, milliseconds=self.tick)

    def give_way(self) -> None:
        if self.current and self.main.switch() == "die":
            raise Dead

    def note(self, answer: object) -> None:
        if self.current:
            self.seen[self.current].append(repr(answer))

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.local = self.current
        self.give_way()
        self.local = ""
        self.queue.append((ring, self.now() + timedelta(seconds=delay_s)))
        self.note("rung")

    def get(self, place: Place, key: str) -> Row | None:
        self.give_way()
        row = self.store.get(place, key)
        self.note(row and row.value)
        return row

    def scan(self, place: Place, first: str = "", last: str | None = None) -> Iterator[Row]:
        self.give_way()
        rows = list(self.store.scan(place, first, last))
        self.note([(row.key, row.value) for row in rows])
        return iter(rows)

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self.give_way()
        try:
            answer = self.store.commit(place, writes)
        except Exception as refused:
            self.note(refused)
            raise
        self.note("done")
        return answer

    def act(self) -> None:
        name = self.current
        self.rings[name] = Ring(MailboxKey("m"), "poll", self.now())
        with contextlib.suppress(Dead):
            self.session(name, self.rings[name])

    def session(self, name: str, ring: Ring) -> None:
        simulation = self

        class Pull:
            name = "pull"

            def run(self, held: Held) -> PartReport:
                simulation.pulls.append(simulation.now())
                return PartReport(found=1)

        run_session(ring, place=PLACE, store=self, bell=self, clock=self, session_id=name, parts=lambda: [Pull()])

    def step(self, step: str) -> None:
        name = step.lstrip("!")
        self.tick += 1
        self.current = name
        self.steps[name] += 1
        if step.startswith("!"):
            self.local = ""
            self.threads[name].switch("die")
            self.redelivered.append(self.rings[name])
        else:
            self.threads[name].switch()
        self.current = ""

    def alive(self) -> list[str]:
        return [name for name, thread in self.threads.items() if not thread.dead]

    def fingerprint(self) -> str:
        """All that the future depends on; every time is replaced by its rank, since only the order of times matters."""
        state = [
            [(row.key, row.value) for row in self.store.scan(PLACE)],
            sorted((records.text_of(ring.at), ring.why, records.text_of(due)) for ring, due in self.queue),
            self.seen,
            self.steps,
            [records.text_of(pull) for pull in self.pulls],
            {name: records.text_of(ring.at) for name, ring in self.rings.items()},
        ]
        text = json.dumps(state, sort_keys=True)
        ranks = {time: str(rank) for rank, time in enumerate(sorted(set(TIME.findall(text))))}
        return TIME.sub(lambda match: ranks[match[0]], text)

    def drain(self, dead: set[str]) -> None:
        """Runs what is queued, one after the other. A dead ringer's message comes back; a dead holder's is not waited for."""
        if "holder" in dead:
            self.redelivered.remove(self.rings["holder"])
        self.queue += [(ring, self.now()) for ring in self.redelivered]
        for _ in range(30):
            if not self.queue:
                return
            self.queue.sort(key=lambda entry: entry[1])
            ring, due = self.queue.pop(0)
            self.tick += max(1, round((due - self.now()).total_seconds() * 1000) + 1)
            self.session("later", ring)
        raise AssertionError("the queue does not come to rest")


def lost(simulation: Simulation, dead: set[str]) -> list[str]:
    """Ringers whose mark no pull came after. A dead holder's own ring is its queue's business."""
    names = [name for name in ACTORS if not (name == "holder" and name in dead)]
    return [name for name in names if not any(pull > simulation.rings[name].at for pull in simulation.pulls)]


def choices(schedule: Sequence[str], simulation: Simulation, victim: str) -> list[str]:
    """What may happen next: any living actor goes on, or the victim dies once it has begun.

    Nobody looks into the queue before the end, so ringing commutes with all that others do: it is explored at one place only.
    """
    alive = [simulation.local] if simulation.local else simulation.alive()
    if "ringer 1" not in schedule:
        alive = [name for name in alive if name != "ringer 2"]  # the two are alike: the one that starts first is 1
    dies = [f"!{victim}"] if victim in alive and victim in schedule else []
    return [*alive, *dies]


def explore(victim: str) -> tuple[int, int, list[str]]:
    """(states, ends, schedules that lose a ring) of all interleavings in which only `victim` may die."""
    stack: list[tuple[str, ...]] = [("holder",) * HOLDING]
    known: set[str] = set()
    ended, losing = 0, []
    while stack:
        schedule = stack.pop()
        simulation = Simulation(schedule)
        while True:
            fingerprint = simulation.fingerprint() + str(f"!{victim}" in schedule)
            if fingerprint in known:
                break
            known.add(fingerprint)
            following = choices(schedule, simulation, victim)
            if not following:
                ended += 1
                dead = {step[1:] for step in schedule if step[0] == "!"}
                simulation.drain(dead)
                if missing := lost(simulation, dead):
                    losing.append(f"lost {missing} by {schedule}")
                break
            stack.extend((*schedule, step) for step in following[1:])
            schedule = (*schedule, following[0])
            simulation.step(following[0])
    return len(known), ended, losing


def test_no_interleaving_of_two_ringers_a_holder_and_a_crash_loses_a_ring() -> None:
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        explored = dict(zip(ACTORS, pool.map(explore, ACTORS, chunksize=1), strict=True))
    for victim, (states, ended, losing) in explored.items():
        print(f"ring protocol, {victim} may die: {states} states, {ended} ends")
        assert losing == []
        assert ended > 1000
