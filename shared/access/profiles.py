"""Settings as they are stored: one sealed row for each layer (the company, one mailbox), because people type names into them.

Rules that hold here: a layer is written as a whole and checked first (`core.profile.checked`); what is opened is kept per
instance by the row's version, so that a session costs no call to the vault as long as nobody changes a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.access.seal import seal, unseal
from shared.core.profile import Profile, checked
from shared.ports import LinkStore, MailboxKey, Place, Put, TenantId, Vault
from shared.session import records

COMPANY = "profile_default"


def user_layer(mailbox: MailboxKey) -> str:
    return f"user_{mailbox}"


class Profiles:
    """The settings of one tenant."""

    def __init__(self, store: LinkStore, vault: Vault, tenant: TenantId) -> None:
        self._store, self._vault, self._tenant = store, vault, tenant
        self._place = Place("state", tenant, "tenant", "settings")
        self._opened: dict[str, tuple[str, Mapping[str, Any]]] = {}  # layer -> (the row's version, what it says)

    def of(self, mailbox: MailboxKey) -> Profile:
        """The settings in force for a mailbox."""
        return Profile(self.layer(COMPANY), self.layer(user_layer(mailbox)))

    def layer(self, name: str) -> Mapping[str, Any]:
        """One layer as stored; {} where nobody set anything."""
        row = self._store.get(self._place, name)
        if row is None:
            return {}
        version, values = self._opened.get(name, ("", {}))
        if version != row.etag:
            values = unseal(self._vault, (self._tenant, "settings", name), records.read(row)["sealed"])
            self._opened[name] = (row.etag, values)
        return values

    def save(self, name: str, values: Mapping[str, Any]) -> None:
        """Replaces a layer. Raises ValueError naming the setting that is unknown or out of range."""
        sealed = seal(self._vault, (self._tenant, "settings", name), checked(values))
        self._store.commit(self._place, [Put(name, records.row(sealed=sealed))])
