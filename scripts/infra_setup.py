"""What `azd provision` cannot make: the secrets of set-up and the registration at Microsoft. Runs after it, and again at will.

Rules that hold here:
- A secret that the vault has is never made anew: the install secret is part of every key, for ever. What the vault has is
  listed first; where that list cannot be had, nothing is written.
- A value never stands on a command line, in an output or in azd's environment: it goes to `az` through a file of mode 0600.
- What may not be done here (no right to register apps) is told in words for the person who may; it is no failure.
Reads from the environment what infra/main.bicep puts out. Needs `az`, signed in, and openssl.
Answers 0, or 1 where the vault refuses.
Source: Azure CLI reference, `az keyvault secret`, `az ad app`; App Service, "Use Key Vault references" (refresh).
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NEEDED = ("MAILSPAN_ADDRESS", "MAILSPAN_APP_ID", "MAILSPAN_VAULT_NAME", "AZURE_ENV_NAME")
REDIRECTS = {"Microsoft": "/api/v1/connect/microsoft", "Salesforce": "/api/v1/connect/salesforce"}
#: secrets that a person brings -> what they are
BROUGHT = {
    "microsoft-client-id": "application (client) id of the registration in Microsoft Entra",
    "microsoft-client-secret": "its client secret",
    "salesforce-client-id": "consumer key of the external client app in Salesforce",
}


class Failed(Exception):
    """A program did not do it; the text is its last line."""


def az(*arguments: str) -> str:
    return run("az", *arguments)


def run(program: str, *arguments: str) -> str:
    """What the program prints. Raises Failed."""
    found = shutil.which(program)
    if found is None:
        raise Failed(f"{program} is not installed.")
    ended = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise Failed((ended.stderr.strip().splitlines() or [f"{program} said nothing."])[-1])
    return ended.stdout.strip()


def names(vault: str) -> set[str]:
    return set(az("keyvault", "secret", "list", "--vault-name", vault, "--query", "[].name", "-o", "tsv").split())


def keep(vault: str, name: str, value: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "value")
        file.touch(mode=0o600)
        file.write_text(value)
        az("keyvault", "secret", "set", "--vault-name", vault, "--name", name, "--file", str(file), "-o", "none")
    print(f"Kept in the vault: {name}")


def random_secret() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def signing_key() -> str:
    """A new P-256 private key: its PEM, in base64. By openssl, since the machine's Python need not have our libraries."""
    return base64.b64encode(
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").encode()
    ).decode()


#: secrets of the deployment itself, made once
MADE = {"install-secret": random_secret, "webhook-secrets": random_secret, "signing-key": signing_key}


def register(vault: str, environment: str, redirect: str) -> None:
    """An app registration at Microsoft, and its id and secret in the vault. Raises Failed."""
    app = az(
        "ad", "app", "create", "--display-name", f"Mailspan {environment}", "--sign-in-audience", "AzureADMyOrg",
        "--web-redirect-uris", redirect, "--query", "appId", "-o", "tsv",
    )  # fmt: skip
    secret = az("ad", "app", "credential", "reset", "--id", app, "--append", "--display-name", "mailspan", "--years", "1",
                "--query", "password", "-o", "tsv")  # fmt: skip
    keep(vault, "microsoft-client-secret", secret)
    keep(vault, "microsoft-client-id", app)


def main() -> int:
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"Run by azd after provisioning; not set: {', '.join(missing)}")
        return 1
    address, vault = os.environ["MAILSPAN_ADDRESS"], os.environ["MAILSPAN_VAULT_NAME"]
    print("Redirect addresses to register:")
    for vendor, path in REDIRECTS.items():
        print(f"  {vendor}: {address}{path}")
    try:
        kept = names(vault)
        for name, make in MADE.items():
            if name not in kept:
                keep(vault, name, make())
    except Failed as problem:
        print(f"The secrets of set-up could not be made in {vault}: {problem}")
        print("Roles may need some minutes after the first time. Then run: azd hooks run postprovision")
        return 1
    if "microsoft-client-id" not in kept:
        try:
            register(vault, os.environ["AZURE_ENV_NAME"], address + REDIRECTS["Microsoft"])
        except Failed as problem:
            print(f"No app was registered at Microsoft: {problem}\nAsk an administrator; docs/deploy.md says what for.")
    tell_missing(vault)
    refresh(os.environ["MAILSPAN_APP_ID"])
    return 0


def tell_missing(vault: str) -> None:
    for name in sorted(BROUGHT.keys() - names(vault)):
        print(f"Still missing: {name}, the {BROUGHT[name]}. Put the value into a file and run:")
        print(f"  az keyvault secret set --vault-name {vault} --name {name} --file FILE -o none")


def refresh(app: str) -> None:
    """Has the app read its references again; without that it would do so within a day."""
    try:
        az("rest", "--method", "post", "--url", f"{app}/config/configreferences/appsettings/refresh?api-version=2022-03-01")
    except Failed as problem:
        print(f"The app was not told of the secrets: {problem}\nRestart it: az functionapp restart --ids {app}")


if __name__ == "__main__":
    sys.exit(main())
