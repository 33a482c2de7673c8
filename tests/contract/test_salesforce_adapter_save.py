"""What the mail adapter writes to the Salesforce stand-in over real TLS: mails, in an org without Enhanced Email tasks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.errors import (
    BudgetSpent,
    Bug,
    Gone,
    NetworkDown,
    Refused,
    Stale,
)
from shared.core.mail import Address
from shared.core.match import Links, Role
from shared.ports import Question, SavedMail
from tests.contract.salesforce_desk import CAT, DAN, EVE, Desk, Source, Token, fault, only, record, relations, row
from tests.contract.salesforce_world import ANNA, CLIENT

pytest_plugins = ("tests.contract.salesforce_fixtures",)


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


def test_a_record_that_our_own_code_cannot_map_is_refused_alone(desk: Desk) -> None:
    mail = desk.ready()
    first, broken, third = mail.save([record(1), record(2, subject=None), record(3)])
    assert isinstance(first, SavedMail) and isinstance(third, SavedMail)
    assert isinstance(broken, Bug) and broken.place.startswith("salesforce_text.py:")
    assert len(list(desk.org.org.records.store.all("EmailMessage"))) == 2
    broken_links = record(1, links=Links(((None, None, None),)))  # type: ignore[arg-type]
    again = mail.complete([(first.id, broken_links), (third.id, record(3))])
    assert isinstance(again[0], Bug) and again[1] == SavedMail(third.id)


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
