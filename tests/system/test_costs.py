"""What a session costs at the vendors, counted as the vendors count, and that a second one costs next to nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.session import records
from tests.system.stage import HOME, Stage, mail


def customers(stage: Stage) -> None:
    """Four contacts of one account."""

    def make() -> None:
        records, admin = stage.salesforce.records, stage.salesforce.admin_id
        account = records.create("Account", {"Name": "Customer"}, admin)
        for number in range(4):
            fields = {"LastName": f"C{number}", "Email": f"c{number}@customer.test", "AccountId": account}
            records.create("Contact", fields, admin)

    stage.do(make)


def sender(number: int) -> str:
    return f"C <c{number % 4}@customer.test>"


def http_to(stage: Stage, vendor: str) -> int:
    return stage.world.calls.http[vendor]


def all_rows(stage: Stage, *names: str) -> dict[str, str]:
    """Version of every row of the mailboxes and their org, but for those that every session moves."""
    places = [stage.wire.mailbox_place(stage.key(name)) for name in names]  # type: ignore[arg-type]
    places.append(stage.wire.org_place(stage.salesforce.org_id))
    return {
        f"{place.key}/{row.key}": row.etag
        for place in places
        for row in stage.wire.store.scan(place)
        if not row.key.startswith(records.HEAD[0])
    }


@pytest.mark.parametrize("connection", ["org", "personal"])
@pytest.mark.parametrize("mails", [100, 10_000])
def test_an_idle_session_asks_once_for_mail_and_once_for_events_and_salesforce_nothing(
    stage: Stage, connection: str, mails: int
) -> None:
    stage.users("ann", connection=connection)

    def fill() -> None:
        mailbox = stage.mailbox("ann")
        folders = [mailbox.make_folder(f"Customers/{number % 10}/Year {number // 10}") for number in range(290)]
        long_ago = stage.clock.now() - timedelta(days=30)
        raw = mail(0, sender="stranger@elsewhere.test")
        for number in range(mails):
            own = raw.replace(b"<mail-0@", f"<mail-{number}@".encode())
            mailbox.deliver(own, folder="inbox" if number % 3 else folders[number % 290], received=long_ago)

    stage.do(fill)
    stage.sessions("ann")
    stage.world.calls.clear()
    report = stage.session("ann")
    assert (report.result, report.found) == ("ok", 0)
    print(f"idle, {mails} mails, 300 folders, {connection}: {stage.world.calls.snapshot()}")
    assert http_to(stage, "microsoft") == 2
    assert http_to(stage, "salesforce") == (0 if connection == "org" else 1)


@pytest.mark.parametrize("mailboxes", [1, 12])
def test_an_idle_poll_is_one_call_however_many_mailboxes_there_are(stage: Stage, mailboxes: int) -> None:
    stage.users(*(f"user{number}" for number in range(mailboxes)))
    stage.wire.poll()
    stage.world.calls.clear()
    stage.wire.poll()
    assert stage.world.calls.snapshot() == {"salesforce": {"POST /services/data/{version}/composite": 1}}
    assert stage.bell.rings == []


@pytest.mark.parametrize("connection", ["org", "personal"])
@pytest.mark.parametrize("enhanced", [True, False], ids=["EmailMessage", "Task"])
def test_a_mail_deleted_in_salesforce_loses_its_mark_and_stays_away(stage: Stage, connection: str, enhanced: bool) -> None:
    stage.users("ann", connection=connection)
    customers(stage)
    stage.do(lambda: setattr(stage.salesforce.settings, "enhanced_email", enhanced))
    mail_id = stage.deliver("ann", mail(1, sender=sender(1)), categories=["Salesforce", "Blue"])
    stage.sessions("ann")
    stage.wire.poll()
    records_, kind = stage.salesforce.records, "EmailMessage" if enhanced else "Task"
    (record,) = [row for row in stage.do(lambda: list(records_.store.all(kind))) if not row["IsDeleted"]]
    stage.advance(60)
    stage.do(lambda: records_.delete(kind, record["Id"], stage.salesforce.admin_id))
    stage.advance(30)
    if connection == "org":
        stage.wire.poll()
        assert [ring.mailbox for ring, _ in stage.bell.rings] == [stage.key("ann")]
    for _ in range(3):
        stage.sessions("ann")
    assert stage.do(lambda: stage.mailbox("ann").message(mail_id).categories) == ("Blue",)
    assert stage.ledger("ann") == ["saved.marked", "severed.deleted"]
    assert all(row["IsDeleted"] for row in stage.do(lambda: list(records_.store.all(kind))))


def test_two_hundred_new_marked_mails_cost_at_most_three_hundredths_of_a_call_each(stage: Stage) -> None:
    stage.users("ann")
    customers(stage)
    stage.sessions("ann")
    for number in range(200):
        stage.deliver("ann", mail(number, sender=sender(number), subject=f"case {10_000 + number}"), categories=["Salesforce"])
    stage.world.calls.clear()
    stage.sessions("ann")
    assert len(stage.saved()) == 200
    calls = stage.calls("salesforce")
    print(f"200 mails: {calls} Salesforce calls, {calls / 200:.3f} each, {http_to(stage, 'microsoft')} requests to Graph")
    assert calls / 200 <= 0.03


def test_two_sessions_in_a_row_after_it_write_nothing_anywhere(stage: Stage) -> None:
    stage.users("ann", "bob")
    customers(stage)
    for number in range(30):
        files = ("offer.pdf", "notes.txt")[: number % 3]
        for name in ("ann", "bob") if number % 2 else ("ann",):
            stage.deliver(
                name, mail(number, sender=sender(number), files=files, to=f"ann@{HOME}, bob@{HOME}"), categories=["Salesforce"]
            )
    for name in ("ann", "bob", "ann", "bob"):
        stage.sessions(name)
    before = all_rows(stage, "ann", "bob")
    stage.world.calls.clear()
    for name in ("ann", "bob", "ann", "bob"):
        assert stage.session(name).found == 0
    calls = stage.world.calls.snapshot()
    assert {call for call in calls["microsoft"] if not call.startswith("GET")} == {"POST /v1.0/$batch"}
    assert set(calls) == {"microsoft"}
    assert all_rows(stage, "ann", "bob") == before


def test_an_echo_costs_no_item_and_no_salesforce_call(stage: Stage) -> None:
    """Our own category on a held mail, and a mail that was only read: both come back as changes."""
    stage.users("ann")
    customers(stage)
    stage.deliver("ann", mail(1, sender=sender(1)), categories=["Salesforce"])
    stage.deliver("ann", mail(2, sender="stranger@elsewhere.test"))
    stage.sessions("ann")

    def touch() -> None:
        mailbox = stage.mailbox("ann")
        for message in mailbox.messages():
            mailbox.set_read(message.id)
            mailbox.set_categories(message.id, (*message.categories, "Sync Error"))

    stage.do(touch)
    stage.world.calls.clear()
    assert stage.session("ann").found == 0
    calls = stage.world.calls.snapshot()
    assert "salesforce" not in calls
    assert not any("{message}" in call for call in calls["microsoft"])
