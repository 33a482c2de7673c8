"""Create, update, delete, undelete, merge: every write of the org goes through here and obeys the same rules.

Rules that hold here, in this order for each record: known fields, JSON types, writable fields, values, references,
defaults, required fields, the object's own rules, uniqueness, a locked row (a fault); then the row is written and the
object's after-effects run. A refused record leaves nothing behind.
System fields are set here only: SystemModstamp moves with every write, LastModifiedDate with those of a user.

It must never answer over HTTP, and no rule may be skipped for sample data: direct calls and REST share this path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.frame import World
from sandbox.salesforce import ids, values
from sandbox.salesforce.event_flows import Flows
from sandbox.salesforce.ids import IdMaker
from sandbox.salesforce.refused import Refused, refuse, refuse_row
from sandbox.salesforce.rulebook import RULES
from sandbox.salesforce.rules import Rules
from sandbox.salesforce.schema import MERGEABLE, Field, ObjectType, Schema
from sandbox.salesforce.store import Row, Store

#: object -> (child object, field): rows that go to the recycle bin with their parent.
CASCADES = {
    "Account": (("Contact", "AccountId"), ("Opportunity", "AccountId"), ("Task", "WhatId"), ("Event", "WhatId")),
    "Contact": (("OpportunityContactRole", "ContactId"),),
    "Opportunity": (("OpportunityContactRole", "OpportunityId"), ("Task", "WhatId"), ("Event", "WhatId")),
    "Case": (("EmailMessage", "ParentId"), ("Task", "WhatId"), ("Event", "WhatId")),
    "EmailMessage": (("EmailMessageRelation", "EmailMessageId"), ("ContentDocumentLink", "LinkedEntityId")),
    "ContentDocument": (("ContentVersion", "ContentDocumentId"), ("ContentDocumentLink", "ContentDocumentId")),
    "Event": (("EventRelation", "EventId"),),
    "PermissionSet": (("FieldPermissions", "ParentId"), ("PermissionSetAssignment", "PermissionSetId")),
    "Task": (("TaskRelation", "TaskId"),),
}
#: Which deletion a row went with. The platform's own, no column.
DELETION = "_Deletion"
#: Lists of people of an activity, which exist in an org with Shared Activities only.
SHARED_ACTIVITY_LISTS = frozenset({"TaskWhoIds", "EventWhoIds"})


class Records:
    """The org's rows and the only way to change them."""

    def __init__(self, world: World, schema: Schema, settings: Any) -> None:
        self.world = world
        self.schema = schema
        self.settings = settings
        self.store = Store(schema)
        self.ids = IdMaker()
        self.flows = Flows(self)
        self._deletions = 0
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> str:
        """The org's time to the second; it never runs backwards, whatever the machine's clock does."""
        self._latest = max(self._latest, self.world.clock.now())
        return values.written(self._latest)

    def object(self, name: str) -> ObjectType:
        """The object of that name. Raises INVALID_TYPE where the org has none."""
        found = self.schema.find(name)
        if found is None:
            raise refuse("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    # --- a client's writes -------------------------------------------------------------------------------------------

    def create(self, object_name: str, sent: Mapping[str, Any], user_id: str) -> str:
        """Creates one record; returns its 18-character id. Raises `Refused`."""
        owner = self.object(object_name)
        if not owner.may("createable"):
            raise refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type {owner.name} does not support create", ())
        rules = RULES.get(owner.name, Rules())
        junctions = self._lists(rules, sent)
        changes = self._accepted(owner, {k: v for k, v in sent.items() if k not in junctions}, "c")
        row = self._fresh(owner, changes, user_id)
        rules.gather(self, row, None, junctions)
        return str(self._written(owner, None, row, lambda: rules.after(self, row, None, junctions))["Id"])

    def update(self, object_name: str, record_id: str, sent: Mapping[str, Any], user_id: str) -> None:
        """Changes fields of one record. Raises `Refused`; a deleted record is ENTITY_IS_DELETED."""
        owner = self.object(object_name)
        if not owner.may("updateable"):
            raise refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type {owner.name} does not support update", ())
        rules = RULES.get(owner.name, Rules())
        old = self.live(owner, record_id)
        junctions = self._lists(rules, sent)
        changes = self._accepted(owner, {k: v for k, v in sent.items() if k not in junctions}, "u")
        now = self.now()
        stamps = {"LastModifiedDate": now, "LastModifiedById": user_id, "SystemModstamp": now}
        row = {**old, **changes, **{k: v for k, v in stamps.items() if owner.field(k)}}
        rules.gather(self, row, old, junctions)
        rules.update(self, row, old, changes)
        self._written(owner, old, row, lambda: rules.after(self, row, old, junctions))

    def delete(self, object_name: str, record_id: str, user_id: str) -> None:
        """Puts a record and what hangs on it into the recycle bin."""
        owner = self.object(object_name)
        if not owner.may("deletable"):
            raise refuse("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", ())
        row = self.live(owner, record_id)
        self._refuse_if_locked("delete", owner, row["Id"])
        self._bin(owner, row, user_id)

    def undelete(self, object_name: str, record_id: str, user_id: str) -> None:
        """Takes a record and what went with it out of the recycle bin; the id stays."""
        owner = self.object(object_name)
        row = self._existing(owner, record_id)
        if not row["IsDeleted"]:
            raise refuse_row("UNDELETE_FAILED", "Entity is not in the recycle bin")
        self._refuse_duplicates(owner, row, None)
        self._set(owner, row, {"IsDeleted": False}, user_id)
        for child_name, field_name in CASCADES.get(owner.name, ()):
            child_type = self.schema.find(child_name)
            for child in self._children(child_type, field_name, row["Id"]) if child_type else ():
                if child["IsDeleted"] and child.get(DELETION) == row.get(DELETION) is not None:
                    self.undelete(child_name, child["Id"], user_id)
        RULES.get(owner.name, Rules()).back(self, row, user_id)

    def merge(self, object_name: str, winner_id: str, loser_ids: list[str], user_id: str) -> None:
        """Merges records as the SOAP call does: losers are deleted with MasterRecordId, their children move."""
        owner = self.object(object_name)
        if owner.name not in MERGEABLE or not 1 <= len(loser_ids) <= 2:
            raise refuse_row("INVALID_OPERATION", f"cannot merge {len(loser_ids)} records of type {owner.name}")
        winner = self.live(owner, winner_id)
        for loser_id in loser_ids:
            loser = self.live(owner, loser_id)
            self._reparent(owner, loser["Id"], winner["Id"], user_id)
            self._set(owner, loser, {"IsDeleted": True, "MasterRecordId": winner["Id"]}, user_id)
        self._set(owner, winner, {}, user_id)

    # --- the platform's own writes -----------------------------------------------------------------------------------

    def system_create(self, object_name: str, fields: Row, user_id: str) -> Row:
        """A row that the platform makes by itself (the Task behind a mail, a file's document)."""
        owner = self.object(object_name)
        row = self._fresh(owner, fields, user_id)
        RULES.get(owner.name, Rules()).before(self, row, None)
        self.store.put(owner, row)
        return row

    def system_update(self, object_name: str, record_id: str, changes: Row, user_id: str | None = None) -> Row:
        """A change by the platform: SystemModstamp moves, LastModifiedDate only where it is on a user's behalf. The new row."""
        owner = self.object(object_name)
        row, now = self._existing(owner, record_id), self.now()
        stamps = {"LastModifiedDate": now, "LastModifiedById": user_id} if user_id and owner.field("LastModifiedById") else {}
        new = {**row, **changes, **stamps, "SystemModstamp": now}
        self.store.put(owner, new)
        return new

    def system_delete(self, object_name: str, record_id: str, user_id: str) -> None:
        owner = self.object(object_name)
        row = self.store.get(owner.name, record_id)
        if row is not None and not row["IsDeleted"]:
            self._bin(owner, row, user_id)

    # --- reading -----------------------------------------------------------------------------------------------------

    def live(self, owner: ObjectType, record_id: str) -> Row:
        """The record, not deleted. Raises ENTITY_IS_DELETED, INVALID_CROSS_REFERENCE_KEY or MALFORMED_ID."""
        row = self._existing(owner, record_id)
        if row["IsDeleted"]:
            raise refuse("ENTITY_IS_DELETED", "entity is deleted", ())
        return row

    def children(self, object_name: str, field_name: str, parent_id: str) -> list[Row]:
        """The live rows of an object whose reference field points to the parent."""
        owner = self.object(object_name)
        return [row for row in self._children(owner, field_name, parent_id) if not row["IsDeleted"]]

    def referred(self, record_id: str | None) -> Row | None:
        """The live row of any object with that id."""
        owner = self.schema.of_id(record_id) if record_id else None
        row = self.store.get(owner.name, record_id) if owner and record_id else None
        return row if row is not None and not row["IsDeleted"] else None

    # --- inside ------------------------------------------------------------------------------------------------------

    def _existing(self, owner: ObjectType, record_id: str) -> Row:
        full = ids.canonical(record_id) if isinstance(record_id, str) else None
        if full is None or not full.startswith(owner.prefix):
            raise refuse_row("MALFORMED_ID", f"{owner.label} ID: id value of incorrect type: {record_id}", "Id")
        row = self.store.get(owner.name, full)
        if row is None:
            raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ())
        return row

    def _children(self, owner: ObjectType, field_name: str, parent_id: str) -> list[Row]:
        field = owner.field(field_name)
        return self.store.having(field, [parent_id]) if field else []

    def _lists(self, rules: Rules, sent: Mapping[str, Any]) -> dict[str, Any]:
        """The list fields of the request that the org has: those of activities come with Shared Activities."""
        known = rules.junctions if self.settings.shared_activities else set(rules.junctions) - SHARED_ACTIVITY_LISTS
        return {name: sent[name] for name in known if name in sent}

    def _accepted(self, owner: ObjectType, sent: Mapping[str, Any], act: str) -> Row:
        """The sent fields as canonical values under their defined names."""
        fields: list[tuple[Field, Any]] = []
        for name, value in sent.items():
            field = owner.field(name) if isinstance(name, str) else None
            if field is None:
                raise values.ParseRefused("INVALID_FIELD", f"No such column '{name}' on sobject of type {owner.name}")
            fields.append((field, value))
        if act == "u" and "Id" in sent:
            raise refuse_row("INVALID_FIELD", "The Id field should not be specified in the sobject data.")
        accepted = {field.name: values.accept(field, value, self.schema.length(field)) for field, value in fields}
        forbidden = [field.name for field, _ in fields if act not in field.flags]
        if forbidden:
            raise refuse_row(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {', '.join(forbidden)}. Please check the security settings of this field "
                "and verify that it is read/write for your profile or permission set.",
                *forbidden,
            )
        for field, _ in fields:
            self._check_reference(field, accepted[field.name])
        return accepted

    def _check_reference(self, field: Field, record_id: str | None) -> None:
        if field.type != "reference" or record_id is None:
            return
        target = self.schema.of_id(record_id)
        if target is None or target.name not in field.references:
            raise refuse_row("FIELD_INTEGRITY_EXCEPTION", f"{field.label}: id value of incorrect type: {record_id}", field.name)
        row = self.store.get(target.name, record_id)
        if row is None or target.name in self.schema.hidden:
            raise refuse_row("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", field.name)
        if row["IsDeleted"]:
            raise refuse_row("ENTITY_IS_DELETED", "entity is deleted", field.name)
        if field.name == "OwnerId" and row.get("IsActive") is False:
            raise refuse_row(
                "INACTIVE_OWNER_OR_USER",
                f"operation performed with inactive user [{record_id}] as owner of {field.object_name.lower()}",
                field.name,
            )

    def _fresh(self, owner: ObjectType, fields: Row, user_id: str) -> Row:
        """A whole new row: every field of the object, defaults and system fields filled in."""
        now = self.now()
        row: Row = {f.name: False if f.type == "boolean" and f.default is None else f.default for f in owner.fields.values()}
        row |= {k: v for k, v in fields.items() if v is not None or owner.fields[k.lower()].default is None}
        system = {
            "Id": self.ids.make(owner.prefix), "IsDeleted": False, "CreatedDate": now, "CreatedById": user_id,
            "LastModifiedDate": now, "LastModifiedById": user_id, "SystemModstamp": now,
        }  # fmt: skip
        row |= {name: value for name, value in system.items() if owner.field(name) or name in ("IsDeleted", "SystemModstamp")}
        if owner.field("OwnerId") and row["OwnerId"] is None:
            row["OwnerId"] = user_id
        return row

    def _written(self, owner: ObjectType, old: Row | None, row: Row, after: Callable[[], None]) -> Row:
        """Checks the whole row, writes it and runs the after-effects, all or nothing."""
        savepoint = self.store.savepoint()
        try:
            RULES.get(owner.name, Rules()).before(self, row, old)
            missing = [f.name for f in owner.fields.values() if f.required and row.get(f.name) is None]
            if missing:
                raise refuse_row("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)
            self._refuse_duplicates(owner, row, old)
            self._refuse_if_locked("create" if old is None else "update", owner, row["Id"])
            self.store.put(owner, row)
            after()
            self.flows.written(owner.name, row)
        except Refused:
            self.store.rollback(savepoint)
            raise
        return row

    def _refuse_duplicates(self, owner: ObjectType, row: Row, old: Row | None) -> None:
        for field in owner.fields.values():
            value = row.get(field.name)
            if "q" not in field.flags or value is None or (old is not None and old.get(field.name) == value):
                continue
            for other in self.store.having(field, [value]):
                if other["Id"] != row["Id"] and not other["IsDeleted"]:
                    raise refuse_row(
                        "DUPLICATE_VALUE",
                        f"duplicate value found: {field.name} duplicates value on record with id: {other['Id']}",
                    )

    def _refuse_if_locked(self, act: str, owner: ObjectType, record_id: str) -> None:
        if self.world.fault("salesforce", "locked_row", f"{act} {owner.name} {record_id}"):
            raise refuse_row(
                "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records: {record_id}"
            )

    def _set(self, owner: ObjectType, row: Row, changes: Row, user_id: str) -> None:
        now = self.now()
        stamps = {"LastModifiedDate": now, "LastModifiedById": user_id, "SystemModstamp": now}
        known = {name: value for name, value in stamps.items() if owner.field(name) or name == "SystemModstamp"}
        self.store.put(owner, {**row, **changes, **known})

    def _bin(self, owner: ObjectType, row: Row, user_id: str, together: int | None = None) -> None:
        """`together`: the number of the deletion that it is part of; an undelete brings back what went together."""
        self._deletions += 1
        together = together or self._deletions
        self._set(owner, row, {"IsDeleted": True, DELETION: together}, user_id)
        for child_name, field_name in CASCADES.get(owner.name, ()):
            if self.schema.find(child_name):
                for child in self.children(child_name, field_name, row["Id"]):
                    self._bin(self.object(child_name), child, user_id, together)
        RULES.get(owner.name, Rules()).gone(self, row, user_id)

    def _reparent(self, owner: ObjectType, loser_id: str, winner_id: str, user_id: str) -> None:
        for child_type in self.schema:
            for field in child_type.fields.values():
                if owner.name in field.references and field.name != "MasterRecordId":
                    for child in self.children(child_type.name, field.name, loser_id):
                        self._set(child_type, child, {field.name: winner_id}, user_id)
