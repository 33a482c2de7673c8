"""One installation with one grant, its vendor, and a clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from shared.access import grants
from shared.access.grants import GrantDead, Grants, Tokens
from shared.core.errors import NetworkDown, SyncError
from shared.ports import MailboxKey, Place, Row, TenantId, WrappedKey, Write
from shared.store.memory import MemoryStore
from shared.store.vault import FileVault

TENANT, ANN, BOB, VENDOR = TenantId("tenant"), MailboxKey("ann"), MailboxKey("bob"), "salesforce"
PLACE = Place("state", TENANT, "grant", ANN)
START = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESS = "https://acme.my.salesforce.com"


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get(self, place: Place, key: str) -> Row | None:
        self.reads += 1
        return super().get(place, key)


class CountingVault(FileVault):
    opened = 0

    def unwrap(self, key: WrappedKey) -> bytes:
        self.opened += 1
        return super().unwrap(key)


class Vendor:
    """Gives access tokens for one hour. With `rotates`, a refresh token works once. `says`: what it raises instead."""

    def __init__(self, clock: Hand, *, rotates: bool = False) -> None:
        self.clock, self.rotates = clock, rotates
        self.calls, self.live = 0, "refresh-0"
        self.says: SyncError | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def refresh(self, token: str) -> Tokens:
        self.calls += 1
        if self.says is not None:
            raise self.says
        if token != self.live:
            raise GrantDead("mailbox.consent_needed.expired")
        if self.rotates:
            self.live = f"refresh-{self.calls}"
        self.meanwhile()
        return Tokens(
            f"access-{self.calls}", ADDRESS, self.clock.time + timedelta(hours=1), self.live if self.rotates else "", "o/u"
        )


class Home:
    """One installation with one grant, whose access token has `left` to live; None = until it is refused."""

    def __init__(self, vault: FileVault, left: timedelta | None = timedelta(hours=1), *, rotates: bool = False) -> None:
        self.store, self.clock, self.vault = CountingStore(), Hand(), vault
        self.vendor = Vendor(self.clock, rotates=rotates)
        self.grants = self.process()
        self.first = Tokens("access-0", ADDRESS, START + left if left is not None else None, "refresh-0", "o/u")
        self.grants.keep(ANN, VENDOR, self.first)

    def process(self) -> Grants:
        """What another instance of the product has."""
        return Grants(self.store, self.vault, self.clock, TENANT)

    def grant(self, process: Grants | None = None) -> grants.Grant:
        return (process or self.grants).of(ANN, VENDOR, self.vendor.refresh)

    def row(self) -> Mapping[str, object]:
        row = MemoryStore.get(self.store, PLACE, VENDOR)
        assert row is not None
        return row.value


class LossyStore(MemoryStore):
    """Loses the answers of commits by number: "before" it happened or "after"."""

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.lost: dict[int, str] = {}

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self.commits += 1
        how = self.lost.get(self.commits)
        etags = {} if how == "before" else super().commit(place, writes)
        if how:
            raise NetworkDown
        return etags
