"""A crash before and after each effect of a fixed scenario of two mailboxes with one meeting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from shared.ports import Place, Write
from shared.session import records as rows
from shared.store.memory import MemoryStore
from tests.property.pairs import ORG, Dies, Pair

CORA = ("cora@customer.test", "accepted")
EXT = "cora@customer.test"


class Counting(MemoryStore):
    n, die, armed = 0, 0, False

    def tick(self) -> None:
        if self.armed:
            self.n += 1
            if self.n == self.die:
                raise Dies

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self.tick()
        made = super().commit(place, writes)
        self.tick()
        return made


def scenario(die: int, *, keyed: bool, external: bool, first: str) -> tuple[int, list[str]]:
    pair = Pair(keyed=keyed)
    store = Counting()
    for place, values in pair.store._rows.items():
        store._rows[place] = dict(values)
    pair.store = store
    store.die = die
    for side in (pair.crm, pair.ann.mail, pair.bob.mail):
        for name in ("before", "after"):
            old = getattr(side, name)
            setattr(side, name, lambda what, old=old: (store.tick(), old(what))[1] if what == "write" else old(what))
    ann, bob = pair.ann, pair.bob
    if keyed:
        pair.crm.new_facts = lambda: pair.crm_facts("")  # as where one user has both mailboxes
    organizer = {"own": False, "organizer": EXT} if external else {}
    a = ann.event("Talk", "u1", people=[CORA, ("bob@home.example", "accepted")], **organizer)  # type: ignore[arg-type]
    b = bob.event(
        "Talk",
        "u1",
        own=False,
        organizer=EXT if external else "ann@home.example",
        people=[("ann@home.example", "accepted"), CORA],
    )
    wrong: list[str] = []

    def run(times: int = 2) -> None:
        for _ in range(times):
            for one in (ann, bob) if first == "ann" else (bob, ann):
                one.session()
            pair.time += timedelta(minutes=17)

    store.armed = True
    run(3)
    store.armed = False
    settle = store.n
    run(5)
    if len(pair.records()) != 1:
        wrong.append(f"after create: {len(pair.records())} records")
    if [len(one.links()) for one in (ann, bob)] != [1, 1] or len({one.links()[0].crm.id for one in (ann, bob)}) != 1:
        wrong.append(f"after create: links {[[x.crm.id for x in one.links()] for one in (ann, bob)]}")
    holders = list(store.scan(ORG, *rows.every("holder")))
    claims = list(store.scan(ORG, *rows.every("claim")))
    if len(holders) != 2 or [row.value["state"] for row in claims] != ["saved"]:
        wrong.append(f"after create: {len(holders)} holders, claims {[row.value['state'] for row in claims]}")
    store.armed = True
    ann.mail.edit(a, {"location": "Room 9"})
    bob.mail.edit(b, {"location": "Room 9"})
    run(1)
    ann.mail.remove(a)
    run(1)
    store.armed = False
    run(3)
    if len(pair.records()) != 1:
        wrong.append(f"ann left: {len(pair.records())} records")
    elif external and pair.records()[0].fields["location"] != "Room 9":  # an organiser's own last edit leaves with him
        wrong.append("ann left: the edit is lost")
    store.armed = True
    bob.mail.remove(b)
    run(1)
    store.armed = False
    run(3)
    if pair.records():
        wrong.append(f"both left: {len(pair.records())} records")
    left = [row.key for prefix in ("claim", "holder") for row in store.scan(ORG, *rows.every(prefix))]
    left += [row.key for one in (ann, bob) for name in ("open", "held") for row in store.scan(one.place, *rows.every(name))]
    left += [link.key for one in (ann, bob) for link in one.links() if link.state != "severed"]  # that is who left first
    if left:
        wrong.append(f"both left: rows {left}")
    if [len(one.mail.alive("event")) for one in (ann, bob)] != [0, 0]:
        wrong.append("an event came back")
    return max(store.n, settle), wrong


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("external", [True, False])
@pytest.mark.parametrize("first", ["ann", "bob"])
def test_a_crash_at_each_effect(keyed: bool, external: bool, first: str) -> None:
    effects, wrong = scenario(0, keyed=keyed, external=external, first=first)
    assert wrong == []
    found = {}
    for die in range(1, effects + 2):
        try:
            if wrong := scenario(die, keyed=keyed, external=external, first=first)[1]:
                found[die] = wrong
        except BaseException as e:  # noqa: BLE001
            found[die] = [repr(e)]
    assert not found, "\n".join(f"{n}: {one}" for n, one in found.items())
