"""Addresses -> people and business records, and from them the links of one mail. Pure: records come in, links go out.

Rules that hold here (behaviour.md 0.13, 3.9, M1, M5, M6, C17, E7, E10; every case is a row of tests/system/matching.csv):
- Per address a Contact beats a Lead beats a User; several of one kind: the one a person chose, else the oldest, then the lowest
  Id, so that the answer does not depend on whose copy of the mail was read. An internal address is nobody's but a User's.
- A Lead stands alone. A Lead that a person chose, or the first one where no Contact is found, is linked and nothing else; with
  a Contact, or with a record that a person chose, the Leads are left out.
- Users are linked but do not count as matched for saving by itself.
- One mail has one related record; further ones a person chose become clones, at most `MAX_CLONES`; what gets none is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shared.core.profile import MAX_CLONES, Profile

if TYPE_CHECKING:
    from shared.core.mail import Mail

Role = Literal["FromAddress", "ToAddress", "CcAddress", "BccAddress"]
Kind = Literal["Contact", "Lead", "User"]

#: A run of 5 to 10 digits; a run of four only right after the word "case", for four digits alone are years and rooms.
_CASE_NUMBER = re.compile(
    r"(?<![0-9])([0-9]{5,10})(?![0-9])|\bcase\s*(?:number|no\.?|nr\.?)?\s*[#:]?\s*([0-9]{4})(?![0-9])", re.IGNORECASE
)


@dataclass(frozen=True)
class Person:
    """A Contact, Lead or User. `account` is the Contact's Account id or "". `created` sorts as text (ISO 8601)."""

    id: str
    kind: Kind
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
    """What a mail is written with. `people`: (record id, role, address); `related`: record id or ""; `rule`: why that one.

    `left_out`: records a person chose that get no clone, because clones are off or too many. `found`: the mail counts as
    matched, by a Contact, a Lead or a record that a person chose.
    """

    people: tuple[tuple[str, Role, str], ...] = ()
    related: str = ""
    clones: tuple[str, ...] = ()
    rule: str = "related.none"
    left_out: tuple[str, ...] = ()
    found: bool = False

    @property
    def matched(self) -> frozenset[str]:
        """The addresses that are linked."""
        return frozenset(address for _, _, address in self.people)


def participants_of(mail: Mail, profile: Profile) -> tuple[tuple[str, Role], ...]:
    """(address, role) in the order From, To, Cc, and Bcc where the profile says so; each address once, its first role wins.

    What has no at sign is left out: a bare name, or the directory name of a colleague that never left the mail server.
    """
    fields: tuple[tuple[Role, Sequence[str]], ...] = (
        ("FromAddress", [mail.sender.address] if mail.sender else []),
        ("ToAddress", [one.address for one in mail.to]),
        ("CcAddress", [one.address for one in mail.cc]),
        ("BccAddress", [one.address for one in mail.bcc] if profile["save_bcc"] else []),
    )
    roles: dict[str, Role] = {}
    for role, addresses in fields:
        for address in addresses:
            if "@" in address:
                roles.setdefault(address, role)
    return tuple(roles.items())


def case_numbers(subject: str) -> tuple[str, ...]:
    """What may be a case's number, in the order it stands, without leading zeros, each once."""
    found = ((long or short).lstrip("0") for long, short in _CASE_NUMBER.findall(subject))
    return tuple(dict.fromkeys(number for number in found if number))


def best_by_address(people: Iterable[Person], chosen: Iterable[str] = ()) -> dict[str, dict[Kind, Person]]:
    """{address: {kind: the one record that stands for it}}."""
    first = frozenset(chosen)
    best: dict[str, dict[Kind, Person]] = {}
    for person in sorted(people, key=lambda p: (p.id not in first, p.created, p.id)):
        for address in person.addresses:
            best.setdefault(address, {}).setdefault(person.kind, person)
    return best


type _Found = Sequence[tuple[Person, Role, str]]


def links(
    participants: Sequence[tuple[str, Role]],
    *,
    people: Iterable[Person],
    blocked: frozenset[str],
    internal: frozenset[str] = frozenset(),
    opportunities: Iterable[Opportunity],
    cases: Mapping[str, Case],
    subject: str,
    own_user: str,
    chosen: Sequence[str] = (),
    thread: Sequence[str] = (),
    link_opportunities: bool,
    clones: bool,
) -> Links:
    """The links of one mail. `participants` in the order From, To, Cc, Bcc; `blocked` and `internal` are those of a
    `scope.Verdict`; `cases` by number without leading zeros.

    `chosen` and `thread` are record ids a person chose for this mail or its thread. Those that are among `people` choose the
    record that stands for an address, all others are business records.
    """
    people = tuple(people)
    known = frozenset(person.id for person in people)
    records, rule = _chosen_records(known, chosen, thread)
    picked = known.intersection(chosen) or known.intersection(thread)
    found = _found(participants, people, blocked, internal, picked, lead_allowed=not records)
    written = tuple((person.id, role, address) for person, role, address in found)
    if found and found[0][0].kind == "Lead":
        return Links(written, rule="related.lead_alone", found=True)
    if records:
        further, kept = records[1:], MAX_CLONES if clones else 0
        return Links(written, records[0], further[:kept], rule, further[kept:], found=True)
    owners = {own_user} | {person.id for person, _, _ in found if person.kind == "User"}
    related, rule = _related(found, opportunities if link_opportunities else (), cases, subject, owners)
    return Links(written, related, rule=rule, found=any(person.kind == "Contact" for person, _, _ in found))


def _chosen_records(people: frozenset[str], chosen: Sequence[str], thread: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Business records that a person chose for this mail, else for its thread, each once, and the rule that says so."""
    for picked, rule in ((chosen, "related.chosen"), (thread, "related.thread")):
        if records := tuple(dict.fromkeys(record for record in picked if record not in people)):
            return records, rule
    return (), ""


def _found(
    participants: Sequence[tuple[str, Role]],
    people: Sequence[Person],
    blocked: frozenset[str],
    internal: frozenset[str],
    picked: frozenset[str],
    *,
    lead_allowed: bool,
) -> _Found:
    """The people to link: either one Lead, once for each of its addresses, or Contacts and Users."""
    best = best_by_address(people, picked)
    open_to = [
        (address, role, {k: p for k, p in best.get(address, {}).items() if k == "User" or address not in internal})
        for address, role in participants
        if address not in blocked
    ]
    leads = [records["Lead"] for _, _, records in open_to if "Lead" in records] if lead_allowed else []
    alone = next((lead for lead in leads if lead.id in picked), None)
    if alone is None and leads and not any("Contact" in records for _, _, records in open_to):
        alone = leads[0]
    if alone is not None:
        return [(alone, role, address) for address, role, records in open_to if alone in records.values()]
    return [(person, role, address) for address, role, records in open_to if (person := _contact_or_user(records))]


def _contact_or_user(records: Mapping[Kind, Person]) -> Person | None:
    return records.get("Contact") or records.get("User")


def _related(
    found: _Found, opportunities: Iterable[Opportunity], cases: Mapping[str, Case], subject: str, owners: set[str]
) -> tuple[str, str]:
    """(record id, rule) by the first rule that applies, where no person chose a record."""
    for number in case_numbers(subject):
        if number in cases:
            return cases[number].id, "related.case"
    seen = {person.account for person, role, _ in found if person.account and role != "BccAddress"}
    fitting = [o for o in opportunities if o.account in seen and o.owner in owners]
    if fitting:
        return max(fitting, key=lambda o: (o.created, o.id)).id, "related.opportunity"
    first = next((person.account for person, _, _ in found if person.account), "")
    return (first, "related.account") if first else ("", "related.none")
