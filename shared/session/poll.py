"""The poll of an org: one question what changed, told to every mailbox that has to do with it.

Rules that hold here (design section 5, "Cursors"):
- An org, or a kind of record, that was never asked for is asked from the time its first mailbox was connected, FIRST_REACH at
  most, else from the first try on: between the connecting and the first poll the product may have stood still.
- The question looks back OVERLAP before the watermark, because changes become visible late and out of order; what was told
  already is known by id and stamp. The watermark is the time the question began, and is written after everything was told.
- A changed record concerns the mailboxes that hold it, and its owner's mailbox where that kind comes down to mailboxes.
- A stamp has whole seconds: what is younger than SETTLED may change again under the same one, and is told again next time.
- A mailbox gets one dirty row for each record and one ring, however much changed; above MOST of a kind one row stands for all.
  Of a kind that cannot be listed (saved mail) only what the mailbox holds nothing of is told that way.
- A crash anywhere tells something twice, never not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.ports import MAX_COMMIT, Bell, Changed, ChangeFeed, Clock, LinkStore, MailboxKey, Place, Put, Ring, Row, Write
from shared.session import dirty, lease, links, records
from shared.session.claims import holders_of
from shared.session.run import PartReport

OVERLAP = timedelta(seconds=120)
SETTLED = timedelta(seconds=5)
FIRST_REACH = timedelta(days=1)
MOST = dirty.MOST
#: Kinds of which a mailbox's session can list everything.
LISTED = frozenset(("event",))
#: Of the changes that the next question answers again, so many are known by name; more are told twice, which is harmless.
MOST_SEEN = 10_000
SCAN_ALL_ABOVE = 500
WATERMARK = "watermark"


@dataclass(frozen=True)
class Told:
    """A change as one mailbox is told of it; `item` is the id of the mailbox's own item, "" where it has none yet."""

    change: Changed
    item: str = ""


@dataclass(frozen=True)
class PollReport:
    changed: int
    mailboxes: int


def poll(
    feed: ChangeFeed, kinds: Sequence[str], *, store: LinkStore, bell: Bell, clock: Clock, org: Place,
    place_of: Callable[[MailboxKey], Place], owners: Callable[[str], Iterable[MailboxKey]], marks_in: Place | None = None,
    connected: Callable[[], datetime | None] = lambda: None,
) -> PollReport:  # fmt: skip
    """One poll. `owners(crm user)` are the mailboxes of that user that want what is theirs; the watermark is kept in
    `marks_in`, the org's own place where None; `connected`: when the first mailbox was, asked where there is no watermark."""
    began = clock.now()
    marks_place = marks_in or org
    row = store.get(marks_place, WATERMARK)
    value = records.read(row) if row is not None else {}
    marks: Mapping[str, str] = value.get("since", {})
    if new := [kind for kind in kinds if kind not in marks]:
        # noted before the first question: what happens until one is answered must not be missed
        first = max(min(connected() or began, began), began - FIRST_REACH)
        marks = {**marks, **dict.fromkeys(new, records.text_of(first))}
        store.commit(marks_place, [Put(WATERMARK, records.row(since=marks, seen=list(value.get("seen", ()))))])
    since = {kind: records.moment_of(marks[kind]) - OVERLAP for kind in kinds}
    changed = feed.changed(since)
    known = set(value.get("seen", ()))
    names = {_name(change): change for change in changed}
    fresh = [change for name, change in names.items() if name not in known]
    lately, settled = began - OVERLAP, began - SETTLED
    again = sorted(name for name, change in names.items() if _is_known(_moment(change.stamp), lately, settled))[:MOST_SEEN]
    told = _routed(store, org, fresh, owners)
    for mailbox, changes in told.items():
        _tell(store, place_of(mailbox), changes)
        bell.ring(Ring(mailbox, "poll", began))
    _remember(store, marks_place, kinds, began, again, marks, known)
    return PollReport(len(fresh), len(told))


class OwnChanges:
    """The poll of a mailbox whose user is connected personally: part of its session, seen with that user's eyes. What
    concerns other mailboxes too is told to them as well; this one is looking already and is not rung. `user`: the CRM user's
    id, whose records come down."""

    name = "changes"

    def __init__(
        self, feed: ChangeFeed, kinds: Sequence[str], bell: Bell, *, org: Place, mailbox: MailboxKey,
        place_of: Callable[[MailboxKey], Place], user: str = "", connected: datetime | None = None,
    ) -> None:  # fmt: skip
        self._user, self._connected = user, connected
        self._feed, self._kinds, self._bell = feed, kinds, bell
        self._org, self._mailbox, self._place_of = org, mailbox, place_of

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        if ring.mailbox != self._mailbox:
            self._bell.ring(ring, delay_s)

    def run(self, held: lease.Held) -> PartReport:
        report = poll(
            self._feed, self._kinds, store=held.store, bell=self, clock=held.clock, org=self._org, place_of=self._place_of,
            owners=lambda user: (self._mailbox,) if self._user and user[:15] == self._user[:15] else (), marks_in=held.place,
            connected=lambda: self._connected,
        )  # fmt: skip
        held.extend()
        return PartReport(report.changed)


def _routed(
    store: LinkStore, org: Place, changed: Sequence[Changed], owners: Callable[[str], Iterable[MailboxKey]]
) -> dict[MailboxKey, list[Told]]:
    told: dict[MailboxKey, list[Told]] = {}
    all_holders = _all_holders(store, org) if len(changed) > SCAN_ALL_ABOVE else None
    for change in changed:
        first = holders_of(change.id)
        rows = store.scan(org, first, first[:-1] + "`") if all_holders is None else all_holders.get(first, ())
        holders = {str(row.value["mailbox"]): str(row.value["item"]) for row in rows}
        others = (str(mailbox) for mailbox in owners(change.owner)) if change.owner else ()
        for mailbox in [*holders, *(other for other in others if other not in holders)]:
            told.setdefault(MailboxKey(mailbox), []).append(Told(change, holders.get(mailbox, "")))
    return told


def _all_holders(store: LinkStore, org: Place) -> Mapping[str, list[Row]]:
    """Every holder row by what the keys of its record begin with: one walk, where one for each change would be too many."""
    found: dict[str, list[Row]] = {}
    for row in store.scan(org, *records.every("holder")):
        found.setdefault(row.key[: row.key.index("_", len("holder_")) + 1], []).append(row)
    return found


def _is_known(moment: datetime | None, lately: datetime, settled: datetime) -> bool:
    """Whether the next question would answer this change again and it is the same; a stamp that is no time is remembered."""
    return moment is None or lately <= moment < settled


def _moment(stamp: str) -> datetime | None:
    """When a change happened, None where its stamp is no time."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _tell(store: LinkStore, place: Place, changes: Sequence[Told]) -> None:
    rows: list[Write] = [Put(_dirty(one), _row(one)) for one in changes if one.item and one.change.kind not in LISTED]
    many: dict[str, list[Told]] = {}
    for told in changes:
        if not told.item or told.change.kind in LISTED:
            many.setdefault(told.change.kind, []).append(told)
    for kind, some in many.items():
        if len(some) > MOST:
            rows.append(Put(dirty.everything(kind), records.row(kind=kind, changes=len(some))))
        else:
            rows += [Put(_dirty(one), _row(one)) for one in some]
    latest = list({row.key: row for row in rows}.values())  # a record may be told of twice: a later page has it anew
    for start in range(0, len(latest), MAX_COMMIT):
        store.commit(place, latest[start : start + MAX_COMMIT])


def tell_deleted(store: LinkStore, place: Place, kind: str, crm_id: str, item_id: str) -> None:
    """What the poll would tell a mailbox of a record that it holds and that is deleted."""
    _tell(store, place, [Told(Changed(kind, crm_id, "", deleted=True), item_id)])


def _dirty(told: Told) -> str:
    return f"dirty_crm_{links.hash_of(told.change.id)}"


def _row(told: Told) -> dict[str, object]:
    change = told.change
    return records.row(kind=change.kind, crm=change.id, item=told.item, stamp=change.stamp, deleted=change.deleted)


def _remember(
    store: LinkStore, place: Place, kinds: Sequence[str], began: datetime, names: Sequence[str], marks: Mapping[str, str],
    known: set[str],
) -> None:  # fmt: skip
    """Writes the watermark, unless the question was answered as before and would be again: a quiet org is not written to
    more than once in half the overlap."""
    oldest = min((records.moment_of(mark) for mark in marks.values()), default=None)
    if set(names) == known and set(marks) == set(kinds) and oldest is not None and began - oldest < OVERLAP / 2:
        return
    store.commit(place, [Put(WATERMARK, records.row(since=dict.fromkeys(kinds, records.text_of(began)), seen=list(names)))])


def _name(change: Changed) -> str:
    return links.hash_of(f"{change.kind}|{change.id}|{change.stamp}|{change.deleted}")[:16]
