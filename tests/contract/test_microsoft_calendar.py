"""Events of the Microsoft world one by one: what they show, what may be set, time zones, whole days, searching, versions."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from sandbox.microsoft.event_json import EVENT
from tests.contract.microsoft_calendar import (
    BERLIN,
    CARL,
    DECEMBER,
    HIM,
    ME,
    at,
    body,
    december,
    every,
    make,
    message,
    outbox,
    patch,
    people,
    wall,
)
from tests.contract.microsoft_world import BO, CLIENT, IMMUTABLE, TENANT, Stand

pytest_plugins = ("tests.contract.microsoft_fixtures",)
STAMP = "String {66f5a359-4659-4638-81a3-d1d2b2f5c5b4} Name SfRecordId"
INVALID = ("ErrorPropertyValidationFailure", "At least one property failed validation.")


def test_an_event_is_made_read_changed_and_deleted(ms: Stand) -> None:
    made = make(
        ms, "Talk", zone=BERLIN, location={"displayName": "Room 1"}, body={"contentType": "text", "content": "One\nTwo"}
    )
    assert made["start"] == at("2026-12-01T09:00:00.0000000") and made["originalStartTimeZone"] == BERLIN
    assert (made["type"], made["isOrganizer"], made["showAs"], made["attendees"]) == ("singleInstance", True, "busy", [])
    assert made["locations"][0]["displayName"] == "Room 1" and "originalStart" not in made and "transactionId" not in made
    assert made["body"]["contentType"] == "html" and made["bodyPreview"].split() == ["One", "Two"]
    changed = patch(ms, made["id"], {"subject": "Later", "start": at("2026-12-01T10:30:00", BERLIN)})
    assert (changed["subject"], changed["start"]["dateTime"]) == ("Later", "2026-12-01T09:30:00.0000000")
    assert changed["end"] == made["end"] and changed["iCalUId"] == made["iCalUId"]
    ms.call("DELETE", f"{ME}/events/{made['id']}", status=204)
    for method in ("GET", "DELETE"):
        assert message(ms, method, f"{ME}/events/{made['id']}", 404)[0] == "ErrorItemNotFound"
    assert ms.value(f"{ME}/events") == [] and outbox(ms) == []


def test_the_body_of_an_event_is_html_unless_text_is_preferred(ms: Stand) -> None:
    html = "<html><head></head><body><p>Price &amp; terms</p></body></html>"
    made = make(ms, body={"contentType": "html", "content": html})
    assert made["body"]["content"] == html
    text = ms.get(f"{ME}/events/{made['id']}", prefer='outlook.body-content-type="text"')["body"]
    assert text == {"contentType": "text", "content": "Price & terms"}
    bare = patch(ms, made["id"], {"body": {"contentType": "html", "content": "<p>x</p>"}})["body"]["content"]
    assert bare.startswith("<html>") and "<p>x</p>" in bare


@pytest.mark.parametrize("zone", [BERLIN, "Europe/Berlin", "w. europe standard time"])
def test_zones_have_windows_or_iana_names_and_are_shown_as_they_were_given(ms: Stand, zone: str) -> None:
    made = make(ms, zone=zone, start="2026-07-01T10:00:00", end="2026-07-01T11:00:00")
    assert made["start"] == at("2026-07-01T08:00:00.0000000") and made["originalStartTimeZone"] == zone
    answer = ms.call("GET", f"{ME}/events/{made['id']}", prefer='outlook.timezone="Asia/Tokyo"')
    assert answer.json()["start"] == at("2026-07-01T17:00:00.0000000", "Asia/Tokyo")
    assert answer.headers["Preference-Applied"] == 'outlook.timezone="Asia/Tokyo"'


def test_an_unknown_zone_is_refused_wherever_it_is_named(ms: Stand) -> None:
    wanted = (
        "TimeZoneNotSupportedException",
        "A valid TimeZone value must be specified. The following TimeZone value is not supported: 'Mars/Base'.",
    )
    assert message(ms, "POST", f"{ME}/events", 400, json=body(zone="Mars/Base")) == wanted
    assert message(ms, "GET", f"{ME}/events", 400, prefer='outlook.timezone="Mars/Base"') == wanted
    assert message(ms, "POST", f"{ME}/events", 400, json=body(), prefer='outlook.timezone="Mars/Base"') == wanted
    assert ms.value(f"{ME}/events") == []


def test_start_and_end_may_stand_in_zones_of_their_own(ms: Stand) -> None:
    flight = {"start": at("2026-12-01T10:00:00", BERLIN), "end": at("2026-12-01T12:00:00", "America/New_York")}
    made = ms.call("POST", f"{ME}/events", json={"subject": "Flight", **flight}, status=201).json()
    assert (made["start"]["dateTime"][11:16], made["end"]["dateTime"][11:16]) == ("09:00", "17:00")
    assert (made["originalStartTimeZone"], made["originalEndTimeZone"]) == (BERLIN, "America/New_York")


def test_a_custom_zone_shows_its_name_and_keeps_its_rule_to_itself(ms: Stand) -> None:
    rule = every("daily", "2026-03-28", span={"type": "numbered", "numberOfOccurrences": 2})
    one = ms.box(
        lambda box: box.calendar.create(
            "Old", wall("2026-03-28T10:00"), wall("2026-03-28T11:00"), zone="Europe/Berlin", custom_zone=True, recurrence=rule
        )
    )
    shown = ms.get(f"{ME}/events/{one}")
    assert shown["originalStartTimeZone"] == shown["recurrence"]["range"]["recurrenceTimeZone"] == "tzone://Microsoft/Custom"
    march = "startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-04-01T00:00:00Z"
    assert [item["start"]["dateTime"][11:16] for item in ms.value(f"{ME}/events/{one}/instances?{march}")] == ["09:00", "08:00"]
    refused = patch(ms, one, {"start": at("2026-03-28T10:00:00", "tzone://Microsoft/Custom")}, status=400)
    assert refused["error"]["code"] == "TimeZoneNotSupportedException"


def test_whole_days_are_midnights_of_one_zone_and_their_end_is_exclusive(ms: Stand) -> None:
    made = make(ms, "Fair", "2026-12-03T00:00:00", "2026-12-05T00:00:00", zone=BERLIN, isAllDay=True)
    assert (made["start"], made["end"]) == (at("2026-12-03T00:00:00.0000000"), at("2026-12-05T00:00:00.0000000"))
    tokyo = ms.get(f"{ME}/events/{made['id']}", prefer='outlook.timezone="Tokyo Standard Time"')
    assert tokyo["start"] == at("2026-12-03T00:00:00.0000000", "Tokyo Standard Time"), "whole days float"
    refused = {
        "Your request can't be completed. The Event.Start property for an all-day event needs to be set to midnight.": (
            "2026-12-03T01:00:00", "2026-12-05T00:00:00"),
        "Your request can't be completed. The Event.End property for an all-day event needs to be set to midnight.": (
            "2026-12-03T00:00:00", "2026-12-05T10:00:00"),
        "Your request can't be completed. The duration of an event marked as All day must be at least 24 hours.": (
            "2026-12-03T00:00:00", "2026-12-03T00:00:00"),
    }  # fmt: skip
    for words, (start, end) in refused.items():
        sent = body("Fair", start, end, isAllDay=True)
        assert message(ms, "POST", f"{ME}/events", 400, json=sent) == ("ErrorInvalidRequest", words)
    apart = {**body("Fair", isAllDay=True), "start": at("2026-12-03T00:00:00", BERLIN), "end": at("2026-12-05T00:00:00")}
    assert message(ms, "POST", f"{ME}/events", 400, json=apart)[0] == "ErrorInvalidRequest"
    timed = make(ms)["id"]
    assert patch(ms, timed, {"isAllDay": True}, status=400)["error"]["code"] == "ErrorInvalidRequest"


def test_a_view_counts_whole_days_as_days_of_utc(ms: Stand) -> None:
    made = make(ms, "Fair", "2026-12-03T00:00:00", "2026-12-04T00:00:00", zone="Tokyo Standard Time", isAllDay=True)
    span = "startDateTime={}&endDateTime={}"
    inside = ms.value(f"{ME}/calendarView?{span.format('2026-12-03T23:00:00Z', '2026-12-04T10:00:00Z')}")
    assert [item["id"] for item in inside] == [made["id"]]
    assert ms.value(f"{ME}/calendarView?{span.format('2026-12-02T10:00:00Z', '2026-12-03T00:00:00Z')}") == []


@pytest.mark.parametrize(
    "change",
    [
        {"end": at("2026-12-01T09:00:00")},
        {"start": at("2026-12-01T10:00:00Z")},
        {"start": at("tomorrow")},
        {"attendees": [{"emailAddress": {"name": "nobody"}}]},
    ],
)
def test_a_body_that_makes_no_sense_is_refused(ms: Stand, change: dict[str, object]) -> None:
    made = make(ms)["id"]
    assert message(ms, "PATCH", f"{ME}/events/{made}", 400, json=change) == INVALID
    assert message(ms, "POST", f"{ME}/events", 400, json={**body(), **change}) == INVALID


@pytest.mark.parametrize("name", ["iCalUId", "type", "isOrganizer", "seriesMasterId", "organizer", "transactionId", "webLink"])
def test_what_the_service_keeps_cannot_be_set(ms: Stand, name: str) -> None:
    made = make(ms)
    value = made.get(name, "x")
    code, words = message(ms, "PATCH", f"{ME}/events/{made['id']}", 400, json={name: value if value is not None else "x"})
    assert (code, words) == ("ErrorInvalidPropertySet", f"Set action is invalid for property. Property: {name}.")


def test_a_property_that_events_do_not_have_is_refused(ms: Stand) -> None:
    assert message(ms, "POST", f"{ME}/events", 400, json=body(colour="red"))[0] == "RequestBodyRead"
    assert message(ms, "POST", f"{ME}/events", 400, json={"subject": "no times"}) == INVALID
    assert message(ms, "GET", f"{ME}/events?$select=colour", 400)[0] == "BadRequest"
    for option in ("$select=colour", "$expand=attachments", "$expand=singleValueExtendedProperties"):
        assert message(ms, "POST", f"{ME}/events?{option}", 400, json=body())[0] == "BadRequest"
    assert ms.value(f"{ME}/events") == [], "refused before anything was done"


def test_a_stale_if_match_changes_nothing(ms: Stand) -> None:
    made = make(ms)
    stale = {"If-Match": made["@odata.etag"]}
    fresh = patch(ms, made["id"], {"subject": "New"}, headers=stale)
    assert fresh["@odata.etag"] != made["@odata.etag"]
    assert patch(ms, made["id"], {"subject": "Old"}, headers=stale, status=412)["error"]["code"] == "ErrorIrresolvableConflict"
    ms.call("DELETE", f"{ME}/events/{made['id']}", headers=stale, status=412)
    assert ms.get(f"{ME}/events/{made['id']}")["subject"] == "New"
    ms.world.switches["microsoft.if_match"] = False
    assert patch(ms, made["id"], {"subject": "Old"}, headers=stale)["subject"] == "Old"


def test_a_second_create_with_one_transaction_id_answers_with_the_first_event(ms: Stand) -> None:
    first = make(ms, "Talk", attendees=[CARL], transactionId="one")
    again = make(ms, "Talk again", attendees=[CARL], transactionId="one")
    assert (again["id"], again["subject"], again["transactionId"]) == (first["id"], "Talk", "one")
    assert len(ms.value(f"{ME}/events")) == 1 and [kind for kind, _, _ in outbox(ms)] == ["invitation"]
    assert make(ms, "Talk", transactionId="two")["id"] != first["id"]


def test_a_stamp_is_hidden_until_expanded_and_finds_its_event(ms: Stand) -> None:
    stamped = make(ms, singleValueExtendedProperties=[{"id": STAMP, "value": "00U1"}])
    make(ms, "Other")
    assert "singleValueExtendedProperties" not in ms.get(f"{ME}/events/{stamped['id']}")
    expand = f"$expand=singleValueExtendedProperties($filter=id eq '{STAMP}')"
    patch(ms, stamped["id"], {"subject": "Changed"})
    assert ms.get(f"{ME}/events/{stamped['id']}?{expand}")["singleValueExtendedProperties"] == [{"id": STAMP, "value": "00U1"}]
    shown = ms.value(f"{ME}/calendarView?{DECEMBER}&{expand}")
    assert [item.get("singleValueExtendedProperties") for item in shown] == [[{"id": STAMP, "value": "00U1"}], None]
    found = f"$filter=singleValueExtendedProperties/Any(ep: ep/id eq '{STAMP}' and ep/value eq '00u1')"
    assert [item["id"] for item in ms.value(f"{ME}/events?{found}")] == [stamped["id"]]
    other = STAMP.replace("SfRecordId", "sfrecordid")
    assert ms.value(f"{ME}/events?{found.replace(STAMP, other)}") == []


@pytest.mark.parametrize(
    ("asked", "subjects"),
    [
        ("start/dateTime ge '2026-12-02T00:00'", ["Late"]),
        ("start/dateTime lt '2026-12-02' and end/dateTime gt '2026-12-01T10:30:00'", ["Early"]),
        ("categories/any(c:c eq 'salesforce')", ["Late"]),
        ("isAllDay eq false and subject eq 'early'", ["Early"]),
        ("startswith(subject,'La')", ["Late"]),
        ("type eq 'seriesMaster'", []),
    ],
)
def test_events_are_found_by_what_the_service_filters_by(ms: Stand, asked: str, subjects: list[str]) -> None:
    make(ms, "Early")
    late = make(ms, "Late", "2026-12-02T10:00:00", "2026-12-02T11:00:00", categories=["Salesforce"])
    assert [item["subject"] for item in ms.value(f"{ME}/events?$filter={asked}")] == subjects
    assert [item["id"] for item in ms.value(f"{ME}/events?$filter=iCalUId eq '{late['iCalUId']}'")] == [late["id"]]


def test_other_filters_are_refused(ms: Stand) -> None:
    words = ("ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")
    assert message(ms, "GET", f"{ME}/events?$filter=transactionId eq 'x'", 400) == words
    assert message(ms, "GET", f"{ME}/events?$filter=attendees/any(a:a/type eq 'required')", 400) == words
    assert message(ms, "GET", f"{ME}/events?$filter=colour eq 'x'", 400)[0] == "BadRequest"
    for one in ("$select=cancelledOccurrences", "$expand=exceptionOccurrences"):
        assert message(ms, "GET", f"{ME}/events?{one}", 400)[0] == "BadRequest", "only of one series by its id"


def test_listings_come_in_pages_of_ten_and_in_the_order_asked_for(ms: Stand) -> None:
    for n in range(12):
        make(ms, f"Talk {n:02}", f"2026-12-{28 - n}T10:00:00", f"2026-12-{28 - n}T11:00:00")
    page = ms.get(f"{ME}/events?$select=subject&$orderby=subject desc&$count=true")
    assert (len(page["value"]), page["@odata.count"]) == (10, 12) and "@odata.nextLink" in page
    listed = ms.value(f"{ME}/events?$select=subject&$orderby=start/dateTime")
    assert [item["subject"] for item in listed] == [f"Talk {n:02}" for n in reversed(range(12))]
    assert set(listed[0]) == {"@odata.etag", "id", "subject"}


def test_a_view_needs_a_window_of_sense(ms: Stand) -> None:
    code, words = message(ms, "GET", f"{ME}/calendarView", 400)
    assert code == "ErrorInvalidParameter" and "StartDateTime and EndDateTime" in words
    backwards = "startDateTime=2026-12-02T00:00:00Z&endDateTime=2026-12-01T00:00:00Z"
    assert message(ms, "GET", f"{ME}/calendarView?{backwards}", 400)[0] == "ErrorInvalidParameter"
    long = "startDateTime=2020-01-01T00:00:00Z&endDateTime=2026-01-01T00:00:00Z"
    assert message(ms, "GET", f"{ME}/calendarView?{long}", 400)[0] == "ErrorInvalidRequest"
    assert message(ms, "GET", f"{ME}/calendarView?startDateTime=soon&endDateTime=later", 400)[0] == "BadRequest"
    make(ms)
    offset = "startDateTime=2026-12-01T11:00:00%2B02:00&endDateTime=2026-12-01T12:30:00%2B02:00"
    assert len(ms.value(f"{ME}/calendarView?{offset}")) == 1
    assert len(ms.value(f"{ME}/calendar/calendarView?startdatetime=2026-12-01T10:59:00&enddatetime=2026-12-01T12:00:00")) == 1
    assert ms.value(f"{ME}/calendarView?startDateTime=2026-12-01T11:00:00Z&endDateTime=2026-12-01T12:00:00Z") == []


def test_ids_have_two_forms_and_both_find_the_event(ms: Stand) -> None:
    made = make(ms)
    rest = ms.get(f"{ME}/events/{made['id']}", prefer="")["id"]
    assert rest != made["id"] and ms.get(f"{ME}/events/{rest}")["id"] == made["id"]
    asked = {"inputIds": [rest], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"}
    answer = ms.call("POST", f"{ME}/translateExchangeIds", json=asked, status=200).json()
    assert answer["value"] == [{"sourceId": rest, "targetId": made["id"]}]
    assert message(ms, "GET", f"{ME}/events/{made['id'].swapcase()}", 400)[0] == "ErrorInvalidIdMalformed"
    assert message(ms, "GET", f"{HIM}/events/{made['id']}", 404)[0] == "ErrorItemNotFound", "another mailbox"


def test_a_caller_without_the_permission_sees_no_calendar(ms: Stand) -> None:
    mail_only = ms.do(lambda: ms.microsoft.tokens.access(CLIENT, TENANT, None, ("Mail.ReadWrite",))[0])
    reader = ms.do(lambda: ms.microsoft.tokens.access(CLIENT, TENANT, None, ("Calendars.Read",))[0])
    assert message(ms, "GET", f"{ME}/events", 403, token=mail_only)[0] == "ErrorAccessDenied"
    assert message(ms, "POST", f"{ME}/events", 403, token=reader, json=body())[0] == "ErrorAccessDenied"
    assert ms.get(f"{ME}/calendar", token=reader)["isDefaultCalendar"] is True


def test_a_batch_holds_events_as_well(ms: Stand) -> None:
    made = make(ms)
    json = {"Content-Type": "application/json", "Prefer": IMMUTABLE}
    answers = ms.batch(
        {"url": f"{ME}/events/{made['id']}", "headers": {"Prefer": IMMUTABLE}},
        {"url": f"{ME}/events", "method": "POST", "body": body("Second"), "headers": json},
        {
            "url": f"{ME}/events/{made['id']}",
            "method": "PATCH",
            "body": {"subject": "x"},
            "headers": {**json, "If-Match": "W/1"},
        },
        {"url": f"{ME}/calendarView/delta?{DECEMBER}"},
    )
    assert [answers[n]["status"] for n in "1234"] == [200, 201, 412, 200]
    assert answers["1"]["body"]["id"] == made["id"] and len(ms.value(f"{ME}/events")) == 2


def test_a_calendar_says_which_online_meetings_it_makes(ms: Stand) -> None:
    shown = ms.get(f"{ME}/calendar?$select=name,allowedOnlineMeetingProviders")
    assert (shown["name"], shown["allowedOnlineMeetingProviders"]) == ("Calendar", ["teamsForBusiness"])


def test_free_and_busy_times_show_more_of_the_own_calendar_than_of_others(ms: Stand) -> None:
    make(ms, "Secret", "2026-12-01T09:00:00", "2026-12-01T10:00:00", sensitivity="private", location={"displayName": "Room"})
    make(ms, "Maybe", "2026-12-01T09:30:00", "2026-12-01T11:00:00", showAs="tentative")
    make(ms, "Away", "2026-12-01T00:00:00", "2026-12-02T00:00:00", path=HIM, isAllDay=True, showAs="oof")
    asked = {
        "schedules": [ME[7:], BO, "nobody@example.test"], "availabilityViewInterval": 60,
        "startTime": at("2026-12-01T09:00:00", BERLIN), "endTime": at("2026-12-01T13:00:00", BERLIN),
    }  # fmt: skip
    answer = ms.call("POST", f"{ME}/calendar/getSchedule", json=asked, status=200, prefer='outlook.timezone="Europe/Berlin"')
    mine, his, nobody = answer.json()["value"]
    assert (mine["availabilityView"], his["availabilityView"]) == ("0210", "3333")
    first = mine["scheduleItems"][0]
    assert (first["subject"], first["location"], first["isPrivate"], first["status"]) == ("Secret", "Room", True, "busy")
    assert first["start"] == at("2026-12-01T10:00:00.0000000", "Europe/Berlin")
    assert set(his["scheduleItems"][0]) == {"status", "start", "end"} and his["workingHours"]["daysOfWeek"][0] == "monday"
    assert nobody["scheduleItems"] is None and nobody["error"]["responseCode"] == "5016"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"availabilityViewInterval": 4}, "ErrorInvalidParameter"),
        ({"schedules": ["a@example.test"] * 21}, "ErrorInvalidParameter"),
        ({"endTime": at("2027-02-02T00:00:00")}, "ErrorTimeIntervalTooBig"),
        ({"endTime": at("2026-11-01T00:00:00")}, "ErrorInvalidParameter"),
        ({"rooms": []}, "RequestBodyRead"),
    ],
)
def test_a_question_for_free_times_has_bounds(ms: Stand, change: dict[str, object], code: str) -> None:
    asked = {"schedules": [BO], "startTime": at("2026-12-01T00:00:00"), "endTime": at("2026-12-02T00:00:00"), **change}
    assert message(ms, "POST", f"{ME}/calendar/getSchedule", 400, json=asked)[0] == code


def test_sample_data_and_pages_use_the_calendar_directly(ms: Stand) -> None:
    one = ms.box(lambda box: box.calendar.create("Fair", date(2026, 12, 3), date(2026, 12, 5), categories=["Red"]))
    ms.box(lambda box: box.calendar.change(one, end=date(2026, 12, 6), subject="Long fair"))
    shown = ms.get(f"{ME}/events/{one}")
    assert (shown["isAllDay"], shown["end"]["dateTime"][:10], shown["subject"]) == (True, "2026-12-06", "Long fair")
    ms.box(lambda box: box.calendar.create("Aware", ms.world.clock.now(), ms.world.clock.now(), zone="Asia/Tokyo"))
    ms.box(lambda box: box.calendar.delete(one))
    assert [event.details.subject for event in ms.box(lambda box: box.calendar.events())] == ["Aware"]
    assert december(ms) == [] and people(CARL)[0]["type"] == "required"


def test_what_a_person_takes_out_of_deleted_items_is_the_same_event_again(ms: Stand) -> None:
    made = make(ms, attendees=[CARL])
    ms.call("DELETE", f"{ME}/events/{made['id']}", status=204)
    outbox(ms)
    ms.box(lambda box: box.calendar.restore(made["id"]))
    assert ms.get(f"{ME}/events/{made['id']}")["iCalUId"] == made["iCalUId"] and outbox(ms) == []


@pytest.mark.parametrize("switch", [True, False])
def test_opening_an_event_moves_its_last_change(ms: Stand, switch: bool) -> None:
    ms.world.switches["microsoft.opening_touches"] = switch
    made = make(ms)
    ms.box(lambda box: box.calendar.open(made["id"]))
    assert (ms.get(f"{ME}/events/{made['id']}")["@odata.etag"] != made["@odata.etag"]) is switch


NONSENSE: list[Any] = [
    None, "", "x", 1, -1, 2**40, True, [], {}, [None], [{}], {"dateTime": None, "timeZone": None}, {"content": None},
    at("2026-12-01T10:00:00", ""), at("9999-12-31T23:59:59"), at("0001-01-01T00:00:00", "Asia/Tokyo"), {"displayName": None},
    {"pattern": None, "range": None}, every("daily", span={"type": "endDate", "endDate": "2026-13-45"}),
    every("daily", span={"type": "endDate", "endDate": "9999-12-31"}), [{"emailAddress": None}], [{"id": "x", "value": None}],
]  # fmt: skip


@pytest.mark.parametrize("name", [*EVENT, "singleValueExtendedProperties", "attachments"])
def test_nothing_that_is_sent_makes_the_calendar_fail(ms: Stand, name: str) -> None:
    made = make(ms)
    for value in NONSENSE:
        answer = ms.call("PATCH", f"{ME}/events/{made['id']}", json={name: value})
        assert answer.status_code in (200, 400, 501), f"{name} = {value!r}: {answer.text[:300]}"
        assert ms.call("GET", f"{ME}/calendarView/delta?{DECEMBER}").status_code == 200
    assert ms.get(f"{ME}/events/{made['id']}")["id"] == made["id"]
