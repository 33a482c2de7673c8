"""Files: a ContentVersion is the upload, a ContentDocument the file, a ContentDocumentLink where it is shown.

Rules that hold here: an upload without ContentDocumentId makes the document; the first link is to the uploading user, one
more to FirstPublishLocationId. A mail takes files after its create only if it is client-managed or a draft; whether it can be
the FirstPublishLocationId of an upload is unsure: switch `salesforce.publish_to_mail`.

It must never keep content anywhere but in its row (`VersionData`, bytes).

Source: Object Reference, pages ContentVersion, ContentDocument and ContentDocumentLink.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.mail import DRAFT
from sandbox.salesforce.refused import refuse_row
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records

PUBLISH = "salesforce.publish_to_mail"
FILE_TYPES = {
    "pdf": "PDF", "txt": "TEXT", "png": "PNG", "jpg": "JPG", "jpeg": "JPG", "gif": "GIF", "docx": "WORD_X", "doc": "WORD",
    "xlsx": "EXCEL_X", "xls": "EXCEL", "pptx": "POWER_POINT_X", "csv": "CSV", "html": "HTML", "xml": "XML", "zip": "ZIP",
    "ics": "ICS", "eml": "EML",
}  # fmt: skip


def check_version(records: Records, row: Row, old: Row | None) -> None:
    if old is not None:
        return
    missing = [name for name in ("PathOnClient", "VersionData") if row[name] is None]
    if missing:
        raise refuse_row("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)
    name = PurePosixPath(row["PathOnClient"].replace("\\", "/")).name
    extension = PurePosixPath(name).suffix.lstrip(".").lower()
    content: bytes = row["VersionData"]
    row |= {
        "Title": row["Title"] or PurePosixPath(name).stem or name,
        "FileExtension": extension or None,
        "FileType": FILE_TYPES.get(extension, "UNKNOWN"),
        "ContentSize": len(content),
        "Checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "IsLatest": True,
        "IsMajorVersion": True,
        "ContentModifiedDate": row["CreatedDate"],
        "ContentModifiedById": row["CreatedById"],
        "VersionDataUrl": f"/sfc/servlet.shepherd/version/download/{row['Id']}",
    }
    if (row["FirstPublishLocationId"] or "").startswith("02s") and not records.world.switches.get(PUBLISH, True):
        raise refuse_row(
            "FIELD_INTEGRITY_EXCEPTION", "First Publish Location ID: id value of incorrect type", "FirstPublishLocationId"
        )
    if row["ContentDocumentId"] is None:
        row["VersionNumber"] = "1"
        row["ContentDocumentId"] = records.system_create("ContentDocument", _document_of(row), row["CreatedById"])["Id"]
        return
    if row["FirstPublishLocationId"]:
        raise refuse_row(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "FirstPublishLocationId: cannot be set for a new version of a file",
            "FirstPublishLocationId",
        )
    earlier = records.children("ContentVersion", "ContentDocumentId", row["ContentDocumentId"])
    row["VersionNumber"] = str(len(earlier) + 1)
    for version in earlier:
        if version["IsLatest"]:
            records.system_update("ContentVersion", version["Id"], {"IsLatest": False})


def version_saved(records: Records, row: Row, old: Row | None, _junctions: Mapping[str, Any]) -> None:
    document_id = row["ContentDocumentId"]
    records.system_update("ContentDocument", document_id, _document_of(row))
    if old is not None or row["VersionNumber"] != "1":
        return
    places = [(row["CreatedById"], "I")]
    if row["FirstPublishLocationId"] and row["FirstPublishLocationId"] != row["CreatedById"]:
        places.append((row["FirstPublishLocationId"], "V"))
    for place, share_type in places:
        fields = {"ContentDocumentId": document_id, "LinkedEntityId": place, "ShareType": share_type, "Visibility": "AllUsers"}
        link = records.system_create("ContentDocumentLink", fields, row["CreatedById"])
        link_saved(records, link, None, {})


def check_link(records: Records, row: Row, old: Row | None) -> None:
    if old is not None or row["ContentDocumentId"] is None or row["LinkedEntityId"] is None:
        return
    row["ShareType"] = row["ShareType"] or "V"
    row["Visibility"] = row["Visibility"] or "AllUsers"
    _refuse_files_on_finished_mail(records, row["LinkedEntityId"])
    for link in records.children("ContentDocumentLink", "ContentDocumentId", row["ContentDocumentId"]):
        if link["LinkedEntityId"] == row["LinkedEntityId"] and link["Id"] != row["Id"]:
            raise refuse_row(
                "DUPLICATE_VALUE",
                f"Document with ID: {row['ContentDocumentId']} is already linked with the entity with ID: "
                f"{row['LinkedEntityId']}",
                "LinkedEntityId",
            )


def link_saved(records: Records, row: Row, old: Row | None, _junctions: Mapping[str, Any]) -> None:
    if old is None and row["LinkedEntityId"].startswith("02s"):
        records.system_update("EmailMessage", row["LinkedEntityId"], {"HasAttachment": True})


def link_binned(records: Records, row: Row, _user_id: str) -> None:
    mail_id = row["LinkedEntityId"]
    if (
        mail_id.startswith("02s")
        and records.referred(mail_id)
        and not records.children("ContentDocumentLink", "LinkedEntityId", mail_id)
    ):
        records.system_update("EmailMessage", mail_id, {"HasAttachment": False})


def _refuse_files_on_finished_mail(records: Records, target_id: str) -> None:
    mail = records.referred(target_id) if target_id.startswith("02s") else None
    if mail is not None and mail["Status"] != DRAFT and not mail["IsClientManaged"]:
        raise refuse_row(
            "INSUFFICIENT_ACCESS_OR_READONLY", "files can be added only to draft or client-managed emails", "LinkedEntityId"
        )


def _document_of(row: Row) -> Row:
    return {name: row[name] for name in ("Title", "FileType", "FileExtension", "ContentSize", "ContentModifiedDate")} | {
        "LatestPublishedVersionId": row["Id"],
        "OwnerId": row["OwnerId"],
    }
