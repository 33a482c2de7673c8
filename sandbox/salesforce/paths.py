"""Field paths: from names in a statement to functions that read a row, and rows as answers show them.

Rules that hold here: only what was asked for is shown; a parent is shown as an object with its own attributes, or null; a
reference to several objects (Who, What, Owner) offers the fields that all of them share and its Type.

It must never change a row.

Source: SOQL and SOSL Reference, "Understanding Relationship Names" and "Polymorphic Relationships"; Object Reference, "Name".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sandbox.salesforce import event_people
from sandbox.salesforce.activities import archive_limit, is_archived
from sandbox.salesforce.records import Records
from sandbox.salesforce.refused import Refused, refuse
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.store import Row

Read = Callable[[Row], Any]
#: What can be read through a reference to several objects.
NAME_FIELDS = ("Id", "Name", "Type", "FirstName", "LastName", "Email", "Phone", "Title", "Username", "IsActive", "Alias")
ADDRESS_PARTS = ("city", "country", "geocodeAccuracy", "latitude", "longitude", "postalCode", "state", "street")


@dataclasses.dataclass(frozen=True)
class Resolved:
    """What a path leads to: the field, how to read it from a row, and the names as the schema spells them."""

    field: Field
    read: Read
    names: tuple[str, ...]


class Paths:
    def __init__(self, records: Records, version: str) -> None:
        self._records = records
        self._version = version

    def resolve(self, owner: ObjectType, parts: Sequence[str]) -> Resolved:
        """Raises INVALID_FIELD for an unknown relationship or field; the caller adds the place."""
        if len(parts) == 1:
            field = self.known(owner, parts[0])
            return Resolved(field, self.reader(owner, field), (field.name,))
        link = owner.relationships.get(parts[0].lower())
        if link is None or len(parts) > 6:
            raise unknown_relationship(parts[0], parts)
        targets = [target for name in link.references if (target := self._records.schema.find(name))]
        if len(link.references) > 1:
            return self._shared(link, targets, parts)
        if not targets:
            raise unknown_relationship(parts[0], parts)
        inner = self.resolve(targets[0], parts[1:])

        def read(row: Row) -> Any:
            parent = self.parent(row, link)
            return None if parent is None else inner.read(parent)

        return Resolved(inner.field, read, (str(link.relationship), *inner.names))

    def known(self, owner: ObjectType, name: str) -> Field:
        field = owner.field(name)
        if field is None:
            raise no_such_column(name, owner.name)
        return field

    def parent(self, row: Row, link: Field) -> Row | None:
        """The row a reference points to, deleted or not."""
        target_id = row.get(link.name)
        target = self._records.schema.of_id(target_id) if target_id else None
        return self._records.store.get(target.name, target_id) if target and target_id else None

    def reader(self, owner: ObjectType, field: Field) -> Read:
        """How an answer shows the field of a row."""
        name = field.name
        if field.type == "address":
            return lambda row: _address(row, name.removesuffix("Address"))
        if field.type == "base64":
            base = f"/services/data/{self._version}/sobjects/{owner.name}"
            return lambda row: f"{base}/{row['Id']}/{name}"
        if name == "IsArchived" and owner.name in ("Task", "Event"):
            limit = archive_limit(self._records.world.clock.now())
            return lambda row: is_archived(owner.name, row, limit)
        if name in ("WhoCount", "WhatCount") and owner.name in ("Task", "Event"):
            return lambda row: event_people.counted(self._records, row, name)
        if field.type == "boolean":  # a row from before the field was added has it unset
            return lambda row: bool(row.get(name))
        return lambda row: row.get(name)

    def shown(self, owner: ObjectType, selected: Sequence[Resolved]) -> Callable[[Row], Row]:
        """A function that makes the answer's record from a row: attributes and what was selected, nothing else."""
        own = [(one.names[0], one.read) for one in selected if len(one.names) == 1]
        links: dict[str, list[tuple[str, ...]]] = {}
        for one in selected:
            if len(one.names) > 1:
                links.setdefault(one.names[0], []).append(one.names[1:])
        parents = [(name, owner.relationships[name.lower()], inner) for name, inner in links.items()]

        def show(row: Row) -> Row:
            record: Row = {"attributes": self.attributes(owner.name, row["Id"])}
            for name, read in own:
                record[name] = read(row)
            for name, link, inner in parents:
                record[name] = self._shown_parent(row, link, inner)
            return record

        return show

    def attributes(self, object_name: str, record_id: str) -> dict[str, str]:
        return {"type": object_name, "url": f"/services/data/{self._version}/sobjects/{object_name}/{record_id}"}

    def _shown_parent(self, row: Row, link: Field, inner: list[tuple[str, ...]]) -> Row | None:
        parent = self.parent(row, link)
        target = self._records.schema.of_id(parent["Id"]) if parent else None
        if parent is None or target is None:
            return None
        if len(link.references) > 1:
            shared = {names[0]: _shared_value(target, parent, names[0]) for names in inner}
            return {"attributes": self.attributes(target.name, parent["Id"]), **shared}
        return self.shown(target, [self.resolve(target, names) for names in inner])(parent)

    def _shared(self, link: Field, targets: list[ObjectType], parts: Sequence[str]) -> Resolved:
        name = next((known for known in NAME_FIELDS if known.lower() == parts[1].lower()), None)
        if len(parts) > 2:
            raise unknown_relationship(parts[1], parts)
        if name is None:
            raise no_such_column(parts[1], "Name")
        field = next((found for target in targets if (found := target.field(name))), None)
        field = field or Field("Name", name, "string", 40, frozenset("nfs"))

        def read(row: Row) -> Any:
            parent = self.parent(row, link)
            target = self._records.schema.of_id(parent["Id"]) if parent else None
            return _shared_value(target, parent, name) if target and parent else None

        return Resolved(field, read, (str(link.relationship), name))


def unknown_relationship(name: str, parts: Sequence[str]) -> Refused:
    return refuse(
        "INVALID_FIELD",
        f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom relationship, be sure "
        "to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the "
        "appropriate names.",
    )


def no_such_column(name: str, entity: str) -> Refused:
    return refuse(
        "INVALID_FIELD",
        f"No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, be sure to append the "
        "'__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
    )


def _shared_value(target: ObjectType, parent: Row, name: str) -> Any:
    if name == "Type":
        return target.name
    return parent.get(name if name != "Name" or "Name" in parent else "CaseNumber")


def _address(row: Row, prefix: str) -> Row | None:
    parts = {part: row.get(prefix + part[0].upper() + part[1:]) for part in ADDRESS_PARTS}
    return parts if any(value is not None for value in parts.values()) else None
