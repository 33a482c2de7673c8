"""Claims: what several mailboxes hold is written to the CRM once per org, whoever comes first.

Rules that hold here (design section 5):
- A claim is inserted before the write, never upserted: of two that come at once, one gets RowExists and looks at the other.
- `saved` names the record and its holders: join them, write nothing. `claimed` and alive: leave the item open and look again
  when the claim ends. `claimed` and dead: first look up whether the dead one's write had landed, then take over with If-Match.
- A record is deleted only when its last holder leaves, and only where we made it; whoever deletes takes the claim first.
- Beside a claim stands a holder row for each mailbox that holds the record, found by the record's id: a change in the CRM is
  told to them all. Claim and holder row change in one transaction.
- The key is an HMAC of the Message-ID or the occurrence; the rows hold the ids of record and mail, mailbox keys and times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.core.errors import RowChanged, RowExists
from shared.ports import MAX_COMMIT, Delete, Insert, LinkStore, MailboxKey, Place, Put, Row, Write
from shared.session import links, records

LIFE_S = 120.0  # a little longer than a lease: whoever outlives the claim has lost the lease already
TRIES = 20  # each lost one means that somebody else joined or left


@dataclass(frozen=True)
class Claim:
    """`free`: nobody has it. `mine`: write, then `settle`. `theirs`: look again at `until`. `dead`: look up, then `take_over`.
    `saved`: it is the record `crm_id`, held by `holders`, made by us or not."""

    state: Literal["free", "mine", "theirs", "dead", "saved"]
    key: str
    etag: str = ""
    until: datetime | None = None
    crm_id: str = ""
    holders: tuple[str, ...] = ()
    made: bool = True


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

    def claim(self, keys: Sequence[str], now: datetime) -> dict[str, Claim]:
        """Claims every key that is free; answers for each who has it now."""
        result: dict[str, Claim] = {}
        left = list(dict.fromkeys(keys))
        while left:
            batch = left[:MAX_COMMIT]
            try:
                etags = self._store.commit(self._org, [Insert(_row_key(key), self._claimed(now)) for key in batch])
            except RowExists as taken:
                key = taken.key.removeprefix(_row_key(""))
                result[key] = self.standing([key], now)[key]
                left.remove(key)
                continue
            result |= {key: Claim("mine", key, etags[_row_key(key)]) for key in batch}
            left = left[MAX_COMMIT:]
        # a claim that went away between the two is looked at again with the next change
        return {key: Claim("theirs", key, until=now) if claim.state == "free" else claim for key, claim in result.items()}

    def take_over(self, dead: Claim, now: datetime) -> Claim:
        """Takes a claim that is dead, or saved and about to be deleted; if somebody was quicker, answers who has it now."""
        try:
            put = Put(_row_key(dead.key), {**self._claimed(now), "made": dead.made}, dead.etag)
            etag = self._store.commit(self._org, [put])[_row_key(dead.key)]
            return Claim("mine", dead.key, etag, made=dead.made)
        except RowChanged:
            return self.claim([dead.key], now)[dead.key]

    def settle(self, mine: Mapping[str, Claim], saved: Mapping[str, Held], *, made: bool = True) -> None:
        """Writes down which records the claims became. One that was taken over meanwhile is left to whoever has it: that
        mailbox looks the record up before it writes."""
        keys = list(saved)
        for start in range(0, len(keys), MAX_COMMIT // 2):
            left = keys[start : start + MAX_COMMIT // 2]
            while left:
                puts = [Put(_row_key(key), self._saved(saved[key].crm_id, made=made), mine[key].etag) for key in left]
                try:
                    self._store.commit(self._org, [*puts, *(self._holder(saved[key]) for key in left)])
                    break
                except RowChanged as lost:
                    left = [key for key in left if _row_key(key) != lost.key]

    def join(self, saved: Claim, mail_id: str, now: datetime) -> Claim:
        """Adds this mailbox to the holders of a saved record; answers how the claim stands now."""
        for _ in range(TRIES):
            if saved.state != "saved" or self._mailbox in saved.holders:
                return saved
            holders = tuple(sorted({*saved.holders, self._mailbox}))
            try:
                joined = Put(_row_key(saved.key), self._held(saved, holders), saved.etag)
                self._store.commit(self._org, [joined, self._holder(Held(saved.crm_id, mail_id))])
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
            leaving = {**self._claimed(now), "made": standing.made}
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

    def release(self, mine: Sequence[Claim]) -> None:
        """Gives claims back that were not used; one that somebody took meanwhile stays theirs."""
        for claim in mine:
            with contextlib.suppress(RowChanged):
                self._store.commit(self._org, [Delete(_row_key(claim.key), claim.etag)])

    def holder_key(self, crm_id: str) -> str:
        return f"{holders_of(crm_id)}{self._mailbox}"

    def _holder(self, held: Held) -> Write:
        return Put(self.holder_key(held.crm_id), records.row(item=held.item_id, mailbox=self._mailbox))

    def _claimed(self, now: datetime) -> dict[str, object]:
        until = now + timedelta(seconds=LIFE_S)
        return records.row(state="claimed", mailbox=self._mailbox, until=records.text_of(until))

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
        dead = until <= now or value["mailbox"] == self._mailbox
        return Claim("dead" if dead else "theirs", key, row.etag, until, made=made)


def holders_of(crm_id: str) -> str:
    """What the keys of all holder rows of a record begin with."""
    return f"holder_{links.hash_of(crm_id)}_"


def _row_key(key: str) -> str:
    return f"claim_{key}"
