"""The page of the local world in a real browser, against a whole run; each scene is a script in `scenes/`.

What holds for every scene is checked in play.mjs: the console stays silent. What Salesforce, the mailbox and the product hold
afterwards is asked from outside, not read off the page.
"""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Stage

SCENES = {
    "read": "a person finds a mail among 300 folders, reads it and downloads its file",
    "mark": "a mail marked three folders deep becomes a record beside it, with its decision in the ledger",
    "deliver": "a delivered mail with a file arrives, is saved by itself and shows its file in Salesforce",
    "keep": "what a person moves, deletes and unmarks is so in the mailbox and in Salesforce",
    "record": "a record is edited, made and deleted, and a change from elsewhere leaves what is typed alone",
    "calendar": "an event is made, marked, changed on both sides and deleted, and both sides say the same",
    "agenda": "a person sees the weeks, answers an invitation, moves an event and finds a record in the ledger",
    "health": "a person sees how the mailbox stands, pauses, resumes and chooses the other mailbox",
    "stay": "looking again keeps scroll position and typed text, costs no vendor call, and stops while the page is hidden",
    "trouble": "trouble is a sentence with a way to try again",
    "hostile": "nothing of a hostile mail runs, is fetched or leaves its frame",
    "secret": "no token reaches the page, its address or its storage",
    "everyone": "axe finds nothing in any view, light and dark, wide, narrow and enlarged",
    "keys": "everything is reached with the keyboard alone",
}


@pytest.mark.parametrize("scene", SCENES, ids=[sentence.replace(" ", "_") for sentence in SCENES.values()])
def test_on_the_page(stage: Stage, scene: str) -> None:
    stage.play(scene)


# --- the way by which the page reaches the vendors


def _passed(stage: Stage, path: str, user: int = 0) -> str:
    return f"/_pass/{path.replace('MAILBOX', stage.told['users'][user]['mailbox'])}"


def test_every_change_of_a_record_changes_the_mark(stage: Stage) -> None:
    """Two changes within one second carry the same time stamp in Salesforce."""
    mailbox = stage.told["users"][0]["mailbox"]
    base = _passed(stage, "salesforce/MAILBOX/services/data/v65.0/sobjects/Account")
    made = stage.ask(base, "POST", json={"Name": "Marked"}).json()["id"]
    marks = set()
    for n in range(5):
        assert stage.ask(f"{base}/{made}", "PATCH", json={"Site": f"Dock {n}"}).status_code == 204
        marks.add(stage.ask(f"/_page/marks/{mailbox}").json()["records"])
    assert len(marks) == 5
    assert stage.ask(f"{base}/{made}", "DELETE").status_code == 204
    assert stage.ask(f"/_page/marks/{mailbox}").json()["records"] not in marks
    assert stage.ask(f"/_page/marks/{mailbox}").json() | {"now": ""} == stage.ask(f"/_page/marks/{mailbox}").json() | {
        "now": ""
    }


def test_each_user_reaches_the_own_mailbox_org_and_product(stage: Stage) -> None:
    for user, known in enumerate(stage.told["users"]):
        mail = stage.ask(_passed(stage, "microsoft/MAILBOX/v1.0/me", user)).json()["mail"]
        identity = stage.ask(_passed(stage, "salesforce/MAILBOX/services/oauth2/userinfo", user)).json()["user_id"]
        me = stage.ask(_passed(stage, "product/MAILBOX/api/v1/me", user)).json()["address"]
        assert (mail, identity, me) == (known["mailbox"], known["salesforce_user_id"], known["mailbox"])


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Host": "rebound.example"}],
    ids=["another site", "another port of this host", "another name for this machine"],
)
@pytest.mark.parametrize("path", ["product/MAILBOX/api/v1/me/pause", "microsoft/MAILBOX/v1.0/me"])
def test_other_sites_are_refused(stage: Stage, path: str, headers: dict[str, str]) -> None:
    answer = stage.ask(_passed(stage, path), "POST" if path.endswith("pause") else "GET", headers=headers)
    assert answer.status_code == 403
    assert stage.ask(_passed(stage, "product/MAILBOX/api/v1/me")).json()["paused"] is False


@pytest.mark.parametrize("path", ["elsewhere/MAILBOX/x", "microsoft/nobody@harbourline.example/v1.0/me", "product/x"])
def test_nothing_is_passed_on_to_where_nothing_is(stage: Stage, path: str) -> None:
    assert stage.ask(_passed(stage, path)).status_code == 404


@pytest.mark.parametrize("below", ["/evil.example/x", "@evil.example/", "%2f%2fevil.example/", "..%2f..%2fevil.example"])
def test_a_path_cannot_name_another_host(stage: Stage, below: str) -> None:
    """Whatever stands there is a path of the product, which does not have it."""
    assert stage.ask(_passed(stage, f"product/MAILBOX/{below}")).status_code == 404


def test_what_is_passed_on_cannot_run_as_part_of_the_page(stage: Stage) -> None:
    answer = stage.ask(_passed(stage, "microsoft/MAILBOX/v1.0/me"))
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert answer.headers["Content-Disposition"] == "attachment"
    assert "Authorization" not in answer.headers
    assert "Set-Cookie" not in answer.headers


def test_a_refusal_keeps_its_status_for_programs_and_tells_it_to_the_page(stage: Stage) -> None:
    path = _passed(stage, "product/MAILBOX/api/v1/me/ledger/unknown")
    plain, told = stage.ask(path), stage.ask(path, headers={"Mailspan-Told": "1"})
    assert (plain.status_code, told.status_code, told.headers["Mailspan-Status"]) == (404, 200, "404")
    assert plain.json()["code"] == told.json()["code"] == "ledger.unknown"


def test_tokens_that_ran_out_are_renewed(stage: Stage) -> None:
    """The world's clock moves past the life of the product's token; the page does not notice."""
    assert stage.ask(_passed(stage, "product/MAILBOX/api/v1/me")).status_code == 200
    assert stage.ask("/_world/clock", "POST", json={"advance_s": 1000}).status_code == 200
    assert stage.ask(_passed(stage, "product/MAILBOX/api/v1/me")).status_code == 200


@pytest.mark.parametrize("name", ["..%2fpage.py", "..%2frun.py", "%2e%2e/page.py", "unknown.js", "%2e%2e"])
def test_only_the_pages_own_files_are_served(stage: Stage, name: str) -> None:
    assert stage.ask(f"/page/{name}").status_code == 404


def test_the_page_may_load_nothing_from_elsewhere(stage: Stage) -> None:
    answer = stage.ask("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert re.findall(r"""(?:src|href)="(?!/page/|#)([^"]+)""", answer.text) == []
