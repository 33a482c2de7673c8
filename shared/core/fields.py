"""Per kind: its fields, who wins a conflict, what a side can hold; and the digests that stand for values.

Rules that hold here:
- A field is a row of a table, never a branch in code. `docs/sync.md` prints the same tables and a test compares them.
- A digest is keyed by the tenant's digest key and bound to link and field, so that equal values of two items or two tenants
  never look alike. 16 bytes are kept, as text.
- `narrow` says what a side will hold of a value that is sent to it; it is pure and idempotent.
- A field that is carried to the CRM only is never written to the mailbox. Of a `careful` one the mailbox's value is replaced
  only where it is empty or still what we wrote; one that `others_see` waits for a person where other people would be told.
- A value is compared, digested and sent in its canonical form only. Every shadow names the forms it was made with (CANON).
  When a form changes, CANON goes up and the field keeps the form before as `before` for one release: an end that is
  unchanged in that form was not edited. A form is idempotent, and what a side holds of a canonical value is canonical.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from shared.core.model import Digests, Fields, Item, Side, Value

Form = Callable[[Value], Value]


def as_it_is(value: Value) -> Value:
    return value


def without_spaces(value: Value) -> Value:
    return "".join(value.split()) if isinstance(value, str) else value


def one_line(value: Value) -> Value:
    return " ".join(value.split()) if isinstance(value, str) else value


def lines(value: Value) -> Value:
    """Text without what providers add and take away by themselves: spaces at line ends, blank lines around it and in rows."""
    if not isinstance(value, str):
        return value
    text = "\n".join(line.rstrip() for line in value.replace("\xa0", " ").splitlines()).strip()
    return re.sub(r"\n{3,}", "\n\n", text)


@dataclass(frozen=True)
class Field:
    """`winner`: the side whose value stands where both were edited. `limits`: the longest text a side holds, in UTF-16 units.
    `holds`: what a side makes of values that it does not know. `by_person`: an edit of it counts as a person's, and so
    beats a delete. `form`: the canonical form; `before`: the one of the release before, where CANON's last step changed it."""

    name: str
    winner: Side = "mail"
    limits: Mapping[Side, int] | None = None
    holds: Mapping[Side, Mapping[str, str]] | None = None
    is_set: bool = False
    by_person: bool = True
    direction: Literal["both", "to_crm"] = "both"
    careful: bool = False
    others_see: bool = False
    form: Form = as_it_is
    before: Form | None = None

    def carried_to(self, side: Side) -> bool:
        return self.direction == "both" or side == "crm"


#: The canonical forms of this release. 2: a card's phone has no spaces.
CANON = 2

#: What Salesforce has no word for, in the words of the mailbox.
_BUSY = {"tentative": "busy", "workingElsewhere": "busy", "unknown": "busy"}

#: The two small kinds prove the law.
#: Of an event `when` is an ISO 8601 interval: of instants in UTC to the second ("2026-12-01T09:00:00Z/2026-12-01T10:00:00Z") or
#: of whole days with the end exclusive ("2026-12-01/2026-12-02"); one field, so that a start and an end of two hands never
#: meet in one event. `people` are the ids of the CRM records that take part, `answers` what they answered ("id=accepted").
#: `show_as` is free, tentative, busy, oof or workingElsewhere; `private` yes or no.
KINDS: Mapping[str, tuple[Field, ...]] = {
    "event": (
        Field("subject", limits={"crm": 255, "mail": 255}, others_see=True, form=one_line),
        Field("when", others_see=True),
        Field("location", limits={"crm": 255, "mail": 255}, others_see=True, form=one_line),
        Field("description", limits={"crm": 32_000}, careful=True, others_see=True, form=lines),
        Field("show_as", holds={"crm": _BUSY}),
        Field("private", others_see=True),
        Field("people", is_set=True, by_person=False, direction="to_crm"),
        Field("answers", is_set=True, by_person=False, direction="to_crm"),
    ),
    "note": (
        Field("title", winner="mail", limits={"crm": 12}),
        Field("text", winner="crm"),
        Field("where", winner="mail"),
        Field("tags", winner="crm", is_set=True),
    ),
    "card": (
        Field("name", winner="crm"),
        Field("phone", winner="mail", limits={"mail": 14}, form=without_spaces, before=as_it_is),
        Field("company", winner="crm"),
        Field("seen", winner="mail", by_person=False),
    ),
}

#: Fields that, equal on both sides, make two items that we never linked the same thing.
NATURAL_KEYS: Mapping[str, tuple[str, ...]] = {"event": ("subject", "when"), "note": ("where",), "card": ("name", "company")}

#: Fields by which an item that we made and never heard of again is found where no key can be written (lookup mode).
LOOKUP: Mapping[str, tuple[str, ...]] = {"event": ("subject", "when"), "note": ("title", "where"), "card": ("name", "company")}


def field_of(kind: str, name: str) -> Field:
    return next(f for f in KINDS[kind] if f.name == name)


def asks_first(kind: str) -> bool:
    """Whether the mailbox's item must be looked at before anything is written to it."""
    return any(one.careful or one.others_see for one in KINDS[kind])


def canonical(kind: str, fields: Fields) -> dict[str, Value]:
    """The fields that the kind has, in the canonical form of this release."""
    return {one.name: one.form(fields[one.name]) for one in KINDS[kind] if one.name in fields}


def before(kind: str, fields: Fields) -> dict[str, Value]:
    """The same in the canonical form of the release before."""
    return {one.name: (one.before or one.form)(fields[one.name]) for one in KINDS[kind] if one.name in fields}


def narrow(kind: str, side: Side, name: str, value: Value) -> Value:
    """What `side` holds after `value` was written to it."""
    one = field_of(kind, name)
    if not isinstance(value, str):
        return value
    value = (one.holds or {}).get(side, {}).get(value, value)
    limit = (one.limits or {}).get(side)
    if limit is None or 2 * len(value) <= limit:
        return value
    cut = value.encode("utf-16-le", "surrogatepass")[: 2 * limit].decode("utf-16-le", "ignore")
    return cut.rstrip() if cut != value else value


def narrowed(kind: str, side: Side, fields: Fields) -> dict[str, Value]:
    return {name: narrow(kind, side, name, value) for name, value in fields.items()}


def digest(digest_key: bytes, link_key: str, name: str, value: Value) -> str:
    """Stands for a canonical value: 22 characters, for a set 22 for each element, in order and separated by commas."""
    if isinstance(value, tuple):
        return ",".join(sorted(digest(digest_key, link_key, name, element) for element in value))
    text = f"{link_key}\x1f{name}\x1f{value}"
    return base64.urlsafe_b64encode(hmac.digest(digest_key, text.encode(), hashlib.sha256)[:16]).decode().rstrip("=")


def digests(digest_key: bytes, link_key: str, fields: Fields) -> dict[str, str]:
    return {name: digest(digest_key, link_key, name, value) for name, value in fields.items()}


def same(kind: str, side: Side, name: str, value: Value, elsewhere: Value) -> bool:
    """Whether `side` holding `value` is no different from the other side holding `elsewhere`: equal in form and narrowed."""
    form = field_of(kind, name).form
    return narrow(kind, side, name, form(elsewhere)) == narrow(kind, side, name, form(value))


def natural_key(item: Item) -> tuple[Value, ...] | None:
    """What identifies an item by itself, or None when part of it is empty."""
    fields = canonical(item.kind, item.fields)
    values = tuple(fields.get(name, "") for name in NATURAL_KEYS[item.kind])
    return values if all(values) else None


def of_person(kind: str, names: Digests | set[str]) -> bool:
    """Whether one of these fields is edited by people."""
    return any(field_of(kind, name).by_person for name in names)
