"""Mail in an org without Enhanced Email: a completed Task for each. Pure.

Rules that hold here (behaviour.md E2, 2.2):
- Who wrote to whom and when stands in the first lines of the comments, then the text, then a last line that names the mail:
  a Task has no field for a Message-ID, and that line is how a mail is found again after a lost answer.
- The first Contact is the Task's person, else the Lead, and a Lead has no related record.
- Only a *last* line counts: a forwarded mail may carry such lines anywhere else.

Source: Object Reference, page Task; "WhoId and WhatId".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any

from shared.core.mail import Address, MailRecord
from shared.crm.salesforce_text import clean, line, narrow, plain, units
from shared.crm.schema import Described

CONTACT, LEAD = "003", "00Q"
MARK = "Message-ID: "
HEAD = 4_000  # UTF-16 units that the lines of participants may take
READ = 500_000  # characters of HTML that are read for its text


def task(record: MailRecord, described: Described, status: str) -> dict[str, Any]:
    """The fields of a new Task. `status` is one that closes it."""
    people = [person for person, _, _ in record.links.people]
    contact = next((person for person in people if person.startswith(CONTACT)), "")
    lead = next((person for person in people if person.startswith(LEAD)), "")
    fields = {
        "Subject": narrow(line(record.subject), described.length("Subject")),
        "Description": description(record, described.length("Description")),
        "Status": status,
        "TaskSubtype": "Email",
        "ActivityDate": record.date.astimezone(UTC).date().isoformat(),
        "WhoId": contact or lead,
        "WhatId": "" if lead and not contact else record.links.related,
    }
    return {"attributes": {"type": "Task"}} | {n: v for n, v in fields.items() if v and described.createable(n)}


def description(record: MailRecord, most: int) -> str:
    """Participants and date, the text, the mail's name; the text gives way."""
    lists = (("From", (record.sender,)), ("To", record.to), ("Cc", record.cc), ("Bcc", record.bcc))
    lines = [f"{name}: {_shown(people)}" for name, people in lists if _shown(people)]
    lines.append(f"Date: {record.date.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    head, foot = narrow("\n".join(lines), HEAD), f"{MARK}{line(record.identifier)}"
    text = clean(record.text or plain(record.html[:READ]))
    room = max(0, most - units(head) - units(foot) - 4)
    return "\n\n".join(part for part in (head, narrow(text, room), foot) if part)


def identifier_in(comments: str | None) -> str:
    """The mail that a Task's comments name in their last line, "" for none."""
    last = (comments or "").rstrip().rpartition("\n")[2]
    return last.removeprefix(MARK).strip() if last.startswith(MARK) else ""


def closing_status(rows: Iterable[Mapping[str, Any]]) -> str:
    """The org's first status that closes a task, of rows of TaskStatus; the vendor's own default where there is none."""
    ordered = sorted(rows, key=lambda row: (row.get("SortOrder") or 0, str(row["MasterLabel"])))
    return str(ordered[0].get("ApiName") or ordered[0]["MasterLabel"]) if ordered else "Completed"


def _shown(people: Iterable[Address]) -> str:
    shown = (
        f"{line(one.name)} <{line(one.address)}>" if one.name and one.address else one.address or one.name for one in people
    )
    return ", ".join(line(one) for one in shown if one)
