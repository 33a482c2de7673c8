"""The plan: a link and what was seen of its two ends -> what to do, and the rule that says so. Pure; the law of the product.

How a field is decided. Every side has known values: its base (position 0) and what each announcement, in order, would make
of it (1, 2, ...). A side that holds a known value was not edited.
- Both known at the same position, or equal in content: same.
- Both known at different positions: the announcement of the later one did not finish; its source's value goes to its target.
- One unknown: a person edited it; its value travels. If the other side's value was announced to it and nobody knows whether
  that landed, the edit may have met it unseen: the edit still travels, and the ledger says so.
- Both unknown: a conflict; the field's winner takes it and the ledger says so. Sets merge element by element (`core.sets`).
- A field on which two systems insist (`core.insist`) is left alone on both sides, and so are its bases. So is one whose change
  in the CRM must not reach the mailbox without a person's word (`Terms`): the plan says what waits, and why.

A side that was not seen is as the link remembers it. Deletions and edits meet in `DECISIONS`, which docs/sync.md prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.core import fields as law
from shared.core.insist import insisted
from shared.core.model import SIDES, Announcement, Digests, End, Fields, Link, Seen, Side, Value, other
from shared.core.sets import Merged, SetHistory

Class = Literal["SAME", "EDITED", "DELETED"]
Verb = Literal["remember", "write", "revive", "delete", "sever", "end"]

#: (mail, crm) -> what happens. `write` covers one-sided patches and the merge; revive, delete and sever name their side below.
DECISIONS: Mapping[tuple[Class, Class], tuple[Verb, str]] = {
    ("SAME", "SAME"): ("remember", "same"),
    ("SAME", "EDITED"): ("write", "edit.crm"),
    ("EDITED", "SAME"): ("write", "edit.mail"),
    ("EDITED", "EDITED"): ("write", "merge"),
    ("SAME", "DELETED"): ("sever", "deleted.crm"),
    ("DELETED", "SAME"): ("delete", "deleted.mail"),
    ("EDITED", "DELETED"): ("revive", "edit_beats_delete.crm"),
    ("DELETED", "EDITED"): ("revive", "edit_beats_delete.mail"),
    ("DELETED", "DELETED"): ("end", "deleted.both"),
}


@dataclass(frozen=True)
class Plan:
    """`writes`: {side: fields to send}, already narrowed. `bases`: the bases once all of it has landed. `target`: the side
    that revive, delete and sever are about. `conflicts`: fields where two edits met, with the winner. `held`: what each
    side holds of the sets. `winners`: whose value is carried, by field. `insists`: fields that are held from now on.
    `waits`: fields whose change in the CRM waits for a person, (rule, digest of the CRM's value); `ours`: careful fields of
    which the mailbox then holds our text; `above`: those of which our text is put above what stands there."""

    verb: Verb
    rule: str
    writes: Mapping[Side, Fields] = field(default_factory=dict)
    bases: Mapping[Side, Digests] = field(default_factory=dict)
    target: Side | None = None
    conflicts: Mapping[str, Side] = field(default_factory=dict)
    held: Mapping[Side, Digests] = field(default_factory=dict)
    winners: Mapping[str, Side] = field(default_factory=dict)
    insists: tuple[str, ...] = ()
    waits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ours: tuple[str, ...] = ()
    above: frozenset[str] = frozenset()

    def announcements(self, at: float, *, create: bool = False) -> tuple[Announcement, ...]:
        """One for each side that is written, in the order of SIDES. `at` in seconds since 1970."""
        return tuple(
            Announcement(
                side,
                # of a field that one side never told nothing is known there
                mail={name: self.bases["mail"][name] for name in names if name in self.bases["mail"]},
                crm={name: self.bases["crm"][name] for name in names if name in self.bases["crm"]},
                create=create,
                held={which: {name: of[name] for name in names if name in of} for which, of in self.held.items()},
                at=at,
                canon=law.CANON,
            )
            for side in SIDES
            if (names := self.writes.get(side))
        )


@dataclass(frozen=True)
class Terms:
    """What a person, the profile and the item itself say about a pair. `waits`: fields not to be written to the mailbox,
    with the rule; `granted`: fields of which a person said that they are, `discard`: that the mailbox's value stands, each
    with the digest of the CRM's value that the person was told of: a later one is not meant. `follows`: nothing is carried
    in either direction, for another mailbox carries this record."""

    waits: Mapping[str, str] = field(default_factory=dict)
    granted: Mapping[str, str] = field(default_factory=dict)
    discard: Mapping[str, str] = field(default_factory=dict)
    follows: bool = False


FREE = Terms()


@dataclass(frozen=True)
class View:
    """One side as it was reported: its values in canonical form, and their digests by canon."""

    values: Mapping[str, Value]
    digests: Mapping[int, Digests]
    version: str = ""

    def known(self, shadow: Digests, name: str, canon: int) -> bool:
        """Whether this side holds what the shadow says. A shadow without the field knows nothing of it."""
        return name in shadow and self.digests.get(canon, {}).get(name) == shadow[name]


def view_of(link: Link, seen: Seen | None, digest_key: bytes) -> View:
    """Nothing where the side was not reported or has no item."""
    if seen is None or seen.item is None:
        return View({}, {})
    values = law.canonical(link.kind, seen.item.fields)
    old = law.before(link.kind, seen.item.fields)
    now = law.digests(digest_key, link.key, values)
    changed = law.digests(digest_key, link.key, {name: value for name, value in old.items() if value != values[name]})
    return View(values, {law.CANON: now, law.CANON - 1: {**now, **changed}}, seen.version)


def classify(link: Link, side: Side, seen: Seen | None, digest_key: bytes) -> Class:
    if link.gone == side or (seen is not None and seen.item is None):
        return "DELETED"
    view = view_of(link, seen, digest_key)
    unknown = {name for name in view.values if _position(link, side, name, view) is None}
    return "EDITED" if unknown and law.of_person(link.kind, unknown) else "SAME"


def plan(link: Link, mail: Seen | None, crm: Seen | None, digest_key: bytes, now: float = 0.0, terms: Terms = FREE) -> Plan:
    """What to do about one live link. A side given as None was not reported and is as the link remembers it; where its base
    is of an older canon, both must be given. `now` in seconds since 1970."""
    seen: dict[Side, Seen | None] = {"mail": mail, "crm": crm}
    classes: tuple[Class, Class] = (classify(link, "mail", mail, digest_key), classify(link, "crm", crm, digest_key))
    if classes == ("DELETED", "EDITED") and (terms.follows or link.follows or _never_crosses(link, crm, digest_key)):
        classes = ("DELETED", "SAME")
    if classes == ("EDITED", "DELETED") and (terms.follows or link.follows):
        classes = ("SAME", "DELETED")
    verb, rule = DECISIONS[classes]
    if verb in ("remember", "write"):
        views = {side: view_of(link, seen[side], digest_key) for side in SIDES}
        return _Merge(link, views, digest_key, now, terms).plan(rule)
    if verb == "end":
        return Plan(verb, rule)
    gone: Side = "mail" if classes[0] == "DELETED" else "crm"
    if verb == "revive":
        source = seen[other(gone)]
        assert source is not None
        assert source.item is not None
        return made_from(link, other(gone), source.item.fields, digest_key, verb="revive", rule=rule)
    if verb == "delete" and link.made != other(gone):
        return Plan("sever", "deleted.mail.not_ours", target=other(gone))
    return Plan(verb, rule, target=other(gone))


def _never_crosses(link: Link, crm: Seen | None, digest_key: bytes) -> bool:
    """Whether all that a person edited in the CRM is of the kind that never reaches the mailbox: no reason to make it anew."""
    view = view_of(link, crm, digest_key)
    edited = {name for name in view.values if _position(link, "crm", name, view) is None}
    edited = {name for name in edited if law.of_person(link.kind, {name})}
    return all(link.waits.get(name, ("", ""))[0].startswith("kept.") for name in edited)


def made_from(
    link: Link, source: Side, fields: Fields, digest_key: bytes, *, verb: Verb = "write", rule: str = "created"
) -> Plan:
    """The plan that makes the other side's item from these values."""
    target = other(source)
    values = law.canonical(link.kind, fields)
    carried = {name: value for name, value in values.items() if law.field_of(link.kind, name).carried_to(target)}
    sent = law.narrowed(link.kind, target, carried)
    bases = {
        source: law.digests(digest_key, link.key, values),
        target: law.digests(digest_key, link.key, sent),
    }
    sets = [one.name for one in law.KINDS[link.kind] if one.is_set and one.name in values]
    held = {source: {name: bases[source][name] for name in sets}, target: dict.fromkeys(sets, "")}
    careful = [one.name for one in law.KINDS[link.kind] if one.careful]
    ours = tuple(careful)
    if target == "crm":  # what the mailbox holds of it may still be ours
        ours = tuple(name for name in careful if name in link.ours and bases["mail"].get(name) == link.mail.base.get(name))
    return Plan(verb, rule, {target: sent}, bases, target, held=held, ours=ours)


def is_known(link: Link, side: Side, seen: Seen, digest_key: bytes) -> bool:
    """Whether all that this side tells of a link at rest is what its base says: then there is nothing to plan."""
    if link.announced or link.gone or link.waits or link.end(side).canon != law.CANON or seen.item is None:
        return False
    view = view_of(link, seen, digest_key)
    return all(_position(link, side, name, view) == 0 for name in view.values)


def _position(link: Link, side: Side, name: str, view: View) -> int | None:
    """The latest known position of what the side holds; None = nobody announced it, so a person made it."""
    for position in range(len(link.announced), 0, -1):
        announced = link.announced[position - 1]
        if view.known(announced.of(side), name, announced.canon):
            return position
    if view.known(link.end(side).base, name, link.end(side).canon):
        return 0
    # two that were just paired have no base: what a side held when the first write was announced stands for it
    first = next((a for a in link.announced if name in a.held.get(side, {})), None)
    paired = first is not None and name not in link.end(side).base and not law.field_of(link.kind, name).is_set
    return 0 if paired and first is not None and view.known(first.held[side], name, first.canon) else None


class _Merge:
    """Field by field: what is sent, and what the bases are once all has landed."""

    def __init__(self, link: Link, views: Mapping[Side, View], digest_key: bytes, now: float, terms: Terms) -> None:
        self._link, self._views, self._key, self._now, self._terms = link, views, digest_key, now, terms
        self._bases: dict[Side, dict[str, str]] = {side: dict(link.end(side).base) for side in SIDES}
        self._writes: dict[Side, dict[str, Value]] = {"mail": {}, "crm": {}}
        self._conflicts: dict[str, Side] = {}
        self._insists: list[str] = []
        self._waits: dict[str, tuple[str, str]] = {}
        self._above: set[str] = set()

    def plan(self, rule: str) -> Plan:
        for one in law.KINDS[self._link.kind]:
            if one.name in self._link.insists:
                self._left_alone(one.name)
                continue
            for side in SIDES:
                if one.name in self._views[side].values:
                    self._bases[side][one.name] = self._views[side].digests[law.CANON][one.name]
            if self._terms.follows:
                continue
            if one.is_set:
                self._set(one)
            else:
                self._scalar(one.name)
        sends = {side: fields for side, fields in self._writes.items() if fields}
        return Plan(
            "write" if sends else "remember",
            rule if sends else "same",
            sends,
            self._bases,
            conflicts=self._conflicts,
            held=self._held(),
            winners=self._winners(),
            insists=tuple(self._insists),
            waits=self._waits,
            ours=tuple(one.name for one in law.KINDS[self._link.kind] if one.careful and self._is_ours(one.name)),
            above=frozenset(self._above),
        )

    def _scalar(self, name: str) -> None:
        now = {side: self._views[side].values.get(name) for side in SIDES}
        direction = _direction(self._link, name, self._views)
        if self._said(self._terms.discard, name) and now["mail"] is not None:
            direction = ("mail", False)
        if direction is None:
            return
        source, conflict = direction
        value, target = now[source], other(source)
        assert value is not None
        sent = law.narrow(self._link.kind, target, name, value)
        if conflict:
            self._conflicts[name] = source
        if now[target] != sent:
            self._send(target, name, sent)

    def _set(self, one: law.Field) -> None:
        link, name = self._link, one.name
        now = {side: _elements(self._views[side].values.get(name)) for side in SIDES}
        if now["mail"] is None and now["crm"] is None:
            return
        # what is carried to the CRM alone is not made in one breath with its item: that it is missing proves nothing there
        made = tuple(a for a in _made(link, self._views) if one.carried_to("mail") or not a.create)
        history = SetHistory(link, name, self._mark(name), made)
        merged = history.merged(now)
        if not one.carried_to("mail"):
            merged = Merged(history.for_crm(merged.value, now["crm"]), merged.unsure)
        if merged.unsure and self._views[merged.unsure].version != link.end(merged.unsure).version:
            self._conflicts[name] = other(merged.unsure)
        differing = [side for side in SIDES if now[side] != merged.value and one.carried_to(side)]
        targets = [side for side in differing if not self._unseen(side, name, merged.value)]
        for side in targets:
            self._send(side, name, merged.value, turns=len(targets) == 1)

    def _send(self, target: Side, name: str, value: Value, *, turns: bool = True) -> None:
        """`turns`: the other side alone is the winner."""
        if target == "mail" and (rule := self._waiting(name)):
            self._waits[name] = (rule, self._views["crm"].digests[law.CANON].get(name, ""))
            self._left_alone(name)
            return
        if turns and insisted(self._link.turns, name, other(target), self._now):
            self._insists.append(name)
            self._left_alone(name)
            return
        self._writes[target][name] = value
        self._bases[target][name] = law.digest(self._key, self._link.key, name, value)

    def _waiting(self, name: str) -> str:
        """The rule by which this field is not written to the mailbox now, or "". Text a person wrote is never replaced: where a
        person says so, ours is put above it."""
        granted = self._said(self._terms.granted, name)
        if name in self._terms.waits and not granted:
            return self._terms.waits[name]
        if not law.field_of(self._link.kind, name).careful or self._is_ours(name):
            return ""
        if self._views["mail"].values.get(name) == "":
            return ""
        if granted:
            self._above.add(name)
        return "" if granted else "held.differs"

    def _said(self, answers: Mapping[str, str], name: str) -> bool:
        """Whether a person's answer is about what the CRM holds now."""
        return name in answers and self._views["crm"].digests.get(law.CANON, {}).get(name) == answers[name]

    def _is_ours(self, name: str) -> bool:
        """Whether the mailbox holds, or will hold, of this field what we wrote and nothing else."""
        if name in self._writes["mail"]:
            return name not in self._above
        if name not in self._views["mail"].values:
            return name in self._link.ours
        position = _position(self._link, "mail", name, self._views["mail"])
        if position:
            return self._link.announced[position - 1].side == "mail"
        return position == 0 and name in self._link.ours

    def _left_alone(self, name: str) -> None:
        """The bases stay what they were, but for a value of ours that lies on a side: that one is known and stays so."""
        for side in SIDES:
            end, view = self._link.end(side), self._views[side]
            if name in view.values and _position(self._link, side, name, view) is not None:
                self._bases[side][name] = view.digests[law.CANON][name]
            elif end.canon != law.CANON and law.field_of(self._link.kind, name).before:
                self._bases[side].pop(name, None)  # it stood for a form that the base, as it will be written, cannot name
            elif name in end.base:
                self._bases[side][name] = end.base[name]
            else:
                self._bases[side].pop(name, None)  # nothing is remembered of it: it stays that way
            self._writes[side].pop(name, None)
        self._conflicts.pop(name, None)

    def _unseen(self, side: Side, name: str, value: Value) -> bool:
        """Whether the side was not reported and, as its base says, holds this value."""
        stands = self._link.end(side).base.get(name) == law.digest(self._key, self._link.key, name, value)
        return name not in self._views[side].values and stands

    def _mark(self, name: str) -> Callable[[str, int], str]:
        """Digests of elements; a set's elements have the same form in every canon."""
        return lambda element, canon: law.digest(self._key, self._link.key, name, element)

    def _held(self) -> dict[Side, Digests]:
        sets = [one.name for one in law.KINDS[self._link.kind] if one.is_set]
        held: dict[Side, Digests] = {side: {name: self._holds(side, name) for name in sets} for side in SIDES}
        for side in SIDES:
            now = self._views[side].digests.get(law.CANON, {})
            base = self._link.end(side).base
            held[side] = {**{name: now[name] for name in now if name not in base}, **held[side]}
        return held

    def _holds(self, side: Side, name: str) -> str:
        view = self._views[side]
        return view.digests[law.CANON][name] if name in view.values else self._link.end(side).base.get(name, "")

    def _winners(self) -> dict[str, Side]:
        """Whose value is carried; a set that both sides changed has no winner."""
        return {name: other(side) for side in SIDES for name in self._writes[side] if name not in self._writes[other(side)]}


def _elements(value: Value | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _made(link: Link, views: Mapping[Side, View]) -> tuple[Announcement, ...]:
    """Announced writes that certainly were made: something that only they bring is there."""
    return tuple(one for one in link.announced if one.create or any(_brought(link, one, views[one.side])))


def _brought(link: Link, announced: Announcement, view: View) -> Iterator[bool]:
    base: End = link.end(announced.side)
    for name, sent in announced.of(announced.side).items():
        there = view.digests.get(announced.canon, {}).get(name, "")
        if law.field_of(link.kind, name).is_set:
            before = announced.held.get(announced.side, base.base).get(name, "")
            yield bool((set(sent.split(",")) - set(before.split(","))) & set(there.split(",")) - {""})
        else:
            yield there == sent and sent != base.base.get(name)


def _direction(link: Link, name: str, views: Mapping[Side, View]) -> tuple[Side, bool] | None:
    """(the side whose value stands, whether two edits met), or None where nothing is to be carried."""
    at: dict[Side, int | None] = {}
    now = {side: views[side].values.get(name) for side in SIDES}
    for side in SIDES:
        at[side] = 0 if now[side] is None else _position(link, side, name, views[side])
    mail, crm = at["mail"], at["crm"]
    if mail is None and crm is None:
        return None if now["mail"] == now["crm"] else (law.field_of(link.kind, name).winner, True)
    if mail is None or crm is None:
        edited: Side = "mail" if mail is None else "crm"
        carried = crm if mail is None else mail
        assert carried is not None
        # the other side's value was on its way here: the edit may or may not have been made over it
        return edited, carried > 0 and link.announced[carried - 1].side == edited
    if mail == crm:
        return None
    source = other(link.announced[max(mail, crm) - 1].side)
    return None if now[source] is None else (source, False)
