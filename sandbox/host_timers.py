"""Timer triggers of the stand-in host: NCRONTAB with seconds, past due after a restart, never two runs at once.

The last run of each timer is kept in a file per app, as the real host keeps it in a blob; a run that was missed while the
host was down happens once, with `past_due` true. Source: Azure Functions timer trigger reference (NCRONTAB, six fields).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from croniter import croniter

from sandbox.host_runtime import Function, InvocationFailed, datum, invoke, setting


def next_run(schedule: str, after: datetime) -> datetime:
    """The first moment strictly after `after` that fits the six fields; day and weekday must both fit, as in NCRONTAB."""
    fields = schedule.split()
    if len(fields) == 5:
        schedule = "0 " + schedule
    elif len(fields) != 6:
        raise ValueError(f"not an NCRONTAB schedule: {schedule!r}")
    following = croniter(schedule, after, second_at_beginning=True, day_or=False).get_next(datetime)
    assert isinstance(following, datetime)
    return following


class Timer:
    """One timer function."""

    def __init__(self, function: Function, *, state: Path, now: Callable[[], datetime], timeout_s: float) -> None:
        self.function = function
        self.schedule = setting(function.trigger["schedule"])
        self._now, self._timeout_s = now, timeout_s
        self._file = state / f"timer-{function.name}.json"
        self._running = asyncio.Lock()
        started = now()
        self._due = next_run(self.schedule, self._last(started))  # a schedule that does not parse stops the start
        self._past_due = self._due <= started

    def _last(self, otherwise: datetime) -> datetime:
        with contextlib.suppress(OSError, ValueError, KeyError):
            return datetime.fromisoformat(json.loads(self._file.read_text())["last"])
        return otherwise

    async def run(self, *, past_due: bool = False) -> None:
        async with self._running:
            began = self._now()
            last = self._last(began)
            self._file.write_text(json.dumps({"last": began.isoformat()}))
            info = {
                "IsPastDue": past_due,
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": {
                    "Last": last.isoformat(),
                    "Next": next_run(self.schedule, began).isoformat(),
                    "LastUpdated": began.isoformat(),
                },
            }
            with contextlib.suppress(InvocationFailed):
                await invoke(
                    self.function,
                    [(self.function.trigger["name"], datum(json.dumps(info), "json"))],
                    {},
                    timeout_s=self._timeout_s,
                )

    async def keep(self) -> None:
        """Runs the timer for ever. The clock may jump; it is looked at every second."""
        if str(self.function.trigger.get("runOnStartup", "")).lower() == "true":
            await self.run()
        while True:
            if self._now() >= self._due:
                await self.run(past_due=self._past_due)
                self._past_due = False
                self._due = next_run(self.schedule, self._now())
            wait = (self._due - self._now()).total_seconds()
            await asyncio.sleep(max(0.01, min(1.0, wait)))


class HostClock:
    """The machine's clock plus the seconds written in a file, so that a rehearsal can move timers."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def now(self) -> datetime:
        offset = 0.0
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                offset = float(self._file.read_text())
        return datetime.now(UTC) + timedelta(seconds=offset)
