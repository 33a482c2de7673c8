"""Graph's events: listing, views, one event, and what people do with invitations.

Sources (learn.microsoft.com/graph/api/...): user-list-events, user-post-events, event-get, event-update, event-delete,
event-list-instances, event-cancel, event-accept, event-tentativelyaccept, event-decline, user-list-calendarview, calendar-get.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from sandbox.microsoft import odata
from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event import MASTER, Instance
from sandbox.microsoft.event_json import ONLY_SELECTED, EventView, calendar_json, check_paths, comparable, event_json, normal
from sandbox.microsoft.event_window import window
from sandbox.microsoft.find import comparable_ids
from sandbox.microsoft.handlers_folders import paged
from sandbox.microsoft.represent import Json

DEFAULT_TOP = 10
#: what only one series, asked for by its id, shows
_OF_ONE = ONLY_SELECTED | {"exceptionOccurrences"}


async def get_calendar(call: Call) -> Answer:
    shown = calendar_json(call.mailbox.calendar, odata.parse_select(call.query.get("$select")))
    return Answer(body={"@odata.context": call.context("calendar/$entity")} | shown)


async def list_events(call: Call) -> Answer:
    """Single events and series."""
    return _listed(call, [event.instance() for event in call.mailbox.calendar.events()])


async def list_view(call: Call) -> Answer:
    """Single events, occurrences and exceptions that touch the window. The join address is shown only where isOnlineMeeting is
    selected too."""
    answer = _listed(call, call.mailbox.calendar.view(*window(call)), "calendarView")
    select = odata.parse_select(call.query.get("$select")) or ()
    if isinstance(answer.body, dict) and "onlineMeeting" in select and "isOnlineMeeting" not in select:
        for shown in answer.body["value"]:
            shown["onlineMeeting"] = None
    return answer


async def list_instances(call: Call) -> Answer:
    found = call.event
    if found.kind != MASTER:
        raise refusal("not_a_series")
    return _listed(call, found.event.within(*window(call)), f"events('{call.places['event']}')/instances")


def _listed(call: Call, found: list[Instance], context: str = "events") -> Answer:
    """By $filter and $orderby, a page of them."""
    source = call.query.get("$filter")
    node = odata.parse_filter(source) if source else None
    order = odata.parse_orderby(call.query.get("$orderby"))
    view = call.event_view()
    if named := {*(view.select or ()), *(expand.name for expand in view.expand)} & _OF_ONE:
        raise refusal("bad_query", name="$select" if named & ONLY_SELECTED else "$expand", value=min(named))
    check_paths([*(odata.mentioned(node) if node else ()), *(path for path, _ in order)])
    if node:
        node = comparable_ids(normal(node))
        found = [one for one in found if odata.matches(node, partial(comparable, one))]
    for path, descending in reversed(order):
        found.sort(key=partial(_sortable, path), reverse=descending)
    return paged(call, context, found, lambda one: event_json(one, view), DEFAULT_TOP)


def _sortable(path: str, found: Instance) -> tuple[bool, Any]:
    value = comparable(found, path)
    return (value is not None, value.casefold() if isinstance(value, str) else value)


def _one(call: Call, found: Instance, view: EventView, status: int = 200) -> Answer:
    body = {"@odata.context": call.context("events/$entity")} | event_json(found, view)
    return Answer(status, body, {**call.applied, "ETag": found.etag})


async def get_event(call: Call) -> Answer:
    return _one(call, call.event, call.event_view())


async def create_event(call: Call) -> Answer:
    body, view = call.typed_body("event"), call.event_view()
    return _one(call, call.mailbox.calendar.add(body), view, 201)


async def update_event(call: Call) -> Answer:
    found, body, view = call.event, call.typed_body("event"), call.event_view()
    call.require_fresh(found)
    return _one(call, call.mailbox.calendar.update(found.shown_id(True), body), view)


async def delete_event(call: Call) -> Answer:
    found = call.event
    call.require_fresh(found)
    call.mailbox.calendar.delete(found.shown_id(True))
    return Answer(204)


async def cancel_event(call: Call) -> Answer:
    _parameters(call, "comment")
    call.mailbox.calendar.cancel(call.event.shown_id(True))
    return Answer(202)


def _answering(response: str) -> Callable[[Call], Awaitable[Answer]]:
    async def answer(call: Call) -> Answer:
        given = _parameters(call, "comment", "sendResponse", "proposedNewTime")
        if given.get("proposedNewTime"):
            raise refusal("not_built", what="proposedNewTime")
        send = given.get("sendResponse", True) is not False
        if given.get("comment") and not send:
            raise refusal("silent_comment")
        call.mailbox.calendar.respond(call.event.shown_id(True), response, send=send)
        return Answer(202)

    return answer


accept_event = _answering("accepted")
tentatively_accept_event = _answering("tentativelyAccepted")
decline_event = _answering("declined")


def _parameters(call: Call, *names: str) -> Json:
    """The body of an action, all of it optional; names are read regardless of case. Raises GraphError 400."""
    known = {name.lower(): name for name in names}
    given: Json = {}
    for name, value in (call.body if call.payload.strip() else {}).items():
        if name.lower() not in known:
            raise refusal("bad_parameter", name=name)
        given[known[name.lower()]] = value
    return given
