"""The error tree. The class says how far the stop reaches; attributes say what a person or a retry needs.

    SyncError
      Retry(after_s)   Throttled  Unavailable  NetworkDown  RowLocked      the session is rung again later
      BudgetSpent      parked until a time; not a failure
      LeaseLost        stop silently: somebody else holds the mailbox
      CursorExpired    that stream is listed in full
      ItemError        Stale  Gone  Refused  Bug                           this item only
      MailboxError     ConsentNeeded  MailboxMissing                       this mailbox waits for a person
      OrgError         OrgConsentNeeded  OrgApiDisabled                    every mailbox of the org waits
      StoreError       RowExists  RowChanged  RowTooLarge  NewerRow        a row of our own state

An error never carries text that a vendor wrote or content of an item: codes, field names, counts and times only, so that
any of them may be logged or stored as it is. Sentences for people are made from `code` at the edge (`shared/texts`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePath

#: where our own code lies
_OURS = PurePath(__file__).parents[1]


class SyncError(Exception):
    """Anything that stops work on purpose. `code` is stable, lower case with dots, and has a sentence in the catalogue."""

    code = "sync.error"

    def __init__(self, code: str | None = None) -> None:
        if code is not None:
            self.code = code
        super().__init__(self.code)


class Retry(SyncError):
    """Will probably work later. `after_s`: seconds the vendor asked for, None = the back-off curve decides."""

    code = "retry"

    def __init__(self, after_s: float | None = None, code: str | None = None) -> None:
        super().__init__(code)
        self.after_s = after_s


class Throttled(Retry):
    code = "retry.throttled"


class Unavailable(Retry):
    code = "retry.unavailable"


class NetworkDown(Retry):
    """No answer arrived: what was sent may or may not have been done."""

    code = "retry.network"


class RowLocked(Retry):
    code = "retry.row_locked"


class BudgetSpent(SyncError):
    """The org's API budget is used up for background work until `until` (UTC)."""

    code = "budget.spent"

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


class LeaseLost(SyncError):
    code = "lease.lost"


class CursorExpired(SyncError):
    """The vendor no longer knows the cursor of `stream`."""

    code = "cursor.expired"

    def __init__(self, stream: str) -> None:
        super().__init__()
        self.stream = stream


class ItemError(SyncError):
    code = "item.error"


class Stale(ItemError):
    """The item changed since it was read: re-read and plan again."""

    code = "item.stale"


class Gone(ItemError):
    code = "item.gone"


class Refused(ItemError):
    """The vendor refused the item as it is; `code` is `refused.<vendor code in lower case>`, `fields` vendor field names."""

    code = "refused"

    def __init__(self, code: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(code)
        self.fields = fields


class Bug(ItemError):
    """Our own code raised on this item. `kind` is the exception's class name, `place` is file:line in our own code, where
    the exception passed through it; never its text."""

    code = "item.bug"

    def __init__(self, kind: str, place: str) -> None:
        super().__init__()
        self.kind = kind
        self.place = place

    @classmethod
    def of(cls, problem: Exception) -> Bug:
        """An unexpected exception as the error of the item it was raised for."""
        frames = traceback.extract_tb(problem.__traceback__)
        own = [frame for frame in frames if PurePath(frame.filename).is_relative_to(_OURS)]
        frame = (own or frames)[-1]
        return cls(type(problem).__name__, f"{PurePath(frame.filename).name}:{frame.lineno}")


def bug_or[T](make: Callable[[], T]) -> T | Bug:
    """What `make` makes of one item; a mistake of our own in it is the item's Bug. What was raised on purpose goes on."""
    try:
        return make()
    except SyncError:
        raise
    except Exception as problem:  # noqa: BLE001 - one item's; whoever asked holds that item alone
        return Bug.of(problem)


class MailboxError(SyncError):
    code = "mailbox.error"


class ConsentNeeded(MailboxError):
    code = "mailbox.consent_needed"


class MailboxMissing(MailboxError):
    code = "mailbox.missing"


class OrgError(SyncError):
    code = "org.error"


class OrgConsentNeeded(OrgError):
    code = "org.consent_needed"


class OrgApiDisabled(OrgError):
    code = "org.api_disabled"


class StoreError(SyncError):
    """A row of our own state was not as expected. `key` is the row's key."""

    code = "store.error"

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


class RowExists(StoreError):
    code = "store.row_exists"


class RowChanged(StoreError):
    """The row's ETag is not the one we read, or the row is gone."""

    code = "store.row_changed"


class RowTooLarge(StoreError):
    code = "store.row_too_large"


class NewerRow(StoreError):
    """The row was written by a newer version of the product: the mailbox is parked instead of guessing."""

    code = "store.newer_row"
