"""Series: sixty of them counted by somebody else's expander, and what becomes of a series while people work with it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
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
