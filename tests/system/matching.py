"""Reads the matching law: `matching.csv` (one mail a row, what becomes of it) and `matching_org.csv` (what the org holds).

Rules that hold here: the files know names, never ids; whoever drives them, the pure test or the test over HTTP, gives the
names ids of its own. The first row of the law holds what other rows leave empty; settings are joined. Semicolons part
addresses, categories, people and settings, spaces the entries of a list and the names of records. `kind` is draft, meeting
(an invitation), private (by its Sensitivity) or empty; `source` is a row of the behaviours the project is built from, or
"decided" where those are silent or disagree. Nothing of the product decides anything here: the loader makes inputs of the
product's types, and `Outcome` is what the row expects, as the row says it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from shared.core.mail import Address, Mail, MailText
from shared.core.match import Case, Opportunity, Person
from shared.core.profile import BY_NAME, Profile
from shared.core.scope import Filters

HERE = Path(__file__).parent
ACTIVATED = datetime(2026, 5, 1, 9, tzinfo=UTC)

#: Where a mail lies: the name in the file -> (role of the folder, in "Salesforce Emails" or below it). `deep` is a folder
#: three levels below the root that no stream but the marks' own can see.
PLACES = {
    "inbox": ("inbox", False), "sent": ("sentitems", False), "archive": ("", False), "deep": ("", False),
    "Salesforce Emails": ("", True), "Salesforce Emails/2026": ("", True), "drafts": ("drafts", False),
    "outbox": ("outbox", False), "junk": ("junkemail", False), "deleted": ("deleteditems", False),
}  # fmt: skip
ROLES = {"From": "FromAddress", "To": "ToAddress", "Cc": "CcAddress", "Bcc": "BccAddress"}


def parts(cell: str) -> tuple[str, ...]:
    """The parts of a cell, between semicolons."""
    return tuple(part for one in cell.split(";") if (part := one.strip()))


@dataclass(frozen=True)
class Record:
    """A row of `matching_org.csv`. `more`: further e-mail fields of a Lead or Contact; of a User, other addresses of the
    mailbox, which the org does not know. The order of the file is the order in which the records were created."""

    kind: str
    name: str
    email: str
    more: str
    account: str
    owner: str
    number: str
    website: str
    state: str
    created: str

    def person(self) -> Person:
        addresses = (self.email, *parts("" if self.kind == "User" else self.more))
        return Person(self.name, self.kind, addresses, self.created, self.account)  # type: ignore[arg-type]


class Org:
    """What the org of `matching_org.csv` answers. Only what is there for a question: no converted Leads, no closed
    Opportunities, no inactive Users. Ids are the names of the file."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.records = records
        live = [one for one in records.values() if one.state not in ("converted", "closed", "inactive")]
        self.people = tuple(one.person() for one in live if one.kind in ("User", "Lead", "Contact"))
        self.opportunities = tuple(
            Opportunity(one.name, one.account, one.owner, one.created) for one in live if one.kind == "Opportunity"
        )
        self.cases = {one.number.lstrip("0"): Case(one.name, one.number, one.account) for one in live if one.kind == "Case"}

    def addresses_of(self, user: str) -> tuple[str, ...]:
        """The addresses of a user's mailbox, the primary one first."""
        return (self.records[user].email, *parts(self.records[user].more))


@dataclass(frozen=True)
class Outcome:
    """What becomes of a mail, in the words of the file; all but `rule` are empty for a mail that is not saved.

    `people`: "To ann" for each linked record in the order of the mail; `account`: accounts of the linked contacts;
    `text`: full or none.
    """

    rule: str
    incoming: str = ""
    people: tuple[str, ...] = ()
    related: str = ""
    related_by: str = ""
    account: tuple[str, ...] = ()
    clones: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Row:
    """One mail of the law. `needs` is "wish" where only the sidebar could have brought the mail there."""

    name: str
    source: str
    needs: str
    mailbox: str
    lies: str
    categories: tuple[str, ...]
    kind: str
    days: float
    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    settings: Mapping[str, Any]
    chosen: tuple[str, ...]
    thread: tuple[str, ...]
    expected: Outcome

    def profile(self) -> Profile:
        return Profile(self.settings)

    def filters(self) -> Filters:
        return Filters(self.profile(), org().addresses_of(self.mailbox))

    def mail(self) -> Mail:
        """The mail as a mailbox would report it: addresses in lower case, received `days` before ACTIVATED."""
        role, marked_folder = PLACES[self.lies]
        at = ACTIVATED - timedelta(days=self.days)

        def canonical(addresses: tuple[str, ...]) -> tuple[Address, ...]:
            return tuple(Address(one.lower()) for one in addresses)

        return Mail(
            id=self.name, version="1", message_id="<mail@law.test>", thread="", subject=self.subject,
            sender=Address(self.sender.lower()) if self.sender else None, to=canonical(self.to), cc=canonical(self.cc),
            bcc=canonical(self.bcc), categories=self.categories, role=role, marked_folder=marked_folder,
            draft=self.kind == "draft", meeting=self.kind == "meeting", private=self.kind == "private", received=at, sent=at,
        )  # fmt: skip

    def text(self) -> MailText:
        return MailText(self.mail(), text="The text.", html="<p>The text.</p>", attachments=())


def _value(name: str, written: str) -> Any:
    match BY_NAME[name].kind:
        case "switch":
            return {"on": True, "off": False}[written]
        case "number":
            return int(written)
        case "list":
            return tuple(written.split())
    return written


def _settings(*cells: str) -> dict[str, Any]:
    pairs = (one.partition("=") for cell in cells for one in parts(cell))
    return {name.strip(): _value(name.strip(), value.strip()) for name, _, value in pairs}


def _outcome(cells: Mapping[str, str], text: str) -> Outcome:
    if cells["rule"].startswith("skipped."):
        filled = {field.name for field in fields(Outcome)} - {"rule"}
        assert not any(cells[name] for name in filled), f"a refused mail has no links: {cells['name']}"
        return Outcome(cells["rule"])
    listed = {name: tuple(cells[name].split()) for name in ("account", "clones", "left_out")}
    return Outcome(
        cells["rule"], cells["incoming"], parts(cells["people"]), cells["related"], cells["related_by"], **listed,
        text=cells["text"] or text,
    )  # fmt: skip


def _row(cells: Mapping[str, str], base: Mapping[str, str]) -> Row:
    def cell(name: str) -> str:
        return cells[name] or base[name]

    return Row(
        name=cells["name"], source=cells["source"], needs=cells["needs"], mailbox=cell("mailbox"), lies=cell("lies"),
        categories=parts(cells["categories"]), kind=cells["kind"], days=float(cell("days")), sender=cells["from"],
        to=parts(cells["to"]), cc=parts(cells["cc"]), bcc=parts(cells["bcc"]), subject=cells["subject"],
        settings=_settings(base["settings"], cells["settings"]), chosen=tuple(cells["chosen"].split()),
        thread=tuple(cells["thread"].split()), expected=_outcome(cells, base["text"]),
    )  # fmt: skip


@cache
def org() -> Org:
    with (HERE / "matching_org.csv").open(newline="", encoding="utf-8") as file:
        records = [Record(**cells, created=f"{at:05}") for at, cells in enumerate(csv.DictReader(file, strict=True))]
    return Org({one.name: one for one in records})


@cache
def rows() -> tuple[Row, ...]:
    """The law, without the first row, which holds what the others leave empty."""
    with (HERE / "matching.csv").open(newline="", encoding="utf-8") as file:
        base, *others = csv.DictReader(file, strict=True)
    return tuple(_row(cells, base) for cells in others)
