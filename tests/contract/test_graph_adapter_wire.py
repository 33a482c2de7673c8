"""The Graph adapter on the wire: what is sent with every request, and answers that no vendor gives on purpose."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.core.errors import (
    NetworkDown,
    Unavailable,
)
from shared.core.mail import Attachment
from shared.core.scope import ERROR_MARK
from shared.mailbox.graph import GraphMailbox
from shared.ports import Bearer
from tests.contract.graph_seen import Seen
from tests.contract.microsoft_world import ADA, Json, Stand, mime

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]


# --- the wire itself


class Wire:
    """A server that answers as it is told to, for what no vendor does on purpose. `got`: the headers of each request."""

    def __init__(self, ms: Stand, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.got: list[dict[str, str]] = []
        self.answer = answer
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self.url = ms._serve(application)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append({name.lower(): value for name, value in request.headers.items()})
        return await self.answer(request)

    def current(self) -> Bearer:
        return Bearer("secret", f"{self.url}/v1.0/")

    def after(self, refused: Bearer) -> Bearer:
        return refused

    def adapter(self, seen: Seen) -> GraphMailbox:
        return GraphMailbox(seen.http, self, ADA, seen.ms.world.clock, "the-session")


FILE = Attachment("A1", "offer.pdf", "application/pdf", 10, "file", False)


async def untold(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for piece in (b"one ", b"two ", b"three"):
        await response.write(piece)
    return response


async def packed(request: web.Request) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b"one two three"), headers={"Content-Encoding": "gzip"})


async def cut_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"only this")
    assert request.transport is not None
    request.transport.close()
    return response


async def long(request: web.Request) -> web.StreamResponse:
    return web.Response(body=bytes(range(256)) * 4096)


def test_a_long_attachment_comes_in_pieces_of_any_size(ms: Stand, seen: Seen) -> None:
    whole = bytes(range(256)) * 4096
    with Wire(ms, long).adapter(seen).open("M1", FILE) as stream:
        assert stream.size == len(whole)
        pieces = [stream.read(1), stream.read(0), stream.read(200_000), stream.read(65_536), stream.read()]
        assert [len(piece) for piece in pieces] == [1, 0, 200_000, 65_536, len(whole) - 265_537]
        assert b"".join(pieces) == whole
        assert stream.read(10) == stream.read() == b""


@pytest.mark.parametrize("answer", [untold, packed])
def test_an_attachment_whose_length_is_not_told_is_read_to_learn_it(ms: Stand, seen: Seen, answer: Any) -> None:
    with Wire(ms, answer).adapter(seen).open("M1", FILE) as stream:
        assert (stream.size, stream.read(4), stream.read(), stream.read()) == (13, b"one ", b"two three", b"")


def test_an_attachment_that_breaks_off_is_never_taken_for_whole(ms: Stand, seen: Seen) -> None:
    with Wire(ms, cut_short).adapter(seen).open("M1", FILE) as stream, pytest.raises(NetworkDown):
        while stream.read(4):
            pass


def test_every_request_and_every_part_asks_for_immutable_ids_and_names_the_session(ms: Stand, seen: Seen) -> None:
    parts: list[Json] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        parts.extend((await request.json())["requests"])
        return web.json_response({"responses": []})

    wire = Wire(ms, answer)
    with pytest.raises(Unavailable):
        wire.adapter(seen).pull({}, seen.since)
    (headers,) = wire.got
    assert headers["client-request-id"] == "the-session"
    assert headers["authorization"] == "Bearer secret"
    assert 'IdType="ImmutableId"' in headers["prefer"]
    assert len(parts) == 13
    assert all('IdType="ImmutableId"' in part["headers"]["Prefer"] for part in parts)


@pytest.mark.parametrize("body", ["", "<html>down</html>", "[]", '{"responses": [7]}', '{"responses": null}'])
def test_an_answer_that_is_none_is_unavailable(ms: Stand, seen: Seen, body: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type="application/json")

    with pytest.raises(Unavailable):
        Wire(ms, answer).adapter(seen).pull({}, seen.since)


def test_a_redirect_is_not_followed(ms: Stand, seen: Seen) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{ms.hooks}/elsewhere")

    wire = Wire(ms, answer)
    with pytest.raises(Unavailable):
        wire.adapter(seen).mark("M1", add=[ERROR_MARK])
    assert len(wire.got) == 1
    assert ms.receiver.arrived == []


def test_a_machines_netrc_does_not_take_the_tokens_place(
    ms: Stand, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login someone password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    mail = ms.deliver(mime("hello"))
    assert set(seen.all()) == {mail}
