"""Who calls: access tokens, refresh tokens and authorisation codes of the org.

Rules that hold here:
- A session ends when it was not used for the org's session timeout, when it is revoked, or when its user is deactivated.
- A user approves an app five times at most: the sixth refresh token ends the oldest.
- With rotation (switch `salesforce.refresh_rotation`) a refresh token works once and the answer brings the next one.
- Times are the world's clock.

It must never talk HTTP.

Source: Salesforce Help, "OAuth Tokens and Scopes", "Manage OAuth-Enabled Connected Apps Access", "Refresh Token Rotation".
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from sandbox.salesforce.refused import refuse

APPROVALS = 5
CODE_LIFE_S = 900


@dataclass(frozen=True)
class Client:
    """A connected (external client) app. `secret` None = public; `pre_authorised` are the user names JWT is open to."""

    id: str
    secret: str | None
    redirect_uris: tuple[str, ...]
    jwt_public_key_pem: str | None
    pre_authorised: frozenset[str]


@dataclass
class Session:
    """`used_at` moves with every call."""

    user_id: str
    client_id: str
    scope: str
    used_at: datetime


@dataclass(frozen=True)
class Grant:
    """What stands behind a refresh token or a code."""

    user_id: str
    client_id: str
    scope: str
    made: datetime
    redirect_uri: str = ""
    challenge: str = ""
    nonce: str = ""


@dataclass
class Sessions:
    """`is_active(user id)` is asked at every call, `timeout_s()` is the org's setting."""

    now: Callable[[], datetime]
    is_active: Callable[[str], bool]
    timeout_s: Callable[[], float]
    org_id: str
    clients: dict[str, Client] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    refresh: dict[str, Grant] = field(default_factory=dict)
    codes: dict[str, Grant] = field(default_factory=dict)

    def open(self, user_id: str, client_id: str, scope: str) -> str:
        """A new access token."""
        token = f"{self.org_id[:15]}!{secrets.token_urlsafe(72)}"
        self.sessions[token] = Session(user_id, client_id, scope, self.now())
        return token

    def caller(self, authorization: str | None) -> Session:
        """The session of an Authorization header, touched. Raises INVALID_SESSION_ID or INVALID_AUTH_HEADER, both 401."""
        scheme, _, token = (authorization or "").partition(" ")
        if authorization and scheme.lower() not in ("bearer", "oauth"):
            raise refuse("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        session = self.find(token)
        if session is None:
            raise refuse("INVALID_SESSION_ID", "Session expired or invalid")
        session.used_at = self.now()
        return session

    def find(self, token: str) -> Session | None:
        """The live session of a token."""
        session = self.sessions.get(token)
        if session is None or not self.is_active(session.user_id):
            return None
        return session if (self.now() - session.used_at).total_seconds() <= self.timeout_s() else None

    def grant_refresh(self, grant: Grant) -> str:
        """A new refresh token; the oldest of the same user and app goes when there would be more than five."""
        token = f"5Aep861{secrets.token_urlsafe(64)}"
        self.refresh[token] = grant
        same = [name for name, one in self.refresh.items() if (one.user_id, one.client_id) == (grant.user_id, grant.client_id)]
        for name in same[:-APPROVALS]:
            del self.refresh[name]
        return token

    def rotate(self, token: str) -> str:
        """The next refresh token in place of this one, which ends."""
        grant = self.refresh.pop(token)
        return self.grant_refresh(replace(grant, made=self.now()))

    def grant_code(self, grant: Grant) -> str:
        code = f"aPrx{secrets.token_urlsafe(40)}"
        self.codes[code] = grant
        return code

    def take_code(self, code: str) -> Grant | None:
        """What stands behind a code; it works once and for fifteen minutes."""
        grant = self.codes.pop(code, None)
        return grant if grant and (self.now() - grant.made).total_seconds() <= CODE_LIFE_S else None

    def end(self, token: str) -> bool:
        """Revokes an access or refresh token; with a refresh token go the sessions of that user and app."""
        grant = self.refresh.pop(token, None)
        if grant is not None:
            self.end_all(grant.user_id, grant.client_id)
        return self.sessions.pop(token, None) is not None or grant is not None

    def end_all(self, user_id: str, client_id: str | None = None) -> None:
        """Ends the sessions of a user, of one app or of all."""
        for token in [t for t, s in self.sessions.items() if s.user_id == user_id and client_id in (None, s.client_id)]:
            del self.sessions[token]
