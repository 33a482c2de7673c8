"""Which messages a listing means: scope, $filter and $orderby of a query over one mailbox, served by its indexes.

Rules that hold here: the first part of the filter an index can serve picks the candidates, every candidate is then tested
against the whole filter. Graph's restriction on $filter with
$orderby is checked before anything else.
Source: learn.microsoft.com/graph/api/user-list-messages, "Using filter and orderby in the same query".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sandbox.microsoft import odata
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.folders import RECOVERABLE, Folder
from sandbox.microsoft.mailbox import Mailbox
from sandbox.microsoft.messages import Message, property_key
from sandbox.microsoft.mime import Content
from sandbox.microsoft.odata import AnyOf, Both, Compare, Either, Negated, Node
from sandbox.microsoft.represent import comparable

Order = tuple[tuple[str, bool], ...]

#: (path, operator) -> the serials an index gives for a value
_INDEXES: Mapping[tuple[str, str], Callable[[Mailbox, Any], Collection[int]]] = {
    ("internetMessageId", "eq"): lambda box, value: box.with_message_id(value),
    ("conversationId", "eq"): lambda box, value: box.in_conversation(value),
    ("lastModifiedDateTime", "ge"): lambda box, value: box.modified_since(value),
    ("lastModifiedDateTime", "gt"): lambda box, value: box.modified_since(value),
    ("receivedDateTime", "ge"): lambda box, value: box.received.since(value),
    ("receivedDateTime", "gt"): lambda box, value: box.received.since(value),
}


def check(node: Node | None, order: Order, *, category_filter: bool) -> None:
    """Refuses what the service refuses: see the module's source. `category_filter` is the switch for the unsure fact whether
    a category test may stand beside a lastModifiedDateTime range."""
    paths = list(odata.mentioned(node)) if node else []
    for path in (*paths, *(path for path, _ in order)):
        comparable(_SAMPLE, path)
    if node and order:
        leading = list(dict.fromkeys(paths))[: len(order)]
        if leading != [path for path, _ in order]:
            raise refusal("inefficient")
    if not category_filter and "categories" in paths and "lastModifiedDateTime" in paths:
        raise refusal("filter_refused")


def find(mailbox: Mailbox, folder: Folder | None, node: Node | None, order: Order) -> list[Message]:
    """The messages of a folder (None = whole mailbox) that pass, newest first or as ordered."""
    if folder is not None and folder.search:
        return search(mailbox, folder, node, order)
    if node is None and not order:
        return mailbox.messages(folder.id if folder else None)
    found = _candidates(mailbox, folder, node)
    if node is not None:
        node = comparable_ids(node)
        found = [message for message in found if odata.matches(node, partial(comparable, message))]
    return _ordered(found, order)


def search(mailbox: Mailbox, folder: Folder, node: Node | None = None, order: Order = ()) -> list[Message]:
    """What a search folder shows now."""
    assert folder.search is not None
    query = odata.parse_filter(folder.search.query)
    tests = Both((query, node)) if node else query
    inside = sources(mailbox, folder)
    return [message for message in find(mailbox, None, tests, order) if message.folder in inside]


def sources(mailbox: Mailbox, folder: Folder) -> set[str]:
    """The folder ids a search folder looks into."""
    assert folder.search is not None
    tree = mailbox.folder_tree
    roots = [tree.get(source) for source in folder.search.sources]
    return {below.id for root in roots for below in (tree.subtree(root.id) if folder.search.nested else [root])}


def _candidates(mailbox: Mailbox, folder: Folder | None, node: Node | None) -> list[Message]:
    best: Collection[int] | None = None
    for part in odata.conjuncts(node):
        served = _served(mailbox, part)
        if served is not None and (best is None or len(served) < len(best)):
            best = served
    if best is None:
        return mailbox.messages(folder.id if folder else None)
    messages = [mailbox.by_serial(serial) for serial in best]
    if folder is not None:
        return [message for message in messages if message.folder == folder.id]
    recoverable = mailbox.folder_tree.well_known(RECOVERABLE).id
    return [message for message in messages if message.folder != recoverable]


def _served(mailbox: Mailbox, part: Node) -> Collection[int] | None:
    match part:
        case AnyOf("categories", variable, Compare(path, "eq", str(value))) if path == variable:
            return mailbox.with_category(value)
        case Compare(path, operator, value) if (path, operator) in _INDEXES and isinstance(value, str | datetime):
            return _INDEXES[path, operator](mailbox, value)
    return None


def comparable_ids(node: Node) -> Node:
    """The filter with ids of extended properties in the form messages keep them in."""
    match node:
        case Both(parts):
            return Both(tuple(comparable_ids(part) for part in parts))
        case Either(parts):
            return Either(tuple(comparable_ids(part) for part in parts))
        case Negated(part):
            return Negated(comparable_ids(part))
        case AnyOf("singleValueExtendedProperties" as path, variable, inner):
            return AnyOf(path, variable, _with_keys(inner, f"{variable}/id"))
        case _:
            return node


def _with_keys(node: Node, id_path: str) -> Node:
    match node:
        case Both(parts):
            return Both(tuple(_with_keys(part, id_path) for part in parts))
        case Compare(path, operator, str(value)) if path == id_path:
            return Compare(path, operator, property_key(value))
        case _:
            return node


def _ordered(found: list[Message], order: Order) -> list[Message]:
    found.sort(key=lambda message: (message.received, message.serial), reverse=True)
    for path, descending in reversed(order):
        found.sort(key=partial(_sortable, path), reverse=descending)
    return found


def _sortable(path: str, message: Message) -> tuple[bool, Any]:
    value = comparable(message, path)
    return (value is not None, value.casefold() if isinstance(value, str) else value)


def _sample() -> Message:
    """A message to ask "does this property exist" of, before any real one is looked at."""
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    return Message(b"\0" * 16, 0, 0, "", Content(), "", "", moment, moment, moment, moment, 0)


_SAMPLE = _sample()
