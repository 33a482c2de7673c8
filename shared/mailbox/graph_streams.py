"""The mail streams of a Graph mailbox: what each keeps in its cursor, and the request that reads on from there. Pure.

| stream | reads | until it has a cursor |
|---|---|---|
| `folders` | changes of the folder tree | the whole tree |
| `inbox`, `sentitems` | changes of that folder | mail received since the look-back |
| `older_inbox`, `older_sentitems` | what the delta's first round left out, newest first; then it ends | - |
| `marked`, `marked_...` | changes of "Salesforce Emails" and of each folder below it | all that lies there |
| `mark`, `unsync` | the whole mailbox by category and time of change | all that carries the category |

Rules that hold here:
- A cursor is JSON that holds ids, links below the mailbox's address, hashes and times; nothing of the content.
- A query by category looks back from its own beginning by MARGIN: clocks differ, and an index may lag. Its pages overlap,
  so that mail which loses its category between two pages hides no other.
- A delta with a look-back gives 5,000 mails at most and keeps its look-back for good. Where it may have been cut off, the rest
  is listed once, from the newest to the oldest; where an earlier look-back is wanted later, the stream begins anew.
- Which options a delta takes is unsure. A stream begins with the most and goes on with less where that is refused (VARIANTS);
  what was taken is kept with the link, and a stream that begins anew tries the most again.

Sources: learn.microsoft.com/graph/delta-query-messages, /graph/api/message-delta, /graph/api/user-list-messages,
/graph/api/mailfolder-list-messages, /graph/api/mailfolder-delta, /graph/api/mailsearchfolder-post.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from shared.core.scope import MARK, UNSYNC
from shared.mailbox.graph_map import HEADERS, KEPT, MAIL, moment

FOLDERS = "folders"
#: stream -> well-known folder
DELTAS = {"inbox": "inbox", "sentitems": "sentitems"}
MARKED = "marked"
OLDER = "older"
#: stream -> category
MARKS = {"mark": MARK, "unsync": UNSYNC}

MARGIN = timedelta(minutes=5)
#: A search folder fills in the background; until then its query begins at the same time again.
SETTLES_IN = timedelta(minutes=15)
#: A link to where nothing changed is kept so long: a quiet mailbox has nothing to write down, and no link grows old.
LINK_LASTS = timedelta(days=1)
PAGE = 200
OVERLAP = 20
MESSAGES_PREFER = f"odata.maxpagesize={PAGE}"
#: A round that gave so many may have been cut off at the vendor's 5,000; a listing that finds nothing more costs little.
MAY_BE_CUT = 4_000
SECOND = timedelta(seconds=1)
EXPAND = f"singleValueExtendedProperties($filter={' or '.join(f"id eq '{key}'" for key in KEPT.values())})"
#: What a delta of mails is asked for, from the most to the least: (internet headers, the properties kept of them).
VARIANTS = ((True, True), (True, False), (False, True), (False, False))
#: What the delta of folders is asked for: (only what the tree needs, page size; 0 = the vendor's own).
FOLDER_VARIANTS = ((True, 1000), (False, 1000), (True, 100), (False, 0))
_WITHOUT_HEADERS = ",".join(name for name in MAIL.split(",") if name != HEADERS)


@dataclass(frozen=True)
class FolderCursor:
    """`link` "" = begin, `at` when it was given, "" in the midst of a listing; `variant` of FOLDER_VARIANTS; `whole`: the
    tree is complete; `turn`: the marked stream that was asked last, "" = begin with the first. The rest is `Tree`'s."""

    link: str = ""
    at: str = ""
    variant: int = 0
    whole: bool = False
    turn: str = ""
    marked: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    tree: str = ""


@dataclass(frozen=True)
class DeltaCursor:
    """`folder` is an id or a well-known name; `link` "" = begin, `at` when it was given, "" in the midst of a listing;
    `variant` of VARIANTS; `since`: the look-back it was begun with, "" = none.

    Of the first round with a look-back, else empty: `took` mails came, all received before `until` are still missing."""

    folder: str = ""
    link: str = ""
    at: str = ""
    variant: int = 0
    since: str = ""
    until: str = ""
    took: int = 0


@dataclass(frozen=True)
class OlderCursor:
    """What was received from `since` on and before `until` is still to be listed, but for the newest `skip` of it."""

    since: str = ""
    until: str = ""
    skip: int = 0


@dataclass(frozen=True)
class MarkCursor:
    """`since` "" = whatever its age; `began` and `skip` of a listing under way; `search` is the id of our search folder,
    `made` when it was made, "" once it has had time to fill."""

    since: str = ""
    began: str = ""
    skip: int = 0
    search: str = ""
    made: str = ""


Cursor = FolderCursor | DeltaCursor | OlderCursor | MarkCursor


def written(cursor: Cursor) -> str:
    return json.dumps({name: value for name, value in asdict(cursor).items() if value}, separators=(",", ":"))


def read[C: (FolderCursor, DeltaCursor, OlderCursor, MarkCursor)](kind: type[C], source: str | None) -> C:
    """The cursor; a fresh one for None. Raises ValueError for what is none of ours."""
    if source is None:
        return kind()
    try:
        return kind(**json.loads(source))
    except TypeError:
        raise ValueError("not a cursor of this stream") from None


def query(path: str, **options: Any) -> str:
    """A path with OData options; the dollar is put before their names."""
    return path + "?" + "&".join(f"${name}={quote(str(value), safe="$(),'=/:;")}" for name, value in options.items())


def time_text(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def folder_path(home: str, folder: str) -> str:
    return f"{home}/mailFolders/{quote(folder, safe='')}"


def folders_url(home: str, cursor: FolderCursor) -> str:
    if cursor.link:
        return cursor.link
    selects, _ = FOLDER_VARIANTS[cursor.variant]
    path = f"{home}/mailFolders/delta"
    return query(path, select="id,displayName,parentFolderId") if selects else path


def folders_prefer(cursor: FolderCursor) -> str:
    _, size = FOLDER_VARIANTS[cursor.variant]
    return f"odata.maxpagesize={size}" if size else ""


def delta_url(home: str, cursor: DeltaCursor, since: datetime | None) -> str:
    """`since`: the look-back of a stream that has one; told in the first request only, the vendor keeps it in the link."""
    if cursor.link:
        return cursor.link
    headers, kept = VARIANTS[cursor.variant]
    options = {"select": MAIL if headers else _WITHOUT_HEADERS}
    if kept:
        options["expand"] = EXPAND
    if since:
        options["filter"] = f"receivedDateTime ge {time_text(since)}"
    return query(f"{folder_path(home, cursor.folder)}/messages/delta", **options)


def plainer[C: (FolderCursor, DeltaCursor)](cursor: C) -> C | None:
    """The stream begun with less; None where it is under way, or nothing is left to go without."""
    last = len(FOLDER_VARIANTS if isinstance(cursor, FolderCursor) else VARIANTS) - 1
    return None if cursor.link or cursor.variant == last else replace(cursor, variant=cursor.variant + 1)


def counted(cursor: DeltaCursor, received: Sequence[datetime | None]) -> DeltaCursor:
    """The cursor after a page of a first round; `received` are the times of its mails, which come newest first."""
    if not cursor.until:
        return cursor
    return replace(cursor, took=cursor.took + len(received), until=_before(received, cursor.until))


def _before(received: Sequence[datetime | None], until: str) -> str:
    """The time before which everything is older than these mails, or of the same second as the last of them."""
    return min([until, *(time_text(when + SECOND) for when in received if when)])


def older_url(home: str, folder: str, cursor: OlderCursor) -> str:
    options: dict[str, Any] = {
        "select": MAIL,
        "expand": EXPAND,
        "top": PAGE,
        "filter": f"receivedDateTime ge {cursor.since} and receivedDateTime lt {cursor.until}",
        "orderby": "receivedDateTime desc",
    }
    if cursor.skip:
        options["skip"] = cursor.skip
    return query(f"{folder_path(home, folder)}/messages", **options)


def next_older(cursor: OlderCursor, received: Sequence[datetime | None]) -> OlderCursor:
    """The cursor after a page that is not the last. It goes on by time, so that what leaves the folder hides no other mail;
    only within one second it counts."""
    until = _before(received, cursor.until)
    return replace(cursor, until=until, skip=_further(cursor.skip, len(received)) if until == cursor.until else 0)


def _further(skip: int, took: int) -> int:
    """Where a page begins that overlaps the one before."""
    return skip + (took - OVERLAP if took > OVERLAP else max(took, 1))


def reaches(cursor: DeltaCursor, since: datetime) -> bool:
    """Whether the stream can go on where mail received from `since` on is wanted: a link keeps the look-back it began with."""
    return not cursor.link or "" < cursor.since <= time_text(since)


def is_fresh(cursor: FolderCursor | DeltaCursor, now: datetime) -> bool:
    """Whether the cursor's link can stand for another one to the same place."""
    at = moment(cursor.at)
    return at is not None and now - at < LINK_LASTS


def category_filter(category: str) -> str:
    return f"categories/any(c:c eq '{category}')"


def mark_url(home: str, cursor: MarkCursor, category: str) -> str:
    tests = [] if cursor.search else [category_filter(category)]
    if cursor.since:
        tests.append(f"lastModifiedDateTime ge {cursor.since}")
    options: dict[str, Any] = {"select": MAIL, "expand": EXPAND, "top": PAGE}
    if tests:
        options["filter"] = " and ".join(tests)
    if cursor.skip:
        options["skip"] = cursor.skip
    where = folder_path(home, cursor.search) if cursor.search else home
    return query(f"{where}/messages", **options)


def next_mark(cursor: MarkCursor, now: datetime, changed: Sequence[datetime | None], *, more: bool) -> MarkCursor:
    """The cursor after a page that was asked for at `now`; `changed` are its mails' times of change.

    A listing that would give the same again keeps its time: a quiet mailbox has nothing to write down.
    """
    began = cursor.began or time_text(now)
    if more:
        return replace(cursor, began=began, skip=_further(cursor.skip, len(changed)))
    start, made = moment(began) or now, moment(cursor.made)
    if made and start < made + SETTLES_IN:
        return MarkCursor(cursor.since, search=cursor.search, made=cursor.made)
    since = start - MARGIN
    if cursor.since and not cursor.began and not cursor.made and all(when and when >= since for when in changed):
        return cursor
    return MarkCursor(time_text(since), search=cursor.search)
