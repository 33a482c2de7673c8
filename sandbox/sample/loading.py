"""Puts the sample data into the two vendors' stand-ins, through the ways that a person or the outside world has.

Rules that hold here:
- Records go through the org's own rules, mails through the mailbox's own delivery; nothing is written past them.
- Days count back from the last full hour of the world's time; the same seed and the same hour give the same mails, and the
  same ids.
- What was made is remembered by its key (`Sample.records`, `Sample.mails`), for the manifest.

It must never hold facts of the sample: they stand in `org.toml`, `mails.toml`, `events.toml`, `manifest.csv`, `events.csv`.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from sandbox.frame import World
from sandbox.microsoft import Mailbox, Microsoft
from sandbox.microsoft.folders import WELL_KNOWN
from sandbox.microsoft.mime import parse
from sandbox.salesforce import Salesforce
from sandbox.sample.events import Diaries
from sandbox.sample.mails import FOLDER, AddressBook, Copy, Made, Writer, described
from sandbox.sample.words import Words

#: the product's field of a client's package, which the admin of this company has deployed
KEY_FIELD = "Mailspan_Key__c"
SECOND_ADDRESS = {"name": "Second_Email__c", "type": "email", "label": "Second Email", "length": 80}
#: path segments that the product or people know by name, so that no canary may change them
FIXED_NAMES = frozenset({"salesforce emails", "inbox"})


@dataclass(frozen=True)
class User:
    """One connected person: a mailbox and the Salesforce user it belongs to. `connection`: org or personal."""

    key: str
    address: str
    aliases: tuple[str, ...]
    name: str
    connection: str
    username: str
    user_id: str


@dataclass(frozen=True)
class Placed:
    """A mail with its copies: (mailbox key, immutable id)."""

    made: Made
    copies: tuple[tuple[str, str], ...]
    message_id: str


@dataclass
class Sample:
    """What was put where. `records`: "kind:key" -> record id; `settings` as the company set them in the product."""

    words: Words
    book: AddressBook
    users: list[User] = field(default_factory=list)
    records: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    settings: dict[str, list[str]] = field(default_factory=dict)
    mails: list[Placed] = field(default_factory=list)
    diaries: Diaries = field(init=False)


def load(world: World, microsoft: Microsoft, salesforce: Salesforce, *, seed: int = 1, canaries: bool = False) -> Sample:
    """Fills two empty vendors; a tenant of the Microsoft world must be there already."""
    data = tomllib.loads((FOLDER / "org.toml").read_text(encoding="utf-8"))
    words, book = _words(seed, canaries)
    sample = Sample(words, book)
    cases = _Org(salesforce, book, words, sample).fill(data)
    sample.settings = {name: [_entry(words, entry) for entry in entries] for name, entries in data["settings"].items()}
    boxes = {box["key"]: _mailbox(microsoft, salesforce, box, words, sample) for box in data["mailbox"]}
    now = world.clock.now().replace(minute=0, second=0, microsecond=0)
    for made in _written(seed, canaries, now, tuple(cases.items())):
        sample.mails.append(_placed(made, boxes, words))
    for box in data["mailbox"]:
        _more_folders(boxes[box["key"]], box["folders"], data["folders"], words)
    sample.diaries = Diaries(salesforce, boxes, words, book, sample.records, world.clock.now(), cases)
    return sample


@cache
def _words(seed: int, canaries: bool) -> tuple[Words, AddressBook]:
    data = tomllib.loads((FOLDER / "org.toml").read_text(encoding="utf-8"))
    own = [one for box in data["mailbox"] for one in (box["address"], *box["aliases"])] + [data["company"]["domain"]]
    words = Words(seed=seed, are_on=canaries, own=own)
    return words, AddressBook(data["people"], words)


@lru_cache(maxsize=1)
def _written(seed: int, canaries: bool, now: datetime, cases: tuple[tuple[str, str], ...]) -> list[Made]:
    """Every mail. Writing them is most of the work of loading, and a reset wants the same ones again."""
    words, book = _words(seed, canaries)
    writer = Writer(book, words, dict(cases), now, seed)
    return [writer.write(spec) for spec in described()]


def _entry(words: Words, entry: str) -> str:
    """An entry of a blocklist: an address or a domain."""
    return words.address(entry) if "@" in entry else words.domain(entry)


class _Org:
    """The tables of `org.toml` as records."""

    def __init__(self, salesforce: Salesforce, book: AddressBook, words: Words, sample: Sample) -> None:
        self._salesforce, self._book, self._words, self._sample = salesforce, book, words, sample

    def fill(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Makes all records; answers the case numbers by key."""
        self._salesforce.records.schema.add_field("Contact", SECOND_ADDRESS)
        self._salesforce.add_key_field(KEY_FIELD)
        for row in data["user"]:
            self._user(row)
        for kind, fields in (("account", self._account), ("contact", self._contact), ("lead", self._lead),
                             ("opportunity", self._opportunity), ("case", self._case)):  # fmt: skip
            for row in data[kind]:
                self._create(kind, row, fields(row))
        self._salesforce.records.store.commit()
        records = self._salesforce.records
        rows = {row["key"]: records.referred(self._sample.records[f"case:{row['key']}"]) for row in data["case"]}
        return {f"case_{key}": str(found["CaseNumber"]) for key, found in rows.items() if found}

    def _id(self, kind: str, key: str | None) -> str | None:
        return self._sample.records[f"{kind}:{key}"] if key else None

    def _create(self, kind: str, row: Mapping[str, Any], fields: dict[str, Any]) -> None:
        fields["OwnerId"] = self._id("user", row.get("owner"))
        record_id = self._salesforce.records.create(kind.title(), fields, str(fields["OwnerId"] or self._salesforce.admin_id))
        self._keep(kind, row["key"], record_id)

    def _keep(self, kind: str, key: str, record_id: str) -> None:
        self._sample.records[f"{kind}:{key}"] = record_id
        self._sample.names[record_id] = f"{kind}:{key}"

    def _user(self, row: Mapping[str, Any]) -> None:
        first = self._words.text("first name", row["username"], row["first"])
        last = self._words.text("last name", row["username"], row["last"])
        email = self._words.address(row["email"])
        username = row["username"]
        user_id = self._salesforce.add_user(username, first, last, email, active=row.get("active", True))
        self._keep("user", row["key"], user_id)

    def _account(self, row: Mapping[str, Any]) -> dict[str, Any]:
        host = row["website"].removeprefix("https://")
        prefix = "www." if host.startswith("www.") else ""
        website = f"https://{prefix}{self._words.domain(host.removeprefix('www.'))}"
        return {"Name": self._words.text("company", row["key"], row["name"]), "Website": website}

    def _person(self, row: Mapping[str, Any]) -> dict[str, Any]:
        key = row.get("person", row["key"])
        first, last = self._book.name(key)
        return {"FirstName": first or None, "LastName": last, "Email": self._book.party(key).address}

    def _contact(self, row: Mapping[str, Any]) -> dict[str, Any]:
        second = {"Second_Email__c": self._book.party(row["second"]).address} if "second" in row else {}
        return {**self._person(row), **second, "AccountId": self._id("account", row.get("account"))}

    def _lead(self, row: Mapping[str, Any]) -> dict[str, Any]:
        company = self._words.text("company", row["key"], row["company"])
        return {**self._person(row), "Company": company, "IsConverted": row.get("converted", False)}

    def _opportunity(self, row: Mapping[str, Any]) -> dict[str, Any]:
        closes = self._salesforce.now().date().isoformat()
        name = self._words.text("opportunity", row["key"], row["name"])
        return {"Name": name, "AccountId": self._id("account", row["account"]), "StageName": row["stage"], "CloseDate": closes}

    def _case(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "Subject": self._words.text("case", row["key"], row["subject"]),
            "AccountId": self._id("account", row["account"]),
            "ContactId": self._id("contact", row["contact"]),
        }


def _mailbox(microsoft: Microsoft, salesforce: Salesforce, row: Mapping[str, Any], words: Words, sample: Sample) -> Mailbox:
    name = words.text("mailbox name", row["address"], row["name"])
    user_id = sample.records[f"user:{row['user']}"]
    user = salesforce.records.referred(user_id)
    assert user is not None
    sample.users.append(
        User(row["key"], row["address"], tuple(row["aliases"]), name, row["connection"], user["Username"], user_id)
    )
    return microsoft.add_mailbox(row["address"], name, aliases=row["aliases"], time_zone=row["time_zone"])


def _folder(mailbox: Mailbox, folder: str, words: Words) -> str:
    if folder in WELL_KNOWN:
        return folder
    return mailbox.make_folder("/".join(_folder_name(words, mailbox, step) for step in folder.split("/")))


def _folder_name(words: Words, mailbox: Mailbox, name: str) -> str:
    return name if name.lower() in FIXED_NAMES else words.text("folder", f"{mailbox.address} {name}", name)


def _placed(made: Made, boxes: Mapping[str, Mailbox], words: Words) -> Placed:
    ids = [(copy.mailbox, _deliver(boxes[copy.mailbox], copy, made, words)) for copy in made.spec.copies]
    first = boxes[ids[0][0]].message(ids[0][1])
    return Placed(made, tuple(ids), first.message_id)


def _deliver(mailbox: Mailbox, copy: Copy, made: Made, words: Words) -> str:
    """One copy, in the way that fits its folder: written, sent or received."""
    folder = _folder(mailbox, copy.folder, words)
    if folder == "drafts":
        message_id = mailbox.create(parse(made.raw), folder).id
    elif folder == "sentitems":
        message_id = mailbox.send(made.raw, sent=made.received)
    else:
        message_id = mailbox.deliver(made.raw, folder=folder, received=made.received)
    for link in made.spec.links:
        mailbox.add_link(message_id, words.file(f"{made.spec.key} {link}", link))
    if copy.categories:
        mailbox.set_categories(message_id, copy.categories)
    return message_id


def _more_folders(mailbox: Mailbox, wanted: int, levels: Mapping[str, list[str]], words: Words) -> None:
    """Fills the tree up to the wanted number of folders a person sees, standard ones included."""
    for path in _paths(levels):
        if len(mailbox.folders()) - 1 >= wanted:
            return
        mailbox.make_folder("/".join(_folder_name(words, mailbox, step) for step in path))
    raise ValueError(f"The levels of org.toml do not make {wanted} folders.")


def _paths(levels: Mapping[str, list[str]]) -> Iterable[tuple[str, ...]]:
    """Every path of the tree, so that each is one folder more than those before it."""
    first, second, third = levels["first"], levels["second"], levels["third"]
    yield from ((one,) for one in first)
    yield from itertools.product(first, second)
    yield from itertools.product(first, second, third)
