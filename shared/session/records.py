"""The rows of one mailbox's partition by name, and the rule for their age.

The rows that every ring reads stand together under "0", so that one range query gets them. Every row carries `v`;
a row with a higher one was written by newer code: the mailbox is parked (NewerRow) instead of guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.core.errors import NewerRow
from shared.ports import Json, Row

VERSION = 1

LEASE, STATE, WAKE, PAUSE = "0lease", "0state", "0wake", "0pause"
HEAD = ("0", "1")  # the range that holds them


def cursor(side: str, stream: str) -> str:
    return f"cursor_{side}_{stream}"


def link(key: str) -> str:
    return f"link_{key}"


def index(side: str, item_hash: str) -> str:
    return f"{side}_{item_hash}"


def held(item_hash: str) -> str:
    return f"held_{item_hash}"


#: The range of all rows whose key starts with a prefix that ends in "_": the backtick follows the underscore in ASCII.
def every(prefix: str) -> tuple[str, str]:
    return f"{prefix}_", f"{prefix}`"


def row(**values: Json) -> dict[str, Json]:
    """A value to store."""
    return {"v": VERSION, **values}


def read(found: Row) -> Mapping[str, Any]:
    """The value of a row this code understands; raises NewerRow."""
    if found.value.get("v", 0) > VERSION:
        raise NewerRow(found.key)
    return found.value


def text_of(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds: sorts as it lies in time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)
