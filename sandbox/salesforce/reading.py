"""Reads over REST: queries and their pages, one record, a file's bytes, many records by id, what changed or went.

Rules that hold here: only selected fields are answered; one record is answered with its Id whatever was selected; a record is
found by its id or by an external id; what is gone is ENTITY_IS_DELETED, what never was is NOT_FOUND.

It must never change a record.

Source: REST API Developer Guide, "Query", "QueryAll", "sObject Rows", "sObject Rows by External ID", "sObject Blob Retrieve",
"sObject Collections", "sObject Get Updated", "sObject Get Deleted".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from sandbox.salesforce import event_private, ids, values
from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.paths import Paths
from sandbox.salesforce.refused import refuse
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.store import Row
from sandbox.salesforce.values import ParseRefused

MOST_RETRIEVED = 2000
DELETED_REACH, UPDATED_REACH = timedelta(days=15), timedelta(days=30)
MISSING = "The requested resource does not exist"


def query(call: Call) -> Answer:
    return _query(call, deleted=False)


def query_all(call: Call) -> Answer:
    return _query(call, deleted=True)


def _query(call: Call, *, deleted: bool) -> Answer:
    text = call.query.get("q")
    if not text:
        raise refuse("MALFORMED_QUERY", "A query string has to be specified")
    size = call.option("sforce-query-options", "batchSize")
    page = int(size) if size and size.isdigit() else 2000
    body = call.org.queries.first_page(text, user_id=call.user_id, version=call.version, deleted=deleted, page=page)
    return Answer(body=body)


def more(call: Call) -> Answer:
    """The page that `nextRecordsUrl` named."""
    return Answer(body=call.org.queries.next_page(call.places["locator"], user_id=call.user_id, version=call.version))


# --- what a path names


def object_of(call: Call) -> ObjectType:
    """The object of the path. Raises 404 NOT_FOUND where the org has none."""
    owner = call.records.schema.find(call.places["object"])
    if owner is None:
        raise refuse("NOT_FOUND", MISSING)
    return owner


def row_of(call: Call) -> Row:
    """The live record of the path's `id`. Raises 404 NOT_FOUND or ENTITY_IS_DELETED."""
    owner = object_of(call)
    full = ids.canonical(call.places["id"])
    if full is None or not full.startswith(owner.prefix):
        raise refuse("NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {call.places['id']}")
    row = call.records.store.get(owner.name, full)
    if row is None or not event_private.is_visible(call.records, call.user_id, row):
        raise refuse("NOT_FOUND", MISSING)
    if row["IsDeleted"]:
        raise refuse("ENTITY_IS_DELETED", "entity is deleted", ())
    return row


def key_field(owner: ObjectType, name: str) -> Field:
    """The field that records are found by in a path. Raises 404 where it is no external id or look-up field."""
    field = owner.field(name)
    if field is None or not ("x" in field.flags or "i" in field.flags):
        raise refuse("NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}")
    return field


def matching(call: Call, owner: ObjectType, field: Field, text: str) -> list[Row]:
    """The live records whose key field holds the value."""
    value: Any = text
    if field.type == "id":
        value = ids.canonical(text)
    return [row for row in call.records.store.having(field, [value]) if not row["IsDeleted"]]


# --- one record


def get_record(call: Call) -> Answer:
    owner, row = object_of(call), row_of(call)
    refuse_if_changed(call, row, strict=False)
    modified = format_datetime(values.read(row[last_touched(call, owner)]), usegmt=True)
    return Answer(body=_shown(call, owner, _asked_fields(call, owner))(row), headers={"Last-Modified": modified})


def get_by_key(call: Call) -> Answer:
    """`/{object}/{key field}/{value}`, and `/{object}/{id}/{blob field}`: one path with two meanings."""
    owner = object_of(call)
    field = owner.field(call.places["value"])
    if ids.canonical(call.places["id"]) and field is not None and field.type == "base64":
        return _blob(call, owner, field)
    found = matching(call, owner, key_field(owner, call.places["id"]), call.places["value"])
    if len(found) > 1:
        return many_found(call, owner, found)
    if not found:
        raise refuse("NOT_FOUND", MISSING)
    return Answer(body=_shown(call, owner, _asked_fields(call, owner))(found[0]))


def many_found(call: Call, owner: ObjectType, found: list[Row]) -> Answer:
    """300: a key that several records hold."""
    return Answer(300, [f"/services/data/{call.version}/sobjects/{owner.name}/{row['Id']}" for row in found])


def last_touched(call: Call, owner: ObjectType) -> str:
    """The field that conditional headers are compared with: the last modified date (a switch, as the page says no more)."""
    name = str(call.org.switch("conditional_field", "LastModifiedDate"))
    return name if owner.field(name) else "SystemModstamp"


def refuse_if_changed(call: Call, row: Row, *, strict: bool) -> None:
    """Raises 412 where the record was modified after If-Unmodified-Since. HTTP dates know whole seconds, so do records.

    `strict`: a write is refused with 400 where the header is no date; a read ignores it.
    """
    since = call.moment("if-unmodified-since", strict=strict)
    owner = call.records.schema.of_id(row["Id"])
    if since is None or owner is None:
        return
    if values.read(row[last_touched(call, owner)]) > since:
        raise refuse("PRECONDITION_FAILED", "The record was modified after the date of the If-Unmodified-Since header.")


def _blob(call: Call, owner: ObjectType, field: Field) -> Answer:
    content = row_of(call)[field.name]
    if content is None:
        raise refuse("NOT_FOUND", MISSING)
    return Answer(body=bytes(content), content_type="application/octetstream")


def _asked_fields(call: Call, owner: ObjectType) -> list[str]:
    asked = call.query.get("fields")
    if asked is None:
        return [field.name for field in owner.fields.values()]
    return _listed(asked)


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _texts(sent: dict[str, Any], name: str) -> list[str]:
    """A list of texts of a request body, empty where it has none."""
    value = sent.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ParseRefused("JSON_PARSER_ERROR", f"Cannot deserialize instance of list from value of {name}")
    return value


def _shown(call: Call, owner: ObjectType, names: list[str]) -> Any:
    """How the fields of a record are answered: those asked for, and its Id."""
    paths = Paths(call.records, call.version)
    selected = {found.names: found for name in [*names, "Id"] for found in [paths.resolve(owner, name.split("."))]}
    return event_private.seen_by(call.records, call.user_id, paths.shown(owner, list(selected.values())))


# --- many records


def retrieve(call: Call) -> Answer:
    """`/composite/sobjects/{object}` with ids and fields: the records in order, null for each that is not there."""
    owner = object_of(call)
    sent = {} if "ids" in call.query else call.object()
    wanted, names = (_texts(sent, name) or _listed(call.query.get(name, "")) for name in ("ids", "fields"))
    if not wanted or not names:
        raise refuse("REQUIRED_FIELD_MISSING", f"{'ids' if not wanted else 'fields'} must be specified")
    if len(wanted) > MOST_RETRIEVED:
        raise refuse(
            "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {MOST_RETRIEVED} records into this call"
        )
    show = _shown(call, owner, names)
    rows = [call.records.store.get(owner.name, ids.canonical(one) or "") for one in wanted]
    return Answer(body=[None if row is None or row["IsDeleted"] else show(row) for row in rows])


# --- changes of an object


def updated(call: Call) -> Answer:
    owner = object_of(call)
    start, end = _window(call, UPDATED_REACH)
    rows = [row for row in call.records.store.all(owner.name) if start <= row["SystemModstamp"] < end and not row["IsDeleted"]]
    return Answer(body={"ids": [row["Id"] for row in rows], "latestDateCovered": end})


def deleted(call: Call) -> Answer:
    owner = object_of(call)
    start, end = _window(call, DELETED_REACH)
    rows = [row for row in call.records.store.all(owner.name) if start <= row["SystemModstamp"] < end and row["IsDeleted"]]
    gone = [{"deletedDate": row["SystemModstamp"], "id": row["Id"]} for row in rows]
    earliest = values.written(call.org.now() - DELETED_REACH)
    return Answer(body={"deletedRecords": gone, "earliestDateAvailable": earliest, "latestDateCovered": end})


def _window(call: Call, reach: timedelta) -> tuple[str, str]:
    """[start, end) without seconds, as canonical datetimes. Raises INVALID_REPLICATION_DATE."""
    moments: list[datetime] = []
    for name in ("start", "end"):
        moment = values.datetime_of(call.query.get(name, ""))
        if moment is None:
            raise refuse("MALFORMED_QUERY", f"{name}: invalid date and time: {call.query.get(name, '')}")
        moments.append(moment.replace(second=0, microsecond=0))
    start, end = moments
    if end <= start:
        raise refuse("INVALID_REPLICATION_DATE", "startDate must be at least one minute greater than endDate")
    if start < call.org.now() - reach:
        raise refuse("INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago")
    return values.written(start), values.written(end)
