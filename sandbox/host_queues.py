"""Queue triggers and queue outputs of the stand-in host over Azure Storage queues, with the rules of `host.json`.

Rules that hold here: at most `batchSize` messages are fetched at once and a further batch only when the running ones have
come down to `newBatchThreshold`; a message that fails stays hidden for `visibilityTimeout` and after `maxDequeueCount`
goes to `<queue>-poison`, without a further try where the process died in the last one; polling slows from 100 ms to
`maxPollingInterval` while the queue is empty; a message is leased for ten minutes and the lease renewed; when the host stops,
no more are fetched and those in hand are run to their end.
Source: Azure Functions storage queue trigger and host.json reference; azure-webjobs-sdk, `QueueProcessor`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage, QueueServiceClient

from sandbox.host_runtime import Function, InvocationFailed, Worker, brief, datum, say, setting

LEASE_S = 600


@dataclass(frozen=True)
class QueueRules:
    """`host.json` extensions.queues, with the platform's defaults. Times in seconds."""

    max_polling_s: float = 60.0
    visibility_s: int = 0
    batch_size: int = 16
    max_dequeue: int = 5
    new_batch_threshold: int = 8
    base64: bool = True

    @classmethod
    def read(cls, host: Mapping[str, Any]) -> QueueRules:
        given = host.get("extensions", {}).get("queues", {})
        batch = min(32, int(given.get("batchSize", 16)))
        return cls(
            max_polling_s=max(0.1, seconds(given.get("maxPollingInterval", "00:01:00"))),
            visibility_s=int(seconds(given.get("visibilityTimeout", "00:00:00"))),
            batch_size=batch,
            max_dequeue=int(given.get("maxDequeueCount", 5)),
            new_batch_threshold=int(given.get("newBatchThreshold", batch // 2)),
            base64=given.get("messageEncoding", "base64") == "base64",
        )


def seconds(text: str) -> float:
    days, _, clock = text.rpartition(".") if text.count(":") == 2 and "." in text.split(":")[0] else ("", "", text)
    hours, minutes, seconds = clock.split(":")
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


class Queues:
    """All queues of one storage account."""

    def __init__(self, connection: str, rules: QueueRules, worker: Worker) -> None:
        self._service = QueueServiceClient.from_connection_string(connection)
        self._rules, self._worker = rules, worker

    async def send(self, queue: str, text: bytes) -> None:
        """Puts one message, encoded as host.json says; makes the queue when it is missing."""
        content = base64.b64encode(text).decode() if self._rules.base64 else text.decode()
        client = self._service.get_queue_client(queue)
        try:
            await asyncio.to_thread(client.send_message, content)
        except ResourceNotFoundError:
            await asyncio.to_thread(self._create, queue)
            await asyncio.to_thread(client.send_message, content)

    async def outputs(self, function: Function, outputs: Any) -> None:
        """Carries out the queue output bindings of one invocation. Raises InvocationFailed where storage refuses one."""
        for name, value in outputs.items():
            queue = setting(function.outputs[name]["queueName"])
            try:
                for text in _messages(value):
                    await self.send(queue, text)
            except (AzureError, ValueError) as problem:
                say(function=function.name, outcome="output refused", queue=queue, error=brief(problem))
                raise InvocationFailed("output refused") from None

    def _create(self, queue: str) -> None:
        with contextlib.suppress(ResourceExistsError):
            self._service.create_queue(queue)

    async def listen(self, function: Function, stopping: asyncio.Event) -> None:
        """Serves one queue trigger until the host stops; what was fetched by then is still run."""
        queue = setting(function.trigger["queueName"])
        client = self._service.get_queue_client(queue)
        wait = 0.1
        own: set[asyncio.Task[None]] = set()
        while not stopping.is_set():
            if len(own) > self._rules.new_batch_threshold:
                await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
                continue
            messages = await self._fetched(queue, client)
            for message in messages:
                task = asyncio.create_task(self._handle(function, queue, client, message))
                own.add(task)
                task.add_done_callback(own.discard)
            wait = 0.1 if messages else min(wait * 1.5, self._rules.max_polling_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), 0 if messages else wait)
        await asyncio.gather(*own)

    async def _fetched(self, queue: str, client: Any) -> list[QueueMessage]:
        try:
            try:
                return await asyncio.to_thread(self._receive, client)
            except ResourceNotFoundError:
                await asyncio.to_thread(self._create, queue)
        except AzureError as problem:
            say(queue=queue, error=brief(problem), then="trying again")
        return []

    def _receive(self, client: Any) -> list[QueueMessage]:
        size = self._rules.batch_size
        return list(client.receive_messages(messages_per_page=size, max_messages=size, visibility_timeout=LEASE_S))

    async def _handle(self, function: Function, queue: str, client: Any, message: QueueMessage) -> None:
        """One message from its arrival to its end. Nobody waits for what this raises: it raises nothing."""
        renewing = asyncio.create_task(self._renew(client, message))
        try:
            well = await self._ran(function, queue, message)
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
        try:
            if well:
                await asyncio.to_thread(client.delete_message, message.id, message.pop_receipt)
            else:
                await self._failed(queue, client, message)
        except AzureError as problem:  # gone, or somebody else's by now: it comes again or it does not
            say(queue=queue, error=brief(problem), then="message left as it is")

    async def _ran(self, function: Function, queue: str, message: QueueMessage) -> bool:
        if (message.dequeue_count or 0) > self._rules.max_dequeue:  # the process died in its last try
            say(queue=queue, tries=message.dequeue_count, then="poison")
            return False
        try:
            body = base64.b64decode(message.content, validate=True) if self._rules.base64 else message.content.encode()
        except ValueError:
            say(queue=queue, error="not base64")
            return False
        try:
            await self.run(function, body, message)
        except InvocationFailed:  # said
            return False
        return True

    async def run(self, function: Function, body: bytes, message: QueueMessage | None = None) -> None:
        """Invokes a queue function with `body`, as the trigger or an admin call does."""
        given = {
            "Id": message.id if message else "admin",
            "DequeueCount": str(message.dequeue_count if message else 1),
            "PopReceipt": message.pop_receipt if message else "",
            "InsertionTime": message.inserted_on.isoformat() if message and message.inserted_on else None,
            "ExpirationTime": message.expires_on.isoformat() if message and message.expires_on else None,
            "NextVisibleTime": message.next_visible_on.isoformat() if message and message.next_visible_on else None,
        }
        metadata = {name: datum(json.dumps(value), "json") for name, value in given.items() if value is not None}
        try:
            value = datum(body.decode(), "string")
        except UnicodeDecodeError:
            value = datum(body, "bytes")
        _, outputs = await self._worker.invoke(function, [(function.trigger["name"], value)], metadata)
        await self.outputs(function, outputs)

    async def _failed(self, queue: str, client: Any, message: QueueMessage) -> None:
        if (message.dequeue_count or 0) >= self._rules.max_dequeue:
            poison = f"{queue}-poison"
            await asyncio.to_thread(self._create, poison)
            await asyncio.to_thread(self._service.get_queue_client(poison).send_message, message.content)
            await asyncio.to_thread(client.delete_message, message.id, message.pop_receipt)
            return
        await asyncio.to_thread(
            client.update_message, message.id, message.pop_receipt, visibility_timeout=self._rules.visibility_s
        )

    async def _renew(self, client: Any, message: QueueMessage) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 2)
            with contextlib.suppress(AzureError):  # the lease lasts for another try
                renewed = await asyncio.to_thread(
                    client.update_message, message.id, message.pop_receipt, visibility_timeout=LEASE_S
                )
                message.pop_receipt = renewed.pop_receipt


def _messages(value: Any) -> list[bytes]:
    """A queue output is one message or a JSON list of them."""
    content = value.value
    if value.type == "json":
        parsed = json.loads(content)
        parts = parsed if isinstance(parsed, list) else [parsed]
        return [part.encode() if isinstance(part, str) else json.dumps(part).encode() for part in parts]
    return [content if isinstance(content, bytes) else str(content).encode()]
