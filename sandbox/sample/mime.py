"""A mail's description -> its MIME, well formed or broken in a named way.

Rules that hold here:
- Everything is made from the description and a random source that the caller seeded: the same data gives the same bytes.
- Content that the caller expects to find again is returned as it was put in, not read back from the MIME.
- A flaw is a row of `HEADER_FLAWS` (headers left out or replaced) or `BYTE_FLAWS` (what happens to the finished bytes).

It must never know mailboxes, folders or the org.
Source: RFC 5322 (messages), RFC 2045 to 2047 (MIME), RFC 2387 (related), RFC 5545 (invitations).
"""

from __future__ import annotations

import mimetypes
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.charset import BASE64, QP, Charset
from email.encoders import encode_base64
from email.header import Header
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr
from html import escape

#: flaw -> {header: what stands there instead; None = nothing}
HEADER_FLAWS: Mapping[str, Mapping[str, str | None]] = {
    "no_message_id": {"Message-ID": None},
    "no_subject": {"Subject": None},
    "no_date": {"Date": None},
    "bad_date": {"Date": "yesterday, about noon"},
    "no_from": {"From": None},
    "nobody": {"To": "undisclosed-recipients:;"},
    "bad_encoded_word": {"Subject": "=?utf-8?B?!!!not base64!!!?= =?utf-8?Q?half=zz_done?= =?x-none?Q?caf=E9?="},
    "private": {"Sensitivity": "Private"},
    "automatic": {"Auto-Submitted": "auto-replied", "X-Auto-Response-Suppress": "All"},
    "bad_references": {"References": "<broken broken@@ >, <>", "In-Reply-To": "no brackets here"},
}
#: flaw -> what is done to the finished bytes
BYTE_FLAWS: Mapping[str, Callable[[bytes], bytes]] = {
    "cut_off": lambda raw: raw[: raw.rindex(b"\r\n--")],
    "bare_line_feeds": lambda raw: raw.replace(b"\r\n", b"\n"),
    "unknown_charset": lambda raw: re.sub(rb'charset="[^"]+"', b'charset="x-unknown-9"', raw),
    "raw_header": lambda raw: re.sub(
        rb"(?m)^Subject: .*(\r\n[ \t].*)*", "Subject: Grüße, unkodiert".encode("latin-1"), raw, count=1
    ),
    "no_boundary": lambda raw: re.sub(rb';\s*boundary="[^"]+"', b"", raw, count=1),
}
FLAWS = frozenset(HEADER_FLAWS) | frozenset(BYTE_FLAWS)
#: flaw -> headers whose own text nobody gets to see
LOST_HEADERS: Mapping[str, Sequence[str]] = {
    **{flaw: tuple(given) for flaw, given in HEADER_FLAWS.items()},
    "raw_header": ("Subject",),
}
SENTENCES = (
    "Thank you for the call this morning.",
    "The delivery is planned for the second week of the month.",
    "Please find our remarks below; the figures are net of tax.",
    "Could you confirm the dates by Friday?",
    "We have checked the drawings again and agree with the changes.",
    "The crew will be on site from seven o'clock.",
    "Our colleague is out of the office, I am standing in.",
    "The invoice will follow by separate mail.",
    "If anything is unclear, just call me.",
    "The price holds until the end of the quarter.",
)
SCRIPTS = (
    "Ελληνικά: Καλημέρα. Русский: Добрый день. עברית: שלום. العربية: مرحبا. हिन्दी: नमस्ते. ไทย: สวัสดี. "
    "中文: 你好。 日本語: こんにちは。 한국어: 안녕하세요. Tiếng Việt: Chào. e\u0301 is é and \u212b is Å."
)
EMOJI = "🚀 launched 👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇪🇺 👍🏽 \u200d zero width \U0001f469\U0001f3fd\u200d\U0001f52c"
LONG_LENGTH = 200_000
PICTURE = "logo@sandbox.test"
#: lines are folded where this module says so, and nowhere else
POLICY = compat32.clone(linesep="\r\n", max_line_length=None)
QUOTED_TEXT, BASE64_TEXT = Charset("utf-8"), Charset("utf-8")
QUOTED_TEXT.body_encoding, BASE64_TEXT.body_encoding = QP, BASE64
LONG_LINES = 20_000


@dataclass(frozen=True)
class Party:
    """A name and an address as a header shows them."""

    name: str
    address: str


@dataclass(frozen=True)
class Part:
    """Something attached. `kind`: file, inline, calendar, mail (content is its MIME)."""

    kind: str
    name: str
    content: bytes


@dataclass(frozen=True)
class Letter:
    """What a mail says. `body` is a key of `BODIES`; `token` is a word that its text shall hold."""

    message_id: str
    date: datetime
    sender: Party
    to: Sequence[Party]
    cc: Sequence[Party]
    bcc: Sequence[Party]
    subject: str
    body: str
    token: str
    parts: Sequence[Part]
    flaws: Sequence[str]
    headers: Mapping[str, str]


def _text(letter: Letter, chance: random.Random) -> str:
    chosen = " ".join(chance.sample(SENTENCES, 3))
    return f"Good day,\n\n{chosen}\nReference: {letter.token}\n\nKind regards\n{letter.sender.name}\n"


def _html(text: str, extra: str = "") -> str:
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in text.split("\n") if line)
    style = "<style>p { margin: 0 }</style><script>document.title = 'never shown'</script>"
    return f"<html><head><title>never shown</title>{style}</head><body>{paragraphs}{extra}</body></html>"


def _repeated(text: str) -> str:
    line = "All work and no play makes a long mail, one line after the other. \N{WAVING HAND SIGN}\n"
    return text + line * (LONG_LENGTH // len(line))


#: body -> (text, html), either of which may be None
BODIES: Mapping[str, Callable[[str], tuple[str | None, str | None]]] = {
    "text": lambda text: (text, None),
    "both": lambda text: (text, _html(text)),
    "html": lambda text: (None, _html(text)),
    "quoted": lambda text: (
        f"{text}\n> {text.replace(chr(10), chr(10) + '> ')}",
        _html(text, f"<hr><blockquote>{escape(text)}</blockquote>"),
    ),
    "emoji": lambda text: (f"{text}\n{EMOJI}\n", _html(f"{text}\n{EMOJI}")),
    "scripts": lambda text: (f"{text}\n{SCRIPTS}\n", _html(f"{text}\n{SCRIPTS}")),
    "long_text": lambda text: (_repeated(text), None),
    "long_html": lambda text: (None, _html(_repeated(text))),
    "controls": lambda text: (f"{text}\nbell \x07 null-like \x01 escape \x1b vertical \x0b end\n", None),
    "pictures": lambda text: (text, _html(text, f'<img src="cid:{PICTURE}"><img src="cid:missing@sandbox.test">')),
    "hostile": lambda text: (
        text,
        _html(text, "<script>alert(1)</script><a href='javascript:alert(2)' onclick='alert(3)'>x</a>"),
    ),
    "empty": lambda _text: ("", None),
}


def build(letter: Letter, chance: random.Random) -> bytes:
    """The raw message, with line ends as SMTP has them. Raises ValueError for an unknown flaw or body."""
    if unknown := [flaw for flaw in letter.flaws if flaw not in FLAWS]:
        raise ValueError(f"There is no flaw named {unknown[0]}.")
    if letter.body not in BODIES:
        raise ValueError(f"There is no body named {letter.body}.")
    text, html = BODIES[letter.body](_text(letter, chance))
    shown = [_readable(text, "plain")] if text is not None else []
    if html is not None:
        pictures = [_attachment(part) for part in letter.parts if part.kind == "inline"]
        shown.append(_together("related", [_readable(html, "html"), *pictures], chance))
    shown += [_invitation(letter) for part in letter.parts if part.kind == "calendar"]
    files = [_attachment(part) for part in letter.parts if part.kind in ("file", "mail")]
    mail = _together("mixed", [_together("alternative", shown, chance), *files], chance)
    for name, value in _head(letter).items():
        mail[name] = value  # type: ignore[assignment]  # a Header is what compat32 takes besides text
    raw = mail.as_bytes(policy=POLICY)
    for flaw in letter.flaws:
        raw = BYTE_FLAWS[flaw](raw) if flaw in BYTE_FLAWS else raw
    return raw


def _together(kind: str, parts: Sequence[Message], chance: random.Random) -> Message:
    """The parts as one; a single one stands by itself. The boundary comes from the seed, as all chance does."""
    if len(parts) == 1:
        return parts[0]
    whole = MIMEMultipart(kind, boundary=f"=_{chance.getrandbits(64):016x}")
    for part in parts:
        whole.attach(part)
    return whole


def _readable(text: str, subtype: str) -> Message:
    return MIMEText(text, subtype, BASE64_TEXT if len(text) > LONG_LINES else QUOTED_TEXT)  # type: ignore[arg-type]


def _attachment(part: Part) -> Message:
    if part.kind == "mail":
        return MIMEMessage(message_from_bytes(part.content))
    guessed = mimetypes.guess_type(part.name.rsplit("/")[-1])[0] or "application/octet-stream"
    attached = MIMEBase(*guessed.split("/", 1))
    attached.set_payload(part.content)
    encode_base64(attached)
    is_plain = part.name.isascii()
    disposition = "inline" if part.kind == "inline" else "attachment"
    attached.add_header("Content-Disposition", disposition, filename=part.name if is_plain else ("utf-8", "", part.name))
    if part.kind == "inline":
        attached["Content-ID"] = f"<{PICTURE}>"
    return attached


def _invitation(letter: Letter) -> Message:
    """A meeting request (RFC 5545, RFC 5546)."""
    at = letter.date.strftime("%Y%m%dT%H%M%SZ")
    people = "".join(f"ATTENDEE;RSVP=TRUE:mailto:{party.address}\r\n" for party in letter.to)
    text = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Sandbox//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
        f"UID:{letter.message_id.strip('<>')}\r\nDTSTAMP:{at}\r\nDTSTART:{at}\r\nDURATION:PT30M\r\n"
        f"SUMMARY:{letter.subject}\r\nORGANIZER:mailto:{letter.sender.address}\r\n{people}END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    request = _readable(text, "calendar")
    request.set_param("method", "REQUEST")
    return request


def _people(parties: Sequence[Party]) -> str:
    return ",\n ".join(formataddr((party.name, party.address)) for party in parties)


def _head(letter: Letter) -> dict[str, str | Header]:
    """The headers in their order; what a flaw replaces stands last, as it is."""
    subject = letter.subject
    headers: dict[str, str | Header] = {
        "From": _people([letter.sender]),
        "To": _people(letter.to),
        "Cc": _people(letter.cc),
        "Bcc": _people(letter.bcc),
        "Subject": subject if subject.isascii() else Header(subject, "utf-8", header_name="Subject"),
        "Date": format_datetime(letter.date),
        "Message-ID": letter.message_id,
        **letter.headers,
    }
    replaced: dict[str, str | None] = {}
    for flaw in letter.flaws:
        replaced |= HEADER_FLAWS.get(flaw, {})
    kept = {name: value for name, value in headers.items() if value and name not in replaced}
    return kept | {name: value for name, value in replaced.items() if value is not None}
