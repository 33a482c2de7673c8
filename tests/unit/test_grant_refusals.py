"""What the vendors' sign-in refuses, by table: its class, its code, nothing of its text; and where a token may go."""

from __future__ import annotations

import traceback

import pytest

from shared.access import grants, microsoft, salesforce
from shared.access.grants import GrantDead
from shared.core.errors import ConsentNeeded, OrgConsentNeeded, Retry, SyncError, Throttled


@pytest.mark.parametrize("number", microsoft.NUMBERS)
def test_each_number_of_microsoft_has_its_class_and_code_and_nothing_of_its_text(number: int) -> None:
    kind, code = microsoft.NUMBERS[number]
    told = {"error": "invalid_grant", "error_codes": [1, number], "error_description": f"AADSTS{number}: canary"}
    error = microsoft.refusal(told)
    assert type(error) is kind
    assert error.code == (code or kind.code)
    assert "canary" not in _shown(error)


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        ({"error": "invalid_grant", "error_codes": [123456]}, GrantDead, "mailbox.consent_needed"),
        ({"error": "interaction_required"}, GrantDead, "mailbox.consent_needed"),
        ({"error": "temporarily_unavailable"}, Retry, "retry.unavailable"),
        ({"error": "canary"}, OrgConsentNeeded, microsoft.APP),
        ({}, OrgConsentNeeded, microsoft.APP),
    ],
)
def test_an_unknown_number_of_microsoft_is_judged_by_its_oauth_error(
    told: dict[str, object], kind: type[SyncError], code: str
) -> None:
    error = microsoft.refusal(told)
    assert isinstance(error, kind)
    assert error.code == code


EXPIRED, BUSY = "expired access/refresh token", "token request is already being processed"


@pytest.mark.parametrize(
    ("flow", "error", "words", "kind", "code"),
    [
        ("refresh", "invalid_grant", EXPIRED, GrantDead, "mailbox.consent_needed.expired"),
        ("refresh", "invalid_grant", BUSY, Retry, "retry.token_refresh"),
        ("refresh", "invalid_grant", "expired authorization code", Retry, "retry.token_refresh"),
        ("code", "invalid_grant", "expired authorization code", ConsentNeeded, salesforce.SIGN_IN),
        ("jwt", "invalid_grant", "expired authorization code", OrgConsentNeeded, "org.consent_needed.clock"),
        ("jwt", "invalid_grant", "audience is invalid", OrgConsentNeeded, "org.consent_needed.jwt"),
        ("jwt", "invalid_grant", "user hasn’t approved this consumer", ConsentNeeded, "mailbox.consent_needed.not_approved"),
        ("jwt", "invalid_app_access", "user is not admin approved", ConsentNeeded, "mailbox.consent_needed.not_approved"),
        ("refresh", "invalid_grant", "inactive user", ConsentNeeded, "mailbox.consent_needed.disabled"),
        ("refresh", "invalid_grant", "IP restricted or invalid login hours", OrgConsentNeeded, "org.consent_needed.ip"),
        ("refresh", "inactive_org", "", OrgConsentNeeded, "org.consent_needed.locked"),
        ("refresh", "invalid_grant", "canary", GrantDead, "mailbox.consent_needed"),
        ("code", "access_denied", "end-user denied authorization", ConsentNeeded, "mailbox.consent_needed.declined"),
        ("refresh", "rate_limit_exceeded", "canary", Throttled, "retry.throttled"),
        ("refresh", "invalid_client_id", "client identifier invalid", OrgConsentNeeded, salesforce.APP),
        ("jwt", "canary", "canary", OrgConsentNeeded, salesforce.APP),
    ],
)
def test_each_refusal_of_salesforce_says_how_far_it_reaches(
    flow: salesforce.Flow, error: str, words: str, kind: type[SyncError], code: str
) -> None:
    refused = salesforce.refusal(flow, {"error": error, "error_description": words})
    assert type(refused) is kind
    assert refused.code == code
    assert "canary" not in _shown(refused)


def test_every_code_is_named_once_for_the_catalogue() -> None:
    for module in (grants, microsoft, salesforce):
        assert len(set(module.CODES)) == len(module.CODES)
    assert {code for _, code in microsoft.NUMBERS.values() if code} <= set(microsoft.CODES)
    assert {code for *_, code in salesforce.REFUSALS if code} <= set(salesforce.CODES) | set(grants.CODES)


LOGIN = "https://localhost:8443"


@pytest.mark.parametrize(
    "address",
    ["https://acme.my.salesforce.com", "https://acme.my.salesforce.com/", "https://x.force.com:443", "https://acme.my.salesforce.mil",
     "https://na1.cloudforce.com", "https://x.sfcrmproducts.cn", "https://LOCALHOST:8443"],
)  # fmt: skip
def test_a_token_goes_to_its_login_address_or_to_a_host_of_the_vendor(address: str) -> None:
    assert salesforce.checked_address(address, LOGIN, "code").rstrip("/") == address.lower().rstrip("/")


@pytest.mark.parametrize(
    "address",
    ["", "http://acme.my.salesforce.com", "https://salesforce.com.evil.test", "https://evilsalesforce.com", "https://evil.test",
     "https://salesforce.com@evil.test", "https://evil.test/.salesforce.com", "https://evil.test#.salesforce.com",
     "https://evil.test?.salesforce.com", "https://evil.test\\.salesforce.com", "https://a.salesforce.com:8443",
     "https://localhost:8444", "https://localhost", "https://u@localhost:8443", "https://[bad", "https://a.salesforce.com:x",
     "ftp://a.salesforce.com", "//a.salesforce.com", "https://a.salesforce.com/path", "https://evil.test%2f.salesforce.com"],
)  # fmt: skip
def test_a_token_goes_nowhere_else(address: str) -> None:
    with pytest.raises(OrgConsentNeeded) as refused:
        salesforce.checked_address(address, LOGIN, salesforce.INSTANCE)
    assert refused.value.code == "org.instance_refused"


def _shown(error: BaseException) -> str:
    """All that a log could show of an error, its chain included."""
    whole = "".join(traceback.format_exception(error))
    return f"{error!r} {error} {vars(error)} {whole} {error.__context__!r} {error.__cause__!r}"
