"""Secrets and keys: nothing opens elsewhere, nothing is guessable, and a missing setting is named."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from shared.access.install import new_install
from shared.access.seal import SealBroken, seal, unseal
from shared.core.keys import client_state, item_key, mailbox_key, state_matches
from shared.settings import Settings, SettingsError, read
from shared.store.vault import FileVault, VaultKeyMissing

OTHERS = {
    "MAILSPAN_STORAGE": "account", "MAILSPAN_PUBLIC_URL": "https://sync.example.com/", "MAILSPAN_MICROSOFT_TENANT": "t",
    "MAILSPAN_MICROSOFT_CLIENT_ID": "c", "MAILSPAN_MICROSOFT_CLIENT_SECRET": "micro-secret",
    "MAILSPAN_SALESFORCE_CLIENT_ID": "c",
}  # fmt: skip


def vault(folder: Path) -> FileVault:
    return FileVault(Path(new_install(folder)["MAILSPAN_VAULT"].removeprefix("file:")))


def test_what_is_sealed_opens_only_for_its_purpose_and_with_its_key(tmp_path: Path) -> None:
    ours, purpose = vault(tmp_path / "a"), ("tenant", "mailbox", "microsoft")
    sealed = seal(ours, purpose, {"refresh_token": "canary-token"})
    assert "canary" not in str(sealed)
    assert unseal(ours, purpose, sealed) == {"refresh_token": "canary-token"}
    for wrong in (("tenant", "other", "microsoft"), ("tenant", "mailbox"), ("tenantmailbox", "microsoft")):
        with pytest.raises(SealBroken):
            unseal(ours, wrong, sealed)
    with pytest.raises(VaultKeyMissing):
        unseal(vault(tmp_path / "b"), purpose, sealed)
    changed = bytearray(base64.b64decode(sealed["text"]))
    changed[0] ^= 1
    with pytest.raises(SealBroken):
        unseal(ours, purpose, {**sealed, "text": base64.b64encode(changed).decode()})


def test_two_installations_share_no_secret_and_keep_them_to_their_owner(tmp_path: Path) -> None:
    first, second = new_install(tmp_path / "a"), new_install(tmp_path / "b")
    assert all(first[name] != second[name] for name in first)
    for file in (tmp_path / "a").iterdir():
        assert file.stat().st_mode & 0o077 == 0
    assert vault(tmp_path / "a").wrap(b"k" * 32).kid != vault(tmp_path / "b").wrap(b"k" * 32).kid


def test_keys_are_stable_meaningless_and_safe() -> None:
    key = mailbox_key(b"s" * 32, "microsoft", " Ann@Example.test ")
    assert key == mailbox_key(b"s" * 32, "microsoft", "ann@example.test")
    assert key != mailbox_key(b"t" * 32, "microsoft", "ann@example.test")
    assert key != mailbox_key(b"s" * 32, "google", "ann@example.test")
    assert (len(key), len(item_key(b"s" * 32, "<id@x>"))) == (26, 32)
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert item_key(b"s" * 32, "a", "bc") != item_key(b"s" * 32, "ab", "c")


def test_a_client_state_is_good_for_its_mailbox_generation_and_either_secret_during_rotation() -> None:
    old, new = b"o" * 32, b"n" * 32
    state = client_state(old, "m", 3)
    assert len(state) <= 128
    assert state_matches(state, (new, old), "m", 3)
    assert not state_matches(state, (new,), "m", 3)
    assert not state_matches(state, (new, old), "m", 4)
    assert not state_matches(state, (new, old), "n", 3)
    assert not state_matches("", (new, old), "m", 3)


def test_a_client_state_that_is_no_whole_text_is_refused_and_nothing_else() -> None:
    assert state_matches("\ud800", (b"s" * 32,), "m", 1) is False


def test_settings_are_read_once_hide_secrets_and_name_what_is_missing(tmp_path: Path) -> None:
    given = {**new_install(tmp_path), **OTHERS}
    settings = read(given)
    assert isinstance(settings, Settings)
    assert settings.public_url == "https://sync.example.com"
    assert settings.microsoft_graph == "https://graph.microsoft.com/v1.0"
    assert "micro-secret" not in repr(settings)
    with pytest.raises(SettingsError, match="MAILSPAN_MICROSOFT_TENANT, MAILSPAN_TENANT"):
        read({name: value for name, value in given.items() if name not in ("MAILSPAN_TENANT", "MAILSPAN_MICROSOFT_TENANT")})
    for wrong in (
        {"MAILSPAN_PUBLIC_URL": "http://x"},
        {"MAILSPAN_INSTALL_SECRET": "c2hvcnQ="},
        {"MAILSPAN_WEBHOOK_SECRETS": "%"},
    ):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            read({**given, **wrong})
