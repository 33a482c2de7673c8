"""The mail adapter against the Salesforce stand-in over real TLS: what is asked and written, and in how many calls."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sandbox.frame import FaultRule
from shared.core.errors import (
    BudgetSpent,
    Bug,
    ConsentNeeded,
    Gone,
    ItemError,
    NetworkDown,
    OrgApiDisabled,
    Refused,
    Stale,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.core.mail import Address, MailRecord
from shared.core.match import Case, Links, Opportunity, Role
from shared.crm.budget import Budget
from shared.crm.salesforce import SalesforceMail
from shared.crm.schema import Schema
from shared.ports import Bearer, MailCrm, Matches, Place, Question, SavedMail, TenantId
from shared.store.memory import MemoryStore
from tests.contract.salesforce_world import ANNA, CLIENT, Served, serving

CAT, DAN, EVE = "cat@customer.example.org", "dan@customer.example.org", "eve@lead.example.net"
WHEN = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as one:
        yield one


@pytest.fixture
def org(served: Served) -> Iterator[Served]:
    served.fresh()
    yield served
    served.refuse_violations()


class Token:
    """Anna's access; a new token is issued where the old is refused, unless consent is gone."""

    def __init__(self, org: Served, token: str = "", *, consent: bool = True) -> None:
        self._org = org
        self._token = token or org.token
        self._consent = consent
        self.renewed = 0

    def current(self) -> Bearer:
        return Bearer(self._token, self._org.org.base_url)

    def after(self, refused: Bearer) -> Bearer:
        self.renewed += 1
        if self._consent:
            self._token = self._org.org.issue_token(ANNA, CLIENT)["access_token"]
        return self.current()


class Desk:
    """Everything one session needs, over one store."""

    def __init__(self, org: Served) -> None:
        self.org = org
        self.store = MemoryStore()
        self.place = Place("state", TenantId("tenant"), "org", uuid.uuid4().hex)
        self.schema = Schema(self.store, self.place, org.world.clock)
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify = org.ca_file

    def session(self, token: Token | None = None, *, by_person: bool = False) -> SalesforceMail:
        budget = Budget(self.store, self.place, self.org.world.clock, by_person)
        return SalesforceMail(
            self.http, token or Token(self.org), user_id=self.org.anna, schema=self.schema, budget=budget,
            clock=self.org.world.clock, session_id="s-1",
        )  # fmt: skip

    def ready(self) -> SalesforceMail:
        """A session in an org that is known already, with the calls counted from now."""
        mail = self.session()
        mail.match(Question(("nobody@example.org",)))
        self.org.world.calls.clear()
        return mail

    def calls(self) -> dict[str, int]:
        counted = self.org.world.calls.snapshot().get("salesforce", {})
        return {name.replace("/services/data/{version}/", ""): n for name, n in counted.items()}


@pytest.fixture
def desk(org: Served) -> Desk:
    return Desk(org)


def record(number: int = 1, **changes: Any) -> MailRecord:
    values: dict[str, Any] = {
        "identifier": f"<{number}.Mail@customer.example.org>", "thread": "<root@customer.example.org>",
        "subject": f"Offer {number}", "date": WHEN, "sender": Address(CAT, "Cat Customer"),
        "to": (Address(ANNA, "Anna"), Address("x@else.example.org")),
        "cc": (Address(DAN), Address("y@else.example.org")), "bcc": (), "incoming": True, "text": "Hello", "html": "",
        "links": Links(),
    }  # fmt: skip
    return MailRecord(**values | changes)


def only(answers: Any) -> SavedMail:
    [answer] = answers
    assert isinstance(answer, SavedMail), answer
    return answer


def row(org: Served, object_name: str, record_id: str) -> dict[str, Any]:
    found: dict[str, Any] = org.get(f"/sobjects/{object_name}/{record_id}")
    return found


def relations(org: Served, mail_id: str) -> set[tuple[str, str]]:
    soql = f"SELECT RelationId, RelationType FROM EmailMessageRelation WHERE EmailMessageId = '{mail_id}'"
    return {(one["RelationId"], one["RelationType"]) for one in org.query(soql)}


def fault(org: Served, kind: str, match: str = "", **more: Any) -> None:
    org.world.rules.append(FaultRule("salesforce", kind, match, **more))


# --- match


def test_people_are_found_by_every_address_they_have_and_kinds_are_kept_apart(desk: Desk) -> None:
    org = desk.org
    org.org.records.schema.add_field("Contact", {"name": "Second_Email__c", "type": "email", "length": 80})
    account = org.make("Account", Name="Customer")
    cat = org.make("Contact", LastName="Customer", AccountId=account, Email="Other@customer.example.org", Second_Email__c=CAT)
    eve = org.make("Lead", LastName="Lead", Company="Lead", Email=EVE)
    inactive = org.org.add_user("gone@acme.example.com", "G", "One", "gone@acme.example.com", active=False)
    found = desk.session().match(Question((CAT, EVE, ANNA, "gone@acme.example.com"), opportunities=False))
    people = {one.id: one for one in found.people}
    assert set(people) == {cat, eve, org.anna} and inactive not in people
    assert (people[cat].kind, people[cat].account) == ("Contact", account)
    assert set(people[cat].addresses) == {CAT, "other@customer.example.org"}
    assert (people[eve].kind, people[eve].account, people[eve].addresses) == ("Lead", "", (EVE,))
    assert people[org.anna].kind == "User"
    assert people[cat].created == row(org, "Contact", cat)["CreatedDate"]


def test_only_open_opportunities_of_matched_contacts_accounts_are_found(desk: Desk) -> None:
    org = desk.org
    accounts = [org.make("Account", Name=name) for name in ("One", "Two")]
    org.make("Contact", LastName="Customer", AccountId=accounts[0], Email=CAT)

    def deal(account: str, stage: str) -> str:
        return org.make("Opportunity", Name="Deal", AccountId=account, StageName=stage, CloseDate="2026-12-01")

    open_one = deal(accounts[0], "Prospecting")
    deal(accounts[0], "Closed Won")
    deal(accounts[1], "Prospecting")
    created = row(org, "Opportunity", open_one)["CreatedDate"]
    expected = (Opportunity(open_one, accounts[0], org.anna, created),)
    assert desk.session().match(Question((CAT,))).opportunities == expected
    assert desk.session().match(Question((CAT,), opportunities=False)).opportunities == ()


def test_cases_are_found_by_their_number_without_zeros(desk: Desk) -> None:
    case_id = desk.org.make("Case", Subject="Broken")
    number = row(desk.org, "Case", case_id)["CaseNumber"]
    assert number != number.lstrip("0"), "the org pads its numbers"
    plain = number.lstrip("0")
    assert desk.session().match(Question((), (plain, "777"))).cases == {plain: Case(case_id, plain)}


def test_saved_mail_is_found_by_the_exact_identifier_and_the_oldest_counts(desk: Desk) -> None:
    mail = desk.session()
    first = only(mail.save([record(1)])).id
    desk.org.world.clock.advance(5)
    mail.save([record(1), record(1, identifier="<1.mail@customer.example.org>")])
    asked = ("<1.Mail@customer.example.org>", "<1.MAIL@customer.example.org>", "<it's@\"odd\\one>")
    assert mail.match(Question((), (), asked)).saved == {asked[0]: first}


def test_nothing_asked_means_no_call(desk: Desk) -> None:
    assert desk.session().match(Question(())) == Matches()
    assert desk.org.world.calls.http["salesforce"] == 0


def test_a_match_of_200_mails_is_one_call_and_two_with_everything_asked(desk: Desk) -> None:
    mail = desk.ready()
    addresses = tuple(f"person{number}.name@customer{number}.example.org" for number in range(200))
    mail.match(Question(addresses))
    assert desk.calls() == {"POST composite": 1}
    identifiers = tuple(f"<{number}.abcdefghijklmnop@mail.customer.example.org>" for number in range(200))
    desk.org.world.calls.clear()
    mail.match(Question(addresses, tuple(str(number) for number in range(10000, 10100)), identifiers))
    assert desk.calls() == {"POST composite": 2}


def test_long_lists_become_more_statements_and_nothing_is_missed(desk: Desk) -> None:
    ids = {
        f"person{number}@{'long' * 10}.example.org": desk.org.make(
            "Contact", LastName=str(number), Email=f"Person{number}@{'long' * 10}.example.org"
        )
        for number in (0, 350, 699)
    }
    mail = desk.ready()
    addresses = tuple(f"person{number}@{'long' * 10}.example.org" for number in range(700))
    found = mail.match(Question(addresses, opportunities=False))
    assert {one.addresses[0]: one.id for one in found.people} == ids
    assert desk.calls() == {"POST composite": 2}


def test_an_answer_of_many_pages_is_read_to_its_end(desk: Desk) -> None:
    records = desk.org.org.records
    for number in range(2100):
        records.create("Contact", {"LastName": str(number), "Email": CAT}, desk.org.anna)
    records.store.commit()
    mail = desk.ready()
    assert len(mail.match(Question((CAT,), opportunities=False)).people) == 2100
    assert desk.calls() == {"POST composite": 1, "GET query/{locator}": 1}


def test_a_field_that_cannot_be_filtered_by_leaves_its_object_out(desk: Desk) -> None:
    field = desk.org.org.records.schema.find("Lead").field("Email")  # type: ignore[union-attr]
    object.__setattr__(field, "flags", field.flags - {"f"})  # type: ignore[union-attr]
    try:
        mail = desk.session()
        assert mail.match(Question((EVE,), opportunities=False)).people == ()
        assert mail.left_out == {"Lead": 1}
    finally:
        object.__setattr__(field, "flags", field.flags | {"f"})  # type: ignore[union-attr]


# --- save


def test_a_saved_mail_has_every_field(desk: Desk) -> None:
    org = desk.org
    account = org.make("Account", Name="Customer")
    cat, dan = (org.make("Contact", LastName=name, AccountId=account, Email=name) for name in (CAT, DAN))
    people: tuple[tuple[str, Role, str], ...] = (
        (cat, "FromAddress", CAT), (org.anna, "ToAddress", ANNA), (dan, "CcAddress", DAN),
    )  # fmt: skip
    saved = only(desk.session().save([record(links=Links(people, account), html="<p>Hello</p>", text="")]))
    assert saved.complete
    mail = row(org, "EmailMessage", saved.id)
    expected = {
        "Status": "3", "Incoming": True, "IsClientManaged": True, "MessageIdentifier": "<1.Mail@customer.example.org>",
        "ThreadIdentifier": "<root@customer.example.org>", "MessageDate": "2026-05-04T09:30:00.000+0000", "FromAddress": CAT,
        "FromName": "Cat Customer", "ToAddress": "x@else.example.org", "CcAddress": "y@else.example.org", "BccAddress": None,
        "Subject": "Offer 1", "HtmlBody": "<p>Hello</p>", "TextBody": "Hello", "RelatedToId": account,
    }  # fmt: skip
    assert {name: mail[name] for name in expected} == expected
    assert relations(org, saved.id) == {(cat, "FromAddress"), (org.anna, "ToAddress"), (dan, "CcAddress")}


def test_a_save_of_200_mails_is_two_calls_and_one_without_a_linked_sender(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    mail = desk.ready()
    linked = [record(number, links=Links(((cat, "FromAddress", CAT),))) for number in range(200)]
    answers = mail.save(linked)
    assert len({only([one]).id for one in answers}) == 200 and all(only([one]).complete for one in answers)
    assert desk.calls() == {"POST composite/sobjects": 2}
    desk.org.world.calls.clear()
    mail.save([record(number) for number in range(200, 400)])
    assert desk.calls() == {"POST composite/sobjects": 1}


@pytest.mark.parametrize("length", [765, 255])
def test_what_is_too_long_or_cannot_be_carried_is_made_to_fit(desk: Desk, length: int) -> None:
    desk.org.world.switches["salesforce.message_identifier_length"] = length
    desk.org.world.switches["salesforce.mail_body_length"] = 32000
    long = record(
        subject="\U0001f600" * 4000 + "\ud83d", text="a" + "\U0001f600" * 40000 + "\x00\x08",
        html="<div><p>" + "x" * 40000 + "</p></div>", to=tuple(Address(f"p{n}@long.example.org") for n in range(500)),
        sender=Address("/o=legacy/cn=system", "Old\nSystem"),
    )  # fmt: skip
    saved = only(desk.session().save([long]))
    mail = row(desk.org, "EmailMessage", saved.id)
    assert mail["Subject"] == "\U0001f600" * 1500
    assert mail["TextBody"] == "a" + "\U0001f600" * 15999
    assert mail["HtmlBody"].endswith("x</p></div>") and len(mail["HtmlBody"]) == 32000
    assert len(mail["ToAddress"]) <= 4000 and mail["ToAddress"].endswith("@long.example.org")
    assert (mail["FromAddress"], mail["FromName"]) == (None, "Old System")


def test_one_refused_mail_refuses_no_other(desk: Desk) -> None:
    gone = desk.org.make("Account", Name="Gone")
    desk.org.call("DELETE", f"/sobjects/Account/{gone}")
    first, refused, last = desk.session().save([record(1), record(2, links=Links(related=gone)), record(3)])
    assert isinstance(first, SavedMail) and isinstance(last, SavedMail)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.fields) == ("refused.entity_is_deleted", ("RelatedToId",))


def test_full_storage_parks_the_org_unless_some_mail_still_went_in(desk: Desk) -> None:
    mail = desk.ready()
    full = {
        "success": False,
        "errors": [{"statusCode": "STORAGE_LIMIT_EXCEEDED", "message": "storage limit exceeded", "fields": []}],
    }
    fault(desk.org, "status", "composite/sobjects", status=200, body=[full, full])
    with pytest.raises(BudgetSpent):
        mail.save([record(1), record(2)])
    fault(desk.org, "status", "composite/sobjects", status=200, body=[{"id": "02s", "success": True, "errors": []}, full])
    first, second = mail.save([record(1), record(2)])
    assert first == SavedMail("02s") and isinstance(second, Stale)


def test_an_org_that_gave_up_enhanced_email_gets_tasks_at_once(desk: Desk) -> None:
    mail = desk.ready()
    desk.org.org.settings.enhanced_email = False
    assert only(mail.save([record(1)])).id.startswith("00T")
    assert list(mail.match(Question((), (), (record(1).identifier,))).saved) == [record(1).identifier]


def test_a_locked_row_is_tried_once_more_and_then_left_open(desk: Desk) -> None:
    mail = desk.ready()
    fault(desk.org, "locked_row", "create EmailMessage", after=1)
    answers = mail.save([record(1), record(2)])
    assert all(isinstance(one, SavedMail) for one in answers)
    assert desk.calls() == {"POST composite/sobjects": 2}
    fault(desk.org, "locked_row", "create EmailMessage", times=2)
    [locked] = mail.save([record(3)])
    assert isinstance(locked, Stale)
    assert len(desk.org.query("SELECT Id FROM EmailMessage")) == 2


def test_what_stands_is_told_of_when_the_second_try_of_a_locked_row_is_lost(desk: Desk) -> None:
    mail = desk.ready()
    fault(desk.org, "locked_row", "create EmailMessage", after=1)
    fault(desk.org, "drop_before", "composite/sobjects", after=1)
    first, second = mail.save([record(1), record(2)])
    assert isinstance(first, SavedMail) and isinstance(second, Stale)
    assert [one["Id"] for one in desk.org.query("SELECT Id FROM EmailMessage")] == [first.id]


def test_a_relation_that_failed_leaves_the_mail_incomplete_until_it_is_completed(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    mail = desk.ready()
    fault(desk.org, "drop_before", "composite/sobjects", after=1)
    mine = record(links=Links(((cat, "FromAddress", CAT), (desk.org.anna, "ToAddress", ANNA))))
    saved = only(mail.save([mine]))
    assert not saved.complete
    assert relations(desk.org, saved.id) == {(desk.org.anna, "ToAddress")}
    desk.org.world.calls.clear()
    assert only(mail.complete([(saved.id, mine)])) == SavedMail(saved.id)
    assert desk.calls() == {"POST composite": 1, "POST composite/sobjects": 1}
    assert relations(desk.org, saved.id) == {(cat, "FromAddress"), (desk.org.anna, "ToAddress")}
    desk.org.world.calls.clear()
    assert only(mail.complete([(saved.id, mine)])) == SavedMail(saved.id)
    assert desk.calls() == {"POST composite": 1}


def test_completing_a_mail_that_is_gone_or_refused_says_so(desk: Desk) -> None:
    mail = desk.session()
    gone, standing = (only([one]).id for one in mail.save([record(1), record(2)]))
    mail.remove(gone)
    lost = desk.org.make("Contact", LastName="Customer", Email=CAT)
    desk.org.call("DELETE", f"/sobjects/Contact/{lost}")
    linked = record(2, links=Links(((lost, "FromAddress", CAT),)))
    first, second = mail.complete([(gone, record(1)), (standing, linked)])
    assert isinstance(first, Gone) and isinstance(second, Refused)


def test_a_lost_answer_is_no_answer_and_the_mail_is_found_afterwards(desk: Desk) -> None:
    mail = desk.ready()
    fault(desk.org, "drop_after", "composite/sobjects")
    with pytest.raises(NetworkDown):
        mail.save([record(1)])
    [standing] = desk.org.query("SELECT Id FROM EmailMessage")
    assert mail.match(Question((), (), (record(1).identifier,))).saved == {record(1).identifier: standing["Id"]}


def test_removing_a_mail_twice_is_gone(desk: Desk) -> None:
    mail = desk.session()
    saved = only(mail.save([record(1)]))
    mail.remove(saved.id)
    assert desk.org.query("SELECT Id FROM EmailMessage") == []
    with pytest.raises(Gone):
        mail.remove(saved.id)


# --- files


class Source(io.RawIOBase):
    """Bytes as a mailbox sends them; remembers the largest piece that was asked for."""

    def __init__(self, content: bytes, said: int | None = None) -> None:
        self._content = io.BytesIO(content)
        self.size = len(content) if said is None else said
        self.largest = 0

    def read(self, n: int = -1) -> bytes:
        piece = self._content.read(n)
        self.largest = max(self.largest, len(piece) if n >= 0 else 1 << 60)
        return piece


@pytest.mark.parametrize(
    "name",
    ["Offer.PDF", "no extension", "übel \U0001f600 'quoted' \"x\".txt", "a/b\\c.pdf", ".env", "archive.tar.gz", "%22.txt"],
)
def test_an_attached_file_is_found_by_its_name_and_size(desk: Desk, name: str) -> None:
    mail = desk.session()
    saved = only(mail.save([record(1)])).id
    content = b"\x00\r\n--boundary\xff" * 7
    mail.attach([saved], name, "application/pdf", Source(content))
    assert mail.files([saved]) == {saved: [(name, len(content))]}
    [version] = desk.org.query("SELECT Id FROM ContentVersion")
    assert desk.org.call("GET", f"/sobjects/ContentVersion/{version['Id']}/VersionData").content == content


def test_a_file_is_streamed_and_linked_to_every_record_in_two_calls(desk: Desk) -> None:
    mail = desk.ready()
    accounts = [desk.org.make("Account", Name=str(number)) for number in range(3)]
    saved = only(mail.save([record(1)])).id
    desk.org.world.calls.clear()
    content = bytes(range(256)) * 8192
    source = Source(content)
    mail.attach([saved, *accounts, saved], "big.bin", "application/octet-stream", source)
    assert desk.calls() == {"POST sobjects/{object}": 1, "POST composite": 1}
    assert source.largest <= 64 * 1024
    assert mail.files([saved, *accounts]) == {one: [("big.bin", len(content))] for one in (saved, *accounts)}
    assert len(desk.org.query("SELECT Id FROM ContentVersion")) == 1


def test_mails_without_files_have_none(desk: Desk) -> None:
    mail = desk.session()
    saved = only(mail.save([record(1)])).id
    assert mail.files([saved]) == {saved: []}
    assert mail.files([]) == {}


@pytest.mark.parametrize(("said", "error"), [(11, NetworkDown), (9, Refused)])
def test_a_file_of_another_length_than_said_is_not_uploaded(desk: Desk, said: int, error: type[SyncError]) -> None:
    mail = desk.session()
    saved = only(mail.save([record(1)])).id
    with pytest.raises(error):
        mail.attach([saved], "a.txt", "text/plain", Source(b"0123456789", said))
    assert mail.files([saved]) == {saved: []}


def test_an_upload_in_an_ended_session_is_tried_again_by_the_caller(desk: Desk) -> None:
    token = Token(desk.org)
    mail = desk.session(token)
    saved = only(mail.save([record(1)])).id
    desk.org.org.sessions.end(desk.org.token)
    with pytest.raises(Unavailable):
        mail.attach([saved], "a.txt", "text/plain", Source(b"abc"))
    mail.attach([saved], "a.txt", "text/plain", Source(b"abc"))
    assert mail.files([saved]) == {saved: [("a.txt", 3)]}
    assert token.renewed == 1


# --- an org without Enhanced Email


def test_without_enhanced_email_a_mail_becomes_a_completed_task(desk: Desk) -> None:
    desk.org.org.settings.enhanced_email = False
    account = desk.org.make("Account", Name="Customer")
    cat = desk.org.make("Contact", LastName="Customer", AccountId=account, Email=CAT)
    links = Links(((desk.org.anna, "ToAddress", ANNA), (cat, "FromAddress", CAT)), account)
    mail = desk.session()
    saved = only(mail.save([record(links=links, text="", html="<p>Hello<br>there</p><style>p{}</style>")]))
    task = row(desk.org, "Task", saved.id)
    expected = {
        "Subject": "Offer 1", "Status": "Completed", "IsClosed": True, "TaskSubtype": "Email", "ActivityDate": "2026-05-04",
        "WhoId": cat, "WhatId": account, "OwnerId": desk.org.anna,
    }  # fmt: skip
    assert {name: task[name] for name in expected} == expected
    assert task["Description"] == (
        f"From: Cat Customer <{CAT}>\nTo: Anna <{ANNA}>, x@else.example.org\nCc: {DAN}, y@else.example.org\n"
        "Date: 2026-05-04 09:30 UTC\n\nHello\nthere\n\nMessage-ID: <1.Mail@customer.example.org>"
    )
    assert mail.complete([(saved.id, record())]) == [saved]
    mail.attach([saved.id], "a.txt", "text/plain", Source(b"abc"))
    assert mail.files([saved.id]) == {saved.id: [("a.txt", 3)]}


def test_without_enhanced_email_a_lead_stands_alone(desk: Desk) -> None:
    desk.org.org.settings.enhanced_email = False
    eve = desk.org.make("Lead", LastName="Lead", Company="Lead", Email=EVE)
    account = desk.org.make("Account", Name="Chosen")
    saved = only(desk.session().save([record(links=Links(((eve, "FromAddress", EVE),), account))]))
    task = row(desk.org, "Task", saved.id)
    assert (task["WhoId"], task["WhatId"]) == (eve, None)


def test_without_enhanced_email_a_saved_mail_is_found_by_its_last_line_for_three_days(desk: Desk) -> None:
    desk.org.org.settings.enhanced_email = False
    mail = desk.session()
    quoting = record(2, text="Message-ID: <quoted@customer.example.org>\nMessage-ID: <quoted@customer.example.org>")
    first, second = (only([one]).id for one in mail.save([record(1), quoting]))
    asked = (record(1).identifier, quoting.identifier, "<quoted@customer.example.org>")
    assert mail.match(Question((), (), asked)).saved == {asked[0]: first, asked[1]: second}
    desk.org.world.clock.advance(3 * 86400 + 60)
    token = Token(desk.org, desk.org.org.issue_token(ANNA, CLIENT)["access_token"])
    assert desk.session(token).match(Question((), (), asked)).saved == {}


def test_the_task_of_an_old_mail_is_found_although_it_is_archived(desk: Desk) -> None:
    desk.org.org.settings.enhanced_email = False
    mail = desk.session()
    old = record(1, date=desk.org.world.clock.now() - timedelta(days=500))
    saved = only(mail.save([old])).id
    assert mail.match(Question((), (), (old.identifier,))).saved == {old.identifier: saved}
    mail.remove(saved)
    assert mail.match(Question((), (), (old.identifier,))).saved == {}


# --- mistakes of our own


def test_a_record_that_our_own_code_cannot_map_is_refused_alone(desk: Desk) -> None:
    mail = desk.ready()
    first, broken, third = mail.save([record(1), record(2, subject=None), record(3)])
    assert isinstance(first, SavedMail) and isinstance(third, SavedMail)
    assert isinstance(broken, Bug) and broken.place.startswith("salesforce_text.py:")
    assert len(list(desk.org.org.records.store.all("EmailMessage"))) == 2
    broken_links = record(1, links=Links(((None, None, None),)))  # type: ignore[arg-type]
    again = mail.complete([(first.id, broken_links), (third.id, record(3))])
    assert isinstance(again[0], Bug) and again[1] == SavedMail(third.id)


# --- the line itself


def test_an_ended_session_is_renewed_once(desk: Desk) -> None:
    token = Token(desk.org, "00D000000000001!ended")
    assert only(desk.session(token).save([record(1)])).complete
    assert token.renewed == 1


def test_a_session_that_stays_refused_needs_consent(desk: Desk) -> None:
    token = Token(desk.org, "00D000000000001!ended", consent=False)
    with pytest.raises(ConsentNeeded):
        desk.session(token).match(Question((CAT,)))
    assert token.renewed == 1


def error_body(code: str, message: str = "secret words") -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message}]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, error_body("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), BudgetSpent),
        (403, error_body("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."), Throttled),
        (403, error_body("API_DISABLED_FOR_ORG"), OrgApiDisabled),
        (403, error_body("API_CURRENTLY_DISABLED"), OrgApiDisabled),
        (400, error_body("STORAGE_LIMIT_EXCEEDED"), BudgetSpent),
        (503, error_body("SERVER_UNAVAILABLE"), Unavailable),
        (500, error_body("UNKNOWN_EXCEPTION"), Unavailable),
        (502, "<html>secret words</html>", Unavailable),
        (302, "", Unavailable),
        (200, "<html>secret words</html>", Unavailable),
        (400, error_body("MALFORMED_QUERY"), Refused),
        (400, error_body("secret words"), Refused),
    ],
)
def test_errors_are_ours_and_carry_no_word_of_the_vendor(desk: Desk, status: int, body: Any, error: type[SyncError]) -> None:
    mail = desk.ready()
    fault(desk.org, "status", "POST", status=status, body=body)
    with pytest.raises(error) as raised:
        mail.match(Question((CAT,)))
    assert "secret" not in repr(raised.value) + str(vars(raised.value))
    assert raised.value.__cause__ is None and (raised.value.__suppress_context__ or raised.value.__context__ is None)


def test_a_token_does_not_follow_a_redirect(desk: Desk) -> None:
    mail = desk.ready()
    desk.org.world.calls.http.clear()
    fault(desk.org, "status", "POST", status=302, headers={"Location": f"{desk.org.org.base_url}/services/data"})
    with pytest.raises(Unavailable):
        mail.match(Question((CAT,)))
    assert desk.org.world.calls.http["salesforce"] == 1


@pytest.mark.parametrize("act", ["match", "save", "files", "attach"])
def test_a_cut_line_is_no_answer(desk: Desk, act: str) -> None:
    mail = desk.ready()
    saved = only(mail.save([record(1)])).id
    fault(desk.org, "drop_before")
    acts: dict[str, Callable[[], object]] = {
        "match": lambda: mail.match(Question((CAT,))),
        "save": lambda: mail.save([record(2)]),
        "files": lambda: mail.files([saved]),
        "attach": lambda: mail.attach([saved], "a.txt", "text/plain", Source(b"abc")),
    }
    with pytest.raises(NetworkDown):
        acts[act]()


def test_an_older_org_is_spoken_to_in_its_own_version(desk: Desk) -> None:
    heard: list[str] = []
    desk.http.hooks["response"].append(lambda answer, *_, **__: heard.append(answer.request.path_url))
    desk.org.world.switches["salesforce.newest_version"] = "64.0"
    from shared.crm import salesforce_client

    salesforce_client._versions.pop(desk.org.org.base_url, None)
    try:
        desk.session().match(Question((CAT,)))
    finally:
        salesforce_client._versions.pop(desk.org.org.base_url, None)
    assert (
        heard[0] == "/services/data" and len(heard) == 3 and all(path.startswith("/services/data/v64.0/") for path in heard[1:])
    )


def test_every_call_names_its_session(desk: Desk) -> None:
    named: list[Any] = []
    desk.http.hooks["response"].append(lambda answer, *_, **__: named.append(answer.request.headers["Sforce-Call-Options"]))
    desk.session().save([record(1)])
    assert len(named) >= 2
    assert set(named) == {"client=mailspan/s-1"}


# --- schema and budget in the org's partition


def test_the_org_is_described_once_for_every_session_and_instance(desk: Desk) -> None:
    desk.session().match(Question((CAT,)))
    assert desk.calls() == {"POST composite": 2}  # describe, match
    other = Desk(desk.org)
    other.store, other.place = desk.store, desk.place
    other.schema = Schema(other.store, other.place, desk.org.world.clock)
    desk.org.world.calls.clear()
    other.session().match(Question((CAT,)))
    assert desk.calls() == {"POST composite": 1}


def test_an_old_description_is_used_and_then_asked_for_anew(desk: Desk) -> None:
    desk.session().match(Question((CAT,)))
    desk.org.org.records.schema.add_field("Contact", {"name": "Second_Email__c", "type": "email", "length": 80})
    cat = desk.org.make("Contact", LastName="Customer", Second_Email__c=CAT)
    desk.org.world.clock.advance(4 * 3600 + 1)
    token = Token(desk.org, desk.org.org.issue_token(ANNA, CLIENT)["access_token"])
    desk.org.world.calls.clear()
    mail = desk.session(token)
    assert mail.match(Question((CAT,), opportunities=False)).people == ()
    assert desk.calls() == {"POST composite": 2}
    assert [one.id for one in mail.match(Question((CAT,), opportunities=False)).people] == [cat]
    assert desk.calls() == {"POST composite": 3}


def test_an_unchanged_description_is_not_sent_again_and_stays_in_use(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    desk.org.world.calls.clear()
    answered: list[int] = []
    for _ in range(3):
        token = Token(desk.org, desk.org.org.issue_token(ANNA, CLIENT)["access_token"])
        mail = desk.session(token)
        desk.http.hooks["response"].append(lambda answer, *_, **__: answered.append(len(answer.content)))
        assert [one.id for one in mail.match(Question((CAT,), opportunities=False)).people] == [cat]
        desk.http.hooks["response"].clear()
        mail.match(Question((CAT,), opportunities=False))
        desk.org.world.clock.advance(4 * 3600 + 1)
    assert desk.calls() == {"POST composite": 1 + 2 * 3 + 2}  # described, matched, and asked anew in the later two
    assert answered[-1] < 2000 < answered[0]  # 304 for every object; the whole of every object


def test_an_old_description_stays_in_use_where_a_new_one_is_not_to_be_had(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    desk.session().match(Question((CAT,)))
    desk.org.world.clock.advance(4 * 3600 + 1)
    token = Token(desk.org, desk.org.org.issue_token(ANNA, CLIENT)["access_token"])
    fault(desk.org, "status", "POST", status=503, body=error_body("SERVER_UNAVAILABLE"), after=1)
    found = desk.session(token).match(Question((CAT,), opportunities=False))
    assert [one.id for one in found.people] == [cat]
    assert desk.org.world.rules[0].times == 0, "the fault met the new description"


def test_a_field_this_user_may_not_see_is_left_out_after_one_refusal(desk: Desk) -> None:
    schema = desk.org.org.records.schema
    schema.add_field("Contact", {"name": "Hidden_Email__c", "type": "email", "length": 80})
    desk.ready()
    owner = schema.find("Contact")
    assert owner is not None
    del owner.fields["hidden_email__c"]
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    assert [one.id for one in desk.session().match(Question((CAT,), opportunities=False)).people] == [cat]
    desk.org.world.calls.clear()
    desk.session().match(Question((CAT,), opportunities=False))
    assert desk.calls() == {"POST composite": 1}


def test_a_full_budget_stops_background_work_before_its_first_call(desk: Desk) -> None:
    desk.org.org.settings.api_limit = 1000
    desk.org.org.settings.api_used_before = 900
    with pytest.raises(BudgetSpent):
        desk.session().save([record(1)])  # its first call says how full it is, and it stops there
    desk.org.world.calls.clear()
    with pytest.raises(BudgetSpent):
        desk.session().match(Question((CAT,)))
    assert desk.calls() == {}
    assert only(desk.session(by_person=True).save([record(2)])).complete


def test_rows_hold_nothing_of_people_or_mails(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    mail = desk.session()
    mail.match(Question((CAT,), ("12345",), (record().identifier,)))
    mail.save([record(links=Links(((cat, "FromAddress", CAT),)))])
    kept = " ".join(f"{one.key} {dict(one.value)}" for one in desk.store.scan(desk.place))
    assert "schema_Contact" in kept and "budget" in kept
    assert not [word for word in ("example.org", "Offer", "Customer", desk.org.anna, cat) if word in kept]


def test_the_adapter_is_the_ports_mail_crm(desk: Desk) -> None:
    adapter: MailCrm = desk.session()
    answers: list[SavedMail | ItemError] = list(adapter.save([]))
    assert answers == [] and desk.org.world.calls.http["salesforce"] == 0
