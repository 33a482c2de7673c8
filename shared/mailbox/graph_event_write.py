"""Writes to the events of a Graph mailbox.

Rules that hold here:
- What is to be written is read first, in one batch with the question whether a key is on an event already: the answers hold
  the body, the zone and the vendor's id that the writes need. Whoever's version is not the one read is Stale; the vendor is
  told that version too, so that nothing is lost between reading and writing.
- Writes to one event or series go one after the other, for they share a version; all others go side by side in batches. A write
  of ours does not make the next one of the same series stale; anybody else's does.
- A create is Stale where its key is on an event, and where the vendor answered with one that is not what was sent: the
  transaction id makes it answer a second create with the first event.
- No call lasts longer than a lease lives: what is not written after PATIENCE waits for the next session (Retry).

Sources: learn.microsoft.com/graph/api/user-post-events (transactionId), /graph/api/event-update, /graph/api/event-delete.
It must never write attendees, never cancel, and never touch a byte of a join block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from shared.core.errors import Bug, ItemError, Stale, Unavailable, bug_or
from shared.core.fields import canonical, narrow
from shared.mailbox import graph_event_map as read
from shared.mailbox.graph_errors import CONFLICT
from shared.mailbox.graph_event_map import KIND, Json
from shared.mailbox.graph_event_read import Events, Found, settled
from shared.mailbox.graph_http import MAX_PARTS, Answer, GraphHttp, Part
from shared.mailbox.graph_map import etag, text, version
from shared.ports import Clock, Send, Sent

ANY = "*"
#: with the longest that one request may take it is still less than the life of a lease
PATIENCE = timedelta(seconds=45)
Outcome = Sent | ItemError


@dataclass(frozen=True)
class Job:
    """One write that may be made. `found`: the event as it was last seen, None for a new one; `version`: the one it must have;
    `group`: what it shares its version with."""

    place: int
    send: Send
    group: str
    found: Found | None = None
    version: str = ""


class EventWrites:
    """The writes of one call. `zone`: on whose wall the times of new events are written."""

    def __init__(self, http: GraphHttp, events: Events, home: str, clock: Clock, zone: str) -> None:
        self._http, self._events, self._home, self._clock, self._zone = http, events, home, clock, zone
        self._outcomes: dict[int, Outcome] = {}

    def run(self, sends: Sequence[Send]) -> list[Outcome]:
        end = self._clock.now() + PATIENCE
        waiting = self._jobs(sends)
        while waiting:
            if self._clock.now() >= end:
                raise Unavailable(0.0)
            now = _first_of_groups(waiting)
            chosen = {job.place for job in now}
            later = [job for job in waiting if job.place not in chosen]
            written = self._write(now)
            waiting = self._still_true([job for job in later if job.group in written], written)
            waiting += [job for job in later if job.group not in written]
        return [self._outcomes[place] for place in range(len(sends))]

    # --- before

    def _jobs(self, sends: Sequence[Send]) -> list[Job]:
        """The writes that may be made; the outcome of the others is noted."""
        ids = [send.id for send in sends if send.verb != "create"]
        keys = list(dict.fromkeys(send.key for send in sends if send.verb == "create"))
        select = "id,type,createdDateTime"
        answers = self._http.batch([*self._events.parts(ids), *self._events.key_parts(keys, select)])
        found = self._events.found(ids, answers)
        taken = set(self._events.with_keys(keys, answers))
        jobs = []
        for place, send in enumerate(sends):
            if send.verb != "create":
                job = self._checked(place, send, found[send.id])
            elif send.key in taken:
                job = Stale()
            else:
                taken.add(send.key)
                job = Job(place, send, f"new {place}")
            if isinstance(job, Job):
                jobs.append(job)
            else:
                self._outcomes[place] = job
        return jobs

    def _checked(self, place: int, send: Send, found: Found | ItemError) -> Job | ItemError:
        if isinstance(found, ItemError):
            return found
        there = found.version
        if send.version not in (ANY, there):
            return Stale()
        return Job(place, send, read.split(send.id)[0], found, there)

    # --- one write for each event or series

    def _write(self, jobs: Sequence[Job]) -> dict[str, Answer]:
        """Makes the writes and notes what became of them; answers what was answered, by group, where something changed."""
        parts: dict[int, Part] = {}
        for job in jobs:
            part = bug_or(partial(self._part, job))
            if isinstance(part, Bug):
                self._outcomes[job.place] = part
            elif part is None:
                self._outcomes[job.place] = Sent(job.send.id, job.version)
            else:
                parts[job.place] = part
        answers = self._http.batch(list(parts.values()))
        written = {}
        for job in jobs:
            if job.place in parts:
                answer = answers[parts[job.place].id]
                outcome = bug_or(partial(self._outcome, job, answer))
                self._outcomes[job.place] = outcome
                if answer.error is None:
                    written[job.group] = answer
        return written

    def _part(self, job: Job) -> Part | None:
        """The request; None where there is nothing to change."""
        send, name = job.send, str(job.place)
        if job.found is None:
            body = read.new_event(send.fields, send.key, self._zone)
            return Part(name, f"{self._home}/calendar/events", "POST", body, one_item=True)
        path = self._events.path(text(job.found.event.get("id")))
        headers = {"If-Match": etag(job.version)}
        if send.verb == "delete":
            return Part(name, path, "DELETE", headers=headers, one_item=True)
        event = job.found.event
        body = read.unmarked(event) if send.verb == "unmark" else read.changes(send.fields, send.above, event)
        return Part(name, path, "PATCH", body, headers, one_item=True) if body else None

    def _outcome(self, job: Job, answer: Answer) -> Outcome:
        if error := settled(answer):
            return Stale() if error.code == CONFLICT else error
        if job.send.verb == "delete":
            return Sent(job.send.id, "")
        if job.found is not None:
            return Sent(job.send.id, version(answer.body))
        if not _is_what_was_sent(job.send, answer.body):
            return Stale()
        return Sent(text(answer.body.get("id")), version(answer.body), read.uid(answer.body))

    # --- the next write of the same event or series

    def _still_true(self, jobs: Sequence[Job], written: Mapping[str, Answer]) -> list[Job]:
        """The writes that wait, under the version that ours led to. An event that says something else now than before, and not
        because of what we wrote to it, is Stale."""
        now = self._events.read([job.send.id for job in jobs]) if jobs else {}
        true = []
        for job in jobs:
            found = now[job.send.id]
            if isinstance(found, ItemError):
                self._outcomes[job.place] = found
            elif _is_true(job, found, written[job.group]):
                true.append(replace(job, found=found, version=found.version))
            else:
                self._outcomes[job.place] = Stale()
        return true


def _first_of_groups(jobs: Sequence[Job]) -> list[Job]:
    """What may be written side by side in one request."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.group, job)
    return list(first.values())[:MAX_PARTS]


def _is_true(job: Job, found: Found, answer: Answer) -> bool:
    """Whether the version now is the one our own write led to, or else nobody changed the event."""
    if job.send.version == ANY or version(answer.body) == found.version:
        return True
    return job.found is not None and _same(job.found.event, found.event)


def _same(before: Json, now: Json) -> bool:
    """Whether nobody changed what is carried of an event, or its categories."""
    one, two = (read.item(event) for event in (before, now))
    return one == two and before.get("categories") == now.get("categories")


def _is_what_was_sent(send: Send, made: Json) -> bool:
    """Whether an event that a create was answered with says all that was sent, and so is not an older one."""
    there = read.item(made).fields
    said = canonical(KIND, send.fields)
    return all(there[name] in (value, narrow(KIND, "mail", name, value)) for name, value in said.items() if name in there)
