"""How things of a mailbox look in JSON: one table of properties per type.

Rules that hold here: a property not selected is never made; `internetMessageHeaders` comes only when selected; times are UTC
with whole seconds, as Outlook gives them. Sources: learn.microsoft.com/graph/api/resources/message, eventmessage, mailfolder,
user, attachment, fileattachment, itemattachment.

It must never change anything.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sandbox.microsoft import odata
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.folders import Folder
from sandbox.microsoft.messages import Message, property_key
from sandbox.microsoft.mime import Address, Attachment, Content

if TYPE_CHECKING:
    from sandbox.microsoft.mailbox import Mailbox

Json = dict[str, Any]


@dataclass(frozen=True)
class View:
    """How a caller wants to see things: which properties, which ids, which body."""

    select: tuple[str, ...] | None = None
    expand: tuple[odata.Expand, ...] = ()
    immutable: bool = False
    text: bool = False


def time_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _recipient(person: Address | None) -> Json | None:
    return {"emailAddress": {"name": person.name, "address": person.address}} if person else None


def _recipients(people: Sequence[Address]) -> list[Json | None]:
    return [_recipient(person) for person in people]


def _body(content: Content, text: bool) -> Json:
    if text:
        return {"contentType": "text", "content": content.body_text}
    return {"contentType": "html", "content": content.body_html}


def _conversation_index(message: Message) -> str:
    return base64.b64encode(b"\x01" + message.conversation.encode()[-21:]).decode()


MESSAGE: Mapping[str, Callable[[Message, View], Any]] = {
    "id": lambda m, v: m.shown_id(v.immutable),
    "createdDateTime": lambda m, v: time_text(m.created),
    "lastModifiedDateTime": lambda m, v: time_text(m.modified),
    "changeKey": lambda m, v: m.change_key,
    "categories": lambda m, v: list(m.categories),
    "receivedDateTime": lambda m, v: time_text(m.received),
    "sentDateTime": lambda m, v: time_text(m.sent),
    "hasAttachments": lambda m, v: m.has_attachments,
    "internetMessageId": lambda m, v: m.message_id,
    "subject": lambda m, v: m.content.subject,
    "bodyPreview": lambda m, v: m.content.preview,
    "importance": lambda m, v: m.importance,
    "parentFolderId": lambda m, v: m.folder,
    "conversationId": lambda m, v: m.conversation,
    "conversationIndex": lambda m, v: _conversation_index(m),
    "isDeliveryReceiptRequested": lambda m, v: m.delivery_receipt,
    "isReadReceiptRequested": lambda m, v: m.read_receipt,
    "isRead": lambda m, v: m.is_read,
    "isDraft": lambda m, v: m.is_draft,
    "webLink": lambda m, v: m.web_link,
    "inferenceClassification": lambda m, v: m.inference,
    "body": lambda m, v: _body(m.content, v.text),
    "sender": lambda m, v: _recipient(m.content.sender),
    "from": lambda m, v: _recipient(m.content.author),
    "toRecipients": lambda m, v: _recipients(m.content.to),
    "ccRecipients": lambda m, v: _recipients(m.content.cc),
    "bccRecipients": lambda m, v: _recipients(m.content.bcc),
    "replyTo": lambda m, v: _recipients(m.content.reply_to),
    "flag": lambda m, v: dict(m.flag),
    "internetMessageHeaders": lambda m, v: [{"name": name, "value": value} for name, value in m.content.headers],
}
#: iTIP method of a meeting's mail -> its type; of what these types have beyond a message's properties nothing is built
MEETINGS: Mapping[str, str] = {
    "REQUEST": "#microsoft.graph.eventMessageRequest",
    "REPLY": "#microsoft.graph.eventMessageResponse",
}
ONLY_SELECTED = frozenset({"internetMessageHeaders"})
#: what $filter and $orderby compare instead of the JSON form
_COMPARABLE: Mapping[str, Callable[[Message], Any]] = {
    "createdDateTime": lambda m: m.created,
    "lastModifiedDateTime": lambda m: m.modified,
    "receivedDateTime": lambda m: m.received,
    "sentDateTime": lambda m: m.sent,
    "singleValueExtendedProperties": lambda m: [{"id": key, "value": value} for key, (_, value) in m.properties.items()],
}
_PLAIN = View()

USER: Mapping[str, Callable[[Any], Any]] = {
    "businessPhones": lambda box: [],
    "displayName": lambda box: box.name,
    "givenName": lambda box: box.name.partition(" ")[0],
    "jobTitle": lambda box: None,
    "mail": lambda box: box.address,
    "mobilePhone": lambda box: None,
    "officeLocation": lambda box: None,
    "preferredLanguage": lambda box: "en-US",
    "surname": lambda box: box.name.rpartition(" ")[2],
    "userPrincipalName": lambda box: box.address,
    "id": lambda box: box.user_id,
    "accountEnabled": lambda box: True,
    "mailNickname": lambda box: box.address.partition("@")[0],
    "otherMails": lambda box: [],
    "proxyAddresses": lambda box: [f"SMTP:{box.address}", *(f"smtp:{alias}" for alias in box.aliases)],
    "userType": lambda box: "Member",
}
USER_DEFAULT = tuple(USER)[:11]

#: (mailbox, folder, what a search folder finds)
FOLDER: Mapping[str, Callable[[Any, Folder, Sequence[Message]], Any]] = {
    "id": lambda box, f, found: f.id,
    "displayName": lambda box, f, found: f.name,
    "parentFolderId": lambda box, f, found: f.parent or f.id,
    "childFolderCount": lambda box, f, found: len(box.folder_tree.children(f.id)),
    "unreadItemCount": lambda box, f, found: sum(not m.is_read for m in found) if f.search else f.unread,
    "totalItemCount": lambda box, f, found: len(found) if f.search else len(f.received),
    "isHidden": lambda box, f, found: f.hidden,
}
SEARCH_FOLDER: Mapping[str, Callable[[Any], Any]] = {
    "isSupported": lambda search: True,
    "filterQuery": lambda search: search.query,
    "includeNestedFolders": lambda search: search.nested,
    "sourceFolderIds": lambda search: list(search.sources),
}

#: properties the vendor has and this stand-in has not
UNBUILT: Mapping[str, frozenset[str]] = {
    "message": frozenset({"uniqueBody"}),
    "user": frozenset(
        {"department", "companyName", "assignedLicenses", "assignedPlans", "usageLocation", "onPremisesSyncEnabled"}
    ),
}

ATTACHMENT: Mapping[str, Callable[[Attachment], Any]] = {
    "lastModifiedDateTime": lambda a: None,
    "name": lambda a: a.name,
    "contentType": lambda a: a.content_type,
    "size": lambda a: len(a.content),
    "isInline": lambda a: a.is_inline,
}
FILE_ATTACHMENT: Mapping[str, Callable[[Attachment], Any]] = {
    **ATTACHMENT,
    "contentId": lambda a: a.content_id,
    "contentLocation": lambda a: None,
    "contentBytes": lambda a: base64.b64encode(a.content).decode(),
}


def chosen(select: tuple[str, ...] | None, known: Mapping[str, Any], default: Sequence[str], type_name: str) -> list[str]:
    """The properties to show, in the table's order. Raises GraphError 400 for one the type does not have."""
    if select is None:
        return list(default)
    for name in select:
        if name in UNBUILT.get(type_name, ()):
            raise refusal("not_built", what=f"the property {name} of {type_name}")
        if name not in known:
            raise refusal("bad_select", name=name, type=type_name)
    return [name for name in known if name in select or name == "id"]


def message_json(message: Message, view: View) -> Json:
    shown: Json = {"@odata.etag": message.etag}
    if message.content.meeting:
        shown["@odata.type"] = MEETINGS.get(message.content.meeting, "#microsoft.graph.eventMessage")
    if view.select is None:
        names: Sequence[str] = _DEFAULT_MESSAGE
    else:
        names = chosen(view.select, MESSAGE, (), "message")
    for name in names:
        shown[name] = MESSAGE[name](message, view)
    for expand in view.expand:
        if expand.name == "attachments":
            shown["attachments"] = attachments_json(message, expand.options.get("$select"), view)
        elif expand.name == "singleValueExtendedProperties":
            if wanted := extended_json(message.properties, expand.options.get("$filter")):
                shown["singleValueExtendedProperties"] = wanted
        else:
            raise refusal("bad_select", name=expand.name, type="message")
    return shown


_DEFAULT_MESSAGE = tuple(name for name in MESSAGE if name not in ONLY_SELECTED)


def extended_json(properties: Mapping[str, tuple[str, str]], wanted: str | None) -> list[Json]:
    """Those of the extended properties that a $expand filter names (`id eq '...' or id eq '...'`)."""
    if wanted is None:
        raise refusal("bad_query", name="$expand", value="singleValueExtendedProperties")
    node = odata.parse_filter(wanted)
    keys = [property_key(part.value) for part in _alternatives(node)]
    return [{"id": properties[key][0], "value": properties[key][1]} for key in keys if key in properties]


def _alternatives(node: odata.Node) -> list[odata.Compare]:
    parts = node.parts if isinstance(node, odata.Either) else (node,)
    found = [part for part in parts if isinstance(part, odata.Compare) and part.path == "id" and part.operator == "eq"]
    if len(found) != len(parts):
        raise refusal("filter_refused")
    return found


def attachments_json(message: Message, select: str | None, view: View) -> list[Json]:
    wanted = odata.parse_select(select)
    return [attachment_json(message, number, wanted, view) for number in range(len(message.content.attachments))]


def attachment_json(message: Message, number: int, select: tuple[str, ...] | None, view: View, *, item: bool = False) -> Json:
    attachment = message.content.attachments[number]
    kind = "reference" if attachment.is_link else "item" if attachment.item else "file"
    table = FILE_ATTACHMENT if kind == "file" else ATTACHMENT
    chosen(select, {"id": None, **FILE_ATTACHMENT}, (), "attachment")
    shown: Json = {"@odata.type": f"#microsoft.graph.{kind}Attachment", "id": message.attachment_id(number, view.immutable)}
    for name, value in table.items():
        if select is None or name in select:
            shown[name] = time_text(message.received) if name == "lastModifiedDateTime" else value(attachment)
    if item and attachment.item:
        shown["item"] = _item_json(attachment.item, view)
    return shown


def _item_json(content: Content, view: View) -> Json:
    return {
        "@odata.type": "#microsoft.graph.message",
        "id": "",
        "internetMessageId": content.message_id,
        "subject": content.subject,
        "sentDateTime": time_text(content.sent) if content.sent else None,
        "body": _body(content, view.text),
        "from": _recipient(content.author),
        "sender": _recipient(content.sender),
        "toRecipients": _recipients(content.to),
        "ccRecipients": _recipients(content.cc),
    }


def comparable(message: Message, path: str) -> Any:
    """The value a $filter or $orderby path means. Raises GraphError 400 for a property messages do not have."""
    head, _, rest = path.partition("/")
    if head in _COMPARABLE and not rest:
        return _COMPARABLE[head](message)
    if head not in MESSAGE:
        raise refusal("bad_filter_property", name=head, type="message")
    value = MESSAGE[head](message, _PLAIN)
    for step in rest.split("/") if rest else ():
        value = value.get(step) if isinstance(value, dict) else None
    return value


def folder_json(mailbox: Mailbox, folder: Folder, select: tuple[str, ...] | None, found: Sequence[Message] = ()) -> Json:
    """`found`: what a search folder finds."""
    table = {**FOLDER, **SEARCH_FOLDER}
    names = chosen(select, table, tuple(table), "mailFolder")
    shown: Json = {"@odata.type": "#microsoft.graph.mailSearchFolder"} if folder.search else {}
    for name in names:
        if name in FOLDER:
            shown[name] = FOLDER[name](mailbox, folder, found)
        elif folder.search:
            shown[name] = SEARCH_FOLDER[name](folder.search)
    return shown


def user_json(mailbox: Mailbox, select: tuple[str, ...] | None) -> Json:
    return {name: USER[name](mailbox) for name in chosen(select, USER, USER_DEFAULT, "user")}
