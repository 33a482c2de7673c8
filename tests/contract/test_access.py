"""Sign-in, refresh and application access over the vendors' stand-ins: real MSAL, real TLS, the real table of refusals.

No test may leave a token, a secret or a code in a log line, an error or a row.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.frame import World
from shared.access.ask import new_session
from shared.access.grants import CLAIM, Grant, GrantDead, Grants
from shared.access.install import new_install
from shared.access.microsoft import MicrosoftLogin
from shared.access.salesforce import SalesforceLogin
from shared.core.errors import ConsentNeeded, NetworkDown, OrgConsentNeeded, Retry, SyncError, Throttled, Unavailable
from shared.ports import MailboxKey
from shared.settings import Settings, read
from shared.store.memory import MemoryStore
from shared.store.vault import FileVault
from tests.contract import microsoft_world as entra
from tests.contract import salesforce_world as force
from tests.contract.microsoft_world import Stand
from tests.contract.salesforce_world import Served

pytest_plugins = ("tests.contract.microsoft_fixtures",)
ANN = MailboxKey("ann")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY_PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC_PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
APP_SECRET = "a-secret-of-the-app"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with force.serving() as one:
        yield one


@pytest.fixture
def org(served: Served) -> Iterator[Served]:
    """An org whose app has a secret and a key, open to Anna by JWT."""
    served.fresh()
    served.org.add_client(
        force.CLIENT,
        secret=APP_SECRET,
        redirect_uris=(force.CALLBACK,),
        jwt_public_key_pem=PUBLIC_PEM,
        pre_authorised=(force.ANNA,),
    )
    yield served
    served.http.close()


def settings(folder: Path, **changes: str) -> Settings:
    key = folder / "jwt.pem"
    key.write_text(KEY_PEM)
    return read(
        {
            **new_install(folder / "install"), "MAILSPAN_STORAGE": "account", "MAILSPAN_PUBLIC_URL": "https://sync.example.com",
            "MAILSPAN_MICROSOFT_TENANT": entra.TENANT, "MAILSPAN_MICROSOFT_CLIENT_ID": entra.CLIENT,
            "MAILSPAN_MICROSOFT_CLIENT_SECRET": entra.SECRET, "MAILSPAN_SALESFORCE_CLIENT_ID": force.CLIENT,
            "MAILSPAN_SALESFORCE_CLIENT_SECRET": APP_SECRET, "MAILSPAN_SALESFORCE_JWT_KEY_FILE": str(key), **changes,
        }
    )  # fmt: skip


@pytest.fixture
def trusting() -> Iterator[Callable[[str], requests.Session]]:
    """Makes sessions that trust one authority file, and closes them."""
    with ExitStack() as opened:
        yield lambda ca_file: opened.enter_context(new_session(ca_file))


Trusting = Callable[[str], requests.Session]


@pytest.fixture
def microsoft(ms: Stand, tmp_path: Path, trusting: Trusting) -> MicrosoftLogin:
    given = settings(tmp_path, MAILSPAN_MICROSOFT_LOGIN=ms.url, MAILSPAN_MICROSOFT_GRAPH=f"{ms.url}/v1.0")
    return MicrosoftLogin(given, trusting(str(ms.authority.ca_file)), ms.world.clock)


@pytest.fixture
def salesforce(org: Served, tmp_path: Path, trusting: Trusting) -> SalesforceLogin:
    return SalesforceLogin(
        settings(tmp_path, MAILSPAN_SALESFORCE_LOGIN=org.org.base_url), trusting(org.ca_file), org.world.clock
    )


def kept_in_memory(folder: Path, world: World) -> Grants:
    given = settings(folder)
    return Grants(MemoryStore(), FileVault(Path(given.vault.removeprefix("file:"))), world.clock, given.tenant)


def chosen(asked: str, http: Callable[..., Any], address: str) -> dict[str, str]:
    """What comes back when the sign-in page lets `address` in without asking."""
    answer = http("GET", f"{asked}&prompt=none&login_hint={address}", allow_redirects=False)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def ms_chosen(ms: Stand, asked: str) -> dict[str, str]:
    return chosen(asked, lambda method, url, **_: ms.http.request(method, url), entra.ADA)


def sf_chosen(org: Served, asked: str, username: str = force.ANNA) -> dict[str, str]:
    return chosen(asked, lambda method, url, **more: org.http.request(method, url, timeout=20, **more), username)


def signed_in(ms: Stand, microsoft: MicrosoftLogin, folder: Path) -> tuple[Grant, Grants]:
    begun = microsoft.begin(entra.REDIRECT, hint=entra.ADA)
    grants = kept_in_memory(folder, ms.world)
    grants.keep(ANN, "microsoft", microsoft.finish(begun.kept, ms_chosen(ms, begun.address)))
    return grants.of(ANN, "microsoft", microsoft.refresh), grants


def connected(org: Served, salesforce: SalesforceLogin, folder: Path) -> tuple[Grant, Grants]:
    begun = salesforce.begin(force.CALLBACK)
    grants = kept_in_memory(folder, org.world)
    grants.keep(ANN, "salesforce", salesforce.finish(begun.kept, sf_chosen(org, begun.address)))
    return grants.of(ANN, "salesforce", salesforce.refresh), grants


# --- Microsoft


def test_a_person_signs_in_to_microsoft_with_pkce_and_the_token_opens_their_mailbox_and_is_renewed(
    ms: Stand, microsoft: MicrosoftLogin, tmp_path: Path
) -> None:
    grant, _ = signed_in(ms, microsoft, tmp_path)
    first = grant.current()
    assert first.address == f"{ms.url}/v1.0"
    assert ms.get("/me", token=first.token)["userPrincipalName"] == entra.ADA
    assert grant.who.startswith(f"{entra.TENANT}/")
    ms.world.clock.advance(2 * 3600)
    ms.call("GET", "/me", token=first.token, status=401)
    second = grant.current()
    assert ms.get("/me", token=second.token)["userPrincipalName"] == entra.ADA
    third = grant.after(second)
    assert third.token not in (first.token, second.token)
    assert grant.current() == third


def test_microsofts_old_refresh_token_is_not_used_again(ms: Stand, microsoft: MicrosoftLogin, tmp_path: Path) -> None:
    grant, _ = signed_in(ms, microsoft, tmp_path)
    ms.world.switches["microsoft.refresh_grace"] = 0
    for _ in range(3):
        ms.world.clock.advance(2 * 3600)
        assert ms.get("/me", token=grant.current().token)["userPrincipalName"] == entra.ADA


def test_a_sign_in_answer_of_somebody_elses_browser_is_refused(ms: Stand, microsoft: MicrosoftLogin) -> None:
    mine, theirs = microsoft.begin(entra.REDIRECT), microsoft.begin(entra.REDIRECT)
    answer = ms_chosen(ms, theirs.address)
    for wrong in (answer, {**answer, "state": mine.kept["state"]}, {"state": mine.kept["state"]}, {}):
        with pytest.raises(ConsentNeeded):
            microsoft.finish(mine.kept, wrong)
    declined = {"state": mine.kept["state"], "error": "access_denied", "error_description": "AADSTS65004: declined"}
    with pytest.raises(ConsentNeeded) as told:
        microsoft.finish(mine.kept, declined)
    assert told.value.code == "mailbox.consent_needed.declined"


def test_a_revoked_or_idle_microsoft_grant_is_told_once_and_nobody_asks_again(
    ms: Stand, microsoft: MicrosoftLogin, tmp_path: Path
) -> None:
    acts: Mapping[str, Callable[[], None]] = {
        "mailbox.consent_needed.revoked": lambda: ms.microsoft.login.revoke(entra.ADA),
        "mailbox.consent_needed.expired": lambda: ms.world.clock.advance(91 * 86400),
    }
    for code, act in acts.items():
        grant, _ = signed_in(ms, microsoft, tmp_path)
        ms.do(act)
        ms.world.clock.advance(2 * 3600)
        ms.world.calls.clear()
        for _ in range(3):
            with pytest.raises(ConsentNeeded) as told:
                grant.current()
            assert told.value.code == code
        assert ms.world.calls.http["microsoft-login"] == 1


def test_the_application_itself_has_access_that_is_kept_until_it_ends_or_is_refused(
    ms: Stand, microsoft: MicrosoftLogin
) -> None:
    access = microsoft.app_access()
    first = access.current()
    assert ms.get(f"/users/{entra.BO}", token=first.token)["userPrincipalName"] == entra.BO
    assert access.current() == first == microsoft.app_access().current()
    other = access.after(first)
    assert other != first
    assert access.after(first) == other
    ms.world.clock.advance(2 * 3600)
    assert access.current() != other
    assert ms.world.calls.snapshot()["microsoft-login"]["POST /{tenant}/oauth2/v2.0/token"] == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"MAILSPAN_MICROSOFT_TENANT": "nobody.example.test"}, "org.consent_needed.microsoft_tenant"),
        ({"MAILSPAN_MICROSOFT_CLIENT_SECRET": "wrong"}, "org.consent_needed.microsoft_app"),
        ({"MAILSPAN_MICROSOFT_CLIENT_ID": "unknown"}, "org.consent_needed.microsoft_app"),
    ],
)
def test_an_app_that_is_set_up_wrongly_at_microsoft_is_an_error_for_all(
    ms: Stand, tmp_path: Path, trusting: Trusting, changes: dict[str, str], code: str
) -> None:
    given = settings(tmp_path, MAILSPAN_MICROSOFT_LOGIN=ms.url, MAILSPAN_MICROSOFT_GRAPH=f"{ms.url}/v1.0", **changes)
    login = MicrosoftLogin(given, trusting(str(ms.authority.ca_file)), ms.world.clock)
    for call in (lambda: login.refresh("any"), lambda: login.app_access().current()):
        with pytest.raises(OrgConsentNeeded) as told:
            call()
        assert told.value.code == code


def test_nothing_is_sent_where_the_certificate_or_the_host_is_another(ms: Stand, tmp_path: Path, trusting: Trusting) -> None:
    given = settings(tmp_path, MAILSPAN_MICROSOFT_LOGIN=ms.url)
    with pytest.raises(NetworkDown):
        MicrosoftLogin(given, trusting(""), ms.world.clock).app_access().current()
    elsewhere = ms.url.replace("localhost", "127.0.0.1")  # the same server, whose discovery names localhost
    login = MicrosoftLogin(
        settings(tmp_path, MAILSPAN_MICROSOFT_LOGIN=elsewhere), trusting(str(ms.authority.ca_file)), ms.world.clock
    )
    with pytest.raises(OrgConsentNeeded) as told:
        login.app_access().current()
    assert told.value.code == "org.address_refused"


# --- Salesforce


def test_a_person_signs_in_to_salesforce_and_the_token_is_good_until_it_is_refused(
    org: Served, salesforce: SalesforceLogin, tmp_path: Path
) -> None:
    grant, _ = connected(org, salesforce, tmp_path)
    first = grant.current()
    assert first.address == org.org.base_url
    assert grant.who == f"{org.org.org_id}/{org.anna}"
    assert _works(org, first.token)
    org.world.clock.advance(3 * 3600)
    assert not _works(org, first.token)
    assert grant.current() == first
    second = grant.after(first)
    assert _works(org, second.token)
    assert grant.current() == second


def test_a_rotating_salesforce_token_is_replaced_at_every_use(org: Served, salesforce: SalesforceLogin, tmp_path: Path) -> None:
    grant, _ = connected(org, salesforce, tmp_path)
    org.world.switches["salesforce.refresh_rotation"] = True
    for _ in range(4):
        assert _works(org, grant.after(grant.current()).token)


def test_a_rotated_answer_that_was_lost_is_told_as_consent_needed(
    org: Served, salesforce: SalesforceLogin, tmp_path: Path
) -> None:
    grant, _ = connected(org, salesforce, tmp_path)
    org.world.switches["salesforce.refresh_rotation"] = True
    org.world.plan_faults({"rules": [{"vendor": "salesforce-login", "kind": "drop_after", "match": "token"}]})
    bearer = grant.current()
    with pytest.raises(NetworkDown):
        grant.after(bearer)
    with pytest.raises(Retry):
        grant.after(bearer)
    org.world.clock.advance(CLAIM.total_seconds())
    for _ in range(2):
        with pytest.raises(ConsentNeeded) as told:
            grant.after(bearer)
        assert told.value.code == "mailbox.consent_needed.expired"


def test_an_inactive_user_is_told_and_goes_on_once_active_again(
    org: Served, salesforce: SalesforceLogin, tmp_path: Path
) -> None:
    grant, _ = connected(org, salesforce, tmp_path)
    bearer = grant.current()
    org.org.records.update("User", org.anna, {"IsActive": False}, org.org.admin_id)
    with pytest.raises(ConsentNeeded) as told:
        grant.after(bearer)
    assert told.value.code == "mailbox.consent_needed.disabled"
    org.org.records.update("User", org.anna, {"IsActive": True}, org.org.admin_id)
    assert _works(org, grant.after(bearer).token)


def test_the_org_connection_speaks_as_each_pre_authorised_user_and_keeps_one_session_each(
    org: Served, salesforce: SalesforceLogin
) -> None:
    access = salesforce.as_user(force.ANNA)
    first = access.current()
    assert first.address == org.org.base_url
    assert _works(org, first.token)
    assert salesforce.as_user(force.ANNA).current() == first
    second = access.after(first)
    assert second != first
    assert salesforce.as_user(force.ANNA).after(first) == second
    for nobody in (force.BEN, "nobody@acme.example.com"):
        with pytest.raises(ConsentNeeded) as told:
            salesforce.as_user(nobody).current()
        assert told.value.code == "mailbox.consent_needed.not_approved"


@pytest.mark.parametrize("key", ["", "/nowhere/key.pem", "wrong"])
def test_a_key_that_is_missing_or_not_the_apps_is_an_error_for_all(
    org: Served, tmp_path: Path, trusting: Trusting, key: str
) -> None:
    if key == "wrong":
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (tmp_path / "other.pem").write_bytes(
            other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        key = str(tmp_path / "other.pem")
    given = settings(tmp_path, MAILSPAN_SALESFORCE_LOGIN=org.org.base_url, MAILSPAN_SALESFORCE_JWT_KEY_FILE=key)
    login = SalesforceLogin(given, trusting(org.ca_file), org.world.clock)
    with pytest.raises(OrgConsentNeeded) as told:
        login.as_user(force.ANNA).current()
    assert told.value.code == ("org.consent_needed.jwt" if key.endswith("other.pem") else "org.consent_needed.jwt_key")


def test_a_clock_that_is_wrong_is_named(org: Served, tmp_path: Path, trusting: Trusting) -> None:
    class Behind:
        def now(self) -> Any:
            return org.world.clock.now() - timedelta(hours=1)

    given = settings(tmp_path, MAILSPAN_SALESFORCE_LOGIN=org.org.base_url)
    with pytest.raises(OrgConsentNeeded) as told:
        SalesforceLogin(given, trusting(org.ca_file), Behind()).as_user(force.ANNA).current()
    assert told.value.code == "org.consent_needed.clock"


def test_a_token_that_came_with_a_foreign_address_is_refused(
    org: Served, salesforce: SalesforceLogin, tmp_path: Path, trusting: Trusting
) -> None:
    body = {"access_token": "canary", "instance_url": "https://salesforce.com.evil.test", "id": "", "token_type": "Bearer"}
    org.world.plan_faults(
        {"rules": [{"vendor": "salesforce-login", "kind": "status", "status": 200, "body": body, "match": "token"}]}
    )
    with pytest.raises(OrgConsentNeeded) as told:
        salesforce.refresh("any")
    assert told.value.code == "org.instance_refused"
    with pytest.raises(OrgConsentNeeded) as login:
        SalesforceLogin(settings(tmp_path), trusting(""), org.world.clock, "https://login.evil.test")
    assert login.value.code == "org.login_refused"


def test_a_sign_in_at_salesforce_that_is_declined_or_of_another_browser_is_told(
    org: Served, salesforce: SalesforceLogin
) -> None:
    mine, theirs = salesforce.begin(force.CALLBACK), salesforce.begin(force.CALLBACK)
    answer = sf_chosen(org, theirs.address)
    state = mine.kept["state"]
    for wrong in (answer, {**answer, "state": state}, {}):
        with pytest.raises(ConsentNeeded) as told:
            salesforce.finish(mine.kept, wrong)
        assert told.value.code == "mailbox.consent_needed.sign_in"
    with pytest.raises(ConsentNeeded) as declined:
        salesforce.finish(mine.kept, {"state": state, "error": "access_denied"})
    assert declined.value.code == "mailbox.consent_needed.declined"


def _works(org: Served, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{org.org.base_url}{force.DATA}/query?q=SELECT+Id+FROM+User+LIMIT+1"
    status = requests.get(url, headers=headers, verify=org.ca_file, timeout=20).status_code
    assert status in (200, 401)
    return status == 200


# --- whatever happens, nothing secret is shown


def echo(token: str, **more: Any) -> dict[str, Any]:
    """A refusal whose words repeat what was sent, as no vendor should."""
    return {"error": "invalid_grant", "error_description": f"AADSTS1: {token}", "refresh_token": token, **more}


FAULTS: list[tuple[dict[str, Any], type[SyncError]]] = [
    ({"kind": "status", "status": 500, "body": "CANARY"}, Unavailable),
    ({"kind": "status", "status": 503, "body": {"echo": "CANARY"}, "headers": {"Retry-After": "7"}}, Unavailable),
    ({"kind": "status", "status": 429, "body": {"echo": "CANARY"}, "headers": {"Retry-After": "9"}}, Throttled),
    ({"kind": "status", "status": 302, "body": "", "headers": {"Location": "https://evil.test/CANARY"}}, Unavailable),
    ({"kind": "status", "status": 400, "body": "<html>CANARY"}, Unavailable),
    ({"kind": "status", "status": 200, "body": "CANARY, no JSON"}, Unavailable),
    ({"kind": "status", "status": 200, "body": "[]"}, Unavailable),
    ({"kind": "status", "status": 200, "body": {"echo": "CANARY"}}, OrgConsentNeeded),
    ({"kind": "status", "status": 400, "body": {"error": "CANARY", "error_description": "CANARY"}}, OrgConsentNeeded),
    ({"kind": "status", "status": 401, "body": {"error": "invalid_client", "error_description": "CANARY"}}, OrgConsentNeeded),
    ({"kind": "status", "status": 400, "body": echo("CANARY")}, GrantDead),
    ({"kind": "drop_before"}, NetworkDown),
    ({"kind": "drop_after"}, NetworkDown),
]


def told_in_full(error: SyncError) -> str:
    """All that a log could show of an error. Whatever it was raised from must be ours too: a library's holds the request."""
    behind = [error.__cause__, error.__context__]
    assert all(one is None or isinstance(one, SyncError) for one in behind), behind
    return "".join(traceback.format_exception(error)) + f"{error!r} {vars(error)} {behind}"


def test_no_error_log_line_or_row_of_microsoft_shows_a_secret(
    ms: Stand, microsoft: MicrosoftLogin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets, shown = {entra.SECRET, "CANARY"}, list[str]()
    for fault, kind in FAULTS:
        grant, grants = signed_in(ms, microsoft, tmp_path)
        bearer, begun = grant.current(), microsoft.begin(entra.REDIRECT)
        answer = ms_chosen(ms, begun.address)
        secrets |= {answer["code"], begun.kept["code_verifier"], begun.kept["nonce"]} | tokens_of(grants, "microsoft", shown)
        with refused(ms.world, "microsoft", fault, shown, ConsentNeeded if kind is GrantDead else kind):
            grant.after(bearer)
        with refused(ms.world, "microsoft", fault, shown, kind):
            microsoft.finish(begun.kept, answer)
        with refused(ms.world, "microsoft", fault, shown, OrgConsentNeeded if kind is GrantDead else kind):
            microsoft.as_app()
        shown.append(f"{grant!r} {bearer!r} {begun!r} {microsoft!r}")
    assert_hidden(secrets, shown, caplog)


def test_no_error_log_line_or_row_of_salesforce_shows_a_secret(
    org: Served, salesforce: SalesforceLogin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets, shown = {APP_SECRET, "CANARY", KEY_PEM, KEY_PEM.splitlines()[5]}, list[str]()
    for fault, kind in FAULTS:
        grant, grants = connected(org, salesforce, tmp_path)
        bearer, begun = grant.current(), salesforce.begin(force.CALLBACK)
        answer = sf_chosen(org, begun.address)
        secrets |= {answer["code"], begun.kept["verifier"]} | tokens_of(grants, "salesforce", shown)
        with refused(org.world, "salesforce", fault, shown, ConsentNeeded if kind is GrantDead else kind):
            grant.after(bearer)
        with refused(org.world, "salesforce", fault, shown, ConsentNeeded if kind is GrantDead else kind):
            salesforce.finish(begun.kept, answer)
        with refused(org.world, "salesforce", fault, shown, OrgConsentNeeded if kind is GrantDead else kind):
            salesforce.as_user(force.ANNA).current()
        shown.append(f"{grant!r} {bearer!r} {begun!r} {salesforce!r}")
    assert_hidden(secrets, shown, caplog)


def tokens_of(grants: Grants, vendor: str, shown: list[str]) -> set[str]:
    """The tokens that are kept; the row itself goes to what was shown."""
    held = grants.read(ANN, vendor)
    assert held is not None
    shown.append(f"{held.value()} {held}")
    tokens = grants.open(ANN, vendor, held)
    return {tokens.access, tokens.refresh}


@contextmanager
def refused(world: World, vendor: str, fault: Mapping[str, Any], shown: list[str], kind: type[SyncError]) -> Iterator[None]:
    """Runs what must fail so under the fault, and keeps all that the error shows."""
    world.plan_faults({"rules": [{"vendor": f"{vendor}-login", "match": "token", **fault}]})
    with pytest.raises(kind) as told:
        yield
    if isinstance(told.value, Retry) and (after := fault.get("headers", {}).get("Retry-After")):
        assert told.value.after_s == float(after)
    shown.append(told_in_full(told.value))


def assert_hidden(secrets: set[str], shown: list[str], caplog: pytest.LogCaptureFixture) -> None:
    shown += [f"{record.getMessage()} {record.args}" for record in caplog.records if not _of_the_stand_in(record)]
    assert len(secrets) > 4 * len(FAULTS)
    everything = "\n".join(shown)
    assert [secret for secret in secrets if secret in everything] == []


def _of_the_stand_in(record: logging.LogRecord) -> bool:
    """What the vendor's side and the test's own browser log is none of the product's."""
    return record.name.startswith(("aiohttp", "httpx", "httpcore", "asyncio"))
