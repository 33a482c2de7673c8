"""Subscriptions and notifications of the Microsoft world, sent over verified https to a receiver."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest

from tests.contract.microsoft_world import ADA, BO, CLIENT, TENANT, Json, Stand, mime

pytest_plugins = ("tests.contract.microsoft_fixtures",)
ME = f"/users/{ADA}"


def kinds(notifications: list[Json]) -> list[tuple[str, str]]:
    return [(one["changeType"], one["resourceData"]["id"]) for one in notifications]


def test_a_subscription_is_made_after_both_addresses_answered(ms: Stand) -> None:
    made = ms.subscribe(f"{ME}/messages")
    assert ms.receiver.handshakes == ["/notify", "/lifecycle"]
    assert (made["clientState"], made["changeType"]) == ("between us", "created,updated,deleted")
    assert [one["id"] for one in ms.value("/subscriptions")] == [made["id"]]
    shown = ms.get(f"/subscriptions/{made['id']}")
    assert (shown["resource"], shown["clientState"]) == (f"{ME}/messages", None)


def test_an_address_that_does_not_answer_the_handshake_gets_none(ms: Stand) -> None:
    ms.receiver.echo = False
    answer = ms.subscribe(f"{ME}/messages", status=400)
    assert answer["error"]["code"] == "ValidationError" and "exactly match" in answer["error"]["message"]
    silent = ms.subscribe(f"{ME}/messages", status=400, notificationUrl="https://localhost:1/notify")
    assert silent["error"]["code"] == "ValidationError"
    assert ms.value("/subscriptions") == []


@pytest.mark.parametrize("name", ["notificationUrl", "lifecycleNotificationUrl"])
def test_addresses_must_be_https(ms: Stand, name: str) -> None:
    answer = ms.subscribe(f"{ME}/messages", status=400, **{name: "http://localhost/notify"})
    assert answer["error"]["code"] == "InvalidRequest" and "https" in answer["error"]["message"]


def test_the_certificate_of_the_receiver_is_verified(ms: Stand) -> None:
    async def untrusted() -> None:
        await ms.microsoft.notifier.stop()
        await ms.microsoft.notifier.start()

    def restart(ca_file: str | None) -> None:
        ms.microsoft.ca_file = ca_file
        ms.await_(untrusted())

    restart(ssl.get_default_verify_paths().cafile)
    assert ms.subscribe(f"{ME}/messages", status=400)["error"]["code"] == "ValidationError"
    restart(str(ms.authority.ca_file))
    ms.subscribe(f"{ME}/messages")


def test_every_change_of_the_mailbox_is_told_with_ids_alone(ms: Stand) -> None:
    made = ms.subscribe(f"{ME}/messages")
    one = ms.deliver(mime("Secret subject"))
    ms.box(lambda box: box.set_categories(one, ["Salesforce"]))
    ms.box(lambda box: box.move(one, "archive"))
    ms.box(lambda box: box.purge(one))
    ms.deliver(mime("Not hers"), BO)
    told = ms.receiver.wait(4)
    assert kinds(told) == [("created", one), ("updated", one), ("updated", one), ("deleted", one)]
    first = told[0]
    assert (first["subscriptionId"], first["clientState"], first["tenantId"]) == (made["id"], "between us", TENANT)
    assert first["resource"] == f"Users/{ms.box(lambda box: box.user_id)}/Messages/{one}"
    assert "Secret" not in str(ms.receiver.arrived)


def test_ids_have_the_form_asked_for_when_the_subscription_was_made(ms: Stand) -> None:
    end = (ms.world.clock.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "changeType": "created,deleted", "notificationUrl": f"{ms.hooks}/notify", "resource": f"{ME}/messages",
        "expirationDateTime": end,
    }  # fmt: skip
    ms.call("POST", "/subscriptions", json=body, prefer="", status=201)
    one = ms.deliver(mime("Hi"))
    old = ms.get(f"{ME}/messages/{one}", prefer="")["id"]
    ms.box(lambda box: box.move(one, "archive"))
    new = ms.get(f"{ME}/messages/{one}", prefer="")["id"]
    assert kinds(ms.receiver.wait(3)) == [("created", old), ("deleted", old), ("created", new)]


def test_a_folder_subscription_sees_arrivals_and_departures(ms: Stand) -> None:
    ms.subscribe(f"{ME}/mailFolders('inbox')/messages")
    one = ms.deliver(mime("Hi"), folder="archive")
    ms.box(lambda box: box.move(one, "inbox"))
    ms.box(lambda box: box.move(one, "archive"))
    assert kinds(ms.receiver.wait(2)) == [("created", one), ("deleted", one)]


def test_mail_that_goes_out_of_sight_is_told_as_deleted(ms: Stand) -> None:
    ms.subscribe(f"{ME}/messages")
    one = ms.deliver(mime("Hi"))
    ms.box(lambda box: box.delete(one))
    ms.box(lambda box: box.delete(one))
    ms.box(lambda box: box.purge(one))
    last = ms.deliver(mime("Last"))
    assert kinds(ms.receiver.wait(4)) == [("created", one), ("updated", one), ("deleted", one), ("created", last)]


def test_what_waits_goes_out_in_one_body(ms: Stand) -> None:
    ms.subscribe(f"{ME}/messages")

    def three() -> None:
        for n in range(3):
            ms.microsoft.mailbox(ADA).deliver(mime(f"Mail {n}"))

    ms.do(three)
    ms.receiver.wait(3)
    assert len(ms.receiver.arrived) < 3


def test_an_answer_that_is_not_2xx_is_asked_for_again(ms: Stand) -> None:
    ms.receiver.answers = [503]
    ms.subscribe(f"{ME}/messages")
    one = ms.deliver(mime("Hi"))
    assert kinds(ms.receiver.wait(2)) == [("created", one), ("created", one)]


def test_notifications_are_dropped_doubled_forged_and_reordered_by_name(ms: Stand) -> None:
    ms.subscribe(f"{ME}/messages")
    ms.fault("notify_drop", match="created")
    ms.deliver(mime("Lost"))
    ms.fault("notify_double", match="created")
    twice = ms.deliver(mime("Twice"))
    assert kinds(ms.receiver.wait(2)) == [("created", twice)] * 2
    ms.fault("notify_forge", match="created")
    forged = ms.deliver(mime("Forged"))
    told = ms.receiver.wait(4)[2:]
    assert kinds(told) == [("created", forged)] * 2
    assert sorted(one["clientState"] == "between us" for one in told) == [False, True]
    ms.fault("notify_reorder", match="created")
    late, early = ms.deliver(mime("Late")), ms.deliver(mime("Early"))
    assert kinds(ms.receiver.wait(6)[4:]) == [("created", early), ("created", late)]


def test_notifications_wait_for_the_delay_that_was_set(ms: Stand) -> None:
    ms.subscribe(f"{ME}/messages")
    ms.world.notify_delay_s = (30.0, 60.0)
    ms.deliver(mime("Late"))
    ms.world.notify_delay_s = (0.0, 0.0)
    early = ms.deliver(mime("Early"))
    assert kinds(ms.receiver.wait(1)) == [("created", early)]


def test_lifecycle_events_go_to_their_own_address(ms: Stand) -> None:
    made = ms.subscribe(f"{ME}/messages")["id"]
    ms.do(lambda: ms.microsoft.subscriptions.lifecycle(made, "missed"))
    ms.receiver.wait(1)
    ms.do(lambda: ms.microsoft.subscriptions.lifecycle(made, "reauthorizationRequired"))
    ms.receiver.wait(2)
    ms.deliver(mime("Held back"))
    end = (ms.world.clock.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    renewed = ms.call("PATCH", f"/subscriptions/{made}", json={"expirationDateTime": end}, status=200).json()
    assert renewed["expirationDateTime"] == end
    told = ms.deliver(mime("Told"))
    assert kinds(ms.receiver.wait(3)[2:]) == [("created", told)]
    ms.do(lambda: ms.microsoft.subscriptions.drop(made))
    ms.receiver.wait(4)
    events = [(path, one["lifecycleEvent"], one["clientState"]) for path, body in ms.receiver.arrived
              for one in body["value"] if "lifecycleEvent" in one]  # fmt: skip
    assert events == [
        ("/lifecycle", event, "between us") for event in ("missed", "reauthorizationRequired", "subscriptionRemoved")
    ]
    assert (
        ms.code(ms.call("PATCH", f"/subscriptions/{made}", json={"expirationDateTime": end}, status=404)) == "ResourceNotFound"
    )


def test_reauthorizing_lets_notifications_through_again(ms: Stand) -> None:
    made = ms.subscribe(f"{ME}/messages")["id"]
    ms.do(lambda: ms.microsoft.subscriptions.lifecycle(made, "reauthorizationRequired"))
    ms.receiver.wait(1)
    ms.call("POST", f"/subscriptions/{made}/reauthorize", status=202)
    told = ms.deliver(mime("Told"))
    assert kinds(ms.receiver.wait(2)[1:]) == [("created", told)]


def test_a_subscription_ends_in_time_or_by_hand(ms: Stand) -> None:
    made = ms.subscribe(f"{ME}/messages")["id"]
    ms.call("DELETE", f"/subscriptions/{made}", status=204)
    ms.call("DELETE", f"/subscriptions/{made}", status=404)
    end = (ms.world.clock.now() + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    short = ms.subscribe(f"{ME}/messages", expirationDateTime=end)
    ms.world.clock.advance(44 * 60)
    assert [one["id"] for one in ms.value("/subscriptions")] == [short["id"]]
    ms.world.clock.advance(2 * 60)
    assert ms.value("/subscriptions") == []


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"expirationDateTime": "2020-01-01T00:00:00Z"}, 400, "InvalidRequest"),
        ({"expirationDateTime": "2099-01-01T00:00:00Z"}, 400, "InvalidRequest"),
        ({"clientState": "x" * 129}, 400, "InvalidRequest"),
        ({"changeType": "created,moved"}, 400, "InvalidRequest"),
        ({"resourceUrl": "x"}, 400, "RequestBodyRead"),
        ({"resource": f"{ME}/mailFolders/nothing/messages"}, 404, "ErrorItemNotFound"),
        ({"resource": f"{ME}/contacts"}, 501, "NotImplemented"),
    ],
)
def test_a_subscription_the_vendor_would_refuse_is_refused(ms: Stand, change: Json, status: int, code: str) -> None:
    assert ms.subscribe(**{"resource": f"{ME}/messages", "status": status, **change})["error"]["code"] == code


def test_the_same_subscription_twice_is_a_conflict_and_of_another_app_is_unseen(ms: Stand) -> None:
    made = ms.subscribe(f"{ME}/messages")["id"]
    assert ms.subscribe(f"{ME}/messages", status=409)["error"]["code"] == "ExtensionError"
    other = ms.do(lambda: ms.microsoft.tokens.access("another", TENANT, None, ("Mail.Read",))[0])
    ms.call("GET", f"/subscriptions/{made}", token=other, status=404)
    assert ms.value("/subscriptions", token=other) == []


def test_a_delegated_caller_watches_the_own_mailbox_only(ms: Stand) -> None:
    ms.token = ms.delegated(ADA)
    assert ms.subscribe(f"/users/{BO}/messages", status=403)["error"]["code"] == "ErrorAccessDenied"
    assert ms.subscribe("me/mailFolders('inbox')/messages")["applicationId"] == CLIENT
