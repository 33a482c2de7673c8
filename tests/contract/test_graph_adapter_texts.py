"""The Graph adapter: texts, attachments, the error category, notifications."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import (
    Gone,
    NetworkDown,
    Refused,
    Stale,
    Throttled,
)
from shared.core.mail import MailText
from shared.core.scope import ERROR_MARK, FOLDER, MARK
from shared.mailbox.graph_push import GraphPush
from tests.contract.graph_seen import Seen
from tests.contract.microsoft_world import ADA, Stand, mime

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]


# --- texts and attachments


def test_texts_give_the_same_mail_as_the_pull_with_or_without_one_before(ms: Stand, seen: Seen) -> None:
    folder = ms.box(lambda box: box.make_folder(f"{FOLDER}/Deep/Deeper"))
    ids = [
        ms.deliver(mime("filed", more="References: <root@x.test>\r\nSensitivity: Private\r\n"), folder=folder),
        ms.deliver(mime("marked"), folder="junkemail", categories=(MARK,)),
        ms.deliver(mime("new")),
        ms.box(lambda box: box.send(mime("sent"))),
    ]
    pulled = seen.all()
    for adapter in (seen.adapter, seen.fresh()):
        texts = adapter.texts([*ids, ids[0]])
        assert {mail_id: text.mail for mail_id, text in texts.items() if isinstance(text, MailText)} == pulled
    assert pulled[ids[0]].private is True
    assert pulled[ids[0]].thread == "<root@x.test>"


def test_texts_say_of_each_mail_what_became_of_it(ms: Stand, seen: Seen) -> None:
    ids = [ms.deliver(mime(f"n{n}", text=f"Body {n}")) for n in range(45)]
    ms.box(lambda box: box.purge(ids[30]))
    texts = seen.adapter.texts([*ids, "none of theirs"])
    assert isinstance(texts[ids[30]], Gone)
    assert isinstance(texts["none of theirs"], Gone)
    bodies = [text.html for text in texts.values() if isinstance(text, MailText)]
    assert len(bodies) == 44
    assert all("Body" in body for body in bodies)
    assert seen.adapter.texts([]) == {}


def test_texts_that_must_wait_wait_all(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    ms.fault("throttled", match="GET /v1.0/users/{user}/messages/{message}", detail=9)
    with pytest.raises(Throttled):
        seen.adapter.texts([mail])


ATTACHED = (
    b"From: carl@customer.example\r\nTo: ada@example.test\r\nSubject: Papers\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>See below</p>\r\n"
    b'--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="offer.pdf"\r\n\r\n%PDF-content\r\n'
    b'--b\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline; filename="l.png"\r\n\r\npixels\r\n'
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\nFrom: dora@customer.example\r\n\r\nInside\r\n--b--\r\n"
)


def test_attachments_of_every_kind_are_listed_and_read(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(ATTACHED)
    ms.box(lambda box: box.add_link(mail, "Plan in the cloud"))
    text = seen.adapter.texts([mail])[mail]
    assert isinstance(text, MailText)
    assert "See below" in text.html
    listed = {one.name: one for one in text.attachments}
    assert {name: (one.kind, one.inline) for name, one in listed.items()} == {
        "offer.pdf": ("file", False),
        "l.png": ("file", True),
        "Inner": ("mail", False),
        "Plan in the cloud": ("link", False),
    }
    for name, wanted in (("offer.pdf", b"%PDF-content"), ("l.png", b"pixels"), ("Inner", b"Inside")):
        with seen.adapter.open(mail, listed[name]) as stream:
            size, content = stream.size, stream.read(4) + stream.read()
        assert wanted in content
        assert size == len(content)
    ms.world.calls.clear()
    with pytest.raises(Refused), seen.adapter.open(mail, listed["Plan in the cloud"]):
        pass
    assert seen.http_calls() == 0
    ms.box(lambda box: box.purge(mail))
    with pytest.raises(Gone), seen.adapter.open(mail, listed["offer.pdf"]):
        pass


def test_an_attachment_that_is_not_answered_is_network_down(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(ATTACHED)
    text = seen.adapter.texts([mail])[mail]
    assert isinstance(text, MailText)
    ms.fault("drop_before", match="/attachments/{attachment}/$value")
    with pytest.raises(NetworkDown), seen.adapter.open(mail, text.attachments[0]):
        pass


def test_an_expired_token_is_exchanged_for_an_attachment_too(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(ATTACHED)
    text = seen.adapter.texts([mail])[mail]
    assert isinstance(text, MailText)
    ms.fault("token_expired", match="/attachments/{attachment}/$value")
    with seen.adapter.open(mail, text.attachments[0]) as stream:
        assert stream.read().startswith(b"%PDF")
    assert seen.token.renewed == 1


@pytest.mark.parametrize(
    "head",
    [
        "References:\r\n <root@x.test>\r\n\t<mid@x.test>\r\n",
        "References: junk <ro\r\n ot@x.test> <mid@x.test>\r\nIn-Reply-To: <mid@x.test>\r\n",
        "In-Reply-To: <root@x.test>\r\nReferences: \r\n",
        "REFERENCES: root@x.test\r\n",
    ],
)
def test_the_thread_is_found_in_headers_as_they_come(ms: Stand, seen: Seen, head: str) -> None:
    mail = ms.deliver(mime("Re: hello", more=head, message_id="<own@x.test>"))
    assert seen.all()[mail].thread == "<root@x.test>"


def test_broken_mail_does_not_stop_a_page(ms: Stand, seen: Seen) -> None:
    raws = [
        b"",
        b"\r\n\r\n",
        b"Subject: =?utf-8?B?broken\r\nFrom: <<>>\r\nTo: ,;,\r\nDate: never\r\n\r\n\xff\xfe",
        mime("whole"),
    ]
    ids = [ms.deliver(raw) for raw in raws]
    assert set(seen.all()) == set(ids)
    for text in seen.adapter.texts(ids).values():
        assert isinstance(text, MailText)


def test_what_exchange_keeps_of_the_headers_of_sent_mail_gives_the_thread(ms: Stand, seen: Seen) -> None:
    sent = ms.call(
        "POST",
        f"/users/{ADA}/mailFolders/sentitems/messages",
        json={
            "subject": "Re: offer",
            "toRecipients": [{"emailAddress": {"address": "Carl@Customer.example", "name": "Carl"}}],
            "singleValueExtendedProperties": [
                {"id": "Integer 0x0E07", "value": "1"},
                {"id": "String 0x1039", "value": "<root@x.test> <mid@x.test>"},
            ],
        },
        status=201,
    ).json()["id"]
    assert seen.all()[sent].thread == "<root@x.test>"
    assert [one.address for one in seen.mails[sent].to] == ["carl@customer.example"]


# --- the category that shows an error


def test_an_error_is_shown_and_taken_away_and_other_categories_stay(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"), categories=("Blue", "SALESFORCE"))
    before = seen.all()[mail].version
    shown = seen.adapter.mark(mail, add=[ERROR_MARK])
    assert ms.box(lambda box: box.message(mail).categories) == ("Blue", "SALESFORCE", ERROR_MARK)
    assert seen.all()[mail].version == shown != before
    assert seen.adapter.mark(mail, add=[ERROR_MARK]) == shown
    cleared = seen.adapter.mark(mail, take=[ERROR_MARK])
    assert ms.box(lambda box: box.message(mail).categories) == ("Blue", "SALESFORCE")
    assert seen.adapter.mark(mail, take=[ERROR_MARK]) == cleared != shown
    ms.box(lambda box: box.purge(mail))
    with pytest.raises(Gone):
        seen.adapter.mark(mail, add=[ERROR_MARK])


@pytest.mark.parametrize(("times", "is_given_up"), [(1, False), (2, False), (3, True)])
def test_a_change_by_somebody_else_is_read_again_up_to_three_times(
    ms: Stand, seen: Seen, times: int, is_given_up: bool
) -> None:
    mail = ms.deliver(mime("hello"))
    ms.fault("stale", match="PATCH /v1.0/users/{user}/messages/{message}", times=times)
    if is_given_up:
        with pytest.raises(Stale):
            seen.adapter.mark(mail, add=[ERROR_MARK])
    else:
        seen.adapter.mark(mail, add=[ERROR_MARK])
    assert (ERROR_MARK in ms.box(lambda box: box.message(mail).categories)) is not is_given_up


def test_what_somebody_sets_between_reading_and_writing_is_not_overwritten(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"), categories=("Blue",))
    others = [["Blue", "Green"]]

    def meanwhile(vendor: str, name: str, number: int) -> None:
        if name.startswith("PATCH") and others:
            ms.microsoft.mailbox(ADA).set_categories(mail, others.pop())

    ms.world.on_call.append(meanwhile)
    seen.adapter.mark(mail, add=[ERROR_MARK])
    ms.world.on_call.remove(meanwhile)
    assert ms.box(lambda box: box.message(mail).categories) == ("Blue", "Green", ERROR_MARK)


# --- notifications


@pytest.fixture
def push(ms: Stand, seen: Seen) -> GraphPush:
    return GraphPush(seen.http, seen.token, ADA, ms.world.clock, "5f0c8a52-51c7-4a9c-9a2b-0e7d3b1f6c11", "messages")


def test_a_subscription_rings_for_all_mail_with_immutable_ids_and_ends(ms: Stand, push: GraphPush) -> None:
    made = push.subscribe(f"{ms.hooks}/notify", f"{ms.hooks}/lifecycle", "between us")
    assert made.expires - ms.world.clock.now() > timedelta(minutes=10_060)
    assert set(ms.receiver.handshakes) == {"/notify", "/lifecycle"}
    mail = ms.deliver(mime("hello"), folder="archive")
    told = ms.receiver.wait(1)[0]
    assert (told["resourceData"]["id"], told["clientState"]) == (mail, "between us")
    ms.world.clock.advance(3600)
    assert push.renew(made.id).expires > made.expires
    push.unsubscribe(made.id)
    push.unsubscribe(made.id)
    with pytest.raises(Gone):
        push.renew(made.id)


def test_a_subscription_like_it_is_replaced(ms: Stand, push: GraphPush) -> None:
    first = push.subscribe(f"{ms.hooks}/notify", f"{ms.hooks}/lifecycle", "old secret")
    second = push.subscribe(f"{ms.hooks}/notify", f"{ms.hooks}/lifecycle", "new secret")
    assert [one["id"] for one in ms.get("/subscriptions")["value"]] == [second.id] != [first.id]
    ms.deliver(mime("hello"))
    assert ms.receiver.wait(1)[0]["clientState"] == "new secret"


def test_a_handshake_that_fails_is_refused(ms: Stand, push: GraphPush) -> None:
    ms.receiver.echo = False
    with pytest.raises(Refused) as refused:
        push.subscribe(f"{ms.hooks}/notify", f"{ms.hooks}/lifecycle", "s")
    assert refused.value.code == "refused.validationerror"


def test_times_are_utc(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("hello"))
    assert seen.all()[mail].sent == datetime(2026, 11, 3, 8, 30, tzinfo=UTC)
    assert seen.mails[mail].received.tzinfo is UTC
