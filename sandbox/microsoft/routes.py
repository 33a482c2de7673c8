"""Every endpoint of Graph that is built: one table, and the router that reads a path by it.

Rules that hold here: an endpoint is a row: method, template, handler, what it answers (for the contract), which permissions
allow it. Graph reads paths regardless of case and takes keys in parentheses (`mailFolders('inbox')`); calls are counted under
the template however the path was spelled.
Permissions: the "Permissions" table of each operation's page on learn.microsoft.com/graph/api.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox.microsoft import calendar_handlers as events
from sandbox.microsoft import handlers_folders as folders
from sandbox.microsoft import handlers_messages as messages
from sandbox.microsoft import subscriptions
from sandbox.microsoft.batch import run_batch
from sandbox.microsoft.calendar_delta import REFUSED, calendar_delta
from sandbox.microsoft.calendar_schedule import get_schedule
from sandbox.microsoft.call import Answer, Call
from sandbox.microsoft.delta import messages_delta
from sandbox.microsoft.errors import refusal

Handler = Callable[[Call], Awaitable[Answer]]
ROOT = "/v1.0"

_READ = frozenset({"Mail.Read", "Mail.ReadWrite", "Mail.Read.Shared", "Mail.ReadWrite.Shared", "Mail-Advanced.ReadWrite",
                   "Mail-Advanced.ReadWrite.All"})  # fmt: skip  # Mail.ReadBasic, which shows less of a message, is not built
_WRITE = frozenset({"Mail.ReadWrite", "Mail.ReadWrite.Shared", "Mail-Advanced.ReadWrite", "Mail-Advanced.ReadWrite.All"})
_CALENDAR = frozenset({"Calendars.Read", "Calendars.ReadWrite", "Calendars.Read.Shared", "Calendars.ReadWrite.Shared"})
_CALENDAR_WRITE = frozenset({"Calendars.ReadWrite", "Calendars.ReadWrite.Shared"})
_SETTINGS = frozenset({"MailboxSettings.Read", "MailboxSettings.ReadWrite"})
_SETTINGS_WRITE = frozenset({"MailboxSettings.ReadWrite"})
_USER = frozenset({"User.Read", "User.ReadWrite", "User.Read.All", "User.ReadBasic.All", "User.ReadWrite.All"})
_ANYONE: frozenset[str] = frozenset()
_WATCHED = _READ | _CALENDAR  # which of them a resource needs is for `subscriptions.py`

Row = tuple[str, str, Handler, str, frozenset[str]]

#: under /me and /users/{user}
_MAILBOX: tuple[Row, ...] = (
    ("GET", "", folders.get_user, "user", _USER),
    ("GET", "/mailboxSettings", folders.get_mailbox_settings, "mailboxSettings", _SETTINGS),
    ("GET", "/mailFolders", folders.list_folders, "mailFolder[]", _READ),
    ("POST", "/mailFolders", folders.create_folder, "mailFolder", _WRITE),
    ("GET", "/mailFolders/delta", folders.folders_delta, "mailFolder[+]", _READ),
    ("GET", "/mailFolders/{folder}", folders.get_folder, "mailFolder", _READ),
    ("PATCH", "/mailFolders/{folder}", folders.update_folder, "mailFolder", _WRITE),
    ("DELETE", "/mailFolders/{folder}", folders.delete_folder, "", _WRITE),
    ("GET", "/mailFolders/{folder}/childFolders", folders.list_folders, "mailFolder[]", _READ),
    ("POST", "/mailFolders/{folder}/childFolders", folders.create_folder, "mailFolder", _WRITE),
    ("GET", "/mailFolders/{folder}/messages/delta", messages_delta, "message[+]", _READ),
    ("GET", "/outlook/masterCategories", folders.list_categories, "outlookCategory[]", _SETTINGS),
    ("POST", "/outlook/masterCategories", folders.create_category, "outlookCategory", _SETTINGS_WRITE),
    ("GET", "/outlook/masterCategories/{category}", folders.get_category, "outlookCategory", _SETTINGS),
    ("DELETE", "/outlook/masterCategories/{category}", folders.delete_category, "", _SETTINGS_WRITE),
    ("GET", "/calendar", events.get_calendar, "calendar", _CALENDAR),
    ("POST", "/calendar/getSchedule", get_schedule, "schedules", _CALENDAR),
    ("POST", "/translateExchangeIds", folders.translate_ids, "translatedIds", _USER | _READ | _CALENDAR),
)
#: under a mailbox and under each of its folders
_MESSAGES: tuple[Row, ...] = (
    ("GET", "/messages", messages.list_messages, "message[]", _READ),
    ("POST", "/messages", messages.create_message, "message", _WRITE),
    ("GET", "/messages/{message}", messages.get_message, "message", _READ),
    ("PATCH", "/messages/{message}", messages.update_message, "message", _WRITE),
    ("DELETE", "/messages/{message}", messages.delete_message, "", _WRITE),
    ("POST", "/messages/{message}/move", messages.move_message, "message", _WRITE),
    ("GET", "/messages/{message}/$value", messages.get_mime, "raw", _READ),
    ("GET", "/messages/{message}/attachments", messages.list_attachments, "attachment[]", _READ),
    ("GET", "/messages/{message}/attachments/{attachment}", messages.get_attachment, "attachment", _READ),
    ("GET", "/messages/{message}/attachments/{attachment}/$value", messages.get_attachment_value, "raw", _READ),
)
#: under a mailbox and under its calendar
_EVENTS: tuple[Row, ...] = (
    ("GET", "/calendarView", events.list_view, "event[]", _CALENDAR),
    ("GET", "/calendarView/delta", calendar_delta, "event[+]", _CALENDAR),
    ("GET", "/events", events.list_events, "event[]", _CALENDAR),
    ("POST", "/events", events.create_event, "event", _CALENDAR_WRITE),
    ("GET", "/events/{event}", events.get_event, "event", _CALENDAR),
    ("PATCH", "/events/{event}", events.update_event, "event", _CALENDAR_WRITE),
    ("DELETE", "/events/{event}", events.delete_event, "", _CALENDAR_WRITE),
    ("GET", "/events/{event}/instances", events.list_instances, "event[]", _CALENDAR),
    ("POST", "/events/{event}/cancel", events.cancel_event, "", _CALENDAR_WRITE),
    ("POST", "/events/{event}/accept", events.accept_event, "", _CALENDAR_WRITE),
    ("POST", "/events/{event}/tentativelyAccept", events.tentatively_accept_event, "", _CALENDAR_WRITE),
    ("POST", "/events/{event}/decline", events.decline_event, "", _CALENDAR_WRITE),
)
_GLOBAL: tuple[Row, ...] = (
    ("POST", "/$batch", run_batch, "batch", _ANYONE),
    ("GET", "/subscriptions", subscriptions.list_subscriptions, "subscription[]", _ANYONE),
    ("POST", "/subscriptions", subscriptions.create_subscription, "subscription", _WATCHED),
    ("GET", "/subscriptions/{subscription}", subscriptions.get_subscription, "subscription", _ANYONE),
    ("PATCH", "/subscriptions/{subscription}", subscriptions.renew_subscription, "subscription", _WATCHED),
    ("DELETE", "/subscriptions/{subscription}", subscriptions.delete_subscription, "", _WATCHED),
    ("POST", "/subscriptions/{subscription}/reauthorize", subscriptions.reauthorize_subscription, "", _WATCHED),
)


@dataclass(frozen=True)
class Route:
    """`answers`: the contract's kind of a successful answer, "" = no body."""

    method: str
    template: str
    handler: Handler
    answers: str
    allowed: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"


def _all() -> Iterable[Route]:
    def under(prefix: str, rows: Iterable[Row]) -> Iterable[Route]:
        return (Route(method, ROOT + prefix + path, *rest) for method, path, *rest in rows)  # type: ignore[arg-type]

    for owner in ("/me", "/users/{user}"):
        yield from under(owner, _MAILBOX)
        yield from under(owner, _MESSAGES)
        yield from under(f"{owner}/mailFolders/{{folder}}", _MESSAGES)
        yield from under(owner, _EVENTS)
        yield from under(f"{owner}/calendar", _EVENTS)
    yield from under("", _GLOBAL)


ROUTES = tuple(_all())
_ODATA = frozenset("$select $expand $filter $orderby $top $skip $count $search $format $skiptoken $deltatoken".split())
_LISTED = frozenset("$select $filter $top $skip $count".split())
_SOUGHT = _LISTED | {"$expand", "$orderby"}
_ROUND = frozenset("$select $expand $filter $orderby $search $top $skiptoken $deltatoken".split())
_ONE = frozenset({"$select", "$expand"})
#: which query options a handler heeds; all others are refused, never ignored
OPTIONS: Mapping[Handler, frozenset[str]] = {
    folders.get_user: frozenset({"$select"}),
    folders.list_folders: _LISTED,
    folders.get_folder: frozenset({"$select"}),
    folders.folders_delta: frozenset("$select $top $skiptoken $deltatoken".split()),
    messages.list_messages: _SOUGHT | {"$search"},
    messages.get_message: _ONE,
    messages.create_message: _ONE,
    messages.update_message: _ONE,
    messages.move_message: _ONE,
    messages.list_attachments: frozenset({"$select"}),
    messages.get_attachment: _ONE,
    messages_delta: _ROUND,
    events.get_calendar: frozenset({"$select"}),
    events.list_events: _SOUGHT,
    events.list_view: _SOUGHT,
    events.list_instances: _SOUGHT,
    events.get_event: _ONE,
    events.create_event: _ONE,
    events.update_event: _ONE,
    calendar_delta: frozenset({*REFUSED, "$skiptoken", "$deltatoken"}),
}


def refuse_options(route: Route, query: Mapping[str, str]) -> None:
    """Raises GraphError for a `$` option that is none (400), or that the endpoint does not heed here (501)."""
    for name in query:
        if name.startswith("$") and name.lower() not in _ODATA:
            raise refusal("bad_option", name=name)
        if name.startswith("$") and name.lower() not in OPTIONS.get(route.handler, ()):
            raise refusal("not_built", what=f"{name} of {route.name}")


_KEY = re.compile(r"\('([^']*)'\)")
_CALL = re.compile(r"\(\)")


class Router:
    """Reads a path: which route, and what stands in its places. `delta()` and `delta` are the same (OData functions)."""

    def __init__(self, routes: Iterable[Route] = ROUTES) -> None:
        self._by_shape: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        for route in routes:
            segments = route.template.split("/")
            self._by_shape.setdefault((route.method, len(segments)), []).append((segments, route))
        for rows in self._by_shape.values():
            rows.sort(key=lambda row: [segment.startswith("{") for segment in row[0]])

    @staticmethod
    def plain(path: str) -> str:
        """Keys in parentheses as segments: mailFolders('inbox') -> mailFolders/inbox."""
        return _KEY.sub(r"/\1", unquote(path) if "%" in path else path)

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """`path` from the root on, percent-encoded or not."""
        plain = path.replace("%27", "'").replace("%28", "(").replace("%29", ")")
        segments = _CALL.sub("", _KEY.sub(r"/\1", plain)).rstrip("/").split("/")
        for template, route in self._by_shape.get((method, len(segments)), ()):
            places = _places(template, segments)
            if places is not None:
                return route, places
        return None


def _places(template: list[str], segments: list[str]) -> dict[str, str] | None:
    places = {}
    for wanted, given in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            places[wanted[1:-1]] = unquote(given)
        elif wanted.lower() != unquote(given).lower():
            return None
    return places
