"""Makes `fields.json`, the table of standard Salesforce objects and fields that the stand-in obeys.

Run: `python -m sandbox.salesforce.make_fields [folder with the recorded describes]`.

Rules that hold here:
- Only facts go into the table: names, types, lengths, flags, references, picklist values. Package and custom fields of
  the recorded orgs are left out, so are the hundreds of preference flags of User.
- Objects with a recorded describe are taken from it. The others come from the field tables (name, type, filterable,
  sortable, references, picklists); what those do not say stands in the tables below: prefix, length, writability.
- A reference to an object that the stand-in does not have stays in the table (a value there is refused as a broken
  cross reference), but of the long polymorphic lists only objects we have are kept.

It must never be imported by the stand-in, and the table is never edited by hand: `test_salesforce_org` compares both.

Sources: recorded describes and field tables (see the README of the contracts); lengths and writability of the objects
without a describe: Salesforce Object Reference, pages EmailMessage, EmailMessageRelation, Task, EventRelation,
ContentVersion, ContentDocument, ContentDocumentLink, User, Campaign, Profile, Organization, PermissionSet, FieldPermissions,
PermissionSetAssignment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).parents[3] / "shared" / "contracts" / "salesforce"
TARGET = Path(__file__).parent / "fields.json"

DESCRIBED = ("Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole", "Case", "Event")
#: object -> (key prefix, label, plural label)
TABLED = {
    "Task": ("00T", "Task", "Tasks"),
    "EmailMessage": ("02s", "Email Message", "Email Messages"),
    "EmailMessageRelation": ("0CZ", "Email Message Relation", "Email Message Relations"),
    "EventRelation": ("0RE", "Event Relation", "Event Relations"),
    "ContentVersion": ("068", "Content Version", "Content Versions"),
    "ContentDocument": ("069", "Content Document", "Content Documents"),
    "ContentDocumentLink": ("06A", "Content Document Link", "Content Document Links"),
    "User": ("005", "User", "People"),
}
#: Objects that neither source has: only what references, look-ups and set-up pages need.
SMALL: dict[str, dict[str, Any]] = {
    "Campaign": {
        "prefix": "701",
        "plural": "Campaigns",
        "fields": {
            "Name": ("string", 80, "fsgcui", {}),
            "Type": ("picklist", 40, "nfsgcu", {"picklist": ["Conference", "Webinar", "Email", "Other"]}),
            "Status": ("picklist", 40, "nfsgcu", {"picklist": ["Planned", "In Progress", "Completed", "Aborted"]}),
            "IsActive": ("boolean", 0, "fsgcud", {"default": False}),
            "OwnerId": ("reference", 18, "fsgcud", {"refs": ["User"], "relationship": "Owner"}),
        },
    },
    "Group": {
        "prefix": "00G",
        "plural": "Groups",
        "fields": {
            "Name": ("string", 40, "fsgcu", {}),
            "DeveloperName": ("string", 80, "nfsgcui", {}),
            "Type": ("picklist", 40, "fsgc", {"picklist": ["Regular", "Queue", "Role", "Organization"], "restricted": 1}),
        },
    },
    "Calendar": {
        "prefix": "023",
        "plural": "Calendars",
        "fields": {
            "Name": ("string", 80, "fsg", {}),
            "UserId": ("reference", 18, "nfsg", {"refs": ["User"], "relationship": "User"}),
            "Type": ("picklist", 40, "nfsg", {"picklist": ["User", "Public", "Resource", "Holiday"], "restricted": 1}),
            "IsActive": ("boolean", 0, "fsgd", {"default": True}),
        },
    },
    "TaskRelation": {
        "prefix": "0RT",
        "label": "Task Relation",
        "plural": "Task Relations",
        "named": "",
        "fields": {
            "RelationId": (
                "reference",
                18,
                "fsgcp",
                {"refs": ["Account", "Campaign", "Case", "Contact", "Lead", "Opportunity"], "relationship": "Relation"},
            ),
            "TaskId": ("reference", 18, "fsgc", {"refs": ["Task"], "relationship": "Task"}),
            "IsWhat": ("boolean", 0, "fsgd", {"default": False}),
        },
    },
    "PermissionSet": {
        "prefix": "0PS",
        "label": "Permission Set",
        "plural": "Permission Sets",
        "fields": {
            "Name": ("string", 80, "fsgcu", {}),
            "Label": ("string", 80, "fsgcu", {}),
            "Description": ("string", 255, "nfsgcu", {}),
            "IsOwnedByProfile": ("boolean", 0, "fsgd", {"default": False}),
        },
    },
    "FieldPermissions": {
        "prefix": "01k",
        "label": "Field Permissions",
        "plural": "Field Permissions",
        "named": "",
        "system": ("Id", "SystemModstamp"),
        "fields": {
            "ParentId": ("reference", 18, "fsgc", {"refs": ["PermissionSet"], "relationship": "Parent"}),
            "SobjectType": ("picklist", 40, "fsgc", {}),
            "Field": ("picklist", 255, "fsgc", {}),
            "PermissionsRead": ("boolean", 0, "fsgcud", {"default": False}),
            "PermissionsEdit": ("boolean", 0, "fsgcud", {"default": False}),
        },
    },
    "PermissionSetAssignment": {
        "prefix": "0Pa",
        "label": "Permission Set Assignment",
        "plural": "Permission Set Assignments",
        "named": "",
        "system": ("Id", "SystemModstamp"),
        "fields": {
            "PermissionSetId": ("reference", 18, "fsgc", {"refs": ["PermissionSet"], "relationship": "PermissionSet"}),
            "AssigneeId": ("reference", 18, "fsgc", {"refs": ["User"], "relationship": "Assignee"}),
        },
    },
    "Profile": {
        "prefix": "00e",
        "plural": "Profile",
        "fields": {"Name": ("string", 255, "fsgci", {}), "UserType": ("string", 40, "nfsgc", {})},
    },
    "TaskStatus": {
        "prefix": "01T",
        "label": "Task Status Value",
        "plural": "Task Status Value",
        "named": "MasterLabel",
        "fields": {
            "MasterLabel": ("string", 255, "nfsg", {}),
            "ApiName": ("string", 255, "nfsgi", {}),
            "SortOrder": ("int", 0, "nfsg", {"number": [9, 0, 0]}),
            "IsDefault": ("boolean", 0, "fsgd", {"default": False}),
            "IsClosed": ("boolean", 0, "fsgd", {"default": False}),
        },
    },
    "Organization": {
        "prefix": "00D",
        "plural": "Organizations",
        "fields": {
            "Name": ("string", 80, "fsgc", {}),
            "InstanceName": ("string", 5, "nfsgc", {}),
            "IsSandbox": ("boolean", 0, "fsgcd", {"default": False}),
            "OrganizationType": ("picklist", 40, "nfsgc", {"picklist": ["Developer Edition", "Enterprise Edition"]}),
            "TimeZoneSidKey": ("picklist", 40, "fsgcd", {"default": "Europe/Vienna"}),
            "LanguageLocaleKey": ("picklist", 40, "fsgcd", {"default": "en_US"}),
        },
    },
}
SYSTEM_FIELDS = {
    "Id": ("id", 18, "fsgdi", {}),
    "IsDeleted": ("boolean", 0, "fsgd", {"default": False}),
    "CreatedDate": ("datetime", 0, "fsd", {}),
    "CreatedById": ("reference", 18, "fsgd", {"refs": ["User"], "relationship": "CreatedBy"}),
    "LastModifiedDate": ("datetime", 0, "fsd", {}),
    "LastModifiedById": ("reference", 18, "fsgd", {"refs": ["User"], "relationship": "LastModifiedBy"}),
    "SystemModstamp": ("datetime", 0, "fsd", {}),
}
TYPE_LENGTHS = {
    "id": 18, "reference": 18, "picklist": 40, "email": 80, "phone": 40, "url": 255,
    "string": 255, "combobox": 255, "textarea": 32000,
}  # fmt: skip
#: Lengths that differ from those of the type. MessageIdentifier, ThreadIdentifier and the bodies are switches as well.
LENGTHS = {
    "EmailMessage": {
        "TextBody": 131072, "HtmlBody": 131072, "Headers": 131072, "Subject": 3000, "FromName": 1000,
        "FromAddress": 1000, "ToAddress": 4000, "CcAddress": 4000, "BccAddress": 4000, "MessageIdentifier": 765,
        "ThreadIdentifier": 765, "ClientThreadIdentifier": 765,
    },
    "EmailMessageRelation": {"RelationAddress": 1000, "RelationObjectType": 40},
    "ContentVersion": {
        "PathOnClient": 500, "VersionNumber": 20, "Description": 1000, "ReasonForChange": 1000, "TagCsv": 2000,
        "FileType": 20, "FileExtension": 40, "Checksum": 50, "TextPreview": 255,
    },
    "ContentDocument": {"Description": 1000, "FileType": 20, "FileExtension": 40},
    "User": {"Username": 80, "LastName": 80, "FirstName": 40, "Name": 121, "Alias": 8, "CommunityNickname": 40,
             "CompanyName": 80, "Title": 80, "City": 40, "PostalCode": 20},
}  # fmt: skip
#: What a client may set at create and at update. Everything else of a tabled object is read-only.
WRITABLE = {
    "Task": (
        ("WhoId WhatId Subject ActivityDate Status Priority OwnerId Description CallDurationInSeconds CallType "
        "CallDisposition CallObject ReminderDateTime IsReminderSet RecurrenceStartDateOnly RecurrenceEndDateOnly "
        "RecurrenceTimeZoneSidKey RecurrenceType RecurrenceInterval RecurrenceDayOfWeekMask RecurrenceDayOfMonth "
        "RecurrenceInstance RecurrenceMonthOfYear RecurrenceRegeneratedType"),
        "TaskSubtype IsRecurrence",
    ),
    "EmailMessage": (
        ("TextBody HtmlBody Headers Subject FromName FromAddress ValidatedFromAddress ToAddress CcAddress BccAddress "
        "Status MessageDate IsExternallyVisible RelatedToId IsTracked EmailTemplateId AutomationType"),
        ("ParentId ActivityId Incoming ReplyToEmailMessageId MessageIdentifier ThreadIdentifier ClientThreadIdentifier "
        "IsClientManaged"),
    ),
    "EmailMessageRelation": ("", "EmailMessageId RelationId RelationType RelationAddress"),
    "EventRelation": ("Status RespondedDate Response", "RelationId EventId"),
    "ContentVersion": (
        "Title Description ReasonForChange TagCsv",
        ("ContentDocumentId PathOnClient VersionData FirstPublishLocationId Origin ContentLocation SharingOption "
        "SharingPrivacy ContentModifiedDate ContentUrl OwnerId IsMajorVersion"),
    ),
    "ContentDocument": ("Title OwnerId ParentId Description SharingOption SharingPrivacy", ""),
    "ContentDocumentLink": ("ShareType Visibility", "LinkedEntityId ContentDocumentId"),
    "User": (
        ("Username LastName FirstName CompanyName Division Department Title Street City State PostalCode Country Email "
        "Phone Fax MobilePhone Alias CommunityNickname IsActive TimeZoneSidKey LocaleSidKey EmailEncodingKey ProfileId "
        "UserRoleId LanguageLocaleKey ManagerId EmployeeNumber FederationIdentifier"),
        "",
    ),
}  # fmt: skip
#: Not nillable, but the platform fills them in.
DEFAULTED = {
    "Task": "Status Priority OwnerId IsHighPriority IsClosed IsArchived IsReminderSet IsRecurrence",
    "EmailMessage": "Incoming HasAttachment IsExternallyVisible IsClientManaged IsTracked IsOpened IsBounced Name",
    "ContentVersion": "Title Origin ContentLocation SharingOption SharingPrivacy PublishStatus IsLatest FileType "
    "IsMajorVersion IsAssetEnabled OwnerId ContentDocumentId",
    "ContentDocument": "Title OwnerId PublishStatus IsArchived IsInternalOnly",
    "User": "IsActive TimeZoneSidKey LocaleSidKey EmailEncodingKey LanguageLocaleKey UserType CommunityNickname",
}
ID_LOOKUP = {"EmailMessage": "MessageIdentifier ThreadIdentifier Name", "User": "Username Email"}
RESTRICTED = {
    "Task": "CallType RecurrenceType RecurrenceInstance RecurrenceMonthOfYear RecurrenceRegeneratedType TaskSubtype",
    "EmailMessage": "Status AutomationType",
    "EmailMessageRelation": "RelationType",
    "EventRelation": "Status",
    "ContentVersion": "Origin ContentLocation SharingOption SharingPrivacy PublishStatus",
    "ContentDocument": "SharingOption SharingPrivacy PublishStatus",
    "ContentDocumentLink": "ShareType Visibility",
}
#: A picklist longer than this (time zones) is not kept; its values are then not enforced.
LONGEST_PICKLIST = 60
USER_FIELDS_LEFT_OUT = ("UserPreferences", "UserPermissions", "EmailPreferences", "StayInTouch")
FLAGS = {
    "n": "nillable", "f": "filterable", "s": "sortable", "g": "groupable", "c": "createable", "u": "updateable",
    "d": "defaultedOnCreate", "i": "idLookup", "x": "externalId", "q": "unique", "k": "caseSensitive",
    "a": "calculated", "N": "nameField", "p": "polymorphicForeignKey",
}  # fmt: skip


def main(folder: Path, target: Path = TARGET) -> None:
    known = {*DESCRIBED, *TABLED, *SMALL}
    objects: dict[str, Any] = {}
    for name in DESCRIBED:
        objects[name] = from_describe(json.loads((folder / f"GET_sobjects_{name}_describe.json").read_text()), known)
    tables = json.loads((folder / "field-tables.json").read_text())
    for name in TABLED:
        objects[name] = from_table(name, tables[name], known)
    for name, facts in SMALL.items():
        objects[name] = from_small(name, facts)
    table = {"source": "made by make_fields.py from recorded describes and field tables", "objects": objects}
    target.write_text(_compact(table), encoding="utf-8")
    print(f"{target.name}: {len(objects)} objects, {sum(len(o['fields']) for o in objects.values())} fields")


def from_describe(answer: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """One object's row of the table from its recorded describe answer."""
    fields = {f["name"]: _described_field(f, known) for f in answer["fields"] if not f["name"].endswith("__c")}
    return {"prefix": answer["keyPrefix"], "label": answer["label"], "plural": answer["labelPlural"], "fields": fields}


def _described_field(field: dict[str, Any], known: set[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "type": field["type"],
        "length": field["length"],
        "flags": "".join(letter for letter, flag in FLAGS.items() if field[flag]),
        "label": field["label"],
        "refs": _references(field["referenceTo"], known),
        "relationship": field["relationshipName"],
        "picklist": _picklist([value["value"] for value in field["picklistValues"] if value["active"]]),
        "default": field["defaultValue"],
        "compound": field["compoundFieldName"],
    }
    row["restricted"] = int(field["restrictedPicklist"] and bool(row["picklist"]))
    if field["type"] in ("int", "double", "currency", "percent"):
        row["number"] = [field["digits"], field["precision"], field["scale"]]
    if field["type"] == "picklist":
        row["default"] = next((v["value"] for v in field["picklistValues"] if v["defaultValue"]), row["default"])
    return _without_blanks(row)


def from_table(name: str, table: list[dict[str, Any]], known: set[str]) -> dict[str, Any]:
    """One object's row from the field tables and the tables above."""
    prefix, label, plural = TABLED[name]
    fields = {f["name"]: _tabled_field(name, f, known) for f in table if not f["name"].startswith(USER_FIELDS_LEFT_OUT)}
    return {"prefix": prefix, "label": label, "plural": plural, "fields": fields}


def _tabled_field(owner: str, field: dict[str, Any], known: set[str]) -> dict[str, Any]:
    name, kind = field["name"], field["type"]
    at_update, at_create = (set(names.split()) for names in WRITABLE[owner])
    defaulted = name in SYSTEM_FIELDS or name in DEFAULTED.get(owner, "").split() or kind == "boolean"
    flags = {
        "n": field["nillable"], "f": field["filterable"], "s": field["sortable"], "g": field["groupable"],
        "c": name in at_update | at_create, "u": name in at_update, "d": defaulted,
        "i": name == "Id" or name in ID_LOOKUP.get(owner, "").split(),
        "N": name in ("Name", "Subject") and owner in ("User", "Task", "EmailMessage") and field["sortable"]
        and (owner != "EmailMessage" or name == "Name"),
        "p": len(field.get("referenceTo", ())) > 1,
    }  # fmt: skip
    row: dict[str, Any] = {
        "type": kind,
        "length": LENGTHS.get(owner, {}).get(name, TYPE_LENGTHS.get(kind, 0)),
        "flags": "".join(letter for letter, on in flags.items() if on),
        "refs": _references(field.get("referenceTo", []), known),
        "relationship": field.get("relationshipName"),
        "picklist": _picklist(field.get("picklistValues", [])),
        "default": field.get("defaultValue"),
        "restricted": int(name in RESTRICTED.get(owner, "").split()),
    }
    if kind in ("int", "double"):
        row["number"] = [9, 0, 0] if kind == "int" else [0, 18, 15]
    return _without_blanks(row)


def from_small(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    rows = {**{one: SYSTEM_FIELDS[one] for one in facts.get("system", SYSTEM_FIELDS)}, **facts["fields"]}
    fields = {
        field: _without_blanks({"type": kind, "length": length, "flags": flags, **more})
        for field, (kind, length, flags, more) in rows.items()
    }
    if named := facts.get("named", "Name"):
        fields[named]["flags"] += "N"
    return {"prefix": facts["prefix"], "label": facts.get("label", name), "plural": facts["plural"], "fields": fields}


def _references(names: list[str], known: set[str]) -> list[str]:
    kept = [name for name in names if name in known]
    return kept if len(names) > 1 and kept else names


def _picklist(values: list[str]) -> list[str]:
    return values if len(values) <= LONGEST_PICKLIST else []


def _without_blanks(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in (None, [], "") and not (value == 0 and value is not False)}


def _compact(table: dict[str, Any]) -> str:
    """JSON with one line a field: small, and a change shows as one changed line."""
    blocks = []
    for name, facts in table["objects"].items():
        head = {key: value for key, value in facts.items() if key != "fields"}
        lines = ",\n".join(f"  {json.dumps(field)}: {json.dumps(row)}" for field, row in facts["fields"].items())
        blocks.append(f' {json.dumps(name)}: {json.dumps(head)[:-1]}, "fields": {{\n{lines}}}}}')
    return f'{{"source": {json.dumps(table["source"])}, "objects": {{\n' + ",\n".join(blocks) + "}}\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CONTRACTS)
