"""The mail streams of a Graph mailbox: what each keeps in its cursor, and the request that reads on from there. Pure.

| stream | reads | until it has a cursor |
|---|---|---|
| `folders` | changes of the folder tree | the whole tree |
| `inbox`, `sentitems` | changes of that folder | mail received since the look-back |
| `marked`, `marked_...` | changes of "Salesforce Emails" and of each folder below it | all that lies there |
| `mark`, `unsync` | the whole mailbox by category and time of change | all that carries the category |

Rules that hold here:
- A cursor is JSON that holds ids, links below the mailbox's address, hashes and times; nothing of the content.
- A query by category looks back from its own beginning by MARGIN: clocks differ, and an index may lag. Its pages overlap,
  so that mail which loses its category between two pages hides no other.

Sources: learn.microsoft.com/graph/delta-query-messages, /graph/api/message-delta, /graph/api/user-list-messages,
/graph/api/mailsearchfolder-post.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from shared.core.scope import MARK, UNSYNC
from shared.mailbox.graph_map import KEPT, MAIL, moment

FOLDERS = "folders"
#: stream -> well-known folder
DELTAS = {"inbox": "inbox", "sentitems": "sentitems"}
MARKED = "marked"
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
FOLDERS_PREFER = "odata.maxpagesize=1000"
EXPAND = f"singleValueExtendedProperties($filter={' or '.join(f"id eq '{key}'" for key in KEPT.values())})"


@dataclass(frozen=True)
class FolderCursor:
    """`link` "" = begin, `at` when it was given, "" in the midst of a listing; `whole`: the tree is complete; `turn`: the
    marked stream that was asked last, "" = begin with the first. The rest is `Tree`'s."""

    link: str = ""
    at: str = ""
    whole: bool = False
    turn: str = ""
    marked: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    tree: str = ""


@dataclass(frozen=True)
class DeltaCursor:
    """`folder` is an id or a well-known name; `link` "" = begin, `at` when it was given, "" in the midst of a listing."""

    folder: str = ""
    link: str = ""
    at: str = ""


@dataclass(frozen=True)
class MarkCursor:
    """`since` "" = whatever its age; `began` and `skip` of a listing under way; `search` is the id of our search folder,
    `made` when it was made, "" once it has had time to fill."""

    since: str = ""
    began: str = ""
    skip: int = 0
    search: str = ""
    made: str = ""


def written(cursor: FolderCursor | DeltaCursor | MarkCursor) -> str:
    return json.dumps({name: value for name, value in asdict(cursor).items() if value}, separators=(",", ":"))


def read[C: (FolderCursor, DeltaCursor, MarkCursor)](kind: type[C], source: str | None) -> C:
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
    return cursor.link or query(f"{home}/mailFolders/delta", select="id,displayName,parentFolderId")


def delta_url(home: str, cursor: DeltaCursor, since: datetime | None) -> str:
    """`since`: the look-back of a stream that has one; told in the first request only, the vendor keeps it in the link."""
    if cursor.link:
        return cursor.link
    limit = {"filter": f"receivedDateTime ge {time_text(since)}"} if since else {}
    return query(f"{folder_path(home, cursor.folder)}/messages/delta", select=MAIL, expand=EXPAND, **limit)


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
    began, took = cursor.began or time_text(now), len(changed)
    if more:
        return replace(cursor, began=began, skip=cursor.skip + (took - OVERLAP if took > OVERLAP else max(took, 1)))
    start, made = moment(began) or now, moment(cursor.made)
    if made and start < made + SETTLES_IN:
        return MarkCursor(cursor.since, search=cursor.search, made=cursor.made)
    since = start - MARGIN
    if cursor.since and not cursor.began and not cursor.made and all(when and when >= since for when in changed):
        return cursor
    return MarkCursor(time_text(since), search=cursor.search)
