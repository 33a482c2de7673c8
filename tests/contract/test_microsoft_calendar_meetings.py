"""Meetings in the Microsoft world: who is mailed about what, the copies of attendees, answers, online meetings."""

from __future__ import annotations

import html
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
    december,
    every,
    make,
    message,
    occurrence,
    outbox,
    patch,
    people,
    wall,
)
from tests.contract.microsoft_world import ADA, BO, Json, Stand

pytest_plugins = ("tests.contract.microsoft_fixtures",)
DORA = "dora@customer.example"
STAMP = "String {66f5a359-4659-4638-81a3-d1d2b2f5c5b4} Name SfRecordId"


def meeting(ms: Stand, *attendees: str, **more: Any) -> Json:
    """A meeting with a clean outbox behind it."""
    made = make(ms, "Offer", attendees=list(attendees or (BO, CARL)), **more)
    ms.world.outbox.clear()
    return made


def his(ms: Stand) -> list[Json]:
    return ms.value(f"{HIM}/events")


def answers(ms: Stand, event_id: str) -> dict[str, str]:
    shown = ms.get(f"{ME}/events/{event_id}")
    return {one["emailAddress"]["address"]: one["status"]["response"] for one in shown["attendees"]}


def test_an_invitation_goes_to_every_attendee_and_says_what_it_is_about(ms: Stand) -> None:
    made = make(ms, "Offer", attendees=[CARL, BO])
    assert ms.world.outbox == [{
        "vendor": "microsoft", "kind": "invitation", "from": ADA, "to": [BO, CARL], "subject": "Offer",
        "event": made["iCalUId"], "at": ms.world.outbox[0]["at"],
    }]  # fmt: skip
    assert ms.world.outbox[0]["at"].endswith("Z")
    make(ms, "Alone")
    assert len(ms.world.outbox) == 1


def test_an_attendee_of_this_world_has_a_copy_of_his_own(ms: Stand) -> None:
    made = meeting(ms, BO, zone=BERLIN)
    copy = his(ms)[0]
    assert copy["id"] != made["id"] and copy["iCalUId"] == made["iCalUId"]
    assert (copy["isOrganizer"], copy["responseStatus"]["response"], copy["showAs"]) == (False, "notResponded", "tentative")
    assert copy["organizer"]["emailAddress"]["address"] == ADA and copy["originalStartTimeZone"] == BERLIN
    assert made["responseStatus"]["response"] == "organizer" and answers(ms, made["id"]) == {BO: "none"}


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "New"},
        {"subject": "Offer"},
        {"body": {"contentType": "text", "content": "x"}},
        {"start": at("2026-12-01T10:15:00")},
        {"location": {"displayName": "Room"}},
        {"importance": "high"},
        {"sensitivity": "private"},
        {"recurrence": TUESDAYS},
        {"isOnlineMeeting": True},
        {"subject": "New", "categories": ["Red"]},
    ],
)
def test_whatever_attendees_see_mails_all_of_them_even_where_nothing_changed(ms: Stand, change: Json) -> None:
    made = meeting(ms)
    patch(ms, made["id"], change)
    assert outbox(ms) == [("update", ADA, [BO, CARL])]


PRIVATE: list[Json] = [
    {"categories": ["Red"]},
    {"showAs": "oof"},
    {"isReminderOn": False, "reminderMinutesBeforeStart": 5},
    {"singleValueExtendedProperties": [{"id": STAMP, "value": "x"}]},
]


@pytest.mark.parametrize("change", PRIVATE)
def test_what_only_the_organiser_sees_mails_nobody(ms: Stand, change: Json) -> None:
    made = meeting(ms)
    patch(ms, made["id"], change)
    assert outbox(ms) == [] and his(ms)[0]["categories"] == []
    ms.world.switches["microsoft.private_patch_mails"] = True
    patch(ms, made["id"], change)
    assert outbox(ms) == [("update", ADA, [BO, CARL])]


def test_a_patch_of_attendees_alone_mails_those_added_and_removed(ms: Stand) -> None:
    made = meeting(ms, BO, CARL)
    patch(ms, made["id"], {"attendees": people(CARL, DORA)})
    assert outbox(ms) == [("invitation", ADA, [DORA]), ("cancellation", ADA, [BO])]
    assert (his(ms)[0]["isCancelled"], his(ms)[0]["subject"]) == (True, "Canceled: Offer")
    patch(ms, made["id"], {"attendees": people(CARL, DORA, BO), "subject": "More"})
    assert outbox(ms) == [("invitation", ADA, [BO]), ("update", ADA, [CARL, DORA])]
    assert (his(ms)[0]["isCancelled"], his(ms)[0]["subject"]) == (False, "More")


def test_attendees_hidden_from_each_other_see_themselves_alone(ms: Stand) -> None:
    made = meeting(ms, BO, CARL, hideAttendees=True)
    assert len(ms.get(f"{ME}/events/{made['id']}")["attendees"]) == 2
    assert [one["emailAddress"]["address"] for one in his(ms)[0]["attendees"]] == [BO]


def test_an_update_changes_the_copy_and_keeps_what_is_the_attendees_own(ms: Stand) -> None:
    made = meeting(ms)
    copy = his(ms)[0]
    patch(ms, copy["id"], {"categories": ["Mine"], "showAs": "oof"}, path=HIM)
    ms.call("POST", f"{HIM}/events/{copy['id']}/accept", json={}, status=202)
    patch(ms, made["id"], {"subject": "New"})
    seen = his(ms)[0]
    assert (seen["id"], seen["subject"], seen["categories"]) == (copy["id"], "New", ["Mine"])
    assert seen["responseStatus"]["response"] == "accepted"


def test_new_times_ask_for_the_answer_again(ms: Stand) -> None:
    made = meeting(ms)
    ms.call("POST", f"{HIM}/events/{his(ms)[0]['id']}/accept", json={}, status=202)
    assert answers(ms, made["id"])[BO] == "accepted"
    patch(ms, made["id"], {"start": at("2026-12-01T09:00:00")})
    assert answers(ms, made["id"])[BO] == "none"
    seen = his(ms)[0]
    assert (seen["start"]["dateTime"][11:16], seen["responseStatus"]["response"]) == ("09:00", "notResponded")


@pytest.mark.parametrize(
    ("action", "response", "shown_as"),
    [("accept", "accepted", "busy"), ("tentativelyAccept", "tentativelyAccepted", "tentative"), ("decline", "declined", None)],
)
def test_an_answer_travels_back_to_the_organiser(ms: Stand, action: str, response: str, shown_as: str | None) -> None:
    made = meeting(ms)
    copy = his(ms)[0]
    ms.call("POST", f"{HIM}/events/{copy['id']}/{action}", json={"Comment": "ok", "SendResponse": True}, status=202)
    assert outbox(ms) == [("response", BO, [ADA])] and answers(ms, made["id"]) == {BO: response, CARL: "none"}
    if shown_as is None:
        assert his(ms) == [], "what is declined leaves the calendar"
    else:
        assert (his(ms)[0]["showAs"], his(ms)[0]["responseStatus"]["response"]) == (shown_as, response)


def test_who_is_invited_under_another_address_answers_under_it(ms: Stand) -> None:
    made = make(ms, "Offer", attendees=["a.berg@example.test"], path=HIM)
    copy = ms.value(f"{ME}/events")[0]
    ms.call("POST", f"{ME}/events/{copy['id']}/accept", json={}, status=202)
    assert ms.get(f"{HIM}/events/{made['id']}")["attendees"][0]["status"]["response"] == "accepted"


def test_an_answer_that_is_not_sent_stays_with_the_attendee(ms: Stand) -> None:
    made = meeting(ms)
    copy = his(ms)[0]
    ms.call("POST", f"{HIM}/events/{copy['id']}/accept", json={"sendResponse": False}, status=202)
    assert outbox(ms) == [] and answers(ms, made["id"])[BO] == "none"
    assert his(ms)[0]["responseStatus"]["response"] == "accepted"


def test_answers_that_make_no_sense_are_refused(ms: Stand) -> None:
    made = meeting(ms, responseRequested=False)
    copy = f"{HIM}/events/{his(ms)[0]['id']}"
    begin = "Your request can't be completed. "
    organiser = f"{begin}You can't respond to this meeting because you're the meeting organizer."
    assert message(ms, "POST", f"{ME}/events/{made['id']}/accept", 400, json={}) == ("ErrorInvalidRequest", organiser)
    unwanted = f"{begin}The meeting organizer hasn't requested a response."
    assert message(ms, "POST", f"{copy}/accept", 400, json={}) == ("ErrorInvalidRequest", unwanted)
    silent = "'SendResponse' must be true when 'Comment' is not null."
    sent = {"comment": "x", "sendResponse": False}
    assert message(ms, "POST", f"{copy}/decline", 400, json=sent) == ("ErrorInvalidParameter", silent)
    cancel = f"{begin}You need to be an organizer to cancel a meeting."
    assert message(ms, "POST", f"{copy}/cancel", 400, json={}) == ("ErrorInvalidRequest", cancel)
    assert message(ms, "POST", f"{copy}/cancel", 400, json={"why": "x"})[0] == "RequestBodyRead"


@pytest.mark.parametrize("way", ["delete", "cancel"])
def test_what_its_organiser_takes_away_is_cancelled_for_all(ms: Stand, way: str) -> None:
    made = meeting(ms)
    if way == "delete":
        ms.call("DELETE", f"{ME}/events/{made['id']}", status=204)
    else:
        ms.call("POST", f"{ME}/events/{made['id']}/cancel", json={"comment": "Ill"}, status=202)
    assert outbox(ms) == [("cancellation", ADA, [BO, CARL])] and ms.value(f"{ME}/events") == []
    seen = his(ms)[0]
    assert (seen["isCancelled"], seen["subject"], seen["showAs"]) == (True, "Canceled: Offer", "free")
    ms.call("DELETE", f"{HIM}/events/{seen['id']}", status=204)
    assert outbox(ms) == [] and his(ms) == []


@pytest.mark.parametrize(("switch", "mails"), [(False, []), (True, [("response", BO, [ADA])])])
def test_whether_deleting_an_invitation_declines_it_is_unsure(ms: Stand, switch: bool, mails: list[object]) -> None:
    ms.world.switches["microsoft.attendee_delete_declines"] = switch
    made = meeting(ms)
    ms.call("DELETE", f"{HIM}/events/{his(ms)[0]['id']}", status=204)
    assert outbox(ms) == mails and answers(ms, made["id"])[BO] == ("declined" if switch else "none")


def test_an_attendee_changes_his_own_copy_and_mails_nobody(ms: Stand) -> None:
    made = meeting(ms)
    copy = his(ms)[0]["id"]
    assert patch(ms, copy, {"subject": "My name for it"}, path=HIM)["subject"] == "My name for it"
    assert outbox(ms) == [] and ms.get(f"{ME}/events/{made['id']}")["subject"] == "Offer"
    patch(ms, made["id"], {"importance": "high"})
    assert his(ms)[0]["subject"] == "Offer", "the next update takes it back"


def test_one_occurrence_is_changed_and_cancelled_for_attendees_too(ms: Stand) -> None:
    made = meeting(ms, BO, CARL, recurrence=TUESDAYS)
    second, third = occurrence(ms, made["id"], "2026-12-08"), occurrence(ms, made["id"], "2026-12-15")
    patch(ms, second, {"subject": "Special"})
    ms.call("POST", f"{ME}/events/{third}/cancel", json={}, status=202)
    assert outbox(ms) == [("update", ADA, [BO, CARL]), ("cancellation", ADA, [BO, CARL])]
    mine, copies = december(ms), december(ms, HIM)
    assert [item["subject"] for item in mine] == ["Offer", "Special", "Offer", "Offer"]
    assert [item["subject"] for item in copies] == ["Offer", "Special", "Canceled: Offer", "Offer", "Offer"]
    assert copies[1]["iCalUId"] == mine[1]["iCalUId"] and copies[2]["isCancelled"] is True


def test_an_update_of_a_series_mails_once_for_it_and_once_for_each_exception(ms: Stand) -> None:
    made = meeting(ms, CARL, recurrence=TUESDAYS)
    patch(ms, occurrence(ms, made["id"], "2026-12-08"), {"subject": "Special"})
    outbox(ms)
    patch(ms, made["id"], {"location": {"displayName": "Room"}})
    assert [(mail["subject"], mail["event"] == made["iCalUId"]) for mail in ms.world.outbox] == [
        ("Offer", True), ("Special", False),
    ]  # fmt: skip


def test_an_answer_to_one_occurrence_is_noted_on_that_one(ms: Stand) -> None:
    made = meeting(ms, BO, recurrence=TUESDAYS)
    copy = occurrence(ms, his(ms)[0]["id"], "2026-12-08", BO)
    ms.call("POST", f"{HIM}/events/{copy}/decline", json={}, status=202)
    mine = {item["start"]["dateTime"][:10]: item["attendees"][0]["status"]["response"] for item in december(ms)}
    assert (mine["2026-12-01"], mine["2026-12-08"]) == ("none", "declined") and len(december(ms, HIM)) == 4
    assert outbox(ms) == [("response", BO, [ADA])] and answers(ms, made["id"])[BO] == "none"


def test_who_is_invited_to_one_occurrence_sees_that_one(ms: Stand) -> None:
    made = meeting(ms, CARL, recurrence=TUESDAYS)
    second = occurrence(ms, made["id"], "2026-12-08")
    patch(ms, second, {"attendees": people(CARL, BO)})
    assert outbox(ms) == [("invitation", ADA, [BO])]
    alone = his(ms)[0]
    assert (alone["type"], alone["iCalUId"]) == ("singleInstance", ms.get(f"{ME}/events/{second}")["iCalUId"])
    ms.call("POST", f"{HIM}/events/{alone['id']}/accept", json={}, status=202)
    assert answers(ms, second) == {CARL: "none", BO: "accepted"}
    patch(ms, second, {"subject": "Special"})
    assert his(ms)[0]["subject"] == "Special" and len(his(ms)) == 1
    outbox(ms)
    ms.call("DELETE", f"{ME}/events/{made['id']}", status=204)
    assert outbox(ms) == [("cancellation", ADA, [CARL]), ("cancellation", ADA, [BO])] and his(ms)[0]["isCancelled"] is True


def test_a_new_attendee_of_a_series_gets_its_exceptions_and_not_its_cancelled_days(ms: Stand) -> None:
    made = meeting(ms, CARL, recurrence=TUESDAYS)
    patch(ms, occurrence(ms, made["id"], "2026-12-08"), {"subject": "Special"})
    ms.call("DELETE", f"{ME}/events/{occurrence(ms, made['id'], '2026-12-15')}", status=204)
    patch(ms, made["id"], {"attendees": people(CARL, BO)})
    assert [item["subject"] for item in december(ms, HIM)] == ["Offer", "Special", "Offer", "Offer"]


def test_a_series_that_moves_moves_in_the_copies_with_all_its_days(ms: Stand) -> None:
    made = meeting(ms, BO, recurrence=TUESDAYS)
    patch(ms, occurrence(ms, his(ms)[0]["id"], "2026-12-08", BO), {"categories": ["Mine"]}, path=HIM)
    patch(ms, made["id"], {"start": at("2026-12-02T10:00:00"), "end": at("2026-12-02T11:00:00"),
                           "recurrence": every("weekly", "2026-12-02", daysOfWeek=["wednesday"])})  # fmt: skip
    assert [item["start"]["dateTime"] for item in december(ms, HIM)] == [item["start"]["dateTime"] for item in december(ms)]


def test_people_outside_invite_and_answer(ms: Stand) -> None:
    start, end = wall("2026-12-03T10:00"), wall("2026-12-03T11:00")
    one = ms.box(lambda box: box.calendar.invited(CARL, "Visit", start, end, attendees=[ADA, DORA]))
    shown = ms.get(f"{ME}/events/{one}")
    assert (shown["isOrganizer"], shown["organizer"]["emailAddress"]["address"]) == (False, CARL)
    ms.call("POST", f"{ME}/events/{one}/accept", json={}, status=202)
    assert outbox(ms) == [("response", ADA, [CARL])]
    made = meeting(ms, CARL)
    ms.box(lambda box: box.calendar.answer(made["id"], CARL, "declined"))
    assert answers(ms, made["id"]) == {CARL: "declined"} and outbox(ms) == []
    patch(ms, made["id"], {"subject": "New"})
    assert answers(ms, made["id"]) == {CARL: "declined"}, "an update without new times keeps answers"


def test_an_online_meeting_has_an_address_and_a_block_in_its_body(ms: Stand) -> None:
    made = meeting(ms, isOnlineMeeting=True, onlineMeetingProvider="teamsForBusiness",
                   body={"contentType": "html", "content": "<p>Agenda</p>"})  # fmt: skip
    url = made["onlineMeeting"]["joinUrl"]
    assert (made["isOnlineMeeting"], made["onlineMeetingProvider"]) == (True, "teamsForBusiness")
    content = html.unescape(made["body"]["content"])
    assert content.index("Agenda") < content.index("_" * 80) < content.index(url) < content.index("</body>")
    assert his(ms)[0]["onlineMeeting"]["joinUrl"] == url
    assert patch(ms, made["id"], {"isOnlineMeeting": False})["isOnlineMeeting"] is True, "cannot be unset"
    kept = made["body"]["content"].replace("Agenda", "New agenda")
    assert patch(ms, made["id"], {"body": {"contentType": "html", "content": kept}})["onlineMeeting"]["joinUrl"] == url
    lost = patch(ms, made["id"], {"body": {"contentType": "html", "content": "<p>Agenda</p>"}})
    assert (lost["isOnlineMeeting"], lost["onlineMeeting"], lost["onlineMeetingProvider"]) == (False, None, "unknown")


def test_a_view_shows_the_join_address_only_beside_is_online_meeting(ms: Stand) -> None:
    url = make(ms, isOnlineMeeting=True)["onlineMeeting"]["joinUrl"]
    assert december(ms)[0]["onlineMeeting"]["joinUrl"] == url
    view = f"{ME}/calendarView?{DECEMBER}&$select=onlineMeeting"
    assert ms.value(view)[0]["onlineMeeting"] is None
    assert ms.value(f"{view},isOnlineMeeting")[0]["onlineMeeting"]["joinUrl"] == url


def test_where_online_meetings_are_not_allowed_the_wish_is_ignored(ms: Stand) -> None:
    ms.box(lambda box: setattr(box.calendar, "providers", ()))
    assert ms.get(f"{ME}/calendar")["allowedOnlineMeetingProviders"] == []
    made = make(ms, isOnlineMeeting=True, onlineMeetingProvider="teamsForBusiness")
    assert (made["isOnlineMeeting"], made["onlineMeeting"]) == (False, None)
