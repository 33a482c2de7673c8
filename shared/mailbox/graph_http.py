"""The one place that sends requests to Microsoft Graph.

Rules that hold here:
- Every request and every part of a batch asks for immutable ids and carries the session's id; the token goes to the bearer's
  own address and nowhere else: no redirect is followed, and a link of an answer counts only below that address.
- A refused token is exchanged once per request. Nothing here waits: who must wait learns it from the error.
- Of an error the caller sees our class; the vendor's text, and any library's, ends here.
Sources: learn.microsoft.com/graph/json-batching, /graph/throttling, /graph/outlook-immutable-id.

It must never know what a mail is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.auth import AuthBase

from shared.core.errors import NetworkDown, Refused, Retry, SyncError, Unavailable
from shared.mailbox.graph_errors import read_refusal, translated
from shared.ports import AccessToken, Bearer

MAX_PARTS = 20
#: seconds to connect, seconds without a byte
TIMEOUTS = (10, 30)
IMMUTABLE = 'IdType="ImmutableId"'


@dataclass(frozen=True)
class Part:
    """One request of a batch. `url` is below the bearer's address; `prefer` is added to the Prefer header; `stream` is told
    by CursorExpired. `unsure`: what is asked may be more than the vendor can; its 500 then counts as a refusal, for that is how
    it has answered options it does not know together with a delta. `one_item`: a 403 or 500 is that item's own trouble, not the
    mailbox's."""

    id: str
    url: str
    method: str = "GET"
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    prefer: str = ""
    stream: str = ""
    unsure: bool = False
    one_item: bool = False


@dataclass(frozen=True)
class Answer:
    """What a part was answered: `body` where it went well, else `error`."""

    body: Mapping[str, Any]
    error: SyncError | None = None

    @property
    def value(self) -> list[Mapping[str, Any]]:
        """The items of a listing; what is no JSON object is left out."""
        items = self.body.get("value")
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


class _Bearer(AuthBase):
    """Sets the token as authentication, so that a machine's .netrc cannot take its place."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class GraphHttp:
    """Requests of one session to one mailbox's vendor."""

    def __init__(self, session: requests.Session, token: AccessToken, session_id: str) -> None:
        self._session, self._token, self._session_id = session, token, session_id

    def send(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None, stream: bool = False
    ) -> requests.Response:
        """The answer, whatever its status. `stream`: the body is left to be read. Raises NetworkDown and what tokens raise."""
        bearer = self._token.current()
        response = self._once(bearer, method, path, body, headers or {}, stream)
        if response.status_code != 401:
            return response
        response.close()
        return self._once(self._token.after(bearer), method, path, body, headers or {}, stream)

    def _once(
        self, bearer: Bearer, method: str, path: str, body: Any, headers: Mapping[str, str], stream: bool
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                bearer.address.rstrip("/") + path,
                json=body,
                headers={"Prefer": IMMUTABLE, "client-request-id": self._session_id, **headers},
                auth=_Bearer(bearer.token),
                timeout=TIMEOUTS,
                allow_redirects=False,
                verify=self._session.verify,  # said here, or the environment's bundle would take the place of ours
                stream=stream,
            )
        except requests.RequestException:
            raise NetworkDown() from None

    def json(self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The JSON object answered ({} where there is no body). Raises what `graph_errors` says."""
        response = self.send(method, path, body=body, headers=headers)
        if response.status_code >= 300:
            raise refused(response)
        return _object(response) if response.content else {}

    def batch(self, parts: Sequence[Part]) -> dict[str, Answer]:
        """Answers by part id, in as many requests as parts need. Raises the longest Retry where any part must wait: then
        nothing of the batch is handed out, so that the wait is kept. Other errors stay with their part."""
        answers: dict[str, Answer] = {}
        for start in range(0, len(parts), MAX_PARTS):
            chunk = parts[start : start + MAX_PARTS]
            bearer = self._token.current()
            found = self._batch(bearer, chunk)
            stale = [part for part in chunk if found[part.id][0] == 401]
            if stale:
                found.update(self._batch(self._token.after(bearer), stale))
            answers.update((part.id, _answer(part, *found[part.id])) for part in chunk)
        waits = [answer.error for answer in answers.values() if isinstance(answer.error, Retry)]
        if waits:
            raise max(waits, key=lambda wait: wait.after_s or 0.0)
        return answers

    def _batch(self, bearer: Bearer, parts: Sequence[Part]) -> dict[str, tuple[int, Any, Mapping[str, str]]]:
        """(status, body, headers) by part id. A refused outer request gives each part that refusal's status."""
        sent = {"requests": [_request(part) for part in parts]}
        response = self._once(bearer, "POST", "/$batch", sent, {}, False)
        if response.status_code == 401:
            return {part.id: (401, None, {}) for part in parts}
        if response.status_code >= 300:
            raise refused(response)
        given = _object(response).get("responses")
        found = {
            str(one.get("id")): (int(one.get("status") or 500), one.get("body"), one.get("headers") or {})
            for one in (given if isinstance(given, list) else ())
            if isinstance(one, dict)
        }
        if any(part.id not in found for part in parts):
            raise Unavailable()
        return found

    def below(self, link: str) -> str:
        """A link of an answer as a path below the bearer's address. Raises Unavailable for any other."""
        root = self._token.current().address.rstrip("/")
        if not link.startswith(f"{root}/"):
            raise Unavailable(code="retry.foreign_link")
        return link[len(root) :]

    def pages(self, path: str) -> Iterable[Mapping[str, Any]]:
        """The items of a listing, page after page."""
        while path:
            answer = self.json("GET", path)
            yield from Answer(answer).value
            link = answer.get("@odata.nextLink")
            path = self.below(link) if isinstance(link, str) else ""


def _request(part: Part) -> dict[str, Any]:
    headers = {"Prefer": ", ".join(filter(None, (IMMUTABLE, part.prefer))), **part.headers}
    request: dict[str, Any] = {"id": part.id, "method": part.method, "url": part.url, "headers": headers}
    if part.body is not None:
        request["body"] = part.body
        headers["Content-Type"] = "application/json"
    return request


def _answer(part: Part, status: int, body: Any, headers: Mapping[str, str]) -> Answer:
    if (status == 500 and part.unsure) or (status in (403, 500) and part.one_item):
        return Answer({}, Refused(f"refused.{status}"))
    if status >= 300:
        return Answer({}, translated(read_refusal(status, body, headers, part.stream)))
    return Answer(body if isinstance(body, dict) else {})


def _object(response: requests.Response) -> Mapping[str, Any]:
    try:
        read = response.json()
    except requests.JSONDecodeError:
        raise Unavailable() from None
    if not isinstance(read, dict):
        raise Unavailable()
    return read


def refused(response: requests.Response) -> SyncError:
    """The error of an answer of status 300 and above; reads its body."""
    try:
        body = response.json()
    except requests.RequestException:
        body = None
    return translated(read_refusal(response.status_code, body, response.headers))
