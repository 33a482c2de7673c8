"""Graph's events as items, and items as Graph's events: what no stand-in would say, and what must come back as it was."""

from __future__ import annotations

import copy
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.fields import canonical
from shared.mailbox import graph_event_body as bodies
from shared.mailbox import graph_event_map as graph
from shared.mailbox.graph_event_body import Body

Json = dict[str, Any]
GOID = "040000008200E00074C5B7101A82E00800000000A0B1C2D3E4F5DC010000000000000000100000001234567890ABCDEF1234567890ABCDEF"


def time_of(text: str, zone: str = "UTC") -> Json:
    return {"dateTime": text, "timeZone": zone}


def event(**more: Any) -> Json:
    return {
        "id": "E1",
        "changeKey": "V1",
        "type": "singleInstance",
        "subject": "Talk",
        "start": time_of("2026-12-01T10:00:00.1234567"),
        "end": time_of("2026-12-01T11:00:00.0000000"),
        "isAllDay": False,
        "isOrganizer": True,
        "categories": [],
        "iCalUId": GOID,
        **more,
    }


def series(**more: Any) -> Json:
    return event(id="S1", type="seriesMaster", originalStartTimeZone="W. Europe Standard Time", **more)


def occurrence(**more: Any) -> Json:
    start, end = time_of("2026-12-08T10:00:00.0000000"), time_of("2026-12-08T11:00:00.0000000")
    return {"id": "O1", "type": "occurrence", "seriesMasterId": "S1", "start": start, "end": end, **more}


def plain(content: str, **more: Any) -> str:
    return str(canonical("event", {"description": bodies.plain(Body(content, **more))})["description"])


# --- reading


def test_times_are_cut_to_seconds() -> None:
    assert graph.item(event()).fields["when"] == "2026-12-01T10:00:00Z/2026-12-01T11:00:00Z"


@pytest.mark.parametrize(
    ("start", "utc"),
    [
        (time_of("2026-12-01T10:00:00", "W. Europe Standard Time"), "2026-12-01T09:00:00Z"),
        (time_of("2026-12-01T10:00:00", "tzone://Microsoft/Custom"), "2026-12-01T10:00:00Z"),
        (time_of("2026-12-01T10:00:00+02:00"), "2026-12-01T08:00:00Z"),
        ({"dateTime": "2026-12-01T10:00:00"}, "2026-12-01T10:00:00Z"),
    ],
)
def test_times_count_in_their_zone_and_unknown_ones_in_utc(start: Json, utc: str) -> None:
    when = str(graph.item(event(start=start, end=time_of("2026-12-02T10:00:00"))).fields["when"])
    assert when.partition("/")[0] == utc


def test_whole_days_last_one_at_least() -> None:
    same = time_of("2026-12-01T00:00:00.0000000", "Tokyo Standard Time")
    assert graph.item(event(isAllDay=True, start=same, end=same)).fields["when"] == "2026-12-01/2026-12-02"


NONSENSE: list[Any] = [None, 5, "", "x", [], {}, [None, 5, {}], {"dateTime": None}, {"emailAddress": 7}, True]


@pytest.mark.parametrize("name", [*graph.EVENT.split(","), "singleValueExtendedProperties"])
@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_nothing_a_calendar_holds_makes_reading_fail(name: str, value: Any) -> None:
    broken = event() | {name: value}
    graph.seen(broken)
    graph.seen(occurrence() | {name: value}, series() | {name: value})
    graph.changes({"subject": "x", "when": "2026-12-01/2026-12-02", "description": "y", "private": "yes"}, frozenset(), broken)
    graph.unmarked(broken)


def test_an_event_without_times_has_no_natural_key_and_no_window() -> None:
    one = graph.seen(event(start=None))
    assert one.item is not None and one.item.fields["when"] == "" and one.facts.begins is None


def test_what_no_calendar_shows_is_no_text() -> None:
    """The CRM keeps none of it: both sides are equal without."""
    shown = graph.item(
        event(
            subject="Be\x07ll", location={"displayName": "Room\x0b 7"},
            body={"contentType": "html", "content": "<p>a\x1b\ufffeb\tc</p>"},
        )
    ).fields  # fmt: skip
    assert (shown["subject"], shown["location"], shown["description"]) == ("Bell", "Room 7", "ab\tc")


def test_a_room_is_told_of_changes_and_takes_no_part() -> None:
    room = {"emailAddress": {"address": "room7@home.example", "name": "Room 7"}, "type": "resource"}
    facts = graph.facts_of(event(attendees=[room]))
    assert (facts.shared, facts.people) == (True, ())


def test_surrogates_and_nul_are_no_text() -> None:
    assert graph.item(event(subject="a\ud800b\x00c")).fields["subject"] == "a�bc"


@pytest.mark.parametrize(
    ("given_", "own", "answer"),
    [("accepted", False, "accepted"), ("tentativelyAccepted", False, "tentative"), ("declined", False, "declined"),
     ("notResponded", False, "none"), ("none", False, "none"), ("organizer", True, ""), ("none", True, "")],
)  # fmt: skip
def test_answers(given_: str, own: bool, answer: str) -> None:
    assert graph.facts_of(event(isOrganizer=own, responseStatus={"response": given_})).answer == answer


def test_the_organizer_among_the_attendees_is_nobody_else() -> None:
    me = {"emailAddress": {"address": "Ada@Example.test"}, "type": "required", "status": {"response": "organizer"}}
    facts = graph.facts_of(event(organizer=me, attendees=[me]))
    assert (facts.organizer, facts.people, facts.shared) == ("ada@example.test", (), False)


# --- names


def test_a_thin_occurrence_takes_what_it_lacks_from_its_series() -> None:
    master = series(
        location={"displayName": "R4"}, changeKey="V9", singleValueExtendedProperties=[{"id": graph.STAMP, "value": "K"}]
    )
    thin = occurrence()
    before = copy.deepcopy((thin, master))
    one = graph.seen(graph.merged(thin, master), master)
    assert one.item is not None and one.item.fields["location"] == "R4"
    assert (one.id, one.version, one.key) == ("S1/20261208T100000Z", "V9", "")
    assert one.facts.uid == f"{GOID}/20261208T100000Z" and (thin, master) == before


def test_a_stamp_on_an_occurrence_is_that_of_its_series() -> None:
    stamped = event(singleValueExtendedProperties=[{"id": graph.STAMP.upper(), "value": "K"}])
    assert graph.seen(stamped).key == "K"
    assert graph.seen(stamped | {"type": "occurrence", "seriesMasterId": "S1"}, series()).key == ""


def test_thin_whole_and_changed_have_one_name() -> None:
    master = series()
    moved = occurrence(type="exception", originalStart="2026-12-08T10:00:00Z") | {"start": time_of("2026-12-09T08:00:00")}
    names = {
        graph.occurrence_id(one, master) for one in (occurrence(), occurrence(originalStart="2026-12-08T10:00:00Z"), moved)
    }
    assert names == {"S1/20261208T100000Z"}


def test_whole_days_have_one_name_also_where_their_original_start_is_a_local_midnight() -> None:
    master = series(isAllDay=True)
    days: Json = {"start": time_of("2026-12-08T00:00:00"), "end": time_of("2026-12-09T00:00:00")}
    told = [days, {**days, "originalStart": "2026-12-07T23:00:00Z"}, {**days, "originalStart": "2026-12-08T00:00:00Z"}]
    assert {graph.occurrence_id(occurrence(**one), master) for one in told} == {"S1/20261208T000000Z"}


@pytest.mark.parametrize("item_id", ["E1", "", "a/b", "S1/", "S1/20261301T000000Z", "S1/20261208T100000"])
def test_what_is_no_name_of_an_occurrence_is_an_event(item_id: str) -> None:
    assert graph.split(item_id) == (item_id, None)


def test_a_name_says_its_series_and_its_start() -> None:
    assert graph.split("a/b/20261208T100000Z") == ("a/b", datetime(2026, 12, 8, 10, tzinfo=UTC))
    assert graph.named("a/b", datetime(2026, 12, 8, 10, tzinfo=UTC)) == "a/b/20261208T100000Z"


def test_one_occurrence_alone_is_named_as_it_is_in_its_series() -> None:
    alone = GOID[:32] + "07EA0C08" + GOID[40:]
    start, end = time_of("2026-12-08T10:00:00"), time_of("2026-12-08T11:00:00")
    assert graph.uid(event(iCalUId=alone, start=start, end=end)) == graph.uid(occurrence(), series())
    assert graph.uid(event(iCalUId="abc@example.test")) == "abc@example.test"


# --- writing


def test_a_new_event_names_no_attendee_and_carries_mark_key_and_transaction() -> None:
    body = graph.new_event(
        {"subject": "x", "when": "2026-12-01/2026-12-02", "people": ("003A",)}, "KEY1", "Tokyo Standard Time"
    )
    assert body == {
        "transactionId": graph.transaction_id("KEY1"),
        "categories": ["Salesforce"],
        "singleValueExtendedProperties": [{"id": graph.STAMP, "value": "KEY1"}],
        "subject": "x",
        "start": time_of("2026-12-01T00:00:00", "Tokyo Standard Time"),
        "end": time_of("2026-12-02T00:00:00", "Tokyo Standard Time"),
        "isAllDay": True,
    }
    assert graph.transaction_id("KEY1") != graph.transaction_id("KEY2")


@pytest.mark.parametrize(
    ("zone", "when", "start", "end"),
    [
        ("W. Europe Standard Time", "2027-10-31T00:30:00Z/2027-10-31T03:30:00Z", "2027-10-31T02:30:00", "2027-10-31T04:30:00"),
        ("tzone://Microsoft/Utc", "2027-10-31T00:30:00Z/2027-10-31T01:30:00Z", "2027-10-31T00:30:00", "2027-10-31T01:30:00"),
        ("tzone://Microsoft/Custom", "2027-01-31T00:30:00Z/2027-01-31T01:30:00Z", "2027-01-31T00:30:00", "2027-01-31T01:30:00"),
        ("W. Europe Standard Time", "2027-10-31T00:30:00Z/2027-10-31T01:30:00Z", "2027-10-31T00:30:00", "2027-10-31T01:30:00"),
    ],
)
def test_times_stand_on_the_wall_of_the_zone_or_in_utc(zone: str, when: str, start: str, end: str) -> None:
    body = graph.changes({"when": when}, frozenset(), event(originalStartTimeZone=zone))
    assert (body["start"]["dateTime"], body["end"]["dateTime"]) == (start, end)
    own = zone.startswith("W.") and start != when[:19]
    assert body["start"]["timeZone"] == body["end"]["timeZone"] == (zone if own else "UTC")


def test_an_unmark_names_categories_alone_and_keeps_the_others_as_they_are() -> None:
    assert graph.unmarked(event(categories=["Blue", "SALESFORCE", " sync error ", "Salesforce Unsync"])) == {
        "categories": ["Blue", "Salesforce Unsync"]
    }
    assert graph.unmarked(event(categories=["Blue"])) == {}


# --- bodies

#: lines of printable text in the canonical form
LINES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")) | st.sampled_from("\t\n <>&\"'_"))
JOIN = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=%7b%22a%22%3a1%7d&b=2"
TEAMS = (
    f'<br>\r\n<div class="me-email-text">\r\n<div style="x">{"_" * 80}</div>\r\n<div><span>Microsoft Teams</span> '
    f'<a href="{JOIN.replace("&", "&amp;")}">Join</a></div>\r\n<div>{"_" * 80}</div>\r\n</div>\r\n'
)
FRAME = ("<html>\r\n<head><style>p{a}</style></head>\r\n<body lang=EN>\r\n", "</body>\r\n</html>\r\n")


def normal(text: str) -> str:
    """As values come here: NFC, and in the canonical form."""
    return str(canonical("event", {"description": unicodedata.normalize("NFC", text)})["description"])


@given(LINES)
def test_a_text_is_read_back_as_it_was_written(text: str) -> None:
    text = normal(text)
    assert plain(bodies.new_body(text).content) == text
    assert plain(FRAME[0] + bodies.new_body(text).content + FRAME[1]) == text


@given(LINES, LINES, st.booleans())
def test_the_block_stays_byte_for_byte_under_whatever_text(first: str, second: str, is_wrapped: bool) -> None:
    first, second = normal(first), normal(second)
    inner = bodies.new_body(first).content + TEAMS
    body = Body(FRAME[0] + (f"<div class=w>{inner}</div>" if is_wrapped else inner) + FRAME[1])
    assert plain(body.content) == first
    for text in (second, ""):
        body = bodies.with_text(body, text)
        assert plain(body.content) == text and body.content.endswith(TEAMS + ("</div>" if is_wrapped else "") + FRAME[1])
        assert body.content.startswith(FRAME[0].rstrip())


def test_a_block_stays_inside_what_it_lies_in() -> None:
    body = Body(f'<body><div class=w><p>Old<br>text<div id="d"><p>more</p></div>{TEAMS}</div></body>')
    assert bodies.with_text(body, "New").content == f"<body><div>New</div><div class=w><p>{TEAMS}</div></body>"


@given(LINES, st.sampled_from(["", "<p>Hello</p>", FRAME[0] + "<p>Hello</p>" + TEAMS + FRAME[1], "plain", "<body>"]))
def test_what_is_put_above_keeps_every_byte(text: str, content: str) -> None:
    after = bodies.with_text_above(Body(content), normal(text)).content
    head = content[: content.index(">\r\n", content.index("<body")) + 1] if "<body lang" in content else ""
    head = "<body>" if content == "<body>" else head
    assert after.startswith(head) and after.endswith(content[len(head) :])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>a</p><p>b</p>", "a\nb"),
        ("<div>a</div><div><br></div><div>b</div>", "a\n\nb"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul>\n\t<li>one</li>\n\t<li>two</li>\n</ul>", "one\ntwo"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<style>x</style><script>y()</script>seen<!-- not -->", "seen"),
        ("a\r\n   b &amp; &lt;c&gt; &nbsp;d", "a b & <c>  d"),
        ("<p>unclosed <b>bold", "unclosed bold"),
        ("1 < 2 and <3", "1 < 2 and <3"),
        ("<![if !supportLists]>x<![endif]><o:p></o:p>", "x"),
        ("", ""),
    ],
)
def test_what_a_person_sees_of_html(content: str, text: str) -> None:
    assert plain(content) == text


@pytest.mark.parametrize(
    "join",
    [
        "https://teams.microsoft.com/meet/123?p=x",
        "https://us02web.zoom.us/j/123",
        "https://meet.google.com/abc",
        "https://example.webex.com/example/j.php",
        "https://eur01.safelinks.example/?url=https%3A%2F%2Fteams.microsoft.com%2Fl%2Fmeetup-join%2F19",
    ],
)
@pytest.mark.parametrize("lined", [True, False])
def test_blocks_of_other_services_stay_too(join: str, lined: bool) -> None:
    line = f"<div>{'_' * 30}</div>" if lined else ""
    block = f'{line}<p><a href="{join}">Join</a></p>'
    body = Body(f"<body><p>Mine</p>{block}</body>")
    assert plain(body.content) == "Mine"
    assert bodies.with_text(body, "New").content == f"<body><div>New</div>{block}</body>"


#: what people paste: addresses to join at, alone, with a line above, in what looks like markup
PASTED = st.lists(
    st.sampled_from(
        ["Agenda", "Join: https://zoom.us/j/123456", JOIN, "_" * 40, f"Join <{JOIN}>", f'<a href="{JOIN}">Join</a>', ""]
    ),
    min_size=1,
).map("\n".join)
ZOOM = '<div class="zoom"><p><a href="https://zoom.us/j/9">Join</a></p>\r\n</div>'
TEXT_BLOCK = f"{'_' * 30}\nMicrosoft Teams\nJoin: {JOIN}\n{'_' * 30}\n"


@given(PASTED, st.sampled_from([("", False), (TEAMS, False), (ZOOM, False), ("", True), (TEXT_BLOCK, True)]), st.booleans())
def test_a_text_with_an_address_to_join_at_is_read_back_whole(text: str, kept: tuple[str, bool], is_online: bool) -> None:
    text, join = normal(text), JOIN if is_online else ""
    block, is_text = kept
    assert plain(bodies.new_body(text).content, join=join) == text
    for before in ("Old", bodies.new_body(text).content if not is_text else "Old\n"):
        body = bodies.with_text(Body(before + ("\n" if is_text else "") + block, is_text, join), text)
        assert plain(body.content, is_text=body.is_text, join=join) == text
        assert body.content.endswith(block)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('<p>Join: <a href="https://zoom.us/j/1">https://zoom.us/j/1</a></p><p>Notes</p>', "Join: https://zoom.us/j/1\nNotes"),
        ('<p>Join: <a href="https://zoom.us/j/1">zoom.us/j/1</a></p><p>Notes</p>', "Join: zoom.us/j/1\nNotes"),
        (f'<p>Mine</p><p>{"_" * 30}</p><p><a href="https://zoom.us/j/1">https://zoom.us/j/1</a></p>', "Mine"),
    ],
)
def test_a_link_that_a_program_made_of_an_address_is_no_block_without_a_line(content: str, text: str) -> None:
    assert plain(content) == text


def test_a_line_of_a_person_is_no_block() -> None:
    line = "_" * 40
    assert plain(f"<p>Mine</p><p>{line}</p><p>below</p>") == f"Mine\n{line}\nbelow"


def test_the_address_the_event_knows_is_found_whatever_it_looks_like() -> None:
    join = "https://meet.example.test/x?a=1&b=2"
    content = f'<p>Mine</p><p><a href="{join.replace("&", "&amp;")}">here</a></p>'
    assert plain(content, join=join) == "Mine" and plain(content) == "Mine\nhere"


def test_bodies_of_plain_text() -> None:
    block = f"{'_' * 30}\nJoin: {JOIN}\n{'_' * 30}\n"
    body = Body(f"Mine <b>\n{block}", is_text=True)
    assert plain(body.content, is_text=True) == "Mine <b>"
    assert bodies.with_text(body, "New").content == f"New\n{block}"
    assert bodies.with_text_above(body, "Top").content == f"Top\nMine <b>\n{block}"
    assert bodies.as_json(body)["contentType"] == "text"


@given(st.text(st.sampled_from('<>/abdivrp _\n&;"=!-')))
def test_no_body_makes_reading_or_writing_fail(content: str) -> None:
    body = Body(f"{content}{'_' * 20}{content}{JOIN}{content}")
    bodies.plain(body)
    bodies.plain(bodies.with_text(body, "x"))
    bodies.with_text_above(body, "x")


def test_a_deeply_nested_body_takes_no_longer_than_its_length() -> None:
    body = Body("<div>" * 50_000 + TEAMS + "</p>" * 50_000)
    assert bodies.plain(body) == "" and bodies.with_text(body, "x").content.endswith("</p>")
