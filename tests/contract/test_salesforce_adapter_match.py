"""What the mail adapter asks the Salesforce stand-in over real TLS to find people and records, and in how many calls."""

from __future__ import annotations

from shared.core.match import Case, Opportunity
from shared.ports import Matches, Question
from tests.contract.salesforce_desk import CAT, EVE, Desk, only, record, row
from tests.contract.salesforce_world import ANNA

pytest_plugins = ("tests.contract.salesforce_fixtures",)


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
