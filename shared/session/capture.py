"""Mail capture: the part of a session that saves mail to the CRM. Append-only; the mailbox decides, nothing comes down.

Rules that hold here (design section 7), in the order in which they happen:
- What an earlier session announced and did not finish comes first, whatever the mail's marks say by now: the record may stand.
- A mail is judged without its text. Whoever saved it already, here or in another mailbox, settles the question without a
  call to the CRM; what is left is asked for in one question for the whole batch.
- Announce, claim, write (`mail_writing`); the decision's rows and the page's cursors ride in one commit, cursors last.
- Every mail that was seen ends as a decision in the ledger: saved, skipped, waiting or held, with its rule.
- A saved mail stays saved when it is moved, unmarked or deleted in the mailbox; only "Salesforce Unsync" takes it back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from shared.core.errors import Bug, Gone, ItemError, Refused, RowChanged
from shared.core.keys import item_key
from shared.core.mail import Mail, MailText
from shared.core.mail_record import identifier_of
from shared.core.profile import Profile
from shared.core.scope import ERROR_MARK, MARK, UNSYNC, Filters, Verdict, judge, refused_after_match
from shared.ports import MAX_COMMIT, Delete, Ledger, LedgerEntry, MailboxKey, MailCrm, MailSource, Place, Put, Row, Write
from shared.session import mail_rows, records
from shared.session.bugs import BugCount
from shared.session.claims import Claim, Claims
from shared.session.lease import Held
from shared.session.mail_matching import Asked, Matching
from shared.session.mail_rows import Outcome, Waiting, Work
from shared.session.mail_writing import Candidate, MailWriting, Step, held_by
from shared.session.run import PartReport

BATCH = 200
#: Mails of earlier sessions are read with their text, so fewer at a time.
UNFINISHED_BATCH = 40
#: Decisions that only a person's mark ends.
SEVERED = ("removed.unsync", "severed.unsync", "severed.deleted")


@dataclass(frozen=True)
class Owner:
    """Whose mail it is. `own`: every address of the mailbox, lower case; `user`: the CRM user who writes."""

    mailbox: MailboxKey
    own: tuple[str, ...]
    user: str
    activated: datetime


class MailCapture:
    """`secret` keys the hashes that stand for Message-IDs; it must be the same for every mailbox of the org."""

    name = "mail"

    def __init__(
        self, source: MailSource, crm: MailCrm, ledger: Ledger, *, org: Place, owner: Owner, profile: Profile, secret: bytes
    ) -> None:
        self._source, self._crm, self._ledger, self._org = source, crm, ledger, org
        self._owner, self._profile, self._secret = owner, profile, secret
        self._filters = Filters(profile, owner.own)
        self._matching = Matching(profile, self._filters, owner.user)
        self._bugs = BugCount()
        self._counts: Counter[str] = Counter()
        self._again_after: list[float] = []
        self._open: set[str] = set()  # what is announced and not finished; nobody else changes it while the lease is held

    def run(self, held: Held) -> PartReport:
        self._writing = MailWriting(
            held,
            self._source,
            self._crm,
            Claims(held.store, self._org, self._owner.mailbox),
            self._profile,
            self._filters,
            self._bugs,
        )
        found = self._follow_deletions(held) + self._finish_unfinished(held)
        if held.spent():
            return self._report(found, again=True)
        cursors = self._cursors(held)
        while True:
            works, after, more = self._gather(held, cursors)
            found += len(works)
            moved = _moved(cursors, after)
            if not self._decide(held, works, {}, moved):
                return self._report(found, again=True)
            cursors = after
            if not more:
                return self._report(found)
            if held.spent():
                return self._report(found, again=True)

    def _report(self, found: int, *, again: bool = False) -> PartReport:
        return PartReport(found, again, min(self._again_after, default=None), dict(self._counts))

    # what there is to look at

    def _cursors(self, held: Held) -> Mapping[str, str]:
        rows = held.store.scan(held.place, *records.every("cursor_mails"))
        return {value["stream"]: value["cursor"] for value in map(records.read, rows)}

    def _gather(self, held: Held, cursors: Mapping[str, str]) -> tuple[list[Work], Mapping[str, str], bool]:
        """(mails to decide about, cursors after them, whether more wait), from as many pages as fill a batch."""
        since = self._owner.activated - timedelta(days=self._profile["look_back_days"])
        mails: dict[str, Mail] = {}
        while True:
            page = self._source.pull(cursors, since)
            held.extend()
            for mail in page.mails:
                mails.pop(mail.id, None)
                mails[mail.id] = mail
            for mail_id in set(page.gone) - {mail.id for mail in page.mails}:
                mails.pop(mail_id, None)  # where it went another stream tells, if it is still ours
            self._broken(held, page.broken)
            self._left(held, page.gone)
            held.count(len(page.mails) + len(page.broken))
            cursors = page.cursors
            works = self._changed(held, mails.values())
            if not page.more or len(works) >= BATCH or held.spent():
                return works, cursors, page.more

    def _changed(self, held: Held, mails: Iterable[Mail]) -> list[Work]:
        """The mails that no decision covers as they are now."""
        by_key = {mail_rows.hash_of(mail.id): mail for mail in mails}
        for key in self._open & by_key.keys():
            del by_key[key]  # announced already: it is finished in its own time
        rows = held.store.get_many(held.place, [mail_rows.message(key) for key in by_key])
        works = []
        for key, mail in by_key.items():
            row = rows.get(mail_rows.message(key))
            value = records.read(row) if row is not None else {}
            if value.get("sig") != mail_rows.sig_of(mail):
                works.append(self._work(mail, row=value))
        return works

    def _work(
        self, mail: Mail, *, row: Mapping[str, object], opened: bool = False, tries: int = 0, open_tries: int = 0
    ) -> Work:
        identifier = identifier_of(mail, self._secret)
        claim_key = item_key(self._secret, "mail", identifier)
        return Work(mail, mail_rows.hash_of(mail.id), identifier, claim_key, row, opened, tries, open_tries)

    def _follow_deletions(self, held: Held) -> int:
        """Records that a person deleted in the CRM: the mail stays, loses its mark, and does not come back by itself."""
        found = 0
        for row in list(held.store.scan(held.place, *records.every("dirty_crm"))):
            value = records.read(row)
            if value["kind"] != mail_rows.KIND:
                continue
            if held.spent():
                break
            found += 1
            mail_id, crm = str(value["item"]), str(value["crm"])
            known = held.store.get(held.place, mail_rows.message(mail_rows.hash_of(mail_id)))
            done: list[Write] = [Delete(row.key, row.etag)]
            if value["deleted"] and known is not None and records.read(known).get("crm") == crm:
                done += self._severed(held, mail_id, crm, known)
            with suppress(RowChanged):  # told again meanwhile: the next session looks at it
                held.commit(done)
        return found

    def _severed(self, held: Held, mail_id: str, crm: str, known: Row) -> list[Write]:
        value = records.read(known)
        self._writing.forget(str(value["item"]), crm)
        problem = self._writing.mark(mail_id, take=[MARK, ERROR_MARK])
        fields = held_by(problem).fields if problem is not None else ()
        self._ledger.note(LedgerEntry(str(value["item"]), "mail", "severed.deleted", held.now(), held.session_id, "", fields))
        self._ledger.flush()
        self._counts["severed.deleted"] += 1
        done: list[Write] = [Put(known.key, {**value, "rule": "severed.deleted", "crm": ""}, known.etag)]
        if value["rule"].startswith("held."):
            done.append(Delete(records.held(mail_rows.hash_of(mail_id))))
        return done

    @staticmethod
    def _of_mail(held: Held, name: str) -> list[Row]:
        """The rows of that name that are about mail; other kinds of item have theirs beside them."""
        return [row for row in held.store.scan(held.place, *records.every(name)) if records.read(row)["kind"] == mail_rows.KIND]

    def _finish_unfinished(self, held: Held) -> int:
        """What earlier sessions announced, and held mails whose time has come."""
        rows = {name: self._of_mail(held, name) for name in ("open", "held")}
        self._open = {row.key.removeprefix(mail_rows.opened("")) for row in rows["open"]}
        waiting, again = mail_rows.due(rows["open"], held.now(), "until"), mail_rows.due(rows["held"], held.now(), "next")
        later = [records.read(row)["until"] for row in rows["open"] if row not in waiting.values()]
        self._again_after += [self._seconds_until(held, records.moment_of(until)) for until in later if until]
        ids = self._given_up(held, waiting) + [mail_id for mail_id in again if mail_id not in waiting]
        for start in range(0, len(ids), UNFINISHED_BATCH):
            if held.spent():
                return start
            batch = ids[start : start + UNFINISHED_BATCH]
            touched = [rows_[mail_id] for rows_ in (waiting, again) for mail_id in batch if mail_id in rows_]
            held.commit([mail_rows.begun(row, held.now()) for row in touched])
            known = held.store.get_many(held.place, [mail_rows.message(mail_rows.hash_of(one)) for one in batch])
            texts: dict[str, MailText] = {}
            works = []
            for mail_id, text in self._source.texts(batch).items():
                key = mail_rows.hash_of(mail_id)
                row = known.get(mail_rows.message(key))
                value = records.read(row) if row is not None else {}
                tries = _tries(again.get(mail_id))
                if isinstance(text, ItemError):
                    self._unread(held, mail_id, text, value, tries=tries, announced=waiting.get(mail_id))
                    continue
                texts[mail_id] = text
                opened, open_tries = mail_id in waiting, _tries(waiting.get(mail_id)) + 1
                works.append(self._work(text.mail, row=value, opened=opened, tries=tries, open_tries=open_tries))
            self._decide(held, works, texts, ())
        return len(ids)

    def _given_up(self, held: Held, waiting: Mapping[str, Row]) -> list[str]:
        """The ids that are to be tried; a mail with which too many sessions began in vain is held. Its claim stays: whoever
        takes it over looks the record up."""
        result = []
        for mail_id, row in waiting.items():
            if _tries(row) < mail_rows.MOST_TRIES:
                result.append(mail_id)
                continue
            known = held.store.get(held.place, mail_rows.message(mail_rows.hash_of(mail_id)))
            value = records.read(known) if known is not None else {}
            self._unread(held, mail_id, Refused("unfinished"), value, announced=row)
        return result

    def _seconds_until(self, held: Held, until: datetime) -> float:
        return max(1.0, (until - held.now()).total_seconds() + 1)

    def _unread(
        self, held: Held, mail_id: str, problem: ItemError, row: Mapping[str, object], *, tries: int = 0,
        announced: Row | None = None,
    ) -> None:  # fmt: skip
        """A mail that cannot be read: gone for good, or held with the reason and tried again by the held mails' plan."""
        if isinstance(problem, Bug):
            self._bugs.decided += 1
            if not self._bugs.bearable(problem):
                raise problem
        outcome = Outcome("skipped.gone") if isinstance(problem, Gone) else held_by(problem, str(row.get("crm", "")))
        own = item_key(self._secret, "mail-id", mail_id)
        item = str(records.read(announced)["claim"]) if announced is not None else str(row.get("item") or own)
        if announced is not None and isinstance(problem, Gone):
            self._writing.release_unused(item)
        now, was_held = held.now(), str(row.get("rule", "")).startswith("held.")
        self._counts[outcome.rule] += 1
        self._ledger.note(LedgerEntry(item, "mail", outcome.rule, now, held.session_id, "", outcome.fields))
        self._ledger.flush()
        held.commit(
            mail_rows.unread(mail_id, outcome, now, item=item, tries=tries, announced=announced is not None, was_held=was_held)
        )

    def _broken(self, held: Held, broken: Mapping[str, Bug]) -> None:
        """Mails of a page that our own code could not read; one that is held for that already is not told again."""
        keys = {mail_rows.hash_of(mail_id): mail_id for mail_id in broken}
        rows = held.store.get_many(held.place, [mail_rows.message(key) for key in keys])
        for key, mail_id in keys.items():
            row = rows.get(mail_rows.message(key))
            value = records.read(row) if row is not None else {}
            if key not in self._open and not str(value.get("rule", "")).startswith("held."):
                self._unread(held, mail_id, broken[mail_id], value)

    def _left(self, held: Held, gone: Sequence[str]) -> None:
        """Held mails that left a stream: the next session looks whether they are still there, so that none is held for ever."""
        rows = held.store.get_many(held.place, [records.held(mail_rows.hash_of(mail_id)) for mail_id in gone])
        now = records.text_of(held.now())
        held_rows = [row for row in rows.values() if records.read(row)["kind"] == mail_rows.KIND]
        for start in range(0, len(held_rows), MAX_COMMIT - 1):
            held.commit([Put(row.key, {**row.value, "next": now}) for row in held_rows[start : start + MAX_COMMIT - 1]])

    # deciding

    def _decide(self, held: Held, works: Sequence[Work], texts: Mapping[str, MailText], last: Sequence[Write]) -> bool:
        """Works off the mails batch by batch; `last` rides in the last commit. False: the slice was used up before."""
        for start in range(0, len(works), BATCH):
            if start and held.spent():
                return False
            batch = works[start : start + BATCH]
            steps = self._steps(held, batch, texts)
            ends = start + BATCH >= len(works)
            self._commit(held, steps, last if ends else ())
            if len(steps) < len(batch):
                return False  # the slice ended in the middle: what is missing stays announced, or is seen again
        if not works:
            self._commit(held, (), last)
        return True

    def _steps(self, held: Held, works: Sequence[Work], texts: Mapping[str, MailText]) -> list[Step]:
        steps: list[Step] = []
        open_questions: dict[str, tuple[Work, Verdict]] = {}
        copies: list[Work] = []
        for work in works:
            judged = self._judged(held, work)
            if isinstance(judged, Outcome):
                steps.append(Step(work, judged))
            elif (first := open_questions.get(work.claim_key)) is None:
                open_questions[work.claim_key] = (work, judged)
            elif judged.by_hand and not first[1].by_hand:  # of two copies in this mailbox the marked one speaks for both
                open_questions[work.claim_key] = (work, judged)
                copies.append(first[0])
            else:
                copies.append(work)
        claims = self._writing.claims.standing(list(open_questions), held.now())
        candidates = []
        for key, (work, verdict) in open_questions.items():
            outcome = self._settled(held, work, claims[key])
            if outcome is None:
                candidates.append((work, verdict, claims[key]))
            else:
                steps.append(Step(work, outcome))
        steps += self._matched_and_written(held, candidates, texts)
        steps += self._copies(held, copies, steps)
        return steps

    def _judged(self, held: Held, work: Work) -> Outcome | Verdict:
        """The decision where none but the mail itself is needed for it, else the verdict to go on with."""
        self._bugs.decided += 1
        judging = partial(judge, work.mail, activated=self._owner.activated, profile=self._profile, filters=self._filters)
        verdict = self._guarded(judging)
        if isinstance(verdict, Outcome):
            return verdict
        if work.opened:
            return verdict
        crm, rule = str(work.row.get("crm", "")), str(work.row.get("rule", ""))
        if crm and UNSYNC in work.mail.categories:
            return self._writing.taken_back(work.claim_key, crm)
        if crm and work.was_held:
            return verdict  # the record stands and is to be completed, whatever the marks say by now
        anew = verdict.by_hand and not mail_rows.was_marked(work.row)
        if (crm and not anew) or (rule in SEVERED and not verdict.by_hand):
            return Outcome(rule, crm, quiet=True)
        return verdict if verdict.save else Outcome(verdict.rule)

    def _settled(self, held: Held, work: Work, claim: Claim) -> Outcome | Waiting | None:
        """What the claim alone decides; None where it is for this mailbox to write or to finish."""
        if UNSYNC in work.mail.categories and self._owner.mailbox not in claim.holders and claim.state in ("theirs", "saved"):
            return Outcome("skipped.unsync")  # said while somebody else was writing it
        if claim.state == "theirs":
            return self._waiting(held, claim)
        unfinished = work.opened or work.was_held
        if claim.state != "saved" or (unfinished and self._owner.mailbox in claim.holders):
            return None
        joined = self._writing.claims.join(claim, work.mail.id, held.now())
        return Outcome("saved.shared", joined.crm_id) if joined.state == "saved" else self._waiting(held, joined)

    def _waiting(self, held: Held, claim: Claim) -> Waiting:
        until = claim.until or held.now()
        return Waiting("waiting.claim", until + timedelta(seconds=1))

    def _copies(self, held: Held, copies: Sequence[Work], steps: Sequence[Step]) -> list[Step]:
        first = {step.work.claim_key: step.outcome for step in steps}
        result = []
        for work in copies:
            outcome = first.get(work.claim_key)
            if isinstance(outcome, Outcome):
                rule = "saved.shared" if outcome.crm else outcome.rule
                result.append(Step(work, Outcome(rule, outcome.crm, outcome.fields)))
            elif isinstance(outcome, Waiting):
                result.append(Step(work, outcome))
        return result

    def _guarded[T](self, decide: Callable[[], T]) -> T | Outcome:
        """What our own code decides about one mail; a mistake in it holds that mail alone."""
        decided = self._bugs.guard(decide)
        return held_by(decided) if isinstance(decided, Bug) else decided

    # asking the CRM

    def _matched_and_written(
        self, held: Held, candidates: Sequence[tuple[Work, Verdict, Claim]], texts: Mapping[str, MailText]
    ) -> list[Step]:
        steps: list[Step] = []
        asking: list[tuple[Work, Verdict, Claim, Asked]] = []
        for work, verdict, claim in candidates:
            ask = partial(self._matching.asked, work.mail, work.identifier, by_hand=verdict.by_hand)
            asked = self._guarded(ask)
            if isinstance(asked, Outcome):
                steps.append(Step(work, asked))
            else:
                asking.append((work, verdict, claim, asked))
        if not asking:
            return steps
        matches = self._crm.match(self._matching.question(asked for *_, asked in asking))
        held.extend()
        to_write: list[Candidate] = []
        for work, verdict, claim, asked in asking:
            found = matches.saved.get(work.identifier, "") or (claim.crm_id if claim.state == "saved" else "")
            linked = self._guarded(partial(self._matching.links, work.mail, asked, matches))
            if (unread := self._matching.unread(asked, matches)) is not None:
                if not self._bugs.bearable(unread):
                    raise unread
                linked = held_by(unread)
            if isinstance(linked, Outcome):
                steps.append(Step(work, linked))
                continue
            refused = (verdict.rule if not verdict.save else "") or refused_after_match(verdict, linked, self._profile)
            if refused and not found:
                self._writing.release_unused(work.claim_key)
                steps.append(Step(work, Outcome(refused)))
                continue
            rule = verdict.rule if verdict.save else "saved.marked"
            to_write.append(Candidate(work, claim, linked, rule, found, texts.get(work.mail.id)))
        return steps + self._writing.carry_out(to_write)

    # writing down

    def _commit(self, held: Held, steps: Sequence[Step], last: Sequence[Write]) -> None:
        """Ledger first, then rows in transactions that never split a mail; `last` rides in the last of them."""
        now = held.now()
        groups = []
        for step in steps:
            work, outcome = step.work, self._shown(step.work, step.outcome)
            self._counts[outcome.rule] += 1
            if isinstance(outcome, Waiting):
                self._again_after.append(self._seconds_until(held, outcome.until))
            if not (isinstance(outcome, Outcome) and outcome.quiet) and not (isinstance(outcome, Waiting) and work.opened):
                fields = outcome.fields if isinstance(outcome, Outcome) else ()
                self._ledger.note(LedgerEntry(work.claim_key, "mail", outcome.rule, now, held.session_id, "", fields))
            groups.append(mail_rows.writes(work, outcome, now, step.announced or work.opened))
            if isinstance(outcome, Waiting):
                self._open.add(work.key)
            else:
                self._open.discard(work.key)
        self._ledger.flush()
        batch: list[Write] = []
        for group in groups:
            if len(batch) + len(group) > MAX_COMMIT - 1:
                held.commit(batch)
                batch = []
            batch += group
        if batch and len(batch) + len(last) > MAX_COMMIT - 1:
            held.commit(batch)
            batch = []
        rest = [*batch, *last]  # every mail of every stream is decided by now: cursors may go in as many commits as they need
        for start in range(0, len(rest), MAX_COMMIT - 1):
            held.commit(rest[start : start + MAX_COMMIT - 1])

    def _shown(self, work: Work, outcome: Outcome | Waiting) -> Outcome | Waiting:
        """The category that shows an error comes and goes with the hold; before the rows, so that a crash repeats it. A
        mistake of ours in it holds the mail."""
        is_held = outcome.rule.startswith("held.")
        if isinstance(outcome, Waiting) or is_held == work.was_held:
            return outcome
        problem = self._writing.mark(work.mail.id, **{"add" if is_held else "take": [ERROR_MARK]})
        return held_by(problem, outcome.crm) if problem is not None else outcome


def _tries(row: Row | None) -> int:
    return int(records.read(row).get("tries", 0)) if row is not None else 0


def _moved(before: Mapping[str, str], after: Mapping[str, str]) -> list[Write]:
    """The cursor rows that changed."""
    result: list[Write] = [
        Put(_cursor_key(stream), records.row(stream=stream, cursor=cursor))
        for stream, cursor in after.items()
        if before.get(stream) != cursor
    ]
    return [*result, *(Delete(_cursor_key(stream)) for stream in before if stream not in after)]


def _cursor_key(stream: str) -> str:
    return records.cursor("mails", mail_rows.hash_of(stream))
