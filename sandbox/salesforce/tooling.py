"""The Tooling API as far as it makes a field: POST of a CustomField with its metadata.

Rules that hold here: `FullName` is object and field; a field of Activity is on Task and Event; `Metadata` is the CustomField of
the Metadata API as JSON. A field made here is seen by nobody before a permission grants it (`field_security`).

It must never make a field of another type than text: nothing of the product asks for one.

Source: Tooling API Developer Guide, "CustomField" and "REST Resources"; Metadata API Developer Guide, "CustomField". The words
of the refusals are unsure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.refused import refuse
from sandbox.salesforce.schema import ACTIVITY
from sandbox.salesforce.values import ParseRefused

FULL_NAME = re.compile(r"([A-Za-z]\w*)\.([A-Za-z]\w*__c)")
#: what a text field's metadata may hold -> its type
METADATA: Mapping[str, type] = {
    "label": str, "type": str, "length": int, "externalId": bool, "unique": bool, "caseSensitive": bool, "required": bool,
    "description": str, "inlineHelpText": str,
}  # fmt: skip
LONGEST_TEXT = 255


def create_field(call: Call) -> Answer:
    sent = call.object()
    if unknown := sorted(set(sent) - {"FullName", "Metadata"}):
        raise ParseRefused("INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type CustomField")
    owner, name = _named(call, sent.get("FullName"))
    facts = _facts(sent.get("Metadata"))
    described = {
        "name": name, "type": "string", "length": facts["length"], "label": facts["label"], "groupable": True,
        **{flag: facts.get(flag, False) for flag in ("externalId", "unique", "caseSensitive")},
    }  # fmt: skip
    call.records.schema.add_field(owner, described, guarded=True)
    record_id = call.records.ids.make("00N")
    return Answer(201, {"id": record_id, "success": True, "errors": [], "warnings": [], "infos": []})


def _named(call: Call, full_name: Any) -> tuple[str, str]:
    match = FULL_NAME.fullmatch(full_name) if isinstance(full_name, str) else None
    if match is None or match[1] in ACTIVITY or (match[1] != "Activity" and call.records.schema.find(match[1]) is None):
        raise refuse("INVALID_FIELD_FOR_INSERT_UPDATE", f"Entity of the custom field is not known: {full_name}", ("FullName",))
    return match[1], match[2]


def _facts(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [Metadata]", ("Metadata",))
    for name, value in metadata.items():
        if name not in METADATA or type(value) is not METADATA[name]:
            raise ParseRefused("JSON_PARSER_ERROR", f"Cannot deserialize Metadata.{name}")
    if metadata.get("type") != "Text":
        raise refuse("NOT_BUILT", "The sandbox makes text fields only.")
    if not metadata.get("label") or not 1 <= metadata.get("length", 0) <= LONGEST_TEXT:
        raise refuse("FIELD_INTEGRITY_EXCEPTION", "A text field has a label and a length of 1 to 255", ("Metadata",))
    return metadata
