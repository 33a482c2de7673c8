"""Graph's messages, refusals, folder tree and cursors, each by itself."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.core.errors import (
    ConsentNeeded,
    CursorExpired,
    Gone,
    MailboxMissing,
    Refused,
    Stale,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.core.mail import Address
from shared.core.scope import ERROR_MARK, MARK, UNSYNC
from shared.mailbox import graph_map as read
from shared.mailbox import graph_streams as streams
from shared.mailbox.graph_errors import TABLE, Refusal, read_refusal, translated
from shared.mailbox.graph_map import Place
from shared.mailbox.graph_streams import DeltaCursor, FolderCursor, MarkCursor
from shared.mailbox.graph_tree import ROLES, TOP, Tree, short

INBOX = Place("inbox")
NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)


def person(address: Any, name: Any = "") -> dict[str, Any]:
    return {"emailAddress": {"address": address, "name": name}}


def message(**more: Any) -> dict[str, Any]:
    """A message as Graph tells it; `headers` are (name, value)."""
    headers = [{"name": name, "value": value} for name, value in more.pop("headers", ())]
    return {
        "@odata.etag": 'W/"CQAAABYAAAB1"',
        "id": "AAk1",
        "changeKey": "CQAAABYAAAB1",
        "internetMessageId": "<own@x.test>",
        "subject": "Offer",
        "from": person("Carl@Customer.Example", "Carl"),
        "sender": person("assistant@customer.example", "Dora"),
        "toRecipients": [person("ada@example.test", "Ada")],
        "ccRecipients": [],
        "bccRecipients": [],
        "categories": [],
        "parentFolderId": "F1",
        "isDraft": False,
        "receivedDateTime": "2026-11-03T08:31:00Z",
        "sentDateTime": "2026-11-03T08:30:00Z",
        "lastModifiedDateTime": "2026-11-03T08:31:02Z",
        "internetMessageHeaders": headers,
        **more,
    }


# --- mail


def test_a_whole_message_becomes_a_mail() -> None:
    mail = read.mail(message(categories=["Blue", MARK]), Place("", True))
    assert (mail.id, mail.version, mail.message_id, mail.thread) == ("AAk1", "CQAAABYAAAB1", "<own@x.test>", "<own@x.test>")
    assert mail.sender == Address("carl@customer.example", "Carl")
    assert mail.to == (Address("ada@example.test", "Ada"),)
    assert mail.categories == ("Blue", MARK)
    assert (mail.role, mail.marked_folder, mail.draft, mail.meeting, mail.private) == ("", True, False, False, False)
    assert mail.received == datetime(2026, 11, 3, 8, 31, tzinfo=UTC)
    assert mail.sent == datetime(2026, 11, 3, 8, 30, tzinfo=UTC)


JUNK: tuple[Any, ...] = (None, "", "x", "\ud800", 7, -1, True, [], [None, 3, {}, [[]]], {}, {"emailAddress": 4}, {"content": 5})


@pytest.mark.parametrize("name", [*message(), "body", "attachments", "singleValueExtendedProperties", "@odata.type"])
def test_no_broken_value_stops_a_page(name: str) -> None:
    for junk in JUNK:
        text = read.mail_text(message(body={"contentType": "html", "content": "x"}) | {name: junk}, INBOX)
        assert text.mail.role == "inbox"
        assert text.mail.received.tzinfo is UTC
        repr(text).encode()


def test_a_message_with_nothing_in_it_is_still_a_mail() -> None:
    mail = read.mail({}, INBOX)
    assert (mail.id, mail.version, mail.message_id, mail.thread, mail.sender, mail.to) == ("", "", "", "", None, ())
    assert mail.received == mail.sent == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_missing_time_is_taken_from_the_nearest_one() -> None:
    sent = datetime(2026, 11, 3, 8, 30, tzinfo=UTC)
    assert read.mail(message(receivedDateTime=None), INBOX).received == sent
    assert read.mail(message(sentDateTime="never"), INBOX).sent == datetime(2026, 11, 3, 8, 31, tzinfo=UTC)
    assert read.moment("2026-11-03T09:30:00.1234567+01:00") == sent.replace(microsecond=123456)
    assert read.moment("2026-11-03T08:30:00") == sent


THREADS = [
    ((("References", "<root@x> <mid@x>"),), "<root@x>"),
    ((("references", "\r\n <root@x>\r\n\t<mid@x>"),), "<root@x>"),
    ((("References", "<ro\r\n ot@x>"),), "<root@x>"),
    ((("References", "(comment) <root@x>"),), "<root@x>"),
    ((("References", "root@x, mid@x"),), "<root@x>"),
    ((("References", "<> <root@x>"),), "<root@x>"),
    ((("References", ""), ("In-Reply-To", "<parent@x>")), "<parent@x>"),
    ((("References", "none at all"), ("In-Reply-To", "your mail of Monday <parent@x>")), "<parent@x>"),
    ((("In-Reply-To", "<>"),), "<own@x.test>"),
    ((("References", "<"),), "<own@x.test>"),
    ((), "<own@x.test>"),
    ((("References", "<first@x>"), ("References", "<second@x>")), "<first@x>"),
]


@pytest.mark.parametrize(("headers", "thread"), THREADS)
def test_the_thread_is_the_root_of_references_else_of_in_reply_to_else_the_mail(headers: Any, thread: str) -> None:
    assert read.mail(message(headers=headers), INBOX).thread == thread


@pytest.mark.parametrize("key", ["String 0x1039", "string 0x1039", "String 0x01039"])
def test_where_there_are_no_headers_the_kept_properties_count(key: str) -> None:
    kept = [{"id": key, "value": "<root@x> <mid@x>"}, {"id": "Integer 0x36", "value": "2"}]
    mail = read.mail(message(internetMessageHeaders=None, singleValueExtendedProperties=kept), INBOX)
    assert (mail.thread, mail.private) == ("<root@x>", True)
    both = message(headers=[("References", "<from-header@x>")], singleValueExtendedProperties=kept)
    assert read.mail(both, INBOX).thread == "<from-header@x>"


@pytest.mark.parametrize(
    ("value", "private"),
    [
        ("Private", True),
        ("personal", True),
        (" Company-Confidential\r\n", True),
        ("Normal", False),
        ("", False),
        ("odd", False),
    ],
)
def test_sensitivity_is_read(value: str, private: bool) -> None:
    assert read.mail(message(headers=[("sensitivity", value)]), INBOX).private is private


@pytest.mark.parametrize(
    ("kind", "meeting"),
    [
        ("#microsoft.graph.eventMessage", True),
        ("#microsoft.graph.eventMessageRequest", True),
        ("#microsoft.graph.eventMessageResponse", True),
        ("#microsoft.graph.message", False),
    ],
)
def test_an_invitation_is_a_meeting(kind: str, meeting: bool) -> None:
    assert read.mail(message(**{"@odata.type": kind}), INBOX).meeting is meeting


def test_the_version_is_the_same_whether_read_from_the_key_or_the_etag() -> None:
    whole = message()
    etag_only = {name: value for name, value in whole.items() if name != "changeKey"}
    assert read.version(whole) == read.version(etag_only)
    assert read.etag(read.version(whole)) == whole["@odata.etag"]


def test_participants_are_canonical() -> None:
    mail = read.mail(
        message(
            **{"from": None},
            toRecipients=[
                person("A@X.TEST", "A"),
                person("a@x.test", "A"),
                person("/o=Org/ou=Admin/cn=ada", "Ada"),
                person(""),
            ],
            ccRecipients=[person(None, "Only a name"), person(" b@x.test\r\n", "B\r\n  Last")],
        ),
        INBOX,
    )
    assert mail.sender == Address("assistant@customer.example", "Dora")
    assert mail.to == (Address("a@x.test", "A"), Address("", "Ada"))
    assert mail.cc == (Address("", "Only a name"), Address("b@x.test", "B Last"))


def test_text_is_nfc_with_plain_line_ends_and_whole_characters() -> None:
    assert read.text("Zu\u0308rich\r\nBern\rBasel\0") == "Z\u00fcrich\nBern\nBasel"
    assert read.text("\U0001f600"[:1] + "\ud83d") == "\U0001f600\ufffd"
    assert read.mail(message(subject=" Zu\u0308rich \r\n\t offer "), INBOX).subject == "Z\u00fcrich offer"


def test_our_categories_are_spelled_as_ours_and_each_counts_once() -> None:
    names = ["salesforce", "SALESFORCE UNSYNC", MARK, "sync error", "Blue", 4]
    assert read.mail(message(categories=names), INBOX).categories == (MARK, UNSYNC, ERROR_MARK, "Blue")


@pytest.mark.parametrize(
    ("kind", "text", "html"), [("html", "", "<p>Hi</p>"), ("text", "<p>Hi</p>", ""), ("Text", "<p>Hi</p>", "")]
)
def test_the_body_is_given_as_html_or_as_text(kind: str, text: str, html: str) -> None:
    found = read.mail_text(message(body={"contentType": kind, "content": "<p>Hi</p>"}), INBOX)
    assert (found.text, found.html) == (text, html)


def test_attachments_have_a_kind_and_what_we_do_not_know_is_never_opened() -> None:
    kinds = ("fileAttachment", "itemAttachment", "referenceAttachment", "somethingNew")
    listed: list[dict[str, Any]] = [
        {"@odata.type": f"#microsoft.graph.{kind}", "id": kind, "name": f"a\r\n {kind}", "size": 3} for kind in kinds
    ]
    listed[0]["isInline"] = True
    found = read.mail_text(message(attachments=listed), INBOX).attachments
    assert [one.kind for one in found] == ["file", "mail", "link", "link"]
    assert [one.inline for one in found] == [True, False, False, False]
    assert (found[0].name, found[0].size, found[0].content_type) == ("a fileAttachment", 3, "application/octet-stream")


# --- refusals


def test_every_row_of_the_table_makes_an_error_of_ours() -> None:
    for (status, code), make in TABLE.items():
        assert isinstance(make(Refusal(status or 400, code or "", 3.0, "inbox")), SyncError)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "ErrorItemNotFound", Gone),
        (410, "resyncRequired", CursorExpired),
        (410, "", CursorExpired),
        (404, "SyncStateNotFound", CursorExpired),
        (400, "SyncStateInvalid", CursorExpired),
        (404, "MailboxNotEnabledForRESTAPI", MailboxMissing),
        (404, "ErrorInvalidUser", MailboxMissing),
        (401, "InvalidAuthenticationToken", ConsentNeeded),
        (403, "ErrorAccessDenied", ConsentNeeded),
        (403, "ExtensionError", Refused),
        (409, "ErrorIrresolvableConflict", Stale),
        (409, "ErrorFolderExists", Refused),
        (412, "ErrorIrresolvableConflict", Stale),
        (412, "", Stale),
        (429, "ApplicationThrottled", Throttled),
        (424, "FailedDependency", Unavailable),
        (500, "ErrorInternalServerError", Unavailable),
        (503, "", Unavailable),
        (504, "", Unavailable),
        (302, "", Unavailable),
        (999, "", Unavailable),
        (400, "ErrorInvalidUrlQueryFilter", Refused),
        (501, "NotImplemented", Refused),
    ],
)
def test_refusals_are_translated(status: int, code: str, error: type[SyncError]) -> None:
    body = {"error": {"code": code, "message": "Carl's mail about the offer"}}
    found = translated(read_refusal(status, body, {"retry-after": "17"}, "inbox"))
    assert type(found) is error
    assert "offer" not in f"{found!r} {found} {vars(found)}"
    if isinstance(found, Throttled | Unavailable):
        assert found.after_s == 17
    if isinstance(found, CursorExpired):
        assert found.stream == "inbox"


def test_what_has_no_cursor_cannot_lose_it() -> None:
    assert isinstance(translated(Refusal(410)), Gone)


@pytest.mark.parametrize(
    "body", [None, [], "text", {"error": None}, {"error": {"code": 7}}, {"error": {"code": "Carl wrote: hi"}}]
)
def test_a_body_that_is_no_refusal_gives_the_status_alone(body: Any) -> None:
    assert translated(read_refusal(400, body, {})).code == "refused.400"


@pytest.mark.parametrize("wait", ["", "soon", "-3", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_wait_that_is_no_number_leaves_the_back_off_to_us(wait: str) -> None:
    assert read_refusal(429, None, {"Retry-After": wait}).after_s is None


# --- the tree


def tree() -> Tree:
    """top > inbox, deleteditems > thrown > deep, marking > below > deepest, other."""
    made = Tree(roles={name: short(name) for name in (*ROLES, TOP)}, marked="marking")
    for folder, parent in (
        ("inbox", TOP), ("deleteditems", TOP), ("thrown", "deleteditems"), ("deep", "thrown"), ("marking", TOP),
        ("below", "marking"), ("deepest", "below"), ("other", TOP), ("under inbox", "inbox"),
    ):  # fmt: skip
        made.put(folder, parent)
    return made


@pytest.mark.parametrize(
    ("folder", "place"),
    [
        ("inbox", Place("inbox")),
        ("sentitems", Place("sentitems")),
        ("under inbox", Place("")),
        ("deleteditems", Place("deleteditems")),
        ("deep", Place("deleteditems")),
        ("marking", Place("", True)),
        ("deepest", Place("", True)),
        ("other", Place("")),
        ("unknown", None),
        ("", Place("")),
    ],
)
def test_a_folder_has_its_place(folder: str, place: Place | None) -> None:
    assert tree().place(folder) == place


def test_the_tree_survives_its_text() -> None:
    before = tree()
    after = Tree(text=before.text(), roles=before.roles, marked=before.marked)
    assert after.marking() == before.marking() == sorted(short(name) for name in ("marking", "below", "deepest"))
    assert after.place("deepest") == Place("", True)
    assert after.text() == before.text()


def test_a_marking_folder_that_is_gone_or_thrown_away_does_not_stand() -> None:
    made = tree()
    assert made.stands
    made.put("marking", "thrown")
    assert (made.stands, made.marking()) == (False, [])
    assert made.place("deepest") == Place("deleteditems")
    made.put("marking", "other")
    assert made.stands
    made.remove("marking")
    assert not made.stands


def test_answers_that_make_a_circle_do_not_hang() -> None:
    made = tree()
    made.put("marking", "deepest")
    assert made.place("deepest") == Place("", True)
    assert short("deepest") in made.marking()


def test_10_000_folders_fit_and_none_is_taken_for_another() -> None:
    made = Tree(roles={TOP: short(TOP)})
    for n in range(10_000):
        made.put(f"AAMkADYzMzNjYjEwLTJiNDMtNDMxMy1hOTA5LTU3OTgxYzlhNmYxZAAuAAAAAACgtKjWhV8QS4Jb9YZxtLKDAQ{n}=", TOP)
    assert len(made.text()) == 160_000
    assert len(streams.written(FolderCursor(tree=made.text()))) < 400_000


# --- cursors and requests


@pytest.mark.parametrize(
    "cursor",
    [
        FolderCursor(
            "/users/a/mailFolders/delta?$deltatoken=x", True, "marked_x", "AAMk", {"inbox": "12345678", "outbox": ""}, "a"
        ),
        FolderCursor(),
        DeltaCursor("inbox", "/users/a"),
        MarkCursor("2026-11-24T11:55:00Z", "2026-11-24T12:00:00Z", 180, "AAMk", "2026-11-24T12:00:00Z"),
    ],
)
def test_a_cursor_is_read_as_it_was_written(cursor: Any) -> None:
    assert streams.read(type(cursor), streams.written(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "none", "[1]", "7", '{"odd": 1}', "null"])
def test_what_is_no_cursor_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError):
        streams.read(DeltaCursor, text)


def asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_the_look_back_stands_in_the_first_request_of_a_stream_alone() -> None:
    first = streams.delta_url("/users/a", DeltaCursor("inbox"), NOW)
    assert asked(first)["$filter"] == "receivedDateTime ge 2026-11-24T12:00:30Z"
    assert "$filter" not in asked(streams.delta_url("/users/a", DeltaCursor("AAMk="), None))
    assert streams.delta_url("/users/a", DeltaCursor("inbox", "/next"), NOW) == "/next"


def test_a_query_by_category_has_no_limit_first_and_looks_back_five_minutes_then() -> None:
    assert asked(streams.mark_url("/users/a", MarkCursor(), MARK))["$filter"] == "categories/any(c:c eq 'Salesforce')"
    after = streams.next_mark(MarkCursor(), NOW, [NOW] * 3, more=False)
    assert after == MarkCursor("2026-11-24T11:55:30Z")
    assert asked(streams.mark_url("/users/a", after, UNSYNC))["$filter"] == (
        "categories/any(c:c eq 'Salesforce Unsync') and lastModifiedDateTime ge 2026-11-24T11:55:30Z"
    )
    search = asked(streams.mark_url("/users/a", MarkCursor(after.since, search="AAMk="), MARK))
    assert search["$filter"] == "lastModifiedDateTime ge 2026-11-24T11:55:30Z"


def test_the_watermark_is_the_time_of_the_first_page() -> None:
    page = streams.next_mark(MarkCursor("2026-11-24T10:00:00Z"), NOW, [NOW] * 200, more=True)
    assert (page.since, page.skip) == ("2026-11-24T10:00:00Z", 180)
    later = NOW + timedelta(minutes=30)
    page = streams.next_mark(page, later, [NOW] * 200, more=True)
    assert page.skip == 360
    assert streams.next_mark(page, later, [NOW] * 40, more=False) == MarkCursor("2026-11-24T11:55:30Z")


def test_a_watermark_moves_only_when_that_leaves_something_out() -> None:
    cursor, older = MarkCursor("2026-11-24T10:00:00Z"), NOW - timedelta(minutes=6)
    assert streams.next_mark(cursor, NOW, [], more=False) == cursor
    assert streams.next_mark(cursor, NOW, [NOW, NOW - timedelta(minutes=4)], more=False) == cursor
    for left_out in ([older], [NOW, None]):
        assert streams.next_mark(cursor, NOW, left_out, more=False) == MarkCursor("2026-11-24T11:55:30Z")


def test_pages_of_any_size_move_on() -> None:
    cursor = MarkCursor()
    for took, before in itertools.pairwise([200, 21, 20, 1, 0, 5]):
        after = streams.next_mark(cursor, NOW, [NOW] * before, more=True)
        assert after.skip > cursor.skip, took
        cursor = after


def test_a_new_search_folder_has_time_to_fill_before_the_watermark_moves() -> None:
    cursor = MarkCursor("2026-11-24T11:00:00Z", search="AAMk", made="2026-11-24T12:00:00Z")
    assert streams.next_mark(cursor, NOW, [], more=False) == cursor
    settled = streams.next_mark(cursor, NOW + timedelta(minutes=15), [], more=False)
    assert settled == MarkCursor("2026-11-24T12:10:30Z", search="AAMk")
