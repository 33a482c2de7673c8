"""What the adapters need to know of an org's objects: which are there, which fields, how long, filterable, writable.

Rules that hold here:
- Kept in the org's partition, a row per object, for four hours. An older row is used as it is and asked for anew once the
  session's own work is done (one call for all, conditional); waiting for it never holds anything up.
- Where a wanted field is missing, the new one is asked for whatever Salesforce says has changed: a permission that was given
  since may not count there.
- Describe shows what its user may see. The org's row is the view of whoever asked; a user whom Salesforce refuses a field of
  it, or for whom an object is not there, gets rows of their own.
- Only names, types, lengths and flags of the fields in `WANTED` and of e-mail fields are kept: no label, no value.

Source: REST API Developer Guide, "sObject Describe" (If-Modified-Since, 304) and "Composite".
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.core.errors import Retry, SyncError
from shared.ports import Clock, Delete, LinkStore, Place, Put, Row

VERSION = 1
LIFE = timedelta(hours=4)
SKEW = timedelta(minutes=5)  #: by which their clock may differ from ours

#: object -> fields that are asked for by name. E-mail fields come along wherever they are.
WANTED: Mapping[str, tuple[str, ...]] = {
    "Contact": ("AccountId",),
    "Lead": (),
    "User": (),
    "Case": ("CaseNumber", "AccountId"),
    "Opportunity": ("AccountId", "IsClosed"),
    "EmailMessage": (
        "Status", "Incoming", "IsClientManaged", "MessageIdentifier", "ThreadIdentifier", "MessageDate", "FromAddress",
        "FromName", "ToAddress", "CcAddress", "BccAddress", "Subject", "TextBody", "HtmlBody", "RelatedToId",
    ),
    "Task": ("Subject", "Description", "Status", "TaskSubtype", "ActivityDate", "WhoId", "WhatId"),
    "Event": (
        "OwnerId", "Subject", "Location", "Description", "StartDateTime", "EndDateTime", "DurationInMinutes", "IsAllDayEvent",
        "ShowAs", "IsPrivate", "WhoId", "WhatId", "IsRecurrence", "IsRecurrence2", "GroupEventType", "Mailspan_Key__c",
    ),
    "EventRelation": ("Status", "IsInvitee", "IsParent"),
}  # fmt: skip

#: what Salesforce says where our description shows more than this user may see.
NOT_SEEN = frozenset({"refused.invalid_field", "refused.invalid_type", "refused.invalid_field_for_insert_update"})


@dataclass(frozen=True)
class Facts:
    """One field. `length` in UTF-16 units, 0 for what is no text."""

    type: str
    length: int
    filterable: bool
    createable: bool


@dataclass(frozen=True)
class Described:
    """One object as a user sees it. Without `exists` there are no fields."""

    name: str
    exists: bool
    fields: Mapping[str, Facts]

    @property
    def emails(self) -> tuple[str, ...]:
        """The fields that hold an e-mail address, by name."""
        return tuple(sorted(name for name, facts in self.fields.items() if facts.type == "email"))

    def filterable(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in self.fields and self.fields[name].filterable)

    def createable(self, name: str) -> bool:
        return name in self.fields and self.fields[name].createable

    def length(self, name: str) -> int:
        return self.fields[name].length if name in self.fields else 0


@dataclass(frozen=True)
class Answer:
    """What Salesforce says of one object: 200 with the describe's JSON, 304, or 404 (not there for this user)."""

    status: int
    body: Any = None


#: {object: changed since when (UTC), None = whatever it is} -> {object: Answer}; one call.
Describe = Callable[[Mapping[str, datetime | None]], Mapping[str, Answer]]


@dataclass(frozen=True)
class _Kept:
    described: Described
    at: datetime


class Schema:
    """One org's objects. Keep one instance per org and process: it remembers what it read."""

    def __init__(self, store: LinkStore, org: Place, clock: Clock) -> None:
        self._store = store
        self._org = org
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        #: first three characters of the ids of records to which a file cannot be published with its upload, as far as known
        self.no_place: set[str] = set()

    def of(self, names: Collection[str], user_id: str, describe: Describe) -> Mapping[str, Described]:
        """The objects as this user sees them; at most one call, none where they are known."""
        self._remember(names, user_id)
        missing = [name for name in names if self._find(name, user_id) is None]
        if missing:
            self._take(describe(dict.fromkeys(missing)), user_id, own=False)
        found = {name: self._find(name, user_id) for name in names}
        return {name: kept.described if kept else Described(name, False, {}) for name, kept in found.items()}

    def own(self, names: Collection[str], user_id: str, describe: Describe) -> None:
        """Gives this user rows of their own: what the org's rows say was refused to them."""
        self._take(describe(dict.fromkeys(names)), user_id, own=True)

    def renew(self, names: Collection[str], user_ids: Collection[str], describe: Describe) -> None:
        """Forgets what is kept and asks anew, whatever changed: for when the org itself was changed. Users' own rows follow
        when they are next asked for."""
        old = [_key(name, user_id) for name in names for user_id in user_ids]
        rows = self._store.get_many(self._org, old)
        with contextlib.suppress(SyncError):
            if rows:
                self._store.commit(self._org, [Delete(key) for key in rows])
        for key in old:
            self._kept.pop(key, None)
        self._take(describe(dict.fromkeys(names)), "", own=False)

    def refresh(self, names: Collection[str], user_id: str, describe: Describe) -> None:
        """Asks anew for what is older than four hours; where Salesforce is not to be had now, the old stays in use."""
        found = {name: kept for name in names if (kept := self._find(name, user_id)) is not None}
        due = {name: _since(kept) for name, kept in found.items() if self._old(kept)}
        if due:
            with contextlib.suppress(Retry):
                self._take(describe(due), user_id, own=False)

    def _old(self, kept: _Kept) -> bool:
        return self._clock.now() - kept.at >= LIFE

    def _find(self, name: str, user_id: str) -> _Kept | None:
        return self._kept.get(_key(name, user_id)) or self._kept.get(_key(name))

    def _remember(self, names: Collection[str], user_id: str) -> None:
        """Reads rows that are not in memory, or old there: another instance may have asked meanwhile."""
        wanting = [name for name in names if (kept := self._find(name, user_id)) is None or self._old(kept)]
        if not wanting:
            return
        keys = {key: name for name in wanting for key in (_key(name), _key(name, user_id))}
        for key, row in self._store.get_many(self._org, list(keys)).items():
            kept = _kept(keys[key], row)
            if kept is not None:
                self._kept[key] = kept

    def _take(self, answers: Mapping[str, Answer], user_id: str, *, own: bool) -> None:
        now, writes = self._clock.now(), []
        for name, answer in answers.items():
            mine = _key(name, user_id)
            key = mine if own or answer.status == 404 or mine in self._kept else _key(name)
            before = self._kept.get(key)
            if answer.status == 304 and before is not None:
                self._kept[key] = _Kept(before.described, now)
            else:
                self._kept[key] = _Kept(_described(name, answer), now)
            writes.append(Put(key, _value(self._kept[key])))
        if writes:
            with contextlib.suppress(SyncError):  # what could not be kept is asked for again
                self._store.commit(self._org, writes)


def _since(kept: _Kept) -> datetime | None:
    """From when a change of the description matters; None = it is wanted anyway."""
    missing = set(WANTED.get(kept.described.name, ())) - kept.described.fields.keys()
    return None if missing else kept.at - SKEW


def _key(name: str, user_id: str = "") -> str:
    return f"schema_{name}" + (f"_{hashlib.sha256(user_id.encode()).hexdigest()[:16]}" if user_id else "")


def _described(name: str, answer: Answer) -> Described:
    if answer.status == 404:
        return Described(name, False, {})
    wanted = frozenset(WANTED.get(name, ()))
    return Described(
        name,
        True,
        {
            one["name"]: Facts(
                one["type"], int(one.get("length") or 0), bool(one.get("filterable")), bool(one.get("createable"))
            )
            for one in answer.body["fields"]
            if one["name"] in wanted or one["type"] == "email"
        },
    )


def _value(kept: _Kept) -> dict[str, Any]:
    fields = {n: [f.type, f.length, f.filterable, f.createable] for n, f in kept.described.fields.items()}
    name = kept.described.name
    return {
        "v": VERSION, "exists": kept.described.exists, "fields": fields, "wanted": list(WANTED.get(name, ())),
        "at": kept.at.isoformat(),
    }  # fmt: skip


def _kept(name: str, row: Row) -> _Kept | None:
    """What a row holds; None where other code wrote it (newer, or asking for other fields): it is asked for again."""
    value = row.value
    if value.get("v") != VERSION or value["wanted"] != list(WANTED.get(name, ())):
        return None
    described = Described(name, value["exists"], {field: Facts(*facts) for field, facts in value["fields"].items()})
    return _Kept(described, datetime.fromisoformat(value["at"]).astimezone(UTC))
