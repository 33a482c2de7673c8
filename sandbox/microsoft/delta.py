"""Delta queries: rounds over a change log, carried by opaque signed tokens.

Rules that hold here:
- A round hands out first what is there (newest first), then, from its deltaLink on, what changed, in the order it changed;
  what changes while a round runs is handed out by that round or the next one, never lost; replays are possible.
- Everything a round was asked for ($select, $filter, page size apart) is in its token; links are opaque to callers.
- A filtered first round ends after 5,000 messages (switch `microsoft.delta_filtered_most`). Which options a round takes beyond
  the documented ones is unsure: switches `microsoft.delta_expand`, `microsoft.delta_headers`.
- A token dies by age (switch `microsoft.delta_life_s`), by the faults `delta_gone` (410 with Location) and
  `sync_state_not_found` (the fault's `detail` is the status, 404 without), or when its folder is gone.
Sources: learn.microsoft.com/graph/delta-query-overview, /graph/delta-query-messages, /graph/api/message-delta.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime

from sandbox.microsoft import odata
from sandbox.microsoft.call import MAX_TOP, Answer, Call
from sandbox.microsoft.changes import ChangeLog
from sandbox.microsoft.errors import GraphError, refusal
from sandbox.microsoft.find import search
from sandbox.microsoft.folders import Folder
from sandbox.microsoft.messages import Message
from sandbox.microsoft.represent import MESSAGE, Json, View, chosen, message_json

DEFAULT_TOP = 10
HEADERS, PROPERTIES = "internetMessageHeaders", "singleValueExtendedProperties"
_TOKEN_NAMES = ("$skiptoken", "$deltatoken")
_ROUND_NAMES = ("$select", "$expand", "$filter", "$orderby", "$top", "changeType")


def seal(secret: bytes, state: Json) -> str:
    text = json.dumps(state, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hmac.digest(secret, text, hashlib.sha256)[:12] + text).decode().rstrip("=")


def unseal(secret: bytes, token: str) -> Json:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        if hmac.compare_digest(raw[:12], hmac.digest(secret, raw[12:], hashlib.sha256)[:12]):
            state: Json = json.loads(raw[12:])
            return state
    except ValueError:
        pass
    raise refusal("bad_delta_token")


def round_state(call: Call) -> Json:
    """What the token in the query says; a fresh state for a first call. Raises GraphError for a dead token."""
    lowered = {name.lower(): value for name, value in call.query.items()}
    token = next((lowered[name] for name in _TOKEN_NAMES if lowered.get(name)), None)
    now = call.microsoft.world.clock.now().timestamp()
    if token is None:
        call.top(DEFAULT_TOP)
        asked = {name: call.query[name] for name in _ROUND_NAMES if name in call.query}
        return {"path": call.path, "asked": asked, "at": now, "since": None, "skip": 0}
    name = f"{call.method} {call.template}"
    if call.microsoft.world.fault("microsoft", "delta_gone", name):
        raise _gone(call)
    if rule := call.microsoft.world.fault("microsoft", "sync_state_not_found", name):
        lost = refusal("delta_lost")
        raise GraphError(int(rule.detail or lost.status), lost.code, lost.message)
    state = unseal(call.microsoft.secret, token)
    if state["path"] != call.path:
        raise refusal("bad_delta_token")
    if now - state["at"] > call.microsoft.switch("delta_life_s"):
        raise refusal("delta_lost") if call.microsoft.switch("delta_death") == "syncStateNotFound" else _gone(call)
    return state


def _gone(call: Call) -> GraphError:
    """Switch `microsoft.delta_death`: which of the two documented signals an aged token gives."""
    return refusal("delta_gone", {"Location": call.link(**{"$deltatoken": ""})})


def round_answer(call: Call, context: str, state: Json, items: list[Json], more: bool) -> Answer:
    token = seal(call.microsoft.secret, {**state, "at": call.microsoft.world.clock.now().timestamp()})
    link = ("@odata.nextLink", "$skiptoken") if more else ("@odata.deltaLink", "$deltatoken")
    body = {"@odata.context": call.context(context), "value": items, link[0]: call.link(**{link[1]: token})}
    return Answer(body=body, headers=call.applied, asked=state["asked"])


def round_top(call: Call, state: Json) -> int:
    """The page size: this call's preference, else what the round was started with."""
    return call.page_size or min(int(state["asked"].get("$top", 0)) or DEFAULT_TOP, MAX_TOP)


def delta_page[K: Hashable](
    call: Call,
    context: str,
    state: Json,
    present: Callable[[], Iterable[tuple[int, K]]],
    log: ChangeLog[K],
    item: Callable[[K], Json | None],
) -> Answer:
    """A page of a round over a small set (folders). `present`: (rank, key) of what is there now, in rising order of rank; it
    is asked in the first round only."""
    top = round_top(call, state)
    if state["since"] is not None:
        return round_answer(call, context, *_changed(state, log, item, top))
    state.setdefault("number", call.mailbox.number)
    left = [(rank, key) for rank, key in present() if rank > state["skip"]]
    items = [made for _, key in left[:top] if (made := item(key))]
    if len(left) > top:
        return round_answer(call, context, {**state, "skip": left[top - 1][0]}, items, True)
    since = state.pop("number")
    return round_answer(call, context, {**state, "since": since, "skip": 0}, items, False)


def _changed[K: Hashable](
    state: Json, log: ChangeLog[K], item: Callable[[K], Json | None], top: int
) -> tuple[Json, list[Json], bool]:
    """(state after the page, its items, whether more wait)."""
    items: list[Json] = []
    since = state["since"]
    for number, key in log.since(since):
        if len(items) == top:
            return {**state, "since": since}, items, True
        since = number
        if made := item(key):
            items.append(made)
    return {**state, "since": since}, items, False


class _Round:
    """A round over the messages of one folder."""

    def __init__(self, call: Call, folder: Folder, state: Json) -> None:
        self.call, self.folder, self.state = call, folder, state
        state["asked"] = asked = _heeded(call, state["asked"])
        select = odata.parse_select(asked.get("$select"))
        if select is not None:
            chosen(select, MESSAGE, (), "message")
        self.view = View(select, odata.parse_expand(asked.get("$expand", "")), call.immutable, call.text)
        self.floor, self.inclusive = _floor(asked.get("$filter"))
        self.kinds = set(filter(None, asked.get("changeType", "").split(","))) or {"created", "updated", "deleted"}
        if asked.get("$orderby", "receivedDateTime desc").lower() != "receiveddatetime desc" or "$search" in call.query:
            raise refusal("delta_query", type="Messages", names="$orderby, $filter, $search")

    def passes(self, message: Message) -> bool:
        if self.floor is None:
            return True
        return message.received > self.floor or (self.inclusive and message.received == self.floor)

    def item(self, serial: int) -> Json | None:
        if serial in self.folder.entered:
            message = self.call.mailbox.by_serial(serial)
            kind = "created" if self.folder.entered[serial] > self.state["since"] else "updated"
            return message_json(message, self.view) if self.passes(message) and kind in self.kinds else None
        gone = self.folder.gone[serial]
        if "deleted" not in self.kinds:
            return None
        reason = "deleted" if self.call.microsoft.switch("removed_reason") == "deleted" else gone.reason
        return {"id": gone.immutable_id if self.view.immutable else gone.id, "@removed": {"reason": reason}}

    def first_page(self, top: int) -> tuple[Json, list[Json], bool]:
        """What is there, newest first, behind the last message handed out."""
        state, mailbox = self.state, self.call.mailbox
        state.setdefault("number", mailbox.number)
        last, last_serial = state.get("last", (None, 0))
        most = self.call.microsoft.switch("delta_filtered_most")
        items: list[Json] = []
        for serial in self.folder.received.after(datetime.fromisoformat(last) if last else None, last_serial):
            message = mailbox.by_serial(serial)
            if not self.passes(message) or (self.floor and state["skip"] >= most):
                break
            if len(items) == top:
                return state, items, True
            state |= {"last": (message.received.isoformat(), serial), "skip": state["skip"] + 1}
            if "created" in self.kinds:
                items.append(message_json(message, self.view))
        state.pop("last", None)
        since = state.pop("number")
        return {**state, "since": since, "skip": 0}, items, False


def _heeded(call: Call, asked: Json) -> Json:
    """What a round was asked for without the options it ignores. Raises GraphError for those it refuses."""
    heeded = dict(asked)
    if PROPERTIES in asked.get("$expand", "") and (how := call.microsoft.switch("delta_expand")) != "taken":
        if how != "ignored":
            raise (
                refusal("delta_expand_failed") if how == "failed" else refusal("delta_query", type="Messages", names="$expand")
            )
        del heeded["$expand"]
    names = odata.parse_select(asked.get("$select")) or ()
    if HEADERS in names and (how := call.microsoft.switch("delta_headers")) != "shown":
        if how == "refused":
            raise refusal("delta_query", type="Messages", names=HEADERS)
        heeded["$select"] = ",".join(name for name in names if name != HEADERS)
    return heeded


def _floor(source: str | None) -> tuple[datetime | None, bool]:
    """(receivedDateTime from where on, whether that moment counts): the only filter a message delta takes."""
    if not source:
        return None, False
    match odata.parse_filter(source):
        case odata.Compare("receivedDateTime", "ge" | "gt" as operator, datetime() as value):
            return value, operator == "ge"
    raise refusal("delta_query", type="Messages", names="$orderby, $filter, $search")


async def messages_delta(call: Call) -> Answer:
    """Changes of the messages of one folder. Search folders refuse (unsure: switch `microsoft.search_folder_delta`)."""
    folder = call.folder
    if folder.search:
        return _search_folder_delta(call, folder)
    state = round_state(call)
    top = round_top(call, state)
    current = _Round(call, folder, state)
    page = current.first_page(top) if state["since"] is None else _changed(state, folder.log, current.item, top)
    return round_answer(call, "messages", *page)


def _search_folder_delta(call: Call, folder: Folder) -> Answer:
    if not call.microsoft.switch("search_folder_delta"):
        raise refusal("no_tracking")
    mailbox, state = call.mailbox, round_state(call)
    view = View(odata.parse_select(state["asked"].get("$select")), (), call.immutable, call.text)
    inside = {message.serial for message in search(mailbox, folder)}

    def item(serial: int) -> Json | None:
        if serial in inside:
            return message_json(mailbox.by_serial(serial), view)
        gone = mailbox.ids_of(serial)
        return {"id": gone.immutable_id if view.immutable else gone.id, "@removed": {"reason": gone.reason}}

    return delta_page(call, "messages", state, lambda: [(serial, serial) for serial in sorted(inside)], mailbox.log, item)
