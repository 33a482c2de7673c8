"""What a batch of mails asks of the CRM, and the links that the answer gives each mail. One question for the whole batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.core.errors import Bug
from shared.core.mail import Mail
from shared.core.match import Links, case_numbers, links
from shared.core.profile import Profile
from shared.core.scope import Filters, Parties, parties_of
from shared.ports import Matches, Question


@dataclass(frozen=True)
class Asked:
    """What one mail wants to know. `identifier`: under which it may stand in the CRM already."""

    identifier: str
    parties: Parties
    numbers: tuple[str, ...]


class Matching:
    """The matching rules of one mailbox. `user`: the CRM user who writes."""

    def __init__(self, profile: Profile, filters: Filters, user: str) -> None:
        self._profile, self._filters, self._user = profile, filters, user

    def asked(self, mail: Mail, identifier: str, *, by_hand: bool) -> Asked:
        parties = parties_of(mail, self._profile, self._filters, by_hand=by_hand)
        return Asked(identifier, parties, case_numbers(mail.subject))

    def question(self, asked: Iterable[Asked]) -> Question:
        everything = list(asked)
        addresses = dict.fromkeys(
            one for each in everything for one, _ in each.parties.everybody if one not in each.parties.blocked
        )
        numbers = dict.fromkeys(number for each in everything for number in each.numbers)
        identifiers = tuple(each.identifier for each in everything)
        return Question(tuple(addresses), tuple(numbers), identifiers, opportunities=self._profile["link_opportunities"])

    def unread(self, asked: Asked, matches: Matches) -> Bug | None:
        """Why nobody can say what this mail belongs to: something it asked for that our own code could not ask or read."""
        wanted = (*(address for address, _ in asked.parties.everybody), *asked.numbers, asked.identifier)
        return next((matches.broken[one] for one in wanted if one in matches.broken), None)

    def links(self, mail: Mail, asked: Asked, matches: Matches) -> Links:
        return links(
            asked.parties.everybody,
            people=matches.people,
            blocked=asked.parties.blocked,
            internal=asked.parties.internal,
            opportunities=matches.opportunities,
            cases=matches.cases,
            subject=mail.subject,
            own_user=self._user,
            link_opportunities=self._profile["link_opportunities"],
            clones=self._profile["clones"],
        )
