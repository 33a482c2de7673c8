"""From a mail and its links to what is written of it. Pure.

Rules that hold here (behaviour.md 0.13, 2.2, 2.4): incoming = the sender is not internal; Bcc only where the profile says so;
no body where the profile says so. A mail without a Message-ID, or with one too long to be looked up, gets an identifier made
from what every copy of it has in common, so that it is found again and written once.
"""

from __future__ import annotations

from shared.core.keys import item_key
from shared.core.mail import Address, Mail, MailRecord, MailText
from shared.core.match import Links
from shared.core.profile import Profile
from shared.core.scope import Filters, incoming

#: Longer Message-IDs may not fit where the CRM looks mails up by them (apis.md C7: 255 or 765 is unsettled).
MAX_IDENTIFIER = 255


def identifier_of(mail: Mail, secret: bytes) -> str:
    """The Message-ID, or `<...@mailspan.invalid>` made from the mail. RFC 2606 keeps that domain free for ever."""
    if 0 < len(mail.message_id) <= MAX_IDENTIFIER:
        return mail.message_id
    sender = mail.sender.address if mail.sender else ""
    to = ",".join(sorted(one.address for one in (*mail.to, *mail.cc)))
    parts = (mail.message_id, sender, to, mail.sent.isoformat(timespec="seconds"), mail.subject)
    return f"<{item_key(secret, 'identifier', *parts)}@mailspan.invalid>"


def record_of(text: MailText, links: Links, *, identifier: str, profile: Profile, filters: Filters) -> MailRecord:
    mail = text.mail
    sender = mail.sender or Address("")
    with_body = profile["save_body"] == "full"
    return MailRecord(
        identifier=identifier,
        thread=mail.thread if len(mail.thread) <= MAX_IDENTIFIER else "",
        subject=mail.subject,
        date=mail.sent,
        sender=sender,
        to=mail.to,
        cc=mail.cc,
        bcc=mail.bcc if profile["save_bcc"] else (),
        incoming=incoming(mail, filters),
        text=text.text if with_body else "",
        html=text.html if with_body else "",
        links=links,
    )
