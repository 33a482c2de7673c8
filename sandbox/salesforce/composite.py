"""Composite: up to 25 requests in one call, later ones using what earlier ones answered.

Rules that hold here: five queries and collections at most; `@{reference.path}` in the address or body of a part is replaced by
the earlier answer; a part whose reference has no value is halted; with allOrNone one failed part undoes all, and the others
say so; the whole answers 200 and counts as one call.

It must never run a part in another way than the same request by itself.

Source: REST API Developer Guide, "Composite", "Composite Request Body", "Composite Subrequest Result", "allOrNone Parameters in
Composite and Collections Requests".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.refused import Refused, refuse
from sandbox.salesforce.values import ParseRefused

MOST_PARTS = 25
MOST_QUERIES = 5
REFERENCE_ID = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}", re.ASCII)
STEP = re.compile(r"\.(\w+)|\[(\d+)\]", re.ASCII)
HALTED = "The transaction was rolled back since another operation in the same transaction failed."
COUNTED_TOGETHER = re.compile(r"/services/data/[^/?]+/(?:query|queryAll|composite/sobjects)(?:[/?]|$)")
#: Headers that belong to the whole and may not stand in a part.
OUTER_HEADERS = frozenset({"accept", "authorization", "content-type"})
Body = Any


def composite(call: Call) -> Answer:
    sent = call.object()
    parts = _parts(sent)
    all_or_none = sent.get("allOrNone") is True
    store = call.records.store
    savepoint = store.savepoint()
    results: list[dict[str, Any]] = []
    answered: dict[str, Body] = {}
    for part in parts:
        answer = _run(call, part, answered, all_or_none)
        answered[part["referenceId"]] = answer.body
        results.append(_result(part, answer))
        if all_or_none and _failed(answer):
            store.rollback(savepoint)
            return Answer(200, {"compositeResponse": _halted(parts, results)})
    return Answer(200, {"compositeResponse": results})


def _parts(sent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts, each with method, url and referenceId. Raises 400 for what the vendor refuses whole."""
    parts = sent.get("compositeRequest")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise ParseRefused("JSON_PARSER_ERROR", "compositeRequest must be a list of subrequests")
    for part in parts:
        missing = [name for name in ("method", "url", "referenceId") if not isinstance(part.get(name), str)]
        if missing:
            raise ParseRefused("JSON_PARSER_ERROR", f"Missing required field {missing[0]} of a composite subrequest")
        if not isinstance(part.get("httpHeaders") or {}, dict):
            raise ParseRefused("JSON_PARSER_ERROR", "httpHeaders of a composite subrequest must be an object")
        if not REFERENCE_ID.fullmatch(part["referenceId"]):
            raise refuse(
                "INVALID_INPUT",
                f"Provided referenceId ('{part['referenceId']}') must start with a letter or a number, and it can contain only "
                "letters, numbers and underscores ('_').",
            )
    names = [part["referenceId"] for part in parts]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise refuse("INVALID_INPUT", f"Duplicate referenceId specified: {double}")
    if len(parts) > MOST_PARTS:
        raise refuse("LIMIT_EXCEEDED", f"The number of subrequests in a composite request cannot exceed {MOST_PARTS}.")
    if sum(1 for part in parts if COUNTED_TOGETHER.match(part["url"])) > MOST_QUERIES:
        raise refuse(
            "LIMIT_EXCEEDED", f"A composite request cannot have more than {MOST_QUERIES} query or collection subrequests."
        )
    return parts


def _run(call: Call, part: Mapping[str, Any], answered: Mapping[str, Body], all_or_none: bool) -> Answer:
    is_collection = "/composite/sobjects" in part["url"]
    try:
        body = part.get("body")
        if not is_collection or call.org.switch("composite_collection_references", True):
            body = _filled(body, answered)
        headers = {name.lower(): str(value) for name, value in (part.get("httpHeaders") or {}).items()}
        if forbidden := sorted(OUTER_HEADERS & set(headers)):
            raise refuse("INVALID_INPUT", f"Header {forbidden[0]} is not allowed in a composite subrequest")
        return call.org.run_part(call, part["method"].upper(), _filled(part["url"], answered), headers, body, all_or_none)
    except Refused as refusal:
        return Answer(refusal.status, refusal.body())


def _filled(sent: Any, answered: Mapping[str, Body]) -> Any:
    """What was sent with every reference replaced, at any depth. Raises PROCESSING_HALTED where one has no value."""
    if isinstance(sent, dict):
        return {name: _filled(value, answered) for name, value in sent.items()}
    if isinstance(sent, list):
        return [_filled(value, answered) for value in sent]
    if not isinstance(sent, str):
        return sent
    return REFERENCE.sub(lambda match: _value(match, answered), sent)


def _value(match: re.Match[str], answered: Mapping[str, Body]) -> str:
    name, path = match[1], match[2]
    if name not in answered:
        raise refuse("PROCESSING_HALTED", f"Invalid reference specified. No subrequest with reference id {name} came before.")
    value = answered[name]
    for step in STEP.finditer(path):
        try:
            value = value[step[1]] if step[1] is not None else value[int(step[2])]
        except (KeyError, IndexError, TypeError):
            value = None
            break
    if value is None or isinstance(value, (dict, list)):
        raise refuse("PROCESSING_HALTED", f"Invalid reference specified. No value for {name}{path} found in {name}")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _failed(answer: Answer) -> bool:
    if answer.status >= 400 or answer.status == 300:
        return True
    rows = answer.body if isinstance(answer.body, list) else []
    return any(isinstance(row, dict) and row.get("success") is False for row in rows)


def _result(part: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    headers = dict(answer.headers)
    return {"body": answer.body, "httpHeaders": headers, "httpStatusCode": answer.status, "referenceId": part["referenceId"]}


def _halted(parts: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers of an undone composite: the part that failed keeps its own, every other one was halted."""
    halted = refuse("PROCESSING_HALTED", HALTED)
    answer = Answer(halted.status, halted.body())
    return [results[-1] if place == len(results) - 1 else _result(part, answer) for place, part in enumerate(parts)]
