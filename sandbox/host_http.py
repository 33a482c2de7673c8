"""HTTP triggers of the stand-in host: routes, constraints, methods, keys, and the admin endpoints.

Rules that hold here: the most literal route wins; a path that matches with another method is 405 with Allow; a function
below ANONYMOUS needs the host key (header `x-functions-key` or `?code=`); headers and query parameters that are repeated arrive
as one, joined by commas. Source: Azure Functions HTTP trigger reference.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.host_runtime import Function, InvocationFailed, Worker, datum

_PART = re.compile(r"\{(?P<rest>\*{0,2})(?P<name>\w+)(?::(?P<kind>\w+))?(?P<optional>\?)?\}")
_CONSTRAINTS = {"alpha": "[A-Za-z]+", "int": "-?[0-9]+", "long": "-?[0-9]+", "bool": "(?i:true|false)",
                "guid": "[0-9a-fA-F-]{36}", "decimal": "-?[0-9.]+"}  # fmt: skip


@dataclass(frozen=True)
class Route:
    function: Function
    pattern: re.Pattern[str]
    methods: frozenset[str]
    weight: tuple[int, ...]


def route_of(function: Function, prefix: str) -> Route:
    template = function.trigger.get("route") or function.name
    segments = [segment for segment in f"{prefix}/{template}".split("/") if segment]
    pattern, weight = "", []
    for segment in segments:
        if (part := _PART.fullmatch(segment)) is None:
            pattern += "/" + re.escape(segment)
            weight.append(0)
            continue
        body = ".*" if part["rest"] else _CONSTRAINTS.get(part["kind"] or "", "[^/]+")
        group = f"/(?P<{part['name']}>{body})"
        pattern += f"(?:{group})?" if part["optional"] or part["rest"] else group
        weight.append(2 if part["rest"] else 1)
    methods = frozenset(str(getattr(m, "value", m)).upper() for m in function.trigger.get("methods") or ["GET", "POST"])
    return Route(function, re.compile(pattern + "/?"), methods, tuple(weight))


class HttpDoor:
    """Answers every request of the host."""

    def __init__(
        self,
        functions: Sequence[Function],
        worker: Worker,
        *,
        prefix: str,
        master_key: str,
        run: Callable[[Function, str], Awaitable[None]],
        send: Callable[[Function, Any], Awaitable[None]],
    ) -> None:
        self._functions = {function.name: function for function in functions}
        http = [f for f in functions if f.trigger["type"].lower() == "httptrigger"]
        self._routes = sorted((route_of(f, prefix) for f in http), key=lambda route: route.weight)
        self._worker = worker
        self._key = master_key
        self._run, self._send = run, send

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/admin/"):
            return await self._admin(request)
        fitting = [(route, m) for route in self._routes if (m := route.pattern.fullmatch(request.path))]
        if not fitting:
            return web.Response(status=404)
        for route, match in fitting:
            if request.method in route.methods or (request.method == "HEAD" and "GET" in route.methods):
                return await self._invoke(request, route.function, match)
        allow = ", ".join(sorted({method for route, _ in fitting for method in route.methods}))
        return web.Response(status=405, headers={"Allow": allow})

    def _authorised(self, request: web.Request) -> bool:
        given = request.headers.get("x-functions-key") or request.query.get("code") or ""
        return bool(self._key) and hmac.compare_digest(given.encode(), self._key.encode())

    async def _invoke(self, request: web.Request, function: Function, match: re.Match[str]) -> web.StreamResponse:
        level = str(getattr(function.trigger.get("authLevel"), "value", function.trigger.get("authLevel"))).lower()
        if level != "anonymous" and not self._authorised(request):
            return web.Response(status=401)
        value = {
            "method": datum(request.method, "string"),
            "url": datum(str(request.url), "string"),
            "headers": _joined((name.lower(), text) for name, text in request.headers.items()),
            "body": datum(await request.read(), "bytes"),
            "params": {name: datum(text, "string") for name, text in match.groupdict().items() if text is not None},
            "query": _joined(request.query.items()),
        }
        try:
            returned, outputs = await self._worker.invoke(function, [(function.trigger["name"], datum(value, "http"))], {})
            await self._send(function, outputs)
        except InvocationFailed:
            return web.Response(status=500)
        return _response(returned)

    async def _admin(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/admin/host/status":
            return web.json_response({"state": "Running"})
        if request.path == "/admin/functions":
            return web.json_response([{"name": f.name, "trigger": f.trigger["type"]} for f in self._functions.values()])
        function = self._functions.get(request.path.removeprefix("/admin/functions/"))
        if function is None:
            return web.Response(status=404)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        try:
            given = json.loads(await request.read() or b"{}").get("input", "")
        except (ValueError, AttributeError):
            return web.Response(status=400)
        await self._run(function, given if isinstance(given, str) else json.dumps(given))
        return web.Response(status=202)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Values by name; those of a name that comes more than once are joined by commas, as the host hands them on."""
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        found.setdefault(name, []).append(text)
    return {name: datum(",".join(texts), "string") for name, texts in found.items()}


def _response(returned: Any) -> web.Response:
    if returned is None or returned.value is None:
        return web.Response(status=204)
    if returned.type != "http":
        body = returned.value if isinstance(returned.value, bytes) else str(returned.value).encode()
        return web.Response(body=body)
    parts = returned.value
    response = web.Response(status=int(parts["status_code"].value), body=parts["body"].value)
    for name, header in (parts.get("headers") or {}).items():
        response.headers[name] = header.value
    for cookie in parts.get("cookies") or ():
        for morsel in cookie.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response
