"""The directory: which mailboxes are connected, to which org, as whom; which orgs; and whose turn the sweep has.

Rules that hold here:
- A mailbox's key is made from its primary address once and never changes. A later address leads to it through an alias row,
  so a renamed mailbox keeps its rows (design section 2); an alias row is never taken from another mailbox.
- Only the vendor's own id of the account (`account`) proves that two addresses are one mailbox. An address that passed on to
  somebody else must not open the rows of the one before: AddressTaken.
- Connecting again keeps all state. Entry first, state next, turn last: each step may be done twice, and a session finds a
  state only where there is an entry.
- Disconnecting fences out a running session first and takes the entry last, so that what was interrupted can be done again.
- It must never hold more than ids, our own keys and the owner's own addresses (design section 5).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import batched
from typing import Any, Literal

from shared.access.audit import place_of
from shared.access.profiles import user_layer
from shared.core.errors import RowChanged, RowExists
from shared.core.keys import mailbox_key
from shared.ports import MAX_COMMIT, Clock, Delete, Insert, LinkStore, MailboxKey, Place, Put, Row, TenantId, Write
from shared.session import lease, records
from shared.session.claims import Claims
from shared.session.run import new_state

Vendor = Literal["microsoft"]
Connection = Literal["org", "personal"]

#: The sweep comes to every mailbox once in this many minutes; one slot a minute.
SLOTS = 30
#: Alias rows sort before every mailbox row: a mailbox key begins with a letter or 2 to 7.
ALIAS, FIRST_MAILBOX = "0alias_", "2"
#: Owner of the lease while a mailbox is disconnected, and how many seconds no session may begin.
FENCE, FENCE_S = "disconnect", 300


class AddressTaken(Exception):
    """The address belonged to another account, which is still connected: that one must be disconnected first."""

    code = "mailbox.address_taken"


@dataclass(frozen=True)
class MailboxEntry:
    """A connected mailbox. `address` and `aliases` in lower case. `org`: id of the Salesforce org; `user`, `username`: the
    Salesforce user that writes. `account`: the vendor's own id of the mailbox, "" where it is not known."""

    key: MailboxKey
    vendor: Vendor
    address: str
    aliases: tuple[str, ...]
    org: str
    user: str
    username: str
    connection: Connection
    slot: int
    account: str = ""


@dataclass(frozen=True)
class OrgEntry:
    """A connected org. `login`: where it signs in, `instance`: where its API is, both https addresses without a path.
    `connection`: org = by one pre-authorised app for all its users, whose changes `poller` (a username) asks for."""

    id: str
    login: str
    instance: str
    connection: Connection
    poller: str = ""


def mailboxes(tenant: TenantId) -> Place:
    return Place("directory", tenant, "mailboxes", "all")


def orgs(tenant: TenantId) -> Place:
    return Place("directory", tenant, "orgs", "all")


def slot_place(tenant: TenantId, slot: int) -> Place:
    return Place("due", tenant, "slot", f"{slot:02}")


def slot_of(mailbox: MailboxKey) -> int:
    """The minute slot of a mailbox, the same in every process and release."""
    return int.from_bytes(hashlib.sha256(mailbox.encode()).digest()[:8]) % SLOTS


def connect(
    store: LinkStore, clock: Clock, secret: bytes, tenant: TenantId, *, address: str, org: str, user: str, username: str,
    connection: Connection, vendor: Vendor = "microsoft", aliases: Iterable[str] = (), account: str = "",
) -> MailboxEntry:  # fmt: skip
    """Connects a mailbox, or connects it again with what is known now; answers its entry. `secret`: the install secret.

    It does not ring: whoever connected rings with why "user", which also ends a wait for consent. Raises AddressTaken.
    """
    primary = address.strip().lower()
    others = tuple(sorted({alias.strip().lower() for alias in aliases} - {primary, ""}))
    known = _known(store, secret, tenant, vendor, (primary, *others), account)
    key = known.key if known is not None else MailboxKey(mailbox_key(secret, vendor, primary))
    former = {known.address, *known.aliases} - {primary} if known is not None else set()
    entry = MailboxEntry(
        key, vendor, primary, tuple(sorted({*others, *former})), org, user, username, connection, slot_of(key),
        account or (known.account if known is not None else ""),
    )  # fmt: skip
    _write_entry(store, secret, tenant, entry)
    with contextlib.suppress(RowExists):
        store.commit(Place("state", tenant, "mailbox", key), [Insert(records.STATE, new_state(clock.now()))])
    store.commit(slot_place(tenant, entry.slot), [Put(key, records.row())])
    return entry


def _known(
    store: LinkStore, secret: bytes, tenant: TenantId, vendor: Vendor, addresses: Sequence[str], account: str
) -> MailboxEntry | None:
    """The entry this mailbox has already, under its first address or one of the others. Raises AddressTaken.

    Where an account's id is missing, the first address must lead to an entry whose own first address is still among ours.
    A first address that is proven to be another account's is free where it was only that one's alias.
    """
    for n, address in enumerate(addresses):
        entry = find(store, secret, tenant, address, vendor)
        if entry is None:
            continue
        proven = bool(account and entry.account)
        if entry.account == account if proven else n == 0 and entry.address in addresses:
            return entry
        if n == 0 and (not proven or entry.key == mailbox_key(secret, vendor, address)):
            raise AddressTaken
    return None


def _write_entry(store: LinkStore, secret: bytes, tenant: TenantId, entry: MailboxEntry) -> None:
    place = mailboxes(tenant)
    store.commit(place, [Put(entry.key, records.row(**asdict(entry) | {"aliases": list(entry.aliases)}))])
    for address in (entry.address, *entry.aliases):
        if (alias := mailbox_key(secret, entry.vendor, address)) == entry.key:
            continue
        with contextlib.suppress(RowExists):  # ours already, or another mailbox's, which keeps it
            store.commit(place, [Insert(ALIAS + alias, records.row(mailbox=entry.key))])


def find(store: LinkStore, secret: bytes, tenant: TenantId, address: str, vendor: Vendor = "microsoft") -> MailboxEntry | None:
    """The mailbox that has this address, as its first or as a later one."""
    return by_key(store, tenant, mailbox_key(secret, vendor, address))


def by_key(store: LinkStore, tenant: TenantId, key: str) -> MailboxEntry | None:
    """The mailbox with this key; a key made from one of its other addresses leads to it too."""
    place = mailboxes(tenant)
    if (row := store.get(place, key)) is None and (alias := store.get(place, ALIAS + key)) is not None:
        row = store.get(place, records.read(alias)["mailbox"])
    return _entry(row) if row is not None else None


def every(store: LinkStore, tenant: TenantId) -> Iterator[MailboxEntry]:
    """All mailboxes in the order of their keys."""
    return map(_entry, store.scan(mailboxes(tenant), FIRST_MAILBOX))


def due(store: LinkStore, tenant: TenantId, minute: int) -> list[MailboxKey]:
    """The mailboxes whose turn it is. `minute`: minutes of any count that goes on by one a minute."""
    return [MailboxKey(row.key) for row in store.scan(slot_place(tenant, minute % SLOTS))]


def disconnect(store: LinkStore, clock: Clock, secret: bytes, tenant: TenantId, mailbox: MailboxKey) -> bool:
    """Removes everything that is kept of a mailbox; right to call again, whatever is left.

    False where a session was under way: it can commit nothing more, but what it still says to the ledger or the org is only
    removed by another call once its lease is over (90 s); until then the entry stays. Nothing is written at a vendor:
    subscriptions and consent are ended there by the caller, before this.
    """
    entry = by_key(store, tenant, mailbox)
    key = entry.key if entry is not None else mailbox
    _delete(store, slot_place(tenant, slot_of(key)), [key])
    state = Place("state", tenant, "mailbox", key)
    under_way = _fence(store, clock, state)
    _delete(store, state, [records.STATE])  # from here on a ring finds an unknown mailbox
    _delete(store, state, [row.key for row in store.scan(state) if row.key != records.LEASE])
    for place in (Place("state", tenant, "grant", key), Place("ledger", tenant, "mailbox", key), place_of(tenant, key)):
        _delete(store, place, [row.key for row in store.scan(place)])
    _delete(store, Place("state", tenant, "tenant", "settings"), [user_layer(key)])
    if entry is not None:
        _leave_claims(store, clock, Place("state", tenant, "org", entry.org), key)
    if under_way:
        return False
    if entry is not None:
        _delete_entry(store, secret, tenant, entry)
    _delete(store, state, [records.LEASE])
    return True


def _leave_claims(store: LinkStore, clock: Clock, org: Place, mailbox: MailboxKey) -> None:
    """The mailbox holds no record any more. A record whose last holder it was stays: nobody took it back."""
    claims = Claims(store, org, mailbox)
    for row in list(store.scan(org, *records.every("holder"))):
        if row.key.endswith(f"_{mailbox}"):
            if (claim := row.value.get("claim")) is not None:
                left = claims.leave(str(claim), clock.now())
                if left.state == "mine":
                    claims.release([left])
            _delete(store, org, [row.key])


def _fence(store: LinkStore, clock: Clock, state: Place) -> bool:
    """Takes the lease from whoever has it, by force; answers whether a session had it."""
    row, now = store.get(state, records.LEASE), clock.now()
    free_at = now
    if row is not None and lease.is_held(row, now):
        value = records.read(row)
        free_at = records.moment_of(value["until"]) - timedelta(seconds=FENCE_S if value["owner"] == FENCE else 0)
    until = max(free_at, now) + timedelta(seconds=FENCE_S)
    store.commit(state, [Put(records.LEASE, records.row(owner=FENCE, epoch=0, until=records.text_of(until)))])
    return free_at > now


def _delete_entry(store: LinkStore, secret: bytes, tenant: TenantId, entry: MailboxEntry) -> None:
    """The aliases first: as long as the entry stands, what is left can be found."""
    place = mailboxes(tenant)
    keys = [ALIAS + mailbox_key(secret, entry.vendor, address) for address in (entry.address, *entry.aliases)]
    ours = [key for key, row in store.get_many(place, keys).items() if row.value.get("mailbox") == entry.key]
    _delete(store, place, ours)
    _delete(store, place, [entry.key])


def _delete(store: LinkStore, place: Place, keys: Iterable[str]) -> None:
    """Deletes the rows; one that is gone already is no reason to leave the others."""
    for batch in batched(keys, MAX_COMMIT, strict=False):
        try:
            store.commit(place, [Delete(key) for key in batch])
        except RowChanged:
            for key in batch:
                with contextlib.suppress(RowChanged):
                    store.commit(place, [Delete(key)])


def _entry(row: Row) -> MailboxEntry:
    value: dict[str, Any] = {name: given for name, given in records.read(row).items() if name != "v"}
    return MailboxEntry(**value | {"aliases": tuple(value["aliases"])})


def keep_org(store: LinkStore, tenant: TenantId, org: OrgEntry) -> None:
    """Writes an org's entry; the one before is replaced."""
    write: Write = Put(org.id, records.row(**asdict(org)))
    store.commit(orgs(tenant), [write])


def find_org(store: LinkStore, tenant: TenantId, org_id: str) -> OrgEntry | None:
    row = store.get(orgs(tenant), org_id)
    return _org(row) if row is not None else None


def every_org(store: LinkStore, tenant: TenantId) -> Iterator[OrgEntry]:
    return map(_org, store.scan(orgs(tenant)))


def _org(row: Row) -> OrgEntry:
    return OrgEntry(**{name: given for name, given in records.read(row).items() if name != "v"})
