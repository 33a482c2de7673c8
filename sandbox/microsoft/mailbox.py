"""One mailbox: its messages, their indexes, and every way in which they change.

Rules that hold here:
- Each change takes the next number of the mailbox's one counter and is noted in the folder's log and the mailbox's log, so
  deltas never look at what did not change; `modified` never goes back.
- A message keeps its immutable id for life; a move gives it a new place and with it a new REST id.
- Each change is told to `on_change` (notifications hang there), those of the calendar too.
- To be called from the thread of the event loop that serves the stand-in.

It must never know HTTP, JSON or who is allowed what.
"""

from __future__ import annotations

import dataclasses
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.frame import World
from sandbox.microsoft.calendar import Calendar, EventChange
from sandbox.microsoft.changes import ChangeLog, NewestFirst
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.folders import RECOVERABLE, TOP, Folder, Folders, Gone, Search
from sandbox.microsoft.ids import is_well_formed, make_id
from sandbox.microsoft.messages import MESSAGE_FLAGS, UNSENT, Message
from sandbox.microsoft.mime import Attachment, Content, compose, parse
from sandbox.microsoft.switches import switch


@dataclass(frozen=True)
class Change:
    """What `on_change` is told: the message as it is (or was), and the folders it is in and came from (None = none)."""

    mailbox: Mailbox
    message: Message
    now_in: str | None
    was_in: str | None
    old_rest_id: str


class Mailbox:
    """One mailbox, as sample data, pages and tests use it directly; the API's handlers go the same way.

    `address` is the primary one. All id arguments take either id form; folders also take well-known names. What the vendor
    would refuse is refused in its words (`GraphError`).

    | what | method |
    |---|---|
    | a mail arrives, or is sent | `deliver(raw, folder=, received=, categories=)`, `send(raw, sent=)` -> immutable id |
    | looking | `messages(folder)`, `message(id)`, `folders()`, `folder(id)` |
    | a person does something | `set_categories`, `set_read`, `open`, `move`, `delete`, `purge`, `add_link` |
    | events | `calendar`, see there |
    | folders | `add_folder(name, parent)`, `make_folder(path)` -> id, `rename_folder`, `move_folder`, `delete_folder` |
    """

    def __init__(
        self,
        world: World,
        tenant: str,
        address: str,
        name: str,
        aliases: tuple[str, ...],
        time_zone: str,
        on_change: Callable[[Change | EventChange], None],
        find_mailbox: Callable[[str], Mailbox | None] = lambda address: None,
    ) -> None:
        self.world, self.tenant, self.address, self.name = world, tenant, address, name
        self.aliases, self.time_zone, self.on_change = aliases, time_zone, on_change
        self.identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{tenant}/{address.lower()}")
        self.user_id = str(self.identity)
        self.categories: dict[str, dict[str, str]] = {}
        self.folder_tree = Folders(self.identity.bytes)
        self.received = NewestFirst()
        self.log: ChangeLog[int] = ChangeLog()
        self.number = 0
        self._moments: list[tuple[datetime, int]] = []
        self._messages: dict[int, Message] = {}
        self._by_id: dict[str, int] = {}
        self._by_category: defaultdict[str, set[int]] = defaultdict(set)
        self._by_message_id: defaultdict[str, set[int]] = defaultdict(set)
        self._by_conversation: defaultdict[str, set[int]] = defaultdict(set)
        self._threads: dict[str, str] = {}
        self._purged: dict[int, Gone] = {}
        self._serial = 0
        self.calendar = Calendar(self, find_mailbox)

    # --- looking

    @property
    def addresses(self) -> tuple[str, ...]:
        """The primary one first."""
        return self.address, *self.aliases

    def message(self, message_id: str) -> Message:
        """Raises GraphError: 400 ErrorInvalidIdMalformed, 404 ErrorItemNotFound (also for the REST id of an old place)."""
        serial = self._by_id.get(message_id)
        if serial is None:
            raise refusal("no_item" if is_well_formed(message_id) else "bad_id")
        return self._messages[serial]

    def known(self, message_id: str) -> Message | None:
        return self._messages.get(self._by_id.get(message_id, 0))

    def ids_of(self, serial: int) -> Gone:
        """The ids of a message that is there or was purged."""
        if serial in self._purged:
            return self._purged[serial]
        message = self._messages[serial]
        return Gone(message.rest_id, message.id, "changed")

    def by_serial(self, serial: int) -> Message:
        return self._messages[serial]

    def folder(self, folder_id: str) -> Folder:
        return self.folder_tree.get(folder_id)

    def folders(self) -> list[Folder]:
        """Every folder but the hidden ones, parents first."""
        return [folder for folder in self.folder_tree.subtree(self.folder_tree.well_known(TOP).id) if not folder.hidden]

    def messages(self, folder: str | None = None) -> list[Message]:
        """Messages of a folder or of the mailbox (all but the recoverable ones), newest first."""
        listing = self.folder_tree.get(folder).received if folder else self.received
        return [self._messages[serial] for serial in listing.page(0)]

    def with_category(self, name: str) -> set[int]:
        return self._by_category.get(name.casefold(), set())

    def with_message_id(self, message_id: str) -> set[int]:
        return self._by_message_id.get(message_id.casefold(), set())

    def in_conversation(self, conversation: str) -> set[int]:
        return self._by_conversation.get(conversation, set())

    def modified_since(self, moment: datetime) -> set[int]:
        """Serials of what was modified at that moment or later."""
        at = bisect_left(self._moments, (moment, 0))
        number = self._moments[at][1] - 1 if at < len(self._moments) else self.number
        return {serial for _, serial in self.log.since(number) if serial in self._messages}

    # --- mail coming in

    def deliver(
        self, raw_mime: bytes, *, folder: str = "inbox", received: datetime | None = None, categories: Iterable[str] = ()
    ) -> str:
        """Puts a mail there as the outside world would. Answers its immutable id."""
        content = parse(raw_mime)
        return self._insert(content, folder, received=received, categories=tuple(categories)).id

    def send(self, raw_mime: bytes, *, sent: datetime | None = None) -> str:
        """Puts a mail this user sent into Sent Items (read, not a draft). Deliveries to others are the caller's."""
        return self._insert(parse(raw_mime), "sentitems", received=sent, is_read=True).id

    def create(self, content: Content, folder: str, **more: Any) -> Message:
        """What the API's "create message" does: a draft, unless its PidTagMessageFlags property says it is not unsent."""
        properties = more.get("properties", {})
        flags = properties.get(MESSAGE_FLAGS, ("", str(UNSENT)))[1]
        is_draft = bool(int(flags) & UNSENT) if flags.isdigit() else True
        return self._insert(content, folder, is_draft=is_draft, **more)

    def _insert(self, content: Content, folder: str, *, received: datetime | None = None, **more: Any) -> Message:
        home = self.folder_tree.get(folder)
        if home.search:
            raise refusal("denied")
        number, now = self.tick()
        self._serial += 1
        message_id = content.message_id or f"<{self.world.random.getrandbits(128):032x}@mail.sandbox.test>"
        received = (received or now).astimezone(UTC).replace(microsecond=0)
        content = self._with_raw(content, message_id, received)
        more.setdefault("importance", content.importance)
        message = Message(
            mailbox=self.identity.bytes, serial=self._serial, place=number, folder=home.id, content=content,
            message_id=message_id, conversation=self._conversation(content, message_id), received=received,
            sent=content.sent or received, created=now, modified=now, version=number, **more,
        )  # fmt: skip
        self._messages[message.serial] = message
        self._by_id[message.id] = message.serial
        self._by_message_id[message_id.casefold()].add(message.serial)
        self._by_conversation[message.conversation].add(message.serial)
        self._index_categories(message, message.categories)
        self._enter(message, home, number)
        self.log.note(message.serial, number)
        self.on_change(Change(self, message, home.id, None, message.rest_id))
        return message

    def _with_raw(self, content: Content, message_id: str, sent: datetime) -> Content:
        if not content.raw:
            return dataclasses.replace(content, raw=compose(content, message_id, sent))
        if content.message_id is None:
            return dataclasses.replace(content, raw=f"Message-ID: {message_id}\r\n".encode() + content.raw)
        return content

    def _conversation(self, content: Content, message_id: str) -> str:
        """Mailbox-local thread id: that of any mail it refers to, else its own. Replies may arrive before their root."""
        known = [self._threads[reference] for reference in reversed(content.references) if reference in self._threads]
        if not known and message_id in self._threads:
            known = [self._threads[message_id]]
        root = content.references[0] if content.references else message_id
        conversation = known[0] if known else make_id("conversation", uuid.uuid5(self.identity, root).bytes)
        for reference in (*content.references, message_id):
            self._threads.setdefault(reference, conversation)
        return conversation

    # --- changes

    def change(self, message: Message, **fields: Any) -> None:
        """Sets fields of the message (`categories`, `is_read`, `flag`, `content`, ...) as one change."""
        number, now = self.tick()
        home = self.folder_tree.get(message.folder)
        if "categories" in fields:
            self._index_categories(message, fields["categories"])
        if "is_read" in fields:
            home.unread += int(message.is_read) - int(fields["is_read"])
        for name, value in fields.items():
            setattr(message, name, value)
        message.version, message.modified = number, now
        home.log.note(message.serial, number)
        self.log.note(message.serial, number)
        self.on_change(Change(self, message, home.id, home.id, message.rest_id))

    def set_categories(self, message_id: str, categories: Iterable[str]) -> None:
        self.change(self.message(message_id), categories=tuple(dict.fromkeys(categories)))

    def set_read(self, message_id: str, is_read: bool = True) -> None:
        self.change(self.message(message_id), is_read=is_read)

    def open(self, message_id: str) -> None:
        """What a person does by looking: the mail becomes read, and with the switch `microsoft.opening_touches` on (as in
        Exchange) its last-modified time moves even if it was read before."""
        message = self.message(message_id)
        if not message.is_read or switch(self.world, "opening_touches"):
            self.change(message, is_read=True)

    def move(self, message_id: str, folder: str) -> Message:
        message, target = self.message(message_id), self.folder_tree.get(folder)
        if target.search:
            raise refusal("denied")
        number, now = self.tick()
        was_in, old_id = message.folder, message.rest_id
        self._leave(message, number, "changed")
        message.folder, message.place = target.id, number
        message.version, message.modified = number, now
        message.settle()
        self._enter(message, target, number)
        self.log.note(message.serial, number)
        self.on_change(Change(self, message, target.id, was_in, old_id))
        return message

    def delete(self, message_id: str) -> None:
        """The vendor's delete: to the folder of the switch `microsoft.delete_to` (default Deleted Items), from there to the
        recoverable items, from there for good."""
        message = self.message(message_id)
        home = self.folder_tree.get(message.folder)
        first = switch(self.world, "delete_to")
        if self.folder_tree.is_under(home, RECOVERABLE):
            self.purge(message_id)
        elif first == RECOVERABLE or self.folder_tree.is_under(home, "deleteditems"):
            self.move(message_id, RECOVERABLE)
        else:
            self.move(message_id, first)

    def purge(self, message_id: str) -> None:
        """Deletes for good."""
        message = self.message(message_id)
        number, _ = self.tick()
        self._leave(message, number, "deleted")
        self._index_categories(message, ())
        self._purged[message.serial] = Gone(message.rest_id, message.id, "deleted")
        del self._by_id[message.id]
        del self._messages[message.serial]
        self._by_message_id[message.message_id.casefold()].discard(message.serial)
        self._by_conversation[message.conversation].discard(message.serial)
        self.log.note(message.serial, number)
        self.on_change(Change(self, message, None, message.folder, message.rest_id))

    def add_link(self, message_id: str, name: str) -> None:
        """Adds a reference attachment: a link to a file in the cloud, which only Outlook itself makes."""
        message = self.message(message_id)
        link = Attachment(name, "application/octet-stream", b"", is_link=True)
        content = dataclasses.replace(message.content, attachments=(*message.content.attachments, link))
        self.change(message, content=content)

    # --- folders

    def add_folder(self, name: str, parent: str = TOP, *, hidden: bool = False, search: Search | None = None) -> str:
        """Creates a folder; answers its id."""
        number, _ = self.tick()
        return self.folder_tree.add(name, parent, number, hidden=hidden, search=search).id

    def make_folder(self, path: str) -> str:
        """The id of the folder at a path of display names below the top, as "Customers/2026"; what is missing is made."""
        above = self.folder_tree.well_known(TOP).id
        for name in path.split("/"):
            below = (one for one in self.folder_tree.children(above, hidden=True) if one.name.casefold() == name.casefold())
            found = next(below, None)
            above = found.id if found else self.add_folder(name, above)
        return above

    def move_folder(self, folder_id: str, parent: str) -> None:
        number, _ = self.tick()
        self.folder_tree.move(self.folder_tree.get(folder_id), self.folder_tree.get(parent), number)

    def rename_folder(self, folder_id: str, name: str) -> None:
        number, _ = self.tick()
        self.folder_tree.rename(self.folder_tree.get(folder_id), name, number)

    def delete_folder(self, folder_id: str) -> None:
        """To Deleted Items with all that is in it; from there for good, its messages becoming recoverable."""
        folder = self.folder_tree.get(folder_id)
        if folder.well_known:
            raise refusal("folder_fixed")
        number, _ = self.tick()
        if not folder.search and not self.folder_tree.is_under(folder, "deleteditems"):
            self.folder_tree.move(folder, self.folder_tree.well_known("deleteditems"), number)
            return
        for below in reversed(self.folder_tree.subtree(folder.id)):
            for message in self.messages(below.id):
                self.move(message.id, RECOVERABLE)
            self.folder_tree.remove(below, self.tick()[0])

    # --- bookkeeping

    def tick(self) -> tuple[int, datetime]:
        """The next number and the time of this change, which is never before the last one's."""
        now = self.world.clock.now()
        if self._moments and now <= self._moments[-1][0]:
            now = self._moments[-1][0] + timedelta(microseconds=1)
        self.number += 1
        self._moments.append((now, self.number))
        return self.number, now

    def _index_categories(self, message: Message, categories: Iterable[str]) -> None:
        for name in message.categories:
            self._by_category[name.casefold()].discard(message.serial)
        for name in categories:
            self._by_category[name.casefold()].add(message.serial)

    def _enter(self, message: Message, folder: Folder, number: int) -> None:
        folder.received.add(message.received, message.serial)
        folder.unread += not message.is_read
        folder.entered[message.serial] = number
        folder.gone.pop(message.serial, None)
        folder.log.note(message.serial, number)
        self._by_id[message.rest_id] = message.serial
        if folder.well_known != RECOVERABLE:
            self.received.add(message.received, message.serial)

    def _leave(self, message: Message, number: int, reason: str) -> None:
        folder = self.folder_tree.get(message.folder)
        folder.received.remove(message.received, message.serial)
        folder.unread -= not message.is_read
        folder.entered.pop(message.serial, None)
        folder.gone[message.serial] = Gone(message.rest_id, message.id, reason)
        folder.log.note(message.serial, number)
        self._by_id.pop(message.rest_id, None)
        self.received.remove(message.received, message.serial)
