"""One function app inside Microsoft's own Python runtime (`azure-functions-runtime`): index it, invoke its functions.

Rules that hold here: the runtime is used as it ships; it asks its caller for message classes (protobuf in Azure), so plain
ones are given; invocations go through its protobuf-free entry. Its state is module-global: one app per process. What the
host says are JSON lines on stderr that hold no body, header or text of an exception; what does not load is told with its trace.
Source: azure-functions-runtime 1.3.0, `handle_event` and `native_invocation`; azure-functions-host, "Worker restart on function
timeout" (pull request 5857).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: the output binding that is the function's return value
RETURN = "$return"
#: what `brief` makes: a class, perhaps a code, and a place
_BRIEF = re.compile(r"[A-Za-z_]\w*(?: \([A-Za-z_][\w.]*\))? at [\w/-]+\.py:\d+")
#: where the running invocation collects what its function raised
_raised: ContextVar[list[BaseException] | None] = ContextVar("raised", default=None)


class IndexingError(Exception):
    """The function app could not be loaded; the text is the runtime's, with its trace."""


class InvocationFailed(Exception):
    """The function did not end well, and that was said; the text is the outcome."""


class _Message:
    """Any message of the host's protocol: named values, nothing else."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class _BindingInfo(_Message):
    _in, out, inout, undefined = 0, 1, 2, 0


class _StatusResult(_Message):
    Failure, Success, Cancelled = 0, 1, 2


class _Protos:
    """Answers every message class the runtime may ask for."""

    BindingInfo = _BindingInfo
    StatusResult = _StatusResult

    def __getattr__(self, name: str) -> type[_Message]:
        return type(name, (_Message,), {})


@dataclass(frozen=True)
class Function:
    """One indexed function. `trigger` and `outputs` are its bindings as JSON objects; output names map to bindings."""

    name: str
    id: str
    trigger: Mapping[str, Any]
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def setting(text: str) -> str:
    """`%NAME%` inside a binding is that app setting, as the host resolves it."""

    def value(match: re.Match[str]) -> str:
        if (found := os.environ.get(match[1])) is None:
            raise IndexingError(f"The app setting {match[1]} is named by a binding and is not set.")
        return found

    return re.sub(r"%([^%]+)%", value, text)


async def load(folder: Path) -> list[Function]:
    """Indexes `folder/function_app.py` and answers its functions. Raises IndexingError."""
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    from azure_functions_runtime import handle_event
    from azure_functions_runtime.utils.threadpool import start_threadpool_executor

    start_threadpool_executor()
    init = SimpleNamespace(capabilities={}, function_app_directory=str(folder))
    request = SimpleNamespace(
        request=SimpleNamespace(worker_init_request=init), properties={"host": "127.0.0.1", "protos": _Protos()}
    )
    answer = await handle_event.worker_init_request(request)
    if answer.result.status != _StatusResult.Success:
        problem = answer.result.exception
        raise IndexingError(f"{problem.message}\n{problem.stack_trace}")
    return [_function(metadata) for metadata in handle_event._metadata_result or []]


def _function(metadata: Any) -> Function:
    bindings = [json.loads(text) for text in metadata.raw_bindings]
    trigger = next(binding for binding in bindings if str(binding["type"]).lower().endswith("trigger"))
    outputs = {
        b["name"]: b for b in bindings if str(b["type"]).lower() == "queue" and str(b.get("direction", "")).lower() == "out"
    }
    return Function(metadata.name, metadata.function_id, trigger, outputs)


class Worker:
    """The runtime while it serves. A function longer than `timeout_s` (None: no limit) ends the worker with all that runs in
    it, as on the platform: its thread cannot be stopped, and what it did later would be counted by nobody. Whoever made the
    worker waits for `ended` and starts the process anew."""

    def __init__(self, timeout_s: float | None) -> None:
        self.ended = asyncio.Event()
        self._timeout_s = timeout_s
        logging.getLogger("azure.functions").addFilter(_caught)

    async def invoke(
        self, function: Function, inputs: Sequence[tuple[str, Any]], metadata: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Runs the function once. `inputs` and `metadata` are the runtime's Datum objects; answers (return datum, outputs).

        One line per invocation goes to stderr, with class and place of what it raised. Raises InvocationFailed.
        """
        from azure_functions_runtime.native_invocation import invocation_request_native

        began = time.monotonic()
        caught: list[BaseException] = []
        _raised.set(caught)
        work = asyncio.create_task(
            invocation_request_native(str(uuid.uuid4()), function.id, list(inputs), dict(metadata)), name=function.name
        )
        outcome = await self.outcome(work)
        ms = round((time.monotonic() - began) * 1000)
        say(function=function.name, outcome=outcome, ms=ms, **({"error": brief(caught[-1])} if caught else {}))
        if outcome == "timed out":
            say(host="the worker ends with all that runs in it", because=f"{function.name} ran over functionTimeout")
            self.ended.set()
        if outcome != "ok":
            raise InvocationFailed(outcome)
        _, returned, outputs, _, _ = work.result()
        sent = dict(outputs)
        if RETURN in function.outputs and returned is not None:
            sent[RETURN] = returned
        return returned, sent

    async def outcome(self, work: asyncio.Task[Any]) -> str:
        """How the invocation ended: `ok`, `failed`, `timed out`, `worker ended`; after the last two nobody waits for it."""
        ended = asyncio.create_task(self.ended.wait())
        try:
            await asyncio.wait({work, ended}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if work.done():
            return "ok" if not work.cancelled() and work.exception() is None and work.result()[0] else "failed"
        work.cancel()
        return "worker ended" if self.ended.is_set() else "timed out"


def _caught(record: logging.LogRecord) -> bool:
    """Takes the runtime's own trace of a failed invocation out of the log: it holds the exception's text."""
    if record.exc_info is None or record.exc_info[1] is None or (caught := _raised.get()) is None:
        return True
    caught.append(record.exc_info[1])
    return False


def brief(problem: BaseException) -> str:
    """`CLASS at FILE:LINE` of an exception, never its text; a text that is no more than this itself stays. The place is the
    innermost one in the app's folder, where it went through it."""
    if _BRIEF.fullmatch(text := str(problem)):
        return text
    frames = traceback.extract_tb(problem.__traceback__)
    if not frames:
        return type(problem).__name__
    own = [f for f in frames if Path(f.filename).is_relative_to(Path.cwd()) and "site-packages" not in f.filename]
    frame = (own or frames)[-1]
    return f"{type(problem).__name__} at {'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"


def say(**values: object) -> None:
    """One JSON line of the host on stderr. Never bodies, headers or an exception's text."""
    print(json.dumps(values), file=sys.stderr, flush=True)


def datum(value: Any, kind: str) -> Any:
    """The runtime's own intermediate value."""
    from azure_functions_runtime.bindings.datumdef import Datum

    return Datum(value, kind)
