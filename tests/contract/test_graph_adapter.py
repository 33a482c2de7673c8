"""The Graph adapter against the Microsoft stand-in, over https: what a pull sees, and what it makes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.microsoft import Mailbox
from shared.core.errors import (
    ConsentNeeded,
    NetworkDown,
    SyncError,
    Throttled,
)
from shared.core.scope import ERROR_MARK, FOLDER, MARK, UNSYNC
from shared.mailbox.graph_make import CATEGORIES
from tests.contract.graph_seen import FOLDER_DELTA, Seen, old, subjects
from tests.contract.microsoft_world import ADA, Stand, mime

pytest_plugins = ["tests.contract.microsoft_fixtures", "tests.contract.graph_fixtures"]


# --- the first pull


def test_the_first_pull_sees_inbox_and_sent_of_the_look_back_and_makes_what_marks(ms: Stand, seen: Seen) -> None:
    new = ms.deliver(mime("new"))
    sent = ms.box(lambda box: box.send(mime("sent")))
    ms.deliver(mime("too old"), received=old(ms))
    ms.deliver(mime("elsewhere"), folder="archive")
    mails = seen.all()
    assert {mail.id: mail.role for mail in mails.values()} == {new: "inbox", sent: "sentitems"}
    assert ms.box(lambda box: [f.name for f in box.folders()]).count(FOLDER) == 1
    assert ms.box(lambda box: {c["displayName"] for c in box.categories.values()}) == set(CATEGORIES)


def test_a_first_pull_of_a_prepared_mailbox_is_one_request_and_the_next_round_is_idle(ms: Stand, seen: Seen) -> None:
    ms.box(lambda box: box.make_folder(FOLDER))
    for name in CATEGORIES:
        ms.call("POST", f"/users/{ADA}/outlook/masterCategories", json={"displayName": name, "color": "preset1"}, status=201)
    ms.deliver(mime("hello"))
    ms.world.calls.clear()
    assert [mail.subject for mail in seen.pull().mails] == ["hello"]
    assert seen.http_calls() == 1
    assert seen.pull().more is False


def test_cursors_hold_nothing_of_the_content(ms: Stand, seen: Seen) -> None:
    ms.deliver(mime("Secret plan", text="Burn it"), folder=ms.box(lambda box: box.make_folder(f"{FOLDER}/Project Falcon")))
    seen.all()
    kept = json.dumps(seen.cursors)
    for word in ("Secret", "Burn", "Falcon", FOLDER, "carl", "customer.example"):
        assert word not in kept


def test_a_page_is_200_mails_and_what_waits_is_said(ms: Stand, seen: Seen) -> None:
    ms.box(lambda box: [box.deliver(mime(f"n{n}")) for n in range(450)])
    pages = [seen.pull() for _ in range(3)]
    assert [len(page.mails) for page in pages] == [200, 200, 50]
    assert [page.more for page in pages] == [True, True, False]
    assert len(seen.mails) == 450


# --- marks


@pytest.mark.parametrize("combined", [True, False], ids=["combined filter", "search folder"])
def test_a_mark_is_seen_wherever_it_is_set_and_however_old_the_mail(ms: Stand, seen: Seen, combined: bool) -> None:
    ms.world.switches["microsoft.category_filter"] = combined
    deep = ms.box(lambda box: box.make_folder("Customers/2019/March"))
    first = ms.deliver(mime("marked before"), folder=deep, received=old(ms), categories=("salesforce",))
    later = ms.deliver(mime("marked later"), folder=deep, received=old(ms))
    never = ms.deliver(mime("never marked"), folder=deep, received=old(ms))
    assert seen.all()[first].categories == (MARK,)
    assert set(seen.mails) == {first}
    seen.idle()
    ms.box(lambda box: box.set_categories(later, ["Blue", MARK]))
    assert seen.all()[later].categories == ("Blue", MARK)
    assert (seen.mails[later].role, seen.mails[later].marked_folder) == ("", False)
    seen.idle()
    ms.box(lambda box: box.set_categories(first, [MARK, UNSYNC]))
    assert seen.all()[first].categories == (MARK, UNSYNC)
    seen.idle()
    ms.box(lambda box: box.set_categories(first, [UNSYNC]))
    assert seen.all()[first].categories == (UNSYNC,)
    assert never not in seen.mails


def test_the_search_folders_are_made_once_and_again_when_they_are_deleted(ms: Stand, seen: Seen) -> None:
    ms.world.switches["microsoft.category_filter"] = False

    def names() -> list[str]:
        return ms.box(lambda box: sorted(f.name for f in box.folder_tree if f.search))

    seen.idle()
    assert names() == ["Mailspan Salesforce", "Mailspan Salesforce Unsync"]
    seen.idle()
    ms.box(lambda box: [box.delete_folder(f.id) for f in box.folder_tree if f.search])
    assert names() == []
    ms.deliver(mime("deep"), folder="archive", received=old(ms), categories=(MARK,))
    assert subjects(seen.all()) == {"deep"}
    assert len(names()) == 2
    seen.idle()
    ms.world.calls.clear()
    assert seen.pull().more is False
    assert seen.http_calls() == 1


def test_a_search_folder_that_fills_late_loses_nothing(ms: Stand, seen: Seen) -> None:
    ms.world.switches["microsoft.category_filter"] = False
    seen.idle()
    late = ms.deliver(mime("indexed late"), folder="archive", received=old(ms), categories=(MARK,))
    ms.world.clock.advance(600)
    before = seen.cursors["mark"]
    seen.all()
    assert seen.cursors["mark"] == before
    assert late in seen.mails


def test_a_listing_of_many_marked_mails_misses_none_when_some_lose_the_mark_meanwhile(ms: Stand, seen: Seen) -> None:
    ids = ms.box(
        lambda box: [box.deliver(mime(f"n{n}"), folder="archive", received=old(ms), categories=(MARK,)) for n in range(450)]
    )
    seen.pull()
    first = set(seen.mails)
    unmarked = sorted(first)[:15]
    ms.box(lambda box: [box.set_categories(mail_id, []) for mail_id in unmarked])
    while seen.pull().more:
        pass
    assert set(seen.mails) == set(ids)


def test_mail_in_the_folder_that_marks_and_in_those_below_it_is_marked(ms: Stand, seen: Seen) -> None:
    top = ms.box(lambda box: box.make_folder(FOLDER))
    below = ms.box(lambda box: box.make_folder(f"{FOLDER}/A/B"))
    there = [ms.deliver(mime("top"), folder=top, received=old(ms)), ms.deliver(mime("below"), folder=below, received=old(ms))]
    mails = seen.all()
    assert {mail.id: mail.marked_folder for mail in mails.values()} == dict.fromkeys(there, True)
    seen.idle()
    moved = ms.deliver(mime("moved"))
    seen.idle()
    ms.box(lambda box: box.move(moved, below))
    assert seen.all()[moved].marked_folder is True
    assert seen.mails[moved].role == ""
    assert moved not in seen.gone


def test_folders_made_or_moved_below_the_folder_that_marks_are_read_whole(ms: Stand, seen: Seen) -> None:
    seen.idle()
    inner = ms.box(lambda box: box.make_folder("Old deals/2020/May"))
    mail = ms.deliver(mime("was there"), folder=inner, received=old(ms))
    seen.idle()
    assert mail not in seen.mails
    root = ms.box(lambda box: next(f.id for f in box.folders() if f.name == FOLDER))
    ms.box(lambda box: box.move_folder(box.make_folder("Old deals"), root))
    assert seen.all()[mail].marked_folder is True
    ms.box(lambda box: box.move_folder(box.make_folder(f"{FOLDER}/Old deals"), "msgfolderroot"))
    seen.idle()
    assert [name for name in seen.cursors if name.startswith("marked")] == ["marked"]


def test_more_folders_than_a_batch_holds_take_turns(ms: Stand, seen: Seen) -> None:
    folders = ms.box(lambda box: [box.make_folder(f"{FOLDER}/F{n:02}") for n in range(40)])
    seen.idle()
    ids = [ms.deliver(mime(f"n{n}"), folder=folder, received=old(ms)) for n, folder in enumerate(folders)]
    ms.world.calls.clear()
    assert set(seen.all()) == set(ids)
    assert seen.http_calls() == 3  # 41 streams in turns of 14
    ms.world.calls.clear()
    assert seen.all() == {}
    assert seen.http_calls() == 3


# --- where mail lies


def test_a_moved_mail_leaves_its_stream_and_keeps_its_id(ms: Stand, seen: Seen) -> None:
    mail = ms.deliver(mime("here and there"))
    seen.idle()
    ms.box(lambda box: box.move(mail, "archive"))
    seen.all()
    assert seen.gone == {mail}
    assert seen.mails == {}
    ms.box(lambda box: box.move(mail, "inbox"))
    assert seen.all()[mail].role == "inbox"


@pytest.mark.parametrize("role", ["deleteditems", "junkemail"])
def test_a_folder_below_deleted_items_or_junk_has_that_role(ms: Stand, seen: Seen, role: str) -> None:
    inner = ms.box(lambda box: box.make_folder("Stuff/Inner"))
    mail = ms.deliver(mime("marked"), folder=inner, received=old(ms), categories=(MARK,))
    assert seen.all()[mail].role == ""
    seen.idle()
    ms.box(lambda box: box.move_folder(box.make_folder("Stuff"), role))
    ms.box(lambda box: box.set_read(mail))
    assert seen.all()[mail].role == role


def test_a_draft_lies_in_drafts(ms: Stand, seen: Seen) -> None:
    draft = ms.call("POST", f"/users/{ADA}/messages", json={"subject": "Later", "categories": [MARK]}, status=201).json()["id"]
    assert (seen.all()[draft].role, seen.mails[draft].draft) == ("drafts", True)


def test_a_mail_in_a_folder_the_tree_does_not_show_is_placed_by_asking_once(ms: Stand, seen: Seen) -> None:
    seen.idle()
    hidden = ms.box(lambda box: box.add_folder("Hidden", box.add_folder("Outer", hidden=True), hidden=True))
    mail = ms.deliver(mime("marked"), folder=hidden, received=old(ms), categories=(MARK,))
    assert (seen.all()[mail].role, seen.mails[mail].marked_folder) == ("", False)
    ms.world.calls.clear()
    seen.pull()
    assert seen.http_calls() == 1


def test_a_tree_of_many_pages_is_listed_before_any_mail_is_placed(ms: Stand, seen: Seen) -> None:
    ms.box(lambda box: [box.add_folder(f"F{n}") for n in range(1200)])
    inner = ms.box(lambda box: box.make_folder(f"{FOLDER}/Inner"))
    filed = ms.deliver(mime("in the last folder"), folder=inner, received=old(ms))
    new = ms.deliver(mime("new"))
    page = seen.pull()
    assert (page.mails, page.more) == ((), True)
    assert {mail.id: mail.marked_folder for mail in seen.all().values()} == {filed: True, new: False}


# --- what is missing is made again


def deleted_for_good(ms: Stand) -> None:
    def away(box: Mailbox) -> None:
        folder = next(f.id for f in box.folders() if f.name == FOLDER)
        box.delete_folder(folder)
        box.delete_folder(folder)

    ms.box(away)


def to_deleted_items(ms: Stand) -> None:
    ms.box(lambda box: box.delete_folder(next(f.id for f in box.folders() if f.name == FOLDER)))


@pytest.mark.parametrize("throw", [deleted_for_good, to_deleted_items])
def test_the_folder_that_marks_is_made_again_in_the_same_pull_and_marks(ms: Stand, seen: Seen, throw: Any) -> None:
    seen.idle()
    throw(ms)
    seen.pull()
    tops = ms.box(lambda box: [f for f in box.folder_tree.children(box.folder("msgfolderroot").id) if f.name == FOLDER])
    assert len(tops) == 1
    mail = ms.deliver(mime("again"), folder=tops[0].id, received=old(ms))
    assert seen.all()[mail].marked_folder is True


def test_mail_in_a_folder_that_was_thrown_away_marks_no_more(ms: Stand, seen: Seen) -> None:
    folder = ms.box(lambda box: box.make_folder(FOLDER))
    mail = ms.deliver(mime("thrown away"), folder=folder, received=old(ms), categories=(MARK,))
    seen.idle()
    to_deleted_items(ms)
    ms.box(lambda box: box.set_read(mail))
    assert (seen.all()[mail].role, seen.mails[mail].marked_folder) == ("deleteditems", False)


def test_a_folder_that_went_while_the_cursor_of_the_tree_died_is_made_again(ms: Stand, seen: Seen) -> None:
    seen.idle()
    deleted_for_good(ms)
    ms.fault("delta_gone", match=FOLDER_DELTA)
    seen.all()
    assert seen.restarted == ["folders"]
    assert ms.box(lambda box: [f.name for f in box.folders()]).count(FOLDER) == 1


def test_a_renamed_folder_marks_until_another_one_has_the_name(ms: Stand, seen: Seen) -> None:
    first = ms.box(lambda box: box.make_folder(FOLDER))
    seen.idle()
    ms.box(lambda box: box.rename_folder(first, "CRM"))
    mail = ms.deliver(mime("renamed"), folder=first, received=old(ms))
    assert seen.all()[mail].marked_folder is True
    second = ms.box(lambda box: box.make_folder(FOLDER))
    other = ms.deliver(mime("new folder"), folder=second, received=old(ms))
    late = ms.deliver(mime("old folder"), folder=first, received=old(ms))
    assert seen.all()[other].marked_folder is True
    assert not seen.mails[late].marked_folder
    assert ms.box(lambda box: {f.id for f in box.folders() if f.name in (FOLDER, "CRM")}) == {first, second}


def test_a_folder_of_which_only_the_name_is_told_stays_where_it_is(ms: Stand, seen: Seen) -> None:
    inner = ms.box(lambda box: box.make_folder(f"{FOLDER}/Inner"))
    seen.idle()
    link = json.loads(seen.cursors["folders"])["link"]
    told = {"value": [{"id": inner, "displayName": "Other"}], "@odata.deltaLink": f"{ms.url}/v1.0{link}"}
    ms.fault("status", match=FOLDER_DELTA, status=200, body=told)
    seen.pull()
    mail = ms.deliver(mime("filed"), folder=inner, received=old(ms))
    assert seen.all()[mail].marked_folder is True


@pytest.mark.parametrize(("kind", "error"), [("access_denied", ConsentNeeded), ("throttled", Throttled)])
def test_categories_that_may_not_be_made_are_told(ms: Stand, seen: Seen, kind: str, error: type[SyncError]) -> None:
    ms.fault(kind, match="POST /v1.0/users/{user}/outlook/masterCategories")
    with pytest.raises(error):
        seen.pull()


def test_a_category_that_somebody_made_meanwhile_is_as_good_as_ours(ms: Stand, seen: Seen) -> None:
    conflict = {"error": {"code": "ErrorDuplicateCategory", "message": "-"}}
    ms.fault("status", match="POST /v1.0/users/{user}/outlook/masterCategories", status=409, body=conflict)
    mail = ms.deliver(mime("hello"))
    assert mail in {one.id for one in seen.pull().mails}


def test_categories_that_were_deleted_come_back(ms: Stand, seen: Seen) -> None:
    seen.idle()
    ms.box(lambda box: box.categories.clear())
    ms.box(lambda box: box.categories.update(own={"id": "own", "displayName": "SALESFORCE", "color": "none"}))
    seen.pull()
    assert ms.box(lambda box: sorted(c["displayName"] for c in box.categories.values())) == ["SALESFORCE", UNSYNC, ERROR_MARK]


def test_a_folder_whose_making_was_not_answered_is_not_made_twice(ms: Stand, seen: Seen) -> None:
    ms.fault("drop_after", match="POST /v1.0/users/{user}/mailFolders")
    with pytest.raises(NetworkDown):
        seen.pull()
    seen.all()
    assert ms.box(lambda box: [f.name for f in box.folders()]).count(FOLDER) == 1


def test_a_name_that_is_taken_out_of_sight_does_not_stop_the_mail(ms: Stand, seen: Seen) -> None:
    ms.box(lambda box: box.add_folder(FOLDER, hidden=True))
    mail = ms.deliver(mime("hello"))
    assert seen.all()[mail].role == "inbox"
