"""One message of a mailbox: what it says (Content) plus what the mailbox added to it.

Rules that hold here: only `mailbox.py` changes a message; every change moves `version` and `modified`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from sandbox.microsoft.ids import make_id
from sandbox.microsoft.mime import Content

#: PidTagMessageFlags; bit 0x8 says "unsent". Set by creates that want a received-looking message instead of a draft.
MESSAGE_FLAGS = "integer 0x0e07"
UNSENT = 0x8


def property_key(text: str) -> str:
    """An extended property's id in comparable form: the name is case-sensitive, type and GUID are not.

    Source: learn.microsoft.com/graph/api/resources/extended-properties-overview.
    """
    head, name_word, name = text.strip().partition(" Name ")
    return f"{head.lower()}{name_word.lower()}{name}"


@dataclass(slots=True)
class Message:
    mailbox: bytes
    serial: int
    place: int
    folder: str
    content: Content
    message_id: str
    conversation: str
    received: datetime
    sent: datetime
    created: datetime
    modified: datetime
    version: int
    is_read: bool = False
    is_draft: bool = False
    categories: tuple[str, ...] = ()
    importance: str = "normal"
    inference: str = "focused"
    read_receipt: bool = False
    delivery_receipt: bool = False
    flag: dict[str, object] = field(default_factory=lambda: {"flagStatus": "notFlagged"})
    properties: dict[str, tuple[str, str]] = field(default_factory=dict)
    rest_id: str = ""
    id: str = ""

    def __post_init__(self) -> None:
        self.id = make_id("immutable", self.mailbox, self.serial)
        self.settle()

    def settle(self) -> None:
        """Takes the REST id of the place it lies at now."""
        self.rest_id = make_id("message", self.mailbox, self.serial, self.place)

    def shown_id(self, immutable: bool) -> str:
        return self.id if immutable else self.rest_id

    @property
    def change_key(self) -> str:
        return "CQAAABYAAA" + base64.b64encode(self.mailbox[:6] + self.version.to_bytes(6, "big")).decode()

    @property
    def etag(self) -> str:
        return f'W/"{self.change_key}"'

    @property
    def web_link(self) -> str:
        return f"https://outlook.office365.com/owa/?ItemID={quote(self.rest_id)}&exvsurl=1&viewmodel=ReadMessageItem"

    @property
    def has_attachments(self) -> bool:
        """False for inline-only attachments, as the vendor says it (message resource, hasAttachments)."""
        return any(not attachment.is_inline for attachment in self.content.attachments)

    def attachment_id(self, number: int, immutable: bool) -> str:
        if immutable:
            return make_id("attachment_immutable", self.mailbox, self.serial, number)
        return make_id("attachment", self.mailbox, self.serial, self.place, number)
