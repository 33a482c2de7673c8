"""Series in the Microsoft world: every pattern and range, time zones, exceptions, cancelled days, and what one change does to
the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.microsoft_calendar import (
    BERLIN,
    DECEMBER,
    ME,
    TUESDAYS,
    at,
    body,
    days,
    december,
    every,
    make,
    message,
    occurrence,
    patch,
    wall,
)
from tests.contract.microsoft_world import Json, Stand

pytest_plugins = ("tests.contract.microsoft_fixtures",)
INVALID = ("ErrorPropertyValidationFailure", "At least one property failed validation.")
YEARS = "startDateTime=2026-01-01T00:00:00Z&endDateTime=2030-12-31T00:00:00Z&$top=100"
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday"]


def times(n: int) -> Json:
    return {"type": "numbered", "numberOfOccurrences": n}


def until(day: str) -> Json:
    return {"type": "endDate", "endDate": day}


def series(ms: Stand, recurrence: Json, start: str = "2026-12-01", **more: Any) -> Json:
    """A series of an hour at ten, as the API answers."""
    return make(ms, "Series", f"{start}T10:00:00", f"{start}T11:00:00", recurrence=recurrence, **more)


def instances(ms: Stand, event_id: str, window: str = YEARS, **more: Any) -> list[Json]:
    return ms.value(f"{ME}/events/{event_id}/instances?{window}", **more)


@pytest.mark.parametrize(
    ("recurrence", "wanted"),
    [
        (every("daily", interval=3, span=times(4)), "2026-12-01 2026-12-04 2026-12-07 2026-12-10"),
        (
            every("weekly", interval=2, daysOfWeek=["sunday", "tuesday"], firstDayOfWeek="sunday", span=until("2026-12-31")),
            "2026-12-01 2026-12-13 2026-12-15 2026-12-27 2026-12-29",
        ),
        (
            every("weekly", interval=2, daysOfWeek=["sunday", "tuesday"], firstDayOfWeek="monday", span=until("2026-12-31")),
            "2026-12-01 2026-12-06 2026-12-15 2026-12-20 2026-12-29",
        ),
        (
            every("absoluteMonthly", "2027-01-31", dayOfMonth=31, span=times(4)),
            "2027-01-31 2027-02-28 2027-03-31 2027-04-30",
        ),
        (
            every("relativeMonthly", "2026-12-25", daysOfWeek=["friday"], index="last", span=times(3)),
            "2026-12-25 2027-01-29 2027-02-26",
        ),
        (
            every("relativeMonthly", "2026-12-05", daysOfWeek=["saturday", "sunday"], interval=2, span=times(5)),
            "2026-12-05 2027-02-06 2027-04-03 2027-06-05 2027-08-01",
        ),
        (
            every("relativeMonthly", "2026-12-31", daysOfWeek=WEEKDAYS, index="last", span=times(2)),
            "2026-12-31 2027-01-29",
        ),
        (
            every("absoluteYearly", "2028-02-29", dayOfMonth=29, month=2, span=times(3)),
            "2028-02-29 2029-02-28 2030-02-28",
        ),
        (
            every("relativeYearly", "2026-10-12", daysOfWeek=["monday"], index="second", month=10, span=times(2)),
            "2026-10-12 2027-10-11",
        ),
    ],
)
def test_every_pattern_is_expanded_as_outlook_does(ms: Stand, recurrence: Json, wanted: str) -> None:
    made = series(ms, recurrence, recurrence["range"]["startDate"])
    assert made["type"] == "seriesMaster"
    assert days(instances(ms, made["id"])) == wanted.split()
    shown = made["recurrence"]
    assert shown["range"].items() >= recurrence["range"].items() and shown["pattern"].items() >= recurrence["pattern"].items()


def test_a_series_without_an_end_goes_on(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    far = "startDateTime=2041-01-01T00:00:00Z&endDateTime=2041-01-15T00:00:00Z"
    assert days(instances(ms, made["id"], far)) == ["2041-01-01", "2041-01-08"]
    assert made["recurrence"]["range"]["endDate"] == "0001-01-01"


@pytest.mark.parametrize(
    "recurrence",
    [
        every("hourly"),
        every("daily", interval=0),
        every("daily", span={"type": "forever"}),
        every("daily", span=times(0)),
        every("daily", span={"type": "endDate"}),
        every("daily", span=until("2026-11-30")),
        every("daily", "2026-12-02"),
        every("weekly"),
        every("absoluteMonthly"),
        every("absoluteMonthly", dayOfMonth=32),
        every("absoluteYearly", dayOfMonth=1),
        every("absoluteYearly", dayOfMonth=30, month=2),
        every("relativeMonthly", index="first"),
        every("relativeYearly", daysOfWeek=["monday"], month=13),
        {"pattern": {"type": "daily", "interval": 1}},
    ],
)
def test_a_recurrence_that_makes_no_sense_is_refused(ms: Stand, recurrence: Json) -> None:
    code, _ = message(ms, "POST", f"{ME}/events", 400, json=body(recurrence=recurrence))
    assert code in ("ErrorPropertyValidationFailure", "RequestBodyRead")
    assert ms.value(f"{ME}/events") == []


def test_a_start_that_does_not_satisfy_the_pattern_moves_to_the_first_day_that_does(ms: Stand) -> None:
    made = series(ms, every("weekly", daysOfWeek=["friday"], span=times(2)))
    assert (made["start"]["dateTime"][:10], made["recurrence"]["range"]["startDate"]) == ("2026-12-04", "2026-12-04")
    assert days(instances(ms, made["id"])) == ["2026-12-04", "2026-12-11"]


@pytest.mark.parametrize("zone", [BERLIN, "Europe/Berlin"])
def test_occurrences_keep_the_time_on_the_wall_when_clocks_change(ms: Stand, zone: str) -> None:
    made = series(ms, every("weekly", "2026-10-19", daysOfWeek=["monday"], span=times(2)), "2026-10-19", zone=zone)
    assert [one["start"]["dateTime"][11:16] for one in instances(ms, made["id"])] == ["08:00", "09:00"]
    shown = instances(ms, made["id"], prefer='outlook.timezone="Europe/Berlin"')
    assert [one["start"]["dateTime"][11:16] for one in shown] == ["10:00", "10:00"]


def test_an_occurrence_in_the_hour_that_is_skipped_comes_an_hour_later(ms: Stand) -> None:
    daily = every("daily", "2026-03-28", span=times(3))
    made = make(ms, "Night", "2026-03-28T02:30:00", "2026-03-28T02:45:00", zone=BERLIN, recurrence=daily)
    shown = instances(ms, made["id"], prefer='outlook.timezone="Europe/Berlin"')
    assert [one["start"]["dateTime"][8:16] for one in shown] == ["28T02:30", "29T03:30", "30T02:30"]


def test_whole_days_of_a_series_stay_whole_when_clocks_change(ms: Stand) -> None:
    weekly = every("weekly", "2026-10-19", daysOfWeek=["monday"], span=times(3))
    made = make(ms, "Fair", "2026-10-19T00:00:00", "2026-10-21T00:00:00", zone=BERLIN, isAllDay=True, recurrence=weekly)
    shown = [(one["start"]["dateTime"], one["end"]["dateTime"]) for one in instances(ms, made["id"])]
    assert shown == [(f"2026-{start}T00:00:00.0000000", f"2026-{end}T00:00:00.0000000")
                     for start, end in (("10-19", "10-21"), ("10-26", "10-28"), ("11-02", "11-04"))]  # fmt: skip


def test_the_list_has_series_and_the_view_their_occurrences(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    single = make(ms, "Single", "2026-12-02T10:00:00", "2026-12-02T11:00:00")
    assert [item["id"] for item in ms.value(f"{ME}/events")] == [made["id"], single["id"]]
    seen = december(ms)
    assert [item["type"] for item in seen] == ["occurrence", "singleInstance", *["occurrence"] * 4]
    assert {item["seriesMasterId"] for item in seen if item["type"] == "occurrence"} == {made["id"]}
    assert all(item["recurrence"] is None and item["subject"] for item in seen)


def test_every_occurrence_has_lasting_ids_of_its_own(ms: Stand) -> None:
    made = series(ms, TUESDAYS, zone=BERLIN)
    seen = december(ms)
    assert len({item["id"] for item in seen}) == len({item["iCalUId"] for item in [*seen, made]}) - 1 == 5
    assert seen[1]["originalStart"] == "2026-12-08T09:00:00Z" and seen[1]["iCalUId"][32:40] == "07EA0C08"
    rest = ms.get(f"{ME}/events/{seen[1]['id']}", prefer="")
    assert ms.get(f"{ME}/events/{rest['id']}")["id"] == seen[1]["id"] != rest["id"]
    patch(ms, made["id"], {"subject": "Renamed"})
    again = december(ms)
    assert [(item["id"], item["iCalUId"]) for item in again] == [(item["id"], item["iCalUId"]) for item in seen]
    assert {item["subject"] for item in again} == {"Renamed"}


def test_a_changed_occurrence_is_an_exception_that_keeps_its_ids_and_its_original_start(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    one = december(ms)[1]
    moved = patch(ms, one["id"], {"start": at("2026-12-10T15:00:00"), "end": at("2026-12-10T16:00:00"), "subject": "Moved"})
    assert (moved["type"], moved["id"], moved["iCalUId"]) == ("exception", one["id"], one["iCalUId"])
    assert (moved["originalStart"], moved["seriesMasterId"]) == ("2026-12-08T10:00:00Z", made["id"])
    assert days(december(ms)) == ["2026-12-01", "2026-12-10", "2026-12-15", "2026-12-22", "2026-12-29"]
    assert [item["type"] for item in december(ms)].count("exception") == 1
    shown = ms.get(f"{ME}/events/{made['id']}?$select=subject,start&$expand=exceptionOccurrences")
    assert [set(item) for item in shown["exceptionOccurrences"]] == [{"@odata.etag", "id", "subject", "start"}]
    assert shown["exceptionOccurrences"][0]["subject"] == "Moved"
    inner = ms.get(f"{ME}/events/{made['id']}?$expand=exceptionOccurrences($select=type)")["exceptionOccurrences"]
    assert [set(item) for item in inner] == [{"@odata.etag", "id", "type"}]
    ms.call("GET", f"{ME}/events/{made['id']}?$expand=exceptionOccurrences($top=1)", status=501)


def test_an_exception_follows_its_series_in_what_it_did_not_change(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    patch(ms, december(ms)[1]["id"], {"subject": "Special", "categories": ["Red"]})
    patch(ms, made["id"], {"subject": "General", "location": {"displayName": "Room 2"}, "categories": ["Blue"]})
    second = december(ms)[1]
    assert (second["subject"], second["location"]["displayName"], second["categories"]) == ("Special", "Room 2", ["Red"])
    assert december(ms)[2]["categories"] == ["Blue"]


def test_a_deleted_occurrence_is_gone_and_the_series_names_it(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    one = december(ms)[1]["id"]
    ms.call("DELETE", f"{ME}/events/{one}", status=204)
    assert days(december(ms)) == ["2026-12-01", "2026-12-15", "2026-12-22", "2026-12-29"]
    assert message(ms, "GET", f"{ME}/events/{one}", 404)[0] == "ErrorItemNotFound"
    shown = ms.get(f"{ME}/events/{made['id']}?$select=cancelledOccurrences")
    assert shown["cancelledOccurrences"] == [f"OID.{made['id']}.2026-12-08"]
    assert "cancelledOccurrences" not in ms.get(f"{ME}/events/{made['id']}")


def test_an_occurrence_stays_between_the_days_of_its_neighbours(ms: Stand) -> None:
    series(ms, TUESDAYS, zone=BERLIN)
    second = december(ms)[1]["id"]
    words = ("ErrorOccurrenceCrossingBoundary", "Modified occurrence is crossing or overlapping adjacent occurrence.")
    for day in ("2026-12-01", "2026-11-20", "2026-12-15", "2027-01-01"):
        change = {"start": at(f"{day}T10:00:00", BERLIN), "end": at(f"{day}T11:00:00", BERLIN)}
        assert message(ms, "PATCH", f"{ME}/events/{second}", 400, json=change) == words, day
    for day in ("2026-12-02", "2026-12-14"):
        patch(ms, second, {"start": at(f"{day}T10:00:00", BERLIN), "end": at(f"{day}T11:00:00", BERLIN)})
    ms.call("DELETE", f"{ME}/events/{december(ms)[2]['id']}", status=204)
    patch(ms, second, {"start": at("2026-12-17T10:00:00", BERLIN), "end": at("2026-12-17T11:00:00", BERLIN)})
    assert days(december(ms)) == ["2026-12-01", "2026-12-17", "2026-12-22", "2026-12-29"]


def test_a_version_is_that_of_the_whole_series(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    first, second = december(ms)[:2]
    assert first["@odata.etag"] == made["@odata.etag"]
    patch(ms, first["id"], {"subject": "Changed"}, headers={"If-Match": first["@odata.etag"]})
    patch(ms, second["id"], {"subject": "Late"}, headers={"If-Match": second["@odata.etag"]}, status=412)


def test_the_recurrence_belongs_to_the_series(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    one = december(ms)[1]["id"]
    words = ("ErrorInvalidPropertySet", "Set action is invalid for property. Property: recurrence.")
    assert message(ms, "PATCH", f"{ME}/events/{one}", 400, json={"recurrence": TUESDAYS}) == words
    early = {"start": at("2026-12-02T10:00:00"), "end": at("2026-12-02T11:00:00")}
    assert message(ms, "PATCH", f"{ME}/events/{made['id']}", 400, json=early) == INVALID, "the range begins another day"
    moved = patch(ms, made["id"], {**early, "recurrence": every("weekly", "2026-12-02", daysOfWeek=["wednesday"])})
    assert moved["start"]["dateTime"][:10] == "2026-12-02"
    assert days(december(ms)) == ["2026-12-02", "2026-12-09", "2026-12-16", "2026-12-23", "2026-12-30"]


def test_this_and_following_is_a_shorter_series_and_a_new_one(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    second, third, fourth = (item["id"] for item in december(ms)[1:4])
    patch(ms, second, {"subject": "Kept"})
    ms.call("DELETE", f"{ME}/events/{third}", status=204)
    patch(ms, fourth, {"subject": "Lost"})
    patch(ms, made["id"], {"recurrence": every("weekly", daysOfWeek=["tuesday"], span=until("2026-12-21"))})
    series(ms, every("weekly", "2026-12-22", daysOfWeek=["tuesday"]), "2026-12-22")
    seen = december(ms)
    assert [(item["start"]["dateTime"][:10], item["subject"]) for item in seen] == [
        ("2026-12-01", "Series"), ("2026-12-08", "Kept"), ("2026-12-22", "Series"), ("2026-12-29", "Series"),
    ]  # fmt: skip
    assert len({item["seriesMasterId"] for item in seen}) == 2
    assert message(ms, "GET", f"{ME}/events/{fourth}", 404)[0] == "ErrorItemNotFound"


def test_another_pattern_or_another_time_forgets_exceptions_and_cancelled_days(ms: Stand) -> None:
    made = series(ms, TUESDAYS)
    second, third = (item["id"] for item in december(ms)[1:3])
    patch(ms, second, {"subject": "Special"})
    ms.call("DELETE", f"{ME}/events/{third}", status=204)
    patch(ms, made["id"], {"start": at("2026-12-01T12:00:00"), "end": at("2026-12-01T13:00:00")})
    seen = december(ms)
    assert [item["subject"] for item in seen] == ["Series"] * 5
    assert {item["start"]["dateTime"][11:16] for item in seen} == {"12:00"}


def test_a_single_event_becomes_a_series_and_a_single_one_again(ms: Stand) -> None:
    made = make(ms)
    assert patch(ms, made["id"], {"recurrence": TUESDAYS})["type"] == "seriesMaster"
    assert len(december(ms)) == 5
    back = patch(ms, made["id"], {"recurrence": None})
    assert (back["type"], back["id"], back["iCalUId"]) == ("singleInstance", made["id"], made["iCalUId"])
    assert [item["id"] for item in december(ms)] == [made["id"]]


def test_only_a_series_has_instances(ms: Stand) -> None:
    assert message(ms, "GET", f"{ME}/events/{make(ms)['id']}/instances?{DECEMBER}", 400)[0] == "ErrorInvalidRequest"
    made = series(ms, TUESDAYS)
    assert message(ms, "GET", f"{ME}/events/{made['id']}/instances", 400)[0] == "ErrorInvalidParameter"


def test_a_person_changes_one_occurrence_directly(ms: Stand) -> None:
    made = series(ms, TUESDAYS)["id"]
    second = occurrence(ms, made, "2026-12-08")
    times = {"start": wall("2026-12-09T08:00"), "end": wall("2026-12-09T09:00")}
    ms.box(lambda box: box.calendar.change(second, categories=["Salesforce"], **times))
    shown = ms.get(f"{ME}/events/{second}")
    assert (shown["type"], shown["categories"], shown["start"]["dateTime"][:16]) == (
        "exception", ["Salesforce"], "2026-12-09T08:00")  # fmt: skip
    third = occurrence(ms, made, "2026-12-15")
    ms.box(lambda box: box.calendar.delete(third))
    assert days(december(ms)) == ["2026-12-01", "2026-12-09", "2026-12-22", "2026-12-29"]
