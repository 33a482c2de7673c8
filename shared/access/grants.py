"""Grants: a user's refresh token and present access token at one vendor, sealed in one row, refreshed by one worker at a time.

A row per (mailbox, vendor) in Place("state", tenant, "grant", mailbox), RowKey = vendor:
  v, generation  a random name of what is sealed: it changes exactly when the tokens do
  sealed         the tokens, under purpose (tenant, mailbox, vendor); None once the grant is dead
  claimed_until  until when somebody is at the vendor with the refresh token; "" = nobody
  dead           "", or the code that a person is told who has to connect again

Rules that hold here:
- A refresh is claimed first (If-Match), made by the worker who got the claim, stored, and seen by the others through the row.
  Who finds it claimed goes on with the token that is still valid, or comes back later. A claim outlives a vendor call, and
  who was held up too long while claiming does not call: some vendors end a whole grant when a used refresh token comes again.
- "Invalid grant" is believed only if the row is still as this worker claimed it, which the write that marks it dead proves
  (If-Match). Then nobody asks the vendor again until a person connects.
- An answer of the vendor is stored as long as the row still holds the refresh token that was spent for it, whoever claimed or
  buried the row in between. What a person connected meanwhile is never overwritten.
- A worker that dies leaves a claim that runs out. So does one that the vendor told to wait: the claim is the pause.

It must never log, and never raise anything that holds a token.

Source: RFC 6749 section 6 and RFC 9700 section 4.14.2 (rotation of refresh tokens); Salesforce Help, "Refresh Token Rotation".
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.access.ask import LONGEST_S
from shared.access.seal import SealBroken, seal, unseal
from shared.core.errors import ConsentNeeded, MailboxError, NewerRow, OrgError, Retry, RowChanged, SyncError
from shared.ports import Bearer, Clock, Delete, Json, LinkStore, MailboxKey, Place, Put, TenantId, Vault

VERSION = 1
MARGIN = timedelta(minutes=2)  # a token with less left is renewed before it is used
CLAIM = timedelta(seconds=30)
WAIT_S = 2.0  # when to look again for what another worker is fetching
TRIES = 5  # of storing an answer while others write the row or the storage does not answer
MAX_OPENED = 1000  # opened tokens kept by a process

NONE, OFFLINE, UNREADABLE, WAITING = (
    "mailbox.consent_needed", "mailbox.consent_needed.offline", "mailbox.consent_needed.unreadable", "retry.token_refresh",
)  # fmt: skip
CODES = (NONE, OFFLINE, UNREADABLE, WAITING)


class GrantDead(ConsentNeeded):
    """The vendor will never take this refresh token again."""


@dataclass(frozen=True)
class Tokens:
    """What a vendor gave. `address` is where `access` may be sent; `expires` (UTC) None = until it is refused; `refresh` "" =
    the vendor sent no new one; `who` is the vendor's name of the user, "organisation id/user id", "" where it did not say."""

    access: str = field(repr=False)
    address: str
    expires: datetime | None = None
    refresh: str = field(default="", repr=False)
    who: str = ""

    @property
    def bearer(self) -> Bearer:
        return Bearer(self.access, self.address)

    def lasts(self, now: datetime, margin: timedelta = timedelta(0)) -> bool:
        return self.expires is None or self.expires - now > margin


@dataclass(frozen=True)
class Begun:
    """A sign-in under way: send the person to `address`; keep `kept` (JSON, secret) until they come back."""

    address: str
    kept: Mapping[str, Any] = field(repr=False)


#: One vendor call: new tokens for a refresh token. Raises GrantDead, ConsentNeeded, OrgConsentNeeded, Retry.
Refresh = Callable[[str], Tokens]


@dataclass(frozen=True)
class _Held:
    """The row as it was read or written; `etag` "" = not written yet."""

    generation: str
    sealed: Mapping[str, Any] | None = field(repr=False)
    claimed_until: datetime | None = None
    dead: str = ""
    etag: str = ""

    def value(self) -> dict[str, Json]:
        until = self.claimed_until.isoformat() if self.claimed_until else ""
        sealed = dict(self.sealed) if self.sealed is not None else None
        return {"v": VERSION, "generation": self.generation, "sealed": sealed, "claimed_until": until, "dead": self.dead}


class Grants:
    """All grants of one installation; one instance a process, so that an unchanged row is opened once."""

    def __init__(self, store: LinkStore, vault: Vault, clock: Clock, tenant: TenantId) -> None:
        self._store, self._vault, self._tenant = store, vault, tenant
        self.clock = clock
        self._opened: dict[tuple[str, str, str], Tokens] = {}

    def of(self, mailbox: MailboxKey, vendor: str, refresh: Refresh) -> Grant:
        """The access of a mailbox's user to `vendor`; nothing is read before it is used."""
        return Grant(self, mailbox, vendor, refresh)

    def keep(self, mailbox: MailboxKey, vendor: str, tokens: Tokens) -> None:
        """Keeps what a person's sign-in gave, in place of whatever was there. Raises ConsentNeeded without a refresh token."""
        if not tokens.refresh:
            raise ConsentNeeded(OFFLINE)
        self.write(mailbox, vendor, self.sealed(mailbox, vendor, tokens))

    def forget(self, mailbox: MailboxKey, vendor: str) -> None:
        """Deletes the grant, if there is one. The vendor is not told."""
        with contextlib.suppress(RowChanged):
            self._store.commit(self._place(mailbox), [Delete(vendor)])

    # what Grant works with

    def read(self, mailbox: MailboxKey, vendor: str) -> _Held | None:
        """Raises NewerRow."""
        row = self._store.get(self._place(mailbox), vendor)
        if row is None:
            return None
        if row.value["v"] > VERSION:
            raise NewerRow(vendor)
        until = row.value["claimed_until"]
        claimed_until = datetime.fromisoformat(until) if until else None
        return _Held(row.value["generation"], row.value["sealed"], claimed_until, row.value["dead"], row.etag)

    def write(self, mailbox: MailboxKey, vendor: str, held: _Held) -> _Held:
        """The row as it is now; with an etag only if unchanged, else RowChanged."""
        etags = self._store.commit(self._place(mailbox), [Put(vendor, held.value(), held.etag or None)])
        return replace(held, etag=etags[vendor])

    def sealed(self, mailbox: MailboxKey, vendor: str, tokens: Tokens) -> _Held:
        """A row for these tokens, not written yet."""
        expires = tokens.expires.isoformat() if tokens.expires else ""
        value = [tokens.access, tokens.address, expires, tokens.refresh, tokens.who]
        held = _Held(secrets.token_hex(8), seal(self._vault, (self._tenant, mailbox, vendor), value))
        self._remember((mailbox, vendor, held.generation), tokens)
        return held

    def open(self, mailbox: MailboxKey, vendor: str, held: _Held) -> Tokens:
        """The tokens of a row. Raises ConsentNeeded for a dead one, and for one that was not sealed for this purpose."""
        if held.dead or held.sealed is None:
            raise ConsentNeeded(held.dead or NONE)
        name = (mailbox, vendor, held.generation)
        if (known := self._opened.get(name)) is not None:
            return known
        try:
            access, address, expires, refresh, who = unseal(self._vault, (self._tenant, mailbox, vendor), held.sealed)
        except SealBroken:
            raise ConsentNeeded(UNREADABLE) from None
        tokens = Tokens(access, address, datetime.fromisoformat(expires).astimezone(UTC) if expires else None, refresh, who)
        self._remember(name, tokens)
        return tokens

    def _remember(self, name: tuple[str, str, str], tokens: Tokens) -> None:
        if len(self._opened) >= MAX_OPENED:
            self._opened.clear()  # opening again is cheap; forgetting cleverly is not worth a line
        self._opened[name] = tokens

    def _place(self, mailbox: MailboxKey) -> Place:
        return Place("state", self._tenant, "grant", mailbox)


class Grant:
    """AccessToken of one user at one vendor, for one session: while the token lasts, the row is read once."""

    def __init__(self, grants: Grants, mailbox: MailboxKey, vendor: str, refresh: Refresh) -> None:
        self._grants, self._mailbox, self._vendor, self._refresh = grants, mailbox, vendor, refresh
        self._tokens: Tokens | None = None

    def current(self) -> Bearer:
        """Raises ConsentNeeded, OrgConsentNeeded, Retry."""
        now = self._grants.clock.now()
        if self._tokens is not None and self._tokens.lasts(now, MARGIN):
            return self._tokens.bearer
        held, kept = self._read()
        if kept.lasts(now, MARGIN):
            return self._using(kept)
        return self._renewed(held, kept, kept if kept.lasts(now) else None)

    def after(self, refused: Bearer) -> Bearer:
        """Another token than `refused`. Raises ConsentNeeded, OrgConsentNeeded, Retry."""
        self._tokens = None
        held, kept = self._read()
        if kept.access != refused.token and kept.lasts(self._grants.clock.now()):
            return self._using(kept)
        return self._renewed(held, kept, None)

    @property
    def who(self) -> str:
        """The vendor's name of the user, see Tokens. Raises ConsentNeeded."""
        return self._read()[1].who

    def _using(self, tokens: Tokens) -> Bearer:
        self._tokens = tokens
        return tokens.bearer

    def _find(self) -> _Held:
        held = self._grants.read(self._mailbox, self._vendor)
        if held is None:
            raise ConsentNeeded(NONE)
        return held

    def _open(self, held: _Held) -> Tokens:
        return self._grants.open(self._mailbox, self._vendor, held)

    def _read(self) -> tuple[_Held, Tokens]:
        held = self._find()
        return held, self._open(held)

    def _write(self, held: _Held) -> _Held:
        return self._grants.write(self._mailbox, self._vendor, held)

    def _renewed(self, held: _Held, old: Tokens, valid: Tokens | None) -> Bearer:
        """New tokens from the vendor. `valid`: the kept ones, if they can still be used."""
        now = self._grants.clock.now()
        try:
            if held.claimed_until is not None and held.claimed_until > now:
                raise Retry(WAIT_S, WAITING)
            claimed = self._claimed(held, now + CLAIM)
            fresh = self._asked(claimed, old)
        except Retry:
            if valid is not None:
                return valid.bearer
            raise
        return self._using(fresh)

    def _claimed(self, held: _Held, until: datetime) -> _Held:
        """The row, claimed until then, with time enough left for a vendor call."""
        try:
            claimed = self._write(replace(held, claimed_until=until))
        except RowChanged:
            raise Retry(WAIT_S, WAITING) from None
        if until - self._grants.clock.now() < timedelta(seconds=LONGEST_S):
            raise Retry(WAIT_S, WAITING)
        return claimed

    def _asked(self, claimed: _Held, old: Tokens) -> Tokens:
        """The vendor's answer, stored. Where the vendor says "later", the claim stays as the pause."""
        try:
            fresh = self._refresh(old.refresh)
        except GrantDead as refused:
            code = refused.code
        except (MailboxError, OrgError):
            with contextlib.suppress(RowChanged):
                self._write(replace(claimed, claimed_until=None))
            raise
        else:
            return self._stored(claimed, replace(fresh, refresh=fresh.refresh or old.refresh, who=fresh.who or old.who))
        raise self._buried(claimed, code)

    def _stored(self, claimed: _Held, fresh: Tokens) -> Tokens:
        """Stores the tokens as long as the row is the one they were fetched for, and answers what the row then holds."""
        new, etag = self._grants.sealed(self._mailbox, self._vendor, fresh), claimed.etag
        problem: Exception | None = None
        for _ in range(TRIES):
            try:
                self._write(replace(new, etag=etag))
                return fresh
            except (RowChanged, Retry) as refused:  # others wrote the row, or the storage did not say whether it has
                problem = refused
            with contextlib.suppress(Retry):
                held = self._find()
                if held.generation != claimed.generation:  # ours after all, or what a person connected
                    return self._open(held)
                etag = held.etag
        raise problem if isinstance(problem, Retry) else Retry(WAIT_S, WAITING)

    def _buried(self, claimed: _Held, code: str) -> SyncError:
        """Marks the grant dead if nobody touched the row since it was claimed; what is to be raised."""
        try:
            self._write(replace(claimed, sealed=None, claimed_until=None, dead=code))
        except RowChanged:
            return Retry(WAIT_S, WAITING)
        return ConsentNeeded(code)
