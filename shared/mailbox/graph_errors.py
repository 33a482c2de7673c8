"""What Microsoft Graph refuses -> our errors, as one table.

Rules that hold here: the first row that fits wins: (status, code), then the code whatever the status, then the status, then
its class; of the vendor's answer only the status, the code and Retry-After are read, its sentences go nowhere.
Sources: learn.microsoft.com/graph/errors, /graph/throttling, /graph/delta-query-overview ("Synchronization reset").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.core.errors import (
    ConsentNeeded,
    CursorExpired,
    Gone,
    MailboxMissing,
    Refused,
    Stale,
    SyncError,
    Throttled,
    Unavailable,
)


@dataclass(frozen=True)
class Refusal:
    """`code` in lower case, "" where the answer has none; `after_s` from Retry-After; `stream` is what the request was for."""

    status: int
    code: str = ""
    after_s: float | None = None
    stream: str = ""


Make = Callable[[Refusal], SyncError]
#: One name for every "there is one already": the vendor's own codes for it differ from resource to resource.
CONFLICT = "refused.conflict"


def _refused(refusal: Refusal) -> SyncError:
    return Refused(f"refused.{refusal.code or refusal.status}")


def _expired(refusal: Refusal) -> SyncError:
    """What has no cursor cannot lose it: such a thing is gone."""
    return CursorExpired(refusal.stream) if refusal.stream else Gone()


#: (status or None = any, code in lower case or None = any) -> what it is for us
TABLE: Mapping[tuple[int | None, str | None], Make] = {
    (None, "syncstatenotfound"): _expired,
    (None, "syncstateinvalid"): _expired,
    (None, "resyncrequired"): _expired,
    (None, "mailboxnotenabledforrestapi"): lambda _: MailboxMissing(),
    (None, "mailboxnotsupportedforrestapi"): lambda _: MailboxMissing(),
    (404, "errorinvaliduser"): lambda _: MailboxMissing(),
    (404, "errornonexistentmailbox"): lambda _: MailboxMissing(),
    (404, "request_resourcenotfound"): lambda _: MailboxMissing(),
    (403, "extensionerror"): _refused,  # a mailbox that has its 1,000 subscriptions
    (400, "errorinvalididmalformed"): lambda _: Gone(),
    (409, "errorirresolvableconflict"): lambda _: Stale(),
    (401, None): lambda _: ConsentNeeded(),
    (403, None): lambda _: ConsentNeeded(),
    (404, None): lambda _: Gone(),
    (408, None): lambda r: Unavailable(r.after_s),
    (409, None): lambda _: Refused(CONFLICT),
    (410, None): _expired,
    (412, None): lambda _: Stale(),
    (424, None): lambda r: Unavailable(r.after_s),
    (429, None): lambda r: Throttled(r.after_s),
    (501, None): _refused,
    (509, None): lambda r: Throttled(r.after_s),
}
#: by the hundreds of the status, where no row fits
CLASSES: Mapping[int, Make] = {3: lambda r: Unavailable(r.after_s), 4: _refused, 5: lambda r: Unavailable(r.after_s)}

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SECONDS = re.compile(r"[0-9]{1,6}")


def translated(refusal: Refusal) -> SyncError:
    """The error for an answer of status 300 and above."""
    status, code = refusal.status, refusal.code
    for row in ((status, code), (None, code), (status, None)):
        if row in TABLE:
            return TABLE[row](refusal)
    return CLASSES.get(status // 100, CLASSES[5])(refusal)


def read_refusal(status: int, body: Any, headers: Mapping[str, str], stream: str = "") -> Refusal:
    """What counts of an answer. `headers` in any case; a Retry-After that is not a number of seconds counts as none."""
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return Refusal(
        status,
        code.lower() if isinstance(code, str) and _CODE.fullmatch(code) else "",
        float(wait) if _SECONDS.fullmatch(str(wait)) else None,
        stream,
    )
