"""Series: sixty of them counted by somebody else's expander, and what becomes of a series while people work with it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.item_scope import BACK_DAYS
from tests.system import ics
from tests.system.diary import Diary, events, with_key_field
from tests.system.stage import Stage

TABLE = Path(__file__).with_name("series.toml")
NOW = datetime(2027, 2, 10, 6, tzinfo=UTC)
AHEAD_DAYS = 180
SERIES: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["series"]


# --- sixty series


@pytest.mark.parametrize("switches", [{}, {"delta_master": False, "delta_reduced": False}], ids=["usual", "other delta"])
def test_sixty_series_arrive_as_another_expander_counts_them(memory_stage: Stage, switches: Mapping[str, Any]) -> None:
    stage = memory_stage
    stage.world.switches |= {f"microsoft.{name}": value for name, value in switches.items()}
    ann = connected(stage)
    for one in SERIES:
        put(ann, one)
    stage.sessions("ann")
    found = {shown(row) for row in events(stage)}
    assert len(found) == len(events(stage))
    begin, end = NOW - timedelta(days=BACK_DAYS), NOW + timedelta(days=AHEAD_DAYS)
    said = {one["title"]: ics.expanded(ics.export([one]), begin, end) for one in SERIES}
    told = {one for some in said.values() for one in some}
    names = {subject for one in SERIES for subject in subjects(one)}
    assert {subject for subject, _, _ in found} <= names
    wrong = {}
    for one in SERIES:
        mine = {row for row in found if row[0] in subjects(one)}
        if mine != said[one["title"]] and not one.get("difference"):
            wrong[one["title"]] = (sorted(mine - said[one["title"]]), sorted(said[one["title"]] - mine))
    print(f"{len(SERIES)} series, {len(found)} events in Salesforce, {len(told)} counted outside")
    assert wrong == {}


def test_the_table_has_every_pattern_range_and_twenty_zones() -> None:
    assert len(SERIES) == 60
    assert {one["pattern"]["type"] for one in SERIES} == {
        "daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly"
    }  # fmt: skip
    assert {one["range"]["type"] for one in SERIES} == {"endDate", "noEnd", "numbered"}
    assert len({one["iana"] for one in SERIES}) >= 20
    assert len({subject for one in SERIES for subject in subjects(one)}) == sum(len(subjects(one)) for one in SERIES)


def connected(stage: Stage) -> Diary:
    stage.at(NOW)
    stage.users("ann", occurrence_days=AHEAD_DAYS)
    with_key_field(stage)
    stage.do(lambda: setattr(stage.salesforce.settings, "multiday_events", True))
    stage.sessions("ann")
    return Diary(stage, "ann")


def put(ann: Diary, one: Mapping[str, Any]) -> str:
    """The series into the calendar, with its exceptions and holes."""
    first = one["start"].date() if isinstance(one["start"], datetime) else one["start"]
    span = {**one["range"], "startDate": first.isoformat()}
    body = {**times(one, one["start"], ics.end_of(one)), "recurrence": {"pattern": one["pattern"], "range": span}}
    series = ann.make(one["title"], marked=True, isAllDay="days" in one, **body)
    for changed in one.get("changed", ()):
        start, end = ics.moved(one, changed)
        said = {"subject": changed["subject"]} if "subject" in changed else {}
        ann.change(ann.occurrence(series, changed["day"]), **said, **times(one, start, end))
    for day in one.get("cancelled", ()):
        ann.delete(ann.occurrence(series, day))
    return series


def times(one: Mapping[str, Any], start: date, end: date) -> dict[str, Any]:
    walls = [when if isinstance(when, datetime) else datetime.combine(when, datetime.min.time()) for when in (start, end)]
    begin, finish = ({"dateTime": wall.isoformat(), "timeZone": one["zone"]} for wall in walls)
    return {"start": begin, "end": finish}


def subjects(one: Mapping[str, Any]) -> set[str]:
    return {one["title"], *(changed["subject"] for changed in one.get("changed", ()) if "subject" in changed)}


def shown(row: Mapping[str, Any]) -> ics.Shown:
    """A record in the same words."""
    start = datetime.fromisoformat(row["StartDateTime"])
    end = start + timedelta(minutes=row["DurationInMinutes"])
    form = "%Y-%m-%d" if row["IsAllDayEvent"] else "%Y-%m-%dT%H:%M:%SZ"
    return row["Subject"], start.astimezone(UTC).strftime(form), end.astimezone(UTC).strftime(form)


# --- what people do with a series


@pytest.fixture(params=["key", "lookup"])
def ann(request: pytest.FixtureRequest, memory_stage: Stage) -> Iterator[Diary]:
    """One connected mailbox, its first session behind it; occurrences of 30 days."""
    memory_stage.at(NOW)
    memory_stage.users("ann")
    if request.param == "key":
        with_key_field(memory_stage)
    memory_stage.sessions("ann")
    memory_stage.wire.poll()
    memory_stage.advance(61)
    yield Diary(memory_stage, "ann")


def weekly(ann: Diary, title: str, *, days: str = "monday", **span: Any) -> str:
    """A series of hours at nine o'clock from 1 February on."""
    return put(
        ann, {**WEEKLY, "title": title, "range": span or {"type": "noEnd"}, "pattern": {**PATTERN, "daysOfWeek": [days]}}
    )


PATTERN = {"type": "weekly", "interval": 1, "firstDayOfWeek": "monday"}
WEEKLY = {"zone": "UTC", "iana": "UTC", "start": datetime(2027, 2, 1, 9), "minutes": 60}  # noqa: DTZ001


def days(stage: Stage, subject: str) -> list[str]:
    """The days on which records of that subject begin, in order."""
    return sorted(row["StartDateTime"][:10] for row in events(stage) if row["Subject"] == subject)


def quiet(ann: Diary) -> None:
    """Two sessions more write nothing at either vendor."""
    for _ in range(2):
        ann.step()
    before, numbers = events(ann.stage), ann.act(lambda calendar: [one.version for one in calendar.events()])
    ann.step()
    assert events(ann.stage) == before
    assert ann.act(lambda calendar: [one.version for one in calendar.events()]) == numbers


FEBRUARY = ["2027-02-01", "2027-02-08", "2027-02-15", "2027-02-22", "2027-03-01", "2027-03-08"]


def test_this_and_following_ends_the_first_series_and_begins_another(memory_stage: Stage, ann: Diary) -> None:
    series = weekly(ann, "Old")
    ann.step()
    assert days(memory_stage, "Old") == FEBRUARY
    kept = {row["Id"] for row in events(memory_stage) if row["StartDateTime"][:10] < "2027-02-20"}
    rest = {"type": "endDate", "startDate": "2027-02-01", "endDate": "2027-02-21"}
    ann.change(series, recurrence={"pattern": {**PATTERN, "daysOfWeek": ["monday"]}, "range": rest})
    following = {**WEEKLY, "title": "New", "start": datetime(2027, 2, 23, 11), "range": {"type": "noEnd"}}  # noqa: DTZ001
    put(ann, {**following, "pattern": {**PATTERN, "daysOfWeek": ["tuesday"]}})
    ann.step()
    assert days(memory_stage, "Old") == FEBRUARY[:3]
    assert {row["Id"] for row in events(memory_stage) if row["Subject"] == "Old"} == kept
    assert days(memory_stage, "New") == ["2027-02-23", "2027-03-02", "2027-03-09"]
    quiet(ann)


def test_a_single_event_becomes_a_series_and_one_again(memory_stage: Stage, ann: Diary) -> None:
    made = ann.make("Talk", marked=True, **times(WEEKLY, datetime(2027, 2, 15, 9), datetime(2027, 2, 15, 10)))  # noqa: DTZ001
    ann.step()
    assert days(memory_stage, "Talk") == ["2027-02-15"]
    span = {"type": "numbered", "startDate": "2027-02-15", "numberOfOccurrences": 3}
    ann.change(made, recurrence={"pattern": {**PATTERN, "daysOfWeek": ["monday"]}, "range": span})
    ann.step()
    assert days(memory_stage, "Talk") == ["2027-02-15", "2027-02-22", "2027-03-01"]
    quiet(ann)
    ann.change(made, recurrence=None)
    ann.step()
    assert days(memory_stage, "Talk") == ["2027-02-15"]
    quiet(ann)
    ann.change(made, subject="Long talk")
    ann.step()
    assert [row["Subject"] for row in events(memory_stage)] == ["Long talk"]


def test_occurrences_come_with_the_days(memory_stage: Stage, ann: Diary) -> None:
    weekly(ann, "Stand-up")
    ann.step()
    assert days(memory_stage, "Stand-up")[-1] == "2027-03-08"
    for day in range(1, 46):
        ann.step(86_400)
        now = NOW.date() + timedelta(days=day)
        last = max(one for one in _mondays() if one < now + timedelta(days=30))  # it is not nine yet
        assert days(memory_stage, "Stand-up")[-1] == last.isoformat(), now
    assert days(memory_stage, "Stand-up") == [one.isoformat() for one in _mondays() if one <= last]
    assert len({row["StartDateTime"] for row in events(memory_stage)}) == len(events(memory_stage))
    quiet(ann)


def _mondays() -> list[date]:
    return [date(2027, 2, 1) + timedelta(days=7 * number) for number in range(30)]


def test_a_moved_occurrence_keeps_its_record(memory_stage: Stage, ann: Diary) -> None:
    series = weekly(ann, "Stand-up")
    ann.step()
    [record] = [row["Id"] for row in events(memory_stage) if row["StartDateTime"].startswith("2027-02-15")]
    moved = ann.occurrence(series, date(2027, 2, 15))
    ann.change(moved, **times(WEEKLY, datetime(2027, 2, 17, 15), datetime(2027, 2, 17, 16)))  # noqa: DTZ001
    ann.step()
    [row] = [row for row in events(memory_stage) if row["Id"] == record]
    assert row["StartDateTime"][:16] == "2027-02-17T15:00"
    assert len(events(memory_stage)) == len(FEBRUARY)
    ann.edit(record, StartDateTime="2027-02-18T08:00:00.000Z", EndDateTime="2027-02-18T09:00:00.000Z")
    ann.step()
    assert ann.event(moved).details.start.isoformat() == "2027-02-18T08:00:00"
    quiet(ann)


def test_an_edit_of_one_record_reaches_its_occurrence_only(memory_stage: Stage, ann: Diary) -> None:
    series = weekly(ann, "Stand-up")
    ann.step()
    [record] = [row["Id"] for row in events(memory_stage) if row["StartDateTime"].startswith("2027-02-22")]
    ann.edit(record, Subject="Stand-up with guests", Location="Room 9", Description="Bring a chair.")
    ann.step()
    view = ann.act(lambda calendar: calendar.view(NOW - timedelta(days=14), NOW + timedelta(days=60)))
    other = [one for one in view if one.details.subject != "Stand-up"]
    assert [(one.day, one.details.subject) for one in other] == [(date(2027, 2, 22), "Stand-up with guests")]
    assert "Bring a chair." in other[0].details.html
    assert ann.event(series).details.subject == "Stand-up"
    assert sorted(row["Subject"] for row in events(memory_stage)) == ["Stand-up"] * 5 + ["Stand-up with guests"]
    quiet(ann)


def test_a_series_of_many_goes_as_one_and_the_brake_counts_it_so(memory_stage: Stage, ann: Diary) -> None:
    daily = {**WEEKLY, "title": "Daily", "pattern": {"type": "daily", "interval": 1}, "range": {"type": "noEnd"}}
    series, other = put(ann, daily), weekly(ann, "Weekly")
    ann.step()
    assert len(days(memory_stage, "Daily")) > 30
    ann.delete(series)
    ann.step()
    assert days(memory_stage, "Daily") == []
    assert days(memory_stage, "Weekly") == FEBRUARY
    assert "held.deletes" not in memory_stage.ledger("ann")
    ann.delete(other)
    ann.step()
    assert events(memory_stage) == []


def test_many_series_at_once_meet_the_brake(memory_stage: Stage, ann: Diary) -> None:
    made = [weekly(ann, f"Series {number}", type="numbered", numberOfOccurrences=3) for number in range(30)]
    ann.step()
    assert len(events(memory_stage)) == 90
    for one in made:
        ann.delete(one)
    ann.step()
    assert len(events(memory_stage)) == 90
    assert "held.deletes" in memory_stage.ledger("ann")


def test_a_series_moved_as_a_whole_moves_its_records(memory_stage: Stage, ann: Diary) -> None:
    series = weekly(ann, "Stand-up")
    ann.step()
    span = {"type": "noEnd", "startDate": "2027-02-02"}
    moved = times(WEEKLY, datetime(2027, 2, 2, 11), datetime(2027, 2, 2, 12))  # noqa: DTZ001
    ann.change(series, **moved, recurrence={"pattern": {**PATTERN, "daysOfWeek": ["tuesday"]}, "range": span})
    ann.step()
    assert {row["StartDateTime"][11:16] for row in events(memory_stage)} == {"11:00"}
    assert days(memory_stage, "Stand-up") == [
        "2027-02-02", "2027-02-09", "2027-02-16", "2027-02-23", "2027-03-02", "2027-03-09"
    ]  # fmt: skip
    quiet(ann)


def test_the_mark_of_a_series_is_that_of_its_occurrences(memory_stage: Stage, ann: Diary) -> None:
    series = weekly(ann, "Stand-up")
    ann.step()
    ann.mark(series)
    ann.step()
    ann.change(series, subject="Changed")
    ann.step()
    assert days(memory_stage, "Stand-up") == FEBRUARY
    ann.mark(series, "Salesforce")
    ann.step()
    assert days(memory_stage, "Changed") == FEBRUARY
    ann.mark(series, "Salesforce", "Salesforce Unsync")
    ann.step()
    assert events(memory_stage) == []
    ann.mark(series, "Salesforce")
    ann.step()
    assert days(memory_stage, "Changed") == FEBRUARY
    quiet(ann)


def test_a_record_deleted_in_salesforce_unmarks_its_occurrence_only(memory_stage: Stage, ann: Diary) -> None:
    series = weekly(ann, "Stand-up")
    ann.step()
    [record] = [row["Id"] for row in events(memory_stage) if row["StartDateTime"].startswith("2027-02-22")]
    ann.remove(record)
    for _ in range(3):
        ann.step()
    assert days(memory_stage, "Stand-up") == [day for day in FEBRUARY if day != "2027-02-22"]
    assert ann.event(series).own.categories == ("Salesforce",)
    assert ann.event(ann.occurrence(series, date(2027, 2, 22))).own.categories == ()
    quiet(ann)
    ann.change(series, subject="Changed")
    ann.step()
    assert days(memory_stage, "Changed") == [day for day in FEBRUARY if day != "2027-02-22"]
    assert len(events(memory_stage)) == 5
