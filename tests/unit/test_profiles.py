"""Layers of settings as they are stored: inheritance, force, versions, the audit that never misses, and that nothing shows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.audit import Audit, BadCursor, By, State, place_of
from shared.access.install import new_install
from shared.access.profiles import (
    ABSENT,
    COMPANY,
    Change,
    Layer,
    LayerChanged,
    Profiles,
    SettingRefused,
    origin,
    profile_layer,
    refuse,
    user_layer,
)
from shared.core.errors import NetworkDown
from shared.core.profile import BY_NAME, SETTINGS, Profile
from shared.ports import MailboxKey, Place, TenantId, Write
from shared.session import records
from shared.store.memory import MemoryStore
from shared.store.vault import FileVault

TENANT, ANN, ROOT = TenantId("tenant"), MailboxKey("ann"), MailboxKey("root")
PLACE = Place("state", TENANT, "tenant", "settings")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
TYPED = "rival-lawyers.example"


class Cut(MemoryStore):
    """Storage that stops answering before a write to one table, once."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = ""

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        if place.table == self.cut:
            self.cut = ""
            raise NetworkDown
        return super().commit(place, writes)


@pytest.fixture
def store() -> Cut:
    return Cut()


@pytest.fixture
def profiles(store: Cut, tmp_path: Path) -> Profiles:
    values = new_install(tmp_path)
    return Profiles(store, FileVault(Path(values["MAILSPAN_VAULT"].removeprefix("file:"))), TENANT)


def by(n: int = 0, role: str = "admin") -> By:
    return By(ROOT, role, "change", NOW + timedelta(seconds=n))


def said(mode: str = "allow", **values: Any) -> dict[str, dict[str, Any]]:
    return {name: {"value": value, "mode": mode} for name, value in values.items()}


def put(profiles: Profiles, layer: str, values: Mapping[str, Any], n: int = 0, profile: str = "") -> Layer:
    (found,) = profiles.change([Change(layer, profiles.read(layer).version, State(values, profile))], by(n))
    return found


def test_a_later_layer_wins_until_one_forces(profiles: Profiles) -> None:
    put(profiles, COMPANY, said(look_back_days=1, clones=False) | said("force", save_body="none"))
    put(profiles, profile_layer("sales"), said(look_back_days=2, save_body="full") | said("force", attachment_max_mb=5))
    put(profiles, user_layer(ANN), said(look_back_days=3, save_body="full", attachment_max_mb=9), profile="sales")
    ann, other = profiles.of(ANN), profiles.of(MailboxKey("bob"))
    assert [ann[name] for name in ("look_back_days", "clones", "save_body", "attachment_max_mb")] == [3, False, "none", 5]
    assert [other[name] for name in ("look_back_days", "save_body", "attachment_max_mb")] == [1, "none", 25]
    layers = profiles.layers_of(ANN)
    found = {name: origin(name, layers) for name in ("look_back_days", "clones", "save_body", "attachment_max_mb", "save_bcc")}
    kinds = {name: (one.layer.kind if one.layer else None, one.forced) for name, one in found.items()}
    assert kinds == {
        "look_back_days": ("user", False), "clones": ("company", False), "save_body": ("company", True),
        "attachment_max_mb": ("profile", True), "save_bcc": (None, False),
    }  # fmt: skip


VALUES = st.one_of(st.booleans(), st.integers(-5, 400), st.sampled_from(["full", "none", "both", "inbox"]), st.just(["a.test"]))
STORED = st.fixed_dictionaries({"value": VALUES, "mode": st.sampled_from(["allow", "force"])})
LAYERS = st.lists(st.dictionaries(st.sampled_from(list(BY_NAME)), STORED, max_size=8), max_size=3)


@given(LAYERS)
def test_where_a_value_is_said_to_come_from_is_where_it_comes_from(given_layers: list[dict[str, dict[str, Any]]]) -> None:
    layers = [Layer(f"profile_{n}", State(values)) for n, values in enumerate(given_layers)]
    profile = Profile(*given_layers)
    for setting in SETTINGS:
        found = origin(setting.name, layers)
        value = found.layer.state.values[setting.name]["value"] if found.layer else setting.default
        assert profile[setting.name] == (tuple(value) if setting.kind == "list" else value)
        if found.layer and found.forced:
            assert profile[setting.name] == Profile(*given_layers, {setting.name: setting.default})[setting.name]


def test_a_change_made_from_an_old_version_is_refused_and_leaves_no_trace(profiles: Profiles, store: Cut) -> None:
    first = put(profiles, COMPANY, said(clones=False))
    put(profiles, COMPANY, said(clones=True), 1)
    for version in (first.version, ABSENT, ""):
        with pytest.raises(LayerChanged):
            profiles.change([Change(COMPANY, version, State(said(clones=False)))], by(2))
    assert len(profiles.audit().entries().entries) == 2
    assert profiles.layer(COMPANY) == said(clones=True)


def test_several_layers_change_together_or_not_at_all(profiles: Profiles) -> None:
    company = put(profiles, COMPANY, said(clones=False))
    changes = [
        Change(COMPANY, company.version, State(said(clones=True))),
        Change(profile_layer("a"), "stale", State(said(save_bcc=True))),
    ]
    with pytest.raises(LayerChanged):
        profiles.change(changes, by(1))
    assert profiles.layer(COMPANY) == said(clones=False)
    assert len(profiles.audit().entries().entries) == 1


def test_a_change_that_changes_nothing_is_no_entry_and_no_new_version(profiles: Profiles) -> None:
    first = put(profiles, COMPANY, said(clones=False))
    assert put(profiles, COMPANY, said(clones=False), 1).version == first.version
    assert len(profiles.audit().entries().entries) == 1


def test_a_storage_that_breaks_between_change_and_audit_loses_no_entry(profiles: Profiles, store: Cut) -> None:
    put(profiles, COMPANY, said(clones=False))
    store.cut = "audit"
    with pytest.raises(NetworkDown):  # the copy of the entry before comes first: nothing changed
        put(profiles, COMPANY, said(clones=True), 1)
    assert profiles.layer(COMPANY) == said(clones=False)
    store.cut = "audit"
    with pytest.raises(NetworkDown):
        put(profiles, profile_layer("new"), said(save_bcc=True), 2)
    assert profiles.layer(profile_layer("new")) == said(save_bcc=True)  # changed, and its entry is still in the row
    put(profiles, profile_layer("new"), said(save_bcc=False), 3)
    told = [(entry.layer, entry.before.values, entry.after.values) for entry in profiles.audit().entries().entries]
    assert told == [
        ("profile_new", said(save_bcc=True), said(save_bcc=False)),
        ("profile_new", {}, said(save_bcc=True)),
        (COMPANY, {}, said(clones=False)),
    ]


def test_a_storage_that_breaks_before_the_change_leaves_no_entry_of_it(profiles: Profiles, store: Cut) -> None:
    store.cut = "state"
    with pytest.raises(NetworkDown):
        put(profiles, COMPANY, said(clones=True))
    assert profiles.audit().entries().entries == ()
    assert profiles.read(COMPANY).version == ABSENT


def test_the_audit_says_who_what_before_after_and_when_page_by_page(profiles: Profiles) -> None:
    for n in range(7):
        put(profiles, COMPANY, said(look_back_days=n), n)
    seen, after = [], ""
    while True:
        page = profiles.audit().entries(after, 3)
        seen += page.entries
        if not (after := page.next):
            break
    assert [entry.after.values["look_back_days"]["value"] for entry in seen] == [6, 5, 4, 3, 2, 1, 0]
    newest = seen[0]
    assert (newest.by, newest.changed) == (by(6), ("look_back_days",))
    assert newest.before.values == said(look_back_days=5)
    assert profiles.audit().find(newest.id) == newest
    assert profiles.audit().find("x") is None
    with pytest.raises(BadCursor):
        profiles.audit().entries("x")


def test_a_mailboxs_own_changes_stand_apart_and_name_its_profile(profiles: Profiles, store: Cut) -> None:
    put(profiles, user_layer(ANN), said(clones=False))
    put(profiles, user_layer(ANN), said(clones=False), 1, profile="sales")
    assert profiles.audit().entries().entries == ()
    assert [entry.changed for entry in profiles.audit(user_layer(ANN)).entries().entries] == [("profile",), ("clones",)]
    assert len(list(store.scan(place_of(TENANT, ANN)))) == 2


def test_what_people_typed_is_nowhere_in_the_clear_and_opens_only_in_its_place(profiles: Profiles, store: Cut) -> None:
    put(profiles, COMPANY, said(blocklist=[TYPED]))
    put(profiles, user_layer(ANN), said(user_blocklist=[TYPED]))
    rows = [row for place in (PLACE, place_of(TENANT), place_of(TENANT, ANN)) for row in store.scan(place)]
    assert len(rows) == 4
    assert TYPED not in json.dumps([dict(row.value) for row in rows])
    assert profiles.audit().entries().entries[0].after.values["blocklist"]["value"] == [TYPED]


@pytest.mark.parametrize(
    ("name", "value", "kind", "code"),
    [
        ("no_such", True, "company", "settings.unknown"),
        ("look_back_days", 366, "company", "settings.range"),
        ("look_back_days", True, "company", "settings.range"),
        ("save_body", "half", "profile", "settings.range"),
        ("blocklist", ["a.test"], "user", "settings.company_only"),
        ("clones", True, "user", "settings.forced"),
        ("clones", True, "profile", "settings.forced"),
    ],
)
def test_a_setting_that_may_not_be_changed_so_is_named(name: str, value: Any, kind: Any, code: str) -> None:
    wider = [Layer(COMPANY, State(said("force", clones=False)))]
    with pytest.raises(SettingRefused) as refused:
        refuse(State(said(**{name: value})), State(), kind, wider)
    assert (refused.value.code, refused.value.name) == (code, name)
    refuse(State(said(**{name: value})), State(said(**{name: value})), kind, wider)  # what stood there already may stay


@pytest.mark.parametrize("name", ["", "default", "A", "a b", "a/b", "-a", "a" * 41, "ä", "a\n"])
def test_what_cannot_be_a_profiles_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(name)}$"):
        profile_layer(name)
    assert profile_layer("default-2") == "profile_default-2"


def test_a_row_of_an_older_release_is_read(profiles: Profiles, store: Cut, tmp_path: Path) -> None:
    profiles.save(COMPANY, {"internal_domains": ("own.test",), "clones": {"value": False, "mode": "force"}})
    values = profiles.layer(COMPANY)
    assert values == said(internal_domains=["own.test"]) | said("force", clones=False)
    row = store.get(PLACE, COMPANY)
    assert row is not None
    assert "entry" not in row.value
    with pytest.raises(ValueError, match="value out of range: clones"):
        profiles.save(COMPANY, {"clones": 1})
    assert isinstance(profiles.audit(), Audit)
    assert records.read(row)["profile"] == ""
