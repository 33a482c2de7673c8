"""The host dies by SIGKILL in the middle of a first sync, at the n-th call of a vendor or write of a table; Azurite and the
vendors live. A new host must bring the sync to its end: every mail exactly once, its files too, nothing left announced.

`python -m tests.system.kill [--mails 500] [--values 50]` runs the values spread over the whole sync and prints what it found;
`test_kill.py` runs a few on a smaller mailbox.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sandbox.azurite import Azurite
from shared.ports import MailboxKey, Ring
from shared.session import records
from shared.session.rings import read_head
from shared.store.queue import QueueBell
from tests.system.proxy import TableProxy
from tests.system.stage import Stage, mail

ROOT = Path(__file__).resolve().parents[2]
END_WITHIN_S = 240.0


class Killer:
    """Counts the effects of a host and kills it at the n-th (0 = never)."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.seen, self.at = stage, 0, 0
        self.process: subprocess.Popen[str] | None = None
        stage.world.on_call.append(lambda vendor, name, number: self.effect())
        self.proxy = TableProxy(f"http://127.0.0.1:{_table_port(stage.connection)}", self.effect)
        self.proxy.port = int(stage.serve(self.proxy.application(), tls=False).rpartition(":")[2])

    def effect(self) -> None:
        self.seen += 1
        if self.seen == self.at and self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)

    def start(self) -> None:
        connection = self.proxy.connection(self.stage.connection)
        doors = ["--http-port", "0", "--https-port", "0", "--clock-file", str(self.stage.folder / "clock")]
        command = [sys.executable, "-m", "sandbox.host", "--app", str(ROOT), "--authority", str(self.stage.authority.folder)]
        own = {"PYTHONPATH": str(ROOT), "MAILSPAN_STORAGE": connection, "AzureWebJobsStorage": self.stage.connection}
        environment = {**os.environ, **self.stage.environment, **own}
        with (self.stage.folder / "host.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, *doors],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                stdin=subprocess.DEVNULL,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening "), (self.stage.folder / "host.log").read_text()[-2000:]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


def run(folder: Path, azurite: Azurite, mails: int, at: int) -> tuple[int, list[str]]:
    """(effects of the sync, what is wrong at its end) of one first sync in which the host dies at effect `at`."""
    stage = Stage(folder, azurite.connection_string)
    killer = Killer(stage)
    try:
        fill(stage, mails)
        bell = QueueBell(azurite.connection_string)
        place = stage.wire.mailbox_place(MailboxKey(stage.key("ann")))
        killer.at = at
        killer.seen = 0
        killer.start()
        bell.ring(Ring(MailboxKey(stage.key("ann")), "user", stage.clock.now()))
        if at:
            _wait(lambda: (killer.process is not None and killer.process.poll() is not None) or _quiet(stage, place))
            if killer.process is not None and killer.process.poll() is None:
                return killer.seen, [f"the sync ended before effect {at}"]
            stage.advance(600)  # leases, claims and back-offs of the dead are over
            killer.start()
            bell.ring(Ring(MailboxKey(stage.key("ann")), "user", stage.clock.now()))
        _wait(lambda: _quiet(stage, place))
        return killer.seen, wrong(stage, mails)
    finally:
        killer.stop()
        stage.close()


def fill(stage: Stage, mails: int) -> None:
    stage.users("ann")

    def make() -> None:
        records_, admin = stage.salesforce.records, stage.salesforce.admin_id
        account = records_.create("Account", {"Name": "Customer"}, admin)
        for number in range(4):
            records_.create(
                "Contact", {"LastName": f"C{number}", "Email": f"c{number}@customer.test", "AccountId": account}, admin
            )
        for number in range(mails):
            files = ("offer.pdf", "offer.pdf", "notes.txt")[: number % 4] if number % 5 == 0 else ()
            raw = mail(number, sender=f"C <c{number % 4}@customer.test>", files=files)
            stage.mailbox("ann").deliver(raw, categories=["Salesforce"])

    stage.do(make)


def wrong(stage: Stage, mails: int) -> list[str]:
    """A sentence for everything that is not as it must be."""
    found = Counter(row["MessageIdentifier"] for row in stage.saved())
    problems = [f"{n} records of {identifier}" for identifier, n in found.items() if n != 1]
    if len(found) != mails:
        problems.append(f"{len(found)} mails of {mails}")
    owners = {row["Id"]: row["MessageIdentifier"] for row in stage.saved()}
    links = stage.do(lambda: list(stage.salesforce.records.store.all("ContentDocumentLink")))
    files = Counter(owners[link["LinkedEntityId"]] for link in links if link["LinkedEntityId"] in owners)
    for number in range(mails):
        wanted = number % 4 if number % 5 == 0 else 0
        if (there := files[f"<mail-{number}@customer.test>"]) != wanted:
            problems.append(f"mail {number} has {there} files, not {wanted}")
    place = stage.wire.mailbox_place(MailboxKey(stage.key("ann")))
    problems += [f"{row.key} is left" for row in stage.wire.store.scan(place, *records.every("open"))]
    return problems + stage.world.violations


def _quiet(stage: Stage, place: object) -> bool:
    """Whether the last session ended well, nothing is announced, and no session is under way."""
    head = read_head(stage.wire.store, place)  # type: ignore[arg-type]
    if not head.pulled_at() or head.lease is None or head.value("lease")["owner"]:
        return False
    return not list(stage.wire.store.scan(place, *records.every("open")))  # type: ignore[arg-type]


def _wait(done: object) -> None:
    ends = time.monotonic() + END_WITHIN_S
    while not done():  # type: ignore[operator]
        assert time.monotonic() < ends, "the sync did not come to an end"
        time.sleep(0.1)


def _table_port(connection: str) -> str:
    return connection.split("TableEndpoint=http://127.0.0.1:")[1].split("/")[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mails", type=int, default=500)
    parser.add_argument("--values", type=int, default=50)
    given = parser.parse_args()
    failed = 0
    with Azurite() as azurite, tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        total, problems = run(_folder(scratch, 0), azurite, given.mails, 0)
        print(f"undisturbed: {total} effects, {time.monotonic() - began:.0f} s, {problems or 'all well'}", flush=True)
        for n in range(given.values):
            at = 1 + n * (total - 1) // max(1, given.values - 1)
            _, problems = run(_folder(scratch, at), azurite, given.mails, at)
            failed += bool(problems)
            print(f"{n + 1}/{given.values}: killed at {at}: {problems[:3] or 'every mail once'}", flush=True)
    print(f"{given.values - failed} of {given.values} came to the right end")
    return 1 if failed else 0


def _folder(scratch: str, at: int) -> Path:
    folder = Path(scratch) / str(at)
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
