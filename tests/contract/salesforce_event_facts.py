"""Facts about events for the quick judge of the Salesforce stand-in; see `salesforce_facts` for the rules."""

from __future__ import annotations

from typing import Any

from tests.contract.salesforce_world import Served

TIMED = {"Subject": "Review", "StartDateTime": "2094-03-01T09:00:00Z", "EndDateTime": "2094-03-01T10:00:00Z"}
KEY = "Mailspan_Key__c"


def _refused(answer: Any) -> str:
    return "" if answer.ok else str(answer.json()[0]["errorCode"])


def _meeting(org: Served) -> tuple[str, list[dict[str, Any]]]:
    """An event that Ben is invited to, and its child events."""
    made = org.make("Event", **TIMED)
    org.make("EventRelation", EventId=made, RelationId=org.ben)
    return made, org.query("SELECT Id, Subject, OwnerId FROM Event WHERE IsChild = true")


def an_event_of_two_days_needs_the_setting(org: Served) -> bool:
    body = {**TIMED, "EndDateTime": "2094-03-03T09:00:00Z"}
    return _refused(org.call("POST", "/sobjects/Event", json=body)) == "FIELD_INTEGRITY_EXCEPTION"


def a_second_event_with_the_key_names_the_first(org: Served) -> bool:
    org.org.add_key_field(KEY)
    first = org.make("Event", **TIMED, **{KEY: "abc"})
    answer = org.call("POST", "/sobjects/Event", json={**TIMED, KEY: "abc"})
    return _refused(answer) == "DUPLICATE_VALUE" and answer.json()[0]["message"].endswith(first)


def an_invited_user_gets_a_child_event(org: Served) -> bool:
    return [child["OwnerId"] for child in _meeting(org)[1]] == [org.ben]


def a_child_event_follows_its_parent(org: Served) -> bool:
    made, [child] = _meeting(org)
    org.call("PATCH", f"/sobjects/Event/{made}", json={"Subject": "Moved"})
    return org.get(f"/sobjects/Event/{child['Id']}", fields="Subject")["Subject"] == "Moved"  # type: ignore[no-any-return]


def a_child_event_has_no_invitees(org: Served) -> bool:
    _, [child] = _meeting(org)
    contact = org.make("Contact", LastName="Adler")
    answer = org.call("POST", "/sobjects/EventRelation", json={"EventId": child["Id"], "RelationId": contact})
    return _refused(answer) == "FIELD_INTEGRITY_EXCEPTION"


def query_all_tells_what_was_deleted(org: Served) -> bool:
    made = org.make("Event", **TIMED)
    org.call("DELETE", f"/sobjects/Event/{made}")
    rows = org.get("/queryAll", q="SELECT Id, IsDeleted FROM Event")["records"]
    return [(row["Id"], row["IsDeleted"]) for row in rows] == [(made, True)]


def a_flow_moves_the_stamp_again(org: Served) -> bool:
    org.world.switches["salesforce.flows"] = [{"object": "Event", "field": "Location", "value": "Room 7", "delay_s": 2}]
    path = f"/sobjects/Event/{org.make('Event', **TIMED)}"
    before = org.get(path, fields="SystemModstamp,LastModifiedById")
    org.world.clock.advance(3)
    after = org.get(path, fields="SystemModstamp,LastModifiedById,Location")
    same = after["LastModifiedById"] == before["LastModifiedById"]
    return bool(same and after["Location"] == "Room 7" and after["SystemModstamp"] > before["SystemModstamp"])


EVENT_FACTS = (
    an_event_of_two_days_needs_the_setting,
    a_second_event_with_the_key_names_the_first,
    an_invited_user_gets_a_child_event,
    a_child_event_follows_its_parent,
    a_child_event_has_no_invitees,
    query_all_tells_what_was_deleted,
    a_flow_moves_the_stamp_again,
)
