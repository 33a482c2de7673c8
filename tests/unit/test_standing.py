"""How a mailbox stands and what its owner may ask: never green when nothing was read for long, one ring a minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.access.directory import SLOTS
from shared.core.errors import NetworkDown, NewerRow
from shared.core.profile import BY_NAME
from shared.ports import Insert, MailboxKey, Place, Put, Ring, Row, TenantId, Write
from shared.session import records, standing
from shared.session.run import new_state
from shared.session.standing import FORCE_S, IsPaused, Standing, TooSoon
from shared.store.memory import MemoryStore

MAILBOX = MailboxKey("m" * 26)
PLACE = Place("state", TenantId("tenant"), "mailbox", MAILBOX)
START = datetime(2026, 1, 1, tzinfo=UTC)
HALF_HOUR = 1800.0


class Desk:
    """A store, a clock that tests move and a bell that remembers, or is out of order."""

    def __init__(self) -> None:
        self.store, self.time, self.rung = MemoryStore(), START, list[Ring]()
        self.dead_bell = False
        self.store.commit(PLACE, [Insert(records.STATE, new_state(START))])

    def now(self) -> datetime:
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        if self.dead_bell:
            raise NetworkDown
        self.rung.append(ring)

    def state(self, **values: Any) -> None:
        row = self.store.get(PLACE, records.STATE)
        assert row is not None
        self.store.commit(PLACE, [Put(records.STATE, {**row.value, **values})])

    def read(self) -> Standing:
        return standing.read(self.store, PLACE, self.time, HALF_HOUR)

    def force(self, repeat: str = "") -> datetime:
        return standing.force(self.store, self, self, PLACE, MAILBOX, repeat)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def text(moment: datetime) -> str:
    return records.text_of(moment)


def test_a_mailbox_without_a_state_is_connecting() -> None:
    found = standing.read(MemoryStore(), PLACE, START, HALF_HOUR)
    assert (found.status, found.stage, found.code, found.last_ok) == ("new", "connecting", "new", None)


@pytest.mark.parametrize(
    ("stage", "health", "status"),
    [
        ("active", "new", "new"),
        ("active", "ok", "ok"),
        ("active", "retry.throttled", "failing"),
        ("active", "budget.spent", "parked"),
        ("waiting", "mailbox.consent_needed", "waiting"),
        ("waiting", "org.api_disabled", "waiting"),
        ("broken", "mailbox.broken", "failing"),
    ],
)
def test_the_status_follows_the_last_session(desk: Desk, stage: str, health: str, status: str) -> None:
    desk.state(stage=stage, health=health, last_ok=text(START), failures=3, not_before=text(START + timedelta(hours=1)))
    found = desk.read()
    assert (found.status, found.stage, found.code, found.failures) == (status, stage, health, 3)
    assert (found.activated, found.last_ok, found.not_before) == (START, START, START + timedelta(hours=1))


def test_whoever_has_not_read_for_three_intervals_is_late_and_never_green(desk: Desk) -> None:
    desk.state(health="ok", last_ok=text(START))
    desk.time += timedelta(minutes=90)
    assert desk.read().status == "ok"
    desk.time += timedelta(seconds=1)
    assert (desk.read().status, desk.read().code) == ("late", "mailbox.late")


def test_a_first_session_that_does_not_end_is_late_too(desk: Desk) -> None:
    desk.time += timedelta(minutes=91)
    assert desk.read().status == "late"


def test_issues_are_the_items_that_are_held(desk: Desk) -> None:
    desk.store.commit(PLACE, [Insert(records.held(f"{n}"), records.row()) for n in range(7)])
    desk.store.commit(PLACE, [Insert("heldx", records.row()), Insert("link_held_1", records.row())])
    assert desk.read().issues == 7


def test_a_row_of_newer_code_is_shown_as_parked_and_not_guessed_at(desk: Desk) -> None:
    desk.state(v=records.VERSION + 1)
    assert (desk.read().status, desk.read().stage, desk.read().code) == ("failing", "parked", NewerRow.code)


def test_a_person_may_ask_for_one_session_a_minute(desk: Desk) -> None:
    assert desk.force() == START
    desk.time += timedelta(seconds=FORCE_S - 17)
    with pytest.raises(TooSoon) as refused:
        desk.force()
    assert (refused.value.wait_s, refused.value.code) == (17, "sync.too_soon")
    desk.time += timedelta(seconds=17)
    desk.force()
    assert desk.rung == [Ring(MAILBOX, "user", START), Ring(MAILBOX, "user", START + timedelta(seconds=FORCE_S))]


def test_the_same_request_again_is_the_same_answer_and_not_a_second_ring(desk: Desk) -> None:
    assert desk.force("a") == START
    desk.time += timedelta(seconds=5)
    assert desk.force("a") == START
    for other in ("b", ""):
        with pytest.raises(TooSoon):
            desk.force(other)
    assert len(desk.rung) == 1
    desk.time += timedelta(seconds=FORCE_S)
    assert desk.force("a") == desk.time
    assert len(desk.rung) == 2


def test_a_bell_out_of_order_costs_nobody_the_minute(desk: Desk) -> None:
    desk.dead_bell = True
    with pytest.raises(NetworkDown):
        desk.force()
    desk.dead_bell = False
    assert desk.force() == START


@pytest.mark.parametrize("again", [False, True])
def test_of_two_that_ask_at_once_one_is_refused(desk: Desk, again: bool) -> None:
    if again:
        desk.force()
        desk.time += timedelta(seconds=FORCE_S)
    quicker = Desk()
    quicker.store, quicker.time = desk.store, desk.time

    class Late(MemoryStore):
        """Somebody else's request lands between our look and our write."""

        def get(self, place: Place, key: str) -> Row | None:
            return desk.store.get(place, key)

        def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
            quicker.force()
            return desk.store.commit(place, writes)

    before = len(desk.rung)
    with pytest.raises(TooSoon):
        standing.force(Late(), desk, desk, PLACE, MAILBOX)
    assert (len(desk.rung), len(quicker.rung)) == (before, 1)


def test_a_paused_mailbox_says_so_and_is_not_rung(desk: Desk) -> None:
    standing.pause(desk.store, desk, PLACE)
    desk.time += timedelta(days=3)
    standing.pause(desk.store, desk, PLACE)
    found = desk.read()
    assert (found.status, found.code, found.paused) == ("paused", "mailbox.paused", START)
    with pytest.raises(IsPaused):
        desk.force()
    assert desk.rung == []


def test_resuming_ends_the_pause_and_rings_once(desk: Desk) -> None:
    assert not standing.resume(desk.store, desk, desk, PLACE, MAILBOX)
    standing.pause(desk.store, desk, PLACE)
    assert standing.resume(desk.store, desk, desk, PLACE, MAILBOX)
    assert not standing.resume(desk.store, desk, desk, PLACE, MAILBOX)
    assert desk.read().paused is None
    assert desk.rung == [Ring(MAILBOX, "user", START)]


def test_a_mailbox_with_the_shortest_interval_is_not_late_between_two_sweeps(desk: Desk) -> None:
    desk.state(health="ok", last_ok=text(START))
    desk.time += timedelta(minutes=SLOTS)
    assert standing.read(desk.store, PLACE, desk.time, BY_NAME["interval_s"].low).status == "ok"
