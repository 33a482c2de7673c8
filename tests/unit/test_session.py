"""One session's manners: what costs no call, what the error tree does to the mailbox, and what the fence holds off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import (
    BudgetSpent,
    ConsentNeeded,
    LeaseLost,
    NewerRow,
    OrgApiDisabled,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.ports import Insert, MailboxKey, Place, Put, Ring, TenantId, Why
from shared.session import lease, records, rings
from shared.session.run import PartReport, SessionReport, mark_broken, new_state, run_session
from shared.store.memory import MemoryStore

PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Mailbox:
    """A mailbox with a clock that stands still, a queue that is a list, and one part that does what it is told."""

    def __init__(self) -> None:
        self.store, self.time = MemoryStore(), START
        self.rung: list[tuple[Ring, float]] = []
        self.runs = 0
        self.store.commit(PLACE, [Insert(records.STATE, new_state(START))])

    def now(self) -> datetime:
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.rung.append((ring, delay_s))

    def run(
        self, work: Callable[[lease.Held], PartReport] = lambda held: PartReport(found=1), why: Why = "push", at: int = 1
    ) -> SessionReport:
        mailbox = self

        class Part:
            name = "part"

            def run(self, held: lease.Held) -> PartReport:
                mailbox.runs += 1
                return work(held)

        self.time = max(self.time, START + timedelta(seconds=at)) + timedelta(seconds=1)
        ring = Ring(MailboxKey("m"), why, START + timedelta(seconds=at))
        return run_session(
            ring, place=PLACE, store=self.store, bell=self, clock=self, session_id="s", parts=lambda: [Part()]
        )  # fmt: skip

    def state(self) -> dict[str, object]:
        return dict(rings.read_head(self.store, PLACE).value("state"))


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


def raises(problem: SyncError) -> Callable[[lease.Held], PartReport]:
    def work(held: lease.Held) -> PartReport:
        raise problem

    return work


def test_a_ring_older_than_the_last_pull_is_dropped_without_any_work(mailbox: Mailbox) -> None:
    assert mailbox.run(at=10).result == "ok"
    assert mailbox.run(at=5).result == "dropped.answered"
    assert mailbox.runs == 1


def test_an_unknown_mailbox_is_dropped(mailbox: Mailbox) -> None:
    mailbox.store = MemoryStore()
    assert mailbox.run().result == "dropped.unknown"
    assert mailbox.runs == 0


def test_a_push_that_found_nothing_looks_again_after_twenty_seconds(mailbox: Mailbox) -> None:
    mailbox.run(lambda held: PartReport(found=0))
    assert [delay for _, delay in mailbox.rung] == [20]
    mailbox.rung.clear()
    mailbox.run(lambda held: PartReport(found=0), why="self", at=50)
    assert mailbox.rung == []


def test_a_slice_that_is_used_up_rings_itself_and_does_not_count_as_pulled(mailbox: Mailbox) -> None:
    mailbox.run(lambda held: PartReport(found=1000, again=True))
    assert [(ring.why, delay) for ring, delay in mailbox.rung if ring.why == "self"] == [("self", 0.0)]
    assert "pulled_at" not in mailbox.state()


@pytest.mark.parametrize(("failures", "minutes"), [(1, 1), (2, 2), (3, 4), (7, 60), (9, 60)])
def test_failures_in_a_row_back_off_to_an_hour(mailbox: Mailbox, failures: int, minutes: int) -> None:
    for n in range(failures):
        mailbox.rung.clear()
        assert mailbox.run(raises(Unavailable()), why="user", at=10_000 * (n + 1)).result == "retry.unavailable"
    delays = [delay for ring, delay in mailbox.rung if ring.why == "self"]
    assert minutes * 60 * 0.9 <= delays[0] <= minutes * 60 * 1.1 + 1
    assert mailbox.run(why="push", at=10_000 * failures + 2).result == "dropped.backing_off"


def test_a_vendors_own_retry_time_is_kept(mailbox: Mailbox) -> None:
    mailbox.run(raises(Throttled(after_s=17)))
    assert [delay for ring, delay in mailbox.rung if ring.why == "self"] == [18]


@pytest.mark.parametrize("problem", [ConsentNeeded(), OrgApiDisabled()])
def test_what_only_a_person_can_mend_waits_for_one_and_is_told(mailbox: Mailbox, problem: SyncError) -> None:
    assert mailbox.run(raises(problem)).result == problem.code
    assert (mailbox.state()["stage"], mailbox.state()["health"]) == ("waiting", problem.code)
    assert mailbox.run(at=100).result == "dropped.waiting"
    assert mailbox.run(at=200, why="user").result == "ok"
    assert mailbox.state()["health"] == "ok"


def test_a_spent_budget_parks_until_its_time_and_is_no_failure(mailbox: Mailbox) -> None:
    mailbox.run(raises(BudgetSpent(START + timedelta(hours=2))))
    assert mailbox.state()["failures"] == 0
    assert mailbox.run(at=3600).result == "dropped.backing_off"
    assert mailbox.run(at=7300).result == "ok"


def test_a_paused_mailbox_does_nothing_also_when_a_person_rings(mailbox: Mailbox) -> None:
    mailbox.store.commit(PLACE, [Insert(records.PAUSE, records.row(by="user"))])
    assert mailbox.run(why="user").result == "dropped.paused"
    assert mailbox.runs == 0


def test_what_is_no_error_of_ours_rises_and_the_poison_queue_backs_the_mailbox_off(mailbox: Mailbox) -> None:
    def bug(held: lease.Held) -> PartReport:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        mailbox.run(bug)
    mark_broken(mailbox.store, mailbox, PLACE, "mailbox.broken")
    assert mailbox.state()["stage"] == "broken"
    assert mailbox.run(at=2).result == "dropped.backing_off"
    assert mailbox.run(at=1000).result == "ok"
    assert mailbox.state()["stage"] == "active"


def test_a_row_of_newer_code_parks_the_mailbox_instead_of_guessing(mailbox: Mailbox) -> None:
    mailbox.store.commit(PLACE, [Put(records.STATE, {"v": records.VERSION + 1})])
    with pytest.raises(NewerRow):
        mailbox.run()


def test_a_zombie_writes_nothing(mailbox: Mailbox) -> None:
    def take() -> lease.Held | None:
        row = mailbox.store.get(PLACE, records.LEASE)
        return lease.take(
            mailbox.store, mailbox, PLACE, row, session_id="s", lease_s=90, slice_s=60, slice_items=10
        )  # fmt: skip

    first = take()
    assert first is not None
    assert take() is None
    mailbox.time += timedelta(seconds=91)
    second = take()
    assert second is not None
    assert second.epoch == first.epoch + 1
    for write in (lambda: first.commit([Put("link_a", {})]), first.release, lambda: first.commit(())):
        with pytest.raises(LeaseLost):
            write()
    assert mailbox.store.get(PLACE, "link_a") is None
    second.commit([Put("link_a", {})])


def test_a_commit_extends_the_lease_and_a_slice_ends_by_items_or_time(mailbox: Mailbox) -> None:
    held = lease.take(mailbox.store, mailbox, PLACE, None, session_id="s", lease_s=90, slice_s=60, slice_items=10)
    assert held is not None
    mailbox.time += timedelta(seconds=50)
    held.extend()
    row = mailbox.store.get(PLACE, records.LEASE)
    assert row is not None
    assert records.moment_of(row.value["until"]) == mailbox.time + timedelta(seconds=90)
    assert not held.spent()
    held.count(10)
    assert held.spent()
    with pytest.raises(ValueError, match="at most 99"):
        held.commit([Put(f"r{n}", {}) for n in range(100)])
