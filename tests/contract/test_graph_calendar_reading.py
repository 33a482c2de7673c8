"""Reading and finding through the Graph calendar adapter; what is told in part; and trouble on the way."""

from __future__ import annotations

from typing import Any

import pytest

from shared.core.errors import ConsentNeeded, MailboxMissing, NetworkDown, Throttled, Unavailable
from shared.core.model import Item
from shared.mailbox.graph_event_map import STAMP
from tests.contract.graph_calendar_seen import Calendar, later, values, weekly
from tests.contract.microsoft_calendar import at
from tests.contract.microsoft_world import ADA, CLIENT, TENANT, Stand

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]
PRIVATE_STAMP: dict[str, Any] = {"singleValueExtendedProperties": [{"id": STAMP, "value": "KEY1"}]}


# --- reading and finding


def test_reading_gives_what_is_there_with_its_key_and_says_what_is_gone(cal: Calendar) -> None:
    keyed = cal.make("Keyed", "2026-12-03T10:00:00", "2026-12-03T11:00:00", **PRIVATE_STAMP)
    plain = cal.make("Plain", "2026-12-03T10:00:00", "2026-12-03T11:00:00")
    deleted = cal.make("Deleted", "2026-12-03T10:00:00", "2026-12-03T11:00:00")
    cal.person(lambda calendar: calendar.delete(deleted))
    cal.cost()
    found = cal.adapter.read("event", [keyed, plain, deleted, "nonsense", keyed])
    assert cal.cost() == 1
    assert [(one.key, one.item is not None) for one in found.values()] == [
        ("KEY1", True), ("", True), ("", False), ("", False),
    ]  # fmt: skip
    assert cal.adapter.read("event", []) == {} and cal.cost() == 0


def test_fifty_events_are_read_in_three_requests(cal: Calendar) -> None:
    made = [cal.make(f"n{n}", "2026-12-03T10:00:00", "2026-12-03T11:00:00") for n in range(50)]
    cal.cost()
    assert len(cal.adapter.read("event", made)) == 50 and cal.cost() == 3


def test_a_key_finds_its_event_and_only_in_its_own_letters(cal: Calendar) -> None:
    when = ("2026-12-03T10:00:00", "2026-12-03T11:00:00")
    first = cal.make("First", *when, **PRIVATE_STAMP)
    cal.to(later(minutes=1))
    cal.make("Second", *when, **PRIVATE_STAMP)
    cal.cost()
    found = cal.adapter.find("event", ["KEY1", "key1", "it's", "other"])
    assert {key: one.id for key, one in found.items()} == {"KEY1": first} and found["KEY1"].key == "KEY1"
    assert cal.cost() == 1


def test_a_series_that_carries_our_key_is_no_item(cal: Calendar) -> None:
    series = cal.make("Weekly", "2026-12-01T14:00:00", "2026-12-01T15:00:00", recurrence=weekly(), **PRIVATE_STAMP)
    assert cal.adapter.find("event", ["KEY1"]) == {}
    assert cal.read(f"{series}/20261208T140000Z").key == "", "the key is not that of its occurrences"
    assert cal.read(series).item is None


def test_twins_have_the_same_subject_and_time_no_key_and_no_series(cal: Calendar) -> None:
    when = ("2026-12-03T10:00:00", "2026-12-03T11:00:00")
    first = cal.make(" Budget  talk", *when)
    cal.to(later(minutes=1))
    second = cal.make("Budget talk", *when)
    cal.make("Budget talk", *when, **PRIVATE_STAMP)
    cal.make("Budget talk", *when, recurrence=weekly("2026-12-03", days=("thursday",)))
    cal.make("Budget talk", "2026-12-03T10:00:00", "2026-12-03T12:00:00")
    fair = cal.make("Fair", "2026-12-10", "2026-12-12", zone="Tokyo Standard Time")
    items = [
        Item("event", {"subject": "Budget talk", "when": "2026-12-03T10:00:00Z/2026-12-03T11:00:00Z"}),
        Item("event", {"subject": "Fair", "when": "2026-12-10/2026-12-12"}),
        Item("event", {"subject": "Other", "when": "2026-12-10/2026-12-12"}),
        Item("event", {"subject": "", "when": "2026-12-10/2026-12-12"}),
    ]
    cal.cost()
    twins = cal.adapter.twins(items)
    assert [[one.id for one in some] for some in twins] == [[first, second], [fair], [], []] and cal.cost() == 1


def test_who_made_what_is_never_asked(cal: Calendar) -> None:
    assert cal.adapter.keyed is True
    with pytest.raises(NotImplementedError):
        cal.adapter.made_since("event", later())
    with pytest.raises(ValueError):
        cal.adapter.changes("card", None)


# --- trouble


def test_a_caller_without_the_permission_needs_consent(ms: Stand, cal: Calendar) -> None:
    cal.token.token = ms.do(lambda: ms.microsoft.tokens.access(CLIENT, TENANT, None, ("Mail.ReadWrite",))[0])
    with pytest.raises(ConsentNeeded):
        cal.page()


def test_a_mailbox_that_is_not_there_is_missing(ms: Stand, cal: Calendar) -> None:
    cal.user = "nobody@example.test"
    with pytest.raises(MailboxMissing):
        cal.page()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "throttled", "detail": 9}, Throttled),
        ({"kind": "status", "status": 503}, Unavailable),
        ({"kind": "drop_after"}, NetworkDown),
    ],
)
def test_who_must_wait_is_told_so_and_nothing_is_lost(
    ms: Stand, cal: Calendar, fault: dict[str, Any], error: type[Exception]
) -> None:
    cal.all()
    one = cal.make("Talk", "2026-12-03T10:00:00", "2026-12-03T11:00:00")
    ms.fault(**fault)
    before = cal.cursor
    with pytest.raises(error):
        cal.page()
    assert cal.cursor == before and set(cal.all()) == {one}


# --- what is told in part, or not at all


def canned(ms: Stand, *items: Any, link: str = "deltaLink", to: str = "") -> dict[str, Any]:
    """A page of the round, as a fault that takes the place of the next one."""
    where = to or f"{ms.url}/v1.0/users/{ADA}/calendarView/delta?$deltatoken=x"
    body = {"value": list(items), f"@odata.{link}": where}
    return {"kind": "status", "match": "calendarView/delta", "status": 200, "body": body}


def test_what_is_told_in_part_is_read_in_full(ms: Stand, cal: Calendar) -> None:
    single = cal.make("Talk", "2026-12-03T10:00:00", "2026-12-03T11:00:00")
    series = cal.make("Weekly", "2026-12-01T14:00:00", "2026-12-01T15:00:00", recurrence=weekly())
    vendor_id = cal.occurrence(series, "2026-12-08")
    cal.person(lambda calendar: calendar.change(vendor_id, subject="Special"))
    cal.all()
    start, end = at("2026-12-08T14:00:00"), at("2026-12-08T15:00:00")
    thin = {"id": vendor_id, "type": "exception", "seriesMasterId": series, "start": start, "end": end,
            "originalStart": "2026-12-08T14:00:00Z"}  # fmt: skip
    little = {"id": single, "type": "singleInstance", "subject": "no more than that"}
    ms.fault(**canned(ms, little, {"id": series, "type": "seriesMaster"}, thin, {"subject": "no id"}, None, 7))
    page = cal.page()
    assert values({one.id: one for one in page.seen}, "subject") == {single: "Talk", f"{series}/20261208T140000Z": "Special"}


def test_a_page_that_leads_nowhere_or_elsewhere_is_asked_for_again(ms: Stand, cal: Calendar) -> None:
    cal.all()
    before = cal.cursor
    for fault in (canned(ms, link="other"), canned(ms, link="nextLink", to="https://elsewhere.test/v1.0/x")):
        ms.fault(**fault)
        with pytest.raises(Unavailable):
            cal.page()
        assert cal.cursor == before


@pytest.mark.parametrize("status", [403, 500])
def test_what_cannot_be_read_is_never_called_gone(ms: Stand, cal: Calendar, status: int) -> None:
    single = cal.make("Talk", "2026-12-03T10:00:00", "2026-12-03T11:00:00")
    series = cal.make("Weekly", "2026-12-01T14:00:00", "2026-12-01T15:00:00", recurrence=weekly())
    cal.all()
    for item_id, path in (
        (single, "events/{event}"),
        (f"{series}/20261208T140000Z", "events/{event}"),
        (f"{series}/20261208T140000Z", "events/{event}/instances"),
    ):
        ms.fault(
            "status",
            match=f"GET /v1.0/users/{{user}}/{path}",
            status=status,
            body={"error": {"code": "ErrorX", "message": "-"}},
        )
        with pytest.raises(Unavailable):
            cal.read(item_id)
    cal.person(lambda calendar: calendar.delete(single))
    ms.fault(
        "status", match="GET /v1.0/users/{user}/events/{event}", status=status, body={"error": {"code": "X", "message": "-"}}
    )
    with pytest.raises(Unavailable):
        cal.page()
    assert cal.all()[single].item is None
