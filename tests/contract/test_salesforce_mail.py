"""E-mail and files of the Salesforce stand-in: EmailMessage, its relations, the Task behind it, uploads and their links."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from tests.contract.salesforce_world import Served, part

CONTENT = bytes(range(256)) + b"\r\n--boundary\r\n"
pytest_plugins = ("tests.contract.salesforce_fixtures",)


def mail(org: Served, **more: Any) -> str:
    fields = {
        "Status": "3", "Incoming": True, "Subject": "Offer", "TextBody": "Dear Anna",
        "MessageDate": "2026-11-23T10:00:00.000+0000",
        "FromAddress": "ada@x.example.com", "ToAddress": "anna@acme.example.com", "MessageIdentifier": "<m1@x.example.com>",
        "IsClientManaged": True, **more,
    }  # fmt: skip
    return org.make("EmailMessage", **fields)


def upload(org: Served, file_name: str = "offer.pdf", **fields: Any) -> str:
    entity = json.dumps({"PathOnClient": file_name, **fields})
    parts = {
        "entity_content": (None, entity, "application/json"),
        "VersionData": (file_name, CONTENT, "application/octet-stream"),
    }
    answer = org.call("POST", "/sobjects/ContentVersion", files=parts)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


# --- mail


def test_a_mail_makes_relations_and_a_completed_task(org: Served) -> None:
    account = org.make("Account", Name="Acme")
    ada = org.make("Contact", LastName="Adler", Email="ada@x.example.com", AccountId=account)
    made = mail(org, RelatedToId=account, ToIds=[org.anna], CcIds=[ada])
    relations = org.query(
        "SELECT RelationId, RelationType, RelationAddress FROM EmailMessageRelation "
        f"WHERE EmailMessageId = '{made}' ORDER BY Id"
    )
    assert [(row["RelationId"], row["RelationType"], row["RelationAddress"]) for row in relations] == [
        (org.anna, "ToAddress", "anna@acme.example.com"), (ada, "CcAddress", "ada@x.example.com"),
    ]  # fmt: skip
    task_id = org.get(f"/sobjects/EmailMessage/{made}", fields="ActivityId")["ActivityId"]
    task = org.get(f"/sobjects/Task/{task_id}")
    assert (task["TaskSubtype"], task["Status"], task["WhoId"], task["WhatId"]) == ("Email", "Completed", ada, account)
    assert (task["Subject"], task["Description"], task["ActivityDate"]) == ("Offer", "Dear Anna", "2026-11-23")


def test_a_sender_is_a_relation_of_its_own(org: Served) -> None:
    ada = org.make("Contact", LastName="Adler", Email="ada@x.example.com")
    rows = {
        "records": [
            {
                "attributes": {"type": "EmailMessageRelation"},
                "EmailMessageId": "@{mail.id}",
                "RelationId": ada,
                "RelationType": "FromAddress",
                "RelationAddress": "ada@x.example.com",
            }
        ]
    }
    fields = {"Status": "3", "Subject": "x", "IsClientManaged": True}
    results = org.composite(
        part("mail", "POST", "/sobjects/EmailMessage", fields), part("rows", "POST", "/composite/sobjects", rows)
    )
    assert results[1]["body"][0]["success"] is True
    refusal = org.refusal("POST", "/sobjects/EmailMessageRelation", json={"EmailMessageId": results[0]["body"]["id"]})
    assert refusal[:2] == (400, "REQUIRED_FIELD_MISSING")


def test_a_mail_is_found_by_its_message_id(org: Served) -> None:
    made = mail(org)
    soql = "SELECT Id FROM EmailMessage WHERE MessageIdentifier IN ('<m1@x.example.com>', '<other@x.example.com>')"
    assert [row["Id"] for row in org.query(soql)] == [made]
    assert mail(org) != made  # nothing makes it unique


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Status": "0"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Status": "5"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"RelatedToId": "003000000000001"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"ToIds": ["001000000000001"]}, "MALFORMED_ID"),
        ({"ToIds": ["003000000000001"]}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"ToIds": "003000000000001"}, "JSON_PARSER_ERROR"),
        ({"Subject": "x" * 3001}, "STRING_TOO_LONG"),
        ({"CcAddress": "x" * 4001}, "STRING_TOO_LONG"),
        ({"FromName": "x" * 1001}, "STRING_TOO_LONG"),
    ],
)
def test_a_mail_that_breaks_a_rule_is_refused_and_leaves_nothing(org: Served, fields: dict[str, Any], code: str) -> None:
    refusal = org.refusal("POST", "/sobjects/EmailMessage", json={"Status": "3", "Subject": "x", **fields})
    assert refusal[:2] == (400, code)
    assert org.query("SELECT Id FROM EmailMessage") == [] and org.query("SELECT Id FROM Task") == []


def test_an_activity_of_a_mail_is_the_clients_only_on_a_case(org: Served) -> None:
    task = org.make("Task", Subject="x")
    body = {"Status": "3", "Subject": "x", "ActivityId": task}
    assert org.refusal("POST", "/sobjects/EmailMessage", json=body)[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")
    case = org.make("Case", Subject="x")
    made = org.make("EmailMessage", **body, ParentId=case)
    row = org.get(f"/sobjects/EmailMessage/{made}", fields="ActivityId,RelatedToId")
    assert (row["ActivityId"], row["RelatedToId"]) == (task, case)


@pytest.mark.parametrize("length", [255, 765])
def test_the_length_of_a_message_id_is_a_switch(org: Served, length: int) -> None:
    org.world.switches["salesforce.message_identifier_length"] = length
    mail(org, MessageIdentifier="x" * length)
    body = {"Status": "3", "Subject": "x", "MessageIdentifier": "x" * (length + 1)}
    assert org.refusal("POST", "/sobjects/EmailMessage", json=body)[:2] == (400, "STRING_TOO_LONG")
    fields = org.get("/sobjects/EmailMessage/describe")["fields"]
    assert next(field["length"] for field in fields if field["name"] == "MessageIdentifier") == length


@pytest.mark.parametrize("length", [32_000, 131_072])
def test_the_length_of_a_body_is_a_switch(org: Served, length: int) -> None:
    org.world.switches["salesforce.mail_body_length"] = length
    mail(org, TextBody="x" * length)
    body = {"Status": "3", "Subject": "x", "HtmlBody": "x" * (length + 1)}
    assert org.refusal("POST", "/sobjects/EmailMessage", json=body)[:2] == (400, "STRING_TOO_LONG")


def test_after_the_create_only_drafts_and_client_managed_relations_change(org: Served) -> None:
    account = org.make("Account", Name="Acme")
    managed, plain = mail(org), mail(org, IsClientManaged=False)
    for made in (managed, plain):
        refusal = org.refusal("PATCH", f"/sobjects/EmailMessage/{made}", json={"Subject": "new"})
        assert refusal[:2] == (400, "INSUFFICIENT_ACCESS_OR_READONLY")
        assert org.call("PATCH", f"/sobjects/EmailMessage/{made}", json={"IsExternallyVisible": True}).status_code == 204
    assert org.call("PATCH", f"/sobjects/EmailMessage/{managed}", json={"RelatedToId": account}).status_code == 204
    assert org.call("PATCH", f"/sobjects/EmailMessage/{plain}", json={"RelatedToId": account}).status_code == 400


@pytest.mark.parametrize("remade", [False, True])
def test_whether_the_task_behind_a_mail_keeps_its_id_is_a_switch(org: Served, remade: bool) -> None:
    org.world.switches["salesforce.mail_task_remade"] = remade
    made = mail(org)
    before = org.get(f"/sobjects/EmailMessage/{made}", fields="ActivityId")["ActivityId"]
    account = org.make("Account", Name="Acme")
    org.call("PATCH", f"/sobjects/EmailMessage/{made}", json={"RelatedToId": account})
    after = org.get(f"/sobjects/EmailMessage/{made}", fields="ActivityId")["ActivityId"]
    assert (after != before) == remade
    assert org.get(f"/sobjects/Task/{after}", fields="WhatId")["WhatId"] == account


def test_a_deleted_mail_takes_its_task_and_relations_along(org: Served) -> None:
    made = mail(org, ToIds=[org.anna])
    assert org.call("DELETE", f"/sobjects/EmailMessage/{made}").status_code == 204
    assert org.query("SELECT Id FROM Task") == []
    assert org.query("SELECT Id FROM EmailMessageRelation") == []


def test_without_enhanced_email_the_org_has_no_mail_objects(org: Served) -> None:
    org.org.settings.enhanced_email = False
    assert org.refusal("GET", "/sobjects/EmailMessage/describe")[:2] == (404, "NOT_FOUND")
    assert org.refusal("POST", "/sobjects/EmailMessage", json={"Status": "3"})[:2] == (404, "NOT_FOUND")
    assert org.refusal("GET", "/query", params={"q": "SELECT Id FROM EmailMessage"})[:2] == (400, "INVALID_TYPE")
    names = {one["name"] for one in org.get("/sobjects")["sobjects"]}
    assert "Task" in names and "EmailMessage" not in names
    row = {"attributes": {"type": "EmailMessage"}, "Status": "3"}
    assert org.refusal("POST", "/composite/sobjects", json={"records": [row]})[:2] == (400, "INVALID_TYPE")


# --- files


def test_an_upload_in_two_parts_is_stored_byte_for_byte(org: Served) -> None:
    account = org.make("Account", Name="Acme")
    made = upload(org, Title="Offer", FirstPublishLocationId=account)
    row = org.get(f"/sobjects/ContentVersion/{made}")
    assert (row["Title"], row["FileExtension"], row["ContentSize"]) == ("Offer", "pdf", len(CONTENT))
    assert row["Checksum"] == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    downloaded = org.call("GET", row["VersionData"])
    assert downloaded.content == CONTENT
    links = org.query(
        f"SELECT LinkedEntityId, ShareType FROM ContentDocumentLink WHERE ContentDocumentId = '{row['ContentDocumentId']}'"
    )
    assert {(link["LinkedEntityId"], link["ShareType"]) for link in links} == {(org.anna, "I"), (account, "V")}


def test_an_upload_in_base64_is_the_same(org: Served) -> None:
    made = org.make("ContentVersion", PathOnClient="a.txt", VersionData=base64.b64encode(CONTENT).decode())
    assert org.call("GET", f"/sobjects/ContentVersion/{made}/VersionData").content == CONTENT
    bad = {"PathOnClient": "a.txt", "VersionData": "not base64!"}
    assert org.refusal("POST", "/sobjects/ContentVersion", json=bad)[:2] == (400, "JSON_PARSER_ERROR")


def test_an_upload_without_content_or_name_is_refused(org: Served) -> None:
    assert org.refusal("POST", "/sobjects/ContentVersion", json={"PathOnClient": "a"})[:2] == (400, "REQUIRED_FIELD_MISSING")
    parts = {"VersionData": ("a.bin", CONTENT, "application/octet-stream")}
    refusal = org.refusal("POST", "/sobjects/ContentVersion", files=parts)
    assert refusal[:2] == (400, "INVALID_MULTIPART_REQUEST")


def test_a_client_managed_mail_takes_files_later_and_a_finished_one_does_not(org: Served) -> None:
    managed, finished = mail(org), mail(org, IsClientManaged=False)
    upload(org, FirstPublishLocationId=managed)
    assert org.get(f"/sobjects/EmailMessage/{managed}", fields="HasAttachment")["HasAttachment"] is True
    version = upload(org)
    document = org.get(f"/sobjects/ContentVersion/{version}", fields="ContentDocumentId")["ContentDocumentId"]
    link = {"ContentDocumentId": document, "LinkedEntityId": finished, "ShareType": "V"}
    refusal = org.refusal("POST", "/sobjects/ContentDocumentLink", json=link)
    assert refusal[:2] == (400, "INSUFFICIENT_ACCESS_OR_READONLY")
    link["LinkedEntityId"] = managed
    org.make("ContentDocumentLink", **link)
    assert org.refusal("POST", "/sobjects/ContentDocumentLink", json=link)[:2] == (400, "DUPLICATE_VALUE")


def test_a_new_version_keeps_the_file(org: Served) -> None:
    first = upload(org)
    document = org.get(f"/sobjects/ContentVersion/{first}", fields="ContentDocumentId")["ContentDocumentId"]
    second = upload(org, ContentDocumentId=document)
    rows = org.query(
        f"SELECT Id, IsLatest, VersionNumber FROM ContentVersion WHERE ContentDocumentId = '{document}' ORDER BY Id"
    )
    assert [(row["Id"], row["IsLatest"], row["VersionNumber"]) for row in rows] == [(first, False, "1"), (second, True, "2")]
    latest = org.get(f"/sobjects/ContentDocument/{document}", fields="LatestPublishedVersionId")
    assert latest["LatestPublishedVersionId"] == second
