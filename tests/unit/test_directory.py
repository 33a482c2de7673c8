"""The directory: connecting twice keeps everything, a rename keeps the rows, a passed-on address opens nothing, and whoever
disconnects leaves nothing behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.access import directory
from shared.access.directory import AddressTaken, MailboxEntry, OrgEntry
from shared.access.profiles import user_layer
from shared.core.errors import LeaseLost, NetworkDown
from shared.core.keys import mailbox_key
from shared.ports import Insert, LedgerEntry, MailboxKey, Place, Put, Ring, TenantId, Write
from shared.session import lease, records
from shared.session.run import run_session
from shared.store.ledger import TableLedger
from shared.store.memory import MemoryStore
from tests.property.capture_world import ORG
from tests.property.capture_world import World as MailWorld

SECRET, TENANT = b"s" * 32, TenantId("tenant")
START = datetime(2026, 1, 1, tzinfo=UTC)
ANN = "ann@harbourline.example"


class Desk:
    """A store and a clock that tests move."""

    def __init__(self) -> None:
        self.store, self.time = MemoryStore(), START

    def now(self) -> datetime:
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        raise AssertionError("the directory does not ring")

    def connect(self, address: str = ANN, **more: Any) -> MailboxEntry:
        given: dict[str, Any] = {"org": "00Da", "user": "005a", "username": "ann@crm.example", "connection": "org", **more}
        return directory.connect(self.store, self, SECRET, TENANT, address=address, **given)

    def find(self, address: str) -> MailboxEntry | None:
        return directory.find(self.store, SECRET, TENANT, address)

    def disconnect(self, mailbox: MailboxKey) -> bool:
        return directory.disconnect(self.store, self, SECRET, TENANT, mailbox)

    def place(self, mailbox: MailboxKey) -> Place:
        return Place("state", TENANT, "mailbox", mailbox)

    def state(self, mailbox: MailboxKey) -> Mapping[str, Any] | None:
        row = self.store.get(self.place(mailbox), records.STATE)
        return row.value if row is not None else None

    def lease(self, mailbox: MailboxKey) -> lease.Held | None:
        row = self.store.get(self.place(mailbox), records.LEASE)
        return lease.take(
            self.store, self, self.place(mailbox), row, session_id="s", lease_s=90, slice_s=60, slice_items=9
        )  # fmt: skip


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_connected_mailbox_is_found_by_key_and_address_has_a_state_and_its_turn(desk: Desk) -> None:
    entry = desk.connect("Ann@Harbourline.example ", aliases=["A.Lee@harbourline.example", ANN], account="obj-1")
    assert entry == MailboxEntry(
        MailboxKey(mailbox_key(SECRET, "microsoft", ANN)), "microsoft", ANN, ("a.lee@harbourline.example",), "00Da", "005a",
        "ann@crm.example", "org", directory.slot_of(entry.key), "obj-1",
    )  # fmt: skip
    assert desk.find("ANN@harbourline.example") == entry
    assert desk.find("a.lee@harbourline.example") == entry
    assert desk.find("other@harbourline.example") is None
    assert directory.by_key(desk.store, TENANT, entry.key) == entry
    assert directory.by_key(desk.store, TenantId("other"), entry.key) is None
    state = desk.state(entry.key)
    assert state is not None
    assert (state["stage"], state["health"]) == ("active", "new")
    assert entry.key in directory.due(desk.store, TENANT, entry.slot)


def test_connecting_again_keeps_the_state_and_takes_the_new_user(desk: Desk) -> None:
    first = desk.connect(account="obj-1")
    kept = records.row(stage="waiting", failures=4, health="mailbox.consent_needed", activated="2025-01-01T00:00:00.000000Z")
    desk.store.commit(desk.place(first.key), [Put(records.STATE, kept)])
    again = desk.connect(user="005b", username="b@crm.example", connection="personal")
    assert again == replace(first, user="005b", username="b@crm.example", connection="personal")
    assert desk.state(first.key) == kept
    assert list(directory.every(desk.store, TENANT)) == [again]


def test_a_renamed_mailbox_keeps_its_key_and_is_found_under_both_addresses(desk: Desk) -> None:
    old = desk.connect(account="obj-1")
    new = desk.connect("ann.lee@harbourline.example", aliases=[ANN], account="obj-1")
    assert (new.key, new.address, new.aliases) == (old.key, "ann.lee@harbourline.example", (ANN,))
    assert desk.find(ANN) == desk.find("ann.lee@harbourline.example") == new
    assert [entry.key for entry in directory.every(desk.store, TENANT)] == [old.key]
    third = desk.connect("lee@harbourline.example", aliases=["ann.lee@harbourline.example"], account="obj-1")
    assert third.key == old.key
    assert desk.find(ANN) == third


def test_without_the_accounts_id_a_rename_is_one_where_each_address_leads_to_the_other(desk: Desk) -> None:
    old = desk.connect(aliases=["ann.lee@harbourline.example"])
    new = desk.connect("ann.lee@harbourline.example", aliases=[ANN])
    assert new.key == old.key
    with pytest.raises(AddressTaken):
        desk.connect(ANN, aliases=["stranger@harbourline.example"])
    assert desk.find(ANN) == new


def test_an_alias_that_passed_on_to_somebody_else_opens_nothing_of_the_one_before(desk: Desk) -> None:
    ann = desk.connect(account="obj-1")
    bob = desk.connect("bob@harbourline.example", aliases=[ANN], account="obj-2")
    assert bob.key != ann.key
    assert desk.find(ANN) == ann
    unproven = desk.connect("cem@harbourline.example", aliases=[ANN])
    assert unproven.key not in (ann.key, bob.key)
    assert desk.find(ANN) == ann


def test_a_first_address_that_is_another_accounts_is_refused_and_nothing_changes(desk: Desk) -> None:
    ann = desk.connect(account="obj-1")
    with pytest.raises(AddressTaken) as refused:
        desk.connect(account="obj-2")
    assert refused.value.code == "mailbox.address_taken"
    assert desk.find(ANN) == ann
    assert desk.disconnect(ann.key)
    assert desk.connect(account="obj-2").account == "obj-2"


def test_what_was_only_anothers_alias_can_become_a_mailbox_of_its_own(desk: Desk) -> None:
    ann = desk.connect(aliases=["info@harbourline.example"], account="obj-1")
    info = desk.connect("info@harbourline.example", account="obj-2")
    assert info.key != ann.key
    assert desk.find("info@harbourline.example") == info
    assert desk.disconnect(info.key)
    assert desk.find("info@harbourline.example") == ann


def test_every_mailbox_has_its_turn_once_in_thirty_minutes_and_the_slots_are_even(desk: Desk) -> None:
    keys = [desk.connect(f"user{n}@harbourline.example").key for n in range(300)]
    turns = Counter(key for minute in range(1000, 1000 + directory.SLOTS) for key in directory.due(desk.store, TENANT, minute))
    assert turns == Counter(keys)
    assert directory.due(desk.store, TENANT, 7) == directory.due(desk.store, TENANT, 37)
    sizes = [len(directory.due(desk.store, TENANT, slot)) for slot in range(directory.SLOTS)]
    assert min(sizes) >= 1
    assert max(sizes) <= 30
    assert [entry.key for entry in directory.every(desk.store, TENANT)] == sorted(keys)


def test_a_slot_is_the_same_in_every_release() -> None:
    assert [directory.slot_of(MailboxKey(key)) for key in ("a" * 26, "b" * 26, "m7")] == [4, 21, 26]


def filled(desk: Desk, address: str, **more: Any) -> MailboxEntry:
    """A mailbox with rows at every place that holds some."""
    entry = desk.connect(address, **more)
    writes: list[Write] = [Insert(f"link_{n:03}", records.row()) for n in range(95)]
    for start in range(3):
        desk.store.commit(desk.place(entry.key), [Insert(f"{start}{w.key}", w.value) for w in writes if isinstance(w, Insert)])
    desk.store.commit(desk.place(entry.key), [Insert(records.PAUSE, records.row()), Insert("forced", records.row())])
    desk.store.commit(Place("state", TENANT, "grant", entry.key), [Insert("microsoft", records.row())])
    desk.store.commit(Place("state", TENANT, "org", entry.org), [Insert(f"holder_abc_{entry.key}", records.row())])
    desk.store.commit(Place("state", TENANT, "tenant", "settings"), [Insert(user_layer(entry.key), records.row())])
    ledger = TableLedger(desk.store, TENANT, entry.key)
    ledger.note(LedgerEntry("i", "mail", "saved.auto", START, "s"))
    ledger.flush()
    return entry


def partitions(store: MemoryStore) -> dict[tuple[str, str], list[str]]:
    return {place: sorted(rows) for place, rows in store._rows.items() if rows}


def test_disconnecting_leaves_nothing_of_the_mailbox_and_all_of_the_others(desk: Desk) -> None:
    bob = filled(desk, "bob@harbourline.example", aliases=["b@harbourline.example"])
    desk.store.commit(Place("state", TENANT, "org", "00Da"), [Insert("claim_x", records.row())])
    before = partitions(desk.store)
    ann = filled(desk, ANN, aliases=["a@harbourline.example", "al@harbourline.example"])
    assert partitions(desk.store) != before
    assert desk.disconnect(ann.key)
    assert partitions(desk.store) == before
    assert desk.find("a@harbourline.example") is None
    assert desk.find("b@harbourline.example") == bob
    assert desk.disconnect(ann.key)
    assert partitions(desk.store) == before


def test_a_disconnect_that_breaks_off_at_any_commit_can_be_done_again() -> None:
    class Breaking(MemoryStore):
        left = 10**9

        def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
            self.left -= 1
            if self.left < 0:
                raise NetworkDown
            return super().commit(place, writes)

    for allowed in range(100):
        desk = Desk()
        desk.store = store = Breaking()
        ann = filled(desk, ANN, aliases=["a@harbourline.example"])
        store.left = allowed
        try:
            desk.disconnect(ann.key)
        except NetworkDown:
            store.left = 10**9
            assert desk.disconnect(ann.key)
            assert partitions(store) == {}
            continue
        assert allowed > 8
        return
    raise AssertionError("the disconnect never ended")


def test_a_session_under_way_can_write_nothing_more_and_the_second_call_finishes(desk: Desk) -> None:
    ann = filled(desk, ANN)
    held = desk.lease(ann.key)
    assert held is not None
    assert not desk.disconnect(ann.key)
    with pytest.raises(LeaseLost):
        held.commit([Put("link_x", records.row())])
    with pytest.raises(LeaseLost):
        held.release([Put(records.STATE, records.row())])
    assert desk.state(ann.key) is None
    late = TableLedger(desk.store, TENANT, ann.key)
    late.note(LedgerEntry("i", "mail", "saved.auto", START, "s"))
    late.flush()
    desk.time += timedelta(seconds=89)
    assert not desk.disconnect(ann.key)
    late.note(LedgerEntry("i", "mail", "saved.auto", START, "s"))
    late.flush()
    desk.time += timedelta(seconds=2)
    assert desk.disconnect(ann.key)
    assert partitions(desk.store) == {}


def test_a_ring_that_comes_after_the_disconnect_makes_no_rows(desk: Desk) -> None:
    ann = filled(desk, ANN)
    desk.disconnect(ann.key)
    report = run_session(
        Ring(ann.key, "push", START), place=desk.place(ann.key), store=desk.store, bell=desk, clock=desk, session_id="s",
        parts=list,
    )  # fmt: skip
    assert report.result == "dropped.unknown"
    assert partitions(desk.store) == {}


def test_connected_again_after_a_disconnect_a_mailbox_begins_anew_under_its_old_key(desk: Desk) -> None:
    ann = filled(desk, ANN)
    desk.disconnect(ann.key)
    desk.time += timedelta(days=1)
    assert desk.connect().key == ann.key
    state = desk.state(ann.key)
    assert state is not None
    assert state["activated"] == records.text_of(START + timedelta(days=1))
    assert desk.lease(ann.key) is not None


def test_orgs_are_kept_by_their_id(desk: Desk) -> None:
    org = OrgEntry("00Da", "https://login.crm.test", "https://harbourline.crm.test", "org", "poller@crm.example")
    directory.keep_org(desk.store, TENANT, org)
    directory.keep_org(desk.store, TENANT, replace(org, poller="other@crm.example"))
    assert directory.find_org(desk.store, TENANT, "00Da") == replace(org, poller="other@crm.example")
    assert directory.find_org(desk.store, TENANT, "00Db") is None
    assert [one.id for one in directory.every_org(desk.store, TENANT)] == ["00Da"]


def test_what_the_directory_holds_is_the_owners_own_and_ids(desk: Desk) -> None:
    entry = desk.connect(aliases=["a@harbourline.example"], account="obj-1")
    rows = {row.key: dict(row.value) for row in desk.store.scan(directory.mailboxes(TENANT))}
    assert rows == {
        directory.ALIAS + mailbox_key(SECRET, "microsoft", "a@harbourline.example"): {"v": 1, "mailbox": entry.key},
        entry.key: {
            "v": 1, "key": entry.key, "vendor": "microsoft", "address": ANN, "aliases": ["a@harbourline.example"],
            "org": "00Da", "user": "005a", "username": "ann@crm.example", "connection": "org", "slot": entry.slot,
            "account": "obj-1",
        },
    }  # fmt: skip


# --- a mailbox whose mail was captured

ITS_TENANT = ORG.tenant


def connected(world: MailWorld) -> MailboxKey:
    entry = directory.connect(
        world.inner,
        world,
        SECRET,
        ITS_TENANT,
        address=ANN,
        org=ORG.key,
        user="005ann",
        username="ann@crm.example",
        connection="org",
    )
    return entry.key


def test_a_deletion_is_followed_by_a_mailbox_that_was_connected_again() -> None:
    probe = MailWorld(names=())
    key = connected(probe)
    world = MailWorld(names=(key,))
    connected(world)
    world.put(world.mail(1), key)
    world.session(key)
    assert directory.disconnect(world.inner, world, SECRET, ITS_TENANT, key)
    connected(world)
    world.mailboxes[key].generation += 1  # its cursors are forgotten
    world.session(key)
    (one,) = world.crm.alive()
    one.deleted = True
    world.tell_deleted(one.id)
    world.session(key)
    assert world.rules()[-1] == "severed.deleted"


def test_a_mailbox_that_was_disconnected_holds_no_record() -> None:
    probe = MailWorld(names=())
    key = connected(probe)
    world = MailWorld(names=(key, "bob"))
    connected(world)
    world.put(world.mail(1), key, "bob")
    world.session(key)
    world.session("bob")
    assert directory.disconnect(world.inner, world, SECRET, ITS_TENANT, key)
    del world.mailboxes[key]
    world.mailboxes["bob"].change("bob-id1", categories=("Salesforce Unsync",))
    world.session("bob")
    assert world.rules()[-1] == "removed.unsync", "the last one who holds it takes it along"
