"""Envelope encryption: AES-256-GCM under a data key that the vault wraps; the additional data says what it is for.

A sealed value is a JSON object {v, kid, key, nonce, text}, all base64 but v and kid. It opens only with the same `purpose`
(tenant, mailbox, vendor), so a row copied elsewhere is useless. Source: NIST SP 800-38D (96-bit random nonce).
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

from shared.ports import Vault, WrappedKey


class SealBroken(Exception):
    """The value was not sealed for this purpose, or was changed."""


def seal(vault: Vault, purpose: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Seals what json.dumps takes under a fresh data key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data_key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    text = AESGCM(data_key).encrypt(nonce, json.dumps(value).encode(), _bound(purpose))
    wrapped = vault.wrap(data_key)
    return {"v": 1, "kid": wrapped.kid, "key": _b64(wrapped.wrapped), "nonce": _b64(nonce), "text": _b64(text)}


def unseal(vault: Vault, purpose: tuple[str, ...], sealed: Mapping[str, Any]) -> Any:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data_key = vault.unwrap(WrappedKey(sealed["kid"], base64.b64decode(sealed["key"])))
    try:
        nonce, text = base64.b64decode(sealed["nonce"]), base64.b64decode(sealed["text"])
        return json.loads(AESGCM(data_key).decrypt(nonce, text, _bound(purpose)))
    except InvalidTag:
        raise SealBroken from None


def _bound(purpose: tuple[str, ...]) -> bytes:
    return json.dumps(purpose).encode()


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
