"""One function app inside Microsoft's own Python runtime (`azure-functions-runtime`): index it, invoke its functions.

Rules that hold here: the runtime is used as it ships; it asks its caller for message classes (protobuf in Azure), so plain
ones are given; invocations go through its protobuf-free entry. Its state is module-global: one app per process.
Source: azure-functions-runtime 1.3.0, `handle_event` and `native_invocation`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class IndexingError(Exception):
    """The function app could not be loaded; the text is the runtime's, with its trace."""


class InvocationFailed(Exception):
    """The function raised; the text is its trace."""


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


async def invoke(
    function: Function, inputs: Sequence[tuple[str, Any]], metadata: Mapping[str, Any], *, timeout_s: float
) -> tuple[Any, dict[str, Any]]:
    """Runs the function once. `inputs` and `metadata` are the runtime's Datum objects; answers (return datum, outputs).

    One line per invocation goes to stderr. Raises InvocationFailed, also when `timeout_s` is over.
    """
    from azure_functions_runtime.native_invocation import invocation_request_native

    began = time.monotonic()
    outcome = "failed"
    try:
        work = invocation_request_native(str(uuid.uuid4()), function.id, list(inputs), dict(metadata))
        ok, returned, outputs, _, trace = await asyncio.wait_for(work, timeout_s)
        if not ok:
            raise InvocationFailed(trace or "")
        outcome = "ok"
        return returned, dict(outputs)
    except TimeoutError:
        outcome = "timed out"
        raise InvocationFailed(f"{function.name} ran longer than functionTimeout ({timeout_s:.0f} s)") from None
    finally:
        line = {"function": function.name, "outcome": outcome, "ms": round((time.monotonic() - began) * 1000)}
        print(json.dumps(line), file=sys.stderr, flush=True)


def datum(value: Any, kind: str) -> Any:
    """The runtime's own intermediate value."""
    from azure_functions_runtime.bindings.datumdef import Datum

    return Datum(value, kind)
