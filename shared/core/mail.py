"""The vocabulary of mail capture: a mail as a mailbox reports it, its text, and what is written of it. Frozen; no I/O.

Rules that hold here:
- Canonical at the border: addresses in lower case, text NFC with `\\n`, times aware and in UTC.
- What decides (`Mail`) and what is carried (`MailText`) are apart: the text of a mail that is not saved is never read.
- A `MailRecord` derives from the mail alone, never from whose copy was read, so that two mailboxes write the same record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.core.match import Links


@dataclass(frozen=True)
class Address:
    """One participant. `address` in lower case, "" where the header had only a name."""

    address: str
    name: str = ""


@dataclass(frozen=True)
class Mail:
    """Everything that decides about a mail. `id` stays when the mail is moved; `version` changes with anything of it.

    `message_id` with angle brackets, "" where the mail has none; `thread` is the root of References and In-Reply-To, for a
    thread's first mail its own Message-ID. `role`: the folder it lies in, inbox, sentitems, drafts, junkemail,
    deleteditems or outbox, "" for any other; `marked_folder`: in "Salesforce Emails" or below it.
    """

    id: str
    version: str
    message_id: str
    thread: str
    subject: str
    sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    categories: tuple[str, ...]
    role: str
    marked_folder: bool
    draft: bool
    meeting: bool
    private: bool
    received: datetime
    sent: datetime


@dataclass(frozen=True)
class Attachment:
    """`kind`: a file, a mail inside the mail, or a link to a file elsewhere. `size` in bytes, as the mailbox says."""

    id: str
    name: str
    content_type: str
    size: int
    kind: Literal["file", "mail", "link"]
    inline: bool


@dataclass(frozen=True)
class MailText:
    """A mail with what it says. `html` is "" where the mail is plain; `text` is then the body, else "" or the plain part."""

    mail: Mail
    text: str
    html: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True)
class MailRecord:
    """What is written to the CRM of one mail. `identifier` is the Message-ID, or one made from the mail where it has none.

    `links.people` are the participants that are records; all participants stand in `sender`, `to`, `cc`, `bcc`, and an
    adapter leaves out of the plain address lists those that are linked where the CRM wants it so. `related` of `links` is
    the business record; `clones` are no business of a record.
    """

    identifier: str
    thread: str
    subject: str
    date: datetime
    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    incoming: bool
    text: str
    html: str
    links: Links
