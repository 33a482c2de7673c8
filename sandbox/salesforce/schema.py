"""The org's objects and fields: the committed table plus what sample data and tests add.

Rules that hold here:
- A field's facts come from `fields.json` alone; the few lengths nobody is sure of are switches of the world.
- An object that the org does not have (EmailMessage without Enhanced Email) is unknown everywhere, as in a real org.
- Every change of the schema has a time, which describe answers as Last-Modified.

It must never be asked for a field by another spelling than SOQL and REST allow: names are case-insensitive there, and
answers carry the name as defined.

Source: `make_fields.py`; Object Reference, "API Data Types and Salesforce Field Types".
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.frame import World
from sandbox.salesforce.refused import refuse

FLAGS = {
    "n": "nillable", "f": "filterable", "s": "sortable", "g": "groupable", "c": "createable", "u": "updateable",
    "d": "defaultedOnCreate", "i": "idLookup", "x": "externalId", "q": "unique", "k": "caseSensitive",
    "a": "calculated", "N": "nameField", "p": "polymorphicForeignKey",
}  # fmt: skip
TEXT_TYPES = frozenset({"string", "textarea", "picklist", "combobox", "email", "phone", "url", "multipicklist"})
#: (object, field) -> (switch, default): lengths that public sources disagree on or that are only remembered.
SWITCHED_LENGTHS = {
    ("EmailMessage", "MessageIdentifier"): ("salesforce.message_identifier_length", 765),
    ("EmailMessage", "ThreadIdentifier"): ("salesforce.message_identifier_length", 765),
    ("EmailMessage", "TextBody"): ("salesforce.mail_body_length", 131072),
    ("EmailMessage", "HtmlBody"): ("salesforce.mail_body_length", 131072),
    ("EmailMessage", "Headers"): ("salesforce.mail_body_length", 131072),
}
#: Objects whose rows the platform makes; a client may read them only.
READ_ONLY_OBJECTS = frozenset({"Organization", "Profile", "TaskStatus", "Calendar", "TaskRelation"})
#: What a client may not do with an object, apart from `READ_ONLY_OBJECTS`.
FORBIDDEN_ACTS = {
    ("User", "deletable"), ("Group", "createable"), ("Group", "updateable"), ("ContentDocument", "createable"),
    ("ContentVersion", "deletable"), ("EmailMessageRelation", "updateable"), ("User", "undeletable"),
    ("PermissionSetAssignment", "updateable"),
}  # fmt: skip
MERGEABLE = frozenset({"Account", "Contact", "Lead"})
#: Custom fields of these objects live on Activity and are on all of them.
ACTIVITY = ("Task", "Event")


@dataclasses.dataclass(frozen=True)
class Field:
    """One field as describe tells it. `flags` are the letters of `FLAGS`."""

    object_name: str
    name: str
    type: str
    length: int = 0
    flags: frozenset[str] = frozenset()
    label: str = ""
    references: tuple[str, ...] = ()
    relationship: str | None = None
    picklist: tuple[str, ...] = ()
    restricted: bool = False
    default: Any = None
    compound: str | None = None
    number: tuple[int, int, int] = (0, 0, 0)

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def required(self) -> bool:
        return "c" in self.flags and "n" not in self.flags and "d" not in self.flags and self.type != "boolean"

    @property
    def is_text(self) -> bool:
        return self.type in TEXT_TYPES

    @property
    def is_id(self) -> bool:
        return self.type in ("id", "reference")


@dataclasses.dataclass
class ObjectType:
    """One object: its prefix, its fields by lower-case name, and the reference fields by relationship name."""

    name: str
    prefix: str
    label: str
    plural: str
    fields: dict[str, Field]
    changed_at: datetime

    def __post_init__(self) -> None:
        self.relationships = {f.relationship.lower(): f for f in self.fields.values() if f.relationship}

    def field(self, name: str) -> Field | None:
        return self.fields.get(name.lower())

    def may(self, act: str) -> bool:
        """Whether a client may: createable, updateable, deletable, undeletable."""
        return self.name not in READ_ONLY_OBJECTS and (self.name, act) not in FORBIDDEN_ACTS


class Schema:
    """All objects of the org. `hidden` names objects that the org's settings take away. `guarded`: fields, as
    "Object.Field", that nobody sees without a permission; `seen_as` shows an object as the caller sees it, while one calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        now = world.clock.now()
        self._objects = {
            name.lower(): ObjectType(name, row["prefix"], row["label"], row["plural"], _fields(name, row), now)
            for name, row in _table().items()
        }
        self._by_prefix = {o.prefix: o for o in self._objects.values()}
        self.hidden: frozenset[str] = frozenset()
        self.guarded: set[str] = set()
        self.seen_as: Callable[[ObjectType], ObjectType] | None = None

    def __iter__(self) -> Iterator[ObjectType]:
        return (o for o in self._objects.values() if o.name not in self.hidden)

    def find(self, name: str) -> ObjectType | None:
        """The object of that name in any spelling, or None where the org has none."""
        found = self._objects.get(name.lower())
        if found is None or found.name in self.hidden:
            return None
        return self.seen_as(found) if self.guarded and self.seen_as else found

    def of_id(self, record_id: str) -> ObjectType | None:
        return self._by_prefix.get(record_id[:3])

    def length(self, field: Field) -> int:
        """The field's length now; switches decide where public sources disagree."""
        switched = SWITCHED_LENGTHS.get((field.object_name, field.name))
        return int(self._world.switches.get(switched[0], switched[1])) if switched else field.length

    def hide(self, names: frozenset[str]) -> None:
        for changed in (names | self.hidden) - (names & self.hidden):
            self._objects[changed.lower()].changed_at = self._world.clock.now()
        self.hidden = names

    def has(self, field: Field) -> bool:
        return field.name.lower() in self._objects[field.object_name.lower()].fields

    def have(self, fields: Iterable[Field], present: bool) -> None:
        """Gives standard fields to the org or takes them away, as a setting does."""
        for field in fields:
            owner = self._objects[field.object_name.lower()]
            if self.has(field) == present:
                continue
            if present:
                owner.fields[field.name.lower()] = field
            else:
                del owner.fields[field.name.lower()]
            owner.changed_at = self._world.clock.now()

    def touch(self, object_name: str) -> None:
        self._objects[object_name.lower()].changed_at = self._world.clock.now()

    def add_field(self, object_name: str, described: Mapping[str, Any], *, guarded: bool = False) -> None:
        """Adds a custom field, given in describe's keys: name and type needed, the rest as a new field would have it.

        A field of Activity (or of Task or Event) appears on both. Raises `Refused` DUPLICATE_DEVELOPER_NAME if it exists.
        """
        targets = ACTIVITY if object_name in ("Activity", *ACTIVITY) else (object_name,)
        for target in targets:
            owner = self._objects[target.lower()]
            if owner.field(described["name"]):
                raise refuse("DUPLICATE_DEVELOPER_NAME", f"There is already a field named {described['name']} on {target}.")
            owner.fields[described["name"].lower()] = _custom_field(target, described)
            owner.__post_init__()
            if guarded:
                self.guarded.add(f"{target}.{described['name']}")
            owner.changed_at = self._world.clock.now()


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((Path(__file__).parent / "fields.json").read_text(encoding="utf-8"))["objects"]
    return table


def _fields(owner: str, row: Mapping[str, Any]) -> dict[str, Field]:
    return {name.lower(): _standard_field(owner, name, facts) for name, facts in row["fields"].items()}


@cache
def _spoken(name: str) -> str:
    """A label for a field whose source has none: `MessageDate` -> `Message Date`, `OwnerId` -> `Owner ID`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).removesuffix(" Id") + (
        " ID" if name.endswith("Id") and name != "Id" else ""
    )


def _standard_field(owner: str, name: str, facts: Mapping[str, Any]) -> Field:
    return Field(
        object_name=owner,
        name=name,
        type=facts["type"],
        length=facts.get("length", 0),
        flags=frozenset(facts.get("flags", "")),
        label=facts.get("label") or _spoken(name),
        references=tuple(facts.get("refs", ())),
        relationship=facts.get("relationship"),
        picklist=tuple(facts.get("picklist", ())),
        restricted=bool(facts.get("restricted")),
        default=facts.get("default"),
        compound=facts.get("compound"),
        number=tuple(facts.get("number", (0, 0, 0))),
    )


def _custom_field(owner: str, described: Mapping[str, Any]) -> Field:
    long_text = described["type"] == "textarea"
    usual = {"nillable": True, "createable": True, "updateable": True, "filterable": not long_text, "sortable": not long_text}
    if described["type"] == "boolean":
        usual |= {"nillable": False, "defaultedOnCreate": True, "defaultValue": False}
    facts = {**usual, **described}
    if facts.get("externalId"):
        facts.setdefault("idLookup", True)
    return Field(
        object_name=owner,
        name=facts["name"],
        type=facts["type"],
        length=facts.get("length", 255 if facts["type"] in TEXT_TYPES else 0),
        flags=frozenset(letter for letter, flag in FLAGS.items() if facts.get(flag)),
        label=facts.get("label") or facts["name"].removesuffix("__c").replace("_", " "),
        references=tuple(facts.get("referenceTo", ())),
        relationship=facts.get("relationshipName"),
        picklist=tuple(value["value"] for value in facts.get("picklistValues", ())),
        restricted=bool(facts.get("restrictedPicklist")),
        default=facts.get("defaultValue"),
        number=(facts.get("digits", 0), facts.get("precision", 0), facts.get("scale", 0)),
    )
