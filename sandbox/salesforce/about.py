"""What the org says of itself: versions, resources, limits, and its objects.

Rules that hold here: the list of versions needs no sign-in and is no API call; describe answers 304 where nothing changed
since the asked time.

It must never change anything.

Source: REST API Developer Guide, "Versions", "Resources by Version", "Limits", "Describe Global", "sObject Describe".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from sandbox.salesforce import describe
from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.reading import object_of
from sandbox.salesforce.refused import refuse

OLDEST_VERSION, NEWEST_VERSION = 31, 67
#: The season of version 31 and those after it: Summer '14, Winter '15, Spring '15, ...
SEASONS = ("Summer", "Winter", "Spring")
OTHER_LIMITS = {
    "DataStorageMB": 1024, "FileStorageMB": 1024, "DailyBulkApiBatches": 15000, "DailyStreamingApiEvents": 50000,
    "HourlyTimeBasedWorkflow": 1000, "SingleEmail": 5000, "MassEmail": 5000, "DailyAsyncApexExecutions": 250000,
}  # fmt: skip
RESOURCES = ("sobjects", "query", "queryAll", "limits", "composite")


def versions(call: Call) -> Answer:
    newest = newest_version(call)
    return Answer(body=[_version(number) for number in range(OLDEST_VERSION, newest + 1)])


def check_version(call: Call) -> None:
    """Raises 410 for a retired version, 404 for one the org does not have yet."""
    number, _, rest = call.version.removeprefix("v").partition(".")
    if not call.version.startswith("v") or not number.isdigit() or rest != "0" or int(number) > newest_version(call):
        raise refuse("NOT_FOUND", "The requested resource does not exist")
    if int(number) < OLDEST_VERSION:
        raise refuse("GONE", f"API version {number}.0 has been retired and is no longer supported.")


def newest_version(call: Call) -> int:
    return int(float(call.org.switch("newest_version", NEWEST_VERSION)))


def resources(call: Call) -> Answer:
    base = f"/services/data/{call.version}"
    return Answer(body={name: f"{base}/{name}" for name in RESOURCES} | {"identity": call.org.identity_url(call.user_id)})


def limits(call: Call) -> Answer:
    budget = call.org.budget
    daily = {"Max": budget.limit, "Remaining": max(0, budget.limit - budget.used)}
    others = {name: {"Max": most, "Remaining": most} for name, most in OTHER_LIMITS.items()}
    return Answer(body={"DailyApiRequests": daily, **others})


def describe_global(call: Call) -> Answer:
    schema = call.records.schema
    changed = max(owner.changed_at for owner in schema)
    body = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [describe.summary(owner, call.version) for owner in schema]}
    return _unless_unchanged(call, changed, body)


def describe_object(call: Call) -> Answer:
    owner = object_of(call)
    body = describe.describe(call.records.schema, owner, call.version, call.org.base_url)
    return _unless_unchanged(call, owner.changed_at, body)


def _unless_unchanged(call: Call, changed: datetime, body: dict[str, Any]) -> Answer:
    """304 where it did not change since If-Modified-Since; HTTP dates know whole seconds, so a change is rounded up."""
    whole = changed.replace(microsecond=0) + timedelta(seconds=1 if changed.microsecond else 0)
    since = call.moment("if-modified-since")
    headers = {"Last-Modified": format_datetime(whole, usegmt=True)}
    if since is not None and whole <= since:
        return Answer(304, None, headers)
    return Answer(200, body, headers)


def _version(number: int) -> dict[str, str]:
    turn = number - OLDEST_VERSION
    year = 14 + (turn + 2) // len(SEASONS)
    label = f"{SEASONS[turn % len(SEASONS)]} '{year}"
    return {"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
