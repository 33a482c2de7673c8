"""Keys that stand for what must not be stored: HMACs of addresses, Message-IDs and ids, safe as row keys everywhere.

Rules that hold here: pure; every key is a keyed hash, so that a table alone tells nothing; upper and lower case carry no
meaning (base32 in lower case), because not every place that sees a key keeps it. Source of the forms: design section 2, 5.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


def _hmac32(secret: bytes, *parts: str) -> str:
    digest = hmac.new(secret, "\x1f".join(parts).encode(), hashlib.sha256).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()


def mailbox_key(install_secret: bytes, vendor: str, address: str) -> str:
    """26 characters; computable in a webhook without storage, meaningless outside. `address` is the primary one."""
    return _hmac32(install_secret, "mailbox", vendor, address.strip().lower())[:26]


def client_state(webhook_secret: bytes, mailbox: str, generation: int) -> str:
    """What a vendor sends back with a notification to prove that it comes from our own subscription. 52 characters."""
    return _hmac32(webhook_secret, "client-state", mailbox, str(generation))


def state_matches(given: str, webhook_secrets: tuple[bytes, ...], mailbox: str, generation: int) -> bool:
    """Whether `given` is the client state under any valid secret; compared in constant time."""
    matched = False
    for secret in webhook_secrets:
        matched |= hmac.compare_digest(client_state(secret, mailbox, generation).encode(), given.encode("utf-8", "replace"))
    return matched


def item_key(secret: bytes, *parts: str) -> str:
    """A 32-character key for anything that identifies an item: a Message-ID, a vendor id, a thread root."""
    return _hmac32(secret, "item", *parts)[:32]
