"""A door in front of Azurite's tables that sees every write: `written` is called after the storage did it and before the
answer goes back, which is where a process that dies leaves the most doubt."""

from __future__ import annotations

import re
from collections.abc import Callable

import aiohttp
from aiohttp import web
from yarl import URL

#: What belongs to one connection and is not passed on (RFC 9110 section 7.6.1), and what the answer gets anew.
HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length", "content-encoding"})


class TableProxy:
    """`connection(string)` is the connection string with the tables behind this door."""

    def __init__(self, target: str, written: Callable[[], None]) -> None:
        self._target, self._written = target, written
        self._client: aiohttp.ClientSession | None = None
        self.port = 0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        application.on_startup.append(self._open)
        application.on_cleanup.append(self._close)
        return application

    def connection(self, connection: str) -> str:
        return re.sub(r"TableEndpoint=http://127\.0\.0\.1:\d+", f"TableEndpoint=http://127.0.0.1:{self.port}", connection)

    async def _open(self, _: web.Application) -> None:
        self._client = aiohttp.ClientSession(auto_decompress=False)

    async def _close(self, _: web.Application) -> None:
        if self._client is not None:
            await self._client.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        assert self._client is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        url = URL(self._target + request.raw_path, encoded=True)
        sent = await request.read() or None
        added = ("Content-Type", "User-Agent", "Accept-Encoding", "Accept")  # by the client: the signature covers the first
        async with self._client.request(request.method, url, headers=headers, data=sent, skip_auto_headers=added) as answer:
            body = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP - {"content-encoding"}}
        if request.method != "GET":
            self._written()
        return web.Response(status=answer.status, headers=kept, body=body)
