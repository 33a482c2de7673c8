"""Per kind: its fields, who wins a conflict, what a side can hold; and the digests that stand for values.

Rules that hold here:
- A field is a row of a table, never a branch in code. `docs/sync.md` prints the same tables and a test compares them.
- A digest is keyed by the tenant's digest key and bound to link and field, so that equal values of two items or two tenants
  never look alike. 16 bytes are kept, as text.
- `narrow` says what a side will hold of a value that is sent to it; it is pure and idempotent.
- A value is compared, digested and sent in its canonical form only. Every shadow names the forms it was made with (CANON).
  When a form changes, CANON goes up and the field keeps the form before as `before` for one release: an end that is
  unchanged in that form was not edited. A form is idempotent, and what a side holds of a canonical value is canonical.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.core.model import Digests, Fields, Item, Side, Value

Form = Callable[[Value], Value]


def as_it_is(value: Value) -> Value:
    return value


def without_spaces(value: Value) -> Value:
    return "".join(value.split()) if isinstance(value, str) else value


@dataclass(frozen=True)
class Field:
    """`winner`: the side whose value stands where both were edited. `limits`: the longest text a side holds.
    `by_person`: an edit of it counts as a person's, and so beats a delete. `form`: the canonical form; `before`: the one of
    the release before, where CANON's last step changed it."""

    name: str
    winner: Side = "mail"
    limits: Mapping[Side, int] | None = None
    is_set: bool = False
    by_person: bool = True
    form: Form = as_it_is
    before: Form | None = None


#: The canonical forms of this release. 2: a card's phone has no spaces.
CANON = 2

#: The two small kinds that prove the law; events, contacts and tasks add their tables here.
KINDS: Mapping[str, tuple[Field, ...]] = {
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
NATURAL_KEYS: Mapping[str, tuple[str, ...]] = {"note": ("where",), "card": ("name", "company")}

#: Fields by which an item that we made and never heard of again is found where no key can be written (lookup mode).
LOOKUP: Mapping[str, tuple[str, ...]] = {"note": ("title", "where"), "card": ("name", "company")}


def field_of(kind: str, name: str) -> Field:
    return next(f for f in KINDS[kind] if f.name == name)


def canonical(kind: str, fields: Fields) -> dict[str, Value]:
    """The fields that the kind has, in the canonical form of this release."""
    return {one.name: one.form(fields[one.name]) for one in KINDS[kind] if one.name in fields}


def before(kind: str, fields: Fields) -> dict[str, Value]:
    """The same in the canonical form of the release before."""
    return {one.name: (one.before or one.form)(fields[one.name]) for one in KINDS[kind] if one.name in fields}


def narrow(kind: str, side: Side, name: str, value: Value) -> Value:
    """What `side` holds after `value` was written to it."""
    limit = (field_of(kind, name).limits or {}).get(side)
    return value[:limit].rstrip() if limit is not None and isinstance(value, str) else value


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
