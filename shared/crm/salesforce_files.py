"""Attachments as Salesforce Files: the upload's body, and names there and back.

Rules that hold here:
- An attachment is never whole in memory: the body is read from the mailbox while it is sent. Its length is known before.
- What comes from the mailbox must be as long as was said; otherwise the upload is broken off and nothing is made.
- A file is published to its record in the call that makes it. Where Salesforce does not take such a record as the first place
  (`is_no_place`; unsure of mails), it is linked in the call after, and taken back if that is refused. Who dies between the two
  leaves a file that only its user sees, and uploads it again.
- `PathOnClient` carries the name as the mail has it (it keeps the case of the extension, which the Title does not have), so
  that what was uploaded is found by name and size again. Slashes would cut a path: they travel as their wide forms.

Source: REST API Developer Guide, "Insert or Update Blob Data" (multipart, `entity_content` and `VersionData`); Object
Reference, pages ContentVersion, ContentDocument and ContentDocumentLink; RFC 7578.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from shared.core.errors import Gone, ItemError, NetworkDown, Refused
from shared.crm.salesforce_text import line, narrow
from shared.ports import Stream

TITLE, PATH = 255, 500  # lengths of ContentVersion.Title and PathOnClient
PIECE = 64 * 1024
NAMELESS = "attachment"
PLACE = "FirstPublishLocationId"
#: codes that speak of a record which another one refers to, where no field is named
_OF_REFERENCES = frozenset(
    f"refused.{code}"
    for code in (
        "field_integrity_exception",
        "malformed_id",
        "invalid_cross_reference_key",
        "insufficient_access_on_cross_reference_entity",
        "invalid_field_for_insert_update",
    )
)
_PLAIN = re.compile(r"[^A-Za-z0-9._-]")
_WIDE = str.maketrans({"/": "\uff0f", "\\": "\uff3c"})
_NARROW = str.maketrans({"\uff0f": "/", "\uff3c": "\\"})


def version_fields(name: str, record_id: str) -> dict[str, str]:
    """The ContentVersion of a new file that is linked to a record at once ("": to none). Origin H: a file, not a library's
    content."""
    path = path_of(name)
    stem = PurePosixPath(path).stem or path
    place = {PLACE: record_id} if record_id else {}
    return {"Title": narrow(stem, TITLE), "PathOnClient": path, **place, "Origin": "H"}


def is_no_place(refusal: ItemError) -> bool:
    """Whether an upload may have been refused for the record it was to be published to. A record that is gone cannot be told
    from one that is no place."""
    if isinstance(refusal, Refused) and refusal.fields:
        return PLACE in refusal.fields
    return isinstance(refusal, Gone) or refusal.code in _OF_REFERENCES


def path_of(name: str) -> str:
    """The name as a path of one step; one that is too long loses the end of its stem, not its extension."""
    whole = line(name).translate(_WIDE) or NAMELESS
    if len(whole) * 2 <= PATH:
        return whole
    suffix = narrow(PurePosixPath(whole).suffix, 40)
    return narrow(whole.removesuffix(suffix), PATH - 80) + suffix


def name_of(document: Mapping[str, Any]) -> str:
    """The file's name of a ContentDocument with its latest version, as it was uploaded."""
    version: Mapping[str, Any] = document.get("LatestPublishedVersion") or {}
    if version.get("PathOnClient"):
        return str(version["PathOnClient"]).translate(_NARROW)
    extension = document.get("FileExtension")
    return f"{document['Title']}.{extension}" if extension else str(document["Title"])


def file_of(row: Mapping[str, Any]) -> tuple[str, int]:
    """(name, bytes) of the file that a row of ContentDocumentLink leads to."""
    document = row["ContentDocument"]
    return name_of(document), int(document["ContentSize"] or 0)


def stored_name(name: str) -> str:
    """The name by which `file_of` tells a file that was uploaded under `name`."""
    fields = version_fields(name, "")
    return name_of({"Title": fields["Title"], "LatestPublishedVersion": {"PathOnClient": fields["PathOnClient"]}})


class Upload:
    """A multipart body of one JSON part and one file, read once. `len()` is what Content-Length says."""

    def __init__(self, fields: Mapping[str, str], content_type: str, stream: Stream) -> None:
        boundary = uuid.uuid4().hex
        self.content_type = f'multipart/form-data; boundary="{boundary}"'
        kind = line(content_type) if line(content_type).isascii() and "/" in content_type else "application/octet-stream"
        file_name = _PLAIN.sub("_", fields["PathOnClient"])  # a formality: PathOnClient is the name
        self._head = (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="entity_content"\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n'
            f"{json.dumps(dict(fields))}\r\n--{boundary}\r\n"
            f'Content-Disposition: form-data; name="VersionData"; filename="{file_name}"\r\nContent-Type: {kind}\r\n\r\n'
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._stream = stream
        self._pieces = self._all()
        self._rest = b""

    def __len__(self) -> int:
        return len(self._head) + self._stream.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def read(self, n: int = -1) -> bytes:
        """At most `n` bytes, b"" at the end. Raises NetworkDown where the mailbox sent too little, Refused where too much."""
        while not self._rest or n < 0:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        end = len(self._rest) if n < 0 else n
        taken, self._rest = self._rest[:end], self._rest[end:]
        return taken

    def _all(self) -> Iterator[bytes]:
        yield self._head
        left = self._stream.size
        while piece := self._stream.read(PIECE):
            left -= len(piece)
            if left < 0:
                raise Refused("refused.file_longer_than_said", ("VersionData",))
            yield piece
        if left:
            raise NetworkDown
        yield self._tail
