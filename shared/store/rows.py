"""What every store asserts of a row before it is sent: legal keys, legal sizes, one write per row, at most one transaction.

The limits are Azure Table Storage's, so that the memory store refuses what Azure would refuse. Values are JSON objects kept
as text, in pieces below the property limit. Source: Azure Table Storage data model (key characters, 64 KiB property, 1 MiB
entity, 100 writes a transaction).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from shared.core.errors import RowTooLarge
from shared.ports import MAX_COMMIT, Json, Write

_BAD_KEY = re.compile(r"[/\\#?%\x00-\x1f\x7f-\x9f]")
PIECE = 30_000  # characters; a property holds 32,768
MAX_CHARACTERS = 450_000  # below 1 MiB as UTF-16


def checked_key(key: str) -> str:
    """The key, or ValueError: a bad key is our own mistake, never a vendor's."""
    if not key or len(key) > 512 or _BAD_KEY.search(key):
        raise ValueError(f"not a legal key: {key!r}")
    return key


def encoded(key: str, value: Mapping[str, Json]) -> list[str]:
    """The value as pieces of JSON text; raises RowTooLarge."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True)
    if len(text) > MAX_CHARACTERS:
        raise RowTooLarge(key)
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def checked_writes(writes: Sequence[Write]) -> None:
    """ValueError when the transaction as a whole breaks a limit."""
    keys = [checked_key(write.key) for write in writes]
    if not 1 <= len(keys) <= MAX_COMMIT:
        raise ValueError(f"a commit takes 1 to {MAX_COMMIT} writes, not {len(keys)}")
    if len(set(keys)) != len(keys):
        raise ValueError("a commit writes each row once")
