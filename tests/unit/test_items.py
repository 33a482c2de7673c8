"""Named scenarios of the two-way engine that random histories reach too seldom: bugs, refusals, the brake, severed links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core import brake
from shared.core import fields as law
from shared.core.errors import NetworkDown
from shared.core.model import Side, Value
from shared.core.plan import Plan
from shared.ports import Page, Put
from shared.session import deletes, links, records, standing, waiting
from shared.session.item_work import Work
from shared.session.lease import Held
from shared.store.providers import Record
from tests.property.world import PLACE, WatchedSync, World


def calm(*, keyed: bool = True) -> World:
    world = World(2, share=0, edits=0, keyed=keyed)
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
        def _plan(self, work: Work, now: float) -> Plan:
            if work.link.key in broken:
                raise KeyError("a subject nobody may see")
            return super()._plan(work, now)

    world.sync = Buggy
    rest(world, 8)
    assert len(world.sides["crm"].alive("note")) == 990
    held = list(world.inner.scan(PLACE, *records.every("held")))
    assert len(held) == 10
    assert all(row.value["code"] == "item.bug" and row.value["place"].startswith("item_writing.py:") for row in held)
    assert "subject" not in str([row.value for row in world.inner.scan(PLACE)])


def test_more_bugs_than_one_in_twenty_rise_to_the_host() -> None:
    world = calm()
    for n in range(100):
        note(world, n)

    class Broken(WatchedSync):
        def _plan(self, work: Work, now: float) -> Plan:
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


def _held_deletions(world: World) -> list[Record]:
    """Forty notes of the CRM whose copies in the mailbox were all deleted at once."""
    made = [world.sides["crm"].create("note", fields(n)) for n in range(40)]
    rest(world)
    _deleted_at_once(world, world.sides["mail"].alive("note"))
    rest(world)
    return made


def fields(n: int) -> dict[str, Value]:
    return {"title": f"v{n}", "text": f"v{n}", "where": f"v{n}", "tags": ()}


def health(world: World) -> str:
    row = world.inner.get(PLACE, records.STATE)
    assert row is not None
    return str(row.value["health"])


def test_a_confirmation_carries_out_what_was_held_and_nothing_that_comes_later() -> None:
    world = calm()
    for n in range(40):
        note(world, n)
    rest(world)
    _deleted_at_once(world, world.sides["mail"].alive("note"))
    rest(world)
    assert (len(world.sides["crm"].alive("note")), health(world)) == (40, "mailbox.deletes_held")
    assert deletes.confirm(world.inner, PLACE, "note", "mail", world.now())
    rest(world)
    assert (len(world.sides["crm"].alive("note")), health(world)) == (0, "ok")
    assert [row for prefix in ("link", "gone", "confirm") for row in world.inner.scan(PLACE, *records.every(prefix))] == []
    for n in range(40):
        note(world, 100 + n)
    rest(world)
    _deleted_at_once(world, world.sides["mail"].alive("note"))
    rest(world)
    assert len(world.sides["crm"].alive("note")) == 40


def test_there_is_nothing_to_confirm_where_nothing_is_held() -> None:
    world = calm()
    note(world, 1)
    rest(world)
    assert not deletes.confirm(world.inner, PLACE, "note", "mail", world.now())
    assert list(world.inner.scan(PLACE, *records.every("confirm"))) == []


def test_what_was_restored_or_edited_while_its_deletion_was_held_is_not_deleted() -> None:
    world = calm()
    made = _held_deletions(world)
    mail = world.sides["mail"]
    back = next(record for record in mail.records.values() if record.fields["title"] == "v1")
    back.deleted = False
    mail.open(back)
    world.sides["crm"].edit(made[2], {"text": "v200"})
    rest(world)
    assert sorted(str(record.fields["title"]) for record in mail.alive("note")) == ["v1", "v2"]
    assert deletes.confirm(world.inner, PLACE, "note", "mail", world.now())
    rest(world)
    assert sorted(str(record.fields["title"]) for record in mail.alive("note")) == ["v1", "v2"]
    severed = [link for link in links.every(world.inner, PLACE, "note") if link.state == "severed"]
    assert (len(severed), len(world.sides["crm"].alive("note"))) == (38, 40)  # we did not make them


def _tug(world: World, record: Record, twin: Record, times: int) -> int:
    """Both sides set the field back to theirs after every session; answers how many of the edits crossed."""
    crossed = 0
    for n in range(times):
        side, mine, theirs = ("mail", record, twin) if n % 2 == 0 else ("crm", twin, record)
        world.sides[side].edit(mine, {"text": f"v{100 + n}"})
        rest(world, 1)
        crossed += theirs.fields["text"] == f"v{100 + n}"
    return crossed


def test_two_systems_that_insist_are_stopped_and_the_other_fields_go_on() -> None:
    world = calm()
    record = note(world, 1)
    rest(world)
    twin = world.sides["crm"].alive("note")[0]
    assert _tug(world, record, twin, 10) == 4
    assert rules(world).count("held.insist") == 1
    assert [row.value["fields"] for row in world.inner.scan(PLACE, *records.every("held"))] == [["text"]]
    world.sides["mail"].edit(record, {"where": "v300"})
    rest(world)
    assert twin.fields["where"] == "v300"
    assert standing.read(world.inner, PLACE, world.now(), 1800).issues == 1


@pytest.mark.parametrize("by_person", [True, False])
def test_a_field_that_was_insisted_on_is_decided_anew_after_a_day_or_when_a_person_says_so(by_person: bool) -> None:
    world = calm()
    record = note(world, 1)
    rest(world)
    twin = world.sides["crm"].alive("note")[0]
    _tug(world, record, twin, 6)
    assert record.fields["text"] != twin.fields["text"]
    world.time += timedelta(hours=23)
    rest(world)
    assert record.fields["text"] != twin.fields["text"]
    (held,) = world.inner.scan(PLACE, *records.every("held"))
    if by_person:
        assert waiting.release(world.inner, PLACE, held.key.removeprefix("held_"))
    else:
        world.time += timedelta(hours=1)
    rest(world)
    assert record.fields["text"] == twin.fields["text"]
    assert list(world.inner.scan(PLACE, *records.every("held"))) == []


def test_five_edits_an_hour_from_one_side_are_no_tug_of_war() -> None:
    world = calm()
    record = note(world, 1)
    rest(world)
    for n in range(10):
        world.sides["mail"].edit(record, {"text": f"v{n}"})
        rest(world, 1)
    assert world.sides["crm"].alive("note")[0].fields["text"] == "v9"
    assert "held.insist" not in rules(world)


def test_a_changed_canonical_form_rewrites_rows_and_writes_at_no_vendor() -> None:
    world = calm()
    raw = {"name": "v1", "phone": "1 2 3", "company": "v2", "seen": ""}
    record = world.sides["mail"].create("card", raw)
    rest(world)
    twin = world.sides["crm"].alive("card")[0]
    twin.fields["phone"] = "1 2 3"  # as the release before had sent it
    world.age_rows()
    for side in world.sides.values():
        side.generation += 1  # everything is listed anew
    for one in (record, twin):
        world.sides["mail" if one is record else "crm"].open(one)
    writes = {side: one.writes for side, one in world.sides.items()}
    (before,) = links.every(world.inner, PLACE, "card")
    rest(world)
    (after,) = links.every(world.inner, PLACE, "card")
    assert (before.mail.canon, before.crm.canon) == (law.CANON - 1, law.CANON - 1)
    assert (after.mail.canon, after.crm.canon) == (law.CANON, law.CANON)
    assert before.mail.base["phone"] != after.mail.base["phone"] == after.crm.base["phone"]
    assert {side: one.writes for side, one in world.sides.items()} == writes
    world.sides["mail"].edit(record, {"phone": "4 5"})
    rest(world)
    assert twin.fields["phone"] == "45"


def test_an_edit_made_before_the_form_changed_still_crosses_and_only_it() -> None:
    world = calm()
    record = world.sides["mail"].create("card", {"name": "v1", "phone": "1 2 3", "company": "v2", "seen": ""})
    rest(world)
    twin = world.sides["crm"].alive("card")[0]
    twin.fields["phone"] = "1 2 3"
    world.age_rows()
    world.sides["crm"].edit(twin, {"phone": "6 7"})
    rest(world)
    assert (record.fields["phone"], twin.fields["phone"]) == ("67", "6 7")


def _lost_create(world: World, n: int, copies: int) -> Record:
    """A note whose create in the CRM was made `copies` times, and no answer arrived."""
    record = note(world, n)
    crm = world.sides["crm"]
    once = crm.after

    def lost(what: str) -> None:
        if what == "write":
            crm.after = once
            made = crm.alive("note")[-1]
            for _ in range(copies - 1):
                crm.create("note", made.fields, by="us")
            if not copies:
                crm.records.pop(made.id)
            raise NetworkDown

    crm.after = lost
    world.session()
    return record


@pytest.mark.parametrize("copies", [0, 1])
def test_without_a_key_field_a_lost_create_is_looked_up_and_made_again_only_if_it_is_not_there(copies: int) -> None:
    world = calm(keyed=False)
    record = _lost_create(world, 1, copies)
    made = [one.id for one in world.sides["crm"].alive("note")]
    assert len(made) == copies
    world.sides["mail"].edit(record, {"text": "v5"})
    rest(world)
    (there,) = world.sides["crm"].alive("note")
    assert there.fields["text"] == "v5"
    assert made in ([there.id], [])


def test_of_several_that_look_alike_none_is_taken_and_a_person_is_told() -> None:
    world = calm(keyed=False)
    _lost_create(world, 1, 2)
    world.sides["crm"].generation += 1
    rest(world)
    assert (len(world.sides["crm"].alive("note")), len(world.sides["mail"].alive("note"))) == (2, 1)
    assert "held.several" in rules(world)
    world.sides["crm"].remove(world.sides["crm"].alive("note")[1])
    world.time += timedelta(hours=7)
    rest(world)
    assert (len(world.sides["crm"].alive("note")), len(world.sides["mail"].alive("note"))) == (1, 1)
    (link,) = links.every(world.inner, PLACE, "note")
    assert (link.state, link.announced, link.crm.id) == ("live", (), world.sides["crm"].alive("note")[0].id)
    assert list(world.inner.scan(PLACE, *records.every("held"))) == []


def test_what_a_user_made_before_is_not_taken_for_the_lost_create() -> None:
    world = calm(keyed=False)
    world.sides["crm"].create("note", {**fields(7), "title": "v8"})
    rest(world)
    _lost_create(world, 1, 1)
    rest(world)
    assert sorted(str(one.fields["title"]) for one in world.sides["crm"].alive("note")) == ["v1", "v8"]


def test_a_page_of_changes_is_read_in_a_few_steps_whatever_it_holds() -> None:
    world = calm()
    steps: list[int] = []

    class Counting(WatchedSync):
        def _works(self, held: Held, kind: str, side: Side, page: Page) -> list[Work]:
            before = world.reads
            works = super()._works(held, kind, side, page)
            if len(page.seen) >= 90:
                steps.append(world.reads - before)
            return works

    for n in range(100):
        note(world, n)
    rest(world, 4)
    world.sync = Counting
    for record in world.sides["mail"].alive("note"):
        world.sides["mail"].edit(record, {"text": "v500"})
    rest(world)
    assert steps
    assert max(steps) <= 2


def test_an_item_too_large_for_a_row_is_held_and_the_others_arrive() -> None:
    world = calm()
    note(world, 1)
    world.sides["mail"].create("note", {**fields(2), "tags": tuple(f"tag{n}" for n in range(8000))})
    note(world, 3)
    rest(world)
    assert sorted(str(one.fields["title"]) for one in world.sides["crm"].alive("note")) == ["v1", "v3"]
    assert [row.value["code"] for row in world.inner.scan(PLACE, *records.every("held"))] == ["refused.too_large"]


def test_a_severed_item_that_was_held_is_not_written_when_its_time_comes() -> None:
    world = calm()
    record = note(world, 1)
    rest(world)
    (link,) = links.every(world.inner, PLACE, "note")
    severed = replace(link, state="severed", rule="deleted.crm")
    held = Put(records.held(link.key), records.row(code="item.bug", place="", kind="note", since="2025-01-01T00:00:00.000000Z"))
    world.inner.commit(PLACE, [*links.writes(severed, before=link), held])
    world.sides["crm"].remove(world.sides["crm"].alive("note")[0])
    rest(world)
    assert world.sides["crm"].alive("note") == []
    assert list(world.inner.scan(PLACE, *records.every("held"))) == []
    assert not record.deleted
