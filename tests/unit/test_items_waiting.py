"""Changes in the CRM that wait for a person's word: what others would be told of, and text that somebody else wrote."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from shared.core.model import Value
from shared.session import records, waiting
from shared.store.providers import Record
from tests.property.sides import PLACE
from tests.property.world import World

#: In the histories others see the changes of every third event: the items 3, 6 ...
SHARED = 3


def calm() -> World:
    world = World(3, share=0, edits=0, keyed=True)
    world.calm = True
    return world


def event(world: World, item: int, **more: Value) -> Record:
    world.lineage.item_of |= {f"v{item}{suffix}": item for suffix in ("", "0", "1", "2", "3")}
    texts = dict.fromkeys(("subject", "when", "location", "description", "show_as", "private"), f"v{item}")
    return world.sides["mail"].create("event", {**texts, "people": (), "answers": (), **more})


def rest(world: World, sessions: int = 3) -> None:
    for _ in range(sessions):
        world.session()
        world.time += timedelta(minutes=1)


def pair(world: World, item: int, **more: Value) -> tuple[Record, Record]:
    mail = event(world, item, **more)
    rest(world)
    [crm] = world.sides["crm"].alive("event")
    return mail, crm


def asked(world: World) -> list[dict[str, object]]:
    return [dict(row.value) for row in world.inner.scan(PLACE, *records.every("held"))]


def say(world: World, answer: Literal["send", "discard"]) -> bool:
    [row] = world.inner.scan(PLACE, *records.every("held"))
    return waiting.say(world.inner, PLACE, row.key.removeprefix(records.held("")), answer)


def test_a_change_others_would_be_told_of_waits_and_everything_else_crosses() -> None:
    world = calm()
    mail, crm = pair(world, SHARED)
    world.sides["crm"].edit(crm, {"subject": "v30", "show_as": "v31"})
    rest(world)
    assert (mail.fields["subject"], mail.fields["show_as"]) == ("v3", "v31")
    [told] = asked(world)
    assert (told["code"], told["fields"]) == ("held.approval", ["subject"])
    assert "held.approval" in [entry.rule for entry in world.notes]


def test_what_waits_is_not_forgotten_when_the_mailbox_changes_something_else() -> None:
    world = calm()
    mail, crm = pair(world, SHARED)
    world.sides["crm"].edit(crm, {"subject": "v30"})
    rest(world)
    world.sides["mail"].edit(mail, {"location": "v31"})
    rest(world)
    assert (crm.fields["subject"], crm.fields["location"]) == ("v30", "v31")
    assert [told["fields"] for told in asked(world)] == [["subject"]]


@pytest.mark.parametrize(("answer", "expected"), [("send", "v30"), ("discard", "v3")])
def test_a_person_sends_it_or_takes_it_back(answer: Literal["send", "discard"], expected: str) -> None:
    world = calm()
    mail, crm = pair(world, SHARED)
    world.sides["crm"].edit(crm, {"subject": "v30"})
    rest(world)
    assert say(world, answer)
    rest(world)
    assert (mail.fields["subject"], crm.fields["subject"]) == (expected, expected)
    assert asked(world) == []


def test_an_answer_is_about_the_value_that_was_told_and_no_later_one() -> None:
    world = calm()
    mail, crm = pair(world, SHARED)
    world.sides["crm"].edit(crm, {"subject": "v30"})
    rest(world)
    assert say(world, "send")
    world.sides["crm"].edit(crm, {"subject": "v31"})
    rest(world)
    assert mail.fields["subject"] == "v3"
    assert [told["fields"] for told in asked(world)] == [["subject"]]
    assert say(world, "send")
    rest(world)
    assert mail.fields["subject"] == "v31"


def test_an_edit_in_the_mailbox_settles_what_waits_and_the_ledger_says_so() -> None:
    world = calm()
    mail, crm = pair(world, SHARED)
    world.sides["crm"].edit(crm, {"subject": "v30"})
    rest(world)
    world.sides["mail"].edit(mail, {"subject": "v31"})
    rest(world)
    assert (mail.fields["subject"], crm.fields["subject"], asked(world)) == ("v31", "v31", [])
    assert ("conflict", ("subject",)) in [(entry.rule, entry.fields) for entry in world.notes]


def test_a_text_that_a_person_wrote_is_never_replaced_and_ours_is_put_above_it() -> None:
    world = calm()
    mail, crm = pair(world, 1)
    world.sides["crm"].edit(crm, {"description": "v10"})
    rest(world)
    assert mail.fields["description"] == "v1"
    assert [told["code"] for told in asked(world)] == ["held.differs"]
    assert say(world, "send")
    rest(world)
    assert mail.fields["description"] == "v10\nv1"
    assert crm.fields["description"] == "v10\nv1"
    assert asked(world) == []


def test_an_empty_text_and_our_own_are_replaced() -> None:
    world = calm()
    mail, crm = pair(world, 1, description="")
    for text in ("v10", "v11"):
        world.sides["crm"].edit(crm, {"description": text})
        rest(world)
        assert mail.fields["description"] == text
    assert asked(world) == []


def test_nothing_waits_any_more_where_the_mark_is_taken_off() -> None:
    world = calm()
    mail, crm = pair(world, SHARED)
    world.sides["crm"].edit(crm, {"subject": "v30"})
    rest(world)
    world.sides["mail"].mark(mail, False)
    rest(world)
    assert asked(world) == []
    world.sides["mail"].mark(mail, True)
    rest(world)
    assert [told["fields"] for told in asked(world)] == [["subject"]]
    assert crm.fields["subject"] == "v30"


def test_an_answer_where_nothing_waits_is_refused() -> None:
    world = calm()
    pair(world, SHARED)
    assert not waiting.say(world.inner, PLACE, "nothing.wait", "send")
