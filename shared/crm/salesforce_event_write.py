"""Writes events to Salesforce: batches of creates, patches and deletes in few calls, each answered by itself.

Rules that hold here (design sections 4 and 5):
- A create carries our key: a second one with it is refused by Salesforce and is `Stale` here. Creates go by collections.
- A patch is refused where the event moved since it was last seen (If-Unmodified-Since); so is a change of its relations and
  a delete, for which the version is read right before: Salesforce takes no condition there.
- The version that is answered comes from a query in the same call as the last write of its event, and a patch looks before
  it as well. Where somebody else wrote last, or more has changed than was sent (a flow that ran with the write, seconds that
  were dropped), the version before is answered, so that the event is read again.
- A row that is locked is tried once more at once, what is locked still is `Stale`. A relation that is refused leaves the
  event as it stands.
- A field that Salesforce does not know for this user is left to the caller, who comes back with the user's own description.

It must never write an event twice by itself, nor let a word of the vendor's errors out.

Source: REST API Developer Guide, "Conditional Requests", "sObject Collections", "Composite"; Object Reference, Event.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from shared.core.errors import Bug, Gone, ItemError, Refused, Retry, Stale, SyncError, bug_or
from shared.crm import salesforce_ask, salesforce_event_map, salesforce_event_people
from shared.crm.salesforce_client import PARTS, QUERIES, Client, Part, Reply
from shared.crm.salesforce_errors import row_error, translated
from shared.crm.salesforce_event_map import KEY, Org, Row
from shared.crm.salesforce_event_people import CONTACT, Changes, Relation, Seats
from shared.crm.salesforce_event_read import read_events, relation_statements, relations_in
from shared.ports import Send, Sent

BATCH = 200
ANY = "*"  #: any version, RFC 9110 13.1.1
PEOPLE = frozenset({"people", "answers"})
DUPLICATE = "refused.duplicate_value"
COLLECTIONS = "composite/sobjects"
PATCHES = PARTS - 2  #: in one call, between a look before and a look after

Answer = Sent | SyncError


@dataclass(frozen=True)
class Draft:
    """One write of an event as it is made. `seats`: where people shall sit, None = as they do. `relations`: those the event
    has, None = they have to be read. `owner` of the event. `previous`: its row as it was read before."""

    send: Send
    id: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    seats: Seats | None = None
    relations: tuple[Relation, ...] | None = ()
    owner: str = ""
    previous: Row | None = None


@dataclass(frozen=True)
class Standing:
    """An event as it stands before it is written, with its relations."""

    row: Row
    relations: tuple[Relation, ...]


@dataclass(frozen=True)
class Change:
    """One change of one relation of an event: a row to make or change, or the id of one to delete."""

    event: str
    method: Literal["POST", "PATCH", "DELETE"]
    what: Any


class Writer:
    """Made for one batch. `org` is what this user sees of events."""

    def __init__(self, client: Client, org: Org, *, user_id: str) -> None:
        self._client = client
        self._org = org
        self._user_id = user_id

    def write(self, sends: Sequence[Send]) -> list[Answer]:
        """Answers in order; of what is nothing to write here, that it is as it was. Raises what stops all of them."""
        answers: dict[int, Answer] = {n: Sent(send.id, send.version) for n, send in enumerate(sends)}
        work: Mapping[str, Callable[[Sequence[Send]], list[Answer]]] = {
            "create": self._create, "patch": self._patch, "delete": self._delete,
        }  # fmt: skip
        for verb, act in work.items():
            places = [n for n, send in enumerate(sends) if send.verb == verb]
            if places:
                answers.update(zip(places, act([sends[n] for n in places]), strict=True))
        return [answers[n] for n in range(len(sends))]

    # --- creating ----------------------------------------------------------------------------------------------------

    def _create(self, sends: Sequence[Send]) -> list[Answer]:
        drafts = [bug_or(partial(self._new, send)) for send in sends]
        sound = [one for one in drafts if isinstance(one, Draft)]
        results = _locked_once_more([one.body for one in sound], partial(self._rows, "POST"))
        made = zip(sound, results, strict=True)
        finished = iter(self._finished([replace(one, id=result) for one, result in made if isinstance(result, str)]))
        answered = iter(
            [next(finished) if isinstance(result, str) else _stale_if_double(sent, result) for sent, result in
             zip(sound, results, strict=True)]
        )  # fmt: skip
        return [next(answered) if isinstance(one, Draft) else one for one in drafts]

    def _new(self, send: Send) -> Draft:
        org, is_private = self._org, send.fields.get("private") == "yes"
        about = "" if is_private else send.related
        people, answers = send.fields.get("people", ()), send.fields.get("answers", ())
        places = salesforce_event_people.seats(
            people, answers, shared=org.shared, owner=self._user_id, private=is_private
        )  # fmt: skip
        if places.who and not places.who[0].startswith(CONTACT):
            about = ""
        own = {"OwnerId": self._user_id, "WhatId": about, KEY: send.key}
        body = salesforce_event_map.written(send.fields, org) | {n: v for n, v in own.items() if org.event.createable(n)}
        body |= self._who(places)
        filled = {name: value for name, value in body.items() if value not in (None, "", [])}
        is_both = org.shared and any(one in places.invited for one in places.who)
        relations = None if is_both else ()
        return Draft(send, "", {"attributes": {"type": "Event"}, **filled}, places, relations, self._user_id)

    def _who(self, places: Seats) -> Mapping[str, Any]:
        if not self._org.event.createable("WhoId"):
            return {}
        return salesforce_event_people.who_fields(places, shared=self._org.shared)

    # --- patching ----------------------------------------------------------------------------------------------------

    def _patch(self, sends: Sequence[Send]) -> list[Answer]:
        standing = self._standing([send.id for send in sends if PEOPLE & send.fields.keys()])
        drafts = [bug_or(partial(self._edited, send, standing)) for send in sends]
        sound = [one for one in drafts if isinstance(one, Draft)]
        results = _locked_once_more(sound, self._patched)
        made = list(zip(sound, results, strict=True))
        finished = iter(self._finished([one for one, result in made if one.seats and isinstance(result, str)]))
        answered = iter([_patch_answer(one, result, finished) for one, result in made])
        return [next(answered) if isinstance(one, Draft) else one for one in drafts]

    def _edited(self, send: Send, standing: Mapping[str, Standing]) -> Draft | SyncError:
        body = salesforce_event_map.written(send.fields, self._org)
        is_made_private = send.fields.get("private") == "yes"
        alone = Draft(send, send.id, {**body, **(self._about_nobody() if is_made_private else {})})
        if not PEOPLE & send.fields.keys():
            return alone
        before = standing.get(send.id)
        if before is None:
            return Gone()
        if send.version not in (ANY, before.row["SystemModstamp"]):
            return Stale()
        if is_made_private or ("private" not in send.fields and before.row.get("IsPrivate")):
            return alone
        return self._seated(replace(alone, previous=before.row), before)

    def _seated(self, draft: Draft, before: Standing) -> Draft:
        """The draft with the places of its people."""
        owner, relations, who = str(before.row["OwnerId"]), before.relations, str(before.row.get("WhoId") or "")
        fields, shared = draft.send.fields, self._org.shared
        people = fields.get("people", salesforce_event_people.people_of(who, relations, owner))
        answers = fields.get("answers", salesforce_event_people.answers_of(relations, owner))
        about = str(before.row.get("WhatId") or "")
        places = salesforce_event_people.seats(people, answers, shared=shared, owner=owner, about=about, primary=who)
        if set(places.who) == salesforce_event_people.with_whom(who, relations):
            return replace(draft, seats=places, relations=relations, owner=owner)
        body = {**draft.body, **self._who(places)}
        return replace(draft, body=body, seats=places, relations=None if shared else relations, owner=owner)

    def _about_nobody(self) -> Mapping[str, Any]:
        """What a patch that makes an event private takes off it."""
        return {**self._who(Seats()), **({"WhatId": None} if self._org.event.createable("WhatId") else {})}

    def _patched(self, drafts: Sequence[Draft]) -> list[str | SyncError]:
        """The version of each after its patch, "" where its relations are still to be written and nothing else was."""
        results: list[str | SyncError] = [""] * len(drafts)
        calls = [n for n, one in enumerate(drafts) if one.body or not one.seats]
        for start in range(0, len(calls), PATCHES):
            some = calls[start : start + PATCHES]
            for n, result in zip(some, self._patch_call([drafts[n] for n in some]), strict=True):
                results[n] = result
        return results

    def _patch_call(self, drafts: Sequence[Draft]) -> list[str | SyncError]:
        parts = [
            Part("PATCH", f"sobjects/Event/{one.id}", one.body, _unless_changed(one.send.version), name=f"p{n}")
            for n, one in enumerate(drafts)
            if one.body
        ]
        ids = [one.id for one in drafts]
        first, *replies = self._client.composite([self._rows_of(ids, "before"), *parts, self._rows_of(ids, "after")])
        named = dict(zip([part.name for part in parts], replies, strict=False))
        before, after = _by_id(first), _by_id(replies[-1])
        results: list[str | SyncError] = []
        for n, one in enumerate(drafts):
            reply = named.get(f"p{n}")
            is_refused = reply is not None and reply.status >= 300
            version = self._version(replace(one, previous=one.previous or before.get(one.id)), after)
            results.append(self._error(reply) if reply and is_refused else version)
        return results

    # --- deleting ----------------------------------------------------------------------------------------------------

    def _delete(self, sends: Sequence[Send]) -> list[Answer]:
        head = "SELECT Id, SystemModstamp, IsDeleted FROM Event WHERE "
        asked = salesforce_ask.packed(head, ["Id"], [salesforce_ask.literal(send.id) for send in sends], "")
        rows = self._client.ask([("Event", soql) for soql in asked], archived=("Event",))["Event"]
        stamps = {row["Id"]: row["SystemModstamp"] for row in rows if not row["IsDeleted"]}
        checked = [_may_go(send, stamps) for send in sends]
        ids = [send.id for send, problem in zip(sends, checked, strict=True) if problem is None]
        results = iter(_locked_once_more(ids, partial(self._rows, "DELETE")))
        done = [next(results) if problem is None else problem for problem in checked]
        return [
            Sent(send.id, send.version) if isinstance(one, str) else one for send, one in zip(sends, done, strict=True)
        ]  # fmt: skip

    # --- relations and versions --------------------------------------------------------------------------------------

    def _finished(self, drafts: Sequence[Draft]) -> list[Answer]:
        """Writes the relations of events that stand, and reads their versions."""
        if not drafts:
            return []
        relations = self._relations([one.id for one in drafts if one.relations is None])
        sorted_out = [bug_or(partial(self._changes, one, relations.get(one.id, ()))) for one in drafts]
        changes = [change for one in sorted_out if not isinstance(one, Bug) for change in one]
        ids = [one.id for one in drafts]
        failed, rows = self._related(changes, ids)
        if locked := [change for change, problem in failed if isinstance(problem, Retry)]:
            with contextlib.suppress(SyncError):
                failed, rows = self._related(locked, ids)
        stale = {change.event for change, problem in failed if isinstance(problem, Retry)}
        return [
            problem if isinstance(problem, Bug) else Stale() if one.id in stale else Sent(one.id, self._version(one, rows))
            for one, problem in zip(drafts, sorted_out, strict=True)
        ]

    def _changes(self, draft: Draft, read: Sequence[Relation]) -> list[Change]:
        if draft.seats is None or not self._org.relation.exists:
            return []
        relations = read if draft.relations is None else draft.relations
        wanted: Changes = salesforce_event_people.changes(
            draft.id, draft.seats, relations, flags=self._org.shared, owner=draft.owner
        )
        return [
            *(Change(draft.id, "POST", row) for row in wanted.make),
            *(Change(draft.id, "PATCH", row) for row in wanted.change),
            *(Change(draft.id, "DELETE", one) for one in wanted.delete),
        ]

    def _related(
        self, changes: Sequence[Change], ids: Sequence[str]
    ) -> tuple[list[tuple[Change, SyncError]], Mapping[str, Row]]:
        """Makes the changes; answers those that failed, and the rows of the events after the last of them."""
        chunks = [
            some[start : start + BATCH]
            for method in ("POST", "PATCH", "DELETE")
            for some in [[change for change in changes if change.method == method]]
            for start in range(0, len(some), BATCH)
        ]
        parts = [*(_collection(chunk[0].method, [one.what for one in chunk]) for chunk in chunks), self._rows_of(ids, "after")]
        replies = [
            reply
            for start in range(0, len(parts), QUERIES)
            for reply in self._client.composite(parts[start : start + QUERIES])
        ]  # fmt: skip
        failed: list[tuple[Change, SyncError]] = []
        for chunk, reply in zip(chunks, replies, strict=False):
            results = self._results(reply, len(chunk))
            failed += [(one, result) for one, result in zip(chunk, results, strict=True) if isinstance(result, SyncError)]
        return failed, _by_id(replies[-1])

    def _standing(self, ids: Sequence[str]) -> Mapping[str, Standing]:
        if not ids:
            return {}
        rows = read_events(self._client, self._org, "Id", ids, with_relations=True)
        return {
            row["Id"]: Standing(row, tuple(relations or ())) for row, relations in rows if not row["IsDeleted"]
        }  # fmt: skip

    def _relations(self, ids: Sequence[str]) -> Mapping[str, Sequence[Relation]]:
        if not ids:
            return {}
        return relations_in(self._client.ask(relation_statements(self._org, ids), archived=("EventRelation",)))

    def _rows_of(self, ids: Sequence[str], name: str) -> Part:
        among = ",".join(salesforce_ask.literal(one) for one in ids)
        soql = f"SELECT {self._org.columns()} FROM Event WHERE Id IN ({among})"
        return Part("GET", f"queryAll?q={quote(soql, safe='')}", name=name)

    def _version(self, draft: Draft, after: Mapping[str, Row]) -> str:
        """The version after the write; the one before where the event may have been changed by more than the write."""
        send, row, previous = draft.send, after.get(draft.id), draft.previous
        before = send.version if send.verb == "patch" and send.version != ANY else ""
        if row is None or str(row["LastModifiedById"])[:15] != self._user_id[:15]:
            return before
        if previous is not None and before not in ("", previous["SystemModstamp"]):
            return before
        is_held = bug_or(partial(salesforce_event_map.holds, row, send.fields, self._user_id, previous))
        return str(row["SystemModstamp"]) if is_held is True else before

    # --- rows --------------------------------------------------------------------------------------------------------

    def _rows(self, method: Literal["POST", "DELETE"], what: Sequence[Any]) -> list[str | SyncError]:
        """Writes rows by a collection: the id or the error of each."""
        part = _collection(method, what)
        try:
            reply = Reply(200, self._client.call(part.method, part.path, part.body))
        except Refused as refusal:  # of the whole collection
            return [refusal for _ in what]
        return self._results(reply, len(what), gone=method == "DELETE")

    def _results(self, reply: Reply, count: int, *, gone: bool = False) -> list[str | SyncError]:
        """`gone`: a record that is not there is the one that was named, not one that it refers to."""
        if reply.status >= 300 or not isinstance(reply.body, list):
            problem = self._error(reply)
            if not isinstance(problem, ItemError | Retry):
                raise problem
            return [problem] * count
        now = self._client.clock.now()
        translate: Callable[[Any], SyncError] = (
            (lambda one: translated(400, one.get("errors"), now)) if gone else (lambda one: row_error(one, now))
        )
        return [str(one["id"]) if one.get("success") else bug_or(partial(translate, one)) for one in reply.body]

    def _error(self, reply: Reply) -> SyncError:
        return translated(reply.status, reply.body, self._client.clock.now())


def _unless_changed(version: str) -> Mapping[str, str]:
    if version in (ANY, ""):
        return {}
    return {"If-Unmodified-Since": format_datetime(salesforce_event_map.read_moment(version), usegmt=True)}


def _locked_once_more[T](
    items: Sequence[T], act: Callable[[Sequence[T]], list[str | SyncError]]
) -> list[str | SyncError]:  # fmt: skip
    """What `act` makes of the items; those that were locked are tried once more."""
    if not items:
        return []
    results = act(items)
    locked = [n for n, one in enumerate(results) if isinstance(one, Retry)]
    if locked:
        with contextlib.suppress(SyncError):  # what stands already must be told of
            for n, result in zip(locked, act([items[n] for n in locked]), strict=True):
                results[n] = result
    return results


def _collection(method: str, what: Sequence[Any]) -> Part:
    if method == "DELETE":
        return Part("DELETE", f"{COLLECTIONS}?ids={','.join(what)}&allOrNone=false")
    return Part(method, COLLECTIONS, {"allOrNone": False, "records": list(what)})


def _by_id(reply: Reply) -> Mapping[str, Row]:
    """The rows of a query by their id, none where it was refused."""
    return {row["Id"]: row for row in reply.body["records"]} if reply.status < 300 else {}


def _stale_if_double(draft: Draft, problem: SyncError) -> SyncError:
    """A record with this key is there already: it is found by it."""
    return Stale() if draft.send.key and isinstance(problem, Refused) and problem.code == DUPLICATE else problem


def _patch_answer(draft: Draft, result: str | SyncError, finished: Iterator[Answer]) -> Answer:
    if isinstance(result, SyncError):
        return result
    return next(finished) if draft.seats else Sent(draft.id, result)


def _may_go(send: Send, stamps: Mapping[str, str]) -> SyncError | None:
    """What keeps an event from being deleted."""
    if send.id not in stamps:
        return Gone()
    return None if send.version in (ANY, stamps[send.id]) else Stale()
