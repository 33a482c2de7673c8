"""The Graph adapter whichever way the vendor is: what may be refused, ignored or cut short, with each switch both ways.

What a mail is must not depend on it: whether it is private decides what is saved, its thread what it is saved with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.core.errors import Unavailable
from shared.core.mail import Mail, MailText
from shared.core.mail_record import record_of
from shared.core.match import Links
from shared.core.profile import Profile
from shared.core.scope import FOLDER, Filters
from shared.mailbox import graph_streams as streams
from shared.mailbox.graph_make import CATEGORIES
from tests.contract.graph_seen import DELTA, FOLDER_DELTA, LISTING, Seen, old
from tests.contract.microsoft_world import ADA, Stand, mime
from tests.contract.test_graph_adapter_history import History

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]

ROOT = "<root@customer.example>"
REPLY = f"References: {ROOT} <second@customer.example>\r\nIn-Reply-To: <second@customer.example>\r\n"
EXPAND, HEADERS, MOST = "microsoft.delta_expand", "microsoft.delta_headers", "microsoft.delta_filtered_most"
EXPANDS, SHOWN = ("taken", "refused", "failed", "ignored"), ("shown", "refused", "ignored")
OLDER = {"older_inbox", "older_sentitems"}


def prepared(ms: Stand) -> str:
    """A mailbox in which nothing has to be made; answers its marking folder."""
    for name in CATEGORIES:
        ms.call("POST", f"/users/{ADA}/outlook/masterCategories", json={"displayName": name, "color": "preset1"}, status=201)
    return ms.box(lambda box: str(box.make_folder(FOLDER)))


def with_kept(ms: Stand, mail_id: str) -> str:
    """Makes of a mail one as it is that was sent from the mailbox: without headers, with what Exchange keeps of them."""

    def keep(box: Any) -> None:
        message = box.message(mail_id)
        box.change(
            message,
            content=replace(message.content, headers=()),
            properties={
                "string 0x1039": ("String 0x1039", f"{ROOT} <second@customer.example>"),
                "integer 0x36": ("Integer 0x36", "2"),
            },
        )

    ms.box(keep)
    return mail_id


def told(mail: Mail) -> tuple[str, bool]:
    return mail.thread, mail.private


# --- what a delta of mails takes


@pytest.mark.parametrize("headers", SHOWN)
@pytest.mark.parametrize("expand", EXPANDS)
def test_a_mail_is_private_and_in_its_thread_whatever_a_delta_takes(ms: Stand, seen: Seen, expand: str, headers: str) -> None:
    ms.world.switches |= {EXPAND: expand, HEADERS: headers}
    marking = prepared(ms)
    private = f"{REPLY}Sensitivity: Private\r\n"
    ids = [ms.deliver(mime("in", more=private)), ms.deliver(mime("filed", more=private), folder=marking, received=old(ms))]
    ids.append(with_kept(ms, ms.box(lambda box: box.send(mime("out")))))
    plain = ms.deliver(mime("plain", message_id="<plain@customer.example>"))
    first = seen.all()
    assert {one: told(first[one]) for one in ids} == dict.fromkeys(ids, (ROOT, True))
    assert told(first[plain]) == ("<plain@customer.example>", False)
    seen.idle()
    late = ms.deliver(mime("late", more=private))
    assert {mail.id: told(mail) for mail in seen.all().values()} == {late: (ROOT, True)}


@pytest.mark.parametrize("headers", SHOWN)
@pytest.mark.parametrize("expand", EXPANDS)
def test_the_record_of_a_mail_names_its_thread_whatever_a_delta_takes(ms: Stand, seen: Seen, expand: str, headers: str) -> None:
    ms.world.switches |= {EXPAND: expand, HEADERS: headers}
    reply = ms.deliver(mime("in", more=REPLY))
    seen.all()
    text = seen.adapter.texts([reply])[reply]
    assert isinstance(text, MailText)
    profile = Profile({})
    made = record_of(text, Links(), identifier="<i@x.test>", profile=profile, filters=Filters(profile, (ADA,)))
    assert made.thread == ROOT
    assert text.mail == seen.mails[reply]


@pytest.mark.parametrize(
    ("expand", "headers", "refusals"),
    [
        ("taken", "shown", 0),
        ("ignored", "ignored", 0),
        ("refused", "shown", 1),
        ("failed", "ignored", 1),
        ("taken", "refused", 2),
        ("failed", "refused", 3),
    ],
)
def test_a_refusal_costs_one_request_once(ms: Stand, seen: Seen, expand: str, headers: str, refusals: int) -> None:
    ms.world.switches |= {EXPAND: expand, HEADERS: headers}
    prepared(ms)
    seen.pull()  # finds the marking folder, whose stream begins with the second round
    ms.world.calls.clear()
    seen.all()
    assert seen.http_calls() == 1 + refusals
    seen.idle()
    ms.world.calls.clear()
    assert seen.all() == {}
    assert seen.http_calls() == 1


def test_a_mail_whose_headers_came_is_not_read_once_more(ms: Stand, seen: Seen) -> None:
    ms.world.switches |= {EXPAND: "refused"}
    prepared(ms)
    seen.idle()
    for n in range(5):
        ms.deliver(mime(f"n{n}", more=f"Received: from customer.example; Tue, 03 Nov 2026 09:30:00 +0100\r\n{REPLY}"))
    ms.world.calls.clear()
    assert len(seen.all()) == 5
    assert seen.http_calls() == 1


def test_a_stream_that_begins_anew_tries_everything_again(ms: Stand, seen: Seen) -> None:
    ms.world.switches |= {EXPAND: "refused"}
    prepared(ms)
    seen.idle()
    ms.world.switches.clear()
    ms.fault("delta_gone", match=DELTA, times=3)
    with_kept(ms, ms.box(lambda box: box.send(mime("out"))))
    seen.idle()
    with_kept(ms, ms.box(lambda box: box.send(mime("another"))))
    ms.world.calls.clear()
    assert [told(mail) for mail in seen.all().values()] == [(ROOT, True)]
    assert seen.http_calls() == 1


def test_a_failure_at_the_beginning_is_taken_for_a_refusal_and_loses_nothing(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello", more=REPLY))
    ms.fault("status", match=DELTA, status=500, body={"error": {"code": "InternalServerError", "message": "-"}})
    assert told(seen.all()[mail]) == (ROOT, False)


@pytest.mark.parametrize("match", [DELTA, LISTING, FOLDER_DELTA])
def test_a_failure_of_a_stream_under_way_is_waited_for(ms: Stand, seen: Seen, match: str) -> None:
    seen.idle()
    mail, before = ms.deliver(mime("hello")), dict(seen.cursors)
    ms.fault("status", match=match, status=500, body={"error": {"code": "InternalServerError", "message": "-"}})
    with pytest.raises(Unavailable):
        seen.pull()
    assert seen.cursors == before
    assert set(seen.all()) == {mail}


def test_where_nothing_is_taken_the_mailbox_waits_and_goes_on_afterwards(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello", more=REPLY))
    ms.fault("status", match=DELTA, status=400, times=1000, body={"error": {"code": "BadRequest", "message": "-"}})
    for _ in streams.VARIANTS[1:]:
        assert seen.pull().more
    for _ in range(2):
        with pytest.raises(Unavailable):
            seen.pull()
    ms.world.rules = []
    assert told(seen.all()[mail]) == (ROOT, False)


# --- what a delta of folders takes


@pytest.mark.parametrize("page", [1000, 100, 0])
@pytest.mark.parametrize("select", [True, False])
def test_the_tree_is_known_whatever_the_delta_of_folders_takes(ms: Stand, seen: Seen, select: bool, page: int) -> None:
    ms.world.switches |= {"microsoft.folder_delta_select": select, "microsoft.folder_delta_page": page}
    prepared(ms)
    ms.box(lambda box: [box.add_folder(f"F{n}") for n in range(120)])
    filed = ms.deliver(mime("filed"), folder=ms.box(lambda box: box.make_folder(f"{FOLDER}/A/B")), received=old(ms))
    thrown = ms.deliver(mime("thrown"), folder=ms.box(lambda box: box.make_folder("Old/Deals")), categories=("Salesforce",))
    mails = seen.all()
    assert {mail.id: mail.marked_folder for mail in mails.values()} == {filed: True, thrown: False}
    seen.idle()
    ms.box(lambda box: box.move_folder(box.make_folder("Old"), "deleteditems"))
    ms.box(lambda box: box.set_read(thrown))
    assert seen.all()[thrown].role == "deleteditems"
    seen.idle()
    ms.world.calls.clear()
    assert seen.pull().more is False
    assert seen.http_calls() == 1


def test_where_no_tree_is_given_the_mailbox_waits(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    ms.fault("status", match=FOLDER_DELTA, status=400, times=1000, body={"error": {"code": "BadRequest", "message": "-"}})
    for _ in streams.FOLDER_VARIANTS[1:]:
        assert seen.pull().mails == ()
    with pytest.raises(Unavailable):
        seen.pull()
    ms.world.rules = []
    assert set(seen.all()) == {mail}


# --- a look-back that is more than a delta gives


def fill(ms: Stand, number: int, received: Callable[[int], datetime], folder: str = "inbox") -> list[str]:
    return ms.box(lambda box: [box.deliver(mime(f"n{n}"), folder=folder, received=received(n)) for n in range(number)])


@pytest.mark.parametrize("most", [5000, 100_000])
def test_a_look_back_over_more_than_5000_mails_misses_none(ms: Stand, seen: Seen, most: int) -> None:
    ms.world.switches[MOST] = most
    prepared(ms)
    now = ms.world.clock.now()
    seen.since = now - timedelta(days=300)
    wanted = fill(ms, 5000, lambda n: now - timedelta(minutes=n + 1))
    moment = now - timedelta(days=100)
    wanted += fill(ms, 450, lambda _: moment)  # more of one second than a page holds
    wanted += fill(ms, 250, lambda n: now - timedelta(days=101, minutes=n))
    wanted += fill(ms, 1, lambda _: seen.since.replace(microsecond=0) + timedelta(seconds=1))
    fill(ms, 1, lambda _: seen.since - timedelta(seconds=2))
    assert set(seen.all()) == set(wanted)
    seen.idle()
    assert not OLDER & seen.cursors.keys()
    ms.world.calls.clear()
    assert (seen.all(), seen.http_calls()) == ({}, 1)


def test_mail_that_leaves_while_the_rest_is_listed_hides_no_other(ms: Stand, seen: Seen) -> None:
    now = ms.world.clock.now()
    seen.since = now - timedelta(days=300)
    fill(ms, 5000, lambda n: now - timedelta(minutes=n + 1))
    older = fill(ms, 700, lambda n: now - timedelta(days=100, minutes=n))
    while not set(older) & set(seen.mails):
        seen.pull()
    seen.pull()
    assert OLDER & seen.cursors.keys() == {"older_inbox"}
    left = [mail_id for mail_id in older if mail_id in seen.mails][:150]
    ms.box(lambda box: [box.move(mail_id, "archive") for mail_id in left])
    while seen.pull().more:
        pass
    assert set(older) <= set(seen.mails)


def test_a_listing_whose_cursor_cannot_be_read_is_begun_anew_with_its_stream(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    seen.idle()
    seen.cursors["older_inbox"] = "none of ours"
    assert set(seen.all()) == {mail}
    assert not OLDER & seen.cursors.keys()


@pytest.mark.parametrize("folder", ["inbox", "sentitems"])
def test_an_earlier_look_back_brings_the_older_mail_and_a_later_one_nothing(ms: Stand, seen: Seen, folder: str) -> None:
    prepared(ms)
    recent = ms.deliver(mime("recent"), folder=folder)
    before = ms.deliver(mime("before"), folder=folder, received=old(ms))
    assert set(seen.all()) == {recent}
    seen.idle()
    seen.since -= timedelta(days=600)
    assert set(seen.all()) == {recent, before}
    seen.idle()
    seen.since += timedelta(days=300)
    ms.world.calls.clear()
    assert (seen.all(), seen.http_calls()) == ({}, 1)


def test_an_earlier_look_back_also_counts_for_what_is_moved_in_later(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("filed long ago"), folder="archive", received=old(ms))
    seen.idle()
    seen.since -= timedelta(days=600)
    seen.idle()
    ms.box(lambda box: box.move(mail, "inbox"))
    assert seen.all()[mail].role == "inbox"


def test_a_look_back_of_a_second_more_is_an_earlier_one(ms: Stand, seen: Seen) -> None:
    second = seen.since.replace(microsecond=0) - timedelta(seconds=1)
    mail = ms.deliver(mime("just outside"), received=second)
    assert seen.all() == {}
    seen.since = second
    assert set(seen.all()) == {mail}


# --- any history


class PlainHistory(History):
    """A life of a mailbox at a vendor that takes little, in which the look-back grows."""

    def __init__(self, ms: Stand, seen: Seen, seed: int) -> None:
        super().__init__(ms, seen, seed)
        ms.world.switches |= {
            EXPAND: EXPANDS[seed % 4], HEADERS: SHOWN[seed % 3],
            "microsoft.folder_delta_select": seed % 2 == 1, "microsoft.folder_delta_page": (1000, 100, 0)[seed % 3],
        }  # fmt: skip

    def step(self) -> None:
        self.random.choice((*self.steps, self.look_further))()

    def look_further(self) -> None:
        self.seen.since -= timedelta(days=self.random.choice((1, 100)))


@pytest.mark.parametrize("seed", range(1, 7))
def test_after_any_history_with_a_vendor_that_takes_little_all_is_known(ms: Stand, seen: Seen, seed: int) -> None:
    history = PlainHistory(ms, seen, seed)
    for _ in range(80):
        history.step()
    ms.deliver(mime("new"))
    ms.deliver(mime("marked"), folder="archive", received=old(ms), categories=("Salesforce",))
    history.settle()
    assert ms.box(history.check) >= 2
    history.wait()
    seen.idle()
    ms.world.calls.clear()
    page = seen.pull()
    assert (page.mails, page.gone, page.more, seen.http_calls()) == ((), (), False, 1)
