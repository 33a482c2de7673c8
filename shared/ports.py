"""The ports: what the engine needs from the outside, as Protocols. Adapters implement them; only `wire` knows adapters.

Rules that hold here:
- No vendor's name, no vendor's type: an adapter translates at the border, errors included (`core.errors`).
- Every place of storage names its tenant in its type; there is no way to address a row without one.
- Row values are JSON objects that hold only what design section 5 allows: ids, cursors, digests, counts, codes, times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType, Protocol

from shared.core.errors import Bug, ItemError
from shared.core.mail import Attachment, Mail, MailRecord, MailText
from shared.core.match import Case, Opportunity, Person
from shared.core.model import Fields, Item, Seen

TenantId = NewType("TenantId", str)
MailboxKey = NewType("MailboxKey", str)

Json = Any  # what json.dumps takes: dict, list, str, int, float, bool, None
Table = Literal["state", "directory", "due", "ledger", "audit"]


@dataclass(frozen=True)
class Place:
    """One partition of one table. `what` is mailbox, org, tenant or the table's own word; `key` is safe for a row key."""

    table: Table
    tenant: TenantId
    what: str
    key: str

    @property
    def partition(self) -> str:
        return f"{self.tenant}|{self.what}|{self.key}"


@dataclass(frozen=True)
class Row:
    key: str
    value: Mapping[str, Json]
    etag: str


@dataclass(frozen=True)
class Insert:
    """Fails with RowExists when the row is there already."""

    key: str
    value: Mapping[str, Json]


@dataclass(frozen=True)
class Put:
    """Replaces the whole row. With `etag`: only if unchanged, else RowChanged. Without: insert or replace, last wins."""

    key: str
    value: Mapping[str, Json]
    etag: str | None = None


@dataclass(frozen=True)
class Delete:
    """With `etag`: only if unchanged, else RowChanged; a row that is gone is RowChanged too. Without: must exist."""

    key: str
    etag: str | None = None


Write = Insert | Put | Delete

#: Azure's limit of one transaction, and ours.
MAX_COMMIT = 100


class LinkStore(Protocol):
    """State: small rows in partitions, changed by transactions within one partition."""

    def get(self, place: Place, key: str) -> Row | None: ...

    def get_many(self, place: Place, keys: Sequence[str]) -> Mapping[str, Row]:
        """The rows that are there, by key; read side by side, not as one snapshot."""
        ...

    def scan(self, place: Place, first: str = "", last: str | None = None) -> Iterator[Row]:
        """Rows with first <= key < last in key order (ordinal); `last` None = to the end."""
        ...

    def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
        """All or nothing, at most MAX_COMMIT writes, each row once. Answers the new ETag of every row written.

        Raises RowExists or RowChanged naming the first row in the way, RowTooLarge before anything is sent,
        Unavailable or NetworkDown when the storage does not answer (the commit may then have happened).
        """
        ...


Why = Literal["push", "poll", "sweep", "user", "self", "wake", "renew"]


@dataclass(frozen=True)
class Ring:
    """A doorbell, never data: look at this mailbox. `at` is when the ringer learnt that there is something to see (UTC)."""

    mailbox: MailboxKey
    why: Why
    at: datetime


class Bell(Protocol):
    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        """Enqueues the ring so that a session sees it after `delay_s` seconds (0 to 7 days)."""
        ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, aware."""
        ...


@dataclass(frozen=True)
class WrappedKey:
    """A data key wrapped by the vault; `kid` names the wrapping key and its version."""

    kid: str
    wrapped: bytes


class Vault(Protocol):
    """Wraps data keys. The wrapping key never leaves it; removing it makes everything wrapped by it unreadable."""

    def wrap(self, data_key: bytes) -> WrappedKey: ...

    def unwrap(self, key: WrappedKey) -> bytes: ...


@dataclass(frozen=True)
class Bearer:
    """An access token and the one address it may be sent to: scheme, host and port, and for some vendors a first path."""

    token: str = field(repr=False)
    address: str


class AccessToken(Protocol):
    """Access to one vendor as one user (or as the app itself). Raises ConsentNeeded, OrgConsentNeeded, Retry."""

    def current(self) -> Bearer: ...

    def after(self, refused: Bearer) -> Bearer:
        """Another one than `refused`, which the vendor no longer takes; for one more try, not for a loop."""
        ...


@dataclass(frozen=True)
class Page:
    """Changes of one kind. `listing`: part of a full listing, where absence means something once it is `done`.

    `tells_keys`: items show our keys here; where not, one that is linked to nothing is read before it counts as new.
    `groups`: series -> the ids of all its items inside the window; one that is missing there may be gone.
    `after`: rows of ours that told of these changes, to be removed once the page is worked off.
    """

    seen: tuple[Seen, ...]
    cursor: str
    done: bool
    listing: bool = False
    tells_keys: bool = True
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    after: tuple[Delete, ...] = ()


@dataclass(frozen=True)
class Send:
    """One write at a provider. `version` is the version last seen: the write must be refused (Stale) if it is not that any
    more. `key` is our own key, given with a create; a second create with it is refused as Stale. `unmark` takes our category
    off and changes nothing else. `above`: fields whose text is put above what stands there instead of in its place.
    `related`: with a create in the CRM, the record it is about."""

    verb: Literal["create", "patch", "delete", "unmark"]
    kind: str
    id: str = ""
    version: str = ""
    fields: Fields = field(default_factory=dict)
    key: str = ""
    above: frozenset[str] = frozenset()
    related: str = ""


@dataclass(frozen=True)
class Sent:
    """What the answer of the write itself said. `uid`: of an item that was made, what names it in every mailbox."""

    id: str
    version: str
    uid: str = ""


class Provider(Protocol):
    """One side of two-way sync. Reports and takes items; a batch answers each write in order, errors included. Between the
    call of `write` and its end, answered or not, less time passes than a lease lives."""

    @property
    def keyed(self) -> bool:
        """Whether items carry our key here. Where not, an item we made and never heard of again is looked up."""
        ...

    def changes(self, kind: str, cursor: str | None) -> Page:
        """The page after `cursor`; None begins a full listing. Raises CursorExpired."""
        ...

    def read(self, kind: str, ids: Sequence[str]) -> Mapping[str, Seen]:
        """The items as they are now; one that is gone has no item."""
        ...

    def find(self, kind: str, keys: Sequence[str]) -> Mapping[str, Seen]:
        """Items that carry our keys, by key. Asked only where `keyed`."""
        ...

    def made_since(self, kind: str, since: datetime) -> Sequence[Seen]:
        """Items made by the user as whom we write, at `since` or later, that are still there. Asked only where not `keyed`."""
        ...

    def twins(self, items: Sequence[Item]) -> Sequence[Sequence[Seen]]:
        """For each the items with the same natural key, oldest first."""
        ...

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | ItemError]: ...


class Mailbox(Provider, Protocol):
    """The mailbox side."""


class Crm(Provider, Protocol):
    """The CRM side."""


@dataclass(frozen=True)
class MailPage:
    """One round through a mailbox's mail streams.

    `mails`: each id once, as it is now. `gone`: ids that left a stream; a moved mail does that too, so nothing may be
    concluded from it. `cursors`: stream -> opaque text, complete, to be kept as a whole once the page is worked off.
    `more`: another page waits now. `restarted`: streams whose cursor the vendor no longer knew; they began anew. `broken`: ids
    of mails that our own code could not read.
    """

    mails: tuple[Mail, ...]
    gone: tuple[str, ...]
    cursors: Mapping[str, str]
    more: bool
    restarted: tuple[str, ...] = ()
    broken: Mapping[str, Bug] = field(default_factory=dict)


class Stream(Protocol):
    """The bytes of an attachment. `size` is how many will come, known before the first is read."""

    size: int

    def read(self, n: int = -1) -> bytes: ...


class MailSource(Protocol):
    """The mail of one mailbox. Errors are `core.errors`; a method that answers per item answers item errors in place."""

    def pull(self, cursors: Mapping[str, str], since: datetime) -> MailPage:
        """What is new. `cursors` {} begins: mail received since `since`, and everything that is marked, whatever its age.

        Folders and categories that mark mail are made here where they are missing.
        """
        ...

    def texts(self, ids: Sequence[str]) -> Mapping[str, MailText | ItemError]:
        """The mails as they are now, with text and the list of attachments. One that is not there any more is Gone."""
        ...

    def open(self, mail_id: str, attachment: Attachment) -> AbstractContextManager[Stream]:
        """The content of an attachment of kind file or mail (a mail comes as MIME). Raises Gone."""
        ...

    def mark(self, mail_id: str, *, add: Sequence[str] = (), take: Sequence[str] = ()) -> str:
        """Puts categories on a mail and takes others off it; answers the mail's version after it. Raises Gone."""
        ...


@dataclass(frozen=True)
class Subscription:
    id: str
    expires: datetime


class Push(Protocol):
    """The vendor's promise to call our webhook when the mailbox changes."""

    def subscribe(self, notify_url: str, lifecycle_url: str, state: str) -> Subscription: ...

    def renew(self, subscription_id: str) -> Subscription:
        """Moves the end and answers it. Raises Gone where the vendor no longer knows it."""
        ...

    def unsubscribe(self, subscription_id: str) -> None:
        """Also right where it is gone already."""
        ...


@dataclass(frozen=True)
class Question:
    """What one batch of mails wants to know of the CRM, answered in as few calls as the vendor allows.

    `addresses` in lower case; `case_numbers` without leading zeros; `identifiers` of mails that may be saved already;
    `opportunities`: whether the open opportunities of the matched contacts' accounts matter.
    """

    addresses: tuple[str, ...]
    case_numbers: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    opportunities: bool = True


@dataclass(frozen=True)
class Matches:
    """`cases` by number without leading zeros; `saved`: identifier -> record id of the oldest mail record that has it;
    `broken`: what of the question (addresses, case numbers, identifiers) our own code could not ask or not read."""

    people: tuple[Person, ...] = ()
    opportunities: tuple[Opportunity, ...] = ()
    cases: Mapping[str, Case] = field(default_factory=dict)
    saved: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, Bug] = field(default_factory=dict)


@dataclass(frozen=True)
class SavedMail:
    """A mail record that stands. `complete`: whether everything but its files has been written too."""

    id: str
    complete: bool = True


class MailCrm(Protocol):
    """Where mail is written to, as one user of one org."""

    def match(self, question: Question) -> Matches: ...

    def save(self, records: Sequence[MailRecord]) -> Sequence[SavedMail | ItemError]:
        """Creates mail records with their relations; answers in order. At most 200."""
        ...

    def complete(self, saved: Sequence[tuple[str, MailRecord]]) -> Sequence[SavedMail | ItemError]:
        """Adds to records that stand (id, record) whatever of `save` is missing; answers in order."""
        ...

    def files(self, record_ids: Sequence[str]) -> Mapping[str, Sequence[tuple[str, int]] | Bug]:
        """Record id -> (file name, bytes) of each file linked to it; a Bug where our own code could not read one of them."""
        ...

    def file_name(self, name: str) -> str:
        """The name by which `files` tells a file that was attached under `name`: a CRM may not take every name."""
        ...

    def attach(self, record_ids: Sequence[str], name: str, content_type: str, stream: Stream) -> None:
        """Uploads one file and links it to the records; the first is linked in the same breath as it is made, where that can
        be. Raises Stale where it has to be sent once more, from its beginning."""
        ...

    def remove(self, record_id: str) -> None:
        """Deletes a mail record. Raises Gone where it is deleted already."""
        ...


@dataclass(frozen=True)
class Changed:
    """A record that changed in the CRM. `stamp` moves with every change of it; `owner` is a CRM user, "" where it has none."""

    kind: str
    id: str
    stamp: str
    owner: str = ""
    deleted: bool = False


class ChangeFeed(Protocol):
    """What changed in an org, of the kinds that concern us; ids and stamps only, never content."""

    def changed(self, since: Mapping[str, datetime]) -> Sequence[Changed]:
        """Kind -> since when; all kinds in one call as long as one page holds each."""
        ...


@dataclass(frozen=True)
class LedgerEntry:
    """A decision about one item: which, what, why. Content-free; `item` is an HMAC."""

    item: str
    kind: str
    rule: str
    at: datetime
    session_id: str
    side: str = ""
    fields: tuple[str, ...] = ()


class Ledger(Protocol):
    def note(self, entry: LedgerEntry) -> None: ...

    def flush(self) -> None:
        """Writes down what was noted; before the commit of the same items, so that a decision is told twice, never lost."""
        ...
