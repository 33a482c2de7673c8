"""What of events is ours and on which terms: each rule by itself, and that docs/sync.md names every one of them."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core import item_scope
from shared.core.item_scope import RULES, ItemScope, Owner
from shared.core.model import Facts, Item, Link, Seen, Side
from shared.core.plan import FREE, Terms
from shared.core.profile import Profile
from shared.core.scope import MARK, UNSYNC, Filters

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ME, CORA, COLLEAGUE = "ann@home.example", "cora@customer.test", "bob@home.example"
OUTSIDE = ((CORA, "none"),)


def scope(**settings: Any) -> ItemScope:
    profile = Profile({"internal_domains": ["home.example"], **settings})
    return ItemScope(Owner("005x", NOW - timedelta(days=1)), profile, Filters(profile, [ME]), NOW)


def seen(*, marked: bool = False, private: str = "no", **facts: Any) -> Seen:
    given = {"made": NOW, "begins": NOW, "ends": NOW + timedelta(hours=1), **facts}
    given["marks"] = frozenset(given.get("marks", ())) | ({MARK} if marked else frozenset())
    fields = {"subject": "Talk", "location": "Room 7", "description": "Plan", "private": private}
    return Seen("e1", "1", Item("event", fields), marked=marked, facts=Facts(**given))


#: settings, side, the item, rule
CASES: list[tuple[dict[str, Any], Side, Seen, str]] = [
    ({}, "mail", seen(marked=True), "saved.marked"),
    ({}, "mail", seen(marked=True, marks=[UNSYNC]), "skipped.unsync"),
    ({}, "mail", seen(marked=True, ends=NOW - timedelta(days=15)), "skipped.window"),
    ({}, "mail", seen(marked=True, ends=NOW - timedelta(days=13)), "saved.marked"),
    ({}, "mail", seen(marked=True, begins=NOW + timedelta(days=732)), "skipped.window"),
    ({}, "mail", seen(marked=True, begins=NOW + timedelta(days=31)), "saved.marked"),
    ({}, "mail", seen(marked=True, group="s", begins=NOW + timedelta(days=31)), "skipped.window"),
    ({"occurrence_days": 60}, "mail", seen(marked=True, group="s", begins=NOW + timedelta(days=31)), "saved.marked"),
    ({}, "mail", seen(marked=True, private="yes"), "saved.marked"),
    ({}, "mail", seen(marked=True, people=((COLLEAGUE, "none"),)), "saved.marked"),
    ({"blocklist": ["customer.test"]}, "mail", seen(marked=True, people=OUTSIDE), "skipped.blocked"),
    ({}, "mail", seen(marked=True, made=NOW - timedelta(days=9)), "saved.marked"),
    ({}, "mail", seen(), "skipped.auto_off"),
    ({"auto_save_appointments": True}, "mail", seen(), "saved.auto"),
    ({}, "mail", seen(people=OUTSIDE), "saved.auto"),
    ({"auto_save_meetings": False}, "mail", seen(people=OUTSIDE), "skipped.auto_off"),
    ({}, "mail", seen(people=OUTSIDE, private="yes"), "skipped.private"),
    ({"private_items": "busy_only"}, "mail", seen(people=OUTSIDE, private="yes"), "saved.auto"),
    ({}, "mail", seen(people=OUTSIDE, own=False, answer="declined"), "skipped.declined"),
    ({}, "mail", seen(people=OUTSIDE, own=False, answer="none"), "skipped.not_accepted"),
    ({}, "mail", seen(people=OUTSIDE, own=False, answer="tentative"), "saved.auto"),
    ({}, "mail", seen(people=OUTSIDE, own=False, answer="accepted"), "saved.auto"),
    ({}, "mail", seen(people=((COLLEAGUE, "none"),)), "skipped.internal"),
    ({}, "mail", seen(people=((COLLEAGUE, "none"), *OUTSIDE)), "saved.auto"),
    ({"block_free_mail": True}, "mail", seen(people=(("x@gmail.com", "none"),)), "skipped.blocked"),
    ({"block_free_mail": True}, "mail", seen(marked=True, people=(("x@gmail.com", "none"),)), "saved.marked"),
    ({}, "mail", seen(people=OUTSIDE, made=NOW - timedelta(days=9)), "skipped.before_activation"),
    ({"existing_items": "take"}, "mail", seen(people=OUTSIDE, made=NOW - timedelta(days=9)), "saved.auto"),
    ({}, "crm", seen(owner="005x"), "saved.crm"),
    ({}, "crm", seen(owner="005y"), "skipped.other_owner"),
    ({"down_events": False}, "crm", seen(owner="005x"), "skipped.down_off"),
    ({}, "crm", seen(owner="005x", made=NOW - timedelta(days=9)), "skipped.before_activation"),
    ({"existing_items": "take"}, "crm", seen(owner="005x", made=NOW - timedelta(days=9)), "saved.crm"),
    ({}, "crm", seen(owner="005x", never="skipped.child"), "skipped.child"),
    ({}, "crm", seen(owner="005x", ends=NOW - timedelta(days=15)), "skipped.window"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "side", "item", "rule"), CASES)
def test_the_rule_for_an_item_that_is_linked_to_nothing(settings: dict[str, Any], side: Side, item: Seen, rule: str) -> None:
    judged = scope(**settings).judged(side, item)
    assert judged.rule == rule
    assert judged.save == rule.startswith("saved.")


def test_what_stood_before_activation_may_still_be_paired() -> None:
    old = seen(people=OUTSIDE, made=NOW - timedelta(days=9))
    assert scope().judged("mail", old).pair
    assert not scope().judged("mail", seen()).pair


def test_a_linked_item_rests_without_its_mark_or_outside_the_window_and_never_for_want_of_one() -> None:
    had, never_had = Link("k", "event", marked=True), Link("k", "event")
    assert scope().rests(had, seen()) == "unmarked"
    assert scope().rests(had, seen(marked=True)) == ""
    assert scope().rests(never_had, seen()) == ""
    assert scope().rests(had, seen(marked=True, ends=NOW - timedelta(days=20))) == "skipped.window"


PAIR = Link("k", "event")


def waits(settings: dict[str, Any], mail: Seen, link: Link = PAIR) -> set[tuple[str, str]]:
    terms = scope(**settings).terms(link, mail)
    assert isinstance(terms, Terms)
    return set(terms.waits.items())


def test_on_which_terms_a_pair_is_carried() -> None:
    seen_by_others = {"subject", "when", "location", "description", "private"}
    assert scope().terms(Link("k", "event"), None) == FREE
    assert waits({}, seen(marked=True)) == set()
    assert waits({}, seen(shared=True)) == {(name, "held.approval") for name in seen_by_others}
    assert waits({"meeting_changes": "never"}, seen(shared=True)) == {(name, "kept.meeting") for name in seen_by_others}
    assert waits({"meeting_changes": "send"}, seen(shared=True)) == set()
    assert {rule for _, rule in waits({}, seen(own=False, shared=True))} == {"kept.not_organizer"}
    assert scope().terms(Link("k", "event", follows=True), seen()).follows


def test_of_a_private_item_nobody_marked_only_the_times_cross_where_the_profile_says_so() -> None:
    busy = {"private_items": "busy_only"}
    shown = scope(**busy).shown(None, seen(private="yes"))
    assert shown.item is not None
    assert dict(shown.item.fields) == {"subject": "Busy", "location": "", "description": "", "private": "yes"}
    assert ("subject", "kept.busy_only") in waits(busy, seen(private="yes"))
    for mail in (seen(private="yes", marked=True), seen()):
        assert scope(**busy).shown(None, mail) == mail
    assert scope().shown(None, seen(private="yes")) == seen(private="yes")


def test_every_rule_it_can_give_is_in_the_table() -> None:
    tree = ast.parse(Path(item_scope.__file__).read_text())
    code = re.compile(r"(skipped|saved|kept|held)\.[a-z_]+|unmarked|deleted\.mail\.past")
    given = {
        node.value for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and code.fullmatch(node.value)
    }  # fmt: skip
    assert given == set(RULES)
