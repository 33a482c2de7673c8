"""How mails that are to be saved become records: announced, claimed, read, written, completed with their files.

Rules that hold here, in the order in which they happen:
- The announcement (`open_` row) is committed before the claim, the claim before the write: whoever dies anywhere leaves a
  trace that the next session finds, looks up by the mail's identifier, and finishes.
- The lease is extended right before the write, so that nobody writes with a lease that may be over.
- The claim is settled as soon as the record stands, before its files: other mailboxes link, and this one's announcement
  stays until the files are there.
- A file is uploaded in one call that links it too; after a crash those that are there are counted by name and not sent again.
- Text and files pass through memory in parts and are never kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.core.errors import Bug, Gone, ItemError, Refused, Stale
from shared.core.mail import Attachment, MailRecord, MailText
from shared.core.mail_record import record_of
from shared.core.match import Links
from shared.core.profile import Profile
from shared.core.scope import UNSYNC, Filters
from shared.ports import MAX_COMMIT, MailCrm, MailSource, SavedMail
from shared.session import claims, mail_rows
from shared.session.bugs import BugCount
from shared.session.claims import Claim, Claims
from shared.session.lease import Held
from shared.session.mail_rows import Outcome, Waiting, Work

#: Mails whose text is asked for at once, and the characters of text after which a part is written.
READ_AT_ONCE, PART_CHARACTERS = 20, 8_000_000
RETRY_S = 60.0
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Step:
    """A mail and what became of it. `announced`: its `open_` row was written by this session."""

    work: Work
    outcome: Outcome | Waiting
    announced: bool = False


@dataclass
class Candidate:
    """A mail that is to be saved. `found`: a record that stands already; `text` where it was read before."""

    work: Work
    claim: Claim
    links: Links
    rule: str
    found: str = ""
    text: MailText | None = None
    record: MailRecord | None = None


def held_by(problem: ItemError) -> Outcome:
    """The decision that holds a mail, with what a person needs to mend it."""
    if isinstance(problem, Bug):
        return Outcome("held.bug", fields=(problem.kind, problem.place))
    return Outcome(f"held.{problem.code}", fields=getattr(problem, "fields", ()))


class MailWriting:
    def __init__(
        self,
        held: Held,
        source: MailSource,
        crm: MailCrm,
        own_claims: Claims,
        profile: Profile,
        filters: Filters,
        bugs: BugCount,
    ) -> None:
        self.claims = own_claims
        self._held, self._source, self._crm = held, source, crm
        self._profile, self._filters, self._bugs = profile, filters, bugs

    def carry_out(self, candidates: Sequence[Candidate]) -> list[Step]:
        """Saves the mails; answers a step for each that got anywhere before the slice ended."""
        foreign = [one for one in candidates if one.found and one.claim.state == "free" and not one.work.opened]
        own = [one for one in candidates if one not in foreign]
        self._announce([one.work for one in candidates if not one.work.opened])
        steps = self._claim(candidates)
        steps += self._adopted([one for one in foreign if one.claim.state == "mine"])
        for part in self._parts([one for one in own if one.claim.state in ("mine", "saved")], steps):
            steps += self._write(part)
            if self._held.spent():
                break
        return steps

    def release_unused(self, key: str) -> None:
        """Gives back a claim of this mailbox that nothing came of."""
        standing = self.claims.standing([key], self._held.now())[key]
        if standing.state == "dead":
            self.claims.release([standing])

    def taken_back(self, key: str, record_id: str) -> Outcome:
        """ "Salesforce Unsync": the record goes with its last holder, where we made it; others keep it."""
        left = self.claims.leave(key, self._held.now())
        if left.state != "mine":
            return Outcome("severed.unsync")
        if left.made:
            with suppress(Gone):
                self._crm.remove(record_id)
        self.claims.release([left])
        return Outcome("removed.unsync" if left.made else "severed.unsync")

    # announced and claimed

    def _announce(self, works: Sequence[Work]) -> None:
        most = MAX_COMMIT - 1
        for start in range(0, len(works), most):
            self._held.commit([mail_rows.announcement(work) for work in works[start : start + most]])

    def _claim(self, candidates: Sequence[Candidate]) -> list[Step]:
        """Claims what is not this mailbox's yet; answers a step for each that somebody else has meanwhile."""
        now = self._held.now()
        claimed = self.claims.claim([one.work.claim_key for one in candidates if one.claim.state == "free"], now)
        steps = []
        for one in candidates:
            if one.claim.state == "free":
                one.claim = claimed[one.work.claim_key]
            elif one.claim.state == "dead":
                one.claim = self.claims.take_over(one.claim, now)
            else:
                continue  # saved by this mailbox, files not finished
            if one.claim.state == "saved":
                one.claim = self.claims.join(one.claim, one.work.mail.id, now)
                steps.append(Step(one.work, Outcome("saved.shared", one.claim.crm_id), True))
                one.claim = Claim("theirs", one.claim.key)
            elif one.claim.state == "theirs":
                steps.append(self._later(one, "waiting.claim", ((one.claim.until or now) - now).total_seconds() + 1))
        return steps

    def _adopted(self, foreign: Sequence[Candidate]) -> list[Step]:
        """Records that somebody else's hand or product made of the same mail: linked, never written."""
        if foreign:
            self._settle([(one, one.found) for one in foreign], made=False)
        return [Step(one.work, Outcome("saved.adopted", one.found), True) for one in foreign]

    def _later(self, one: Candidate, rule: str, seconds: float = RETRY_S) -> Step:
        return Step(one.work, Waiting(rule, self._held.now() + timedelta(seconds=seconds)), True)

    def _settle(self, landed: Sequence[tuple[Candidate, str]], *, made: bool = True) -> None:
        saved = {one.work.claim_key: claims.Held(record_id, one.work.mail.id) for one, record_id in landed}
        self.claims.settle({one.work.claim_key: one.claim for one, _ in landed}, saved, made=made)

    # read

    def _parts(self, candidates: Sequence[Candidate], steps: list[Step]) -> Iterator[list[Candidate]]:
        """The candidates with their text, in parts that fit into memory; one that cannot be read becomes a step."""
        part: list[Candidate] = []
        characters = 0
        for start in range(0, len(candidates), READ_AT_ONCE):
            batch = candidates[start : start + READ_AT_ONCE]
            unread = [one.work.mail.id for one in batch if one.text is None]
            texts = self._source.texts(unread) if unread else {}
            self._held.extend()
            for one in batch:
                read = one.text or texts[one.work.mail.id]
                if (step := self._readable(one, read)) is not None:
                    steps.append(step)
                    continue
                part.append(one)
                assert one.text is not None
                characters += len(one.text.text) + len(one.text.html)
            if characters > PART_CHARACTERS:
                yield part
                part, characters = [], 0
        if part:
            yield part

    def _readable(self, one: Candidate, read: MailText | ItemError) -> Step | None:
        """Takes the text and makes the record; a step where that cannot be done."""
        if isinstance(read, ItemError):
            return self._failed(one, read)
        one.text = read
        try:
            one.record = record_of(
                read, one.links, identifier=one.work.identifier, profile=self._profile, filters=self._filters
            )
        except Exception as problem:  # noqa: BLE001 - one mail's; `_failed` counts it
            return self._failed(one, Bug.of(problem))
        return None

    def _failed(self, one: Candidate, problem: ItemError) -> Step:
        """The step of a mail that is not written; raises the problem where it is one bug too many."""
        if isinstance(problem, Bug) and not self._bugs.bearable(problem):
            raise problem
        self._give_back(one)
        return Step(one.work, Outcome("skipped.gone") if isinstance(problem, Gone) else held_by(problem), True)

    def _give_back(self, one: Candidate) -> None:
        if one.claim.state == "mine" and not one.found:
            self.claims.release([one.claim])

    # written

    def _write(self, part: Sequence[Candidate]) -> list[Step]:
        self._held.extend()
        fresh = [one for one in part if not one.found]
        standing = [one for one in part if one.found]
        answers: list[tuple[Candidate, SavedMail | ItemError]] = []
        if fresh:
            answers += zip(fresh, self._crm.save([_record(one) for one in fresh]), strict=True)
        if standing:
            answers += zip(standing, self._crm.complete([(one.found, _record(one)) for one in standing]), strict=True)
        self._settle(
            [(one, answer.id) for one, answer in answers if isinstance(answer, SavedMail) and one.claim.state == "mine"]
        )
        return [step for step in self._ended(answers) if step is not None]

    def _ended(self, answers: Sequence[tuple[Candidate, SavedMail | ItemError]]) -> Iterator[Step | None]:
        known = [answer.id for one, answer in answers if isinstance(answer, SavedMail) and one.found and _files(one)]
        there = self._crm.files(known) if known else {}
        for one, answer in answers:
            if isinstance(answer, Stale):
                yield self._later(one, "waiting.retry")
            elif isinstance(answer, Gone):
                yield Step(one.work, Outcome("severed.deleted"), True)  # a person deleted the record while it was unfinished
            elif isinstance(answer, ItemError):
                yield self._failed(one, answer)
            elif not answer.complete:
                yield self._later(one, "waiting.retry")
            elif self._held.spent() and _files(one):
                yield None  # stays announced; the record stands
            else:
                yield Step(one.work, self._with_files(one, answer.id, there.get(answer.id, ())), True)

    def _with_files(self, one: Candidate, record_id: str, there: Sequence[tuple[str, int]]) -> Outcome:
        """Saved when its files are; a mistake of ours at a file holds the mail, whose record stands and is completed later."""
        try:
            refused = self._attach(one, record_id, there)
        except Exception as problem:
            if not self._bugs.bearable(problem):
                raise
            return held_by(Bug.of(problem))
        return self._saved(one, record_id, refused)

    def _saved(self, one: Candidate, record_id: str, refused: Sequence[str]) -> Outcome:
        if UNSYNC in one.work.mail.categories:  # said after the record was announced: finish, then take it back
            return self.taken_back(one.work.claim_key, record_id)
        return Outcome(one.rule, record_id, (one.links.rule, *refused))

    def _attach(self, one: Candidate, record_id: str, there: Sequence[tuple[str, int]]) -> list[str]:
        """Uploads the files that are not there yet; answers the codes of those that could not be saved."""
        if not self._profile["save_attachments"]:
            return []
        left, refused = Counter(name for name, _ in there), []
        related = [one.links.related] if one.links.related and self._profile["link_files"] else []
        for attachment in _files(one):
            if left[attachment.name] > 0:
                left[attachment.name] -= 1
            elif attachment.size > self._profile["attachment_max_mb"] * MEGABYTE:
                refused.append("file.too_large")
            else:
                refused += self._upload(one.work.mail.id, attachment, [record_id, *related])
        return refused

    def _upload(self, mail_id: str, attachment: Attachment, targets: Sequence[str]) -> list[str]:
        self._held.extend()
        try:
            with self._source.open(mail_id, attachment) as stream:
                self._crm.attach(targets, attachment.name, attachment.content_type, stream)
        except Gone:
            return ["file.gone"]
        except Refused as problem:
            return [f"file.{problem.code}"]
        return []


def _record(one: Candidate) -> MailRecord:
    assert one.record is not None
    return one.record


def _files(one: Candidate) -> list[Attachment]:
    """What of a mail becomes files: neither pictures of its text nor links to files elsewhere (behaviour.md E11).

    A mail in the mail is named by its subject alone; it gets the ending by which a mail program opens it.
    """
    assert one.text is not None
    kept = [attachment for attachment in one.text.attachments if not attachment.inline and attachment.kind != "link"]
    return [
        replace(each, name=f"{each.name}.eml", content_type="message/rfc822") if each.kind == "mail" else each for each in kept
    ]
