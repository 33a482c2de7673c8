"""The mail adapter whichever way Salesforce is: where a file may be published to, how long texts of a mail may be."""

from __future__ import annotations

import pytest

from sandbox.frame import FaultRule
from shared.core.errors import Gone, ItemError, NetworkDown, Refused, Stale
from shared.core.mail_record import MAX_IDENTIFIER
from shared.core.match import Links
from shared.crm.salesforce import SalesforceMail
from shared.crm.salesforce_files import is_no_place
from shared.ports import Question
from tests.contract.salesforce_desk import CAT, Desk, Source, only, record, relations, row
from tests.contract.salesforce_world import ANNA, Served

PUBLISH = "salesforce.publish_to_mail"
ONE, TWO = {"POST sobjects/{object}": 1}, {"POST sobjects/{object}": 1, "POST composite": 1}
pytest_plugins = ("tests.contract.salesforce_fixtures",)


def sent(mail: SalesforceMail, targets: list[str], name: str, content: bytes) -> int:
    """Attaches as the engine does: once more from the beginning where the adapter says so. Answers how often it was sent."""
    try:
        mail.attach(targets, name, "text/plain", Source(content))
    except Stale:
        mail.attach(targets, name, "text/plain", Source(content))
        return 2
    return 1


def seen_by_nobody(org: Served) -> list[str]:
    """Names of the files that are linked to nothing but their user."""
    links = org.query(
        "SELECT ContentDocumentId, LinkedEntityId FROM ContentDocumentLink WHERE LinkedEntityId = '" + org.anna + "'"
    )
    shown = []
    for link in links:
        soql = f"SELECT LinkedEntityId FROM ContentDocumentLink WHERE ContentDocumentId = '{link['ContentDocumentId']}'"
        if len(org.query(soql)) == 1:
            shown.append(link["ContentDocumentId"])
    return shown


# --- where a file is published to


@pytest.mark.parametrize("taken", [True, False])
def test_a_file_is_on_its_mail_and_all_other_records_whether_or_not_it_can_be_published_there(desk: Desk, taken: bool) -> None:
    desk.org.world.switches[PUBLISH] = taken
    mail = desk.session()
    saved = only(mail.save([record()])).id
    targets = [saved, *(desk.org.make("Account", Name=str(number)) for number in range(26))]
    content = bytes(range(256)) * 600
    assert sent(mail, targets, "offer.pdf", content) == (1 if taken else 2)
    assert mail.files(targets) == {one: [("offer.pdf", len(content))] for one in targets}
    assert row(desk.org, "EmailMessage", saved)["HasAttachment"] is True
    [version] = desk.org.query("SELECT Id FROM ContentVersion")
    assert desk.org.call("GET", f"/sobjects/ContentVersion/{version['Id']}/VersionData").content == content


@pytest.mark.parametrize("taken", [True, False])
def test_a_refusal_is_met_once_by_all_sessions_of_a_process(desk: Desk, taken: bool) -> None:
    desk.org.world.switches[PUBLISH] = taken
    mail = desk.ready()
    saved = only(mail.save([record()])).id
    sent(mail, [saved], "first.txt", b"abc")
    for number, session in enumerate((mail, desk.session())):
        desk.org.world.calls.clear()
        assert sent(session, [saved], f"{number}.txt", b"abc") == 1
        assert desk.calls() == (ONE if taken else TWO)
    assert {name for name, _ in mail.files([saved])[saved]} == {"first.txt", "0.txt", "1.txt"}  # type: ignore[union-attr]
    assert seen_by_nobody(desk.org) == []


@pytest.mark.parametrize("taken", [True, False])
def test_a_mail_that_takes_no_files_refuses_them_and_leaves_none_behind(desk: Desk, taken: bool) -> None:
    desk.org.world.switches[PUBLISH] = taken
    mail = desk.session()
    finished = desk.org.make("EmailMessage", Status="3", Subject="finished")
    with pytest.raises(Refused) as refusal:
        sent(mail, [finished], "a.txt", b"abc")
    assert refusal.value.code == "refused.insufficient_access_or_readonly"
    assert desk.org.query("SELECT Id FROM ContentVersion") == []


@pytest.mark.parametrize("taken", [True, False])
def test_a_file_of_a_mail_that_is_gone_is_left_nowhere_and_changes_nothing_for_the_next(desk: Desk, taken: bool) -> None:
    desk.org.world.switches[PUBLISH] = taken
    mail = desk.session()
    gone, saved = (only(mail.save([record(number)])).id for number in (1, 2))
    mail.remove(gone)
    with pytest.raises((Gone, Refused)):
        sent(mail, [gone], "a.txt", b"abc")
    assert desk.org.query("SELECT Id FROM ContentVersion") == []
    assert sent(mail, [saved], "b.txt", b"abc") == (1 if taken else 2)
    assert mail.files([saved]) == {saved: [("b.txt", 3)]}


@pytest.mark.parametrize("taken", [True, False])
def test_a_file_that_another_record_refuses_stays_on_its_mail(desk: Desk, taken: bool) -> None:
    desk.org.world.switches[PUBLISH] = taken
    mail = desk.session()
    saved = only(mail.save([record()])).id
    finished = desk.org.make("EmailMessage", Status="3", Subject="finished")
    with pytest.raises(Refused):
        sent(mail, [saved, finished], "a.txt", b"abc")
    assert mail.files([saved]) == {saved: [("a.txt", 3)]}
    assert sent(mail, [saved], "b.txt", b"abc") == 1


def test_a_lost_answer_to_the_link_doubles_no_file_on_the_mail(desk: Desk) -> None:
    desk.org.world.switches[PUBLISH] = False
    mail = desk.session()
    saved = only(mail.save([record()])).id
    sent(mail, [saved], "first.txt", b"abc")
    desk.org.world.rules.append(FaultRule("salesforce", "drop_after", "POST /services/data/{version}/composite"))
    with pytest.raises(NetworkDown):
        sent(mail, [saved], "a.txt", b"abc")
    assert mail.files([saved]) == {saved: [("first.txt", 3), ("a.txt", 3)]}
    assert seen_by_nobody(desk.org) == []


def test_without_the_link_the_file_is_nobodys_and_the_next_session_sends_it_again(desk: Desk) -> None:
    desk.org.world.switches[PUBLISH] = False
    mail = desk.session()
    saved = only(mail.save([record()])).id
    sent(mail, [saved], "first.txt", b"abc")
    desk.org.world.rules.append(FaultRule("salesforce", "drop_before", "POST /services/data/{version}/composite"))
    with pytest.raises(NetworkDown):
        sent(mail, [saved], "a.txt", b"abc")
    assert mail.files([saved]) == {saved: [("first.txt", 3)]}
    assert len(seen_by_nobody(desk.org)) == 1
    assert sent(desk.session(), [saved], "a.txt", b"abc") == 1
    assert mail.files([saved]) == {saved: [("first.txt", 3), ("a.txt", 3)]}


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refused("refused.field_integrity_exception", ("FirstPublishLocationId",)), True),
        (Refused("refused.whatever", ("FirstPublishLocationId",)), True),
        (Refused("refused.malformed_id"), True),
        (Gone(), True),
        (Refused("refused.field_integrity_exception", ("VersionData",)), False),
        (Refused("refused.file_longer_than_said", ("VersionData",)), False),
        (Refused("refused.insufficient_access_or_readonly", ("LinkedEntityId",)), False),
        (Refused("refused.required_field_missing"), False),
    ],
)
def test_a_refusal_of_the_place_is_told_from_one_of_the_file(refusal: ItemError, expected: bool) -> None:
    assert is_no_place(refusal) is expected


# --- how long texts may be


@pytest.mark.parametrize("most", [32_000, 131_072])
@pytest.mark.parametrize("field", ["text", "html"])
def test_a_body_is_saved_up_to_what_the_org_holds(desk: Desk, field: str, most: int) -> None:
    desk.org.world.switches["salesforce.mail_body_length"] = most
    mail = desk.session()
    short, long = "short", "word " * 40_000
    nothing = {"text": "", "html": ""}
    first, second = mail.save([record(1, **nothing | {field: short}), record(2, **nothing | {field: long})])
    name = {"text": "TextBody", "html": "HtmlBody"}[field]
    assert short in row(desk.org, "EmailMessage", only([first]).id)[name]
    kept = row(desk.org, "EmailMessage", only([second]).id)[name]
    assert most * 0.9 < len(kept) <= most
    assert kept.startswith("word word")


@pytest.mark.parametrize("most", [255, 765])
def test_a_mail_is_found_by_its_identifier_and_keeps_its_thread_at_either_length(desk: Desk, most: int) -> None:
    desk.org.world.switches["salesforce.message_identifier_length"] = most
    mail = desk.session()
    longest = f"<{'i' * (MAX_IDENTIFIER - 12)}@x.example>"
    thread = f"<{'t' * (MAX_IDENTIFIER - 12)}@x.example>"
    assert len(longest) == MAX_IDENTIFIER
    saved = only(mail.save([record(identifier=longest, thread=thread)])).id
    assert row(desk.org, "EmailMessage", saved)["ThreadIdentifier"] == thread
    assert mail.match(Question((), identifiers=(longest,))).saved == {longest: saved}


@pytest.mark.parametrize("filled", [True, False])
def test_nothing_written_needs_references_inside_a_collection(desk: Desk, filled: bool) -> None:
    desk.org.world.switches["salesforce.composite_collection_references"] = filled
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    links = Links(((desk.org.anna, "ToAddress", ANNA), (cat, "FromAddress", CAT)))
    mail = desk.session()
    saved = only(mail.save([record(links=links)]))
    assert saved.complete
    assert {(desk.org.anna, "ToAddress"), (cat, "FromAddress")} <= relations(desk.org, saved.id)
    assert mail.complete([(saved.id, record(links=links))]) == [saved]
    assert sent(mail, [saved.id, cat], "a.txt", b"abc") == 1
    assert mail.files([saved.id, cat]) == {one: [("a.txt", 3)] for one in (saved.id, cat)}
