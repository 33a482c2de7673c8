"""The span of time that a calendar view is asked for: startDateTime and endDateTime of the query.

Rules that hold here: both are needed, whatever their letters; a time without an offset is UTC; the span is 1,825 days at most.
Sources: learn.microsoft.com/graph/api/user-list-calendarview, /graph/api/event-list-instances.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.microsoft.call import Call
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event_read import FIRST_YEAR, LAST_YEAR

LONGEST = timedelta(days=1825)


def window(call: Call) -> tuple[datetime, datetime]:
    """(begin, end) in UTC. Raises GraphError 400."""
    given = {name.lower(): value for name, value in call.query.items()}
    if not given.get("startdatetime") or not given.get("enddatetime"):
        raise refusal("no_window")
    begin, end = (_moment(name, given[name.lower()]) for name in ("startDateTime", "endDateTime"))
    if end <= begin:
        raise refusal("bad_window")
    if end - begin > LONGEST:
        raise refusal("window_too_big")
    return begin, end


def _moment(name: str, text: str) -> datetime:
    """`+` of an offset that came unescaped is a space by now, as with the vendor: no valid time."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise refusal("bad_query", name=name, value=text) from None
    if not FIRST_YEAR <= read.year <= LAST_YEAR:
        raise refusal("bad_query", name=name, value=text)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
