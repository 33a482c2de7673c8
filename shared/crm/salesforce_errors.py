"""From Salesforce's errors to ours: one table, code -> class.

Rules that hold here: the code decides, then the HTTP status; only codes and field names leave this file, never a sentence of
the vendor's. The one message that is looked at tells a spent day from too many calls at once, which share a code.
A row of a collection says `statusCode` where everything else says `errorCode`.

Source: REST API Developer Guide, "Status Codes and Error Responses"; SOAP API Developer Guide, "StatusCode".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.core.errors import (
    BudgetSpent,
    ConsentNeeded,
    Gone,
    ItemError,
    OrgApiDisabled,
    Refused,
    RowLocked,
    Stale,
    SyncError,
    Throttled,
    Unavailable,
)

PARKED = timedelta(hours=1)

#: code -> class. Whatever is not here is a refusal of the one item.
CLASSES: Mapping[str, Callable[[], SyncError]] = {
    "INVALID_SESSION_ID": ConsentNeeded,
    "INVALID_AUTH_HEADER": ConsentNeeded,
    "API_DISABLED_FOR_ORG": OrgApiDisabled,
    "API_CURRENTLY_DISABLED": OrgApiDisabled,
    "SERVER_UNAVAILABLE": Unavailable,
    "QUERY_TIMEOUT": Unavailable,
    "UNKNOWN_EXCEPTION": Unavailable,
    "UNABLE_TO_LOCK_ROW": RowLocked,
    "PROCESSING_HALTED": Unavailable,
    "PRECONDITION_FAILED": Stale,
}
#: codes that park the org for an hour.
SPENT = frozenset({"REQUEST_LIMIT_EXCEEDED", "STORAGE_LIMIT_EXCEEDED"})
#: codes that say of a record called by its id that it is not there; in a row that refers to others they are refusals.
GONE = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"})
#: HTTP status -> class, where the body has no code of the table.
STATUSES: Mapping[int, Callable[[], SyncError]] = {401: ConsentNeeded, 404: Gone, 412: Stale, 429: Throttled}

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,79}")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,79}")


def translated(status: int, content: Any, now: datetime) -> SyncError:
    """Our error for an answer to a call or a part of a composite. `content` is the parsed body, or text."""
    first = content[0] if isinstance(content, list) and content else content
    error: Mapping[str, Any] = first if isinstance(first, Mapping) else {}
    code = str(error.get("errorCode") or error.get("statusCode") or "")
    if code in SPENT:
        if "concurrent" in str(error.get("message", "")).lower():
            return Throttled()
        return BudgetSpent(now + PARKED)
    if code in GONE:
        return Gone()
    if code in CLASSES:
        return CLASSES[code]()
    if status in STATUSES:
        return STATUSES[status]()
    if status >= 500 or 300 <= status < 400:
        return Unavailable()
    return _refused(code, error)


def row_error(result: Any, now: datetime) -> SyncError:
    """Our error for one row that a collection did not write."""
    errors = result.get("errors") if isinstance(result, Mapping) else None
    error: Mapping[str, Any] = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], Mapping) else {}
    code = str(error.get("statusCode", ""))
    return _refused(code, error) if code in GONE else translated(400, [error], now)


def answered(error: SyncError) -> ItemError:
    """The error as an answer to one item: what will probably work later is Stale, so that the item stays open."""
    return error if isinstance(error, ItemError) else Stale()


def _refused(code: str, error: Mapping[str, Any]) -> Refused:
    fields = error.get("fields")
    names = fields if isinstance(fields, list) else []
    known = code if _CODE.fullmatch(code) else "UNKNOWN"
    return Refused(
        f"refused.{known.lower()}", tuple(name for name in names if isinstance(name, str) and _FIELD.fullmatch(name))
    )
