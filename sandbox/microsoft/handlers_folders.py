"""Graph's users, mail folders, categories and id translation.

Sources (learn.microsoft.com/graph/api/...): user-get, user-list-mailfolders, mailfolder-list-childfolders,
mailfolder-post-childfolders, mailfolder-update, mailfolder-delete, mailfolder-delta, mailsearchfolder-post,
outlookuser-list-mastercategories, outlookuser-post-mastercategories, user-translateexchangeids.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.microsoft import odata
from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.delta import delta_page, round_state
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.find import search, sources
from sandbox.microsoft.folders import TOP, Folder, Search
from sandbox.microsoft.ids import FORMATS
from sandbox.microsoft.represent import Json, folder_json, user_json

#: learn.microsoft.com/graph/paging, mail folders
DEFAULT_TOP = 10
MAX_TRANSLATED = 1000
_FILTERABLE: Mapping[str, Callable[[Folder], Any]] = {
    "id": lambda folder: folder.id,
    "displayName": lambda folder: folder.name,
    "isHidden": lambda folder: folder.hidden,
    "parentFolderId": lambda folder: folder.parent,
    "totalItemCount": lambda folder: len(folder.received),
    "unreadItemCount": lambda folder: folder.unread,
}
_PLAIN_FOLDER = frozenset({"displayName", "isHidden", "@odata.type"})
_SEARCH_FOLDER = _PLAIN_FOLDER | {"sourceFolderIds", "includeNestedFolders", "filterQuery"}


async def get_user(call: Call) -> Answer:
    body = {"@odata.context": f"{call.microsoft.base_url}/v1.0/$metadata#users/$entity"}
    return Answer(body=body | user_json(call.mailbox, odata.parse_select(call.query.get("$select"))))


async def get_mailbox_settings(call: Call) -> Answer:
    return Answer(body={"@odata.context": call.context("mailboxSettings"), "timeZone": call.mailbox.time_zone})


def shown(call: Call, folder: Folder, query: Mapping[str, str] | None = None) -> Json:
    """`query`: what the first request of a delta round asked for; None = what this request asks for."""
    found = search(call.mailbox, folder) if folder.search else ()
    return folder_json(call.mailbox, folder, odata.parse_select((query or call.query).get("$select")), found)


def paged(call: Call, context: str, items: Sequence[Any], make: Any, default_top: int) -> Answer:
    """One page of a listing by $top and $skip; the link to the next one carries the rest of the query unchanged."""
    top, skip = call.top(default_top), call.number("$skip", 0)
    body: Json = {"@odata.context": call.context(context)}
    if call.query.get("$count", "").lower() == "true":
        body["@odata.count"] = len(items)
    body["value"] = [make(item) for item in items[skip : skip + top]]
    if skip + top < len(items):
        body["@odata.nextLink"] = call.link(**{**call.query, "$skip": skip + top})
    return Answer(body=body, headers=call.applied)


def _filtered(call: Call, folders: list[Folder]) -> list[Folder]:
    if not (source := call.query.get("$filter")):
        return folders
    node = odata.parse_filter(source)
    for path in odata.mentioned(node):
        if path not in _FILTERABLE:
            raise refusal("bad_filter_property", name=path, type="mailFolder")
    return [folder for folder in folders if odata.matches(node, lambda path, f=folder: _FILTERABLE[path](f))]  # type: ignore[misc]


async def list_folders(call: Call) -> Answer:
    """Children of the folder in the path, of the top where the path names none."""
    above = call.folder if "folder" in call.places else call.mailbox.folder_tree.well_known(TOP)
    hidden = call.query.get("includeHiddenFolders", "").lower() == "true"
    folders = _filtered(call, call.mailbox.folder_tree.children(above.id, hidden=hidden))
    return paged(call, "mailFolders", folders, lambda folder: shown(call, folder), DEFAULT_TOP)


async def get_folder(call: Call) -> Answer:
    return Answer(body={"@odata.context": call.context("mailFolders/$entity")} | shown(call, call.folder))


async def create_folder(call: Call) -> Answer:
    body = call.typed_body("mailFolder")
    name = call.text_field("displayName")
    is_search = "mailSearchFolder" in str(body.get("@odata.type", ""))
    known = _SEARCH_FOLDER if is_search else _PLAIN_FOLDER
    for key in body:
        if key not in known:
            raise refusal("unknown_body_property", name=key, type="mailFolder")
    wanted = _search(call, body) if is_search else None
    parent = call.places.get("folder", TOP)
    folder_id = call.mailbox.add_folder(name, parent, hidden=body.get("isHidden") is True, search=wanted)
    folder = call.mailbox.folder(folder_id)
    return Answer(201, {"@odata.context": call.context("mailFolders/$entity")} | shown(call, folder))


def _search(call: Call, body: Json) -> Search:
    query = call.text_field("filterQuery")
    if not (named := body.get("sourceFolderIds")):
        raise refusal("missing", name="sourceFolderIds")
    odata.parse_filter(query)
    wanted = Search(tuple(call.mailbox.folder(source).id for source in named), body.get("includeNestedFolders") is True, query)
    sources(call.mailbox, Folder("", "", None, search=wanted))
    return wanted


async def update_folder(call: Call) -> Answer:
    body = call.typed_body("mailFolder")
    if set(body) - {"displayName"}:
        raise refusal("read_only", name=min(set(body) - {"displayName"}))
    folder = call.folder
    call.mailbox.rename_folder(folder.id, call.text_field("displayName"))
    return Answer(body={"@odata.context": call.context("mailFolders/$entity")} | shown(call, folder))


async def delete_folder(call: Call) -> Answer:
    call.mailbox.delete_folder(call.folder.id)
    return Answer(204)


async def folders_delta(call: Call) -> Answer:
    """New, renamed, moved and removed folders since the link, as one flat list. Which options it takes is unsure: switches
    `microsoft.folder_delta_select` and `microsoft.folder_delta_page`."""
    if "$select" in call.query and not call.microsoft.switch("folder_delta_select"):
        raise refusal("delta_query", type="MailFolders", names="$select")
    if (call.page_size or 0) > call.microsoft.switch("folder_delta_page"):
        raise refusal("bad_query", name="odata.maxpagesize", value=call.page_size)
    mailbox, state = call.mailbox, round_state(call)

    def item(folder_id: str) -> Json | None:
        folder = mailbox.folder_tree.known(folder_id)
        if folder is None:
            return {"id": folder_id, "@removed": {"reason": mailbox.folder_tree.removed[folder_id]}}
        return None if folder.hidden else shown(call, folder, state["asked"])

    def present() -> list[tuple[int, str]]:
        return sorted((folder.made, folder.id) for folder in mailbox.folders()[1:])

    return delta_page(call, "mailFolders", state, present, mailbox.folder_tree.changed, item)


def _category_context(call: Call, rest: str = "") -> str:
    return call.context(f"outlook/masterCategories{rest}")


async def list_categories(call: Call) -> Answer:
    return Answer(body={"@odata.context": _category_context(call), "value": list(call.mailbox.categories.values())})


async def create_category(call: Call) -> Answer:
    body = call.typed_body("outlookCategory")
    name = call.text_field("displayName")
    if any(known["displayName"].casefold() == name.casefold() for known in call.mailbox.categories.values()):
        raise refusal("category_exists", name=name)
    category_id = str(uuid.uuid5(call.mailbox.identity, f"category {name.casefold()}"))
    category = {"id": category_id, "displayName": name, "color": body.get("color") or "none"}
    call.mailbox.categories[category_id] = category
    return Answer(201, {"@odata.context": _category_context(call, "/$entity")} | category)


async def get_category(call: Call) -> Answer:
    return Answer(body={"@odata.context": _category_context(call, "/$entity")} | _category(call))


async def delete_category(call: Call) -> Answer:
    """Messages keep the name, which then has no colour."""
    del call.mailbox.categories[_category(call)["id"]]
    return Answer(204)


def _category(call: Call) -> Json:
    if (category := call.mailbox.categories.get(call.places["category"])) is None:
        raise refusal("no_item")
    return dict(category)


async def translate_ids(call: Call) -> Answer:
    asked = call.parameters("inputIds", "sourceIdType", "targetIdType")
    ids, source, target = asked["inputIds"], asked["sourceIdType"], asked["targetIdType"]
    if not isinstance(ids, list) or source not in FORMATS or target not in FORMATS:
        raise refusal("missing", name="inputIds, sourceIdType, targetIdType")
    if len(ids) > MAX_TRANSLATED:
        raise refusal("ids_too_many")
    value = [_translated(call, str(one), source, target) for one in ids]
    context = f"{call.microsoft.base_url}/v1.0/$metadata#Collection(microsoft.graph.convertIdResult)"
    return Answer(body={"@odata.context": context, "value": value})


def _translated(call: Call, one: str, source: str, target: str) -> Json:
    """Folders' ids are constant: they are the same in both forms."""
    from_immutable, _, read = FORMATS[source]
    to_immutable, write, _ = FORMATS[target]
    own = read(one)
    if call.mailbox.folder_tree.known(own):
        return {"sourceId": one, "targetId": write(own)}
    item = call.mailbox.known(own) or call.mailbox.calendar.known(own)
    if item is None or item.shown_id(from_immutable) != own:
        code = refusal("no_item")
        return {"sourceId": one, "errorDetails": {"code": code.code, "message": code.message}}
    return {"sourceId": one, "targetId": write(item.shown_id(to_immutable))}
