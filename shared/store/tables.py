"""The LinkStore over Azure Table Storage. `azure.data.tables` is imported when the first store is made, not before.

Rules that hold here:
- A commit is one entity group transaction; a single write is one too, so that there is one way to fail.
- The SDK does not retry writes: a retry of an insert that had landed would look like somebody else's row. An answer that
  did not arrive is NetworkDown, and the caller reads again.
- Vendor errors become ours by (status, code); their text goes nowhere.
Source: Azure Table Storage, entity group transactions and error codes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shared.core.errors import NetworkDown, RowChanged, RowExists, StoreError, Throttled, Unavailable
from shared.ports import Delete, Insert, Place, Row, Table, Write
from shared.store.rows import checked_key, checked_writes, encoded

_CODES: Mapping[str, type[StoreError]] = {
    "EntityAlreadyExists": RowExists,
    "UpdateConditionNotSatisfied": RowChanged,
    "ResourceNotFound": RowChanged,
    "EntityDoesNotExist": RowChanged,
}


#: How many rows are read side by side; the service has no request for several rows by key.
READERS = 8


class TableStore:
    """One storage account. `service` is an `azure.data.tables.TableServiceClient`; make it with `connect`."""

    def __init__(self, service: Any, prefix: str = "mailspan") -> None:
        self._service = service
        self._prefix = prefix
        self._clients: dict[Table, Any] = {}
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="rows")

    def _table(self, table: Table) -> Any:
        if table not in self._clients:
            self._clients[table] = self._service.create_table_if_not_exists(f"{self._prefix}{table}")
        return self._clients[table]

    def get(self, place: Place, key: str) -> Row | None:
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            return _row(self._table(place.table).get_entity(checked_key(place.partition), checked_key(key)))
        except ResourceNotFoundError:
            return None
        except AzureError as problem:
            raise _translated(problem, key) from None

    def get_many(self, place: Place, keys: Sequence[str]) -> Mapping[str, Row]:
        if len(keys) < 3:  # not worth the threads
            found = [self.get(place, key) for key in keys]
        else:
            self._table(place.table)  # made once, before threads ask for it
            found = list(self._readers.map(lambda key: self.get(place, key), keys))
        return {row.key: row for row in found if row is not None}

    def scan(self, place: Place, first: str = "", last: str | None = None) -> Iterator[Row]:
        from azure.core.exceptions import AzureError

        query, values = "PartitionKey eq @part", {"part": place.partition}
        if first:
            query, values["first"] = query + " and RowKey ge @first", first
        if last is not None:
            query, values["last"] = query + " and RowKey lt @last", last
        try:
            for entity in self._table(place.table).query_entities(query, parameters=values):
                yield _row(entity)
        except AzureError as problem:
            raise _translated(problem, first) from None

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        from azure.core.exceptions import AzureError
        from azure.data.tables import TableTransactionError

        checked_writes(writes)
        operations = [_operation(checked_key(place.partition), write) for write in writes]
        try:
            answers = self._table(place.table).submit_transaction(operations)
        except TableTransactionError as problem:
            raise _translated(problem, writes[problem.index].key) from None
        except AzureError as problem:
            raise _translated(problem, writes[0].key) from None
        return {w.key: answer["etag"] for w, answer in zip(writes, answers, strict=True) if not isinstance(w, Delete)}


def connect(connection: str, prefix: str = "mailspan") -> TableStore:
    """A store over a connection string (local) or an account name (identity-based access)."""
    from azure.data.tables import TableServiceClient

    policy: Any = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 30}
    if "=" in connection:
        return TableStore(TableServiceClient.from_connection_string(connection, **policy), prefix)
    from azure.identity import DefaultAzureCredential

    endpoint = f"https://{connection}.table.core.windows.net"
    return TableStore(TableServiceClient(endpoint, credential=DefaultAzureCredential(), **policy), prefix)


def _operation(partition: str, write: Write) -> tuple[Any, ...]:
    from azure.core import MatchConditions
    from azure.data.tables import UpdateMode

    entity: dict[str, Any] = {"PartitionKey": partition, "RowKey": write.key}
    if not isinstance(write, Delete):
        entity |= {f"d{n}": piece for n, piece in enumerate(encoded(write.key, write.value))}
    if isinstance(write, Insert):
        return ("create", entity)
    name = "delete" if isinstance(write, Delete) else "update" if write.etag is not None else "upsert"
    options: dict[str, Any] = {} if name == "delete" else {"mode": UpdateMode.REPLACE}
    if write.etag is not None:
        options |= {"etag": write.etag, "match_condition": MatchConditions.IfNotModified}
    return (name, entity, options)


def _row(entity: Any) -> Row:
    text = "".join(entity[f"d{n}"] for n in range(sum(name[0] == "d" and name[1:].isdigit() for name in entity)))
    return Row(entity["RowKey"], json.loads(text), entity.metadata["etag"])


def _translated(problem: Any, key: str) -> Exception:
    from azure.core.exceptions import HttpResponseError, ServiceRequestError

    if isinstance(problem, HttpResponseError) and problem.status_code is not None:
        code = str(getattr(problem, "error_code", "") or "").rpartition(".")[2]
        if code in _CODES:
            return _CODES[code](key)
        if problem.status_code in (412, 404):
            return RowChanged(key)
        if problem.status_code == 409:
            return RowExists(key)
        if problem.status_code in (429, 503):
            return Throttled()
        return Unavailable(code="retry.storage")
    return NetworkDown() if isinstance(problem, ServiceRequestError) else NetworkDown(code="retry.storage")
