"""Versions of Salesforce records: SystemModstamp, and whether another change may still come under the same one.

Rules that hold here: a stamp has whole seconds, so two changes of one second look alike. A version is only as good as its stamp
is old: read within SETTLED_S of it, the version says so and is equal to no other, and the record is read once more when it is
told of again. A clock that differs from Salesforce's by less than that does no harm. Whether a record is an occurrence of a
Lightning series never changes: the version says that too, so that who writes knows it without a question.

Source: Object Reference, "System Fields" (SystemModstamp); SOQL and SOSL Reference, date formats.
"""

from __future__ import annotations

from datetime import UTC, datetime

SETTLED_S = 5.0
#: the version of a record that is not answered: it has no stamp, and nothing may be written on its strength
UNSEEN = "unseen"
_FRESH = "~"
_SERIES = "#series"


def version_of(stamp: str, now: datetime, *, of_series: bool = False) -> str:
    """The version of a record that shows this stamp, read no earlier than `now`."""
    if not stamp:
        return stamp
    moment = datetime.fromisoformat(stamp)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    version = f"{stamp}{_SERIES}" if of_series else stamp
    if (now - moment).total_seconds() >= SETTLED_S:
        return version
    return f"{version}{_FRESH}{now.timestamp():.6f}"


def stamp_of(version: str) -> str:
    """The stamp in a version."""
    return version.partition(_FRESH)[0].removesuffix(_SERIES)


def is_of_series(version: str) -> bool:
    return version.partition(_FRESH)[0].endswith(_SERIES)
