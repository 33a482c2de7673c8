"""The matching law through the product: what `matching.csv` says becomes of a mail is what stands at the vendors afterwards.

Every row that needs nothing but a mailbox and an org is a raw mail in a mailbox of the local world; sessions run; then the
Salesforce records are read over HTTP as anybody could, and the rule that decided is read from the ledger. Rows that need what
only the sidebar could have done (`needs`) are left to `tests/unit/test_matching.py`, and counted.

Rules that hold here:
- A mail lies where its row says. Where the category marks it in a folder that is read anyway, it lies a second time, as a
  mail of its own, in a sub-folder three deep: a mark counts wherever the mail lies.
- Rows of the same settings share sessions; rows of another look-back have a mailbox of their own, which began with it.
- The ledgers are read in the order of MAILBOXES; what two of them say of one mail is joined by "then".
- What no stream of the mailbox brings is never decided about, so the ledger says nothing of it; everything else is one entry.
- Nothing is asked of the product about a record; only the vendor is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from itertools import groupby
from typing import Any

import pytest

from sandbox.microsoft.mime import parse
from sandbox.salesforce.values import written
from shared.access.profiles import COMPANY, user_layer
from shared.core.keys import item_key
from shared.core.profile import BY_NAME
from shared.ports import MailboxKey
from shared.session import records
from tests.system.compare import Vendor, soql_rows
from tests.system.matching import PLACES, ROLES, Outcome, Record, Row, org, rows
from tests.system.stage import APP, Stage

Json = dict[str, Any]
#: What becomes of a mail, and the names of what its file hangs on.
Told = tuple[Outcome, tuple[str, ...]]

MAILBOXES = ("dana", "erik")
MARKS = ("Salesforce", "Salesforce Unsync")
#: Folders of a person's own, by the name in the law; all others are the vendor's or named as they are.
FOLDERS = {"archive": "Customers", "deep": "Customers/2026/Acme"}
SECOND: Json = {"name": "Second_Email__c", "type": "email", "label": "Second Email", "length": 80}
STAGES = {"closed": "Closed Won", "": "Prospecting"}
CALENDAR = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
DAY = 86_400.0


# --- the org


class _World:
    """The org and the mailboxes of the law on a stage. `ids`: record id by its name in the law; `activated`: when the
    mailboxes were connected; now is two days later."""

    def __init__(self, stage: Stage, settings: Mapping[str, Any]) -> None:
        self.stage = stage
        addresses = {name: org().addresses_of(name) for name in MAILBOXES}
        self.address = {name: first for name, (first, *_) in addresses.items()}
        stage.users(
            *self.address.values(), aliases={first: further for first, *further in addresses.values()}, **_company(settings)
        )
        self.ids = {name: stage.ids[address] for name, address in self.address.items()}
        stage.do(self._fill)
        self.names = {record_id: name for name, record_id in self.ids.items()}
        place = stage.wire.mailbox_place(MailboxKey(stage.key(self.address["dana"])))
        state = stage.wire.store.get(place, records.STATE)
        assert state is not None
        self.activated = records.moment_of(records.read(state)["activated"])
        stage.advance(2 * DAY)

    def _fill(self) -> None:
        """Makes the records, created in the order of the file, a second apart: the vendor keeps no finer time. Of each kind the
        last comes first, as an import may bring them, so that a lower id is not an older record."""
        salesforce = self.stage.salesforce
        for kind in ("Contact", "Lead"):
            salesforce.records.schema.add_field(kind, SECOND)
        everything = list(org().records.values())
        for _, some in groupby(everything, key=lambda record: record.kind):
            for record in reversed(list(some)):
                if record.name not in self.ids:
                    self.ids[record.name] = self._create(record)
        for age, record in enumerate(reversed(everything), 1):
            created = written(salesforce.now() - timedelta(seconds=age))
            salesforce.records.system_update(record.kind, self.ids[record.name], {"CreatedDate": created})

    def _create(self, record: Record) -> str:
        salesforce = self.stage.salesforce
        if record.kind == "User":
            active = record.state != "inactive"
            return salesforce.add_user(record.email, record.name, "Law", record.email, active=active)
        made = salesforce.records.create(record.kind, self._fields(record), salesforce.admin_id)
        if record.kind == "Case":  # the vendor numbers its cases itself, and not all of them are in the file
            salesforce.records.system_update("Case", made, {"CaseNumber": record.number})
        return made

    def _fields(self, record: Record) -> Json:
        account = self.ids.get(record.account)
        person: Json = {"LastName": record.name, "Email": record.email, SECOND["name"]: record.more or None}
        by_kind: Mapping[str, Json] = {
            "Account": {"Name": record.name, "Website": record.website},
            "Lead": person | {"Company": record.name, "IsConverted": record.state == "converted"},
            "Contact": person | {"AccountId": account},
            "Opportunity": {
                "Name": record.name, "AccountId": account, "OwnerId": self.ids.get(record.owner), "CloseDate": "2030-01-01",
                "StageName": STAGES.get(record.state),
            },
            "Case": {"Subject": record.name, "AccountId": account},
        }  # fmt: skip
        return by_kind[record.kind]


def _company(settings: Mapping[str, Any]) -> Json:
    return {name: value for name, value in settings.items() if not name.startswith("user_")}


def _own(settings: Mapping[str, Any]) -> Json:
    return {name: value for name, value in settings.items() if name.startswith("user_")}


# --- the mails


@dataclass(frozen=True)
class Sent:
    """A mail of a row. `number` makes it a mail of its own; in two mailboxes the same number is the same mail."""

    row: Row
    number: int
    received: datetime

    @property
    def message_id(self) -> str:
        return f"<row-{self.number}@law.test>"

    @property
    def text(self) -> str:
        return f"This is what mail {self.number}z says."

    @property
    def file(self) -> str:
        return f"paper {self.number}z"

    def raw(self) -> bytes:
        """Only the headers that the row has."""
        row, message = self.row, EmailMessage()
        headers = {
            "From": row.sender, "To": ", ".join(row.to), "Cc": ", ".join(row.cc), "Bcc": ", ".join(row.bcc),
            "Subject": row.subject, "Sensitivity": "Private" if row.kind == "private" else "",
        }  # fmt: skip
        for name, value in headers.items():
            if value:
                message[name] = value
        message["Date"], message["Message-ID"] = format_datetime(self.received), self.message_id
        message.set_content(self.text)
        if row.kind == "meeting":
            message.add_alternative(CALENDAR, subtype="calendar", params={"method": "REQUEST"})
        message.add_attachment(b"paper", maintype="application", subtype="pdf", filename=f"{self.file}.pdf")
        return message.as_bytes()

    def is_brought(self, look_back_days: int, activated: datetime) -> bool:
        """Whether a stream of the mailbox brings it: by a mark of its own or its folder's, or Inbox and Sent since then."""
        role, marked_folder = PLACES[self.row.lies]
        recent = self.received >= activated - timedelta(days=look_back_days)
        return marked_folder or bool({*MARKS} & {*self.row.categories}) or (role in ("inbox", "sentitems") and recent)


def _law() -> list[Row]:
    return [row for row in rows() if not row.needs]


def _with_copies(some: Iterable[Row]) -> Iterable[Row]:
    for row in some:
        yield row
        if "Salesforce" in row.categories and row.lies in ("inbox", "sent", "archive"):
            yield replace(row, name=f"{row.name}, three deep", lies="deep")


def _look_back(row: Row) -> int:
    return int(row.settings.get("look_back_days", BY_NAME["look_back_days"].default))


def _by_settings(some: Iterable[Row]) -> list[tuple[Mapping[str, Any], list[Row]]]:
    groups: dict[str, tuple[Mapping[str, Any], list[Row]]] = {}
    for row in some:
        groups.setdefault(json.dumps(row.settings, sort_keys=True), (row.settings, []))[1].append(row)
    return list(groups.values())


def _deliver(world: _World, mails: Iterable[Sent]) -> None:
    """Into their folders, with their categories; a draft is one that the mailbox's owner wrote."""
    for sent in mails:
        row = sent.row
        mailbox = world.stage.mailbox(world.address[row.mailbox])
        role, _ = PLACES[row.lies]
        folder = role or mailbox.make_folder(FOLDERS.get(row.lies, row.lies))
        if row.kind == "draft":
            mailbox.create(parse(sent.raw()), folder, received=sent.received, categories=row.categories)
        else:
            mailbox.deliver(sent.raw(), folder=folder, received=sent.received, categories=row.categories)


def _sent(world: _World, row: Row, number: int) -> Sent:
    return Sent(row, number, world.activated - timedelta(days=row.days))


def _run(world: _World, settings: Mapping[str, Any], mails: Sequence[Sent], mailboxes: Iterable[str]) -> None:
    """Sets the settings, puts the mails there, runs sessions of the mailboxes in this order."""
    stage = world.stage
    stage.wire.profiles.save(COMPANY, _company(settings))
    for name in MAILBOXES:
        stage.wire.profiles.save(user_layer(MailboxKey(stage.key(world.address[name]))), _own(settings))
    stage.do(lambda: _deliver(world, mails))
    for name in mailboxes:
        assert {report.result for report in stage.sessions(world.address[name])} == {"ok"}


# --- what became of them


class Found:
    """What Salesforce answers a user of the org, and what the ledgers say."""

    def __init__(self, world: _World) -> None:
        stage = world.stage
        self._world = world
        self._secret = stage.wire.settings.install_secret
        token = stage.do(lambda: stage.salesforce.issue_token(world.address["dana"], APP))["access_token"]
        vendor = Vendor(stage.salesforce.base_url, token, str(stage.authority.ca_file))
        self.mails: dict[str, list[Json]] = defaultdict(list)
        for one in soql_rows(
            vendor, "SELECT Id, MessageIdentifier, Incoming, RelatedToId, TextBody, HtmlBody FROM EmailMessage"
        ):
            self.mails[one["MessageIdentifier"]].append(one)
        self.relations: dict[str, list[Json]] = defaultdict(list)
        for one in soql_rows(vendor, "SELECT EmailMessageId, RelationId, RelationType FROM EmailMessageRelation"):
            self.relations[one["EmailMessageId"]].append(one)
        self.accounts = {one["Id"]: one["AccountId"] for one in soql_rows(vendor, "SELECT Id, AccountId FROM Contact")}
        self.files = self._files(vendor)
        self.rules: dict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
        for name in MAILBOXES:
            for entry in stage.decisions(world.address[name]):
                self.rules[entry.item].append((entry.rule, entry.fields))

    def _files(self, vendor: Vendor) -> dict[str, list[str]]:
        """Title of a file -> ids of the records it hangs on; that it is also its uploader's is no link of the mail."""
        known = [record_id for name, record_id in self._world.ids.items() if org().records[name].kind != "User"]
        listed = [mail["Id"] for some in self.mails.values() for mail in some] + known
        found: dict[str, list[str]] = defaultdict(list)
        for first in range(0, len(listed), 150):
            among = ", ".join(f"'{one}'" for one in listed[first : first + 150])
            query = f"SELECT ContentDocument.Title, LinkedEntityId FROM ContentDocumentLink WHERE LinkedEntityId IN ({among})"
            for one in soql_rows(vendor, query):
                found[one["ContentDocument"]["Title"].removesuffix(".pdf")].append(one["LinkedEntityId"])
        return found

    def outcome(self, sent: Sent) -> Told:
        """In the words of the law, and what the mail's file hangs on."""
        decisions = self.rules[item_key(self._secret, "mail", sent.message_id)]
        rule = " then ".join(rule for rule, _ in decisions)
        standing = self.mails[sent.message_id]
        if len(standing) != 1:
            copies = f" ({len(standing)} records)" if standing else ""
            return Outcome(rule + copies), self._hangs_on(sent, {})
        [mail] = standing
        linked = [one for one in self.relations[mail["Id"]] if one["RelationId"]]
        short = {role: name for name, role in ROLES.items()}
        return Outcome(
            rule=rule,
            incoming="yes" if mail["Incoming"] else "no",
            people=tuple(sorted(f"{short[one['RelationType']]} {self._name(one['RelationId'])}" for one in linked)),
            related=self._name(mail["RelatedToId"]),
            related_by=" ".join(field for _, said in decisions for field in said),
            account=tuple(sorted({self._name(self.accounts.get(one["RelationId"])) for one in linked} - {""})),
            text=_text_of(mail, sent.text),
        ), self._hangs_on(sent, {mail["Id"]: "the mail"})

    def _hangs_on(self, sent: Sent, known: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(sorted(known.get(one) or self._name(one) for one in self.files[sent.file]))

    def _name(self, record_id: str | None) -> str:
        return self._world.names.get(record_id, record_id) if record_id else ""


def _text_of(mail: Json, text: str) -> str:
    said = [mail["TextBody"] or "", mail["HtmlBody"] or ""]
    if not any(said):
        return "none"
    return "full" if any(text in one for one in said) else f"other: {said}"


def _wanted(sent: Sent, *, is_brought: bool) -> Told:
    """What the row says, as far as Salesforce has an order: people and accounts as sets, a person once in a role."""
    said = sent.row.expected
    if said.rule.startswith("skipped."):
        return Outcome(said.rule if is_brought else ""), ()
    hangs_on = ["the mail", said.related] if said.related else ["the mail"]
    people, account = tuple(sorted({*said.people})), tuple(sorted(said.account))
    return replace(said, people=people, account=account), tuple(sorted(hangs_on))


def _line(name: str, wanted: Told, got: Told) -> str:
    def told(one: Told) -> str:
        said = {field.name: getattr(one[0], field.name) for field in fields(Outcome)} | {"file on": one[1]}
        shown = (f"{key}={'; '.join(value) if isinstance(value, tuple) else value}" for key, value in said.items() if value)
        return ", ".join(shown) or "nothing"

    return f"{name}:\n    wanted {told(wanted)}\n    got    {told(got)}"


def _differences(found: Found, wanted: Sequence[tuple[Sent, Told]]) -> list[str]:
    """A readable line for every mail that is not as it should be, and for every record of no mail at all."""
    lines = [_line(sent.row.name, said, got) for sent, said in wanted if (got := found.outcome(sent)) != said]
    strangers = {identifier for identifier, some in found.mails.items() if some} - {sent.message_id for sent, _ in wanted}
    lines += [f"a record that nobody expected: {identifier}" for identifier in sorted(strangers)]
    return [f"{len(lines)} differences in {len(wanted)} mails", *lines] if lines else []


@pytest.mark.parametrize("look_back", sorted({_look_back(row) for row in _law()}))
def test_what_becomes_of_a_mail_at_the_vendors(stage: Stage, look_back: int) -> None:
    law = [row for row in _law() if _look_back(row) == look_back]
    groups = _by_settings(law)
    world = _World(stage, groups[0][0])
    mails: list[Sent] = []
    for settings, some in groups:
        batch = [_sent(world, row, number) for number, row in enumerate(_with_copies(some), len(mails))]
        _run(world, settings, batch, dict.fromkeys(sent.row.mailbox for sent in batch))
        mails += batch
    brought = {sent.number for sent in mails if sent.is_brought(look_back, world.activated)}
    wanted = [(sent, _wanted(sent, is_brought=sent.number in brought)) for sent in mails]
    print(
        f"look-back {look_back}: {len(law)} rows as {len(mails)} mails, {len(mails) - len(brought)} of which no stream brings, "
        f"under {len(groups)} settings; {len(rows()) - len(_law())} rows need a wish and are left to the pure test"
    )
    assert not (lines := _differences(Found(world), wanted)), "\n".join(lines)


def _copies_of_one_mail() -> list[dict[str, Row]]:
    """Rows that are one mail in several mailboxes, by mailbox."""
    groups: dict[tuple[Any, ...], dict[str, Row]] = defaultdict(dict)
    for row in _law():
        groups[row.sender, row.to, row.cc, row.bcc, row.subject, str(row.settings)].setdefault(row.mailbox, row)
    return [rows for rows in groups.values() if len(rows) == len(MAILBOXES)]


def test_one_mail_in_two_mailboxes_is_one_record_as_the_copy_read_first_says(stage: Stage) -> None:
    pairs = _copies_of_one_mail()
    world = _World(stage, pairs[0][MAILBOXES[0]].settings)
    wanted: list[tuple[Sent, Told]] = []
    for order in (MAILBOXES, MAILBOXES[::-1]):
        for pair in pairs:
            first, *others = (_sent(world, pair[name], len(wanted)) for name in order)
            _run(world, first.row.settings, [first, *others], order)
            said, hangs_on = _wanted(first, is_brought=True)
            rules = {order[0]: said.rule} | dict.fromkeys(order[1:], "saved.shared")
            wanted.append((first, (replace(said, rule=" then ".join(rules[name] for name in MAILBOXES)), hangs_on)))
    print(f"{len(pairs)} mails in {len(MAILBOXES)} mailboxes each, in both orders")
    assert not (lines := _differences(Found(world), wanted)), "\n".join(lines)
