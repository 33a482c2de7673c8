"""What one session does with a ring, beyond mail and items: errors become state and rings, nothing waits for the dead."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.core.errors import (
    BudgetSpent,
    ConsentNeeded,
    LeaseLost,
    MailboxMissing,
    NetworkDown,
    NewerRow,
    OrgApiDisabled,
    OrgConsentNeeded,
    Refused,
    SyncError,
    Throttled,
)
from shared.ports import Insert, MailboxKey, Place, Put, Ring, TenantId
from shared.session import lease, records, rings
from shared.session.run import BACK_OFF_MIN, PartReport, SessionReport, mark_broken, new_state, run_session
from shared.store.memory import MemoryStore

PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Desk:
    """A store, a clock that tests move and a bell that remembers."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.time = START
        self.rung: list[tuple[Ring, float]] = []
        self.parts_made = 0
        self.store.commit(PLACE, [Insert(records.STATE, new_state(START - timedelta(days=1)))])

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.rung.append((ring, delay_s))

    def session(self, outcome: PartReport | Exception, why: Any = "poll", at: datetime | None = None) -> SessionReport:
        desk = self

        class Work:
            name = "work"

            def run(self, held: lease.Held) -> PartReport:
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome

        def parts() -> list[Work]:
            desk.parts_made += 1
            return [Work()]

        ring = Ring(MailboxKey("m"), why, at or self.now())
        return run_session(ring, place=PLACE, store=self.store, bell=self, clock=self, session_id="s", parts=parts)

    def state(self) -> Mapping[str, Any]:
        row = self.store.get(PLACE, records.STATE)
        assert row is not None
        return row.value

    def is_free(self) -> bool:
        row = self.store.get(PLACE, records.LEASE)
        return row is None or not lease.is_held(row, self.time)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_good_session_frees_the_lease_and_takes_its_own_mark_away(desk: Desk) -> None:
    report = desk.session(PartReport(found=3))
    assert (report.result, report.found) == ("ok", 3)
    assert desk.is_free()
    assert desk.store.get(PLACE, records.WAKE) is None
    assert desk.rung == []
    assert desk.state()["health"] == "ok"


@pytest.mark.parametrize("problem", [ValueError("text"), Refused("refused.x"), LookupError("text")])
def test_an_exception_outside_an_item_rises_and_leaves_no_lease_behind(desk: Desk, problem: Exception) -> None:
    """Else the host's next try of the message finds a held lease, succeeds as dropped, and nothing reaches poison."""
    for _ in range(5):
        with pytest.raises(type(problem)):
            desk.session(problem)
        assert desk.is_free()
    assert desk.rung == []


def test_the_back_off_doubles_to_an_hour_and_a_good_session_ends_it(desk: Desk) -> None:
    for minutes in (*BACK_OFF_MIN, BACK_OFF_MIN[-1]):
        desk.rung.clear()
        assert desk.session(NetworkDown()).result == "retry.network"
        delay = next(delay for ring, delay in desk.rung if ring.why == "self")
        assert 0.9 * 60 * minutes <= delay <= 1.1 * 60 * minutes + 1
        assert desk.session(PartReport()).result == "dropped.backing_off"
        desk.time += timedelta(seconds=delay)
    assert desk.session(PartReport()).result == "ok"
    assert (desk.state()["failures"], desk.state()["not_before"]) == (0, "")


def test_what_the_vendor_asks_for_is_waited_for_and_not_more(desk: Desk) -> None:
    desk.session(Throttled(after_s=17))
    assert any(ring.why == "self" and 17 <= delay <= 19 for ring, delay in desk.rung)


def test_a_person_is_not_kept_waiting_by_a_back_off(desk: Desk) -> None:
    desk.session(NetworkDown())
    assert desk.session(PartReport(), why="user").result == "ok"


@pytest.mark.parametrize("problem", [OrgApiDisabled(), OrgConsentNeeded(), MailboxMissing()])
def test_what_an_admin_mends_for_everybody_is_tried_again_by_itself_after_an_hour(desk: Desk, problem: SyncError) -> None:
    assert desk.session(problem).result == problem.code
    assert (desk.state()["stage"], desk.state()["health"]) == ("active", problem.code)
    assert desk.session(PartReport()).result == "dropped.backing_off"
    desk.time += timedelta(hours=1)
    assert desk.session(PartReport()).result == "ok"
    assert desk.state()["health"] == "ok"


def test_what_only_the_person_can_mend_waits_for_that_person(desk: Desk) -> None:
    problem = ConsentNeeded()
    assert desk.session(problem).result == problem.code
    assert (desk.state()["stage"], desk.state()["health"]) == ("waiting", problem.code)
    made = desk.parts_made
    assert desk.session(PartReport()).result == "dropped.waiting"
    assert desk.parts_made == made
    assert desk.session(PartReport(), why="user").result == "ok"
    assert desk.state()["stage"] == "active"


def test_a_spent_budget_is_parked_and_not_a_failure(desk: Desk) -> None:
    until = START + timedelta(hours=2)
    assert desk.session(BudgetSpent(until)).result == "budget.spent"
    assert desk.state()["failures"] == 0
    assert abs((records.moment_of(desk.state()["not_before"]) - until).total_seconds()) < 1


def test_a_used_up_slice_rings_once_and_its_pull_does_not_count_as_completed(desk: Desk) -> None:
    assert desk.session(PartReport(found=1, again=True)).result == "ok"
    assert [(ring.why, delay) for ring, delay in desk.rung] == [("self", 0.0)]
    assert "pulled_at" not in desk.state()


def test_a_push_that_finds_nothing_looks_again_after_the_echo_delay(desk: Desk) -> None:
    desk.session(PartReport(), why="push")
    assert [(ring.why, delay) for ring, delay in desk.rung] == [("self", 20)]
    desk.rung.clear()
    desk.session(PartReport(found=1), why="push")
    assert desk.rung == []


def test_rings_that_need_no_work_make_no_parts(desk: Desk) -> None:
    desk.session(PartReport())
    made = desk.parts_made
    assert desk.session(PartReport(), at=START).result == "dropped.answered"
    desk.store.commit(PLACE, [Put(records.PAUSE, records.row())])
    assert desk.session(PartReport()).result == "dropped.paused"
    stranger = Place("state", TenantId("tenant"), "mailbox", "nobody")
    ring = Ring(MailboxKey("nobody"), "push", desk.now())
    report = run_session(ring, place=stranger, store=desk.store, bell=desk, clock=desk, session_id="s", parts=list)
    assert report.result == "dropped.unknown"
    assert desk.parts_made == made
    assert list(desk.store.scan(stranger)) == []


def test_a_held_mailbox_is_looked_at_again_after_the_lease_ends_and_only_once(desk: Desk) -> None:
    taken = lease.take(desk.store, desk, PLACE, None, session_id="x", lease_s=90, slice_s=60, slice_items=9)
    assert taken is not None
    assert desk.session(PartReport()).result == "dropped.held"
    assert desk.session(PartReport()).result == "dropped.held"
    ((_, delay),) = desk.rung
    assert 94 <= delay <= 96


@pytest.mark.parametrize("key", [records.STATE, records.LEASE, records.WAKE])
def test_a_row_of_newer_code_parks_the_mailbox_and_is_left_alone(desk: Desk, key: str) -> None:
    newer = {**desk.state(), "v": records.VERSION + 1}
    desk.store.commit(PLACE, [Put(key, newer)])
    assert desk.session(PartReport()).result == "store.newer_row"
    row = desk.store.get(PLACE, key)
    assert row is not None
    assert row.value == newer
    assert desk.parts_made == 0


def test_a_newer_row_met_during_the_work_backs_the_mailbox_off(desk: Desk) -> None:
    assert desk.session(NewerRow("link_x")).result == "store.newer_row"
    assert (desk.state()["stage"], desk.state()["failures"]) == ("active", 0)
    assert desk.session(PartReport()).result == "dropped.backing_off"
    assert desk.is_free()


def test_a_mailbox_that_reached_poison_backs_off_and_is_ringable_after(desk: Desk) -> None:
    mark_broken(desk.store, desk, PLACE, "session.poison")
    assert (desk.state()["stage"], desk.state()["health"]) == ("broken", "session.poison")
    assert desk.session(PartReport()).result == "dropped.backing_off"
    desk.time += timedelta(minutes=2)
    assert desk.session(PartReport()).result == "ok"
    assert desk.state()["stage"] == "active"


def test_whoever_lost_the_lease_writes_nothing_more(desk: Desk) -> None:
    taken = lease.take(desk.store, desk, PLACE, None, session_id="x", lease_s=90, slice_s=60, slice_items=9)
    assert taken is not None
    desk.time += timedelta(seconds=100)
    head = rings.read_head(desk.store, PLACE)
    second = lease.take(desk.store, desk, PLACE, head.lease, session_id="y", lease_s=90, slice_s=60, slice_items=9)
    assert second is not None
    assert second.epoch == taken.epoch + 1
    with pytest.raises(LeaseLost):
        taken.commit([Put("cursor_mail_x", {})])
    with pytest.raises(LeaseLost):
        taken.release()
    assert desk.store.get(PLACE, "cursor_mail_x") is None
    second.commit([Put("cursor_mail_x", {})])


def test_extend_writes_only_when_little_of_the_lease_is_left(desk: Desk) -> None:
    taken = lease.take(desk.store, desk, PLACE, None, session_id="x", lease_s=90, slice_s=60, slice_items=2)
    assert taken is not None
    before = desk.store.get(PLACE, records.LEASE)
    taken.extend()
    assert desk.store.get(PLACE, records.LEASE) == before
    desk.time += timedelta(seconds=50)
    taken.extend()
    assert desk.store.get(PLACE, records.LEASE) != before
    assert not taken.spent()
    taken.count(2)
    assert taken.spent()


def test_two_that_take_a_free_lease_from_one_reading_are_told_apart(desk: Desk) -> None:
    options: dict[str, Any] = {"lease_s": 90, "slice_s": 60, "slice_items": 9}
    assert lease.take(desk.store, desk, PLACE, None, session_id="x", **options) is not None
    assert lease.take(desk.store, desk, PLACE, None, session_id="y", **options) is None


def test_a_ring_for_later_is_not_answered_by_a_session_before_it(desk: Desk) -> None:
    """What a push announced may show up late; a session that came too early saw as little as the first one."""
    assert desk.session(PartReport(), "push").result == "ok"
    [(later, delay)] = desk.rung
    desk.time += timedelta(seconds=delay / 2)
    assert desk.session(PartReport(), "sweep").result == "ok"
    desk.time += timedelta(seconds=delay / 2)
    assert desk.session(PartReport(), later.why, later.at).result == "ok"
