"""One call of Graph as the handlers see it, whether it came by itself or as a part of a $batch.

Rules that hold here: header names are lower case; the Prefer header is read once; ids are shown in the form the caller asked
for (`Prefer: IdType="ImmutableId"`, case-sensitive), bodies likewise, and what was heeded is said in Preference-Applied.
Source: learn.microsoft.com/graph/outlook-immutable-id, /graph/api/user-list-messages (request headers).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from sandbox.microsoft import odata
from sandbox.microsoft.errors import refusal
from sandbox.microsoft.event_json import EventView, check_view
from sandbox.microsoft.event_zones import UTC_ZONE, Zone, zone
from sandbox.microsoft.represent import Json, View

if TYPE_CHECKING:
    from sandbox.microsoft import Microsoft
    from sandbox.microsoft.event import Instance
    from sandbox.microsoft.folders import Folder
    from sandbox.microsoft.mailbox import Mailbox
    from sandbox.microsoft.messages import Message
    from sandbox.microsoft.tokens import Caller

MAX_TOP = 1000


@dataclass(frozen=True)
class Answer:
    """`body` is JSON (dict), raw bytes, or None (no body at all). `asked`: the query a delta round was started with."""

    status: int = 200
    body: Json | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    asked: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Call:
    """`path` is below the origin, decoded, without query; `owner` is whose mailbox the path names (None outside mailboxes)."""

    microsoft: Microsoft
    method: str
    template: str
    path: str
    places: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    payload: bytes
    caller: Caller
    owner: Mailbox | None = None

    @property
    def mailbox(self) -> Mailbox:
        if self.owner is None:
            raise refusal("no_resource", segment=self.path)
        return self.owner

    @property
    def folder(self) -> Folder:
        return self.mailbox.folder(self.places["folder"])

    @property
    def message(self) -> Message:
        """The message of the path. Raises GraphError also where it lies in another folder than the path names."""
        message = self.mailbox.message(self.places["message"])
        if "folder" in self.places and message.folder != self.folder.id:
            raise refusal("no_item")
        return message

    @property
    def event(self) -> Instance:
        """The event or occurrence of the path. Raises GraphError."""
        return self.mailbox.calendar.find(self.places["event"])

    @cached_property
    def prefer(self) -> str:
        return self.headers.get("prefer", "")

    @property
    def immutable(self) -> bool:
        return re.search(r'IdType\s*=\s*"ImmutableId"', self.prefer) is not None

    @property
    def text(self) -> bool:
        return re.search(r'outlook\.body-content-type\s*=\s*"?text"?', self.prefer) is not None

    @cached_property
    def _zone_name(self) -> str | None:
        match = re.search(r'outlook\.timezone\s*=\s*"([^"]*)"', self.prefer)
        return match[1] if match else None

    @cached_property
    def time_zone(self) -> Zone:
        """In which times of events are shown. Raises GraphError 400 TimeZoneNotSupportedException."""
        return UTC_ZONE if self._zone_name is None else zone(self._zone_name)

    @property
    def page_size(self) -> int | None:
        """From `odata.maxpagesize`."""
        match = re.search(r"(?:odata\.)?maxpagesize\s*=\s*(\d+)", self.prefer)
        return max(1, int(match[1])) if match else None

    @property
    def applied(self) -> dict[str, str]:
        """The Preference-Applied header, where something was heeded."""
        heeded = []
        if self.immutable:
            heeded.append('IdType="ImmutableId"')
        if self.text:
            heeded.append('outlook.body-content-type="text"')
        if self._zone_name is not None:
            heeded.append(f'outlook.timezone="{self._zone_name}"')
        if self.page_size:
            heeded.append(f"odata.maxpagesize={self.page_size}")
        return {"Preference-Applied": ", ".join(heeded)} if heeded else {}

    def view(self) -> View:
        select = odata.parse_select(self.query.get("$select"))
        return View(select, odata.parse_expand(self.query.get("$expand", "")), self.immutable, self.text)

    def event_view(self) -> EventView:
        """How the caller wants to see events. Raises GraphError where that cannot be."""
        asked = self.view()
        view = EventView(asked.select, asked.expand, asked.immutable, asked.text, self.time_zone)
        check_view(view)
        return view

    def number(self, name: str, default: int) -> int:
        """A whole number of the query, >= 0."""
        value = self.query.get(name)
        if value is None:
            return default
        if not value.isdigit():
            raise refusal("bad_query", name=name, value=value)
        return int(value)

    def top(self, default: int) -> int:
        top = self.number("$top", self.page_size or default)
        if top > MAX_TOP:
            raise refusal("top_too_big", value=top)
        if top == 0:
            raise refusal("bad_query", name="$top", value=top)
        return min(top, self.page_size or top)

    @cached_property
    def body(self) -> Json:
        """The JSON object sent. Raises GraphError 400."""
        try:
            read = json.loads(self.payload)
        except ValueError:
            raise refusal("bad_json") from None
        if not isinstance(read, dict):
            raise refusal("bad_json")
        return read

    def typed_body(self, type_name: str) -> Json:
        """The JSON object sent, held to the vendor's contract for that type. Raises GraphError 400 RequestBodyRead."""
        for problem in self.microsoft.contract.problems(type_name, self.body):
            raise refusal("bad_body", why=problem)
        return self.body

    def text_field(self, name: str) -> str:
        """A required, non-empty string of the body."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise refusal("missing", name=name)
        return value

    def parameters(self, *names: str) -> Json:
        """The body of an action: all of `names` and nothing else. Raises GraphError 400.

        Names are read regardless of case: the model writes `DestinationId`, the pages `destinationId`.
        """
        known = {name.lower(): name for name in names}
        given = {known.get(name.lower(), name): value for name, value in self.body.items()}
        for name in given:
            if name not in names:
                raise refusal("bad_parameter", name=name)
        for name in names:
            if not given.get(name):
                raise refusal("missing", name=name)
        return given

    def require_fresh(self, item: Message | Instance) -> None:
        """If-Match, where sent (unsure whether items heed it: switch `microsoft.if_match`). Raises GraphError 412."""
        wanted = self.headers.get("if-match", "*")
        if self.microsoft.switch("if_match") and wanted not in ("*", item.etag):
            raise refusal("stale")

    def context(self, rest: str) -> str:
        owner = f"users('{self.owner.user_id}')/" if self.owner else ""
        return f"{self.microsoft.base_url}/v1.0/$metadata#{owner}{rest}"

    def link(self, **query: Any) -> str:
        """This path again with another query."""
        path = quote(self.path, safe="/()'@=$")
        return f"{self.microsoft.base_url}{path}?{urlencode(query, quote_via=quote, safe='$,()')}"
