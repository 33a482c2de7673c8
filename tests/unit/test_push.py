"""A mailbox keeps its subscription: made once, renewed daily or when the vendor asks, made anew when it was dropped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import Gone, NetworkDown, Refused, Unavailable
from shared.ports import LedgerEntry, MailboxKey, Place, Put, Ring, Subscription, TenantId
from shared.session import records
from shared.session.push import Door, KeepPush
from shared.session.run import SessionReport, new_state, run_session
from shared.store.memory import MemoryStore
from tests.property.capture_world import World as MailWorld

PLACE = Place("state", TenantId("t"), "mailbox", "ann")


class Vendor:
    """Keeps subscriptions for seven days. `problem` is raised by the next call."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known: dict[str, datetime] = {}
        self.calls: list[str] = []
        self.doors: list[str] = []
        self.problem: Exception | None = None

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if (problem := self.problem) is not None:
            self.problem = None
            raise problem

    def subscribe(self, notify_url: str, lifecycle_url: str, state: str) -> Subscription:
        self._called("subscribe")
        self.doors.append(notify_url)
        return self._kept(f"s{len(self.doors)}")

    def renew(self, subscription_id: str) -> Subscription:
        self._called("renew")
        if self.known.get(subscription_id, datetime.min.replace(tzinfo=UTC)) <= self.world.time:
            raise Gone
        return self._kept(subscription_id)

    def unsubscribe(self, subscription_id: str) -> None:
        del self.known[subscription_id]

    def _kept(self, subscription_id: str) -> Subscription:
        self.known[subscription_id] = self.world.time + timedelta(days=7)
        return Subscription(subscription_id, self.known[subscription_id])


class World:
    """One mailbox whose session does nothing but keep its subscription."""

    def __init__(self) -> None:
        self.store, self.time = MemoryStore(), datetime(2026, 6, 1, tzinfo=UTC)
        self.vendor = Vendor(self)
        self.store.commit(PLACE, [Put(records.STATE, new_state(self.time))])

    def now(self) -> datetime:
        return self.time

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        """Nobody answers here."""

    def note(self, entry: LedgerEntry) -> None:
        """Nothing is decided here."""

    def session(self, *, at_once: bool = False) -> SessionReport:
        self.time += timedelta(seconds=1)
        part = KeepPush(self.vendor, _door, at_once=at_once)
        return run_session(
            Ring(MailboxKey("ann"), "renew" if at_once else "user", self.time), place=PLACE, store=self.store, bell=self,
            clock=self, session_id="s", parts=lambda: [part],
        )  # fmt: skip

    def row(self) -> dict[str, object]:
        found = self.store.get(PLACE, "sub_mail")
        assert found is not None
        return dict(found.value)


def _door(generation: int) -> Door:
    return Door(f"https://product/notify/ann/{generation}", "https://product/lifecycle", f"state {generation}")


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_session_subscribes_and_the_next_ones_do_nothing(world: World) -> None:
    for _ in range(3):
        assert world.session().result == "ok"
    assert world.vendor.calls == ["subscribe"]
    assert world.vendor.doors == ["https://product/notify/ann/1"]


def test_it_is_renewed_once_a_day(world: World) -> None:
    for _ in range(24 * 3):
        world.session()
        world.time += timedelta(hours=1)
    assert world.vendor.calls == ["subscribe", "renew", "renew"]
    assert world.row()["generation"] == 1


def test_the_vendor_can_ask_for_it_at_once_though_a_session_was_just_there(world: World) -> None:
    world.session()
    world.session(at_once=True)
    assert world.vendor.calls == ["subscribe", "renew"]


def test_one_that_the_vendor_dropped_is_made_anew_with_another_generation(world: World) -> None:
    world.session()
    world.vendor.known.clear()
    world.session(at_once=True)
    assert world.vendor.calls == ["subscribe", "renew", "subscribe"]
    assert world.vendor.doors[-1] == "https://product/notify/ann/2"
    assert world.row()["generation"] == 2


def test_a_vendor_that_refuses_stops_nothing_and_is_asked_again_after_six_hours(world: World) -> None:
    world.vendor.problem = Refused("refused.validation_error")
    report = world.session()
    assert (report.result, dict(report.counts)) == ("ok", {"push.refused": 1})
    assert world.row()["refused"] == "refused.validation_error"
    world.session()
    assert world.vendor.calls == ["subscribe"]
    world.time += timedelta(hours=6)
    world.session()
    assert world.vendor.calls == ["subscribe", "subscribe"]
    assert world.row()["refused"] == ""


def test_a_vendor_whose_subscriptions_are_out_of_order_stops_nothing_and_is_asked_again_soon(world: World) -> None:
    world.vendor.problem = NetworkDown()
    assert world.session().result == "ok"
    assert world.row()["refused"] == "retry.network"
    world.session()
    assert world.vendor.calls == ["subscribe"]
    world.time += timedelta(minutes=10)
    world.session()
    assert world.vendor.calls == ["subscribe", "subscribe"]


def test_mail_arrives_although_subscriptions_are_out_of_order(world: World) -> None:
    mail = MailWorld(names=("ann",))
    mail.put(mail.mail(1), "ann")
    world.vendor.problem = Unavailable()
    run_session(
        Ring(MailboxKey("ann"), "user", mail.now()), place=mail.place("ann"), store=mail.inner, bell=mail, clock=mail,
        session_id="s", parts=lambda: [KeepPush(world.vendor, _door), mail.capture("ann")],
    )  # fmt: skip
    assert world.vendor.calls == ["subscribe"]
    assert len(mail.crm.alive()) == 1
