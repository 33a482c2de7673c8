"""Record ids: 15 case-sensitive characters, and the 18-character form with its checksum suffix.

Rules that hold here: the first three characters name the object; ids are made from a counter, so the same acts give the
same ids. It must never accept an 18-character id whose suffix does not fit.

Source: Salesforce Help, "Convert 15-character IDs to 18-character case-insensitive values".
"""

from __future__ import annotations

from collections import Counter

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SUFFIXES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
#: Stands where the instance of an org stands in a real id.
INSTANCE = "Ms0"


def suffix(id15: str) -> str:
    """The three checksum characters: one per block of five, a bit for each capital letter, lowest first."""
    return "".join(
        SUFFIXES[sum(1 << place for place, letter in enumerate(id15[start : start + 5]) if "A" <= letter <= "Z")]
        for start in (0, 5, 10)
    )


def canonical(text: str) -> str | None:
    """The 18-character form of a well-formed id of 15 or 18 characters, else None."""
    if len(text) not in (15, 18) or not text.isascii() or not text.isalnum():
        return None
    full = text[:15] + suffix(text[:15])
    return full if len(text) == 15 or text == full else None


class IdMaker:
    """Ids in the order of their making, by key prefix."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()

    def make(self, prefix: str) -> str:
        self._made[prefix] += 1
        number, digits = self._made[prefix], ""
        while number:
            number, digit = divmod(number, len(ALPHABET))
            digits = ALPHABET[digit] + digits
        id15 = prefix + INSTANCE + digits.rjust(15 - len(prefix) - len(INSTANCE), "0")
        return id15 + suffix(id15)
