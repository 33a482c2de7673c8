"""The key field made from the product over the Salesforce stand-in, and what a field made through an API is at first."""

from __future__ import annotations

from typing import Any

import pytest

from shared.core.errors import NetworkDown, Refused
from shared.crm import key_field
from shared.crm.budget import Budget
from shared.crm.salesforce_client import Client
from shared.crm.schema import LIFE
from shared.ports import Provider, Send, Sent
from tests.contract.salesforce_events_desk import KEY, PLAIN, Desk, Token
from tests.contract.salesforce_world import ANNA, BEN, CLIENT, DATA, Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)
FIELD = {"label": "Mailspan Key", "type": "Text", "length": 64, "externalId": True, "unique": True, "caseSensitive": True}
TOOLING = f"{DATA}/tooling/sobjects/CustomField"


def client(desk: Desk) -> Client:
    budget = Budget(desk.store, desk.place, desk.org.world.clock)
    return Client(desk.http, Token(desk.org), budget=budget, clock=desk.org.world.clock, session_id="s-1")


def is_keyed(events: Provider) -> bool:
    """Asked anew each time."""
    return events.keyed


def names(org: Served, owner: str) -> set[str]:
    return {one["name"] for one in org.get(f"/sobjects/{owner}/describe")["fields"]}


def granted(org: Served, **more: Any) -> str:
    """A permission set of Anna that grants the key of events."""
    held = org.make("PermissionSet", Name="Keys", Label="Keys")
    permission = {"PermissionsRead": True, "PermissionsEdit": True, **more}
    org.make("FieldPermissions", ParentId=held, SobjectType="Event", Field=f"Event.{KEY}", **permission)
    org.make("PermissionSetAssignment", PermissionSetId=held, AssigneeId=org.anna)
    return held


# --- the stand-in ----------------------------------------------------------------------------------------------------


def test_a_field_made_through_the_tooling_api_is_seen_by_nobody_before_it_is_granted(org: Served) -> None:
    answer = org.call("POST", TOOLING, json={"FullName": f"Activity.{KEY}", "Metadata": FIELD})
    assert answer.status_code == 201 and answer.json()["success"] is True and answer.json()["id"].startswith("00N")
    event = {"Subject": "x", "StartDateTime": "2094-03-01T09:00:00Z", "DurationInMinutes": 30}
    assert KEY not in names(org, "Event") and org.refusal("GET", "/query", params={"q": f"SELECT {KEY} FROM Event"})[0] == 400
    assert org.refusal("POST", "/sobjects/Event", json={**event, KEY: "k1"})[1] == "INVALID_FIELD"
    granted(org)
    assert KEY in names(org, "Event") and KEY not in names(org, "Task")
    org.make("Event", **event, **{KEY: "k1"})
    assert org.refusal("POST", "/sobjects/Event", json={**event, KEY: "k1"})[1] == "DUPLICATE_VALUE"


def test_who_may_only_read_a_field_cannot_write_it(org: Served) -> None:
    org.call("POST", TOOLING, json={"FullName": f"Activity.{KEY}", "Metadata": FIELD})
    granted(org, PermissionsEdit=False)
    [field] = [one for one in org.get("/sobjects/Event/describe")["fields"] if one["name"] == KEY]
    assert (field["createable"], field["updateable"], field["filterable"]) == (False, False, True)
    event = {"Subject": "x", "StartDateTime": "2094-03-01T09:00:00Z", "DurationInMinutes": 30}
    assert org.refusal("POST", "/sobjects/Event", json={**event, KEY: "k1"})[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert Desk(org).events().keyed is False


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"FullName": f"Event.{KEY}", "Metadata": FIELD}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"FullName": f"Nothing.{KEY}", "Metadata": FIELD}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"FullName": f"Activity.{KEY}"}, "REQUIRED_FIELD_MISSING"),
        ({"FullName": f"Activity.{KEY}", "Metadata": {**FIELD, "lenght": 64}}, "JSON_PARSER_ERROR"),
        ({"FullName": f"Activity.{KEY}", "Metadata": {**FIELD, "length": 0}}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"FullName": f"Activity.{KEY}", "Metadata": FIELD, "Label": "x"}, "INVALID_FIELD"),
    ],
)
def test_a_field_that_cannot_be_is_refused(org: Served, sent: Any, code: str) -> None:
    assert org.refusal("POST", TOOLING, json=sent)[:2] == (400, code)


def test_a_field_is_made_once_and_a_permission_is_given_once(org: Served) -> None:
    for owner in ("Activity", "Contact"):
        assert org.call("POST", TOOLING, json={"FullName": f"{owner}.{KEY}", "Metadata": FIELD}).status_code == 201
    again = org.refusal("POST", TOOLING, json={"FullName": f"Activity.{KEY}", "Metadata": FIELD})
    assert again[:2] == (400, "DUPLICATE_DEVELOPER_NAME")
    held = granted(org)
    body = {"ParentId": held, "SobjectType": "Event", "Field": f"Event.{KEY}", "PermissionsRead": True}
    assert org.refusal("POST", "/sobjects/FieldPermissions", json=body)[1] == "DUPLICATE_VALUE"
    body = {"ParentId": held, "SobjectType": "Task", "Field": f"Event.{KEY}", "PermissionsRead": True}
    assert org.refusal("POST", "/sobjects/FieldPermissions", json=body)[0] == 400
    assert org.refusal("POST", "/sobjects/PermissionSet", json={"Name": "Keys", "Label": "x"})[1] == "DUPLICATE_VALUE"


# --- the product -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [False, True])
def test_an_org_gets_the_field_and_its_users_the_permission(org: Served, moves: bool) -> None:
    org.world.switches["salesforce.permission_moves_describe"] = moves
    desk = Desk(org)
    assert desk.events().keyed is False
    made = client(desk)
    desk.org.world.calls.clear()
    key_field.create(made, [org.anna, org.ben])
    assert desk.calls() == 6
    desk.schema.renew(key_field.OBJECTS, [org.anna, org.ben], made.describe)
    assert desk.events().keyed is True
    event = desk.made(key="k1")
    assert list(desk.events().find("event", ["k1"])) == ["k1"] and desk.row(event.id)[KEY] == "k1"
    ben = desk.events(org.ben, org.org.issue_token(BEN, CLIENT)["access_token"])
    assert ben.keyed and [seen.id for seen in ben.find("event", ["k1"]).values()] == [event.id]
    for owner in key_field.OBJECTS:
        assert KEY in names(org, owner)


@pytest.mark.parametrize("moves", [False, True])
def test_a_permission_that_an_admin_gives_later_is_seen_after_four_hours(org: Served, moves: bool) -> None:
    org.world.switches["salesforce.permission_moves_describe"] = moves
    desk = Desk(org)
    key_field.create(client(desk), [])
    made = desk.made()
    assert desk.events().keyed is False
    key_field.create(client(desk), [org.anna])
    desk.later(LIFE.total_seconds())
    desk.org.token = org.org.issue_token(ANNA, CLIENT)["access_token"]
    assert desk.events().read("event", [made.id])[made.id].item is not None, "the work is done with what was known"
    desk.org.world.calls.clear()
    assert is_keyed(desk.events()) and desk.calls() == 0


def test_what_is_there_stays_and_only_what_is_missing_is_made(org: Served) -> None:
    desk = Desk(org)
    key_field.create(client(desk), [org.anna])
    desk.org.world.calls.clear()
    key_field.create(client(desk), [org.anna])
    assert desk.calls() == 3
    key_field.create(client(desk), [org.anna, org.ben])
    for name, count in (("PermissionSet", 1), ("FieldPermissions", 3), ("PermissionSetAssignment", 2)):
        assert len(org.query(f"SELECT Id FROM {name}")) == count


@pytest.mark.parametrize("after", range(5))
def test_a_run_that_was_cut_off_is_finished_by_the_next(org: Served, after: int) -> None:
    desk = Desk(org)
    first = client(desk)
    assert first.version
    desk.fault("drop_after", "POST", after=after)
    with pytest.raises(NetworkDown):
        key_field.create(first, [org.anna])
    key_field.create(client(desk), [org.anna])
    for name, count in (("PermissionSet", 1), ("FieldPermissions", 3), ("PermissionSetAssignment", 1)):
        assert len(org.query(f"SELECT Id FROM {name}")) == count


def test_an_admin_who_may_not_is_told_so(org: Served) -> None:
    desk = Desk(org)
    desk.fault("access_denied", "CustomField")
    with pytest.raises(Refused) as told:
        key_field.create(client(desk), [org.anna])
    assert told.value.code == "refused.insufficient_access"


def test_a_user_without_the_permission_writes_without_the_key(org: Served) -> None:
    desk = Desk(org)
    key_field.create(client(desk), [org.anna])
    desk.schema.renew(key_field.OBJECTS, [org.anna, org.ben], client(desk).describe)
    assert desk.events().keyed is True
    ben = desk.events(org.ben, org.org.issue_token(BEN, CLIENT)["access_token"])
    assert is_keyed(ben), "the org's description is Anna's until Ben is refused a field of it"
    [made] = ben.write([Send("create", "event", fields=PLAIN, key="k2")])
    assert isinstance(made, Sent) and not is_keyed(ben)
    assert desk.row(made.id)[KEY] is None
