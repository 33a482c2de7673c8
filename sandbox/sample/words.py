"""Canaries: a unique word in every text of the sample data, so that a search can show where a text has been kept.

Rules that hold here:
- A word is made from the seed, the field and the text it belongs to: the same run makes the same words, and one person's
  address carries the same word wherever it stands.
- Words are letters and digits only and survive every writing (lower case, JSON, HTML, URL, MIME) unchanged.
- Without canaries every text is answered as it came.
- The mailboxes' own addresses and the company's own domain stay as they are: the product may keep those.

It must never be needed for the data to be right: with and without canaries the same mails lead to the same records.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import PurePosixPath


class Words:
    """`list()` is every canary given out so far. `own`: addresses and domains that stay as they are."""

    def __init__(self, *, seed: int, are_on: bool, own: Iterable[str] = ()) -> None:
        self._seed, self._are_on = seed, are_on
        self._own = frozenset(one.lower() for one in own)
        self._given: dict[tuple[str, str], str] = {}

    def list(self) -> list[dict[str, str]]:
        """[{"field", "of", "word"}], in the order in which they were given out."""
        return [{"field": field, "of": of, "word": word} for (field, of), word in self._given.items()]

    def _word(self, field: str, of: str) -> str:
        made = hashlib.sha256(f"{self._seed}|{field}|{of}".encode()).digest()[:8]
        return self._given.setdefault((field, of), "qz" + base64.b32encode(made).decode().rstrip("=").lower())

    def text(self, field: str, of: str, text: str) -> str:
        """The text with its word behind it. `of` says whose text it is; an empty text stays empty."""
        return f"{text} {self._word(field, of)}" if self._are_on and text else text

    def token(self, field: str, of: str) -> str:
        """A word that stands by itself, also without canaries: what makes one mail's text known from another's."""
        word = self._word(field, of)
        if not self._are_on:
            del self._given[field, of]
        return word

    def domain(self, domain: str) -> str:
        if not self._are_on or domain.lower() in self._own:
            return domain
        name, dot, rest = domain.partition(".")
        return f"{name}-{self._word('domain', domain.lower())}{dot}{rest}"

    def address(self, address: str) -> str:
        """An address; upper and lower case of it share their words."""
        local, at, domain = address.rpartition("@")
        if not self._are_on or address.lower() in self._own or not at:
            return address
        word = self._word("address", address.lower())
        local = f'{local[:-1]}.{word}"' if local.endswith('"') else f"{local}.{word}"
        return f"{local}@{self.domain(domain)}"

    def file(self, of: str, name: str) -> str:
        """A file name, with the word before its extension."""
        if not self._are_on or not name:
            return name
        suffix = PurePosixPath(name).suffix
        return f"{name.removesuffix(suffix)} {self._word('file name', f'{of} {name}')}{suffix}"
