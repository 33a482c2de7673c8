"""The form of a ring on its way through the queue: {v, mailbox, why, at} as JSON text; never data of an item."""

from __future__ import annotations

import json
from datetime import datetime

QUEUE = "sessions"
VERSION = 1
REASONS = ("push", "poll", "sweep", "user", "self", "wake", "renew")


class NotARing(Exception):
    """A message in the sessions queue that is none of ours, or newer than this code."""


def encoded(mailbox: str, why: str, at: datetime) -> str:
    return json.dumps({"v": VERSION, "mailbox": mailbox, "why": why, "at": at.isoformat()}, separators=(",", ":"))


def decoded(text: str) -> tuple[str, str, datetime]:
    """(mailbox, why, at). Raises NotARing."""
    try:
        given = json.loads(text)
        if given["v"] > VERSION or given["why"] not in REASONS or not isinstance(given["mailbox"], str):
            raise NotARing
        return given["mailbox"], given["why"], datetime.fromisoformat(given["at"])
    except (ValueError, KeyError, TypeError):
        raise NotARing from None
