"""Scope, matching and settings where the law (tests/system/matching.csv) has no row: ties, borders, what is told on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from shared.core.mail import Address, Mail
from shared.core.match import Links, Person, Role, case_numbers, links, participants_of
from shared.core.profile import SETTINGS, Profile, checked
from shared.core.scope import MARK, Filters, Verdict, judge, parties_of

NOW = datetime(2026, 5, 1, tzinfo=UTC)
US, THEM, BLOCKED, FREE = "me@own.test", "ann@customer.test", "x@spam.test", "bob@gmail.com"
PROFILE = Profile({"internal_domains": ["@Own.test"], "blocklist": ["Spam.test"], "block_free_mail": True})
#: the first is the primary address, whose domain is internal whatever the profile says
FILTERS = Filters(PROFILE, ["Me@Own.test", "Me@Alias.test", "me+team@shared.test"])
MAIL = Mail(
    id="1", version="1", message_id="<1@customer.test>", thread="", subject="", sender=Address(THEM), to=(Address(US),), cc=(),
    bcc=(), categories=(), role="inbox", marked_folder=False, draft=False, meeting=False, private=False, received=NOW, sent=NOW,
)  # fmt: skip


def verdict(mail: Mail) -> Verdict:
    return judge(mail, activated=NOW, profile=PROFILE, filters=FILTERS)


def to(*addresses: str) -> tuple[Address, ...]:
    return tuple(Address(address) for address in addresses)


def test_of_those_who_take_part_it_is_told_who_counts_who_is_blocked_and_who_is_internal() -> None:
    mail = replace(MAIL, to=to(US, BLOCKED, FREE, "me@alias.test"))
    assert verdict(mail) == Verdict(True, "saved.auto", by_hand=False)
    assert verdict(replace(mail, categories=(MARK,))) == Verdict(True, "saved.marked", by_hand=True)
    by_itself, by_hand = (parties_of(mail, PROFILE, FILTERS, by_hand=by_hand) for by_hand in (False, True))
    assert (by_itself.external, by_itself.blocked) == ((THEM,), frozenset({BLOCKED, FREE}))
    assert (by_hand.external, by_hand.blocked) == ((THEM, FREE), frozenset({BLOCKED}))
    assert by_itself.internal == by_hand.internal == {US, "me@alias.test"}
    assert [address for address, _ in by_itself.everybody] == [THEM, US, BLOCKED, FREE, "me@alias.test"]


def test_a_blocked_address_that_is_internal_stays_internal() -> None:
    profile = Profile({"internal_domains": ["own.test"], "blocklist": ["own.test"]})
    filters = Filters(profile, [US])
    found = parties_of(MAIL, profile, filters, by_hand=False)
    assert (found.internal, found.blocked) == (frozenset({US}), frozenset())
    assert judge(MAIL, activated=NOW, profile=profile, filters=filters).rule == "saved.auto"


def test_a_mail_in_which_nobody_has_an_address_is_no_customers() -> None:
    assert verdict(replace(MAIL, sender=Address("", "Ann"), to=to("/o=own/cn=erik"))).rule == "skipped.internal"


def test_what_lies_among_the_drafts_is_not_saved_even_where_it_is_no_draft() -> None:
    assert verdict(replace(MAIL, role="drafts", categories=(MARK,))).rule == "skipped.draft"


def test_the_look_back_ends_to_the_second() -> None:
    edge = NOW - timedelta(days=6)
    assert verdict(replace(MAIL, received=edge)).save
    assert verdict(replace(MAIL, received=edge - timedelta(seconds=1))).rule == "skipped.look_back"


def test_a_plus_makes_an_address_our_own_only_before_the_at_sign_and_only_after_the_whole_name() -> None:
    assert FILTERS.internal("me+a+b@alias.test")
    assert FILTERS.internal("me+team@shared.test")
    assert not FILTERS.internal("me@shared.test")
    assert not FILTERS.internal("me@alias.test+x")
    assert not FILTERS.internal("+me@alias.test")
    assert not FILTERS.internal("mee+x@alias.test")


def test_the_domain_of_the_mailbox_itself_is_internal_though_nobody_set_it_and_a_free_mail_domain_is_not() -> None:
    assert Filters(Profile(), ["me@own.test", "me@alias.test"]).internal("colleague@own.test")
    assert not Filters(Profile(), ["me@own.test", "me@alias.test"]).internal("colleague@alias.test")
    assert not Filters(Profile(), ["me@gmail.com"]).internal("you@gmail.com")


def test_participants_stand_in_the_order_of_the_mail_once_each_and_only_with_an_address() -> None:
    mail = replace(
        MAIL,
        to=to(US, THEM, "/o=own/cn=erik"),
        cc=(Address("", "Team"), Address("cc@x.test")),
        bcc=to("cc@x.test", "bcc@x.test"),
    )
    seen: list[tuple[str, Role]] = [(THEM, "FromAddress"), (US, "ToAddress"), ("cc@x.test", "CcAddress")]
    assert list(participants_of(mail, PROFILE)) == seen
    assert list(participants_of(mail, Profile({"save_bcc": True}))) == [*seen, ("bcc@x.test", "BccAddress")]
    assert participants_of(replace(MAIL, sender=None), PROFILE) == ((US, "ToAddress"),)


FROM_THEM: tuple[tuple[str, Role], ...] = ((THEM, "FromAddress"), (US, "ToAddress"))


def linked(*people: Person, participants: tuple[tuple[str, Role], ...] = FROM_THEM, blocked: str = "") -> Links:
    return links(
        participants, people=people, blocked=frozenset([blocked]), opportunities=(), cases={}, subject="", own_user="005A",
        link_opportunities=True, clones=True,
    )  # fmt: skip


def test_of_several_contacts_the_oldest_stands_then_the_lowest_id_in_whatever_order_they_come() -> None:
    old = [Person(f"003{n}", "Contact", (THEM,), "2026-01-01", f"001{n}") for n in "BCA"]
    young = Person("0030", "Contact", (THEM,), "2026-01-02", "0010")
    for people in permutations([*old, young]):
        assert linked(*people).people == (("003A", "FromAddress", THEM),)
        assert linked(*people).related == "001A"


def test_a_lead_alone_is_not_linked_by_its_blocked_address() -> None:
    lead = Person("00QA", "Lead", (THEM, BLOCKED), "2026-01-01")
    two: tuple[tuple[str, Role], ...] = (*FROM_THEM, (BLOCKED, "CcAddress"))
    assert linked(lead, participants=two).matched == {THEM, BLOCKED}
    assert linked(lead, participants=two, blocked=BLOCKED).matched == {THEM}


def test_nobody_is_linked_by_an_address_that_only_looks_alike() -> None:
    assert linked(Person("003A", "Contact", ("ann@customer.test.test", "xann@customer.test"), "2026-01-01")) == Links()


def test_case_numbers_are_runs_of_five_to_ten_digits_each_once() -> None:
    assert case_numbers("Case 00012345, 12345 and 1234; 00000 12345678901 x99999x") == ("12345", "99999")


@pytest.mark.parametrize(
    ("subject", "numbers"),
    [("case 1042", ("1042",)), ("RE: Case Number: 1042", ("1042",)), ("case no. 1042, 0001042", ("1042",)),
     ("CASE#1042", ("1042",)), ("staircase 1042", ()), ("in case of 1042", ()), ("case 104", ()), ("case 10425", ("10425",)),
     ("case 0000", ()), ("cases 1042", ())],
)  # fmt: skip
def test_four_digits_are_a_case_number_right_after_the_word_only(subject: str, numbers: tuple[str, ...]) -> None:
    assert case_numbers(subject) == numbers


def test_a_forced_setting_of_a_wider_layer_wins_and_what_is_unknown_or_out_of_range_is_left_out() -> None:
    company = {"look_back_days": {"value": 3, "mode": "force"}, "save_body": {"value": "none", "mode": "allow"}, "new": 1}
    profile = Profile(company, {"look_back_days": 30, "save_body": "full", "interval_s": 1, "auto_save_mail": "yes"})
    assert (profile["look_back_days"], profile["save_body"], profile["interval_s"]) == (3, "full", 1800)
    assert profile["auto_save_mail"] is True


@pytest.mark.parametrize(
    "values", [{"unknown": 1}, {"look_back_days": -1}, {"look_back_days": True}, {"save_body": "half"}, {"blocklist": "a"},
               {"blocklist": [""]}, {"clones": 1}]
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        checked(values)


def test_every_setting_has_a_valid_default_and_a_text() -> None:
    for setting in SETTINGS:
        assert setting.text
        assert checked({setting.name: setting.default if setting.kind != "list" else list(setting.default)})
