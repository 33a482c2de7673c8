"""Vaults: they wrap data keys and never give the wrapping key away. One over a key file (local), one over Key Vault.

Only data keys pass through here (32 bytes); what they seal is `shared.access.seal`'s business.
Sources: RFC 3394 (AES key wrap); Azure Key Vault keys, wrapKey / unwrapKey.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from shared.core.errors import OrgError
from shared.ports import WrappedKey


class VaultKeyMissing(OrgError):
    """The key that wrapped this data key is gone: what it sealed cannot be read any more."""

    code = "vault.key_missing"


class FileVault:
    """AES key wrap under a 32-byte key file made at set-up; `kid` is a fingerprint of the key, not the key."""

    def __init__(self, path: Path) -> None:
        self._key = path.read_bytes()
        self._kid = "file:" + hashlib.sha256(b"mailspan vault" + self._key).hexdigest()[:16]

    def wrap(self, data_key: bytes) -> WrappedKey:
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        return WrappedKey(self._kid, aes_key_wrap(self._key, data_key))

    def unwrap(self, key: WrappedKey) -> bytes:
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

        if key.kid != self._kid:
            raise VaultKeyMissing
        try:
            return aes_key_unwrap(self._key, key.wrapped)
        except InvalidUnwrap:
            raise VaultKeyMissing from None


class KeyVault:
    """RSA-OAEP-256 under a Key Vault key; `kid` is the versioned key id, so that rotation only re-wraps."""

    def __init__(self, key_id: str, credential: Any) -> None:
        self._key_id = key_id
        self._credential = credential

    def _client(self, key_id: str) -> Any:
        from azure.keyvault.keys.crypto import CryptographyClient

        return CryptographyClient(key_id, self._credential)

    def wrap(self, data_key: bytes) -> WrappedKey:
        from azure.keyvault.keys.crypto import KeyWrapAlgorithm

        result = self._client(self._key_id).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, data_key)
        return WrappedKey(result.key_id, result.encrypted_key)

    def unwrap(self, key: WrappedKey) -> bytes:
        from azure.core.exceptions import ResourceNotFoundError
        from azure.keyvault.keys.crypto import KeyWrapAlgorithm

        try:
            result = self._client(key.kid).unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, key.wrapped)
        except ResourceNotFoundError:
            raise VaultKeyMissing from None
        return bytes(result.key)


def vault_of(setting: str) -> FileVault | KeyVault:
    """The vault that the setting names: `file:PATH`, or the address of a Key Vault key."""
    if setting.startswith("file:"):
        return FileVault(Path(setting.removeprefix("file:")))
    from azure.identity import DefaultAzureCredential

    return KeyVault(setting, DefaultAzureCredential())
