"""The environment, read once into one frozen Settings. A missing setting stops the start with its name and what to do.

Every upstream address is a setting, so the same code runs against the vendors, a national cloud or the sandbox.
Secrets arrive here from app settings or Key Vault references; they are never logged (`repr` hides them). A reference that
the platform could not resolve arrives as its own text: it stops the start, since it must never pass for a secret.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from shared.ports import TenantId


class SettingsError(Exception):
    """A setting of the deployment is missing or malformed; the text says which and what to do."""


@dataclass(frozen=True)
class Settings:
    tenant: TenantId
    install_secret: bytes = field(repr=False)
    webhook_secrets: tuple[bytes, ...] = field(repr=False)
    storage: str = field(repr=False)  # a connection string, or the account name for identity-based access
    vault: str  # file:PATH of a key file, or the address of a Key Vault key
    signing_key: str = field(repr=False)  # ES256 key of the product's own tokens, PEM in base64; or
    signing_key_file: str  # a file with that PEM: one of the two is given
    public_url: str
    microsoft_login: str
    microsoft_graph: str
    microsoft_tenant: str
    microsoft_client_id: str
    microsoft_client_secret: str = field(repr=False)
    salesforce_login: str
    salesforce_client_id: str
    salesforce_client_secret: str = field(repr=False)
    salesforce_jwt_key: str = field(repr=False)  # PEM in base64, "" = none or in the file
    salesforce_jwt_key_file: str
    ca_file: str  # "" = the machine's own certificate authorities
    clock_file: str  # "" = the machine's clock; else a file with seconds to add, for rehearsals


#: field -> (environment name, default or None when it must be given)
_NAMES: Mapping[str, tuple[str, str | None]] = {
    "tenant": ("MAILSPAN_TENANT", None),
    "install_secret": ("MAILSPAN_INSTALL_SECRET", None),
    "webhook_secrets": ("MAILSPAN_WEBHOOK_SECRETS", None),
    "storage": ("MAILSPAN_STORAGE", None),
    "vault": ("MAILSPAN_VAULT", None),
    "signing_key": ("MAILSPAN_SIGNING_KEY", ""),
    "signing_key_file": ("MAILSPAN_SIGNING_KEY_FILE", ""),
    "public_url": ("MAILSPAN_PUBLIC_URL", None),
    "microsoft_login": ("MAILSPAN_MICROSOFT_LOGIN", "https://login.microsoftonline.com"),
    "microsoft_graph": ("MAILSPAN_MICROSOFT_GRAPH", "https://graph.microsoft.com/v1.0"),
    "microsoft_tenant": ("MAILSPAN_MICROSOFT_TENANT", None),
    "microsoft_client_id": ("MAILSPAN_MICROSOFT_CLIENT_ID", None),
    "microsoft_client_secret": ("MAILSPAN_MICROSOFT_CLIENT_SECRET", None),
    "salesforce_login": ("MAILSPAN_SALESFORCE_LOGIN", "https://login.salesforce.com"),
    "salesforce_client_id": ("MAILSPAN_SALESFORCE_CLIENT_ID", None),
    "salesforce_client_secret": ("MAILSPAN_SALESFORCE_CLIENT_SECRET", ""),
    "salesforce_jwt_key": ("MAILSPAN_SALESFORCE_JWT_KEY", ""),
    "salesforce_jwt_key_file": ("MAILSPAN_SALESFORCE_JWT_KEY_FILE", ""),
    "ca_file": ("MAILSPAN_CA_FILE", ""),
    "clock_file": ("MAILSPAN_CLOCK_FILE", ""),
}

#: how the text of a Key Vault reference begins, in app settings
_REFERENCE = "@Microsoft.KeyVault("


def pem(key: str, file: str) -> bytes:
    """The PEM of a key that is given as base64 or as a file's path. Raises OSError, ValueError."""
    return base64.b64decode(key, validate=True) if key else Path(file).read_bytes()


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from an environment. Raises SettingsError naming every setting that is missing."""
    given = {name: environment.get(variable, default) for name, (variable, default) in _NAMES.items()}
    missing = [_NAMES[name][0] for name, value in given.items() if value is None or (value == "" and _NAMES[name][1] is None)]
    if not given["signing_key"] and not given["signing_key_file"]:
        missing.append("MAILSPAN_SIGNING_KEY or MAILSPAN_SIGNING_KEY_FILE")
    if missing:
        raise SettingsError(f"Missing settings: {', '.join(sorted(missing))}. Set them in the Function App's configuration.")
    text = {name: value for name, value in given.items() if value is not None}
    unresolved = sorted(_NAMES[name][0] for name, value in text.items() if value.startswith(_REFERENCE))
    if unresolved:
        raise SettingsError(
            f"Key Vault references that do not resolve: {', '.join(unresolved)}. "
            "See that the secret exists and that the app's identity may read it, then restart the app."
        )
    for name in ("public_url", "microsoft_login", "microsoft_graph", "salesforce_login"):
        if not text[name].startswith("https://"):
            raise SettingsError(f"{_NAMES[name][0]} must be an https:// address.")
        text[name] = text[name].rstrip("/")
    try:
        install = base64.b64decode(text.pop("install_secret"), validate=True)
        webhooks = tuple(base64.b64decode(part, validate=True) for part in text.pop("webhook_secrets").split(","))
    except ValueError:
        raise SettingsError("MAILSPAN_INSTALL_SECRET and MAILSPAN_WEBHOOK_SECRETS must be base64.") from None
    if min(map(len, (install, *webhooks))) < 32:
        raise SettingsError("MAILSPAN_INSTALL_SECRET and MAILSPAN_WEBHOOK_SECRETS need at least 32 bytes each.")
    return Settings(tenant=TenantId(text.pop("tenant")), install_secret=install, webhook_secrets=webhooks, **text)


@cache
def current() -> Settings:
    """The Settings of this process, read at first use."""
    return read(os.environ)
