"""A refusal in Salesforce's own words: code, HTTP status, message, fields, and its three JSON forms.

Rules that hold here: a plain resource answers an array of `{"message", "errorCode", "fields"?}`; a collection answers
`{"statusCode", "message", "fields"}` inside each row. The status belongs to the code and stands in one table.

It must never be caught to be ignored: whoever catches one answers it or undoes what came before.

Source: REST API Developer Guide, "Status Codes and Error Responses"; SOAP API Developer Guide, "StatusCode".
"""

from __future__ import annotations

from typing import Any

#: Codes whose status is not 400.
STATUS = {
    "INVALID_SESSION_ID": 401,
    "INVALID_AUTH_HEADER": 401,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "API_DISABLED_FOR_ORG": 403,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "INVALID_CROSS_REFERENCE_KEY": 404,
    "METHOD_NOT_ALLOWED": 405,
    "GONE": 410,
    "PRECONDITION_FAILED": 412,
    "URI_TOO_LONG": 414,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "NOT_BUILT": 501,
}


class Refused(Exception):
    """Salesforce would refuse this. `fields` is None where the vendor's body has no such key (queries, sessions)."""

    def __init__(self, status: int, code: str, message: str, fields: tuple[str, ...] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[dict[str, Any]]:
        """The array a plain resource answers with."""
        row: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            row["fields"] = list(self.fields)
        return [row]

    def row_error(self) -> dict[str, Any]:
        """The object inside `errors` of one row of a collection."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}


def refuse(code: str, message: str, fields: tuple[str, ...] | None = None) -> Refused:
    """The refusal with the status that belongs to its code."""
    return Refused(STATUS.get(code, 400), code, message, fields)


def refuse_row(code: str, message: str, *fields: str) -> Refused:
    """A refusal of a record's content: always 400, always with a list of fields."""
    return Refused(400, code, message, fields)
