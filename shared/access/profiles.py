"""Settings as they are stored: one sealed row for each layer, because people type names into them.

Layers, from the widest to the narrowest: the company (`profile_default`), a named profile (`profile_{name}`) and one mailbox
(`user_{mailbox}`, which also names the mailbox's profile). `core.profile` says what the layers mean together.

Rules that hold here:
- A layer is written as a whole and checked first (`core.profile.checked`). Every change of a person names the version it was
  made from and carries its audit entry (`shared.access.audit`); several layers change in one commit or not at all.
- A change is refused that names what a wider layer forces, and from a mailbox what is the company's alone: all copies of a mail
  must be judged alike, whoever's mailbox they lie in.
- What is opened is kept per instance by the row's version, so that a session costs no call to the vault as long as nobody
  changes a setting. Nothing rings: a change holds from the next session on.
Source: behaviour.md P4 to P6, 2.4.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.access.audit import Audit, By, State, packed
from shared.access.seal import seal, unseal
from shared.core.errors import RowChanged, RowExists
from shared.core.profile import BY_NAME, Profile, checked, valid
from shared.ports import MAX_COMMIT, Insert, Json, LinkStore, MailboxKey, Place, Put, Row, TenantId, Vault
from shared.session import records

COMPANY = "profile_default"
PROFILE, USER = "profile_", "user_"
#: The version of a layer nobody wrote yet.
ABSENT = "0"
#: Settings that a mailbox's own layer may not hold.
COMPANY_ONLY = frozenset({"internal_domains", "blocklist"})
#: "default" would be the company's row.
PROFILE_NAME = re.compile(r"(?!default$)[a-z0-9][a-z0-9-]{0,39}")

LayerKind = Literal["company", "profile", "user"]


class LayerChanged(Exception):
    """The layer is no longer what the change was made from."""

    code = "settings.changed"


class SettingRefused(Exception):
    """A setting may not be changed so; `name` says which, `code` why: settings.unknown, .range, .forced, .company_only."""

    def __init__(self, code: str, name: str) -> None:
        self.code, self.name = code, name
        super().__init__(code, name)


def user_layer(mailbox: MailboxKey) -> str:
    return f"{USER}{mailbox}"


def profile_layer(name: str) -> str:
    """The row of a named profile. Raises ValueError where it is no name for one."""
    if not PROFILE_NAME.fullmatch(name):
        raise ValueError(name)
    return f"{PROFILE}{name}"


def kind_of(layer: str) -> LayerKind:
    return "company" if layer == COMPANY else "profile" if layer.startswith(PROFILE) else "user"


@dataclass(frozen=True)
class Layer:
    """A layer as it stands. `version` is opaque and differs after every change; ABSENT where nobody wrote it."""

    key: str
    state: State = field(default_factory=State)
    version: str = ABSENT

    @property
    def kind(self) -> LayerKind:
        return kind_of(self.key)

    @property
    def name(self) -> str:
        """The profile's name or the mailbox's key, "" for the company."""
        return {"company": "", "profile": self.key.removeprefix(PROFILE), "user": self.key.removeprefix(USER)}[self.kind]


@dataclass(frozen=True)
class Change:
    """A layer's new state, made from `version`."""

    layer: str
    version: str
    after: State


@dataclass(frozen=True)
class Origin:
    """Where a value in force comes from (`layer` None = the default), and whether that layer forces it."""

    layer: Layer | None = None
    forced: bool = False


def origin(name: str, layers: Sequence[Layer]) -> Origin:
    """By the same rule as `core.profile.Profile`: the last layer that has a valid value, up to the first that forces."""
    found = Origin()
    for layer in layers:
        stored = layer.state.values.get(name)
        if stored is not None and valid(BY_NAME[name], stored["value"]):
            found = Origin(layer, stored["mode"] == "force")
            if found.forced:
                break
    return found


def refuse(after: State, before: State, kind: LayerKind, wider: Sequence[Layer]) -> None:
    """Raises SettingRefused for the first setting that `after` has anew, or otherwise than `before`, and may not have."""
    for name, stored in after.values.items():
        if before.values.get(name) == stored:
            continue
        if name not in BY_NAME:
            raise SettingRefused("settings.unknown", name)
        if not valid(BY_NAME[name], stored["value"]):
            raise SettingRefused("settings.range", name)
        if kind == "user" and name in COMPANY_ONLY:
            raise SettingRefused("settings.company_only", name)
        if origin(name, wider).forced:
            raise SettingRefused("settings.forced", name)


class Profiles:
    """The settings of one tenant."""

    def __init__(self, store: LinkStore, vault: Vault, tenant: TenantId) -> None:
        self._store, self._vault, self._tenant = store, vault, tenant
        self._place = Place("state", tenant, "tenant", "settings")
        self._opened: dict[str, tuple[str, Mapping[str, Any]]] = {}  # layer -> (the row's version, what it says)

    def of(self, mailbox: MailboxKey) -> Profile:
        """The settings in force for a mailbox."""
        return Profile(*(layer.state.values for layer in self.layers_of(mailbox)))

    def layers_of(self, mailbox: MailboxKey) -> list[Layer]:
        """The company's layer, the profile's where the mailbox has one, and the mailbox's own."""
        rows = self._store.get_many(self._place, [COMPANY, user_layer(mailbox)])
        company, own = (self._layer(key, rows.get(key)) for key in (COMPANY, user_layer(mailbox)))
        between = [self.read(profile_layer(own.state.profile))] if own.state.profile else []
        return [company, *between, own]

    def wider_than(self, layer: Layer) -> list[Layer]:
        """The layers that may force something on this one."""
        if layer.kind == "company":
            return []
        return self.layers_of(MailboxKey(layer.name))[:-1] if layer.kind == "user" else [self.read(COMPANY)]

    def read(self, key: str) -> Layer:
        return self._layer(key, self._store.get(self._place, key))

    def layer(self, name: str) -> Mapping[str, Any]:
        """One layer's values as stored; {} where nobody set anything."""
        return self.read(name).state.values

    def named(self) -> Iterator[Layer]:
        """The named profiles in the order of their names."""
        rows = self._store.scan(self._place, *records.every(PROFILE.rstrip("_")))
        return (self._layer(row.key, row) for row in rows if row.key != COMPANY)

    def save(self, name: str, values: Mapping[str, Any]) -> None:
        """Lays down a layer at a set-up, before there is anybody who could change it: nothing is compared, nothing audited.

        Raises ValueError naming the setting that is unknown or out of range."""
        state = State(_canonical(checked(values)), self.read(name).state.profile)
        self._store.commit(self._place, [Put(name, self._row(name, state))])

    def change(self, changes: Sequence[Change], by: By) -> list[Layer]:
        """Writes the layers that differ, all or none, and their audit; answers every layer as it stands then.

        At most MAX_COMMIT. Raises LayerChanged, RowTooLarge, ValueError as `checked`.
        """
        if len(changes) > MAX_COMMIT:
            raise ValueError("too many layers")
        rows = {change.layer: self._store.get(self._place, change.layer) for change in changes}
        writes: list[Insert | Put] = []
        entries: list[tuple[str, Mapping[str, Json]]] = []
        for change in changes:
            row = rows[change.layer]
            standing = self._layer(change.layer, row)
            if standing.version != change.version:
                raise LayerChanged
            if standing.state == change.after:
                continue
            checked({name: one for name, one in change.after.values.items() if standing.state.values.get(name) != one})
            entry = packed(self._vault, self._tenant, change.layer, by, standing.state, change.after)
            value = self._row(change.layer, change.after, entry)
            writes.append(Put(change.layer, value, row.etag) if row is not None else Insert(change.layer, value))
            if row is not None and (former := records.read(row).get("entry")) is not None:
                entries.append((change.layer, former))
            entries.append((change.layer, entry))
        self._write(writes, entries)
        return [self.read(change.layer) for change in changes]

    def _write(self, writes: Sequence[Insert | Put], entries: Sequence[tuple[str, Mapping[str, Json]]]) -> None:
        """The commit, then the copies of the entries in it; and before it those of the entries that it replaces."""
        if not writes:
            return
        new = {write.value["entry"]["id"] for write in writes}
        for layer, entry in entries:
            if entry["id"] not in new:
                self.audit(layer).keep(entry)
        try:
            self._store.commit(self._place, writes)
        except (RowChanged, RowExists):
            raise LayerChanged from None
        for layer, entry in entries:
            if entry["id"] in new:
                self.audit(layer).keep(entry)

    def audit(self, layer: str = COMPANY) -> Audit:
        """Where the entries about a layer stand; the company and all profiles share one place."""
        mailbox = layer.removeprefix(USER) if kind_of(layer) == "user" else ""
        return Audit(self._store, self._vault, self._tenant, mailbox)

    def _row(self, layer: str, state: State, entry: Mapping[str, Json] | None = None) -> dict[str, Json]:
        sealed = seal(self._vault, (self._tenant, "settings", layer), state.values)
        more: dict[str, Json] = {"entry": entry} if entry is not None else {}
        return records.row(sealed=sealed, profile=state.profile, **more)

    def _layer(self, key: str, row: Row | None) -> Layer:
        if row is None:
            return Layer(key)
        value = records.read(row)
        etag, values = self._opened.get(key, ("", {}))
        if etag != row.etag:
            opened = unseal(self._vault, (self._tenant, "settings", key), value["sealed"]) if "sealed" in value else {}
            values = _canonical(opened)
            self._opened[key] = (row.etag, values)
        version = hashlib.sha256(row.etag.encode()).hexdigest()[:32]
        return Layer(key, State(values, value.get("profile", "")), version)


def _canonical(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every setting with its mode written out, lists as JSON has them."""
    found = {}
    for name, stored in values.items():
        value, mode = (stored["value"], stored.get("mode")) if isinstance(stored, Mapping) else (stored, "allow")
        found[name] = {
            "value": list(value) if isinstance(value, tuple) else value,
            "mode": "force" if mode == "force" else "allow",
        }
    return found
