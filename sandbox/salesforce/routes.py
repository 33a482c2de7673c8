"""Every resource the stand-in has, as a table, and the finder of the one that a path names.

Rules that hold here: the first row that fits wins; a slash at the end changes nothing; a place never holds a slash (its value
is decoded after the split). `is_open` rows need no session; `is_nested` rows may stand in a composite.

It must never hold a rule of a resource.

Source: REST API Developer Guide, "Reference".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from sandbox.salesforce import about, composite, many, reading, tooling, writing
from sandbox.salesforce.call import Handler

ROOT = "/services/data"
V = ROOT + "/{version}"
ROW = V + "/sobjects/{object}"


@dataclass(frozen=True)
class Route:
    method: str
    template: str
    handler: Handler
    is_open: bool = False
    is_nested: bool = True

    @property
    def name(self) -> str:
        """What its calls are counted under."""
        return f"{self.method} {self.template}"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        places = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self.template))
        return re.compile(places + "/?")


ROUTES = (
    Route("GET", ROOT, about.versions, is_open=True, is_nested=False),
    Route("GET", V, about.resources, is_nested=False),
    Route("GET", V + "/limits", about.limits),
    Route("GET", V + "/query", reading.query),
    Route("GET", V + "/queryAll", reading.query_all),
    Route("GET", V + "/query/{locator}", reading.more),
    Route("GET", V + "/queryAll/{locator}", reading.more),
    Route("GET", V + "/sobjects", about.describe_global),
    Route("GET", ROW + "/describe", about.describe_object),
    Route("GET", ROW + "/updated", reading.updated),
    Route("GET", ROW + "/deleted", reading.deleted),
    Route("POST", ROW, writing.create),
    Route("GET", ROW + "/{id}", reading.get_record),
    Route("PATCH", ROW + "/{id}", writing.update),
    Route("DELETE", ROW + "/{id}", writing.delete),
    Route("GET", ROW + "/{id}/{value}", reading.get_by_key),
    Route("PATCH", ROW + "/{id}/{value}", writing.upsert),
    Route("POST", V + "/composite", composite.composite, is_nested=False),
    Route("POST", V + "/composite/sobjects", many.create),
    Route("PATCH", V + "/composite/sobjects", many.update),
    Route("DELETE", V + "/composite/sobjects", many.delete),
    Route("POST", V + "/composite/sobjects/{object}", reading.retrieve),
    Route("GET", V + "/composite/sobjects/{object}", reading.retrieve),
    Route("PATCH", V + "/composite/sobjects/{object}/{field}", many.upsert),
    Route("POST", V + "/tooling/sobjects/CustomField", tooling.create_field, is_nested=False),
)


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
    """The route of a path as it stands in the request line, and its places, decoded."""
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def allowed_methods(path: str) -> list[str]:
    """The methods that a known path takes; empty for an unknown path."""
    return sorted({route.method for route in ROUTES if route.pattern.fullmatch(path)})
