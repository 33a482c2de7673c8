"""Entra sign-in: discovery, keys, the authorize page and the token endpoint.

Rules that hold here:
- Refusals are Entra's: a JSON object with an AADSTS code; on the authorize page they go back to the app when the
  address it gave can be trusted, and are shown as a page when it cannot.
- A code works once and for ten minutes. A refresh token is replaced on every use; the old one stays usable, as with Entra,
  unless the switch `microsoft.refresh_grace` says for how many seconds.
Sources: learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow, /v2-oauth2-client-creds-grant-flow,
/v2-protocols-oidc, /refresh-tokens, /reference-error-codes; RFC 7636 (PKCE).

It must never ask for a password: whoever reaches the page may choose any mailbox. It is a sandbox.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.microsoft.login_errors import FAULTS, Refused
from sandbox.microsoft.login_pages import form, page, sent_back
from sandbox.microsoft.mailbox import Mailbox
from sandbox.microsoft.tokens import GRAPH, client_info

if TYPE_CHECKING:
    from sandbox.frame import Handler
    from sandbox.microsoft import Microsoft

CODE_LIFE_S = 600.0
REFRESH_LIFE_S = 90 * 86400.0
ANY_TENANT = frozenset({"common", "organizations"})
_OPENID = frozenset({"openid", "profile", "email", "offline_access"})


@dataclass(frozen=True)
class Client:
    """An app registration. `secret` None = public client."""

    id: str
    secret: str | None
    redirect_uris: tuple[str, ...]
    app_permissions: tuple[str, ...]
    tenant: str


@dataclass(frozen=True)
class Grant:
    """What stands behind a code or a refresh token. `until` and `replaced` are seconds of the world's clock."""

    client_id: str
    address: str
    scopes: tuple[str, ...]
    until: float
    redirect_uri: str = ""
    challenge: str = ""
    method: str = "plain"
    nonce: str | None = None
    is_used: bool = False
    replaced: float | None = None
    is_revoked: bool = False


class Login:
    """Tenants, apps, codes, refresh tokens. `World.fault("microsoft-login", kind)` takes the kinds of `login_errors.FAULTS`."""

    def __init__(self, microsoft: Microsoft) -> None:
        self.microsoft = microsoft
        self.clear()

    def clear(self) -> None:
        self.tenants: list[str] = []
        self._clients: dict[str, Client] = {}
        self._codes: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}

    @property
    def current_tenant(self) -> str:
        if not self.tenants:
            raise ValueError("There is no tenant yet: call add_tenant first.")
        return self.tenants[-1]

    def add_tenant(self, tenant_id: str) -> None:
        if tenant_id in self.tenants:
            self.tenants.remove(tenant_id)
        self.tenants.append(tenant_id)

    def add_client(self, client_id: str, secret: str | None, redirect_uris: tuple[str, ...], roles: tuple[str, ...]) -> Client:
        self._clients[client_id] = Client(client_id, secret, redirect_uris, roles, self.current_tenant)
        return self._clients[client_id]

    def revoke(self, address: str) -> None:
        """Ends every grant of a user, as a password change does."""
        for token, grant in self._refresh.items():
            if grant.address == address:
                self._refresh[token] = replace(grant, is_revoked=True)

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/{tenant}/v2.0/.well-known/openid-configuration", self.discovery),
            ("GET", "/{tenant}/discovery/v2.0/keys", self.keys),
            ("GET", "/{tenant}/oauth2/v2.0/authorize", self.authorize),
            ("POST", "/{tenant}/oauth2/v2.0/authorize", self.consent),
            ("POST", "/{tenant}/oauth2/v2.0/token", self.token),
        ]

    @property
    def _now(self) -> float:
        return self.microsoft.world.clock.now().timestamp()

    # --- discovery

    def _tenant(self, request: web.Request) -> str:
        """The tenant of the path: an id, a mail domain, or common."""
        name = request.match_info["tenant"].lower()
        if name in ANY_TENANT or name in self.tenants:
            return name
        for mailbox in self.microsoft.mailboxes():
            if mailbox.address.lower().endswith(f"@{name}"):
                return mailbox.tenant
        raise Refused("tenant", name)

    def issuer(self, tenant: str) -> str:
        return f"{self.microsoft.base_url}/{'{tenantid}' if tenant in ANY_TENANT else tenant}/v2.0"

    async def discovery(self, request: web.Request) -> web.Response:
        try:
            tenant = self._tenant(request)
        except Refused as refused:
            return self._refused(refused)
        base = f"{self.microsoft.base_url}/{request.match_info['tenant']}"
        return web.json_response(
            {
                "issuer": self.issuer(tenant),
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": sorted(_OPENID),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            }
        )

    async def keys(self, request: web.Request) -> web.Response:
        return web.json_response(self.microsoft.tokens.keys())

    # --- authorize

    def _asked(self, request: web.Request, asked: Mapping[str, str]) -> Client:
        """The app that asks. Raises Refused for what must be shown on a page and never sent on."""
        self._tenant(request)
        client = self._clients.get(asked.get("client_id", ""))
        if client is None:
            raise Refused("client", asked.get("client_id", ""))
        if asked.get("redirect_uri") not in client.redirect_uris:
            raise Refused("redirect", asked.get("redirect_uri", ""))
        return client

    async def authorize(self, request: web.Request) -> web.Response:
        """The page where a person chooses a mailbox; with `prompt=none` nobody is asked and `login_hint` decides."""
        asked = dict(request.query)
        try:
            self._asked(request, asked)
        except Refused as refused:
            return web.Response(text=page(refused.text), content_type="text/html", status=refused.status)
        try:
            for name in ("response_type", "scope"):
                if not asked.get(name):
                    raise Refused("missing", name)
            if asked["response_type"] != "code":
                raise Refused("response_type", asked["response_type"])
            if asked.get("prompt") == "none":
                return self._signed_in(asked, asked.get("login_hint", ""))
        except Refused as refused:
            return sent_back(asked, {"error": refused.error, "error_description": refused.text})
        return web.Response(text=form(asked, self.microsoft.mailboxes()), content_type="text/html")

    async def consent(self, request: web.Request) -> web.Response:
        """The answer of that page: `mailbox`=address, or `decline`."""
        asked = {name: str(value) for name, value in (await request.post()).items()}
        try:
            self._asked(request, asked)
        except Refused as refused:
            return web.Response(text=page(refused.text), content_type="text/html", status=refused.status)
        try:
            if "decline" in asked:
                raise Refused("declined")
            return self._signed_in(asked, asked.get("mailbox", ""))
        except Refused as refused:
            return sent_back(asked, {"error": refused.error, "error_description": refused.text})

    def _signed_in(self, asked: Mapping[str, str], address: str) -> web.Response:
        mailbox = self.microsoft.find_mailbox(address)
        if mailbox is None:
            raise Refused("interaction")
        code = f"1.{secrets.token_urlsafe(48)}"
        self._codes[code] = Grant(
            asked["client_id"], mailbox.address, tuple(asked["scope"].split()), self._now + CODE_LIFE_S, asked["redirect_uri"],
            asked.get("code_challenge", ""), asked.get("code_challenge_method", "plain"), asked.get("nonce"),
        )  # fmt: skip
        return sent_back(asked, {"code": code, "session_state": str(uuid.uuid4())})

    # --- token

    async def token(self, request: web.Request) -> web.Response:
        asked = {name: str(value) for name, value in (await request.post()).items()}
        try:
            self._tenant(request)
            client = self._client(request, asked)
            grants = {
                "authorization_code": self._by_code,
                "refresh_token": self._by_refresh,
                "client_credentials": self._by_client,
            }
            if asked.get("grant_type") not in grants:
                raise Refused("grant_type", asked.get("grant_type", ""))
            self._planned(request, asked["grant_type"])
            return web.json_response(grants[asked["grant_type"]](client, asked), headers={"Cache-Control": "no-store"})
        except Refused as refused:
            return self._refused(refused)

    def _planned(self, request: web.Request, grant_type: str) -> None:
        """Raises Refused where the fault plan says so; `match` of a rule sees "POST {path} {grant type}"."""
        for kind in FAULTS if grant_type != "client_credentials" else ():
            if self.microsoft.world.fault("microsoft-login", kind, f"POST {request.path} {grant_type}"):
                raise Refused(kind)

    def _client(self, request: web.Request, asked: dict[str, str]) -> Client:
        scheme, _, basic = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            name, _, password = base64.b64decode(basic).decode("utf-8", "replace").partition(":")
            asked |= {"client_id": name, "client_secret": password}
        client = self._clients.get(asked.get("client_id", ""))
        if client is None:
            raise Refused("client", asked.get("client_id", "")) if asked.get("client_id") else Refused("missing", "client_id")
        given = asked.get("client_secret")
        if client.secret is None and given:
            raise Refused("public_secret")
        if client.secret is not None and not given:
            raise Refused("no_secret")
        if client.secret is not None and not secrets.compare_digest(client.secret.encode(), str(given).encode()):
            raise Refused("secret")
        return client

    def _by_code(self, client: Client, asked: Mapping[str, str]) -> dict[str, Any]:
        for name in ("code", "redirect_uri"):
            if not asked.get(name):
                raise Refused("missing", name)
        grant = self._codes.get(asked["code"])
        if grant is None or grant.client_id != client.id:
            raise Refused("bad_grant" if grant is None else "other_client")
        if grant.is_used:
            raise Refused("code_used")
        if grant.until <= self._now:
            raise Refused("code_expired")
        if grant.redirect_uri != asked["redirect_uri"]:
            raise Refused("code_redirect", asked["redirect_uri"])
        if _challenge(asked.get("code_verifier", ""), grant.method) != grant.challenge:
            raise Refused("verifier")
        self._codes[asked["code"]] = replace(grant, is_used=True)
        return self._issued(self.microsoft.mailbox(grant.address), client, grant.scopes, asked, grant.nonce)

    def _by_refresh(self, client: Client, asked: Mapping[str, str]) -> dict[str, Any]:
        if not asked.get("refresh_token"):
            raise Refused("missing", "refresh_token")
        grant = self._refresh.get(asked["refresh_token"])
        grace = self.microsoft.switch("refresh_grace")
        if grant is None:
            raise Refused("bad_grant")
        if grant.client_id != client.id:
            raise Refused("other_client")
        if grant.is_revoked:
            raise Refused("revoked")
        if grant.until <= self._now:
            raise Refused("refresh_expired")
        if grace is not None and grant.replaced is not None and grant.replaced + grace <= self._now:
            raise Refused("replaced")
        scopes = tuple(asked["scope"].split()) if asked.get("scope") else grant.scopes
        if refused := sorted(_resources(scopes) - _resources(grant.scopes)):
            raise Refused("scope", refused[0])
        self._refresh[asked["refresh_token"]] = replace(grant, replaced=grant.replaced or self._now)
        granted = tuple(dict.fromkeys((*scopes, *grant.scopes)))
        return self._issued(self.microsoft.mailbox(grant.address), client, granted, asked, None)

    def _by_client(self, client: Client, asked: Mapping[str, str]) -> dict[str, Any]:
        if client.secret is None:
            raise Refused("no_secret")
        if asked.get("scope") != f"{GRAPH}/.default":
            raise Refused("not_default", asked.get("scope", ""))
        token, life = self.microsoft.tokens.access(client.id, client.tenant, None, client.app_permissions)
        return {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}

    def issue(self, mailbox: Mailbox, client_id: str, scopes: tuple[str, ...]) -> dict[str, Any]:
        """Raises KeyError for an unknown client."""
        return self._issued(mailbox, self._clients[client_id], scopes, {}, None)

    def _issued(
        self, mailbox: Mailbox, client: Client, scopes: tuple[str, ...], asked: Mapping[str, str], nonce: str | None
    ) -> dict[str, Any]:
        permissions = sorted(_resources(scopes))
        token, life = self.microsoft.tokens.access(client.id, mailbox.tenant, mailbox, permissions)
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "scope": " ".join(f"{GRAPH}/{permission}" for permission in permissions),
            "expires_in": life,
            "ext_expires_in": life,
            "access_token": token,
        }
        if "offline_access" in scopes:
            answer["refresh_token"] = f"1.{secrets.token_urlsafe(96)}"
            self._refresh[answer["refresh_token"]] = Grant(client.id, mailbox.address, scopes, self._now + REFRESH_LIFE_S)
        if "openid" in scopes:
            answer["id_token"] = self.microsoft.tokens.identity(client.id, self.issuer(mailbox.tenant), mailbox, nonce)
        if asked.get("client_info"):
            answer["client_info"] = client_info(mailbox)
        return answer

    def _refused(self, refused: Refused) -> web.Response:
        """Entra's error object (reference-error-codes)."""
        stamp = self.microsoft.world.clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        body = {
            "error": refused.error,
            "error_description": f"{refused.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
            "error_codes": [refused.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={refused.number}",
        }
        return web.json_response(body, status=refused.status)


def _resources(scopes: tuple[str, ...]) -> frozenset[str]:
    """The Graph permissions among the scopes, without the resource's address; `.default` stands for what was granted."""
    plain = (scope.removeprefix(f"{GRAPH}/") for scope in scopes if scope not in _OPENID)
    return frozenset(scope for scope in plain if scope != ".default")


def _challenge(verifier: str, method: str) -> str:
    """RFC 7636, section 4.6."""
    if method != "S256" or not verifier:
        return verifier
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
