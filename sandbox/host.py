"""The stand-in host: runs a `function_app.py` folder with http, https, timers and queues, where Core Tools is not installed.

    python -m sandbox.host --app DIR --http-port N --https-port N --authority DIR [--settings FILE] [--clock-file FILE]

Every invocation goes through Microsoft's Python runtime (`sandbox.host_runtime`); storage is what AzureWebJobsStorage
names. It prints one line `listening http=... https=...` when ready, and ends on SIGTERM after the running invocations.
It must never import the app by itself; the app must run unchanged under `func start`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.authority import Authority
from sandbox.host_http import HttpDoor
from sandbox.host_queues import QueueRules, Queues, seconds
from sandbox.host_runtime import Function, IndexingError, load
from sandbox.host_timers import HostClock, Timer

DRAIN_S = 20.0
DEFAULT_TIMEOUT = "00:30:00"  # Flex Consumption's default


def read_host_json(folder: Path) -> dict[str, Any]:
    """host.json; comments are allowed in it, as the real host allows them."""
    text = re.sub(r"^\s*//.*$", "", (folder / "host.json").read_text(), flags=re.MULTILINE)
    value = json.loads(text)
    if value.get("version") != "2.0":
        raise IndexingError('host.json must say "version": "2.0".')
    assert isinstance(value, dict)
    return value


def apply_settings(file: Path | None) -> None:
    """App settings of a local.settings.json ("Values"); what the environment has already wins."""
    if file is not None:
        for name, value in json.loads(file.read_text()).get("Values", {}).items():
            os.environ.setdefault(name, str(value))


class Host:
    """One running app."""

    def __init__(self, folder: Path, host: Mapping[str, Any], functions: list[Function], clock: HostClock) -> None:
        timeout_s = seconds(host.get("functionTimeout", DEFAULT_TIMEOUT))
        storage = os.environ.get("AzureWebJobsStorage", "")
        needs_queues = any(f.trigger["type"].lower() == "queuetrigger" or f.outputs for f in functions)
        if needs_queues and not storage:
            raise IndexingError("AzureWebJobsStorage is not set; queue triggers need it.")
        self.queues = Queues(storage, QueueRules.read(host), timeout_s=timeout_s) if storage else None
        state = Path(os.environ.get("MAILSPAN_HOST_STATE") or tempfile.mkdtemp(prefix="functions-host-"))
        state.mkdir(parents=True, exist_ok=True)
        self.timers = {
            f.name: Timer(f, state=state, now=clock.now, timeout_s=timeout_s)
            for f in functions
            if f.trigger["type"].lower() == "timertrigger"
        }
        self.listeners = [f for f in functions if f.trigger["type"].lower() == "queuetrigger"]
        prefix = host.get("extensions", {}).get("http", {}).get("routePrefix", "api")
        self.door = HttpDoor(
            functions,
            prefix=prefix,
            timeout_s=timeout_s,
            master_key=os.environ.get("MAILSPAN_HOST_KEY") or secrets.token_urlsafe(24),
            run=self.run_by_hand,
            send=self._outputs,
        )
        self._tasks: set[asyncio.Task[Any]] = set()

    async def _outputs(self, function: Function, outputs: Any) -> None:
        if self.queues is not None:
            await self.queues.outputs(function, outputs)

    async def run_by_hand(self, function: Function, given: str) -> None:
        """What POST /admin/functions/{name} does: timers and queue functions run once, in the background."""
        if function.name in self.timers:
            self.spawn(self.timers[function.name].run())
        elif self.queues is not None and function in self.listeners:
            self.spawn(self._quietly(self.queues.run(function, given.encode())))

    async def _quietly(self, work: Any) -> None:
        from sandbox.host_runtime import InvocationFailed

        with contextlib.suppress(InvocationFailed):
            await work

    def spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            print(f"host: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)

    def start(self) -> None:
        for timer in self.timers.values():
            self.spawn(timer.keep())
        for function in self.listeners:
            assert self.queues is not None
            self.spawn(self.queues.listen(function))

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self.queues is not None:
            await self.queues.drain(DRAIN_S)


async def serve(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.app).absolute()
    authority = Authority(arguments.authority)
    try:
        functions = await load(folder)
        if not functions:
            raise IndexingError(f"No functions found: {folder}/function_app.py defines none.")
        host = Host(folder, read_host_json(folder), functions, HostClock(arguments.clock_file))
    except (IndexingError, OSError, ValueError) as problem:
        print(f"The function app could not be started.\n{problem}", file=sys.stderr)
        return 1
    application = web.Application(client_max_size=100 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", host.door.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=DRAIN_S)
    await runner.setup()
    http = web.TCPSite(runner, arguments.host, arguments.http_port)
    https = web.TCPSite(runner, arguments.host, arguments.https_port, ssl_context=authority.server_context())
    await http.start()
    await https.start()
    stopping = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopping.set)
    host.start()
    plain, tls = (site._server.sockets[0].getsockname()[1] for site in (http, https))  # type: ignore[union-attr]
    print(f"listening http=http://localhost:{plain} https=https://localhost:{tls}", flush=True)
    await stopping.wait()
    await host.stop()
    await runner.cleanup()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox.host", description=__doc__.splitlines()[0])
    parser.add_argument("--app", required=True)
    parser.add_argument("--http-port", type=int, default=7070)
    parser.add_argument("--https-port", type=int, default=7071)
    parser.add_argument("--authority", required=True)
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--clock-file", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    apply_settings(arguments.settings)
    # what the app logs goes where the platform's telemetry would take it from
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    logging.getLogger("mailspan").setLevel(logging.INFO)
    return asyncio.run(serve(arguments))


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    os._exit(code)  # the runtime's thread pool would hold the process
