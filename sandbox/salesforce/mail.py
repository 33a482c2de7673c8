"""E-mail as Salesforce keeps it with Enhanced Email: EmailMessage, its relations, and the Task behind each mail.

Rules that hold here:
- A mail that is on no case has Status 3 (sent), an incoming one too. ActivityId is a client's only for mails on cases.
- ToIds, CcIds, BccIds are lists that become EmailMessageRelation rows; they are no columns.
- After the create only drafts change; of the others IsExternallyVisible and custom fields, and RelatedToId where the mail
  was created with IsClientManaged.
- The platform makes, moves and deletes the Task behind a mail; a client must not count on its id (a switch remakes it).

It must never merge two mails: MessageIdentifier is a look-up field, not a unique one.

Source: Object Reference, pages EmailMessage and EmailMessageRelation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import ids
from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.store import Row
from sandbox.salesforce.values import ParseRefused

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

#: list field -> RelationType of the rows it makes
JUNCTIONS = {"ToIds": "ToAddress", "CcIds": "CcAddress", "BccIds": "BccAddress"}
PEOPLE = {"003": "Contact", "00Q": "Lead", "005": "User"}
SENT, DRAFT = "3", "5"
ALWAYS_UPDATABLE = frozenset({"IsExternallyVisible"})
TASK_SUBJECT_LENGTH = 255
TASK_DESCRIPTION_LENGTH = 32000


def check(_records: Records, row: Row, old: Row | None) -> None:
    if row["ParentId"] is None and row["Status"] not in (SENT, None):
        raise refuse_row(
            "FIELD_INTEGRITY_EXCEPTION", "Status: an email that is not on a case can only have the status Sent", "Status"
        )
    if row["ParentId"] is None and row["ActivityId"] is not None and old is None:
        raise refuse_row("FIELD_INTEGRITY_EXCEPTION", "ActivityId: can be set only for emails on cases", "ActivityId")
    if row["ReplyToEmailMessageId"] and row["ParentId"] is None:
        raise refuse_row(
            "FIELD_INTEGRITY_EXCEPTION", "ReplyToEmailMessageId: can be set only for emails on cases", "ReplyToEmailMessageId"
        )
    if row["ParentId"] and row["RelatedToId"] is None:
        row["RelatedToId"] = row["ParentId"]
    if row["TextBody"] is None and row["HtmlBody"] is not None:
        row["TextBody"] = _plain(row["HtmlBody"])
    row["Name"] = (row["Subject"] or "")[:255]


def check_update(_records: Records, _row: Row, old: Row, changes: Row) -> None:
    if old["Status"] == DRAFT:
        return
    allowed = ALWAYS_UPDATABLE | ({"RelatedToId"} if old["IsClientManaged"] else set())
    refused = [
        name for name, value in changes.items() if name not in allowed and not name.endswith("__c") and value != old[name]
    ]
    if refused:
        raise refuse_row("INSUFFICIENT_ACCESS_OR_READONLY", f"only draft emails can be updated: {', '.join(refused)}", *refused)


def saved(records: Records, row: Row, old: Row | None, junctions: Mapping[str, Any]) -> None:
    """After the row is written: relations of the lists, and the Task behind the mail."""
    for name, relation_type in JUNCTIONS.items():
        if name in junctions:
            _replace_relations(records, row, name, relation_type, junctions[name])
    if old is None:
        if row["ActivityId"] is None:
            _make_task(records, row)
    elif old["RelatedToId"] != row["RelatedToId"] and row["ActivityId"]:
        _move_task(records, row)


def binned(records: Records, row: Row, user_id: str) -> None:
    if row["ActivityId"]:
        records.system_delete("Task", row["ActivityId"], user_id)


def check_relation(records: Records, row: Row, _old: Row | None) -> None:
    """Fills in the kind of person, and the address where only the person was named."""
    person = records.referred(row["RelationId"])
    if person is not None:
        row["RelationObjectType"] = PEOPLE[person["Id"][:3]]
        row["RelationAddress"] = row["RelationAddress"] or person["Email"]
    elif row["RelationAddress"] is None:
        raise refuse_row(
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [RelationId, RelationAddress]",
            "RelationId",
            "RelationAddress",
        )


def _replace_relations(records: Records, row: Row, name: str, relation_type: str, wanted: Any) -> None:
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise ParseRefused("JSON_PARSER_ERROR", f"Cannot deserialize instance of JunctionIdList from value of {name}")
    for relation in records.children("EmailMessageRelation", "EmailMessageId", row["Id"]):
        if relation["RelationType"] == relation_type and relation["RelationId"]:
            records.system_delete("EmailMessageRelation", relation["Id"], row["LastModifiedById"])
    for sent_id in dict.fromkeys(wanted):
        person_id = ids.canonical(sent_id)
        if person_id is None or person_id[:3] not in PEOPLE:
            raise refuse_row("MALFORMED_ID", f"{name}: id value of incorrect type: {sent_id}", name)
        if records.referred(person_id) is None:
            raise refuse_row("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", name)
        fields = {"EmailMessageId": row["Id"], "RelationId": person_id, "RelationType": relation_type, "RelationAddress": None}
        records.system_create("EmailMessageRelation", fields, row["LastModifiedById"])


def _make_task(records: Records, row: Row) -> None:
    relations = records.children("EmailMessageRelation", "EmailMessageId", row["Id"])
    people = [r["RelationId"] for r in relations if r["RelationId"] and not r["RelationId"].startswith("005")]
    who = next((person for person in people if person.startswith("003")), people[0] if people else None)
    lead = who is not None and who.startswith("00Q")
    fields = {
        "Subject": (row["Subject"] or "")[:TASK_SUBJECT_LENGTH] or None,
        "Description": (row["TextBody"] or "")[:TASK_DESCRIPTION_LENGTH] or None,
        "ActivityDate": (row["MessageDate"] or row["CreatedDate"])[:10],
        "Status": "Completed",
        "TaskSubtype": "Email",
        "WhoId": who,
        "WhatId": None if lead else row["RelatedToId"],
    }
    task = records.system_create("Task", fields, row["CreatedById"])
    records.system_update("EmailMessage", row["Id"], {"ActivityId": task["Id"]})


def _move_task(records: Records, row: Row) -> None:
    """The mail is about something else now. Whether the Task keeps its id is not promised: a switch."""
    if records.world.switches.get("salesforce.mail_task_remade", False):
        records.system_delete("Task", row["ActivityId"], row["LastModifiedById"])
        _make_task(records, row)
        return
    task = records.referred(row["ActivityId"])
    if task is not None and not (task["WhoId"] or "").startswith("00Q"):
        records.system_update("Task", task["Id"], {"WhatId": row["RelatedToId"]})


def _plain(html: str) -> str:
    """The text of an HTML body, as far as a reader of the record needs it."""
    without = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]+>", " ", html)
    return " ".join(unescape(without).split())
