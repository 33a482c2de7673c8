"""The events' half of `compare.py`: what lies in the calendars and what stands in Salesforce, against the manifest of events.

Rules that hold here:
- It shares no code with the product: vendor HTTP and the world's manifest, which was written by hand.
- Everything is looked at from both ends: what is missing, what is there twice, and what nobody expected. A record is known by
  its id where it stood before, else by subject and start; copies of invitees (IsChild) belong to their record.
- Times are compared as moments, whole days as dates, whatever zone a vendor shows them in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
Rows = Callable[[str], Iterator[Json]]

SELECT = "id,subject,start,end,isAllDay,location,showAs,sensitivity,categories,body,type,attendees,organizer,isCancelled"
FIELDS = (
    "Id, Subject, StartDateTime, EndDateTime, IsAllDayEvent, ActivityDate, EndDate, Location, ShowAs, IsPrivate, OwnerId, "
    "WhoId, WhatId, Description"
)
LONGEST_SUBJECT = LONGEST_PLACE = 255
LONG_TEXT = range(31_000, 32_001)
JOIN = "teams.microsoft.com"


def calendar_differences(rows: Rows, address: str, manifest: Sequence[Json]) -> Iterator[str]:
    """`rows`: every row below a path of Graph, as one mailbox's user."""
    there = {event["id"]: event for event in rows(f"/me/events?$select={SELECT}&$top=200")}
    expected = [(entry, one) for entry in manifest for one in entry["mailbox"] if one["mailbox"] == address]
    for entry, one in expected:
        because = f" ({entry['rule']}: {entry['why']})"
        event_id = one["id"] or next((i for i, event in there.items() if _is_it(event, one)), "")
        found = there.pop(event_id, None)
        if found is None:
            yield f"{address}: the event {entry['event']} is not in the calendar{because}."
            continue
        yield from (f"{address}: the event {entry['event']}: {sentence}{because}." for sentence in _event_wrong(one, found))
    for event in there.values():
        yield f"{address}: there is an event nobody expected: {event['subject']!r} {event['start']['dateTime']}."


def _is_it(event: Json, one: Json) -> bool:
    return bool(event["subject"] == one["subject"] and _graph_time(event, "start") == one["start"])


def _event_wrong(one: Json, found: Json) -> Iterator[str]:
    wanted = {
        "subject": (one["subject"], found["subject"]),
        "start": (one["start"], _graph_time(found, "start")),
        "end": (one["end"], _graph_time(found, "end")),
        "location": (one["place"], (found["location"] or {}).get("displayName") or ""),
        "private": (one["private"], found["sensitivity"] == "private"),
        "categories": (sorted(one["categories"]), sorted(found["categories"])),
        "showAs": (one["shows"] or found["showAs"], found["showAs"]),
        "series": (one["is_series"], found["type"] == "seriesMaster"),
    }
    yield from (f"{name} is {is_!r}, expected {should!r}" for name, (should, is_) in wanted.items() if should != is_)
    if one["contains"] not in found["body"]["content"]:
        yield f"its text of {len(found['body']['content'])} characters does not hold {one['contains']}"
    if not one["id"] and found["attendees"]:
        yield f"it has attendees: {[one['emailAddress']['address'] for one in found['attendees']]}"


def _graph_time(event: Json, which: str) -> str:
    """UTC, or for whole days the first and the last date. Graph answers in UTC where nothing else is asked for."""
    moment = datetime.fromisoformat(event[which]["dateTime"][:19])
    if event["isAllDay"]:
        return (moment.date() - timedelta(days=which == "end")).isoformat()
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def record_differences(rows: Rows, manifest: Sequence[Json]) -> Iterator[str]:
    """`rows`: every row that a SOQL statement finds."""
    there = {row["Id"]: row for row in rows(f"SELECT {FIELDS} FROM Event WHERE IsChild = false")}
    invited = defaultdict(dict)
    for row in rows("SELECT EventId, RelationId, Status FROM EventRelation"):
        invited[row["EventId"]][row["RelationId"]] = row["Status"]
    wanted = [(entry, one) for entry in manifest for one in entry["records"]]
    for entry, one in sorted(wanted, key=lambda pair: not pair[1]["id"]):
        because = f" ({entry['rule']}: {entry['why']})"
        record_id = one["id"] or next((i for i, row in there.items() if _is_record(row, one)), "")
        found = there.pop(record_id, None)
        if found is None:
            yield f"{entry['event']}: no record of {one['start']}{because}."
            continue
        sentences = [*_record_wrong(one, found), *_people_wrong(one, found, invited[found["Id"]])]
        yield from (f"{entry['event']} of {one['start']}: {sentence}{because}." for sentence in sentences)
    for row in there.values():
        yield f"There is an Event nobody expected: {row['Subject']!r} {_record_time(row, 'Start')}."


def _is_record(row: Json, one: Json) -> bool:
    return bool((row["Subject"] or "") == one["subject"][:LONGEST_SUBJECT] and _record_time(row, "Start") == one["start"])


def _record_wrong(one: Json, row: Json) -> Iterator[str]:
    wanted = {
        "Subject": (one["subject"][:LONGEST_SUBJECT], row["Subject"] or ""),
        "Start": (one["start"], _record_time(row, "Start")),
        "End": (one["end"], _record_time(row, "End")),
        "Location": (one["place"][:LONGEST_PLACE], row["Location"] or ""),
        "ShowAs": (one["shows"], row["ShowAs"]),
        "IsPrivate": (one["private"], row["IsPrivate"]),
        "OwnerId": (one["owner"], row["OwnerId"]),
        "WhatId": (row["WhatId"] if one["related"] == "*" else one["related"] or None, row["WhatId"]),
    }
    for name, (should, is_) in wanted.items():
        if should != is_:
            named = f" ({one['related_name']})" if name == "WhatId" else ""
            yield f"{name} is {is_!r}, expected {should!r}{named}"
    text = row["Description"] or ""
    if one["contains"] not in text:
        yield f"its Description of {len(text)} characters does not hold {one['contains']}"
    if one["text"] == "cut" and len(text) not in LONG_TEXT:
        yield f"its long Description has {len(text)} characters"
    if one["text"] == "block" and JOIN in text:
        yield "its Description holds the join block"


def _people_wrong(one: Json, row: Json, invited: Mapping[str, str]) -> Iterator[str]:
    """Everybody the record is with, whether as WhoId, in the list of people or invited; its related record is no person."""
    found = {row["WhoId"], *invited} - {None, row["WhatId"]}
    names = {person: name for person, _, name in one["people"]}
    yield from (f"{names[person]} is not in it" for person in sorted(names.keys() - found))
    yield from (f"{person} is in it and should not be" for person in sorted(found - names.keys()))
    for person, answer, name in one["people"]:
        if answer and person in invited and invited[person] != answer:
            yield f"{name} has the answer {invited[person]}, expected {answer}"


def _record_time(row: Json, which: str) -> str:
    if row["IsAllDayEvent"]:
        return str(row["ActivityDate"] if which == "Start" else row["EndDate"])
    moment = datetime.strptime(row[f"{which}DateTime"], "%Y-%m-%dT%H:%M:%S.%f%z")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
