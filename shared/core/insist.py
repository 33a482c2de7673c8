"""Two systems insist: a field that is carried to and fro is held before it costs both sides a write a minute. Pure.

The rule (design section 4, "Echo"): whoever won a field last is remembered; when the winner would change for more than
MOST times within WINDOW_S, the field is held and reported. A day later, or when a person says so, it is decided again.
Only sides and times are kept, no value. One person correcting another now and then stays far below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.core.model import Side

Turns = Mapping[str, Sequence[tuple[Side, float]]]

MOST, WINDOW_S = 3, 3600.0
#: How long such a field is held where nobody releases it, in seconds.
HOLD_S = 24 * 3600.0


def insisted(turns: Turns, name: str, winner: Side, now: float) -> bool:
    """Whether this winner is one change too many. `now` in seconds since 1970."""
    past = turns.get(name, ())
    if not past or past[-1][0] == winner:
        return False
    return sum(1 for _, at in past[1:] if at > now - WINDOW_S) >= MOST


def turned(turns: Turns, winners: Mapping[str, Side], now: float) -> Turns:
    """The turns after these winners: the last MOST + 1 winners of each field are enough to count MOST changes."""
    after = dict(turns)
    for name, winner in winners.items():
        past = after.get(name, ())
        if not past or past[-1][0] != winner:
            after[name] = (*past, (winner, now))[-MOST - 1 :]
    return after
