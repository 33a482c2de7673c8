"""The stand-in host: runs a `function_app.py` folder with http, https, timers and queues, where Core Tools is not installed.

    python -m sandbox.host --app DIR --http-port N --https-port N --authority DIR [--settings FILE] [--clock-file FILE]

Every invocation goes through Microsoft's Python runtime (`sandbox.host_runtime`); storage is what AzureWebJobsStorage
names. It prints one line `listening http=... https=...` when ready. On SIGTERM it takes nothing new and ends when what runs has
ended, at the latest after DRAIN_S. A function over `functionTimeout` ends the worker, as on the platform: all that runs has
failed, and the process starts itself anew on the same ports.
It must never import the app by itself, nor say a body, a header or an exception's text; the app must run unchanged under
`func start`. Source: Azure Functions host.json reference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.authority import Authority
from sandbox.host_http import HttpDoor
from sandbox.host_queues import QueueRules, Queues, seconds
from sandbox.host_runtime import Function, IndexingError, InvocationFailed, Worker, brief, load, say, setting
from sandbox.host_timers import HostClock, Timer

DRAIN_S = 20.0
DEFAULT_TIMEOUT = "00:30:00"  # Flex Consumption's default
UNLIMITED = "-1"
AGAIN = -1


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


def _of_kind(functions: list[Function], kind: str) -> list[Function]:
    return [function for function in functions if function.trigger["type"].lower() == kind]


class Host:
    """One running app."""

    def __init__(self, host: Mapping[str, Any], functions: list[Function], clock: HostClock) -> None:
        timeout = host.get("functionTimeout", DEFAULT_TIMEOUT)
        self.worker = Worker(None if timeout == UNLIMITED else seconds(timeout))
        self.listeners = _of_kind(functions, "queuetrigger")
        self.queues = self._queues(host, functions)
        state = Path(os.environ["MAILSPAN_HOST_STATE"])
        state.mkdir(parents=True, exist_ok=True)
        timers = _of_kind(functions, "timertrigger")
        self.timers = {f.name: Timer(f, self.worker, state=state, now=clock.now) for f in timers}
        self.door = HttpDoor(
            functions,
            self.worker,
            prefix=host.get("extensions", {}).get("http", {}).get("routePrefix", "api"),
            master_key=os.environ["MAILSPAN_HOST_KEY"],
            run=self.run_by_hand,
            send=self._outputs,
        )
        self.stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def _queues(self, host: Mapping[str, Any], functions: list[Function]) -> Queues | None:
        bindings = [f.trigger for f in self.listeners] + [binding for f in functions for binding in f.outputs.values()]
        storage = os.environ.get("AzureWebJobsStorage", "")
        if bindings and not storage:
            raise IndexingError("AzureWebJobsStorage is not set; queue triggers need it.")
        for binding in bindings:
            setting(binding["queueName"])  # one that is not set is told now
        return Queues(storage, QueueRules.read(host), self.worker) if storage else None

    async def _outputs(self, function: Function, outputs: Any) -> None:
        if self.queues is not None:
            await self.queues.outputs(function, outputs)

    async def run_by_hand(self, function: Function, given: str) -> None:
        """What POST /admin/functions/{name} does: timers and queue functions run once, in the background."""
        if function.name in self.timers:
            self._spawn(self.timers[function.name].run())
        elif self.queues is not None and function in self.listeners:
            self._spawn(self.queues.run(function, given.encode()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None and not isinstance(problem, InvocationFailed):
            say(host="a listener ended", error=brief(problem))

    def start(self) -> None:
        for timer in self.timers.values():
            self._spawn(timer.keep(self.stopping))
        for function in self.listeners:
            assert self.queues is not None
            self._spawn(self.queues.listen(function, self.stopping))

    async def stop(self) -> None:
        """Takes nothing new and waits for what runs; what runs longer than DRAIN_S is cut off and said."""
        self.stopping.set()
        if self._tasks:
            _, cut = await asyncio.wait(self._tasks, timeout=DRAIN_S)
            if cut:
                say(host="stopped in the middle", listeners=len(cut), after_s=DRAIN_S)


async def serve(arguments: argparse.Namespace) -> int:
    """Runs the app until the end. The answer is the exit code, or AGAIN; then `arguments` name the ports to be taken again."""
    folder = Path(arguments.app).absolute()
    authority = Authority(arguments.authority)
    asyncio.get_running_loop().set_exception_handler(_unexpected)
    try:
        functions = await load(folder)
        if not functions:
            raise IndexingError(f"No functions found: {folder}/function_app.py defines none.")
        host = Host(read_host_json(folder), functions, HostClock(arguments.clock_file))
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
    ends = [asyncio.create_task(event.wait()) for event in (stopping, host.worker.ended)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(host.stop(), runner.cleanup())
    arguments.http_port, arguments.https_port = plain, tls
    return 0 if stopping.is_set() else AGAIN


def _unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio would say with the exception's text."""
    say(host="unexpected", **({"error": brief(context["exception"])} if "exception" in context else {}))


class _Wordless(logging.Formatter):
    """A record's message, and of an exception class and place: what a library raised may hold what a mail or a vendor said."""

    def format(self, record: logging.LogRecord) -> str:
        problem = record.exc_info[1] if record.exc_info else None
        return record.getMessage() + (f" ({brief(problem)})" if problem is not None else "")


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
    # for this process and for itself anew
    os.environ["MAILSPAN_HOST_KEY"] = os.environ.get("MAILSPAN_HOST_KEY") or secrets.token_urlsafe(24)
    os.environ["MAILSPAN_HOST_STATE"] = os.environ.get("MAILSPAN_HOST_STATE") or tempfile.mkdtemp(prefix="functions-host-")
    # what the app logs goes where the platform's telemetry would take it from
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Wordless())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("mailspan").setLevel(logging.INFO)
    place = Path.cwd()  # indexing goes into the app's folder
    code = asyncio.run(serve(arguments))
    if code == AGAIN:
        os.chdir(place)
        ports = ["--http-port", str(arguments.http_port), "--https-port", str(arguments.https_port)]
        os.execv(sys.executable, [*sys.orig_argv, *ports])
    return code


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    os._exit(code)  # the runtime's thread pool would hold the process
