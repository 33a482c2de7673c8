"""All interleavings of two ringers, a holder and crashes over the real ring protocol; `explore` says which of them lose a ring.

The actors are the real `run_session`, which gives way before every storage and queue operation. All that one of them does
next follows from what it was told so far, by those operations and the clock. So an actor is kept as its past (`Past`): what
it asks for next is found out once, by a session that is told all that again. A step is then one operation on a copy of the
real store, and no schedule is run from its start.

What is explored once only, and why nothing is missed by that:
- Schedules that lead to the same rows, queue, pulls, rings and pasts of those who still act. Whoever is dead or has ended does
  nothing more: its past is left out, but for the time of its ring, by which it is judged.
- Of times only the order counts: sessions compare times, and the seconds they add are far more than all steps together.
- Of ETags only this counts: which of an actor's answers told the one that the row has now. That is not the same as what the
  row says: a mark that is left once more may say the same and still refuse somebody's If-Match.
- Nobody looks into the queue before the end, so ringing commutes with all that others do: it comes at once.
- The two ringers are alike: the one that starts first is ringer 1.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from shared.core.errors import RowChanged, RowExists
from shared.ports import Insert, MailboxKey, Place, Ring, Row, TenantId, Write
from shared.session import records
from shared.session.lease import Held
from shared.session.run import PartReport, new_state, run_session
from shared.store.memory import MemoryStore

PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
START = datetime(2026, 1, 1, tzinfo=UTC)
TIME = re.compile(r"2026-01-01T[0-9:.]+Z")
ACTORS = ("holder", "ringer 1", "ringer 2")
HOLDER, RINGER_1, RINGER_2 = range(3)
#: Steps after which the holder holds the lease and its pull has begun: read, mark, read, lease.
HOLDING = 5


@cache
def moment(tick: int) -> datetime:
    return START + timedelta(seconds=10, milliseconds=tick)


@cache
def text_of(tick: int) -> str:
    return records.text_of(moment(tick))


class Pull:
    """A session's only part: it notes when it ran."""

    name = "pull"

    def __init__(self) -> None:
        self.ran: list[datetime] = []

    def run(self, held: Held) -> PartReport:
        self.ran.append(held.now())
        return PartReport(found=1)


class Told:
    """One answer. `etags`: those it names, each with its row."""

    def __init__(self, text: str, value: Any, etags: tuple[tuple[str, str], ...]) -> None:
        self.shape, self.times = TIME.sub("", text), tuple(TIME.findall(text))
        self.value, self.etags = value, etags


answers: dict[tuple[str, tuple[tuple[str, str], ...]], Told] = {}


def told(text: str, value: Any = None, etags: tuple[tuple[str, str], ...] = ()) -> Told:
    """Equal answers are one object, so that a past is found by them."""
    if (text, etags) not in answers:
        answers[text, etags] = Told(text, value, etags)
    return answers[text, etags]


def shown(rows: Sequence[Row], value: Any) -> Told:
    text = json.dumps([(row.key, row.value) for row in rows], sort_keys=True)
    return told(text, value, tuple((row.key, row.etag) for row in rows))


BEGUN, RUNG = told("begun"), told("rung")


class Rows:
    """The mailbox's rows at one moment: the real store, which is only written to as a copy."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.whole = self.scan()

    @cache  # noqa: B019 -- rows live as long as the exploration
    def scan(self, first: str = "", last: str | None = None) -> Told:
        rows = list(self.store.scan(PLACE, first, last))
        return shown(rows, rows)

    @cache  # noqa: B019
    def get(self, key: str) -> Told:
        row = self.store.get(PLACE, key)
        return shown([row] if row else [], row)

    def commit(self, writes: Sequence[Write]) -> tuple[Rows, Told]:
        store = self.store.copy()
        try:
            etags = store.commit(PLACE, writes)
        except (RowChanged, RowExists) as refused:
            return self, told(repr(refused), refused)
        return Rows(store), told("done", etags, tuple(etags.items()))


class Unanswered(BaseException):
    """What the session asks for now was not answered yet."""


class Session:
    """A session that is told what it was told before, each answer with its tick. `asks`: what it asks for then."""

    def __init__(self, name: str, past: Sequence[tuple[Told, int]]) -> None:
        self.answers = iter(past)
        self.asks: tuple[Any, ...] = ()
        self.tick, self.looked = past[0][1], False
        self.pull = Pull()
        next(self.answers)
        ring = Ring(MailboxKey("m"), "poll", self.now())
        with contextlib.suppress(Unanswered):
            run_session(ring, place=PLACE, store=self, bell=self, clock=self, session_id=name, parts=lambda: [self.pull])

    def now(self) -> datetime:
        self.looked = True
        return moment(self.tick)

    def get(self, place: Place, key: str) -> Row | None:
        return self._ask("get", key)

    def scan(self, place: Place, first: str = "", last: str | None = None) -> Iterator[Row]:
        return iter(self._ask("scan", first, last))

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        answer = self._ask("commit", tuple(writes))
        if isinstance(answer, RowChanged | RowExists):
            raise type(answer)(answer.key)
        return answer

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self._ask("ring", ring, delay_s)

    def _ask(self, *asks: Any) -> Any:
        answer, self.tick = next(self.answers, (None, 0))
        if answer is None:
            self.asks = asks
            raise Unanswered
        self.looked = False
        return answer.value


class Past:
    """All that an actor was told. `asks`: its next operation, () when it has ended; `looked`: at the clock since then."""

    def __init__(self, name: str, told: Sequence[tuple[Told, int]] = ()) -> None:
        self.name, self.told = name, tuple(told)
        self.asks: tuple[Any, ...] = ("begin",)
        self.looked, self.pulls = True, 0
        if told:
            session = Session(name, told)
            self.asks, self.looked, self.pulls = session.asks, session.looked, len(session.pull.ran)
        self.shape = " ".join(one.shape for one, _ in told)
        self.times = [time for one, _ in told for time in one.times]
        self.first = {etag: n for n, (one, _) in reversed([*enumerate(told)]) for etag in one.etags}
        self.next: dict[Told, Past | dict[int, Past]] = {}

    @property
    def began(self) -> list[str]:
        """When it learnt that there is something to see: at its first step."""
        return [text_of(self.told[0][1])] if self.told else []

    def then(self, answer: Told, tick: int) -> Past:
        """What it is after one more answer; the tick makes a difference only if the session looks at the clock upon it."""
        found = self.next.get(answer)
        if isinstance(found, dict):
            found = found.get(tick)
        if found is None:
            found = Past(self.name, (*self.told, (answer, tick)))
            if found.looked:
                self.next.setdefault(answer, {})[tick] = found  # type: ignore[index]
            else:
                self.next[answer] = found
        return found


class Queued(NamedTuple):
    at: str
    why: str
    due: str
    ring: Ring


class State(NamedTuple):
    """Where a schedule leads. `came`: the state before and the last step, of which a schedule is told."""

    tick: int
    rows: Rows
    queue: tuple[Queued, ...]
    pulls: tuple[int, ...]
    pasts: tuple[Past, ...]
    dead: frozenset[int]
    came: tuple[State, str] | None = None

    def acting(self) -> list[int]:
        return [n for n, past in enumerate(self.pasts) if past.asks and n not in self.dead]

    def key(self) -> object:
        """All that the future and the judgement depend on."""
        acting = [self.pasts[n] for n in self.acting()]
        times = [*self.rows.whole.times, *map(text_of, self.pulls)]
        for queued in self.queue:
            times += (queued.at, queued.due)
        for past in self.pasts:
            times += past.began
        for past in acting:
            times += past.times
        ranks = {time: rank for rank, time in enumerate(sorted(set(times)))}
        return (
            self.rows.whole.shape,
            tuple(queued.why for queued in self.queue),
            len(self.pulls),
            tuple(past.shape if past in acting else bool(past.told) for past in self.pasts),
            self.dead,
            bytes(ranks[time] for time in times),
            tuple(past.first.get(etag, -1) for past in acting for etag in self.rows.whole.etags),
        )

    def step(self, n: int) -> State:
        """Actor `n` does what it asks for."""
        past, tick = self.pasts[n], self.tick + 1
        rows, queue, answer = self.rows, self.queue, BEGUN
        match past.asks:
            case ("ring", ring, delay):
                due = records.text_of(moment(tick) + timedelta(seconds=delay))
                queue, answer = tuple(sorted([*queue, Queued(records.text_of(ring.at), ring.why, due, ring)], key=_order)), RUNG
            case ("commit", writes):
                rows, answer = rows.commit(writes)
            case ("get", key):
                answer = rows.get(key)
            case ("scan", first, last):
                answer = rows.scan(first, last)
        now = past.then(answer, tick)
        pulls = (*self.pulls, tick) if now.pulls > past.pulls else self.pulls
        return State(tick, rows, queue, pulls, (*self.pasts[:n], now, *self.pasts[n + 1 :]), self.dead, (self, ACTORS[n]))

    def die(self, n: int) -> State:
        """Actor `n` dies before it does what it asks for."""
        return self._replace(tick=self.tick + 1, dead=self.dead | {n}, came=(self, f"{ACTORS[n]} dies"))

    def following(self) -> list[State]:
        """What may happen next: somebody goes on, or dies once it has begun."""
        able = self.acting()
        able = [n for n in able if self.pasts[n].asks[0] == "ring"][:1] or able
        if not self.pasts[RINGER_1].told:
            able = [n for n in able if n != RINGER_2]
        return [*map(self.step, able), *(self.die(n) for n in able if self.pasts[n].told)]

    def schedule(self) -> list[str]:
        return [*self.came[0].schedule(), self.came[1]] if self.came else []

    def lost(self) -> list[str]:
        """Who rang and nobody looked, when the queue has come to rest. A dead holder's own ring is its queue's business."""
        later = Later(self)
        return [
            name
            for n, (name, past) in enumerate(zip(ACTORS, self.pasts, strict=True))
            if not (n == HOLDER and n in self.dead) and not any(text > past.began[0] for text in later.pulls())
        ]


def _order(queued: Queued) -> tuple[str, str, str]:
    return queued[:3]


class Later:
    """Runs what is queued at an end, one by one. A dead ringer's message comes back, a dead holder's is not waited for."""

    def __init__(self, end: State) -> None:
        self.tick, self.pull, self.before = end.tick, Pull(), end.pulls
        self.queue = [(records.moment_of(queued.due), queued.ring) for queued in end.queue]
        for n in sorted(end.dead - {HOLDER}):
            self.ring(Ring(MailboxKey("m"), "poll", records.moment_of(end.pasts[n].began[0])))
        store = end.rows.store.copy()
        for _ in range(30):
            if not self.queue:
                return
            self.queue.sort(key=lambda entry: entry[0])
            due, ring = self.queue.pop(0)
            self.tick += max(1, round((due - self.now()).total_seconds() * 1000) + 1)
            run_session(ring, place=PLACE, store=store, bell=self, clock=self, session_id="later", parts=lambda: [self.pull])
        raise AssertionError(f"the queue does not come to rest after {end.schedule()}")

    def now(self) -> datetime:
        return moment(self.tick)

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.queue.append((self.now() + timedelta(seconds=delay_s), ring))

    def pulls(self) -> list[str]:
        return [*map(text_of, self.before), *map(records.text_of, self.pull.ran)]


def beginning() -> State:
    """The holder holds the lease and its pull has begun."""
    store = MemoryStore()
    store.commit(PLACE, [Insert(records.STATE, new_state(START - timedelta(days=1)))])
    state = State(0, Rows(store), (), (), tuple(map(Past, ACTORS)), frozenset())
    for _ in range(HOLDING):
        state = state.step(HOLDER)
    return state


class Explored(NamedTuple):
    states: int
    ends: int
    losing: list[str]


def explore(*, stop: bool = False) -> Explored:
    """All interleavings, whoever dies in them; with `stop` up to the first that loses a ring."""
    stack, known = [beginning()], set[object]()
    ends, losing = 0, list[str]()
    while stack and not (stop and losing):
        state = stack.pop()
        if (key := state.key()) in known:
            continue
        known.add(key)
        stack += (following := state.following())
        if not following:
            ends += 1
            if missing := state.lost():
                losing.append(f"lost {missing} by {state.schedule()}")
    return Explored(len(known), ends, losing)


if __name__ == "__main__":
    explored = explore(stop=True)
    for loss in explored.losing:
        print(f"oracle: {loss}")
    sys.exit(3 if explored.losing else 0)
