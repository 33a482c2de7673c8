"""The manners of the doors of settings: who may, which version, what a body looks like, how a refusal is told.

Rules that hold here:
- Nothing changes without the version it was made from: If-Match with the ETag of what is changed, or If-None-Match: * where
  nothing is there yet. 428 without, 412 where it is no longer so.
- A body is judged by size and shape before anything is read or written for it.
- It must never tell an asker without the role whether a layer, a profile or an entry exists, nor repeat what was sent unless it
  could be the name of a setting.
Source: RFC 9110 (13.1), RFC 6585 (428).
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import azure.functions as func

from functions.answers import Answer, Call, MailboxHandler, Problem, door
from functions.openapi import BY_NAME

#: Bytes of a body. A layer has to fit into a row three times: as it is, and before and after in its audit entry.
MAX_BODY = 128 * 1024
_SAYABLE = re.compile(r"[A-Za-z0-9_]{1,40}")
_STATUS = {"settings.forced": 409, "settings.company_only": 409}

type Stored = Mapping[str, Any]


def settings_door(bp: func.Blueprint, name: str) -> Callable[[MailboxHandler], MailboxHandler]:
    """A door that opens only to the roles of its route, and answers what the stored layers refuse."""

    def opened(handler: MailboxHandler) -> MailboxHandler:
        def guarded(call: Call) -> Answer:
            roles = BY_NAME[name].roles
            if roles and call.identity.role not in roles:
                raise Problem(403, "settings.role")
            return _refused(handler, call)

        return door(bp, name)(guarded)

    return opened


def _refused(handler: MailboxHandler, call: Call) -> Answer:
    from shared.access.profiles import LayerChanged, SettingRefused
    from shared.core.errors import RowTooLarge

    try:
        return handler(call)
    except SettingRefused as refused:
        name = refused.name if _SAYABLE.fullmatch(refused.name) else "…"
        raise Problem(_STATUS.get(refused.code, 400), refused.code, name=name) from None
    except LayerChanged as changed:
        raise Problem(412, changed.code) from None
    except RowTooLarge:
        raise Problem(413, "request.body_too_large", most=MAX_BODY // 1024) from None


def match(call: Call, version: str) -> None:
    """Raises Problem where the request does not say that it was made from `version`."""
    from shared.access.profiles import ABSENT

    given, none = call.request.headers.get("If-Match"), call.request.headers.get("If-None-Match")
    if given is None and none is None:
        raise Problem(428, "settings.version_missing")
    fits = (
        given is None
        or f'"{version}"' in [part.strip() for part in given.split(",")]
        or (given.strip() == "*" and version != ABSENT)
    )
    if not fits or (none is not None and (none.strip() != "*" or version != ABSENT)):
        raise Problem(412, "settings.changed")


def body_of(call: Call, *names: str) -> Mapping[str, Any]:
    """The request's JSON object, which has exactly these members."""
    raw = call.request.get_body()
    if len(raw) > MAX_BODY:
        raise Problem(413, "request.body_too_large", most=MAX_BODY // 1024)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise Problem(400, "request.body", place="JSON") from None
    if not isinstance(found, dict) or set(found) != set(names):
        raise Problem(400, "request.body", place=", ".join(names))
    return found


def part_of(body: Mapping[str, Any], name: str, place: str = "") -> Mapping[str, Any]:
    found = body[name]
    if not isinstance(found, dict):
        raise Problem(400, "request.body", place=place or name)
    return found


def said_in(given: Mapping[str, Any], place: str, *, nothing: bool = False) -> dict[str, Stored | None]:
    """What a layer says of each setting: {"value", "mode"}, mode written out; null where `nothing` is allowed."""
    found: dict[str, Stored | None] = {}
    for name, one in given.items():
        if one is None and nothing:
            found[name] = None
            continue
        if not isinstance(one, dict) or "value" not in one or not {"value", "mode"}.issuperset(one):
            raise Problem(400, "request.body", place=place)
        if one.get("mode", "allow") not in ("allow", "force"):
            raise Problem(400, "request.body", place="mode")
        found[name] = {"value": one["value"], "mode": one.get("mode", "allow")}
    return found


def etag(version: str) -> dict[str, str]:
    return {"ETag": f'"{version}"'}
