"""Bands of the Salesforce API budget: who may still call, and when it opens again. Pure.

Rules that hold here (design section 6; behaviour.md 2.3, S12):
- Below 70 % of the daily calls everything runs. From 70 % on sessions stretch: the doors of the org open for half an hour
  after 2.5, then 4.5, then every 6.5 hours, so that each mailbox has one session in each opening. From 85 % on only what a
  person clicked is done. From 95 % on nobody calls: that reserve belongs to the org's other applications.
- A band is left only two points below where it began; else usage that wavers at a border would keep starting the stretch anew.
- The window rolls, and who does not call hears nothing: an hour after the last news one session may ask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

Band = Literal["normal", "stretched", "people", "reserve"]

#: where each band begins, as a share of the limit; highest first.
BANDS: tuple[tuple[Band, float], ...] = (("reserve", 0.95), ("people", 0.85), ("stretched", 0.70), ("normal", 0.0))
SLACK = 0.02
#: hours from one opening to the next while sessions are stretched; the last one repeats.
STRETCH_H = (2.5, 4.5, 6.5)
OPENING = timedelta(hours=0.5)
ASK_AGAIN = timedelta(hours=1)

_RANK = {band: rank for rank, (band, _) in enumerate(reversed(BANDS))}


@dataclass(frozen=True)
class Standing:
    """What is known of an org's budget. `share` of the limit that is used (0 to 1 and above); `since`: when the band began;
    `heard`: when Salesforce last said so. Times in UTC."""

    band: Band
    share: float
    since: datetime
    heard: datetime


def band_of(share: float, before: Band = "normal") -> Band:
    """The band of a share, given the band that held until now."""
    for band, begins in BANDS:
        if share >= (begins - SLACK if _RANK[band] <= _RANK[before] else begins):
            return band
    return "normal"


def heard(standing: Standing | None, share: float, now: datetime) -> Standing:
    """The standing after news of the usage."""
    band = band_of(share, standing.band if standing else "normal")
    if standing is None or standing.band != band:
        return Standing(band, share, now, now)
    return replace(standing, share=share, heard=now)


def closed_until(standing: Standing | None, now: datetime, *, by_person: bool) -> datetime | None:
    """When a session may begin, None = now. Between `heard` and `ASK_AGAIN` later nobody asks for news."""
    match standing:
        case Standing(band="stretched") if not by_person:
            return _next_opening(standing.since, now)
        case Standing(band="reserve"):
            return standing.heard + ASK_AGAIN
        case Standing(band="people") if not by_person:
            return standing.heard + ASK_AGAIN
    return None


def may_ask(standing: Standing, now: datetime) -> bool:
    """Whether the news is so old that one session should ask again, whatever the band says."""
    return now - standing.heard >= ASK_AGAIN and standing.band in ("people", "reserve")


def _next_opening(since: datetime, now: datetime) -> datetime | None:
    """The begin of the next opening, None while one lasts. The band begins with an opening."""
    opening = since
    for step in range(10_000):
        if now < opening:
            return opening
        if now < opening + OPENING:
            return None
        opening += timedelta(hours=STRETCH_H[min(step, len(STRETCH_H) - 1)])
    return None
