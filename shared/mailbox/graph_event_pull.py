"""One page of what changed in a Graph calendar.

| the cursor is | the page is |
|---|---|
| None, or its window is older than REBASE | the first of a full round over a new window: a listing |
| in a round | the next page of it |
| at the end of a round, the mailbox has a series, a day has passed | occurrences that came within sight meanwhile: one list |
| at the end of a round | what changed since |

Rules that hold here:
- A round sees single events of the whole window, and of a series the occurrences that begin soon and are not long over.
- A delta tells little of an occurrence and may not show the series: what is missing is read, in one batch a page.
- @removed may mean that an event left the window: each is read, and only what is not there is gone. That a series is gone, or
  is a single event now, is said with an empty group.
- A quiet calendar costs one request, and its cursor stays as it is: a link to where nothing changed is kept for a day.

Source: learn.microsoft.com/graph/api/event-delta, /graph/delta-query-events, /graph/api/user-list-calendarview.
It must never conclude from a page without a series' own word that an occurrence is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shared.core.errors import CursorExpired, Gone, ItemError, MailboxMissing, Unavailable
from shared.core.model import Seen
from shared.mailbox import graph_event_map as read
from shared.mailbox.graph_event_map import KIND, Json
from shared.mailbox.graph_event_read import Events, Found, settled
from shared.mailbox.graph_http import Answer, GraphHttp, Part
from shared.mailbox.graph_map import moment, text
from shared.mailbox.graph_streams import LINK_LASTS, query, time_text
from shared.ports import Page

PAGE = 100
REBASE = timedelta(days=30)
#: how often occurrences that came within sight are looked for
EXTENDS = timedelta(days=1)
_DEAD = (CursorExpired, Gone)


@dataclass(frozen=True)
class Window:
    """What is looked at around now: single events from `back_days` before to `ahead_days` after, of a series the occurrences up
    to `occurrences_ahead_days` after."""

    back_days: int = 14
    ahead_days: int = 731
    occurrences_ahead_days: int = 30


@dataclass(frozen=True)
class Cursor:
    """`link` "" = begin; `at` when it was given, "" in the midst of a round; `begin`, `end`: the window of the round, `began`:
    when it was settled; `listing`: this is its first round; `series`: the calendar has one.

    `told`: occurrences that begin before it were looked at; `view` and `until` of a list of further ones that is under way."""

    link: str = ""
    at: str = ""
    begin: str = ""
    end: str = ""
    began: str = ""
    listing: bool = False
    series: bool = False
    told: str = ""
    view: str = ""
    until: str = ""


def written(cursor: Cursor) -> str:
    return json.dumps({name: value for name, value in asdict(cursor).items() if value}, separators=(",", ":"))


def read_cursor(source: str) -> Cursor:
    """Raises CursorExpired for what is none of ours."""
    try:
        return Cursor(**json.loads(source))
    except (TypeError, ValueError):
        raise CursorExpired(KIND) from None


@dataclass
class _Told:
    """What a page says: by our id, and by series the ids of its occurrences."""

    seen: dict[str, Seen] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)


class EventPull:
    """One page. `home` is the mailbox's path."""

    def __init__(self, http: GraphHttp, events: Events, home: str, now: datetime, window: Window, cursor: str | None) -> None:
        self._http, self._events, self._home, self._window = http, events, home, window
        self._now = now.astimezone(UTC).replace(microsecond=0)
        self._oldest = self._now - timedelta(days=window.back_days)
        self._latest = self._now + timedelta(days=window.occurrences_ahead_days)
        self._cursor = self._current(cursor)

    def _current(self, source: str | None) -> Cursor:
        if source is not None:
            cursor = read_cursor(source)
            began = moment(cursor.began)
            if began is not None and self._now - began < REBASE:
                return cursor
        end = self._now + timedelta(days=self._window.ahead_days)
        begin, end_text, now, told = (time_text(when) for when in (self._oldest, end, self._now, self._latest))
        return Cursor(begin=begin, end=end_text, began=now, listing=True, told=told)

    def run(self) -> Page:
        return self._further_occurrences() if self._is_extended() else self._round()

    # --- a round

    def _round(self) -> Page:
        cursor = self._cursor
        window = f"?startDateTime={cursor.begin}&endDateTime={cursor.end}"
        url = cursor.link or f"{self._home}/calendarView/delta{window}"
        answer = self._answer(Part(KIND, url, prefer=f"odata.maxpagesize={PAGE}", stream=KIND))
        items = {name: item for item in answer.value if (name := text(item.get("id")))}  # the last word on an id counts
        link, done = self._link(answer)
        if done and not items and not cursor.listing and self._is_fresh():
            return Page((), written(cursor), True, tells_keys=False)
        told = self._tell(items)
        has_series = any(read.is_occurrence(one) or read.kind_of(one) == read.MASTER for one in items.values())
        after = replace(
            cursor,
            link=link,
            at=time_text(self._now) if done else "",
            listing=cursor.listing and not done,
            series=cursor.series or has_series,
        )
        seen = tuple(told.seen.values())
        return Page(seen, written(after), done, listing=cursor.listing, tells_keys=False, groups=told.groups)

    def _answer(self, part: Part) -> Answer:
        """Raises CursorExpired where the link is dead, MailboxMissing where there is no calendar."""
        answer = self._http.batch([part])[part.id]
        if answer.error is None:
            return answer
        if self._cursor.link and isinstance(answer.error, _DEAD):
            raise CursorExpired(KIND)
        if isinstance(answer.error, Gone):
            raise MailboxMissing()
        raise Unavailable() if isinstance(answer.error, ItemError | CursorExpired) else answer.error

    def _link(self, answer: Answer) -> tuple[str, bool]:
        """(where to read on, whether the round is done)."""
        for name, done in (("@odata.nextLink", False), ("@odata.deltaLink", True)):
            link = answer.body.get(name)
            if isinstance(link, str):
                return self._http.below(link), done
        raise Unavailable()

    def _is_fresh(self) -> bool:
        at = moment(self._cursor.at)
        return at is not None and self._now - at < LINK_LASTS

    # --- what the items of a round say

    def _tell(self, items: Mapping[str, Json]) -> _Told:
        told = _Told()
        masters = {event_id: one for event_id, one in items.items() if read.kind_of(one) == read.MASTER}
        series: dict[str, list[Json]] = {event_id: [] for event_id in masters}
        again: list[str] = []
        for event_id, one in items.items():
            if "@removed" in one or not read.kind_of(one):
                again.append(event_id)
            elif read.is_occurrence(one):
                series.setdefault(text(one.get("seriesMasterId")), []).append(one)
            elif event_id not in masters:
                self._tell_single(told, event_id, one, again)
        answers = self._read_more(again, series, masters)
        for master_id, occurrences in series.items():
            self._tell_series(told, master_id, masters.get(master_id), occurrences)
        self._tell_again(told, answers)
        return told

    def _tell_single(self, told: _Told, event_id: str, one: Json, again: list[str]) -> None:
        if not read.is_whole(one):
            again.append(event_id)
            return
        told.seen[event_id] = read.seen(one)
        if not self._cursor.listing:
            told.groups[event_id] = ()  # it may have been a series until now

    def _read_more(
        self, again: Sequence[str], series: Mapping[str, Sequence[Json]], masters: dict[str, Json]
    ) -> Mapping[str, Answer]:
        """Reads in one batch what has to be read again, answered by id, and the series that were not shown, put into
        `masters`."""
        near = [name for name, ones in series.items() if any(self._is_near(read.span(one)) for one in ones)]
        missing = [name for name in near if name not in masters or not read.is_whole(masters[name])]
        answers = self._whole([*missing, *again])
        for name in missing:
            if settled(answer := answers[name]) is None:
                masters[name] = answer.body
            elif not isinstance(answer.error, Gone):
                raise Unavailable()
        return {name: answers[name] for name in again}

    def _whole(self, event_ids: Iterable[str]) -> Mapping[str, Answer]:
        wanted = list(dict.fromkeys(event_ids))
        answers = self._http.batch([self._events.whole_part(str(n), name) for n, name in enumerate(wanted)])
        return {name: answers[str(n)] for n, name in enumerate(wanted)}

    def _is_near(self, span: tuple[datetime | None, datetime | None]) -> bool:
        """Whether an occurrence is one that is reported."""
        begin, end = span
        return begin is not None and end is not None and begin < self._latest and max(end, begin) > self._oldest

    def _tell_series(self, told: _Told, master_id: str, master: Json | None, occurrences: Iterable[Json]) -> None:
        """A series that is gone by now is told so by the next round."""
        near = [one for one in occurrences if self._is_near(read.span(one))] if master is not None else []
        odd = [one for one in near if read.kind_of(one) == read.EXCEPTION and not read.is_whole(one)]
        reread = self._events.read([read.occurrence_id(one, master) for one in odd]) if odd else {}
        ids = []
        for one in near if master is not None else ():
            item_id = read.occurrence_id(one, master)
            ids.append(item_id)
            whole = reread.get(item_id, Found(read.merged(one, master or {}), master))
            told.seen[item_id] = _seen(item_id, whole)
        told.groups[master_id] = tuple(ids)
        if not self._cursor.listing:
            told.seen[master_id] = read.gone(master_id)  # a series is no item, whatever it was until now

    def _tell_again(self, told: _Told, answers: Mapping[str, Answer]) -> None:
        """What was @removed or told in part, as it is now. An occurrence is told under its own name."""
        occurrences = []
        for event_id, answer in answers.items():
            error = settled(answer)
            if error is None and read.is_occurrence(answer.body):
                occurrences.append(answer.body)
                continue
            is_single = error is None and read.kind_of(answer.body) == read.SINGLE
            found = Found(answer.body) if is_single else error or Gone()
            told.seen[event_id] = _seen(event_id, found)
            told.groups.setdefault(event_id, ())
        if not occurrences:
            return
        masters = self._whole(text(one.get("seriesMasterId")) for one in occurrences)
        for one in occurrences:
            master = masters[text(one.get("seriesMasterId"))]
            if settled(master) is None:
                told.seen.setdefault(read.occurrence_id(one, master.body), read.seen(one, master.body))

    # --- occurrences that came within sight

    def _is_extended(self) -> bool:
        cursor, told = self._cursor, moment(self._cursor.told)
        if cursor.view:
            return True
        return bool(cursor.at and cursor.series and told is not None and self._latest - told >= EXTENDS)

    def _further_occurrences(self) -> Page:
        """One page of the list, which says nothing of what is not in it; the round itself is still to come."""
        cursor = self._cursor if self._cursor.view else replace(self._cursor, until=time_text(self._latest))
        window = f"startDateTime={cursor.told}&endDateTime={cursor.until}"
        url = f"{query(f'{self._home}/calendarView', select=read.EVENT, top=PAGE)}&{window}"
        try:
            answer = self._answer(Part(KIND, cursor.view or url, stream=KIND))
        except CursorExpired:
            if not cursor.view:
                raise Unavailable() from None
            return Page((), written(replace(cursor, view="", until="")), False, tells_keys=False)
        occurrences = [one for one in answer.value if read.is_occurrence(one) and self._is_near(read.span(one))]
        masters: dict[str, Json] = {}
        series = dict.fromkeys(text(one.get("seriesMasterId")) for one in occurrences)
        self._read_more((), dict.fromkeys(series, occurrences), masters)
        found = [(one, masters[name]) for one in occurrences if (name := text(one.get("seriesMasterId"))) in masters]
        seen = {read.occurrence_id(one, master): read.seen(read.merged(one, master), master) for one, master in found}
        link = answer.body.get("@odata.nextLink")
        if isinstance(link, str):
            after = replace(cursor, view=self._http.below(link))
        else:
            after = replace(cursor, told=cursor.until, view="", until="")
        return Page(tuple(seen.values()), written(after), False, tells_keys=False)


def _seen(item_id: str, found: Found | ItemError) -> Seen:
    """Raises Unavailable for what could not be read: nobody knows whether it is there."""
    if isinstance(found, Found):
        return found.seen
    if isinstance(found, Gone):
        return read.gone(item_id)
    raise Unavailable()


def seen_all(ids: Iterable[str], found: Mapping[str, Found | ItemError]) -> dict[str, Seen]:
    return {item_id: _seen(item_id, found[item_id]) for item_id in ids}
