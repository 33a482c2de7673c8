"""Field-level security of fields that were made through an API: nobody sees one before a permission set grants it.

Rules that hold here: what a user may not read is no column for them, in describe, in queries and in writes; what they may read
and not edit cannot be created or updated. Of several permission sets the most generous counts. Fields that were there from the
beginning, or were deployed together with their permissions, are everybody's.

It must never hide a field from the platform itself.

Source: Object Reference, pages FieldPermissions, PermissionSet and PermissionSetAssignment. That a field made through an API
starts without permissions, for admins too, is known and not re-read. Switch where no page says:
`salesforce.permission_moves_describe`, whether a grant counts as a change of what describe tells (If-Modified-Since).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

WRITE = frozenset({"c", "u"})


def as_seen(records: Records, user_id: str, owner: ObjectType) -> ObjectType:
    """The object without the fields that the user may not read."""
    names = [field.name for field in owner.fields.values() if f"{owner.name}.{field.name}" in records.schema.guarded]
    if not names:
        return owner
    granted = _granted(records, user_id)
    fields = dict(owner.fields)
    for name in names:
        may_read, may_edit = granted.get(f"{owner.name}.{name}", (False, False))
        field = fields.pop(name.lower())
        if may_read:
            fields[name.lower()] = field if may_edit else dataclasses.replace(field, flags=field.flags - WRITE)
    return dataclasses.replace(owner, fields=fields)


def check_permission(records: Records, row: Row, old: Row | None) -> None:
    """Who may edit may read; a field is granted once in a permission set, and has to be one of its object."""
    if row["PermissionsEdit"] and not row["PermissionsRead"]:
        raise refuse_row("FIELD_INTEGRITY_EXCEPTION", "Edit requires read", "PermissionsEdit")
    known = {f"{one.name}.{field.name}" for one in records.schema for field in one.fields.values()}
    if row["Field"] not in known or not str(row["Field"]).startswith(f"{row['SobjectType']}."):
        raise refuse_row(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"bad value for restricted picklist field: {row['Field']}", "Field"
        )
    _refuse_twice(records, "FieldPermissions", row, ("ParentId", "Field"))


def check_assignment(records: Records, row: Row, old: Row | None) -> None:
    _refuse_twice(records, "PermissionSetAssignment", row, ("PermissionSetId", "AssigneeId"))


def check_set(records: Records, row: Row, old: Row | None) -> None:
    _refuse_twice(records, "PermissionSet", row, ("Name",))


def permission_saved(records: Records, row: Row, old: Row | None, _lists: Mapping[str, Any]) -> None:
    if records.world.switches.get("salesforce.permission_moves_describe", True):
        records.schema.touch(str(row["SobjectType"]))


def _granted(records: Records, user_id: str) -> dict[str, tuple[bool, bool]]:
    """Field -> (may read, may edit), of all the user's permission sets."""
    mine = {one["PermissionSetId"] for one in _alive(records, "PermissionSetAssignment") if one["AssigneeId"] == user_id}
    found: dict[str, tuple[bool, bool]] = {}
    for one in _alive(records, "FieldPermissions"):
        if one["ParentId"] in mine:
            before = found.get(one["Field"], (False, False))
            found[one["Field"]] = (before[0] or one["PermissionsRead"], before[1] or one["PermissionsEdit"])
    return found


def _refuse_twice(records: Records, name: str, row: Row, fields: tuple[str, ...]) -> None:
    for other in _alive(records, name):
        if other["Id"] != row["Id"] and all(other[field] == row[field] for field in fields):
            raise refuse_row(
                "DUPLICATE_VALUE", f"duplicate value found: {fields[-1]} duplicates value on record with id: {other['Id']}"
            )


def _alive(records: Records, name: str) -> list[Row]:
    return [row for row in records.store.all(name) if not row["IsDeleted"]]
