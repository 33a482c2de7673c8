"""The vendor's contract: every answer of the stand-in, and every body sent to it, held to Graph's own model.

Rules that hold here: the vendor's schema is read from `../shared/contracts/graph/graph.schema.json` and is never copied into
this repository; where it is absent the checks are off and `Contract.note` says so. Types are closed: an unknown property is a
violation. Collections, delta items, error envelopes and $batch parts have small schemas here, which hold without the
vendor's file too. An answer shows all that was selected and nothing else; where nothing was selected, at least what the
vendor's own examples show. Navigation properties, which the model leaves open, are held to the types they lead to.

It must never repair an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema_rs

from sandbox.microsoft import odata

SCHEMA_FILE = Path(__file__).resolve().parents[2].parent / "shared" / "contracts" / "graph" / "graph.schema.json"

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def _closed(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


_ERROR = _closed(
    {
        "error": _closed(
            {
                "code": _TEXT,
                "message": _TEXT,
                "innerError": _closed({"date": _TEXT, "request-id": _TEXT, "client-request-id": _TEXT},
                                      ["date", "request-id", "client-request-id"]),
            },
            ["code", "message", "innerError"],
        )
    },
    ["error"],
)  # fmt: skip
_BATCH_PART = _closed(
    {"id": _TEXT, "status": {"type": "integer", "minimum": 200, "maximum": 599}, "headers": _TEXTS, "body": {}},
    ["id", "status"],
)
_WALL = _closed({"dateTime": _TEXT, "timeZone": _TEXT}, ["dateTime", "timeZone"])
_SCHEDULE_ITEM = _closed(
    {"status": {"enum": ["unknown", "free", "tentative", "busy", "oof", "workingElsewhere"]}, "start": _WALL, "end": _WALL,
     "isPrivate": {"type": "boolean"}, "subject": {"type": "string"}, "location": {"type": "string"}},
    ["status", "start", "end"],
)  # fmt: skip
_SCHEDULE = _closed(
    {
        "scheduleId": _TEXT,
        "availabilityView": {"type": "string", "pattern": "^[0-4]*$"},
        "scheduleItems": {"anyOf": [{"type": "array", "items": _SCHEDULE_ITEM}, {"type": "null"}]},
        "workingHours": {"$ref": "#/$defs/workingHours"},
        "error": _closed({"message": _TEXT, "responseCode": _TEXT}, ["message", "responseCode"]),
    },
    ["scheduleId", "availabilityView", "scheduleItems"],
)
_OWN: Mapping[str, Any] = {
    "error": _ERROR,
    "batch": _closed({"responses": {"type": "array", "items": _BATCH_PART}}, ["responses"]),
    "schedules": _closed({"@odata.context": _TEXT, "value": {"type": "array", "items": _SCHEDULE}}, ["value"]),
    "translatedIds": _closed(
        {
            "@odata.context": _TEXT,
            "value": {
                "type": "array",
                "items": _closed(
                    {
                        "sourceId": _TEXT,
                        "targetId": _TEXT,
                        "errorDetails": _closed({"code": _TEXT, "message": _TEXT}, ["code"]),
                    },
                    ["sourceId"],
                ),
            },
        },
        ["value"],
    ),
}
_REMOVED = _closed(
    {"id": _TEXT, "@removed": _closed({"reason": {"enum": ["deleted", "changed"]}}, ["reason"])}, ["id", "@removed"]
)
#: what an answer of each type carries whatever was selected
_ALWAYS: Mapping[str, tuple[str, ...]] = {
    "message": ("id", "@odata.etag"),
    "event": ("id", "@odata.etag"),
    "subscription": ("id", "resource", "changeType", "expirationDateTime", "notificationUrl"),
    "mailboxSettings": (),
    "changeNotificationCollection": ("value",),
}
#: what it carries where nothing was selected (the examples on the pages message-get, mailfolder-get, user-get, ...)
_WHOLE: Mapping[str, tuple[str, ...]] = {
    "message": (
        "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "receivedDateTime", "sentDateTime",
        "hasAttachments", "internetMessageId", "subject", "bodyPreview", "importance", "parentFolderId", "conversationId",
        "isRead", "isDraft", "webLink", "inferenceClassification", "body", "sender", "from", "toRecipients", "ccRecipients",
        "bccRecipients", "replyTo", "flag",
    ),
    "event": (
        "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "originalStartTimeZone", "originalEndTimeZone",
        "iCalUId", "reminderMinutesBeforeStart", "isReminderOn", "hasAttachments", "subject", "bodyPreview", "importance",
        "sensitivity", "isAllDay", "isCancelled", "isOrganizer", "responseRequested", "seriesMasterId", "showAs", "type",
        "webLink", "onlineMeetingUrl", "isOnlineMeeting", "onlineMeetingProvider", "allowNewTimeProposals", "isDraft",
        "hideAttendees", "responseStatus", "body", "start", "end", "location", "locations", "recurrence", "attendees",
        "organizer", "onlineMeeting",
    ),
    "calendar": (
        "name", "color", "isDefaultCalendar", "changeKey", "canShare", "canViewPrivateItems", "canEdit",
        "allowedOnlineMeetingProviders", "defaultOnlineMeetingProvider", "isTallyingResponses", "isRemovable", "owner",
    ),
    "mailFolder": ("displayName", "parentFolderId", "childFolderCount", "unreadItemCount", "totalItemCount", "isHidden"),
    "attachment": ("@odata.type", "name", "contentType", "size", "isInline", "lastModifiedDateTime"),
    "outlookCategory": ("displayName", "color"),
    "user": ("displayName", "mail", "userPrincipalName", "businessPhones"),
    "mailboxSettings": ("timeZone",),
}  # fmt: skip
#: (type, navigation property) -> what it leads to
_NAVIGATION: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("attachment", "item"): {"$ref": "#/$defs/message"},
    ("message", "attachments"): {
        "type": "array",
        "items": {"allOf": [{"$ref": "#/$defs/attachment"}, {"required": ["id", "@odata.type"]}]},
    },
    **{
        (name, "singleValueExtendedProperties"): {
            "type": "array",
            "items": {"$ref": "#/$defs/singleValueLegacyExtendedProperty"},
        }
        for name in ("message", "event")
    },
}


class Contract:
    """`kind`s: a type name, `type[]` for a collection, `type[+]` for a delta page, `raw`, or one of our own schemas."""

    def __init__(self, schema_file: Path = SCHEMA_FILE) -> None:
        self.schema_file = schema_file
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    @cached_property
    def _definitions(self) -> dict[str, Any] | None:
        if not self.schema_file.is_file():
            return None
        definitions: dict[str, Any] = json.loads(self.schema_file.read_text())["$defs"]
        for (type_name, navigation), leads_to in _NAVIGATION.items():
            definitions[type_name]["properties"][navigation] = leads_to
        return definitions

    @property
    def note(self) -> str:
        """One sentence for `GET {world}/contracts`."""
        if self._definitions is None:
            return f"Microsoft Graph: checks of types are off, because {self.schema_file} is absent."
        return f"Microsoft Graph: every answer with a body is checked against {self.schema_file.name}."

    def problems(self, kind: str, value: Any) -> list[str]:
        """A sentence per violation of a request body against a type of the model; none where the contract is absent."""
        if self._definitions is None:
            return []
        return [_sentence(error) for error in self._validator(kind).iter_errors(value)]

    def answer_problems(self, kind: str, status: int, answered: Any, query: Mapping[str, str]) -> list[str] | None:
        """A sentence per violation of an answer to `query`; None = could not be checked."""
        kind = "error" if status >= 400 else kind
        if kind == "raw":
            return []
        if kind not in _OWN and self._definitions is None:
            return None
        found = [_sentence(error) for error in self._validator(f"answer:{kind}").iter_errors(answered)]
        if status < 400:
            found += _shown_wrongly(kind, answered, query)
        return found

    def _validator(self, kind: str) -> jsonschema_rs.Validator:
        if kind not in self._validators:
            schema = {**self._schema(kind), "$defs": self._definitions or {}}
            self._validators[kind] = jsonschema_rs.validator_for(schema)
        return self._validators[kind]

    def _schema(self, kind: str) -> dict[str, Any]:
        is_answer, kind = kind.startswith("answer:"), kind.removeprefix("answer:")
        if kind in _OWN:
            return dict(_OWN[kind])
        name, _, many = kind.partition("[")
        item: dict[str, Any] = {"$ref": f"#/$defs/{name}"}
        if is_answer:
            item = {"allOf": [item, {"required": list(_ALWAYS.get(name, ("id",)))}]}
        if not many:
            return item
        one = {"if": {"required": ["@removed"]}, "then": _REMOVED, "else": item} if many == "+]" else item
        links = dict.fromkeys(("@odata.context", "@odata.nextLink", "@odata.deltaLink"), _TEXT)
        shape = _closed({**links, "@odata.count": {"type": "integer"}, "value": {"type": "array", "items": one}}, ["value"])
        if many == "+]":
            shape["oneOf"] = [{"required": ["@odata.nextLink"]}, {"required": ["@odata.deltaLink"]}]
        return shape


def _shown_wrongly(kind: str, answered: Any, query: Mapping[str, str]) -> list[str]:
    """Properties shown though neither $select nor $expand names them, and those that are wanted and not shown."""
    name, _, many = kind.partition("[")
    if not isinstance(answered, dict) or name in _OWN:
        return []
    items = [item for item in (answered.get("value", []) if many else [answered]) if "@removed" not in item]
    select = odata.parse_select(query.get("$select"))
    whole = _WHOLE.get(name, ())
    expanded = [expand.name.rpartition("/")[2] for expand in odata.parse_expand(query.get("$expand", ""))]
    wanted = whole if select is None else select if name in _EXACT else ()
    found = {f"{one} was not selected" for item in items for one in item if _is_extra(one, select, expanded)}
    for item in items:
        is_reduced = kind == "event[+]" and item.get("type") == "occurrence"
        found |= {f"{one} is missing" for one in (_REDUCED if is_reduced else wanted) if one not in item}
    for expand in odata.parse_expand(query.get("$expand", "")):
        inner = odata.parse_select(expand.options.get("$select"))
        shown = (one for item in items for one in item.get(expand.name) or () if isinstance(one, dict))
        found |= {f"{expand.name}/{one} was not selected" for thing in shown for one in thing if _is_extra(one, inner, [])}
    return sorted(found)


#: what a delta of calendarView shows at least of an unchanged occurrence (microsoft-graph-docs issues 7632 and 22197)
_REDUCED = ("id", "seriesMasterId", "type", "start", "end")
#: types without derived types: what is selected is there
_EXACT = frozenset({"message", "event", "calendar", "user", "outlookCategory"})


def _is_extra(name: str, select: tuple[str, ...] | None, expanded: list[str]) -> bool:
    return select is not None and name[0] != "@" and name != "id" and name not in select and name not in expanded


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    place = "/".join(str(step) for step in error.instance_path)
    return f"{place or 'the body'}: {error.message[:300]}"
