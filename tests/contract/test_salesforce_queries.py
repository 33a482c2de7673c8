"""SOQL over REST: what it finds, how it pages, what it refuses, and that look-ups by key read few rows."""

from __future__ import annotations

import pytest

from sandbox.salesforce.conditions import Conditions
from sandbox.salesforce.paths import Paths
from sandbox.salesforce.soql import parse
from tests.contract.salesforce_world import BEN, CLIENT, Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)


@pytest.fixture
def people(org: Served) -> dict[str, str]:
    """Five contacts by last name; Adler and Brandt work for Acme."""
    acme = org.make("Account", Name="Acme")
    made = {"Acme": acme}
    for last, first, email, account in (
        ("Adler", "Ada", "ada@acme.example.com", acme),
        ("Brandt", "Bo", "bo_b@acme.example.com", acme),
        ("O'Hara", "Cy", "cy@other.example.com", None),
        ("100%", "Di", None, None),
        ("back\\slash", None, "box@acme.example.com", None),
    ):
        made[last] = org.make("Contact", LastName=last, FirstName=first, Email=email, AccountId=account)
    return made


def names(org: Served, where: str) -> list[str]:
    return [row["LastName"] for row in org.query(f"SELECT LastName FROM Contact WHERE {where} ORDER BY LastName")]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Email = 'ADA@acme.example.com'", ["Adler"]),
        ("LastName != 'Adler' AND Email != null", ["back\\slash", "Brandt", "O'Hara"]),
        ("Email = null", ["100%"]),
        ("LastName = 'O\\'Hara'", ["O'Hara"]),
        ("LastName = 'back\\\\slash'", ["back\\slash"]),
        ("LastName LIKE 'a%'", ["Adler"]),
        ("LastName LIKE '%\\%'", ["100%"]),
        ("Email LIKE 'bo\\_b@%'", ["Brandt"]),
        ("Email LIKE 'bo_b@%'", ["Brandt"]),
        ("Email LIKE 'bo_@%'", ["back\\slash"]),
        ("NOT LastName LIKE 'b%'", ["100%", "Adler", "O'Hara"]),
        ("(NOT (LastName = 'Adler' OR LastName = 'Brandt')) AND FirstName != null", ["100%", "O'Hara"]),
        ("LastName IN ('Adler', 'brandt', 'nobody')", ["Adler", "Brandt"]),
        ("LastName NOT IN ('Adler', 'Brandt') AND Email LIKE '%example.com'", ["back\\slash", "O'Hara"]),
        ("Account.Name = 'acme' AND (FirstName = 'Ada' OR FirstName = 'Bo')", ["Adler", "Brandt"]),
        ("Owner.Email = 'anna@acme.example.com' AND Account.Name = null", ["100%", "back\\slash", "O'Hara"]),
        ("CreatedDate >= 2020-01-01T00:00:00Z AND CreatedDate < 2021-01-01T00:00:00+01:00", []),
        ("CreatedDate = TODAY AND LastName > 'b' AND LastName < 'c'", ["back\\slash", "Brandt"]),
        ("IsDeleted = FALSE AND LastName = '100%'", ["100%"]),
    ],
)
def test_a_condition_finds_what_soql_means(org: Served, people: dict[str, str], where: str, found: list[str]) -> None:
    assert names(org, where) == found


def test_a_semi_join_finds_the_records_of_the_accounts_of_people(org: Served, people: dict[str, str]) -> None:
    kept = org.make("Opportunity", Name="A", StageName="Prospecting", CloseDate="2027-01-01", AccountId=people["Acme"])
    org.make("Opportunity", Name="B", StageName="Prospecting", CloseDate="2027-01-01", AccountId=org.make("Account", Name="No"))
    inner = "SELECT AccountId FROM Contact WHERE Email IN ('ada@acme.example.com')"
    assert [row["Id"] for row in org.query(f"SELECT Id FROM Opportunity WHERE AccountId IN ({inner})")] == [kept]
    assert len(org.query(f"SELECT Id FROM Opportunity WHERE AccountId NOT IN ({inner})")) == 1


def test_an_order_says_where_nulls_stand(org: Served, people: dict[str, str]) -> None:
    first = [row["FirstName"] for row in org.query("SELECT FirstName FROM Contact ORDER BY FirstName")]
    last = [row["FirstName"] for row in org.query("SELECT FirstName FROM Contact ORDER BY FirstName NULLS LAST")]
    down = [row["FirstName"] for row in org.query("SELECT FirstName FROM Contact ORDER BY FirstName DESC NULLS LAST")]
    assert first == [None, "Ada", "Bo", "Cy", "Di"]
    assert last == ["Ada", "Bo", "Cy", "Di", None]
    assert down == ["Di", "Cy", "Bo", "Ada", None]


def test_limit_and_offset_cut_the_ordered_rows(org: Served, people: dict[str, str]) -> None:
    rows = org.query("SELECT LastName FROM Contact ORDER BY LastName LIMIT 2 OFFSET 1")
    assert [row["LastName"] for row in rows] == ["Adler", "back\\slash"]
    assert org.get("/query", q="SELECT COUNT() FROM Contact")["totalSize"] == 5


def test_only_what_was_selected_is_answered(org: Served, people: dict[str, str]) -> None:
    [row] = org.query(f"SELECT c.Name, c.Account.Name, Owner.Email FROM Contact c WHERE Id = '{people['Adler']}'")
    assert set(row) == {"attributes", "Name", "Account", "Owner"}
    assert set(row["Account"]) == {"attributes", "Name"}
    assert row["Name"] == "Ada Adler"
    [row] = org.query(f"SELECT Id, Account.Name FROM Contact WHERE Id = '{people['100%']}'")
    assert row["Account"] is None


def test_a_reference_to_several_objects_shows_who_it_is(org: Served, people: dict[str, str]) -> None:
    org.make("Task", Subject="Call", WhoId=people["Adler"], WhatId=people["Acme"])
    [row] = org.query("SELECT Who.Name, Who.Type, What.Name, What.Type FROM Task WHERE Who.Type = 'Contact'")
    assert (row["Who"]["Name"], row["Who"]["Type"]) == ("Ada Adler", "Contact")
    assert (row["What"]["Name"], row["What"]["Type"]) == ("Acme", "Account")


def test_fields_all_needs_a_limit(org: Served, people: dict[str, str]) -> None:
    [row] = org.query("SELECT FIELDS(ALL) FROM Account LIMIT 200")
    assert row["Name"] == "Acme" and len(row) > 40
    assert org.refusal("GET", "/query", params={"q": "SELECT FIELDS(ALL) FROM Account"})[:2] == (400, "MALFORMED_QUERY")


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Id FROM Contact WHERE Nope = 1", "INVALID_FIELD", "No such column 'Nope' on entity 'Contact'"),
        ("SELECT Id, Nope FROM Contact", "INVALID_FIELD", "ERROR at Row:1:Column:12"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported."),
        ("SELECT Id FROM Contact WHERE Nope.Name = 'x'", "INVALID_FIELD", "Didn't understand relationship 'Nope'"),
        ("SELECT Id FROM Task WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM EmailMessage WHERE TextBody LIKE 'x'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM Contact WHERE Email = 5", "INVALID_FIELD", "must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Contact WHERE CreatedDate > '2020-01-01'", "INVALID_FIELD", "should not be enclosed in quotes"),
        ("SELECT Id FROM Contact WHERE Id = '003'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: 003"),
        ("SELECT Id FROM Contact WHERE Title = 'a' AND Title = 'b' OR Title = 'c'", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Contact WHERE LastName = 'a\\x'", "MALFORMED_QUERY", "unknown escape"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Contact LIMIT 5 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY", "Implementation restriction"),
        ("SELECT Id, Id FROM Contact", "INVALID_FIELD", "duplicate field selected: Id"),
        (f"SELECT Id FROM Contact WHERE LastName = '{'x' * 4001}'", "MALFORMED_QUERY", "longer than 4000"),
        (
            "SELECT Id FROM Contact WHERE AccountId IN (SELECT AccountId FROM Contact)",
            "MALFORMED_QUERY",
            "The inner and outer selects should not be on the same object type",
        ),
        (
            "SELECT Id FROM Case WHERE Subject = 'x' OR AccountId IN (SELECT AccountId FROM Contact)",
            "MALFORMED_QUERY",
            "Semi join sub-selects are not allowed with the 'OR' operator",
        ),
        ("SELECT Id FROM Case WHERE AccountId IN (SELECT WhatId FROM Task)", "MALFORMED_QUERY", "not supported for semi join"),
        ("SELECT Id FROM Case WHERE AccountId IN (SELECT LastName FROM Contact)", "MALFORMED_QUERY", "must be an ID"),
    ],
)  # fmt: skip
def test_what_soql_does_not_run_is_refused_in_the_vendors_words(org: Served, soql: str, code: str, words: str) -> None:
    status, error, message = org.refusal("GET", "/query", params={"q": soql})
    assert (status, error) == (400, code)
    assert words in message


def test_what_is_not_built_says_so(org: Served) -> None:
    for more in ("SELECT COUNT(Id) FROM Contact", "SELECT Name FROM Contact GROUP BY Name", "SELECT Id FROM Contact FOR VIEW"):
        assert org.refusal("GET", "/query", params={"q": more})[:2] == (501, "NOT_BUILT")


# --- pages


def fill(org: Served, count: int) -> None:
    for number in range(count):
        org.org.records.create("Contact", {"LastName": f"N{number:04d}"}, org.anna)


def test_pages_hold_what_was_asked_for_and_are_followed_to_the_end(org: Served) -> None:
    fill(org, 450)
    headers = {"Sforce-Query-Options": "batchSize=200"}
    page = org.call("GET", "/query", params={"q": "SELECT LastName FROM Contact ORDER BY LastName"}, headers=headers).json()
    seen = [row["LastName"] for row in page["records"]]
    while "nextRecordsUrl" in page:
        assert page["done"] is False and page["totalSize"] == 450
        page = org.call("GET", page["nextRecordsUrl"]).json()
        seen += [row["LastName"] for row in page["records"]]
    assert page["done"] is True
    assert seen == [f"N{number:04d}" for number in range(450)]


def test_a_cursor_shows_the_rows_as_they_were_found(org: Served) -> None:
    fill(org, 250)
    headers = {"Sforce-Query-Options": "batchSize=200"}
    page = org.call("GET", "/query", params={"q": "SELECT Id, LastName FROM Contact ORDER BY LastName"}, headers=headers).json()
    for row in org.query("SELECT Id FROM Contact WHERE LastName = 'N0249'"):
        org.call("PATCH", f"/sobjects/Contact/{row['Id']}", json={"LastName": "Changed"})
    assert org.call("GET", page["nextRecordsUrl"]).json()["records"][-1]["LastName"] == "N0249"


def test_cursors_die_by_age_by_number_and_belong_to_their_user(org: Served) -> None:
    fill(org, 201)
    headers = {"Sforce-Query-Options": "batchSize=200"}
    org.world.switches["salesforce.cursors_per_user"] = 2
    asked = {"params": {"q": "SELECT Id FROM Contact"}, "headers": headers}
    places = [org.call("GET", "/query", **asked).json()["nextRecordsUrl"] for _ in range(3)]
    assert org.refusal("GET", places[0])[:2] == (400, "INVALID_QUERY_LOCATOR")
    ben = {"Authorization": "Bearer " + org.org.issue_token(BEN, CLIENT)["access_token"]}
    assert org.refusal("GET", places[2], headers=ben)[:2] == (400, "INVALID_QUERY_LOCATOR")
    org.world.switches["salesforce.cursor_life_s"] = 600
    org.world.clock.advance(601)
    assert org.refusal("GET", places[2])[:2] == (400, "INVALID_QUERY_LOCATOR")


# --- deleted and archived


def test_query_all_sees_the_recycle_bin_and_archived_activities(org: Served) -> None:
    gone = org.make("Contact", LastName="Gone")
    org.call("DELETE", f"/sobjects/Contact/{gone}")
    org.make("Task", Subject="Long ago", Status="Completed", ActivityDate="2020-01-01")
    org.make("Task", Subject="Open long ago", Status="Not Started", ActivityDate="2020-01-01")
    assert org.query("SELECT Id FROM Contact") == []
    [row] = org.get("/queryAll", q="SELECT Id, IsDeleted FROM Contact")["records"]
    assert (row["Id"], row["IsDeleted"]) == (gone, True)
    assert [row["Subject"] for row in org.query("SELECT Subject FROM Task")] == ["Open long ago"]
    archived = org.get("/queryAll", q="SELECT Subject, IsArchived FROM Task ORDER BY Subject")["records"]
    assert [(row["Subject"], row["IsArchived"]) for row in archived] == [("Long ago", True), ("Open long ago", False)]


def test_a_poll_by_system_modstamp_sees_touched_rows_in_order(org: Served) -> None:
    first, second = org.make("Contact", LastName="First"), org.make("Contact", LastName="Second")
    org.world.clock.advance(100)
    mark = org.org.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    org.call("PATCH", f"/sobjects/Contact/{first}", json={"Title": "touched"})
    rows = org.query(f"SELECT Id FROM Contact WHERE SystemModstamp >= {mark} ORDER BY SystemModstamp, Id")
    assert [row["Id"] for row in rows] == [first]
    rows = org.query("SELECT Id FROM Contact WHERE SystemModstamp >= 2020-01-01T00:00:00Z ORDER BY SystemModstamp, Id")
    assert [row["Id"] for row in rows] == [second, first]


def test_updated_and_deleted_name_what_changed_in_a_window(org: Served) -> None:
    kept, gone = org.make("Contact", LastName="Kept"), org.make("Contact", LastName="Gone")
    org.call("DELETE", f"/sobjects/Contact/{gone}")
    start = org.org.now().strftime("%Y-%m-%dT%H:%M:%S+00:00")
    org.world.clock.advance(120)
    window = {"start": start, "end": org.org.now().strftime("%Y-%m-%dT%H:%M:%S+00:00")}
    assert org.get("/sobjects/Contact/updated/", **window)["ids"] == [kept]
    assert [row["id"] for row in org.get("/sobjects/Contact/deleted/", **window)["deletedRecords"]] == [gone]
    same = {"start": start, "end": start}
    assert org.refusal("GET", "/sobjects/Contact/updated", params=same)[:2] == (400, "INVALID_REPLICATION_DATE")


# --- look-ups read few rows


@pytest.mark.parametrize(
    ("soql", "most"),
    [
        ("SELECT Id FROM Contact WHERE Email IN ('N0003@x.example.com', 'n0004@x.example.com')", 2),
        ("SELECT Id FROM Contact WHERE IsDeleted = false AND Email = 'n0003@x.example.com'", 1),
        ("SELECT Id FROM Contact WHERE Email = 'n0003@x.example.com' OR Email IN ('n0004@x.example.com')", 2),
        ("SELECT Id FROM Contact WHERE AccountId IN ('001Ms0000000001')", 0),
        ("SELECT Id FROM Contact WHERE Id IN ('003Ms0000000001', '003Ms0000000002IAA')", 2),
        ("SELECT Id FROM EmailMessage WHERE MessageIdentifier IN ('<a@x>') OR ThreadIdentifier = 'x'", 0),
        ("SELECT Id FROM EmailMessage WHERE RelatedToId = '001Ms0000000001'", 0),
        ("SELECT Id FROM Contact WHERE AccountId IN (SELECT Id FROM Account WHERE Name = 'x')", 0),
    ],
)
def test_a_look_up_by_key_reads_only_rows_that_hold_it(org: Served, soql: str, most: int) -> None:
    records = org.org.records
    for number in range(50):
        records.create("Contact", {"LastName": "N", "Email": f"n{number:04d}@x.example.com"}, org.anna)
    query = parse(soql)
    owner = records.object(query.object_name)
    conditions = Conditions(records, Paths(records, "v67.0"), owner, soql, org.org.queries._semi_join)
    narrowed = conditions.narrowed(query.where)
    assert narrowed is not None
    assert len(list(narrowed)) == most
