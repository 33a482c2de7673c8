"""Records of the Salesforce stand-in over REST: fields, conditions, keys, activities, the recycle bin."""

from __future__ import annotations

from email.utils import format_datetime
from typing import Any

import pytest

from tests.contract.salesforce_world import Served

KEY = {"name": "Mailspan_Key__c", "type": "string", "length": 64, "externalId": True, "unique": True, "caseSensitive": True}
pytest_plugins = ("tests.contract.salesforce_fixtures",)


# --- fields


def test_a_created_record_is_read_back_with_its_derived_fields(org: Served) -> None:
    made = org.call("POST", "/sobjects/Contact", json={"FirstName": " Ada ", "LastName": "Adler", "Email": "ada@x.example.com"})
    assert made.status_code == 201
    assert made.headers["Location"].endswith(f"/sobjects/Contact/{made.json()['id']}")
    row = org.get(f"/sobjects/Contact/{made.json()['id']}")
    assert (row["Name"], row["FirstName"], row["OwnerId"], row["CreatedById"]) == ("Ada Adler", "Ada", org.anna, org.anna)
    assert row["SystemModstamp"] == row["CreatedDate"] == row["LastModifiedDate"]


def test_asked_fields_are_answered_and_the_id_with_them(org: Served) -> None:
    made = org.make("Contact", LastName="Adler")
    assert set(org.get(f"/sobjects/Contact/{made}", fields="LastName,Owner.Email")) == {"attributes", "LastName", "Owner", "Id"}
    assert org.refusal("GET", f"/sobjects/Contact/{made}", params={"fields": "Nope"})[:2] == (400, "INVALID_FIELD")


@pytest.mark.parametrize(
    ("object_name", "fields", "code", "words"),
    [
        ("Contact", {"FirstName": "x"}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"),
        ("Contact", {"LastName": "  "}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"),
        ("Contact", {"LastName": "x" * 81}, "STRING_TOO_LONG", "data value too large:"),
        ("Contact", {"LastName": "\U0001f600" * 41}, "STRING_TOO_LONG", "(max length=80)"),
        ("Contact", {"LastName": "x", "Nope": 1}, "INVALID_FIELD", "No such column 'Nope' on sobject of type Contact"),
        ("Contact", {"LastName": "x", "Name": "y"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name"),
        ("Contact", {"LastName": "x", "CreatedDate": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "CreatedDate"),
        ("Contact", {"LastName": "x", "Email": "no address"}, "INVALID_EMAIL_ADDRESS", "invalid email address: no address"),
        ("Contact", {"LastName": 5}, "JSON_PARSER_ERROR", "instance of string from VALUE_NUMBER_INT value 5"),
        ("Contact", {"LastName": "x", "Birthdate": "01.02.2000"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of date"),
        ("Contact", {"LastName": "x", "AccountId": "123"}, "MALFORMED_ID", "id value of incorrect type: 123"),
        ("Contact", {"LastName": "x", "AccountId": "003000000000001"}, "FIELD_INTEGRITY_EXCEPTION", "of incorrect type"),
        ("Contact", {"LastName": "x", "AccountId": "001000000000001"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross"),
        ("Task", {"Subject": "x", "IsReminderSet": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "not of required type: null"),
        ("Task", {"TaskSubtype": "Nope"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value for restricted picklist field"),
        ("EmailMessage", {"Status": "9"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "picklist field: 9"),
        ("Organization", {"Name": "x"}, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "does not support create"),
    ],
)  # fmt: skip
def test_a_field_that_does_not_fit_refuses_the_record(
    org: Served, object_name: str, fields: dict[str, Any], code: str, words: str
) -> None:
    status, error, message = org.refusal("POST", f"/sobjects/{object_name}", json=fields)
    assert (status, error) == (400, code)
    assert words in message
    assert org.org.records.store.count(object_name) == (1 if object_name == "Organization" else 0)


def test_a_read_only_and_an_unknown_field_are_refused_at_update_too(org: Served) -> None:
    made = org.make("EmailMessage", Status="3", Subject="x", IsClientManaged=True)
    where = f"/sobjects/EmailMessage/{made}"
    assert org.refusal("PATCH", where, json={"Incoming": True})[:2] == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")
    assert org.refusal("PATCH", where, json={"Id": made})[:2] == (400, "INVALID_FIELD")


def test_an_inactive_user_owns_nothing_new(org: Served) -> None:
    org.org.records.update("User", org.ben, {"IsActive": False}, org.org.admin_id)
    refusal = org.refusal("POST", "/sobjects/Contact", json={"LastName": "x", "OwnerId": org.ben})
    assert refusal[:2] == (400, "INACTIVE_OWNER_OR_USER")


def test_text_that_is_no_json_is_refused(org: Served) -> None:
    headers = {"Content-Type": "application/json"}
    assert org.refusal("POST", "/sobjects/Contact", data="{not json", headers=headers)[:2] == (400, "JSON_PARSER_ERROR")
    assert org.refusal("POST", "/sobjects/Contact", data="[]", headers=headers)[:2] == (400, "JSON_PARSER_ERROR")


# --- what a path names


def test_an_unknown_place_is_not_found_and_a_deleted_record_is_gone(org: Served) -> None:
    made = org.make("Contact", LastName="x")
    assert org.refusal("GET", "/sobjects/Nope/003000000000001")[:2] == (404, "NOT_FOUND")
    assert org.refusal("GET", "/sobjects/Contact/003000000000001")[:2] == (404, "NOT_FOUND")
    assert org.refusal("GET", "/sobjects/Contact/short")[:2] == (404, "NOT_FOUND")
    assert org.call("DELETE", f"/sobjects/Contact/{made[:15]}").status_code == 204
    for method in ("GET", "DELETE"):
        assert org.refusal(method, f"/sobjects/Contact/{made}")[:2] == (404, "ENTITY_IS_DELETED")
    assert org.refusal("PATCH", f"/sobjects/Contact/{made}", json={"Title": "x"})[:2] == (404, "ENTITY_IS_DELETED")


def test_another_method_of_a_known_place_is_not_allowed_and_an_unknown_place_is_not_built(org: Served) -> None:
    assert org.refusal("PUT", "/limits")[:2] == (405, "METHOD_NOT_ALLOWED")
    assert org.refusal("GET", "/ui-api/object-info/Contact")[:2] == (501, "NOT_BUILT")


# --- conditions


def http_date(org: Served) -> str:
    return format_datetime(org.org.now().replace(microsecond=0), usegmt=True)


def test_a_stale_if_unmodified_since_changes_nothing(org: Served) -> None:
    made = org.make("Contact", LastName="x")
    seen = http_date(org)
    org.world.clock.advance(5)
    fresh = org.call("PATCH", f"/sobjects/Contact/{made}", json={"Title": "one"}, headers={"If-Unmodified-Since": seen})
    assert fresh.status_code == 204
    stale = {"If-Unmodified-Since": seen}
    assert org.refusal("PATCH", f"/sobjects/Contact/{made}", json={"Title": "two"}, headers=stale)[0] == 412
    assert org.refusal("GET", f"/sobjects/Contact/{made}", headers=stale)[0] == 412
    assert org.get(f"/sobjects/Contact/{made}", fields="Title")["Title"] == "one"


def test_the_condition_looks_at_the_last_modified_date_unless_switched(org: Served) -> None:
    mail = org.make("EmailMessage", Status="3", Subject="x", IsClientManaged=True)
    seen = http_date(org)
    org.world.clock.advance(5)
    org.org.records.system_update("EmailMessage", mail, {})
    headers = {"If-Unmodified-Since": seen}
    assert org.call("GET", f"/sobjects/EmailMessage/{mail}", headers=headers).status_code == 200
    org.world.switches["salesforce.conditional_field"] = "SystemModstamp"
    assert org.call("GET", f"/sobjects/EmailMessage/{mail}", headers=headers).status_code == 412


def test_a_condition_that_is_no_date_is_refused_for_a_write_and_ignored_for_a_read(org: Served) -> None:
    made = org.make("Contact", LastName="x")
    headers = {"If-Unmodified-Since": "yesterday"}
    assert org.refusal("PATCH", f"/sobjects/Contact/{made}", json={"Title": "x"}, headers=headers)[0] == 400
    assert org.call("GET", f"/sobjects/Contact/{made}", headers=headers).status_code == 200


# --- keys


def test_an_upsert_creates_once_and_updates_then(org: Served) -> None:
    org.org.records.schema.add_field("Contact", KEY)
    first = org.call("PATCH", "/sobjects/Contact/Mailspan_Key__c/abc", json={"LastName": "One"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    second = org.call("PATCH", "/sobjects/Contact/Mailspan_Key__c/abc", json={"LastName": "Two"})
    assert (second.status_code, second.json()["created"], second.json()["id"]) == (200, False, first.json()["id"])
    assert org.get("/sobjects/Contact/Mailspan_Key__c/abc", fields="LastName,Mailspan_Key__c")["Mailspan_Key__c"] == "abc"
    body = {"Mailspan_Key__c": "abc", "LastName": "x"}
    assert org.refusal("PATCH", "/sobjects/Contact/Mailspan_Key__c/abc", json=body)[:2] == (400, "INVALID_FIELD")
    other = org.refusal("PATCH", "/sobjects/Contact/Mailspan_Key__c/ABC?updateOnly=true", json={"LastName": "x"})
    assert other[:2] == (404, "NOT_FOUND")


def test_a_key_that_exists_is_a_duplicate_that_names_the_first(org: Served) -> None:
    org.org.records.schema.add_field("Activity", KEY)
    first = org.make("Task", Subject="x", Mailspan_Key__c="abc")
    status, code, message = org.refusal("POST", "/sobjects/Task", json={"Subject": "y", "Mailspan_Key__c": "abc"})
    assert (status, code) == (400, "DUPLICATE_VALUE")
    assert message.endswith(f"with id: {first}")
    org.make("Task", Subject="another case", Mailspan_Key__c="ABC")
    assert org.get("/sobjects/Event/describe")["fields"][-1]["name"] == "Mailspan_Key__c"


def test_a_key_that_several_records_hold_is_answered_with_their_places(org: Served) -> None:
    places = [org.make("Contact", LastName="x", Email="same@x.example.com") for _ in range(2)]
    answer = org.call("PATCH", "/sobjects/Contact/Email/same@x.example.com", json={"Title": "x"})
    assert answer.status_code == 300
    assert [place.rpartition("/")[2] for place in answer.json()] == places
    assert org.call("GET", "/sobjects/Contact/Email/same@x.example.com").status_code == 300


# --- activities


@pytest.fixture
def lead(org: Served) -> str:
    return org.make("Lead", LastName="Lind", Company="Lind AG", Email="lind@x.example.com")


def test_an_activity_of_a_lead_has_no_related_record(org: Served, lead: str) -> None:
    account = org.make("Account", Name="Acme")
    refusal = org.refusal("POST", "/sobjects/Task", json={"Subject": "x", "WhoId": lead, "WhatId": account})
    assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")
    campaign = org.make("Campaign", Name="Fair")
    fields = {"Subject": "x", "WhoId": lead, "WhatId": campaign}
    assert org.call("POST", "/sobjects/Task", json=fields).status_code == 400
    org.world.switches["salesforce.lead_with_campaign"] = True
    assert org.call("POST", "/sobjects/Task", json=fields).status_code == 201


def test_who_and_what_must_be_of_the_right_objects(org: Served, lead: str) -> None:
    for fields in ({"WhoId": org.make("Account", Name="Acme")}, {"WhatId": lead}):
        refusal = org.refusal("POST", "/sobjects/Task", json={"Subject": "x", **fields})
        assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")


def test_several_contacts_of_an_activity_need_shared_activities(org: Served) -> None:
    people = [org.make("Contact", LastName=last) for last in ("A", "B")]
    body = {"Subject": "x", "TaskWhoIds": people}
    assert org.refusal("POST", "/sobjects/Task", json=body)[:2] == (400, "INVALID_FIELD")
    org.org.settings.shared_activities = True
    assert org.call("POST", "/sobjects/Task", json=body).status_code == 201


def test_a_task_is_closed_by_the_statuses_of_its_org(org: Served) -> None:
    closing = org.query("SELECT ApiName, MasterLabel, SortOrder FROM TaskStatus WHERE IsClosed = true")
    assert [row["ApiName"] for row in closing] == ["Completed"]
    fields = {"ApiName": "Erledigt", "MasterLabel": "Erledigt", "SortOrder": 9, "IsClosed": True}
    org.org.records.system_create("TaskStatus", fields, org.org.admin_id)
    made = org.make("Task", Subject="x", Status="Erledigt")
    assert org.get(f"/sobjects/Task/{made}", fields="IsClosed")["IsClosed"] is True


def test_the_account_of_an_activity_is_derived(org: Served) -> None:
    account = org.make("Account", Name="Acme")
    contact = org.make("Contact", LastName="A", AccountId=account)
    made = org.make("Task", Subject="x", WhoId=contact)
    assert org.get(f"/sobjects/Task/{made}", fields="AccountId")["AccountId"] == account


def test_the_times_of_an_event_agree(org: Served) -> None:
    made = org.make("Event", Subject="x", StartDateTime="2026-12-01T10:00:00+01:00", DurationInMinutes=45)
    row = org.get(f"/sobjects/Event/{made}")
    assert (row["StartDateTime"], row["EndDateTime"]) == ("2026-12-01T09:00:00.000+0000", "2026-12-01T09:45:00.000+0000")
    assert (row["ActivityDateTime"], row["ActivityDate"]) == ("2026-12-01T09:00:00.000+0000", "2026-12-01")
    org.call("PATCH", f"/sobjects/Event/{made}", json={"StartDateTime": "2026-12-02T09:00:00Z"})
    assert org.get(f"/sobjects/Event/{made}", fields="EndDateTime")["EndDateTime"] == "2026-12-02T09:45:00.000+0000"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"StartDateTime": "2026-12-01T10:00:00Z"}, "REQUIRED_FIELD_MISSING"),
        ({"DurationInMinutes": 30}, "REQUIRED_FIELD_MISSING"),
        ({"StartDateTime": "2026-12-01T10:00:00Z", "EndDateTime": "2026-12-01T09:00:00Z"}, "FIELD_INTEGRITY_EXCEPTION"),
        (
            {"StartDateTime": "2026-12-01T10:00:00Z", "EndDateTime": "2026-12-01T11:00:00Z", "DurationInMinutes": 5},
            "FIELD_INTEGRITY_EXCEPTION",
        ),
        ({"StartDateTime": "2026-12-01T10:00:00Z", "EndDateTime": "2026-12-03T10:00:00Z"}, "FIELD_INTEGRITY_EXCEPTION"),
    ],
)
def test_an_event_whose_times_do_not_fit_is_refused(org: Served, fields: dict[str, Any], code: str) -> None:
    assert org.refusal("POST", "/sobjects/Event", json={"Subject": "x", **fields})[:2] == (400, code)


def test_multiday_events_are_an_org_setting(org: Served) -> None:
    fields = {"Subject": "x", "StartDateTime": "2026-12-01T10:00:00Z", "EndDateTime": "2026-12-03T10:00:00Z"}
    status, code, message = org.refusal("POST", "/sobjects/Event", json=fields)
    assert (status, code, message) == (400, "FIELD_INTEGRITY_EXCEPTION", "Duration must be between 0 and 1440 minutes")
    org.org.settings.multiday_events = True
    assert org.call("POST", "/sobjects/Event", json=fields).status_code == 201


@pytest.mark.parametrize(("switch", "end"), [("inclusive", "2026-12-01"), ("exclusive", "2026-12-02")])
def test_the_end_of_an_all_day_event_is_a_switch(org: Served, switch: str, end: str) -> None:
    org.world.switches["salesforce.all_day_end"] = switch
    fields = {"Subject": "x", "IsAllDayEvent": True, "StartDateTime": "2026-12-01T00:00:00Z"}
    made = org.make("Event", **fields, EndDateTime=f"{end}T00:00:00Z")
    row = org.get(f"/sobjects/Event/{made}")
    assert (row["DurationInMinutes"], row["ActivityDate"], row["ActivityDateTime"]) == (1440, "2026-12-01", None)
    assert row["EndDateTime"] == f"{end}T00:00:00.000+0000"


def test_a_closed_task_has_a_time_of_completion(org: Served) -> None:
    made = org.make("Task", Subject="x")
    assert org.get(f"/sobjects/Task/{made}", fields="Status,IsClosed")["IsClosed"] is False
    org.call("PATCH", f"/sobjects/Task/{made}", json={"Status": "Completed"})
    row = org.get(f"/sobjects/Task/{made}", fields="IsClosed,CompletedDateTime")
    assert row["IsClosed"] is True and row["CompletedDateTime"] is not None


# --- the recycle bin and merges


def test_what_hangs_on_a_record_goes_with_it_and_comes_back_with_it(org: Served) -> None:
    account = org.make("Account", Name="Acme")
    contact = org.make("Contact", LastName="A", AccountId=account)
    org.call("DELETE", f"/sobjects/Account/{account}")
    assert org.call("GET", f"/sobjects/Contact/{contact}").status_code == 404
    org.org.records.undelete("Account", account, org.anna)
    assert org.get(f"/sobjects/Contact/{contact}", fields="LastName")["LastName"] == "A"


def test_the_loser_of_a_merge_names_the_winner(org: Served) -> None:
    winner, loser = org.make("Contact", LastName="Win"), org.make("Contact", LastName="Lose")
    task = org.make("Task", Subject="x", WhoId=loser)
    org.org.records.merge("Contact", winner, [loser], org.anna)
    soql = f"SELECT IsDeleted, MasterRecordId FROM Contact WHERE Id = '{loser}'"
    [row] = org.get("/queryAll", q=soql)["records"]
    assert (row["IsDeleted"], row["MasterRecordId"]) == (True, winner)
    assert org.get(f"/sobjects/Task/{task}", fields="WhoId")["WhoId"] == winner


def test_a_touch_by_the_platform_moves_only_the_system_stamp(org: Served) -> None:
    made = org.make("Contact", LastName="x")
    before = org.get(f"/sobjects/Contact/{made}", fields="SystemModstamp,LastModifiedDate")
    org.world.clock.advance(10)
    org.org.records.system_update("Contact", made, {})
    after = org.get(f"/sobjects/Contact/{made}", fields="SystemModstamp,LastModifiedDate")
    assert after["SystemModstamp"] > before["SystemModstamp"]
    assert after["LastModifiedDate"] == before["LastModifiedDate"]


# --- duplicate rules


def test_a_duplicate_rule_alerts_until_the_caller_allows_it(org: Served) -> None:
    first = org.make("Contact", LastName="A", Email="a@x.example.com")
    org.org.settings.duplicate_rule = "alert"
    fields = {"LastName": "B", "Email": "A@x.example.com"}
    answer = org.call("POST", "/sobjects/Contact", json=fields)
    assert answer.status_code == 400
    [error] = answer.json()
    assert error["errorCode"] == "DUPLICATES_DETECTED"
    [match] = error["duplicateResult"]["matchResults"][0]["matchRecords"]
    assert match["record"]["Id"] == first
    allowed = {"Sforce-Duplicate-Rule-Header": "allowSave=true; runAsCurrentUser=true"}
    assert org.call("POST", "/sobjects/Contact", json=fields, headers=allowed).status_code == 201
    org.org.settings.duplicate_rule = "block"
    assert org.call("POST", "/sobjects/Contact", json=fields, headers=allowed).status_code == 400
