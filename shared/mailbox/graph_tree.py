"""The folders of a mailbox, as far as they decide about mail: which lies in which, and what role each has. Pure.

Rules that hold here:
- Names of folders are content and never kept. A folder is a short hash of its id, so that 10,000 folders fit in 160,000
  characters; the one full id kept is that of the folder that marks mail.
- A folder below Deleted Items or Junk Email has that role; one below the marking folder marks, unless it was thrown away.
- The marking folder is found by its name at the top and known by its id from then on: renamed or moved it still marks, until
  another one has the name.

It must never ask the vendor: `place` says None for a folder it does not know.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping

from shared.mailbox.graph_map import Place

#: well-known names that decide, and the top, whose children may be the marking folder
ROLES = ("inbox", "sentitems", "drafts", "junkemail", "deleteditems", "outbox")
TOP = "msgfolderroot"
_INHERITED = frozenset(("deleteditems", "junkemail"))
_NONE = "." * 8


def short(folder_id: str) -> str:
    """Eight characters for a folder's id."""
    return base64.urlsafe_b64encode(hashlib.sha256(folder_id.encode()).digest()[:6]).decode()


class Tree:
    """`roles`: well-known name -> hash of the folder ("" = the mailbox has none). `marked`: full id of the marking folder,
    "" while it is not known."""

    def __init__(self, *, text: str = "", roles: Mapping[str, str] | None = None, marked: str = "") -> None:
        self.roles = dict(roles or {})
        self.marked = marked
        self._parents = {text[at : at + 8]: text[at + 8 : at + 16] for at in range(0, len(text) - 15, 16)}

    def text(self) -> str:
        """The tree as its constructor takes it."""
        return "".join(folder + parent for folder, parent in self._parents.items())

    def put(self, folder_id: str, parent_id: str) -> None:
        """A folder that is there; `parent_id` "" = nothing is known of where."""
        self._parents[short(folder_id)] = short(parent_id) if parent_id else _NONE

    def remove(self, folder_id: str) -> None:
        self._parents.pop(short(folder_id), None)

    def clear(self) -> None:
        self._parents.clear()

    @property
    def knows_roles(self) -> bool:
        return all(name in self.roles for name in (*ROLES, TOP))

    def is_top(self, folder_id: str) -> bool:
        return bool(folder_id) and short(folder_id) == self.roles.get(TOP)

    def knows(self, folder_id: str) -> bool:
        return short(folder_id) in self._parents or short(folder_id) in self.roles.values()

    def place(self, folder_id: str) -> Place | None:
        """Where a mail of this folder lies; None for a folder that is not known, a place without role for no folder at all."""
        if not folder_id:
            return Place()
        return self._place(short(folder_id)) if self.knows(folder_id) else None

    @property
    def stands(self) -> bool:
        """Whether the marking folder is known and neither gone nor thrown away."""
        return bool(self.marked) and short(self.marked) in self._parents and self._place(short(self.marked)).marked_folder

    def marking(self) -> list[str]:
        """Hashes of the marking folder and of all below it, in a fixed order."""
        if not self.stands:
            return []
        below: dict[str, list[str]] = {}
        for folder, parent in self._parents.items():
            below.setdefault(parent, []).append(folder)
        found, waiting = set[str](), [short(self.marked)]
        while waiting:
            folder = waiting.pop()
            if folder not in found:
                found.add(folder)
                waiting.extend(below.get(folder, ()))
        return sorted(found)

    def _place(self, folder: str) -> Place:
        names = {value: name for name, value in self.roles.items() if value and name != TOP}
        marked, marks = short(self.marked) if self.marked else "", False
        for step in self._up(folder):
            if names.get(step) in _INHERITED:
                return Place(names[step])
            marks = marks or step == marked
        return Place(names.get(folder, ""), marks)

    def _up(self, folder: str) -> Iterator[str]:
        """The folder and those it lies in, from the inside out; each once, should the vendor's answers make a circle."""
        seen = set[str]()
        while folder and folder not in seen:
            seen.add(folder)
            yield folder
            folder = self._parents.get(folder, "")
