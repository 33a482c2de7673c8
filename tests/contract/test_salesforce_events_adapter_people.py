"""Who takes part in an event, over the Salesforce stand-in: with and without Shared Activities, made and changed, private."""

from __future__ import annotations

from typing import Any

import pytest

from shared.core.errors import Stale
from shared.core.model import Fields
from shared.crm.salesforce_versions import stamp_of
from shared.ports import Send, Sent
from tests.contract.salesforce_events_desk import KEY, NOBODY, PLAIN, Desk, lead, person
from tests.contract.salesforce_world import Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)


@pytest.fixture(params=["one person", "shared activities"])
def desk(org: Served, request: pytest.FixtureRequest) -> Desk:
    org.org.settings.shared_activities = request.param == "shared activities"
    org.org.add_key_field(KEY)
    return Desk(org)


def taking_part(desk: Desk, event: Any) -> tuple[Any, Any]:
    assert isinstance(event, Sent), event
    fields = desk.fields(event.id)
    return fields["people"], fields["answers"]


def invited(people: dict[str, str]) -> Fields:
    return {"people": tuple(sorted(people)), "answers": tuple(sorted(f"{one}={answer}" for one, answer in people.items()))}


def test_contacts_users_and_leads_take_part_with_their_answers(desk: Desk) -> None:
    everybody = {
        person(desk.org, "Adler"): "accepted", person(desk.org, "Brandt"): "declined", person(desk.org, "Conrad"): "none",
        lead(desk.org, "Lind"): "tentative", desk.org.ben: "tentative",
    }  # fmt: skip
    wanted = invited(everybody)
    made = desk.made({**PLAIN, **wanted})
    assert taking_part(desk, made) == (wanted["people"], wanted["answers"])
    changed = desk.patched(desk.made(), **wanted)
    assert taking_part(desk, changed) == (wanted["people"], wanted["answers"])


def test_contacts_without_answers_are_with_the_event(desk: Desk) -> None:
    contacts = tuple(sorted(person(desk.org, last) for last in ("Adler", "Brandt", "Conrad")))
    for made in (desk.made({**PLAIN, "people": contacts}), desk.patched(desk.made(), people=contacts)):
        assert taking_part(desk, made)[0] == contacts
        assert isinstance(made, Sent) and desk.row(made.id)["WhoId"] == contacts[0]
        if desk.org.org.settings.shared_activities:
            assert taking_part(desk, made)[1] == () and desk.row(made.id)["WhoCount"] == 3


def test_a_lone_lead_is_with_the_event_and_then_it_is_about_nothing(desk: Desk) -> None:
    one, account = lead(desk.org, "Lind"), desk.org.make("Account", Name="Acme Example")
    made = desk.made({**PLAIN, "people": (one,)}, related=account)
    assert (desk.row(made.id)["WhoId"], desk.row(made.id)["WhatId"]) == (one, None)
    adler = person(desk.org, "Adler")
    both = desk.made({**PLAIN, "people": tuple(sorted((one, adler)))}, related=account)
    assert (desk.row(both.id)["WhoId"], desk.row(both.id)["WhatId"]) == (adler, account)
    assert taking_part(desk, both)[0] == tuple(sorted((one, adler)))


def test_a_lead_who_joins_an_event_about_something_is_invited(desk: Desk) -> None:
    one, account = lead(desk.org, "Lind"), desk.org.make("Account", Name="Acme Example")
    made = desk.made(related=account)
    changed = desk.patched(made, people=(one,))
    assert taking_part(desk, changed)[0] == (one,)
    assert (desk.row(made.id)["WhoId"], desk.row(made.id)["WhatId"]) == (None, account)


def test_people_come_and_go(desk: Desk) -> None:
    adler, brandt, conrad = (person(desk.org, last) for last in ("Adler", "Brandt", "Conrad"))
    event: Any = desk.made({**PLAIN, **invited({adler: "none", desk.org.ben: "none"})})
    for wanted in (
        {adler: "accepted", desk.org.ben: "declined"}, {adler: "accepted", brandt: "none"}, {conrad: "tentative"},
        {lead(desk.org, "Lind"): "none"}, {}, {brandt: "accepted", desk.org.ben: "accepted"},
    ):  # fmt: skip
        desk.later()
        fields = invited(wanted)
        event = desk.patched(event, **fields)
        assert taking_part(desk, event) == (fields["people"], fields["answers"])
        assert stamp_of(event.version) == desk.row(event.id)["SystemModstamp"] == desk.settled(event.id)
    children = desk.org.query("SELECT OwnerId FROM Event WHERE IsChild = true")
    assert [row["OwnerId"] for row in children] == [desk.org.ben]


def test_answers_alone_change_answers_alone(desk: Desk) -> None:
    adler = person(desk.org, "Adler")
    made = desk.made({**PLAIN, **invited({adler: "none", desk.org.ben: "none"})})
    fields = invited({adler: "accepted", desk.org.ben: "declined"})
    stamp = desk.row(made.id)["LastModifiedDate"]
    desk.later()
    desk.ready()
    assert isinstance(desk.patched(made, answers=fields["answers"]), Sent) and desk.calls() == 2
    assert taking_part(desk, made) == (fields["people"], fields["answers"])
    assert desk.row(made.id)["LastModifiedDate"] == stamp


def test_people_alone_leave_answers_and_the_primary_one(desk: Desk) -> None:
    adler, brandt = sorted(person(desk.org, last) for last in ("Adler", "Brandt"))
    made = desk.made({**PLAIN, **invited({brandt: "accepted"})})
    changed = desk.patched(made, people=(adler, brandt))
    people, answers = taking_part(desk, changed)
    assert people == (adler, brandt) and f"{brandt}=accepted" in answers
    assert desk.row(made.id)["WhoId"] == brandt


def test_an_uninvited_person_who_did_not_answer_is_not_written_anew(desk: Desk) -> None:
    made = desk.made({**PLAIN, **invited({desk.org.ben: "none"})})
    [row] = desk.org.query(f"SELECT Id FROM EventRelation WHERE EventId = '{made.id}'")
    desk.org.call("PATCH", f"/sobjects/EventRelation/{row['Id']}", json={"Status": "Uninvited"})
    assert isinstance(desk.patched(Sent(made.id, "*"), **invited({desk.org.ben: "none"})), Sent)
    assert desk.relations(made.id) == {desk.org.ben: "Uninvited"}


@pytest.mark.parametrize("may_be", [False, True])
def test_the_owner_takes_no_part(desk: Desk, may_be: bool) -> None:
    desk.org.world.switches["salesforce.owner_may_be_invited"] = may_be
    everybody = invited({desk.org.anna: "accepted", desk.org.ben: "none"})
    made = desk.made({**PLAIN, **everybody})
    assert taking_part(desk, made) == ((desk.org.ben,), (f"{desk.org.ben}=none",))
    changed = desk.patched(made, **everybody)
    assert taking_part(desk, changed) == ((desk.org.ben,), (f"{desk.org.ben}=none",))


def test_what_an_event_is_about_and_rooms_are_nobody(desk: Desk) -> None:
    account, room = desk.org.make("Account", Name="Acme Example"), desk.org.org.add_calendar("Room 4", "Resource")
    made = desk.made(related=account)
    desk.org.make("EventRelation", EventId=made.id, RelationId=room)
    assert taking_part(desk, made) == ((), ())
    changed = desk.patched(Sent(made.id, "*"), people=(desk.org.ben,))
    assert taking_part(desk, changed)[0] == (desk.org.ben,)
    assert desk.row(made.id)["WhatId"] == account and room in desk.relations(made.id)


@pytest.mark.parametrize("touches", [False, True])
def test_the_version_counts_what_an_invitation_moves(desk: Desk, touches: bool) -> None:
    desk.org.world.switches["salesforce.invitee_touches_event"] = touches
    event: Any = desk.made({**PLAIN, "people": (desk.org.ben,)})
    for fields in (
        {"answers": (f"{desk.org.ben}=accepted",)},
        {"people": ()},
        {"people": (desk.org.ben,), "subject": "Changed"},
    ):
        desk.later()
        event = desk.patched(event, **fields)
        assert isinstance(event, Sent)
        assert stamp_of(event.version) == desk.row(event.id)["SystemModstamp"] == desk.settled(event.id)


# --- private ---------------------------------------------------------------------------------------------------------


def test_a_private_event_is_made_without_people_and_record(desk: Desk) -> None:
    account, adler = desk.org.make("Account", Name="Acme Example"), person(desk.org, "Adler")
    wanted = invited({adler: "accepted", desk.org.ben: "none"})
    made = desk.made({**PLAIN, **wanted, "private": "yes"}, related=account)
    row = desk.row(made.id)
    assert (row["WhoId"], row["WhatId"], row["IsPrivate"]) == (None, None, True) and taking_part(desk, made) == ((), ())
    desk.later()
    assert isinstance(desk.patched(made, **wanted, subject="Changed"), Sent)
    assert desk.fields(made.id) == {**PLAIN, **NOBODY, "private": "yes", "subject": "Changed"}
    desk.later()
    public = desk.patched(Sent(made.id, "*"), **wanted, private="no")
    assert taking_part(desk, public) == (wanted["people"], wanted["answers"])


@pytest.mark.parametrize("with_people", [False, True])
def test_an_event_that_becomes_private_is_about_nobody(desk: Desk, with_people: bool) -> None:
    account, adler = desk.org.make("Account", Name="Acme Example"), person(desk.org, "Adler")
    made = desk.made({**PLAIN, "people": (adler,)}, related=account)
    desk.later()
    more: Any = {"people": (adler,)} if with_people else {}
    assert isinstance(desk.patched(made, private="yes", **more), Sent)
    row = desk.row(made.id)
    assert (row["WhoId"], row["WhatId"], row["IsPrivate"]) == (None, None, True)


# --- trouble and costs -----------------------------------------------------------------------------------------------


def test_people_of_two_hundred_events_cost_few_calls(desk: Desk) -> None:
    adler = person(desk.org, "Adler")
    wanted = invited({adler: "accepted", desk.org.ben: "none"})
    events = desk.ready()
    sends = [Send("create", "event", fields={**PLAIN, "subject": f"E{n}", **wanted}, key=f"k{n}") for n in range(200)]
    made: Any = events.write(sends)
    assert all(isinstance(one, Sent) for one in made)
    assert desk.calls() == (3 if desk.org.org.settings.shared_activities else 2)
    desk.org.world.calls.clear()
    other = invited({adler: "declined", desk.org.ben: "accepted"})
    desk.later()
    changed: Any = events.write([Send("patch", "event", one.id, one.version, other) for one in made])
    assert all(isinstance(one, Sent) for one in changed) and desk.calls() == 2
    desk.org.world.calls.clear()
    found = events.read("event", [one.id for one in made])
    assert desk.calls() == 1
    assert all(one.item is not None and one.item.fields["answers"] == other["answers"] for one in found.values())


def test_a_relation_that_is_locked_twice_leaves_the_event_open(desk: Desk) -> None:
    desk.ready()
    desk.fault("locked_row", "create EventRelation")
    made = desk.made({**PLAIN, "people": (desk.org.ben,)}, key="k1")
    assert taking_part(desk, made)[0] == (desk.org.ben,)
    desk.fault("locked_row", "create EventRelation", times=2)
    [answer] = desk.events().write([Send("create", "event", fields={**PLAIN, "people": (desk.org.ben,)}, key="k2")])
    assert isinstance(answer, Stale) and list(desk.events().find("event", ["k2"])) == ["k2"]


def test_a_person_who_cannot_be_invited_is_left_out(desk: Desk) -> None:
    gone = person(desk.org, "Gone")
    desk.org.call("DELETE", f"/sobjects/Contact/{gone}")
    made = desk.made()
    answers = (f"{gone}=none", f"{desk.org.ben}=none")
    adler = person(desk.org, "Adler")
    changed = desk.patched(made, people=tuple(sorted((adler, desk.org.ben))), answers=answers)
    assert taking_part(desk, changed)[0] == tuple(sorted((adler, desk.org.ben)))
