"""The budget of an org: who may call at which usage, and that the row remembers it between sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.budget import Band, Standing, band_of, closed_until, heard, may_ask
from shared.core.errors import BudgetSpent, NewerRow, Unavailable
from shared.crm.budget import Budget
from shared.ports import Place, Put, TenantId, Write
from shared.store.memory import MemoryStore

START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
ORG = Place("state", TenantId("tenant"), "org", "acme")


class Clock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **span: float) -> None:
        self.time += timedelta(**span)


class CountingStore(MemoryStore):
    """The memory store, telling how often it was written, and refusing where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.down = False

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        if self.down:
            raise Unavailable
        self.writes += 1
        return super().commit(place, writes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.mark.parametrize(
    ("share", "before", "band"),
    [
        (0.0, "normal", "normal"), (0.699, "normal", "normal"), (0.70, "normal", "stretched"), (0.849, "normal", "stretched"),
        (0.85, "normal", "people"), (0.949, "stretched", "people"), (0.95, "normal", "reserve"), (1.7, "normal", "reserve"),
        (0.69, "stretched", "stretched"), (0.679, "stretched", "normal"), (0.84, "people", "people"),
        (0.829, "people", "stretched"), (0.94, "reserve", "reserve"), (0.929, "reserve", "people"),
        (0.69, "reserve", "stretched"), (0.84, "stretched", "stretched"),
    ],
)  # fmt: skip
def test_bands_begin_where_the_design_says_and_end_two_points_below(share: float, before: Band, band: Band) -> None:
    assert band_of(share, before) == band


def test_a_band_that_goes_on_keeps_its_begin() -> None:
    first = heard(None, 0.71, START)
    later = heard(first, 0.75, START + timedelta(hours=1))
    assert (later.since, later.heard, later.share) == (START, START + timedelta(hours=1), 0.75)
    assert heard(later, 0.9, START + timedelta(hours=2)).since == START + timedelta(hours=2)


@pytest.mark.parametrize(
    ("hours", "opens"),
    [
        (0, None), (0.49, None), (0.5, 2.5), (2.4, 2.5), (2.5, None), (2.9, None), (3, 7), (7, None), (7.5, 13.5), (13.5, None),
        (14, 20), (26.6, None),
    ],
)  # fmt: skip
def test_stretched_sessions_have_openings_further_and_further_apart(hours: float, opens: float | None) -> None:
    standing = Standing("stretched", 0.8, START, START)
    until = closed_until(standing, START + timedelta(hours=hours), by_person=False)
    assert until == (None if opens is None else START + timedelta(hours=opens))
    assert closed_until(standing, START + timedelta(hours=hours), by_person=True) is None


@pytest.mark.parametrize(
    ("band", "background", "person"),
    [("normal", True, True), ("people", False, True), ("reserve", False, False)],
)
def test_only_people_may_call_above_85_percent_and_nobody_in_the_reserve(band: Band, background: bool, person: bool) -> None:
    standing = Standing(band, 0.9, START, START)
    assert (closed_until(standing, START, by_person=False) is None) is background
    assert (closed_until(standing, START, by_person=True) is None) is person
    assert not may_ask(standing, START + timedelta(minutes=59))
    assert may_ask(standing, START + timedelta(hours=1)) is (band != "normal")


def test_what_was_heard_stops_the_next_session(store: CountingStore, clock: Clock) -> None:
    first = Budget(store, ORG, clock)
    first.check()
    first.heard("api-usage=900/1000")
    with pytest.raises(BudgetSpent) as stopped:
        first.check()
    assert stopped.value.until == START + timedelta(hours=1)
    with pytest.raises(BudgetSpent):
        Budget(store, ORG, clock).check()
    Budget(store, ORG, clock, by_person=True).check()


def test_a_session_may_finish_when_stretching_begins(store: CountingStore, clock: Clock) -> None:
    session = Budget(store, ORG, clock)
    session.check()
    session.heard("api-usage=750/1000")
    clock.pass_by(hours=1)
    session.check()
    with pytest.raises(BudgetSpent) as stopped:
        Budget(store, ORG, clock).check()
    assert stopped.value.until == START + timedelta(hours=2.5)


def test_the_fullest_budget_counts_and_nonsense_does_not(store: CountingStore, clock: Clock) -> None:
    budget = Budget(store, ORG, clock)
    for nothing in (None, "", "api-usage=x/y", "api-usage=1/0"):
        budget.heard(nothing)
    assert (budget.standing, store.writes) == (None, 0)
    budget.heard("api-usage=18/5000; per-app-api-usage=220/250(appName=mailspan)")
    assert budget.standing == Standing("people", 0.88, START, START)


def test_the_row_is_written_once_a_minute_and_when_the_band_changes(store: CountingStore, clock: Clock) -> None:
    budget = Budget(store, ORG, clock)
    for used in (100, 101, 102):
        budget.heard(f"api-usage={used}/1000")
        clock.pass_by(seconds=29)
    assert store.writes == 1
    budget.heard("api-usage=103/1000")
    assert store.writes == 2
    budget.heard("api-usage=700/1000")
    assert store.writes == 3
    row = store.get(ORG, "budget")
    assert row is not None and (row.value["band"], row.value["share"]) == ("stretched", 0.7)


def test_old_news_lets_one_session_ask_and_no_second_one(store: CountingStore, clock: Clock) -> None:
    Budget(store, ORG, clock).heard("api-usage=900/1000")
    clock.pass_by(hours=1, minutes=1)
    asking, other = Budget(store, ORG, clock), Budget(store, ORG, clock)
    other._load()  # both have read the row before either asks
    asking.check()
    asking.check()  # until the answer comes
    with pytest.raises(BudgetSpent):
        other.check()
    asking.heard("api-usage=890/1000")
    with pytest.raises(BudgetSpent):
        asking.check()


def test_an_answer_that_is_better_opens_the_org_again(store: CountingStore, clock: Clock) -> None:
    Budget(store, ORG, clock).heard("api-usage=960/1000")
    clock.pass_by(hours=2)
    asking = Budget(store, ORG, clock, by_person=True)
    asking.check()
    asking.heard("api-usage=500/1000")
    asking.check()
    Budget(store, ORG, clock).check()


def test_hearing_never_raises(store: CountingStore, clock: Clock) -> None:
    store.down = True
    budget = Budget(store, ORG, clock)
    budget.heard("api-usage=900/1000")
    with pytest.raises(BudgetSpent):
        budget.check()


def test_a_row_of_newer_code_stops(store: CountingStore, clock: Clock) -> None:
    store.commit(ORG, [Put("budget", {"v": 2})])
    with pytest.raises(NewerRow):
        Budget(store, ORG, clock).check()
