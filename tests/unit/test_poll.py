"""The poll of an org: everyone concerned is told once, whoever dies, and a quiet org costs one question and no write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import Unavailable
from shared.ports import Changed, MailboxKey, Place, Put, Ring, TenantId, Write
from shared.session import records
from shared.session.claims import holders_of
from shared.session.poll import MOST, OVERLAP, PollReport, poll
from shared.store.memory import MemoryStore

ORG = Place("state", TenantId("t"), "org", "o")


class Died(Exception):
    """The process is gone."""


class World:
    """An org's feed, a clock, a bell and a store whose commits can be counted and cut."""

    def __init__(self) -> None:
        self.inner, self.time = MemoryStore(), datetime(2026, 5, 4, 9, tzinfo=UTC)
        self.rings: list[str] = []
        self.changes: list[Changed] = []
        self.asked: list[Mapping[str, datetime]] = []
        self.commits, self.dies_at = 0, 0
        self.answers = True

    def now(self) -> datetime:
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.rings.append(ring.mailbox)

    def changed(self, since: Mapping[str, datetime]) -> Sequence[Changed]:
        self.asked.append(since)
        if not self.answers:
            raise Unavailable
        return [one for one in self.changes if datetime.fromisoformat(one.stamp) >= since[one.kind]]

    def get(self, place: Place, key: str):  # type: ignore[no-untyped-def]
        return self.inner.get(place, key)

    def get_many(self, place: Place, keys: Sequence[str]):  # type: ignore[no-untyped-def]
        return self.inner.get_many(place, keys)

    def scan(self, place: Place, first: str = "", last: str | None = None):  # type: ignore[no-untyped-def]
        return self.inner.scan(place, first, last)

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self.commits += 1
        if self.commits == self.dies_at:
            raise Died
        return self.inner.commit(place, writes)

    def change(self, record: str, *, kind: str = "event", owner: str = "", deleted: bool = False) -> None:
        self.changes.append(Changed(kind, record, self.time.isoformat(), owner, deleted))

    def hold(self, record: str, mailbox: str) -> None:
        self.inner.commit(ORG, [Put(f"{holders_of(record)}{mailbox}", records.row(item=f"{mailbox}'s", mailbox=mailbox))])

    def poll(self, kinds: Sequence[str] = ("event",), connected: Callable[[], datetime | None] = lambda: None) -> PollReport:
        return poll(
            self, kinds, store=self, bell=self, clock=self, org=ORG, place_of=place,
            owners=lambda user: [MailboxKey(f"of-{user}")], connected=connected,
        )  # fmt: skip

    def dirty(self, mailbox: str) -> list[str]:
        rows = self.inner.scan(place(MailboxKey(mailbox)), "dirty_", "dirty`")
        return sorted(str(row.value.get("crm", f"all {row.value['kind']}")) for row in rows)


def place(mailbox: MailboxKey) -> Place:
    return Place("state", TenantId("t"), "mailbox", mailbox)


@pytest.fixture
def world() -> World:
    return World()


def test_holders_and_owner_are_told_once_and_rung_once(world: World) -> None:
    world.hold("r1", "ann")
    world.hold("r1", "of-5")
    world.change("r1", owner="5")
    world.change("r2", owner="5")
    assert world.poll() == PollReport(2, 2)
    assert (world.dirty("ann"), world.dirty("of-5")) == (["r1"], ["r1", "r2"])
    assert sorted(world.rings) == ["ann", "of-5"]


def test_what_was_told_in_the_overlap_is_not_told_again(world: World) -> None:
    world.change("r1", owner="5")
    world.time += timedelta(seconds=10)
    world.poll()
    world.rings.clear()
    world.time += timedelta(seconds=60)
    assert world.poll() == PollReport(0, 0)
    world.change("r1", owner="5")
    assert world.poll() == PollReport(1, 1)
    assert world.rings == ["of-5"]


def test_what_has_just_changed_may_change_again_under_the_same_stamp_and_is_told_once_more(world: World) -> None:
    world.change("r1", owner="5")
    assert world.poll() == PollReport(1, 1)
    world.time += timedelta(seconds=60)
    assert world.poll() == PollReport(1, 1)
    assert world.poll() == PollReport(0, 0)


def test_the_question_reaches_back_over_the_watermark_and_never_past_its_own_beginning(world: World) -> None:
    first = world.time
    world.poll()
    world.time += timedelta(hours=1)
    world.poll()
    assert [one["event"] for one in world.asked] == [first - OVERLAP, first - OVERLAP]
    world.time += timedelta(minutes=1)
    world.poll()
    assert world.asked[-1]["event"] == first + timedelta(hours=1) - OVERLAP


def test_a_quiet_org_is_written_to_at_most_once_a_minute(world: World) -> None:
    world.poll()
    world.commits = 0
    for _ in range(10):
        world.time += timedelta(seconds=5)
        world.poll()
    assert world.commits == 0


def test_many_changes_of_a_kind_that_can_be_listed_become_one_row(world: World) -> None:
    for number in range(MOST + 50):
        world.change(f"r{number}", owner="5")
    world.hold("r7", "of-5")
    world.poll()
    assert world.dirty("of-5") == ["all event"]
    assert len(world.rings) == 1


def test_a_crash_at_each_write_tells_everything_in_the_end(world: World) -> None:
    for dies_at in range(1, 5):
        world = World()
        world.hold("r1", "ann")
        world.change("r1", owner="5")
        world.dies_at = dies_at
        try:
            world.poll()
        except Died:
            world.poll()
        assert (world.dirty("ann"), world.dirty("of-5")) == (["r1"], ["r1"]), dies_at
        assert {"ann", "of-5"} <= set(world.rings)


def test_a_mass_deletion_in_the_org_does_not_stop_the_poll(world: World) -> None:
    """Somebody deletes a great many records, none of them ours, within a minute."""
    began = world.time
    for number in range(25_000):
        world.change(f"02s{number:012}AAA", deleted=True)
    world.poll()
    world.changes.clear()
    world.time += timedelta(minutes=10)
    world.poll()
    assert world.asked[-1]["event"] == began - OVERLAP, "the watermark went on to where the first question began"


def test_what_happens_while_the_first_questions_fail_is_not_missed(world: World) -> None:
    world.answers = False
    for _ in range(3):
        with pytest.raises(Unavailable):
            world.poll()
        world.time += timedelta(minutes=10)
        world.change("r1", owner="5")
    world.answers = True
    world.time += timedelta(minutes=10)
    assert world.poll() == PollReport(3, 1)


def test_what_happens_between_the_connecting_and_the_first_question_is_not_missed(world: World) -> None:
    """The product stood still in between; a day back is the most that is asked for."""
    connected = world.time
    world.time += timedelta(minutes=5)
    world.change("r1", owner="5")
    world.time += timedelta(minutes=15)
    assert world.poll(connected=lambda: connected) == PollReport(1, 1)
    assert world.asked[-1]["event"] == connected - OVERLAP
    world.poll(connected=lambda: connected)
    assert world.asked[-1]["event"] > connected
    other = World()
    other.poll(connected=lambda: other.time - timedelta(days=400))
    assert other.asked[-1]["event"] == other.time - timedelta(days=1) - OVERLAP
