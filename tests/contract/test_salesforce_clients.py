"""The Salesforce stand-in driven by clients nobody here wrote: simple-salesforce and jsforce, unpatched, TLS verified."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_salesforce.api import Salesforce as Client
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)
from simple_salesforce.format import format_soql

from tests.contract.salesforce_world import ANNA, CALLBACK, CLIENT, SECRET, Served
from tests.contract.test_salesforce_sign_in import CHALLENGE, VERIFIER

SCRIPT = Path(__file__).parent / "salesforce_jsforce.mjs"
ROOT = SCRIPT.parents[2]
pytest_plugins = ("tests.contract.salesforce_fixtures",)


@pytest.fixture
def client(org: Served) -> Any:
    session = requests.Session()
    session.trust_env = False
    session.verify = org.ca_file
    return Client(instance_url=org.org.base_url, session_id=org.token, version="67.0", session=session)


# --- simple-salesforce


def errors_of(refused: Any) -> Any:
    """The vendor's array in an error of the client."""
    return refused.content


def test_simple_salesforce_writes_and_reads_a_record(org: Served, client: Any) -> None:
    made = client.Contact.create({"LastName": "Adler", "Email": "ada@x.example.com"})
    assert made["success"] is True and made["errors"] == []
    assert client.Contact.update(made["id"], {"Title": "Chief"}) == 204
    assert client.Contact.get(made["id"])["Title"] == "Chief"
    assert client.Contact.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound) as gone:
        client.Contact.get(made["id"])
    assert errors_of(gone.value)[0]["errorCode"] == "ENTITY_IS_DELETED"
    client.limits()
    assert client.api_usage["api-usage"].used == 6


def test_simple_salesforce_quotes_and_pages_a_query(org: Served, client: Any) -> None:
    for number in range(2050):
        org.org.records.create("Contact", {"LastName": "O'Hara" if number % 2 else "x\\y"}, org.anna)
    asked = format_soql("SELECT Id FROM Contact WHERE LastName IN {}", ["O'Hara", "x\\y"])
    assert client.query(asked)["done"] is False
    assert len(list(client.query_all_iter(asked))) == 2050
    assert client.query_all(asked, include_deleted=True)["totalSize"] == 2050


def test_simple_salesforce_upserts_by_external_id(org: Served, client: Any) -> None:
    org.org.records.schema.add_field("Contact", {"name": "Key__c", "type": "string", "externalId": True, "unique": True})
    assert client.Contact.upsert("Key__c/a", {"LastName": "One"}) == 201
    assert client.Contact.upsert("Key__c/a", {"LastName": "Two"}) == 200
    assert client.Contact.get_by_custom_id("Key__c", "a")["LastName"] == "Two"
    for _ in range(2):
        client.Contact.create({"LastName": "x", "Email": "same@x.example.com"})
    with pytest.raises(SalesforceMoreThanOneRecord):
        client.Contact.upsert("Email/same@x.example.com", {"LastName": "x"})


def test_simple_salesforce_understands_describes_limits_and_refusals(org: Served, client: Any) -> None:
    assert "Contact" in [one["name"] for one in client.describe()["sobjects"]]
    assert client.Contact.describe()["keyPrefix"] == "003"
    assert client.limits()["DailyApiRequests"]["Max"] == 100_000
    with pytest.raises(SalesforceMalformedRequest) as refused:
        client.Contact.create({"FirstName": "x"})
    assert errors_of(refused.value)[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    org.org.sessions.end(org.token)
    with pytest.raises(SalesforceExpiredSession):
        client.limits()


def test_simple_salesforce_sends_a_composite(org: Served, client: Any) -> None:
    url = "/services/data/v67.0/sobjects/Account"
    body = {"compositeRequest": [{"method": "POST", "url": url, "referenceId": "a", "body": {"Name": "Acme"}}]}
    answer = client.restful("composite", method="POST", json=body)
    assert answer["compositeResponse"][0]["httpStatusCode"] == 201


def test_simple_salesforce_asks_what_changed(org: Served, client: Any) -> None:
    start = org.org.now()
    made = org.make("Contact", LastName="x")
    org.world.clock.advance(120)
    assert client.Contact.updated(start, org.org.now())["ids"] == [made]
    assert client.Contact.deleted(start, org.org.now())["deletedRecords"] == []


# --- jsforce


def node_for_jsforce() -> str:
    """The path of a Node that this jsforce runs on. Skips the test where there is none."""
    node, package = shutil.which("node"), ROOT / "node_modules/jsforce/package.json"
    if node is None or not package.exists():
        pytest.skip("node and the npm packages of the repository are not installed")
    here = subprocess.run([node, "-p", "process.versions.node"], capture_output=True, text=True, check=True).stdout.strip()
    about = json.loads(package.read_text(encoding="utf-8"))
    needed = about["engines"]["node"].removeprefix(">=")
    if int(here.partition(".")[0]) < int(needed.partition(".")[0]):
        pytest.skip(f"jsforce {about['version']} needs Node {needed}, and node here is {here}")
    return node


def test_jsforce_signs_in_and_works(org: Served) -> None:
    node = node_for_jsforce()
    for _ in range(2100):
        org.org.records.create("Task", {"Subject": "x"}, org.anna)
    asked = {
        "response_type": "code", "client_id": CLIENT, "redirect_uri": CALLBACK, "scope": "api refresh_token openid",
        "code_challenge": CHALLENGE, "prompt": "none", "login_hint": ANNA,
    }  # fmt: skip
    answer = org.call("GET", "/services/oauth2/authorize", params=asked, allow_redirects=False)
    told = {
        "baseUrl": org.org.base_url, "clientId": CLIENT, "clientSecret": SECRET, "redirectUri": CALLBACK, "verifier": VERIFIER,
        "code": answer.headers["Location"].rpartition("code=")[2],
    }  # fmt: skip
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": org.ca_file}
    ran = subprocess.run(
        [node, str(SCRIPT)], input=json.dumps(told), capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["user"] == {"id": org.anna, "organizationId": org.org.org_id, "url": org.org.identity_url(org.anna)}
    assert seen["identity"] == ANNA
    assert seen["describe"] == len(org.org.records.object("Contact").fields)
    assert {"Contact", "EmailMessage"} <= set(seen["objects"])
    assert seen["created"]["success"] is True and seen["updated"]["success"] is True and seen["deleted"]["success"] is True
    assert [one["success"] for one in seen["many"]] == [True, False]
    assert (seen["retrieved"], seen["found"]) == ("Chief", 1)
    assert (seen["page"], seen["fetched"]) == ([2100, 2000, False], 2100)
    assert (seen["gone"], seen["refused"]) == ("ENTITY_IS_DELETED", "INVALID_FIELD")
    assert seen["usage"]["limit"] == 100_000
    assert seen["renewed"] == 100_000
