"""One round through the mail streams of a Graph mailbox.

Rules that hold here:
- One $batch a round: the folder tree, the categories and as many streams as fit; folders below the marking folder take
  turns. More is asked only where something has to be made or is not known: the marking folder, a category, a search folder,
  the place of a folder the tree does not show, a mail of which the vendor told only what changed, or not whether it is
  private and which thread it belongs to.
- Mail is placed by a whole tree or not at all: while the tree is still being listed, what the streams answered is left
  aside and their cursors stay.
- A cursor the vendor no longer knows begins anew with the next round; the stream is named in `restarted`.
- A round that must wait (Retry) leaves nothing behind: nothing is kept in here between rounds but what the cursors say.

Source: learn.microsoft.com/graph/delta-query-overview, /graph/json-batching.
It must never look into what a mail says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from shared.core.errors import Bug, CursorExpired, Gone, ItemError, MailboxMissing, Refused, Unavailable, bug_or
from shared.core.mail import Mail
from shared.core.scope import FOLDER
from shared.mailbox import graph_make as make
from shared.mailbox import graph_map as read
from shared.mailbox import graph_streams as streams
from shared.mailbox.graph_http import MAX_PARTS, Answer, GraphHttp, Part
from shared.mailbox.graph_streams import DeltaCursor, FolderCursor, MarkCursor, OlderCursor
from shared.mailbox.graph_tree import Tree, short
from shared.ports import MailPage

Json = Mapping[str, Any]
_CATEGORIES = "categories"
_OLDER = {f"{streams.OLDER}_{name}": folder for name, folder in streams.DELTAS.items()}
#: A link that leads to nothing is as dead as one the vendor calls so.
_DEAD = (CursorExpired, Gone)


class Pull:
    """One round. `home` is the mailbox's path. After `run`, `tree` is the tree as the round left it."""

    def __init__(self, http: GraphHttp, home: str, now: datetime, cursors: Mapping[str, str], since: datetime) -> None:
        self._http, self._home, self._now, self._since = http, home, now, since
        self._out = dict(cursors)
        self._more = False
        self._restarted: list[str] = []
        self._items: dict[str, Json] = {}
        self._unsure: dict[str, None] = {}
        self._left: dict[str, None] = {}
        self._ids: dict[str, str] = {}
        self._empty: set[str] = set()
        self._folders = self._cursor(FolderCursor, streams.FOLDERS)
        self.tree = Tree(text=self._folders.tree, roles=self._folders.roles, marked=self._folders.marked)

    def run(self) -> MailPage:
        asked = self._asked()
        answers = self._http.batch([*self._first_parts(), *asked.values()])
        make.read_roles(self.tree, answers)
        self._read_folders(answers[streams.FOLDERS])
        make.categories(self._http, self._home, self._checked(answers[_CATEGORIES]))
        if self._folders.whole:
            self._stand()
            for name in asked:
                self._read_stream(name, answers[name])
            self._follow_marking_folders()
        else:
            self._more = True
        read_mails = self._mails()
        mails = tuple(mail for mail in read_mails.values() if isinstance(mail, Mail))
        broken = {mail_id: bug for mail_id, bug in read_mails.items() if isinstance(bug, Bug)}
        self._out[streams.FOLDERS] = streams.written(
            replace(self._folders, tree=self.tree.text(), roles=self.tree.roles, marked=self.tree.marked)
        )
        left = tuple(gone for gone in self._left if gone not in self._items)
        return MailPage(mails, left, self._out, self._more, tuple(self._restarted), broken)

    # --- what is asked

    def _cursor[C: (FolderCursor, DeltaCursor, OlderCursor, MarkCursor)](self, kind: type[C], name: str) -> C:
        """The stream's cursor; one that cannot be read is forgotten like one the vendor no longer knows."""
        try:
            return streams.read(kind, self._out.get(name))
        except ValueError:
            del self._out[name]
            self._restart(name)
            return kind()

    def _first_parts(self) -> list[Part]:
        url, prefer = streams.folders_url(self._home, self._folders), streams.folders_prefer(self._folders)
        unsure = streams.plainer(self._folders) is not None
        parts = [
            Part(streams.FOLDERS, url, prefer=prefer, stream=streams.FOLDERS, unsure=unsure),
            Part(_CATEGORIES, f"{self._home}/outlook/masterCategories"),
        ]
        return parts if self.tree.knows_roles else parts + make.role_parts(self._home)

    def _asked(self) -> dict[str, Part]:
        """The streams of this round, in the order in which they are read: a listing of older mail before the delta that may
        begin it anew. None in the midst of a listing of the tree: they could not be placed."""
        if self._folders.link and not self._folders.whole:
            return {}
        parts = {}
        for name, folder in _OLDER.items():
            if name not in self._out:
                continue
            if (older := self._cursor(OlderCursor, name)).since:
                parts[name] = Part(name, streams.older_url(self._home, folder, older), stream=name)
            else:
                self._out.pop(folder, None)  # what was to be listed is not known any more: all of it, then
        for name, folder in streams.DELTAS.items():
            cursor = replace(self._cursor(DeltaCursor, name), folder=folder)
            if not streams.reaches(cursor, self._since):
                cursor = DeltaCursor(folder, variant=cursor.variant)
                self._out[name] = streams.written(cursor)
                self._restarted.append(name)
            parts[name] = self._delta_part(name, cursor, self._since)
        for name, category in streams.MARKS.items():
            url = streams.mark_url(self._home, self._cursor(MarkCursor, name), category)
            parts[name] = Part(name, url, stream=name)
        for name in self._in_turn(MAX_PARTS - len(parts) - len(self._first_parts())):
            parts[name] = self._delta_part(name, self._cursor(DeltaCursor, name), None)
        return parts

    def _delta_part(self, name: str, cursor: DeltaCursor, since: datetime | None) -> Part:
        url, unsure = streams.delta_url(self._home, cursor, since), streams.plainer(cursor) is not None
        return Part(name, url, prefer=streams.MESSAGES_PREFER, stream=name, unsure=unsure)

    def _in_turn(self, room: int) -> list[str]:
        """The marked streams whose turn it is; notes where the next round goes on."""
        names = [name for name in sorted(self._out) if _is_marked(name) and self._has_folder(name)]
        waiting = [name for name in names if name > self._folders.turn] or names
        chosen = waiting[:room]
        others = len(waiting) > len(chosen)
        self._folders = replace(self._folders, turn=chosen[-1] if others else "")
        self._more = self._more or others
        return chosen

    def _has_folder(self, name: str) -> bool:
        """Without its folder's id a marked stream cannot begin; it is found again after the tree."""
        return bool(self._cursor(DeltaCursor, name).folder)

    # --- what is answered

    def _checked(self, answer: Answer) -> Answer:
        """The answer, if it went well. Of a whole stream no item is gone or refused: the mailbox is, or the vendor fails."""
        if answer.error is None:
            return answer
        if isinstance(answer.error, Gone):
            raise MailboxMissing()
        raise Unavailable() if isinstance(answer.error, ItemError | CursorExpired) else answer.error

    def _read_folders(self, answer: Answer) -> None:
        if self._folders.link and isinstance(answer.error, _DEAD):
            self.tree.clear()
            self._folders = FolderCursor()
            self._restart(streams.FOLDERS)
            return
        if isinstance(answer.error, Refused) and (plainer := streams.plainer(self._folders)):
            self._folders = plainer
            return
        for item in self._checked(answer).value:
            folder_id, parent = read.text(item.get("id")), read.text(item.get("parentFolderId"))
            if "@removed" in item:
                self.tree.remove(folder_id)
            elif parent or not self.tree.knows(folder_id):
                self.tree.put(folder_id, parent)
            self._ids[short(folder_id)] = folder_id
            if self.tree.is_top(parent) and _is_marking_name(item):
                self.tree.marked = folder_id
        link, at, done = self._onward(self._folders, answer)
        self._folders = replace(self._folders, link=link, at=at, whole=done)

    def _link(self, answer: Answer) -> tuple[str, bool]:
        """(where to read on, whether the round is done)."""
        for name, done in (("@odata.nextLink", False), ("@odata.deltaLink", True)):
            link = answer.body.get(name)
            if isinstance(link, str):
                return self._http.below(link), done
        raise Unavailable()

    def _onward(self, cursor: FolderCursor | DeltaCursor, answer: Answer) -> tuple[str, str, bool]:
        """(where to read on, since when that is known, whether the round is done)."""
        link, done = self._link(answer)
        if done and not answer.value and streams.is_fresh(cursor, self._now):
            return cursor.link, cursor.at, True
        return link, streams.time_text(self._now) if done else "", done

    def _restart(self, name: str) -> None:
        self._more = True
        self._restarted.append(name)

    def _read_stream(self, name: str, answer: Answer) -> None:
        if name in streams.MARKS:
            self._read_mark(name, self._cursor(MarkCursor, name), answer)
        elif name in _OLDER:
            self._read_older(name, answer)
        else:
            self._read_delta(name, self._cursor(DeltaCursor, name), answer)

    def _read_delta(self, name: str, cursor: DeltaCursor, answer: Answer) -> None:
        folder = streams.DELTAS.get(name, cursor.folder)
        if isinstance(answer.error, Gone) and _is_marked(name):
            self._empty.add(name)
            del self._out[name]
        elif cursor.link and isinstance(answer.error, _DEAD):
            self._out[name] = streams.written(DeltaCursor(folder))
            self._restart(name)
        elif isinstance(answer.error, Refused) and (plainer := streams.plainer(cursor)):
            self._out[name] = streams.written(replace(plainer, folder=folder))
            self._more = True
        else:
            items = self._checked(answer).value
            _, kept = streams.VARIANTS[cursor.variant]
            self._take(items, kept_asked=kept)
            link, at, done = self._onward(cursor, answer)
            after = replace(cursor, folder=folder, link=link, at=at)
            if name in streams.DELTAS:
                after = self._looked_back(name, after, items, first=not cursor.link, done=done)
            self._out[name] = streams.written(after)
            self._more = self._more or not done

    def _looked_back(self, name: str, cursor: DeltaCursor, items: Sequence[Json], *, first: bool, done: bool) -> DeltaCursor:
        """The cursor after a page; begins a listing of the rest where a first round may have been cut off."""
        if first:
            now = self._now + streams.MARGIN
            cursor = replace(cursor, since=streams.time_text(self._since), until=streams.time_text(now), took=0)
        cursor = streams.counted(cursor, [_moment(item, "receivedDateTime") for item in items])
        if not (done and cursor.until):
            return cursor
        if cursor.took >= streams.MAY_BE_CUT:
            self._out[f"{streams.OLDER}_{name}"] = streams.written(OlderCursor(cursor.since, cursor.until))
            self._more = True
        return replace(cursor, until="", took=0)

    def _read_older(self, name: str, answer: Answer) -> None:
        items = self._checked(answer).value
        self._take(items)
        if "@odata.nextLink" in answer.body:
            received = [_moment(item, "receivedDateTime") for item in items]
            self._out[name] = streams.written(streams.next_older(self._cursor(OlderCursor, name), received))
            self._more = True
        else:
            del self._out[name]

    def _read_mark(self, name: str, cursor: MarkCursor, answer: Answer) -> None:
        if isinstance(answer.error, CursorExpired) and (cursor.since or cursor.began):
            self._out[name] = streams.written(MarkCursor(search=cursor.search, made=cursor.made))
            self._restart(name)
        elif isinstance(answer.error, Gone) and cursor.search:
            self._out[name] = streams.written(replace(cursor, search="", made=""))
            self._more = True
        elif isinstance(answer.error, Refused) and cursor.since and not cursor.search:
            search = make.search_folder(self._http, self._home, streams.MARKS[name])
            made = streams.time_text(self._now)
            self._out[name] = streams.written(MarkCursor(cursor.since, search=search, made=made))
            self._more = True
        else:
            items = self._checked(answer).value
            self._take(items)
            more = "@odata.nextLink" in answer.body
            changed = [_moment(item, "lastModifiedDateTime") for item in items]
            self._out[name] = streams.written(streams.next_mark(cursor, self._now, changed, more=more))
            self._more = self._more or more

    def _take(self, items: Sequence[Json], *, kept_asked: bool = True) -> None:
        """Keeps the items of one stream, of which the last word on an id counts. Where two streams disagree on a mail, which
        changed while they were read, nobody can say which was later: it is read by itself."""
        last = {read.text(item.get("id")): item for item in items}
        for mail_id, item in last.items():
            if "@removed" in item:
                self._left[mail_id] = None
            elif mail_id:
                known = self._items.setdefault(mail_id, item)
                if bug_or(partial(_doubtful, known, item, kept_asked)):  # where our own code cannot say, the whole mail tells
                    self._unsure[mail_id] = None

    # --- folders that mark

    def _stand(self) -> None:
        """The marking folder is there after this, but where its name is taken by what cannot be found."""
        if not self.tree.stands:
            self.tree.marked = make.marking_folder(self._http, self._home, self.tree)

    def _follow_marking_folders(self) -> None:
        """Streams of new folders begin with the next round; those of folders that no longer mark end."""
        wanted = {_stream_of(folder, self.tree): folder for folder in self.tree.marking()}
        for name in [name for name in self._out if _is_marked(name)]:
            cursor = self._cursor(DeltaCursor, name)
            if name not in wanted or short(cursor.folder) != wanted[name]:
                del self._out[name]
        missing = {name: folder for name, folder in wanted.items() if name not in self._out and name not in self._empty}
        if not missing:
            return
        self._ids[short(self.tree.marked)] = self.tree.marked
        if not self._ids.keys() >= set(missing.values()):
            self._ids.update(make.ids_below(self._http, self._home, self.tree.marked))
        for name, folder in missing.items():
            if folder in self._ids:
                self._out[name] = streams.written(DeltaCursor(self._ids[folder]))
                self._more = True

    # --- mails

    def _mails(self) -> Mapping[str, Mail | Bug]:
        """Every mail of the round, once. What was told in part, or in two ways, is read in full first; where the vendor
        refuses that, what was told has to do."""
        for mail_id, answer in make.messages(self._http, self._home, list(self._unsure), expand=streams.EXPAND).items():
            if isinstance(answer.error, Gone):
                del self._items[mail_id]
                self._left[mail_id] = None
            elif not isinstance(answer.error, ItemError):
                self._items[mail_id] = self._checked(answer).body
        placed = make.placed(self._http, self._home, self.tree, self._items.values(), read.mail)
        return dict(zip(self._items, placed, strict=True))


def _doubtful(known: Json, item: Json, kept_asked: bool) -> bool:
    """Whether a mail has to be read by itself."""
    told = read.is_whole(item) and read.tells_headers(item, kept_asked=kept_asked)
    return not told or read.version(known) != read.version(item)


def _moment(item: Json, name: str) -> datetime | None:
    """A time of the mail, None where nobody can say."""
    found = bug_or(lambda: read.moment(str(item.get(name, ""))))
    return None if isinstance(found, Bug) else found


def _is_marked(name: str) -> bool:
    return name == streams.MARKED or name.startswith(f"{streams.MARKED}_")


def _stream_of(folder: str, tree: Tree) -> str:
    return streams.MARKED if folder == short(tree.marked) else f"{streams.MARKED}_{folder}"


def _is_marking_name(item: Json) -> bool:
    return read.text(item.get("displayName")).strip().casefold() == FOLDER.casefold()
