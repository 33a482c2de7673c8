"""Drives the Microsoft world over its main facts and gives a verdict: `python -m tests.contract.microsoft_driver`.

Ends with 0 and "N facts hold", or with 3 and "broken: {fact}: {why}" for the first fact that does not hold. Anything else that
goes wrong is an exception. The planted faults in `planted/microsoft_*.patch` are judged with it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from typing import Any

from tests.contract.microsoft_calendar import DECEMBER, TUESDAYS, december, make, occurrence, outbox, patch
from tests.contract.microsoft_world import ADA, BO, CLIENT, SCOPES, SECRET, TENANT, Stand, mime

ME = f"/users/{ADA}"
INBOX = f"{ME}/mailFolders/inbox/messages/delta"


def whole(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    assert ms.get(f"{ME}/messages/{one}")["subject"] == "Hi"
    assert ms.value(f"{ME}/messages")


def selected(ms: Stand) -> None:
    for n in range(12):
        ms.deliver(mime(f"Mail {n}"))
    page = ms.get(f"{INBOX}?$select=isRead")
    assert [set(one) for one in ms.get(page["@odata.nextLink"])["value"]] == [{"@odata.etag", "id", "isRead"}] * 2


def paged(ms: Stand) -> None:
    sent = {ms.deliver(mime(f"Mail {n}")) for n in range(5)}
    assert {one["id"] for one in ms.value(f"{ME}/messages?$top=2")} == sent


def stale(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    seen = ms.get(f"{ME}/messages/{one}")["@odata.etag"]
    ms.box(lambda box: box.set_read(one))
    ms.call("PATCH", f"{ME}/messages/{one}", json={"categories": ["x"]}, headers={"If-Match": seen}, status=412)


def moved(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    answer = ms.call("POST", f"{ME}/messages/{one}/move", json={"destinationId": "archive"}, status=201)
    assert answer.json()["id"] == ms.get(f"{ME}/messages/{one}")["id"] == one, "another id"


def gone(ms: Stand) -> None:
    link = ms.round(f"{INBOX}?$select=subject")[1]
    ms.fault("delta_gone")
    assert "Location" in ms.call("GET", link, status=410).headers


def removed(ms: Stand) -> None:
    one = ms.deliver(mime("Hi"))
    link = ms.round(f"{INBOX}?$select=subject")[1]
    ms.box(lambda box: box.purge(one))
    assert ms.round(link)[0] == [{"id": one, "@removed": {"reason": "deleted"}}], "no @removed"


def patient(ms: Stand) -> None:
    ms.fault("throttled", match="GET")
    assert "Retry-After" in ms.call("GET", f"{ME}/messages", status=429).headers, "no Retry-After"


def checked(ms: Stand) -> None:
    ms.batch({"url": f"{ME}/messages"}, {"url": f"{ME}/mailFolders"})
    assert ms.world.answers["microsoft"] == ms.world.validated["microsoft"] == 3


def told(ms: Stand) -> None:
    ms.subscribe(f"{ME}/messages")
    ms.deliver(mime("Hi"))
    assert ms.receiver.wait(1)[0]["clientState"] == "between us"


def rotated(ms: Stand) -> None:
    first = ms.do(lambda: ms.microsoft.issue_token(ADA, CLIENT, SCOPES))["refresh_token"]
    body = {"client_id": CLIENT, "client_secret": SECRET, "grant_type": "refresh_token", "refresh_token": first}
    assert ms.http.post(f"{ms.url}/{TENANT}/oauth2/v2.0/token", data=body).json()["refresh_token"] != first


VIEW = f"{ME}/calendarView/delta?{DECEMBER}"


def outside(ms: Stand) -> None:
    link = ms.round(VIEW)[1]
    made = make(ms, "January", "2027-01-05T10:00:00", "2027-01-05T11:00:00")
    assert ms.round(link)[0] == [{"id": made["id"], "@removed": {"reason": "deleted"}}], "not told"


def windowed(ms: Stand) -> None:
    link = ms.round(VIEW)[1]
    make(ms, "January", "2027-01-05T10:00:00", "2027-01-05T11:00:00")
    assert all("@removed" in one for one in ms.round(link)[0]), "January in December"


def stale_event(ms: Stand) -> None:
    made = make(ms)
    patch(ms, made["id"], {"subject": "New"})
    patch(ms, made["id"], {"subject": "Old"}, headers={"If-Match": made["@odata.etag"]}, status=412)


def made_once(ms: Stand) -> None:
    assert len({make(ms, transactionId="one")["id"] for _ in range(2)}) == 1, "two events"


def mailed(ms: Stand) -> None:
    made = make(ms, attendees=[BO])
    patch(ms, made["id"], {"subject": "New"})
    assert outbox(ms) == [("invitation", ADA, [BO]), ("update", ADA, [BO])], "a mail is missing"


def gone_day(ms: Stand) -> None:
    made = make(ms, recurrence=TUESDAYS)
    ms.call("DELETE", f"{ME}/events/{occurrence(ms, made['id'], '2026-12-08')}", status=204)
    assert len(december(ms)) == 4, "still there"


#: fact -> what drives it
FACTS: dict[str, Callable[[Stand], Any]] = {
    "a message shows what the model knows, all of it and nothing else": whole,
    "what is not selected is not shown, on later delta pages neither": selected,
    "pages of a listing lose nothing": paged,
    "a stale If-Match is 412": stale,
    "an immutable id survives a move": moved,
    "a dead delta link is 410 with a Location": gone,
    "what was deleted is handed out as @removed": removed,
    "429 says in Retry-After when to come back": patient,
    "every part of a batch is checked": checked,
    "a notification carries the clientState": told,
    "a refresh token is replaced on every use": rotated,
    "the window of a calendar's delta never moves": windowed,
    "a change outside the window of a calendar's delta is @removed": outside,
    "a stale If-Match on an event is 412": stale_event,
    "one transactionId makes one event": made_once,
    "an organiser's patch mails the attendees": mailed,
    "a cancelled occurrence is not expanded": gone_day,
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(folder)
        try:
            for fact, drive in FACTS.items():
                stand.reset()
                try:
                    drive(stand)
                except AssertionError as broken:
                    print(f"broken: {fact}: {str(broken)[:300]}")
                    return 3
        finally:
            stand.close()
    print(f"{len(FACTS)} facts hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
