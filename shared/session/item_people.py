"""Who of an item's people is in the CRM: the fields `people` and `answers` of events, and the record an event is about.

Rules that hold here (behaviour.md M1, M5, M6, M8, C17): the same search and the same rules as for mail, one question for a
whole batch; an internal person is linked as a User only, a blocked one not at all; of a private item nobody is linked. What
nobody could say, because our own code could not ask or read it, holds that item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from shared.core.errors import Bug, bug_or
from shared.core.item_scope import Owner
from shared.core.match import Links, case_numbers, links
from shared.core.model import Facts, Item, Seen
from shared.core.profile import Profile
from shared.core.scope import Filters
from shared.ports import MailCrm, Matches, Question
from shared.session.item_work import Work


class ItemPeople:
    """Asks `crm` as the mailbox's user."""

    def __init__(self, crm: MailCrm, owner: Owner, profile: Profile, filters: Filters) -> None:
        self._crm, self._owner, self._profile, self._filters = crm, owner, profile, filters

    def fill(self, works: Sequence[Work]) -> None:
        """Completes the mailbox's items that have people, once for each reading of them."""
        wanted = [work for work in works if (one := work.seen.get("mail")) and one.item and "people" not in one.item.fields]
        asked = {id(work): self._addresses(work.seen["mail"].facts) for work in wanted if _is_open(work.seen["mail"].item)}
        addresses = tuple(dict.fromkeys(one for some in asked.values() for one in some))
        numbers = tuple(dict.fromkeys(n for work in wanted if asked.get(id(work)) for n in self._numbers(work)))
        matches = self._crm.match(self._question(addresses, numbers)) if addresses else Matches()
        for work in wanted:
            mine = asked.get(id(work), ())
            broken = next((matches.broken[one] for one in (*mine, *self._numbers(work)) if one in matches.broken), None)
            found = broken or bug_or(partial(self._complete, work, mine, matches))
            if isinstance(found, Bug):
                work.problem = found

    def _question(self, addresses: tuple[str, ...], numbers: tuple[str, ...]) -> Question:
        return Question(addresses, numbers, opportunities=self._profile["link_opportunities"])

    def _numbers(self, work: Work) -> tuple[str, ...]:
        item = work.seen["mail"].item
        return case_numbers(str(item.fields.get("subject", ""))) if item is not None else ()

    def _addresses(self, facts: Facts) -> tuple[str, ...]:
        return tuple(address for address, _ in facts.people if not self._filters.blocked(address, by_hand=True))

    def _links(self, work: Work, addresses: Sequence[str], matches: Matches) -> Links:
        item = work.seen["mail"].item
        return links(
            [(address, "ToAddress") for address in addresses],
            people=matches.people,
            blocked=frozenset(),
            internal=frozenset(address for address in addresses if self._filters.internal(address)),
            opportunities=matches.opportunities,
            cases=matches.cases,
            subject=str(item.fields.get("subject", "")) if item is not None else "",
            own_user=self._owner.user,
            link_opportunities=self._profile["link_opportunities"],
            clones=False,
        )

    def _complete(self, work: Work, addresses: Sequence[str], matches: Matches) -> None:
        one, found = work.seen["mail"], self._links(work, addresses, matches)
        assert one.item is not None
        answers = dict(one.facts.people)
        people = {record: answers.get(address, "none") for record, _, address in found.people if record != self._owner.user}
        fields = {
            **one.item.fields,
            "people": tuple(sorted(people)),
            "answers": tuple(sorted(f"{record}={answer}" for record, answer in people.items())),
        }
        work.seen["mail"] = _with(one, Item(one.item.kind, fields))
        work.related = found.related


def _is_open(item: Item | None) -> bool:
    return item is not None and item.fields.get("private") != "yes"


def _with(one: Seen, item: Item) -> Seen:
    return replace(one, item=item)
