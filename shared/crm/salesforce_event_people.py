"""Who takes part in an event: from its relations to canonical people and answers, and back. Pure.

Rules that hold here (behaviour.md 1.4, C6 and C17):
- Contacts, leads and users take part; the owner does not, and neither do resources and what the event is about.
- An event is *with* contacts, or else with one lead: several contacts in an org with Shared Activities, one without. A lead
  stands alone: never beside contacts, never beside a record that the event is about.
- Who the event cannot be with is invited, and so is everybody who answers. Salesforce mails nobody about it.
- A private event is about nobody.
- Who takes part is not uninvited for an answer that is missing, and a status that says the same is not written anew.

It must never name the owner as invited: Salesforce refuses it.

Source: Object Reference, pages Event (WhoId, EventWhoIds, IsPrivate) and EventRelation (RelationId, Status, IsInvitee).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.core.model import Value

CONTACT, LEAD, USER = "003", "00Q", "005"
PEOPLE = (CONTACT, LEAD, USER)
MOST_CONTACTS = 50
STATUS = {"accepted": "Accepted", "declined": "Declined", "tentative": "Maybe", "none": "New"}
ANSWER = {"Accepted": "accepted", "Declined": "declined", "Maybe": "tentative"}


@dataclass(frozen=True)
class Relation:
    """A row of EventRelation. `parent`: the event is with them."""

    id: str
    event: str
    person: str
    status: str
    invited: bool
    parent: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Relation:
        """Without Shared Activities a relation is an invitation and has no flags."""
        return cls(
            str(row["Id"]), str(row["EventId"]), str(row["RelationId"] or ""), str(row.get("Status") or ""),
            bool(row.get("IsInvitee", True)), bool(row.get("IsParent", False)),
        )  # fmt: skip

    @property
    def answer(self) -> str:
        return ANSWER.get(self.status, "none")


@dataclass(frozen=True)
class Seats:
    """Where everybody sits. `who`: the event is with them, the primary one first. `invited`: id -> answer, "" = any."""

    who: tuple[str, ...] = ()
    invited: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """What makes the relations of an event the wanted ones: rows to make, rows to change, ids to delete."""

    make: tuple[Mapping[str, Any], ...] = ()
    change: tuple[Mapping[str, Any], ...] = ()
    delete: tuple[str, ...] = ()


def people_of(who: str | None, relations: Iterable[Relation], owner: str) -> tuple[str, ...]:
    everybody = {who or "", *(one.person for one in relations)}
    return tuple(sorted(one for one in everybody if one.startswith(PEOPLE) and one != owner))


def answers_of(relations: Iterable[Relation], owner: str) -> tuple[str, ...]:
    return tuple(sorted(f"{one.person}={one.answer}" for one in _invitations(relations, owner)))


def seats(
    people: Value, answers: Value, *, shared: bool, owner: str, about: str = "", private: bool = False, primary: str = ""
) -> Seats:
    """The places of people. `about`: the record the event is about; `primary`: who is the primary one now."""
    if private:
        return Seats()
    everybody = dict.fromkeys(one for one in people if one.startswith(PEOPLE) and one[:15] != owner[:15])
    contacts = [one for one in everybody if one.startswith(CONTACT)]
    leads = [] if about else [one for one in everybody if one.startswith(LEAD)]
    first = sorted(contacts or leads, key=lambda one: one != primary)
    who = first[: (MOST_CONTACTS if shared else 1) if contacts else 1]
    said = dict(one.rpartition("=")[::2] for one in answers)
    return Seats(tuple(who), {one: said.get(one, "") for one in everybody if one in said or one not in who})


def who_fields(seats: Seats, *, shared: bool) -> dict[str, Any]:
    """The fields of the event itself that say with whom it is."""
    fields: dict[str, Any] = {"WhoId": seats.who[0] if seats.who else None}
    return fields | ({"EventWhoIds": list(seats.who)} if shared else {})


def with_whom(who: str | None, relations: Iterable[Relation]) -> frozenset[str]:
    """With whom the event is now."""
    parents = {one.person for one in relations if one.parent and one.person.startswith(PEOPLE)}
    return frozenset(parents | ({who} if who else set()))


def changes(event_id: str, seats: Seats, relations: Sequence[Relation], *, flags: bool, owner: str) -> Changes:
    """`flags`: the org's relations say whether somebody is invited. `owner` of the event: no relation of theirs is touched."""
    kept = {one.person: one for one in relations if one.person.startswith(PEOPLE) and one.person != owner}
    wanted = {person: answer for person, answer in seats.invited.items() if person != owner}
    make = [_row(event_id, person, answer) for person, answer in wanted.items() if person not in kept]
    pairs = [(kept[person], answer) for person, answer in wanted.items() if person in kept]
    change = [row for one, answer in pairs if (row := _changed(one, answer, flags=flags))]
    leaving = [one.id for one in kept.values() if one.invited and one.person not in {*wanted, *seats.who}]
    return Changes(tuple(make), tuple(change), tuple(leaving))


def _row(event_id: str, person: str, answer: str) -> Mapping[str, Any]:
    return {
        "attributes": {"type": "EventRelation"},
        "EventId": event_id,
        "RelationId": person,
        "Status": STATUS[answer or "none"],
    }


def _changed(relation: Relation, answer: str, *, flags: bool) -> Mapping[str, Any] | None:
    head = {"attributes": {"type": "EventRelation"}, "Id": relation.id}
    if not relation.invited:
        return {**head, "Status": STATUS[answer or "none"]} | ({"IsInvitee": True} if flags else {})
    return {**head, "Status": STATUS[answer]} if answer and answer != relation.answer else None


def _invitations(relations: Iterable[Relation], owner: str) -> list[Relation]:
    return [one for one in relations if one.invited and one.person.startswith(PEOPLE) and one.person != owner]
