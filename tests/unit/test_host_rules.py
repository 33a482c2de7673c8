"""NCRONTAB and host.json rules of the stand-in host, as tables."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.host_queues import QueueRules, seconds
from sandbox.host_runtime import Worker, brief
from sandbox.host_timers import next_run

START = datetime(2026, 1, 30, 23, 59, 30, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("*/15 * * * * *", "2026-01-30T23:59:45"),
        ("0 */5 * * * *", "2026-01-31T00:00:00"),
        ("0 30 9 * * 1-5", "2026-02-02T09:30:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 12 31 * *", "2026-01-31T12:00:00"),
        ("0 0 0 13 * 5", "2026-02-13T00:00:00"),  # day and weekday must both fit
        ("30,40 59 23 * * *", "2026-01-30T23:59:40"),
        ("*/5 * * * *", "2026-01-31T00:00:00"),  # five fields: seconds are 0
    ],
)
def test_the_next_run_of_a_schedule(schedule: str, expected: str) -> None:
    assert next_run(schedule, START) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("schedule", ["", "* * *", "99 * * * * *", "0 0 0 * * * *", "0 0 25 * * *"])
def test_a_schedule_that_is_none_is_refused(schedule: str) -> None:
    with pytest.raises(ValueError):
        next_run(schedule, START)


@given(st.integers(1, 59), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001
def test_the_next_run_is_later_and_fits(minutes: int, moment: datetime) -> None:
    after = moment.replace(tzinfo=UTC)
    following = next_run(f"0 */{minutes} * * * *", after)
    assert after < following <= after + timedelta(hours=1, minutes=1)
    assert following.second == 0
    assert following.minute % minutes == 0


def test_queue_rules_have_the_platforms_defaults_and_read_host_json() -> None:
    assert QueueRules.read({}) == QueueRules(60.0, 0, 16, 5, 8, True)
    given_rules = {"extensions": {"queues": {"batchSize": 64, "messageEncoding": "none", "visibilityTimeout": "00:01:00"}}}
    assert QueueRules.read(given_rules) == QueueRules(60.0, 60, 32, 5, 16, False)


@pytest.mark.parametrize(("text", "expected"), [("00:00:01.5", 1.5), ("01:02:03", 3723), ("7.00:00:00", 604800)])
def test_time_spans(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("KeyError at graph_pull.py:120", True),
        ("Refused (sf.refused) at crm/salesforce.py:7", True),
        ("Lunch at 12:30", False),
        ("Refused (the offer to Ann) at salesforce.py:7", False),
        ("KeyError at graph_pull.py:120 of the offer", False),
        ("the offer", False),
    ],
)
def test_an_exceptions_text_stays_only_where_it_is_class_and_place_already(text: str, stays: bool) -> None:
    try:
        raise ValueError(text)
    except ValueError as problem:
        told = brief(problem)
    assert told == text if stays else re.fullmatch(r"ValueError at unit/test_host_rules\.py:\d+", told)


def test_an_exception_that_was_never_raised_is_told_by_its_class() -> None:
    assert brief(ValueError("the offer")) == "ValueError"


@pytest.mark.parametrize(
    ("well", "ended", "timeout_s", "outcome"),
    [
        (True, False, None, "ok"),
        (False, False, None, "failed"),
        (None, True, None, "worker ended"),  # another function ran over its time
        (None, False, 0.01, "timed out"),
    ],
)
def test_the_outcome_of_an_invocation(well: bool | None, ended: bool, timeout_s: float | None, outcome: str) -> None:
    async def invocation() -> tuple[bool]:
        if well is None:
            await asyncio.Event().wait()
        return (bool(well),)

    async def run() -> str:
        worker = Worker(timeout_s)
        if ended:
            worker.ended.set()
        return await worker.outcome(asyncio.create_task(invocation()))

    assert asyncio.run(run()) == outcome
