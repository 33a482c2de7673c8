"""Connects the sample's users to the product, through the product's own sign-in and directory.

Rules that hold here:
- A person's sign-in is a real one (code with PKCE at the vendor's authorize page, `prompt=none`), so that what is kept is what
  a real sign-in would have given. A user of the org-wide connection signs in at the mailbox only: Salesforce knows the app.
- Grants are sealed by the vault of the install; settings go through the product's own check.

It must never write a row by itself: directory, grants and profiles do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from shared.access import directory
from shared.access.grants import Begun, Tokens
from shared.access.profiles import COMPANY
from shared.core.errors import SyncError
from shared.ports import MailboxKey, Ring
from shared.settings import Settings
from shared.wire import Wire

#: where the vendors send a person back to, below the product's address
REDIRECTS = {vendor: f"/api/v1/connect/{vendor}" for vendor in ("microsoft", "salesforce")}


class ConnectError(Exception):
    """A user could not be connected; the text says who and why."""


def connect_users(settings: Settings, sample: Mapping[str, Any]) -> list[MailboxKey]:
    """Connects every user of `GET {world}/sample`, with the company's settings, and rings for each.

    Raises ConnectError.
    """
    wire = Wire(settings)
    at = "the company's settings"
    try:
        wire.profiles.save(COMPANY, sample["settings"])
        keys = []
        for user in sample["users"]:
            at = user["address"]
            keys.append(_connect(wire, user))
            wire.bell.ring(Ring(keys[-1], "user", wire.clock.now()))
    except (SyncError, requests.RequestException) as problem:
        code = problem.code if isinstance(problem, SyncError) else type(problem).__name__
        raise ConnectError(f"{at} could not be set up: {code}.") from problem
    return keys


def _connect(wire: Wire, user: Mapping[str, Any]) -> MailboxKey:
    settings, is_personal = wire.settings, user["connection"] == "personal"
    mail = _signed_in(wire, "microsoft", wire.microsoft, user["address"])
    login = wire.salesforce()
    crm = _signed_in(wire, "salesforce", login, user["username"]) if is_personal else login.by_assertion(user["username"])
    org_id, _, user_id = crm.who.partition("/")
    if user_id != user["user_id"]:
        raise ConnectError(f"{user['username']} signed in as another user of the org.")
    known = directory.find_org(wire.store, settings.tenant, org_id)
    if known is None or not is_personal:  # one connected user is enough to make the connection the org's
        org = directory.OrgEntry(org_id, login.login, crm.address, user["connection"], "" if is_personal else user["username"])
        directory.keep_org(wire.store, settings.tenant, org)
    entry = directory.connect(
        wire.store, wire.clock, settings.install_secret, settings.tenant, address=user["address"], aliases=user["aliases"],
        org=org_id, user=user_id, username=user["username"], connection=user["connection"], account=mail.who,
    )  # fmt: skip
    wire.grants.keep(entry.key, "microsoft", mail)
    if is_personal:
        wire.grants.keep(entry.key, "salesforce", crm)
    return entry.key


def _signed_in(wire: Wire, vendor: str, login: Any, hint: str) -> Tokens:
    """What the vendor gives to the product when that person signs in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MSAL would rather have a form posted; here nobody's browser is involved
        begun: Begun = login.begin(wire.settings.public_url + REDIRECTS[vendor], hint=hint)
    answer = wire.http.get(
        begun.address, params={"prompt": "none"}, allow_redirects=False, timeout=20, verify=wire.settings.ca_file
    )
    came_back = dict(parse_qsl(urlsplit(answer.headers.get("Location", "")).query))
    if not came_back:
        raise ConnectError(f"The sign-in page of {vendor} did not send {hint} back (status {answer.status_code}).")
    tokens: Tokens = login.finish(begun.kept, came_back)
    return tokens
