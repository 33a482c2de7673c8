"""Mail folders of one mailbox: the well-known ones, the tree, search folders, and what a folder remembers for delta.

Rules that hold here: well-known names are ids anywhere an id is taken; folder ids never change; a folder knows which messages
lie in it (newest first), which left it and how, and nothing of what they say.
Sources: learn.microsoft.com/graph/api/resources/mailfolder (well-known names), /resources/mailsearchfolder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.microsoft.changes import ChangeLog, NewestFirst
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.ids import make_id

#: well-known name -> (display name, well-known name of the parent, hidden)
WELL_KNOWN: Mapping[str, tuple[str, str | None, bool]] = {
    "root": ("Root", None, True),
    "msgfolderroot": ("Top of Information Store", "root", False),
    "inbox": ("Inbox", "msgfolderroot", False),
    "drafts": ("Drafts", "msgfolderroot", False),
    "sentitems": ("Sent Items", "msgfolderroot", False),
    "deleteditems": ("Deleted Items", "msgfolderroot", False),
    "junkemail": ("Junk Email", "msgfolderroot", False),
    "archive": ("Archive", "msgfolderroot", False),
    "outbox": ("Outbox", "msgfolderroot", False),
    "conversationhistory": ("Conversation History", "msgfolderroot", False),
    "syncissues": ("Sync Issues", "msgfolderroot", True),
    "searchfolders": ("Finder", "root", True),
    "recoverableitemsdeletions": ("Deletions", "root", True),
}
ROOT, TOP, RECOVERABLE = "root", "msgfolderroot", "recoverableitemsdeletions"


@dataclass(frozen=True)
class Gone:
    """How a message left a folder: the ids it had there and delta's reason (`deleted` for good, `changed` = moved)."""

    id: str
    immutable_id: str
    reason: str


@dataclass(frozen=True)
class Search:
    """What a search folder shows: messages of the sources that match the filter."""

    sources: tuple[str, ...]
    nested: bool
    query: str


@dataclass(slots=True)
class Folder:
    """`made` is its number in the order of creation."""

    id: str
    name: str
    parent: str | None
    made: int = 0
    well_known: str | None = None
    hidden: bool = False
    search: Search | None = None
    unread: int = 0
    received: NewestFirst = field(default_factory=NewestFirst)
    log: ChangeLog[int] = field(default_factory=ChangeLog)
    entered: dict[int, int] = field(default_factory=dict)
    gone: dict[int, Gone] = field(default_factory=dict)


class Folders:
    """The folder tree of one mailbox. `changed` is the log of folders for `mailFolders/delta`."""

    def __init__(self, mailbox: bytes) -> None:
        self._mailbox = mailbox
        self._made = 0
        self._by_id: dict[str, Folder] = {}
        self._children: dict[str | None, list[str]] = {}
        self._well_known: dict[str, str] = {}
        self.changed: ChangeLog[str] = ChangeLog()
        self.removed: dict[str, str] = {}
        for name, (shown, parent, hidden) in WELL_KNOWN.items():
            parent_id = self._well_known[parent] if parent else None
            folder = self._insert(shown, parent_id, well_known=name, hidden=hidden)
            self._well_known[name] = folder.id

    def _insert(self, name: str, parent: str | None, **more: Any) -> Folder:
        self._made += 1
        folder = Folder(make_id("folder", self._mailbox, self._made), name, parent, self._made, **more)
        self._by_id[folder.id] = folder
        self._children.setdefault(folder.parent, []).append(folder.id)
        return folder

    def __iter__(self) -> Iterator[Folder]:
        return iter(list(self._by_id.values()))

    def get(self, key: str) -> Folder:
        """By id (case-sensitive) or well-known name (not). Raises GraphError 404 ErrorItemNotFound."""
        folder = self._by_id.get(self._well_known.get(key.lower(), key))
        if folder is None:
            raise refusal("no_item")
        return folder

    def known(self, key: str) -> Folder | None:
        return self._by_id.get(key)

    def well_known(self, name: str) -> Folder:
        return self._by_id[self._well_known[name]]

    def children(self, folder_id: str, *, hidden: bool = False) -> list[Folder]:
        below = [self._by_id[child] for child in self._children.get(folder_id, ())]
        return [folder for folder in below if hidden or not folder.hidden]

    def subtree(self, folder_id: str) -> list[Folder]:
        """The folder and everything under it, parents first."""
        found = [self._by_id[folder_id]]
        for folder in found:
            found.extend(self.children(folder.id, hidden=True))
        return found

    def is_under(self, folder: Folder, well_known: str) -> bool:
        """Whether the folder is that well-known one or lies anywhere below it."""
        step: Folder | None = folder
        while step is not None:
            if step.well_known == well_known:
                return True
            step = self._by_id.get(step.parent or "")
        return False

    def add(self, name: str, parent: str, number: int, *, hidden: bool = False, search: Search | None = None) -> Folder:
        """Creates a folder under `parent` (id or well-known name). Raises GraphError 409 where the name is taken there."""
        above = self.get(parent)
        self._refuse_twin(name, above.id)
        folder = self._insert(name, above.id, hidden=hidden, search=search)
        self.changed.note(folder.id, number)
        return folder

    def rename(self, folder: Folder, name: str, number: int) -> None:
        if name.casefold() != folder.name.casefold():
            self._refuse_twin(name, folder.parent)
        folder.name = name
        self.changed.note(folder.id, number)

    def move(self, folder: Folder, parent: Folder, number: int) -> None:
        if parent in self.subtree(folder.id):
            raise refusal("folder_inside_itself")
        self._refuse_twin(folder.name, parent.id)
        self._children[folder.parent].remove(folder.id)
        folder.parent = parent.id
        self._children.setdefault(parent.id, []).append(folder.id)
        self.changed.note(folder.id, number)

    def remove(self, folder: Folder, number: int) -> None:
        """Takes the folder out for good; its messages and its children must have been dealt with."""
        self._children[folder.parent].remove(folder.id)
        self._children.pop(folder.id, None)
        del self._by_id[folder.id]
        self.removed[folder.id] = "deleted"
        self.changed.note(folder.id, number)

    def _refuse_twin(self, name: str, parent_id: str | None) -> None:
        if any(twin.name.casefold() == name.casefold() for twin in self.children(parent_id or "", hidden=True)):
            raise refusal("folder_exists", name=name)
