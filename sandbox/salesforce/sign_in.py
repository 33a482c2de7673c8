"""OAuth of the org: authorize page, token endpoint (code + PKCE, refresh, JWT bearer), revoke, identity.

Rules that hold here:
- A JWT assertion is RS256, from an app whose key is known, for a user the app is pre-authorised for, and lives five minutes
  at most; its answer has no refresh token.
- An answer of a sign-in has no lifetime: a session ends by not being used.
- Errors on the authorize page go back to the app where its address can be trusted, and are shown as a page where not.
- PKCE is S256. Whether an app must use it is the switch `salesforce.require_pkce` (off: as older apps).

It must never ask for a password: whoever reaches the page may choose any user. It is a sandbox.

Source: Salesforce Help, "OAuth 2.0 Web Server Flow", "OAuth 2.0 Refresh Token Flow", "OAuth 2.0 JWT Bearer Flow", "Identity
URLs"; RFC 7636 (PKCE), RFC 7523 (JWT bearer).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jwt
from aiohttp import web

from sandbox.salesforce import ids, values
from sandbox.salesforce.sessions import Client, Grant
from sandbox.salesforce.sign_in_words import SignInRefused, form, page, sent_back
from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.frame import Handler
    from sandbox.salesforce import Salesforce

ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE_S = 300
LOGIN_VENDOR = "salesforce-login"
#: What a planned refusal (see `faults`) is matched with, after the grant type.
ASKED_AT = "POST /services/oauth2/token"
DEFAULT_SCOPE = "refresh_token openid api id"
LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
REFRESHING = frozenset({"refresh_token", "offline_access", "full"})


class SignIn:
    """The endpoints of `/services/oauth2` and `/id` of one org."""

    def __init__(self, org: Salesforce) -> None:
        self._org = org

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/services/oauth2/authorize", self.authorize),
            ("POST", "/services/oauth2/authorize", self.consent),
            ("POST", "/services/oauth2/token", self.token),
            ("POST", "/services/oauth2/revoke", self.revoke),
            ("GET", "/services/oauth2/userinfo", self.userinfo),
            ("GET", "/id/{org}/{user}", self.identity),
        ]

    # --- authorize

    def _asked(self, asked: Mapping[str, str]) -> None:
        """Raises SignInRefused for what must be shown on a page and never sent on."""
        client = self._org.sessions.clients.get(asked.get("client_id", ""))
        if client is None:
            raise SignInRefused("client")
        if asked.get("redirect_uri") not in client.redirect_uris:
            raise SignInRefused("redirect")

    def _checked(self, asked: Mapping[str, str]) -> None:
        """Raises SignInRefused for what is sent back to the app."""
        if asked.get("response_type") != "code":
            raise SignInRefused("response_type")
        challenge, method = asked.get("code_challenge"), asked.get("code_challenge_method", "S256")
        if challenge is None and self._org.switch("require_pkce", False):
            raise SignInRefused("no_challenge")
        if challenge is not None and (method != "S256" or len(challenge) != 43):
            raise SignInRefused("challenge")

    async def authorize(self, request: web.Request) -> web.Response:
        """The page where a person chooses a user; with `prompt=none` nobody is asked and `login_hint` decides."""
        return self._page(dict(request.query), chosen=None)

    async def consent(self, request: web.Request) -> web.Response:
        """The answer of that page: `username`, or `decline`."""
        asked = {name: str(value) for name, value in (await request.post()).items()}
        return self._page(asked, chosen=asked.pop("username", ""))

    def _page(self, asked: dict[str, str], chosen: str | None) -> web.Response:
        try:
            self._asked(asked)
        except SignInRefused as refused:
            return web.Response(text=page(str(refused)), content_type="text/html", status=refused.status)
        try:
            self._checked(asked)
            if "decline" in asked:
                raise SignInRefused("declined")
            if chosen is None and asked.get("prompt") != "none":
                return web.Response(text=form(asked, self._people()), content_type="text/html")
            return self._back(asked, {"code": self._code(asked, chosen or asked.get("login_hint", ""))})
        except SignInRefused as refused:
            return self._back(asked, refused.body())

    def _people(self) -> list[tuple[str, str]]:
        return [(user["Username"], user["Name"]) for user in self._org.users() if user["IsActive"]]

    def _back(self, asked: Mapping[str, str], told: Mapping[str, str]) -> web.Response:
        return web.Response(status=302, headers={"Location": sent_back(asked, told)})

    def _code(self, asked: Mapping[str, str], username: str) -> str:
        user = self._org.user_named(username)
        if user is None:
            raise SignInRefused("immediate")
        if not user["IsActive"]:
            raise SignInRefused("inactive")
        grant = Grant(
            user["Id"], asked["client_id"], asked.get("scope") or DEFAULT_SCOPE, self._org.now(), asked["redirect_uri"],
            asked.get("code_challenge", ""), asked.get("nonce", ""),
        )  # fmt: skip
        return self._org.sessions.grant_code(grant)

    # --- token

    async def token(self, request: web.Request) -> web.Response:
        asked = {name: str(value) for name, value in (await request.post()).items()}
        grants = {"authorization_code": self._by_code, "refresh_token": self._by_refresh, ASSERTION: self._by_assertion}
        try:
            if planned := self._org.world.fault(LOGIN_VENDOR, "refused", f"{asked.get('grant_type', '')} {ASKED_AT}"):
                raise SignInRefused(str(planned.detail))
            grant = grants.get(asked.get("grant_type", ""))
            if grant is None:
                raise SignInRefused("grant_type")
            return web.json_response(
                grant(request, asked), headers={"Cache-Control": "no-cache, no-store", "Pragma": "no-cache"}
            )
        except SignInRefused as refused:
            return web.json_response(refused.body(), status=refused.status)

    def _client(self, request: web.Request, asked: dict[str, str]) -> Client:
        """The app that asks, by body or Basic header; its secret is checked where it has one."""
        scheme, _, basic = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(basic).decode("utf-8", "replace").partition(":")
            except binascii.Error:
                raise SignInRefused("secret") from None
            asked |= {"client_id": name, "client_secret": password}
        client = self._org.sessions.clients.get(asked.get("client_id", ""))
        if client is None:
            raise SignInRefused("client")
        given = asked.get("client_secret", "")
        if client.secret is not None and not secrets.compare_digest(client.secret.encode(), given.encode()):
            raise SignInRefused("secret")
        return client

    def _by_code(self, request: web.Request, asked: dict[str, str]) -> dict[str, Any]:
        client = self._client(request, asked)
        grant = self._org.sessions.take_code(asked.get("code", ""))
        if grant is None or grant.client_id != client.id:
            raise SignInRefused("code")
        if grant.redirect_uri != asked.get("redirect_uri"):
            raise SignInRefused("redirect")
        if grant.challenge and _challenge(asked.get("code_verifier", "")) != grant.challenge:
            raise SignInRefused("verifier")
        return self.issued(self._active(grant.user_id), client.id, grant.scope, nonce=grant.nonce)

    def _by_refresh(self, request: web.Request, asked: dict[str, str]) -> dict[str, Any]:
        client = self._client(request, asked)
        token = asked.get("refresh_token", "")
        grant = self._org.sessions.refresh.get(token)
        if grant is None or grant.client_id != client.id:
            raise SignInRefused("refresh")
        user = self._active(grant.user_id)
        answer = self._answer(user, client.id, grant.scope)
        if self._org.switch("refresh_rotation", False):
            answer["refresh_token"] = self._org.sessions.rotate(token)
        return answer

    def _by_assertion(self, _request: web.Request, asked: dict[str, str]) -> dict[str, Any]:
        claims = self._claims(asked.get("assertion", ""))
        client = self._org.sessions.clients[claims["iss"]]
        user = self._org.user_named(str(claims.get("sub", claims.get("prn", ""))))
        if user is None or user["Username"].lower() not in client.pre_authorised:
            raise SignInRefused("not_approved")
        answer = self._answer(self._active(user["Id"]), client.id, "api id web openid")
        return {name: answer[name] for name in ("access_token", "scope", "instance_url", "id", "token_type")}

    def _claims(self, assertion: str) -> dict[str, Any]:
        """The verified claims of an assertion. Raises SignInRefused."""
        try:
            unverified = jwt.decode(assertion, options={"verify_signature": False})
            client = self._org.sessions.clients.get(str(unverified.get("iss", "")))
            if client is None:
                raise SignInRefused("client")
            options: Any = {"verify_exp": False, "verify_aud": False, "verify_nbf": False, "verify_iat": False}
            key = client.jwt_public_key_pem or ""
            claims: dict[str, Any] = jwt.decode(assertion, key, algorithms=["RS256"], options=options)
        except (jwt.PyJWTError, ValueError):
            raise SignInRefused("assertion") from None
        if claims.get("aud") not in (*LOGIN_HOSTS, self._org.base_url):
            raise SignInRefused("audience")
        left = claims.get("exp", 0)
        left = left - self._org.now().timestamp() if isinstance(left, (int, float)) else 0
        if not 0 < left <= ASSERTION_LIFE_S:
            raise SignInRefused("assertion_expired")
        return claims

    def _active(self, user_id: str) -> Row:
        user = self._org.records.referred(user_id)
        if user is None or not user["IsActive"]:
            raise SignInRefused("inactive")
        return user

    def issued(self, user: Row, client_id: str, scope: str, *, nonce: str = "") -> dict[str, Any]:
        """The token answer of a sign-in by page: with a refresh token where the scope asks for one."""
        answer = self._answer(user, client_id, scope)
        if REFRESHING & set(scope.split()):
            grant = Grant(user["Id"], client_id, scope, self._org.now())
            answer["refresh_token"] = self._org.sessions.grant_refresh(grant)
        if "openid" in scope.split():
            answer["id_token"] = self._id_token(user, client_id, nonce)
        return answer

    def _answer(self, user: Row, client_id: str, scope: str) -> dict[str, Any]:
        issued_at = str(int(self._org.now().timestamp() * 1000))
        identity = self._org.identity_url(user["Id"])
        return {
            "access_token": self._org.sessions.open(user["Id"], client_id, scope),
            "signature": base64.b64encode(hashlib.sha256((identity + issued_at).encode()).digest()).decode(),
            "scope": scope,
            "instance_url": self._org.base_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }

    def _id_token(self, user: Row, client_id: str, nonce: str) -> str:
        now = int(self._org.now().timestamp())
        claims = {"iss": self._org.base_url, "aud": client_id, "sub": self._org.identity_url(user["Id"]), "iat": now}
        claims |= {"exp": now + 120, **({"nonce": nonce} if nonce else {})}
        return jwt.encode(claims, self._org.signing_key, algorithm="RS256")

    async def revoke(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", request.query.get("token", "")))
        if not self._org.sessions.end(token):
            refused = SignInRefused("unsupported_token" if not token else "token")
            return web.json_response(refused.body(), status=refused.status)
        return web.Response(status=200)

    # --- identity

    async def identity(self, request: web.Request) -> web.Response:
        """Who the bearer is. Plain-text words and 403 are the vendor's: this endpoint is no REST resource."""
        token = _bearer(request)
        if not token:
            return web.Response(status=403, text="Missing_OAuth_Token")
        session = self._org.sessions.find(token)
        if session is None:
            return web.Response(status=403, text="Bad_OAuth_Token")
        if ids.canonical(request.match_info["org"]) != self._org.org_id:
            return web.Response(status=403, text="Wrong_Org")
        if ids.canonical(request.match_info["user"]) != session.user_id:
            return web.Response(status=404, text="Bad_Id")
        return web.json_response(self._described(self._active(session.user_id)))

    async def userinfo(self, request: web.Request) -> web.Response:
        token = _bearer(request)
        session = self._org.sessions.find(token)
        if session is None:
            return web.Response(status=403, text="Bad_OAuth_Token" if token else "Missing_OAuth_Token")
        told = self._described(self._active(session.user_id))
        kept = ("user_id", "organization_id", "nick_name", "email", "email_verified", "zoneinfo", "urls", "language", "locale")
        names = {
            "sub": told["id"],
            "preferred_username": told["username"],
            "name": told["display_name"],
            "nickname": told["nick_name"],
        }
        names |= {"given_name": told["first_name"], "family_name": told["last_name"], "zoneinfo": told["timezone"]}
        return web.json_response({**{name: told[name] for name in kept if name in told}, **names})

    def _described(self, user: Row) -> dict[str, Any]:
        base = self._org.base_url
        rest = f"{base}/services/data/v{{version}}/"
        modified = values.read(user["SystemModstamp"])
        return {
            "id": self._org.identity_url(user["Id"]),
            "asserted_user": True,
            "user_id": user["Id"],
            "organization_id": self._org.org_id,
            "username": user["Username"],
            "nick_name": user["CommunityNickname"],
            "display_name": user["Name"],
            "email": user["Email"],
            "email_verified": True,
            "first_name": user["FirstName"],
            "last_name": user["LastName"],
            "timezone": user["TimeZoneSidKey"],
            "active": user["IsActive"],
            "user_type": "STANDARD",
            "language": user["LanguageLocaleKey"],
            "locale": user["LocaleSidKey"],
            "utcOffset": 0,
            "last_modified_date": modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "is_app_installed": True,
            "urls": {"rest": rest, "sobjects": f"{rest}sobjects/", "query": f"{rest}query/", "custom_domain": base},
        }


def _bearer(request: web.Request) -> str:
    """The token of an identity request: by header, or as the parameter that older clients send."""
    return request.headers.get("Authorization", "").partition(" ")[2] or request.query.get("oauth_token", "")


def _challenge(verifier: str) -> str:
    """RFC 7636, section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
