"""The hook after provisioning, against an `az` that keeps what it is given in a folder and can be told to refuse."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.access.tokens import SigningKeyMissing, issue, verify
from shared.ports import MailboxKey
from shared.settings import SettingsError, read

ROOT = Path(__file__).resolve().parents[2]
AZ = """#!{python}
import json, os, pathlib, sys
folder, given = pathlib.Path({folder!r}), sys.argv[1:]
with (folder / "calls").open("a") as log: log.write(json.dumps(given) + "\\n")
def of(name): return given[given.index(name) + 1]
if given[:2] == json.loads((folder / "refuses").read_text()): sys.exit("ERROR: Forbidden")
if given[:3] == ["keyvault", "secret", "list"]: print("\\n".join(p.name for p in (folder / "vault").iterdir()))
elif given[:3] == ["keyvault", "secret", "set"]:
    file = pathlib.Path(of("--file")); assert file.stat().st_mode & 0o77 == 0
    (folder / "vault" / of("--name")).write_text(file.read_text())
elif given[:3] == ["ad", "app", "create"]: print("11111111-1111-1111-1111-111111111111")
elif given[:4] == ["ad", "app", "credential", "reset"]: print("entra-canary")
elif given[0] != "rest": sys.exit("ERROR: not known here")
"""


class Cloud:
    def __init__(self, folder: Path) -> None:
        self.folder, self.vault = folder, folder / "vault"
        self.vault.mkdir(parents=True)
        (folder / "bin").mkdir()
        program = folder / "bin/az"
        program.write_text(AZ.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o700)

    def set_up(self, refuses: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        (self.folder / "refuses").write_text(json.dumps(refuses))
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "MAILSPAN_ADDRESS": "https://func.example.net",
            "MAILSPAN_APP_ID": "/subscriptions/s/sites/func", "MAILSPAN_VAULT_NAME": "kv", "AZURE_ENV_NAME": "prod",
        }  # fmt: skip
        script = [sys.executable, str(ROOT / "scripts/infra_setup.py")]
        return subprocess.run(script, env=environment, capture_output=True, text=True, check=False)

    def kept(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in self.vault.iterdir()}

    def calls(self) -> str:
        return (self.folder / "calls").read_text()


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path / "cloud")


def environment(kept: dict[str, str]) -> dict[str, str]:
    return {
        "MAILSPAN_TENANT": "tenant", "MAILSPAN_STORAGE": "account", "MAILSPAN_VAULT": "https://kv.example.net/keys/wrapping",
        "MAILSPAN_PUBLIC_URL": "https://func.example.net", "MAILSPAN_MICROSOFT_TENANT": "t",
        "MAILSPAN_SALESFORCE_CLIENT_ID": "c",
        "MAILSPAN_INSTALL_SECRET": kept["install-secret"], "MAILSPAN_WEBHOOK_SECRETS": kept["webhook-secrets"],
        "MAILSPAN_SIGNING_KEY": kept["signing-key"], "MAILSPAN_MICROSOFT_CLIENT_ID": kept["microsoft-client-id"],
        "MAILSPAN_MICROSOFT_CLIENT_SECRET": kept["microsoft-client-secret"],
    }  # fmt: skip


def test_the_product_starts_with_what_the_hook_made_and_signs_with_its_key(cloud: Cloud) -> None:
    assert cloud.set_up().returncode == 0
    settings, now = read(environment(cloud.kept())), datetime(2026, 3, 1, tzinfo=UTC)
    token = issue(settings, now, MailboxKey("k" * 26))
    assert verify(settings, now, token).mailbox == "k" * 26
    assert settings.microsoft_client_secret == "entra-canary"
    assert base64.b64decode(cloud.kept()["signing-key"]).decode() not in repr(settings)
    assert cloud.kept()["signing-key"] not in repr(settings)
    other = replace(settings, signing_key=base64.b64encode(b"no key").decode())
    with pytest.raises(SigningKeyMissing):
        issue(other, now, MailboxKey("k" * 26))


def test_a_second_run_makes_nothing_anew(cloud: Cloud) -> None:
    cloud.set_up()
    first = cloud.kept()
    assert {"install-secret", "webhook-secrets", "signing-key", "microsoft-client-id", "microsoft-client-secret"} == set(first)
    assert cloud.set_up().returncode == 0
    assert cloud.kept() == first
    assert cloud.calls().count('"create"') == 1


def test_where_the_vault_does_not_tell_what_it_has_nothing_is_written(cloud: Cloud) -> None:
    ended = cloud.set_up(refuses=("keyvault", "secret"))
    assert ended.returncode == 1
    assert cloud.kept() == {}
    assert '"set"' not in cloud.calls()
    assert "azd hooks run postprovision" in ended.stdout


def test_without_the_right_to_register_it_says_what_to_do_and_goes_on(cloud: Cloud) -> None:
    ended = cloud.set_up(refuses=("ad", "app"))
    assert ended.returncode == 0
    assert set(cloud.kept()) == {"install-secret", "webhook-secrets", "signing-key"}
    for name in ("microsoft-client-id", "microsoft-client-secret", "salesforce-client-id"):
        assert f"--name {name} " in ended.stdout


def test_redirect_addresses_are_told_and_no_secret_is_printed_or_on_a_command_line(cloud: Cloud) -> None:
    ended = cloud.set_up()
    for vendor in ("microsoft", "salesforce"):
        assert f"https://func.example.net/api/v1/connect/{vendor}\n" in ended.stdout
    for name, value in cloud.kept().items():
        if name != "microsoft-client-id":
            assert value not in ended.stdout + ended.stderr + cloud.calls(), name
    assert "configreferences/appsettings/refresh" in cloud.calls()


def test_a_reference_that_does_not_resolve_stops_the_start_by_name_and_never_passes_for_a_secret(cloud: Cloud) -> None:
    cloud.set_up()
    for name in environment(cloud.kept()):
        given = environment(cloud.kept()) | {name: "@Microsoft.KeyVault(SecretUri=https://kv.example.net/secrets/x)"}
        with pytest.raises(SettingsError, match=name):
            read(given)


def test_without_a_signing_key_in_either_form_the_start_stops(cloud: Cloud) -> None:
    cloud.set_up()
    given = environment(cloud.kept()) | {"MAILSPAN_SIGNING_KEY": ""}
    with pytest.raises(SettingsError, match="MAILSPAN_SIGNING_KEY or MAILSPAN_SIGNING_KEY_FILE"):
        read(given)
    assert read(given | {"MAILSPAN_SIGNING_KEY_FILE": "key.pem"}).signing_key_file == "key.pem"
