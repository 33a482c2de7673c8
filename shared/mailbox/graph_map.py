"""Microsoft Graph's messages -> the vocabulary of mail. Pure.

Rules that hold here:
- Nothing a mailbox may hold makes this fail: what is missing or broken becomes empty, so that one mail never stops a page.
- The same mail in the same state gives the same `Mail`, whichever request it came with: every request selects MAIL and
  expands KEPT, and `version` is the change key, which is also what stands in the ETag.
- References, In-Reply-To and Sensitivity are read from the internet headers; where Exchange keeps none (mail that was sent
  from this mailbox has none) from the properties it keeps of them.
- Category names compare without case in Exchange: ours are given back in our spelling.

Sources: learn.microsoft.com/graph/api/resources/message, /resources/eventmessage, /resources/attachment; RFC 5322 sections
3.6.4 (References) and 3.6.7 (trace); RFC 2156 section 5.3.4 and MS-OXCMSG 2.2.1.13 (sensitivity); MS-OXOMSG 2.2.1.21 to
2.2.1.26 (the kept properties). It must never know requests, and never look into the body.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.core.mail import Address, Attachment, Mail, MailText
from shared.core.scope import ERROR_MARK, MARK, UNSYNC

#: the properties that every request for mails selects
MAIL = (
    "id,changeKey,internetMessageId,subject,from,sender,toRecipients,ccRecipients,bccRecipients,categories,parentFolderId,"
    "isDraft,receivedDateTime,sentDateTime,lastModifiedDateTime,internetMessageHeaders"
)
HEADERS = "internetMessageHeaders"
PROPERTIES = "singleValueExtendedProperties"
#: header in lower case -> the property in which Exchange keeps it
KEPT = {"references": "String 0x1039", "in-reply-to": "String 0x1042", "sensitivity": "Integer 0x36"}
ATTACHMENT = "id,name,size,contentType,isInline"
#: What a page cannot do without. The vendor may report a change with nothing but what changed.
ESSENTIAL = ("parentFolderId", "receivedDateTime", "toRecipients")

#: header and property values that mean anything but "normal"
_PRIVATE = frozenset(("personal", "private", "company-confidential", "1", "2", "3"))
_KINDS: Mapping[str, Literal["file", "mail", "link"]] = {"fileAttachment": "file", "itemAttachment": "mail"}
_OWN_NAMES = {name.casefold(): name for name in (MARK, UNSYNC, ERROR_MARK)}
_IN_BRACKETS = re.compile(r"<([^<>]+)>")
_SPACE = re.compile(r"\s+")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a mail lies, in the words of `Mail.role` and `Mail.marked_folder`."""

    role: str = ""
    marked_folder: bool = False


def text(value: Any) -> str:
    """NFC with `\\n`, without NUL and halves of characters; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return unicodedata.normalize("NFC", whole.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""))


def moment(value: Any) -> datetime | None:
    """A time in UTC. None where there is none; a time without zone is UTC."""
    try:
        read = datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def version(message: Json) -> str:
    """The change key; from the ETag where it does not stand by itself."""
    key = message.get("changeKey")
    if isinstance(key, str) and key:
        return key
    etag = message.get("@odata.etag")
    return etag.removeprefix("W/").strip('"') if isinstance(etag, str) else ""


def etag(of_version: str) -> str:
    """The ETag of a mail with this version."""
    return f'W/"{of_version}"'


def is_whole(message: Json) -> bool:
    """Whether the item says enough to be read as a mail."""
    return all(name in message for name in ESSENTIAL)


def tells_headers(message: Json, *, kept_asked: bool) -> bool:
    """Whether thread and sensitivity can be read from the item. Only a mail that came in has all its headers, the trace of its
    way among them; what any other has says nothing where the properties kept of them were not asked for (`kept_asked`)."""
    if PROPERTIES in message or (kept_asked and message.get(HEADERS)):
        return True
    return any(str(header.get("name", "")).strip().lower() == "received" for header in _objects(message.get(HEADERS)))


def mail(message: Json, place: Place) -> Mail:
    """The mail of one message. `place` is where `parentFolderId` lies."""
    headers = _headers(message)
    message_id = _first_id(message.get("internetMessageId"))
    received, sent = moment(message.get("receivedDateTime")), moment(message.get("sentDateTime"))
    known = received or sent or moment(message.get("lastModifiedDateTime")) or _NEVER
    return Mail(
        id=text(message.get("id")),
        version=version(message),
        message_id=message_id,
        thread=_first_id(headers.get("references")) or _first_id(headers.get("in-reply-to")) or message_id,
        subject=_SPACE.sub(" ", text(message.get("subject"))).strip(),
        sender=_address(message.get("from")) or _address(message.get("sender")),
        to=_addresses(message.get("toRecipients")),
        cc=_addresses(message.get("ccRecipients")),
        bcc=_addresses(message.get("bccRecipients")),
        categories=tuple(dict.fromkeys(own_name(name) for name in names(message.get("categories")))),
        role=place.role,
        marked_folder=place.marked_folder,
        draft=message.get("isDraft") is True,
        meeting=str(message.get("@odata.type", "")).rpartition(".")[2].startswith("eventMessage"),
        private=headers.get("sensitivity", "").strip().lower() in _PRIVATE,
        received=received or known,
        sent=sent or known,
    )


def mail_text(message: Json, place: Place) -> MailText:
    """The mail with its body and its list of attachments, from an answer with `body` and `attachments`."""
    body = message.get("body")
    body = body if isinstance(body, dict) else {}
    content = text(body.get("content"))
    is_plain = str(body.get("contentType", "")).lower() == "text"
    return MailText(
        mail=mail(message, place),
        text=content if is_plain else "",
        html="" if is_plain else content,
        attachments=tuple(attachment(one) for one in _objects(message.get("attachments"))),
    )


def attachment(item: Json) -> Attachment:
    """A kind we do not know is a link, which is never opened."""
    size = item.get("size")
    return Attachment(
        id=text(item.get("id")),
        name=_SPACE.sub(" ", text(item.get("name"))).strip(),
        content_type=text(item.get("contentType")).strip().lower() or "application/octet-stream",
        size=size if isinstance(size, int) and size > 0 else 0,
        kind=_KINDS.get(str(item.get("@odata.type", "")).rpartition(".")[2], "link"),
        inline=item.get("isInline") is True,
    )


def names(value: Any) -> list[str]:
    """A list of texts as the vendor spells them."""
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def own_name(category: str) -> str:
    """One of our categories in our spelling, any other as text."""
    return _OWN_NAMES.get(category.strip().casefold(), text(category).strip())


def _objects(value: Any) -> Iterable[Json]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _headers(message: Json) -> dict[str, str]:
    """{header in lower case: first value}, completed by the kept properties."""
    found: dict[str, str] = {}
    for header in _objects(message.get(HEADERS)):
        name, value = header.get("name"), header.get("value")
        if isinstance(name, str) and isinstance(value, str):
            found.setdefault(name.strip().lower(), value)
    kept = {_property(one.get("id")): one.get("value") for one in _objects(message.get(PROPERTIES))}
    for name, key in KEPT.items():
        value = kept.get(_property(key))
        if name not in found and isinstance(value, str):
            found[name] = value
    return found


def _property(key: Any) -> tuple[str, int]:
    """Type and number of a property: the vendor may answer `String 0x1039` for `string 0x01039`."""
    kind, _, number = str(key).partition(" ")
    try:
        return kind.lower(), int(number, 16)
    except ValueError:
        return "", 0


def _first_id(value: Any) -> str:
    """The first message id of a header, in angle brackets, without folds. Without brackets the first word with an @ counts."""
    plain = text(value)
    inside = next((bare for found in _IN_BRACKETS.findall(plain) if (bare := _SPACE.sub("", found))), "")
    bare = inside or next((word.strip("<>,;") for word in plain.split() if "@" in word), "")
    return f"<{bare}>" if bare else ""


def _address(recipient: Any) -> Address | None:
    """None where there is neither address nor name. What Exchange gives for one of its own without a mail address (a path
    with no @) counts as no address."""
    inner = recipient.get("emailAddress") if isinstance(recipient, dict) else None
    if not isinstance(inner, dict):
        return None
    address = _SPACE.sub("", text(inner.get("address"))).lower()
    name = _SPACE.sub(" ", text(inner.get("name"))).strip()
    address = address if "@" in address else ""
    return Address(address, name) if address or name else None


def _addresses(value: Any) -> tuple[Address, ...]:
    found = (_address(one) for one in _objects(value))
    return tuple(dict.fromkeys(one for one in found if one is not None))
