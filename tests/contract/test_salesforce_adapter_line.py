"""The adapter's line to the Salesforce stand-in over real TLS, and what it keeps in the org's partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.core.errors import (
    BudgetSpent,
    ConsentNeeded,
    ItemError,
    NetworkDown,
    OrgApiDisabled,
    Refused,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.core.match import Links
from shared.crm.schema import Schema
from shared.ports import MailCrm, Question, SavedMail
from tests.contract.salesforce_desk import CAT, Desk, Source, Token, fault, only, record
from tests.contract.salesforce_world import ANNA, CLIENT

pytest_plugins = ("tests.contract.salesforce_fixtures",)


def test_an_ended_session_is_renewed_once(desk: Desk) -> None:
    token = Token(desk.org, "00D000000000001!ended")
    assert only(desk.session(token).save([record(1)])).complete
    assert token.renewed == 1


def test_a_session_that_stays_refused_needs_consent(desk: Desk) -> None:
    token = Token(desk.org, "00D000000000001!ended", consent=False)
    with pytest.raises(ConsentNeeded):
        desk.session(token).match(Question((CAT,)))
    assert token.renewed == 1


def error_body(code: str, message: str = "secret words") -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message}]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, error_body("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), BudgetSpent),
        (403, error_body("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."), Throttled),
        (403, error_body("API_DISABLED_FOR_ORG"), OrgApiDisabled),
        (403, error_body("API_CURRENTLY_DISABLED"), OrgApiDisabled),
        (400, error_body("STORAGE_LIMIT_EXCEEDED"), BudgetSpent),
        (503, error_body("SERVER_UNAVAILABLE"), Unavailable),
        (500, error_body("UNKNOWN_EXCEPTION"), Unavailable),
        (502, "<html>secret words</html>", Unavailable),
        (302, "", Unavailable),
        (200, "<html>secret words</html>", Unavailable),
        (400, error_body("MALFORMED_QUERY"), Refused),
        (400, error_body("secret words"), Refused),
    ],
)
def test_errors_are_ours_and_carry_no_word_of_the_vendor(desk: Desk, status: int, body: Any, error: type[SyncError]) -> None:
    mail = desk.ready()
    fault(desk.org, "status", "POST", status=status, body=body)
    with pytest.raises(error) as raised:
        mail.match(Question((CAT,)))
    assert "secret" not in repr(raised.value) + str(vars(raised.value))
    assert raised.value.__cause__ is None and (raised.value.__suppress_context__ or raised.value.__context__ is None)


def test_a_token_does_not_follow_a_redirect(desk: Desk) -> None:
    mail = desk.ready()
    desk.org.world.calls.http.clear()
    fault(desk.org, "status", "POST", status=302, headers={"Location": f"{desk.org.org.base_url}/services/data"})
    with pytest.raises(Unavailable):
        mail.match(Question((CAT,)))
    assert desk.org.world.calls.http["salesforce"] == 1


@pytest.mark.parametrize("act", ["match", "save", "files", "attach"])
def test_a_cut_line_is_no_answer(desk: Desk, act: str) -> None:
    mail = desk.ready()
    saved = only(mail.save([record(1)])).id
    fault(desk.org, "drop_before")
    acts: dict[str, Callable[[], object]] = {
        "match": lambda: mail.match(Question((CAT,))),
        "save": lambda: mail.save([record(2)]),
        "files": lambda: mail.files([saved]),
        "attach": lambda: mail.attach([saved], "a.txt", "text/plain", Source(b"abc")),
    }
    with pytest.raises(NetworkDown):
        acts[act]()


def test_an_older_org_is_spoken_to_in_its_own_version(desk: Desk) -> None:
    heard: list[str] = []
    desk.http.hooks["response"].append(lambda answer, *_, **__: heard.append(answer.request.path_url))
    desk.org.world.switches["salesforce.newest_version"] = "64.0"
    from shared.crm import salesforce_client

    salesforce_client._versions.pop(desk.org.org.base_url, None)
    try:
        desk.session().match(Question((CAT,)))
    finally:
        salesforce_client._versions.pop(desk.org.org.base_url, None)
    assert (
        heard[0] == "/services/data" and len(heard) == 3 and all(path.startswith("/services/data/v64.0/") for path in heard[1:])
    )


def test_every_call_names_its_session(desk: Desk) -> None:
    named: list[Any] = []
    desk.http.hooks["response"].append(lambda answer, *_, **__: named.append(answer.request.headers["Sforce-Call-Options"]))
    desk.session().save([record(1)])
    assert len(named) >= 2
    assert set(named) == {"client=mailspan/s-1"}


# --- schema and budget in the org's partition


def test_the_org_is_described_once_for_every_session_and_instance(desk: Desk) -> None:
    desk.session().match(Question((CAT,)))
    assert desk.calls() == {"POST composite": 2}  # describe, match
    other = Desk(desk.org)
    other.store, other.place = desk.store, desk.place
    other.schema = Schema(other.store, other.place, desk.org.world.clock)
    desk.org.world.calls.clear()
    other.session().match(Question((CAT,)))
    assert desk.calls() == {"POST composite": 1}


def test_an_old_description_is_used_and_then_asked_for_anew(desk: Desk) -> None:
    desk.session().match(Question((CAT,)))
    desk.org.org.records.schema.add_field("Contact", {"name": "Second_Email__c", "type": "email", "length": 80})
    cat = desk.org.make("Contact", LastName="Customer", Second_Email__c=CAT)
    desk.org.world.clock.advance(4 * 3600 + 1)
    token = Token(desk.org, desk.org.org.issue_token(ANNA, CLIENT)["access_token"])
    desk.org.world.calls.clear()
    mail = desk.session(token)
    assert mail.match(Question((CAT,), opportunities=False)).people == ()
    assert desk.calls() == {"POST composite": 2}
    assert [one.id for one in mail.match(Question((CAT,), opportunities=False)).people] == [cat]
    assert desk.calls() == {"POST composite": 3}


def test_an_unchanged_description_is_not_sent_again_and_stays_in_use(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    desk.org.world.calls.clear()
    answered: list[int] = []
    for _ in range(3):
        token = Token(desk.org, desk.org.org.issue_token(ANNA, CLIENT)["access_token"])
        mail = desk.session(token)
        desk.http.hooks["response"].append(lambda answer, *_, **__: answered.append(len(answer.content)))
        assert [one.id for one in mail.match(Question((CAT,), opportunities=False)).people] == [cat]
        desk.http.hooks["response"].clear()
        mail.match(Question((CAT,), opportunities=False))
        desk.org.world.clock.advance(4 * 3600 + 1)
    assert desk.calls() == {"POST composite": 1 + 2 * 3 + 2}  # described, matched, and asked anew in the later two
    assert answered[-1] < 2000 < answered[0]  # 304 for every object; the whole of every object


def test_an_old_description_stays_in_use_where_a_new_one_is_not_to_be_had(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    desk.session().match(Question((CAT,)))
    desk.org.world.clock.advance(4 * 3600 + 1)
    token = Token(desk.org, desk.org.org.issue_token(ANNA, CLIENT)["access_token"])
    fault(desk.org, "status", "POST", status=503, body=error_body("SERVER_UNAVAILABLE"), after=1)
    found = desk.session(token).match(Question((CAT,), opportunities=False))
    assert [one.id for one in found.people] == [cat]
    assert desk.org.world.rules[0].times == 0, "the fault met the new description"


def test_a_field_this_user_may_not_see_is_left_out_after_one_refusal(desk: Desk) -> None:
    schema = desk.org.org.records.schema
    schema.add_field("Contact", {"name": "Hidden_Email__c", "type": "email", "length": 80})
    desk.ready()
    owner = schema.find("Contact")
    assert owner is not None
    del owner.fields["hidden_email__c"]
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    assert [one.id for one in desk.session().match(Question((CAT,), opportunities=False)).people] == [cat]
    desk.org.world.calls.clear()
    desk.session().match(Question((CAT,), opportunities=False))
    assert desk.calls() == {"POST composite": 1}


def test_a_full_budget_stops_background_work_before_its_first_call(desk: Desk) -> None:
    desk.org.org.settings.api_limit = 1000
    desk.org.org.settings.api_used_before = 900
    with pytest.raises(BudgetSpent):
        desk.session().save([record(1)])  # its first call says how full it is, and it stops there
    desk.org.world.calls.clear()
    with pytest.raises(BudgetSpent):
        desk.session().match(Question((CAT,)))
    assert desk.calls() == {}
    assert only(desk.session(by_person=True).save([record(2)])).complete


def test_rows_hold_nothing_of_people_or_mails(desk: Desk) -> None:
    cat = desk.org.make("Contact", LastName="Customer", Email=CAT)
    mail = desk.session()
    mail.match(Question((CAT,), ("12345",), (record().identifier,)))
    mail.save([record(links=Links(((cat, "FromAddress", CAT),)))])
    kept = " ".join(f"{one.key} {dict(one.value)}" for one in desk.store.scan(desk.place))
    assert "schema_Contact" in kept and "budget" in kept
    assert not [word for word in ("example.org", "Offer", "Customer", desk.org.anna, cat) if word in kept]


def test_the_adapter_is_the_ports_mail_crm(desk: Desk) -> None:
    adapter: MailCrm = desk.session()
    answers: list[SavedMail | ItemError] = list(adapter.save([]))
    assert answers == [] and desk.org.world.calls.http["salesforce"] == 0
