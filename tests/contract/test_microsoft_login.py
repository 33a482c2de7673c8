"""Sign-in of the Microsoft world, driven by msal: code with PKCE, refresh with rotation, client credentials, refusals."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import msal
import pytest
import requests

from tests.contract.microsoft_world import ADA, BO, CLIENT, REDIRECT, SCOPES, SECRET, TENANT, Json, Stand

pytest_plugins = ("tests.contract.microsoft_fixtures",)
GRAPH_SCOPES = ["https://graph.microsoft.com/Mail.ReadWrite", "https://graph.microsoft.com/User.Read"]


def app(ms: Stand, **more: Any) -> msal.ConfidentialClientApplication:
    session = requests.Session()
    session.trust_env = False  # a CA bundle named by the environment would win over `verify`
    session.verify = str(ms.authority.ca_file)
    settings = {"client_credential": SECRET, "authority": f"{ms.url}/{TENANT}", "instance_discovery": False, **more}
    return msal.ConfidentialClientApplication(CLIENT, http_client=session, **settings)


def choose(ms: Stand, asked: str, **chosen: str) -> dict[str, str]:
    """What a person does on the sign-in page; answers the parameters that come back to the app."""
    shown = ms.http.get(asked)
    assert shown.status_code == 200 and "choose the mailbox" in shown.text
    fields = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
    answer = ms.http.post(asked.partition("?")[0], data={**fields, **chosen})
    if fields.get("response_mode") == "form_post":
        assert f'action="{REDIRECT}"' in answer.text
        return {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', answer.text)}
    assert answer.status_code == 302
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def signed_in(ms: Stand, **more: Any) -> tuple[msal.ConfidentialClientApplication, Json]:
    client = app(ms, **more)
    flow = client.initiate_auth_code_flow(GRAPH_SCOPES, redirect_uri=REDIRECT, response_mode="form_post")
    answer: Json = client.acquire_token_by_auth_code_flow(flow, choose(ms, flow["auth_uri"], mailbox=ADA))
    return client, answer


def ask(ms: Stand, **fields: str) -> httpx.Response:
    body = {"client_id": CLIENT, "client_secret": SECRET, **fields}
    return ms.http.post(f"{ms.url}/{TENANT}/oauth2/v2.0/token", data=body)


def refused(answer: httpx.Response) -> tuple[str, int]:
    body = answer.json()
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    return body["error"], body["error_codes"][0]


def test_msal_signs_a_person_in_and_graph_knows_her(ms: Stand) -> None:
    _, answer = signed_in(ms)
    assert answer["id_token_claims"]["preferred_username"] == ADA
    assert answer["id_token_claims"]["tid"] == TENANT
    assert ms.get("/me", token=answer["access_token"])["mail"] == ADA


def test_the_id_token_is_signed_with_a_published_key(ms: Stand) -> None:
    _, answer = signed_in(ms)
    told = ms.http.get(f"{ms.url}/{TENANT}/v2.0/.well-known/openid-configuration").json()
    keys = jwt.PyJWKSet.from_dict(ms.http.get(told["jwks_uri"]).json())
    key = keys[jwt.get_unverified_header(answer["id_token"])["kid"]]
    claims = jwt.decode(answer["id_token"], key, audience=CLIENT, issuer=told["issuer"], algorithms=["RS256"])
    assert claims["name"] == "Ada Berg"


def test_msal_refreshes_silently_and_the_refresh_token_is_replaced(ms: Stand) -> None:
    client, first = signed_in(ms)
    account = client.get_accounts()[0]
    second = client.acquire_token_silent(GRAPH_SCOPES, account=account, force_refresh=True)
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    assert ms.get("/me", token=second["access_token"])["mail"] == ADA


def test_a_replaced_refresh_token_lives_on_unless_the_switch_ends_it(ms: Stand) -> None:
    token = ms.do(lambda: ms.microsoft.issue_token(ADA, CLIENT, SCOPES))["refresh_token"]
    assert ask(ms, grant_type="refresh_token", refresh_token=token).status_code == 200
    assert ask(ms, grant_type="refresh_token", refresh_token=token).status_code == 200
    ms.world.switches["microsoft.refresh_grace"] = 30
    ms.world.clock.advance(31)
    assert refused(ask(ms, grant_type="refresh_token", refresh_token=token)) == ("invalid_grant", 70000)


def test_a_refresh_token_dies_of_age_and_of_a_password_change(ms: Stand) -> None:
    tokens = [ms.do(lambda: ms.microsoft.issue_token(ADA, CLIENT, SCOPES))["refresh_token"] for _ in range(2)]
    ms.world.clock.advance(90 * 86400)
    assert refused(ask(ms, grant_type="refresh_token", refresh_token=tokens[0])) == ("invalid_grant", 700082)
    ms.do(lambda: ms.microsoft.login.revoke(ADA))
    assert refused(ask(ms, grant_type="refresh_token", refresh_token=tokens[1])) == ("invalid_grant", 50173)


@pytest.mark.parametrize(
    ("kind", "number"),
    [("refresh_expired", 700082), ("revoked", 50173), ("consent", 65001), ("mfa", 50076), ("policy", 53003)],
)
def test_a_planned_refusal_hits_one_refresh(ms: Stand, kind: str, number: int) -> None:
    token = ms.do(lambda: ms.microsoft.issue_token(ADA, CLIENT, SCOPES))["refresh_token"]
    ms.world.plan_faults({"rules": [{"vendor": "microsoft-login", "kind": kind, "match": "refresh_token"}]})
    assert refused(ask(ms, grant_type="refresh_token", refresh_token=token)) == ("invalid_grant", number)
    assert ask(ms, grant_type="refresh_token", refresh_token=token).status_code == 200


def test_a_code_works_once_and_only_with_its_verifier(ms: Stand) -> None:
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # of the verifier in RFC 7636, appendix B
    asked = (
        f"{ms.url}/common/oauth2/v2.0/authorize?client_id={CLIENT}&response_type=code&redirect_uri={REDIRECT}"
        f"&scope=openid%20offline_access%20Mail.Read&state=7&code_challenge={challenge}&code_challenge_method=S256"
    )
    back = choose(ms, asked, mailbox=BO)
    assert back["state"] == "7"
    redeem = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": REDIRECT}
    assert refused(ask(ms, **redeem, code_verifier="x" * 43)) == ("invalid_grant", 501481)
    assert refused(ask(ms, **redeem)) == ("invalid_grant", 501481)
    right = {**redeem, "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
    assert refused(ask(ms, **{**right, "redirect_uri": f"{REDIRECT}/other"})) == ("invalid_grant", 500112)
    assert ask(ms, **right).json()["scope"] == "https://graph.microsoft.com/Mail.Read"
    assert refused(ask(ms, **right)) == ("invalid_grant", 54005)


def test_a_code_is_dead_after_ten_minutes(ms: Stand) -> None:
    client = app(ms)
    flow = client.initiate_auth_code_flow(GRAPH_SCOPES, redirect_uri=REDIRECT, response_mode="form_post")
    back = choose(ms, flow["auth_uri"], mailbox=ADA)
    ms.world.clock.advance(601)
    assert client.acquire_token_by_auth_code_flow(flow, back)["error_codes"] == [70008]


def test_declining_comes_back_with_the_state_and_an_unknown_address_is_never_sent_on(ms: Stand) -> None:
    asked = f"{ms.url}/{TENANT}/oauth2/v2.0/authorize?client_id={CLIENT}&response_type=code&scope=openid&state=8&redirect_uri="
    back = choose(ms, asked + REDIRECT, decline="1")
    assert (back["error"], back["state"]) == ("access_denied", "8")
    answer = ms.http.get(asked + "https://elsewhere.example/")
    assert answer.status_code == 400 and "AADSTS50011" in answer.text


def test_what_came_with_a_request_is_escaped_on_the_page(ms: Stand) -> None:
    asked = f"{ms.url}/{TENANT}/oauth2/v2.0/authorize?client_id={CLIENT}&response_type=code&redirect_uri={REDIRECT}"
    shown = ms.http.get(asked + "&scope=openid&state=%22%3E%3Cscript%3Ealert(1)")
    assert shown.status_code == 200 and "<script>alert" not in shown.text


def test_msal_gets_a_token_for_the_app_itself(ms: Stand) -> None:
    answer = app(ms).acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert ms.get(f"/users/{BO}", token=answer["access_token"])["mail"] == BO
    assert ms.code(ms.call("GET", "/me", token=answer["access_token"], status=400)) == "BadRequest"


def test_a_wrong_secret_and_a_wrong_tenant_are_told_apart(ms: Stand) -> None:
    wrong = app(ms, client_credential="guessed").acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215])
    unknown = ms.http.post(f"{ms.url}/nowhere.test/oauth2/v2.0/token", data={"client_id": CLIENT})
    assert refused(unknown) == ("invalid_request", 90002)
    by_domain = ms.http.get(f"{ms.url}/example.test/v2.0/.well-known/openid-configuration")
    assert by_domain.json()["token_endpoint"] == f"{ms.url}/example.test/oauth2/v2.0/token"


def test_an_access_token_ends_by_the_worlds_clock(ms: Stand) -> None:
    token = ms.delegated()
    assert ms.get("/me", token=token)["id"]
    ms.world.clock.advance(5401)
    late = ms.call("GET", "/me", token=token, status=401)
    assert ms.code(late) == "InvalidAuthenticationToken"
    assert late.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "token", ["", "not a token", "eyJhbGciOiJub25lIn0.eyJhdWQiOiJodHRwczovL2dyYXBoLm1pY3Jvc29mdC5jb20ifQ."]
)
def test_graph_refuses_what_it_did_not_issue(ms: Stand, token: str) -> None:
    assert ms.code(ms.call("GET", "/me", token=token, status=401)) == "InvalidAuthenticationToken"


def test_a_delegated_caller_sees_the_own_mailbox_and_only_what_was_granted(ms: Stand) -> None:
    token = ms.delegated(ADA, ("Mail.Read",))
    assert ms.get("/me/messages", token=token)["value"] == []
    assert ms.code(ms.call("GET", f"/users/{BO}/messages", token=token, status=403)) == "ErrorAccessDenied"
    assert ms.code(ms.call("POST", "/me/messages", json={"subject": "x"}, token=token, status=403)) == "ErrorAccessDenied"
