"""Sign-in of the Salesforce stand-in: code with PKCE, refresh, JWT bearer, identity, and how sessions end."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.frame import FaultRule
from sandbox.salesforce.sign_in_words import REFUSALS
from tests.contract.salesforce_world import ANNA, BEN, CALLBACK, CLIENT, SECRET, Served

VERIFIER = "a-verifier-of-more-than-forty-three-characters-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ROBOT = "mailspan-jwt"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
pytest_plugins = ("tests.contract.salesforce_fixtures",)


def authorize(org: Served, **changes: str) -> requests.Response:
    asked = {
        "response_type": "code", "client_id": CLIENT, "redirect_uri": CALLBACK, "state": "s1",
        "scope": "api refresh_token openid",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256", "prompt": "none", "login_hint": ANNA, **changes,
    }  # fmt: skip
    return org.call("GET", "/services/oauth2/authorize", params=asked, allow_redirects=False)


def sent_back(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def token(org: Served, **asked: str) -> requests.Response:
    return org.call("POST", "/services/oauth2/token", data={"client_id": CLIENT, "client_secret": SECRET, **asked})


def by_code(org: Served, code: str, **changes: str) -> requests.Response:
    asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return token(org, **(asked | changes))


def refused(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()
    assert set(error) == {"error", "error_description"}
    return answer.status_code, error["error"], error["error_description"]


def assertion(org: Served, key: rsa.RSAPrivateKey = KEY, **changes: Any) -> str:
    now = int(org.org.now().timestamp())
    claims = {"iss": ROBOT, "sub": ANNA, "aud": "https://login.salesforce.com", "exp": now + 180, **changes}
    return jwt.encode(claims, key, algorithm="RS256")


def bearer(org: Served, sent: str) -> requests.Response:
    return org.call("POST", "/services/oauth2/token", data={"grant_type": BEARER, "assertion": sent})


# --- code with PKCE


def test_a_sign_in_by_code_ends_with_a_session_that_works(org: Served) -> None:
    back = sent_back(authorize(org))
    assert back["state"] == "s1"
    answer = by_code(org, back["code"]).json()
    assert set(answer) == {
        "access_token", "refresh_token", "signature", "scope", "id_token", "instance_url", "id", "token_type", "issued_at",
    }  # fmt: skip
    assert answer["instance_url"] == org.org.base_url
    assert answer["id"] == f"{org.org.base_url}/id/{org.org.org_id}/{org.anna}"
    org.http.headers["Authorization"] = f"Bearer {answer['access_token']}"
    assert org.get("/limits")["DailyApiRequests"]["Max"] == 100_000


def test_the_page_offers_active_users_and_posts_back_who_was_chosen(org: Served) -> None:
    org.org.add_user("gone@acme.example.com", "Gus", "Gone", "gone@acme.example.com", active=False)
    page = authorize(org, prompt="consent").text
    assert ANNA in page and BEN in page and "gone@acme.example.com" not in page
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.split("<button")[0]))
    posted = org.call("POST", "/services/oauth2/authorize", data={**fields, "username": BEN}, allow_redirects=False)
    assert by_code(org, sent_back(posted)["code"]).json()["id"].endswith(org.ben)


def test_what_came_with_the_request_is_escaped_on_the_page(org: Served) -> None:
    assert "<script>" not in authorize(org, prompt="consent", state='"><script>').text


def test_who_denies_is_sent_back_with_access_denied(org: Served) -> None:
    asked = {"response_type": "code", "client_id": CLIENT, "redirect_uri": CALLBACK, "state": "s1", "decline": "1"}
    back = sent_back(org.call("POST", "/services/oauth2/authorize", data=asked, allow_redirects=False))
    assert (back["error"], back["error_description"]) == ("access_denied", "end-user denied authorization")


@pytest.mark.parametrize("changes", [{"client_id": "unknown"}, {"redirect_uri": "https://evil.example.com/"}])
def test_an_app_that_cannot_be_trusted_gets_a_page_and_no_redirect(org: Served, changes: dict[str, str]) -> None:
    answer = authorize(org, **changes)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_code_works_once(org: Served) -> None:
    code = sent_back(authorize(org))["code"]
    assert by_code(org, code).status_code == 200
    assert refused(by_code(org, code)) == (400, "invalid_grant", "expired authorization code")


def test_a_code_and_a_refresh_token_belong_to_their_app(org: Served) -> None:
    org.org.add_client("another-app", secret=SECRET, redirect_uris=(CALLBACK,))
    code = sent_back(authorize(org))["code"]
    assert refused(by_code(org, code, client_id="another-app"))[1:] == ("invalid_grant", "expired authorization code")
    refresh = org.org.issue_token(ANNA, CLIENT)["refresh_token"]
    answer = token(org, client_id="another-app", grant_type="refresh_token", refresh_token=refresh)
    assert refused(answer) == (400, "invalid_grant", "expired access/refresh token")


def test_a_code_lives_fifteen_minutes(org: Served) -> None:
    code = sent_back(authorize(org))["code"]
    org.world.clock.advance(901)
    assert refused(by_code(org, code)) == (400, "invalid_grant", "expired authorization code")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code_verifier": "another"}, ("invalid_grant", "invalid code verifier")),
        ({"redirect_uri": "https://other.example.com/"}, ("redirect_uri_mismatch", "redirect_uri must match configuration")),
        ({"client_secret": "wrong"}, ("invalid_client", "invalid client credentials")),
        ({"client_id": "unknown"}, ("invalid_client_id", "client identifier invalid")),
        ({"grant_type": "password"}, ("unsupported_grant_type", "grant type not supported")),
    ],
)
def test_a_wrong_token_request_is_refused_in_oauths_form(org: Served, changes: dict[str, str], words: tuple[str, str]) -> None:
    assert refused(by_code(org, sent_back(authorize(org))["code"], **changes)) == (400, *words)


def test_an_org_that_requires_pkce_refuses_a_sign_in_without_it(org: Served) -> None:
    asked = {"response_type": "code", "client_id": CLIENT, "redirect_uri": CALLBACK, "prompt": "none", "login_hint": ANNA}
    without = org.call("GET", "/services/oauth2/authorize", params=asked, allow_redirects=False)
    assert "code" in sent_back(without)
    org.world.switches["salesforce.require_pkce"] = True
    without = org.call("GET", "/services/oauth2/authorize", params=asked, allow_redirects=False)
    assert sent_back(without)["error"] == "invalid_request"


def test_a_basic_header_names_the_app_too(org: Served) -> None:
    code = sent_back(authorize(org))["code"]
    data = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    pair = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
    answer = org.call("POST", "/services/oauth2/token", data=data, headers={"Authorization": f"Basic {pair}"})
    assert answer.status_code == 200


# --- refresh


def test_a_refresh_token_is_used_again_and_again_without_rotation(org: Served) -> None:
    refresh = org.org.issue_token(ANNA, CLIENT)["refresh_token"]
    for _ in range(2):
        answer = token(org, grant_type="refresh_token", refresh_token=refresh).json()
        assert "refresh_token" not in answer and answer["instance_url"] == org.org.base_url


def test_with_rotation_a_refresh_token_works_once(org: Served) -> None:
    org.world.switches["salesforce.refresh_rotation"] = True
    first = org.org.issue_token(ANNA, CLIENT)["refresh_token"]
    second = token(org, grant_type="refresh_token", refresh_token=first).json()["refresh_token"]
    assert second != first
    expired = (400, "invalid_grant", "expired access/refresh token")
    assert refused(token(org, grant_type="refresh_token", refresh_token=first)) == expired
    assert token(org, grant_type="refresh_token", refresh_token=second).status_code == 200


def test_the_sixth_approval_ends_the_oldest(org: Served) -> None:
    tokens = [org.org.issue_token(ANNA, CLIENT)["refresh_token"] for _ in range(6)]
    answers = [token(org, grant_type="refresh_token", refresh_token=one).status_code for one in tokens]
    assert answers == [400, 200, 200, 200, 200, 200]


def test_a_deactivated_user_is_refused_everywhere(org: Served) -> None:
    refresh = org.org.issue_token(ANNA, CLIENT)["refresh_token"]
    org.org.records.update("User", org.anna, {"IsActive": False}, org.org.admin_id)
    assert refused(token(org, grant_type="refresh_token", refresh_token=refresh)) == (400, "invalid_grant", "inactive user")
    assert org.refusal("GET", "/limits")[:2] == (401, "INVALID_SESSION_ID")


@pytest.mark.parametrize("name", ["ip_restricted", "refresh", "inactive"])
def test_a_planned_refusal_hits_one_sign_in(org: Served, name: str) -> None:
    refresh = org.org.issue_token(ANNA, CLIENT)["refresh_token"]
    org.world.rules.append(FaultRule("salesforce-login", "refused", match="refresh_token", detail=name))
    status, error, words = REFUSALS[name]
    assert refused(token(org, grant_type="refresh_token", refresh_token=refresh)) == (status, error, words)
    assert token(org, grant_type="refresh_token", refresh_token=refresh).status_code == 200


# --- JWT bearer


def test_a_pre_authorised_user_gets_a_session_and_no_refresh_token(org: Served) -> None:
    org.org.add_client(ROBOT, jwt_public_key_pem=PUBLIC_PEM, pre_authorised=[ANNA])
    answer = bearer(org, assertion(org)).json()
    assert set(answer) == {"access_token", "scope", "instance_url", "id", "token_type"}
    assert answer["id"].endswith(org.anna)
    assert bearer(org, assertion(org, aud=org.org.base_url)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sub": BEN}, ("invalid_grant", "user hasn't approved this consumer")),
        ({"sub": "nobody@acme.example.com"}, ("invalid_grant", "user hasn't approved this consumer")),
        ({"aud": "https://example.com"}, ("invalid_grant", "audience is invalid")),
        ({"exp": 0}, ("invalid_grant", "expired authorization code")),
        ({"exp": 4_000_000_000}, ("invalid_grant", "expired authorization code")),
        ({"iss": "unknown"}, ("invalid_client_id", "client identifier invalid")),
        ({"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)}, ("invalid_grant", "invalid assertion")),
    ],
)
def test_a_wrong_assertion_is_refused(org: Served, changes: dict[str, Any], words: tuple[str, str]) -> None:
    org.org.add_client(ROBOT, jwt_public_key_pem=PUBLIC_PEM, pre_authorised=[ANNA])
    assert refused(bearer(org, assertion(org, **changes))) == (400, *words)


def test_an_assertion_that_is_no_jwt_is_refused(org: Served) -> None:
    assert refused(bearer(org, "a.b.c")) == (400, "invalid_grant", "invalid assertion")


# --- identity and the end of a session


def test_the_identity_url_tells_who_the_token_is_for(org: Served) -> None:
    told = org.call("GET", org.org.identity_url(org.anna).removeprefix(org.org.base_url)).json()
    assert (told["user_id"], told["organization_id"], told["username"]) == (org.anna, org.org.org_id, ANNA)
    assert told["urls"]["custom_domain"] == org.org.base_url
    other = org.call("GET", org.org.identity_url(org.ben).removeprefix(org.org.base_url))
    assert (other.status_code, other.text) == (404, "Bad_Id")
    bad = org.call("GET", f"/id/{org.org.org_id}/{org.anna}", headers={"Authorization": "Bearer none"})
    assert (bad.status_code, bad.text) == (403, "Bad_OAuth_Token")


def test_userinfo_tells_the_same_in_openid_names(org: Served) -> None:
    told = org.call("GET", "/services/oauth2/userinfo").json()
    assert (told["sub"], told["preferred_username"]) == (org.org.identity_url(org.anna), ANNA)


def test_a_session_ends_by_not_being_used(org: Served) -> None:
    for _ in range(3):
        org.world.clock.advance(7000)
        org.get("/limits")
    org.world.clock.advance(7201)
    assert org.refusal("GET", "/limits") == (401, "INVALID_SESSION_ID", "Session expired or invalid")


def test_a_revoked_refresh_token_ends_its_sessions(org: Served) -> None:
    refresh = org.org.issue_token(ANNA, CLIENT)["refresh_token"]
    assert org.call("POST", "/services/oauth2/revoke", data={"token": refresh}).status_code == 200
    assert org.refusal("GET", "/limits")[:2] == (401, "INVALID_SESSION_ID")
    assert refused(org.call("POST", "/services/oauth2/revoke", data={"token": refresh}))[:2] == (400, "invalid_token")


def test_a_call_without_a_session_is_refused(org: Served) -> None:
    del org.http.headers["Authorization"]
    assert org.refusal("GET", "/limits") == (401, "INVALID_SESSION_ID", "Session expired or invalid")
    wrong = {"Authorization": "Basic eDp5"}
    assert org.refusal("GET", "/limits", headers=wrong)[:2] == (401, "INVALID_AUTH_HEADER")


def test_sign_in_and_identity_are_no_api_calls(org: Served) -> None:
    sent_back(authorize(org))
    org.call("GET", f"/id/{org.org.org_id}/{org.anna}")
    assert set(org.world.calls.snapshot()) == {"salesforce-login"}
    assert org.org.budget.used == 0
