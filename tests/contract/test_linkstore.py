"""One suite for every LinkStore: the memory store and Azure tables (on Azurite) must behave alike."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from sandbox.azurite import Azurite
from shared.core.errors import NetworkDown, RowChanged, RowExists, RowTooLarge
from shared.ports import MAX_COMMIT, Delete, Insert, LinkStore, Place, Put, TenantId
from shared.store.memory import MemoryStore
from shared.store.tables import connect


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture(params=["memory", "tables"])
def store(request: pytest.FixtureRequest) -> LinkStore:
    make: dict[str, Callable[[], LinkStore]] = {
        "memory": MemoryStore,
        "tables": lambda: connect(request.getfixturevalue("azurite").connection_string),
    }
    return make[request.param]()


@pytest.fixture
def place() -> Place:
    return Place("state", TenantId("tenant"), "mailbox", uuid.uuid4().hex)


def test_a_row_comes_back_as_it_was_written(store: LinkStore, place: Place) -> None:
    value = {"text": "ü\U0001f600 'quoted' \n", "number": 2**53, "none": None, "list": [1, {"a": True}], "v": 1}
    etags = store.commit(place, [Insert("row", value)])
    row = store.get(place, "row")
    assert row is not None
    assert (row.key, row.value, row.etag) == ("row", value, etags["row"])
    assert store.get(place, "other") is None


def test_an_insert_never_replaces(store: LinkStore, place: Place) -> None:
    store.commit(place, [Insert("row", {"n": 1})])
    with pytest.raises(RowExists) as refused:
        store.commit(place, [Insert("new", {}), Insert("row", {"n": 2})])
    assert refused.value.key == "row"
    assert store.get(place, "new") is None


@pytest.mark.parametrize("write", [lambda etag: Put("row", {"n": 3}, etag), lambda etag: Delete("row", etag)])
def test_a_stale_etag_is_refused_and_nothing_of_the_commit_happens(
    store: LinkStore, place: Place, write: Callable[[str], Put | Delete]
) -> None:
    old = store.commit(place, [Insert("row", {"n": 1})])["row"]
    new = store.commit(place, [Put("row", {"n": 2}, old)])["row"]
    with pytest.raises(RowChanged) as refused:
        store.commit(place, [Put("other", {"n": 1}), write(old)])
    assert refused.value.key == "row"
    assert store.get(place, "other") is None
    store.commit(place, [write(new)])


def test_a_put_without_etag_inserts_or_replaces_the_whole_row(store: LinkStore, place: Place) -> None:
    store.commit(place, [Put("row", {"a": 1, "long": "x" * 100_000})])
    store.commit(place, [Put("row", {"b": 2})])
    row = store.get(place, "row")
    assert row is not None
    assert row.value == {"b": 2}


def test_deleting_what_is_gone_is_told(store: LinkStore, place: Place) -> None:
    with pytest.raises(RowChanged):
        store.commit(place, [Delete("row")])


def test_a_scan_is_a_half_open_range_in_ordinal_order(store: LinkStore, place: Place) -> None:
    keys = ["a", "B", "link_1", "link_2", "link_A", "linkz", "zz"]
    store.commit(place, [Insert(key, {"k": key}) for key in keys])
    assert [row.key for row in store.scan(place)] == sorted(keys)
    assert [row.key for row in store.scan(place, "link_", "link`")] == ["link_1", "link_2", "link_A"]
    other = Place("state", place.tenant, "org", place.key)
    assert list(store.scan(other)) == []


def test_a_scan_reads_past_a_page_of_a_thousand(store: LinkStore, place: Place) -> None:
    for start in range(0, 1200, MAX_COMMIT):
        store.commit(place, [Insert(f"r{n:05}", {}) for n in range(start, start + MAX_COMMIT)])
    assert [row.key for row in store.scan(place)] == [f"r{n:05}" for n in range(1200)]


def test_the_limits_of_a_commit_are_ours_before_they_are_the_vendors(store: LinkStore, place: Place) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        store.commit(place, [Insert(f"r{n}", {}) for n in range(MAX_COMMIT + 1)])
    with pytest.raises(ValueError, match="once"):
        store.commit(place, [Insert("r", {}), Delete("r")])
    for key in ("", "a/b", "a\\b", "a#b", "a?b", "a\nb", "a%b"):
        with pytest.raises(ValueError, match="legal key"):
            store.commit(place, [Insert(key, {})])
    with pytest.raises(RowTooLarge):
        store.commit(place, [Insert("r", {"text": "x" * 900_000})])
    assert list(store.scan(place)) == []


def test_of_eight_threads_that_insert_one_row_exactly_one_wins(store: LinkStore, place: Place) -> None:
    won: list[int] = []

    def insert(n: int) -> None:
        try:
            store.commit(place, [Insert("row", {"n": n})])
            won.append(n)
        except RowExists:
            pass

    threads = [threading.Thread(target=insert, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = store.get(place, "row")
    assert row is not None
    assert won == [row.value["n"]]


def test_a_storage_that_does_not_answer_is_network_down() -> None:
    dead = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:9/a;"
    with pytest.raises(NetworkDown):
        connect(dead).get(Place("state", TenantId("t"), "mailbox", "k"), "row")
