"""The Graph adapter after any history of a mailbox, faults included."""

from __future__ import annotations

import contextlib
import random

import pytest

from sandbox.microsoft import Mailbox
from sandbox.microsoft.errors import GraphError
from shared.core.errors import (
    Retry,
)
from shared.core.mail import Mail
from shared.core.scope import FOLDER, MARK, UNSYNC
from tests.contract.graph_seen import Seen, old
from tests.contract.microsoft_world import Stand, mime

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]


# --- any history

FAULTS = (
    "delta_gone",
    "sync_state_not_found",
    "throttled",
    "unavailable",
    "drop_before",
    "drop_after",
    "token_expired",
    "lost",
)


class History:
    """A random life of a mailbox: people, folders, faults, sessions. `known` is what a product would know of it."""

    def __init__(self, ms: Stand, seen: Seen, seed: int) -> None:
        self.ms, self.seen, self.random = ms, seen, random.Random(seed)
        self.known: dict[str, Mail] = {}
        ms.world.random.seed(seed)
        ms.world.switches["microsoft.category_filter"] = seed % 2 == 0
        self.steps = (self.deliver, self.deliver, self.categorise, self.categorise, self.move, self.purge, self.file_folder,
                      self.drop_folder, self.pull, self.pull, self.pull, self.wait)  # fmt: skip

    def step(self) -> None:
        self.random.choice(self.steps)()

    def folder(self) -> str:
        path = self.random.choice(("Customers", "Customers/2020", FOLDER, f"{FOLDER}/A", f"{FOLDER}/A/B", "Old"))
        return self.ms.box(lambda box: str(box.make_folder(path)))

    def deliver(self) -> None:
        folder = self.random.choice(("inbox", "sentitems", self.folder()))
        received = None if self.random.random() < 0.7 else old(self.ms)
        self.ms.deliver(mime(f"n{self.random.random()}"), folder=folder, received=received)

    def categorise(self) -> None:
        names = self.random.choice(([], [MARK], [UNSYNC], [MARK, UNSYNC], ["Blue"]))
        self.ms.box(lambda box: box.set_categories(self.mail_in(box), names))

    def mail_in(self, box: Mailbox) -> str:
        ids = [m.id for m in box.messages()]
        return self.random.choice(ids) if ids else str(box.deliver(mime("first")))

    def move(self) -> None:
        target = self.random.choice(("inbox", "archive", "deleteditems", self.folder()))
        self.ms.box(lambda box: box.move(self.mail_in(box), target))

    def purge(self) -> None:
        self.ms.box(lambda box: box.purge(self.mail_in(box)))

    def file_folder(self) -> None:
        """A whole folder goes below the one that marks, or out of it again."""

        def go(box: Mailbox) -> None:
            marking, moved = box.make_folder(FOLDER), box.make_folder("Old/Deals")
            if not box.folder_tree.is_under(box.folder(moved), "deleteditems"):
                target = self.random.choice((marking, box.make_folder("Old")))
                with contextlib.suppress(GraphError):
                    box.move_folder(moved, target)

        self.ms.box(go)

    def drop_folder(self) -> None:
        folder = self.random.choice((FOLDER, f"{FOLDER}/A"))
        if self.random.random() < 0.3:
            self.ms.box(lambda box: self.delete(box, box.make_folder(folder)))

    def delete(self, box: Mailbox, folder: str) -> None:
        with contextlib.suppress(GraphError):  # Deleted Items has one of that name already
            box.delete_folder(folder)

    def wait(self) -> None:
        self.ms.world.clock.advance(self.random.choice((1, 200, 2000)))
        self.seen.token.after(self.seen.token.current())

    def pull(self) -> None:
        if self.random.random() < 0.4:
            self.ms.fault(self.random.choice(FAULTS), after=self.random.randrange(8), detail=None)
        with contextlib.suppress(Retry):
            for mail in self.seen.pull().mails:
                self.known[mail.id] = mail
        self.ms.world.rules = []

    def settle(self) -> None:
        self.ms.world.rules = []
        for _ in range(60):
            page = self.seen.pull()
            self.known.update((mail.id, mail) for mail in page.mails)
            if not page.more:
                return
        raise AssertionError("never settles")

    def check(self, box: Mailbox) -> int:
        """Everything that counts is known as it is; answers how much that was."""
        tree, count = box.folder_tree, 0
        tops = [f.id for f in tree.children(tree.well_known("msgfolderroot").id) if f.name == FOLDER]
        filed = {f.id for top in tops for f in tree.subtree(top)}
        watched = {tree.well_known(name).id: name for name in ("inbox", "sentitems")}
        for message in box.messages():
            is_new = message.folder in watched and message.received >= self.seen.since
            if not (is_new or message.folder in filed or {MARK, UNSYNC} & set(message.categories)):
                continue
            mail, count = self.known[message.id], count + 1
            assert mail.categories == message.categories
            assert mail.version == message.change_key
            assert mail.marked_folder or message.folder not in filed
            assert mail.role == watched.get(message.folder, mail.role)
        assert len(tops) == 1
        return count


@pytest.mark.parametrize("seed", range(10))
def test_after_any_history_everything_that_counts_is_known_as_it_is(ms: Stand, seen: Seen, seed: int) -> None:
    history = History(ms, seen, seed)
    for _ in range(80):
        history.step()
    ms.deliver(mime("new"))
    ms.deliver(mime("marked"), folder="archive", received=old(ms), categories=(MARK,))
    history.settle()
    assert ms.box(history.check) >= 2
    history.wait()
    seen.idle()
    ms.world.calls.clear()
    page = seen.pull()
    assert (page.mails, page.gone, page.more, seen.http_calls()) == ((), (), False, 1)
