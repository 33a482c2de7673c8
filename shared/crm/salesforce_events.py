"""Events in Salesforce: `Provider` of the ports for the kind "event", over REST, as one user of one org, for one session.

Rules that hold here (design sections 4 and 5; behaviour.md 1.4):
- Calls are few: 200 events are read in one call, found in two, made in two or three, patched in nine, deleted in two.
- What is read includes deleted and archived events: one that ended long ago is still there. One that is not answered at all
  is not deleted for that: it may be hidden from this user (owner, sharing). Nothing is known of it, and it is not written.
- A listing holds the user's own events of the window, by id: each page stands for itself, and its cursor is the last id.
- Where Salesforce does not know a field for this user that the org's description has, the user gets a description of their
  own and the work is done once more.
- An occurrence of a Lightning series is never written: since API 58.0 a change of a coming one changes the whole series.
- A mistake of our own at one event is that one's: a write of it is a Bug, and of one that cannot be read nothing is known.

It must never list a child event or tell one user of another's, nor let a word of the vendor's errors out.

Source: REST API Developer Guide, "QueryAll", "Composite"; SOQL and SOSL Reference; Object Reference, Event and EventRelation.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import requests

from shared.core import fields as law
from shared.core.errors import Bug, CursorExpired, ItemError, Refused, Retry, SyncError, bug_or
from shared.core.model import Item, Seen
from shared.crm import salesforce_ask, salesforce_event_map
from shared.crm.budget import Budget
from shared.crm.salesforce_client import Client
from shared.crm.salesforce_errors import answered
from shared.crm.salesforce_event_map import KEY, Org, Row, soql_moment
from shared.crm.salesforce_event_people import Relation
from shared.crm.salesforce_event_read import Found, read_events, with_people
from shared.crm.salesforce_event_write import BATCH, Writer
from shared.crm.salesforce_versions import UNSEEN, is_of_series, stamp_of, version_of
from shared.crm.schema import NOT_SEEN, Schema
from shared.ports import AccessToken, Clock, Page, Send, Sent

PAGE = 4_000
OBJECTS = ("Event", "EventRelation")
OF_SERIES, NOT_VISIBLE = "refused.series", "refused.not_visible"
_ID = re.compile(r"[a-zA-Z0-9]{18}")

T = TypeVar("T")

log = logging.getLogger("mailspan")


class SalesforceEvents:
    """`schema` is the org's, kept by the caller; `budget` is the session's; `user_id` is whose token it is; `since` is the
    start of the window."""

    def __init__(
        self, session: requests.Session, token: AccessToken, *, user_id: str, schema: Schema, budget: Budget, clock: Clock,
        session_id: str, since: datetime,
    ) -> None:  # fmt: skip
        self._client = Client(session, token, budget=budget, clock=clock, session_id=session_id)
        self._user_id = user_id
        self._schema = schema
        self._since = since
        self._asked = clock.now()  # when the last question began

    @property
    def keyed(self) -> bool:
        """Costs the one call that describes the org where nothing is known of it, else none."""
        return self._org().keyed

    # --- reading -----------------------------------------------------------------------------------------------------

    def changes(self, kind: str, cursor: str | None) -> Page:
        """A page of the listing in three calls, two where it is no more than 2,000 events; relations beyond 2,000 rows of a
        statement are further ones."""
        if cursor and not _ID.fullmatch(cursor):
            raise CursorExpired(f"crm.{kind}")
        found = self._with_schema(partial(self._listed, cursor or ""))
        self._schema.refresh(OBJECTS, self._user_id, self._client.describe)
        last = str(found[-1][0]["Id"]) if found else cursor or ""
        return Page(tuple(self._seen(found)), last, len(found) < PAGE, listing=True)

    def read(self, kind: str, ids: Sequence[str]) -> Mapping[str, Seen]:
        """One call for 200; one more for each 2,000 rows of an answer."""
        if not ids:
            return {}
        found = self._with_schema(lambda org: read_events(self._client, org, "Id", ids, with_relations=True))
        self._schema.refresh(OBJECTS, self._user_id, self._client.describe)
        there = {seen.id: seen for seen in self._seen(found)}
        return {event_id: there.get(event_id) or salesforce_event_map.not_visible(event_id) for event_id in ids}

    def find(self, kind: str, keys: Sequence[str]) -> Mapping[str, Seen]:
        """One call, two where something is found."""
        if not keys or not self.keyed:
            return {}
        alive = " AND IsDeleted = false"
        found = self._with_schema(
            lambda org: read_events(self._client, org, KEY, keys, condition=alive) if org.keyed else []
        )  # fmt: skip
        return {seen.key: seen for seen in self._seen(found) if seen.key in keys}

    def made_since(self, kind: str, since: datetime) -> Sequence[Seen]:
        """One call, two where something is found."""
        mine = f"CreatedById = {salesforce_ask.literal(self._user_id)}"
        condition = f"{mine} AND CreatedDate >= {soql_moment(since)} AND IsChild = false AND IsDeleted = false"
        return self._seen(self._with_schema(partial(self._selected, f"{condition} ORDER BY CreatedDate, Id")))

    def twins(self, items: Sequence[Item]) -> Sequence[Sequence[Seen]]:
        """One call, two where something begins at the same time."""
        starts = salesforce_event_map.starts(items)
        found = self._seen(self._with_schema(partial(self._starting, starts))) if starts else []
        twins: dict[object, list[Seen]] = {}
        for seen in found:
            if seen.item is not None and not seen.key and not seen.facts.never:
                twins.setdefault(law.natural_key(seen.item), []).append(seen)
        keys = [law.natural_key(item) for item in items]
        return [[] if key is None else twins.get(key, []) for key in keys]

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | ItemError]:
        """Answers in order. Raises what stops all of them."""
        if len(sends) > BATCH:
            raise ValueError(f"a write takes at most {BATCH} sends, not {len(sends)}")
        if not sends:
            return []
        barred = {n: code for n, send in enumerate(sends) if (code := _barred(send))}
        may = [send for n, send in enumerate(sends) if n not in barred]
        written = iter(self._write(may) if may else ())
        return [Refused(barred[n]) if n in barred else next(written) for n in range(len(sends))]

    def _write(self, wanted: Sequence[Send]) -> Sequence[Sent | ItemError]:
        sends = [replace(send, version=stamp_of(send.version)) for send in wanted]
        now = self._client.clock.now()
        answers = self._writer().write(sends)
        unseen = [n for n, one in enumerate(answers) if isinstance(one, Refused) and one.code in NOT_SEEN]
        if unseen:
            self._schema.own(OBJECTS, self._user_id, self._client.describe)
            for n, answer in zip(unseen, self._writer().write([sends[n] for n in unseen]), strict=True):
                answers[n] = answer
        if not any(isinstance(one, Sent) for one in answers):
            for one in answers:
                if isinstance(one, SyncError) and not isinstance(one, ItemError | Retry):
                    raise one
        return [
            _versioned(send, one, now) if isinstance(one, Sent) else answered(one)
            for send, one in zip(wanted, answers, strict=True)
        ]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _org(self) -> Org:
        seen = self._schema.of(OBJECTS, self._user_id, self._client.describe)
        return Org(seen["Event"], seen["EventRelation"])

    def _writer(self) -> Writer:
        return Writer(self._client, self._org(), user_id=self._user_id)

    def _with_schema(self, work: Callable[[Org], T]) -> T:
        """Does the work with what is known of the org; a second time where that was more than this user may see."""
        self._asked = self._client.clock.now()
        try:
            return work(self._org())
        except Refused as refusal:
            if refusal.code not in NOT_SEEN:
                raise
        self._schema.own(OBJECTS, self._user_id, self._client.describe)
        return work(self._org())

    def _seen(self, found: Found) -> list[Seen]:
        """What is younger than the question may change again under the same stamp."""
        seen = [(self._one(row, relations), bool(row.get("IsRecurrence2"))) for row, relations in found]
        return [replace(one, version=version_of(one.version, self._asked, of_series=series)) for one, series in seen]

    def _one(self, row: Row, relations: Iterable[Relation] | None) -> Seen:
        seen = bug_or(partial(salesforce_event_map.seen, row, relations, self._user_id))
        if isinstance(seen, Bug):
            log.error(json.dumps({"event": "row unreadable", "kind": seen.kind, "place": seen.place}))
            return salesforce_event_map.unreadable(row)
        return seen

    def _listed(self, after: str, org: Org) -> Found:
        """The end of an all-day event may be the midnight before its last day is over: a day more is asked for."""
        further = f" AND Id > {salesforce_ask.literal(after)}" if after else ""
        condition = f"{self._own()} AND EndDateTime >= {soql_moment(self._since - timedelta(days=1))}{further}"
        return self._selected(f"{condition} ORDER BY Id LIMIT {PAGE}", org)

    def _selected(self, condition: str, org: Org) -> Found:
        return with_people(self._client, org, [("Event", f"SELECT {org.columns()} FROM Event WHERE {condition}")])

    def _starting(self, starts: Iterable[str], org: Org) -> Found:
        head = f"SELECT {org.columns()} FROM Event WHERE "
        tail = f" AND {self._own()}{f' AND {KEY} = null' if org.keyed else ''} ORDER BY CreatedDate, Id"
        asked = [("Event", soql) for soql in salesforce_ask.packed(head, ["StartDateTime"], starts, tail)]
        return with_people(self._client, org, asked)

    def _own(self) -> str:
        return f"OwnerId = {salesforce_ask.literal(self._user_id)} AND IsChild = false AND IsDeleted = false"


def _versioned(send: Send, sent: Sent, now: datetime) -> Sent:
    """A write that left the stamp as it was says nothing new of what the record held: its version stays as it was, too."""
    if sent.version == stamp_of(send.version):
        return replace(sent, version=send.version)
    return replace(sent, version=version_of(sent.version, now, of_series=is_of_series(send.version)))


def _barred(send: Send) -> str:
    """Why this write is not made, or ""."""
    if is_of_series(send.version):
        return OF_SERIES
    return NOT_VISIBLE if send.version == UNSEEN else ""
