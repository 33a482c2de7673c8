"""Named scenarios of the two-way engine that random histories reach too seldom: bugs, refusals, the brake, severed links."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.core import brake
from shared.core.plan import Plan
from shared.ports import Insert
from shared.session import links, records
from shared.session.items import Work
from shared.store.providers import Record
from tests.property.world import PLACE, WatchedSync, World


def calm() -> World:
    world = World(1, share=0, edits=0)
    world.calm = True
    return world


def note(world: World, n: int) -> Record:
    fields = {"title": f"v{n}", "text": f"v{n}", "where": f"v{n}", "tags": ()}
    return world.sides["mail"].create("note", fields)


def rest(world: World, sessions: int = 3) -> None:
    for _ in range(sessions):
        world.session()
        world.time += timedelta(minutes=1)


def rules(world: World) -> list[str]:
    return [entry.rule for entry in world.notes]


def test_of_a_thousand_items_ten_with_a_bug_of_ours_are_held_with_the_place_and_the_others_arrive() -> None:
    world = calm()
    made = [note(world, n) for n in range(1000)]
    broken = {links.link_key("m", "note", "mail", record.id) for record in made[::100]}

    class Buggy(WatchedSync):
        def _plan(self, work: Work) -> Plan:
            if work.link.key in broken:
                raise KeyError("a subject nobody may see")
            return super()._plan(work)

    world.sync = Buggy
    rest(world, 8)
    assert len(world.sides["crm"].alive("note")) == 990
    held = list(world.inner.scan(PLACE, *records.every("held")))
    assert len(held) == 10
    assert all(row.value["code"] == "item.bug" and row.value["place"].startswith("test_items.py:") for row in held)
    assert "subject" not in str([row.value for row in world.inner.scan(PLACE)])


def test_more_bugs_than_one_in_twenty_rise_to_the_host() -> None:
    world = calm()
    for n in range(100):
        note(world, n)

    class Broken(WatchedSync):
        def _plan(self, work: Work) -> Plan:
            raise KeyError

    world.sync = Broken
    with pytest.raises(KeyError):
        for _ in range(4):
            world.session()


@pytest.mark.parametrize(
    ("deletions", "links_known", "inferred", "empty", "held"),
    [(25, 100, False, False, False), (26, 100, False, False, True), (200, 1000, False, False, False),
     (201, 1000, False, False, True), (5, 20, True, False, False), (6, 20, True, False, True), (50, 1000, True, False, False),
     (51, 1000, True, False, True), (1, 6, True, True, True), (1, 5, True, True, False)],
)  # fmt: skip
def test_the_brakes_thresholds(deletions: int, links_known: int, inferred: bool, empty: bool, held: bool) -> None:
    assert brake.holds(deletions, links_known, inferred=inferred, empty_listing=empty) is held


def _deleted_at_once(world: World, made: Sequence[Record]) -> None:
    for record in made:
        world.sides["mail"].remove(record)


def test_forty_of_forty_deleted_at_once_stay_until_a_person_confirms() -> None:
    world = calm()
    made = [
        world.sides["crm"].create("note", {"title": f"v{n}", "text": f"v{n}", "where": f"v{n}", "tags": ()}) for n in range(40)
    ]
    rest(world)
    _deleted_at_once(world, world.sides["mail"].alive("note"))
    edited = world.sides["crm"].create("note", {"title": "v99", "text": "v99", "where": "v99", "tags": ()})
    rest(world)
    assert len(world.sides["crm"].alive("note")) == 41
    assert rules(world).count("held.deletes") == 40
    assert any(record.fields["title"] == edited.fields["title"] for record in world.sides["mail"].alive("note"))
    assert made


def test_what_was_severed_is_not_adopted_and_not_created_again() -> None:
    world = calm()
    first = note(world, 1)
    rest(world)
    world.sides["crm"].remove(world.sides["crm"].alive("note")[0])
    rest(world)
    assert (first.marked, first.deleted) == (False, False)
    world.sides["mail"].edit(first, {"text": "v2"})
    rest(world)
    assert world.sides["crm"].alive("note") == []
    world.sides["mail"].mark(first, True)
    rest(world)
    assert [record.fields["text"] for record in world.sides["crm"].alive("note")] == ["v2"]


def test_an_item_that_lay_on_both_sides_is_adopted_and_only_differences_cross() -> None:
    world = calm()
    fields = {"title": "v1", "text": "v2", "where": "v3", "tags": ()}
    world.sides["mail"].create("note", fields)
    world.sides["crm"].create("note", {**fields, "title": "v9"})
    rest(world)
    assert [len(world.sides[side].alive("note")) for side in ("mail", "crm")] == [1, 1]
    assert world.sides["crm"].alive("note")[0].fields["title"] == "v1"
    assert "conflict" in rules(world)
    assert sum(side.writes for side in world.sides.values()) == 1


def test_a_mark_taken_away_pauses_and_given_back_carries_what_changed_meanwhile() -> None:
    world = calm()
    record = note(world, 1)
    rest(world)
    world.sides["mail"].mark(record, False)
    rest(world)
    world.sides["crm"].edit(world.sides["crm"].alive("note")[0], {"text": "v5"})
    rest(world)
    assert record.fields["text"] == "v1"
    world.sides["mail"].mark(record, True)
    rest(world)
    world.sides["crm"].edit(world.sides["crm"].alive("note")[0], {"title": "v6"})
    rest(world)
    assert (record.fields["text"], record.fields["title"]) == ("v5", "v6")


def test_an_echo_costs_one_call_a_side_and_kind_and_no_write() -> None:
    world = calm()
    for n in range(30):
        note(world, n)
    rest(world, 4)
    before = {side: (one.calls, one.writes) for side, one in world.sides.items()}
    rest(world, 1)
    assert {side: (one.calls - before[side][0], one.writes - before[side][1]) for side, one in world.sides.items()} == {
        "mail": (2, 0), "crm": (2, 0)
    }  # fmt: skip


def test_a_confirmed_brake_lets_the_deletes_go() -> None:
    world = calm()
    for n in range(40):
        world.sides["crm"].create("note", {"title": f"v{n}", "text": f"v{n}", "where": f"v{n}", "tags": ()})
    rest(world)
    world.inner.commit(PLACE, [Insert("confirm_mail_note", records.row(by="user"))])
    _deleted_at_once(world, world.sides["mail"].alive("note"))
    rest(world)
    assert [row for row in links.every(world.inner, PLACE, "note") if row.state == "live"] == []
