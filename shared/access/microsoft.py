"""Microsoft sign-in through MSAL: a person's consent (code with PKCE), refresh, and the application's own access.

Rules that hold here:
- MSAL is imported at first use and keeps nothing: its token cache is a hole, its clock decides nothing, and every request of
  it goes through `ask`, so that errors are ours and no library logs an answer.
- Nothing is sent to another host than the login address, whatever discovery says.
- A refusal is reduced to a code by its AADSTS number, else by its OAuth error; numbers that are not in the table get the
  general code, since the vendor adds numbers at will. The vendor's text goes nowhere.
- A refresh asks for `.default`: what the person granted then. A new permission of the product never ends an old grant.

It must never hold a person's tokens longer than the call: keeping is `grants`.

Source: learn.microsoft.com/entra/identity-platform: v2-oauth2-auth-code-flow, v2-oauth2-client-creds-grant-flow,
refresh-tokens, reference-error-codes; RFC 7636 (PKCE).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.access.ask import DISCOVERY, EXCHANGE, Answer, ask
from shared.access.grants import MARGIN, Begun, GrantDead, Tokens
from shared.core.errors import ConsentNeeded, OrgConsentNeeded, SyncError, Throttled, Unavailable
from shared.ports import AccessToken, Bearer, Clock
from shared.settings import Settings

if TYPE_CHECKING:
    import requests

#: what a person is asked for; `openid profile offline_access` come with every request
SCOPES = ("User.Read", "Mail.ReadWrite", "Calendars.ReadWrite", "MailboxSettings.ReadWrite")

#: Graph's hosts in the national clouds; any other address stands for the worldwide service
_AUDIENCES = ("graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn")
_WORLDWIDE = "https://graph.microsoft.com"

_AGAIN = "mailbox.consent_needed"
SIGN_IN = "mailbox.consent_needed.sign_in"  # the sign-in did not end well: begin it again
TENANT, APP, ADDRESS = "org.consent_needed.microsoft_tenant", "org.consent_needed.microsoft_app", "org.address_refused"

Refusal = tuple[type[SyncError], str | None]
#: AADSTS number -> class, code (None = the class's own); GrantDead: this refresh token has ended for good
NUMBERS: Mapping[int, Refusal] = {
    50034: (ConsentNeeded, f"{_AGAIN}.disabled"),  # no such user
    50053: (ConsentNeeded, f"{_AGAIN}.locked"),  # too many wrong passwords
    50055: (GrantDead, f"{_AGAIN}.expired"),  # the password has expired
    50057: (ConsentNeeded, f"{_AGAIN}.disabled"),
    50072: (GrantDead, f"{_AGAIN}.mfa"),  # has to enrol
    50074: (GrantDead, f"{_AGAIN}.mfa"),
    50076: (GrantDead, f"{_AGAIN}.mfa"),
    50078: (GrantDead, f"{_AGAIN}.mfa"),  # the second factor has expired
    50079: (GrantDead, f"{_AGAIN}.mfa"),
    50105: (ConsentNeeded, f"{_AGAIN}.admin"),  # not assigned to the app
    50132: (GrantDead, f"{_AGAIN}.revoked"),
    50133: (GrantDead, f"{_AGAIN}.revoked"),
    50144: (GrantDead, f"{_AGAIN}.expired"),
    50158: (GrantDead, f"{_AGAIN}.policy"),  # an external challenge
    50173: (GrantDead, f"{_AGAIN}.revoked"),
    50196: (Throttled, None),  # a client that asks in a loop
    53000: (ConsentNeeded, f"{_AGAIN}.policy"),  # conditional access
    53001: (ConsentNeeded, f"{_AGAIN}.policy"),
    53002: (ConsentNeeded, f"{_AGAIN}.policy"),
    53003: (ConsentNeeded, f"{_AGAIN}.policy"),
    54005: (ConsentNeeded, SIGN_IN),  # the code was used before
    65001: (GrantDead, _AGAIN),  # no consent for this app
    65004: (ConsentNeeded, f"{_AGAIN}.declined"),
    70008: (GrantDead, f"{_AGAIN}.expired"),
    70043: (GrantDead, f"{_AGAIN}.expired"),  # sign-in frequency
    90002: (OrgConsentNeeded, TENANT),
    90033: (Unavailable, None),
    90055: (Throttled, None),
    90094: (ConsentNeeded, f"{_AGAIN}.admin"),
    700016: (OrgConsentNeeded, APP),
    700027: (OrgConsentNeeded, APP),
    700082: (GrantDead, f"{_AGAIN}.expired"),
    700084: (GrantDead, f"{_AGAIN}.expired"),
    7000215: (OrgConsentNeeded, APP),
    7000218: (OrgConsentNeeded, APP),
    7000222: (OrgConsentNeeded, APP),  # the app's secret has expired
}
#: OAuth error -> class, code, where the number is not in the table
ERRORS: Mapping[str, Refusal] = {
    "invalid_grant": (GrantDead, _AGAIN),
    "interaction_required": (GrantDead, _AGAIN),
    "login_required": (GrantDead, _AGAIN),
    "consent_required": (GrantDead, _AGAIN),
    "access_denied": (ConsentNeeded, f"{_AGAIN}.declined"),
    "temporarily_unavailable": (Unavailable, None),
    "server_error": (Unavailable, None),
}
_OTHER: Refusal = (OrgConsentNeeded, APP)
CODES = tuple(sorted({code for _, code in (*NUMBERS.values(), *ERRORS.values()) if code} | {SIGN_IN, TENANT, APP, ADDRESS}))


class MicrosoftLogin:
    """The login address for one tenant (default: the setting's). Made without a call; MSAL looks up addresses at first use."""

    def __init__(self, settings: Settings, session: requests.Session, clock: Clock, tenant: str = "") -> None:
        self._settings, self._clock = settings, clock
        self._authority = f"{settings.microsoft_login}/{tenant or settings.microsoft_tenant}"
        self._http = _Http(session, urlsplit(settings.microsoft_login).netloc)
        self._resource = _resource(settings.microsoft_graph)
        self._made: Any = None
        self._app_access = AppAccess(self)

    def begin(self, redirect_uri: str, *, hint: str = "") -> Begun:
        """Begins a person's sign-in; `hint` is the address to propose. Raises OrgConsentNeeded, Retry.

        The answer comes back by GET, so that a SameSite=Lax cookie can tie `kept` to the browser; MSAL warns of it, because
        the code then stands in an address: it is worth nothing without `kept`.
        """
        scopes = [f"{self._resource}/{scope}" for scope in SCOPES]
        app = self._msal()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "response_mode=", UserWarning)
            flow = dict(app.initiate_auth_code_flow(scopes, redirect_uri=redirect_uri, login_hint=hint or None))
        return Begun(flow.pop("auth_uri"), flow)

    def finish(self, kept: Mapping[str, Any], answer: Mapping[str, str]) -> Tokens:
        """The tokens of a sign-in; `answer` is what came with the person to the redirect address.

        Raises ConsentNeeded (also when `answer` does not belong to `kept`), OrgConsentNeeded, Retry.
        """
        app, result = self._msal(), None
        with contextlib.suppress(ValueError, RuntimeError):  # state or nonce of another sign-in; raised below without values
            result = app.acquire_token_by_auth_code_flow(dict(kept), dict(answer))
        if result is None:
            raise ConsentNeeded(SIGN_IN)
        return self._understood(result)

    def refresh(self, refresh_token: str) -> Tokens:
        """`grants.Refresh`. Raises GrantDead, ConsentNeeded, OrgConsentNeeded, Retry."""
        return self._understood(self._msal().acquire_token_by_refresh_token(refresh_token, [self._default]))

    def as_app(self) -> Tokens:
        """The application's own access (client credentials). Raises OrgConsentNeeded, Retry."""
        try:
            return self._understood(self._msal().acquire_token_for_client([self._default]))
        except ConsentNeeded:
            raise OrgConsentNeeded(APP) from None  # there is no person to ask

    def app_access(self) -> AccessToken:
        """The application's access, kept in this process."""
        return self._app_access

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def _default(self) -> str:
        return f"{self._resource}/.default"

    def _msal(self) -> Any:
        if self._made is None:
            self._made = self._new_msal()
        return self._made

    def _new_msal(self) -> Any:
        from msal import ConfidentialClientApplication, TokenCache

        class Forgetful(TokenCache):  # type: ignore[misc]
            def add(self, event: Any, now: Any = None) -> None:
                """Keeps nothing."""

        made = None
        with contextlib.suppress(ValueError, KeyError):  # raised below, without the library's text
            made = ConfidentialClientApplication(
                self._settings.microsoft_client_id,
                client_credential=self._settings.microsoft_client_secret,
                authority=self._authority,
                instance_discovery=False,
                http_client=self._http,
                http_cache=_Hole(),
                token_cache=Forgetful(),
            )
        if made is None:
            raise OrgConsentNeeded(TENANT)
        return made

    def _understood(self, result: Mapping[str, Any]) -> Tokens:
        if "access_token" not in result:
            raise refusal(result)
        life = result.get("expires_in")
        expires = None if life is None else self._clock.now() + timedelta(seconds=int(life))
        claims = result.get("id_token_claims") or {}
        who = f"{claims['tid']}/{claims['oid']}" if claims.get("tid") and claims.get("oid") else ""
        return Tokens(result["access_token"], self._settings.microsoft_graph, expires, result.get("refresh_token") or "", who)


class AppAccess:
    """AccessToken of the application itself. No row: the token can be fetched anew at any time."""

    def __init__(self, login: MicrosoftLogin) -> None:
        self._login = login
        self._tokens: Tokens | None = None

    def current(self) -> Bearer:
        if self._tokens is None or not self._tokens.lasts(self._login.clock.now(), MARGIN):
            self._tokens = self._login.as_app()
        return self._tokens.bearer

    def after(self, refused: Bearer) -> Bearer:
        if self._tokens is not None and self._tokens.access == refused.token:
            self._tokens = None
        return self.current()


def refusal(result: Mapping[str, Any]) -> SyncError:
    """The error of ours for an OAuth error object of the vendor."""
    numbers = [number for number in result.get("error_codes") or () if number in NUMBERS]
    kind, code = NUMBERS[numbers[0]] if numbers else ERRORS.get(str(result.get("error")), _OTHER)
    return kind(code=code)


def _resource(graph: str) -> str:
    host = urlsplit(graph).hostname
    return f"https://{host}" if host in _AUDIENCES else _WORLDWIDE


class _Hole(dict[str, Any]):
    """MSAL's memory of refusals, which would repeat them for a minute of the machine's clock: keeps nothing."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Keeps nothing."""


@dataclass(frozen=True)
class _Response:
    """What MSAL reads of a response."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def raise_for_status(self) -> None:
        """Statuses that stand for no answer were raised by `ask`."""


class _Http:
    """The http client MSAL is given."""

    def __init__(self, session: requests.Session, host: str) -> None:
        self._session, self._host = session, host

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> _Response:
        return self._asked("GET", url, params, headers, None, DISCOVERY)

    def post(self, url: str, params: Any = None, headers: Any = None, data: Any = None, **_: Any) -> _Response:
        return self._asked("POST", url, params, headers, data, EXCHANGE)

    def close(self) -> None:
        """The session is not ours to close."""

    def _asked(self, method: str, url: str, params: Any, headers: Any, data: Any, timeout: tuple[float, float]) -> _Response:
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) != ("https", self._host):
            raise OrgConsentNeeded(ADDRESS)
        answer: Answer = ask(self._session, method, url, params=params, headers=headers, data=data, timeout=timeout)
        return _Response(answer.status, answer.text, answer.headers)
