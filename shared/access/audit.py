"""The audit of settings: who changed which layer, what stood there before and after, and when. A former state comes from here.

Rules that hold here (behaviour.md P5, design section 5):
- An entry first rides in the row of the layer it is about, in the same commit as the change (`shared.access.profiles`), and is
  copied to the table `audit` after it; the next change of the layer copies it again. So no change is without its entry and no
  entry without its change, whatever stops in between.
- A copy once written never changes: written twice it is the same row. Its key begins with inverted time: newest first.
- What stood in the layer is sealed, as the layer is, because people type names into settings. Names of settings, who, when and
  which layer are not.
- The entries of one mailbox's own layer stand in that mailbox's partition and go when it is disconnected.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from shared.access.seal import seal, unseal
from shared.ports import Json, LinkStore, MailboxKey, Place, Put, Row, TenantId, Vault
from shared.session import records

Action = Literal["change", "assign", "restore", "import"]

#: Microseconds since 1970 are counted down from here, which lies in the year 2286.
_END = 10**16
_ID = re.compile(r"[0-9]{16}_[0-9a-f]{16}")


class BadCursor(Exception):
    """The cursor is none that this audit gave."""

    code = "request.next"


@dataclass(frozen=True)
class By:
    """Who changes: the mailbox key and the role of the token, doing what, when (UTC)."""

    who: MailboxKey
    role: str
    action: Action
    at: datetime


@dataclass(frozen=True)
class State:
    """What stands in a layer: {setting: {"value", "mode"}}, and for a mailbox the name of its profile ("" = none)."""

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profile: str = ""


@dataclass(frozen=True)
class Entry:
    """One change of one layer (`layer`: its row key)."""

    id: str
    layer: str
    by: By
    before: State
    after: State

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of the settings that differ, in order; `profile` where the mailbox got another one."""
        names = sorted({*self.before.values, *self.after.values})
        differing = [name for name in names if self.before.values.get(name) != self.after.values.get(name)]
        return tuple(differing + ["profile"] * (self.before.profile != self.after.profile))


@dataclass(frozen=True)
class AuditPage:
    """Newest first. `next` goes on after it, "" at the end."""

    entries: tuple[Entry, ...]
    next: str = ""


def place_of(tenant: TenantId, mailbox: str = "") -> Place:
    """Where the entries of a mailbox's own layer stand; without a mailbox those of the company and its profiles."""
    return Place("audit", tenant, "mailbox", mailbox) if mailbox else Place("audit", tenant, "tenant", "settings")


def packed(vault: Vault, tenant: TenantId, layer: str, by: By, before: State, after: State) -> dict[str, Json]:
    """A new entry as it is stored, `id` included: the newest of two at the same moment is any of them."""
    id_ = f"{_inverted(by.at)}_{secrets.token_hex(8)}"
    sealed = seal(vault, _purpose(tenant, id_), [[dict(state.values), state.profile] for state in (before, after)])
    by_whom = {"who": by.who, "role": by.role, "action": by.action, "at": records.text_of(by.at)}
    return {"id": id_, "layer": layer, **by_whom, "sealed": sealed}


class Audit:
    """The entries of one mailbox's layer, or (without a mailbox) of the company and its profiles."""

    def __init__(self, store: LinkStore, vault: Vault, tenant: TenantId, mailbox: str = "") -> None:
        self._store, self._vault, self._tenant = store, vault, tenant
        self._place = place_of(tenant, mailbox)

    def keep(self, entry: Mapping[str, Json]) -> None:
        """Copies a packed entry to the table; right to call again."""
        self._store.commit(self._place, [Put(entry["id"], records.row(**entry))])

    def entries(self, after: str = "", limit: int = 50) -> AuditPage:
        """At most `limit` entries after the cursor (the id of the last one told), newest first. Raises BadCursor."""
        if after and not _ID.fullmatch(after):
            raise BadCursor
        rows = list(islice((row for row in self._store.scan(self._place, after) if row.key != after), limit + 1))
        return AuditPage(tuple(map(self._entry, rows[:limit])), rows[limit - 1].key if len(rows) > limit else "")

    def find(self, id_: str) -> Entry | None:
        row = self._store.get(self._place, id_) if _ID.fullmatch(id_) else None
        return self._entry(row) if row is not None else None

    def _entry(self, row: Row) -> Entry:
        value = records.read(row)
        before, after = unseal(self._vault, _purpose(self._tenant, row.key), value["sealed"])
        by = By(MailboxKey(value["who"]), value["role"], value["action"], records.moment_of(value["at"]))
        return Entry(row.key, value["layer"], by, State(*before), State(*after))


def _purpose(tenant: TenantId, id_: str) -> tuple[str, ...]:
    return tenant, "audit", id_


def _inverted(moment: datetime) -> str:
    return f"{_END - round(moment.timestamp() * 1_000_000):016}"
