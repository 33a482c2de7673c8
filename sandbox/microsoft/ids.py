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
from datetime import date

_PREFIXES = {"message": "AAMkA", "immutable": "AAkAL", "folder": "AAMkB", "attachment": "AAMkC",
             "attachment_immutable": "AAkAC", "conversation": "AAQkA", "calendar": "AAMkD", "event": "AAMkE",
             "immutable_event": "AAkAE", "occurrence": "AAMkF", "immutable_occurrence": "AAkAF"}  # fmt: skip
_LENGTH = 41
_SHAPE = re.compile(r"AA[A-Za-z0-9_-]{20,}={0,2}")


def make_id(kind: str, mailbox: bytes, *numbers: int) -> str:
    """The id of a thing of a mailbox: 41 characters that a URL can carry. `mailbox` is its 16-byte identity."""
    text = kind.encode() + mailbox + b"".join(number.to_bytes(8, "big") for number in numbers)
    return _PREFIXES[kind] + base64.urlsafe_b64encode(hashlib.blake2b(text, digest_size=26).digest()).decode()


def make_day_id(kind: str, mailbox: bytes, serial: int, day: date) -> str:
    """The id of one occurrence of a series. A series without an end has too many to keep a list of, so the day is in it, under
    a mask; `day_of` takes it out again."""
    series = series_of(kind, mailbox, serial)
    masked = day.toordinal() ^ _mask(series)
    check = hashlib.blake2b(series + masked.to_bytes(4, "big"), digest_size=6).digest()
    return _PREFIXES[kind] + base64.urlsafe_b64encode(series + masked.to_bytes(4, "big") + check).decode()


def series_of(kind: str, mailbox: bytes, serial: int) -> bytes:
    """What the ids of all occurrences of a series begin with."""
    return hashlib.blake2b(kind.encode() + mailbox + serial.to_bytes(8, "big"), digest_size=16).digest()


def day_of(text: str) -> tuple[bytes, date] | None:
    """(what its series' ids begin with, the day) of an id that `make_day_id` made; None for any other."""
    kinds = (_PREFIXES["occurrence"], _PREFIXES["immutable_occurrence"])
    if not text.startswith(kinds) or len(text) != _LENGTH or not is_well_formed(text):
        return None
    raw = base64.urlsafe_b64decode(text[len(kinds[0]) :])
    series, masked = raw[:16], int.from_bytes(raw[16:20], "big")
    if raw[20:] != hashlib.blake2b(raw[:20], digest_size=6).digest():
        return None
    return series, date.fromordinal(masked ^ _mask(series))


def _mask(series: bytes) -> int:
    return int.from_bytes(series[:3], "big")


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
