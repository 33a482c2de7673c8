"""Duplicate rules: one rule of an org for contacts and leads, by e-mail address, as an admin would switch on.

Rules that hold here: `settings.duplicate_rule` is None (no rule), "alert" (refused until the caller says allowSave=true) or
"block" (refused always). Records of the answer are ids only, unless the caller asks for details.

It must never look at updates: the standard rules run at create here.

Source: REST API Developer Guide, "Duplicate Rule Header"; Salesforce Help, "Duplicate Rules".
"""

from __future__ import annotations

from typing import Any

from sandbox.salesforce.call import Call
from sandbox.salesforce.refused import Refused
from sandbox.salesforce.schema import ObjectType

GUARDED = frozenset({"Contact", "Lead"})
QUESTION = "Use one of these records?"


class DuplicatesRefused(Refused):
    """DUPLICATES_DETECTED, whose plain form carries what was found."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(400, "DUPLICATES_DETECTED", QUESTION, ())
        self.result = result

    def body(self) -> list[dict[str, Any]]:
        return [{"duplicateResult": self.result, "errorCode": self.code, "message": self.message}]


def check_duplicates(call: Call, owner: ObjectType, fields: dict[str, Any]) -> None:
    """Raises `DuplicatesRefused` where the org's rule finds the address on another record of the object."""
    rule = call.org.settings.duplicate_rule
    email = next((value for name, value in fields.items() if name.lower() == "email"), None)
    field = owner.field("Email")
    if rule is None or owner.name not in GUARDED or field is None or not isinstance(email, str) or not email.strip():
        return
    allowed = (call.option("sforce-duplicate-rule-header", "allowSave") or "").lower() == "true"
    found = [row for row in call.records.store.having(field, [email.strip()]) if not row["IsDeleted"]]
    if not found or (rule == "alert" and allowed):
        return
    matches = [_match(call, owner, row["Id"]) for row in found]
    raise DuplicatesRefused(
        {
            "allowSave": rule == "alert",
            "duplicateRule": f"Standard_{owner.name}_Duplicate_Rule",
            "duplicateRuleEntityType": owner.name,
            "errorMessage": QUESTION,
            "matchResults": [
                {
                    "entityType": owner.name,
                    "errors": [],
                    "matchEngine": "ExactMatchEngine",
                    "matchRecords": matches,
                    "rule": f"Standard_{owner.name}_Match_Rule_v1_1",
                    "size": len(matches),
                    "success": True,
                }
            ],
        }
    )


def _match(call: Call, owner: ObjectType, record_id: str) -> dict[str, Any]:
    url = f"/services/data/{call.version}/sobjects/{owner.name}/{record_id}"
    record = {"attributes": {"type": owner.name, "url": url}, "Id": record_id}
    return {"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": record}
