"""One call of the REST API as the handlers see it, whether it came by itself or as a part of a composite.

Rules that hold here: header names are lower case; what was sent is JSON already where it came inside a composite, and is
parsed at the first look otherwise; a body that is no JSON is the vendor's JSON_PARSER_ERROR.

It must never know a resource.

Source: REST API Developer Guide, "Headers" and "Status Codes and Error Responses".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.refused import refuse
from sandbox.salesforce.values import ParseRefused

if TYPE_CHECKING:
    from sandbox.salesforce import Salesforce
    from sandbox.salesforce.records import Records
    from sandbox.salesforce.sessions import Session

NOT_SENT = object()


@dataclass(frozen=True)
class Answer:
    """`body` is JSON, raw bytes, or None (no body at all)."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class Part:
    """One part of a multipart body."""

    content: bytes
    content_type: str
    file_name: str | None


@dataclass(frozen=True)
class Call:
    """`places` are the path's places, decoded. `given` is the JSON of a composite's part. `all_or_none` comes from outside:
    a composite's flag also holds for the collections inside it."""

    org: Salesforce
    version: str
    places: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    session: Session
    payload: bytes = b""
    parts: Mapping[str, Part] = field(default_factory=dict)
    given: Any = NOT_SENT
    all_or_none: bool = False

    @property
    def records(self) -> Records:
        return self.org.records

    @property
    def user_id(self) -> str:
        return self.session.user_id

    def json(self) -> Any:
        """What was sent. Raises JSON_PARSER_ERROR for text that is none."""
        if self.given is not NOT_SENT:
            return self.given
        try:
            return json.loads(self.payload or b"{}")
        except ValueError as error:
            raise ParseRefused("JSON_PARSER_ERROR", f"Unexpected input: {error}") from None

    def object(self) -> dict[str, Any]:
        """The sent JSON object. Raises JSON_PARSER_ERROR for other JSON."""
        sent = self.json()
        if not isinstance(sent, dict):
            raise ParseRefused("JSON_PARSER_ERROR", "The HTTP entity body was expected to be a JSON object.")
        return sent

    def moment(self, header: str, *, strict: bool = False) -> datetime | None:
        """The instant of a conditional header, None without it. A value that is no HTTP date is as none, or 400 if strict."""
        value = self.headers.get(header)
        if value is None:
            return None
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            if strict:
                raise refuse("INVALID_HEADER", f"Invalid value for header {header}: {value}") from None
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def option(self, header: str, name: str) -> str | None:
        """One `name=value` of a Sforce header (`Sforce-Query-Options: batchSize=200`)."""
        for option in self.headers.get(header, "").replace(";", ",").split(","):
            key, _, value = option.partition("=")
            if key.strip().lower() == name.lower():
                return value.strip()
        return None


Handler = Callable[[Call], Answer]
