"""What a mailbox's partition remembers of its mail, and how a decision becomes rows.

Rows of a mail, by a hash of its id: `msg_` the last decision; `open_` as long as something was announced and is not finished;
`held_` as long as it waits for a next try. `msg_` says `held.*` exactly when the `held_` row is there: they change together.
Nothing here is content: ids, keyed hashes, codes and times.

`sig` is what a decision about a mail depends on and can change later: marks, folder and draft. A mail whose sig is the one
decided on is not looked at again, whatever else changed (read, opened, flagged, our own category).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.core.mail import Mail
from shared.core.scope import MARK, UNSYNC
from shared.ports import Delete, Put, Row, Write
from shared.session import links, records

KIND = "mail"
#: Hours until a held mail is tried again, by the number of tries so far; after the last it waits for a person.
RETRY_H = (1, 6, 24, 24, 24, 72, 168, 168)
#: How often a session may begin with a mail that is not finished, and the seconds before the n-th time: what stops a session
#: must not stop the next one too.
MOST_TRIES = 10


def pause_s(tries: int) -> float:
    return 60.0 * float(2 ** min(tries, 8))


@dataclass(frozen=True)
class Outcome:
    """The decision about one mail. `quiet`: it was decided before, the ledger need not hear it again."""

    rule: str
    crm: str = ""
    fields: tuple[str, ...] = ()
    quiet: bool = False


@dataclass(frozen=True)
class Waiting:
    """Not decided yet: the mail stays announced and is looked at again at `until`. `counts`: as a try, of which a mail has
    MOST_TRIES before it is held."""

    rule: str
    until: datetime
    counts: bool = False


@dataclass
class Work:
    """One mail in hand. `row`: the value of its `msg_` row ({} = none); `opened`: announced by an earlier session; `tries`:
    how often it was held, `open_tries`: how often a session began with it unfinished."""

    mail: Mail
    key: str
    identifier: str
    claim_key: str
    row: Mapping[str, Any] = field(default_factory=dict)
    opened: bool = False
    tries: int = 0
    open_tries: int = 0

    @property
    def was_held(self) -> bool:
        return str(self.row.get("rule", "")).startswith("held.")


def hash_of(mail_id: str) -> str:
    return links.hash_of(mail_id)


def message(key: str) -> str:
    return f"msg_{key}"


def opened(key: str) -> str:
    return f"open_{key}"


def sig_of(mail: Mail) -> str:
    marks = "".join(
        letter
        for letter, there in (
            ("m", MARK in mail.categories),
            ("u", UNSYNC in mail.categories),
            ("f", mail.marked_folder),
            ("d", mail.draft),
        )
        if there
    )
    return f"{marks}:{mail.role}"


def was_marked(row: Mapping[str, Any]) -> bool:
    """Whether the mail was marked by hand when the row's decision was made."""
    return bool(set("mf") & set(str(row.get("sig", "")).partition(":")[0]))


def announcement(mail_id: str, claim_key: str, until: datetime | None = None, tries: int = 0) -> Write:
    """The row that says that a record may come into being for this mail; with `until`: not to be looked at before."""
    wait = records.text_of(until) if until else ""
    return Put(opened(hash_of(mail_id)), records.row(kind=KIND, id=mail_id, claim=claim_key, until=wait, tries=tries))


def writes(work: Work, outcome: Outcome | Waiting, now: datetime, announced: bool) -> list[Write]:
    """The rows of a decision. `announced`: the `open_` row is there."""
    if isinstance(outcome, Waiting):
        return [announcement(work.mail.id, work.claim_key, outcome.until, work.open_tries + outcome.counts)]
    result = [_decided(work.key, sig_of(work.mail), outcome, work.claim_key, now)]
    if announced:
        result.append(Delete(opened(work.key)))
    return result + _hold(work.key, work.mail.id, outcome, now, work.tries, was_held=work.was_held)


def unread(
    mail_id: str, outcome: Outcome, now: datetime, *, item: str, tries: int, announced: bool, was_held: bool
) -> list[Write]:
    """The rows of a decision about a mail that could not be read: nothing of it is known but its id."""
    key = hash_of(mail_id)
    result = [_decided(key, "", outcome, item, now)]
    if announced:
        result.append(Delete(opened(key)))
    return result + _hold(key, mail_id, outcome, now, tries, was_held=was_held)


def _decided(key: str, sig: str, outcome: Outcome, item: str, now: datetime) -> Write:
    return Put(message(key), records.row(sig=sig, rule=outcome.rule, item=item, crm=outcome.crm, at=records.text_of(now)))


def _hold(key: str, mail_id: str, outcome: Outcome, now: datetime, tries: int, *, was_held: bool) -> list[Write]:
    if not outcome.rule.startswith("held."):
        return [Delete(records.held(key))] if was_held else []
    value = records.row(
        kind=KIND, id=mail_id, code=outcome.rule, fields=list(outcome.fields), tries=tries + 1, next=_again(tries, now),
        since=records.text_of(now),
    )  # fmt: skip
    return [Put(records.held(key), value)]


def _again(tries: int, now: datetime) -> str:
    return records.text_of(now + timedelta(hours=RETRY_H[tries])) if tries < len(RETRY_H) else ""


def begun(row: Row, now: datetime) -> Write:
    """An `open_` or `held_` row as it is before its mail is tried once more: the try counts even if the session dies of it."""
    value = records.read(row)
    tries = int(value.get("tries", 0))
    if row.key.startswith(opened("")):
        later = records.text_of(now + timedelta(seconds=pause_s(tries)))
        return Put(row.key, {**value, "tries": tries + 1, "until": later})
    return Put(row.key, {**value, "tries": tries + 1, "next": _again(tries, now)})


def of_mail(rows: Iterable[Row]) -> list[Row]:
    """The rows of mails among these: unfinished and held items of other kinds have rows of these names too."""
    return [row for row in rows if records.read(row)["kind"] == KIND]


def due(rows: Sequence[Row], now: datetime, name: str) -> dict[str, Row]:
    """The rows of mails whose time `name` has come, by the mail's id."""
    text, found = records.text_of(now), {}
    for row in rows:
        value = records.read(row)
        if (name == "until" or value[name]) and value[name] <= text:
            found[str(value["id"])] = row
    return found
