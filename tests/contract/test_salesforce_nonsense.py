"""Whatever is sent to the Salesforce stand-in, it answers in the vendor's form: never a crash, never a broken contract.

Requests are made at random from valid names and invalid values, by a seed that a failure names.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import requests

from tests.contract.salesforce_world import DATA, Served

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 3.5, 10**30, "", " ", "x", "x" * 300, "\u0000", "2026-01-01", "2026-01-01T00:00:00Z",
    "a@b.test", "001000000000001", "Completed", "3", [], {}, ["x"], {"a": 1},
)  # fmt: skip
WORDS = (
    "SELECT Id Name Email Account.Name Who.Type FROM Contact Task WHERE AND OR NOT IN LIKE = != < >= ( ) , 'x' 'a%' 5 null "
    "true 2026-01-01 2026-01-01T00:00:00Z TODAY LAST_N_DAYS:3 ORDER BY LIMIT OFFSET NULLS LAST FIELDS(ALL) COUNT() IsDeleted "
    "CreatedDate AccountId Description DESC ALL ROWS"
).split()
OBJECTS = (
    "Contact",
    "Task",
    "Event",
    "EmailMessage",
    "EmailMessageRelation",
    "ContentVersion",
    "ContentDocumentLink",
    "Case",
    "User",
)
REQUESTS = 120
pytest_plugins = ("tests.contract.salesforce_fixtures",)


class Nonsense:
    """Random requests over an org with a few records."""

    def __init__(self, org: Served, seed: int) -> None:
        self.org, self.random = org, random.Random(seed)
        event = {"StartDateTime": "2026-01-01T00:00:00Z", "DurationInMinutes": 5}
        made = (("Account", {"Name": "A"}), ("Contact", {"LastName": "B"}), ("EmailMessage", {"Status": "3"}), ("Event", event))
        self.ids = [org.make(name, **fields) for name, fields in made]

    def value(self) -> Any:
        return self.random.choice((*VALUES, *self.ids))

    def body(self, object_name: str) -> dict[str, Any]:
        names = [field.name for field in self.org.org.records.object(object_name).fields.values()]
        chosen = self.random.sample([*names, "ToIds", "Nope"], self.random.randint(0, 5))
        return {name: self.value() for name in chosen}

    def send(self) -> requests.Response:
        kinds = (self.create, self.update, self.query, self.collection, self.composite, self.upsert, self.retrieve)
        return self.random.choice(kinds)()

    def create(self) -> requests.Response:
        name = self.random.choice(OBJECTS)
        return self.org.call("POST", f"/sobjects/{name}", json=self.body(name))

    def update(self) -> requests.Response:
        record_id = self.random.choice(self.ids)
        owner = self.org.org.records.schema.of_id(record_id)
        assert owner is not None
        return self.org.call("PATCH", f"/sobjects/{owner.name}/{record_id}", json=self.body(owner.name))

    def query(self) -> requests.Response:
        words = " ".join(self.random.choices(WORDS, k=self.random.randint(1, 10)))
        head = self.random.choice(("", f"SELECT Id FROM {self.random.choice(OBJECTS)} WHERE "))
        return self.org.call("GET", "/query", params={"q": head + words})

    def collection(self) -> requests.Response:
        name = self.random.choice(OBJECTS)
        records = [{"attributes": {"type": name}, **self.body(name)}, self.value(), {"attributes": self.value()}]
        body = {"allOrNone": self.value(), "records": self.random.choice((records[:1], records[:1] * 3, records, self.value()))}
        return self.org.call(self.random.choice(("POST", "PATCH")), "/composite/sobjects", json=body)

    def composite(self) -> requests.Response:
        places = (
            "/limits",
            "/sobjects/Contact",
            "/sobjects/Contact/@{a.id}",
            "/query?q=SELECT+Id+FROM+Contact",
            "/composite/sobjects",
        )
        parts = [
            {
                "method": self.random.choice(("GET", "POST", "PATCH", "DELETE")),
                "url": DATA + self.random.choice(places),
                "referenceId": name,
                "body": self.random.choice((self.value(), self.body("Contact"), {"LastName": "x"})),
                "httpHeaders": self.random.choice(({}, {}, None, {"If-Unmodified-Since": "x"}, self.value())),
            }
            for name in "abc"
        ]
        body = {"allOrNone": self.value(), "compositeRequest": self.random.choice((parts, parts, self.value()))}
        return self.org.call("POST", "/composite", json=body)

    def upsert(self) -> requests.Response:
        place = (
            f"{self.random.choice(('Email', 'Id', 'Name', 'Nope'))}/{self.random.choice(('a', 'a@b.example.com', self.ids[1]))}"
        )
        return self.org.call(
            "PATCH", f"/sobjects/Contact/{place}", json=self.random.choice((self.value(), self.body("Contact")))
        )

    def retrieve(self) -> requests.Response:
        body = {"ids": self.random.choice((self.value(), self.ids)), "fields": self.random.choice((self.value(), ["LastName"]))}
        return self.org.call("POST", "/composite/sobjects/Contact", json=body)


@pytest.mark.parametrize("seed", range(4))
def test_nonsense_is_answered_in_the_vendors_form(served: Served, seed: int) -> None:
    served.fresh()
    nonsense = Nonsense(served, seed)
    answers = [nonsense.send() for _ in range(REQUESTS)]
    assert [answer.request.body for answer in answers if answer.status_code in (500, 599)] == []
    assert {answer.status_code // 100 for answer in answers} >= {2, 4}
    served.refuse_violations()
