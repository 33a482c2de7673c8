"""What goes wrong in a history: of all calls to a provider and all commits a share fails, each in one of the ways listed here.

A fault before the call means that nothing was done; after it, that all was done and the answer is lost. The tables say where
each class of the error tree comes from in the product: the adapters' translations of what vendors and the table service say.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.core import errors

When = Literal["before", "after"]


class Crash(BaseException):
    """The process dies here."""


@dataclass(frozen=True)
class Fault:
    """`made` gets the time. `weight` among the faults of its place."""

    name: str
    weight: int
    when: When
    made: Callable[[datetime], BaseException]


def _plain(kind: type[BaseException]) -> Callable[[datetime], BaseException]:
    return lambda now: kind()


EVERYWHERE = (
    Fault("crashes", 15, "before", _plain(Crash)),
    Fault("crashes", 15, "after", _plain(Crash)),
    Fault("NetworkDown", 12, "before", _plain(errors.NetworkDown)),
    Fault("lost answers", 18, "after", _plain(errors.NetworkDown)),
    Fault("Unavailable", 8, "before", _plain(errors.Unavailable)),
    Fault("lost answers", 6, "after", _plain(errors.Unavailable)),
    Fault("Throttled", 8, "before", _plain(errors.Throttled)),
)
VENDOR = (*EVERYWHERE, Fault("Throttled with a time", 5, "before", lambda now: errors.Throttled(30.0)))
FAULTS: dict[str, tuple[Fault, ...]] = {
    "store": EVERYWHERE,
    "mail": (
        *VENDOR,
        Fault("ConsentNeeded", 2, "before", _plain(errors.ConsentNeeded)),
        Fault("MailboxMissing", 2, "before", _plain(errors.MailboxMissing)),
        Fault("OrgConsentNeeded", 2, "before", _plain(errors.OrgConsentNeeded)),
    ),
    "crm": (
        *VENDOR,
        Fault("RowLocked", 5, "before", _plain(errors.RowLocked)),
        Fault("BudgetSpent", 3, "before", lambda now: errors.BudgetSpent(now + timedelta(hours=1))),
        Fault("ConsentNeeded", 2, "before", _plain(errors.ConsentNeeded)),
        Fault("OrgConsentNeeded", 2, "before", _plain(errors.OrgConsentNeeded)),
        Fault("OrgApiDisabled", 2, "before", _plain(errors.OrgApiDisabled)),
    ),
}


def drawn(chance: random.Random, where: str) -> Fault:
    """One of the faults of a place."""
    faults = FAULTS[where]
    return chance.choices(faults, [one.weight for one in faults])[0]


def leaves(of: type[errors.SyncError] = errors.SyncError) -> list[str]:
    """The classes of the error tree that are raised themselves."""
    below = [one for one in of.__subclasses__() if one.__module__ == errors.__name__]  # an adapter's own are its business
    return [name for one in below for name in leaves(one)] if below else [of.__name__]
