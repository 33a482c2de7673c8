"""Named faults of single calls, alone or as a part of a composite, in the vendor's own words.

Rules that hold here: `World.fault("salesforce", kind)` is asked with "METHOD template" of the call; the kinds of the tables
strike before anything is done, `lost` after it was done. What concerns the whole org strikes whole calls only.
`session_expired` ends the caller's session for good; `locked_row` (asked in `records`) refuses one record of a write. A
sign-in is refused by `FaultRule("salesforce-login", "refused", detail=NAME)` with a name of `sign_in_words.REFUSALS`.
The frame's own kinds (`status`, `drop_before`, `drop_after`) work beside these.

It must never strike unasked.

Source: REST API Developer Guide, "Status Codes and Error Responses"; SOAP API Developer Guide, "ExceptionCode".
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.frame import World
from sandbox.salesforce.refused import Refused

VENDOR = "salesforce"
#: kind -> (status, code, words), of the whole org
OF_THE_ORG: Mapping[str, tuple[int, str, str]] = {
    "budget_spent": (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent_limit": (
        403,
        "REQUEST_LIMIT_EXCEEDED",
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
    ),
    "api_disabled": (403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
}
#: kind -> (status, code, words), of one call or part
OF_A_CALL: Mapping[str, tuple[int, str, str]] = {
    "unavailable": (503, "SERVER_UNAVAILABLE", "Server is temporarily unavailable."),
    "unknown": (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId if you contact support."),
    "query_timeout": (400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "cursor_dead": (400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    "access_denied": (403, "INSUFFICIENT_ACCESS", "insufficient access rights on object id"),
    "stale": (412, "PRECONDITION_FAILED", "The record was modified after the date of the If-Unmodified-Since header."),
}
LOST = (504, "SERVER_UNAVAILABLE", "The gateway did not get an answer in time.")


def strike(world: World, name: str, *, is_part: bool) -> None:
    """Raises `Refused` of the first planned fault for the call, if any."""
    for kind, refusal in (OF_A_CALL if is_part else {**OF_THE_ORG, **OF_A_CALL}).items():
        if world.fault(VENDOR, kind, name):
            raise Refused(*refusal)


def is_lost(world: World, name: str) -> bool:
    """Whether the vendor does the work and a gateway loses the answer (kind `lost`, 504)."""
    return world.fault(VENDOR, "lost", name) is not None


def lost() -> Refused:
    return Refused(*LOST)


def ends_session(world: World, name: str) -> bool:
    return world.fault(VENDOR, "session_expired", name) is not None
