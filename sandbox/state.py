"""Everything the vendors hold, as JSON: for a search that must find every word of the sample data in it.

Rules that hold here: texts stand as people read them, beside the raw forms in which they came; bytes are shown as Latin-1, one
character a byte; nothing is left out but keys and tokens.

It must never be answered to anybody but a test on this machine: it is the content itself.
"""

from __future__ import annotations

from typing import Any

from sandbox.microsoft import Mailbox, Microsoft
from sandbox.microsoft.event import Event, Instance
from sandbox.microsoft.messages import Message
from sandbox.microsoft.mime import Address, Attachment, Content
from sandbox.salesforce import Salesforce

Json = dict[str, Any]


def state(microsoft: Microsoft, salesforce: Salesforce) -> Json:
    """{"microsoft": [mailbox, ...], "salesforce": {object: [row, ...]}}"""
    return {
        "microsoft": [_mailbox(mailbox) for mailbox in microsoft.mailboxes()],
        "salesforce": {
            kind.name: [{name: _shown(value) for name, value in row.items()} for row in salesforce.records.store.all(kind.name)]
            for kind in salesforce.records.schema
        },
    }


def _mailbox(mailbox: Mailbox) -> Json:
    return {
        "address": mailbox.address,
        "aliases": list(mailbox.aliases),
        "name": mailbox.name,
        "folders": [folder.name for folder in mailbox.folder_tree],
        "categories": list(mailbox.categories),
        "messages": [_message(mailbox, message) for folder in mailbox.folder_tree for message in mailbox.messages(folder.id)],
        "events": [_event(event) for event in mailbox.calendar.events()],
    }


def _event(event: Event) -> Json:
    """A single event, or a series with the days of it that differ."""
    changed = [{"day": day.isoformat(), **_instance(event.instance(day))} for day in sorted(event.changed)]
    return {
        **_instance(event.instance()),
        "changed": changed,
        "cancelled": [day.isoformat() for day in sorted(event.cancelled)],
    }


def _instance(one: Instance) -> Json:
    details, own = one.details, one.own
    return {
        "id": one.shown_id(True),
        "ical_uid": one.ical_uid,
        "subject": details.subject,
        "start": details.begins.isoformat(),
        "end": details.ends.isoformat(),
        "locations": [place.get("displayName", "") for place in details.locations],
        "organizer": _person(details.organizer),
        "attendees": [[*_person(attendee.person), attendee.response] for attendee in details.attendees],
        "html": details.html,
        "categories": list(own.categories),
        "properties": [list(pair) for pair in own.properties.values()],
    }


def _message(mailbox: Mailbox, message: Message) -> Json:
    return {
        "id": message.id,
        "folder": mailbox.folder(message.folder).name,
        "message_id": message.message_id,
        "categories": list(message.categories),
        "is_draft": message.is_draft,
        **_content(message.content),
    }


def _content(content: Content) -> Json:
    people = {"from": (content.author,), "to": content.to, "cc": content.cc, "bcc": content.bcc}
    return {
        "subject": content.subject,
        **{name: [_person(person) for person in listed if person] for name, listed in people.items()},
        "headers": [list(header) for header in content.headers],
        "html": content.html,
        "text": content.text,
        "attachments": [_attachment(attachment) for attachment in content.attachments],
        "raw": _shown(content.raw),
    }


def _person(person: Address) -> list[str]:
    return [person.name, person.address]


def _attachment(attachment: Attachment) -> Json:
    inner = _content(attachment.item) if attachment.item else None
    return {"name": attachment.name, "type": attachment.content_type, "content": _shown(attachment.content), "item": inner}


def _shown(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value
