"""How the mail adapter brings files to the Salesforce stand-in over real TLS, and finds them again."""

from __future__ import annotations

import pytest

from shared.core.errors import (
    NetworkDown,
    Refused,
    SyncError,
    Unavailable,
)
from tests.contract.salesforce_desk import Desk, Source, Token, only, record

pytest_plugins = ("tests.contract.salesforce_fixtures",)


@pytest.mark.parametrize(
    "name",
    ["Offer.PDF", "no extension", "übel \U0001f600 'quoted' \"x\".txt", "a/b\\c.pdf", ".env", "archive.tar.gz", "%22.txt"],
)
def test_an_attached_file_is_found_by_its_name_and_size(desk: Desk, name: str) -> None:
    mail = desk.session()
    saved = only(mail.save([record(1)])).id
    content = b"\x00\r\n--boundary\xff" * 7
    mail.attach([saved], name, "application/pdf", Source(content))
    assert mail.files([saved]) == {saved: [(name, len(content))]}
    [version] = desk.org.query("SELECT Id FROM ContentVersion")
    assert desk.org.call("GET", f"/sobjects/ContentVersion/{version['Id']}/VersionData").content == content


def test_a_file_is_streamed_and_linked_to_every_record_in_two_calls(desk: Desk) -> None:
    mail = desk.ready()
    accounts = [desk.org.make("Account", Name=str(number)) for number in range(3)]
    saved = only(mail.save([record(1)])).id
    desk.org.world.calls.clear()
    content = bytes(range(256)) * 8192
    source = Source(content)
    mail.attach([saved, *accounts, saved], "big.bin", "application/octet-stream", source)
    assert desk.calls() == {"POST sobjects/{object}": 1, "POST composite": 1}
    assert source.largest <= 64 * 1024
    assert mail.files([saved, *accounts]) == {one: [("big.bin", len(content))] for one in (saved, *accounts)}
    assert len(desk.org.query("SELECT Id FROM ContentVersion")) == 1


def test_mails_without_files_have_none(desk: Desk) -> None:
    mail = desk.session()
    saved = only(mail.save([record(1)])).id
    assert mail.files([saved]) == {saved: []}
    assert mail.files([]) == {}


@pytest.mark.parametrize(("said", "error"), [(11, NetworkDown), (9, Refused)])
def test_a_file_of_another_length_than_said_is_not_uploaded(desk: Desk, said: int, error: type[SyncError]) -> None:
    mail = desk.session()
    saved = only(mail.save([record(1)])).id
    with pytest.raises(error):
        mail.attach([saved], "a.txt", "text/plain", Source(b"0123456789", said))
    assert mail.files([saved]) == {saved: []}


def test_an_upload_in_an_ended_session_is_tried_again_by_the_caller(desk: Desk) -> None:
    token = Token(desk.org)
    mail = desk.session(token)
    saved = only(mail.save([record(1)])).id
    desk.org.org.sessions.end(desk.org.token)
    with pytest.raises(Unavailable):
        mail.attach([saved], "a.txt", "text/plain", Source(b"abc"))
    mail.attach([saved], "a.txt", "text/plain", Source(b"abc"))
    assert mail.files([saved]) == {saved: [("a.txt", 3)]}
    assert token.renewed == 1
