"""Named faults of single Graph calls, alone or as a part of a $batch, in the vendor's own words.

Rules that hold here: `World.fault("microsoft", kind)` is asked with "METHOD template" of the call; every kind of the tables
strikes before anything is done, `lost` after it was done. `detail` of a rule is the number of seconds in Retry-After.
The frame's own kinds (`status`, `drop_before`, `drop_after`) work beside these.
Sources: learn.microsoft.com/graph/throttling, /graph/errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.frame import World
from sandbox.microsoft.errors import refusal

RETRY_AFTER_S = 10
#: kind -> the refusal; those that say when to come back stand in PATIENT
BEFORE: Mapping[str, str] = {
    "throttled": "throttled",
    "unavailable": "unavailable",
    "token_expired": "token_expired",
    "access_denied": "denied",
    "no_mailbox": "no_mailbox",
    "stale": "stale",
}
PATIENT = frozenset({"throttled", "unavailable"})


def strike(world: World, name: str) -> None:
    """Raises the GraphError of the first planned fault for the call, if any."""
    for kind, refused in BEFORE.items():
        if rule := world.fault("microsoft", kind, name):
            raise refusal(refused, {"Retry-After": str(rule.detail or RETRY_AFTER_S)} if kind in PATIENT else None)


def answer_lost(world: World, name: str) -> None:
    """The vendor did the work and a gateway lost the answer: kind `lost`, 504. Raises GraphError."""
    if world.fault("microsoft", "lost", name):
        raise refusal("gateway")
