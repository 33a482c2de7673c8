"""Mail in Salesforce: `MailCrm` of the ports over REST, as one user of one org, for one session.

Rules that hold here (design sections 5 to 7; behaviour.md 0.13):
- Calls are few: a batch of 200 mails is matched in one (two where all six kinds of record are asked for) and saved in two.
- Where EmailMessage is not there for this user, a mail becomes a completed Task (`salesforce_task`).
- A save answers row by row. A row that was locked is tried once more at once; what is locked still is `Stale`: the mail stays
  open and its next session tries again. Nothing waits here.
- Once rows stand, no later trouble may lose their ids: a relation that could not be written leaves the mail incomplete.
- A mistake of our own at one record or one row of an answer is that one's Bug, and the others go on. Everything of a record
  is made before it is written, so that such a mistake leaves none behind.
- Where Salesforce does not know a field for this user that the org's description has, the user gets a description of their
  own and the work is done once more.

It must never create a record twice by itself (an answer that was lost is NetworkDown; the look-up by identifier settles it),
nor let a word of the vendor's errors out.

Source: REST API Developer Guide, "sObject Collections", "Composite", "Insert or Update Blob Data"; Object Reference.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import requests

from shared.core.errors import Bug, Gone, ItemError, Refused, Retry, Stale, SyncError, bug_or
from shared.core.mail import MailRecord
from shared.crm import salesforce_ask, salesforce_files, salesforce_map, salesforce_task
from shared.crm.budget import Budget
from shared.crm.salesforce_client import PARTS, Client, Part
from shared.crm.salesforce_errors import answered, row_error
from shared.crm.schema import NOT_SEEN, Described, Schema
from shared.ports import AccessToken, Clock, Matches, Question, SavedMail, Stream

BATCH = 200
ID = 15  #: an id's own characters; three more only repeat their case
DOCUMENT = "@{version.records[0].ContentDocumentId}"
OBJECTS = {"02s": "EmailMessage", "00T": "Task"}

T = TypeVar("T")
Seen = Mapping[str, Described]
Row = Mapping[str, Any]
Key = tuple[str, str, str]  #: (mail, person, role): what makes a relation
Made = tuple[Row, ...]  #: relations that still lack the id of their mail

log = logging.getLogger("mailspan")


class SalesforceMail:
    """`schema` is the org's, kept by the caller; `budget` is the session's; `user_id` is whose token it is.

    `left_out` counts the kinds of record that could not be asked for, by object: not there for this user, or not filterable.
    """

    def __init__(
        self, session: requests.Session, token: AccessToken, *, user_id: str, schema: Schema, budget: Budget, clock: Clock,
        session_id: str,
    ) -> None:  # fmt: skip
        self._client = Client(session, token, budget=budget, clock=clock, session_id=session_id)
        self._clock = clock
        self._user_id = user_id
        self._schema = schema
        self._status = ""
        self.left_out: Counter[str] = Counter()

    # --- reading -----------------------------------------------------------------------------------------------------

    def match(self, question: Question) -> Matches:
        """One call, two where more than five statements are needed; none for an empty question."""
        if not (question.addresses or question.case_numbers or question.identifiers):
            return Matches()
        found = self._with_schema(lambda seen: self._asked(question, seen))
        self._schema.refresh(list(self._seen()), self._user_id, self._client.describe)
        return found

    def files(self, record_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[str, int]] | Bug]:
        if not record_ids:
            return {}
        head = (
            "SELECT LinkedEntityId, ContentDocument.Title, ContentDocument.FileExtension, ContentDocument.ContentSize, "
            "ContentDocument.LatestPublishedVersion.PathOnClient FROM ContentDocumentLink WHERE "
        )
        ids = map(salesforce_ask.literal, record_ids)
        statements = [("files", soql) for soql in salesforce_ask.packed(head, ["LinkedEntityId"], ids, "")]
        found: dict[str, list[tuple[str, int]]] = {record_id[:ID]: [] for record_id in record_ids}
        broken: dict[str, Bug] = {}
        for row in self._client.ask(statements)["files"]:
            record_id, file = row["LinkedEntityId"][:ID], bug_or(partial(salesforce_files.file_of, row))
            if isinstance(file, Bug):
                broken[record_id] = file
            else:
                found[record_id].append(file)
        return {record_id: broken.get(record_id[:ID]) or found[record_id[:ID]] for record_id in record_ids}

    # --- writing -----------------------------------------------------------------------------------------------------

    def save(self, records: Sequence[MailRecord]) -> Sequence[SavedMail | ItemError]:
        """Two calls for a batch, one where no sender is linked. Raises what stops all of them before any stands."""
        if not records:
            return []
        if len(records) > BATCH:
            raise ValueError(f"a save takes at most {BATCH} records, not {len(records)}")
        try:
            written = self._with_schema(lambda seen: self._written(records, seen))
        except Refused as refusal:  # of the whole call, although this user's own description was asked for
            return [refusal for _ in records]
        failed = self._related((one, row) for one, relations in written if isinstance(one, str) for row in relations)
        return [SavedMail(one, complete=one not in failed) if isinstance(one, str) else answered(one) for one, _ in written]

    def complete(self, saved: Sequence[tuple[str, MailRecord]]) -> Sequence[SavedMail | ItemError]:
        """One call to look and one to add; a Task has nothing to add. A relation that is refused refuses its mail."""
        mails = [record_id for record_id, _ in saved if record_id.startswith("02s")]
        if not mails:
            return [SavedMail(record_id) for record_id, _ in saved]
        there, linked, unread = self._standing(mails)
        wanted = [
            bug_or(partial(_every_relation, record)) if record_id in there and record_id not in unread else ()
            for record_id, record in saved
        ]
        made = zip(saved, wanted, strict=True)
        missing = ((record_id, row) for (record_id, _), rows in made if not isinstance(rows, Bug) for row in rows)
        failed = {**self._related(missing, linked), **unread}
        return [
            rows if isinstance(rows, Bug) else self._completed(record_id, there, failed)
            for (record_id, _), rows in zip(saved, wanted, strict=True)
        ]

    def file_name(self, name: str) -> str:
        return salesforce_files.stored_name(name)

    def attach(self, record_ids: Sequence[str], name: str, content_type: str, stream: Stream) -> None:
        """One call; with further records two. Raises Refused where a record takes no files, Stale where the file has to be
        sent once more from its beginning: then it goes the way that is left."""
        first, *others = dict.fromkeys(record_ids)
        apart = first[:3] in self._schema.no_place
        upload = salesforce_files.Upload(salesforce_files.version_fields(name, "" if apart else first), content_type, stream)
        try:
            version = self._client.upload("sobjects/ContentVersion", upload, upload.content_type)["id"]
        except (Gone, Refused) as refusal:
            if apart or not salesforce_files.is_no_place(refusal):
                raise
            self._schema.no_place.add(first[:3])
            raise Stale from None
        self._link(version, [first, *others] if apart else others, owner=first if apart else "")

    def _link(self, version: str, record_ids: Sequence[str], *, owner: str) -> None:
        """Links a file to records. One that its `owner` ("" = it has one already) refuses is taken back, or nobody saw it."""
        for start in range(0, len(record_ids), PARTS - 1):
            some = record_ids[start : start + PARTS - 1]
            links = [
                Part("POST", "sobjects/ContentDocumentLink", {
                    "ContentDocumentId": DOCUMENT, "LinkedEntityId": one, "ShareType": "V",
                })
                for one in some
            ]  # fmt: skip
            for one, reply in zip(["", *some], self._client.composite([_document(version), *links]), strict=True):
                try:
                    self._client.expect(reply)
                except SyncError:
                    if one == owner != "":
                        self._take_back(version, owner)
                    raise

    def _take_back(self, version: str, owner: str) -> None:
        """The next file tries again what was refused: perhaps it was this record alone."""
        self._schema.no_place.discard(owner[:3])
        with contextlib.suppress(SyncError):
            self._client.composite([_document(version), Part("DELETE", f"sobjects/ContentDocument/{DOCUMENT}")])

    def remove(self, record_id: str) -> None:
        self._client.call("DELETE", f"sobjects/{OBJECTS[record_id[:3]]}/{record_id}")

    # --- inside ------------------------------------------------------------------------------------------------------

    def _with_schema(self, work: Callable[[Seen], T]) -> T:
        """Does the work with what is known of the org; a second time where that was more than this user may see."""
        seen = self._seen()
        try:
            return work(seen)
        except Refused as refusal:
            if refusal.code not in NOT_SEEN:
                raise
        self._schema.own(list(seen), self._user_id, self._client.describe)
        return work(self._seen())

    def _seen(self) -> Seen:
        seen = self._schema.of(salesforce_ask.objects(enhanced=True), self._user_id, self._client.describe)
        if seen["EmailMessage"].exists:
            return seen
        return self._schema.of(salesforce_ask.objects(enhanced=False), self._user_id, self._client.describe)

    def _asked(self, question: Question, seen: Seen) -> Matches:
        asked = salesforce_ask.statements(question, seen, user_id=self._user_id, now=self._clock.now())
        rows = self._client.ask(asked.asked, archived=salesforce_ask.ARCHIVED)
        self.left_out.update(asked.left_out)
        found, nobodys = salesforce_ask.matches(question, rows, seen)
        for bug in nobodys:
            log.error(json.dumps({"event": "row left out", "kind": bug.kind, "place": bug.place}))
        return replace(found, broken={**asked.broken, **found.broken})

    def _written(self, records: Sequence[MailRecord], seen: Seen) -> list[tuple[str | SyncError, Made]]:
        """Record id or error of each, and the relations that follow it. Raises what is no single mail's fault."""
        status = self._closing_status() if "Task" in seen else ""
        made = [bug_or(partial(_made, record, seen, status)) for record in records]
        sound = [one for one in made if not isinstance(one, Bug)]
        results = iter(self._rows_written([row for row, _ in sound]) if sound else ())
        return [(one, ()) if isinstance(one, Bug) else (next(results), one[1]) for one in made]

    def _rows_written(self, rows: Sequence[Row]) -> list[str | SyncError]:
        results = self._collection(rows)
        locked = [number for number, one in enumerate(results) if isinstance(one, Retry)]
        if locked:
            with contextlib.suppress(SyncError):  # what stands already must be told of
                again = self._collection([rows[number] for number in locked])
                results = [again[locked.index(n)] if n in locked else one for n, one in enumerate(results)]
        if not any(isinstance(one, str) for one in results):
            for one in results:
                if isinstance(one, SyncError) and (not isinstance(one, ItemError | Retry) or one.code in NOT_SEEN):
                    raise one
        return results

    def _collection(self, rows: Sequence[Row]) -> list[str | SyncError]:
        answer = self._client.call("POST", "composite/sobjects", {"allOrNone": False, "records": rows})
        now = self._clock.now()
        return [one["id"] if one.get("success") else bug_or(partial(row_error, one, now)) for one in answer]

    def _related(self, wanted: Iterable[tuple[str, Row]], linked: frozenset[Key] = frozenset()) -> dict[str, SyncError]:
        """Writes the relations of mails (by id) that are not `linked`, each once; answers the mails of which one could not be
        written, with the error."""
        failed: dict[str, SyncError] = {}
        rows = {(one, row["RelationId"], row["RelationType"]): {**row, "EmailMessageId": one} for one, row in wanted}
        pairs = [(key, row) for key, row in rows.items() if key not in linked]
        for start in range(0, len(pairs), BATCH):
            some = pairs[start : start + BATCH]
            results: Sequence[str | SyncError]
            try:
                results = self._collection([row for _, row in some])
            except SyncError as problem:
                results = [problem for _ in some]
            failed |= {key[0]: one for (key, _), one in zip(some, results, strict=True) if isinstance(one, SyncError)}
        return failed

    def _standing(self, mails: Sequence[str]) -> tuple[frozenset[str], frozenset[Key], Mapping[str, Bug]]:
        """Which mails are there, the relations they have, and the mails of which a relation could not be read."""
        heads = {
            "mails": ("SELECT Id FROM EmailMessage WHERE ", "Id"),
            "links": ("SELECT EmailMessageId, RelationId, RelationType FROM EmailMessageRelation WHERE ", "EmailMessageId"),
        }
        ids = [salesforce_ask.literal(mail_id) for mail_id in mails]
        asked = [(n, s) for n, (head, field) in heads.items() for s in salesforce_ask.packed(head, [field], ids, "")]
        rows = self._client.ask(asked)
        links = [(row["EmailMessageId"], bug_or(partial(_linked, row))) for row in rows["links"]]
        unread = {mail_id: one for mail_id, one in links if isinstance(one, Bug)}
        there = frozenset(row["Id"] for row in rows["mails"])
        return there, frozenset(one for _, one in links if not isinstance(one, Bug)), unread

    @staticmethod
    def _completed(record_id: str, there: frozenset[str], failed: Mapping[str, SyncError]) -> SavedMail | ItemError:
        if record_id.startswith("02s") and record_id not in there:
            return Gone()
        problem = failed.get(record_id)
        return problem if isinstance(problem, ItemError) else SavedMail(record_id, complete=problem is None)

    def _closing_status(self) -> str:
        """The org's own word for a completed task, asked once a session; the vendor's where it cannot be read."""
        if not self._status:
            rows: Sequence[Row] = ()
            with contextlib.suppress(Refused):
                soql = "SELECT ApiName, MasterLabel, SortOrder FROM TaskStatus WHERE IsClosed = true"
                rows = self._client.ask([("statuses", soql)])["statuses"]
            self._status = salesforce_task.closing_status(rows)
        return self._status


def _document(version: str) -> Part:
    """Asks for the file of an upload; later parts name it as DOCUMENT."""
    query = f"query?q=SELECT%20ContentDocumentId%20FROM%20ContentVersion%20WHERE%20Id%20%3D%20%27{version}%27"
    return Part("GET", query, name="version")


def _made(record: MailRecord, seen: Seen, status: str) -> tuple[Row, Made]:
    """What is written of a record: its own row, and the relations that a create cannot carry."""
    if "Task" in seen:
        return salesforce_task.task(record, seen["Task"], status), ()
    row = salesforce_map.email_message(record, seen["EmailMessage"])
    return row, salesforce_map.relation_rows(salesforce_map.sender_relations(record))


def _every_relation(record: MailRecord) -> Made:
    """The relations that an EmailMessage ought to have."""
    return salesforce_map.relation_rows(salesforce_map.relations(record))


def _linked(row: Row) -> Key:
    return row["EmailMessageId"], row["RelationId"] or "", row["RelationType"]
