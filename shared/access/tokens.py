"""The product's own access tokens: who asks, for which mailbox, with which role. Signed here, verified here, 15 minutes.

Rules that hold here:
- ES256 only, by the one key of the deployment; the header's `kid` is the key's thumbprint. No other algorithm is ever
  tried, so neither `none` nor an HMAC keyed with the public key can pass.
- iss is the deployment's address, aud "api", sub the mailbox key; tenant and role are claims of their own. A claim that is
  missing, of another type or of another deployment refuses the token.
- Time is the Clock's, not the machine's: a rehearsal may be ahead of it.
- An `Identity` comes from a verified token and from nowhere else in the doors; it is their only way to a mailbox's rows.
- It must never tell why a token was refused beyond "expired": the rest helps only a forger.
Sources: RFC 7519 (claims), RFC 7638 (thumbprint), RFC 8725 (algorithm and audience checks).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, get_args

from shared.ports import MailboxKey, Place, TenantId
from shared.settings import Settings, pem

Role = Literal["user", "profile_admin", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
ALGORITHM = "ES256"
AUDIENCE = "api"
LIFE_S = 15 * 60
CLAIMS = ("iss", "aud", "sub", "tenant", "role", "iat", "exp")


class TokenRefused(Exception):
    """The token does not open anything. `code` is token.expired or token.refused."""

    code = "token.refused"

    def __init__(self, code: str = code) -> None:
        self.code = code
        super().__init__(code)


class TokenExpired(TokenRefused):
    """The token was ours and its time is over: a fresh one will do."""

    code = "token.expired"

    def __init__(self) -> None:
        super().__init__(self.code)


class SigningKeyMissing(Exception):
    """MAILSPAN_SIGNING_KEY, or the file of MAILSPAN_SIGNING_KEY_FILE, holds no P-256 private key."""

    code = "settings.signing_key"


@dataclass(frozen=True)
class Identity:
    """Who asks, verified."""

    tenant: TenantId
    mailbox: MailboxKey
    role: Role

    @property
    def place(self) -> Place:
        """The mailbox's own partition."""
        return Place("state", self.tenant, "mailbox", self.mailbox)


def issue(settings: Settings, now: datetime, mailbox: MailboxKey, role: Role = "user") -> str:
    """A token for `mailbox` of this deployment's tenant, good for LIFE_S seconds from `now`. Raises SigningKeyMissing."""
    import jwt

    key, kid = _key(settings.signing_key, settings.signing_key_file)
    began = int(now.timestamp())
    claims = {
        "iss": settings.public_url,
        "aud": AUDIENCE,
        "sub": mailbox,
        "tenant": settings.tenant,
        "role": role,
        "iat": began,
        "exp": began + LIFE_S,
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid})


def verify(settings: Settings, now: datetime, token: str) -> Identity:
    """The identity a token proves. Raises TokenExpired, TokenRefused, SigningKeyMissing."""
    import jwt

    key, kid = _key(settings.signing_key, settings.signing_key_file)
    try:
        if jwt.get_unverified_header(token).get("kid") != kid:
            raise TokenRefused
        claims = jwt.decode(
            token,
            key.public_key(),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=settings.public_url,
            # exp is judged below, by our clock; iat says nothing that exp does not
            options={
                "require": list(CLAIMS),
                "strict_aud": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.PyJWTError, ValueError):
        raise TokenRefused from None
    return _identity(claims, settings.tenant, now)


def _identity(claims: Mapping[str, Any], tenant: TenantId, now: datetime) -> Identity:
    ends, mailbox, role = claims["exp"], claims["sub"], claims["role"]
    if type(ends) is not int or not mailbox or claims["tenant"] != tenant or role not in ROLES:
        raise TokenRefused
    if now.timestamp() >= ends:
        raise TokenExpired
    return Identity(tenant, MailboxKey(mailbox), role)


@cache
def _key(given: str, file: str) -> tuple[Any, str]:
    """The private key and its thumbprint, read once in a process: a new key needs a restart, as every setting does."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem(given, file), password=None)
    except (OSError, ValueError, TypeError):
        raise SigningKeyMissing from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SigningKeyMissing
    numbers = key.public_key().public_numbers()
    point = {name: _b64(number.to_bytes(32)) for name, number in (("x", numbers.x), ("y", numbers.y))}
    members = {"crv": "P-256", "kty": "EC", **point}
    return key, _b64(hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest())


def check_key(settings: Settings) -> None:
    """Raises SigningKeyMissing where no token could be issued."""
    _key(settings.signing_key, settings.signing_key_file)


def _b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
