"""Mail made to fit Salesforce: pure rules of text, fields, statements and errors, without a line."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import (
    BudgetSpent,
    ConsentNeeded,
    Gone,
    NetworkDown,
    OrgApiDisabled,
    Refused,
    RowLocked,
    Stale,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.core.mail import Address, MailRecord
from shared.core.match import Links
from shared.crm import salesforce_ask, salesforce_files, salesforce_map, salesforce_task
from shared.crm.salesforce_errors import answered, row_error, translated
from shared.crm.salesforce_text import clean, joined, line, narrow, narrow_html, plain, units, without_cid
from shared.crm.schema import WANTED, Answer, Described, Facts, Schema
from shared.ports import Place, Question, TenantId
from shared.store.memory import MemoryStore

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CAT, ANNA, DAN = "cat@customer.example.org", "anna@acme.example.com", "dan@customer.example.org"
TEXT = Facts("string", 255, True, True)


def described(name: str, **lengths: int) -> Described:
    fields = dict.fromkeys(WANTED[name], TEXT) | {field: replace(TEXT, length=most) for field, most in lengths.items()}
    if name in ("Contact", "Lead", "User"):
        fields["Email"] = Facts("email", 80, True, True)
    return Described(name, True, fields)


MAIL = described("EmailMessage", TextBody=1000, HtmlBody=1000)
TASK = described("Task", Description=1000)


def record(**changes: Any) -> MailRecord:
    values: dict[str, Any] = {
        "identifier": "<1@customer.example.org>", "thread": "", "subject": "Offer", "date": NOW, "sender": Address(CAT, "Cat"),
        "to": (Address(ANNA),), "cc": (), "bcc": (), "incoming": True, "text": "Hello", "html": "", "links": Links(),
    }  # fmt: skip
    return MailRecord(**values | changes)


# --- text


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("a\U0001f600", 3, "a\U0001f600"),
        ("a\U0001f600", 2, "a"),
        ("\U0001f600\U0001f600", 3, "\U0001f600"),
        ("ab cd", 3, "ab"),
        (" ab ", 10, "ab"),
        ("abc", 0, ""),
    ],
)
def test_text_is_cut_to_utf16_units_without_half_a_pair(text: str, most: int, kept: str) -> None:
    assert narrow(text, most) == kept


@given(st.text(alphabet=st.characters(codec=None), max_size=40), st.integers(0, 60))
def test_what_is_written_can_be_carried_and_fits(text: str, most: int) -> None:
    fitting = narrow(clean(text), most)
    assert units(fitting) <= most and fitting == fitting.strip()
    assert fitting.encode("utf-8").decode("utf-8") == fitting
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", fitting)
    assert (
        clean(text).startswith(fitting) or clean(text).strip().startswith(fitting) or clean(text).lstrip().startswith(fitting)
    )


def test_one_line_stays_one_line() -> None:
    assert line(" a\r\nb\tc\x00\x0bd ") == "a b cd"


def test_only_whole_entries_are_listed() -> None:
    assert joined(["a@x.test", "b@y.test"], 18) == "a@x.test; b@y.test"
    assert joined(["a@x.test", "b@y.test"], 17) == "a@x.test"
    assert joined(["a@x.test"], 3) == ""


@pytest.mark.parametrize(
    ("html", "most", "kept"),
    [
        ("<p>abc</p>", 10, "<p>abc</p>"),
        ("<p>abcdef</p>", 10, "<p>abc</p>"),
        ("<p>a&amp;b</p>xyz", 11, "<p>a</p>"),
        ("<p>a&amp;bcdef</p>", 14, "<p>a&amp;b</p>"),
        ("<p title='long > than'>x</p>y", 20, ""),
        ("<p>a</p><!-- comment of length -->b", 20, "<p>a</p>"),
        ('<p title="a>b" x"y>abcdef</p>', 26, '<p title="a>b" x"y>abc</p>'),
        ("<p title='never ends>abc</p>and so on", 30, ""),
        ("<style>p{color:red}</style>abc", 20, ""),
        ("ab<script>var x = '<p>';</script>cd", 20, "ab"),
        ("<div><p>one<br>two</p><p>three</p></div>", 33, "<div><p>one<br>two</p></div>"),
        ("<div><p>one<br>two</p><p>three</p></div>", 37, "<div><p>one<br>two</p><p>th</p></div>"),
        ("a < b and more", 6, "a < b"),
        ("\U0001f600\U0001f600\U0001f600", 5, "\U0001f600\U0001f600"),
        ("<P CLASS=x>abcdef</P>", 19, "<P CLASS=x>abcd</p>"),
        ("</div></div><p>abc</p>more", 22, "</div></div><p>abc</p>"),
    ],
)
def test_html_is_cut_where_it_does_no_harm(html: str, most: int, kept: str) -> None:
    assert narrow_html(html, most) == kept
    assert units(kept) <= most


class Reader(HTMLParser):
    """Counts what is still open, and what never ended."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        self.left = self.rawdata

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag) :]


PIECES = [
    "<p>", "</p>", "<div class='a > b'>", "</div>", "<br>", "text ", "&amp;", "<!-- x -->", "<style>b{}</style>", "\U0001f600",
    '<img alt="a b">', "<b>", "</b>",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.integers(0, 120))
def test_cut_html_fits_and_leaves_nothing_open(html: str, most: int) -> None:
    cut = narrow_html(html, most)
    reader = Reader(cut)
    assert units(cut) <= most
    if units(html) > most:
        assert reader.open == []
    assert "<" not in reader.left


def test_pictures_of_the_mail_are_taken_out_and_others_stay() -> None:
    html = '<p><img alt="x" SRC = "CID:1@x"><img src=cid:2><img src="https://x.test/cid:3.png"></p>'
    assert without_cid(html) == '<p><img src="https://x.test/cid:3.png"></p>'


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<head><title>T</title><style>p{}</style></head><p>One</p><p>Two&nbsp;&amp; three</p>", "One\n\nTwo & three"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>x</li>\n<li>y</li></ul>", "x\n\ny"),
        ("one\n   two", "one two"),
        ("a < b > c", "a < b > c"),
        ("x<!-- hidden <p> -->y<script>z</script>", "xy"),
        ("x<!-- never ends", "x"),
        ("", ""),
    ],
)  # fmt: skip
def test_html_as_plain_text(html: str, text: str) -> None:
    assert plain(html) == text


# --- EmailMessage


def test_a_plain_mail_has_no_html_and_an_empty_field_is_not_sent() -> None:
    row = salesforce_map.email_message(record(), MAIL)
    assert row == {
        "attributes": {"type": "EmailMessage"}, "MessageIdentifier": "<1@customer.example.org>", "FromAddress": CAT,
        "FromName": "Cat", "Subject": "Offer", "TextBody": "Hello", "ToAddress": ANNA, "Status": "3", "Incoming": True,
        "IsClientManaged": True,
        "MessageDate": "2026-05-04T09:30:00.000+0000",
    }  # fmt: skip


def test_linked_people_are_not_in_the_plain_lists_of_the_same_role() -> None:
    links = Links((("005A", "ToAddress", ANNA), ("003D", "CcAddress", DAN), ("003D", "CcAddress", "dan@alias.example.org")))
    copies = (Address(DAN), Address("dan@alias.example.org"), Address("", "No One"))
    row = salesforce_map.email_message(record(to=(Address(ANNA), Address(DAN)), cc=copies, links=links), MAIL)
    assert (row["ToIds"], row["ToAddress"]) == (["005A"], DAN)
    assert row["CcIds"] == ["003D"] and "CcAddress" not in row and "BccIds" not in row


def test_a_field_that_may_not_be_written_is_left_out() -> None:
    narrow_view = Described("EmailMessage", True, dict(MAIL.fields) | {"ThreadIdentifier": replace(TEXT, createable=False)})
    without = Described("EmailMessage", True, {n: f for n, f in MAIL.fields.items() if n != "TextBody"})
    assert "ThreadIdentifier" not in salesforce_map.email_message(record(thread="<r@x.test>"), narrow_view)
    assert "TextBody" not in salesforce_map.email_message(record(), without)


def test_times_are_written_in_utc() -> None:
    local = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert salesforce_map.moment(local) == "2025-12-31T23:00:00.000+0000"
    assert salesforce_task.task(record(date=local), TASK, "Done")["ActivityDate"] == "2025-12-31"


@pytest.mark.parametrize("address", ["/o=legacy/cn=system", "postmaster", "a b@x.test", "<x@y.test>", "x@local"])
def test_an_address_that_salesforce_would_refuse_goes_to_the_name(address: str) -> None:
    row = salesforce_map.email_message(record(sender=Address(address)), MAIL)
    assert "FromAddress" not in row and row["FromName"] == address


def test_relations_are_written_once() -> None:
    links = Links((("003C", "FromAddress", CAT), ("003C", "FromAddress", "cat@alias.test"), ("005A", "ToAddress", ANNA)))
    assert [one[:2] for one in salesforce_map.relations(record(links=links))] == [
        ("003C", "FromAddress"),
        ("005A", "ToAddress"),
    ]
    assert [one[0] for one in salesforce_map.sender_relations(record(links=links))] == ["003C"]


# --- Task


def test_a_long_mail_keeps_its_head_and_its_name_in_a_task() -> None:
    comments = salesforce_task.description(record(text="\U0001f600" * 5000), 1000)
    assert units(comments) <= 1000 and comments.startswith(
        f"From: Cat <{CAT}>\nTo: {ANNA}\nDate: 2026-05-04 09:30 UTC\n\n\U0001f600"
    )
    assert salesforce_task.identifier_in(comments) == "<1@customer.example.org>"


@pytest.mark.parametrize(
    ("comments", "found"),
    [
        ("x\n\nMessage-ID: <1@x.test>", "<1@x.test>"),
        ("x\nMessage-ID: <1@x.test>\n", "<1@x.test>"),
        ("Message-ID: <1@x.test>\nx", ""),
        ("x Message-ID: <1@x.test>", ""),
        (None, ""),
        ("", ""),
    ],
)
def test_only_the_last_line_names_a_mail(comments: str | None, found: str) -> None:
    assert salesforce_task.identifier_in(comments) == found


@pytest.mark.parametrize(
    ("people", "who", "what"),
    [
        ((), None, "001R"),
        ((("005U", "ToAddress", ANNA),), None, "001R"),
        ((("005U", "ToAddress", ANNA), ("003A", "CcAddress", CAT), ("003B", "ToAddress", DAN)), "003A", "001R"),
        ((("00QL", "FromAddress", CAT),), "00QL", None),
        ((("00QL", "FromAddress", CAT), ("003A", "ToAddress", DAN)), "003A", "001R"),
    ],
)
def test_a_task_is_about_one_person(people: Any, who: str | None, what: str | None) -> None:
    row = salesforce_task.task(record(links=Links(people, "001R")), TASK, "Done")
    assert (row.get("WhoId"), row.get("WhatId"), row["Status"], row["TaskSubtype"]) == (who, what, "Done", "Email")


def test_the_closing_status_is_the_orgs_first() -> None:
    rows = [
        {"ApiName": "Filed", "MasterLabel": "Abgelegt", "SortOrder": 4},
        {"ApiName": "Done", "MasterLabel": "Z", "SortOrder": 2},
    ]
    assert salesforce_task.closing_status(rows) == "Done"
    assert salesforce_task.closing_status([]) == "Completed"


# --- statements

SCHEMA = {name: described(name) for name in salesforce_ask.objects(enhanced=True)}


def asked(question: Question, schema: dict[str, Described] = SCHEMA) -> list[str]:
    return [soql for _, soql in salesforce_ask.statements(question, schema, user_id="005U", now=NOW).asked]


def test_a_question_is_asked_of_every_kind_of_record() -> None:
    question = Question((CAT,), ("123",), ("<1@x.test>",))
    assert asked(question) == [
        f"SELECT Id, CreatedDate, Email, AccountId FROM Contact WHERE (Email IN ('{CAT}'))",
        f"SELECT Id, CreatedDate, Email FROM Lead WHERE (Email IN ('{CAT}')) AND IsConverted = false",
        f"SELECT Id, CreatedDate, Email FROM User WHERE (Email IN ('{CAT}')) AND IsActive = true",
        (
            "SELECT Id, AccountId, OwnerId, CreatedDate FROM Opportunity WHERE IsClosed = false AND AccountId IN "
            f"(SELECT AccountId FROM Contact WHERE Email IN ('{CAT}'))"
        ),
        "SELECT Id, CaseNumber, AccountId FROM Case WHERE CaseNumber IN ('123','00000123')",
        "SELECT Id, MessageIdentifier, CreatedDate FROM EmailMessage WHERE MessageIdentifier IN ('<1@x.test>')",
    ]


def test_several_addresses_of_a_contact_are_asked_together() -> None:
    more = Described(
        "Contact",
        True,
        dict(SCHEMA["Contact"].fields)
        | {"Second__c": Facts("email", 80, True, True), "Third__c": Facts("email", 80, False, True)},
    )
    [contacts, *_] = asked(Question((CAT,)), {**SCHEMA, "Contact": more})
    assert contacts == (
        "SELECT Id, CreatedDate, Email, Second__c, Third__c, AccountId FROM Contact "
        f"WHERE (Email IN ('{CAT}') OR Second__c IN ('{CAT}'))"
    )


@given(st.lists(st.text(min_size=1, max_size=90), max_size=120, unique=True), st.integers(1, 3))
def test_statements_stay_short_and_every_value_is_asked_once_per_field(values: list[str], fields: int) -> None:
    names = [f"Field{number}__c" for number in range(fields)]
    head, tail = "SELECT Id FROM Contact WHERE (", ")"
    statements = list(salesforce_ask.packed(head, names, [salesforce_ask.literal(value * 9) for value in values], tail))
    assert all(len(one) < salesforce_ask.STATEMENT for one in statements)
    literals = [found for one in statements for found in re.findall(r"'((?:[^'\\]|\\.)*)'", one)]
    assert len(literals) == fields * sum(1 for value in values if value * 9 == line(value * 9))


def test_what_no_field_can_hold_is_not_asked() -> None:
    assert asked(Question(("a\x00b@x.test", "x" * 2000, "a\nb@x.test"))) == []


def test_quotes_in_values_do_not_end_a_literal() -> None:
    [contacts, *_] = asked(Question(("o'brien\\@x.test",)))
    assert "IN ('o\\'brien\\\\@x.test')" in contacts


def test_an_object_that_is_not_there_is_left_out_and_named() -> None:
    schema = {**SCHEMA, "Case": Described("Case", False, {}), "Opportunity": Described("Opportunity", False, {})}
    found = salesforce_ask.statements(Question((CAT,), ("1",)), schema, user_id="005U", now=NOW)
    assert [name for name, _ in found.asked] == ["Contact", "Lead", "User"]
    assert found.left_out == ("Opportunity", "Case")


def test_of_several_records_of_a_mail_the_oldest_then_the_lowest_id_counts() -> None:
    def one(record_id: str, created: str, named: str = "<1@x.test>") -> dict[str, str]:
        return {"Id": record_id, "CreatedDate": created, "MessageIdentifier": named}

    rows = [one("02sA", "2026-05-02"), one("02sC", "2026-05-01"), one("02sB", "2026-05-01")]
    rows.append(one("02s0", "2026-04-01", "<1@X.test>"))
    asked_for = Question((), (), ("<1@x.test>", "<2@x.test>"))
    assert salesforce_ask.matches(asked_for, {"EmailMessage": rows}, SCHEMA)[0].saved == {"<1@x.test>": "02sB"}


# --- what is known of an org


class Org:
    """Says of every object what it has, and to whom."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.asked: list[list[str]] = []

    def __call__(self, wanted: Mapping[str, datetime | None]) -> Mapping[str, Answer]:
        self.asked.append(list(wanted))
        body = {"fields": [{"name": "Email", "type": "email", "length": 80, "filterable": True, "label": "Words"}]}
        return {name: Answer(404) if name in self.hidden else Answer(200, body) for name in wanted}


class Now:
    def now(self) -> datetime:
        return NOW


def known(store: MemoryStore) -> Schema:
    return Schema(store, Place("state", TenantId("tenant"), "org", "acme"), Now())


def test_what_one_user_has_not_is_not_taken_from_the_others() -> None:
    store, org = MemoryStore(), Org()
    org.hidden = {"Case"}
    assert known(store).of(["Case", "Lead"], "005A", org)["Case"].exists is False
    org.hidden = set()
    assert known(store).of(["Case", "Lead"], "005B", org)["Case"].exists is True
    assert known(store).of(["Case", "Lead"], "005A", org)["Case"].exists is False
    assert org.asked == [["Case", "Lead"], ["Case"]]


def test_a_users_own_view_is_theirs_alone_and_is_kept() -> None:
    store, org = MemoryStore(), Org()
    known(store).of(["Lead"], "005A", org)
    org.hidden = {"Lead"}
    known(store).own(["Lead"], "005B", org)
    assert known(store).of(["Lead"], "005A", org)["Lead"].emails == ("Email",)
    assert known(store).of(["Lead"], "005B", org)["Lead"].emails == ()
    assert len(org.asked) == 2


# --- files


@pytest.mark.parametrize(
    ("name", "title", "path"),
    [
        ("Offer.PDF", "Offer", "Offer.PDF"),
        ("README", "README", "README"),
        ("", "attachment", "attachment"),
        ("a/b.txt", "a\uff0fb", "a\uff0fb.txt"),
        ("x" * 600 + ".docx", "x" * 255, "x" * 420 + ".docx"),
        ("\U0001f600" * 300 + ".txt", "\U0001f600" * 127, "\U0001f600" * 210 + ".txt"),
    ],
)
def test_a_files_name_becomes_title_and_path(name: str, title: str, path: str) -> None:
    fields = salesforce_files.version_fields(name, "02sM")
    assert (fields["Title"], fields["PathOnClient"], fields["FirstPublishLocationId"]) == (title, path, "02sM")


def test_a_file_that_others_uploaded_is_named_by_title_and_extension() -> None:
    assert salesforce_files.name_of({"Title": "Plan", "FileExtension": "pdf", "LatestPublishedVersion": None}) == "Plan.pdf"
    assert salesforce_files.name_of({"Title": "Plan", "FileExtension": None}) == "Plan"


@pytest.mark.parametrize("name", ["", "wide\uff0fslash.txt"])
def test_a_file_that_was_uploaded_is_found_by_the_name_the_mail_gives_it(name: str) -> None:
    sent = salesforce_files.version_fields(name, "02s1")
    document = {"Title": sent["Title"], "ContentSize": 9, "LatestPublishedVersion": {"PathOnClient": sent["PathOnClient"]}}
    assert salesforce_files.file_of({"ContentDocument": document})[0] == salesforce_files.stored_name(name)


class Bytes(io.BytesIO):
    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self.size = size


def test_an_upload_is_as_long_as_it_says_however_it_is_read() -> None:
    content = bytes(range(256)) * 1000
    fields = salesforce_files.version_fields("ü.bin", "02sM")
    upload = salesforce_files.Upload(fields, "bad type\r\nX: y", Bytes(content, len(content)))
    pieces = list(iter(lambda: upload.read(1000), b""))
    body = b"".join(pieces)
    assert len(body) == len(upload) and max(map(len, pieces)) == 1000
    assert content in body and b"Content-Type: application/octet-stream\r\n" in body
    whole = salesforce_files.Upload(fields, "a/b", Bytes(content, len(content)))
    assert len(whole.read()) == len(whole) == len(upload) - len("application/octet-stream") + len("a/b")


@pytest.mark.parametrize(("size", "kind"), [(4, NetworkDown), (2, Refused)])
def test_an_upload_of_another_length_breaks_off(size: int, kind: type[SyncError]) -> None:
    upload = salesforce_files.Upload(salesforce_files.version_fields("a.txt", "02sM"), "text/plain", Bytes(b"abc", size))
    with pytest.raises(kind):
        upload.read()


# --- errors


def error(code: str, message: str = "words", fields: Any = ()) -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message, "fields": list(fields)}]


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, error("INVALID_SESSION_ID"), ConsentNeeded, "mailbox.consent_needed"),
        (401, "", ConsentNeeded, "mailbox.consent_needed"),
        (403, error("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), BudgetSpent, "budget.spent"),
        (403, error("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."), Throttled, "retry.throttled"),
        (403, error("API_DISABLED_FOR_ORG"), OrgApiDisabled, "org.api_disabled"),
        (404, error("NOT_FOUND"), Gone, "item.gone"),
        (400, error("ENTITY_IS_DELETED"), Gone, "item.gone"),
        (400, error("UNABLE_TO_LOCK_ROW"), RowLocked, "retry.row_locked"),
        (412, error("PRECONDITION_FAILED"), Stale, "item.stale"),
        (429, "", Throttled, "retry.throttled"),
        (503, error("SERVER_UNAVAILABLE"), Unavailable, "retry.unavailable"),
        (504, "<html>", Unavailable, "retry.unavailable"),
        (400, error("QUERY_TIMEOUT"), Unavailable, "retry.unavailable"),
        (400, error("INVALID_FIELD"), Refused, "refused.invalid_field"),
        (400, {"error": "x"}, Refused, "refused.unknown"),
        (400, error("not a code; words"), Refused, "refused.unknown"),
        (400, [], Refused, "refused.unknown"),
        (400, None, Refused, "refused.unknown"),
    ],
)
def test_each_error_has_its_class(status: int, body: Any, kind: type[SyncError], code: str) -> None:
    found = translated(status, body, NOW)
    assert type(found) is kind and found.code == code
    if isinstance(found, BudgetSpent):
        assert found.until == NOW + timedelta(hours=1)


def test_only_field_names_leave_the_vendors_error() -> None:
    refused = translated(400, error("REQUIRED_FIELD_MISSING", fields=["Subject", "My_Field__c", "a secret sentence", 7]), NOW)
    assert isinstance(refused, Refused) and refused.fields == ("Subject", "My_Field__c")


@pytest.mark.parametrize(
    ("code", "kind", "answer"),
    [
        ("ENTITY_IS_DELETED", Refused, Refused),
        ("INVALID_CROSS_REFERENCE_KEY", Refused, Refused),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", Refused, Refused),
        ("UNABLE_TO_LOCK_ROW", RowLocked, Stale),
        ("STORAGE_LIMIT_EXCEEDED", BudgetSpent, Stale),
    ],
)
def test_a_row_error_is_an_answer_to_its_row(code: str, kind: type[SyncError], answer: type[SyncError]) -> None:
    found = row_error({"success": False, "errors": [{"statusCode": code, "message": "words", "fields": []}]}, NOW)
    assert type(found) is kind and type(answered(found)) is answer
    assert type(row_error({"success": False}, NOW)) is Refused


# --- what our own code cannot read


class Unreadable(str):
    """A value that our own code chokes on, in one place."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def test_a_row_that_cannot_be_read_breaks_what_it_was_asked_for_and_nothing_else() -> None:
    person = {"Id": "003a", "CreatedDate": "2026-01-01", "Email": CAT, "AccountId": "001a"}
    known = {"Id": "003b", "CreatedDate": "2026-01-01", "Email": ANNA, "AccountId": "001b"}
    rows = {
        "Contact": [{**person, "Email": Unreadable(CAT.title())}, known],
        "Opportunity": [{"Id": "006b", "AccountId": "001b", "CreatedDate": "2026-01-01"}],
        "Case": [{"Id": Unreadable("500a"), "CaseNumber": "00001234"}, {"Id": "500b", "CaseNumber": "00001235"}],
        "EmailMessage": [{"Id": Unreadable("02sA"), "MessageIdentifier": "<1@x.test>", "CreatedDate": "2026"}],
    }
    question = Question((CAT, ANNA, DAN), ("1234", "1235"), ("<1@x.test>", "<2@x.test>"))
    found, nobodys = salesforce_ask.matches(question, rows, SCHEMA)
    assert set(found.broken) == {CAT, ANNA, "1234", "<1@x.test>"}
    assert {bug.place.split(":")[0] for bug in found.broken.values()} >= {"salesforce_ask.py"}
    assert ([one.id for one in found.people], list(found.cases), nobodys) == (["003b"], ["1235"], [])


def test_a_row_that_concerns_nothing_that_was_asked_is_told_of() -> None:
    rows = {"Contact": [{"Id": "003a", "Email": Unreadable(DAN), "CreatedDate": "2026"}]}
    found, nobodys = salesforce_ask.matches(Question((CAT,)), rows, SCHEMA)
    assert (found.people, found.broken) == ((), {})
    assert [bug.kind for bug in nobodys] == ["ZeroDivisionError"]


def test_a_text_that_cannot_be_asked_for_breaks_itself_alone() -> None:
    question = Question((None, CAT), ("12", "34"), ("<1@x.test>",))  # type: ignore[arg-type]
    asked = salesforce_ask.statements(question, SCHEMA, user_id="005U", now=NOW)
    assert set(asked.broken) == {None}
    assert any(CAT in soql for _, soql in asked.asked)
