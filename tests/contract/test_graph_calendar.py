"""The Graph calendar adapter against the Microsoft stand-in, over https: single events, rounds, cursors, what they cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.core.errors import CursorExpired
from shared.core.model import Facts, Item
from shared.core.scope import MARK, UNSYNC
from shared.mailbox.graph_calendar import Window
from tests.contract.graph_calendar_seen import Calendar, later, values, weekly
from tests.contract.microsoft_calendar import CARL, at, people
from tests.contract.microsoft_world import ADA, BO, Stand

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]


# --- what is seen of one event


def test_a_single_event_is_seen_with_its_fields_and_facts(ms: Stand, cal: Calendar) -> None:
    event_id = cal.make(
        "  Budget \t talk ",
        "2026-12-03T10:00:00",
        "2026-12-03T11:30:00",
        zone="W. Europe Standard Time",
        location={"displayName": "Room  4"},
        body={"contentType": "html", "content": "<p>Bring <b>numbers</b></p><p>and &lt;tea&gt;</p>"},
        showAs="oof",
        sensitivity="personal",
        categories=["Blue", "salesforce"],
        attendees=[CARL],
    )
    one = cal.all()[event_id]
    assert one.item == Item(
        "event",
        {
            "subject": "Budget talk",
            "when": "2026-12-03T09:00:00Z/2026-12-03T10:30:00Z",
            "location": "Room 4",
            "description": "Bring numbers\nand <tea>",
            "show_as": "oof",
            "private": "yes",
        },
    )
    facts = one.facts
    assert facts.made is not None and abs((facts.made - later()).total_seconds()) < 60
    made = ms.get(f"/users/{ADA}/events/{event_id}")
    assert facts == Facts(
        made=facts.made,
        begins=datetime(2026, 12, 3, 9, tzinfo=UTC),
        ends=datetime(2026, 12, 3, 10, 30, tzinfo=UTC),
        marks=frozenset({MARK}),
        uid=made["iCalUId"],
        own=True,
        shared=True,
        organizer=ADA,
        people=((CARL, "none"),),
    )
    assert (one.marked, one.version, one.key) == (True, made["changeKey"], "")
    assert cal.read(event_id) == one, "a thin report, a whole one and a read say the same"


def test_whole_days_are_dates_with_an_exclusive_end_in_whatever_zone(cal: Calendar) -> None:
    fair = cal.make("Fair", "2026-12-10", "2026-12-12", zone="Tokyo Standard Time")
    one = cal.all()[fair]
    assert one.item is not None and one.item.fields["when"] == "2026-12-10/2026-12-12"
    assert (one.facts.begins, one.facts.ends) == (datetime(2026, 12, 10, tzinfo=UTC), datetime(2026, 12, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "start", "utc"),
    [
        ("W. Europe Standard Time", "2026-12-03T10:00:00", "2026-12-03T09:00:00Z"),
        ("America/New_York", "2027-03-14T01:30:00", "2027-03-14T06:30:00Z"),
        ("Eastern Standard Time", "2027-03-14T03:30:00", "2027-03-14T07:30:00Z"),
        ("India Standard Time", "2026-12-03T10:00:00", "2026-12-03T04:30:00Z"),
        ("AUS Eastern Standard Time", "2026-12-03T10:00:00", "2026-12-02T23:00:00Z"),
        ("Asia/Kathmandu", "2026-12-03T10:00:00", "2026-12-03T04:15:00Z"),
        ("Europe/London", "2027-03-28T03:00:00", "2027-03-28T02:00:00Z"),
    ],
)
def test_times_are_instants_whatever_zone_they_were_made_in(cal: Calendar, zone: str, start: str, utc: str) -> None:
    event_id = cal.make("Call", start, f"{start[:10]}T23:00:00", zone=zone)
    assert str(values(cal.all(), "when")[event_id]).partition("/")[0] == utc


def test_an_invitation_is_not_our_own_and_its_organizer_takes_part(ms: Stand, cal: Calendar) -> None:
    ms.box(lambda box: box.calendar.create("Sync", datetime(2026, 12, 4, 9), datetime(2026, 12, 4, 10),  # noqa: DTZ001
           attendees=people(ADA, CARL)), BO)  # fmt: skip
    (one,) = cal.all().values()
    assert (one.facts.own, one.facts.answer, one.facts.organizer, one.facts.shared) == (False, "none", BO, True)
    assert one.facts.people == ((ADA, "none"), (BO, "accepted"), (CARL, "none"))
    theirs = Calendar(ms, cal.http, BO).all()
    assert [other.facts.uid for other in theirs.values()] == [one.facts.uid], "the same in every mailbox"
    for response, answer in (("tentativelyAccepted", "tentative"), ("accepted", "accepted")):
        cal.person(lambda calendar, response=response: calendar.respond(one.id, response))
        assert cal.all()[one.id].facts.answer == answer


def test_rooms_take_no_part_and_are_told_of_changes(cal: Calendar) -> None:
    room = {"emailAddress": {"address": "room4@example.test", "name": "Room 4"}, "type": "resource"}
    one = cal.make("Focus", "2026-12-03T10:00:00", "2026-12-03T11:00:00", attendees=[room])
    facts = cal.all()[one].facts
    assert (facts.shared, facts.people) == (True, ())


def test_an_invitation_that_was_taken_back_is_gone(ms: Stand, cal: Calendar) -> None:
    start, end = datetime(2026, 12, 4, 9), datetime(2026, 12, 4, 10)  # noqa: DTZ001
    theirs = ms.box(lambda box: box.calendar.create("Sync", start, end, attendees=[ADA]), BO)
    cal.all()
    ms.box(lambda box: box.calendar.cancel(theirs), BO)
    assert [one.item for one in cal.all().values()] == [None]


def test_marks_are_found_whatever_their_letters_and_unsync_beats_them(cal: Calendar) -> None:
    when = ("2026-12-03T10:00:00", "2026-12-03T11:00:00")
    made = [cal.make("A", *when, categories=one) for one in (["SALESFORCE"], ["Red"], [MARK, "salesforce unsync"])]
    seen = cal.all()
    assert [seen[one].marked for one in made] == [True, False, False]
    assert [seen[one].facts.marks for one in made] == [{MARK}, set(), {MARK, UNSYNC}]


def test_who_is_invited_to_one_occurrence_has_the_uid_it_has_for_others(ms: Stand, cal: Calendar) -> None:
    series = cal.make("Weekly", "2026-12-01T14:00:00", "2026-12-01T15:00:00", recurrence=weekly())
    second = cal.occurrence(series, "2026-12-08")
    cal.person(lambda calendar: calendar.update(second, {"attendees": people(BO)}))
    uids = {one.facts.uid for one in Calendar(ms, cal.http, BO).all().values()}
    assert uids == {cal.all()[f"{series}/20261208T140000Z"].facts.uid}


# --- rounds


def test_a_first_round_is_a_listing_of_the_window_and_the_next_one_is_not(cal: Calendar) -> None:
    inside = cal.make("In", "2028-11-30T10:00:00", "2028-11-30T11:00:00")
    cal.make("Past", "2026-11-16T10:00:00", "2026-11-16T11:00:00")
    cal.make("Far", "2028-12-05T10:00:00", "2028-12-05T11:00:00")
    assert set(cal.all()) == {inside}
    assert [(page.listing, page.tells_keys, page.done) for page in cal.pages] == [(True, False, True)]
    assert cal.all() == {} and [page.listing for page in cal.pages] == [False]


def test_a_round_comes_in_pages_and_is_done_with_the_last(cal: Calendar) -> None:
    def fill(calendar: Any) -> None:
        for n in range(230):
            calendar.create(f"n{n}", datetime(2026, 12, 3, 9), datetime(2026, 12, 3, 10))  # noqa: DTZ001

    cal.person(fill)
    assert len(cal.all()) == 230
    assert [(len(page.seen), page.done, page.listing) for page in cal.pages] == [
        (100, False, True),
        (100, False, True),
        (30, True, True),
    ]


def test_a_quiet_calendar_costs_one_request_and_its_cursor_stays(cal: Calendar) -> None:
    cal.make("Talk", "2026-12-03T10:00:00", "2026-12-03T11:00:00")
    cal.make("Weekly", "2026-12-01T14:00:00", "2026-12-01T15:00:00", recurrence=weekly())
    cal.all()
    for hours in (1, 5, 20):
        cal.to(later(hours=hours))
        cal.cost()
        before = cal.cursor
        page = cal.page()
        assert (page.seen, page.done, page.groups, cal.cost()) == ((), True, {}, 1)
        assert cal.cursor == before


def test_a_link_is_renewed_once_a_day(cal: Calendar) -> None:
    cal.all()
    before = cal.cursor
    cal.to(later(hours=25))
    cal.all()
    assert cal.cursor != before and json.loads(str(cal.cursor))["began"] == json.loads(str(before))["began"]


def test_cursors_hold_nothing_of_the_content(cal: Calendar) -> None:
    cal.make("Falcon", "2026-12-01T14:00:00", "2026-12-01T15:00:00", recurrence=weekly(), attendees=[CARL])
    cal.all()
    for word in ("Falcon", "carl", "customer.example", "tuesday"):
        assert word not in str(cal.cursor)


def test_the_window_is_settled_anew_after_thirty_days(cal: Calendar) -> None:
    far = cal.make("Far", "2028-12-05T10:00:00", "2028-12-05T11:00:00")
    rounds = []
    for now in (later(), later(days=29), later(days=30, hours=1), later(days=30, hours=2)):
        cal.to(now)
        rounds.append((set(cal.all()), [page.listing for page in cal.pages]))
    assert rounds == [(set(), [True]), (set(), [False]), ({far}, [True]), (set(), [False])]


def test_other_windows_are_heeded(cal: Calendar) -> None:
    cal.window = Window(back_days=1, ahead_days=10, occurrences_ahead_days=7)
    cal.make("Old", "2026-11-29T10:00:00", "2026-11-29T11:00:00")
    cal.make("Far", "2026-12-15T10:00:00", "2026-12-15T11:00:00")
    near = cal.make("Near", "2026-12-10T10:00:00", "2026-12-10T11:00:00")
    series = cal.make("Weekly", "2026-12-01T14:00:00", "2026-12-01T15:00:00", recurrence=weekly())
    assert set(cal.all()) == {near, f"{series}/20261201T140000Z"}


@pytest.mark.parametrize("kind", ["delta_gone", "sync_state_not_found"])
def test_a_dead_cursor_expires(ms: Stand, cal: Calendar, kind: str) -> None:
    cal.all()
    ms.fault(kind)
    with pytest.raises(CursorExpired):
        cal.page()
    cal.begin()
    cal.all()
    assert [page.listing for page in cal.pages] == [True]


@pytest.mark.parametrize("death", ["410", "syncStateNotFound"])
def test_a_link_dead_of_age_expires(ms: Stand, cal: Calendar, death: str) -> None:
    ms.world.switches |= {"microsoft.delta_death": death, "microsoft.delta_life_s": 3600.0}
    cal.all()
    cal.to(later(hours=2))
    with pytest.raises(CursorExpired):
        cal.page()


@pytest.mark.parametrize("cursor", ["", "{", "[]", '{"nonsense":1}', '"text"'])
def test_a_cursor_that_is_none_of_ours_expires(cal: Calendar, cursor: str) -> None:
    cal.cursor = cursor
    with pytest.raises(CursorExpired):
        cal.page()


# --- what leaves


@pytest.mark.parametrize("told", [True, False])
def test_what_left_the_window_is_told_as_it_is_and_what_is_gone_is_gone(ms: Stand, cal: Calendar, told: bool) -> None:
    ms.world.switches["microsoft.delta_out_of_window"] = told
    moved, deleted = (cal.make(name, "2026-12-03T10:00:00", "2026-12-03T11:00:00") for name in "ab")
    cal.all()
    outside = cal.make("Far", "2029-12-03T10:00:00", "2029-12-03T11:00:00")
    cal.person(lambda calendar: calendar.delete(deleted))
    start, end = at("2029-01-03T10:00:00"), at("2029-01-03T11:00:00")
    cal.person(lambda calendar: calendar.update(moved, {"start": start, "end": end}))
    cal.cost()
    seen = cal.all()
    assert cal.cost() == 2, "the page and one batch of reads"
    assert seen[deleted].item is None
    assert values(seen, "when")[moved] == "2029-01-03T10:00:00Z/2029-01-03T11:00:00Z"
    assert (outside in seen) is told and cal.all() == {}


def test_what_is_changed_twice_is_told_as_it_was_last(cal: Calendar) -> None:
    one = cal.make("First", "2026-12-03T10:00:00", "2026-12-03T11:00:00")
    cal.all()
    for subject in ("Second", "Third"):
        cal.person(lambda calendar, subject=subject: calendar.change(one, subject=subject))
    assert values(cal.all(), "subject") == {one: "Third"}
