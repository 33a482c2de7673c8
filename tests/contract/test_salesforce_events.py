"""Events of the Salesforce stand-in: times, privacy, owners, keys, flows, the queries and writes a sync client needs."""

from __future__ import annotations

import cProfile
import pstats
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
from simple_salesforce.api import Salesforce as Client
from simple_salesforce.exceptions import SalesforceMalformedRequest

from sandbox.salesforce.refused import Refused
from tests.contract.salesforce_world import CLIENT, DATA, VERSION, Served, part

pytest_plugins = ("tests.contract.salesforce_fixtures",)
pytestmark = pytest.mark.usefixtures("monday")
START, END = "2094-03-01T09:00:00.000+0000", "2094-03-01T10:00:00.000+0000"
TIMED = {"Subject": "Review", "StartDateTime": START, "EndDateTime": END}
KEY = "Mailspan_Key__c"


def shown(org: Served, event: str, *fields: str) -> tuple[Any, ...]:
    row = org.get(f"/sobjects/Event/{event}", fields=",".join(fields))
    return tuple(row[field] for field in fields)


def stamps(org: Served, event: str) -> tuple[Any, ...]:
    return shown(org, event, "SystemModstamp", "LastModifiedDate", "LastModifiedById")


# --- times


def test_start_and_end_sent_together_are_both_kept(org: Served) -> None:
    made = org.make("Event", **TIMED)
    org.call("PATCH", f"/sobjects/Event/{made}", json={"StartDateTime": "2094-03-01T09:30:00Z", "EndDateTime": END})
    assert shown(org, made, "EndDateTime", "DurationInMinutes") == (END, 30)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"EndDateTime": "2094-03-02T09:01:00Z"}, ["EndDateTime"]),
        ({"DurationInMinutes": 1441}, ["DurationInMinutes"]),
        ({"DurationInMinutes": -1}, ["DurationInMinutes"]),
        ({"EndDateTime": "2094-03-02T09:01:00Z", "DurationInMinutes": 1441}, ["DurationInMinutes"]),
    ],
)
def test_a_wrong_length_is_told_on_the_field_that_gave_it(org: Served, fields: dict[str, Any], named: list[str]) -> None:
    answer = org.call("POST", "/sobjects/Event", json={"Subject": "x", "StartDateTime": START, **fields})
    message = "Duration must be between 0 and 1440 minutes"
    assert (answer.status_code, answer.json()) == (
        400,
        [{"message": message, "errorCode": "FIELD_INTEGRITY_EXCEPTION", "fields": named}],
    )


def test_multiday_events_end_after_14_days(org: Served) -> None:
    org.org.settings.multiday_events = True
    made = org.make("Event", Subject="Fair", StartDateTime=START, DurationInMinutes=14 * 1440)
    assert shown(org, made, "EndDate") == ("2094-03-15",)
    too_long = {"StartDateTime": START, "DurationInMinutes": 14 * 1440 + 1}
    assert org.refusal("POST", "/sobjects/Event", json=too_long)[1:] == (
        "FIELD_INTEGRITY_EXCEPTION",
        "Duration must be between 0 and 20160 minutes",
    )


def test_a_date_that_contradicts_the_start_is_refused(org: Served) -> None:
    for field, value in (("ActivityDate", "2094-03-02"), ("ActivityDateTime", END)):
        refusal = org.refusal("POST", "/sobjects/Event", json={**TIMED, field: value})
        assert refusal == (400, "FIELD_INTEGRITY_EXCEPTION", f"{field}: must match StartDateTime")
    org.make("Event", **TIMED, ActivityDate="2094-03-01", ActivityDateTime=START)


@pytest.mark.parametrize(
    ("switch", "ends"), [("inclusive", ["2094-03-01", "2094-03-03"]), ("exclusive", ["2094-03-02", "2094-03-04"])]
)
def test_an_all_day_event_is_one_day_unless_its_end_says_more(org: Served, switch: str, ends: list[str]) -> None:
    org.world.switches["salesforce.all_day_end"] = switch
    org.org.settings.multiday_events = True
    whole = {"Subject": "Off", "IsAllDayEvent": True, "StartDateTime": "2094-03-01T17:30:00Z"}
    for days, end, last in zip((1, 3), ends, ("2094-03-01", "2094-03-03"), strict=True):
        by_end = org.make("Event", **whole, EndDateTime=f"{end}T00:00:00Z")
        by_length = org.make("Event", **whole, **({"DurationInMinutes": days * 1440} if days > 1 else {}))
        for made in (by_end, by_length):
            assert shown(org, made, "StartDateTime", "EndDateTime", "EndDate", "DurationInMinutes", "ActivityDateTime") == (
                "2094-03-01T00:00:00.000+0000", f"{end}T00:00:00.000+0000", last, days * 1440, None,
            )  # fmt: skip


def test_an_all_day_event_that_ends_before_it_starts_is_refused(org: Served) -> None:
    body = {"IsAllDayEvent": True, "StartDateTime": "2094-03-02T00:00:00Z", "EndDateTime": "2094-03-01T00:00:00Z"}
    assert org.refusal("POST", "/sobjects/Event", json=body)[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")


def test_a_timed_event_becomes_a_whole_day_and_back(org: Served) -> None:
    made = org.make("Event", **TIMED)
    org.call("PATCH", f"/sobjects/Event/{made}", json={"IsAllDayEvent": True})
    assert shown(org, made, "StartDateTime", "DurationInMinutes") == ("2094-03-01T00:00:00.000+0000", 1440)
    org.call("PATCH", f"/sobjects/Event/{made}", json={"IsAllDayEvent": False, "StartDateTime": START, "EndDateTime": END})
    assert shown(org, made, "StartDateTime", "DurationInMinutes", "ActivityDateTime") == (START, 60, START)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Subject": "x" * 256}, "STRING_TOO_LONG"),
        ({"Location": "x" * 256}, "STRING_TOO_LONG"),
        ({"Description": "x" * 32001}, "STRING_TOO_LONG"),
        ({"ShowAs": "Tentative"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"StartDateTime": "9999-12-31T23:00:00Z", "EndDateTime": None, "DurationInMinutes": 90}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"EndDate": "2094-03-01"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"IsChild": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"IsRecurrence2": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"GroupEventType": "1"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
def test_a_field_of_an_event_that_does_not_fit_refuses_it(org: Served, fields: dict[str, Any], code: str) -> None:
    assert org.refusal("POST", "/sobjects/Event", json={**TIMED, **fields})[:2] == (400, code)


def test_an_event_is_busy_public_and_the_writers_unless_told_otherwise(org: Served) -> None:
    made = org.make("Event", **TIMED)
    fields = ("ShowAs", "IsPrivate", "OwnerId", "IsChild", "IsGroupEvent", "GroupEventType", "IsRecurrence", "IsRecurrence2")
    assert shown(org, made, *fields) == ("Busy", False, org.anna, False, False, "0", False, False)


# --- privacy, owners


def test_a_private_event_is_about_nobody(org: Served) -> None:
    contact = org.make("Contact", LastName="Adler")
    account = org.make("Account", Name="Acme")
    for related in ({"WhoId": contact}, {"WhatId": account}):
        refusal = org.refusal("POST", "/sobjects/Event", json={**TIMED, "IsPrivate": True, **related})
        assert refusal[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")
    made = org.make("Event", **TIMED, WhoId=contact)
    assert org.refusal("PATCH", f"/sobjects/Event/{made}", json={"IsPrivate": True})[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")
    body = {"IsPrivate": True, "WhoId": None}
    assert org.call("PATCH", f"/sobjects/Event/{made}", json=body).status_code == 204


@pytest.mark.parametrize(("switch", "told"), [("shown", "Review"), ("hidden", None)])
def test_what_others_see_of_a_private_event_is_a_switch(org: Served, switch: str, told: str | None) -> None:
    org.world.switches["salesforce.private_details"] = switch
    mine, other = org.make("Event", **TIMED, IsPrivate=True), org.make("Event", **TIMED)
    ben = {"Authorization": f"Bearer {org.org.issue_token('ben@acme.example.com', CLIENT)['access_token']}"}
    query = {"q": "SELECT Id, Subject, StartDateTime FROM Event WHERE Subject = 'Review' ORDER BY Id"}
    for headers, seen in (({}, "Review"), (ben, told)):
        rows = org.call("GET", "/query", params=query, headers=headers).json()["records"]
        assert [(row["Id"], row["Subject"], row["StartDateTime"]) for row in rows] == [
            (mine, seen, START),
            (other, "Review", START),
        ]
        one = org.call("GET", f"/sobjects/Event/{mine}", params={"fields": "Subject,IsPrivate"}, headers=headers).json()
        assert (one["Subject"], one["IsPrivate"]) == (seen, True)


def test_what_is_not_shared_with_a_user_is_not_there_for_them(org: Served) -> None:
    made, gone = org.make("Event", **TIMED), org.make("Event", **TIMED)
    org.make("EventRelation", EventId=made, RelationId=org.ben)
    org.call("DELETE", f"/sobjects/Event/{gone}")
    ben = {"Authorization": f"Bearer {org.org.issue_token('ben@acme.example.com', CLIENT)['access_token']}"}
    asked = (
        f"SELECT Id FROM Event WHERE Id IN ('{made}','{gone}')",
        f"SELECT Id FROM EventRelation WHERE EventId = '{made}'",
    )

    def told(headers: dict[str, str]) -> list[int]:
        answers = [org.call("GET", "/queryAll", params={"q": soql}, headers=headers).json() for soql in asked]
        return [len(one["records"]) for one in answers]

    assert (told({}), told(ben)) == ([2, 1], [2, 1])
    org.world.switches["salesforce.own_events_only"] = (org.ben,)
    assert (told({}), told(ben)) == ([2, 1], [0, 0])
    assert org.refusal("GET", f"/sobjects/Event/{made}", headers=ben)[:2] == (404, "NOT_FOUND")
    assert org.refusal("PATCH", f"/sobjects/Event/{made}", json={"Subject": "x"}, headers=ben)[:2] == (404, "NOT_FOUND")
    assert org.call("PATCH", f"/sobjects/Event/{made}", json={"OwnerId": org.ben}).status_code == 204
    assert told(ben) == [1, 1]


def test_an_event_belongs_to_a_user_or_a_public_calendar(org: Served) -> None:
    public, room = org.org.add_calendar("Fairs"), org.org.add_calendar("Room 1", "Resource")
    made = org.make("Event", **TIMED, OwnerId=public)
    [row] = org.query(f"SELECT Owner.Type, Owner.Name FROM Event WHERE Id = '{made}'")
    assert (row["Owner"]["Type"], row["Owner"]["Name"]) == ("Calendar", "Fairs")
    assert org.refusal("PATCH", f"/sobjects/Event/{made}", json={"OwnerId": room})[:2] == (400, "FIELD_INTEGRITY_EXCEPTION")
    assert org.call("PATCH", f"/sobjects/Event/{made}", json={"OwnerId": org.ben}).status_code == 204
    gone = org.org.add_user("gone@acme.example.com", "Gert", "Gone", "gone@acme.example.com", active=False)
    assert org.refusal("PATCH", f"/sobjects/Event/{made}", json={"OwnerId": gone})[1] == "INACTIVE_OWNER_OR_USER"


# --- the key


def test_an_org_has_the_key_field_once_it_is_deployed(org: Served) -> None:
    assert org.refusal("POST", "/sobjects/Event", json={**TIMED, KEY: "a"})[:2] == (400, "INVALID_FIELD")
    org.org.add_key_field(KEY)
    for name in ("Event", "Task", "Contact"):
        [field] = [one for one in org.get(f"/sobjects/{name}/describe")["fields"] if one["name"] == KEY]
        told = {"externalId": True, "unique": True, "caseSensitive": True, "idLookup": True, "filterable": True, "length": 64}
        assert {name: field[name] for name in told} == told
    assert org.refusal("POST", "/sobjects/Event", json={**TIMED, KEY: "x" * 65})[1] == "STRING_TOO_LONG"


def test_an_event_from_before_the_key_field_takes_a_key(org: Served) -> None:
    made = org.make("Event", **TIMED)
    org.make("EventRelation", EventId=made, RelationId=org.ben)
    org.org.add_key_field(KEY)
    assert shown(org, made, KEY) == (None,)
    assert org.query(f"SELECT Id FROM Event WHERE {KEY} = 'abc'") == []
    assert org.call("PATCH", f"/sobjects/Event/{made}", json={KEY: "abc"}).status_code == 204
    assert [row["Id"] for row in org.query(f"SELECT Id FROM Event WHERE {KEY} = 'abc'")] == [made]
    [child] = org.query("SELECT Id FROM Event WHERE IsChild = true")
    assert org.refusal("PATCH", f"/sobjects/Event/{child['Id']}", json={KEY: "def"})[1] == "FIELD_INTEGRITY_EXCEPTION"


def test_a_second_event_with_the_key_is_refused_and_names_the_first(org: Served) -> None:
    org.org.add_key_field(KEY)
    first = org.make("Event", **TIMED, **{KEY: "abc"})
    rows = [{"attributes": {"type": "Event"}, **TIMED, KEY: key} for key in ("abc", "ABC")]
    refused, other = org.call("POST", "/composite/sobjects", json={"allOrNone": False, "records": rows}).json()
    assert other["success"] and refused["errors"] == [
        {
            "statusCode": "DUPLICATE_VALUE",
            "message": f"duplicate value found: {KEY} duplicates value on record with id: {first}",
            "fields": [],
        }
    ]
    found = org.query(f"SELECT Id FROM Event WHERE {KEY} IN ('abc', 'nobody')")
    assert [row["Id"] for row in found] == [first]
    assert shown(org, first, KEY, "Subject") == ("abc", "Review")


def test_a_deleted_event_leaves_its_key_and_does_not_come_back_to_a_taken_one(org: Served) -> None:
    org.org.add_key_field(KEY)
    first = org.make("Event", **TIMED, **{KEY: "abc"})
    org.call("DELETE", f"/sobjects/Event/{first}")
    org.make("Event", **TIMED, **{KEY: "abc"})
    with pytest.raises(Refused, match="DUPLICATE_VALUE"):
        org.org.records.undelete("Event", first, org.anna)


def test_simple_salesforce_works_with_events_by_their_key(org: Served) -> None:
    org.org.add_key_field(KEY)
    client: Any = Client(instance_url=org.org.base_url, session_id=org.token, version="67.0", session=org.http)
    assert client.Event.upsert(f"{KEY}/abc", TIMED) == 201
    assert client.Event.upsert(f"{KEY}/abc", {"Subject": "Moved"}) == 200
    [row] = client.query_all(f"SELECT Id, Subject, {KEY} FROM Event WHERE {KEY} = 'abc'")["records"]
    assert (row["Subject"], row[KEY]) == ("Moved", "abc")
    with pytest.raises(SalesforceMalformedRequest) as refused:
        client.Event.create({**TIMED, KEY: "abc"})
    assert refused.value.content[0]["errorCode"] == "DUPLICATE_VALUE"  # type: ignore[index]
    assert client.Event.delete(row["Id"]) == 204
    gone = client.query_all("SELECT Id, IsDeleted FROM Event", include_deleted=True)["records"]
    assert [(one["Id"], one["IsDeleted"]) for one in gone] == [(row["Id"], True)]


# --- flows


def test_a_flow_moves_the_stamps_again_and_the_writer_stays(org: Served) -> None:
    org.world.switches["salesforce.flows"] = [{"object": "Event", "field": "Location", "value": "Room 7", "delay_s": 3}]
    ben = {"Authorization": f"Bearer {org.org.issue_token('ben@acme.example.com', CLIENT)['access_token']}"}
    made = org.call("POST", "/sobjects/Event", json=TIMED, headers=ben).json()["id"]
    before = stamps(org, made)
    org.world.clock.advance(5)
    after = stamps(org, made)
    assert shown(org, made, "Location") == ("Room 7",)
    assert after[0] > before[0] and after[1] > before[1] and after[2] == before[2] == org.ben
    org.world.clock.advance(5)
    assert stamps(org, made) == after, "a flow starts no flow"


def test_a_flow_without_delay_is_part_of_the_write(org: Served) -> None:
    org.world.switches["salesforce.flows"] = [{"object": "Event", "field": "Subject", "value": "By flow", "delay_s": 0}]
    write, read = org.composite(
        part("new", "POST", "/sobjects/Event", TIMED), part("see", "GET", "/sobjects/Event/@{new.id}?fields=Subject")
    )
    assert (write["httpStatusCode"], read["body"]["Subject"]) == (201, "By flow")


def test_a_flow_that_only_touches_or_is_refused_changes_no_field(org: Served) -> None:
    org.world.switches["salesforce.flows"] = [
        {"object": "Event", "field": None, "value": None},
        {"object": "Event", "field": "ShowAs", "value": "Never"},
    ]
    made = org.make("Event", **TIMED)
    before = org.get(f"/sobjects/Event/{made}")
    org.world.clock.advance(3)
    after = org.get(f"/sobjects/Event/{made}")
    changed = {name for name, value in after.items() if value != before[name]}
    assert changed == {"SystemModstamp", "LastModifiedDate"}


def test_a_write_that_was_undone_starts_no_flow(org: Served) -> None:
    org.world.switches["salesforce.flows"] = [{"object": "Event", "field": "Location", "value": "Room 7"}]
    made = org.org.records.create("Event", TIMED, org.anna)
    org.world.clock.advance(3)
    assert shown(org, made, "Location") == ("Room 7",)
    org.call("PATCH", f"/sobjects/Event/{made}", json={"Location": None})
    org.world.clock.advance(3)
    before = stamps(org, made)
    org.world.clock.advance(3)
    undone = (part("a", "PATCH", f"/sobjects/Event/{made}", {"Subject": "x"}), part("b", "POST", "/sobjects/Event", {}))
    org.composite(*undone, all_or_none=True)
    org.world.clock.advance(3)
    assert stamps(org, made) == before


# --- what a sync client asks


def make_many(org: Served, number: int) -> None:
    """Events of two owners, 28 days a month, one each hour."""
    for n in range(number):
        owner = (org.anna, org.ben)[n % 2]
        day, hour = 1 + n % 28, n // 28 % 24
        start = f"2094-{1 + n // 672 % 12:02d}-{day:02d}T{hour:02d}:00:00Z"
        org.org.records.create(
            "Event", {"Subject": f"E{n}", "StartDateTime": start, "DurationInMinutes": 30, "OwnerId": owner}, owner
        )
    org.org.records.store.commit()


def test_the_events_of_an_owner_in_a_window(org: Served) -> None:
    make_many(org, 60)
    where = (
        f"OwnerId = '{org.ben}' AND StartDateTime >= 2094-01-01T00:00:00Z AND StartDateTime < 2094-01-03T00:00:00Z "
        "AND IsChild = false AND IsRecurrence = false AND IsDeleted = false"
    )
    rows = org.query(f"SELECT Id, Subject FROM Event WHERE {where} ORDER BY StartDateTime, Id")
    assert [row["Subject"] for row in rows] == ["E1", "E29", "E57"]


def test_a_poll_sees_what_changed_and_what_went(org: Served) -> None:
    kept, gone, untouched = (org.make("Event", **TIMED) for _ in range(3))
    org.world.clock.advance(60)
    since = format_stamp(org)
    org.call("PATCH", f"/sobjects/Event/{kept}", json={"Subject": "Moved"})
    org.call("DELETE", f"/sobjects/Event/{gone}")
    poll = (
        f"SELECT Id, OwnerId, SystemModstamp, IsDeleted FROM Event WHERE SystemModstamp >= {since} ORDER BY SystemModstamp, Id"
    )
    rows = org.get("/queryAll", q=poll)["records"]
    assert {row["Id"]: row["IsDeleted"] for row in rows} == {kept: False, gone: True}
    assert [row["Id"] for row in org.query(poll)] == [kept] and untouched not in {row["Id"] for row in rows}
    assert org.refusal("PATCH", f"/sobjects/Event/{gone}", json={"Subject": "x"})[:2] == (404, "ENTITY_IS_DELETED")


def format_stamp(org: Served) -> str:
    return org.org.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def test_without_a_key_what_a_user_made_lately_is_found(org: Served) -> None:
    org.make("Event", **TIMED)
    org.world.clock.advance(300)
    since = format_stamp(org)
    made = org.make("Event", **TIMED)
    where = f"CreatedById = '{org.anna}' AND CreatedDate >= {since} AND IsDeleted = false"
    assert [row["Id"] for row in org.query(f"SELECT Id, Subject, StartDateTime FROM Event WHERE {where}")] == [made]


def test_an_event_that_ended_a_year_ago_is_archived(org: Served) -> None:
    old = org.make("Event", Subject="Old", StartDateTime="2092-03-01T09:00:00Z", DurationInMinutes=30)
    assert org.query("SELECT Id FROM Event") == []
    [row] = org.get("/queryAll", q="SELECT Id, IsArchived FROM Event")["records"]
    assert (row["Id"], row["IsArchived"]) == (old, True)


def test_who_an_event_is_with_tells_its_kind(org: Served) -> None:
    lead = org.make("Lead", LastName="Lind", Company="Lind AG")
    org.make("Event", **TIMED, WhoId=lead)
    [row] = org.query("SELECT Who.Type, Who.Name, What.Name FROM Event WHERE Who.Type = 'Lead'")
    assert (row["Who"]["Type"], row["Who"]["Name"], row["What"]) == ("Lead", "Lind", None)


def steps(org: Served, query: str) -> int:
    """How many function calls it takes to answer a query: the same on every machine."""
    profile = cProfile.Profile()
    asked = partial(org.org.queries.first_page, query, user_id=org.anna, version=VERSION, deleted=False, page=2000)
    asked()
    profile.runcall(asked)
    return pstats.Stats(profile).total_calls  # type: ignore[attr-defined, no-any-return]


def test_a_query_by_owner_or_key_costs_the_same_among_few_and_many_events(org: Served) -> None:
    org.org.add_key_field(KEY)
    other = org.org.add_user("carl@acme.example.com", "Carl", "Cross", "carl@acme.example.com")
    mine = org.make("Event", **TIMED, OwnerId=other, **{KEY: "mine"})
    by_owner = f"SELECT Id FROM Event WHERE OwnerId = '{other}' AND StartDateTime >= 2094-01-01T00:00:00Z AND IsChild = false"
    by_key = f"SELECT Id FROM Event WHERE {KEY} IN ('mine', 'nobodys')"
    few = [steps(org, query) for query in (by_owner, by_key)]
    make_many(org, 2000)
    assert [steps(org, query) for query in (by_owner, by_key)] == few
    assert [[row["Id"] for row in org.query(query)] for query in (by_owner, by_key)] == [[mine], [mine]]
    assert org.get("/query", q="SELECT COUNT() FROM Event")["totalSize"] == 2001


# --- many at once


def test_writes_under_a_condition_fail_alone_where_the_event_changed(org: Served) -> None:
    fresh, stale = org.make("Event", **TIMED), org.make("Event", **TIMED)
    seen = format_datetime(org.org.now().replace(microsecond=0), usegmt=True)
    org.world.clock.advance(5)
    org.call("PATCH", f"/sobjects/Event/{stale}", json={"Location": "elsewhere"})
    results = org.composite(
        part("a", "PATCH", f"/sobjects/Event/{fresh}", {"Subject": "A"}, If_Unmodified_Since=seen),
        part("b", "PATCH", f"/sobjects/Event/{stale}", {"Subject": "B"}, If_Unmodified_Since=seen),
        part("c", "GET", "/query?q=" + f"SELECT Id, Subject, SystemModstamp FROM Event WHERE Id IN ('{fresh}', '{stale}')"),
    )
    assert [result["httpStatusCode"] for result in results] == [204, 412, 200]
    assert {row["Id"]: row["Subject"] for row in results[2]["body"]["records"]} == {fresh: "A", stale: "Review"}
    assert results[2]["body"]["records"][0]["attributes"]["url"].startswith(DATA)


def test_each_event_of_a_collection_is_refused_by_itself(org: Served) -> None:
    records: list[dict[str, Any]] = [
        {**TIMED}, {"Subject": "no time"}, {**TIMED, "DurationInMinutes": 5}, {**TIMED, "ShowAs": "Maybe"}, {**TIMED},
    ]  # fmt: skip
    body = {"allOrNone": False, "records": [{"attributes": {"type": "Event"}, **one} for one in records]}
    rows = org.call("POST", "/composite/sobjects", json=body).json()
    assert [row["errors"][0]["statusCode"] if row["errors"] else None for row in rows] == [
        None, "REQUIRED_FIELD_MISSING", "FIELD_INTEGRITY_EXCEPTION", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", None,
    ]  # fmt: skip
    assert org.get("/query", q="SELECT COUNT() FROM Event")["totalSize"] == 2
