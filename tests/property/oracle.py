"""The lineage oracle: what must be true at the end of every history, whatever failed on the way. One sentence per verdict."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from shared.core import fields as law
from shared.core.model import SIDES
from shared.session import links, records
from tests.property.lineage import token
from tests.property.world import KINDS, PLACE, World


def verdict(world: World) -> str:
    """The first rule that is broken, or "" when all hold."""
    if world.defects:
        return world.defects[0]
    for rule in (
        _once, _both_sides_alike, _leaves, _additions, _removals, _stays_deleted, _deletes_cross, _no_tug_of_war,
        _nothing_waits, _at_rest,
    ):  # fmt: skip
        if broken := rule(world):
            return broken
    return ""


def _once(world: World) -> str:
    for side in SIDES:
        for kind in KINDS:
            alive = world.sides[side].alive(kind)
            items = [world.item(record) for record in alive]
            marked = [world.item(record) for record in alive if record.marked]
            doubled = {item for item in marked if marked.count(item) > 1}
            # a twin that was unmarked when the two met is an item of its own once somebody marks it again
            doubled -= world.lineage.ended & world.lineage.twins
            for item in doubled & set(world.lineage.excused):
                world.allowed.append(f"allowed twin: item {item} on {side}, {world.lineage.excused[item]}")
            doubled -= set(world.lineage.excused)
            if doubled:
                return f"doubled: item {min(doubled)} stands twice on {side}"
            for item in range(1, world.lineage.items + 1):
                known = {r.kind for r in world.sides[side].records.values() if _is(world, r, item)}
                if item not in world.lineage.ended and kind in known and item not in items:
                    return f"lost: item {item} is gone on {side} and nobody deleted it"
    return ""


def _is(world: World, record: object, item: int) -> bool:
    return world.item(record) == item  # type: ignore[arg-type]


def _both_sides_alike(world: World) -> str:
    for kind in KINDS:
        crm = {world.item(record): record for record in world.sides["crm"].alive(kind)}
        for record in world.sides["mail"].alive(kind):
            item = world.item(record)
            if _free(world, item):
                continue
            if item not in crm:
                return f"missing: item {item} is not on the crm side"
            for one in law.KINDS[kind]:
                mail_value, crm_value = record.fields[one.name], crm[item].fields[one.name]
                if not (law.same(kind, "crm", one.name, crm_value, mail_value)
                        or law.same(kind, "mail", one.name, mail_value, crm_value)):  # fmt: skip
                    return f"different: item {item}, field {one.name}"
    return ""


def _leaves(world: World) -> str:
    """A value somebody replaced with full knowledge must not be the final one."""
    replaced = set(world.lineage.parents.values())
    for side in SIDES:
        for kind in KINDS:
            for record in world.sides[side].alive(kind):
                if _free(world, world.item(record)):
                    continue
                for name, value in record.fields.items():
                    if isinstance(value, str) and token(value) in replaced:
                        return f"undone: {name} of item {world.item(record)} on {side} went back to {token(value)}"
    return ""


def _additions(world: World) -> str:
    """What somebody added to a set, and nobody took out, stays."""
    for record in world.sides["mail"].alive("note"):
        item = world.item(record)
        if _free(world, item):
            continue
        wanted = world.lineage.added.get(item, set()) - world.lineage.removed.get(item, set())
        if missing := wanted - set(record.fields["tags"]):
            return f"lost addition: {min(missing)} of item {item}"
    return ""


def _removals(world: World) -> str:
    """What somebody took out of a set stays out, but where nobody can tell that from a write that was never made."""
    for side in SIDES:
        for record in world.sides[side].alive("note"):
            item = world.item(record)
            if _free(world, item):
                continue
            back = set(record.fields["tags"]) & world.lineage.removed.get(item, set())
            if wrong := back - world.lineage.unsure:
                return f"lost removal: {min(wrong)} of item {item} on {side}"
            world.counts["removals nobody can tell"] += side == "mail" and len(back)
    return ""


def _free(world: World, item: int) -> bool:
    """Whether somebody ended the item, or lookup mode may have doubled it: its values prove nothing then."""
    return item in world.lineage.ended or item in world.lineage.excused


def _stays_deleted(world: World) -> str:
    """What was deleted while all was in step, and nobody touched again, does not come back."""
    for item, side in sorted(world.lineage.clean):
        for kind in KINDS:
            if any(world.item(record) == item for record in world.sides[side].alive(kind)):  # type: ignore[index]
                return f"came back: item {item} on {side}"
    return ""


def _deletes_cross(world: World) -> str:
    """What was deleted in step, and nobody touched again, is gone on the other side too where we made it, or is unmarked."""
    for item, side in sorted(world.lineage.clean):
        there = "crm" if side == "mail" else "mail"
        for kind in KINDS:
            for record in world.sides[there].alive(kind):  # type: ignore[index]
                kept = record.by == "user" if there == "crm" else not record.marked
                if world.item(record) == item and not kept:
                    return f"not carried: the deletion of item {item} on {side}"
    return ""


def _no_tug_of_war(world: World) -> str:
    """No field is carried to and fro more than three times in an hour, whatever writes it on either side."""
    for (item, name), carried in world.carried.items():
        turns = [at for (_, before), (at, side) in pairwise(carried) if side != before]
        if item not in world.lineage.excused and any(
            d - a < timedelta(hours=1) for a, d in zip(turns, turns[3:], strict=False)
        ):
            return f"tug of war: {name} of item {item} went to and fro more than three times in an hour"
    return ""


def _nothing_waits(world: World) -> str:
    """No announcement is open, no item and no deletion is held once all has been tried again and confirmed; but for items
    whose mark a person took off in the middle of it."""
    for prefix in ("open", "gone", "held", "confirm"):
        for row in world.inner.scan(PLACE, *records.every(prefix)):
            if (link := links.load(world.inner, PLACE, row.key.removeprefix("open_"))) is not None and link.state == "paused":
                continue
            return f"waits: {row.key.split('_')[0]} {row.value.get('code', row.value.get('kind', ''))}"
    return ""


def _at_rest(world: World) -> str:
    """Two more sessions write nothing and make the same calls."""
    calls = []
    for _ in range(2):
        writes, before = _writes(world), _calls(world)
        report = world.session()
        if report is None or report.result != "ok":
            return f"not well: the last session ended with {report and report.result}"
        if _writes(world) != writes:
            return "restless: a session with nothing to do wrote"
        calls.append(_calls(world) - before)
    return "" if calls[0] == calls[1] else f"restless: {calls[0]} calls and then {calls[1]}"


def _writes(world: World) -> int:
    return sum(side.writes for side in world.sides.values())


def _calls(world: World) -> int:
    return sum(side.calls for side in world.sides.values())
