"""Subscriptions of Microsoft Graph: the vendor's promise to call us when a mail of the mailbox is made or changes.

Rules that hold here: one subscription per mailbox, over all its mail; where the vendor has one like it already (an answer
that was lost, an older generation) that one is ended and ours takes its place, because its secret is not known any more.
Sources: learn.microsoft.com/graph/api/subscription-post-subscriptions, /graph/api/resources/subscription (lifetimes),
/graph/outlook-change-notifications-overview.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from shared.core.errors import Gone, Refused
from shared.mailbox.graph_errors import CONFLICT
from shared.mailbox.graph_http import GraphHttp
from shared.mailbox.graph_map import moment, text
from shared.mailbox.graph_streams import time_text
from shared.ports import Subscription

CHANGES = "created,updated"
#: ten minutes less than the vendor allows, for clocks that differ
LIFE = timedelta(minutes=10_070)


def subscribe(http: GraphHttp, home: str, now: datetime, *, notify_url: str, lifecycle_url: str, state: str) -> Subscription:
    """Raises Refused where the vendor does not get its handshake answered."""
    wanted = {
        "changeType": CHANGES,
        "resource": f"{home}/messages",
        "notificationUrl": notify_url,
        "lifecycleNotificationUrl": lifecycle_url,
        "clientState": state,
        "expirationDateTime": time_text(now + LIFE),
    }
    try:
        return _read(http.json("POST", "/subscriptions", body=wanted), now)
    except Refused as refused:
        twins = [one for one in http.pages("/subscriptions") if _is_twin(one, wanted)] if refused.code == CONFLICT else []
        if not twins:
            raise
    for twin in twins:
        unsubscribe(http, text(twin.get("id")))
    return _read(http.json("POST", "/subscriptions", body=wanted), now)


def renew(http: GraphHttp, now: datetime, subscription_id: str) -> Subscription:
    path = f"/subscriptions/{quote(subscription_id, safe='')}"
    return _read(http.json("PATCH", path, body={"expirationDateTime": time_text(now + LIFE)}), now)


def unsubscribe(http: GraphHttp, subscription_id: str) -> None:
    try:
        http.json("DELETE", f"/subscriptions/{quote(subscription_id, safe='')}")
    except Gone:
        return


def _read(answer: Mapping[str, Any], now: datetime) -> Subscription:
    return Subscription(text(answer.get("id")), moment(answer.get("expirationDateTime")) or now + LIFE)


def _is_twin(one: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """The vendor spells resources as it was told, with or without the first slash, and compares them without case."""
    kinds = {kind.strip() for kind in text(one.get("changeType")).split(",")}
    resource = text(one.get("resource")).strip("/").lower()
    return resource == wanted["resource"].strip("/").lower() and kinds == set(CHANGES.split(","))
