"""Scope, matching and settings as tables of cases, written from behaviour.md 0, 1.2 and 1.3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.core.match import Case, Links, Opportunity, Person, Role, case_numbers, links
from shared.core.profile import SETTINGS, Profile, checked
from shared.core.scope import MARK, UNSYNC, Filters, Place, Verdict, judge

NOW = datetime(2026, 5, 1, tzinfo=UTC)
INBOX, SENT, OTHER, MARKED = Place("inbox"), Place("sentitems"), Place(""), Place("", marked_folder=True)
US, THEM, BLOCKED, FREE = "me@own.test", "ann@customer.test", "x@spam.test", "bob@gmail.com"
BASE = {"internal_domains": ["own.test"], "blocklist": ["spam.test", "ann@blocked.test"]}


def verdict(
    *addresses: str, marks: tuple[str, ...] = (), place: Place = INBOX, days: float = 1, draft: bool = False,
    meeting: bool = False, **settings: object,
) -> Verdict:  # fmt: skip
    profile = Profile({**BASE, **settings})
    return judge(
        addresses=addresses, categories=marks, place=place, draft=draft, meeting=meeting, received=NOW - timedelta(days=days),
        activated=NOW, profile=profile, filters=Filters(profile, ["me@alias.test"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (verdict(THEM, US), "saved.auto"),
        (verdict(US, THEM, place=SENT), "saved.auto"),
        (verdict(THEM, US, marks=(MARK,), place=OTHER, days=900), "saved.marked"),
        (verdict(THEM, US, place=MARKED), "saved.marked"),
        (verdict(THEM, US, place=OTHER), "skipped.not_marked"),
        (verdict(THEM, US, marks=(MARK, UNSYNC)), "skipped.unsync"),
        (verdict(THEM, US, place=MARKED, marks=(UNSYNC,)), "skipped.unsync"),
        (verdict(THEM, US, draft=True, marks=(MARK,)), "skipped.draft"),
        (verdict(THEM, US, place=Place("drafts"), marks=(MARK,)), "skipped.draft"),
        (verdict(THEM, US, place=Place("junkemail"), marks=(MARK,)), "skipped.junk"),
        (verdict(THEM, US, place=Place("deleteditems"), marks=(MARK,)), "skipped.deleted"),
        (verdict(THEM, US, days=6.1), "skipped.look_back"),
        (verdict(THEM, US, days=5.9), "saved.auto"),
        (verdict(THEM, US, days=6.1, look_back_days=7), "saved.auto"),
        (verdict(THEM, US, auto_save_mail=False), "skipped.auto_off"),
        (verdict(THEM, US, auto_save_mail=False, marks=(MARK,)), "saved.marked"),
        (verdict(THEM, US, auto_save_folders="sent"), "skipped.auto_off"),
        (verdict(THEM, US, auto_save_folders="inbox"), "saved.auto"),
        (verdict(THEM, US, meeting=True), "skipped.meeting"),
        (verdict(THEM, US, meeting=True, marks=(MARK,)), "saved.marked"),
        (verdict(US, "you@own.test"), "skipped.internal"),
        (verdict(US, "you@deep.own.test", marks=(MARK,)), "skipped.internal"),
        (verdict("me@alias.test", US, marks=(MARK,)), "skipped.internal"),
        (verdict("x@notown.test", US), "saved.auto"),
        (verdict(US, BLOCKED), "skipped.blocked"),
        (verdict(US, "x@mail.spam.test", marks=(MARK,)), "skipped.blocked"),
        (verdict(US, "ann@blocked.test"), "skipped.blocked"),
        (verdict(US, "bob@blocked.test"), "saved.auto"),
        (verdict(US, BLOCKED, THEM), "saved.auto"),
        (verdict(US, BLOCKED, user_allowed=["spam.test"]), "saved.auto"),
        (verdict(US, THEM, user_blocklist=["Customer.Test"]), "skipped.blocked"),
        (verdict(US, FREE), "saved.auto"),
        (verdict(US, FREE, block_free_mail=True), "skipped.blocked"),
        (verdict(US, FREE, block_free_mail=True, marks=(MARK,)), "saved.marked"),
    ],
)
def test_the_scope_of_a_mail(found: Verdict, rule: str) -> None:
    assert found.rule == rule
    assert found.save == rule.startswith("saved")


def test_only_external_unblocked_addresses_count_for_matching() -> None:
    assert verdict(US, BLOCKED, THEM, FREE).external == (THEM, FREE)


ANN = Person("003A", "Contact", (THEM, "ann@home.test"), "2026-01-01", "001A")
ANN_NEWER = Person("003B", "Contact", (THEM,), "2026-02-01", "001B")
LEE = Person("00QA", "Lead", ("lee@lead.test", THEM), "2020-01-01")
LOU = Person("00QB", "Lead", ("lou@lead.test",), "2020-01-01")
ME = Person("005A", "User", (US,), "2019-01-01")
LONER = Person("003C", "Contact", ("lone@x.test",), "2026-01-01")
DEAL = Opportunity("006A", "001A", "005A", "2026-03-01")
NEWER_DEAL = Opportunity("006B", "001A", "005A", "2026-03-02")
FOREIGN_DEAL = Opportunity("006C", "001A", "005X", "2026-04-01")
CASE = Case("500A", "1234567", "001C")
FROM_THEM: tuple[tuple[str, Role], ...] = ((THEM, "FromAddress"), (US, "ToAddress"))


def linked(participants: tuple[tuple[str, Role], ...], *people: Person, **more: object) -> Links:
    given: dict[str, object] = {
        "blocked": frozenset(), "opportunities": (), "cases": {}, "subject": "", "own_user": "005A",
        "link_opportunities": True, "clones": True,
    }  # fmt: skip
    return links(participants, people=people, **{**given, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "people", "related", "rule"),
    [
        (linked(FROM_THEM, ANN, ME), ["003A", "005A"], "001A", "related.account"),
        (linked(FROM_THEM, ANN_NEWER, ANN), ["003A"], "001A", "related.account"),
        (linked(FROM_THEM, LEE, ANN), ["003A"], "001A", "related.account"),
        (linked((("lee@lead.test", "FromAddress"), (THEM, "ToAddress")), LEE, ANN), ["003A"], "001A", "related.account"),
        (linked((("lou@lead.test", "FromAddress"), ("lee@lead.test", "ToAddress")), LEE, LOU, ME), ["00QB"], "",
         "related.lead_alone"),
        (linked(FROM_THEM, ANN, opportunities=[DEAL, NEWER_DEAL, FOREIGN_DEAL]), ["003A"], "006B", "related.opportunity"),
        (linked(FROM_THEM, ANN, opportunities=[DEAL], link_opportunities=False), ["003A"], "001A", "related.account"),
        (linked(FROM_THEM, ANN, opportunities=[FOREIGN_DEAL]), ["003A"], "001A", "related.account"),
        (linked(FROM_THEM, ANN, subject="Re: 01234567", cases={"1234567": CASE}), ["003A"], "500A", "related.case"),
        (linked(FROM_THEM, ANN, subject="call 12345678901", cases={"1234567": CASE}), ["003A"], "001A", "related.account"),
        (linked(FROM_THEM, ANN, chosen=["a01", "001A"], subject="01234567", cases={"1234567": CASE}), ["003A"], "a01",
         "related.chosen"),
        (linked(FROM_THEM, ANN, thread=["a02"]), ["003A"], "a02", "related.thread"),
        (linked((("lone@x.test", "FromAddress"),), LONER), ["003C"], "", "related.none"),
        (linked(FROM_THEM), [], "", "related.none"),
        (linked(FROM_THEM, ANN, blocked=frozenset([THEM])), [], "", "related.none"),
        (linked((("ann+tag@customer.test", "FromAddress"),), ANN), [], "", "related.none"),
    ],
)  # fmt: skip
def test_the_links_of_a_mail(found: Links, people: list[str], related: str, rule: str) -> None:
    assert ([person for person, _, _ in found.people], found.related, found.rule) == (people, related, rule)


def test_a_person_in_two_roles_keeps_both_and_further_choices_are_clones_up_to_ten() -> None:
    both = linked(((THEM, "FromAddress"), ("ann@home.test", "CcAddress")), ANN)
    assert both.people == (("003A", "FromAddress", THEM), ("003A", "CcAddress", "ann@home.test"))
    chosen = [f"a{n:02}" for n in range(15)]
    assert linked(FROM_THEM, ANN, chosen=chosen).clones == tuple(chosen[1:11])
    assert linked(FROM_THEM, ANN, chosen=["a", "a", "b"]).clones == ("b",)
    assert linked(FROM_THEM, ANN, chosen=chosen, clones=False).clones == ()


def test_case_numbers_are_runs_of_five_to_ten_digits_each_once() -> None:
    assert case_numbers("Case 00012345, 12345 and 1234; 00000 12345678901 x99999x") == ("12345", "99999")


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
