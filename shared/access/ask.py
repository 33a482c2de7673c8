"""One request to a sign-in service, answered as a JSON object or raised as an error of ours.

Rules that hold here:
- No redirect is followed: what is sent here is a secret, and it goes to the address it was meant for or nowhere.
- A whole exchange (DISCOVERY, then EXCHANGE) gives up after LONGEST_S of silence: a refresh is claimed for longer than that.
- An error carries a code and seconds; what was sent and what came back never reaches it, nor its chain of causes.

It must never retry: a refresh token may work only once, and its owner decides.

Source: RFC 6749 section 5 (token answers are JSON objects), RFC 9110 section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.core.errors import NetworkDown, Retry, Throttled, Unavailable

if TYPE_CHECKING:
    import requests

#: (seconds to connect, seconds of silence) of a look at the service's addresses, and of an exchange of secrets
DISCOVERY, EXCHANGE = (3.0, 5.0), (5.0, 15.0)
LONGEST_S = sum(DISCOVERY) + sum(EXCHANGE)
MAX_WAIT_S = 3600


@dataclass(frozen=True)
class Answer:
    """`body` is the JSON object, `text` what it was read from; `headers` by lower-case name."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def new_session(ca_file: str = "") -> requests.Session:
    """A session that trusts `ca_file` ("" = the machine's authorities)."""
    import requests

    session = requests.Session()
    session.verify = ca_file or True
    session.trust_env = not ca_file  # else the environment's REQUESTS_CA_BUNDLE would win over `verify`
    return session


def ask(
    session: requests.Session,
    method: str,
    url: str,
    *,
    data: Any = None,
    params: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: tuple[float, float] = EXCHANGE,
) -> Answer:
    """The answer, refusals (4xx) included. Raises NetworkDown, Throttled, Unavailable."""
    from requests import RequestException

    response = None
    with contextlib.suppress(RequestException):  # raised below: the library's exception holds the request
        response = session.request(
            method,
            url,
            data=data,
            params=params,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            verify=session.verify,
        )
    if response is None:
        raise NetworkDown
    status, text = response.status_code, response.text
    told = {name.lower(): value for name, value in response.headers.items()}
    body = _json_object(text)
    if problem := _problem(status, told, body is not None):
        raise problem
    return Answer(status, body or {}, text, told)


def _problem(status: int, headers: Mapping[str, str], is_object: bool) -> Retry | None:
    after = headers.get("retry-after", "")
    after_s = float(min(int(after), MAX_WAIT_S)) if after.isascii() and after.isdigit() else None
    if status == 429:
        return Throttled(after_s)
    if status >= 500 or 300 <= status < 400 or not is_object:
        return Unavailable(after_s)
    return None


def _json_object(text: str) -> Mapping[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
