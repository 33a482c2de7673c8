"""The ledger: nothing that was noted is lost, the newest comes first, pages join without gap or overlap, the old goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import NetworkDown, NewerRow
from shared.ports import MAX_COMMIT, LedgerEntry, MailboxKey, Place, Put, TenantId, Write
from shared.session import records
from shared.store.ledger import PACK, BadCursor, TableLedger
from shared.store.memory import MemoryStore

TENANT, MAILBOX = TenantId("tenant"), MailboxKey("m" * 26)
PLACE = Place("ledger", TENANT, "mailbox", MAILBOX)
START = datetime(2026, 1, 1, tzinfo=UTC)


def entry(n: int, *, item: str = "", session: str = "s1", rule: str = "saved.auto", at: datetime | None = None) -> LedgerEntry:
    moment = at or START + timedelta(seconds=n)
    return LedgerEntry(item or f"item{n}", "mail", rule, moment, session, "mail", ("Subject",) if n % 2 else ())


def ledger(store: MemoryStore) -> TableLedger:
    return TableLedger(store, TENANT, MAILBOX)


def written(store: MemoryStore, entries: Sequence[LedgerEntry]) -> None:
    one = ledger(store)
    for noted in entries:
        one.note(noted)
    one.flush()


def every(store: MemoryStore, limit: int = 50) -> list[LedgerEntry]:
    found: list[LedgerEntry] = []
    page = ledger(store).entries(limit=limit)
    for _ in range(1000):
        assert len(page.entries) <= limit
        found += page.entries
        if not page.next:
            return found
        page = ledger(store).entries(after=page.next, limit=limit)
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 7, PACK, PACK + 1, 1000])
def test_pages_of_any_size_give_every_decision_once_the_newest_first(limit: int) -> None:
    store = MemoryStore()
    entries = [entry(n) for n in range(257)]
    written(store, entries)
    assert every(store, limit) == entries[::-1]


def test_decisions_are_packed_at_most_a_hundred_a_row_and_thousands_fit_one_flush() -> None:
    store = MemoryStore()
    written(store, [entry(n) for n in range(4001)])
    assert [len(row.value["entries"]) for row in store.scan(PLACE)] == [1] + [PACK] * 40


def test_what_two_sessions_and_two_parts_of_one_session_note_at_the_same_instant_all_stays() -> None:
    store = MemoryStore()
    for session, item in (("s1", "a"), ("s1", "b"), ("s2", "c")):
        written(store, [entry(0, item=item, session=session)])
    one = ledger(store)
    for session in ("s1", "s2", "s1"):
        one.note(entry(1, item=f"d{session}", session=session))
    one.flush()
    assert sorted(e.item + e.session_id for e in every(store)) == ["as1", "bs1", "cs2", "ds1s1", "ds1s1", "ds2s2"]


def test_of_one_ledgers_rows_with_the_same_time_the_last_written_comes_first() -> None:
    store = MemoryStore()
    entries = [entry(n, at=START) for n in range(250)]
    written(store, entries)
    assert [e.item for e in every(store)] == [f"item{n}" for n in reversed(range(250))]


def test_a_flush_that_failed_is_told_again_and_nothing_twice_where_it_had_landed() -> None:
    class Failing(MemoryStore):
        broken = True

        def commit(self, place: Place, writes: Sequence[Write]) -> Mapping[str, str]:
            answer = super().commit(place, writes)
            if self.broken:
                raise NetworkDown
            return answer

    store = Failing()
    one = ledger(store)
    entries = [entry(n) for n in range(150)]
    for noted in entries:
        one.note(noted)
    with pytest.raises(NetworkDown):
        one.flush()
    store.broken = False
    one.flush()
    one.flush()
    assert every(store) == entries[::-1]


def test_nothing_noted_writes_nothing() -> None:
    store = MemoryStore()
    ledger(store).flush()
    assert list(store.scan(PLACE)) == []
    assert ledger(store).entries().entries == ()


def test_newer_decisions_do_not_move_a_cursor() -> None:
    store = MemoryStore()
    entries = [entry(n) for n in range(10)]
    written(store, entries)
    first = ledger(store).entries(limit=4)
    written(store, [entry(n) for n in range(10, 20)])
    assert [e.item for e in ledger(store).entries(after=first.next, limit=4).entries] == ["item5", "item4", "item3", "item2"]


def test_one_item_is_found_across_rows_and_pages() -> None:
    store = MemoryStore()
    written(store, [entry(n, item="wanted" if n % 90 == 0 else "") for n in range(400)])
    page = ledger(store).entries(limit=3, items={"wanted", "absent"})
    rest = ledger(store).entries(after=page.next, limit=3, items={"wanted", "absent"})
    assert [(e.at - START).seconds for e in (*page.entries, *rest.entries)] == [360, 270, 180, 90, 0]
    assert rest.next == ""
    assert ledger(store).entries(items=["absent"]).entries == ()


@pytest.mark.parametrize("cursor", ["x", "ü", "!!!!", "YWJj", "MDAwMA", "a" * 5000])
def test_a_cursor_nobody_gave_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        ledger(MemoryStore()).entries(after=cursor)


def test_pruning_takes_the_rows_that_are_older_and_no_other() -> None:
    store = MemoryStore()
    for day in range(10):
        written(store, [entry(n, at=START + timedelta(days=day, seconds=n)) for n in range(PACK + 50)])
    assert ledger(store).prune(START + timedelta(days=7)) == 14
    left = every(store)
    assert len(left) == 3 * (PACK + 50)
    assert min(e.at for e in left) == START + timedelta(days=7)
    assert ledger(store).prune(START) == 0


def test_a_row_is_old_when_its_newest_decision_is_older_than_the_day_given() -> None:
    store = MemoryStore()
    written(store, [entry(0), entry(10)])
    newest = START + timedelta(seconds=10)
    assert ledger(store).prune(newest) == 0
    assert ledger(store).prune(newest + timedelta(microseconds=1)) == 1
    assert every(store) == []


def test_pruning_takes_more_rows_than_a_commit_holds() -> None:
    store = MemoryStore()
    for n in range(MAX_COMMIT + 20):
        written(store, [entry(n)])
    assert ledger(store).prune(START + timedelta(days=1)) == MAX_COMMIT + 20
    assert list(store.scan(PLACE)) == []


def test_a_mailboxs_ledger_shows_nothing_of_another_mailbox_or_tenant() -> None:
    store = MemoryStore()
    written(store, [entry(0)])
    assert TableLedger(store, TENANT, MailboxKey("n" * 26)).entries().entries == ()
    assert TableLedger(store, TenantId("other"), MAILBOX).entries().entries == ()


def test_a_row_of_newer_code_is_not_guessed_at() -> None:
    store = MemoryStore()
    written(store, [entry(0)])
    (row,) = store.scan(PLACE)
    store.commit(PLACE, [Put(row.key, {**row.value, "v": records.VERSION + 1})])
    with pytest.raises(NewerRow):
        ledger(store).entries()


def test_what_stands_in_a_row_is_the_decision_and_nothing_more() -> None:
    store = MemoryStore()
    written(store, [entry(1)])
    (row,) = store.scan(PLACE)
    assert row.value == {
        "v": 1,
        "session": "s1",
        "entries": [["item1", "mail", "saved.auto", "2026-01-01T00:00:01.000000Z", "mail", ["Subject"]]],
    }
