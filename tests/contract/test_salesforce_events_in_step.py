"""The two-way engine between an in-memory mailbox and the Salesforce stand-in: random histories end in step and at rest.

A failing history is named by its seed. Users edit both sides, answers are lost, rows are locked, flows run, and whichever way
the unsure facts of the vendor are: afterwards nothing is doubled, both sides say the same, and two sessions write nothing.
Users never edit in the very second of one of our reads or writes: the vendor's stamps have whole seconds, and nobody could
tell the two states apart.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.core.errors import ItemError
from shared.core.fields import canonical, narrowed
from shared.core.item_scope import Judged
from shared.core.model import Link, Seen, Side, Value
from shared.core.plan import Terms
from shared.ports import Insert, LedgerEntry, MailboxKey, Page, Place, Provider, Ring, Send, Sent, TenantId
from shared.session import records
from shared.session.items import ItemSync
from shared.session.run import new_state, run_session
from shared.store.memory import MemoryStore
from shared.store.providers import MemorySide, Record
from tests.contract.salesforce_events_desk import KEY, PLAIN, Desk, person
from tests.contract.salesforce_world import Served

pytest_plugins = ("tests.contract.salesforce_fixtures",)
PLACE = Place("state", TenantId("tenant"), "mailbox", "m")
SEEDS = (0, 3, 6, 9, 13, 14)
OVERLAP = timedelta(seconds=120)
#: switch -> its two ways
WAYS: Mapping[str, tuple[Any, Any]] = {
    "salesforce.all_day_end": ("inclusive", "exclusive"),
    "salesforce.invitee_touches_event": (False, True),
    "salesforce.conditional_field": ("LastModifiedDate", "SystemModstamp"),
    "salesforce.flows": (
        [],
        [{"object": "Event", "field": None, "delay_s": 0}, {"object": "Event", "field": None, "delay_s": 7}],
    ),
}
FIELDS = ("subject", "when", "location", "description", "show_as", "private")


class Scope:
    """Everything of both sides is ours, as long as the vendor's adapter does not say that it can never be."""

    user = ""

    def judged(self, side: Side, seen: Seen) -> Judged:
        return Judged(not seen.facts.never, seen.facts.never or "saved.auto")

    def owns(self, crm: Seen) -> bool:
        return True

    def gave_away(self, link: Link, crm: Seen) -> bool:
        return False

    def rests(self, link: Link, seen: Seen) -> str:
        return "unmarked" if link.marked and not seen.marked else ""

    def is_over(self, link: Link) -> bool:
        return False

    def unsynced(self, seen: Seen) -> bool:
        return False

    def shown(self, link: Link | None, mail: Seen) -> Seen:
        return mail

    def terms(self, link: Link, mail: Seen | None) -> Terms:
        return Terms()


class Listing:
    """The adapter as a session has it: a listing first, then what the poll tells."""

    def __init__(self, history: History) -> None:
        self._history, self._desk = history, history.desk
        self._events = self._desk.events()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._events, name)

    def write(self, sends: Sequence[Send]) -> Sequence[Sent | ItemError]:
        """Somebody edits one of the events at the last moment."""
        ids = [send.id for send in sends if send.id]
        if ids and not self._history.is_calm and self._history.random.random() < 0.4:
            rules, self._desk.org.world.rules[:] = [*self._desk.org.world.rules], []
            self._desk.later(1)
            self._history.edit_there(self._history.random.choice(ids))
            self._desk.org.world.rules[:] = rules
            self._desk.later(1)
        try:
            return self._events.write(sends)
        finally:
            self._desk.later(1)

    def changes(self, kind: str, cursor: str | None) -> Page:
        began = self._desk.org.world.clock.now()
        if cursor is None or not cursor.startswith("at:"):
            page = self._events.changes(kind, cursor)
            return Page(page.seen, f"at:{began.isoformat()}" if page.done else page.cursor, page.done, listing=True)
        since = datetime.fromisoformat(cursor.removeprefix("at:")) - OVERLAP
        changed = [one for one in self._desk.feed().changed({kind: since}) if one.owner == self._desk.org.anna]
        seen = self._events.read(kind, [one.id for one in changed])
        ours = [one for one in seen.values() if not one.facts.never]
        return Page(tuple(ours), f"at:{began.isoformat()}", True)


class History:
    def __init__(self, org: Served, seed: int) -> None:
        self.org, self.desk, self.random = org, Desk(org), random.Random(seed)
        for bit, (switch, ways) in enumerate(WAYS.items()):
            org.world.switches[switch] = ways[seed >> bit & 1]
        org.org.settings.shared_activities = seed % 3 == 0
        self.is_keyed = seed % 4 != 1
        if self.is_keyed:
            org.org.add_key_field(KEY)
        self.people = [person(org, "Adler"), person(org, "Brandt"), org.ben, org.make("Lead", LastName="Lind", Company="Lind")]
        self.store = MemoryStore()
        self.store.commit(PLACE, [Insert(records.STATE, new_state(org.world.clock.now()))])
        self.mail = MemorySide("mail", lambda what: None, lambda what: None, time=org.world.clock.now)
        self.is_calm = False

    # bell and ledger

    def ring(self, ring: Ring, delay_s: float = 0.0) -> None:
        """Sessions are begun by hand here."""

    def note(self, entry: LedgerEntry) -> None:
        """Not looked at."""

    def flush(self) -> None:
        """Nothing waits."""

    def session(self) -> None:
        self.desk.later(61)
        self.org.token = self.org.org.issue_token("anna@acme.example.com", "mailspan-app")["access_token"]
        self.org.http.headers["Authorization"] = f"Bearer {self.org.token}"
        crm: Any = Listing(self)
        sides: dict[Side, Provider] = {"mail": self.mail, "crm": crm}
        sync = ItemSync(["event"], sides, self, mailbox="m", digest_key=b"d" * 32, scope=Scope())
        clock = self.org.world.clock
        ring = Ring(MailboxKey("m"), "user", clock.now())
        run_session(ring, place=PLACE, store=self.store, bell=self, clock=clock, session_id="s", parts=lambda: [sync])
        self.org.world.rules.clear()
        self.desk.later(1)

    # what users do

    def token(self) -> str:
        return f"T{self.random.randrange(10**9)}"

    def some_fields(self) -> dict[str, Value]:
        day = datetime(2094, 2, 1, tzinfo=UTC) + timedelta(days=self.random.randrange(20), hours=self.random.randrange(20))
        timed = f"{day:%Y-%m-%dT%H:%M:%SZ}/{day + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"
        values: dict[str, Value] = {
            "subject": self.token(), "location": self.token(), "description": f"{self.token()}\n{self.token()}",
            "when": self.random.choice((timed, f"{day.date()}/{day.date() + timedelta(days=1)}")),
            "show_as": self.random.choice(("free", "busy", "oof", "tentative")),
            "private": self.random.choice(("no", "no", "yes")),
            "people": tuple(sorted(self.random.sample(self.people, self.random.randrange(4)))),
        }  # fmt: skip
        return {name: values[name] for name in self.random.sample(list(values), self.random.randrange(1, 4))}

    def step(self) -> None:
        alive = self.mail.alive("event")
        theirs = self.live_events()
        act = self.random.choice(
            ("make", "make there", "edit", "edit", "edit there", "edit there", "remove", "remove there", "open")
        )
        if act == "make":
            self.mail.create("event", {**PLAIN, "people": (), "answers": (), **self.some_fields(), "subject": self.token()})
        elif act == "make there":
            self.org.make("Event", Subject=self.token(), StartDateTime="2094-02-03T10:00:00Z", DurationInMinutes=45)
        elif act == "edit there" and theirs:
            self.edit_there(self.random.choice(theirs)["Id"])
        elif act == "remove there" and theirs and self.random.random() < 0.3:
            self.org.call("DELETE", f"/sobjects/Event/{self.random.choice(theirs)['Id']}")
        elif alive:
            self.in_mailbox(act, self.random.choice(alive))

    def in_mailbox(self, act: str, record: Record) -> None:
        if act == "edit":
            self.mail.edit(record, self.some_fields())
        elif act == "open":
            self.mail.open(record)
        elif act == "remove" and self.random.random() < 0.3:
            self.mail.remove(record)

    def edit_there(self, event_id: str) -> None:
        fields: dict[str, Any] = {"Subject": self.token(), "Location": self.token(), "ShowAs": "Free"}
        name = self.random.choice(list(fields))
        answer = self.org.call("PATCH", f"/sobjects/Event/{event_id}", json={name: fields[name]})
        assert answer.status_code in (204, 404), answer.text

    def live_events(self) -> list[dict[str, Any]]:
        return self.org.query("SELECT Id FROM Event WHERE IsChild = false ORDER BY Id")

    def trouble(self) -> None:
        kind, match = self.random.choice(
            [("drop_after", "composite"), ("drop_before", "composite"), ("locked_row", "update Event"),
             ("locked_row", "create Event"), ("locked_row", "create EventRelation"), ("lost", "composite/sobjects"),
             ("unavailable", "POST composite")]
        )  # fmt: skip
        self.desk.fault(kind, match, after=self.random.randrange(3), times=self.random.randrange(1, 3))


def pairs(history: History) -> Sequence[tuple[Record, str]]:
    rows = [row.value for row in history.store.scan(PLACE, *records.every("link"))]
    live = [row for row in rows if row["mail"]["id"] and row["crm"]["id"] and row["state"] == "live"]
    return [(history.mail.records[row["mail"]["id"]], row["crm"]["id"]) for row in live]


def run(org: Served, seed: int) -> History:
    history = History(org, seed)
    for _ in range(14):
        for _ in range(history.random.randrange(5)):
            history.step()
        if history.random.random() < 0.4:
            history.trouble()
        history.session()
    history.is_calm = True
    for _ in range(25):  # what was held or failed is tried again after minutes
        history.session()
    return history


@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_ends_in_step_and_at_rest(org: Served, seed: int) -> None:
    history = run(org, seed)
    linked = pairs(history)
    assert linked
    seen = history.desk.events().read("event", [event_id for _, event_id in linked])
    for record, event_id in linked:
        item = seen[event_id].item
        assert item is not None and not record.deleted
        mine = narrowed("event", "crm", canonical("event", record.fields))
        assert {name: item.fields[name] for name in FIELDS} == {name: mine[name] for name in FIELDS}
    assert len({event_id for _, event_id in linked}) == len(linked) == len({record.id for record, _ in linked})
    live = {row["Id"] for row in history.live_events()}
    assert {event_id for _, event_id in linked} <= live
    if history.is_keyed:  # what we made is linked, or was once
        known = {row.value["crm"]["id"] for row in history.store.scan(PLACE, *records.every("link"))}
        ours = {row["Id"] for row in org.query(f"SELECT Id FROM Event WHERE {KEY} != null")}
        assert ours <= known
    stamps, writes = _stamps(org), history.mail.writes
    history.session()
    history.session()
    assert (_stamps(org), history.mail.writes) == (stamps, writes)


def _stamps(org: Served) -> dict[str, str]:
    return {row["Id"]: row["LastModifiedDate"] for row in org.query("SELECT Id, LastModifiedDate FROM Event")}
