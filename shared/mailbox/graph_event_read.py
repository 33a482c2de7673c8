"""Events of a Graph mailbox by our ids, by our keys, and by when they begin: what is asked, and what the answers mean.

Rules that hold here:
- Everything is asked as parts of one $batch, so that reading and looking up go together.
- An occurrence is read through its series: the series whole with its exceptions, and when its occurrences begin. One that is
  neither among them is cancelled; a series that is none any more has none.
- What cannot be read is never called gone: gone is what the vendor says is not there.

Sources: learn.microsoft.com/graph/api/event-get (exceptionOccurrences), /graph/api/event-list-instances,
/graph/api/user-list-events, /graph/api/resources/singlevaluelegacyextendedproperty.
It must never write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from shared.core.errors import Gone, ItemError, Unavailable
from shared.core.fields import natural_key
from shared.core.model import Item, Seen
from shared.mailbox import graph_event_map as read
from shared.mailbox.graph_event_map import Json
from shared.mailbox.graph_http import Answer, GraphHttp, Part
from shared.mailbox.graph_map import text
from shared.mailbox.graph_streams import query, time_text

#: a series begins once a day at most, so that one listing of this span is one page
SPAN = timedelta(days=60)
MARGIN = timedelta(days=1)
PAGE = 200
#: events that begin in the same minute, of which one may be a twin
SAME_START = 50


@dataclass(frozen=True)
class Found:
    """A whole event; `master` is the series of an occurrence. The event's id is the vendor's."""

    event: Json
    master: Json | None = None

    @property
    def seen(self) -> Seen:
        return read.seen(self.event, self.master)

    @property
    def version(self) -> str:
        return read.version_of(self.event, self.master)


Lookup = Mapping[str, Found | ItemError]


class Events:
    """`home` is the mailbox's path."""

    def __init__(self, http: GraphHttp, home: str) -> None:
        self._http, self._home = http, home

    def path(self, event_id: str) -> str:
        return f"{self._home}/events/{quote(event_id, safe='')}"

    def read(self, ids: Sequence[str]) -> Lookup:
        """The events as they are now, Gone for what is not there."""
        return self.found(ids, self._http.batch(self.parts(ids)))

    # --- by our ids

    def parts(self, ids: Sequence[str]) -> list[Part]:
        singles, series = _sorted_out(ids)
        parts = [self.whole_part(f"e.{n}", event_id) for n, event_id in enumerate(singles)]
        for n, (master, starts) in enumerate(series.items()):
            expand = f"exceptionOccurrences($select={read.EVENT})"
            parts.append(Part(f"m.{n}", query(self.path(master), select=read.EVENT, expand=expand), one_item=True))
            for k, (first, last) in enumerate(_spans(starts)):
                window = f"startDateTime={time_text(first - MARGIN)}&endDateTime={time_text(last + 2 * MARGIN)}"
                url = query(f"{self.path(master)}/instances", select=read.TIMES, top=PAGE)
                parts.append(Part(f"i.{n}.{k}", f"{url}&{window}", one_item=True))
        return parts

    def whole_part(self, name: str, event_id: str) -> Part:
        return Part(name, query(self.path(event_id), select=read.EVENT, expand=read.EXPAND_STAMP), one_item=True)

    def found(self, ids: Sequence[str], answers: Mapping[str, Answer]) -> Lookup:
        """What the answers to `parts` of the same ids say."""
        singles, series = _sorted_out(ids)
        found: dict[str, Found | ItemError] = {}
        for n, event_id in enumerate(singles):
            answer = answers[f"e.{n}"]
            error = settled(answer) or (None if read.kind_of(answer.body) == read.SINGLE else Gone())
            found[event_id] = error or Found(answer.body)
        for n, (master, starts) in enumerate(series.items()):
            listed = [answers[f"i.{n}.{k}"] for k, _ in enumerate(_spans(starts))]
            there = self._occurrences(answers[f"m.{n}"], listed)
            for start in starts:
                found[read.named(master, start)] = there if isinstance(there, ItemError) else there.get(start, Gone())
        return found

    def _occurrences(self, whole: Answer, listed: Sequence[Answer]) -> Mapping[datetime, Found] | ItemError:
        """The occurrences of a series by original start; exceptions as the series tells them, wherever they were moved."""
        if error := settled(whole):
            return error
        master = whole.body
        if read.kind_of(master) != read.MASTER:
            return Gone()
        found: dict[datetime, Found] = {}
        for answer in listed:
            if error := settled(answer):
                return error
            for one in self._all(answer):
                if read.kind_of(one) == read.OCCURRENCE:
                    found[read.original_start(one, master)] = Found(read.merged(one, master), master)
        exceptions = Answer({"value": master.get("exceptionOccurrences")}).value
        return found | {read.original_start(one, master): Found(one, master) for one in exceptions}

    def _all(self, answer: Answer) -> Iterable[Json]:
        yield from answer.value
        link = answer.body.get("@odata.nextLink")
        if isinstance(link, str):
            yield from self._http.pages(self._http.below(link))

    # --- by key, by start

    def key_parts(self, keys: Sequence[str], select: str) -> list[Part]:
        return [Part(f"k.{n}", self._keyed(key, select)) for n, key in enumerate(keys)]

    def _keyed(self, key: str, select: str) -> str:
        value = key.replace("'", "''")
        test = f"singleValueExtendedProperties/Any(ep: ep/id eq '{read.STAMP}' and ep/value eq '{value}')"
        return query(f"{self._home}/events", filter=test, select=select, expand=read.EXPAND_STAMP)

    def with_keys(self, keys: Sequence[str], answers: Mapping[str, Answer]) -> Mapping[str, Json]:
        """By key the oldest event or series that carries exactly it: the vendor compares without case."""
        found: dict[str, Json] = {}
        for n, key in enumerate(keys):
            stamped = [one for one in sound(answers[f"k.{n}"]).value if read.key(one) == key]
            if stamped:
                found[key] = min(stamped, key=_age)
        return found

    def find(self, keys: Sequence[str]) -> Mapping[str, Seen]:
        stamped = self.with_keys(keys, self._http.batch(self.key_parts(keys, read.EVENT)))
        return {key: read.seen(one) for key, one in stamped.items() if read.kind_of(one) == read.SINGLE}

    def twins(self, items: Sequence[Item]) -> Sequence[Sequence[Seen]]:
        """Single events that carry no key of ours and have the item's natural key, oldest first."""
        wanted = {n: (begin, key) for n, one in enumerate(items) if (key := natural_key(one)) and (begin := _begin(one))}
        answers = self._http.batch([Part(f"t.{n}", self._starting(begin)) for n, (begin, _) in wanted.items()])
        twins: list[Sequence[Seen]] = []
        for n in range(len(items)):
            there = sound(answers[f"t.{n}"]).value if n in wanted else []
            singles = [one for one in there if read.kind_of(one) == read.SINGLE and not read.key(one)]
            same = [one for one in singles if natural_key(read.item(one)) == wanted[n][1]]
            twins.append([read.seen(one) for one in sorted(same, key=_age)])
        return twins

    def _starting(self, begin: tuple[datetime, bool]) -> str:
        """Whole days are midnights of some zone, nobody says which: a day to either side is asked for."""
        at, is_all_day = begin
        first, last = (at - MARGIN, at + MARGIN) if is_all_day else (at, at + timedelta(minutes=1))
        day = " and isAllDay eq true" if is_all_day else ""
        test = f"start/dateTime ge '{_wall(first)}' and start/dateTime lt '{_wall(last)}'{day}"
        return query(f"{self._home}/events", filter=test, select=read.EVENT, expand=read.EXPAND_STAMP, top=SAME_START)


def settled(answer: Answer) -> ItemError | None:
    """The item's own error, None where it went well. Raises what is not the item's."""
    if answer.error is None or isinstance(answer.error, ItemError):
        return answer.error
    raise answer.error


def sound(answer: Answer) -> Answer:
    """The answer to a question that names no item: what is wrong with it is wrong with the vendor, to be tried again."""
    if settled(answer) is not None:
        raise Unavailable()
    return answer


def _age(event: Json) -> tuple[str, str]:
    return text(event.get("createdDateTime")), text(event.get("id"))


def _wall(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S")


def _begin(item: Item) -> tuple[datetime, bool] | None:
    """(when the item begins, whether it is of whole days)."""
    begin = str(item.fields.get("when", "")).partition("/")[0]
    try:
        at = datetime.fromisoformat(begin)
    except ValueError:
        return None
    return at, "T" not in begin


def _sorted_out(ids: Sequence[str]) -> tuple[list[str], dict[str, list[datetime]]]:
    """(ids of single events, the original starts wanted of each series), in order and each once."""
    singles: list[str] = []
    series: dict[str, list[datetime]] = {}
    for item_id in dict.fromkeys(ids):
        event_id, start = read.split(item_id)
        if start is None:
            singles.append(event_id)
        else:
            series.setdefault(event_id, []).append(start)
    return singles, {master: sorted(starts) for master, starts in series.items()}


def _spans(starts: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """The starts, which are sorted, in as few spans of at most SPAN as hold them."""
    spans: list[tuple[datetime, datetime]] = []
    for start in starts:
        if spans and start - spans[-1][0] <= SPAN:
            spans[-1] = (spans[-1][0], start)
        else:
            spans.append((start, start))
    return spans
