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
from functools import partial

from shared.core.errors import Bug, Gone, ItemError, NetworkDown, Refused, Stale, bug_or
from shared.core.mail import Attachment, MailRecord, MailText
from shared.core.mail_record import record_of
from shared.core.match import Links
from shared.core.profile import Profile
from shared.core.scope import ERROR_MARK, MARK, UNSYNC, Filters
from shared.ports import MAX_COMMIT, MailCrm, MailSource, Place, Put, SavedMail
from shared.session import claims, mail_rows, records
from shared.session.bugs import BugCount
from shared.session.claims import Claim, Claims
from shared.session.lease import Held
from shared.session.mail_rows import Outcome, Waiting, Work

#: Mails whose text is asked for at once, and the characters of text after which a part is written.
READ_AT_ONCE, PART_CHARACTERS = 20, 8_000_000
#: Seconds for which a write without an answer may still be going on at the CRM.
IN_DOUBT_S = 300.0
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


def held_by(problem: ItemError, crm: str = "") -> Outcome:
    """The decision that holds a mail, with what a person needs to mend it. `crm`: the record, where one stands already."""
    if isinstance(problem, Bug):
        return Outcome("held.bug", crm, (problem.kind, problem.place))
    return Outcome(f"held.{problem.code}", crm, getattr(problem, "fields", ()))


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
        foreign = [one for one in candidates if one.found and (one.claim.state == "free" or not one.claim.made)]
        own = [one for one in candidates if one not in foreign]
        self._announce([one.work for one in candidates if not one.work.opened])
        steps = self._claim(candidates, frozenset(one.work.claim_key for one in foreign))
        steps += self._adopted([one for one in foreign if one.claim.state in ("mine", "saved")])
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
        """ "Salesforce Unsync": the record goes with its last holder, where we made it; others keep it. Where it cannot be
        deleted the mail is held, and so is the claim, in which nobody stands as a holder any more."""
        left = self.claims.leave(key, self._held.now())
        if left.state != "mine":
            return Outcome("severed.unsync")
        if left.made and (problem := self._removed(record_id)) is not None:
            return held_by(problem, record_id)
        self.claims.release([left])
        return Outcome("removed.unsync" if left.made else "severed.unsync")

    def _removed(self, record_id: str) -> ItemError | None:
        try:
            return self._bugs.guard(lambda: self._crm.remove(record_id))
        except Gone:
            return None
        except ItemError as problem:
            return problem

    # announced and claimed

    def _announce(self, works: Sequence[Work]) -> None:
        most = MAX_COMMIT - 1
        for start in range(0, len(works), most):
            rows = [mail_rows.announcement(work.mail.id, work.claim_key) for work in works[start : start + most]]
            self._held.commit(rows)

    def _claim(self, candidates: Sequence[Candidate], foreign: frozenset[str]) -> list[Step]:
        """Claims what is not this mailbox's yet; answers a step for each that somebody else has meanwhile."""
        now = self._held.now()
        free = [one.work.claim_key for one in candidates if one.claim.state == "free"]
        claimed = self.claims.claim(free, now, foreign=foreign)
        steps = []
        for one in candidates:
            if one.claim.state == "free":
                one.claim = claimed[one.work.claim_key]
            elif one.claim.state == "dead":
                one.claim = self.claims.take_over(one.claim, now)
            else:
                continue  # saved by this mailbox, files not finished
            if one.claim.state == "saved":
                joined = self.claims.join(one.claim, one.work.mail.id, now)
                one.claim = Claim("theirs", joined.key, until=joined.until)
                if joined.state == "saved":
                    steps.append(Step(one.work, Outcome("saved.shared", joined.crm_id), True))
                    continue
            if one.claim.state == "theirs":
                steps.append(self._waits(one))
        return steps

    def _waits(self, one: Candidate) -> Step:
        """For the claim that another mailbox has."""
        until = one.claim.until or self._held.now()
        return Step(one.work, Waiting("waiting.claim", until + timedelta(seconds=1)), True)

    def _adopted(self, foreign: Sequence[Candidate]) -> list[Step]:
        """Records that somebody else's hand or product made of the same mail: linked, never written."""
        self._settle([(one, one.found) for one in foreign if one.claim.state == "mine"])
        return [Step(one.work, Outcome("saved.adopted", one.found), True) for one in foreign]

    def _later(self, one: Candidate, problem: ItemError) -> Step:
        """For a mail that will probably work later: again after a pause that grows, and held after the last."""
        tries = one.work.open_tries
        if tries >= mail_rows.MOST_TRIES:
            return Step(one.work, held_by(problem, one.found), True)
        until = self._held.now() + timedelta(seconds=mail_rows.pause_s(tries))
        return Step(one.work, Waiting("waiting.retry", until, counts=True), True)

    def _settle(self, landed: Sequence[tuple[Candidate, str]]) -> None:
        if landed:
            saved = {one.work.claim_key: claims.Held(record_id, one.work.mail.id) for one, record_id in landed}
            self.claims.settle({one.work.claim_key: one.claim for one, _ in landed}, saved)

    def forget(self, key: str, record_id: str) -> None:
        """A record that is gone: nobody may join it any more, and whoever holds it too is told."""
        place = self._held.place
        for mailbox, item in self.claims.forget(key, record_id, self._held.now()).items():
            told = records.row(kind=mail_rows.KIND, crm=record_id, item=item, stamp="", deleted=True)
            where = Place(place.table, place.tenant, place.what, mailbox)
            self._held.store.commit(where, [Put(f"dirty_crm_{mail_rows.hash_of(record_id)}", told)])

    def mark(self, mail_id: str, *, add: Sequence[str] = (), take: Sequence[str] = ()) -> Bug | None:
        """Changes the categories of a mail; one that is gone has none, and one that keeps changing does without."""
        with suppress(ItemError):
            marked = self._bugs.guard(partial(self._source.mark, mail_id, add=add, take=take))
            return marked if isinstance(marked, Bug) else None
        return None

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
        making = partial(
            record_of, read, one.links, identifier=one.work.identifier, profile=self._profile, filters=self._filters
        )
        made = bug_or(making)
        if isinstance(made, Bug):
            return self._failed(one, made)
        one.record = made
        return None

    def _failed(self, one: Candidate, problem: ItemError) -> Step:
        """The step of a mail that is not written; raises the problem where it is one bug too many."""
        if isinstance(problem, Bug) and not self._bugs.bearable(problem):
            raise problem
        self._give_back(one)
        return Step(one.work, Outcome("skipped.gone") if isinstance(problem, Gone) else held_by(problem, one.found), True)

    def _give_back(self, one: Candidate) -> None:
        if one.claim.state == "mine" and not one.found:
            self.claims.release([one.claim])

    # written

    def _write(self, part: Sequence[Candidate]) -> list[Step]:
        self._held.extend()
        part, steps = self._still_ours(part)
        fresh = [one for one in part if not one.found]
        standing = [one for one in part if one.found]
        answers: list[tuple[Candidate, SavedMail | ItemError]] = []
        if fresh:
            answers += zip(fresh, self._saved_at_the_crm(fresh), strict=True)
        if standing:
            answers += zip(standing, self._crm.complete([(one.found, _record(one)) for one in standing]), strict=True)
        self._settle(
            [(one, answer.id) for one, answer in answers if isinstance(answer, SavedMail) and one.claim.state == "mine"]
        )
        return steps + [step for step in self._ended(answers) if step is not None]

    def _still_ours(self, part: Sequence[Candidate]) -> tuple[list[Candidate], list[Step]]:
        """The candidates whose claims outlast the write, renewed where they would not; the others wait for who has them."""
        renewed = self.claims.renew([one.claim for one in part if one.claim.state == "mine"], self._held.now())
        kept, steps = [], []
        for one in part:
            one.claim = renewed.get(one.work.claim_key, one.claim)
            if one.claim.state in ("mine", "saved") and (one.claim.state == "mine" or one.found):
                kept.append(one)
            else:
                steps.append(self._waits(one))
        return kept, steps

    def _saved_at_the_crm(self, fresh: Sequence[Candidate]) -> Sequence[SavedMail | ItemError]:
        """Where no answer came, the CRM may still be at work: nobody looks for these mails before it must have ended."""
        try:
            return self._crm.save([_record(one) for one in fresh])
        except NetworkDown:
            now = self._held.now()
            self.claims.renew([one.claim for one in fresh], now, life_s=IN_DOUBT_S)
            until = now + timedelta(seconds=IN_DOUBT_S)
            for start in range(0, len(fresh), MAX_COMMIT - 1):
                works = [one.work for one in fresh[start : start + MAX_COMMIT - 1]]
                self._held.commit(
                    [mail_rows.announcement(work.mail.id, work.claim_key, until, work.open_tries) for work in works]
                )
            raise

    def _ended(self, answers: Sequence[tuple[Candidate, SavedMail | ItemError]]) -> Iterator[Step | None]:
        known = [answer.id for one, answer in answers if isinstance(answer, SavedMail) and one.found and _files(one)]
        there = self._crm.files(known) if known else {}
        for one, answer in answers:
            if isinstance(answer, Stale):
                yield self._later(one, answer)
            elif isinstance(answer, Gone):
                yield self._deleted(one)
            elif isinstance(answer, ItemError):
                yield self._failed(one, answer)
            elif not answer.complete:
                yield self._later(one, Stale())
            elif self._held.spent() and _files(one):
                yield None  # stays announced; the record stands
            elif isinstance(files := there.get(answer.id, ()), Bug):
                yield self._failed(one, files)
            else:
                yield Step(one.work, self._with_files(one, answer.id, files), True)

    def _deleted(self, one: Candidate) -> Step:
        """A person deleted the record while it was unfinished."""
        self.forget(one.work.claim_key, one.found)
        self.mark(one.work.mail.id, take=[MARK, ERROR_MARK])
        return Step(one.work, Outcome("severed.deleted"), True)

    def _with_files(self, one: Candidate, record_id: str, there: Sequence[tuple[str, int]]) -> Outcome:
        """Saved when its files are; a mistake of ours at a file holds the mail, whose record stands and is completed later."""
        refused = self._bugs.guard(partial(self._attach, one, record_id, there))
        return held_by(refused, record_id) if isinstance(refused, Bug) else self._saved(one, record_id, refused)

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
            if left[stored := self._crm.file_name(attachment.name)] > 0:
                left[stored] -= 1
            elif attachment.size > self._profile["attachment_max_mb"] * MEGABYTE:
                refused.append("file.too_large")
            else:
                refused += self._upload(one.work.mail.id, attachment, [record_id, *related])
        return refused

    def _upload(self, mail_id: str, attachment: Attachment, targets: Sequence[str]) -> list[str]:
        self._held.extend()
        try:
            with suppress(Stale):  # it has to be sent from its beginning once more
                return self._sent(mail_id, attachment, targets)
            return self._sent(mail_id, attachment, targets)
        except Gone:
            return ["file.gone"]
        except (Refused, Stale) as problem:
            return [f"file.{problem.code}"]

    def _sent(self, mail_id: str, attachment: Attachment, targets: Sequence[str]) -> list[str]:
        with self._source.open(mail_id, attachment) as stream:
            self._crm.attach(targets, attachment.name, attachment.content_type, stream)
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
