"""The Graph adapter in trouble: dead cursors, throttling, lost answers; and how little it asks when there is none."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from sandbox.microsoft import Mailbox
from shared.core.errors import (
    ConsentNeeded,
    ItemError,
    MailboxMissing,
    NetworkDown,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.core.mail import MailText
from shared.core.scope import FOLDER, MARK, UNSYNC
from shared.mailbox.graph import GraphMailbox
from shared.mailbox.graph_map import MAIL
from tests.contract.graph_seen import BATCH, DELTA, FOLDER_DELTA, LISTING, Seen, old
from tests.contract.microsoft_world import ADA, Json, Stand, mime

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]


# --- dead cursors, throttling, lost answers


@pytest.mark.parametrize("kind", ["delta_gone", "sync_state_not_found"])
@pytest.mark.parametrize("stream", ["folders", "inbox", "sentitems", "marked"])
def test_a_dead_cursor_begins_its_stream_anew_and_loses_nothing(ms: Stand, seen: Seen, kind: str, stream: str) -> None:
    folder = ms.box(lambda box: box.make_folder(FOLDER))
    in_each = {
        "inbox": ms.deliver(mime("in")),
        "sentitems": ms.box(lambda box: box.send(mime("out"))),
        "marked": ms.deliver(mime("filed"), folder=folder, received=old(ms)),
    }
    seen.idle()
    late = ms.deliver(mime("late"))
    at = {"inbox": 0, "sentitems": 1, "marked": 2}
    if stream == "folders":
        ms.fault(kind, match=FOLDER_DELTA)
    else:
        ms.fault(kind, match=DELTA, after=at[stream], detail=400 if kind == "sync_state_not_found" else None)
    mails = seen.all()
    assert seen.restarted == [stream]
    assert set(mails) == {late} | ({in_each[stream]} if stream in in_each else set())
    seen.idle()
    assert seen.mails == {}


@pytest.mark.parametrize(("stream", "after"), [("mark", 0), ("unsync", 1)])
def test_a_query_by_category_that_is_refused_as_dead_begins_anew(ms: Stand, seen: Seen, stream: str, after: int) -> None:
    category = {"mark": MARK, "unsync": UNSYNC}[stream]
    mail = ms.deliver(mime("marked"), folder="archive", received=old(ms), categories=(category,))
    seen.idle()
    ms.fault("status", match=LISTING, after=after, status=410, body={"error": {"code": "resyncRequired", "message": "-"}})
    assert set(seen.all()) == {mail}
    assert seen.restarted == [stream]


def test_a_cursor_that_cannot_be_read_begins_anew(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    seen.idle()
    seen.cursors["inbox"] = "none of ours"
    assert set(seen.all()) == {mail}
    assert seen.restarted == ["inbox"]


def test_cursors_die_of_age_and_everything_is_seen_again(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    seen.all()
    ms.world.clock.advance(40 * 86400)
    seen.token.after(seen.token.current())
    seen.since = ms.world.clock.now() - timedelta(days=60)
    assert set(seen.all()) == {mail}
    assert set(seen.restarted) == {"folders", "inbox", "sentitems", "marked"}


def test_a_throttled_part_stops_the_round_for_as_long_as_the_longest_wait(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    rule: Json = {"vendor": "microsoft", "kind": "throttled"}
    ms.world.plan_faults({"rules": [rule | {"match": LISTING, "detail": 30}, rule | {"match": DELTA, "detail": 7}]})
    with pytest.raises(Throttled) as stopped:
        seen.pull()
    assert stopped.value.after_s == 30
    assert set(seen.all()) == {mail}


def test_a_batch_that_is_throttled_as_a_whole_says_how_long(ms: Stand, seen: Seen) -> None:
    ms.fault("status", match=BATCH, status=429, headers={"Retry-After": "12"}, body={"error": {"code": "TooManyRequests"}})
    with pytest.raises(Throttled) as stopped:
        seen.pull()
    assert stopped.value.after_s == 12


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_lost_answer_is_network_down_and_costs_nothing(ms: Stand, seen: Seen, kind: str) -> None:
    mail = ms.deliver(mime("hello"))
    ms.fault(kind, match=BATCH)
    with pytest.raises(NetworkDown):
        seen.pull()
    assert set(seen.all()) == {mail}


def test_an_unavailable_part_is_tried_later(ms: Stand, seen: Seen) -> None:
    ms.fault("unavailable", match=LISTING)
    with pytest.raises(Unavailable):
        seen.pull()


@pytest.mark.parametrize(
    ("kind", "match", "error"),
    [
        ("access_denied", DELTA, ConsentNeeded),
        ("no_mailbox", DELTA, MailboxMissing),
        ("no_mailbox", "/mailFolders/delta", MailboxMissing),
    ],
)
def test_what_a_person_must_settle_is_told_as_such(
    ms: Stand, seen: Seen, kind: str, match: str, error: type[SyncError]
) -> None:
    ms.fault(kind, match=match)
    with pytest.raises(error):
        seen.pull()


def test_a_mailbox_nobody_has_is_missing(ms: Stand, seen: Seen) -> None:
    other = GraphMailbox(seen.http, seen.token, "nobody@example.test", ms.world.clock, "s")
    with pytest.raises(MailboxMissing):
        other.pull({}, seen.since)


@pytest.mark.parametrize("match", [BATCH, DELTA])
def test_an_expired_token_is_exchanged_once(ms: Stand, seen: Seen, match: str) -> None:
    mail = ms.deliver(mime("hello"))
    ms.fault("token_expired", match=match)
    assert mail in {one.id for one in seen.pull().mails}
    assert seen.token.renewed == 1


def test_a_token_that_is_refused_again_needs_consent(ms: Stand, seen: Seen) -> None:
    ms.fault("token_expired", match=BATCH, times=2)
    with pytest.raises(ConsentNeeded):
        seen.pull()
    assert seen.token.renewed == 1


# --- how little is asked


def test_an_idle_mailbox_of_10_000_mails_and_300_folders_is_one_request(ms: Stand, seen: Seen) -> None:
    def fill(box: Mailbox) -> None:
        folders, received = [box.make_folder(f"Customers/C{n}") for n in range(300)], old(ms)
        for n in range(10_000):
            box.deliver(mime(f"n{n}"), folder=folders[n % 300], received=received)

    ms.box(fill)
    seen.idle()
    ms.world.calls.clear()
    page = seen.pull()
    assert (page.mails, page.gone, page.more) == ((), (), False)
    assert seen.http_calls() == 1
    assert sum(len(cursor) for cursor in seen.cursors.values()) < 10_000


def test_a_change_that_is_told_only_in_part_is_read_whole(ms: Stand, seen: Seen) -> None:
    mail, lost = ms.deliver(mime("read later")), ms.deliver(mime("deleted at once"))
    seen.idle()
    link = json.loads(seen.cursors["inbox"])["link"]
    partial = [{"id": one, "isRead": True} for one in (mail, lost)]
    ms.fault("status", match=DELTA, status=200, body={"value": partial, "@odata.deltaLink": f"{ms.url}/v1.0{link}"})
    ms.box(lambda box: box.purge(lost))
    page = seen.pull()
    assert [one.subject for one in page.mails] == ["read later"]
    assert page.gone == (lost,)


def test_a_mail_that_cannot_be_read_whole_does_not_stop_the_page(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    seen.idle()
    link = json.loads(seen.cursors["inbox"])["link"]
    told = {"value": [{"id": mail, "subject": "told in part"}], "@odata.deltaLink": f"{ms.url}/v1.0{link}"}
    rule: Json = {"vendor": "microsoft", "kind": "status"}
    refused = rule | {"match": "/messages/{message}", "status": 400, "body": {"error": {"code": "ErrorCorruptData"}}}
    ms.world.plan_faults({"rules": [rule | {"match": DELTA, "status": 200, "body": told}, refused]})
    assert [one.subject for one in seen.pull().mails] == ["told in part"]


def test_a_doubled_entry_counts_as_it_was_told_last(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("first"))
    seen.idle()
    link = json.loads(seen.cursors["inbox"])["link"]
    item = ms.get(f"/users/{ADA}/messages/{mail}?$select={MAIL}")
    told = {"value": [item, item | {"subject": "second"}], "@odata.deltaLink": f"{ms.url}/v1.0{link}"}
    ms.fault("status", match=DELTA, status=200, body=told)
    assert [one.subject for one in seen.pull().mails] == ["second"]
    left = {"id": mail, "@removed": {"reason": "changed"}}
    ms.fault("status", match=DELTA, status=200, body=told | {"value": [item, left]})
    page = seen.pull()
    assert (page.mails, page.gone) == ((), (mail,))


def test_two_streams_that_disagree_on_a_mail_have_it_read_by_itself(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"), categories=(MARK,))
    seen.idle()
    link = json.loads(seen.cursors["inbox"])["link"]
    item = ms.get(f"/users/{ADA}/messages/{mail}")
    ms.box(lambda box: box.set_categories(mail, [MARK, "Blue"]))
    told = {"value": [item], "@odata.deltaLink": f"{ms.url}/v1.0{link}"}
    ms.fault("status", match=DELTA, status=200, body=told)
    assert [one.categories for one in seen.pull().mails] == [(MARK, "Blue")]


@pytest.mark.parametrize("host", ["https://evil.test/v1.0/users", "{url}/v1.0.evil.test/users", "{url}/beta/users"])
def test_a_link_to_elsewhere_is_not_followed(ms: Stand, seen: Seen, host: str) -> None:
    link = host.format(url=ms.url)
    ms.fault("status", match=DELTA, status=200, body={"value": [], "@odata.nextLink": link})
    with pytest.raises(Unavailable) as stopped:
        seen.pull()
    assert stopped.value.code == "retry.foreign_link"


@pytest.mark.parametrize("status", [403, 500])
def test_one_mail_the_vendor_cannot_give_out_does_not_hide_the_others(ms: Stand, seen: Seen, status: int) -> None:
    first, second = ms.deliver(mime("broken")), ms.deliver(mime("sound"))
    code = {403: "ErrorAccessDenied", 500: "ErrorInternalServerError"}[status]
    ms.fault(
        "status",
        match="GET /v1.0/users/{user}/messages/{message}",
        status=status,
        body={"error": {"code": code, "message": "-"}},
    )
    texts = seen.adapter.texts([first, second])
    assert isinstance(texts[first], ItemError)
    assert isinstance(texts[second], MailText)
