"""The public JSON API as one table: the doors are registered from it and the OpenAPI document is made from it.

Rules that hold here:
- A route that is not in ROUTES cannot be opened (`functions.answers.door` looks it up); one that is, is in the document.
- What a client may meet is written down: every status, every problem code, every field with its type.
- Data only: nothing here reads a setting, a row or a clock.
Sources: OpenAPI 3.1.0; RFC 9457 (problem details); RFC 6750 (bearer tokens).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "1"
PREFIX = "v1"

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """`where` is path, query or header; a path parameter is always required, any other never."""

    name: str
    where: str
    schema: Schema
    text: str


@dataclass(frozen=True)
class Route:
    """One operation. `path` below /api/v1, `{*name}` takes the rest of it. `problems`: status -> codes that may come with it.
    `mailbox`: needs a product token and a connected mailbox, and may answer what every such route may. `roles`: which roles of
    the token open it, () = all. `body`: schema of the request's JSON. `etag`: tells the version of what it shows. `matched`: it
    changes something and wants to hear which version."""

    name: str
    method: str
    path: str
    text: str
    status: int
    schema: str
    mailbox: bool = True
    parameters: tuple[Parameter, ...] = ()
    problems: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    body: str = ""
    etag: bool = False
    matched: bool = False

    @property
    def template(self) -> str:
        """The route as the Functions host wants it."""
        return f"{PREFIX}/{self.path}"

    @property
    def refusals(self) -> Mapping[int, tuple[str, ...]]:
        """Every problem it may answer."""
        parts = (
            _OF_MAILBOX if self.mailbox else {},
            {403: ("settings.role",)} if self.roles else {},
            {400: ("request.body",), 413: ("request.body_too_large",)} if self.body else {},
            {412: ("settings.changed",), 428: ("settings.version_missing",)} if self.matched else {},
            self.problems,
            _OF_ALL,
        )
        found: dict[int, tuple[str, ...]] = {}
        for status, codes in (item for part in parts for item in part.items()):
            found[status] = tuple(dict.fromkeys((*found.get(status, ()), *codes)))
        return found


_OF_ALL: Mapping[int, tuple[str, ...]] = {
    500: ("store.error",),
    503: ("retry.network", "retry.storage", "retry.throttled", "settings.missing", "settings.signing_key"),
}
#: what stops whoever asks the org itself
_OF_ORG: Mapping[int, tuple[str, ...]] = {
    500: (
        "org.error", "org.api_disabled", "org.address_refused", "org.instance_refused", "org.login_refused",
        "org.consent_needed",
        *(f"org.consent_needed.{why}" for why in (
            "clock", "ip", "jwt", "jwt_key", "locked", "microsoft_app", "microsoft_tenant", "salesforce_app")),
    ),
}  # fmt: skip
_OF_MAILBOX: Mapping[int, tuple[str, ...]] = {
    401: ("token.missing", "token.expired", "token.refused"),
    404: ("mailbox.unknown",),
}

MAX_LIMIT, DEFAULT_LIMIT = 200, 50
MAX_IDEMPOTENCY_KEY = 255

_LIMIT = Parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                   "How many decisions at most.")  # fmt: skip
_NEXT = Parameter("next", "query", {"type": "string"}, "The `next` of the page before; opaque.")
_ITEM = Parameter("item", "path", {"type": "string", "minLength": 1},
                  "The mail's Message-ID, URL-encoded, with or without angle brackets; or an entry's `item`.")  # fmt: skip
_ISSUE = Parameter("issue", "path", {"type": "string", "minLength": 1}, "The `issue` of an entry; opaque.")
_REPEAT = Parameter("Idempotency-Key", "header", {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY},
                    "Names the request: sent again with the same key it is answered again and done once.")  # fmt: skip
_IF_MATCH = Parameter("If-Match", "header", {"type": "string"}, "The ETag of what is changed; a weak one never matches.")
_IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", {"type": "string", "const": "*"}, "In place of If-Match: nothing is there yet."
)
_VERSIONS = (_IF_MATCH, _IF_NONE_MATCH)
_PROFILE = Parameter("name", "path", {"type": "string", "minLength": 1}, "A profile: a-z, 0-9 and -, at most 40; not default.")
_MAILBOX = Parameter("mailbox", "path", {"type": "string", "minLength": 1}, "The key of a connected mailbox.")
_ENTRY = Parameter("id", "path", {"type": "string", "minLength": 1}, "An audit entry's `id`.")
_WHOSE = Parameter(
    "mailbox", "query", {"type": "string"}, "Changes of this mailbox's own settings; without it company and profiles."
)
_CODE = Parameter("code", "path", {"type": "string", "minLength": 1}, "A code of a problem, of health or of a decision.")

PROFILE_ADMINS, ADMINS = ("profile_admin", "admin"), ("admin",)
_REFUSED: Mapping[int, tuple[str, ...]] = {400: ("settings.unknown", "settings.range")}
_NOT_YOURS = ("settings.forced", "settings.company_only")
_NO_PROFILE: Mapping[int, tuple[str, ...]] = {404: ("settings.profile_unknown",)}

ROUTES: tuple[Route, ...] = (
    Route("me", "GET", "me", "The mailbox of the token: whose it is, where it leads, how it stands.", 200, "Me"),
    Route("me_health", "GET", "me/health", "How the mailbox stands, with times.", 200, "MailboxHealth"),
    Route("me_sync", "POST", "me/sync", "Sync now: a session begins as soon as one may.", 202, "Rung",
          parameters=(_REPEAT,), problems={400: ("request.idempotency_key",), 409: ("sync.too_soon", "sync.paused")}),
    Route("me_pause", "POST", "me/pause", "Stop automatic sync until it is resumed. Pausing twice is pausing once.", 200,
          "MailboxHealth", parameters=(_REPEAT,), problems={400: ("request.idempotency_key",)}),
    Route("me_resume", "POST", "me/resume", "End a pause and sync. Right to call where nothing is paused.", 200,
          "MailboxHealth", parameters=(_REPEAT,), problems={400: ("request.idempotency_key",)}),
    Route("me_ledger", "GET", "me/ledger", "Decisions about the mailbox's items, newest first.", 200, "Ledger",
          parameters=(_LIMIT, _NEXT), problems={400: ("request.limit", "request.next")}),
    Route("me_ledger_item", "GET", "me/ledger/{*item}", "Decisions about one item, newest first: why, or why not.", 200,
          "Ledger", parameters=(_ITEM, _LIMIT, _NEXT),
          problems={400: ("request.limit", "request.next"), 404: ("mailbox.unknown", "ledger.unknown")}),
    Route("me_issues", "GET", "me/issues", "What is held, what waits for its owner's word, deletions that were stopped.", 200,
          "Issues"),
    Route("me_issues_answer", "POST", "me/issues/{issue}", "Say what becomes of it: retry, or send or discard a change.", 202,
          "Rung", parameters=(_ISSUE,), body="IssueAnswer",
          problems={404: ("issue.unknown",), 409: ("issue.answer",)}),
    Route("me_deletions_confirm", "POST", "me/deletions", "Let the deletions of a kind on one side go that were stopped.", 202,
          "Rung", body="Deletions", problems={409: ("deletions.none",)}),
    Route("org", "GET", "org", "How records are told apart in Salesforce: by a key, or by looking them up.", 200, "Org",
          problems=_OF_ORG),
    Route("org_key_field", "POST", "org/key-field", "Make the key field and its permission set in the org, as the asker.", 200,
          "Org", roles=ADMINS, problems={**_OF_ORG, 409: ("org.key_field_refused",)}),
    Route("me_settings", "GET", "me/settings", "Every setting: what is in force for the mailbox, and by which layer.", 200,
          "MySettings", etag=True),
    Route("me_settings_change", "PATCH", "me/settings", "Change own settings; null takes an own value back.", 200, "MySettings",
          parameters=_VERSIONS, body="MyChange", etag=True, matched=True, problems={**_REFUSED, 409: _NOT_YOURS}),
    Route("settings_company", "GET", "settings/company", "The company's settings.", 200, "Layer",
          roles=PROFILE_ADMINS, etag=True),
    Route("settings_company_change", "PATCH", "settings/company", "Change the company's settings; null takes one out.", 200,
          "Layer", parameters=_VERSIONS, roles=ADMINS, body="LayerChange", etag=True, matched=True, problems=_REFUSED),
    Route("settings_profiles", "GET", "settings/profiles", "The named profiles.", 200, "Layers", roles=PROFILE_ADMINS),
    Route("settings_profile", "GET", "settings/profiles/{name}", "The settings of a named profile.", 200, "Layer",
          parameters=(_PROFILE,), roles=PROFILE_ADMINS, etag=True, problems=_NO_PROFILE),
    Route("settings_profile_change", "PATCH", "settings/profiles/{name}",
          "Change a named profile; null takes a setting out. A new one is made with If-None-Match.", 200, "Layer",
          parameters=(_PROFILE, *_VERSIONS), roles=PROFILE_ADMINS, body="LayerChange", etag=True, matched=True,
          problems={400: (*_REFUSED[400], "settings.profile_name"), 409: ("settings.forced",)}),
    Route("settings_mailbox", "GET", "settings/mailboxes/{mailbox}", "A mailbox's own settings and its profile.", 200, "Layer",
          parameters=(_MAILBOX,), roles=PROFILE_ADMINS, etag=True),
    Route("settings_mailbox_change", "PATCH", "settings/mailboxes/{mailbox}", "Give a mailbox a profile, or none.", 200,
          "Layer", parameters=(_MAILBOX, *_VERSIONS), roles=PROFILE_ADMINS, body="ProfileChoice", etag=True, matched=True,
          problems=_NO_PROFILE),
    Route("settings_audit", "GET", "settings/audit", "Who changed which settings when, newest first.", 200, "Audit",
          parameters=(_WHOSE, _LIMIT, _NEXT), roles=PROFILE_ADMINS, problems={400: ("request.limit", "request.next")}),
    Route("settings_restore", "POST", "settings/audit/{id}/restore",
          "Put the layer of an audit entry back to what it was before or after it.", 200, "Layer",
          parameters=(_ENTRY, _WHOSE, *_VERSIONS), roles=PROFILE_ADMINS, body="Restore", etag=True, matched=True,
          problems={404: ("settings.entry_unknown",), 409: _NOT_YOURS}),
    Route("settings_export", "GET", "settings/export", "The company's settings and all named profiles as one file.", 200,
          "SettingsFile", roles=ADMINS, etag=True),
    Route("settings_import", "POST", "settings/import",
          "Replace the company's settings and the profiles that the file names; all or none.", 200, "SettingsFile",
          parameters=_VERSIONS, roles=ADMINS, body="SettingsFile", etag=True, matched=True,
          problems={400: (*_REFUSED[400], "settings.profile_name")}),
    Route("health", "GET", "health", "Health of the deployment, for load balancers: no names, no values. 503 where it fails.",
          200, "Deployment", mailbox=False),
    Route("openapi", "GET", "openapi.json", "This document.", 200, "Document", mailbox=False),
    Route("problem", "GET", "problems/{code}", "What a code means: the address in `type` of a problem.", 200, "Sentence",
          mailbox=False, parameters=(_CODE,), problems={404: ("request.code",)}),
)  # fmt: skip

BY_NAME: Mapping[str, Route] = {route.name: route for route in ROUTES}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Schema = {"type": "string"}
_WHEN: Schema = {"type": ["string", "null"], "format": "date-time", "description": "RFC 3339, UTC; null where it never was."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_STATUSES = ["ok", "new", "late", "paused", "parked", "waiting", "failing"]
_STAGES = ["connecting", "active", "broken", "waiting", "parked"]

_HEALTH_FIELDS: Mapping[str, Schema] = {
    "status": {"type": "string", "enum": _STATUSES},
    "stage": {"type": "string", "enum": _STAGES},
    "health": _ref("Told"),
    "last_ok": _WHEN,
    "paused": {"type": "boolean"},
    "issues": {**_COUNT, "maximum": 1000, "description": "Items that are held; counted up to 1000."},
}
_VALUE: Schema = {"type": ["boolean", "integer", "string", "array"], "items": {"type": "string", "minLength": 1}}
_NAME_OR_NONE: Schema = {"type": ["string", "null"], "description": "A named profile; null = none."}
_STORED: Schema = _object({"value": _VALUE}, {"mode": {"type": "string", "enum": ["allow", "force"], "default": "allow"}})
_SAID: Schema = {"type": "object", "additionalProperties": _STORED, "description": "Setting -> what the layer says of it."}
_STORED_OR_NONE: Schema = {**_STORED, "type": ["object", "null"]}
_LAYER_KINDS = ["company", "profile", "user"]

#: What the routes about settings take and answer.
SETTINGS_SCHEMAS: Mapping[str, Schema] = {
    "MySettings": _object({"profile": _NAME_OR_NONE, "settings": {"type": "array", "items": _ref("Setting")}}),
    "Setting": _object(
        {
            "name": _TEXT,
            "kind": {"type": "string", "enum": ["switch", "number", "choice", "list"]},
            "value": {**_VALUE, "description": "What is in force."},
            "layer": {"type": "string", "enum": ["default", *_LAYER_KINDS], "description": "Where the value comes from."},
            "forced": {"type": "boolean", "description": "A wider layer holds it: the mailbox cannot change it."},
            "company_only": {"type": "boolean", "description": "Not for a mailbox to change, forced or not."},
            "default": _VALUE,
            "low": {"type": ["integer", "null"], "description": "Least value of a number, itself included."},
            "high": {"type": ["integer", "null"], "description": "Greatest value of a number, itself included."},
            "choices": {"type": "array", "items": _TEXT},
            "text": _TEXT,
            "seed": {**_TEXT, "description": "The name administrators know it by elsewhere, or empty."},
        }
    ),
    "MyChange": _object(
        {"settings": {"type": "object", "additionalProperties": {**_VALUE, "type": [*_VALUE["type"], "null"]}}}
    ),
    "Layer": _object(
        {"layer": {"type": "string", "enum": _LAYER_KINDS}, "name": _TEXT, "profile": _NAME_OR_NONE, "settings": _SAID}
    ),
    "LayerChange": _object({"settings": {"type": "object", "additionalProperties": _STORED_OR_NONE}}),
    "Layers": _object({"profiles": {"type": "array", "items": _ref("Layer")}}),
    "ProfileChoice": _object({"profile": _NAME_OR_NONE}),
    "AuditEntry": _object(
        {
            "id": _TEXT,
            "at": _WHEN,
            "who": {**_TEXT, "description": "The mailbox whose token changed it."},
            "role": {"type": "string", "enum": ["user", *PROFILE_ADMINS]},
            "action": {"type": "string", "enum": ["change", "assign", "restore", "import"]},
            "layer": {"type": "string", "enum": _LAYER_KINDS},
            "name": _TEXT,
            "changes": {"type": "array", "items": _ref("AuditChange")},
        }
    ),
    "AuditChange": _object({"setting": _TEXT, "before": _STORED_OR_NONE, "after": _STORED_OR_NONE}),
    "Audit": _object({"entries": {"type": "array", "items": _ref("AuditEntry")}, "next": {"type": ["string", "null"]}}),
    "Restore": _object({"to": {"type": "string", "enum": ["before", "after"]}}),
    "SettingsFile": _object(
        {"v": {"type": "integer", "const": 1}, "company": _SAID, "profiles": {"type": "object", "additionalProperties": _SAID}}
    ),
}
_API: Schema = {
    **_object({"band": _TEXT, "share": {"type": "number", "minimum": 0}, "heard": _WHEN}),
    "type": ["object", "null"],
    "description": "Salesforce's daily API calls of the org: share used (0 to 1), band, when that was heard; null = not known.",
}

SCHEMAS: Mapping[str, Schema] = {
    "Told": {**_object({"code": _TEXT, "text": _TEXT}), "description": "A stable code and its sentence."},
    "Sentence": _object({"code": _TEXT, "what": _TEXT, "data": _TEXT, "act": _TEXT}),
    "Me": _object(
        {
            "mailbox": _TEXT,
            "address": _TEXT,
            "vendor": {"type": "string", "enum": ["microsoft"]},
            "org": _TEXT,
            "user": {**_TEXT, "description": "Salesforce user name this mailbox writes as."},
            "connection": {"type": "string", "enum": ["org", "personal"]},
            "role": {"type": "string", "enum": ["user", "profile_admin", "admin"]},
            **_HEALTH_FIELDS,
            "api": _API,
        }
    ),
    "MailboxHealth": _object(
        {**_HEALTH_FIELDS, "failures": _COUNT, "activated": _WHEN, "last_tried": _WHEN, "next_try": _WHEN, "paused_at": _WHEN}
    ),
    "Rung": _object({"at": _WHEN, "code": _TEXT, "text": _TEXT}),
    "Issue": _object(
        {
            "issue": {**_TEXT, "description": "Names it in an answer; opaque."},
            "kind": _TEXT,
            "code": _TEXT,
            "text": _TEXT,
            "fields": {"type": "array", "items": _TEXT, "description": "Names of fields it is about."},
            "since": _WHEN,
            "answers": {"type": "array", "items": {"type": "string", "enum": ["retry", "send", "discard"]}},
        }
    ),
    "HeldDeletions": _object({"kind": _TEXT, "side": {"type": "string", "enum": ["mail", "crm"]}, "count": _COUNT}),
    "Issues": _object(
        {
            "issues": {"type": "array", "items": _ref("Issue"), "description": "At most 200."},
            "deletions": {"type": "array", "items": _ref("HeldDeletions")},
        }
    ),
    "Org": _object({"org": _TEXT, "mode": {"type": "string", "enum": ["key", "lookup"]}, "code": _TEXT, "text": _TEXT}),
    "IssueAnswer": _object({"answer": {"type": "string", "enum": ["retry", "send", "discard"]}}),
    "Deletions": _object({"kind": _TEXT, "side": {"type": "string", "enum": ["mail", "crm"]}}),
    "LedgerEntry": _object(
        {
            "item": {**_TEXT, "description": "A keyed hash of the item."},
            "kind": _TEXT,
            "rule": _TEXT,
            "text": _TEXT,
            "at": _WHEN,
            "session": _TEXT,
            "side": _TEXT,
            "because": {"type": "array", "items": _ref("Told"), "description": "Further rules that had a part in it."},
            "fields": {"type": "array", "items": _TEXT, "description": "Names of fields it is about."},
        }
    ),
    "Ledger": _object(
        {"entries": {"type": "array", "items": _ref("LedgerEntry")}, "next": {"type": ["string", "null"]}},
    ),
    **SETTINGS_SCHEMAS,
    "Deployment": _object(
        {"status": {"type": "string", "enum": ["ok", "failing"]}, "checks": {"type": "object", "additionalProperties": _TEXT}}
    ),
    "Document": {"type": "object"},
    "Problem": _object(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "code": _TEXT,
            "detail": _TEXT,
        },
    ),
}


def document() -> dict[str, Any]:
    """The OpenAPI document of everything in ROUTES."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault("/" + route.path.replace("{*", "{"), {})[route.method.lower()] = _operation(route)
    security = {"product": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mailspan", "version": VERSION, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": f"/api/{PREFIX}"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": security},
    }


def _operation(route: Route) -> dict[str, Any]:
    answers = {str(route.status): _answer("The answer.", route.schema, "application/json")}
    for status, codes in sorted(route.refusals.items()):
        schema = route.schema if (route.name, status) == ("health", 503) else "Problem"
        media = "application/json" if schema != "Problem" else "application/problem+json"
        answers[str(status)] = _answer(f"Codes: {', '.join(codes)}", schema, media)
    if route.etag:
        answers[str(route.status)]["headers"] = {"ETag": {"required": True, "schema": _TEXT, "description": "Opaque; strong."}}
    body = (
        {"requestBody": {"required": True, "content": {"application/json": {"schema": _ref(route.body)}}}} if route.body else {}
    )
    return {
        "operationId": route.name,
        "summary": route.text,
        "description": f"Roles: {', '.join(route.roles)}." if route.roles else "",
        **body,
        "security": [{"product": []}] if route.mailbox else [],
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "responses": answers,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    required = parameter.where == "path"
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": required,
        "schema": schema,
        "description": parameter.text,
    }


def _answer(text: str, schema: str, media: str) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": _ref(schema)}}}
