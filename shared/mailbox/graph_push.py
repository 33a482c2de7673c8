"""Subscriptions of Microsoft Graph: the vendor's promise to call us when an item of the mailbox is made or changes. `Push`.

Rules that hold here: one subscription per mailbox and kind of item, over all of them; where the vendor has one like it already
(an answer that was lost, an older generation) that one is ended and ours takes its place, because its secret is not known
any more.
Sources: learn.microsoft.com/graph/api/subscription-post-subscriptions, /graph/api/resources/subscription (lifetimes),
/graph/outlook-change-notifications-overview.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import requests

from shared.core.errors import Gone, Refused
from shared.mailbox.graph_errors import CONFLICT
from shared.mailbox.graph_http import GraphHttp
from shared.mailbox.graph_map import moment, text
from shared.mailbox.graph_streams import time_text
from shared.ports import AccessToken, Clock, Subscription

#: kind of item -> the changes that matter: of a mail that is deleted nothing follows
CHANGES: Mapping[str, str] = {"messages": "created,updated", "events": "created,updated,deleted"}
#: ten minutes less than the vendor allows, for clocks that differ
LIFE = timedelta(minutes=10_070)


class GraphPush:
    """The notifications about one mailbox's items of a kind. `user` is an address or id."""

    def __init__(
        self, session: requests.Session, token: AccessToken, user: str, clock: Clock, session_id: str,
        kind: Literal["messages", "events"],
    ) -> None:  # fmt: skip
        self._http = GraphHttp(session, token, session_id)
        self._resource, self._changes = f"/users/{quote(user, safe='@')}/{kind}", CHANGES[kind]
        self._clock = clock

    def subscribe(self, notify_url: str, lifecycle_url: str, state: str) -> Subscription:
        """Raises Refused where the vendor does not get its handshake answered."""
        now = self._clock.now()
        wanted = {
            "changeType": self._changes,
            "resource": self._resource,
            "notificationUrl": notify_url,
            "lifecycleNotificationUrl": lifecycle_url,
            "clientState": state,
            "expirationDateTime": time_text(now + LIFE),
        }
        try:
            return _read(self._http.json("POST", "/subscriptions", body=wanted), now)
        except Refused as refused:
            listed = self._http.pages("/subscriptions") if refused.code == CONFLICT else ()
            twins = [one for one in listed if _is_twin(one, wanted)]
            if not twins:
                raise
        for twin in twins:
            self.unsubscribe(text(twin.get("id")))
        return _read(self._http.json("POST", "/subscriptions", body=wanted), now)

    def renew(self, subscription_id: str) -> Subscription:
        now, path = self._clock.now(), f"/subscriptions/{quote(subscription_id, safe='')}"
        return _read(self._http.json("PATCH", path, body={"expirationDateTime": time_text(now + LIFE)}), now)

    def unsubscribe(self, subscription_id: str) -> None:
        try:
            self._http.json("DELETE", f"/subscriptions/{quote(subscription_id, safe='')}")
        except Gone:
            return


def _read(answer: Mapping[str, Any], now: datetime) -> Subscription:
    return Subscription(text(answer.get("id")), moment(answer.get("expirationDateTime")) or now + LIFE)


def _is_twin(one: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """The vendor spells resources as it was told, with or without the first slash, and compares them without case."""
    kinds = {kind.strip() for kind in text(one.get("changeType")).split(",")}
    resource = text(one.get("resource")).strip("/").lower()
    return resource == wanted["resource"].strip("/").lower() and kinds == set(wanted["changeType"].split(","))
