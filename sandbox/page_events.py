"""Which event of a calendar and which Salesforce Event belong together, and what the ledger calls them: for the page alone.

Rules that hold here:
- The product puts its key into the record that it makes, and its stamp on the event that it makes; both are computed here from
  what the vendors hold. Nothing of the product's own state is read.
- Two that stood on both sides before have neither: they belong together by subject and start, as people see it.

It must never be asked by the product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.microsoft import Mailbox
from sandbox.microsoft.event import Instance
from sandbox.salesforce import values
from sandbox.sample.loading import KEY_FIELD
from sandbox.serve import Sandbox
from shared.core.keys import item_key, mailbox_key
from shared.session.links import key_of_item, link_key

#: occurrences that the page may show
BACK, AHEAD = timedelta(days=60), timedelta(days=190)
Row = Mapping[str, Any]


def events_of(sandbox: Sandbox, mailbox: Mailbox) -> dict[str, dict[str, str]]:
    """{ledger item: {"subject", "event", "record"}}; an id is missing where there is none."""
    secret = sandbox.settings.install_secret
    owner = mailbox_key(secret, "microsoft", mailbox.address)
    rows = [row for row in sandbox.salesforce.records.store.all("Event") if not row["IsDeleted"] and not row["IsChild"]]
    keyed = {key_of_item(str(row[KEY_FIELD])): row for row in rows if row.get(KEY_FIELD)}
    came_down = {link_key(owner, "event", "crm", row["Id"]): row for row in rows}
    twins = {(row["Subject"], _start_of(row)): row for row in rows if not row.get(KEY_FIELD)}
    found: dict[str, dict[str, str]] = {}
    for one in _instances(mailbox):
        key, row = item_key(secret, "event", _uid(one)), None
        if stamp := next((stamp for stamp in _stamps(one) if stamp in came_down), ""):
            key, row = stamp, came_down[stamp]
        row = row or keyed.get(key) or twins.get((one.details.subject, one.details.begins))
        found[key] = {
            "subject": one.details.subject, "event": one.shown_id(True), **({"record": str(row["Id"])} if row else {}),
        }  # fmt: skip
    alone = {key: {"subject": str(row["Subject"] or ""), "record": str(row["Id"])} for key, row in came_down.items()}
    return alone | found


def _instances(mailbox: Mailbox) -> Iterator[Instance]:
    """Single events wherever they lie, and the occurrences around today."""
    now = mailbox.world.clock.now()
    yield from (event.instance() for event in mailbox.calendar.events() if event.details.recurrence is None)
    yield from (one for one in mailbox.calendar.view(now - BACK, now + AHEAD) if one.day is not None)


def _uid(one: Instance) -> str:
    """What names it in every mailbox: of an occurrence the series and the start that the rule gave it."""
    if one.day is None:
        return one.ical_uid
    return f"{one.event.instance().ical_uid}/{one.event.details.on(one.day).begins.strftime('%Y%m%dT%H%M%SZ')}"


def _stamps(one: Instance) -> Iterator[str]:
    yield from (key_of_item(value) for _, value in one.own.properties.values())


def _start_of(row: Row) -> datetime:
    return values.read(row["StartDateTime"]).astimezone(UTC)
