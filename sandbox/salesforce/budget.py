"""The org's daily API budget: how many calls the last 24 hours held, and what every answer says about it.

Rules that hold here: the window rolls; a composite is one call; sign-in, identity and the list of versions are none. A spent
budget is 403 REQUEST_LIMIT_EXCEEDED without Retry-After, never 429.

It must never count by itself what a resource costs: whoever serves a call takes from it.

Source: Salesforce Developer Limits, "API Request Limits and Allocations"; REST API Developer Guide, "Limit Info Header".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from sandbox.salesforce.refused import refuse

WINDOW = timedelta(hours=24)
SPENT = "TotalRequests Limit exceeded."


class Budget:
    """`limit()` and `spent_before()` are the org's settings: the allowance, and calls that others made."""

    def __init__(self, now: Callable[[], datetime], limit: Callable[[], int], spent_before: Callable[[], int]) -> None:
        self._now = now
        self._limit = limit
        self._spent_before = spent_before
        self._calls: deque[datetime] = deque()

    @property
    def limit(self) -> int:
        return self._limit()

    @property
    def used(self) -> int:
        oldest = self._now() - WINDOW
        while self._calls and self._calls[0] <= oldest:
            self._calls.popleft()
        return len(self._calls) + self._spent_before()

    def take(self) -> None:
        """Counts one call. Raises REQUEST_LIMIT_EXCEEDED where nothing is left; a refused call costs nothing."""
        if self.used >= self.limit:
            raise refuse("REQUEST_LIMIT_EXCEEDED", SPENT)
        self._calls.append(self._now())

    def clear(self) -> None:
        self._calls.clear()

    def header(self) -> dict[str, str]:
        return {"Sforce-Limit-Info": f"api-usage={self.used}/{self.limit}"}
