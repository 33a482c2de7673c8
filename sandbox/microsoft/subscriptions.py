"""Subscriptions of Graph: created after a handshake with both addresses, renewed, lost, and what they make of a change.

Rules that hold here: an app sees its own subscriptions only; ids in notifications have the form asked for at creation; a
subscription past its end is gone; a lapsed authorization (`reauthorizationRequired`) holds notifications back until it is
renewed. With no immutable ids a move looks like a deletion and a creation.
Sources: learn.microsoft.com/graph/api/subscription-post-subscriptions, subscription-update, subscription-reauthorize,
/graph/api/resources/subscription (lifetimes), /graph/outlook-change-notifications-overview.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.microsoft import odata
from sandbox.microsoft.calendar import EventChange
from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.errors import GraphError, refusal
from sandbox.microsoft.folders import RECOVERABLE
from sandbox.microsoft.mailbox import Change, Mailbox
from sandbox.microsoft.represent import Json, time_text

if TYPE_CHECKING:
    from sandbox.microsoft import Microsoft

MAX_LIFE = timedelta(minutes=10_080)
MIN_LIFE = timedelta(minutes=45)
MAX_CLIENT_STATE = 128
MAX_PER_MAILBOX = 1000
CHANGE_TYPES = frozenset({"created", "updated", "deleted"})
LIFECYCLE_EVENTS = frozenset({"reauthorizationRequired", "subscriptionRemoved", "missed"})
_RESOURCE = re.compile(
    r"/?(?:me|users/(?P<user>[^/]+))(?:(?:/mailFolders/(?P<folder>[^/]+))?/(?P<mail>messages)|(?:/calendar)?/(?P<calendar>events))/?",
    re.IGNORECASE,
)
#: kind of resource -> what a permission for it begins with
_PERMISSION = {"messages": ("Mail.", "Mail-"), "events": ("Calendars.",)}
_REQUIRED = ("changeType", "notificationUrl", "resource", "expirationDateTime")
_KNOWN = frozenset((*_REQUIRED, "clientState", "lifecycleNotificationUrl", "includeResourceData", "latestSupportedTlsVersion"))


@dataclass
class Subscription:
    """`what`: messages or events; `folder` None = the whole mailbox."""

    id: str
    client_id: str
    creator: str
    mailbox: Mailbox
    what: str
    folder: str | None
    resource: str
    kinds: frozenset[str]
    url: str
    lifecycle_url: str | None
    client_state: str | None
    expires: datetime
    immutable: bool
    is_paused: bool = False

    def shown(self) -> Json:
        return {
            "id": self.id,
            "resource": self.resource,
            "applicationId": self.client_id,
            "changeType": ",".join(kind for kind in ("created", "updated", "deleted") if kind in self.kinds),
            "clientState": None,
            "notificationUrl": self.url,
            "lifecycleNotificationUrl": self.lifecycle_url,
            "expirationDateTime": time_text(self.expires),
            "creatorId": self.creator,
            "includeResourceData": None,
            "latestSupportedTlsVersion": "v1_2",
            "encryptionCertificate": None,
            "encryptionCertificateId": None,
            "notificationQueryOptions": None,
            "notificationUrlAppId": None,
        }


class Subscriptions:
    def __init__(self, microsoft: Microsoft) -> None:
        self.microsoft = microsoft
        self._by_id: dict[str, Subscription] = {}

    def all(self) -> list[Subscription]:
        """Those alive now."""
        now = self.microsoft.world.clock.now()
        for one in [one for one in self._by_id.values() if one.expires <= now]:
            del self._by_id[one.id]
        return list(self._by_id.values())

    def of_app(self, client_id: str) -> list[Subscription]:
        return [one for one in self.all() if one.client_id == client_id]

    def get(self, subscription_id: str, client_id: str) -> Subscription:
        for one in self.of_app(client_id):
            if one.id == subscription_id:
                return one
        raise refusal("no_subscription")

    def add(self, subscription: Subscription) -> None:
        alive = self.all()
        if any(_twins(one, subscription) for one in alive):
            raise refusal("subscription_twice")
        if sum(one.mailbox is subscription.mailbox for one in alive) >= MAX_PER_MAILBOX:
            raise refusal("subscriptions_full")
        self._by_id[subscription.id] = subscription

    def drop(self, subscription_id: str, *, announce: bool = True) -> None:
        """The vendor loses a subscription; `announce` tells the lifecycle address, as it does for Outlook items."""
        subscription = self._by_id.pop(subscription_id)
        if announce:
            self._announce(subscription, "subscriptionRemoved")

    def lifecycle(self, subscription_id: str, event: str) -> None:
        """Sends a lifecycle notification; `reauthorizationRequired` also holds change notifications back."""
        if event not in LIFECYCLE_EVENTS:
            raise ValueError(f"{event} is no lifecycle event; known are {', '.join(sorted(LIFECYCLE_EVENTS))}.")
        subscription = self._by_id[subscription_id]
        subscription.is_paused = event == "reauthorizationRequired"
        self._announce(subscription, event)

    def remove(self, subscription: Subscription) -> None:
        del self._by_id[subscription.id]

    def clear(self) -> None:
        self._by_id.clear()

    def _announce(self, subscription: Subscription, event: str) -> None:
        if subscription.lifecycle_url:
            self.microsoft.notifier.post(subscription.lifecycle_url, {**_head(subscription), "lifecycleEvent": event})

    def on_change(self, change: Change | EventChange) -> None:
        """Tells every subscription that sees the change."""
        what = "events" if isinstance(change, EventChange) else "messages"
        for one in self.all():
            if one.mailbox is change.mailbox and one.what == what and not one.is_paused:
                for kind, item_id in _seen(one, change):
                    if kind in one.kinds:
                        self.microsoft.notifier.post(one.url, _notification(one, change, kind, item_id))


def _twins(one: Subscription, other: Subscription) -> bool:
    first, second = ((each.client_id, each.mailbox, each.what, each.folder, each.kinds) for each in (one, other))
    return first == second


def _seen(subscription: Subscription, change: Change | EventChange) -> list[tuple[str, str]]:
    """What a change is to a subscription: (changeType, id) of each notification. An occurrence that changes or goes is an
    update of its series (microsoft-graph-docs issue 5520)."""
    if isinstance(change, EventChange):
        return [(change.kind, change.event.shown_id(subscription.immutable))]
    new_id = change.message.shown_id(subscription.immutable)
    out_of_sight = (None, change.mailbox.folder(RECOVERABLE).id)
    old_id = new_id if subscription.immutable else change.old_rest_id
    if subscription.folder is None:
        was, now = change.was_in not in out_of_sight, change.now_in not in out_of_sight
        same = old_id == new_id
    else:
        was, now = change.was_in == subscription.folder, change.now_in == subscription.folder
        same = True
    if was and now and same:
        return [("updated", new_id)]
    return [("deleted", old_id)] * was + [("created", new_id)] * now


def _head(subscription: Subscription) -> Json:
    return {
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": time_text(subscription.expires),
        "tenantId": subscription.mailbox.tenant,
        "clientState": subscription.client_state,
    }


def _notification(subscription: Subscription, change: Change | EventChange, kind: str, item_id: str) -> Json:
    is_event = isinstance(change, EventChange)
    path = f"Users/{change.mailbox.user_id}/{'Events' if is_event else 'Messages'}/{item_id}"
    data = {
        "@odata.type": f"#Microsoft.Graph.{'Event' if is_event else 'Message'}",
        "@odata.id": path,
        "@odata.etag": change.event.instance().etag if isinstance(change, EventChange) else change.message.etag,
        "id": item_id,
    }
    return {**_head(subscription), "changeType": kind, "resource": path, "resourceData": data}


def _end(call: Call, text: Any) -> datetime:
    """The end asked for, held to the vendor's bounds. Raises GraphError 400."""
    try:
        end = odata.moment(str(text))
    except GraphError:
        raise refusal("subscription", why="expirationDateTime is not a valid date and time.") from None
    now = call.microsoft.world.clock.now()
    if end <= now:
        raise refusal("subscription", why="Subscription expiration must be in the future.")
    if end > now + MAX_LIFE:
        raise refusal("subscription", why="Subscription expiration can only be 10080 minutes in the future.")
    return max(end, now + MIN_LIFE)


def _target(call: Call, resource: str) -> tuple[Mailbox, str, str | None]:
    """(mailbox, messages or events, folder id). A delegated caller may watch its own mailbox only."""
    match = _RESOURCE.fullmatch(call.microsoft.router.plain(resource))
    if match is None:
        raise refusal("not_built", what=f"subscriptions to '{resource.split('?')[0]}'")
    what = "events" if match["calendar"] else "messages"
    if not any(permission.startswith(_PERMISSION[what]) for permission in call.caller.permissions):
        raise refusal("denied")
    mailbox = call.microsoft.owner(match["user"], call.caller)
    return mailbox, what, mailbox.folder(match["folder"]).id if match["folder"] else None


async def create_subscription(call: Call) -> Answer:
    body = call.typed_body("subscription")
    for name in _REQUIRED:
        call.text_field(name)
    for name in body:
        if name not in _KNOWN:
            raise refusal("unknown_body_property", name=name, type="subscription")
    kinds = frozenset(kind.strip() for kind in body["changeType"].split(","))
    if kinds - CHANGE_TYPES:
        raise refusal("subscription", why=f"Invalid '{body['changeType']}' for changeType.")
    if len(body.get("clientState") or "") > MAX_CLIENT_STATE:
        raise refusal("subscription", why=f"clientState must not be longer than {MAX_CLIENT_STATE} characters.")
    if body.get("includeResourceData"):
        raise refusal("not_built", what="notifications with resource data")
    mailbox, what, folder = _target(call, body["resource"])
    subscription = Subscription(
        id=str(uuid.UUID(int=call.microsoft.world.random.getrandbits(128), version=4)), client_id=call.caller.client_id,
        creator=mailbox.user_id if call.caller.address else call.caller.client_id, mailbox=mailbox, what=what, folder=folder,
        resource=body["resource"], kinds=kinds, url=body["notificationUrl"],
        lifecycle_url=body.get("lifecycleNotificationUrl"), client_state=body.get("clientState"),
        expires=_end(call, body["expirationDateTime"]), immutable=call.immutable,
    )  # fmt: skip
    for url in filter(None, (subscription.url, subscription.lifecycle_url)):
        await call.microsoft.notifier.handshake(url)
    call.microsoft.subscriptions.add(subscription)
    return Answer(201, _shown(call, subscription, client_state=subscription.client_state))


def _shown(call: Call, subscription: Subscription, **more: Any) -> Json:
    shown = {"@odata.context": call.context("subscriptions/$entity")} | subscription.shown()
    return shown | ({"clientState": more["client_state"]} if more else {})


async def list_subscriptions(call: Call) -> Answer:
    own = call.microsoft.subscriptions.of_app(call.caller.client_id)
    return Answer(body={"@odata.context": call.context("subscriptions"), "value": [one.shown() for one in own]})


def _own(call: Call) -> Subscription:
    return call.microsoft.subscriptions.get(call.places["subscription"], call.caller.client_id)


async def get_subscription(call: Call) -> Answer:
    return Answer(body=_shown(call, _own(call)))


async def renew_subscription(call: Call) -> Answer:
    """Moves the end; this also renews a lapsed authorization."""
    subscription, body = _own(call), call.typed_body("subscription")
    if refused := sorted(set(body) - {"expirationDateTime"}):
        raise refusal("subscription", why=f"The property '{refused[0]}' cannot be updated.")
    subscription.expires = _end(call, call.text_field("expirationDateTime"))
    subscription.is_paused = False
    return Answer(body=_shown(call, subscription))


async def reauthorize_subscription(call: Call) -> Answer:
    _own(call).is_paused = False
    return Answer(202)


async def delete_subscription(call: Call) -> Answer:
    call.microsoft.subscriptions.remove(_own(call))
    return Answer(204)
