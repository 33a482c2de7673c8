"""calendarView/delta of the Microsoft world: window, series, removals, dead links, what it costs; notifications of events."""

from __future__ import annotations

import cProfile
import pstats
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.microsoft_calendar import (
    BERLIN,
    CARL,
    DECEMBER,
    HIM,
    ME,
    TUESDAYS,
    at,
    days,
    every,
    make,
    message,
    occurrence,
    patch,
    people,
    wall,
)
from tests.contract.microsoft_world import BO, CLIENT, IMMUTABLE, PERMISSIONS, TENANT, Json, Stand

pytest_plugins = ("tests.contract.microsoft_fixtures",)
DELTA = f"{ME}/calendarView/delta"
FIRST = f"{DELTA}?{DECEMBER}"


def removed(event_id: str) -> Json:
    return {"id": event_id, "@removed": {"reason": "deleted"}}


def test_a_first_round_hands_out_what_lies_in_the_window(ms: Stand) -> None:
    inside = make(ms, categories=["Red"])
    make(ms, "Before", "2026-11-30T10:00:00", "2026-11-30T11:00:00")
    over = make(ms, "Over midnight", "2026-11-30T23:00:00", "2026-12-01T01:00:00")
    items, link = ms.round(FIRST)
    assert [item["id"] for item in items] == [inside["id"], over["id"]]
    assert items[0]["categories"] == ["Red"] and items[0]["body"] == inside["body"], "all of a single event"
    assert ms.round(link)[0] == []


def test_pages_have_the_size_asked_for_and_lose_nothing_that_changes_meanwhile(ms: Stand) -> None:
    made = [make(ms, f"Talk {n}", f"2026-12-{n + 1:02}T10:00:00", f"2026-12-{n + 1:02}T11:00:00")["id"] for n in range(12)]
    assert len(ms.get(FIRST)["value"]) == 10
    page = ms.get(FIRST, prefer=f"{IMMUTABLE}, odata.maxpagesize=5")
    assert len(page["value"]) == 5
    ms.call("DELETE", f"{ME}/events/{made[0]}", status=204)
    patch(ms, made[11], {"subject": "Changed"})
    late = make(ms, "Late")["id"]
    rest, link = ms.round(page["@odata.nextLink"], prefer=f"{IMMUTABLE}, odata.maxpagesize=5")
    later, _ = ms.round(link)
    seen = {item["id"]: item for item in [*page["value"], *rest, *later]}
    assert set(seen) == {*made, late} and "@removed" in seen[made[0]] and seen[made[11]]["subject"] == "Changed"


@pytest.mark.parametrize("option", ["$select=subject", "$expand=extensions", "$filter=x", "$orderby=subject", "$search=x"])
def test_a_round_takes_no_options(ms: Stand, option: str) -> None:
    code, words = message(ms, "GET", f"{FIRST}&{option}", 400)
    assert code == "ErrorInvalidUrlQuery" and "CalendarView" in words


def test_a_round_needs_a_window(ms: Stand) -> None:
    assert message(ms, "GET", DELTA, 400)[0] == "ErrorInvalidParameter"


def test_the_window_is_in_the_link_and_never_moves(ms: Stand) -> None:
    link = ms.round(FIRST)[1]
    assert "2026" not in link.partition("deltatoken")[0]
    ms.world.clock.advance(20 * 86400)
    ms.token = ms.do(lambda: ms.microsoft.tokens.access(CLIENT, TENANT, None, PERMISSIONS)[0])
    january = make(ms, "January", "2027-01-10T10:00:00", "2027-01-10T11:00:00")["id"]
    december = make(ms)["id"]
    items, _ = ms.round(f"{link}&startDateTime=2027-01-01T00:00:00Z&endDateTime=2027-02-01T00:00:00Z")
    assert [(item["id"], "@removed" in item) for item in items] == [(january, True), (december, False)]


@pytest.mark.parametrize("told", [True, False])
def test_what_changes_outside_the_window_is_removed_though_it_is_there(ms: Stand, told: bool) -> None:
    ms.world.switches["microsoft.delta_out_of_window"] = told
    one = make(ms)["id"]
    link = ms.round(FIRST)[1]
    outside = make(ms, "January", "2027-01-10T10:00:00", "2027-01-10T11:00:00")["id"]
    patch(ms, one, {"start": at("2027-01-11T10:00:00"), "end": at("2027-01-11T11:00:00")})
    assert ms.round(link)[0] == [removed(outside)] * told + [removed(one)]
    assert ms.get(f"{ME}/events/{outside}")["subject"] == "January"


def test_what_is_restored_comes_again_and_has_its_place_in_a_first_round(ms: Stand) -> None:
    one, two = make(ms)["id"], make(ms)["id"]
    link = ms.round(FIRST)[1]
    ms.call("DELETE", f"{ME}/events/{one}", status=204)
    assert ms.round(link)[0] == [removed(one)]
    ms.box(lambda box: box.calendar.restore(one))
    assert [item["id"] for item in ms.round(link)[0]] == [one]
    assert [item["id"] for item in ms.round(FIRST, prefer=f"{IMMUTABLE}, odata.maxpagesize=1")[0]] == [one, two]


def test_what_is_deleted_is_removed_in_the_form_of_id_asked_for(ms: Stand) -> None:
    one = make(ms)["id"]
    rest = ms.get(f"{ME}/events/{one}", prefer="")["id"]
    link = ms.round(FIRST)[1]
    ms.call("DELETE", f"{ME}/events/{one}", status=204)
    assert ms.round(link)[0] == [removed(one)]
    assert ms.round(link, prefer="")[0] == [removed(rest)]


@pytest.mark.parametrize("reduced", [True, False])
def test_a_series_comes_with_its_occurrences_which_show_little(ms: Stand, reduced: bool) -> None:
    ms.world.switches["microsoft.delta_reduced"] = reduced
    made = make(ms, recurrence=TUESDAYS)
    patch(ms, occurrence(ms, made["id"], "2026-12-08"), {"subject": "Special"})
    items, _ = ms.round(FIRST)
    assert [item["type"] for item in items] == ["seriesMaster", "occurrence", "exception", *["occurrence"] * 3]
    little = {"@odata.type", "@odata.etag", "id", "seriesMasterId", "type", "start", "end"}
    assert (set(items[1]) == little) is reduced and items[1]["seriesMasterId"] == made["id"]
    assert (items[0]["recurrence"], items[2]["subject"]) == (made["recurrence"], "Special")


def test_a_series_is_on_one_page(ms: Stand) -> None:
    make(ms, recurrence=every("daily"))
    make(ms, "Second")
    page = ms.get(FIRST, prefer=f"{IMMUTABLE}, odata.maxpagesize=2")
    assert len(page["value"]) == 32 and [item["subject"] for item in ms.get(page["@odata.nextLink"])["value"]] == ["Second"]


@pytest.mark.parametrize("shown", [True, False])
def test_whether_the_series_itself_is_shown_is_unsure(ms: Stand, shown: bool) -> None:
    ms.world.switches["microsoft.delta_master"] = shown
    make(ms, recurrence=every("weekly", "2026-10-06", daysOfWeek=["tuesday"]), start="2026-10-06T10:00:00",
         end="2026-10-06T11:00:00")  # fmt: skip
    assert [item["type"] for item in ms.round(FIRST)[0]] == ["seriesMaster"] * shown + ["occurrence"] * 5


@pytest.mark.parametrize("told", [False, True])
def test_an_occurrence_that_is_gone_is_told_by_its_absence(ms: Stand, told: bool) -> None:
    ms.world.switches["microsoft.delta_gone_occurrence"] = told
    made = make(ms, recurrence=TUESDAYS)["id"]
    first, second = occurrence(ms, made, "2026-12-01"), occurrence(ms, made, "2026-12-08")
    link = ms.round(FIRST)[1]
    ms.call("DELETE", f"{ME}/events/{second}", status=204)
    items, link = ms.round(link)
    assert days([item for item in items if item.get("type") == "occurrence"]) == [
        "2026-12-01", "2026-12-15", "2026-12-22", "2026-12-29",
    ]  # fmt: skip
    assert [item for item in items if "@removed" in item] == [removed(second)] * told
    patch(ms, made, {"recurrence": every("weekly", daysOfWeek=["tuesday"], span={"type": "endDate", "endDate": "2026-12-07"})})
    items, link = ms.round(link)
    assert days([item for item in items if item.get("type") == "occurrence"]) == ["2026-12-01"]
    assert len([item for item in items if "@removed" in item]) == 4 * told
    ms.call("DELETE", f"{ME}/events/{made}", status=204)
    items, _ = ms.round(link)
    assert items[0] == removed(made) and (removed(first) in items) is told


def test_an_exception_that_leaves_the_window_leaves_the_round(ms: Stand) -> None:
    made = make(ms, recurrence=TUESDAYS, zone=BERLIN)["id"]
    last = occurrence(ms, made, "2026-12-29")
    link = ms.round(FIRST)[1]
    patch(ms, last, {"start": at("2027-01-02T10:00:00"), "end": at("2027-01-02T11:00:00")})
    items, _ = ms.round(link)
    assert last not in [item["id"] for item in items] and len(items) == 5
    january = "startDateTime=2027-01-01T00:00:00Z&endDateTime=2027-01-04T00:00:00Z"
    assert [item["id"] for item in ms.round(f"{DELTA}?{january}")[0]] == [made, last]


def test_a_single_event_that_becomes_a_series_comes_as_one(ms: Stand) -> None:
    one = make(ms)["id"]
    link = ms.round(FIRST)[1]
    patch(ms, one, {"recurrence": TUESDAYS})
    items, link = ms.round(link)
    assert [item["type"] for item in items] == ["seriesMaster", *["occurrence"] * 5] and items[0]["id"] == one
    patch(ms, one, {"recurrence": None})
    assert [(item["id"], item["type"]) for item in ms.round(link)[0]] == [(one, "singleInstance")]


def test_times_come_in_the_zone_asked_for(ms: Stand) -> None:
    make(ms, recurrence=TUESDAYS)
    items, link = ms.round(FIRST, prefer=f'{IMMUTABLE}, outlook.timezone="Tokyo Standard Time"')
    assert {item["start"]["dateTime"][11:16] for item in items} == {"19:00"}
    make(ms)
    assert ms.round(link)[0][0]["start"] == at("2026-12-01T10:00:00.0000000"), "each request says it anew"


def test_a_dead_link_is_gone_and_says_where_to_start_over(ms: Stand) -> None:
    link = ms.round(FIRST)[1]
    ms.fault("delta_gone")
    answer = ms.call("GET", link, status=410)
    assert answer.json()["error"]["code"] == "resyncRequired" and "/calendarView/delta?" in answer.headers["Location"]
    ms.fault("sync_state_not_found", detail=400)
    assert message(ms, "GET", link, 400)[0] == "SyncStateNotFound"
    assert message(ms, "GET", f"{DELTA}?$deltatoken=nonsense", 400)[0] == "SyncStateInvalid"
    mails = ms.round(f"{ME}/mailFolders/inbox/messages/delta")[1]
    stranger = f"{DELTA}?$deltatoken={mails.partition('deltatoken=')[2]}"
    assert message(ms, "GET", stranger, 400)[0] == "SyncStateInvalid", "a link of something else"


def cost(ms: Stand, link: str, changes: int) -> int:
    """Python calls of the stand-in for one round after that many new events in the window."""
    for _ in range(changes):
        ms.box(lambda box: box.calendar.create("New", wall("2026-12-01T01:00"), wall("2026-12-01T02:00")))
    profile = cProfile.Profile()
    ms.do(profile.enable)
    items, _ = ms.round(link)
    ms.do(profile.disable)
    assert len(items) == changes
    return sum(row[1] for row in pstats.Stats(profile).stats.values())  # type: ignore[attr-defined]


def test_an_idle_round_costs_the_same_however_many_events_there_are(ms: Stand) -> None:
    hour, year = timedelta(hours=1), wall("2026-01-01T00:00")
    ms.round(FIRST)
    empty = cost(ms, ms.round(FIRST)[1], 0)

    def fill(box: Any) -> None:
        for n in range(5000):
            box.calendar.create(f"Event {n}", year + n * hour, year + (n + 1) * hour)
        for n in range(200):
            start = year + n * hour
            box.calendar.create(f"Series {n}", start, start + hour, recurrence=every("daily", start.date().isoformat()))

    ms.box(fill)
    window = "startDateTime=2026-12-01T00:00:00Z&endDateTime=2026-12-01T02:00:00Z"
    link = ms.round(f"{DELTA}?{window}", prefer=f"{IMMUTABLE}, odata.maxpagesize=500")[1]
    assert cost(ms, link, 0) < empty + 500
    assert cost(ms, link, 5) < empty + 5 * 1000


def test_events_are_watched_as_one_resource(ms: Stand) -> None:
    ms.subscribe(f"{ME}/events")
    ms.subscribe(f"{ME}/messages")
    one = make(ms, recurrence=TUESDAYS)["id"]
    ms.call("DELETE", f"{ME}/events/{occurrence(ms, one, '2026-12-08')}", status=204)
    ms.call("DELETE", f"{ME}/events/{one}", status=204)
    told = ms.receiver.wait(3)
    assert [(notice["changeType"], notice["resourceData"]["id"]) for notice in told] == [
        ("created", one), ("updated", one), ("deleted", one),
    ]  # fmt: skip
    assert told[0]["resourceData"]["@odata.type"] == "#Microsoft.Graph.Event" and "/Events/" in told[0]["resource"]


def test_an_attendees_calendar_hears_of_invitation_update_and_cancellation(ms: Stand) -> None:
    ms.subscribe(f"{HIM}/events")
    made = make(ms, attendees=[BO])["id"]
    patch(ms, made, {"subject": "New"})
    patch(ms, made, {"attendees": people(CARL)})
    assert [notice["changeType"] for notice in ms.receiver.wait(3)] == ["created", "updated", "updated"]


def test_watching_events_needs_the_calendars_permission(ms: Stand) -> None:
    mail_only = ms.do(lambda: ms.microsoft.tokens.access(CLIENT, TENANT, None, ("Mail.ReadWrite",))[0])
    wanted = {
        "changeType": "updated", "notificationUrl": f"{ms.hooks}/notify", "resource": f"{ME}/events",
        "expirationDateTime": (ms.world.clock.now() + timedelta(days=1)).isoformat(),
    }  # fmt: skip
    assert message(ms, "POST", "/subscriptions", 403, json=wanted, token=mail_only)[0] == "ErrorAccessDenied"
