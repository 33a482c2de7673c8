"""Graph's messages and attachments.

Sources: learn.microsoft.com/graph/api/user-list-messages, mailfolder-list-messages, message-get, message-update, message-move,
message-delete, user-post-messages, mailfolder-post-messages, message-list-attachments, attachment-get.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from typing import Any

from sandbox.microsoft import odata
from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.drafts import is_sensitive, read_new, read_update
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.find import check, find
from sandbox.microsoft.handlers_folders import paged
from sandbox.microsoft.messages import Message
from sandbox.microsoft.mime import Address, Content, compose, parse
from sandbox.microsoft.represent import Json, View, attachment_json, attachments_json, message_json

DEFAULT_TOP = 10
ADVANCED = "Mail-Advanced.ReadWrite"


async def list_messages(call: Call) -> Answer:
    """Of the folder in the path, or of the whole mailbox."""
    source = call.query.get("$filter")
    node = odata.parse_filter(source) if source else None
    order = odata.parse_orderby(call.query.get("$orderby"))
    if "$search" in call.query:
        raise refusal("not_built", what="$search")
    check(node, order, category_filter=call.microsoft.switch("category_filter"))
    folder = call.folder if "folder" in call.places else None
    view = call.view()
    return paged(call, "messages", find(call.mailbox, folder, node, order), lambda m: message_json(m, view), DEFAULT_TOP)


def _one(call: Call, message: Message, status: int = 200) -> Answer:
    body = {"@odata.context": call.context("messages/$entity")} | message_json(message, call.view())
    return Answer(status, body, {**call.applied, "ETag": message.etag})


async def get_message(call: Call) -> Answer:
    return _one(call, call.message)


async def get_mime(call: Call) -> Answer:
    return Answer(body=call.message.content.raw, content_type="text/plain")


async def create_message(call: Call) -> Answer:
    """From JSON, or from base64 MIME with Content-Type text/plain; in Drafts where the path names no folder."""
    folder = call.folder.id if "folder" in call.places else "drafts"
    if call.headers.get("content-type", "").startswith("text/plain"):
        try:
            content = parse(base64.b64decode(call.payload, validate=False))
        except binascii.Error:
            raise refusal("bad_json") from None
        return _one(call, call.mailbox.create(content, folder), 201)
    fields = read_new(call.typed_body("message"), Address(call.mailbox.name, call.mailbox.address))
    return _one(call, call.mailbox.create(fields.pop("content"), folder, **fields), 201)


async def update_message(call: Call) -> Answer:
    message, body = call.message, call.typed_body("message")
    may_rewrite = message.is_draft or not call.microsoft.switch("sensitive_needs_advanced")
    if is_sensitive(body) and not may_rewrite and not any(one.startswith(ADVANCED) for one in call.caller.permissions):
        raise refusal("denied")
    fields = read_update(body, message.content)
    call.require_fresh(message)
    if "properties" in fields:
        fields["properties"] = {**message.properties, **fields["properties"]}
    if "content" in fields:
        fields["content"] = _rewritten(fields["content"], message)
    call.mailbox.change(message, **fields)
    return _one(call, message)


def _rewritten(content: Content, message: Message) -> Content:
    return dataclasses.replace(content, raw=compose(content, message.message_id, message.sent))


async def move_message(call: Call) -> Answer:
    call.require_fresh(call.message)
    return _one(call, call.mailbox.move(call.message.id, str(call.parameters("destinationId")["destinationId"])), 201)


async def delete_message(call: Call) -> Answer:
    call.require_fresh(call.message)
    call.mailbox.delete(call.message.id)
    return Answer(204)


async def list_attachments(call: Call) -> Answer:
    value = attachments_json(call.message, call.query.get("$select"), View(immutable=call.immutable, text=call.text))
    return Answer(body={"@odata.context": _attachment_context(call), "value": value}, headers=call.applied)


async def get_attachment(call: Call) -> Answer:
    message = call.message
    number = _number(call, message)
    expanded = [expand.name.lower() for expand in odata.parse_expand(call.query.get("$expand", ""))]
    if any(name != "microsoft.graph.itemattachment/item" for name in expanded):
        raise refusal("bad_select", name=", ".join(expanded), type="attachment")
    select = odata.parse_select(call.query.get("$select"))
    shown = attachment_json(message, number, select, View(immutable=call.immutable, text=call.text), item=bool(expanded))
    body: Json = {"@odata.context": _attachment_context(call, "/$entity")}
    return Answer(body=body | shown, headers=call.applied)


async def get_attachment_value(call: Call) -> Answer:
    """The bytes of a file, the MIME of an item; a link has none (attachment-get: "returns HTTP 405")."""
    message = call.message
    attachment = message.content.attachments[_number(call, message)]
    if attachment.is_link:
        raise refusal("not_raw")
    return Answer(body=attachment.content, content_type="text/plain" if attachment.item else attachment.content_type)


def _number(call: Call, message: Message) -> int:
    wanted = call.places["attachment"]
    for number in range(len(message.content.attachments)):
        if wanted in (message.attachment_id(number, True), message.attachment_id(number, False)):
            return number
    raise refusal("no_item")


def _attachment_context(call: Call, rest: str = "") -> Any:
    return call.context(f"messages('{call.places['message']}')/attachments{rest}")
