"""Claims: what several mailboxes hold is written to the CRM once per org, whoever comes first.

Rules that hold here (design section 5):
- A claim is inserted before the write, never upserted: of two that come at once, one gets RowExists and looks at the other.
- `saved` names the record and its holders: join them, write nothing. `claimed` by another mailbox: leave the item open and
  look again. That mailbox finishes what it claimed; only where it does not come back for GRACE_S is the claim dead.
- `claimed` and dead: first look up whether the dead one's write had landed, then take over with If-Match. A claim says from
  its beginning whether the record is to be made by us: one that stood before is never written and never deleted.
- A claim is renewed before a write that may outlast it.
- A record is deleted only when its last holder leaves, and only where we made it; whoever deletes takes the claim first.
- Beside a claim stands a holder row for each mailbox that holds the record, found by the record's id: a change in the CRM is
  told to them all. Claim and holder row change in one transaction.
- The key is an HMAC of the Message-ID or the occurrence; the rows hold the ids of record and mail, mailbox keys and times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from shared.core.errors import RowChanged, RowExists
from shared.ports import MAX_COMMIT, Delete, Insert, LinkStore, MailboxKey, Place, Put, Row, Write
from shared.session import links, records

LIFE_S = 120.0
#: Seconds after a claim's end in which its own mailbox is waited for: the sweep comes to every mailbox in less.
GRACE_S = 2100.0
#: Seconds after which to look again in that time.
LOOK_S = 240.0
#: Seconds of its life that a claim must have left when a write begins: the longest call of a vendor and some more.
NEEDED_S = 90.0
TRIES = 20  # each lost one means that somebody else joined or left


@dataclass(frozen=True)
class Claim:
    """`free`: nobody has it. `mine`: write, then `settle`. `theirs`: look again at `until`. `dead`: look up, then `take_over`.
    `saved`: it is the record `crm_id`, held by `holders`, made by us or not. `foreign`: another mailbox claimed it."""

    state: Literal["free", "mine", "theirs", "dead", "saved"]
    key: str
    etag: str = ""
    until: datetime | None = None
    crm_id: str = ""
    holders: tuple[str, ...] = ()
    made: bool = True
    foreign: bool = False


@dataclass(frozen=True)
class Held:
    """What this mailbox holds: a record, and the item of its own that it stands for."""

    crm_id: str
    item_id: str


class Claims:
    """The claims of one org as one mailbox sees them."""

    def __init__(self, store: LinkStore, org: Place, mailbox: MailboxKey) -> None:
        self._store, self._org, self._mailbox = store, org, mailbox

    def standing(self, keys: Sequence[str], now: datetime) -> dict[str, Claim]:
        """How each of the keys stands."""
        rows = self._store.get_many(self._org, [_row_key(key) for key in keys])
        return {key: self._read(key, rows.get(_row_key(key)), now) for key in keys}

    def claim(self, keys: Sequence[str], now: datetime, *, foreign: frozenset[str] = frozenset()) -> dict[str, Claim]:
        """Claims every key that is free; answers for each who has it now. `foreign`: keys whose record stood before."""
        result: dict[str, Claim] = {}
        left = list(dict.fromkeys(keys))
        while left:
            batch = left[:MAX_COMMIT]
            try:
                inserts = [Insert(_row_key(key), self._claimed(now, made=key not in foreign)) for key in batch]
                etags = self._store.commit(self._org, inserts)
            except RowExists as taken:
                key = taken.key.removeprefix(_row_key(""))
                result[key] = self.standing([key], now)[key]
                left.remove(key)
                continue
            until = now + timedelta(seconds=LIFE_S)
            result |= {key: Claim("mine", key, etags[_row_key(key)], until, made=key not in foreign) for key in batch}
            left = left[MAX_COMMIT:]
        # a claim that went away between the two is looked at again with the next change
        return {key: Claim("theirs", key, until=now) if claim.state == "free" else claim for key, claim in result.items()}

    def take_over(self, dead: Claim, now: datetime) -> Claim:
        """Takes a claim that is dead, or saved and about to be deleted; if somebody was quicker, answers who has it now."""
        try:
            put = Put(_row_key(dead.key), self._claimed(now, made=dead.made), dead.etag)
            etag = self._store.commit(self._org, [put])[_row_key(dead.key)]
            return Claim("mine", dead.key, etag, now + timedelta(seconds=LIFE_S), made=dead.made)
        except RowChanged:
            return self.claim([dead.key], now)[dead.key]

    def renew(self, mine: Sequence[Claim], now: datetime, *, life_s: float = LIFE_S) -> dict[str, Claim]:
        """Gives claims that would end soon a new life; answers how each stands: one that was lost is somebody else's."""
        result = {one.key: one for one in mine}
        left = [one for one in mine if one.until is None or (one.until - now).total_seconds() < min(NEEDED_S, life_s - 1)]
        until = now + timedelta(seconds=life_s)
        while left:
            batch = left[:MAX_COMMIT]
            puts = [Put(_row_key(one.key), self._claimed(now, made=one.made, life_s=life_s), one.etag) for one in batch]
            try:
                etags = self._store.commit(self._org, puts)
            except RowChanged as lost:
                key = lost.key.removeprefix(_row_key(""))
                result[key] = self.standing([key], now)[key]
                left = [one for one in left if one.key != key]
                continue
            result |= {one.key: replace(one, etag=etags[_row_key(one.key)], until=until) for one in batch}
            left = left[MAX_COMMIT:]
        return result

    def settle(self, mine: Mapping[str, Claim], saved: Mapping[str, Held]) -> None:
        """Writes down which records the claims became. One that was taken over meanwhile is left to whoever has it: that
        mailbox looks the record up before it writes."""
        keys = list(saved)
        for start in range(0, len(keys), MAX_COMMIT // 2):
            left = keys[start : start + MAX_COMMIT // 2]
            while left:
                puts = [Put(_row_key(key), self._saved(saved[key].crm_id, made=mine[key].made), mine[key].etag) for key in left]
                try:
                    self._store.commit(self._org, [*puts, *(self._holder(key, saved[key]) for key in left)])
                    break
                except RowChanged as lost:
                    left = [key for key in left if _row_key(key) != lost.key]

    def join(self, saved: Claim, mail_id: str, now: datetime) -> Claim:
        """Adds this mailbox to the holders of a saved record; answers how the claim stands now."""
        for _ in range(TRIES):
            if saved.state != "saved":
                return saved
            known = self._store.get(self._org, self.holder_key(saved.crm_id))
            if self._mailbox in saved.holders and known is not None:
                return saved
            holders = tuple(sorted({*saved.holders, self._mailbox}))
            try:
                joined = Put(_row_key(saved.key), self._held(saved, holders), saved.etag)
                self._store.commit(self._org, [joined, self._holder(saved.key, Held(saved.crm_id, mail_id))])
                return saved
            except RowChanged:
                saved = self.standing([saved.key], now)[saved.key]
        raise RowChanged(_row_key(saved.key))

    def leave(self, key: str, now: datetime) -> Claim:
        """Takes this mailbox out of the holders. Answers `mine` where it was the last one: the record, if we made it, is to
        be deleted and the claim released; `saved` where others hold it; `free` where there is nothing to leave."""
        for _ in range(TRIES):
            standing = self.standing([key], now)[key]
            if standing.state == "dead":
                return self.take_over(standing, now)
            if standing.state != "saved":
                return standing
            holders = tuple(holder for holder in standing.holders if holder != self._mailbox)
            leaving = self._claimed(now, made=standing.made)
            value = self._held(standing, holders) if holders else leaving
            holder = self._store.get(self._org, self.holder_key(standing.crm_id))
            left: list[Write] = [Delete(holder.key, holder.etag)] if holder is not None else []
            try:
                etag = self._store.commit(self._org, [Put(_row_key(key), value, standing.etag), *left])[_row_key(key)]
            except RowChanged:
                continue
            state: Literal["mine", "saved"] = "saved" if holders else "mine"
            return Claim(state, key, etag, crm_id=standing.crm_id, holders=holders, made=standing.made)
        raise RowChanged(_row_key(key))

    def forget(self, key: str, crm_id: str, now: datetime) -> Mapping[MailboxKey, str]:
        """Takes a record that is gone out of the books; answers who else held it: mailbox -> its item."""
        for _ in range(TRIES):
            standing = self.standing([key], now)[key]
            if standing.state != "saved" or standing.crm_id != crm_id:
                return {}
            first = holders_of(crm_id)
            holders = list(self._store.scan(self._org, first, first[:-1] + "`"))[: MAX_COMMIT - 1]
            gone: list[Write] = [Delete(_row_key(key), standing.etag), *(Delete(row.key, row.etag) for row in holders)]
            try:
                self._store.commit(self._org, gone)
            except RowChanged:
                continue
            others = {MailboxKey(str(row.value["mailbox"])): str(row.value["item"]) for row in holders}
            others.pop(self._mailbox, None)
            return others
        raise RowChanged(_row_key(key))

    def release(self, mine: Sequence[Claim]) -> None:
        """Gives claims back that were not used; one that somebody took meanwhile stays theirs."""
        for claim in mine:
            with contextlib.suppress(RowChanged):
                self._store.commit(self._org, [Delete(_row_key(claim.key), claim.etag)])

    def holding(self, crm_id: str, key: str) -> frozenset[str]:
        """The mailboxes that hold the record by this claim."""
        first = holders_of(crm_id)
        rows = self._store.scan(self._org, first, first[:-1] + "`")
        return frozenset(str(row.value["mailbox"]) for row in rows if row.value["claim"] == key)

    def holder_key(self, crm_id: str) -> str:
        return f"{holders_of(crm_id)}{self._mailbox}"

    def _holder(self, key: str, held: Held) -> Write:
        return Put(self.holder_key(held.crm_id), records.row(item=held.item_id, mailbox=self._mailbox, claim=key))

    def _claimed(self, now: datetime, *, made: bool, life_s: float = LIFE_S) -> dict[str, object]:
        until = now + timedelta(seconds=life_s)
        return records.row(state="claimed", mailbox=self._mailbox, until=records.text_of(until), made=made)

    def _saved(self, crm_id: str, *, made: bool) -> dict[str, object]:
        return records.row(state="saved", crm=crm_id, made=made, holders=[self._mailbox])

    def _held(self, claim: Claim, holders: Sequence[str]) -> dict[str, object]:
        return records.row(state="saved", crm=claim.crm_id, made=claim.made, holders=list(holders))

    def _read(self, key: str, row: Row | None, now: datetime) -> Claim:
        if row is None:
            return Claim("free", key)
        value = records.read(row)
        made = value.get("made", True)
        if value["state"] == "saved":
            return Claim("saved", key, row.etag, crm_id=value["crm"], holders=tuple(value["holders"]), made=made)
        until = records.moment_of(value["until"])
        # our own claim that we do not remember was made by a session of ours that died: the lease says that it is over
        if value["mailbox"] == self._mailbox:
            return Claim("dead", key, row.etag, until, made=made)
        given_up = until + timedelta(seconds=GRACE_S)
        ahead = until if until > now else min(given_up, now + timedelta(seconds=LOOK_S))
        return Claim("dead" if given_up <= now else "theirs", key, row.etag, ahead, made=made, foreign=True)


def holders_of(crm_id: str) -> str:
    """What the keys of all holder rows of a record begin with."""
    return f"holder_{links.hash_of(crm_id)}_"


def _row_key(key: str) -> str:
    return f"claim_{key}"
