"""Claims: what several mailboxes hold is written to the CRM once per org, whoever comes first.

Rules that hold here (design section 5):
- A claim is inserted before the write, never upserted: of two that come at once, one gets RowExists and looks at the other.
- `saved` names the record: link to it, write nothing. `claimed` and alive: leave the item open and look again when the claim
  ends. `claimed` and dead: first look up whether the dead one's write had landed, then take over with If-Match.
- The key is an HMAC of the Message-ID or the occurrence; the row holds the record's id, a mailbox's key and times, no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.core.errors import RowChanged, RowExists
from shared.ports import Insert, LinkStore, MailboxKey, Place, Put, Row
from shared.session import records

LIFE_S = 120.0  # a little longer than a lease: whoever outlives the claim has lost the lease already


@dataclass(frozen=True)
class Claim:
    """`mine`: write, then `settle`. `theirs`: look again at `until`. `dead`: look up, then `take_over`. `saved`: `crm_id`."""

    state: Literal["mine", "theirs", "dead", "saved"]
    key: str
    etag: str = ""
    until: datetime | None = None
    crm_id: str = ""


def claim(store: LinkStore, org: Place, key: str, mailbox: MailboxKey, now: datetime) -> Claim:
    """Tries to claim the item for this mailbox; answers who has it."""
    row_key = f"claim_{key}"
    try:
        etag = store.commit(org, [Insert(row_key, _claimed(mailbox, now))])[row_key]
        return Claim("mine", key, etag)
    except RowExists:
        standing = store.get(org, row_key)
    # a claim that went away between the two is looked at again with the next change
    return Claim("theirs", key, until=now) if standing is None else _standing(key, standing, mailbox, now)


def take_over(store: LinkStore, org: Place, dead: Claim, mailbox: MailboxKey, now: datetime) -> Claim:
    """Takes a dead claim; if somebody was quicker, answers who has it now."""
    row_key = f"claim_{dead.key}"
    try:
        etag = store.commit(org, [Put(row_key, _claimed(mailbox, now), dead.etag)])[row_key]
        return Claim("mine", dead.key, etag)
    except RowChanged:
        return claim(store, org, dead.key, mailbox, now)


def settle(store: LinkStore, org: Place, mine: Claim, crm_id: str) -> Claim:
    """Writes down which record it became. Raises RowChanged when the claim was taken over meanwhile."""
    row_key = f"claim_{mine.key}"
    etag = store.commit(org, [Put(row_key, records.row(state="saved", crm=crm_id), mine.etag)])[row_key]
    return Claim("saved", mine.key, etag, crm_id=crm_id)


def _claimed(mailbox: MailboxKey, now: datetime) -> dict[str, object]:
    until = now + timedelta(seconds=LIFE_S)
    return records.row(state="claimed", mailbox=mailbox, until=records.text_of(until))


def _standing(key: str, row: Row, mailbox: MailboxKey, now: datetime) -> Claim:
    value = records.read(row)
    if value["state"] == "saved":
        return Claim("saved", key, row.etag, crm_id=value["crm"])
    until = records.moment_of(value["until"])
    # our own claim that we do not remember was made by a session of ours that died: the lease says that it is over
    dead = until <= now or value["mailbox"] == mailbox
    return Claim("dead" if dead else "theirs", key, row.etag, until)
