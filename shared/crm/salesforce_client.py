"""One user's line to one Salesforce org: simple-salesforce over our own session, with budget, time limits and one new token.

Rules that hold here:
- The budget is asked before every call and hears every answer, errors too.
- The API version is the smaller of ours and the org's newest, asked once per address and process (no call by their count).
- A session that Salesforce no longer knows is replaced once, then it is a matter of consent. An upload is not repeated: its
  bytes are gone; the caller comes back with new ones.
- Redirects are not followed: a token goes to the address it was given for and to no other.
- No vendor text leaves; errors are `core.errors`, translated by `salesforce_errors`.

Source: REST API Developer Guide, "Versions", "Send Multiple Requests Using Composite" (all sObject resources, queries and
collections may be parts; 25 parts, 5 of them queries or collections; one call), "Call Options Header", "Query".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import requests
from simple_salesforce import Salesforce  # type: ignore[attr-defined]
from simple_salesforce.exceptions import SalesforceError

from shared.core.errors import ConsentNeeded, NetworkDown, Unavailable
from shared.crm.budget import Budget
from shared.crm.salesforce_errors import translated
from shared.crm.schema import Answer
from shared.ports import AccessToken, Bearer, Clock

OURS = (67, 0)
CONNECT_S, READ_S = 10, 60
PARTS, QUERIES = 25, 5
_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_versions: dict[str, str] = {}  # address -> version

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """One part of a composite. `path` follows the version and may refer to earlier parts by `name`: `@{name.id}`."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Reply:
    """The answer to a part: HTTP status and parsed body."""

    status: int
    body: Any


class Client:
    """Made for one session. `session` is ours: certificate authorities, pool; `session_id` lets Salesforce's logs name it."""

    def __init__(self, session: requests.Session, token: AccessToken, *, budget: Budget, clock: Clock, session_id: str) -> None:
        self._session = session
        self._token = token
        self._budget = budget
        self.clock = clock
        self._headers = {"Sforce-Call-Options": f"client=mailspan/{session_id}", "X-PrettyPrint": "0"}
        self._bearer: Bearer | None = None
        self._line: Salesforce | None = None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer, None where there is none. `path` follows the version, or begins with /services/."""
        data = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        try:
            return self._once(method, path, data, {})
        except SalesforceError as problem:
            if problem.status != 401:
                raise translated(problem.status, problem.content, self.clock.now()) from None
        self._renew()
        try:
            return self._once(method, path, data, {})
        except SalesforceError as problem:
            raise translated(problem.status, problem.content, self.clock.now()) from None

    def upload(self, path: str, body: Any, content_type: str) -> Any:
        """Posts a body that is read once. Raises Unavailable where the session had ended; the next try has another."""
        try:
            return self._once("POST", path, body, {"Content-Type": content_type})
        except SalesforceError as problem:
            if problem.status != 401:
                raise translated(problem.status, problem.content, self.clock.now()) from None
        self._renew()
        raise Unavailable

    def composite(self, parts: Sequence[Part]) -> list[Reply]:
        """The answers in the order of the parts, errors among them; one call."""
        if not 0 < len(parts) <= PARTS:
            raise ValueError(f"a composite takes 1 to {PARTS} parts, not {len(parts)}")
        self._budget.check()
        names = [part.name or f"part{number}" for number, part in enumerate(parts)]
        root = f"/services/data/v{self.version}/"
        sent = [
            {"method": part.method, "url": root + part.path, "referenceId": name}
            | ({"body": part.body} if part.body is not None else {})
            | ({"httpHeaders": dict(part.headers)} if part.headers else {})
            for name, part in zip(names, parts, strict=True)
        ]
        answer = self.call("POST", "composite", {"allOrNone": False, "compositeRequest": sent})
        found = {reply["referenceId"]: reply for reply in answer["compositeResponse"]}
        return [Reply(r["httpStatusCode"], r.get("body")) for r in map(found.__getitem__, names)]

    def ask(self, statements: Sequence[tuple[str, str]], *, archived: Collection[str] = ()) -> dict[str, list[Row]]:
        """The rows of (name, SOQL) statements, put together by name; five statements are one call, a further page another.
        Of the names in `archived` also what is archived or deleted."""
        found: dict[str, list[Row]] = {name: [] for name, _ in statements}
        for start in range(0, len(statements), QUERIES):
            asked = statements[start : start + QUERIES]
            paths = [("queryAll" if name in archived else "query", soql) for name, soql in asked]
            replies = self.composite([Part("GET", f"{path}?q={quote(soql, safe='')}") for path, soql in paths])
            for (name, _), reply in zip(asked, replies, strict=True):
                self.expect(reply)
                found[name].extend(self.all_pages(reply.body))
        return found

    def describe(self, wanted: Mapping[str, datetime | None]) -> Mapping[str, Answer]:
        """What Salesforce says of objects, each only where it changed since (None: whatever it is); one call."""
        parts = [
            Part(
                "GET",
                f"sobjects/{name}/describe",
                headers={"If-Modified-Since": format_datetime(since, usegmt=True)} if since else {},
            )
            for name, since in wanted.items()
        ]
        answers: dict[str, Answer] = {}
        for name, reply in zip(wanted, self.composite(parts), strict=True):
            if reply.status not in (304, 404):
                self.expect(reply)
            answers[name] = Answer(reply.status, reply.body)
        return answers

    def expect(self, reply: Reply) -> Reply:
        """The reply, or its error raised."""
        if reply.status >= 300:
            raise translated(reply.status, reply.body, self.clock.now())
        return reply

    @property
    def version(self) -> str:
        return str(self._connected().sf_version)

    def all_pages(self, page: Any) -> list[Row]:
        """The rows of a first page and of those that follow it, each of which is a call."""
        rows = list(page["records"])
        while following := page.get("nextRecordsUrl"):
            page = self.call("GET", following)
            rows.extend(page["records"])
        return rows

    def _connected(self) -> Salesforce:
        if self._line is None:
            self._bearer = self._bearer or self._token.current()
            address = self._bearer.address
            if address not in _versions:
                _versions[address] = self._newest_common(address)
            self._line = Salesforce(
                instance_url=address, session_id=self._bearer.token, version=_versions[address], session=self._session
            )
        return self._line

    def _renew(self) -> None:
        if self._bearer is None:
            raise ConsentNeeded
        self._bearer, self._line = self._token.after(self._bearer), None

    def _newest_common(self, address: str) -> str:
        try:
            answer = self._session.get(
                f"{address}/services/data", timeout=(CONNECT_S, READ_S), allow_redirects=False, headers=self._headers
            )
            if answer.status_code != 200:
                raise translated(answer.status_code, answer.text, self.clock.now())
            offered = [one["version"] for one in answer.json() if _VERSION.fullmatch(one["version"])]
        except requests.JSONDecodeError:
            raise Unavailable from None
        except requests.RequestException:
            raise NetworkDown from None
        newest = max((tuple(map(int, version.split("."))) for version in offered), default=OURS)
        return ".".join(map(str, min(newest, OURS)))

    def _once(self, method: str, path: str, data: Any, headers: Mapping[str, str]) -> Any:
        """Raises SalesforceError for the caller to translate, and ours where no answer came."""
        self._budget.check()
        line = self._connected()
        url = f"https://{line.sf_instance}{path}" if path.startswith("/services/data/") else line.base_url + path
        try:
            answer = line._call_salesforce(
                method,
                url,
                data=data,
                headers={**self._headers, **headers},
                timeout=(CONNECT_S, READ_S),
                allow_redirects=False,
                hooks={"response": [*self._session.hooks["response"], self._hear]},  # a call's hooks replace the session's
            )
            return answer.json() if answer.content else None
        except requests.JSONDecodeError:
            raise Unavailable from None
        except requests.RequestException:
            raise NetworkDown from None

    def _hear(self, response: requests.Response, *_: Any, **__: Any) -> None:
        self._budget.heard(response.headers.get("Sforce-Limit-Info"))
