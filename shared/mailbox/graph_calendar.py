"""The events of a Microsoft 365 mailbox, through Microsoft Graph: the mailbox side of two-way sync.

Rules that hold here:
- The mailbox is named by its user, never by "me"; only its default calendar takes part.
- An item is a single event or one occurrence of a series; a series is none. Ids of events are immutable ones, those of
  occurrences are ours (`graph_event_map`).
- People and their answers are facts of an item, not fields: who they are in the CRM is not known here.

Sources: learn.microsoft.com/graph/api/resources/event, /graph/api/event-delta. It must never know what a link is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

import requests

from shared.core.errors import ItemError
from shared.core.model import Item, Seen
from shared.mailbox.graph_event_map import KIND
from shared.mailbox.graph_event_pull import EventPull, Window, seen_all
from shared.mailbox.graph_event_read import Events
from shared.mailbox.graph_event_write import EventWrites
from shared.mailbox.graph_http import GraphHttp
from shared.ports import AccessToken, Clock, Page, Send, Sent

__all__ = ["GraphCalendar", "Window"]


class GraphCalendar:
    """One mailbox in one session. `user` is an address or id; `token`'s address ends in the version, as .../v1.0. `zone`: the
    mailbox's zone where it is known, by Windows or IANA name; times of new events are written on its wall."""

    keyed = True

    def __init__(
        self,
        session: requests.Session,
        token: AccessToken,
        user: str,
        clock: Clock,
        session_id: str,
        *,
        window: Window,
        zone: str = "UTC",
    ) -> None:
        self._http = GraphHttp(session, token, session_id)
        self._home = f"/users/{quote(user, safe='@')}"
        self._events = Events(self._http, self._home)
        self._clock, self._window, self._zone = clock, window, zone

    def changes(self, kind: str, cursor: str | None) -> Page:
        _check(kind)
        return EventPull(self._http, self._events, self._home, self._clock.now(), self._window, cursor).run()

    def read(self, kind: str, ids: Sequence[str]) -> Mapping[str, Seen]:
        _check(kind)
        return seen_all(ids, self._events.read(ids))

    def find(self, kind: str, keys: Sequence[str]) -> Mapping[str, Seen]:
        _check(kind)
        return self._events.find(list(dict.fromkeys(keys)))

    def made_since(self, kind: str, since: datetime) -> Sequence[Seen]:
        raise NotImplementedError("events carry our key here: they are found by it, never looked up by time")

    def twins(self, items: Sequence[Item]) -> Sequence[Sequence[Seen]]:
        return self._events.twins(items)

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | ItemError]:
        for send in sends:
            _check(send.kind)
        return EventWrites(self._http, self._events, self._home, self._clock, self._zone).run(sends)


def _check(kind: str) -> None:
    if kind != KIND:
        raise ValueError("a calendar holds events alone")
