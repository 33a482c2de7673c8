"""Our own mistakes, one item at a time: an exception while one item is decided holds that item, and many stop the session.

Rules that hold here (design section 6): class and place are kept, never the text, which may hold content; more than 20 and
5 % of what a session decided rises to the host, whose retries and poison queue make it loud.
"""

from __future__ import annotations

from collections.abc import Callable

from shared.core.errors import Bug, SyncError

MOST, MOST_SHARE = 20, 0.05


class BugCount:
    """Counts what a session decided and what of it raised."""

    def __init__(self) -> None:
        self.decided = self.raised = 0

    def bearable(self, problem: Exception) -> bool:
        """Whether this exception, or a Bug that an adapter made of one, holds one item only. Other errors of ours were
        raised on purpose and are none of this counter's business."""
        if isinstance(problem, SyncError) and not isinstance(problem, Bug):
            return False
        self.raised += 1
        return self.raised <= max(MOST, self.decided * MOST_SHARE)

    def guard[T](self, decide: Callable[[], T]) -> T | Bug:
        """What is decided about one item, or the mistake in it; raises what is no mistake of ours, and one mistake too many."""
        try:
            return decide()
        except Exception as problem:
            if not self.bearable(problem):
                raise
            return problem if isinstance(problem, Bug) else Bug.of(problem)
