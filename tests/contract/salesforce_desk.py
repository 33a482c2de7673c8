"""What the tests of the Salesforce adapters share: a desk (one session over one store), a mail, and looks into the org."""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime
from typing import Any

import requests

from sandbox.frame import FaultRule
from shared.core.mail import Address, MailRecord
from shared.core.match import Links
from shared.crm.budget import Budget
from shared.crm.salesforce import SalesforceMail
from shared.crm.schema import Schema
from shared.ports import Bearer, Place, Question, SavedMail, TenantId
from shared.store.memory import MemoryStore
from tests.contract.salesforce_world import ANNA, CLIENT, Served

CAT, DAN, EVE = "cat@customer.example.org", "dan@customer.example.org", "eve@lead.example.net"
WHEN = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


class Token:
    """Anna's access; a new token is issued where the old is refused, unless consent is gone."""

    def __init__(self, org: Served, token: str = "", *, consent: bool = True) -> None:
        self._org = org
        self._token = token or org.token
        self._consent = consent
        self.renewed = 0

    def current(self) -> Bearer:
        return Bearer(self._token, self._org.org.base_url)

    def after(self, refused: Bearer) -> Bearer:
        self.renewed += 1
        if self._consent:
            self._token = self._org.org.issue_token(ANNA, CLIENT)["access_token"]
        return self.current()


class Desk:
    """Everything one session needs, over one store."""

    def __init__(self, org: Served) -> None:
        self.org = org
        self.store = MemoryStore()
        self.place = Place("state", TenantId("tenant"), "org", uuid.uuid4().hex)
        self.schema = Schema(self.store, self.place, org.world.clock)
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify = org.ca_file

    def session(self, token: Token | None = None, *, by_person: bool = False) -> SalesforceMail:
        budget = Budget(self.store, self.place, self.org.world.clock, by_person)
        return SalesforceMail(
            self.http, token or Token(self.org), user_id=self.org.anna, schema=self.schema, budget=budget,
            clock=self.org.world.clock, session_id="s-1",
        )  # fmt: skip

    def ready(self) -> SalesforceMail:
        """A session in an org that is known already, with the calls counted from now."""
        mail = self.session()
        mail.match(Question(("nobody@example.org",)))
        self.org.world.calls.clear()
        return mail

    def calls(self) -> dict[str, int]:
        counted = self.org.world.calls.snapshot().get("salesforce", {})
        return {name.replace("/services/data/{version}/", ""): n for name, n in counted.items()}


def record(number: int = 1, **changes: Any) -> MailRecord:
    values: dict[str, Any] = {
        "identifier": f"<{number}.Mail@customer.example.org>", "thread": "<root@customer.example.org>",
        "subject": f"Offer {number}", "date": WHEN, "sender": Address(CAT, "Cat Customer"),
        "to": (Address(ANNA, "Anna"), Address("x@else.example.org")),
        "cc": (Address(DAN), Address("y@else.example.org")), "bcc": (), "incoming": True, "text": "Hello", "html": "",
        "links": Links(),
    }  # fmt: skip
    return MailRecord(**values | changes)


def only(answers: Any) -> SavedMail:
    [answer] = answers
    assert isinstance(answer, SavedMail), answer
    return answer


def row(org: Served, object_name: str, record_id: str) -> dict[str, Any]:
    found: dict[str, Any] = org.get(f"/sobjects/{object_name}/{record_id}")
    return found


def relations(org: Served, mail_id: str) -> set[tuple[str, str]]:
    soql = f"SELECT RelationId, RelationType FROM EmailMessageRelation WHERE EmailMessageId = '{mail_id}'"
    return {(one["RelationId"], one["RelationType"]) for one in org.query(soql)}


def fault(org: Served, kind: str, match: str = "", **more: Any) -> None:
    org.world.rules.append(FaultRule("salesforce", kind, match, **more))


class Source(io.RawIOBase):
    """Bytes as a mailbox sends them; remembers the largest piece that was asked for."""

    def __init__(self, content: bytes, said: int | None = None) -> None:
        self._content = io.BytesIO(content)
        self.size = len(content) if said is None else said
        self.largest = 0

    def read(self, n: int = -1) -> bytes:
        piece = self._content.read(n)
        self.largest = max(self.largest, len(piece) if n >= 0 else 1 << 60)
        return piece
