"""Our own mistakes hold one mail each: every adapter function that handles one item is made to raise for some mails in turn.

`python -m tests.system.broken [--mails 1000] [NAME ...]` prints a line for each; `test_broken.py` runs the guarded places on
a smaller mailbox.

Rules that hold here:
- The product runs unchanged but for one planted line, in the host and from a copy of its own, over Azurite and the vendors'
  stand-ins. The line raises where one of the marks of this row's broken mails is among the function's values.
- What must be true then: all other mails are saved, the broken ones are held as `held.bug` with a place inside the planted
  function, nothing reached the poison queue, nothing is left announced.
- At the end the unchanged product is started, after the time of the next try: the broken mails are saved like all others.
- A row has a mailbox of its own; rows of the same kind of org share the vendors and the storage.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from sandbox.azurite import Azurite
from sandbox.frame import FaultRule
from shared.core.errors import Retry
from shared.ports import LedgerEntry, MailboxKey, Place, Ring
from shared.session import records
from shared.session.mail_writing import IN_DOUBT_S
from shared.session.rings import read_head
from shared.store.queue import QueueBell
from tests.system.broken_rows import ROOT, ROWS, Row, planted
from tests.system.stage import Stage, address_of

END_WITHIN_S = 240.0
RECOVERED = 200  # mails of one announced batch
#: Until the next try of what is held, and of what was held again because that session had to give up.
NEXT_TRY_S, FURTHER_TRY_S, FURTHER_TRIES = 2 * 3600, 25 * 3600, 3
RING_AGAIN_S = 30.0
MARK = "zqxwvkj"  # in every text of a broken mail and what the org has of its sender; too long to be in an id by chance
SENT = datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)  # the time of a broken mail, for functions that see nothing else
NEVER = "(?!)"
#: way -> the call whose answer is lost on it
LOSES = {"lost": "composite/sobjects", "files": "POST /services/data/{version}/sobjects/{object}"}


# --- mails and what the org has of their senders


class Desk:
    """One row's mailbox with its mails: every `mails // broken`-th one is broken."""

    def __init__(self, stage: Stage, name: str, row: Row, mails: int, broken: int) -> None:
        self.stage, self.name, self.row, self.mails = stage, name, row, mails
        self.key = MailboxKey(stage.key(name))
        self.place: Place = stage.wire.mailbox_place(self.key)
        self.broken = range(0, mails, mails // broken)[:broken]
        self.ids: dict[int, str] = {}
        self.files = 0
        self.marks = [MARK, SENT.date().isoformat(), re.escape(repr(SENT)[:30])]
        stage.do(self._fill)

    def identifier(self, number: int) -> str:
        return f"<{MARK if number in self.broken else 'plain'}-{self.name}-{number}@customer.test>"

    def _fill(self) -> None:
        for number in range(self.mails):
            case = self._org(number) if number in self.broken else ""
            raw = self._raw(number, case)
            categories = ["Salesforce", *([MARK] if number in self.broken else [])]
            self.ids[number] = self.stage.mailbox(self.name).deliver(raw, categories=categories)
        if self.row.way == "refused":  # the one way on which a function sees a mail's id and nothing else of it
            self.marks += [re.escape(self.ids[number]) for number in self.broken]

    def _org(self, number: int) -> str:
        """What the org has of a broken mail's sender; answers the number of the case."""
        rows, admin = self.stage.salesforce.records, self.stage.salesforce.admin_id
        owner = self.stage.ids[address_of(self.name)]
        account = rows.create("Account", {"Name": f"A {number}"}, admin)
        person = {"LastName": "C", "AccountId": account}
        if self.row.way != "refused":
            person["Email"] = self._sender(number)
        contact = rows.create("Contact", person, admin)
        deal = {"Name": "O", "AccountId": account, "StageName": "Prospecting", "CloseDate": "2030-01-01"}
        opportunity = rows.create("Opportunity", deal, owner)
        case = rows.create("Case", {"Subject": "S", "AccountId": account}, admin)
        if self.row.way == "there":
            mail = {"MessageIdentifier": self.identifier(number), "Status": "3", "Subject": "by another hand"}
            rows.create("EmailMessage", mail, admin)
        case_number: str = next(one["CaseNumber"] for one in rows.store.all("Case") if one["Id"] == case)
        alone = rf"(?<![0-9A-Za-z+/])0*{case_number.lstrip('0')}(?![0-9A-Za-z+/])"  # not within an id
        self.marks += [contact[:15], opportunity[:15], case[:15], alone]
        return case_number

    def _sender(self, number: int) -> str:
        """An address; the org refuses one that ends in a single letter, and says it again."""
        return f"{MARK}-{self.name}-{number}@customer.{'t' if self.row.way == 'refused' else 'test'}"

    def _raw(self, number: int, case: str) -> bytes:
        made, is_broken = EmailMessage(), number in self.broken
        made["From"] = f"{MARK} <{self._sender(number)}>" if is_broken else "Cora <cora@customer.test>"
        made["To"] = f"{MARK if is_broken else 'Ann'} <{address_of(self.name)}>"
        made["Subject"] = f"{MARK} about case {case}" if is_broken else f"Mail {number}"
        made["Date"] = format_datetime(SENT if is_broken else self.stage.world.clock.now())
        made["Message-ID"] = self.identifier(number)
        if is_broken:
            made["References"] = f"<{MARK}-root-{number}@customer.test>"
        made.set_content(f"<p>Hello {MARK if is_broken else ''}</p>", subtype="html")
        if is_broken or number % 20 == 1:
            self.files += 1
            name = f"{MARK}.txt" if is_broken else "notes.txt"
            made.add_attachment(b"content", maintype="application", subtype="octet-stream", filename=name)
        return made.as_bytes()

    # what can be seen from outside

    def saved(self) -> list[tuple[str, str]]:
        """(identifier, record id) of this mailbox's mails in the org."""
        rows = self.stage.do(
            lambda: list(self.stage.salesforce.records.store.all("Task" if self.row.tasks else "EmailMessage"))
        )
        alive = [(_identifier(one), str(one["Id"])) for one in rows if not one["IsDeleted"]]
        return [(found, record_id) for found, record_id in alive if f"-{self.name}-" in found]

    def decisions(self) -> list[LedgerEntry]:
        """The last decision about each mail; about one that could not be read, under the name it then had."""
        return list({entry.item: entry for entry in self.stage.decisions(self.name)}.values())

    def rows(self, name: str) -> list[Any]:
        return [row.value for row in self.stage.wire.store.scan(self.place, *records.every(name))]


def _identifier(row: dict[str, Any]) -> str:
    return str(row.get("MessageIdentifier") or (row.get("Description") or "").rpartition("Message-ID: ")[2])


# --- running


@contextmanager
def host(stage: Stage, folder: Path) -> Iterator[Path]:
    """A host over the product in the folder; answers the file of what it logs."""
    log_file = stage.folder / f"host-{len(list(stage.folder.glob('host-*')))}.log"
    doors = ["--http-port", "0", "--https-port", "0", "--clock-file", str(stage.folder / "clock")]
    command = [sys.executable, "-m", "sandbox.host", "--app", str(folder), "--authority", str(stage.authority.folder), *doors]
    own = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "AzureWebJobsStorage": stage.connection}
    environment = {**os.environ, **stage.environment, **own}
    with log_file.open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, stdin=subprocess.DEVNULL
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), log_file.read_text()[-2000:]
        log_file.with_suffix(".address").write_text(line.split()[-1].removeprefix("https="))
        yield log_file
    finally:
        process.terminate()
        process.wait(30)


def ring(desk: Desk) -> datetime:
    """Rings the mailbox; a storage that is busy just now is asked again."""
    bell, at = QueueBell(desk.stage.connection), desk.stage.clock.now()

    def sent() -> bool:
        with suppress(Retry):
            bell.ring(Ring(desk.key, "user", at))
            return True
        return False

    wait(sent)
    return at


def rung(desk: Desk) -> None:
    """Rings the mailbox and waits until its session, and those that follow of it, came to an end. One that had to give up,
    because something did not answer in time, backs off for minutes: it is rung again before that."""
    at = ring(desk)
    again = time.monotonic() + RING_AGAIN_S

    def answered() -> bool:
        nonlocal again
        if not _answered(desk, at) and time.monotonic() > again:
            again = time.monotonic() + RING_AGAIN_S
            ring(desk)
        return _answered(desk, at)

    wait(answered)


def _answered(desk: Desk, at: datetime) -> bool:
    head = read_head(desk.stage.wire.store, desk.place)
    pulled = head.pulled_at()
    at_rest = head.lease is not None and not head.value("lease")["owner"]
    return at_rest and pulled is not None and pulled >= at and not desk.rows("open")


def wait(done: Callable[[], bool]) -> None:
    """Until it is; storage that does not answer just now is asked again."""
    ends = time.monotonic() + END_WITHIN_S
    while True:
        with suppress(Retry):
            if done():
                return
        assert time.monotonic() < ends, "the sync did not come to an end"
        time.sleep(0.05)


def synced(desk: Desk, marks: Path) -> None:
    """Brings the mails on the row's way to the planted function."""
    stage = desk.stage
    if desk.row.way in LOSES:
        match = LOSES[desk.row.way]
        after = desk.files - 1 if desk.row.way == "files" else 0
        stage.do(lambda: stage.world.rules.append(FaultRule("salesforce", "drop_after", match, after=after)))
        ring(desk)
        wait(lambda: read_head(stage.wire.store, desk.place).value("state").get("failures") == 1)
        stage.advance(IN_DOUBT_S + 60)  # as long nobody looks for what may still be written
    linked = stage.do(lambda: list(stage.salesforce.records.store.all("ContentDocumentLink")))
    standing = [record_id for identifier, record_id in desk.saved() if MARK in identifier]
    documents = [link["ContentDocumentId"] for link in linked if link["LinkedEntityId"] in standing]
    marks.write_text("|".join([*desk.marks, *(one[:15] for one in (*standing, *documents))]))
    rung(desk)
    if desk.row.way == "unsync":
        standing = [record_id for identifier, record_id in desk.saved() if MARK in identifier]
        marks.write_text("|".join([*desk.marks, *(one[:15] for one in standing)]))
        for number in desk.broken:
            stage.do(lambda n=number: stage.mailbox(desk.name).set_categories(desk.ids[n], ["Salesforce Unsync"]))  # type: ignore[misc]
        rung(desk)


def one(desk: Desk, folder: Path) -> list[str]:
    """What is wrong after the sync with one function broken."""
    folder.mkdir()
    marks = folder / "marks"
    marks.write_text(NEVER)
    file, lines = planted(desk.row, folder, marks)
    with host(desk.stage, folder) as log:
        synced(desk, marks)
    said = log.read_text()
    problems = ["a ring reached the poison queue"] if '"poison"' in said or _poisoned(desk.stage.connection) else []
    if read_head(desk.stage.wire.store, desk.place).value("state")["stage"] != "active":
        problems.append("the mailbox is not active")
    held = desk.rows("held")
    places = [one["fields"][1] for one in held if one["code"] == "held.bug"]
    inside = [place for place in places if place.split(":")[0] == file and int(place.split(":")[1]) in lines]
    if len(inside) != len(desk.broken):
        problems.append(
            f"{len(inside)} mails of {len(desk.broken)} held with the place, of {len(held)} that are held: {places[:3]}"
        )
    rules = Counter(entry.rule for entry in desk.decisions())
    arrived = sum(count for rule, count in rules.items() if rule.startswith("saved."))
    if arrived != desk.mails - len(desk.broken):
        problems.append(f"{arrived} mails of {desk.mails} saved: {dict(rules)}")
    return problems + _doubled(desk)


def _doubled(desk: Desk) -> list[str]:
    found = Counter(identifier for identifier, _ in desk.saved())
    missing = [n for n in range(desk.mails) if n not in desk.broken and not found[desk.identifier(n)]]
    return [f"{count} records of {identifier}" for identifier, count in found.items() if count > 1] + (
        [f"{len(missing)} mails without a record"] if missing else []
    )


def _poisoned(connection: str) -> bool:
    with QueueClient.from_connection_string(connection, "sessions-poison") as queue:
        try:
            return bool(queue.peek_messages(1))
        except ResourceNotFoundError:  # nobody ever needed it
            return False


def repaired(desk: Desk) -> list[str]:
    """What is wrong when the product is whole again and the time of the next try has come."""
    for _ in range(FURTHER_TRIES):
        rung(desk)
        if not any(row["code"] == "held.bug" for row in desk.rows("held")):
            break
        desk.stage.advance(FURTHER_TRY_S)  # the try that a session died of counted all the same
    found = Counter(identifier for identifier, _ in desk.saved())
    wanted = 1 if desk.row.then == "saved." else 0
    wrong = [number for number in desk.broken if found[desk.identifier(number)] != wanted]
    problems = [f"{len(wrong)} broken mails have not {wanted} record afterwards"] if wrong else []
    held = [row["code"] for row in desk.rows("held")]
    expected = len(desk.broken) if desk.row.then.startswith("held.") else 0
    if len(held) != expected or not all(code.startswith(desk.row.then) for code in held):
        problems.append(f"held afterwards: {held[:3]}")
    last = {entry.item: entry.rule for entry in desk.stage.decisions(desk.name)}
    ended = sum(rule.startswith(desk.row.then) for rule in last.values())
    least = len(desk.broken) + (desk.mails - len(desk.broken) if desk.row.then == "saved." else 0)
    if ended != least:
        problems.append(f"{ended} decisions {desk.row.then}, not {least}")
    return problems + _doubled(desk)


def run(folder: Path, connection: str, rows: Sequence[Row], mails: int, broken: int) -> dict[str, list[str]]:
    """Row's name -> what is wrong with it. All rows are of one kind of org."""
    stage = Stage(folder, connection)
    try:
        stage.salesforce.settings.enhanced_email = not rows[0].tasks
        names = [f"u{number}" for number in range(len(rows))]
        stage.users(*names)
        result: dict[str, list[str]] = {}
        desks: list[Desk] = []
        for name, row in zip(names, rows, strict=True):
            desks.append(Desk(stage, name, row, min(mails, RECOVERED) if row.way in LOSES else mails, broken))
            result[row.name] = _told(lambda d=desks[-1], n=name: one(d, folder / n))  # type: ignore[misc]
            print(f"{row.name}: {result[row.name] or 'held alone'}", flush=True)
        stage.advance(NEXT_TRY_S)
        with host(stage, ROOT):
            for desk in desks:
                result[desk.row.name] += _told(lambda d=desk: repaired(d))  # type: ignore[misc]
        if stage.world.violations:
            result["contract"] = list(map(str, stage.world.violations[:3]))
        return result
    finally:
        stage.close()


def _told(work: Callable[[], list[str]]) -> list[str]:
    try:
        return work()
    except AssertionError as problem:
        return [str(problem)]


def run_all(scratch: Path, rows: Sequence[Row], mails: int, broken: int) -> dict[str, list[str]]:
    """All rows, side by side in two worlds with an Azurite each; a third for orgs without Enhanced Email."""
    with_mail, with_tasks = [row for row in rows if not row.tasks], [row for row in rows if row.tasks]
    half = (len(rows) + 1) // 2
    shares = [share for share in (with_mail[:half], with_mail[half:], with_tasks) if share]

    def work(number: int) -> dict[str, list[str]]:
        folder = scratch / str(number)
        folder.mkdir()
        with Azurite() as azurite:
            return run(folder, azurite.connection_string, shares[number], mails, broken)

    with ThreadPoolExecutor(2) as pool:
        return {name: wrong for found in pool.map(work, range(len(shares))) for name, wrong in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mails", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=10)
    parser.add_argument("names", nargs="*", help="functions, all if none is named")
    given = parser.parse_args()
    logging.getLogger("aiohttp.server").disabled = True  # connections that are cut on purpose
    rows = [row for row in ROWS if not given.names or row.function in given.names]
    with tempfile.TemporaryDirectory() as scratch:
        found = run_all(Path(scratch), rows, given.mails, given.broken)
    for name, wrong in found.items():
        if wrong:
            print(f"{name}: {wrong}")
    failed = sum(bool(wrong) for wrong in found.values())
    print(f"{len(rows)} functions, {given.mails} mails each, {given.broken} broken; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
