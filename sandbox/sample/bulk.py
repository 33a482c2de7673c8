"""Many small mails at once, for figures: what a session costs must be seen with thousands of them.

Rules that hold here: each has a Message-ID, a subject and a text of its own; the sender is somebody of the sample's address
book; they come in as any other delivery does. They are not in the manifest: whoever asked for them knows what to expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime

from sandbox.microsoft import Mailbox
from sandbox.sample.mime import Party

HEAD = "From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: {identifier}\r\nMIME-Version: 1.0\r\n"
ATTACHED = """Content-Type: multipart/mixed; boundary="part"

--part
Content-Type: text/plain

{text}
--part
Content-Type: text/plain
Content-Disposition: attachment; filename="{name}"

{content}
--part--
"""
PLAIN = "Content-Type: text/plain; charset=utf-8\n\n{text}\n"


def deliver_many(
    mailbox: Mailbox,
    sender: Party,
    count: int,
    *,
    name: str,
    days: float,
    file_size: int,
    folder: str,
    categories: Sequence[str],
) -> list[str]:
    """Delivers `count` mails, received evenly over the last `days`; their Message-IDs. `file_size` 0 = no attachment."""
    now = mailbox.world.clock.now()
    identifiers = []
    for n in range(1, count + 1):
        received = now - timedelta(days=days * (count - n) / max(count, 1))
        identifiers.append(f"<{name}.{n:05}@bulk.sandbox.test>")
        raw = _mail(mailbox.address, sender, identifiers[-1], f"{name} {n}", received, file_size)
        mailbox.deliver(raw, folder=folder, received=received, categories=categories)
    return identifiers


def _mail(to: str, sender: Party, identifier: str, subject: str, sent: datetime, file_size: int) -> bytes:
    form = ATTACHED if file_size else PLAIN
    body = form.format(text=f"Mail {subject}.", name=f"{subject}.txt", content=("x" * 60 + "\n") * (file_size // 62))
    head = HEAD.format(sender=sender.address, to=to, subject=subject, date=format_datetime(sent), identifier=identifier)
    return (head + body.replace("\n", "\r\n")).encode()
