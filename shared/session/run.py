"""One sync session of one mailbox: ring -> lease -> parts -> state and release -> wake. The only orchestration there is.

Rules that hold here:
- A ring that is answered, or whose mailbox is unknown, paused or backing off, costs one query and no vendor call: the parts
  are made only after the lease is held.
- The state row is written with the release, in one transaction; `pulled_at` is when the pull *began*.
- An error's class says what happens (`core.errors`). What is nobody's to wait for rises to the host, which retries the
  message and at last puts it to the poison queue; `mark_broken` then backs the mailbox off. The lease is given back first:
  a retry that found it held would count as answered, and the poison queue would never be reached.
- A row of newer code parks the mailbox: nothing is written over it, the sweep tries again.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.core.errors import (
    BudgetSpent,
    LeaseLost,
    MailboxError,
    MailboxMissing,
    NewerRow,
    OrgError,
    Retry,
    SyncError,
)
from shared.ports import Bell, Clock, LinkStore, Place, Put, Ring, Write
from shared.session import lease, records, rings

#: Minutes to wait after the n-th failure in a row; the last one repeats.
BACK_OFF_MIN = (1, 2, 4, 8, 16, 32, 60)
#: How often in a row a vendor's own Retry-After is believed alone.
PATIENT_TIMES = 3
#: Seconds until a mailbox looks again whether its org, or it itself, is there again.
MENDED_BY_OTHERS_S = 3600.0
#: A broken mailbox waits at most this long before the sweep tries it again.
RINGABLE = ("active", "broken")


@dataclass(frozen=True)
class SessionSettings:
    """Times in seconds."""

    lease_s: float = 90
    slice_s: float = 60
    slice_items: int = 1000
    echo_delay_s: float = 20


@dataclass(frozen=True)
class PartReport:
    """`found`: changes seen. `again`: the slice is used up, ring at once; `again_after_s`: ring after that time.
    `health`: the code of what waits for a person while the mailbox goes on, "" = nothing does."""

    found: int = 0
    again: bool = False
    again_after_s: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    health: str = ""


class Part(Protocol):
    """One kind of work inside a session: mail capture, or items in step."""

    @property
    def name(self) -> str: ...

    def run(self, held: lease.Held) -> PartReport: ...


@dataclass(frozen=True)
class SessionReport:
    """What the session's one log line says. `result` is ok, dropped.*, paused, or an error's code."""

    mailbox: str
    why: str
    result: str
    waited_ms: int = 0
    seconds: float = 0.0
    found: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


def run_session(
    ring: Ring,
    *,
    place: Place,
    store: LinkStore,
    bell: Bell,
    clock: Clock,
    session_id: str,
    parts: Callable[[], Sequence[Part]],
    settings: SessionSettings | None = None,
) -> SessionReport:
    """Answers one ring. Raises what is neither a SyncError nor ours to translate."""
    settings = settings or SessionSettings()
    began = clock.now()
    try:
        head = rings.read_head(store, place)
    except NewerRow as newer:
        return _report(ring, newer.code, began, clock)
    if refusal := _refusal(head, ring, began):
        return _report(ring, refusal, began, clock)
    rings.leave_mark(store, place, head.wake, ring)
    taken = lease.take(
        store, clock, place, head.lease, session_id=session_id, lease_s=settings.lease_s, slice_s=settings.slice_s,
        slice_items=settings.slice_items,
    )  # fmt: skip
    if taken is None:
        rings.look_again(store, bell, place, ring, clock.now())
        return _report(ring, "dropped.held", began, clock)
    return _holding(taken, ring, dict(head.value("state")), bell, parts, settings, began)


def _refusal(head: rings.Head, ring: Ring, now: datetime) -> str:
    state = head.value("state")
    if not state:
        return "dropped.unknown"
    if state["stage"] not in RINGABLE and ring.why != "user":
        return f"dropped.{state['stage']}"
    if head.pause is not None:
        return "dropped.paused"
    if state.get("not_before") and records.moment_of(state["not_before"]) > now and ring.why != "user":
        return "dropped.backing_off"
    # a renewal is asked for by the vendor: no pull, however new, has answered it
    return "dropped.answered" if ring.why != "renew" and rings.is_answered(head, ring) else ""


def _holding(
    held: lease.Held, ring: Ring, state: dict[str, Any], bell: Bell, parts: Callable[[], Sequence[Part]],
    settings: SessionSettings, began: datetime,
) -> SessionReport:  # fmt: skip
    pull_began = held.now()
    total = PartReport()
    try:
        for part in parts():
            total = _added(total, part.run(held))
    except LeaseLost:
        return _report(ring, LeaseLost.code, began, held.clock)
    except (Retry, BudgetSpent, MailboxError, OrgError, NewerRow) as stopped:
        _stop(held, ring, state, bell, stopped)
        rings.answer_wake(held.store, bell, held.place, ring, None)
        return _report(ring, stopped.code, began, held.clock, total)
    except Exception:
        with contextlib.suppress(SyncError):
            held.release()
        raise
    complete = not total.again
    state |= {"stage": "active", "failures": 0, "not_before": "", "health": total.health or "ok"}
    state["last_ok"] = records.text_of(held.now())
    if complete:
        state["pulled_at"] = records.text_of(pull_began)
    try:
        held.release([_state(state)])
    except LeaseLost:
        return _report(ring, LeaseLost.code, began, held.clock, total)
    if delay := _next_ring(ring, total, settings):
        # it speaks for the time it is due: a pull before that does not answer it
        due = held.now() + timedelta(seconds=delay[0])
        bell.ring(Ring(ring.mailbox, "self", due), delay[0])
    if complete:  # else the ring just made speaks for the mark too
        rings.answer_wake(held.store, bell, held.place, ring, pull_began)
    return _report(ring, "ok", began, held.clock, total)


def _next_ring(ring: Ring, total: PartReport, settings: SessionSettings) -> tuple[float] | None:
    """The delay of the ring that must follow, if any."""
    if total.again:
        return (0.0,)
    if total.again_after_s is not None:
        return (total.again_after_s,)
    if ring.why == "push" and not total.found:
        return (settings.echo_delay_s,)  # deltas may lag behind notifications
    return None


def _stop(held: lease.Held, ring: Ring, state: dict[str, Any], bell: Bell, stopped: SyncError) -> None:
    """Writes down why the session stopped and when to try again; the release goes with it."""
    now = held.now()
    state |= {"health": stopped.code, "last_tried": records.text_of(now)}
    delay: float | None = None
    match stopped:
        case Retry(after_s=after):
            state["failures"] = failures = int(state.get("failures", 0)) + 1
            # what the vendor asks for, and after a few times in vain no less than our own curve
            own = _back_off(failures, held.session_id) if after is None or failures > PATIENT_TIMES else 0.0
            delay = max(after or 0.0, own)
        case BudgetSpent(until=until):
            delay = max(0.0, (until - now).total_seconds())
        case NewerRow():
            delay = BACK_OFF_MIN[-1] * 60.0
        case OrgError() | MailboxMissing():
            delay = MENDED_BY_OTHERS_S  # an admin mends it, and nobody tells every mailbox of it
        case MailboxError():
            state["stage"] = "waiting"
    if delay is not None:
        state["not_before"] = records.text_of(now + timedelta(seconds=delay))
    try:
        held.release([_state(state)])
    except LeaseLost:
        return
    if delay is not None:
        bell.ring(Ring(ring.mailbox, "self", now), delay + 1)


def _back_off(failures: int, seed: str) -> float:
    """Seconds to wait, with a jitter of 20 % that is the same for the same session."""
    minutes = BACK_OFF_MIN[min(failures, len(BACK_OFF_MIN)) - 1]
    return minutes * 60 * random.Random(f"{seed}{failures}").uniform(0.9, 1.1)


def mark_broken(store: LinkStore, clock: Clock, place: Place, code: str) -> None:
    """What the poison queue's function does: the mailbox backs off, the sweep tries it again later, health shows it."""
    head = rings.read_head(store, place)
    if head.state is None:
        return
    state = dict(head.value("state"))
    state["failures"] = int(state.get("failures", 0)) + 1
    wait = timedelta(seconds=_back_off(state["failures"], place.key))
    state |= {"stage": "broken", "health": code, "not_before": records.text_of(clock.now() + wait)}
    store.commit(place, [Put(records.STATE, state, head.state.etag)])


def _state(state: Mapping[str, Any]) -> Write:
    return Put(records.STATE, records.row(**{name: value for name, value in state.items() if name != "v"}))


def new_state(now: datetime) -> dict[str, Any]:
    """The state row of a mailbox that was just connected.

    Activated in whole seconds, as mailboxes tell when mail was received: what came in the look-back's first second is inside.
    """
    activated = records.text_of(now.replace(microsecond=0))
    return records.row(stage="active", failures=0, not_before="", health="new", activated=activated)


def _added(total: PartReport, more: PartReport) -> PartReport:
    waits = [wait for wait in (total.again_after_s, more.again_after_s) if wait is not None]
    counts = {name: total.counts.get(name, 0) + more.counts.get(name, 0) for name in {*total.counts, *more.counts}}
    health = total.health or more.health
    return PartReport(total.found + more.found, total.again or more.again, min(waits, default=None), counts, health)


def _report(ring: Ring, result: str, began: datetime, clock: Clock, total: PartReport | None = None) -> SessionReport:
    total = total or PartReport()
    waited = max(0, round((began - ring.at).total_seconds() * 1000))
    seconds = (clock.now() - began).total_seconds()
    return SessionReport(ring.mailbox, ring.why, result, waited, seconds, total.found, total.counts)
