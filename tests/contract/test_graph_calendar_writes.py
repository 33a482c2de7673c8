"""Writes through the Graph calendar adapter: creates, patches, deletes, marks; what they leave alone, and who is mailed."""

from __future__ import annotations

import html
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.core.errors import Gone, NetworkDown, Refused, Retry, Stale, Throttled
from shared.core.model import Item
from shared.core.scope import ERROR_MARK, MARK
from shared.mailbox.graph_calendar import GraphCalendar, Window
from shared.mailbox.graph_event_map import STAMP
from shared.ports import Send, Sent
from tests.contract.graph_calendar_seen import Calendar, daily, values, weekly
from tests.contract.microsoft_calendar import CARL
from tests.contract.microsoft_world import ADA, Stand

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]
WHEN = ("2026-12-03T10:00:00", "2026-12-03T11:00:00")
HOURS = ("2026-12-01T14:00:00", "2026-12-01T15:00:00")
FIELDS: dict[str, Any] = {
    "subject": "Budget <talk>",
    "when": "2026-12-03T10:00:00Z/2026-12-03T11:00:00Z",
    "location": "Room 4",
    "description": "First  line\n\n  <second> & last",
    "show_as": "oof",
    "private": "yes",
    "people": ("003A",),
    "answers": ("003A=accepted",),
}


def create(key: str = "KEY1", **fields: Any) -> Send:
    return Send("create", "event", fields={**FIELDS, **fields}, key=key)


def patch(cal: Calendar, item_id: str, *, above: frozenset[str] = frozenset(), version: str = "", **fields: Any) -> Send:
    return Send("patch", "event", item_id, version or cal.read(item_id).version, fields, above=above)


def shown(ms: Stand, event_id: str) -> dict[str, Any]:
    return ms.get(f"/users/{ADA}/events/{event_id}")


def carried(fields: dict[str, Any]) -> Item:
    return Item("event", {name: value for name, value in fields.items() if name not in ("people", "answers")})


@pytest.fixture(params=["heeded", "not heeded"], autouse=True)
def if_match(request: pytest.FixtureRequest, ms: Stand, cal: Calendar) -> None:
    """Every write also where the vendor does not heed If-Match."""
    ms.world.switches["microsoft.if_match"] = request.param == "heeded"


@pytest.fixture(autouse=True)
def nobody_is_mailed(ms: Stand) -> Any:
    """But by what a test expects, which takes it out of the outbox."""
    yield
    assert ms.world.outbox == []


# --- creates


def test_a_new_event_is_read_back_as_it_was_sent_with_mark_key_and_uid(ms: Stand, cal: Calendar) -> None:
    cal.all()
    cal.cost()
    made = cal.sent(create())
    assert cal.cost() == 2
    one = cal.read(made.id)
    assert one.item == carried(FIELDS)
    assert (one.key, one.marked, one.version, one.facts.uid) == ("KEY1", True, made.version, made.uid)
    assert (one.facts.own, one.facts.shared, one.facts.people) == (True, False, ())
    echo = cal.all()
    assert [(seen.id, seen.version) for seen in echo.values()] == [(made.id, made.version)]


@pytest.mark.parametrize("zone", ["UTC", "W. Europe Standard Time", "America/New_York", "Nonsense Standard Time"])
def test_a_new_event_stands_on_the_wall_of_the_mailbox_zone(ms: Stand, cal: Calendar, zone: str) -> None:
    cal.zone = zone
    made = cal.sent(create())
    assert shown(ms, made.id)["originalStartTimeZone"] == (zone if "Nonsense" not in zone else "UTC")
    assert values({made.id: cal.read(made.id)}, "when")[made.id] == FIELDS["when"]


@pytest.mark.parametrize("zone", ["UTC", "Tokyo Standard Time", "America/New_York"])
def test_new_whole_days_are_the_days_said(cal: Calendar, zone: str) -> None:
    cal.zone = zone
    made = cal.sent(create(when="2026-12-10/2026-12-12"))
    assert cal.read(made.id).item == carried({**FIELDS, "when": "2026-12-10/2026-12-12"})


def test_a_time_that_the_wall_shows_twice_is_still_the_instant_said(cal: Calendar) -> None:
    cal.zone = "W. Europe Standard Time"
    cal.to(cal.ms.world.clock.now().replace(year=2027, month=10, day=1))
    for when in ("2027-10-31T00:30:00Z/2027-10-31T01:30:00Z", "2027-10-31T01:30:00Z/2027-10-31T02:30:00Z"):
        made = cal.sent(create(when, when=when))
        assert cal.read(made.id).item == carried({**FIELDS, "when": when})


def test_a_second_create_with_one_key_is_stale_and_makes_nothing(cal: Calendar) -> None:
    outcomes = cal.write(create(), create(), create("KEY2", subject="Other"))
    assert [type(one) for one in outcomes] == [Sent, Stale, Sent]
    assert [type(one) for one in cal.write(create(), create("KEY2"))] == [Stale, Stale]
    assert len(cal.all()) == 2 and set(cal.adapter.find("event", ["KEY1", "KEY2"])) == {"KEY1", "KEY2"}


def test_a_create_whose_answer_was_lost_is_found_again_by_its_key(ms: Stand, cal: Calendar) -> None:
    ms.fault("drop_after", match="POST /v1.0/$batch", after=1)
    with pytest.raises(NetworkDown):
        cal.write(create())
    assert [type(one) for one in cal.write(create())] == [Stale]
    assert values({"KEY1": cal.adapter.find("event", ["KEY1"])["KEY1"]}, "subject") == {"KEY1": FIELDS["subject"]}


def test_a_create_that_is_answered_with_an_older_event_is_stale(ms: Stand, cal: Calendar) -> None:
    first = cal.sent(create())
    nothing: dict[str, Any] = {"value": []}  # the index does not know the first one yet
    ms.fault("status", match="GET /v1.0/users/{user}/events", status=200, body=nothing)
    assert [type(one) for one in cal.write(create(subject="Newer"))] == [Stale]
    ms.fault("status", match="GET /v1.0/users/{user}/events", status=200, body=nothing)
    assert cal.write(create()) == [first], "the same content: this very event"
    assert len(cal.all()) == 1


def test_a_key_on_a_series_is_taken_too(cal: Calendar) -> None:
    stamp: dict[str, Any] = {"singleValueExtendedProperties": [{"id": STAMP, "value": "KEY1"}]}
    cal.make("Weekly", *HOURS, recurrence=weekly(), **stamp)
    assert [type(one) for one in cal.write(create())] == [Stale]


# --- patches


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "New"},
        {"when": "2026-12-04T08:00:00Z/2026-12-04T08:30:00Z"},
        {"when": "2026-12-04/2026-12-05"},
        {"location": "Elsewhere"},
        {"location": ""},
        {"description": "Other\n  text"},
        {"description": ""},
        {"show_as": "free"},
        {"private": "no"},
        {"subject": "New", "when": "2026-12-04/2026-12-05", "description": "x", "private": "no"},
    ],
)
def test_a_patch_changes_what_it_names_and_nothing_else(cal: Calendar, fields: dict[str, Any]) -> None:
    made = cal.sent(create())
    cal.cost()
    sent = cal.sent(Send("patch", "event", made.id, made.version, fields))
    assert cal.cost() == 2
    one = cal.read(made.id)
    assert one.item == carried({**FIELDS, **fields})
    assert (one.version, one.key, one.marked) == (sent.version, "KEY1", True)


def test_from_whole_days_to_hours_and_back(cal: Calendar) -> None:
    made = cal.sent(create(when="2026-12-10/2026-12-12"))
    for when in ("2026-12-10T08:00:00Z/2026-12-10T09:00:00Z", "2026-12-11/2026-12-12"):
        cal.sent(patch(cal, made.id, when=when))
        assert cal.read(made.id).item == carried({**FIELDS, "when": when})


@pytest.mark.parametrize(
    "zone", ["W. Europe Standard Time", "Eastern Standard Time", "Asia/Kathmandu", "AUS Eastern Standard Time", "Europe/London"]
)
def test_an_event_keeps_the_zone_it_was_made_in(ms: Stand, cal: Calendar, zone: str) -> None:
    one = cal.make("Call", *WHEN, zone=zone)
    for when in ("2027-02-01T08:00:00Z/2027-02-01T09:00:00Z", "2027-07-01T08:00:00Z/2027-07-01T09:00:00Z"):
        cal.sent(patch(cal, one, when=when))
        assert values({one: cal.read(one)}, "when")[one] == when
        assert shown(ms, one)["originalStartTimeZone"] == zone


def test_an_event_of_a_custom_zone_is_moved_in_utc(ms: Stand, cal: Calendar) -> None:
    one = cal.make("Call", *WHEN, zone="Asia/Tokyo", custom_zone=True)
    assert shown(ms, one)["originalStartTimeZone"] == "tzone://Microsoft/Custom"
    cal.sent(patch(cal, one, when="2027-02-01T08:00:00Z/2027-02-01T09:00:00Z"))
    assert values({one: cal.read(one)}, "when")[one] == "2027-02-01T08:00:00Z/2027-02-01T09:00:00Z"


def test_a_personal_event_stays_personal_where_it_is_private_anyway(ms: Stand, cal: Calendar) -> None:
    one = cal.make("Doctor", *WHEN, sensitivity="confidential")
    cal.sent(patch(cal, one, private="yes"))
    assert shown(ms, one)["sensitivity"] == "confidential"
    cal.sent(patch(cal, one, private="no"))
    assert shown(ms, one)["sensitivity"] == "normal"


def test_a_patch_of_what_is_not_carried_writes_nothing(cal: Calendar) -> None:
    made = cal.sent(create())
    assert cal.sent(Send("patch", "event", made.id, made.version, {"people": ("003B",)})) == Sent(made.id, made.version)


@pytest.mark.parametrize("verb", ["patch", "delete", "unmark"])
def test_whoever_knows_an_older_version_is_stale(cal: Calendar, verb: Any) -> None:
    made = cal.sent(create())
    cal.person(lambda calendar: calendar.change(made.id, subject="A person's"))
    assert [type(one) for one in cal.write(Send(verb, "event", made.id, made.version, {"subject": "Ours"}))] == [Stale]
    assert values({made.id: cal.read(made.id)}, "subject")[made.id] == "A person's"
    cal.sent(Send(verb, "event", made.id, "*", {"subject": "Ours"}))


@pytest.mark.parametrize("verb", ["patch", "delete", "unmark"])
def test_what_is_not_there_is_gone(cal: Calendar, verb: Any) -> None:
    one = cal.make("Talk", *WHEN)
    series = cal.make("Weekly", *HOURS, recurrence=weekly())
    cal.person(lambda calendar: calendar.delete(one))
    sends = [
        Send(verb, "event", item_id, "*", {"subject": "x"}) for item_id in (one, f"{series}/20261202T140000Z", series, "?")
    ]
    assert [type(outcome) for outcome in cal.write(*sends)] == [Gone] * 4


def meanwhile(ms: Stand, nth: int, act: Callable[[Any], object]) -> None:
    """A person does something as the nth request comes in, before it is worked on."""
    left = [nth]

    def look(vendor: str, name: str, number: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            act(ms.microsoft.mailbox(ADA).calendar)

    ms.do(lambda: ms.world.on_call.append(look))


@pytest.fixture(autouse=True)
def nobody_meanwhile(ms: Stand) -> Any:
    yield
    ms.do(ms.world.on_call.clear)


@pytest.mark.parametrize("verb", ["patch", "delete", "unmark"])
def test_someone_who_is_faster_between_reading_and_writing_makes_it_stale(ms: Stand, cal: Calendar, verb: Any) -> None:
    made = cal.sent(create())
    meanwhile(ms, 2, lambda calendar: calendar.change(made.id, subject="A person's"))
    (outcome,) = cal.write(Send(verb, "event", made.id, made.version, {"location": "x"}))
    if ms.world.switches["microsoft.if_match"]:
        assert isinstance(outcome, Stale) and values({made.id: cal.read(made.id)}, "subject")[made.id] == "A person's"


def test_someone_who_changes_an_occurrence_between_two_of_our_writes_makes_that_one_stale(ms: Stand, cal: Calendar) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly())
    seen = cal.all()
    first, second, third, *_ = seen
    vendor_id = cal.occurrence(series, "2026-12-08")
    meanwhile(ms, 3, lambda calendar: calendar.change(vendor_id, subject="A person's"))
    sends = [Send("patch", "event", one, seen[one].version, {"subject": "Ours"}) for one in (first, second, third)]
    assert [type(one) for one in cal.write(*sends)] == [Sent, Stale, Sent]
    assert list(values(cal.all(), "subject").values())[:3] == ["Ours", "A person's", "Ours"]


def test_a_write_the_vendor_refuses_is_refused_alone(cal: Calendar) -> None:
    series = cal.make("Daily", *HOURS, recurrence=daily("2026-12-01"))
    one = cal.make("Talk", *WHEN)
    crossing = patch(cal, f"{series}/20261208T140000Z", when="2026-12-20T14:00:00Z/2026-12-20T15:00:00Z")
    backwards = patch(cal, one, when="2026-12-20T14:00:00Z/2026-12-20T13:00:00Z")
    broken = patch(cal, one, when="whenever")
    first, second, third, fourth = cal.write(crossing, backwards, broken, create())
    assert isinstance(first, Refused) and first.code == "refused.erroroccurrencecrossingboundary"
    assert isinstance(second, Refused) and isinstance(fourth, Sent)
    assert third.code == "item.bug"  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [403, 500])
def test_an_event_the_vendor_fails_on_is_refused_alone(ms: Stand, cal: Calendar, status: int) -> None:
    first, second = cal.make("a", *WHEN), cal.make("b", *WHEN)
    failure = {"error": {"code": "ErrorInternalServerError", "message": "-"}}
    sends = [patch(cal, one, subject="x") for one in (first, second)]
    ms.fault("status", match="PATCH /v1.0/users/{user}/events/{event}", status=status, body=failure)
    assert [type(one) for one in cal.write(*sends)] == [Refused, Sent]
    ms.fault("status", match="GET /v1.0/users/{user}/events/{event}", status=status, body=failure)
    assert [type(one) for one in cal.write(*[patch(cal, one, version="*", subject="y") for one in (first, second)])] == [
        Refused,
        Sent,
    ]


def test_who_must_wait_is_told_so(ms: Stand, cal: Calendar) -> None:
    ms.fault("throttled", match="POST /v1.0/users/{user}/calendar/events", detail=9)
    with pytest.raises(Throttled) as waits:
        cal.write(create(), create("KEY2"))
    assert waits.value.after_s == 9


# --- descriptions


@pytest.fixture
def meeting(ms: Stand, cal: Calendar) -> str:
    """An online meeting whose body holds a text of a person above the join block."""
    body = {"contentType": "html", "content": '<div class="WordSection1"><p>Hello <b>all</b></p></div>'}
    return cal.make("Online", *WHEN, isOnlineMeeting=True, body=body)


def block_of(ms: Stand, event_id: str) -> str:
    """From the break above the block to the end of the document."""
    content = str(shown(ms, event_id)["body"]["content"])
    return content[content.index('<br>\r\n<div class="me-email-text"') :]


def test_the_join_block_is_no_description_and_stays_byte_for_byte(ms: Stand, cal: Calendar, meeting: str) -> None:
    before, block = shown(ms, meeting), block_of(ms, meeting)
    assert values({meeting: cal.read(meeting)}, "description")[meeting] == "Hello all"
    for text in ("New <text>\nof two lines", "", "And another"):
        cal.sent(patch(cal, meeting, description=text))
        assert values({meeting: cal.read(meeting)}, "description")[meeting] == text
        assert block_of(ms, meeting) == block
        after = shown(ms, meeting)
        assert (after["isOnlineMeeting"], after["onlineMeeting"]) == (True, before["onlineMeeting"])


def test_what_is_put_above_leaves_every_byte_below(ms: Stand, cal: Calendar, meeting: str) -> None:
    before = str(shown(ms, meeting)["body"]["content"])
    begin = before.index("<body>") + len("<body>")
    cal.sent(patch(cal, meeting, above=frozenset({"description"}), description="From <sales>"))
    after = str(shown(ms, meeting)["body"]["content"])
    assert after == f"{before[:begin]}<div>{html.escape('From <sales>')}</div>{before[begin:]}"
    assert values({meeting: cal.read(meeting)}, "description")[meeting] == "From <sales>\nHello all"
    assert shown(ms, meeting)["isOnlineMeeting"] is True


def test_other_fields_leave_the_body_alone(ms: Stand, cal: Calendar, meeting: str) -> None:
    before = shown(ms, meeting)["body"]
    cal.sent(patch(cal, meeting, subject="New", when="2026-12-04/2026-12-05", show_as="free"))
    assert shown(ms, meeting)["body"] == before


# --- occurrences


def test_a_patched_occurrence_keeps_its_id_and_its_neighbours_their_text(ms: Stand, cal: Calendar) -> None:
    series = cal.make("Weekly", *HOURS, zone="W. Europe Standard Time", recurrence=weekly())
    second = f"{series}/20261208T130000Z"
    cal.cost()
    sent = cal.sent(patch(cal, second, subject="Special", when="2026-12-09T08:00:00Z/2026-12-09T09:00:00Z"))
    assert sent.id == second and cal.read(second).version == sent.version
    again = cal.sent(patch(cal, second, description="As an exception"))
    seen = cal.all()
    assert values(seen, "subject") == {item_id: "Special" if item_id == second else "Weekly" for item_id in seen}
    assert values(seen, "description")[second] == "As an exception" and seen[second].version == again.version
    assert shown(ms, cal.occurrence(series, "2026-12-08"))["originalStartTimeZone"] == "W. Europe Standard Time"


def test_several_writes_to_one_series_do_not_make_each_other_stale(cal: Calendar) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly(), categories=[MARK])
    seen = cal.all()
    first, second, third, fourth, fifth = seen
    other = cal.sent(create())
    cal.cost()
    outcomes = cal.write(
        Send("delete", "event", first, seen[first].version),
        Send("patch", "event", second, seen[second].version, {"subject": "2"}),
        Send("patch", "event", other.id, other.version, {"subject": "single"}),
        Send("unmark", "event", third, seen[third].version),
        Send("patch", "event", second, "*", {"location": "twice"}),
        Send("patch", "event", fourth, "an older one", {"subject": "4"}),
    )
    assert [type(one) for one in outcomes] == [Sent, Sent, Sent, Sent, Sent, Stale] and cal.cost() == 8
    now = cal.adapter.read("event", list(seen))
    assert [one.item is None for one in now.values()] == [True, False, False, False, False]
    assert values(dict(now), "subject") == {second: "2", third: "Weekly", fourth: "Weekly", fifth: "Weekly"}
    assert values(dict(now), "location")[second] == "twice"
    assert [one.marked for one in now.values() if one.item] == [True, False, True, True]
    assert series in cal.all() and set(cal.groups[series]) == {second, third, fourth, fifth}


def test_a_deleted_occurrence_is_gone_and_the_others_stay(ms: Stand, cal: Calendar) -> None:
    series = cal.make("Weekly", *HOURS, recurrence=weekly())
    seen = cal.all()
    second = f"{series}/20261208T140000Z"
    cal.sent(Send("delete", "event", second, seen[second].version))
    assert cal.read(second).item is None
    assert [type(one) for one in cal.write(Send("delete", "event", second, "*"))] == [Gone]
    cal.all()
    assert cal.groups[series] == tuple(item_id for item_id in seen if item_id != second)


# --- deletes and marks


def test_a_deleted_event_is_gone(cal: Calendar) -> None:
    made = cal.sent(create())
    cal.cost()
    assert cal.sent(Send("delete", "event", made.id, made.version)) == Sent(made.id, "")
    assert cal.cost() == 2 and cal.read(made.id).item is None


def test_taking_off_the_mark_takes_nothing_else_and_mails_nobody(ms: Stand, cal: Calendar) -> None:
    one = cal.make("Talk", *WHEN, categories=["Blue", "salesforce", ERROR_MARK, "Red"], attendees=[CARL])
    ms.world.outbox.clear()
    cal.all()
    before = shown(ms, one)
    sent = cal.sent(Send("unmark", "event", one, before["changeKey"]))
    after = shown(ms, one)
    assert after["categories"] == ["Blue", "Red"] and after["changeKey"] == sent.version
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"categories", "changeKey", "lastModifiedDateTime", "@odata.etag"}
    assert cal.sent(Send("unmark", "event", one, sent.version)) == sent, "nothing to take off, nothing written"
    assert shown(ms, one)["changeKey"] == sent.version


def test_writes_go_twenty_in_a_request(cal: Calendar) -> None:
    cal.cost()
    outcomes = cal.write(*(create(f"KEY{n}") for n in range(40)))
    assert all(isinstance(one, Sent) for one in outcomes) and cal.cost() == 4
    sent = [one for one in outcomes if isinstance(one, Sent)]
    assert cal.write(*(Send("patch", "event", one.id, one.version, {"subject": "x"}) for one in sent)) != []
    assert cal.cost() == 4 and set(values(cal.all(), "subject").values()) == {"x"}


class Hurried:
    """A clock that goes a minute further with every second look."""

    def __init__(self, cal: Calendar) -> None:
        self.cal, self.looks = cal, 0

    def now(self) -> datetime:
        self.looks += 1
        return self.cal.ms.world.clock.now() + timedelta(seconds=30 * (self.looks // 2))


def test_no_call_lasts_longer_than_a_lease(cal: Calendar) -> None:
    adapter = GraphCalendar(cal.http, cal.token, ADA, Hurried(cal), "one session", window=Window())
    sends = [create(f"KEY{n}") for n in range(80)]
    with pytest.raises(Retry) as waits:
        adapter.write(sends)
    assert waits.value.after_s == 0 and 20 <= len(cal.all()) < 80, "what was written is written"
    outcomes = cal.write(*sends)
    assert {type(one) for one in outcomes} == {Sent, Stale}
    assert len(cal.adapter.find("event", [one.key for one in sends])) == 80


def test_a_conflict_is_stale(ms: Stand, cal: Calendar) -> None:
    conflict = {"error": {"code": "ErrorDuplicateTransactionId", "message": "-"}}
    ms.fault("status", match="POST /v1.0/users/{user}/calendar/events", status=409, body=conflict)
    assert [type(one) for one in cal.write(create())] == [Stale]


def test_no_writes_cost_nothing(cal: Calendar) -> None:
    cal.cost()
    assert cal.write() == [] and cal.cost() == 0


def test_a_patched_meeting_keeps_its_people_and_their_answers(ms: Stand, cal: Calendar) -> None:
    """Whether a change is told to others is the engine's to decide; who they are is never written."""
    one = cal.make("Talk", *WHEN, attendees=[CARL])
    cal.person(lambda calendar: calendar.answer(one, CARL, "accepted"))
    before = cal.read(one)
    cal.sent(patch(cal, one, subject="New", description="New"))
    assert cal.read(one).facts.people == before.facts.people == ((CARL, "accepted"),)
    assert [(mail["kind"], mail["to"]) for mail in ms.world.outbox] == [("invitation", [CARL]), ("update", [CARL])]
    ms.world.outbox.clear()
