"""Gives an org the key field, its permission set and the users who have it: what `salesforce/` deploys, from the product.

Rules that hold here:
- What is there already stays as it is: a second run, or one after a run that was cut off, makes only what is missing.
- A field that is made through an API is seen by nobody, admins included: the permission set is part of the work, and who has
  it is described anew, whatever Salesforce says has changed.
- It is done as an admin who clicked, never by a session by itself. What the admin may not do is Refused with its code.

It must never change or delete a field or a permission that it did not make, nor grant anything but the key.

Source: Tooling API Developer Guide, "CustomField"; Metadata API Developer Guide, "CustomField"; Object Reference, pages
PermissionSet, FieldPermissions and PermissionSetAssignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.core.errors import Refused, Retry, SyncError
from shared.crm import salesforce_ask
from shared.crm.salesforce_client import Client, Row
from shared.crm.salesforce_errors import row_error
from shared.crm.salesforce_event_map import KEY

SET = "Mailspan"
#: where the field is made -> the objects that have it then
OWNERS: Mapping[str, tuple[str, ...]] = {"Activity": ("Event", "Task"), "Contact": ("Contact",)}
OBJECTS = tuple(name for names in OWNERS.values() for name in names)
FIELD: Mapping[str, Any] = {
    "label": "Mailspan Key", "type": "Text", "length": 64, "externalId": True, "unique": True, "caseSensitive": True,
    "required": False, "description": "Written by Mailspan with every record that it creates, so that none is created twice.",
    "inlineHelpText": "Mailspan finds the record by this. Leave it as it is.",
}  # fmt: skip
#: what Salesforce says of what is there already
EXISTS = frozenset({"refused.duplicate_developer_name", "refused.duplicate_value"})
BATCH = 200


def create(client: Client, user_ids: Iterable[str]) -> None:
    """Makes what is missing, and gives the permission set to the users. Five calls, and one for each 200 users."""
    for owner in OWNERS:
        _field(client, owner)
    wanted = dict.fromkeys(user_ids)
    found = client.ask(_statements(wanted))
    set_id = str(found["sets"][0]["Id"]) if found["sets"] else _permission_set(client)
    granted = {row["Field"] for row in found["fields"]}
    permissions = [_permission(set_id, name) for name in OBJECTS if f"{name}.{KEY}" not in granted]
    assigned = {row["AssigneeId"] for row in found.get("users", ())}
    assignments = [_assignment(set_id, user_id) for user_id in wanted if user_id not in assigned]
    _rows(client, permissions)
    _rows(client, assignments)


def _field(client: Client, owner: str) -> None:
    try:
        client.call("POST", "tooling/sobjects/CustomField", {"FullName": f"{owner}.{KEY}", "Metadata": dict(FIELD)})
    except Refused as refusal:
        if refusal.code not in EXISTS:
            raise


def _statements(user_ids: Iterable[str]) -> Sequence[tuple[str, str]]:
    name = salesforce_ask.literal(SET)
    head = f"SELECT AssigneeId FROM PermissionSetAssignment WHERE PermissionSet.Name = {name} AND ("
    users = salesforce_ask.packed(head, ["AssigneeId"], map(salesforce_ask.literal, user_ids), ")")
    return [
        ("sets", f"SELECT Id FROM PermissionSet WHERE Name = {name} AND IsOwnedByProfile = false"),
        ("fields", f"SELECT Field FROM FieldPermissions WHERE Parent.Name = {name} AND PermissionsEdit = true"),
        *(("users", soql) for soql in users),
    ]


def _permission_set(client: Client) -> str:
    fields = {"Name": SET, "Label": SET, "Description": "Lets a user's Mailspan session read and write its key."}
    return str(client.call("POST", "sobjects/PermissionSet", fields)["id"])


def _permission(set_id: str, name: str) -> Mapping[str, Any]:
    return {
        "attributes": {"type": "FieldPermissions"}, "ParentId": set_id, "SobjectType": name, "Field": f"{name}.{KEY}",
        "PermissionsRead": True, "PermissionsEdit": True,
    }  # fmt: skip


def _assignment(set_id: str, user_id: str) -> Mapping[str, Any]:
    return {"attributes": {"type": "PermissionSetAssignment"}, "PermissionSetId": set_id, "AssigneeId": user_id}


def _rows(client: Client, rows: Sequence[Row]) -> None:
    """Writes the rows; raises the first refusal, once the others of its batch are written."""
    for start in range(0, len(rows), BATCH):
        answer = client.call("POST", "composite/sobjects", {"allOrNone": False, "records": rows[start : start + BATCH]})
        problems: list[SyncError] = [row_error(one, client.clock.now()) for one in answer if not one.get("success")]
        problems = [one for one in problems if not isinstance(one, Refused) or one.code not in EXISTS]
        if problems:
            raise next((one for one in problems if isinstance(one, Retry)), problems[0])
