"""The vocabulary of two-way sync: item, seen, end, link, announcement. Frozen; canonical values only; no I/O.

- `Item`: a kind and its fields, canonical at the border (text NFC and trimmed, times UTC, addresses lower case and sorted).
- `Seen`: what a provider reported: id, version, the item or None for a confirmed tombstone; with the `Facts` that decide
  whether it is ours and who may write it, and that are never carried themselves.
- `End`: what the link remembers of one side: id, last version, and the base: {field: digest}.
- `Announcement`: one write that was about to be made, by the bases it leads to; a link keeps them in one order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Side = Literal["mail", "crm"]
SIDES: tuple[Side, Side] = ("mail", "crm")
Value = str | tuple[str, ...]
Fields = Mapping[str, Value]
Digests = Mapping[str, str]
State = Literal["live", "severed", "paused"]


def other(side: Side) -> Side:
    return "crm" if side == "mail" else "mail"


@dataclass(frozen=True)
class Item:
    kind: str
    fields: Fields


@dataclass(frozen=True)
class Facts:
    """What decides about an item and is not carried; in the same words for every kind, empty where a provider has no answer.

    `made`: when it was created. `begins`, `ends`: what a window counts (UTC). `marks`: our own categories on it. `group`: the
    series it is an occurrence of, by the provider's id. `uid`: what names it in every mailbox. `own`: the mailbox's user
    may write it (organises it). `shared`: other people see its changes. `answer`: the user's own: accepted, tentative,
    declined, none or "". `organizer`: an address. `people`: (address, answer) of everybody else in it, addresses in lower
    case. `owner`: a CRM user's id. `never`: the rule that refuses it whatever anybody wishes, as "skipped.child".
    """

    made: datetime | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    marks: frozenset[str] = frozenset()
    group: str = ""
    uid: str = ""
    own: bool = True
    shared: bool = False
    answer: str = ""
    organizer: str = ""
    people: tuple[tuple[str, str], ...] = ()
    owner: str = ""
    never: str = ""


@dataclass(frozen=True)
class Seen:
    """`key` is our own key where the provider shows it on the item (stamp or key field), else "". `marked`: a person's mark,
    or ours, is on it."""

    id: str
    version: str
    item: Item | None
    key: str = ""
    marked: bool = True
    facts: Facts = Facts()


@dataclass(frozen=True)
class End:
    """`canon` names the canonical forms (`fields.CANON`) in which the values of `base` were digested."""

    id: str = ""
    version: str = ""
    base: Digests = field(default_factory=dict)
    canon: int = 1


@dataclass(frozen=True)
class Announcement:
    """One write that was about to be made to `side`: the base either side will have for these fields once it has landed.

    `create` when the write makes the item; then every field is in it. `held`: what each side held of its sets when this was
    announced, and of what it had no base for. `at`: when, in seconds since 1970. `canon` as in End.
    """

    side: Side
    mail: Digests
    crm: Digests
    create: bool = False
    held: Mapping[Side, Digests] = field(default_factory=dict)
    at: float = 0.0
    canon: int = 1

    def of(self, side: Side) -> Digests:
        return self.mail if side == "mail" else self.crm


@dataclass(frozen=True)
class Link:
    """A pair. `generation` counts how often its items were made anew; `made` is the side whose item we made ("" = neither,
    the CRM's where we made both); `rule` says why the state is what it is; `gone` is the side whose deletion the brake
    holds back. `turns`: who won a field lately, (side, seconds since 1970), the last few; `insists`: fields on which two
    systems insist, held since when. `waits`: fields whose change in the CRM waits for a person: (rule, digest of the CRM's
    value); `ours`: careful fields of which the mailbox holds what we wrote. `group`: a hash of the series; `claim`: the key
    under which the record is claimed; `follows`: another mailbox carries this record, this one's item changes nothing of
    it. `marked`: the mailbox's item had our mark when last seen. `owner`: the CRM user whose record it was when last seen,
    "" = nobody looked. `over`: when the mailbox's item ends, in seconds since 1970, to the day; 0 = not known."""

    key: str
    kind: str
    mail: End = End()
    crm: End = End()
    announced: tuple[Announcement, ...] = ()
    generation: int = 0
    made: Side | Literal[""] = ""
    state: State = "live"
    rule: str = ""
    gone: Side | Literal[""] = ""
    turns: Mapping[str, Sequence[tuple[Side, float]]] = field(default_factory=dict)
    insists: Mapping[str, float] = field(default_factory=dict)
    waits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ours: tuple[str, ...] = ()
    group: str = ""
    claim: str = ""
    follows: bool = False
    marked: bool = False
    owner: str = ""
    over: int = 0

    def end(self, side: Side) -> End:
        return self.mail if side == "mail" else self.crm
