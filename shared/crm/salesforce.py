"""Mail in Salesforce: `MailCrm` of the ports over REST, as one user of one org, for one session.

Rules that hold here (design sections 5 to 7; behaviour.md 0.13):
- Calls are few: a batch of 200 mails is matched in one (two where all six kinds of record are asked for) and saved in two.
- Where EmailMessage is not there for this user, a mail becomes a completed Task (`salesforce_task`).
- A save answers row by row. A row that was locked is tried once more at once; what is locked still is `Stale`: the mail stays
  open and its next session tries again. Nothing waits here.
- Once rows stand, no later trouble may lose their ids: a relation that could not be written leaves the mail incomplete.
- Where Salesforce does not know a field for this user that the org's description has, the user gets a description of their
  own and the work is done once more.

It must never create a record twice by itself (an answer that was lost is NetworkDown; the look-up by identifier settles it),
nor let a word of the vendor's errors out.

Source: REST API Developer Guide, "sObject Collections", "Composite", "Insert or Update Blob Data"; Object Reference.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Any, TypeVar

import requests

from shared.core.errors import Gone, ItemError, Refused, Retry, SyncError
from shared.core.mail import MailRecord
from shared.crm import salesforce_ask, salesforce_files, salesforce_map, salesforce_task
from shared.crm.budget import Budget
from shared.crm.salesforce_client import PARTS, Client, Part
from shared.crm.salesforce_errors import answered, row_error
from shared.crm.schema import Answer, Described, Schema
from shared.ports import AccessToken, Clock, Matches, Question, SavedMail, Stream

BATCH = 200
ID = 15  #: an id's own characters; three more only repeat their case
#: what Salesforce says where our description shows more than this user may see.
NOT_SEEN = frozenset({"refused.invalid_field", "refused.invalid_type", "refused.invalid_field_for_insert_update"})
OBJECTS = {"02s": "EmailMessage", "00T": "Task"}

T = TypeVar("T")
Seen = Mapping[str, Described]


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
        self._schema.refresh(list(self._seen()), self._user_id, self._describe)
        return found

    def files(self, record_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[str, int]]]:
        if not record_ids:
            return {}
        head = (
            "SELECT LinkedEntityId, ContentDocument.Title, ContentDocument.FileExtension, ContentDocument.ContentSize, "
            "ContentDocument.LatestPublishedVersion.PathOnClient FROM ContentDocumentLink WHERE "
        )
        statements = [("files", soql) for soql in salesforce_ask.packed(head, ["LinkedEntityId"], record_ids, "")]
        found: dict[str, list[tuple[str, int]]] = {record_id[:ID]: [] for record_id in record_ids}
        for row in self._client.ask(statements)["files"]:
            document = row["ContentDocument"]
            found[row["LinkedEntityId"][:ID]].append((salesforce_files.name_of(document), int(document["ContentSize"] or 0)))
        return {record_id: found[record_id[:ID]] for record_id in record_ids}

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
        standing = [(one, record) for one, record in zip(written, records, strict=True) if isinstance(one, str)]
        failed = self._related(
            {
                (record_id, relation): None
                for record_id, record in standing
                if record_id.startswith("02s")
                for relation in salesforce_map.sender_relations(record)
            }
        )
        return [SavedMail(one, complete=one not in failed) if isinstance(one, str) else answered(one) for one in written]

    def complete(self, saved: Sequence[tuple[str, MailRecord]]) -> Sequence[SavedMail | ItemError]:
        """One call to look and one to add; a Task has nothing to add. A relation that is refused refuses its mail."""
        mails = [record_id for record_id, _ in saved if record_id.startswith("02s")]
        if not mails:
            return [SavedMail(record_id) for record_id, _ in saved]
        there, linked = self._standing(mails)
        failed = self._related(
            {
                (record_id, relation): None
                for record_id, record in saved
                if record_id in there
                for relation in salesforce_map.relations(record)
                if (record_id, *relation[:2]) not in linked
            }
        )
        return [self._completed(record_id, there, failed) for record_id, _ in saved]

    def attach(self, record_ids: Sequence[str], name: str, content_type: str, stream: Stream) -> None:
        """One call; with further records two. Raises Refused where a record takes no files."""
        first, *others = dict.fromkeys(record_ids)
        upload = salesforce_files.Upload(salesforce_files.version_fields(name, first), content_type, stream)
        version = self._client.upload("sobjects/ContentVersion", upload, upload.content_type)["id"]
        query = f"query?q=SELECT%20ContentDocumentId%20FROM%20ContentVersion%20WHERE%20Id%20%3D%20%27{version}%27"
        for start in range(0, len(others), PARTS - 1):
            links = [
                Part("POST", "sobjects/ContentDocumentLink", {
                    "ContentDocumentId": "@{version.records[0].ContentDocumentId}", "LinkedEntityId": other, "ShareType": "V",
                })
                for other in others[start : start + PARTS - 1]
            ]  # fmt: skip
            for reply in self._client.composite([Part("GET", query, name="version"), *links]):
                self._client.expect(reply)

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
        self._schema.own(list(seen), self._user_id, self._describe)
        return work(self._seen())

    def _seen(self) -> Seen:
        seen = self._schema.of(salesforce_ask.objects(enhanced=True), self._user_id, self._describe)
        if seen["EmailMessage"].exists:
            return seen
        return self._schema.of(salesforce_ask.objects(enhanced=False), self._user_id, self._describe)

    def _describe(self, wanted: Mapping[str, datetime | None]) -> Mapping[str, Answer]:
        parts = [
            Part(
                "GET",
                f"sobjects/{name}/describe",
                headers={"If-Modified-Since": format_datetime(since, usegmt=True)} if since else {},
            )
            for name, since in wanted.items()
        ]
        answers: dict[str, Answer] = {}
        for name, reply in zip(wanted, self._client.composite(parts), strict=True):
            if reply.status not in (304, 404):
                self._client.expect(reply)
            answers[name] = Answer(reply.status, reply.body)
        return answers

    def _asked(self, question: Question, seen: Seen) -> Matches:
        asked = salesforce_ask.statements(question, seen, user_id=self._user_id, now=self._clock.now())
        rows = self._client.ask(asked.asked)
        self.left_out.update(asked.left_out)
        return salesforce_ask.matches(question, rows, seen)

    def _written(self, records: Sequence[MailRecord], seen: Seen) -> list[str | SyncError]:
        """Record id or error of each. Raises where none stands and the cause is not the mail's."""
        if "Task" in seen:
            rows = [salesforce_task.task(record, seen["Task"], self._closing_status()) for record in records]
        else:
            rows = [salesforce_map.email_message(record, seen["EmailMessage"]) for record in records]
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

    def _collection(self, rows: Sequence[Mapping[str, Any]]) -> list[str | SyncError]:
        answer = self._client.call("POST", "composite/sobjects", {"allOrNone": False, "records": rows})
        return [one["id"] if one.get("success") else row_error(one, self._clock.now()) for one in answer]

    def _related(self, wanted: Mapping[tuple[str, salesforce_map.Relation], None]) -> dict[str, SyncError]:
        """Writes relations; answers the mails of which one could not be written, with the error."""
        failed: dict[str, SyncError] = {}
        pairs = list(wanted)
        for start in range(0, len(pairs), BATCH):
            some = pairs[start : start + BATCH]
            results: Sequence[str | SyncError]
            try:
                results = self._collection([salesforce_map.relation_row(record_id, one) for record_id, one in some])
            except SyncError as problem:
                results = [problem for _ in some]
            failed |= {pair[0]: one for pair, one in zip(some, results, strict=True) if isinstance(one, SyncError)}
        return failed

    def _standing(self, mails: Sequence[str]) -> tuple[frozenset[str], frozenset[tuple[str, str, str]]]:
        """Which mails are there, and (mail, person, role) of the relations they have."""
        heads = {
            "mails": ("SELECT Id FROM EmailMessage WHERE ", "Id"),
            "links": ("SELECT EmailMessageId, RelationId, RelationType FROM EmailMessageRelation WHERE ", "EmailMessageId"),
        }
        asked = [(n, s) for n, (head, field) in heads.items() for s in salesforce_ask.packed(head, [field], mails, "")]
        rows = self._client.ask(asked)
        links = ((row["EmailMessageId"], row["RelationId"] or "", row["RelationType"]) for row in rows["links"])
        return frozenset(row["Id"] for row in rows["mails"]), frozenset(links)

    @staticmethod
    def _completed(record_id: str, there: frozenset[str], failed: Mapping[str, SyncError]) -> SavedMail | ItemError:
        if record_id.startswith("02s") and record_id not in there:
            return Gone()
        problem = failed.get(record_id)
        return problem if isinstance(problem, ItemError) else SavedMail(record_id, complete=problem is None)

    def _closing_status(self) -> str:
        """The org's own word for a completed task, asked once a session; the vendor's where it cannot be read."""
        if not self._status:
            rows: Sequence[Mapping[str, Any]] = ()
            with contextlib.suppress(Refused):
                soql = "SELECT ApiName, MasterLabel, SortOrder FROM TaskStatus WHERE IsClosed = true"
                rows = self._client.ask([("statuses", soql)])["statuses"]
            self._status = salesforce_task.closing_status(rows)
        return self._status
