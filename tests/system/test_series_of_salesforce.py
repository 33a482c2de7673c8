"""Series made in Salesforce: their occurrences come down as single events, and the mailbox never writes to one of them, because
Salesforce would change the whole series."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.access import directory
from shared.core.errors import Refused
from shared.crm.budget import Budget
from shared.crm.salesforce_events import SalesforceEvents
from shared.crm.schema import Schema
from shared.ports import Send
from shared.session import waiting
from tests.system.diary import Diary, events, rules, with_key_field
from tests.system.stage import Stage, address_of


@pytest.fixture(params=["key", "lookup"])
def ann(request: pytest.FixtureRequest, memory_stage: Stage) -> Iterator[Diary]:
    stage = memory_stage
    stage.users("ann")
    if request.param == "key":
        with_key_field(stage)
    stage.sessions("ann")
    stage.wire.poll()
    stage.advance(61)
    diary = Diary(stage, "ann")
    diary.record("Weekly", 26, Recurrence2PatternText="FREQ=DAILY;COUNT=5")
    diary.step()
    yield diary


def subjects(ann: Diary) -> list[str]:
    return sorted(one.details.subject for one in ann.all())


def writes(stage: Stage) -> list[str]:
    """Calls that wrote at Salesforce; a composite may only ask."""
    found = stage.world.calls.snapshot().get("salesforce", {})
    return [name for name in found if not name.startswith("GET") and not name.endswith("/composite")]


def test_its_occurrences_come_down_and_its_changes_too(memory_stage: Stage, ann: Diary) -> None:
    assert subjects(ann) == ["Weekly"] * 5
    record = min(events(memory_stage), key=lambda row: row["StartDateTime"])["Id"]
    ann.edit(record, Subject="Daily")
    ann.step()
    assert subjects(ann) == ["Daily"] * 5
    assert "refused.series" not in list(rules(memory_stage, "ann"))


def test_an_edit_in_the_mailbox_is_refused_without_a_write(memory_stage: Stage, ann: Diary) -> None:
    before = events(memory_stage)
    first = min(ann.all(), key=lambda one: one.details.start).shown_id(True)
    ann.change(first, subject="Mine")
    for _ in range(3):
        ann.step()
    assert events(memory_stage) == before
    assert list(rules(memory_stage, "ann")).count("refused.series") == 1
    assert writes(memory_stage) == []
    ann.edit(before[0]["Id"], Location="Room 9")  # the whole series has it
    ann.step()
    assert [one.details.locations[0]["displayName"] for one in ann.all()] == ["Room 9"] * 5
    assert subjects(ann) == ["Mine"] + ["Weekly"] * 4
    ann.change(first, subject="Weekly")
    ann.step(waiting.RETRY_S + 1)
    assert [row["Subject"] for row in events(memory_stage)] == ["Weekly"] * 5


def test_a_deletion_in_the_mailbox_deletes_no_record(memory_stage: Stage, ann: Diary) -> None:
    before = events(memory_stage)
    ann.delete(ann.all()[0].shown_id(True))
    for _ in range(3):
        ann.step()
    assert events(memory_stage) == before
    assert len(ann.all()) == 4
    assert "deleted.mail.not_ours" in list(rules(memory_stage, "ann"))


def test_unsync_leaves_the_record(memory_stage: Stage, ann: Diary) -> None:
    before = events(memory_stage)
    ann.mark(ann.all()[0].shown_id(True), "Salesforce", "Salesforce Unsync")
    for _ in range(2):
        ann.step()
    assert events(memory_stage) == before


def adapter(stage: Stage) -> SalesforceEvents:
    wire, clock = stage.wire, stage.clock
    entry = directory.find(wire.store, wire.settings.install_secret, wire.settings.tenant, address_of("ann"))
    assert entry is not None
    org = wire.org_place(entry.org)
    return SalesforceEvents(
        wire.http, wire.salesforce_access(entry), user_id=entry.user, schema=Schema(wire.store, org, clock),
        budget=Budget(wire.store, org, clock), clock=clock, session_id="test", since=clock.now(),
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_the_adapter_itself_refuses_and_goes_on_with_the_others(memory_stage: Stage, ann: Diary, verb: str) -> None:
    single = ann.record("Single", 200)
    crm = adapter(memory_stage)
    seen = crm.read("event", [row["Id"] for row in events(memory_stage)])
    sends = [Send(verb, "event", one.id, one.version, {"subject": "Other"}) for one in seen.values()]  # type: ignore[arg-type]
    memory_stage.world.calls.clear()
    answers = dict(zip(seen, crm.write(sends), strict=True))
    refused = [one.code for key, one in answers.items() if key != single and isinstance(one, Refused)]
    assert refused == ["refused.series"] * 5
    assert not isinstance(answers[single], Refused)
    assert sorted({row["Subject"] for row in events(memory_stage)}) == (["Other", "Weekly"] if verb == "patch" else ["Weekly"])
