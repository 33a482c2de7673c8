"""Zones by their names, and clocks on walls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest

from shared.core.zones import CLDR, WINDOWS, iana_of, instant, on_the_wall, windows_of


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_table_is_whole_and_means_zones_that_there_are() -> None:
    assert len(WINDOWS) == 139 and set(WINDOWS.values()) <= available_timezones()
    assert CLDR and WINDOWS["W. Europe Standard Time"] == "Europe/Berlin" and WINDOWS["UTC+13"] == "Etc/GMT-13"


@pytest.mark.parametrize(
    ("name", "iana"),
    [
        ("W. Europe Standard Time", "Europe/Berlin"),
        (" w. europe STANDARD time ", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Asia/Calcutta", "Asia/Calcutta"),
        ("UTC", "Etc/UTC"),
        ("tzone://Microsoft/Utc", "Etc/UTC"),
        ("tzone://Microsoft/Custom", None),
        ("Nonsense Standard Time", None),
        ("../../etc/passwd", None),
        ("Europe", None),
        ("", None),
    ],
)
def test_a_name_is_of_windows_or_of_iana_in_any_letters(name: str, iana: str | None) -> None:
    assert iana_of(name) == iana


def test_windows_names_lead_back() -> None:
    assert all(iana_of(windows_of(iana) or "") == iana for iana in WINDOWS.values())
    assert windows_of("Europe/Vaduz") is None


@pytest.mark.parametrize(
    ("zone", "on_wall", "utc"),
    [
        ("Europe/Berlin", "2027-03-28T01:59:59", "2027-03-28T00:59:59"),
        ("Europe/Berlin", "2027-03-28T03:00:00", "2027-03-28T01:00:00"),
        ("Europe/Berlin", "2027-10-31T02:30:00", "2027-10-31T00:30:00"),
        ("Europe/Berlin", "2027-10-31T03:00:00", "2027-10-31T02:00:00"),
        ("America/New_York", "2027-03-14T03:00:00", "2027-03-14T07:00:00"),
        ("Asia/Kathmandu", "2027-03-14T05:45:00", "2027-03-14T00:00:00"),
        ("Australia/Lord_Howe", "2027-04-04T02:00:00", "2027-04-03T15:30:00"),
        ("Etc/UTC", "2027-03-14T05:45:00", "2027-03-14T05:45:00"),
    ],
)
def test_a_wall_and_an_instant_lead_to_each_other(zone: str, on_wall: str, utc: str) -> None:
    moment = wall(utc).replace(tzinfo=UTC)
    assert instant(wall(on_wall), zone) == moment and on_the_wall(moment, zone) == wall(on_wall)


def test_a_missing_hour_counts_as_if_clocks_had_not_been_moved() -> None:
    assert instant(wall("2027-03-28T02:30:00"), "Europe/Berlin") == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


def test_the_second_of_two_equal_hours_has_no_time_on_the_wall() -> None:
    second = datetime(2027, 10, 31, 1, 30, tzinfo=UTC)
    assert on_the_wall(second, "Europe/Berlin") is None
    assert on_the_wall(second - timedelta(hours=1), "Europe/Berlin") == wall("2027-10-31T02:30:00")


@pytest.mark.parametrize("iana", sorted(set(WINDOWS.values())))
def test_whatever_the_wall_shows_is_read_as_the_same_moment(iana: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for hours in range(0, 366 * 24, 7):
        moment = start + timedelta(hours=hours)
        shown = on_the_wall(moment, iana)
        assert shown is None or instant(shown, iana) == moment
