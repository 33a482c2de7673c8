"""Addresses -> people and business records, and from them the links of one mail. Pure: records come in, links go out.

Rules that hold here (behaviour.md 0.13, M2, M5, M6, C17, E10):
- Per address a Contact beats a Lead beats a User; several of one kind: the oldest, then the lowest Id, so that the answer
  does not depend on whose copy of the mail was read.
- A Lead stands alone: with any Contact found the Leads are left out; with Leads only, the first in participant order is
  linked and nothing else.
- Users are linked but do not count as matched for saving by itself.
- One mail has one related record; further ones a person chose become clones, at most `MAX_CLONES`, never silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.core.profile import MAX_CLONES

Role = Literal["FromAddress", "ToAddress", "CcAddress", "BccAddress"]
_KINDS = ("Contact", "Lead", "User")
_CASE_NUMBER = re.compile(r"(?<![0-9])[0-9]{5,10}(?![0-9])")


@dataclass(frozen=True)
class Person:
    """A Contact, Lead or User. `account` is the Contact's Account id or "". `created` sorts as text (ISO 8601)."""

    id: str
    kind: Literal["Contact", "Lead", "User"]
    addresses: tuple[str, ...]
    created: str
    account: str = ""


@dataclass(frozen=True)
class Opportunity:
    """An open Opportunity."""

    id: str
    account: str
    owner: str
    created: str


@dataclass(frozen=True)
class Case:
    id: str
    number: str
    account: str = ""


@dataclass(frozen=True)
class Links:
    """What a mail is written with. `people`: (record id, role, address); `related`: record id or ""."""

    people: tuple[tuple[str, Role, str], ...] = ()
    related: str = ""
    clones: tuple[str, ...] = ()
    rule: str = "related.none"

    @property
    def matched(self) -> frozenset[str]:
        return frozenset(address for _, _, address in self.people)


def case_numbers(subject: str) -> tuple[str, ...]:
    """Runs of 5 to 10 digits in the order they stand, without leading zeros, each once."""
    return tuple(dict.fromkeys(run.lstrip("0") for run in _CASE_NUMBER.findall(subject) if run.strip("0")))


def best_by_address(people: Iterable[Person]) -> dict[str, dict[str, Person]]:
    """{address: {kind: the one record that stands for it}}."""
    best: dict[str, dict[str, Person]] = {}
    for person in sorted(people, key=lambda p: (p.created, p.id)):
        for address in person.addresses:
            best.setdefault(address, {}).setdefault(person.kind, person)
    return best


def links(
    participants: Sequence[tuple[str, Role]],
    *,
    people: Iterable[Person],
    blocked: frozenset[str],
    opportunities: Iterable[Opportunity],
    cases: Mapping[str, Case],
    subject: str,
    own_user: str,
    chosen: Sequence[str] = (),
    thread: Sequence[str] = (),
    link_opportunities: bool,
    clones: bool,
) -> Links:
    """The links of one mail. `participants` in the order From, To, Cc, Bcc; `cases` by number without leading zeros;
    `chosen` and `thread` are record ids a person chose for this mail or its thread."""
    best = best_by_address(people)
    found = [
        (best[address][kind], role, address)
        for address, role in participants
        if address not in blocked
        for kind in [next((k for k in _KINDS if k in best.get(address, {})), None)]
        if kind is not None
    ]
    contacts = [person for person, _, _ in found if person.kind == "Contact"]
    leads = [person for person, _, _ in found if person.kind == "Lead"]
    if leads and not contacts:
        alone = leads[0].id
        return Links(tuple((p.id, r, a) for p, r, a in found if p.id == alone), rule="related.lead_alone")
    linked = tuple((person.id, role, address) for person, role, address in found if person.kind != "Lead")
    related, rule, rest = _related(
        contacts,
        opportunities=opportunities,
        cases=cases,
        subject=subject,
        owners={own_user} | {person.id for person, _, _ in found if person.kind == "User"},
        chosen=chosen,
        thread=thread,
        link_opportunities=link_opportunities,
    )
    return Links(linked, related, tuple(rest[:MAX_CLONES]) if clones else (), rule)


def _related(
    contacts: Sequence[Person],
    *,
    opportunities: Iterable[Opportunity],
    cases: Mapping[str, Case],
    subject: str,
    owners: set[str],
    chosen: Sequence[str],
    thread: Sequence[str],
    link_opportunities: bool,
) -> tuple[str, str, Sequence[str]]:
    """(record id, rule, further records a person chose), by the first rule that applies."""
    for picked, rule in ((chosen, "related.chosen"), (thread, "related.thread")):
        if picked:
            return picked[0], rule, [record for record in dict.fromkeys(picked) if record != picked[0]]
    for number in case_numbers(subject):
        if number in cases:
            return cases[number].id, "related.case", ()
    accounts = [person.account for person in contacts if person.account]
    if link_opportunities and accounts:
        fitting = [o for o in opportunities if o.account in accounts and o.owner in owners]
        if fitting:
            return max(fitting, key=lambda o: (o.created, o.id)).id, "related.opportunity", ()
    return (accounts[0], "related.account", ()) if accounts else ("", "related.none", ())
