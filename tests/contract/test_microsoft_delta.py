"""Delta queries of the Microsoft world: rounds, removals, dead cursors, and that idle rounds cost nothing."""

from __future__ import annotations

import cProfile
import pstats
import random
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.microsoft_world import ADA, IMMUTABLE, Stand, at, mime

pytest_plugins = ("tests.contract.microsoft_fixtures",)
ME = f"/users/{ADA}"
INBOX = f"{ME}/mailFolders/inbox/messages/delta"
SELECT = (
    "$select=id,internetMessageId,subject,from,sender,toRecipients,ccRecipients,bccRecipients,categories,receivedDateTime,"
    "sentDateTime,isDraft,hasAttachments,parentFolderId,lastModifiedDateTime,internetMessageHeaders"
)
LARGE = f"{IMMUTABLE}, odata.maxpagesize=50"


def test_a_first_round_hands_out_all_in_pages_newest_first(ms: Stand) -> None:
    sent = [ms.deliver(mime(f"Mail {n}"), received=at("2026-11-01T08:00:00Z") + timedelta(hours=n)) for n in range(23)]
    first = ms.get(f"{INBOX}?{SELECT}")
    assert len(first["value"]) == 10 and "@odata.deltaLink" not in first
    items, link = ms.round(f"{INBOX}?{SELECT}")
    assert [one["id"] for one in items] == sent[::-1]
    assert ms.round(link)[0] == []
    assert len(ms.get(f"{INBOX}?{SELECT}", prefer=LARGE)["value"]) == 23


def test_what_was_asked_for_is_carried_by_the_links(ms: Stand) -> None:
    for n in range(12):
        ms.deliver(mime(f"Mail {n}"))
    page = ms.get(f"{INBOX}?$select=subject")
    assert "$select" not in page["@odata.nextLink"]
    assert all(set(one) == {"@odata.etag", "id", "subject"} for one in ms.get(page["@odata.nextLink"])["value"])


def test_a_later_round_hands_out_what_is_new_or_changed_once(ms: Stand) -> None:
    one, two = ms.deliver(mime("One")), ms.deliver(mime("Two"))
    link = ms.round(f"{INBOX}?{SELECT}")[1]
    ms.box(lambda box: box.set_categories(one, ["Red"]))
    ms.box(lambda box: box.set_categories(one, ["Red", "Salesforce"]))
    three = ms.deliver(mime("Three"))
    items, link = ms.round(link)
    assert [(item["id"], item["categories"]) for item in items] == [(one, ["Red", "Salesforce"]), (three, [])]
    assert two not in [item["id"] for item in items] and ms.round(link)[0] == []


def test_nothing_is_lost_that_changes_while_a_round_runs(ms: Stand) -> None:
    sent = [ms.deliver(mime(f"Mail {n}"), received=at("2026-11-01T08:00:00Z") + timedelta(hours=n)) for n in range(25)]
    page = ms.get(f"{INBOX}?$select=subject,isRead")
    new = ms.deliver(mime("New"), received=at("2026-11-20T08:00:00Z"))
    ms.box(lambda box: box.set_read(sent[24]))
    ms.box(lambda box: box.move(sent[0], "archive"))
    rest, link = ms.round(page["@odata.nextLink"])
    later, _ = ms.round(link)
    seen = {one["id"]: one for one in page["value"] + rest + later}
    assert set(sent) | {new} == set(seen)
    assert seen[sent[24]]["isRead"] is True and "@removed" in seen[sent[0]]


def test_a_round_of_folders_survives_a_removal_between_its_pages(ms: Stand) -> None:
    made = [ms.box(lambda box, n=n: box.make_folder(f"Folder {n}")) for n in range(12)]  # type: ignore[misc]
    ms.box(lambda box: box.delete_folder(made[0]))
    page = ms.get(f"{ME}/mailFolders/delta")
    ms.box(lambda box: box.delete_folder(made[0]))
    rest, link = ms.round(page["@odata.nextLink"])
    assert set(made[1:]) <= {one["id"] for one in page["value"] + rest}
    assert [one for one in ms.round(link)[0] if "@removed" in one] == [{"id": made[0], "@removed": {"reason": "deleted"}}]


def test_a_move_is_a_removal_here_and_an_arrival_there_under_one_id(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    here = ms.round(f"{INBOX}?$select=subject")[1]
    there = ms.round(f"{ME}/mailFolders/archive/messages/delta?$select=subject")[1]
    ms.box(lambda box: box.move(one, "archive"))
    assert ms.round(here)[0] == [{"id": one, "@removed": {"reason": "changed"}}]
    assert [item["id"] for item in ms.round(there)[0]] == [one]


@pytest.mark.parametrize(("switch", "reason"), [("by_kind", "changed"), ("deleted", "deleted")])
def test_the_reason_of_a_move_is_unsure(ms: Stand, switch: str, reason: str) -> None:
    ms.world.switches["microsoft.removed_reason"] = switch
    one = ms.deliver(mime("Hi"))
    link = ms.round(f"{INBOX}?$select=subject")[1]
    ms.box(lambda box: box.move(one, "archive"))
    assert ms.round(link)[0] == [{"id": one, "@removed": {"reason": reason}}]


def test_what_is_deleted_for_good_is_removed_as_deleted(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    rest = ms.get(f"{ME}/messages/{one}", prefer="")["id"]
    link = ms.round(f"{INBOX}?$select=subject")[1]
    ms.box(lambda box: box.purge(one))
    assert ms.round(link)[0] == [{"id": one, "@removed": {"reason": "deleted"}}]
    assert ms.round(link, prefer="")[0] == [{"id": rest, "@removed": {"reason": "deleted"}}]


def test_a_window_of_time_is_the_only_filter(ms: Stand) -> None:
    ms.deliver(mime("Old"), received=at("2026-10-01T08:00:00Z"))
    new = ms.deliver(mime("New"), received=at("2026-11-01T08:00:00Z"))
    items, link = ms.round(f"{INBOX}?{SELECT}&$filter=receivedDateTime ge 2026-11-01T08:00:00Z")
    assert [one["id"] for one in items] == [new]
    ms.deliver(mime("Late"), received=at("2026-10-02T08:00:00Z"))
    assert ms.round(link)[0] == []
    for wrong in ("$filter=isRead eq false", "$orderby=subject", "$search=%22x%22"):
        assert ms.code(ms.call("GET", f"{INBOX}?{wrong}", status=400)) == "ErrorInvalidUrlQuery"


def test_only_the_kinds_of_change_asked_for_are_handed_out(ms: Stand) -> None:
    one, two = ms.deliver(mime("One")), ms.deliver(mime("Two"))
    link = ms.round(f"{INBOX}?$select=subject&changeType=created")[1]
    ms.box(lambda box: box.set_read(one))
    ms.box(lambda box: box.purge(two))
    three = ms.deliver(mime("Three"))
    assert [item["id"] for item in ms.round(link)[0]] == [three]


def test_a_full_folder_stops_a_filtered_round_at_5000(ms: Stand) -> None:
    def fill(box: Any) -> None:
        for n in range(5005):
            box.deliver(b"Subject: %d\r\n\r\n" % n)

    ms.box(fill)
    asked = f"{INBOX}?$select=subject&$filter=receivedDateTime ge 2020-01-01T00:00:00Z"
    assert len(ms.round(asked, prefer="odata.maxpagesize=1000")[0]) == 5000
    assert len(ms.round(f"{INBOX}?$select=subject", prefer="odata.maxpagesize=1000")[0]) == 5005


def test_a_dead_link_is_gone_and_says_where_to_start_over(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    link = ms.round(f"{INBOX}?$select=subject")[1]
    ms.fault("delta_gone", match="messages/delta")
    gone = ms.call("GET", link, status=410)
    assert ms.code(gone) == "resyncRequired"
    assert [item["id"] for item in ms.round(gone.headers["location"])[0]] == [one]
    assert ms.round(link)[0] == []


@pytest.mark.parametrize("status", [None, 400, 410])
def test_a_lost_sync_state_is_told_by_its_code_whatever_the_status(ms: Stand, status: int | None) -> None:
    link = ms.round(f"{INBOX}?$select=subject")[1]
    ms.fault("sync_state_not_found", detail=status)
    assert ms.code(ms.call("GET", link, status=status or 404)) == "SyncStateNotFound"


@pytest.mark.parametrize(("death", "status"), [("410", 410), ("syncStateNotFound", 404)])
def test_a_link_dies_of_age(ms: Stand, death: str, status: int) -> None:
    ms.world.switches |= {"microsoft.delta_life_s": 600, "microsoft.delta_death": death}
    link = ms.round(f"{INBOX}?$select=subject")[1]
    for _ in range(2):
        ms.world.clock.advance(500)
        link = ms.round(link)[1]
    ms.world.clock.advance(601)
    assert ms.call("GET", link, status=status).status_code == status


def test_a_token_that_was_tampered_with_or_belongs_elsewhere_is_refused(ms: Stand) -> None:
    link = ms.round(f"{INBOX}?$select=subject")[1]
    assert ms.code(ms.call("GET", link[:-3] + "AAA", status=400)) == "SyncStateInvalid"
    assert ms.code(ms.call("GET", link.replace("/inbox/", "/archive/"), status=400)) == "SyncStateInvalid"


def test_links_are_followed_inside_a_batch_and_with_either_form_of_id(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    link = ms.round(f"{INBOX}?$select=subject")[1]
    ms.box(lambda box: box.set_read(one))
    relative = link.removeprefix(f"{ms.url}/v1.0")
    parts = ms.batch({"url": relative, "headers": {"Prefer": IMMUTABLE}}, {"url": relative})
    assert parts["1"]["body"]["value"][0]["id"] == one
    assert parts["2"]["body"]["value"][0]["id"] == ms.get(f"{ME}/messages/{one}", prefer="")["id"]


def test_folders_are_one_flat_list_and_hidden_ones_are_left_out(ms: Stand) -> None:
    deep = ms.box(lambda box: box.make_folder("Customers/Nord"))
    items, link = ms.round(f"{ME}/mailFolders/delta?$select=displayName,parentFolderId")
    names = {one["displayName"]: one for one in items}
    assert {"Inbox", "Sent Items", "Customers", "Nord"} <= set(names) and "Sync Issues" not in names
    assert names["Nord"]["id"] == deep and names["Nord"]["parentFolderId"] == names["Customers"]["id"]
    ms.box(lambda box: box.rename_folder(deep, "Süd"))
    ms.box(lambda box: box.move_folder(deep, "inbox"))
    assert ms.round(link)[0] == [{"id": deep, "displayName": "Süd", "parentFolderId": names["Inbox"]["id"]}]


class Replica:
    """A client that keeps a copy of some folders by their delta links alone: {folder: {id: etag}}."""

    def __init__(self, ms: Stand, folders: list[str], chance: random.Random) -> None:
        self.ms, self.chance = ms, chance
        self.held: dict[str, dict[str, str]] = {folder: {} for folder in folders}
        self.links = {folder: f"{ME}/mailFolders/{folder}/messages/delta?$select=id" for folder in folders}

    def page(self, folder: str) -> bool:
        """Takes one page; True where it ended a round."""
        prefer = f"{IMMUTABLE}, odata.maxpagesize={self.chance.randint(1, 4)}"
        page = self.ms.get(self.links[folder], prefer=prefer)
        for item in page["value"]:
            if "@removed" in item:
                self.held[folder].pop(item["id"], None)
            else:
                self.held[folder][item["id"]] = item["@odata.etag"]
        self.links[folder] = page.get("@odata.nextLink") or page["@odata.deltaLink"]
        return "@odata.deltaLink" in page


def disturb(box: Any, folders: list[str], chance: random.Random) -> None:
    """One thing that happens in a mailbox."""
    known = [message.id for folder in folders for message in box.messages(folder)]
    if not known or chance.random() < 0.4:
        day = timedelta(days=chance.randint(0, 5))
        box.deliver(mime("Mail"), folder=chance.choice(folders), received=at("2026-11-01T08:00:00Z") + day)
        return
    one = chance.choice(known)
    chance.choice(
        [
            lambda: box.move(one, chance.choice(folders)),
            lambda: box.set_categories(one, [f"c{chance.random()}"]),
            lambda: box.delete(one),
            lambda: box.purge(one),
        ]
    )()


@pytest.mark.parametrize("seed", range(10))
def test_a_client_that_follows_the_links_holds_what_the_folders_hold(ms: Stand, seed: int) -> None:
    chance = random.Random(seed)
    folders = ["inbox", "archive", ms.box(lambda box: box.make_folder("Customers"))]
    replica = Replica(ms, folders, chance)
    for _ in range(50):
        ms.box(lambda box: disturb(box, folders, chance))
        replica.page(chance.choice(folders))
    for folder in folders * 2:  # the first may end a round that began before the last change
        while not replica.page(folder):
            pass
    for folder in folders:
        shown = ms.value(f"{ME}/mailFolders/{folder}/messages?$select=id&$top=100")
        assert replica.held[folder] == {one["id"]: one["@odata.etag"] for one in shown}


def steps_of_an_idle_round(ms: Stand, link: str) -> int:
    """How many Python functions a Graph call enters for a round without changes."""

    def profiled() -> int:
        profile = cProfile.Profile()
        work = ms.microsoft.run_part("GET", link, {"authorization": f"Bearer {ms.token}"}, b"")
        answer: Any = None
        profile.enable()
        try:
            work.send(None)
        except StopIteration as end:
            answer = end.value
        profile.disable()
        assert answer.status == 200 and answer.body["value"] == []
        calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
        return calls

    return ms.do(profiled)


@pytest.mark.parametrize("path", ["mailFolders/delta", "mailFolders/inbox/messages/delta"])
def test_an_idle_round_costs_the_same_in_a_large_mailbox(ms: Stand, path: str) -> None:
    def idle() -> int:
        link = ms.round(f"{ME}/{path}?$select=id", prefer="odata.maxpagesize=1000")[1].removeprefix(f"{ms.url}/v1.0")
        steps_of_an_idle_round(ms, link)  # what is made once is made now
        return steps_of_an_idle_round(ms, link)

    def grow(box: Any) -> None:
        for n in range(300):
            box.make_folder(f"Folder {n}")
        for _ in range(1000):
            box.deliver(b"Subject: x\r\n\r\n")

    small = idle()
    ms.box(grow)
    assert idle() <= small + 40  # a binary search, not a walk
