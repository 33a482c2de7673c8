"""In-memory mailbox and CRM for mail capture that obey the ports, for the fast property tests. Stricter than the vendors.

Rules that hold here: a mailbox reports every change as a page with a cursor, again after each change, and in full after a
lost cursor; the CRM takes every record it is given, so that only the engine's own care keeps a mail single; a file is a row
of its own. `before` is called ahead of each call and may raise or act; `after` when the work is done and the answer is not
given yet: the tests' fault plan.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.core.errors import Gone, ItemError
from shared.core.mail import Attachment, MailRecord, MailText
from shared.core.match import Case, Opportunity, Person
from shared.ports import MailPage, Matches, Question, SavedMail, Stream

PAGE = 20
Fault = Callable[[str], None]


class Bytes(io.BytesIO):
    """A stream that knows its size."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.size = len(content)


@dataclass
class MemoryMail:
    """One mailbox. Users act through `put`, `change`, `remove`."""

    before: Fault
    after: Fault
    mails: dict[str, MailText] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)  # ids in the order of change
    generation: int = 0  # a cursor of another generation is dead
    reads: int = 0
    marked: list[tuple[str, str]] = field(default_factory=list)  # (id, +category or -category)

    def put(self, text: MailText) -> None:
        self.mails[text.mail.id] = text
        self.log.append(text.mail.id)

    def change(self, mail_id: str, **changes: object) -> None:
        text = self.mails[mail_id]
        version = str(len(self.log))
        self.put(replace(text, mail=replace(text.mail, version=version, **changes)))  # type: ignore[arg-type]

    def remove(self, mail_id: str) -> None:
        del self.mails[mail_id]
        self.log.append(mail_id)

    def pull(self, cursors: Mapping[str, str], since: datetime) -> MailPage:
        self.before("pull")
        generation, _, position = cursors.get("all", f"{self.generation}:0").partition(":")
        restarted = () if int(generation) == self.generation else ("all",)
        start = 0 if restarted else int(position)
        part = self.log[start : start + PAGE]
        seen = [self.mails[mail_id].mail for mail_id in dict.fromkeys(part) if mail_id in self.mails]
        gone = tuple(mail_id for mail_id in dict.fromkeys(part) if mail_id not in self.mails)
        end = start + len(part)
        self.after("pull")
        return MailPage(tuple(seen), gone, {"all": f"{self.generation}:{end}"}, end < len(self.log), restarted)

    def texts(self, ids: Sequence[str]) -> Mapping[str, MailText | ItemError]:
        self.before("texts")
        self.reads += len(ids)
        answer: dict[str, MailText | ItemError] = {mail_id: self.mails.get(mail_id) or Gone() for mail_id in ids}
        self.after("texts")
        return answer

    @contextmanager
    def open(self, mail_id: str, attachment: Attachment) -> Iterator[Stream]:
        self.before("open")
        if mail_id not in self.mails:
            raise Gone
        yield Bytes(attachment.name.encode() * 3)

    def mark(self, mail_id: str, *, add: Sequence[str] = (), take: Sequence[str] = ()) -> str:
        self.before("mark")
        if mail_id not in self.mails:
            raise Gone
        there = self.mails[mail_id].mail.categories
        self.marked += [(mail_id, f"+{name}") for name in add if name not in there]
        self.marked += [(mail_id, f"-{name}") for name in take if name in there]
        kept = [name for name in self.mails[mail_id].mail.categories if name not in (*add, *take)]
        self.change(mail_id, categories=(*kept, *add))
        self.after("mark")
        return self.mails[mail_id].mail.version


@dataclass
class Saved:
    """A mail record as the CRM keeps it."""

    id: str
    record: MailRecord
    related_sender: bool = False
    files: list[tuple[str, int]] = field(default_factory=list)
    deleted: bool = False


@dataclass
class MemoryCrm:
    """One org. `refuse` may answer an item error for a record."""

    before: Fault
    after: Fault
    people: tuple[Person, ...] = ()
    opportunities: tuple[Opportunity, ...] = ()
    cases: Mapping[str, Case] = field(default_factory=dict)
    saved: list[Saved] = field(default_factory=list)
    refuse: Callable[[MailRecord], ItemError | None] = lambda record: None
    calls: int = 0

    def alive(self) -> list[Saved]:
        return [one for one in self.saved if not one.deleted]

    def match(self, question: Question) -> Matches:
        self._called("match")
        wanted = set(question.addresses)
        people = tuple(person for person in self.people if wanted & set(person.addresses))
        found: dict[str, str] = {}
        for one in self.alive():
            if one.record.identifier in question.identifiers:
                found.setdefault(one.record.identifier, one.id)
        cases = {number: self.cases[number] for number in question.case_numbers if number in self.cases}
        answer = Matches(people, self.opportunities if question.opportunities else (), cases, found)
        self.after("match")
        return answer

    def save(self, records: Sequence[MailRecord]) -> Sequence[SavedMail | ItemError]:
        self._called("save")
        answers: list[SavedMail | ItemError] = []
        for record in records:
            if (refused := self.refuse(record)) is not None:
                answers.append(refused)
                continue
            self.saved.append(Saved(f"m{len(self.saved)}", record))
            answers.append(SavedMail(self.saved[-1].id))
        self.after("save")
        for answer in answers:
            if isinstance(answer, SavedMail):
                self._record(answer.id).related_sender = True
        self.after("relate")
        return answers

    def complete(self, saved: Sequence[tuple[str, MailRecord]]) -> Sequence[SavedMail | ItemError]:
        self._called("complete")
        answers: list[SavedMail | ItemError] = []
        for record_id, _ in saved:
            one = next((one for one in self.alive() if one.id == record_id), None)
            if one is not None:
                one.related_sender = True
            answers.append(Gone() if one is None else SavedMail(record_id))
        self.after("complete")
        return answers

    def files(self, record_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[str, int]]]:
        self._called("files")
        return {record_id: tuple(self._record(record_id).files) for record_id in record_ids}

    def file_name(self, name: str) -> str:
        return name

    def attach(self, record_ids: Sequence[str], name: str, content_type: str, stream: Stream) -> None:
        self._called("attach")
        self._record(record_ids[0]).files.append((name, len(stream.read())))
        self.after("attach")

    def remove(self, record_id: str) -> None:
        self._called("remove")
        if self._record(record_id).deleted:
            raise Gone
        self._record(record_id).deleted = True
        self.after("remove")

    def _record(self, record_id: str) -> Saved:
        return next(one for one in self.saved if one.id == record_id)

    def _called(self, what: str) -> None:
        self.calls += 1
        self.before(what)
