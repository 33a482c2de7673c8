"""`mails.toml` -> letters and where their copies lie: single mails as they stand, series spread over days.

Rules that hold here:
- A mail is known by its key; `row` is the key of the manifest's row that says what must become of it. A series has two rows:
  `KEY.in` for what comes from outside and `KEY.out` for the answers.
- Times are days before the moment of loading (`Writer`'s `now`); a series is spread evenly from its older to its newer day.
- Answers refer to the mail before them and to the first of their thread.

It must never say what the product does with a mail; that is `manifest.csv`.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from sandbox.sample.mime import LOST_HEADERS, Letter, Part, Party, build
from sandbox.sample.words import Words

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Copy:
    """Where one copy of a mail lies: mailbox, folder (a well-known name or a path) and categories."""

    mailbox: str
    folder: str
    categories: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Copy:
        """`olivia:inbox`, or with categories `olivia:Customers/North +Salesforce+Red`."""
        place, _, marks = text.partition(" +")
        mailbox, _, folder = place.partition(":")
        return cls(mailbox, folder, tuple(marks.split("+")) if marks else ())


@dataclass(frozen=True)
class Spec:
    """One mail as described. People are keys of the address book, `many:N` stands for N strangers; `answers` is a key."""

    key: str
    copies: tuple[Copy, ...]
    days: float
    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = ""
    body: str = "both"
    parts: tuple[Mapping[str, Any], ...] = ()
    answers: str = ""
    flaws: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    row: str = ""


@dataclass(frozen=True)
class Made:
    """A mail that is ready to be delivered. `files`: name -> content of every part that is a file of its own."""

    spec: Spec
    letter: Letter
    raw: bytes
    received: datetime


class AddressBook:
    """The people of `org.toml`, as headers show them; with canaries in names and addresses."""

    def __init__(self, people: Mapping[str, str], words: Words) -> None:
        self._words = words
        self._people = {key: parseaddr(text) for key, text in people.items()}

    def party(self, key: str) -> Party:
        """`upper:KEY` is the same person with the address in capitals. Raises KeyError for nobody."""
        name, address = self._people[key.removeprefix("upper:")]
        shown = self._words.address(address)
        return Party(self._words.text("name", address, name), shown.upper() if key.startswith("upper:") else shown)

    def name(self, key: str) -> tuple[str, str]:
        """(first name, last name) as the org has them."""
        name, address = self._people[key]
        first, _, last = name.partition(" ")
        if not last:
            first, last = "", first
        return self._words.text("first name", address, first), self._words.text("last name", address, last)

    def parties(self, keys: Sequence[str]) -> list[Party]:
        found = []
        for key in keys:
            kind, _, n = key.partition(":")
            if kind == "many":
                addresses = [f"guest{number:03}@crowd.example" for number in range(1, int(n) + 1)]
                found += [Party(self._words.text("name", one, "Guest"), self._words.address(one)) for one in addresses]
            else:
                found.append(self.party(key))
        return found


def described() -> list[Spec]:
    """Every mail of `mails.toml`, oldest series first, answers after what they answer."""
    data = tomllib.loads((FOLDER / "mails.toml").read_text(encoding="utf-8"))
    singles = [_single(row) for row in data["mail"]]
    return [*(spec for row in data["series"] for spec in _series(row)), *singles]


def _single(row: Mapping[str, Any]) -> Spec:
    given = dict(row)
    copies = tuple(Copy.read(text) for text in given.pop("copies"))
    lists: dict[str, Any] = {name: tuple(given.pop(name, ())) for name in ("to", "cc", "bcc", "parts", "flaws", "links")}
    given["sender"] = given.pop("from")
    return Spec(copies=copies, row=given["key"], **lists, **given)


def _series(row: Mapping[str, Any]) -> Iterator[Spec]:
    """`with`: people outside, of whom the first writes; `mailboxes`: ours, of whom the first answers."""
    outside, ours, count = row["with"], row["mailboxes"], row["count"]
    newest, oldest = row["days"]
    marks = f" +{row['category']}" if "category" in row else ""
    before = ""
    for n in range(1, count + 1):
        comes_in = n % 2 == 1 or not row.get("answers", True)
        key = f"{row['key']}.{n:02}"
        sender, to = (outside[0], ours) if comes_in else (ours[0], outside[:1])
        cc = outside[1:] if comes_in else [*outside[1:], *ours[1:]]
        places = {ours[0]: row.get("folder", "inbox") if comes_in else row.get("sent", "sentitems")}
        places |= dict.fromkeys(ours[1:], "inbox")
        yield Spec(
            key=key,
            copies=tuple(Copy.read(f"{mailbox}:{folder}{marks}") for mailbox, folder in places.items()),
            days=oldest - (oldest - newest) * (n - 1) / max(count - 1, 1),
            sender=sender,
            to=tuple(to),
            cc=tuple(cc),
            subject=("Re: " if before else "") + row["subject"],
            body=row.get("body", "both") if n == 1 else row.get("body", "quoted"),
            parts=tuple(row.get("parts", ())),
            answers=before,
            row=f"{row['key']}.{'in' if comes_in else 'out'}",
        )
        before = key


class Writer:
    """Descriptions -> mails. `cases` are the numbers of the org's cases by key; `now` is the moment all days count from."""

    def __init__(self, book: AddressBook, words: Words, cases: Mapping[str, str], now: datetime, seed: int) -> None:
        self._book, self._words, self._cases, self._now, self._seed = book, words, cases, now, seed
        self._ids: dict[str, str] = {}
        self._threads: dict[str, tuple[str, ...]] = {}
        self._raw: dict[str, bytes] = {}

    def write(self, spec: Spec) -> Made:
        """Raises KeyError where the description names somebody or something that is not there."""
        chance = random.Random(f"{self._seed}|{spec.key}")
        sent = self._now - timedelta(days=spec.days)
        sender = self._book.party(spec.sender)
        lost = {header for flaw in spec.flaws for header in LOST_HEADERS.get(flaw, ())}
        subject = spec.subject.format(**self._cases)
        letter = Letter(
            message_id=self._message_id(spec.key, sender, is_shown="Message-ID" not in lost),
            date=sent,
            sender=sender,
            to=self._book.parties(spec.to),
            cc=self._book.parties(spec.cc),
            bcc=self._book.parties(spec.bcc),
            subject=subject if "Subject" in lost else self._words.text("subject", spec.key, subject),
            body=spec.body,
            token=self._words.token("body", spec.key) if spec.body != "empty" else "",
            parts=[self._part(spec, given, chance) for given in spec.parts],
            flaws=spec.flaws,
            headers={**self._thread(spec), **spec.headers},
        )
        self._raw[spec.key] = build(letter, chance)
        return Made(spec, letter, self._raw[spec.key], sent + timedelta(seconds=chance.randint(1, 40)))

    def _message_id(self, key: str, sender: Party, *, is_shown: bool) -> str:
        domain = sender.address.rpartition("@")[2].lower()
        local = self._words.text("Message-ID", key, key).replace(" ", ".") if is_shown else key
        self._ids[key] = f"<{local}@mail.{domain}>"
        return self._ids[key]

    def _thread(self, spec: Spec) -> dict[str, str]:
        if not spec.answers:
            self._threads[spec.key] = (self._ids[spec.key],)
            return {}
        known = self._threads[spec.answers]
        self._threads[spec.key] = (*known, self._ids[spec.key])
        shown = (known[0], *known[1:][-8:]) if len(known) > 9 else known
        return {"In-Reply-To": self._ids[spec.answers], "References": " ".join(shown)}

    def _part(self, spec: Spec, given: Mapping[str, Any], chance: random.Random) -> Part:
        """{file = name, size = bytes}, {inline = name}, {calendar = name} or {mail = key}."""
        (kind, name), *rest = given.items()
        if kind == "mail":
            return Part("mail", name, self._raw[name])
        if kind == "calendar":
            return Part("calendar", str(name), b"")
        shown = self._words.file(f"{spec.key} {name}", str(name))
        size = dict(rest).get("size", 1200)
        head = self._words.text("file content", f"{spec.key} {name}", "content").encode() if size else b""
        return Part(kind, shown, head + chance.randbytes(max(0, size - len(head))))
