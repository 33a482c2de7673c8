"""The matching law, row by row: what `tests/system/matching.csv` says becomes of a mail is what the pure rules decide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.core.mail_record import record_of
from shared.core.match import Links, links
from shared.core.scope import incoming, judge, parties_of, refused_after_match
from tests.system.matching import ACTIVATED, ROLES, Outcome, Row, org, rows

CORE = Path(__file__).resolve().parents[2] / "shared/core"
SHORT = {role: short for short, role in ROLES.items()}


def _linked(row: Row) -> tuple[str, Links]:
    """The rule, and the links where the mail is saved."""
    mail, profile = row.mail(), row.profile()
    verdict = judge(mail, activated=ACTIVATED, profile=profile, filters=row.filters())
    if not verdict.save:
        return verdict.rule, Links()
    parties = parties_of(mail, profile, row.filters(), by_hand=verdict.by_hand)
    found = links(
        parties.everybody, people=org().people, blocked=parties.blocked, internal=parties.internal,
        opportunities=org().opportunities, cases=org().cases, subject=mail.subject, own_user=row.mailbox, chosen=row.chosen,
        thread=row.thread, link_opportunities=profile["link_opportunities"], clones=profile["clones"],
    )  # fmt: skip
    return refused_after_match(verdict, found, profile) or verdict.rule, found


def outcome(row: Row) -> Outcome:
    rule, found = _linked(row)
    if rule.startswith("skipped."):
        return Outcome(rule)
    record = record_of(row.text(), found, identifier="<1@law.test>", profile=row.profile(), filters=row.filters())
    accounts = (org().records[person].account for person, _, _ in found.people)
    return Outcome(
        rule=rule,
        incoming="yes" if incoming(row.mail(), row.filters()) else "no",
        people=tuple(f"{SHORT[role]} {person}" for person, role, _ in found.people),
        related=found.related,
        related_by=found.rule,
        account=tuple(dict.fromkeys(account for account in accounts if account)),
        clones=found.clones,
        left_out=found.left_out,
        text={("The text.", "<p>The text.</p>"): "full", ("", ""): "none"}[record.text, record.html],
    )


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_what_becomes_of_a_mail(row: Row) -> None:
    assert outcome(row) == row.expected


def test_a_mail_and_its_record_agree_on_where_it_came_from() -> None:
    for row in rows():
        record = record_of(row.text(), Links(), identifier="<1@law.test>", profile=row.profile(), filters=row.filters())
        assert record.incoming == incoming(row.mail(), row.filters()), row.name


def test_the_law_names_each_row_once_and_says_where_it_comes_from() -> None:
    names = [row.name for row in rows()]
    assert len(names) == len(set(names)) >= 50
    for row in rows():
        assert re.fullmatch(r"0\.1?[0-9]|3\.[0-9]+|[SEM][0-9]+|decided", row.source), row.name
        assert row.needs == ("wish" if row.chosen or row.thread else ""), row.name


def test_the_law_shows_every_rule_that_the_code_can_give() -> None:
    code = "".join((CORE / file).read_text() for file in ("scope.py", "match.py"))
    shown = {row.expected.rule for row in rows()} | {row.expected.related_by for row in rows()} - {""}
    assert set(re.findall(r'"((?:skipped|saved|related)\.[a-z_]+)"', code)) == shown


def test_the_law_names_records_of_its_org_only() -> None:
    for row in rows():
        said = row.expected
        named = {one.split()[1] for one in said.people} | {said.related, *said.account, *said.clones, *said.left_out}
        assert {row.mailbox, *row.chosen, *row.thread} | named - {""} <= set(org().records), row.name
