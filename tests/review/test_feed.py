from __future__ import annotations

import pytest

from shared.crm import salesforce_feed
from tests.review.test_stage import diary
from tests.system.conftest import *  # noqa: F403
from tests.system.stage import Stage, mail


def test_an_org_that_has_no_events_is_polled_for_mail_all_the_same(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed's first rule: a kind that this org or user has not got has no changes."""
    diary(stage, "ann")
    unknown = "SELECT Id, SystemModstamp, IsDeleted, OwnerId FROM NoSuchThing WHERE SystemModstamp >= {since}"
    monkeypatch.setitem(salesforce_feed.STATEMENTS, "event", (unknown, unknown))  # type: ignore[arg-type]
    stage.wire._understood.clear()
    stage.wire.poll()
    stage.wire.poll()  # IndexError


def test_a_user_who_may_not_see_events_keeps_the_mail_going(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.core.errors import Refused
    from shared.crm.salesforce_events import SalesforceEvents

    ann = diary(stage, "ann")

    def refused(*_: object) -> None:
        raise Refused("refused.invalid_type")

    monkeypatch.setattr(SalesforceEvents, "_org", refused)
    ann.make("Talk", marked=True)
    stage.deliver("ann", mail(1, at=stage.clock.now()))
    assert stage.session("ann").result == "ok"
