"""The event adapter against the Salesforce stand-in over real TLS: what is read, found and listed, and in how many calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.core.errors import CursorExpired, Gone, NetworkDown, Refused, Throttled
from shared.core.model import Item
from shared.crm.salesforce_feed import Understood
from shared.crm.salesforce_versions import stamp_of
from shared.ports import Crm, Provider, Send, Sent
from tests.contract.salesforce_events_desk import KEY, NOBODY, PLAIN, START, WHEN, Desk, person, stamp
from tests.contract.salesforce_world import ANNA, BEN, CLIENT, Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)
END = {"inclusive": timedelta(0), "exclusive": timedelta(days=1)}


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


def test_the_adapter_is_the_ports_crm(org: Served) -> None:
    desk = Desk(org)
    events: Crm = desk.events()
    provider: Provider = events
    assert provider is events


def test_whether_events_carry_keys_is_known_in_one_call_and_then_in_none(desk: Desk, request: Any) -> None:
    is_keyed = "keyed" in request.node.callspec.id
    assert desk.events().keyed is is_keyed
    desk.org.world.calls.clear()
    assert desk.events().keyed is is_keyed and desk.calls() == 0


def test_an_event_is_read_as_it_was_made(desk: Desk) -> None:
    made = desk.made(key="k1")
    desk.later()
    seen = desk.events().read("event", [made.id])[made.id]
    assert seen.item == Item("event", {**PLAIN, **NOBODY})
    assert (seen.version, seen.key, seen.marked) == (stamp(made), "k1" if desk.events().keyed else "", True)
    facts = seen.facts
    assert (facts.begins, facts.ends, facts.owner) == (START, START + timedelta(hours=1), desk.org.anna)
    assert (facts.own, facts.shared, facts.never, facts.uid, facts.group) == (True, False, "", "", "")
    assert facts.made is not None and facts.made <= desk.org.world.clock.now()


@pytest.mark.parametrize("meaning", END)
@pytest.mark.parametrize("days", [1, 3, 14])
def test_whole_days_are_the_same_whatever_their_end_means(org: Served, meaning: str, days: int) -> None:
    org.world.switches["salesforce.all_day_end"] = meaning
    org.org.settings.multiday_events = True
    desk = Desk(org)
    when = f"2094-03-01/{(START + timedelta(days=days)).date()}"
    made = desk.made({**PLAIN, "when": when})
    row = desk.row(made.id)
    assert (row["IsAllDayEvent"], row["DurationInMinutes"], row["StartDateTime"][:19]) == (
        True, days * 1440, "2094-03-01T00:00:00",
    )  # fmt: skip
    midnight = datetime(2094, 3, 1, tzinfo=UTC)
    assert datetime.fromisoformat(row["EndDateTime"]) == midnight + timedelta(days=days - 1) + END[meaning]
    seen = desk.events().read("event", [made.id])[made.id]
    assert seen.item is not None and seen.item.fields["when"] == when
    assert (seen.facts.begins, seen.facts.ends) == (midnight, midnight + timedelta(days=days))


@pytest.mark.parametrize("meaning", END)
def test_an_event_becomes_one_of_a_whole_day_and_back(org: Served, meaning: str) -> None:
    org.world.switches["salesforce.all_day_end"] = meaning
    desk = Desk(org)
    made = desk.made()
    whole = desk.patched(made, when="2094-03-02/2094-03-03")
    assert isinstance(whole, Sent) and desk.fields(made.id)["when"] == "2094-03-02/2094-03-03"
    timed = desk.patched(whole, when="2094-03-04T23:30:15Z/2094-03-05T00:30:15Z")
    assert isinstance(timed, Sent) and desk.fields(made.id)["when"] == "2094-03-04T23:30:15Z/2094-03-05T00:30:15Z"


def test_two_hundred_events_are_read_in_one_call_gone_ones_among_them(desk: Desk) -> None:
    sends = [create(n) for n in range(200)]
    ids = [one.id for one in desk.events().write(sends) if isinstance(one, Sent)]
    desk.org.call("DELETE", f"/sobjects/Event/{ids[0]}")
    events = desk.ready()
    found = events.read("event", [*ids, "00U000000000001EAA"])
    assert desk.calls() == 1 and len(found) == 201
    assert found[ids[0]].item is None
    unknown = found["00U000000000001EAA"]
    assert unknown.item == Item("event", {}) and unknown.facts.never == "skipped.not_visible"
    assert all(found[one].item is not None for one in ids[1:])
    assert events.read("event", []) == {} and desk.calls() == 1


def test_an_archived_event_is_still_there(keyed: Desk) -> None:
    made = keyed.made(key="k1")
    keyed.later(3 * 365 * 86_400)
    keyed.org.token = keyed.org.org.issue_token(ANNA, CLIENT)["access_token"]
    assert keyed.item(made.id) is not None and list(keyed.events().find("event", ["k1"])) == ["k1"]


def test_a_copy_of_an_invitee_and_a_series_are_never_ours(org: Served) -> None:
    desk = Desk(org)
    made = desk.made({**PLAIN, "people": (org.ben,)})
    [child] = org.query("SELECT Id FROM Event WHERE IsChild = true")
    master = org.make(
        "Event", Subject="Classic", StartDateTime="2094-03-01T09:00:00Z", DurationInMinutes=60, IsRecurrence=True,
        RecurrenceType="RecursDaily", RecurrenceInterval=1, RecurrenceStartDateTime="2094-03-01T09:00:00Z",
        RecurrenceEndDateOnly="2094-03-03",
    )  # fmt: skip
    found = desk.events().read("event", [made.id, child["Id"], master])
    assert [found[one].facts.never for one in (made.id, child["Id"], master)] == ["", "skipped.child", "skipped.series"]


@pytest.mark.parametrize("is_shown", [False, True])
def test_of_a_series_only_its_occurrences_are_events(org: Served, is_shown: bool) -> None:
    org.world.switches["salesforce.series_pattern_event"] = is_shown
    desk = Desk(org)
    org.make(
        "Event", Subject="Stand-up", StartDateTime="2094-03-01T09:00:00Z", DurationInMinutes=15,
        Recurrence2PatternText="RRULE:FREQ=DAILY;INTERVAL=1;COUNT=3",
    )  # fmt: skip
    seen = desk.events().changes("event", None).seen
    assert sorted(one.facts.never for one in seen) == ["", "", "", *(["skipped.series"] if is_shown else [])]


# --- private ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("details", "is_there"), [("shown", True), ("hidden", False)])
def test_hidden_words_of_a_private_event_are_absent_not_empty(org: Served, details: str, is_there: bool) -> None:
    org.world.switches["salesforce.private_details"] = details
    desk = Desk(org)
    made = desk.made({**PLAIN, "private": "yes"})
    token = org.org.issue_token(BEN, CLIENT)["access_token"]
    seen = desk.events(org.ben, token).read("event", [made.id])[made.id]
    assert seen.item is not None
    assert {"subject", "location", "description"} <= seen.item.fields.keys() or not is_there
    assert ("subject" in seen.item.fields) is is_there
    assert (seen.item.fields["when"], seen.item.fields["private"]) == (WHEN, "yes")
    assert desk.fields(made.id)["subject"] == "Review"


# --- fields that are not there ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_known", [False, True])
def test_a_field_this_user_may_not_see_is_absent_and_not_written(org: Served, is_known: bool) -> None:
    desk = Desk(org)
    made = desk.made()
    if not is_known:  # somebody else described the org before
        desk.ready()
    else:
        desk = Desk(org)
    owner = org.org.records.schema.find("Event")
    assert owner is not None
    del owner.fields["location"]
    fields = desk.fields(made.id)
    assert "location" not in fields and fields["subject"] == "Review"
    other = desk.made({**PLAIN, "subject": "Another", "location": "Room 5"})
    assert desk.fields(other.id)["subject"] == "Another"
    changed = desk.patched(other, location="Room 6", subject="Changed")
    assert isinstance(changed, Sent) and desk.fields(other.id)["subject"] == "Changed"


def test_a_write_that_met_an_unknown_field_is_done_once_more_without_it(org: Served) -> None:
    desk = Desk(org)
    made = desk.made()
    owner = org.org.records.schema.find("Event")
    assert owner is not None
    del owner.fields["location"]
    events = desk.events()
    answers = events.write([create(1), create(2)])
    assert all(isinstance(one, Sent) for one in answers)
    assert isinstance(desk.patched(made, location="Room 9", subject="Changed"), Sent)
    assert len(org.query("SELECT Id FROM Event")) == 3


# --- finding ---------------------------------------------------------------------------------------------------------


def test_an_event_is_found_by_its_key_in_two_calls(keyed: Desk) -> None:
    made = [one for one in keyed.events().write([create(n) for n in range(3)]) if isinstance(one, Sent)]
    keyed.org.call("DELETE", f"/sobjects/Event/{made[2].id}")
    events = keyed.ready()
    keys = [f"{n:064d}" for n in range(4)]
    found = events.find("event", keys)
    assert {key: seen.id for key, seen in found.items()} == {keys[0]: made[0].id, keys[1]: made[1].id}
    assert keyed.calls() == 2 and found[keys[0]].item is not None
    assert events.find("event", ["nobody's"]) == {} and keyed.calls() == 3


def test_without_the_field_nothing_is_asked_by_key(org: Served) -> None:
    desk = Desk(org)
    events = desk.ready()
    assert events.find("event", ["k1"]) == {} and desk.calls() == 0


def test_what_this_user_made_since_is_found(desk: Desk) -> None:
    old = desk.made()
    desk.later(600)
    since = desk.org.world.clock.now()
    new = desk.made({**PLAIN, "subject": "New"})
    gone = desk.made({**PLAIN, "subject": "Gone"})
    desk.org.call("DELETE", f"/sobjects/Event/{gone.id}")
    token = desk.org.org.issue_token(BEN, CLIENT)["access_token"]
    desk.events(desk.org.ben, token).write([create(7, subject="Ben's")])
    events = desk.ready()
    assert [seen.id for seen in events.made_since("event", since)] == [new.id]
    assert desk.calls() == 2
    assert [seen.id for seen in events.made_since("event", since - timedelta(hours=1))] == [old.id, new.id]


def test_twins_are_unkeyed_events_of_this_user_the_oldest_first(desk: Desk) -> None:
    org, is_keyed = desk.org, desk.events().keyed
    first = org.make("Event", Subject=" Review ", StartDateTime="2094-03-01T09:00:00Z", EndDateTime="2094-03-01T10:00:00Z")
    desk.later()
    second = org.make("Event", Subject="Review", StartDateTime="2094-03-01T09:00:00Z", EndDateTime="2094-03-01T10:00:00Z")
    org.make("Event", Subject="Review", StartDateTime="2094-03-01T09:00:00Z", EndDateTime="2094-03-01T10:30:00Z")
    whole = org.make("Event", Subject="Fair", IsAllDayEvent=True, StartDateTime="2094-03-01T00:00:00Z", DurationInMinutes=1440)
    org.make(
        "Event", Subject="Review", StartDateTime="2094-03-01T09:00:00Z", EndDateTime="2094-03-01T10:00:00Z", OwnerId=org.ben
    )  # fmt: skip
    ours = desk.made(key="k1")
    desk.ready()
    items = [
        Item("event", PLAIN), Item("event", {**PLAIN, "subject": "Other"}), Item("event", {"subject": "", "when": WHEN}),
        Item("event", {"subject": "Fair", "when": "2094-03-01/2094-03-02"}),
    ]  # fmt: skip
    twins = [[seen.id for seen in some] for some in desk.events().twins(items)]
    assert twins == [[first, second, *([] if is_keyed else [ours.id])], [], [], [whole]]
    assert desk.calls() == 2


def test_nothing_is_asked_for_no_twins(desk: Desk) -> None:
    events = desk.ready()
    assert events.twins([]) == [] and desk.calls() == 0
    assert events.twins([Item("event", PLAIN)]) == [[]] and desk.calls() == 1


# --- listing ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("monday")
def test_a_listing_is_this_users_events_of_the_window_by_id(org: Served) -> None:
    desk = Desk(org)
    who = person(org, "Adler")
    ours = [desk.made({**PLAIN, "subject": f"E{n}", "people": (who, org.ben)}).id for n in range(3)]
    org.make("Event", Subject="Ben's", StartDateTime="2094-03-01T09:00:00Z", DurationInMinutes=60, OwnerId=org.ben)
    past = org.make("Event", Subject="Past", StartDateTime="2093-11-01T09:00:00Z", DurationInMinutes=60)
    gone = desk.made().id
    org.call("DELETE", f"/sobjects/Event/{gone}")
    events = desk.ready()
    page = events.changes("event", None)
    assert (page.listing, page.done, desk.calls()) == (True, True, 2)
    assert [seen.id for seen in page.seen] == sorted(ours) and past not in ours
    for seen in page.seen:
        assert seen.item is not None and seen.item.fields["people"] == tuple(sorted((who, org.ben)))
    assert events.changes("event", page.cursor).seen == ()


@pytest.mark.parametrize("meaning", END)
def test_an_event_of_the_first_day_of_the_window_is_listed(org: Served, meaning: str) -> None:
    org.world.switches["salesforce.all_day_end"] = meaning
    desk = Desk(org)
    made = desk.made({**PLAIN, "when": "2094-03-01/2094-03-02"})
    seen = desk.events(since=datetime(2094, 3, 1, 8, tzinfo=UTC)).changes("event", None).seen
    assert [one.id for one in seen] == [made.id]


def test_a_listing_of_many_goes_on_from_its_cursor(org: Served) -> None:
    desk = Desk(org)
    for n in range(4_003):
        org.org.records.create(
            "Event",
            {"Subject": f"E{n}", "StartDateTime": "2094-03-01T09:00:00.000+0000", "DurationInMinutes": 30, "OwnerId": org.anna},
            org.anna,
        )
    events = desk.ready()
    first = events.changes("event", None)
    assert (len(first.seen), first.done, desk.calls()) == (4_000, False, 3)
    second = desk.events().changes("event", first.cursor)
    assert (len(second.seen), second.done) == (3, True)
    assert len({seen.id for seen in (*first.seen, *second.seen)}) == 4_003


def test_a_cursor_that_is_none_of_ours_has_expired(org: Served) -> None:
    with pytest.raises(CursorExpired):
        Desk(org).events().changes("event", "01g-2000")


# --- trouble ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "error"), [("drop_before", NetworkDown), ("concurrent_limit", Throttled)])
def test_no_answer_is_no_item(org: Served, kind: str, error: type[Exception]) -> None:
    desk = Desk(org)
    made = desk.made()
    desk.ready()
    desk.fault(kind, times=1)
    with pytest.raises(error):
        desk.events().read("event", [made.id])


def test_an_event_our_own_code_cannot_read_is_there_and_unknown(org: Served) -> None:
    desk = Desk(org)
    made, other = desk.made(), desk.made()
    rows = org.get("/query", q="SELECT FIELDS(STANDARD) FROM Event ORDER BY Id LIMIT 200")["records"]
    rows[0]["StartDateTime"] = "no time at all"
    parts = [
        {"referenceId": f"part{n}", "httpStatusCode": 200, "httpHeaders": {}, "body": {"records": some, "done": True}}
        for n, some in enumerate((rows, []))
    ]
    desk.later()
    desk.ready()
    desk.fault("status", "POST", status=200, body={"compositeResponse": parts})
    found = desk.events().read("event", [made.id, other.id])
    assert found[made.id].item == Item("event", {}) and found[made.id].facts.never == "skipped.unreadable"
    assert found[made.id].version == stamp(made) and found[other.id].item is not None


# --- what changed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_what_a_user_may_not_see_is_not_gone_and_not_written(org: Served, verb: Any) -> None:
    desk = Desk(org)
    made, gone = desk.made(), desk.made()
    org.call("DELETE", f"/sobjects/Event/{gone.id}")
    org.call("PATCH", f"/sobjects/Event/{made.id}", json={"OwnerId": org.ben})
    org.world.switches["salesforce.own_events_only"] = (org.anna,)
    seen = desk.events().read("event", [made.id])[made.id]
    assert seen.item == Item("event", {}) and seen.facts.never == "skipped.not_visible"
    org.world.calls.clear()
    fields = {"subject": "Mine"} if verb == "patch" else {}
    [answer] = desk.events().write([Send(verb, "event", made.id, seen.version, fields)])
    assert isinstance(answer, Refused) and (answer.code, desk.calls()) == ("refused.not_visible", 0)
    [answer] = desk.events().write([Send(verb, "event", made.id, made.version, fields)])  # as it was seen before
    assert isinstance(answer, Gone), "it is read again"
    org.world.switches.clear()
    assert desk.fields(made.id)["subject"] == "Review"
    assert desk.events().read("event", [made.id])[made.id].facts.owner == org.ben


def test_the_feed_tells_of_every_event_but_copies_and_series(org: Served) -> None:
    desk = Desk(org)
    before = org.world.clock.now() - timedelta(seconds=5)
    made = desk.made({**PLAIN, "people": (org.ben,)})
    gone = desk.made()
    org.call("DELETE", f"/sobjects/Event/{gone.id}")
    org.make(
        "Event", Subject="Classic", StartDateTime="2094-03-01T09:00:00Z", DurationInMinutes=60, IsRecurrence=True,
        RecurrenceType="RecursDaily", RecurrenceInterval=1, RecurrenceStartDateTime="2094-03-01T09:00:00Z",
        RecurrenceEndDateOnly="2094-03-01",
    )  # fmt: skip
    changed = {one.id: one for one in desk.feed().changed({"event": before})}
    assert changed[made.id].stamp == stamp_of(made.version) and changed[made.id].owner == org.anna
    assert changed[gone.id].deleted and not changed[made.id].deleted
    shown = org.query("SELECT Id FROM Event WHERE IsChild = true OR IsRecurrence = true")
    assert shown and not {row["Id"] for row in shown} & changed.keys()


def test_a_feed_whose_user_does_not_see_series_tells_of_the_rest(org: Served) -> None:
    desk = Desk(org)
    made = desk.made()
    owner = org.org.records.schema.find("Event")
    assert owner is not None
    del owner.fields["isrecurrence"]
    before = org.world.clock.now() - timedelta(minutes=5)
    assert [one.id for one in desk.feed().changed({"event": before})] == [made.id]


def test_a_kind_that_is_not_there_has_no_changes_and_the_others_go_on(org: Served, caplog: pytest.LogCaptureFixture) -> None:
    org.org.settings.session_timeout_s = 2 * 86400
    desk, understood = Desk(org), Understood()
    before = org.world.clock.now() - timedelta(seconds=5)
    made, mail = desk.made(), org.make("EmailMessage", Status="3", Subject="Mail")
    org.call("DELETE", f"/sobjects/EmailMessage/{mail}")
    since = {"mail": before, "event": before}
    objects = org.org.records.schema._objects
    hidden = objects.pop("event")

    def told() -> list[str]:
        org.world.calls.clear()
        return [one.id for one in desk.feed(understood).changed(since)]

    assert (told(), desk.calls()) == ([mail], 2)  # both statements for events are tried
    assert (told(), desk.calls()) == ([mail], 1)
    assert [one.message for one in caplog.records if "not there" in one.message] == [
        '{"event": "kind not there", "kind": "event", "code": "refused.invalid_type"}'
    ]
    objects["event"] = hidden
    assert told() == [mail]
    assert sorted(one.id for one in desk.feed().changed(since)) == sorted([mail, made.id]), "a new process asks"
    desk.later(86400)
    assert (sorted(told()), desk.calls()) == (sorted([mail, made.id]), 1)
