"""Salesforce sign-in: a user's own connection (code with PKCE, refresh) and the org's connection (JWT bearer).

Rules that hold here:
- A token goes to the `instance_url` that came with it, and that only if it is https and either the login address itself or a
  host of the vendor; it is read again at every refresh, since orgs move.
- An access token has no lifetime: it is good until it is refused.
- A refusal is reduced to a code by one table of (flow, error, beginning of the description); the vendor's text goes nowhere.
- Two refreshes of one token at a time are refused by the vendor and come back as Retry, not as a lost consent.

It must never hold a person's refresh token longer than the call: keeping is `grants`.

Source: Salesforce Help, "OAuth 2.0 Web Server Flow", "OAuth 2.0 Refresh Token Flow", "OAuth 2.0 JWT Bearer Flow", "OAuth 2.0
Authorization Errors", release notes Winter '25 "Simultaneous token requests"; RFC 7636 (PKCE), RFC 7523 (JWT bearer).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode, urlsplit

from shared.access.ask import Answer, ask
from shared.access.grants import WAIT_S, WAITING, Begun, GrantDead, Tokens
from shared.core.errors import ConsentNeeded, OrgConsentNeeded, Retry, SyncError, Throttled
from shared.ports import AccessToken, Bearer, Clock
from shared.settings import Settings, pem

if TYPE_CHECKING:
    import requests

SCOPES = "api refresh_token openid"
ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE = timedelta(minutes=3)
VENDOR_HOSTS = (".salesforce.com", ".force.com", ".cloudforce.com", ".salesforce.mil", ".sfcrmproducts.cn")
_IDENTITY = re.compile(r"/id/(00D[A-Za-z0-9]{12,15})/(005[A-Za-z0-9]{12,15})")

_AGAIN, _ORG = "mailbox.consent_needed", "org.consent_needed"
SIGN_IN, DECLINED = f"{_AGAIN}.sign_in", f"{_AGAIN}.declined"
INSTANCE, LOGIN, APP, KEY = "org.instance_refused", "org.login_refused", f"{_ORG}.salesforce_app", f"{_ORG}.jwt_key"

Flow = Literal["code", "refresh", "jwt"]
#: (flow or "" for all, error, beginning of the description) -> class, code (None = the class's own); the first that fits
REFUSALS: Sequence[tuple[Flow | Literal[""], str, str, type[SyncError], str | None]] = (
    ("", "invalid_grant", "token request is already being processed", Retry, WAITING),
    ("refresh", "invalid_grant", "expired authorization code", Retry, WAITING),  # the same, in its older words
    ("jwt", "invalid_grant", "expired", OrgConsentNeeded, f"{_ORG}.clock"),  # the assertion: our clock is not theirs
    ("", "invalid_grant", "expired access/refresh token", GrantDead, f"{_AGAIN}.expired"),
    ("", "invalid_grant", "inactive user", ConsentNeeded, f"{_AGAIN}.disabled"),
    ("", "inactive_user", "", ConsentNeeded, f"{_AGAIN}.disabled"),
    ("", "invalid_grant", "user hasn't approved this consumer", ConsentNeeded, f"{_AGAIN}.not_approved"),
    ("", "invalid_app_access", "", ConsentNeeded, f"{_AGAIN}.not_approved"),
    ("", "invalid_grant", "ip restricted", OrgConsentNeeded, f"{_ORG}.ip"),
    ("", "invalid_grant", "org locked", OrgConsentNeeded, f"{_ORG}.locked"),
    ("", "inactive_org", "", OrgConsentNeeded, f"{_ORG}.locked"),
    ("jwt", "invalid_grant", "", OrgConsentNeeded, f"{_ORG}.jwt"),  # signature, audience: the app's set-up
    ("code", "invalid_grant", "", ConsentNeeded, SIGN_IN),
    ("", "invalid_grant", "", GrantDead, _AGAIN),
    ("", "access_denied", "", ConsentNeeded, DECLINED),
    ("", "rate_limit_exceeded", "", Throttled, None),
    ("", "", "", OrgConsentNeeded, APP),
)
CODES = tuple(sorted({code for *_, code in REFUSALS if code} | {SIGN_IN, DECLINED, INSTANCE, LOGIN, APP, KEY}))


class SalesforceLogin:
    """One login address (default: the setting's; an org may have its own), made without a call.

    Raises OrgConsentNeeded "org.login_refused" for an address that is neither the setting's nor the vendor's.
    """

    def __init__(self, settings: Settings, session: requests.Session, clock: Clock, login: str = "") -> None:
        self._settings, self._session, self._clock = settings, session, clock
        self.login = checked_address(login or settings.salesforce_login, settings.salesforce_login, LOGIN)
        self._kept: dict[str, Tokens] = {}  # by user name

    def begin(self, redirect_uri: str, *, hint: str = "") -> Begun:
        """Begins a person's sign-in; `hint` is the user name to propose."""
        verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(24)
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.salesforce_client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPES,
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            **({"login_hint": hint} if hint else {}),
        }
        kept = {"verifier": verifier, "state": state, "redirect_uri": redirect_uri}
        return Begun(f"{self.login}/services/oauth2/authorize?{urlencode(asked)}", kept)

    def finish(self, kept: Mapping[str, Any], answer: Mapping[str, str]) -> Tokens:
        """The tokens of a sign-in; `answer` is what came with the person to the redirect address.

        Raises ConsentNeeded (also when `answer` does not belong to `kept`), OrgConsentNeeded, Retry.
        """
        if not secrets.compare_digest(str(kept["state"]).encode(), answer.get("state", "").encode()):
            raise ConsentNeeded(SIGN_IN)
        if "code" not in answer:
            raise refusal("code", answer)
        asked = {"code": answer["code"], "redirect_uri": kept["redirect_uri"], "code_verifier": kept["verifier"]}
        return self._asked("code", {"grant_type": "authorization_code", **asked, **self._client()})

    def refresh(self, refresh_token: str) -> Tokens:
        """`grants.Refresh`. Raises GrantDead, ConsentNeeded, OrgConsentNeeded, Retry."""
        return self._asked("refresh", {"grant_type": "refresh_token", "refresh_token": refresh_token, **self._client()})

    def as_user(self, username: str) -> AccessToken:
        """Access as one user of an org that pre-authorised the app; the token is kept in this process."""
        return JwtAccess(self, username)

    def by_assertion(self, username: str, refused: str = "") -> Tokens:
        """The kept token of that user unless it is `refused`, else a new one. Raises ConsentNeeded, OrgConsentNeeded, Retry."""
        kept = self._kept.get(username)
        if kept is None or kept.access == refused:
            kept = self._asked("jwt", {"grant_type": ASSERTION, "assertion": self._assertion(username)})
            self._kept[username] = kept
        return kept

    def _assertion(self, username: str) -> str:
        import jwt

        expires = int((self._clock.now() + ASSERTION_LIFE).timestamp())
        claims = {"iss": self._settings.salesforce_client_id, "sub": username, "aud": self.login, "exp": expires}
        try:
            key = pem(self._settings.salesforce_jwt_key, self._settings.salesforce_jwt_key_file)
            return jwt.encode(claims, key, algorithm="RS256")
        except (OSError, ValueError, jwt.PyJWTError):
            raise OrgConsentNeeded(KEY) from None

    def _client(self) -> dict[str, str]:
        secret = self._settings.salesforce_client_secret
        return {"client_id": self._settings.salesforce_client_id, **({"client_secret": secret} if secret else {})}

    def _asked(self, flow: Flow, data: Mapping[str, str]) -> Tokens:
        headers = {"Accept": "application/json"}
        answer: Answer = ask(self._session, "POST", f"{self.login}/services/oauth2/token", data=data, headers=headers)
        if answer.status != 200 or not answer.body.get("access_token"):
            raise refusal(flow, answer.body)
        body = answer.body
        address = checked_address(str(body.get("instance_url", "")), self.login, INSTANCE)
        found = _IDENTITY.fullmatch(urlsplit(str(body.get("id", ""))).path)
        who = f"{found[1]}/{found[2]}" if found else ""
        return Tokens(str(body["access_token"]), address, None, str(body.get("refresh_token") or ""), who)


class JwtAccess:
    """AccessToken of one user by JWT bearer. No row: the token can be fetched anew at any time."""

    def __init__(self, login: SalesforceLogin, username: str) -> None:
        self._login, self._username = login, username

    def current(self) -> Bearer:
        return self._login.by_assertion(self._username).bearer

    def after(self, refused: Bearer) -> Bearer:
        return self._login.by_assertion(self._username, refused.token).bearer


def refusal(flow: Flow, body: Mapping[str, Any]) -> SyncError:
    """The error of ours for an OAuth error object of the vendor."""
    error = str(body.get("error", ""))
    words = str(body.get("error_description", "")).lower().replace("’", "'")
    for in_flow, name, beginning, kind, code in REFUSALS:
        if in_flow in ("", flow) and name in ("", error) and words.startswith(beginning):
            return Retry(WAIT_S, code) if kind is Retry else kind(code=code)
    raise AssertionError("the last row of REFUSALS fits everything")


def checked_address(address: str, login: str, code: str) -> str:
    """The origin of `address`, if secrets may go there: https, and the host and port of `login` or a host of the vendor.

    Raises OrgConsentNeeded(code).
    """
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise OrgConsentNeeded(code) from None
    is_plain = parts.scheme == "https" and parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    is_ours = parts.netloc.lower() == urlsplit(login).netloc.lower()
    is_vendors = port in (None, 443) and host.endswith(VENDOR_HOSTS) and re.fullmatch(r"[a-z0-9.-]+", host)
    if not (is_plain and (is_ours or is_vendors)):
        raise OrgConsentNeeded(code)
    return f"https://{parts.netloc.lower()}"
