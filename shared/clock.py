"""The only place that asks the machine for the time. A rehearsal may be ahead of it by the seconds written in a file."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path


class SystemClock:
    """UTC, aware. `offset_file` "" = the machine's own time."""

    def __init__(self, offset_file: str = "") -> None:
        self._file = Path(offset_file) if offset_file else None

    def now(self) -> datetime:
        offset = 0.0
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError, ValueError):
                offset = float(self._file.read_text())
        return datetime.now(UTC) + timedelta(seconds=offset)
