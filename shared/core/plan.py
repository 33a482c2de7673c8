"""The plan: a link and what was seen of its two ends -> what to do, and the rule that says so. Pure; the law of the product.

How a field is decided. Every side has known values: its base (position 0) and what each announcement, in order, would make
of it (1, 2, ...). A side that holds a known value was not edited.
- Both known at the same position, or equal in content: same.
- Both known at different positions: the announcement of the later one did not finish; its source's value goes to its target.
- One unknown: a person edited it; its value travels. If the other side's value was announced to it and nobody knows whether
  that landed, the edit may have met it unseen: the edit still travels, and the ledger says so.
- Both unknown: a conflict; the field's winner takes it and the ledger says so. Sets merge element by element instead.

A side that was not seen is as the link remembers it. Deletions and edits meet in `DECISIONS`, which docs/sync.md prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.core import fields as law
from shared.core.model import SIDES, Announcement, Digests, Fields, Link, Seen, Side, Value, other

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
    that revive, delete and sever are about. `conflicts`: fields where two edits met, with the winner."""

    verb: Verb
    rule: str
    writes: Mapping[Side, Fields] = field(default_factory=dict)
    bases: Mapping[Side, Digests] = field(default_factory=dict)
    target: Side | None = None
    conflicts: Mapping[str, Side] = field(default_factory=dict)

    def announcements(self, *, create: bool = False) -> tuple[Announcement, ...]:
        """One for each side that is written, in the order of SIDES."""
        return tuple(
            Announcement(
                side,
                mail={name: self.bases["mail"][name] for name in names},
                crm={name: self.bases["crm"][name] for name in names},
                create=create,
            )
            for side in SIDES
            if (names := self.writes.get(side))
        )


def classify(link: Link, side: Side, seen: Seen | None, digest_key: bytes) -> Class:
    if link.gone == side:
        return "DELETED"
    if seen is None:
        return "SAME"
    if seen.item is None:
        return "DELETED"
    unknown = {
        name
        for name, value in seen.item.fields.items()
        if _position(link, side, name, law.digest(digest_key, link.key, name, value)) is None
    }
    return "EDITED" if unknown and law.of_person(link.kind, unknown) else "SAME"


def plan(link: Link, mail: Seen | None, crm: Seen | None, digest_key: bytes) -> Plan:
    """What to do about one live link. A side given as None was not reported and is as the link remembers it."""
    seen: dict[Side, Seen | None] = {"mail": mail, "crm": crm}
    classes: tuple[Class, Class] = (classify(link, "mail", mail, digest_key), classify(link, "crm", crm, digest_key))
    verb, rule = DECISIONS[classes]
    if verb in ("remember", "write"):
        return _merged(link, seen, digest_key, rule)
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


def made_from(
    link: Link, source: Side, values: Fields, digest_key: bytes, *, verb: Verb = "write", rule: str = "created"
) -> Plan:
    """The plan that makes the other side's item from these values."""
    target = other(source)
    sent = law.narrowed(link.kind, target, values)
    bases = {
        source: law.digests(digest_key, link.key, values),
        target: law.digests(digest_key, link.key, sent),
    }
    return Plan(verb, rule, {target: sent}, bases, target)


def _position(link: Link, side: Side, name: str, found: str) -> int | None:
    """The latest known position of a digest; None = nobody announced it, so a person made it."""
    for position in range(len(link.announced), 0, -1):
        if link.announced[position - 1].of(side).get(name) == found:
            return position
    return 0 if link.end(side).base.get(name) == found else None


def _merged(link: Link, seen: Mapping[Side, Seen | None], digest_key: bytes, rule: str) -> Plan:
    values: dict[Side, dict[str, Value]] = {
        side: dict(item.fields) if (found := seen[side]) is not None and (item := found.item) is not None else {}
        for side in SIDES
    }
    bases: dict[Side, dict[str, str]] = {side: dict(link.end(side).base) for side in SIDES}
    writes: dict[Side, dict[str, Value]] = {"mail": {}, "crm": {}}
    conflicts: dict[str, Side] = {}
    for name in [f.name for f in law.KINDS[link.kind]]:
        now = {side: values[side].get(name) for side in SIDES}
        for side in SIDES:
            if (value := now[side]) is not None:
                bases[side][name] = law.digest(digest_key, link.key, name, value)
        direction = _direction(link, name, now, digest_key)
        if direction is None:
            continue
        source, conflict = direction
        if conflict and law.field_of(link.kind, name).is_set:
            _merge_set(link, name, now, digest_key, writes, bases)
            continue
        if conflict:
            conflicts[name] = source
        value = now[source]
        assert value is not None
        target = other(source)
        sent = law.narrow(link.kind, target, name, value)
        if now[target] == sent:
            continue
        writes[target][name] = sent
        bases[target][name] = law.digest(digest_key, link.key, name, sent)
    sends = {side: fields for side, fields in writes.items() if fields}
    return Plan("write" if sends else "remember", rule if sends else "same", sends, bases, conflicts=conflicts)


def _direction(link: Link, name: str, now: Mapping[Side, Value | None], digest_key: bytes) -> tuple[Side, bool] | None:
    """(the side whose value stands, whether two edits met), or None where nothing is to be carried."""
    at: dict[Side, int | None] = {}
    for side in SIDES:
        value = now[side]
        at[side] = 0 if value is None else _position(link, side, name, law.digest(digest_key, link.key, name, value))
    mail, crm = at["mail"], at["crm"]
    if mail is None and crm is None:
        if now["mail"] == now["crm"]:
            return None
        return law.field_of(link.kind, name).winner, True
    if mail is None or crm is None:
        edited: Side = "mail" if mail is None else "crm"
        carried = crm if mail is None else mail
        assert carried is not None
        # the other side's value was on its way here: the edit may or may not have been made over it
        met = carried > 0 and (law.field_of(link.kind, name).is_set or link.announced[carried - 1].side == edited)
        return edited, met
    if mail == crm:
        return None
    source = other(link.announced[max(mail, crm) - 1].side)
    if now[source] is None:
        return None
    return source, law.field_of(link.kind, name).is_set and now[other(source)] is not None  # a merged set has two sources


def _merge_set(
    link: Link,
    name: str,
    now: Mapping[Side, Value | None],
    digest_key: bytes,
    writes: dict[Side, dict[str, Value]],
    bases: dict[Side, dict[str, str]],
) -> None:
    """Both sides changed a set: what either added stays, what either removed goes."""
    stood = set((link.mail.base.get(name) or "").split(",")) & set((link.crm.base.get(name) or "").split(",")) - {""}
    elements: dict[str, str] = {}
    for side in SIDES:
        elements |= {law.digest(digest_key, link.key, name, element): element for element in now[side] or ()}
    removed = {
        found
        for side in SIDES
        for found in stood - {law.digest(digest_key, link.key, name, element) for element in now[side] or ()}
    }
    result = tuple(sorted(element for found, element in elements.items() if found not in removed))
    for side in SIDES:
        bases[side][name] = law.digest(digest_key, link.key, name, result)
        if now[side] != result:
            writes[side][name] = result
