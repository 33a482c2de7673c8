"""Raw MIME -> what Exchange keeps of it.

Rules that hold here: nothing a mail may contain makes this fail: wrong charsets, broken encoded words, missing headers and
truncated multiparts give the best reading there is. The raw bytes are kept as they came. Text-only mail gets an HTML form,
as Exchange gives it (learn.microsoft.com/graph/api/message-get: the body is HTML unless text is preferred).

It must never know folders, ids or Graph.
"""

from __future__ import annotations

import email
import email.policy
import html
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.header import decode_header
from email.message import EmailMessage, Message
from email.utils import format_datetime, formataddr, getaddresses, parsedate_to_datetime
from functools import cached_property
from html.parser import HTMLParser

_IMPORTANCE = dict.fromkeys(("high", "urgent", "1", "2"), "high") | dict.fromkeys(("low", "non-urgent", "4", "5"), "low")
_LINE_ENDS = re.compile(r"\r\n|\r")
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class Address:
    name: str
    address: str


@dataclass(frozen=True)
class Attachment:
    """One attachment. `item` is set for message/rfc822: an item attachment, whose `content` is its raw MIME; `is_link` marks
    a reference attachment, a link to a file in the cloud, which has no content."""

    name: str
    content_type: str
    content: bytes
    is_inline: bool = False
    content_id: str | None = None
    item: Content | None = None
    is_link: bool = False


@dataclass(frozen=True)
class Content:
    """What a message says. Times UTC; `sent` None = no readable Date. `html` and `text` are None where the mail has none.
    `meeting`: what a meeting's mail is for, the iTIP method in upper case (RFC 5546): REQUEST, REPLY, CANCEL."""

    subject: str = ""
    sender: Address | None = None
    author: Address | None = None
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    sent: datetime | None = None
    message_id: str | None = None
    references: tuple[str, ...] = ()
    importance: str = "normal"
    headers: tuple[tuple[str, str], ...] = ()
    html: str | None = None
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    meeting: str = ""
    raw: bytes = field(default=b"", repr=False)

    @cached_property
    def body_html(self) -> str:
        if self.html is not None:
            return self.html
        lines = html.escape(self.text or "", quote=False).replace("\n", "<br>\r\n")
        return f'<html><head></head><body><div class="PlainText">{lines}</div></body></html>'

    @cached_property
    def body_text(self) -> str:
        if self.html is not None:
            return html_to_text(self.html)
        return (self.text or "").replace("\n", "\r\n")

    @cached_property
    def preview(self) -> str:
        """The first 255 characters of the text (bodyPreview)."""
        return self.body_text.strip()[:255]


def parse(raw: bytes) -> Content:
    """Reads a raw message as an outside delivery does. Never fails."""
    mail = email.message_from_bytes(raw, policy=email.policy.compat32)
    headers = tuple((name, decoded(str(value))) for name, value in mail.items())
    author = _addresses(mail, "From")
    sender = _addresses(mail, "Sender")
    message_id = _MESSAGE_ID.search(str(mail.get("Message-ID", "")))
    texts, attachments = _parts(mail)
    return Content(
        subject=decoded(str(mail.get("Subject", ""))),
        author=author[0] if author else None,
        sender=sender[0] if sender else (author[0] if author else None),
        to=_addresses(mail, "To"),
        cc=_addresses(mail, "Cc"),
        bcc=_addresses(mail, "Bcc"),
        reply_to=_addresses(mail, "Reply-To"),
        sent=_date(mail),
        message_id=message_id.group() if message_id else None,
        references=tuple(_MESSAGE_ID.findall(f"{mail.get('References', '')} {mail.get('In-Reply-To', '')}")),
        importance=_IMPORTANCE.get(str(mail.get("Importance") or mail.get("X-Priority") or "").strip().lower()[:10], "normal"),
        headers=headers,
        html=texts.get("html"),
        text=texts.get("plain"),
        attachments=tuple(attachments),
        meeting=texts.get("calendar", ""),
        raw=raw,
    )


def decoded(value: str) -> str:
    """A header value with its encoded words decoded and its folds taken out; what cannot be decoded stays as it is."""
    value = re.sub(r"\r?\n[ \t]*", " ", value).strip()
    if "=?" not in value:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        pieces = decode_header(value)
    except (email.errors.HeaderParseError, ValueError):
        return value
    return "".join(_text(piece, charset) if isinstance(piece, bytes) else piece for piece, charset in pieces)


def _text(raw: bytes, charset: str | None) -> str:
    try:
        return raw.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return raw.decode("latin-1")


def _addresses(mail: Message, name: str) -> tuple[Address, ...]:
    values = [re.sub(r"\r?\n[ \t]*", " ", str(value)) for value in mail.get_all(name, [])]
    found = []
    for shown, address in getaddresses(values, strict=False):
        if address:
            found.append(Address(decoded(shown) or address, address))
    return tuple(found)


def _date(mail: Message) -> datetime | None:
    try:
        sent = parsedate_to_datetime(str(mail.get("Date", "")))
        return (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _parts(mail: Message) -> tuple[dict[str, str], list[Attachment]]:
    """The body texts by subtype, of a calendar its method alone, and everything else as attachments, in the mail's order."""
    texts: dict[str, str] = {}
    attachments: list[Attachment] = []
    queue: list[Message] = [mail]
    while queue:
        part = queue.pop(0)
        payload = part.get_payload()
        kind, disposition = part.get_content_type(), part.get_content_disposition()
        if kind == "message/rfc822" and isinstance(payload, list) and payload and isinstance(payload[0], Message):
            attachments.append(_item_attachment(part, payload[0]))
        elif part.is_multipart() and isinstance(payload, list):
            queue[:0] = [inner for inner in payload if isinstance(inner, Message)]
        elif kind == "text/calendar" and part.get_param("method") and disposition != "attachment":
            texts.setdefault("calendar", str(part.get_param("method")).upper())  # RFC 6047: this is what makes it a meeting
        elif part.get_content_maintype() == "text" and disposition != "attachment" and not part.get_filename():
            subtype = "html" if kind == "text/html" else "plain"
            text = _LINE_ENDS.sub("\n", _text(_bytes(part), part.get_content_charset()))
            texts[subtype] = f"{texts[subtype]}\n{text}" if subtype in texts else text
        elif part.get_content_maintype() != "multipart":
            attachments.append(_file_attachment(part, disposition))
    return texts, attachments


def _bytes(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _file_attachment(part: Message, disposition: str | None) -> Attachment:
    content_id = str(part.get("Content-ID", "")).strip().strip("<>") or None
    name = decoded(part.get_filename() or "") or content_id or "attachment"
    is_inline = disposition == "inline" or (disposition is None and content_id is not None)
    return Attachment(name, part.get_content_type(), _bytes(part), is_inline, content_id)


def _item_attachment(part: Message, inner: Message) -> Attachment:
    raw = inner.as_bytes(policy=email.policy.compat32)
    item = parse(raw)
    return Attachment(item.subject or "Message", "message/rfc822", raw, item=item)


class _TextOnly(HTMLParser):
    """Collects the visible text; block elements end lines."""

    _BLOCKS = frozenset("br p div tr li h1 h2 h3 h4 h5 h6 table ul ol blockquote hr".split())
    _HIDDEN = frozenset(("style", "script", "head", "title"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden = 0 if tag == "body" else self.hidden + (tag in self._HIDDEN)
        if tag in self._BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in self._HIDDEN))
        if tag in self._BLOCKS and tag != "br":
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(re.sub(r"[ \t\r\n]+", " ", data))


def html_to_text(source: str) -> str:
    reader = _TextOnly()
    reader.feed(source)
    reader.close()
    lines = [line.strip() for line in "".join(reader.pieces).split("\n")]
    return re.sub(r"(\r\n){3,}", "\r\n\r\n", "\r\n".join(lines)).strip()


def compose(content: Content, message_id: str, sent: datetime) -> bytes:
    """The MIME of a message that was made from fields (a draft, a notice), so that it has a `$value` like every other."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(content.subject.split())
    author = (content.author,) if content.author else ()
    for name, people in (("From", author), ("To", content.to), ("Cc", content.cc), ("Bcc", content.bcc)):
        if people:
            mail[name] = ", ".join(_shown(person) for person in people)
    mail["Date"] = format_datetime(sent)
    mail["Message-ID"] = message_id
    for name, value in content.headers:
        if name not in mail and not name.lower().startswith(("content-", "mime-version")):
            mail[name] = value
    if content.html is not None:
        mail.set_content(content.html, subtype="html")
    else:
        mail.set_content(content.text or "")
    for attachment in content.attachments:
        if not attachment.is_link:
            _attach(mail, attachment)
    return mail.as_bytes()


def _shown(person: Address) -> str:
    name = "" if person.name == person.address else " ".join(person.name.split())
    return formataddr((name, person.address))


def _attach(mail: EmailMessage, attachment: Attachment) -> None:
    if attachment.item:
        mail.add_attachment(email.message_from_bytes(attachment.content, policy=email.policy.default))
        return
    main, _, sub = attachment.content_type.partition("/")
    place = "inline" if attachment.is_inline else "attachment"
    cid = f"<{attachment.content_id}>" if attachment.content_id else None
    mail.add_attachment(
        attachment.content, maintype=main, subtype=sub or "octet-stream", filename=attachment.name, disposition=place, cid=cid
    )  # fmt: skip
