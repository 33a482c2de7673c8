"""The events' half of `latency.py`: how long an event takes from the mailbox to Salesforce and from Salesforce to the mailbox.

Rules that hold here:
- Outside only: vendor HTTP and the control API. Every event has a subject that nothing else has.
- Mailbox to Salesforce is counted from the first notification of the event that was sent after it was made, one at a time.
- Salesforce to mailbox is counted from the answer of the create. Records are made at any moment between two polls and are
  looked for together, because each may take a whole interval. The interval is the product's own: a minute, and no setting
  makes it shorter.
"""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote

import requests

UP_GOAL_S = 5.0
#: host/timers: the org is asked once a minute
POLL_INTERVAL_S = 60.0
DOWN_GOAL_S = POLL_INTERVAL_S + 5.0
GIVE_UP_S = 180.0
SPACED_S = (3.0, 9.0)
AHEAD = timedelta(days=60)
Json = dict[str, Any]


class Outside(Protocol):
    """The rehearsal of `latency.py`: one user of the local world."""

    at: Json
    http: requests.Session
    user: Json
    offset: float

    def graph(self, method: str, path: str, body: Json | None = None) -> Json: ...


def measure(outside: Outside, runs: int) -> bool:
    """Prints both ways; answers whether both are within their goals."""
    up = [_up(outside, f"{n}/{runs}") for n in range(1, runs + 1)]
    down = _down(outside, runs)
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} {runs} runs, sandbox delays 0.2-2 s and 20 ms a call (seed 7)")
    told = [
        _told("mailbox -> Salesforce, from the notification", [one for one, _ in up], UP_GOAL_S),
        _told("Salesforce -> mailbox, from the save", down, DOWN_GOAL_S),
    ]
    _told("mailbox -> Salesforce, from the save", [one for _, one in up], None)
    return all(told)


def _told(what: str, seconds: Sequence[float], goal: float | None) -> bool:
    ordered = sorted(seconds)
    p95 = ordered[max(0, round(len(ordered) * 0.95) - 1)]
    goal_text = f" (goal {goal:.0f} s)" if goal else ""
    print(f"{what}: p50 {statistics.median(ordered):.2f} s, p95 {p95:.2f} s{goal_text}")
    return goal is None or p95 <= goal


def _up(outside: Outside, which: str) -> tuple[float, float]:
    """(seconds from the first notification, seconds from the create)."""
    subject = f"How long does it take {uuid.uuid4()}"
    start = datetime.fromtimestamp(time.time() + outside.offset, UTC) + AHEAD
    made_at = time.time()
    event = outside.graph("POST", "/me/events", {
        "subject": subject, "categories": ["Salesforce"],
        "start": {"dateTime": f"{start:%Y-%m-%dT%H:%M:00}", "timeZone": "UTC"},
        "end": {"dateTime": f"{start + timedelta(hours=1):%Y-%m-%dT%H:%M:00}", "timeZone": "UTC"},
    })  # fmt: skip
    while not _stands(outside, subject):
        if time.time() - made_at > GIVE_UP_S:
            raise SystemExit(f"The event did not arrive within {GIVE_UP_S:.0f} s.")
        time.sleep(0.05)
    arrived = time.time()
    told = outside.http.get(outside.at["world"] + "/notifications", timeout=30).json()
    sent = [datetime.fromisoformat(one["at"]).timestamp() - outside.offset for one in told if one["id"] == event["id"]]
    after = [moment for moment in sent if moment >= made_at]
    found = arrived - min(after, default=made_at), arrived - made_at
    print(f"up {which}: {found[0]:.2f} s from the notification, {found[1]:.2f} s from the save", flush=True)
    return found


def _stands(outside: Outside, subject: str) -> bool:
    found = _salesforce(outside, "GET", f"/query?q={quote(f'''SELECT Id FROM Event WHERE Subject = '{subject}' ''', safe='')}")
    return int(found["totalSize"]) > 0


def _down(outside: Outside, runs: int) -> list[float]:
    """Makes a record every few seconds and looks for all of them until the last one is there."""
    chance, marker = random.Random(7), uuid.uuid4().hex
    start = datetime.fromtimestamp(time.time() + outside.offset, UTC).replace(microsecond=0) + AHEAD * 2
    saved: dict[str, float] = {}
    arrived: dict[str, float] = {}
    due = time.time()
    while len(arrived) < runs:
        if len(saved) < runs and time.time() >= due:
            subject = f"From Salesforce {marker} {len(saved)}"
            begins, ends = (f"{start + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}" for n in (0, 1))
            fields = {"Subject": subject, "StartDateTime": begins, "EndDateTime": ends}
            _salesforce(outside, "POST", "/sobjects/Event", fields)
            saved[subject] = time.time()
            due = time.time() + chance.uniform(*SPACED_S)
        for subject in _in_calendar(outside, start, marker) - arrived.keys():
            arrived[subject] = time.time()
            print(f"down {len(arrived)}/{runs}: {arrived[subject] - saved[subject]:.2f} s from the save", flush=True)
        if saved and time.time() - max(saved.values()) > GIVE_UP_S:
            raise SystemExit(f"{runs - len(arrived)} records did not come down within {GIVE_UP_S:.0f} s.")
        time.sleep(0.2)
    return [arrived[subject] - saved[subject] for subject in arrived]


def _in_calendar(outside: Outside, start: datetime, marker: str) -> set[str]:
    begin, end = (f"{start + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}" for n in (-1, 2))
    path = f"/me/calendarView?startDateTime={begin}&endDateTime={end}&$select=subject&$top=200"
    return {event["subject"] for event in outside.graph("GET", path)["value"] if marker in event["subject"]}


def _salesforce(outside: Outside, method: str, path: str, body: Json | None = None) -> Json:
    headers = {"Authorization": f"Bearer {outside.user['salesforce_token']}"}
    address = f"{outside.at['salesforce']['instance']}/services/data/v60.0{path}"
    answer = outside.http.request(method, address, json=body, headers=headers, timeout=30)
    answer.raise_for_status()
    found: Json = answer.json()
    return found
