"""The brake on deletions: pure thresholds. Above them the deletes of one kind in one direction wait for a person.

Source: design section 4, "Brake". A mistake that empties one side must not empty the other.
"""

from __future__ import annotations

#: How the deletions became known -> (always allowed, percent of the links allowed); the larger of the two counts.
LIMITS = {"confirmed": (25, 20), "inferred": (5, 5)}
#: An empty listing is believed only when at most this many links were known.
EMPTY_LISTING = 5


def holds(deletions: int, links: int, *, inferred: bool, empty_listing: bool = False) -> bool:
    """Whether these deletions must wait."""
    always, percent = LIMITS["inferred" if inferred else "confirmed"]
    if empty_listing and links > EMPTY_LISTING:
        return True
    return deletions > max(always, links * percent // 100)
