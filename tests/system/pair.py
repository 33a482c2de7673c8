"""A mail that one user sent to the other and to a customer, in both mailboxes: both sessions start at the same moment, and one
of them dies at some effect: a request to a vendor, or a write of a table, before it or after it was done.

`python -m tests.system.pair [--seeds 200]` runs the seeds and prints what it found; `test_pair.py` runs a few.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from sandbox.azurite import Azurite
from shared.core.errors import SyncError
from shared.ports import LinkStore, Place, Row, Write
from tests.system.stage import HOME, Stage, StageWire, mail

EFFECTS = 34  # about as many as such a session has; a victim that is done earlier did not die
NAMES = ("ann", "bob")


class Died(BaseException):
    """The process is gone."""


class Doomed(requests.Session):
    """A session whose every request is an effect."""

    effect: Callable[[], None]

    def send(self, request: Any, **more: Any) -> requests.Response:
        self.effect()
        answer = super().send(request, **more)
        self.effect()
        return answer


class DoomedStore:
    """A store whose every commit is an effect."""

    def __init__(self, inner: LinkStore, effect: Callable[[], None]) -> None:
        self.inner, self.effect = inner, effect

    def get(self, place: Place, key: str) -> Row | None:
        return self.inner.get(place, key)

    def get_many(self, place: Place, keys: Sequence[str]) -> Mapping[str, Row]:
        return self.inner.get_many(place, keys)

    def scan(self, place: Place, first: str = "", last: str | None = None) -> Any:
        return self.inner.scan(place, first, last)

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        self.effect()
        etags = self.inner.commit(place, writes)
        self.effect()
        return etags


def doomed(stage: Stage, dies_at: int) -> StageWire:
    """An instance of the product that dies at its `dies_at`-th effect, and does nothing any more afterwards."""
    wire = stage.new_wire(stage.environment)
    seen = 0

    def effect() -> None:
        nonlocal seen
        seen += 1
        if seen >= dies_at:
            raise Died

    http = Doomed()
    http.effect, http.verify, http.trust_env = effect, str(stage.authority.ca_file), False
    wire._thread.http = http
    wire.__dict__["store"] = DoomedStore(wire.store, effect)
    return wire


def one(stage: Stage, seed: int) -> list[str]:
    """What is wrong after one seed."""
    rng = random.Random(seed)
    victim, dies_at = rng.choice(NAMES), rng.randrange(1, EFFECTS)
    raw = mail(
        seed, sender=f"Ann <ann@{HOME}>", to=f"Bob <bob@{HOME}>, Cora <cora@customer.test>", files=("offer.pdf", "notes.txt")
    )
    for name in NAMES:
        stage.deliver(name, raw, categories=["Salesforce"])
    gate = threading.Barrier(2)
    threads = [
        threading.Thread(target=_session, args=(stage, name, dies_at if name == victim else 10**6, gate)) for name in NAMES
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stage.advance(600)
    for name in NAMES * 2:
        stage.session(name)
    identifier = f"<mail-{seed}@customer.test>"
    found = [row for row in stage.saved() if row["MessageIdentifier"] == identifier]
    if len(found) != 1:
        return [f"{len(found)} records"]
    links = stage.do(lambda: list(stage.salesforce.records.store.all("ContentDocumentLink")))
    files = sum(link["LinkedEntityId"] == found[0]["Id"] for link in links)
    relations = stage.do(lambda: list(stage.salesforce.records.store.all("EmailMessageRelation")))
    roles = sorted(one["RelationType"] for one in relations if one["EmailMessageId"] == found[0]["Id"])
    problems = [] if files == 2 else [f"{files} files"]
    return problems + ([] if roles == ["FromAddress", "ToAddress", "ToAddress"] else [f"relations {roles}"])


def _session(stage: Stage, name: str, dies_at: int, gate: threading.Barrier) -> None:
    wire = doomed(stage, dies_at)  # made in the thread that uses it: its http session is the thread's
    gate.wait()
    try:
        stage.session(name, wire=wire)
    except (Died, SyncError):
        return


def run(folder: Path, azurite: Azurite, seeds: Sequence[int]) -> dict[int, list[str]]:
    """Seed -> what is wrong, for the seeds with something wrong."""
    stage = Stage(folder, azurite.connection_string)
    try:
        stage.users(*NAMES)
        stage.do(
            lambda: stage.salesforce.records.create(
                "Contact", {"LastName": "Cora", "Email": "cora@customer.test"}, stage.salesforce.admin_id
            )
        )
        broken = {}
        for seed in seeds:
            if problems := one(stage, seed):
                broken[seed] = problems
        assert stage.world.violations == []
        return broken
    finally:
        stage.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    given = parser.parse_args()
    with Azurite() as azurite, tempfile.TemporaryDirectory() as scratch:
        broken = run(Path(scratch), azurite, range(given.seeds))
    print(f"{given.seeds} seeds (0 to {given.seeds - 1}), {len(broken)} broken: {broken}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
