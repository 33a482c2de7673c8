"""Tokens of the sandbox's Entra: made with RS256, checked as Graph checks them.

Rules that hold here: an access token says who (`oid`, `tid`, `upn`), for which app (`appid`) and what for (`scp` delegated,
`roles` application); it lives 60 to 90 minutes of the world's time; times are checked by the world's clock alone.
Sources: learn.microsoft.com/entra/identity-platform/access-token-claims-reference, /configurable-token-lifetimes.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from sandbox.frame import World
from sandbox.microsoft.errors import refusal

if TYPE_CHECKING:
    from sandbox.microsoft.mailbox import Mailbox

GRAPH = "https://graph.microsoft.com"
_ADVICE = {
    "WWW-Authenticate": 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    'client_id="00000003-0000-0000-c000-000000000000"'
}


@dataclass(frozen=True)
class Caller:
    """Who calls Graph. `address` is None for an application without a user."""

    client_id: str
    tenant: str
    address: str | None
    permissions: frozenset[str]


class Tokens:
    """Signs and checks. The key is made anew with each sandbox."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        der = self._key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.kid = base64.urlsafe_b64encode(uuid.uuid5(uuid.NAMESPACE_OID, der.hex()).bytes).decode().rstrip("=")
        self._checked: dict[str, tuple[Caller, float]] = {}

    def keys(self) -> dict[str, Any]:
        """The JSON Web Key Set (RFC 7517)."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "use": "sig", "kid": self.kid, "x5t": self.kid, "alg": "RS256"}]}

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.kid})

    def access(self, client_id: str, tenant: str, mailbox: Mailbox | None, permissions: Iterable[str]) -> tuple[str, int]:
        """(token, seconds it lives). `mailbox` None = application permissions."""
        now = int(self.world.clock.now().timestamp())
        life = self.world.random.randint(3600, 5400)
        claims: dict[str, Any] = {
            "aud": GRAPH, "iss": f"https://sts.windows.net/{tenant}/", "iat": now, "nbf": now, "exp": now + life,
            "appid": client_id, "tid": tenant, "ver": "1.0", "uti": uuid.uuid4().hex[:22],
        }  # fmt: skip
        if mailbox is None:
            claims |= {"idtyp": "app", "oid": client_id, "sub": client_id, "roles": sorted(permissions)}
        else:
            claims |= {"idtyp": "user", "oid": mailbox.user_id, "sub": mailbox.user_id, "name": mailbox.name,
                       "upn": mailbox.address, "scp": " ".join(permissions)}  # fmt: skip
        return self._sign(claims), life

    def identity(self, client_id: str, issuer: str, mailbox: Mailbox, nonce: str | None) -> str:
        """An ID token (OpenID Connect Core, section 2)."""
        now = int(self.world.clock.now().timestamp())
        claims = {
            "aud": client_id, "iss": issuer, "iat": now, "nbf": now, "exp": now + 3600, "sub": mailbox.user_id,
            "oid": mailbox.user_id, "tid": mailbox.tenant, "name": mailbox.name, "preferred_username": mailbox.address,
            "ver": "2.0",
        }  # fmt: skip
        return self._sign(claims | ({"nonce": nonce} if nonce else {}))

    def caller(self, authorization: str | None) -> Caller:
        """Who a bearer token of Graph speaks for. Raises GraphError 401 InvalidAuthenticationToken."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise refusal("no_token", _ADVICE)
        caller, expires = self._checked.get(token) or self._check(token)
        if expires <= self.world.clock.now().timestamp():
            raise refusal("token_expired", _ADVICE)
        self._checked[token] = (caller, expires)
        return caller

    def _check(self, token: str) -> tuple[Caller, float]:
        try:
            claims = jwt.decode(
                token, self._key.public_key(), algorithms=["RS256"], audience=GRAPH,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "tid", "appid"]},
            )  # fmt: skip
        except jwt.InvalidAudienceError:
            raise refusal("bad_token", _ADVICE, why="Invalid audience.") from None
        except jwt.InvalidTokenError:
            raise refusal("bad_token", _ADVICE, why="The signature or the form of the token is invalid.") from None
        permissions = frozenset(claims.get("scp", "").split()) | frozenset(claims.get("roles", ()))
        return Caller(claims["appid"], claims["tid"], claims.get("upn"), permissions), float(claims["exp"])


def client_info(mailbox: Mailbox) -> str:
    """What MSAL asks for with `client_info=1`: base64url JSON of user and tenant id."""
    return base64.urlsafe_b64encode(json.dumps({"uid": mailbox.user_id, "utid": mailbox.tenant}).encode()).decode().rstrip("=")
