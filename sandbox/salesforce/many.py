"""sObject Collections: up to 200 records written in one call, each with its own result.

Rules that hold here: results stand in the order of the records; a request that is no well-formed list of known objects is
refused whole; with allOrNone one refused record undoes all; errors of a row carry `statusCode`, not `errorCode`.

It must never count as more than one call.

Source: REST API Developer Guide, "sObject Collections" and "allOrNone Parameters in Composite and Collections Requests".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from sandbox.salesforce import ids
from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.reading import key_field, object_of
from sandbox.salesforce.refused import Refused, refuse, refuse_row
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.values import ParseRefused
from sandbox.salesforce.writing import create_record, saved, upsert_record, without_attributes

MOST_RECORDS = 200
MOST_CHUNKS = 10
ROLLED_BACK = "Record rolled back because not all records were valid and the request was using AllOrNone header"

Result = dict[str, Any]
Write = Callable[[], Result]


def create(call: Call) -> Answer:
    records = _records(call)

    def one(owner: ObjectType, fields: dict[str, Any]) -> Write:
        return lambda: saved(create_record(call, owner, fields))

    return _written(call, [one(_typed(call, record), without_attributes(record)) for record in records], _asks_all(call))


def update(call: Call) -> Answer:
    records = _records(call)

    def one(owner: ObjectType, record: dict[str, Any]) -> Write:
        record_id = next((value for name, value in record.items() if name.lower() == "id"), None)
        fields = {name: value for name, value in without_attributes(record).items() if name.lower() != "id"}

        def write() -> Result:
            if record_id is None:
                raise refuse_row("MISSING_ARGUMENT", "Id not specified in an update call")
            call.records.update(owner.name, record_id, fields, call.user_id)
            return saved(ids.canonical(record_id) or record_id)

        return write

    return _written(call, [one(_typed(call, record), record) for record in records], _asks_all(call))


def upsert(call: Call) -> Answer:
    """`/composite/sobjects/{object}/{key field}`: each record carries its key."""
    owner = object_of(call)
    field = key_field(owner, call.places["field"])

    def one(record: dict[str, Any]) -> Write:
        key = next((value for name, value in record.items() if name.lower() == field.name.lower()), None)
        fields = {name: value for name, value in without_attributes(record).items() if name.lower() != field.name.lower()}

        def write() -> Result:
            record_id, created = upsert_record(call, owner, field, key, fields)
            return {**saved(record_id), "created": created}

        return write

    return _written(call, [one(record) for record in _records(call)], _asks_all(call))


def delete(call: Call) -> Answer:
    wanted = [one.strip() for one in call.query.get("ids", "").split(",") if one.strip()]
    _refuse_size(wanted)

    def one(record_id: str) -> Write:
        def write() -> Result:
            full = ids.canonical(record_id)
            owner = call.records.schema.of_id(full) if full else None
            if full is None or owner is None or call.records.schema.find(owner.name) is None:
                raise refuse_row("MALFORMED_ID", f"malformed id {record_id}")
            call.records.delete(owner.name, full, call.user_id)
            return saved(full)

        return write

    all_or_none = call.all_or_none or call.query.get("allOrNone", "").lower() == "true"
    return _written(call, [one(record_id) for record_id in wanted], all_or_none)


def _records(call: Call) -> list[dict[str, Any]]:
    records = call.object().get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ParseRefused("JSON_PARSER_ERROR", "The HTTP entity body is required to hold a list named records.")
    _refuse_size(records)
    chunks = sum(1 for _ in groupby(records, key=_type_name))
    if chunks > MOST_CHUNKS:
        raise refuse("INVALID_INPUT", f"Cannot have more than {MOST_CHUNKS} chunks in a single operation.")
    return records


def _refuse_size(records: Sequence[Any]) -> None:
    if not records:
        raise refuse("REQUIRED_FIELD_MISSING", "At least one record must be specified")
    if len(records) > MOST_RECORDS:
        message = f"record limit reached. cannot submit more than {MOST_RECORDS} records into this call"
        raise refuse("EXCEEDED_ID_LIMIT", message)


def _type_name(record: dict[str, Any]) -> str | None:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    return name if isinstance(name, str) else None


def _typed(call: Call, record: dict[str, Any]) -> ObjectType:
    name = _type_name(record)
    if name is None:
        raise ParseRefused("INVALID_INPUT", "Every record must have attributes with the type of its object.")
    return call.records.object(name)


def _asks_all(call: Call) -> bool:
    return call.all_or_none or call.object().get("allOrNone") is True


def _written(call: Call, writes: Sequence[Write], all_or_none: bool) -> Answer:
    """Runs the writes in order. A request whose JSON does not fit is refused whole (`ParseRefused` passes through)."""
    store = call.records.store
    savepoint = store.savepoint()
    results: list[Result] = []
    for write in writes:
        try:
            results.append(write())
        except ParseRefused:
            store.rollback(savepoint)
            raise
        except Refused as refusal:
            results.append({"success": False, "errors": [refusal.row_error()]})
    if all_or_none and not all(result["success"] for result in results):
        store.rollback(savepoint)
        results = [_rolled_back(result) if result["success"] else result for result in results]
    return Answer(200, results)


def _rolled_back(result: Result) -> Result:
    error = {"statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK", "message": ROLLED_BACK, "fields": []}
    return {"id": result["id"], "success": False, "errors": [error]}
