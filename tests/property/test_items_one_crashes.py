"""A crash before and after each effect of fixed scenarios of one mailbox with claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.session import records as rows
from tests.property.pairs import ORG, Pair
from tests.property.test_items_pair_crashes import Counting

CORA = ("cora@customer.test", "accepted")


def begun(die: int, keyed: bool) -> Pair:
    pair = Pair(keyed=keyed)
    store = Counting()
    for place, values in pair.store._rows.items():
        store._rows[place] = dict(values)
    pair.store = store
    store.die, store.armed = die, True
    for side in (pair.crm, pair.ann.mail):
        for name in ("before", "after"):
            old = getattr(side, name)
            setattr(side, name, lambda what, old=old: (store.tick(), old(what))[1] if what == "write" else old(what))
    return pair


def run(pair: Pair, times: int = 2) -> None:
    for _ in range(times):
        pair.ann.session()
        pair.time += timedelta(minutes=5)


def claims(pair: Pair) -> list[tuple[str, str]]:
    return [
        (row.key.split("_")[0], str(row.value.get("state", "")))
        for name in ("claim", "holder")
        for row in pair.store.scan(ORG, *rows.every(name))
    ]


BOTH = [("claim", "saved"), ("holder", "")]


def down(pair: Pair) -> list[object]:
    pair.record("Talk", "ann")
    run(pair)
    [event] = pair.ann.mail.alive("event")
    pair.ann.mail.edit(event, {"location": "v1"})
    pair.crm.edit(pair.records()[0], {"show_as": "free"})
    run(pair)
    run(pair)
    [record] = pair.records()
    seen = [event.fields["show_as"], record.fields["location"]]
    pair.ann.unsync(event)
    run(pair)
    run(pair)
    return [*seen, len(pair.records()), event.marked, [one.state for one in pair.ann.links()], claims(pair)]


def up(pair: Pair) -> list[object]:
    event = pair.ann.event("Talk", "u1")
    run(pair)
    run(pair)
    seen = [len(pair.records()), claims(pair) == BOTH]
    pair.crm.edit(pair.records()[0], {"show_as": "free"})
    run(pair)
    run(pair)
    pair.ann.mail.remove(event)
    run(pair)
    run(pair)
    return [*seen, event.fields["show_as"], len(pair.records()), pair.ann.links(), claims(pair)]


def again(pair: Pair) -> list[object]:
    event = pair.ann.event("Talk", "u1")
    run(pair)
    run(pair)
    pair.crm.remove(pair.records()[0])
    run(pair)
    run(pair)
    seen = [event.marked, len(pair.records()), claims(pair)]
    pair.ann.mail.mark(event, True)
    run(pair)
    run(pair)
    return [*seen, len(pair.records()), claims(pair), [one.state for one in pair.ann.links()]]


def adopted(pair: Pair) -> list[object]:
    record = pair.record("Talk", "ann")
    pair.crm.facts[record.id] = replace(pair.crm.facts[record.id], made=pair.time - timedelta(days=9))
    event = pair.ann.event("Talk", "u1", location="v1")
    run(pair)
    run(pair)
    seen = [len(pair.records()), record.fields["location"], claims(pair)]
    pair.ann.mail.remove(event)
    run(pair)
    run(pair)
    return [*seen, len(pair.records()), claims(pair), [one.state for one in pair.ann.links()]]


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("scenario", [down, up, again, adopted], ids=lambda one: one.__name__)
def test_a_crash_at_each_effect_changes_nothing(scenario: Callable[[Pair], list[object]], keyed: bool) -> None:
    pair = begun(0, keyed)
    expected = scenario(pair)
    effects = pair.store.n  # type: ignore[attr-defined]
    found = {}
    for die in range(1, effects + 1):
        try:
            there = scenario(begun(die, keyed))
        except AssertionError:
            raise
        except Exception as problem:  # noqa: BLE001
            there = [repr(problem)]
        if there != expected:
            found[die] = there
    assert not found, "\n".join(f"{n}: {one}" for n, one in {0: expected, **found}.items())
