"""Our own mistakes, one item at a time: an exception while one item is decided holds that item, and many stop the session.

Rules that hold here (design section 6): class and place are kept, never the text, which may hold content; more than 20 and
5 % of what a session decided rises to the host, whose retries and poison queue make it loud.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from shared.core.errors import Bug, SyncError

MOST, MOST_SHARE = 20, 0.05


class BugCount:
    """Counts what a session decided and what of it raised."""

    def __init__(self) -> None:
        self.decided = self.raised = 0

    def bearable(self, problem: Exception) -> bool:
        """Whether this exception holds one item only. What was raised on purpose is none of this counter's business."""
        if isinstance(problem, SyncError):
            return False
        self.raised += 1
        return self.raised <= max(MOST, self.decided * MOST_SHARE)


def bug_of(problem: Exception) -> Bug:
    """Class and place of an exception as the item's error."""
    frame = traceback.extract_tb(problem.__traceback__)[-1]
    return Bug(type(problem).__name__, f"{Path(frame.filename).name}:{frame.lineno}")
