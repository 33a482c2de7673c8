"""Series through the Graph calendar adapter: occurrences, exceptions, what is cancelled, and what comes within sight."""

from __future__ import annotations

import pytest

from shared.core.model import Seen
from shared.core.scope import MARK
from tests.contract.graph_calendar_seen import Calendar, daily, later, values, weekly
from tests.contract.microsoft_calendar import CARL, at
from tests.contract.microsoft_world import BO, Stand

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]
HOURS = ("2026-12-01T14:00:00", "2026-12-01T15:00:00")
#: the Tuesdays from 14 days before to 30 days after the first of December
TUESDAYS = ("20261201", "20261208", "20261215", "20261222", "20261229")


@pytest.fixture(params=["little", "whole"])
def reduced(request: pytest.FixtureRequest, ms: Stand) -> bool:
    ms.world.switches["microsoft.delta_reduced"] = request.param == "little"
    return bool(request.param == "little")


@pytest.fixture(params=["with series", "without series"])
def shown(request: pytest.FixtureRequest, ms: Stand) -> bool:
    ms.world.switches["microsoft.delta_master"] = request.param == "with series"
    return bool(request.param == "with series")


@pytest.fixture(params=["absent", "told"])
def told(request: pytest.FixtureRequest, ms: Stand) -> bool:
    ms.world.switches["microsoft.delta_gone_occurrence"] = request.param == "told"
    return bool(request.param == "told")


def ids(series: str, days: tuple[str, ...] = TUESDAYS, hour: str = "14") -> tuple[str, ...]:
    return tuple(f"{series}/{day}T{hour}0000Z" for day in days)


def near(seen: dict[str, Seen], series: str) -> dict[str, Seen]:
    return {item_id: one for item_id, one in seen.items() if item_id.startswith(f"{series}/")}


def test_the_occurrences_near_now_are_items_and_the_series_is_none(
    ms: Stand, cal: Calendar, reduced: bool, shown: bool
) -> None:
    body, place = {"contentType": "html", "content": "Agenda"}, {"displayName": "R4"}
    series = cal.make("Weekly", *HOURS, recurrence=weekly(), categories=[MARK], attendees=[CARL], location=place, body=body)
    cal.cost()
    seen = cal.all()
    assert cal.cost() == (1 if shown else 2)
    assert tuple(seen) == ids(series) and cal.groups == {series: ids(series)}
    one = seen[ids(series)[1]]
    assert one.item is not None and dict(one.item.fields) == {
        "subject": "Weekly",
        "when": "2026-12-08T14:00:00Z/2026-12-08T15:00:00Z",
        "location": "R4",
        "description": "Agenda",
        "show_as": "busy",
        "private": "no",
    }
    whole = ms.get(f"/users/ada@example.test/events/{series}")
    assert (one.facts.group, one.facts.uid) == (series, f"{whole['iCalUId']}/20261208T140000Z")
    assert (one.facts.shared, one.facts.people, one.marked) == (True, ((CARL, "none"),), True)
    assert one.version == whole["changeKey"]
    assert cal.adapter.read("event", list(seen)) == seen, "thin, whole and read say the same"


def test_an_exception_keeps_its_name_wherever_it_is_moved(cal: Calendar, reduced: bool, shown: bool) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly())
    before = cal.all()
    second = ids(series)[1]
    vendor_id, start, end = cal.occurrence(series, "2026-12-08"), at("2026-12-10T08:00:00"), at("2026-12-10T09:00:00")
    cal.person(lambda calendar: calendar.update(vendor_id, {"subject": "Special", "start": start, "end": end}))
    seen = cal.all()
    assert set(near(seen, series)) == set(ids(series)) and set(cal.groups[series]) == set(ids(series))
    assert (
        values(seen, "subject")[second] == "Special"
        and values(seen, "when")[second] == "2026-12-10T08:00:00Z/2026-12-10T09:00:00Z"
    )
    assert seen[second].facts.uid == before[second].facts.uid
    assert cal.adapter.read("event", list(ids(series))) == near(seen, series)


def test_an_exception_moved_far_away_is_still_read(cal: Calendar) -> None:
    series = cal.make("Monthly", *HOURS, recurrence={
        "pattern": {"type": "absoluteMonthly", "interval": 6, "dayOfMonth": 1}, "range": {"type": "noEnd"},
    })  # fmt: skip
    vendor_id = cal.occurrence(series, "2026-12-01")
    cal.all()
    start, end = at("2027-04-20T08:00:00"), at("2027-04-20T09:00:00")
    cal.person(lambda calendar: calendar.update(vendor_id, {"start": start, "end": end}))
    assert cal.all()[series].item is None and cal.groups == {series: ()}
    one = cal.read(f"{series}/20261201T140000Z")
    assert one.item is not None and one.item.fields["when"] == "2027-04-20T08:00:00Z/2027-04-20T09:00:00Z"


def test_a_cancelled_occurrence_is_missing_in_its_group_and_gone_when_read(cal: Calendar, shown: bool, told: bool) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly())
    cal.all()
    vendor_id = cal.occurrence(series, "2026-12-15")
    cal.person(lambda calendar: calendar.delete(vendor_id))
    left = tuple(one for one in ids(series) if "1215" not in one)
    seen = cal.all()
    assert tuple(near(seen, series)) == left and cal.groups[series] == left
    found = cal.adapter.read("event", ids(series))
    assert [item_id for item_id, one in found.items() if one.item is None] == [ids(series)[2]]


def test_a_series_that_is_gone_empties_its_group(cal: Calendar, shown: bool, told: bool) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly())
    cal.all()
    cal.person(lambda calendar: calendar.delete(series))
    seen = cal.all()
    assert cal.groups[series] == () and all(one.item is None for one in seen.values())
    cal.cost()
    assert [one.item for one in cal.adapter.read("event", ids(series)).values()] == [None] * 5 and cal.cost() == 1


def test_a_series_cut_short_or_moved_leaves_only_what_it_has(cal: Calendar, shown: bool, told: bool) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly())
    cal.all()
    short = weekly(type="endDate", endDate="2026-12-10")
    cal.person(lambda calendar: calendar.update(series, {"recurrence": short}))
    cal.all()
    assert cal.groups[series] == ids(series)[:2]
    start, end = at("2026-12-01T16:00:00"), at("2026-12-01T17:00:00")
    cal.person(lambda calendar: calendar.update(series, {"start": start, "end": end}))
    cal.all()
    assert cal.groups[series] == ids(series, TUESDAYS[:2], "16")
    assert {one.item for one in cal.adapter.read("event", ids(series)).values()} == {None}


def test_a_single_event_that_becomes_a_series_is_gone_and_back_again(cal: Calendar, shown: bool) -> None:
    one = cal.make("Talk", *HOURS)
    cal.all()
    cal.person(lambda calendar: calendar.update(one, {"recurrence": weekly()}))
    seen = cal.all()
    assert seen[one].item is None and cal.groups == {one: ids(one)} and tuple(near(seen, one)) == ids(one)
    cal.person(lambda calendar: calendar.update(one, {"recurrence": None}))
    seen = cal.all()
    assert set(seen) == {one} and seen[one].item is not None and cal.groups == {one: ()}


def test_a_series_of_whole_days_is_named_by_dates(cal: Calendar, reduced: bool) -> None:
    series = cal.make("Fair", "2026-12-01", "2026-12-03", zone="Tokyo Standard Time", recurrence=weekly())
    seen = cal.all()
    assert tuple(seen) == ids(series, TUESDAYS, "00")
    assert values(seen, "when")[ids(series, TUESDAYS, "00")[1]] == "2026-12-08/2026-12-10"
    vendor_id = cal.occurrence(series, "2026-12-08")
    cal.person(lambda calendar: calendar.update(vendor_id, {"subject": "Other"}))
    again = cal.all()
    assert tuple(near(again, series)) == tuple(seen)
    assert cal.adapter.read("event", list(seen)) == near(again, series)


def test_occurrences_keep_their_time_on_the_wall_when_clocks_change(cal: Calendar) -> None:
    cal.to(later(days=105))
    hours = ("2027-03-23T10:00:00", "2027-03-23T11:00:00")
    series = cal.make("Weekly", *hours, zone="W. Europe Standard Time", recurrence=weekly("2027-03-23"))
    assert list(values(cal.all(), "when").values())[:2] == [
        "2027-03-23T09:00:00Z/2027-03-23T10:00:00Z", "2027-03-30T08:00:00Z/2027-03-30T09:00:00Z",
    ]  # fmt: skip
    assert cal.read(f"{series}/20270330T080000Z").item is not None


def test_a_series_is_the_same_for_everybody_in_it(ms: Stand, cal: Calendar) -> None:
    cal.make("Weekly", *HOURS, recurrence=weekly(), attendees=[BO])
    mine, theirs = cal.all(), Calendar(ms, cal.http, BO).all()
    assert [one.facts.uid for one in mine.values()] == [one.facts.uid for one in theirs.values()]
    assert {one.facts.own for one in theirs.values()} == {False}


def test_a_daily_series_of_years_is_read_without_its_other_days(cal: Calendar) -> None:
    series = cal.make("Daily", "2026-01-01T09:00:00", "2026-01-01T09:15:00", recurrence=daily("2026-01-01"))
    seen = cal.all()
    assert len(seen) == 44 and min(seen) == f"{series}/20261118T090000Z" and max(seen) == f"{series}/20261231T090000Z"
    cal.cost()
    assert cal.adapter.read("event", list(seen)) == seen and cal.cost() == 1
    far = [f"{series}/{day}T090000Z" for day in ("20260105", "20260601", "20280601", "20260106")]
    assert all(one.item is not None for one in cal.adapter.read("event", far).values()) and cal.cost() == 1


# --- as time passes


def test_what_comes_within_sight_is_told_once_a_day_without_a_group(cal: Calendar, shown: bool) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly(), categories=[MARK])
    cal.make("Single", "2027-01-05T14:00:00", "2027-01-05T15:00:00")
    cal.all()
    cal.to(later(hours=23))
    assert cal.all() == {} and len(cal.pages) == 1
    cal.to(later(days=5, hours=3))
    cal.cost()
    seen = cal.all()
    assert tuple(seen) == ids(series, ("20270105",)) and seen == cal.adapter.read("event", list(seen))
    assert [(page.done, page.listing, page.groups, page.tells_keys) for page in cal.pages] == [
        (False, False, {}, False), (True, False, {}, False),
    ]  # fmt: skip
    cal.cost()
    assert cal.all() == {} and cal.cost() == 1, "once a day"
    cal.to(later(days=6, hours=4))
    cal.cost()
    assert cal.all() == {} and cal.cost() == 2, "nothing new came within sight"


def test_a_mailbox_without_a_series_is_never_extended(cal: Calendar) -> None:
    cal.make("Single", *HOURS)
    cal.all()
    cal.to(later(days=9))
    cal.cost()
    assert cal.all() == {} and cal.cost() == 1


def test_no_occurrence_is_missed_however_seldom_one_looks(cal: Calendar) -> None:
    series = cal.make("Daily", "2026-12-01T09:00:00", "2026-12-01T09:15:00", recurrence=daily("2026-12-01"))
    known = set(cal.all())
    for day in (1, 2, 3.5, 8, 29):
        cal.to(later(days=day))
        known |= set(cal.all())
    assert known == {f"{series}/{(later(days=n)).strftime('%Y%m%d')}T090000Z" for n in range(60)}


def test_a_list_that_breaks_off_goes_on_where_it_was(ms: Stand, cal: Calendar) -> None:
    for n in range(5):
        cal.make(f"Daily {n}", "2026-12-01T09:00:00", "2026-12-01T09:15:00", recurrence=daily("2026-12-01"))
    cal.all()
    cal.to(later(days=29))
    first = cal.page()
    assert (len(first.seen), first.done) == (100, False)
    ms.fault("status", status=503)
    with pytest.raises(Exception, match="retry"):
        cal.page()
    assert len({one.id for one in first.seen} | set(cal.all())) == 145
    assert cal.all() == {}
