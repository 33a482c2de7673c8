"""The contract check of every answer: shapes of the REST API, and records against the field table.

Rules that hold here: a record holds known fields under their defined names, each with a value of its type, and all of what
was asked for and nothing else; an error is an array of message and errorCode; a row of a collection tells its errors with
statusCode.
What was asked for is read from the request by its own plain means, not by the stand-in's parser.

It must never correct an answer, and never look at the org's rows.

Source: REST API Developer Guide, response bodies of each resource; recorded describes and field tables (`fields.json`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.salesforce import routes
from sandbox.salesforce.schema import TEXT_TYPES, Field, Schema

Problems = list[str]
#: lower-case dotted paths that were asked for; None where anything may come
Asked = frozenset[str] | None
ID = re.compile(r"[A-Za-z0-9]{18}")
DATE = re.compile(r"\d{4}-\d\d-\d\d")
DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
LIMIT = {"Max": int, "Remaining": int}
QUERY = {"totalSize": int, "done": bool, "records": list}
SAVED = {"success": bool, "errors": list}
ROW_ERROR = {"statusCode": str, "message": str, "fields": list}
PART = {"httpHeaders": dict, "httpStatusCode": int, "referenceId": str}
VERSION = {"label": str, "url": str, "version": str}
SIGNED_IN: dict[str, dict[str, type]] = {
    "/services/oauth2/token": {"access_token": str, "instance_url": str, "id": str, "token_type": str, "scope": str},
    "/id/{org}/{user}": {"id": str, "user_id": str, "organization_id": str, "username": str, "active": bool, "urls": dict},
    "/services/oauth2/userinfo": {"sub": str, "user_id": str, "organization_id": str, "preferred_username": str},
}
DESCRIBED_FIELD = {
    "name": str, "type": str, "label": str, "length": int, "nillable": bool, "createable": bool, "updateable": bool,
    "filterable": bool, "sortable": bool, "idLookup": bool, "externalId": bool, "unique": bool, "caseSensitive": bool,
    "defaultedOnCreate": bool, "referenceTo": list, "picklistValues": list, "restrictedPicklist": bool, "soapType": str,
    "precision": int, "scale": int, "digits": int, "byteLength": int, "custom": bool, "calculated": bool,
}  # fmt: skip
DESCRIBED_OBJECT = {
    "name": str, "label": str, "labelPlural": str, "keyPrefix": str, "createable": bool, "updateable": bool, "deletable": bool,
    "queryable": bool, "mergeable": bool, "urls": dict,
}  # fmt: skip
#: What a reference to several objects shows of any of them.
SHARED = {"Type": str, "Name": str}
SELECT = re.compile(r"\s*SELECT\s+(.*?)\s+FROM\s+(\w+)(?:\s+(?!WHERE\b|ORDER\b|LIMIT\b|OFFSET\b|ALL\b)(\w+))?", re.I | re.S)


class Contract:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._pages: dict[str, Asked] = {}
        self._shapes: dict[str, Callable[[str, Mapping[str, str], Any, Any], Problems]] = {
            "GET /services/data": lambda p, q, s, a: _each(a, VERSION),
            "GET /services/data/{version}": lambda p, q, s, a: [] if isinstance(a, dict) else ["no object"],
            "/limits": lambda p, q, s, a: [one for row in a.values() for one in _shape(row, LIMIT)],
            "/query": self._first_page,
            "/queryAll": self._first_page,
            "/query/{locator}": self._next_page,
            "/queryAll/{locator}": self._next_page,
            "GET /services/data/{version}/sobjects": lambda p, q, s, a: _each(a["sobjects"], DESCRIBED_OBJECT),
            "/describe": lambda p, q, s, a: _shape(a, DESCRIBED_OBJECT) + _each(a["fields"], DESCRIBED_FIELD),
            "/updated": lambda p, q, s, a: _shape(a, {"ids": list, "latestDateCovered": str}),
            "/deleted": lambda p, q, s, a: _each(a["deletedRecords"], {"id": str, "deletedDate": str}),
            "POST /services/data/{version}/sobjects/{object}": lambda p, q, s, a: _saved(a),
            "GET /services/data/{version}/sobjects/{object}/{id}": self._one,
            "GET /services/data/{version}/sobjects/{object}/{id}/{value}": self._one,
            "PATCH /services/data/{version}/sobjects/{object}/{id}/{value}": lambda p, q, s, a: _saved(a),
            "POST /services/data/{version}/tooling/sobjects/CustomField": lambda p, q, s, a: _saved(a),
            "/composite": self._composite,
            "/composite/sobjects": lambda p, q, s, a: [one for row in a for one in _saved(row)],
            "/composite/sobjects/{object}": self._retrieved,
            "/composite/sobjects/{object}/{field}": lambda p, q, s, a: [one for row in a for one in _saved(row)],
        }

    def problems(
        self, name: str, path: str, query: Mapping[str, str], sent: Any, status: int, answered: Any
    ) -> list[str] | None:
        """A sentence per violation of one answer; None where nothing is checked (a file's bytes).

        `name`: "METHOD template" of the route, empty where none was found; `sent`: JSON of the request where it matters.
        """
        if answered is None:
            return None
        if status >= 400:
            return _errors(answered)
        if status == 300:
            return (
                [] if isinstance(answered, list) and all(isinstance(one, str) for one in answered) else ["300 without places"]
            )
        shape = self._shapes.get(name) or self._by_end(name)
        if shape is None:
            return [f"no shape is known for {name}"]
        try:
            return shape(path, query, sent, answered)
        except (KeyError, TypeError, AttributeError) as error:
            return [f"the answer lacks its shape: {error!r}"]

    def _by_end(self, name: str) -> Callable[[str, Mapping[str, str], Any, Any], Problems] | None:
        return next((shape for end, shape in self._shapes.items() if end.startswith("/") and name.endswith(end)), None)

    # --- queries

    def _first_page(self, path: str, query: Mapping[str, str], _sent: Any, answered: Any) -> Problems:
        return self._page(answered, asked_by(query.get("q", "")))

    def _next_page(self, path: str, _query: Mapping[str, str], _sent: Any, answered: Any) -> Problems:
        return self._page(answered, self._pages.get(_locator(path)))

    def _page(self, answered: Any, asked: Asked) -> Problems:
        problems = _shape(answered, QUERY)
        if "nextRecordsUrl" in answered:
            self._pages[_locator(answered["nextRecordsUrl"])] = asked
        if answered["done"] == ("nextRecordsUrl" in answered):
            problems.append("done and nextRecordsUrl contradict each other")
        return problems + [one for record in answered["records"] for one in self.record(record, asked)]

    # --- records

    def _one(self, _path: str, query: Mapping[str, str], _sent: Any, answered: Any) -> Problems:
        return self.record(answered, _listed(query["fields"].split(",")) if "fields" in query else None)

    def _retrieved(self, _path: str, query: Mapping[str, str], sent: Any, answered: Any) -> Problems:
        names = (sent or {}).get("fields") or query.get("fields", "").split(",")
        return [one for record in answered if record is not None for one in self.record(record, _listed(names))]

    def record(self, record: Any, asked: Asked) -> Problems:
        """Whether a record holds only known fields of the right types, and what was asked for."""
        shown: set[str] = set()
        problems = self._fields(record, "", shown)
        if asked is None:
            return problems
        nulls = {path for path in shown if path.endswith(".")}
        lacking = [path for path in asked - shown if not any(path.startswith(null) for null in nulls)]
        extra = [path for path in shown - asked if path not in nulls or not any(one.startswith(path) for one in asked)]
        problems += [f"{path} was selected and is not answered" for path in sorted(lacking)]
        return problems + [f"{path} is answered and was not selected" for path in sorted(extra)]

    def _fields(self, record: Any, prefix: str, shown: set[str]) -> Problems:
        attributes = record["attributes"]
        owner = self._schema.find(attributes["type"])
        if owner is None:
            return [f"a record of an unknown object: {attributes['type']}"]
        problems: Problems = [] if isinstance(attributes.get("url"), str) else [f"{owner.name}: attributes without url"]
        for name, value in record.items():
            if name == "attributes":
                continue
            field, link = owner.field(name), owner.relationships.get(name.lower())
            if link is not None and field is None:
                if value is None:
                    shown.add(f"{prefix}{name}.".lower())
                else:
                    problems += self._fields(value, f"{prefix}{name}.", shown)
                continue
            shown.add(f"{prefix}{name}".lower())
            if field is None or field.name != name:
                known = prefix and isinstance(value, SHARED.get(name, ()))
                problems += [] if known else [f"{owner.name} has no field {name}"]
            elif not fits(field, value):
                problems.append(f"{owner.name}.{name} is {field.type}, not {value!r}"[:200])
        return problems

    # --- composite

    def _composite(self, _path: str, _query: Mapping[str, str], sent: Any, answered: Any) -> Problems:
        parts = {part["referenceId"]: part for part in (sent or {}).get("compositeRequest", ())}
        problems: Problems = []
        for result in answered["compositeResponse"]:
            problems += _shape(result, PART)
            part = parts.get(result["referenceId"], {"method": "", "url": ""})
            path, _, text = part["url"].partition("?")
            found = routes.find(part["method"].upper(), path)
            name, query = found[0].name if found else "", dict(parse_qsl(text))
            inner = self.problems(name, path, query, part.get("body"), result["httpStatusCode"], result["body"])
            problems += [f"{result['referenceId']}: {one}" for one in inner or ()]
        return problems


def sign_in_problems(_request: web.Request, template: str, status: int, answered: Any) -> Problems | None:
    """The contract check of `/services/oauth2` and `/id`: an error is one object of two members; None for pages and words."""
    if answered is None:
        return None
    if status >= 400:
        told = set(answered) if isinstance(answered, dict) else answered
        return [] if told == {"error", "error_description"} else [f"an OAuth error is {told!r}"]
    return _shape(answered, SIGNED_IN.get(template, {}))


def asked_by(text: str) -> Asked:
    """The paths that a statement selects, in lower case without the object's alias; None for FIELDS() and COUNT()."""
    match = SELECT.match(text)
    if match is None or "(" in match[1]:
        return None
    owners = {match[2].lower(), (match[3] or "").lower()}
    paths = [path.strip().lower() for path in match[1].split(",")]
    return frozenset(path.partition(".")[2] if path.partition(".")[0] in owners and "." in path else path for path in paths)


def fits(field: Field, value: Any) -> bool:
    """Whether a JSON value is of the field's type. Only booleans and ids are never null."""
    if value is None:
        return field.type not in ("boolean", "id")
    if field.type in TEXT_TYPES or field.type == "base64":
        return isinstance(value, str)
    if field.type in ("int", "double", "currency", "percent"):
        return isinstance(value, int if field.type == "int" else (int, float)) and not isinstance(value, bool)
    if field.type == "boolean":
        return isinstance(value, bool)
    if field.type == "address":
        return isinstance(value, dict)
    pattern = {"date": DATE, "datetime": DATETIME}.get(field.type, ID)
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _listed(names: list[str]) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in names if name.strip()) | {"id"}


def _locator(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2].rpartition("-")[0]


def _shape(value: Any, wanted: Mapping[str, type]) -> Problems:
    if not isinstance(value, dict):
        return [f"{value!r} is no object"[:200]]
    return [
        f"{name} is {value.get(name)!r}, not {kind.__name__}"[:200]
        for name, kind in wanted.items()
        if not isinstance(value.get(name), kind) or (kind is int and isinstance(value.get(name), bool))
    ]


def _each(values: Any, wanted: Mapping[str, type]) -> Problems:
    return [one for value in values for one in _shape(value, wanted)]


def _saved(row: Any) -> Problems:
    problems = _shape(row, SAVED) + _each(row["errors"], ROW_ERROR)
    if row["success"] != (not row["errors"]):
        problems.append("success and errors contradict each other")
    if row["success"] and not ID.fullmatch(str(row.get("id"))):
        problems.append(f"a saved record without its id: {row.get('id')!r}")
    return problems


def _errors(answered: Any) -> Problems:
    if not isinstance(answered, list) or not answered:
        return ["an error that is no array"]
    known = {"message", "errorCode", "fields", "duplicateResult"}
    problems = _each(answered, {"message": str, "errorCode": str})
    return problems + [f"an error with unknown members: {sorted(set(one) - known)}" for one in answered if set(one) - known]
