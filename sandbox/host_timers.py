"""Timer triggers of the stand-in host: NCRONTAB with seconds, past due after a restart, never two runs at once.

The last run of each timer is kept in a file per timer, as the real host keeps it in a blob, and is written after the run: what
was missed while the host was down, or was cut off, happens once, with `past_due` true. What falls due during a run, or while
the clock jumps, happens once afterwards. Source: Azure Functions timer trigger reference (NCRONTAB, six fields);
azure-webjobs-sdk-extensions, `TimerListener`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from croniter import croniter

from sandbox.host_runtime import Function, InvocationFailed, Worker, datum, setting

_NEVER = datetime.min.replace(tzinfo=UTC)


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

    def __init__(self, function: Function, worker: Worker, *, state: Path, now: Callable[[], datetime]) -> None:
        self.function = function
        self.schedule = setting(function.trigger["schedule"])
        self._worker, self._now = worker, now
        self._file = state / f"timer-{function.name}.json"
        self._running = asyncio.Lock()
        started = now()
        self._last, since = self._stored(started)
        self._due = next_run(self.schedule, since)  # a schedule that does not parse stops the start
        self._past_due = self._due <= started
        self._store(since)

    def _stored(self, now: datetime) -> tuple[datetime | None, datetime]:
        """(last run, moment from which the next one is counted). A later moment than now is one of a clock set back since."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            stored = json.loads(self._file.read_text())
            last = datetime.fromisoformat(stored["last"]) if stored["last"] else None
            return last, min(now, datetime.fromisoformat(stored["since"]))
        return None, now

    def _store(self, since: datetime) -> None:
        """Whole or not at all: the host may be killed at any moment."""
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({"last": self._last.isoformat() if self._last else None, "since": since.isoformat()}))
        part.replace(self._file)

    async def run(self, *, past_due: bool = False) -> None:
        """Invokes the function once, never twice at a time; an invocation by hand changes nothing of the schedule."""
        async with self._running:
            now = self._now()
            info = {
                "IsPastDue": past_due,
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": {
                    "Last": (self._last or _NEVER).isoformat(),
                    "Next": next_run(self.schedule, now).isoformat(),
                    "LastUpdated": (self._last or _NEVER).isoformat(),
                },
            }
            value = datum(json.dumps(info), "json")
            with contextlib.suppress(InvocationFailed):  # said; the schedule goes on
                await self._worker.invoke(self.function, [(self.function.trigger["name"], value)], {})

    async def _run_in_turn(self) -> None:
        began = self._now()
        await self.run(past_due=self._past_due)
        self._past_due = False
        self._last, self._due = began, next_run(self.schedule, began)
        self._store(began)

    async def keep(self, stopping: asyncio.Event) -> None:
        """Runs the timer until the host stops, which waits for the run in hand. The clock may jump: it is asked each second."""
        at_once = str(self.function.trigger.get("runOnStartup", "")).lower() == "true"
        while not stopping.is_set():
            if at_once or self._now() >= self._due:
                at_once = False
                await self._run_in_turn()
                continue
            wait = (self._due - self._now()).total_seconds()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), max(0.01, min(1.0, wait)))


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
