"""The whole product at vendors that take as little as they may: the same mails are saved, with the same files and threads, and
an idle session costs the same. Each option by itself is tried in tests/contract/test_*_adapter_unsure.py."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.access.profiles import COMPANY
from tests.system.stage import HOME, Stage, mail

ROOT = "<root@customer.test>"
#: A vendor's most, and its least.
GENEROUS: dict[str, object] = {}
STINGY = {
    "microsoft.delta_expand": "failed",
    "microsoft.delta_headers": "refused",
    "microsoft.folder_delta_select": False,
    "microsoft.folder_delta_page": 0,
    "microsoft.category_filter": False,
    "salesforce.publish_to_mail": False,
    "salesforce.message_identifier_length": 255,
    "salesforce.mail_body_length": 32_000,
    "salesforce.composite_collection_references": False,
}


def customer(stage: Stage) -> None:
    def make() -> None:
        records, admin = stage.salesforce.records, stage.salesforce.admin_id
        records.create("Contact", {"LastName": "Cora", "Email": "cora@customer.test"}, admin)

    stage.do(make)


@pytest.mark.parametrize("switches", [GENEROUS, STINGY], ids=["generous", "stingy"])
def test_what_is_saved_does_not_depend_on_what_vendors_take(stage: Stage, switches: dict[str, object]) -> None:
    stage.world.switches |= switches
    stage.users("ann")
    customer(stage)
    stage.deliver("ann", mail(1, files=("offer.pdf", "notes.txt"), References=f"{ROOT} <second@customer.test>"))
    stage.deliver("ann", mail(2, Sensitivity="Private"))
    stage.deliver("ann", mail(3), folder="archive", received=stage.clock.now() - timedelta(days=200), categories=["Salesforce"])
    stage.sessions("ann")
    stage.advance(3600)
    stage.sessions("ann")
    saved = {row["MessageIdentifier"]: row["ThreadIdentifier"] for row in stage.saved()}
    assert saved == {"<mail-1@customer.test>": ROOT, "<mail-3@customer.test>": "<mail-3@customer.test>"}
    assert sorted(row["PathOnClient"] for row in stage.files()) == ["notes.txt", "offer.pdf"]
    assert sorted(rule for rule in stage.ledger("ann")) == ["saved.auto", "saved.marked", "skipped.private"]
    stage.advance(3600)
    stage.sessions("ann")
    stage.world.calls.clear()
    assert stage.session("ann").found == 0
    assert stage.world.calls.http == {"microsoft": 2}


@pytest.mark.parametrize("days", [30, 300])
def test_a_longer_look_back_set_later_saves_the_older_mail_once(stage: Stage, days: int) -> None:
    stage.users("ann")
    customer(stage)
    stage.deliver("ann", mail(1))
    stage.deliver("ann", mail(2), received=stage.clock.now() - timedelta(days=20))
    stage.deliver("ann", mail(3), received=stage.clock.now() - timedelta(days=200))
    stage.sessions("ann")
    assert [row["MessageIdentifier"] for row in stage.saved()] == ["<mail-1@customer.test>"]
    stage.wire.profiles.save(COMPANY, {"internal_domains": [HOME], "look_back_days": days})
    stage.sessions("ann")
    wanted = [1, 2] if days == 30 else [1, 2, 3]
    assert sorted(row["MessageIdentifier"] for row in stage.saved()) == [f"<mail-{one}@customer.test>" for one in wanted]
    assert stage.session("ann").found == 0
