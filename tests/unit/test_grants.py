"""Grants: who may refresh, what is kept, what is believed, and that no token is ever shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.access import ask, grants
from shared.access.grants import CLAIM, GrantDead, Grants, Tokens
from shared.core.errors import ConsentNeeded, NetworkDown, NewerRow, OrgConsentNeeded, Retry, SyncError, Throttled
from shared.ports import Bearer, MailboxKey, Place, Put
from tests.unit.grant_home import ADDRESS, ANN, BOB, PLACE, START, TENANT, VENDOR, CountingVault, Hand, Home, LossyStore, Vendor

pytest_plugins = ("tests.unit.grant_fixtures",)


def test_a_token_that_lasts_is_used_without_asking_with_one_read_a_session_and_opened_once(vault: CountingVault) -> None:
    home, other = Home(vault), None
    other = home.process()
    opened = vault.opened
    for session in range(3):
        grant = home.grant(other)
        for _ in range(5):
            assert grant.current() == Bearer("access-0", ADDRESS)
        assert (home.store.reads, home.vendor.calls) == (session + 1, 0)
    assert vault.opened == opened + 1


def test_a_token_with_two_minutes_left_is_renewed_and_everybody_sees_the_new_one(vault: CountingVault) -> None:
    home = Home(vault, timedelta(minutes=2))
    assert home.grant().current().token == "access-1"
    assert home.grant(home.process()).current().token == "access-1"
    assert home.vendor.calls == 1


def test_a_session_that_outlives_its_token_renews_it(vault: CountingVault) -> None:
    home = Home(vault)
    grant = home.grant()
    grant.current()
    home.clock.time += timedelta(minutes=59)
    assert grant.current().token == "access-1"


@pytest.mark.parametrize("rotates", [False, True])
def test_a_new_refresh_token_replaces_the_old_and_without_a_new_one_the_old_stays(vault: CountingVault, rotates: bool) -> None:
    home = Home(vault, timedelta(0), rotates=rotates)
    for turn in (1, 2, 3):
        assert home.grant(home.process()).current().token == f"access-{turn}"
        home.clock.time += timedelta(hours=2)


def test_a_token_without_an_end_is_good_until_it_is_refused(vault: CountingVault) -> None:
    home = Home(vault, None)
    home.clock.time += timedelta(days=400)
    grant = home.grant()
    assert grant.current().token == "access-0"
    assert grant.after(grant.current()).token == "access-1"


def test_after_a_refusal_the_token_that_another_worker_fetched_is_used_and_only_else_the_vendor_asked(
    vault: CountingVault,
) -> None:
    home = Home(vault)
    slow = home.grant(home.process())
    refused = slow.current()
    assert home.grant().after(refused).token == "access-1"
    assert slow.after(refused).token == "access-1"
    assert home.vendor.calls == 1
    assert slow.after(slow.current()).token == "access-2"


def test_who_finds_a_refresh_claimed_uses_the_token_that_is_still_valid_or_comes_back_in_two_seconds(
    vault: CountingVault,
) -> None:
    home = Home(vault, timedelta(seconds=90))
    other, seen = home.grant(home.process()), []
    home.vendor.meanwhile = lambda: seen.append(other.current().token)
    assert home.grant().current().token == "access-1"
    assert seen == ["access-0"]

    home = Home(vault, timedelta(0))
    waiting = home.grant(home.process())

    def meanwhile() -> None:
        with pytest.raises(Retry) as later:
            waiting.current()
        assert (later.value.after_s, later.value.code) == (2, "retry.token_refresh")

    home.vendor.meanwhile = meanwhile
    assert home.grant().current().token == "access-1"
    home.vendor.meanwhile = lambda: None
    assert waiting.current().token == "access-1"
    assert home.vendor.calls == 1


def test_a_dead_grant_is_told_asks_no_vendor_holds_no_secret_and_lives_again_when_a_person_connects(
    vault: CountingVault,
) -> None:
    home = Home(vault, timedelta(seconds=90))
    home.vendor.live = "another"
    for _ in range(3):
        for process in (home.grants, home.process()):
            with pytest.raises(ConsentNeeded) as told:
                home.grant(process).current()
            assert type(told.value) is ConsentNeeded
            assert told.value.code == "mailbox.consent_needed.expired"
    assert home.vendor.calls == 1
    assert (home.row()["sealed"], home.row()["dead"]) == (None, "mailbox.consent_needed.expired")
    home.grants.keep(ANN, VENDOR, replace(home.first, access="access-new", expires=home.clock.time + timedelta(hours=1)))
    assert home.grant(home.process()).current().token == "access-new"


def test_an_invalid_grant_is_not_believed_when_a_person_connected_meanwhile(vault: CountingVault) -> None:
    home = Home(vault, timedelta(0))

    def refused(token: str) -> Tokens:
        home.process().keep(ANN, VENDOR, replace(home.first, access="access-new", expires=None))
        raise GrantDead

    grant = home.grants.of(ANN, VENDOR, refused)
    with pytest.raises(Retry):
        grant.current()
    assert grant.current().token == "access-new"


def test_what_a_person_connected_meanwhile_is_not_overwritten_by_a_slow_answer(vault: CountingVault) -> None:
    home = Home(vault, timedelta(0))
    home.vendor.meanwhile = lambda: home.process().keep(ANN, VENDOR, replace(home.first, access="access-new", expires=None))
    assert home.grant().current().token == "access-new"
    assert home.grant(home.process()).current().token == "access-new"


def test_what_was_forgotten_during_a_refresh_stays_forgotten(vault: CountingVault) -> None:
    home = Home(vault, timedelta(0))
    home.vendor.meanwhile = lambda: home.process().forget(ANN, VENDOR)
    with pytest.raises(ConsentNeeded):
        home.grant().current()
    assert home.store.get(PLACE, VENDOR) is None
    home.grants.forget(ANN, VENDOR)


@pytest.mark.parametrize(
    "refusal", [ConsentNeeded("mailbox.consent_needed.disabled"), OrgConsentNeeded("org.consent_needed.ip")]
)
def test_a_refusal_that_somebody_can_lift_leaves_the_grant_alive_and_unclaimed(
    vault: CountingVault, refusal: SyncError
) -> None:
    home = Home(vault, timedelta(0))
    home.vendor.says = refusal
    with pytest.raises(type(refusal)) as told:
        home.grant().current()
    assert told.value.code == refusal.code
    home.vendor.says = None
    assert home.grant().current().token == "access-2"


@pytest.mark.parametrize("later", [Throttled(5), NetworkDown()])
def test_a_vendor_that_says_later_is_left_alone_for_as_long_as_a_claim_lasts(vault: CountingVault, later: Retry) -> None:
    home = Home(vault, timedelta(seconds=20))
    home.vendor.says = later
    assert home.grant().current().token == "access-0"  # it is still valid
    home.clock.time += timedelta(seconds=25)
    with pytest.raises(Retry):
        home.grant().current()
    assert home.vendor.calls == 1
    home.vendor.says = None
    home.clock.time = START + CLAIM
    assert home.grant().current().token == "access-2"
    assert CLAIM.total_seconds() > ask.LONGEST_S


@pytest.mark.parametrize("lost", [{3: "before"}, {3: "after"}, {3: "before", 4: "before", 5: "after"}])
def test_a_rotated_token_is_kept_although_the_storage_did_not_answer(vault: CountingVault, lost: dict[int, str]) -> None:
    store, clock = LossyStore(), Hand()
    vendor = Vendor(clock, rotates=True)
    ours = Grants(store, vault, clock, TENANT)
    ours.keep(ANN, VENDOR, Tokens("access-0", ADDRESS, START, "refresh-0"))
    store.lost = lost
    assert ours.of(ANN, VENDOR, vendor.refresh).current().token == "access-1"
    clock.time += timedelta(hours=2)
    assert Grants(store, vault, clock, TENANT).of(ANN, VENDOR, vendor.refresh).current().token == "access-2"


def test_a_storage_that_stays_away_is_told_and_the_grant_is_not_called_dead(vault: CountingVault) -> None:
    store, clock = LossyStore(), Hand()
    vendor = Vendor(clock)
    ours = Grants(store, vault, clock, TENANT)
    ours.keep(ANN, VENDOR, Tokens("access-0", ADDRESS, START, "refresh-0"))
    store.lost = dict.fromkeys(range(3, 3 + grants.TRIES), "before")
    with pytest.raises(NetworkDown):
        ours.of(ANN, VENDOR, vendor.refresh).current()
    clock.time += CLAIM
    assert ours.of(ANN, VENDOR, vendor.refresh).current().token == "access-2"


def test_a_row_opens_only_for_its_mailbox_and_newer_rows_park_the_mailbox(vault: CountingVault) -> None:
    home = Home(vault)
    bobs = Place("state", TENANT, "grant", BOB)
    home.store.commit(bobs, [Put(VENDOR, dict(home.row()))])
    with pytest.raises(ConsentNeeded) as told:
        home.process().of(BOB, VENDOR, home.vendor.refresh).current()
    assert told.value.code == grants.UNREADABLE
    home.store.commit(bobs, [Put(VENDOR, {**home.row(), "v": grants.VERSION + 1})])
    with pytest.raises(NewerRow):
        home.process().of(BOB, VENDOR, home.vendor.refresh).current()
    assert home.grant().who == "o/u"
    with pytest.raises(ConsentNeeded):
        home.grants.of(MailboxKey("nobody"), VENDOR, home.vendor.refresh).current()
    with pytest.raises(ConsentNeeded) as offline:
        home.grants.keep(BOB, VENDOR, replace(home.first, refresh=""))
    assert offline.value.code == grants.OFFLINE


def test_neither_the_row_nor_any_repr_shows_a_token(vault: CountingVault) -> None:
    home = Home(vault)
    held = home.grants.read(ANN, VENDOR)
    assert held is not None
    shown = f"{home.row()} {held!r} {home.first!r} {home.first.bearer!r} {home.grant()!r} {home.grants!r}"
    assert "access-0" not in shown and "refresh-0" not in shown
    assert str(held.sealed) not in repr(held)
    assert "canary" not in repr(ask.Answer(200, {"access_token": "canary"}, "canary", {"location": "canary"}))
