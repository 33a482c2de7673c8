"""What surrounds mail capture: the poll of a busy org, coming back after a disconnect, notifications, names of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from shared.access import directory
from shared.core.errors import Unavailable
from shared.core.keys import state_matches
from shared.core.profile import BY_NAME
from shared.crm.salesforce_files import file_of, stored_name, version_fields
from shared.ports import Changed, MailboxKey, Place, Ring, Subscription, TenantId
from shared.session import standing
from shared.session.poll import OVERLAP, poll
from shared.session.push import Door, KeepPush
from shared.session.run import run_session
from shared.store.memory import MemoryStore
from tests.property.capture_world import HOME, ORG, START, World

TENANT, SECRET = TenantId("t"), b"s" * 32
ANN = f"ann@{HOME}"


class Desk:
    """A clock that stands and a bell that only counts."""

    def __init__(self) -> None:
        self.store, self.time, self.rings = MemoryStore(), START, list[Ring]()

    def now(self) -> datetime:
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        self.rings.append(ring)


class Cleaning:
    """An org in which somebody deleted a great many mail records, none of them ours, within a minute."""

    def __init__(self, records: int) -> None:
        self.changes = [
            Changed("mail", f"02s{number:012}AAA", "2026-03-02T09:00:00Z", deleted=True) for number in range(records)
        ]
        self.since: datetime | None = None

    def changed(self, since: Mapping[str, datetime]) -> Sequence[Changed]:
        self.since = since["mail"]
        return self.changes


def test_a_mass_deletion_in_the_org_does_not_stop_the_poll() -> None:
    desk, feed = Desk(), Cleaning(25_000)
    for _ in range(2):
        poll(
            feed, ["mail"], store=desk.store, bell=desk, clock=desk, org=ORG,
            place_of=lambda key: Place("state", TENANT, "mailbox", key), owners=lambda user: (),
        )  # fmt: skip
        feed.changes = []
        desk.time += timedelta(minutes=10)
    assert feed.since == START - OVERLAP, "the watermark went on to where the first question began"


def connect(world: World) -> MailboxKey:
    entry = directory.connect(
        world.inner, world, SECRET, TENANT, address=ANN, org="o", user="005ann", username="ann@crm.example", connection="org"
    )
    return entry.key


def test_a_deletion_is_followed_by_a_mailbox_that_was_connected_again() -> None:
    probe = World(names=())
    key = connect(probe)
    world = World(names=(key,))
    connect(world)
    world.put(world.mail(1), key)
    world.session(key)
    assert directory.disconnect(world.inner, world, SECRET, TENANT, key)
    connect(world)
    world.mailboxes[key].generation += 1  # its cursors are forgotten
    world.session(key)
    (one,) = world.crm.alive()
    one.deleted = True

    class Feed:
        def changed(self, since: Mapping[str, datetime]) -> list[Changed]:
            return [Changed("mail", one.id, "1", deleted=True)]

    poll(Feed(), ["mail"], store=world.inner, bell=world, clock=world, org=ORG, place_of=world.place, owners=lambda user: ())
    world.session(key)
    assert [note.rule for note in world.notes][-1] == "severed.deleted"


def test_a_mailbox_that_was_disconnected_holds_no_record() -> None:
    probe = World(names=())
    key = connect(probe)
    world = World(names=(key, "bob"))
    connect(world)
    world.put(world.mail(1), key, "bob")
    world.session(key)
    world.session("bob")
    assert directory.disconnect(world.inner, world, SECRET, TENANT, key)
    del world.mailboxes[key]
    world.mailboxes["bob"].change("bob-id1", categories=("Salesforce Unsync",))
    world.session("bob")
    assert [note.rule for note in world.notes][-1] == "removed.unsync", "the last one who holds it takes it along"


class Down:
    """A vendor whose subscriptions are out of order for now."""

    def subscribe(self, notify_url: str, lifecycle_url: str, state: str) -> Subscription:
        raise Unavailable

    def renew(self, subscription_id: str) -> Subscription:
        raise Unavailable

    def unsubscribe(self, subscription_id: str) -> None:
        raise Unavailable


def test_mail_arrives_although_subscriptions_are_out_of_order() -> None:
    world = World(names=("ann",))
    world.put(world.mail(1), "ann")
    push = KeepPush(Down(), lambda generation: Door("https://x.test/n", "https://x.test/l", "s"))
    run_session(
        Ring(MailboxKey("ann"), "user", world.now()), place=world.place("ann"), store=world.inner, bell=world, clock=world,
        session_id="s", parts=lambda: [push, world.capture("ann")],
    )  # fmt: skip
    assert len(world.crm.alive()) == 1


def test_a_client_state_that_is_no_whole_text_is_refused_and_nothing_else() -> None:
    assert state_matches("\ud800", (SECRET,), "ann", 1) is False


@pytest.mark.parametrize("name", ["", "wide\uff0fslash.txt"])
def test_a_file_that_was_uploaded_is_found_by_the_name_the_mail_gives_it(name: str) -> None:
    sent = version_fields(name, "02s1")
    document = {"Title": sent["Title"], "ContentSize": 9, "LatestPublishedVersion": {"PathOnClient": sent["PathOnClient"]}}
    assert file_of({"ContentDocument": document})[0] == stored_name(name)


def test_a_mailbox_with_the_shortest_interval_is_not_late_between_two_sweeps() -> None:
    world = World(names=("ann",))
    interval_s = BY_NAME["interval_s"].low
    world.session("ann")
    world.time += timedelta(minutes=directory.SLOTS)
    assert standing.read(world.inner, world.place("ann"), world.time, interval_s).status == "ok"
