"""Ids of the Microsoft world: the changing and the immutable form, and the forms that `translateExchangeIds` knows.

Rules that hold here: ids are opaque and case-sensitive; a REST id names a place (it changes when the item moves), an immutable
id names the item; the EWS form differs from the REST form in two letters (`/` and `+` for `-` and `_`).
Source: learn.microsoft.com/graph/outlook-immutable-id and /graph/api/user-translateexchangeids.

Nothing may be read out of an id; it is found by looking it up in the mailbox it came from.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping

_PREFIXES = {"message": "AAMkA", "immutable": "AAkAL", "folder": "AAMkB", "attachment": "AAMkC",
             "attachment_immutable": "AAkAC", "conversation": "AAQkA"}  # fmt: skip
_SHAPE = re.compile(r"AA[A-Za-z0-9_-]{20,}={0,2}")


def make_id(kind: str, mailbox: bytes, *numbers: int) -> str:
    """The id of a thing of a mailbox: 41 characters that a URL can carry. `mailbox` is its 16-byte identity."""
    text = kind.encode() + mailbox + b"".join(number.to_bytes(8, "big") for number in numbers)
    return _PREFIXES[kind] + base64.urlsafe_b64encode(hashlib.blake2b(text, digest_size=26).digest()).decode()


def is_well_formed(text: str) -> bool:
    return _SHAPE.fullmatch(text) is not None


def _rest_to_ews(text: str) -> str:
    return text.replace("-", "/").replace("_", "+")


def _ews_to_rest(text: str) -> str:
    return text.replace("/", "-").replace("+", "_")


#: exchangeIdFormat -> (is it the immutable form, our form -> that form, that form -> our form)
FORMATS: Mapping[str, tuple[bool, Callable[[str], str], Callable[[str], str]]] = {
    "restId": (False, str, str),
    "ewsId": (False, _rest_to_ews, _ews_to_rest),
    "entryId": (False, lambda text: "AAAAA" + text[5:], lambda text: _PREFIXES["message"] + text[5:]),
    "restImmutableEntryId": (True, str, str),
    "immutableEntryId": (True, lambda text: "AAAAI" + text[5:], lambda text: _PREFIXES["immutable"] + text[5:]),
}
