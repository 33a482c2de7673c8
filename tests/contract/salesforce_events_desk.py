"""What the tests of the event adapter share: a session's adapter over one store, and records to try it with."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from sandbox.frame import FaultRule
from shared.core.errors import ItemError
from shared.core.model import Fields, Item
from shared.crm.budget import Budget
from shared.crm.salesforce_events import SalesforceEvents
from shared.crm.salesforce_feed import SalesforceFeed, Understood
from shared.crm.salesforce_versions import SETTLED_S, stamp_of
from shared.crm.schema import Schema
from shared.ports import Bearer, Crm, Place, Send, Sent, TenantId
from shared.store.memory import MemoryStore
from tests.contract.salesforce_world import Served

KEY = "Mailspan_Key__c"
START = datetime(2094, 3, 1, 9, tzinfo=UTC)
WHEN = "2094-03-01T09:00:00Z/2094-03-01T10:00:00Z"
#: what an event says without people.
PLAIN: Fields = {
    "subject": "Review", "when": WHEN, "location": "Room 4", "description": "First line\nSecond line", "show_as": "busy",
    "private": "no",
}  # fmt: skip
NOBODY: Fields = {"people": (), "answers": ()}


class Token:
    """Anna's access, or another user's."""

    def __init__(self, org: Served, token: str = "") -> None:
        self._org, self._token = org, token or org.token

    def current(self) -> Bearer:
        return Bearer(self._token, self._org.org.base_url)

    def after(self, refused: Bearer) -> Bearer:
        return self.current()


class Desk:
    """Everything the sessions of one user need, over one store."""

    def __init__(self, org: Served) -> None:
        self.org = org
        self.store = MemoryStore()
        self.place = Place("state", TenantId("tenant"), "org", uuid.uuid4().hex)
        self.schema = Schema(self.store, self.place, org.world.clock)
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify = org.ca_file

    def events(self, user_id: str = "", token: str = "", since: datetime | None = None) -> SalesforceEvents:
        org = self.org
        return SalesforceEvents(
            self.http, Token(org, token), user_id=user_id or org.anna, schema=self.schema, session_id="s-1",
            budget=Budget(self.store, self.place, org.world.clock), clock=org.world.clock,
            since=since or org.world.clock.now() - timedelta(days=30),
        )  # fmt: skip

    def ready(self) -> Crm:
        """A session in an org that is known already, with the calls counted from now."""
        assert self.events().keyed in (True, False)
        self.org.world.calls.clear()
        return self.events()

    def feed(self, understood: Understood | None = None) -> SalesforceFeed:
        clock = self.org.world.clock
        budget = Budget(self.store, self.place, clock)
        return SalesforceFeed(
            self.http, Token(self.org), budget=budget, clock=clock, session_id="s-1", understood=understood
        )  # fmt: skip

    def calls(self) -> int:
        return sum(self.org.world.calls.snapshot().get("salesforce", {}).values())

    def later(self, seconds: float = 60) -> None:
        self.org.world.clock.advance(seconds)

    def settled(self, event_id: str) -> str:
        """The version once the second of the last change is long over: a plain stamp, the same however often it is read."""
        self.later(SETTLED_S + 1)
        first, second = (self.events().read("event", [event_id])[event_id].version for _ in range(2))
        assert first == second == self.row(event_id)["SystemModstamp"], "it would be looked at again for nothing"
        return first

    # one event

    def made(self, fields: Fields = PLAIN, key: str = "", related: str = "") -> Sent:
        return done(self.events().write([Send("create", "event", fields=fields, key=key, related=related)]))

    def patched(self, before: Sent, **fields: Any) -> Sent | ItemError:
        [answer] = self.events().write([Send("patch", "event", before.id, before.version, fields)])
        return answer

    def fields(self, event_id: str) -> dict[str, Any]:
        item = self.item(event_id)
        assert item is not None
        return dict(item.fields)

    def item(self, event_id: str) -> Item | None:
        return self.events().read("event", [event_id])[event_id].item

    def row(self, event_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.org.get(f"/sobjects/Event/{event_id}")
        return found

    def relations(self, event_id: str) -> dict[str, str]:
        rows = self.org.query(f"SELECT RelationId, Status FROM EventRelation WHERE EventId = '{event_id}'")
        return {row["RelationId"]: row["Status"] for row in rows}

    def fault(self, kind: str, match: str = "", **more: Any) -> None:
        self.org.world.rules.append(FaultRule("salesforce", kind, match, **more))


def stamp(sent: Any) -> str:
    """The stamp in the version of what was just written; that version says that another write may come under this stamp."""
    assert isinstance(sent, Sent), sent
    assert sent.version != stamp_of(sent.version), "a version of this very second says that it is one"
    return stamp_of(sent.version)


def done(answers: Any) -> Sent:
    [answer] = answers
    assert isinstance(answer, Sent), answer
    return answer


def person(org: Served, last: str) -> str:
    return org.make("Contact", LastName=last)


def lead(org: Served, last: str) -> str:
    return org.make("Lead", LastName=last, Company=f"{last} Example")
