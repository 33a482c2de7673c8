"""Writes of one record over REST: create, update, upsert by key, delete, and a file's upload in two parts.

Rules that hold here: a create answers 201 with the id and the place; an update and a delete answer 204 without a body; an
upsert by a key that several records hold writes nothing and answers 300.

It must never skip a rule of `records`: it only reads the request and words the answer.

Source: REST API Developer Guide, "sObject Basic Information", "sObject Rows", "Upsert a Record Using an External ID",
"Insert or Update Blob Data".
"""

from __future__ import annotations

from typing import Any

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.duplicates import check_duplicates
from sandbox.salesforce.reading import MISSING, key_field, many_found, matching, object_of, refuse_if_changed, row_of
from sandbox.salesforce.refused import refuse, refuse_row
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.values import ParseRefused

#: Names of the JSON part of a multipart upload.
ENTITY_PARTS = ("entity_content", "entity_document")


def create(call: Call) -> Answer:
    owner = object_of(call)
    record_id = create_record(call, owner, _sent(call, owner))
    return Answer(201, saved(record_id), place(call, owner, record_id))


def create_record(call: Call, owner: ObjectType, fields: dict[str, Any]) -> str:
    """Duplicate rules, then the rules of the record. Returns the new id."""
    check_duplicates(call, owner, fields)
    return call.records.create(owner.name, fields, call.user_id)


def update(call: Call) -> Answer:
    owner = object_of(call)
    fields = _sent(call, owner)
    refuse_if_changed(call, row_of(call), strict=True)
    call.records.update(owner.name, call.places["id"], fields, call.user_id)
    return Answer(204)


def delete(call: Call) -> Answer:
    owner = object_of(call)
    call.records.delete(owner.name, row_of(call)["Id"], call.user_id)
    return Answer(204)


def upsert(call: Call) -> Answer:
    """PATCH by key: updates the one record that holds it, creates one where none does."""
    owner = object_of(call)
    field = key_field(owner, call.places["id"])
    fields = _sent(call, owner)
    found = matching(call, owner, field, call.places["value"])
    if len(found) > 1:
        return many_found(call, owner, found)
    if not found and call.query.get("updateOnly", "").lower() == "true":
        raise refuse("NOT_FOUND", MISSING)
    if found:
        refuse_if_changed(call, found[0], strict=True)
    record_id, created = upsert_record(call, owner, field, call.places["value"], fields)
    answer = {**saved(record_id), "created": created}
    return Answer(201, answer, place(call, owner, record_id)) if created else Answer(200, answer)


def upsert_record(call: Call, owner: ObjectType, field: Field, key: Any, fields: dict[str, Any]) -> tuple[str, bool]:
    """(id, whether it was created). `fields` must not hold the key. Raises where several records hold it."""
    if any(name.lower() == field.name.lower() for name in fields):
        raise refuse("INVALID_FIELD", f"The {field.name} field should not be specified in the sobject data.")
    found = matching(call, owner, field, key) if key is not None else []
    if len(found) > 1:
        raise refuse_row("DUPLICATE_EXTERNAL_ID", f"{field.name}: more than one record found for external id field: {key}")
    if found:
        call.records.update(owner.name, found[0]["Id"], fields, call.user_id)
        return str(found[0]["Id"]), False
    return create_record(call, owner, fields if field.type == "id" else {**fields, field.name: key}), True


def saved(record_id: str) -> dict[str, Any]:
    return {"id": record_id, "success": True, "errors": []}


def place(call: Call, owner: ObjectType, record_id: str) -> dict[str, str]:
    return {"Location": f"/services/data/{call.version}/sobjects/{owner.name}/{record_id}"}


def without_attributes(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "attributes"}


def _sent(call: Call, owner: ObjectType) -> dict[str, Any]:
    """The fields of the request, from JSON or from the two parts of an upload."""
    if not call.parts:
        return without_attributes(call.object())
    entity = next((name for name in ENTITY_PARTS if name in call.parts), None)
    if entity is None:
        raise ParseRefused("INVALID_MULTIPART_REQUEST", "Multipart message must include a non-binary part")
    fields = Call.object(_part_call(call, call.parts[entity].content))
    for name, part in call.parts.items():
        field = owner.field(name)
        if name != entity and field is not None and field.type == "base64":
            fields[field.name] = part.content
    return without_attributes(fields)


def _part_call(call: Call, content: bytes) -> Call:
    return Call(call.org, call.version, call.places, call.query, call.headers, call.session, content)
