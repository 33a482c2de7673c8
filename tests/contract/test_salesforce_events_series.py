"""Series of events in the Salesforce stand-in: patterns, occurrences, exceptions, growth; recurring events of Classic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.salesforce.series_pattern import parse
from tests.contract.salesforce_world import Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)
pytestmark = pytest.mark.usefixtures("monday")
VIENNA = ZoneInfo("Europe/Vienna")
PATTERN = "Recurrence2PatternText"
FIRST = datetime(2027, 3, 1, 9, tzinfo=UTC)  # a Monday
SERIES = ("IsRecurrence2", PATTERN, "Recurrence2PatternVersion", "Recurrence2PatternTimeZone", "Recurrence2PatternStartDate")


def starts(text: str, number: int, first: datetime = FIRST, zone: ZoneInfo = VIENNA) -> list[str]:
    """The local starts of a pattern."""
    found = parse(text).starts(first, zone)
    return [f"{start.astimezone(zone):%Y-%m-%d %H:%M}" for _, start in zip(range(number), found, strict=False)]


def make(org: Served, pattern: str, start: datetime | None = None, **more: Any) -> str:
    org.org.settings.session_timeout_s = 366 * 86400.0  # these tests let days pass
    start = start or org.org.now().replace(microsecond=0) + timedelta(hours=5)
    fields = {"Subject": "Weekly", "StartDateTime": start.isoformat(), "DurationInMinutes": 30, PATTERN: pattern}
    return org.make("Event", **fields, **more)


def occurrences(org: Served, fields: str = "Id, Subject, StartDateTime, IsRecurrence2Exception, IsRecurrence2Exclusion") -> Any:
    return org.query(f"SELECT {fields} FROM Event ORDER BY StartDateTime")


# --- patterns


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("FREQ=DAILY;COUNT=5", "RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5"),
        (
            "RRULE:COUNT=10;BYDAY=MO,FR;INTERVAL=2;FREQ=WEEKLY;WKST=SU",
            "RRULE:FREQ=WEEKLY;BYDAY=MO,FR;WKST=SU;INTERVAL=2;COUNT=10",
        ),
        ("FREQ=MONTHLY;BYDAY=FR", "RRULE:FREQ=MONTHLY;BYDAY=FR;BYSETPOS=1;INTERVAL=1"),
        ("FREQ=MONTHLY;BYDAY=3FR", "RRULE:FREQ=MONTHLY;BYDAY=3FR;INTERVAL=1"),
        (
            "RRULE:FREQ=YEARLY;INTERVAL=1;BYMONTH=7;BYMONTHDAY=4;UNTIL=20300101T000000Z",
            "RRULE:FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=4;INTERVAL=1;UNTIL=20300101T000000Z",
        ),
    ],
)
def test_a_pattern_is_kept_in_one_form(text: str, kept: str) -> None:
    assert parse(text).text == kept
    assert parse(kept).text == kept


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("INTERVAL=1", "FREQ is required"),
        ("FREQ=HOURLY", "FREQ has an unsupported value: HOURLY"),
        ("FREQ=WEEKLY", "no supported pattern of WEEKLY"),
        ("FREQ=WEEKLY;BYDAY=1MO", "can't be preceded by a number"),
        ("FREQ=DAILY;BYDAY=MO", "no supported pattern of DAILY"),
        ("FREQ=DAILY;INTERVAL=1000", "INTERVAL has an unsupported value"),
        ("FREQ=WEEKLY;BYDAY=MO;INTERVAL=100", "INTERVAL can be at most 99"),
        ("FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=4;INTERVAL=2", "INTERVAL can be at most 1"),
        ("FREQ=DAILY;COUNT=1000", "COUNT has an unsupported value"),
        ("FREQ=DAILY;COUNT=0", "COUNT has an unsupported value"),
        ("FREQ=DAILY;COUNT=5;UNTIL=20300101T000000Z", "both UNTIL and COUNT"),
        ("FREQ=DAILY;UNTIL=20300101", "UNTIL has an unsupported value"),
        ("FREQ=DAILY;UNTIL=20301301T000000Z", "UNTIL has an unsupported value"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY has an unsupported value"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15", "BYMONTHDAY has an unsupported value"),
        ("FREQ=MONTHLY;BYDAY=5FR", "BYDAY has an unsupported value"),
        ("FREQ=MONTHLY;BYDAY=1SU,-1SU", "can't use different numbers"),
        ("FREQ=MONTHLY;BYDAY=1FR;BYSETPOS=2", "can't be used with BYSETPOS"),
        ("FREQ=MONTHLY;BYDAY=MO,WE;BYSETPOS=1", "must be a single day, weekend days, weekdays or every day"),
        ("FREQ=MONTHLY;BYDAY=MO;BYMONTHDAY=1", "no supported pattern of MONTHLY"),
        ("FREQ=DAILY;BYHOUR=9", "BYHOUR=9 is no supported part"),
        ("FREQ=DAILY;FREQ=DAILY", "is no supported part"),
        ("", "nothing is no supported part"),
    ],
)
def test_a_pattern_outside_the_subset_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=2", ["2027-03-01 10:00", "2027-03-03 10:00", "2027-03-05 10:00"]),
        ("FREQ=WEEKLY;BYDAY=TU,TH", ["2027-03-02 10:00", "2027-03-04 10:00", "2027-03-09 10:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", ["2027-03-31 10:00", "2027-04-30 10:00", "2027-05-31 10:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", ["2027-03-31 10:00", "2027-04-30 10:00", "2027-05-31 10:00"]),
        ("FREQ=MONTHLY;BYDAY=FR;BYSETPOS=3", ["2027-03-19 10:00", "2027-04-16 10:00", "2027-05-21 10:00"]),
        ("FREQ=YEARLY;BYMONTH=1;BYDAY=FR;BYSETPOS=2", ["2028-01-14 10:00", "2029-01-12 10:00", "2030-01-11 10:00"]),
        ("FREQ=DAILY;COUNT=2", ["2027-03-01 10:00", "2027-03-02 10:00"]),
        ("FREQ=DAILY;UNTIL=20270302T090000Z", ["2027-03-01 10:00", "2027-03-02 10:00"]),
        ("FREQ=DAILY;UNTIL=20270302T085959Z", ["2027-03-01 10:00"]),
        ("FREQ=WEEKLY;BYDAY=SU", ["2027-03-07 10:00", "2027-03-14 10:00", "2027-03-21 10:00"]),
    ],
)
def test_a_pattern_means_these_starts(text: str, expected: list[str]) -> None:
    assert starts(text, 3) == expected


def test_an_hour_stays_the_hour_when_summer_time_comes() -> None:
    found = list(parse("FREQ=WEEKLY;BYDAY=MO;COUNT=6").starts(FIRST, VIENNA))
    assert [start.hour for start in found] == [9, 9, 9, 9, 8, 8]


# --- series


def test_a_pattern_makes_occurrences_that_nothing_joins(org: Served) -> None:
    made = make(org, "FREQ=DAILY;COUNT=4")
    rows = occurrences(
        org, f"Id, StartDateTime, DurationInMinutes, OwnerId, RecurrenceActivityId, IsRecurrence, {', '.join(SERIES)}"
    )
    assert len(rows) == 4 and rows[0]["Id"] == made
    days = [datetime.fromisoformat(row["StartDateTime"]).astimezone(VIENNA) for row in rows]
    assert [day.date() for day in days] == [days[0].date() + timedelta(days=n) for n in range(4)]
    assert len({day.time() for day in days}) == 1
    same = {tuple(row[name] for name in SERIES) for row in rows}
    assert same == {(True, "RRULE:FREQ=DAILY;INTERVAL=1;COUNT=4", "1", "Europe/Vienna", rows[0]["StartDateTime"])}
    own = {(row["DurationInMinutes"], row["OwnerId"], row["RecurrenceActivityId"], row["IsRecurrence"]) for row in rows}
    assert own == {(30, org.anna, None, False)}


def test_a_pattern_that_cannot_be_is_refused_and_leaves_nothing(org: Served) -> None:
    fields = {"Subject": "x", "StartDateTime": "2094-03-01T09:00:00Z", "DurationInMinutes": 30}
    for more, code in (
        ({PATTERN: "FREQ=WEEKLY"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({PATTERN: "FREQ=DAILY;UNTIL=20900101T000000Z"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({PATTERN: "FREQ=DAILY", "Recurrence2PatternTimeZone": "Europe/Vienna"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({PATTERN: "FREQ=DAILY", "Recurrence2PatternStartDate": "2094-03-01T09:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({PATTERN: "FREQ=DAILY" + " " * 600 + ";COUNT=2"}, "STRING_TOO_LONG"),
    ):
        assert org.refusal("POST", "/sobjects/Event", json={**fields, **more})[:2] == (400, code), more
    assert org.query("SELECT Id FROM Event") == []
    single = org.make("Event", **fields)
    assert (
        org.refusal("PATCH", f"/sobjects/Event/{single}", json={PATTERN: "FREQ=DAILY"})[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    )


def test_a_change_of_a_coming_occurrence_changes_all_that_are_to_come(org: Served) -> None:
    make(org, "FREQ=DAILY;COUNT=5")
    org.world.clock.advance(2 * 86400)
    past, coming = occurrences(org)[:2], occurrences(org)[2:]
    before = datetime.fromisoformat(coming[1]["StartDateTime"])
    body = {"Subject": "Daily", "StartDateTime": (before + timedelta(hours=1)).isoformat(), "DurationInMinutes": 45}
    org.call("PATCH", f"/sobjects/Event/{coming[1]['Id']}", json=body)
    after = {row["Id"]: row for row in occurrences(org, "Id, Subject, StartDateTime, EndDateTime, IsRecurrence2Exclusion")}
    for row in past:
        assert (after[row["Id"]]["Subject"], after[row["Id"]]["StartDateTime"]) == ("Weekly", row["StartDateTime"])
        assert after[row["Id"]]["IsRecurrence2Exclusion"] is True
    for row in coming:
        start = datetime.fromisoformat(row["StartDateTime"]) + timedelta(hours=1)
        changed = after[row["Id"]]
        assert (changed["Subject"], changed["IsRecurrence2Exclusion"]) == ("Daily", False)
        assert datetime.fromisoformat(changed["StartDateTime"]) == start
        assert datetime.fromisoformat(changed["EndDateTime"]) == start + timedelta(minutes=45)


def test_a_change_of_an_occurrence_that_is_over_stays_alone(org: Served) -> None:
    make(org, "FREQ=DAILY;COUNT=3")
    org.world.clock.advance(86400)
    first = occurrences(org)[0]["Id"]
    org.call("PATCH", f"/sobjects/Event/{first}", json={"Subject": "Notes"})
    told = [(row["Subject"], row["IsRecurrence2Exception"], row["IsRecurrence2Exclusion"]) for row in occurrences(org)]
    assert told == [("Notes", True, False), ("Weekly", False, False), ("Weekly", False, False)]


def test_a_person_changes_one_occurrence_alone(org: Served) -> None:
    make(org, "FREQ=DAILY;COUNT=3")
    second = occurrences(org)[1]["Id"]
    org.org.change_occurrence(second, {"Location": "Room 2"}, org.anna)
    told = [(row["Location"], row["IsRecurrence2Exception"]) for row in occurrences(org, "Location, IsRecurrence2Exception")]
    assert told == [(None, False), ("Room 2", True), (None, False)]


def test_a_deleted_occurrence_stays_away_while_an_open_series_grows(org: Served) -> None:
    org.world.switches["salesforce.series_occurrences"] = 8
    make(org, "FREQ=DAILY")
    rows = occurrences(org)
    assert len(rows) == 8
    org.call("DELETE", f"/sobjects/Event/{rows[7]['Id']}")
    org.world.clock.advance(86400)
    grown = occurrences(org)
    days = [row["StartDateTime"][:10] for row in grown]
    assert rows[7]["StartDateTime"][:10] not in days and len(set(days)) == len(days)
    now = org.org.now()
    coming = [row for row in grown if datetime.fromisoformat(row["StartDateTime"]) > now]
    assert len(coming) == 8 and len(grown) == 9
    assert occurrences(org) == grown, "it grows only when occurrences are used up"


def test_a_series_with_an_end_grows_up_to_it(org: Served) -> None:
    org.world.switches["salesforce.series_occurrences"] = 4
    make(org, "FREQ=DAILY;COUNT=6")
    assert len(occurrences(org)) == 4
    for _ in range(5):
        org.world.clock.advance(86400)
        occurrences(org)
    assert len(occurrences(org)) == 6


@pytest.mark.parametrize("shows", [False, True])
def test_whether_the_pattern_is_an_event_of_its_own_is_a_switch(org: Served, shows: bool) -> None:
    org.world.switches["salesforce.series_pattern_event"] = shows
    make(org, "FREQ=DAILY;COUNT=3")
    assert len(org.query("SELECT Id FROM Event WHERE GroupEventType = '3'")) == (1 if shows else 0)
    assert len(org.query("SELECT Id FROM Event WHERE GroupEventType != '3' AND IsRecurrence2 = true")) == 3


def test_invitees_of_an_occurrence_follow_a_change_of_the_series(org: Served) -> None:
    make(org, "FREQ=DAILY;COUNT=3")
    first, second = (row["Id"] for row in occurrences(org)[:2])
    org.make("EventRelation", EventId=second, RelationId=org.ben)
    org.call("PATCH", f"/sobjects/Event/{first}", json={"Subject": "Daily"})
    rows = org.query("SELECT Subject, OwnerId FROM Event WHERE IsChild = true")
    assert [(row["Subject"], row["OwnerId"]) for row in rows] == [("Daily", org.ben)]


def test_all_day_series_repeat_by_date(org: Served) -> None:
    make(org, "FREQ=DAILY;COUNT=2", datetime(2094, 3, 27, tzinfo=UTC), IsAllDayEvent=True)
    rows = occurrences(org, "StartDateTime, ActivityDate, DurationInMinutes, IsAllDayEvent")
    assert [(row["StartDateTime"], row["ActivityDate"]) for row in rows] == [
        ("2094-03-27T00:00:00.000+0000", "2094-03-27"),
        ("2094-03-28T00:00:00.000+0000", "2094-03-28"),
    ]


# --- recurring events of Classic


CLASSIC = {
    "Subject": "Stand-up", "StartDateTime": "2094-03-01T09:00:00Z", "DurationInMinutes": 15, "IsRecurrence": True,
    "RecurrenceStartDateTime": "2094-03-01T09:00:00Z", "RecurrenceEndDateOnly": "2094-03-12",
}  # fmt: skip
DAILY = {"RecurrenceType": "RecursDaily", "RecurrenceInterval": 1}


@pytest.mark.parametrize(
    ("pattern", "days"),
    [
        ({"RecurrenceType": "RecursDaily", "RecurrenceInterval": 5}, ["03-01", "03-06", "03-11"]),
        (
            {"RecurrenceType": "RecursWeekly", "RecurrenceInterval": 1, "RecurrenceDayOfWeekMask": 20},
            ["03-02", "03-04", "03-09", "03-11"],
        ),
        (
            {"RecurrenceType": "RecursEveryWeekday", "RecurrenceDayOfWeekMask": 62, "RecurrenceEndDateOnly": "2094-03-08"},
            ["03-01", "03-02", "03-03", "03-04", "03-05", "03-08"],
        ),
        (
            {
                "RecurrenceType": "RecursMonthly", "RecurrenceInterval": 1, "RecurrenceDayOfMonth": 3,
                "RecurrenceEndDateOnly": "2094-04-30",
            },
            ["03-03", "04-03"],
        ),
        (
            {
                "RecurrenceType": "RecursMonthlyNth", "RecurrenceInterval": 1, "RecurrenceInstance": "Last",
                "RecurrenceDayOfWeekMask": 32, "RecurrenceEndDateOnly": "2094-04-30",
            },
            ["03-26", "04-30"],
        ),
        (
            {
                "RecurrenceType": "RecursYearlyNth", "RecurrenceInstance": "First", "RecurrenceDayOfWeekMask": 64,
                "RecurrenceMonthOfYear": "October", "RecurrenceEndDateOnly": "2094-12-31",
            },
            ["10-02"],
        ),
        (
            {
                "RecurrenceType": "RecursYearly", "RecurrenceDayOfMonth": 26, "RecurrenceMonthOfYear": "March",
                "RecurrenceEndDateOnly": "2094-12-31",
            },
            ["03-26"],
        ),
    ],
)  # fmt: skip
def test_a_main_record_makes_occurrences_that_name_it(org: Served, pattern: dict[str, Any], days: list[str]) -> None:
    made = org.make("Event", **{**CLASSIC, **pattern})
    where = f"RecurrenceActivityId = '{made}' AND IsRecurrence = false"
    rows = org.query(f"SELECT StartDateTime, RecurrenceType FROM Event WHERE {where} ORDER BY StartDateTime")
    assert [row["StartDateTime"][5:10] for row in rows] == days
    assert {row["RecurrenceType"] for row in rows} == {None}
    [main] = org.query("SELECT Id, RecurrenceActivityId, RecurrenceTimeZoneSidKey FROM Event WHERE IsRecurrence = true")
    assert (main["Id"], main["RecurrenceActivityId"], main["RecurrenceTimeZoneSidKey"]) == (made, made, "Europe/Vienna")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"RecurrenceType": "RecursDaily"}, "REQUIRED_FIELD_MISSING"),
        ({**DAILY, "RecurrenceDayOfMonth": 3}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"RecurrenceType": "RecursDaily", "RecurrenceInterval": 0}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"RecurrenceType": "RecursEveryWeekday", "RecurrenceDayOfWeekMask": 63}, "FIELD_INTEGRITY_EXCEPTION"),
        ({**DAILY, "RecurrenceEndDateOnly": "2094-02-01"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({**DAILY, "RecurrenceEndDateOnly": "2094-12-01"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({**DAILY, PATTERN: "FREQ=DAILY"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({**DAILY, "RecurrenceTimeZoneSidKey": "Mars/Olympus"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"IsRecurrence": False, "RecurrenceType": "RecursDaily"}, "FIELD_INTEGRITY_EXCEPTION"),
    ],
)  # fmt: skip
def test_a_recurring_event_that_cannot_be_is_refused(org: Served, more: dict[str, Any], code: str) -> None:
    assert org.refusal("POST", "/sobjects/Event", json={**CLASSIC, **more})[:2] == (400, code)
    assert org.query("SELECT Id FROM Event") == []


def test_deleting_the_main_record_removes_past_and_future(org: Served) -> None:
    made = org.make("Event", **CLASSIC, RecurrenceType="RecursDaily", RecurrenceInterval=1)
    org.call("PATCH", f"/sobjects/Event/{made}", json={"Location": "Hall"})
    assert {row["Location"] for row in org.query("SELECT Location FROM Event")} == {"Hall"}
    assert org.refusal("PATCH", f"/sobjects/Event/{made}", json={"RecurrenceInterval": 2})[:2] == (501, "NOT_BUILT")
    assert org.call("DELETE", f"/sobjects/Event/{made}").status_code == 204
    assert org.query("SELECT Id FROM Event") == []
    assert len(org.get("/queryAll", q="SELECT Id FROM Event WHERE IsDeleted = true")["records"]) == 13
