"""Folders, categories and single mails of a Graph mailbox: what is looked up by itself, and what is made where it is missing.

Rules that hold here: everything that is made may be made by two at the same time; "there already" is as good as made, and
what is there is found by its name. Folders are asked for one level at a time, each once.
Sources: learn.microsoft.com/graph/api/user-post-mailfolders, /graph/api/mailsearchfolder-post,
/graph/api/outlookuser-post-mastercategories, /graph/api/resources/mailfolder (well-known names).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from shared.core.errors import Bug, Gone, ItemError, Refused, Unavailable
from shared.core.scope import ERROR_MARK, FOLDER, MARK, UNSYNC
from shared.mailbox import graph_map as read
from shared.mailbox.graph_errors import CONFLICT
from shared.mailbox.graph_http import Answer, GraphHttp, Part
from shared.mailbox.graph_map import Place
from shared.mailbox.graph_streams import category_filter, folder_path, query
from shared.mailbox.graph_tree import ROLES, TOP, Tree, short

Json = Mapping[str, Any]
#: category -> colour: blue, grey, red
CATEGORIES = {MARK: "preset7", UNSYNC: "preset12", ERROR_MARK: "preset0"}


def _settled(answer: Answer, *, fine: bool) -> None:
    """Raises the answer's error unless it is `fine`. That one thing is refused is a failure of the vendor here, to be tried
    again: no mail is at fault."""
    if answer.error is not None and not fine:
        raise Unavailable() if isinstance(answer.error, ItemError) else answer.error


def role_parts(home: str) -> list[Part]:
    return [Part(f"role.{name}", query(folder_path(home, name), select="id")) for name in (*ROLES, TOP)]


def read_roles(tree: Tree, answers: Mapping[str, Answer]) -> None:
    """Notes which folder has which role; a mailbox may lack one."""
    for name in (*ROLES, TOP):
        answer = answers.get(f"role.{name}")
        if answer is None:
            continue
        _settled(answer, fine=isinstance(answer.error, Gone))
        folder_id = read.text(answer.body.get("id"))
        tree.roles[name] = short(folder_id) if folder_id else ""


def chain(http: GraphHttp, home: str, tree: Tree, folder_ids: Iterable[str]) -> list[str]:
    """Puts folders into the tree that it does not know, and those they lie in up to one it knows; answers their ids. One
    that is not there counts as lying nowhere."""
    found: list[str] = []
    waiting = [folder for folder in dict.fromkeys(folder_ids) if folder and not tree.knows(folder)]
    while waiting:
        parts = [Part(folder, query(folder_path(home, folder), select="id,parentFolderId")) for folder in waiting]
        for folder, answer in http.batch(parts).items():
            _settled(answer, fine=isinstance(answer.error, Gone))
            tree.put(folder, read.text(answer.body.get("parentFolderId")))
            found.append(folder)
            waiting.append(read.text(answer.body.get("parentFolderId")))
        waiting = [folder for folder in dict.fromkeys(waiting) if folder and not tree.knows(folder)]
    return found


def placed[M](
    http: GraphHttp, home: str, tree: Tree, messages: Iterable[Json], make: Callable[[Json, Place], M]
) -> Iterator[M | Bug]:
    """What `make` makes of each message and its place; folders that the tree does not know are asked for first. A message
    that our own code cannot read is a Bug, and the others are read."""
    waiting = list(messages)
    chain(http, home, tree, (read.text(message.get("parentFolderId")) for message in waiting))
    for message in waiting:
        try:
            yield make(message, tree.place(read.text(message.get("parentFolderId"))) or Place())
        except Exception as problem:  # noqa: BLE001 - one item's; the engine counts it and holds that item alone
            yield Bug.of(problem)


def messages(http: GraphHttp, home: str, ids: Sequence[str], *, expand: str, select: str = read.MAIL) -> Mapping[str, Answer]:
    """Single mails by id; a list of ids may name one twice."""
    wanted = list(dict.fromkeys(ids))
    paths = [query(f"{home}/messages/{quote(mail_id, safe='')}", select=select, expand=expand) for mail_id in wanted]
    answers = http.batch([Part(str(n), path, one_item=True) for n, path in enumerate(paths)])
    return {mail_id: answers[str(n)] for n, mail_id in enumerate(wanted)}


def categories(http: GraphHttp, home: str, listed: Answer) -> None:
    """Makes those of our categories that the mailbox's list lacks."""
    there = {read.own_name(read.text(one.get("displayName"))) for one in listed.value}
    parts = [
        Part(str(n), f"{home}/outlook/masterCategories", "POST", {"displayName": name, "color": color})
        for n, (name, color) in enumerate(CATEGORIES.items())
        if name not in there
    ]
    for answer in http.batch(parts).values():
        _settled(answer, fine=isinstance(answer.error, Refused) and answer.error.code == CONFLICT)


def marking_folder(http: GraphHttp, home: str, tree: Tree) -> str:
    """The id of "Salesforce Emails" at the top, made where it is missing and put into the tree; "" where its name is taken
    by what is not shown."""
    folder = _made(http, f"{home}/mailFolders", {"displayName": FOLDER})
    folder_id = read.text(folder.get("id"))
    if folder_id:
        tree.put(folder_id, read.text(folder.get("parentFolderId")))
    return folder_id


def search_folder(http: GraphHttp, home: str, category: str) -> str:
    """The id of our search folder over the whole mailbox for a category, made where it is missing. Raises Unavailable."""
    top = http.json("GET", query(folder_path(home, TOP), select="id"))
    wanted = {
        "@odata.type": "microsoft.graph.mailSearchFolder",
        "displayName": f"Mailspan {category}",
        "includeNestedFolders": True,
        "sourceFolderIds": [read.text(top.get("id"))],
        "filterQuery": category_filter(category),
    }
    folder_id = read.text(_made(http, f"{folder_path(home, 'searchfolders')}/childFolders", wanted).get("id"))
    if not folder_id:
        raise Unavailable()
    return folder_id


def _made(http: GraphHttp, path: str, wanted: Json) -> Json:
    """The folder, made or found by its name; {} where it is neither."""
    try:
        return http.json("POST", path, body=wanted)
    except Refused as refused:
        if refused.code != CONFLICT:
            raise Unavailable() from None
    same = query(path, filter=f"displayName eq '{wanted['displayName']}'", select="id,parentFolderId")
    return next(iter(http.pages(f"{same}&includeHiddenFolders=true")), {})


def ids_below(http: GraphHttp, home: str, folder_id: str) -> dict[str, str]:
    """{hash: id} of all folders below one; asked for level by level, because the tree keeps no ids."""
    found: dict[str, str] = {}
    waiting = [folder_id]
    while waiting:
        path = query(f"{folder_path(home, waiting.pop())}/childFolders", select="id,childFolderCount", top=100)
        for item in http.pages(path):
            below = read.text(item.get("id"))
            found[short(below)] = below
            if item.get("childFolderCount") != 0:
                waiting.append(below)
    return found
