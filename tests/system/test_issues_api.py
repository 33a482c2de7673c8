"""What is held and what waits, through the real runtime and Azurite: told without content, answered once, acted on by a
ring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.core.model import End, Link
from shared.ports import Insert, Put
from shared.session import links, records
from tests.system.conftest import RunningHost
from tests.system.test_api import Api, Deployment, refusal
from tests.system.test_settings_api import Desk

AGO = "2026-01-05T08:00:00.000000Z"


@pytest.fixture(scope="module")
def deployment(
    start_module_host: Callable[..., RunningHost], azurite: Any, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    return Deployment(start_module_host, azurite, tmp_path_factory.mktemp("deployment"))


@pytest.fixture
def desk(deployment: Deployment) -> Desk:
    return Desk(deployment)


def hold(desk: Api, name: str, **value: Any) -> None:
    desk.store.commit(desk.place, [Put(records.held(name), records.row(**value))])


def value(desk: Api, name: str) -> dict[str, Any]:
    row = desk.store.get(desk.place, records.held(name))
    assert row is not None
    return dict(row.value)


def test_a_mailbox_without_issues_has_none(desk: Desk) -> None:
    assert desk.call("me_issues").json() == {"issues": [], "deletions": []}


def test_issues_say_why_and_what_may_be_answered(desk: Desk) -> None:
    hold(desk, "a", kind="event", code="held.bug", place="map.py:1", since=AGO)
    hold(desk, "b.wait", kind="event", code="held.approval", fields=["subject", "when"], asked={"subject": "x"}, wait_s=None)
    hold(desk, "c", kind="event", code="waiting.organizer", since=AGO, wait_s=900.0)
    found = desk.call("me_issues").json()["issues"]
    assert [(one["issue"], one["code"], one["fields"], one["answers"]) for one in found] == [
        ("a", "held.bug", [], ["retry"]),
        ("b.wait", "held.approval", ["subject", "when"], ["send", "discard"]),
    ]
    assert [one["since"] for one in found] == [AGO, None]
    assert "others would be told" in found[1]["text"]
    assert desk.call("me").json()["issues"] == 2


@pytest.mark.parametrize("said", ["send", "discard"])
def test_an_answer_to_a_change_that_waits_is_written_down_and_rings(desk: Desk, said: str) -> None:
    hold(desk, "b.wait", kind="event", code="held.approval", fields=["subject"], asked={"subject": "x"}, wait_s=None)
    assert refusal(desk.send("me_issues_answer", {"answer": "retry"}, item="b.wait")) == (409, "issue.answer")
    assert desk.rings() == []
    answer = desk.send("me_issues_answer", {"answer": said}, item="b.wait")
    assert (answer.status_code, answer.json()["code"]) == (202, "issue.answered")
    assert value(desk, "b.wait")["answer"] == said
    assert [ring["why"] for ring in desk.rings()] == ["user"]


def test_what_is_held_is_tried_again_at_once(desk: Desk) -> None:
    hold(desk, "a", kind="event", code="held.bug", place="map.py:1", since=AGO)
    hold(desk, "m", kind="mail", id="m1", code="held.bug", fields=[], tries=1, next="2099-01-01T00:00:00.000000Z", since=AGO)
    for name in ("a", "m"):
        assert desk.send("me_issues_answer", {"answer": "retry"}, item=name).status_code == 202
    assert value(desk, "a")["wait_s"] == 0
    assert value(desk, "m")["next"] <= records.text_of(desk.clock.now())
    assert refusal(desk.send("me_issues_answer", {"answer": "send"}, item="a")) == (409, "issue.answer")


def test_answers_that_make_no_sense_are_refused(desk: Desk) -> None:
    assert refusal(desk.send("me_issues_answer", {"answer": "retry"}, item="nothing")) == (404, "issue.unknown")
    assert refusal(desk.send("me_issues_answer", {"answer": "burn"}, item="nothing")) == (400, "request.body")
    assert refusal(desk.send("me_issues_answer", {}, item="nothing")) == (400, "request.body")
    assert refusal(desk.send("me_deletions_confirm", {"kind": "event", "side": "left"})) == (400, "request.body")
    assert desk.rings() == []


def test_deletions_that_were_stopped_are_counted_and_let_go(desk: Desk) -> None:
    assert refusal(desk.send("me_deletions_confirm", {"kind": "event", "side": "crm"})) == (409, "deletions.none")
    for n in range(3):
        link = Link(f"key{n}", "event", mail=End(f"m{n}"), crm=End(f"c{n}"), gone="crm", rule="held.deletes")
        desk.store.commit(desk.place, links.writes(link))
    assert desk.call("me_issues").json()["deletions"] == [{"kind": "event", "side": "crm", "count": 3}]
    answer = desk.send("me_deletions_confirm", {"kind": "event", "side": "crm"})
    assert (answer.status_code, answer.json()["code"]) == (202, "deletions.confirmed")
    assert desk.store.get(desk.place, "confirm_crm_event") is not None
    assert [ring["why"] for ring in desk.rings()] == ["user"]


def test_another_mailboxs_issue_is_unknown(deployment: Deployment, desk: Desk) -> None:
    other = Desk(deployment)
    other.store.commit(other.place, [Insert(records.held("a"), records.row(kind="event", code="held.bug", since=AGO))])
    assert refusal(desk.send("me_issues_answer", {"answer": "retry"}, item="a")) == (404, "issue.unknown")
