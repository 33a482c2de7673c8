"""What a field takes and how it is kept: one canonical JSON value per type.

Rules that hold here:
- Text is trimmed, empty text is null; its length is counted in UTF-16 units, as Java counts.
- A datetime is UTC to the second in one fixed-width form, a date is `YYYY-MM-DD`: both compare as text.
- JSON of the wrong type is refused while the request is parsed (`ParseRefused`), which in a collection refuses the whole
  request; a value that breaks a field's rule refuses its record only.

It must never read another row: references are checked where rows are known.

Source: REST API Developer Guide, "Valid Date and DateTime Formats"; Object Reference, "Primitive Data Types".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from sandbox.salesforce import ids
from sandbox.salesforce.refused import Refused, refuse_row
from sandbox.salesforce.schema import Field

_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
EMAIL = re.compile(_LOCAL + r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9]{2,}")
DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d{1,6})?(Z|[+-]\d\d:?\d\d)")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
#: How the vendor's JSON parser names what it found.
JSON_KINDS: dict[type, str] = {
    bool: "VALUE_BOOLEAN",
    int: "VALUE_NUMBER_INT",
    float: "VALUE_NUMBER_FLOAT",
    str: "VALUE_STRING",
    list: "START_ARRAY",
}


#: (field, what was sent, the field's length) -> the canonical value
Accept = Callable[[Field, Any, int], Any]


class ParseRefused(Refused):
    """The JSON itself does not fit the object: nothing of the request is done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(400, code, message)


def written(moment: datetime) -> str:
    """The canonical form of an instant: `2026-11-24T08:00:00.000+0000`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def read(text: str) -> datetime:
    """The instant of a canonical datetime."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def datetime_of(text: str) -> datetime | None:
    """The instant of any datetime form that Salesforce takes, or None."""
    match = DATETIME.fullmatch(text)
    if not match:
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def date_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if DATE.fullmatch(text) else None
    except ValueError:
        return None


def utf16_length(text: str) -> int:
    return len(text) + sum(1 for letter in text if letter > "\uffff")


def accept(field: Field, value: Any, length: int) -> Any:
    """The canonical value of what a client sent for this field. Raises `Refused` as Salesforce would."""
    if value is None:
        if field.type == "boolean":
            raise refuse_row("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{field.label}: value not of required type: null", field.name)
        return None
    accepts: Accept = _ACCEPT.get(field.type, _text)
    return accepts(field, value, length)


def _misfit(field: Field, value: Any) -> ParseRefused:
    kind = JSON_KINDS.get(type(value), "START_OBJECT")
    shown = json.dumps(value) if not isinstance(value, str) else value
    wanted = {"date": "date", "datetime": "datetime", "boolean": "boolean", "int": "int", "base64": "base64"}.get(
        field.type, "double" if field.type in ("double", "currency", "percent") else "string"
    )
    return ParseRefused(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {wanted} from {kind} value {shown} "
        "or request may be missing a required field at [line:1, column:2]",
    )


def _text(field: Field, value: Any, length: int) -> str | None:
    if not isinstance(value, str):
        raise _misfit(field, value)
    text = value.strip()
    if not text:
        return None
    if utf16_length(text) > length:
        raise refuse_row("STRING_TOO_LONG", f"{field.label}: data value too large: {text} (max length={length})", field.name)
    return text


def _email(field: Field, value: Any, length: int) -> str | None:
    text = _text(field, value, length)
    if text is not None and not EMAIL.fullmatch(text):
        raise refuse_row("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field.name)
    return text


def _picklist(field: Field, value: Any, length: int) -> str | None:
    text = _text(field, value, length)
    if text is None or not field.restricted or text in field.picklist:
        return text
    raise refuse_row(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        f"{field.label}: bad value for restricted picklist field: {text}",
        field.name,
    )


def _boolean(field: Field, value: Any, _length: int) -> bool:
    if not isinstance(value, bool):
        raise _misfit(field, value)
    return value


def _integer(field: Field, value: Any, _length: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _misfit(field, value)
    return int(_in_range(field, value, field.number[0] or 9))


def _decimal(field: Field, value: Any, _length: int) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _misfit(field, value)
    precision, scale = field.number[1] or 18, field.number[2]
    return round(float(_in_range(field, value, precision - scale)), scale)


def _in_range(field: Field, value: float, digits: int) -> float:
    if abs(value) >= 10**digits:
        raise refuse_row(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{field.label}: value outside of valid range on numeric field: {value}",
            field.name,
        )
    return value


def _date(field: Field, value: Any, _length: int) -> str:
    day = date_of(value[:10]) if isinstance(value, str) and (len(value) == 10 or datetime_of(value)) else None
    if day is None:
        raise _misfit(field, value)
    return day.isoformat()


def _datetime(field: Field, value: Any, _length: int) -> str:
    moment = datetime_of(value) if isinstance(value, str) else None
    if moment is None:
        raise _misfit(field, value)
    return written(moment)


def _reference(field: Field, value: Any, _length: int) -> str | None:
    if not isinstance(value, str):
        raise _misfit(field, value)
    if not value:
        return None
    record_id = ids.canonical(value)
    if record_id is None:
        raise refuse_row("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", field.name)
    return record_id


def _base64(field: Field, value: Any, _length: int) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _misfit(field, value) from None


_ACCEPT: dict[str, Accept] = {
    "email": _email,
    "picklist": _picklist,
    "boolean": _boolean,
    "int": _integer,
    "double": _decimal,
    "currency": _decimal,
    "percent": _decimal,
    "date": _date,
    "datetime": _datetime,
    "id": _reference,
    "reference": _reference,
    "base64": _base64,
}
