"""The event adapter's writes over the Salesforce stand-in: answers in order, versions, preconditions, and how many calls."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from shared.core.errors import BudgetSpent, Bug, Gone, ItemError, NetworkDown, Refused, Stale, Throttled
from shared.core.model import Fields
from shared.crm.salesforce_versions import stamp_of
from shared.ports import Send, Sent
from tests.contract.salesforce_events_desk import KEY, PLAIN, WHEN, Desk, done, stamp
from tests.contract.salesforce_world import BEN, CLIENT, Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)


@pytest.fixture(params=["keyed", "lookup"])
def desk(org: Served, request: pytest.FixtureRequest) -> Desk:
    if request.param == "keyed":
        org.org.add_key_field(KEY)
    return Desk(org)


@pytest.fixture
def keyed(org: Served) -> Desk:
    org.org.add_key_field(KEY)
    return Desk(org)


def create(number: int, **fields: Any) -> Send:
    return Send("create", "event", fields={**PLAIN, "subject": f"Event {number}", **fields}, key=f"{number:064d}")


def patch(before: Sent, version: str = "", **fields: Any) -> Send:
    return Send("patch", "event", before.id, version or before.version, fields)


def delete(before: Sent, version: str = "") -> Send:
    return Send("delete", "event", before.id, version or before.version)


def all_sent(answers: Any) -> list[Sent]:
    assert all(isinstance(one, Sent) for one in answers), answers
    return list(answers)


# --- in few calls ----------------------------------------------------------------------------------------------------


def test_two_hundred_are_made_in_two_calls_patched_in_nine_and_deleted_in_two(desk: Desk) -> None:
    events = desk.ready()
    made = all_sent(events.write([create(n) for n in range(200)]))
    assert desk.calls() == 2
    desk.later()
    desk.org.world.calls.clear()
    changed = all_sent(events.write([patch(one, subject=f"Changed {n}") for n, one in enumerate(made)]))
    assert desk.calls() == 9
    desk.later()
    seen = events.read("event", [one.id for one in changed])
    assert all(seen[one.id].version == stamp(one) != stamp(before) for one, before in zip(changed, made, strict=True))
    desk.org.world.calls.clear()
    all_sent(events.write([delete(one) for one in changed]))
    assert desk.calls() == 2 and desk.org.query("SELECT Id FROM Event") == []


def test_nothing_is_written_in_no_call_and_more_than_a_batch_is_refused(org: Served) -> None:
    desk = Desk(org)
    events = desk.ready()
    assert events.write([]) == [] and desk.calls() == 0
    with pytest.raises(ValueError, match="200"):
        events.write([create(n) for n in range(201)])


def test_answers_come_in_the_order_of_the_writes(desk: Desk) -> None:
    made = all_sent(desk.events().write([create(n) for n in range(3)]))
    version = desk.settled(made[2].id)
    sends = [
        delete(made[0]),
        create(7),
        patch(made[1], subject="Changed"),
        Send("unmark", "event", made[2].id, version),
        create(8),
    ]
    answers = all_sent(desk.events().write(sends))
    assert [answers[0].id, answers[2].id, answers[3]] == [made[0].id, made[1].id, Sent(made[2].id, version)]
    assert [desk.fields(answers[n].id)["subject"] for n in (1, 2, 3, 4)] == ["Event 7", "Changed", "Event 2", "Event 8"]


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_made_event_is_owned_by_its_user_keyed_and_related(desk: Desk) -> None:
    account = desk.org.make("Account", Name="Acme Example")
    made = desk.made(key="k1", related=account)
    row = desk.row(made.id)
    assert (row["OwnerId"], row["WhatId"], row["Description"]) == (desk.org.anna, account, "First line\nSecond line")
    assert row.get(KEY) == ("k1" if desk.events().keyed else None)
    assert stamp(made) == row["SystemModstamp"] == desk.settled(made.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": ""}, {"subject": "x" * 400}, {"description": "a\x00b"}, {"location": ""}, {"show_as": "free"},
        {"show_as": "oof"}, {"show_as": "tentative"}, {"when": "2094-03-05T22:00:00Z/2094-03-06T02:00:00Z"}, {"private": "yes"},
        {"subject": "\U0001f600 mood"},
    ],
)  # fmt: skip
def test_every_field_is_made_and_changed(org: Served, changes: Fields) -> None:
    desk = Desk(org)
    asked = {"show_as": {"tentative": "busy"}, "subject": {"x" * 400: "x" * 255}, "description": {"a\x00b": "ab"}}
    for event in (desk.made({**PLAIN, **changes}), desk.patched(desk.made(), **changes)):
        assert isinstance(event, Sent)
        fields = desk.fields(event.id)
        for name, value in changes.items():
            assert fields[name] == asked.get(name, {}).get(str(value), value)


def test_a_patch_writes_nothing_else(org: Served) -> None:
    desk = Desk(org)
    made = desk.made()
    org.call("PATCH", f"/sobjects/Event/{made.id}", json={"Location": "Elsewhere"})
    assert isinstance(desk.patched(Sent(made.id, "*"), subject="Changed"), Sent)
    assert desk.fields(made.id)["location"] == "Elsewhere"


@pytest.mark.parametrize("is_allowed", [False, True])
def test_events_of_several_days_need_the_orgs_setting(org: Served, is_allowed: bool) -> None:
    org.org.settings.multiday_events = is_allowed
    desk = Desk(org)
    for when in ("2094-03-01/2094-03-04", "2094-03-01T09:00:00Z/2094-03-03T09:00:00Z"):
        [made] = desk.events().write([Send("create", "event", fields={**PLAIN, "when": when})])
        changed = desk.patched(desk.made(), when=when)
        if is_allowed:
            assert isinstance(made, Sent) and isinstance(changed, Sent) and desk.fields(made.id)["when"] == when
            continue
        field = "DurationInMinutes" if "T" not in when else "EndDateTime"
        for refusal in (made, changed):
            assert isinstance(refusal, Refused)
            assert (refusal.code, refusal.fields) == ("refused.field_integrity_exception", (field,))


def test_one_refused_event_refuses_no_other(desk: Desk) -> None:
    sends = [create(1), create(2, when="2094-03-01/2094-03-09"), create(3)]
    first, refused, third = desk.events().write(sends)
    assert isinstance(first, Sent) and isinstance(third, Sent) and isinstance(refused, Refused)
    desk.later()
    answers = desk.events().write([patch(first, when="2094-03-01/2094-03-09"), patch(third, subject="Changed")])
    assert isinstance(answers[0], Refused) and isinstance(answers[1], Sent)


def test_an_event_our_own_code_cannot_write_is_a_bug_alone(desk: Desk) -> None:
    made = desk.made()
    answers = desk.events().write(
        [create(1, when="yesterday"), create(2), patch(made, when="tomorrow"), patch(made, location="R")]
    )
    assert [type(one) for one in answers] == [Bug, Sent, Bug, Sent]
    assert len(desk.org.query("SELECT Id FROM Event")) == 2


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_second_event_with_a_key_is_stale_and_the_first_is_found_by_it(keyed: Desk) -> None:
    made = keyed.made(key="k1")
    answers = keyed.events().write([create(1), Send("create", "event", fields=PLAIN, key="k1")])
    assert isinstance(answers[0], Sent) and isinstance(answers[1], Stale)
    assert keyed.events().find("event", ["k1"])["k1"].id == made.id


def test_a_create_whose_answer_was_lost_is_found(desk: Desk) -> None:
    since = desk.org.world.clock.now()
    desk.ready()
    desk.fault("drop_after", "composite/sobjects")
    with pytest.raises(NetworkDown):
        desk.events().write([Send("create", "event", fields=PLAIN, key="k1")])
    events = desk.events()
    found = list(events.find("event", ["k1"]).values()) if events.keyed else list(events.made_since("event", since))
    assert len(found) == 1 and found[0].item is not None and found[0].item.fields["subject"] == "Review"


# --- preconditions ---------------------------------------------------------------------------------------------------


def test_a_patch_of_what_changed_since_is_stale_and_changes_nothing(desk: Desk) -> None:
    made = desk.made()
    desk.later()
    desk.org.call("PATCH", f"/sobjects/Event/{made.id}", json={"Location": "Elsewhere"})
    assert isinstance(desk.patched(made, subject="Changed"), Stale)
    assert isinstance(desk.patched(made, subject="Changed", people=(desk.org.ben,)), Stale)
    assert desk.fields(made.id)["subject"] == "Review" and desk.relations(made.id) == {}
    version = desk.events().read("event", [made.id])[made.id].version
    assert isinstance(desk.patched(Sent(made.id, version), subject="Changed"), Sent)


@pytest.mark.parametrize("field", ["LastModifiedDate", "SystemModstamp"])
def test_the_condition_holds_whichever_date_it_looks_at(org: Served, field: str) -> None:
    org.world.switches["salesforce.conditional_field"] = field
    desk = Desk(org)
    made = desk.made()
    desk.later()
    changed = desk.patched(made, subject="Changed")
    assert isinstance(changed, Sent)
    desk.later()
    assert isinstance(desk.patched(changed, subject="Again"), Sent) and isinstance(desk.patched(changed, subject="No"), Stale)


def test_a_delete_of_what_changed_since_is_stale(desk: Desk) -> None:
    made = desk.made()
    desk.later()
    desk.org.call("PATCH", f"/sobjects/Event/{made.id}", json={"Location": "Elsewhere"})
    [answer] = desk.events().write([delete(made)])
    assert isinstance(answer, Stale) and desk.item(made.id) is not None
    assert isinstance(done(desk.events().write([delete(made, "*")])), Sent) and desk.item(made.id) is None


def test_any_version_is_no_condition(desk: Desk) -> None:
    made = desk.made()
    desk.later()
    desk.org.call("PATCH", f"/sobjects/Event/{made.id}", json={"Location": "Elsewhere"})
    changed = desk.patched(Sent(made.id, "*"), subject="Changed", people=(desk.org.ben,))
    assert isinstance(changed, Sent) and desk.fields(made.id)["people"] == (desk.org.ben,)


def test_what_is_gone_is_gone(desk: Desk) -> None:
    made = desk.made()
    desk.org.call("DELETE", f"/sobjects/Event/{made.id}")
    for send in (patch(made, subject="x"), patch(made, people=(desk.org.ben,)), delete(made), delete(made, "*")):
        [answer] = desk.events().write([send])
        assert isinstance(answer, Gone)


# --- versions --------------------------------------------------------------------------------------------------------


def test_the_version_is_the_one_after_the_write(desk: Desk) -> None:
    made = desk.made({**PLAIN, "people": (desk.org.ben,)})
    assert stamp(made) == desk.row(made.id)["SystemModstamp"]
    desk.later()
    changed = desk.patched(made, subject="Changed")
    assert stamp(changed) == desk.row(made.id)["SystemModstamp"] == desk.settled(made.id) != stamp(made)


def test_two_writes_of_one_second_are_two_versions(org: Served) -> None:
    """What was read within the second of a change is looked at once more, and from then on for nothing no more."""
    desk = Desk(org)
    made = desk.made()
    org.call("PATCH", f"/sobjects/Event/{made.id}", json={"Location": "Elsewhere"})
    first, second = (desk.events().read("event", [made.id])[made.id].version for _ in range(2))
    assert len({made.version, first, second, desk.settled(made.id)}) == 4


@pytest.mark.parametrize("verb", ["unmark", "delete"])
def test_a_write_that_leaves_the_stamp_leaves_the_version(org: Served, verb: Literal["unmark", "delete"]) -> None:
    """A version that another change of the same second may hide behind still says so after a write long after."""
    desk = Desk(org)
    made = desk.made()
    desk.later(30)
    assert done(desk.events().write([Send(verb, "event", made.id, made.version)])).version == made.version


def test_a_deletion_of_whatever_stands_there_is_answered(org: Served) -> None:
    desk = Desk(org)
    made = desk.made()
    assert done(desk.events().write([Send("delete", "event", made.id, "*")])).id == made.id
    assert desk.events().read("event", [made.id])[made.id].item is None


@pytest.mark.parametrize("delay", [0, 30])
@pytest.mark.parametrize("field", [None, "Location"])
@pytest.mark.parametrize("changes", [{}, {"location": "Room 5"}, {"subject": "Changed"}, {"people": ("ben",)}])
def test_what_a_flow_makes_of_a_write_is_seen_later(org: Served, delay: int, field: str | None, changes: Fields) -> None:
    desk = Desk(org)
    made = desk.made() if changes else None
    flow = {"object": "Event", "field": field, "value": "Set by a flow", "delay_s": delay}
    org.world.switches["salesforce.flows"] = [flow]
    desk.later()
    sent = {name: (org.ben,) if name == "people" else value for name, value in changes.items()}
    written = desk.patched(made, **sent) if made else desk.made()
    assert isinstance(written, Sent)
    desk.later()
    org.get("/limits")
    seen = desk.events().read("event", [written.id])[written.id]
    assert seen.item is not None
    if seen.item.fields["location"] != changes.get("location", PLAIN["location"]):
        assert stamp_of(seen.version) != stamp_of(written.version), "nobody would look at it again"
    elif delay == 0:
        assert seen.version == stamp(written) == desk.settled(written.id), "it would be looked at again for nothing"
    is_reached = "people" not in changes
    assert (seen.item.fields["location"] == "Set by a flow") is (field is not None and is_reached)


def test_a_patch_after_a_flow_that_ran_with_the_write_is_made(org: Served) -> None:
    org.world.switches["salesforce.flows"] = [{"object": "Event", "field": None, "delay_s": 0}]
    desk = Desk(org)
    made = desk.made()
    assert stamp(made) == desk.row(made.id)["SystemModstamp"]
    desk.later()
    assert isinstance(desk.patched(made, subject="Changed"), Sent)


# --- trouble ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["create", "update", "delete"])
def test_a_locked_row_is_tried_once_more_and_then_left_open(desk: Desk, verb: str) -> None:
    made = all_sent(desk.events().write([create(n) for n in range(4)]))
    writes = {"create": [create(7), create(8)], "update": [patch(one, subject="Changed") for one in made[:2]]}
    again = {"create": [create(9), create(10)], "update": [patch(one, subject="Changed") for one in made[2:]]}
    desk.ready()
    desk.fault("locked_row", f"{verb} Event", after=1)
    all_sent(desk.events().write(writes.get(verb, [delete(one) for one in made[:2]])))
    assert desk.org.world.rules[-1].times == 0
    desk.fault("locked_row", f"{verb} Event", times=3)
    first, second = desk.events().write(again.get(verb, [delete(one) for one in made[2:]]))
    assert isinstance(first, Stale) and isinstance(second, Sent)


@pytest.mark.parametrize(("kind", "error"), [("concurrent_limit", Throttled), ("budget_spent", BudgetSpent)])
def test_what_stops_everything_is_raised(desk: Desk, kind: str, error: type[Exception]) -> None:
    made = desk.made()
    for send in (create(1), patch(made, subject="x"), patch(made, people=()), delete(made)):
        desk.ready()
        desk.fault(kind)
        with pytest.raises(error):
            desk.events().write([send])


def test_no_error_carries_a_word_of_the_vendor(org: Served) -> None:
    desk = Desk(org)
    [answer] = desk.events().write([create(1, when="2094-03-01/2094-03-09")])
    assert isinstance(answer, ItemError) and "Duration" not in str(answer)


def test_another_users_event_that_is_shared_is_patched_and_stays_theirs(org: Served) -> None:
    desk = Desk(org)
    made = desk.made()
    token = org.org.issue_token(BEN, CLIENT)["access_token"]
    desk.later()
    [changed] = desk.events(org.ben, token).write([patch(made, subject="Changed", people=(org.anna, org.ben))])
    assert isinstance(changed, Sent)
    row = desk.row(made.id)
    assert (row["OwnerId"], row["Subject"]) == (org.anna, "Changed") and desk.relations(made.id) == {org.ben: "New"}


def test_a_version_whose_last_writer_is_somebody_else_is_the_one_before(org: Served) -> None:
    """Between our write and the look at its stamp another user wrote: their edit must be read."""
    desk = Desk(org)
    made = desk.made()
    rows = org.get("/query", q="SELECT FIELDS(STANDARD) FROM Event LIMIT 200")["records"]
    rows[0]["LastModifiedById"] = org.ben
    rows[0]["SystemModstamp"] = "2094-01-11T09:00:00.000+0000"
    parts = [
        {"referenceId": "before", "httpStatusCode": 200, "httpHeaders": {}, "body": {"records": rows, "done": True}},
        {"referenceId": "p0", "httpStatusCode": 204, "httpHeaders": {}, "body": None},
        {"referenceId": "after", "httpStatusCode": 200, "httpHeaders": {}, "body": {"records": rows, "done": True}},
    ]
    desk.ready()
    desk.fault("status", "POST", status=200, body={"compositeResponse": parts})
    answer = desk.patched(made, subject="Review")
    assert isinstance(answer, Sent) and stamp_of(answer.version) == stamp(made) != rows[0]["SystemModstamp"]


def test_when_is_written_to_the_second(org: Served) -> None:
    desk = Desk(org)
    made = desk.made({**PLAIN, "when": "2094-03-01T09:00:07Z/2094-03-01T09:30:07Z"})
    assert desk.fields(made.id)["when"] == "2094-03-01T09:00:07Z/2094-03-01T09:30:07Z"
    assert desk.fields(desk.made({"when": WHEN, "subject": "x"}).id)["when"] == WHEN
