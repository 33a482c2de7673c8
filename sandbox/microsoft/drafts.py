"""JSON of a message -> what the mailbox keeps: reading the bodies of "create message" and "update message".

Rules that hold here: what a caller may set, and when, is the table below; everything else is refused in Graph's words.
Since 2026-12-31 subject, body and people of a message that is no draft need Mail-Advanced.ReadWrite (switch
`microsoft.sensitive_needs_advanced`, on by default).
Sources: learn.microsoft.com/graph/api/message-update ("Updatable only if isDraft = true"), /graph/api/user-post-messages.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.microsoft.errors import refusal
from sandbox.microsoft.messages import property_key
from sandbox.microsoft.mime import Address, Attachment, Content
from sandbox.microsoft.represent import MESSAGE, Json

#: settable at any time: property -> (field of Message, reader)
FREE: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "categories": ("categories", lambda value: tuple(dict.fromkeys(value))),
    "isRead": ("is_read", bool),
    "flag": ("flag", lambda value: {"flagStatus": "notFlagged"} | value),
    "importance": ("importance", str),
    "inferenceClassification": ("inference", str),
    "isReadReceiptRequested": ("read_receipt", bool),
    "isDeliveryReceiptRequested": ("delivery_receipt", bool),
}


def _people(value: Any) -> tuple[Address, ...]:
    found = []
    for one in value or ():
        person = one.get("emailAddress") or {}
        if not isinstance(person.get("address"), str):
            raise refusal("missing", name="emailAddress/address")
        found.append(Address(person.get("name") or person["address"], person["address"]))
    return tuple(found)


def _person(value: Any) -> Address | None:
    return _people([value])[0] if value else None


def _body(value: Any) -> dict[str, str | None]:
    kind = str(value.get("contentType", "text")).lower()
    content = value.get("content") or ""
    return {"html": content, "text": None} if kind == "html" else {"html": None, "text": content}


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    for header in value:
        if not str(header.get("name", "")).lower().startswith("x-"):
            raise refusal("bad_header_name", name=header.get("name"))
    return tuple((header["name"], str(header.get("value", ""))) for header in value)


def _attachments(value: Any) -> tuple[Attachment, ...]:
    found = []
    for one in value:
        if one.get("@odata.type", "").lstrip("#") != "microsoft.graph.fileAttachment":
            raise refusal("not_built", what=f"creating attachments of type {one.get('@odata.type')}")
        try:
            content = base64.b64decode(one.get("contentBytes", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise refusal("bad_body", why="Cannot convert the value of contentBytes to the type 'Edm.Binary'.") from None
        kind = one.get("contentType") or "application/octet-stream"
        found.append(
            Attachment(one.get("name") or "attachment", kind, content, one.get("isInline") is True, one.get("contentId"))
        )
    return tuple(found)


#: settable while it is a draft: property -> fields of Content
DRAFT: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "subject": lambda value: {"subject": value or ""},
    "body": _body,
    "from": lambda value: {"author": _person(value)},
    "sender": lambda value: {"sender": _person(value)},
    "toRecipients": lambda value: {"to": _people(value)},
    "ccRecipients": lambda value: {"cc": _people(value)},
    "bccRecipients": lambda value: {"bcc": _people(value)},
    "replyTo": lambda value: {"reply_to": _people(value)},
    "internetMessageId": lambda value: {"message_id": value},
}
#: settable at creation only
CREATE: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    **DRAFT,
    "internetMessageHeaders": lambda value: {"headers": _headers(value)},
    "attachments": lambda value: {"attachments": _attachments(value)},
}
_PROPERTIES = "singleValueExtendedProperties"


def read_properties(value: Any) -> dict[str, tuple[str, str]]:
    """Extended properties by comparable id: {key: (id as sent, value)}."""
    found = {}
    for one in value:
        if not isinstance(one.get("id"), str) or "value" not in one:
            raise refusal("missing", name=f"{_PROPERTIES}/id")
        found[property_key(one["id"])] = (one["id"], str(one["value"]))
    return found


def _refuse(name: str) -> None:
    if name in MESSAGE or name == "attachments":
        raise refusal("read_only", name=name)
    raise refusal("unknown_body_property", name=name, type="message")


def _fields(body: Json, tables: Mapping[str, Callable[[Any], dict[str, Any]]], content: Content) -> dict[str, Any]:
    """Fields of Message that a body sets, the content among them where it changes."""
    fields: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for name, value in body.items():
        if name in FREE:
            field, read = FREE[name]
            fields[field] = read(value)
        elif name in tables:
            said |= tables[name](value)
        elif name == _PROPERTIES:
            fields["properties"] = read_properties(value)
        elif not name.startswith("@odata."):
            _refuse(name)
    if said:
        fields["content"] = dataclasses.replace(content, raw=b"", **said)
    return fields


def read_new(body: Json, author: Address) -> dict[str, Any]:
    """Fields of a message to be made; `content` is always among them."""
    fields = _fields(body, CREATE, Content(author=author, sender=author))
    return {"content": Content(author=author, sender=author), **fields}


def read_update(body: Json, content: Content) -> dict[str, Any]:
    return _fields(body, DRAFT, content)


def is_sensitive(body: Json) -> bool:
    return any(name in DRAFT for name in body)
