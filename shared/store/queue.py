"""The Bell over an Azure Storage queue. The SDK is imported at first use; the encoding is base64, as host.json says."""

from __future__ import annotations

from typing import Any

from shared.core import ringing
from shared.core.errors import NetworkDown
from shared.ports import Ring

MAX_DELAY_S = 7 * 86400 - 60


class QueueBell:
    """Rings through the queue `sessions`. `connection`: a connection string, or an account name for identity access."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._client: Any = None

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        text = ringing.encoded(ring.mailbox, ring.why, ring.at)
        client = self._queue()
        delay = round(min(max(delay_s, 0.0), MAX_DELAY_S))
        try:
            try:
                client.send_message(text, visibility_timeout=delay)
            except ResourceNotFoundError:
                client.create_queue()
                client.send_message(text, visibility_timeout=delay)
        except AzureError:
            raise NetworkDown(code="retry.storage") from None

    def _queue(self) -> Any:
        if self._client is None:
            from azure.storage.queue import QueueClient, TextBase64EncodePolicy

            policy: Any = {"message_encode_policy": TextBase64EncodePolicy()}
            if "=" in self._connection:
                self._client = QueueClient.from_connection_string(self._connection, ringing.QUEUE, **policy)
            else:
                from azure.identity import DefaultAzureCredential

                endpoint = f"https://{self._connection}.queue.core.windows.net"
                self._client = QueueClient(endpoint, ringing.QUEUE, credential=DefaultAzureCredential(), **policy)
        return self._client
