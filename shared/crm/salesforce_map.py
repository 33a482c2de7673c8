"""From a mail record to an EmailMessage and its relations. Pure.

Rules that hold here (behaviour.md 0.13):
- Status 3 (sent), for incoming mail too: the only one Salesforce takes for a mail that is on no case. IsClientManaged lets
  files and the related record follow after the create; it cannot be set later.
- A linked person stands in ToIds, CcIds or BccIds, the sender in a relation; the plain lists hold only who is not linked.
- A field that this user may not write is left out; every text is cut to the length that describe tells.
- A plain mail has a TextBody only; of an HTML mail Salesforce makes one where the mail brought none.

Source: Object Reference, pages EmailMessage and EmailMessageRelation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from shared.core.mail import Address, MailRecord
from shared.crm.salesforce_text import clean, joined, line, narrow, narrow_html, without_cid
from shared.crm.schema import Described

SENT = "3"
#: list of the record -> (list of ids, list of plain addresses, role)
LISTS = (("to", "ToIds", "ToAddress"), ("cc", "CcIds", "CcAddress"), ("bcc", "BccIds", "BccAddress"))
SENDER = "FromAddress"
_ADDRESS = re.compile(r"[^@\s<>;,\"()]+@[^@\s<>;,\"()]+\.[^@\s<>;,\"()]+")

#: (record id, role, address)
Relation = tuple[str, str, str]


def email_message(record: MailRecord, described: Described) -> dict[str, Any]:
    """The fields of a new EmailMessage."""
    texts = {
        "MessageIdentifier": identifier(record.identifier, described),
        "ThreadIdentifier": line(record.thread),
        "FromAddress": _sendable(record.sender),
        "FromName": line(record.sender.name) or line(record.sender.address),
        "Subject": line(record.subject),
        "TextBody": clean(record.text),
        **{plain: _unlinked(record, name, plain, described) for name, _, plain in LISTS},
    }
    fields: dict[str, Any] = {name: narrow(text, described.length(name)) for name, text in texts.items()}
    fields |= {
        "HtmlBody": narrow_html(without_cid(clean(record.html)), described.length("HtmlBody")),
        "Status": SENT,
        "Incoming": record.incoming,
        "IsClientManaged": True,
        "MessageDate": moment(record.date),
        "RelatedToId": record.links.related,
    }
    written = {name: value for name, value in fields.items() if value != "" and described.createable(name)}
    return {"attributes": {"type": "EmailMessage"}} | written | _lists_of_ids(record)


def identifier(text: str, described: Described) -> str:
    """A Message-ID as Salesforce keeps it; look-ups ask for the same."""
    return narrow(line(text), described.length("MessageIdentifier"))


def moment(instant: datetime) -> str:
    """A time as Salesforce writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def relations(record: MailRecord) -> tuple[Relation, ...]:
    """Everything that links the record to people, each once."""
    return tuple({(person, role): (person, role, address) for person, role, address in record.links.people}.values())


def sender_relations(record: MailRecord) -> tuple[Relation, ...]:
    """What a create cannot carry in its own lists."""
    return tuple(relation for relation in relations(record) if relation[1] == SENDER)


def relation_rows(relations: Iterable[Relation]) -> tuple[Mapping[str, Any], ...]:
    """The rows of relations; the id of the mail, which may not be there yet, is for the caller to add as `EmailMessageId`."""
    return tuple(
        {
            "attributes": {"type": "EmailMessageRelation"},
            "RelationId": person,
            "RelationType": role,
            "RelationAddress": line(address),
        }
        for person, role, address in relations
    )


def _lists_of_ids(record: MailRecord) -> dict[str, list[str]]:
    linked = relations(record)
    lists = {ids: [person for person, role, _ in linked if role == plain] for _, ids, plain in LISTS}
    return {name: people for name, people in lists.items() if people}


def _unlinked(record: MailRecord, name: str, role: str, described: Described) -> str:
    linked = {address for _, one, address in record.links.people if one == role}
    addresses: tuple[Address, ...] = getattr(record, name)
    rest = [line(one.address) for one in addresses if one.address and one.address not in linked]
    return joined(list(dict.fromkeys(rest)), described.length(role))


def _sendable(sender: Address) -> str:
    """The sender's address where Salesforce takes it as one; a system's own form of it would get the whole mail refused."""
    address = line(sender.address)
    return address if _ADDRESS.fullmatch(address) else ""
