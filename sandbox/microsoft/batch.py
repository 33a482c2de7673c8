"""`POST /$batch`: up to 20 calls in one body.

Rules that hold here: the batch answers 200 even when parts fail; parts are answered in no particular order; each part is
counted, throttled and faulted under its own template, as the vendor throttles; a part whose dependency failed is 424.
Source: learn.microsoft.com/graph/json-batching.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.represent import Json

MAX_PARTS = 20
KNOWN = frozenset({"id", "method", "url", "headers", "body", "dependsOn"})


async def run_batch(call: Call) -> Answer:
    parts = call.body.get("requests")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise refusal("batch_part", why="'requests' must be a list of requests.")
    if len(parts) > MAX_PARTS:
        raise refusal("batch_too_many")
    for name in {name for part in parts for name in part if name not in KNOWN}:
        raise refusal("batch_part", why=f"'{name}' is no property of a request.")
    ids = [part.get("id") for part in parts]
    if not all(isinstance(one, str) and one for one in ids) or len({one.lower() for one in ids}) != len(ids):
        raise refusal("batch_ids")
    answers: dict[str, Json] = {}
    for part in _in_order(parts):
        answers[part["id"]] = await _run(call, part, answers)
    responses = list(answers.values())
    call.microsoft.world.random.shuffle(responses)
    return Answer(body={"responses": responses})


def _in_order(parts: list[Json]) -> list[Json]:
    """Parts behind what they depend on. Raises GraphError 400 where that names nothing or runs in a circle."""
    waiting, done, ordered = list(parts), set[str](), list[Json]()
    while waiting:
        ready = [part for part in waiting if done.issuperset(part.get("dependsOn") or ())]
        if not ready:
            raise refusal("batch_part", why="'dependsOn' names no request of this batch, or runs in a circle.")
        ordered += ready
        done.update(part["id"] for part in ready)
        waiting = [part for part in waiting if part["id"] not in done]
    return ordered


async def _run(call: Call, part: Json, answers: Mapping[str, Json]) -> Json:
    microsoft = call.microsoft
    if any(answers[one]["status"] >= 400 for one in part.get("dependsOn") or ()):
        return _part(part["id"], microsoft.refused(refusal("batch_depends"), call.headers))
    method, url = part.get("method"), part.get("url")
    if not isinstance(method, str) or not isinstance(url, str) or "://" in url.partition("?")[0]:
        raise refusal("batch_part", why="Each request needs 'method' and a relative 'url'.")
    headers = {str(name).lower(): str(value) for name, value in (part.get("headers") or {}).items()}
    payload = b""
    if (body := part.get("body")) is not None:
        if "content-type" not in headers:
            raise refusal("batch_part", why="A request with a body needs the header Content-Type.")
        payload = json.dumps(body).encode() if headers["content-type"].startswith("application/json") else str(body).encode()
    inherited = {name: call.headers[name] for name in ("authorization", "client-request-id") if name in call.headers}
    return _part(
        part["id"], await microsoft.run_part(method.upper(), f"/{url.removeprefix('/')}", {**inherited, **headers}, payload)
    )


def _part(part_id: str, answer: Answer) -> Json:
    shown: Json = {"id": part_id, "status": answer.status, "headers": dict(answer.headers)}
    body: Any = answer.body
    if body is not None:
        shown["headers"]["Content-Type"] = answer.content_type
        shown["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return shown
