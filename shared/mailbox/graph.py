"""The mail of a Microsoft 365 mailbox through Microsoft Graph: `MailSource`.

Rules that hold here:
- The mailbox is named by its user, never by "me": the same code serves a user's own token and an application's.
- The places of folders come from the last pull. Texts that are read before any pull ask for what they need: the well-known
  folders and "Salesforce Emails" once, then the chain of folders above each mail.
- A category is changed by reading and writing under the version read; nobody's change is overwritten.

Sources: learn.microsoft.com/graph/api/resources/message, /graph/api/attachment-get, /graph/api/message-update.
It must never write anything of a mail but its categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BytesIO
from typing import Any
from urllib.parse import quote

import requests

from shared.core.errors import ItemError, NetworkDown, Refused, Stale
from shared.core.mail import Attachment, MailText
from shared.core.scope import FOLDER
from shared.mailbox import graph_make as make
from shared.mailbox import graph_map as read
from shared.mailbox.graph_http import GraphHttp, Part, refused
from shared.mailbox.graph_pull import Pull
from shared.mailbox.graph_streams import EXPAND, query
from shared.mailbox.graph_tree import Tree
from shared.ports import AccessToken, Clock, MailPage, Stream

TRIES = 3
_TEXT_EXPAND = f"attachments($select={read.ATTACHMENT}),{EXPAND}"
#: What the vendor allows a mail to weigh; an attachment whose length is not told is read up to it.
MAX_UNTOLD = 150 * 1024 * 1024
PIECE = 64 * 1024


class GraphMailbox:
    """One mailbox in one session. `user` is an address or id; `token`'s address ends in the version, as .../v1.0."""

    def __init__(self, session: requests.Session, token: AccessToken, user: str, clock: Clock, session_id: str) -> None:
        self._http = GraphHttp(session, token, session_id)
        self._home = f"/users/{quote(user, safe='@')}"
        self._clock = clock
        self._tree: Tree | None = None

    # --- mail

    def pull(self, cursors: Mapping[str, str], since: datetime) -> MailPage:
        pull = Pull(self._http, self._home, self._clock.now(), cursors, since)
        page = pull.run()
        self._tree = pull.tree
        return page

    def texts(self, ids: Sequence[str]) -> Mapping[str, MailText | ItemError]:
        select = f"{read.MAIL},body"
        answers = make.messages(self._http, self._home, ids, select=select, expand=_TEXT_EXPAND)
        found: dict[str, MailText | ItemError] = {}
        bodies: dict[str, Mapping[str, Any]] = {}
        for mail_id, answer in answers.items():
            if isinstance(answer.error, ItemError):
                found[mail_id] = answer.error
            elif answer.error is not None:
                raise answer.error
            else:
                bodies[mail_id] = answer.body
        if bodies:
            placed = make.placed(self._http, self._home, self._places(), bodies.values(), read.mail_text)
            found.update(zip(bodies, placed, strict=True))
        return found

    def _places(self) -> Tree:
        """The tree of the last pull, else one that grows as it is asked."""
        if self._tree is None or not self._tree.knows_roles:
            tree = Tree()
            same = query(f"{self._home}/mailFolders", filter=f"displayName eq '{FOLDER}'", select="id")
            answers = self._http.batch([*make.role_parts(self._home), Part("marked", same)])
            make.read_roles(tree, answers)
            tree.marked = next((read.text(one.get("id")) for one in answers["marked"].value), "")
            self._tree = tree
        return self._tree

    @contextmanager
    def open(self, mail_id: str, attachment: Attachment) -> Iterator[Stream]:
        if attachment.kind == "link":
            raise Refused("refused.attachment_link")
        response = self._http.send(
            "GET",
            f"{self._message(mail_id)}/attachments/{quote(attachment.id, safe='')}/$value",
            headers={"Accept-Encoding": "identity"},
            stream=True,
        )
        with response:
            if response.status_code >= 300:
                raise refused(response)
            yield _stream(response)

    def mark(self, mail_id: str, *, add: Sequence[str] = (), take: Sequence[str] = ()) -> str:
        for _ in range(TRIES - 1):
            with suppress(Stale):
                return self._mark(mail_id, add, take)
        return self._mark(mail_id, add, take)

    def _mark(self, mail_id: str, add: Sequence[str], take: Sequence[str]) -> str:
        message = self._http.json("GET", query(self._message(mail_id), select="id,changeKey,categories"))
        names, version = read.names(message.get("categories")), read.version(message)
        kept = [name for name in names if read.own_name(name) not in take]
        wanted = [*kept, *(name for name in add if name not in map(read.own_name, kept))]
        if wanted == names:
            return version
        written = self._http.json(
            "PATCH", self._message(mail_id), body={"categories": wanted}, headers={"If-Match": read.etag(version)}
        )
        return read.version(written)

    def _message(self, mail_id: str) -> str:
        return f"{self._home}/messages/{quote(mail_id, safe='')}"


class _Body:
    """The bytes of an answer as they come. An answer cut short is NetworkDown, never an end: the library counts along."""

    def __init__(self, response: requests.Response, size: int) -> None:
        self.size = size
        self._pieces = response.iter_content(PIECE)
        self._waiting = bytearray()

    def read(self, n: int = -1) -> bytes:
        try:
            while (n < 0 or len(self._waiting) < n) and (piece := next(self._pieces, b"")):
                self._waiting += piece
        except requests.RequestException:
            raise NetworkDown() from None
        end = len(self._waiting) if n < 0 else n
        data = bytes(self._waiting[:end])
        del self._waiting[:end]
        return data


class _Whole(BytesIO):
    """An answer whose length was not told, read whole."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)


def _stream(response: requests.Response) -> Stream:
    """Raises Refused where an answer without a length is too big, NetworkDown where it breaks off."""
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and "Content-Encoding" not in response.headers:
        return _Body(response, int(length))
    pieces, size = list[bytes](), 0
    try:
        for piece in response.iter_content(PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_UNTOLD:
                raise Refused("refused.attachment_too_large")
    except requests.RequestException:
        raise NetworkDown() from None
    return _Whole(b"".join(pieces))
