"""Every sentence a person reads, by code. Rows, logs and the API carry codes; sentences are made here, at the edge.

Rules that hold here (design section 9):
- A sentence says three things: what happened, what it means for the data, what to do. The second and third may be empty
  where there is nothing to say.
- A code without a sentence of its own has that of the nearest code above it (`refused.string_too_long` -> `refused`), which
  may name the rest of the code as {code}; what nothing fits has that of `sync.error`.
- Texts are a file, `en.toml`, and no code; it is read once in a process.
- A sentence must never hold what a vendor wrote: parameters are codes, field names, numbers and times.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FALLBACK = "sync.error"


@dataclass(frozen=True)
class Sentence:
    """What happened, what it means for the data, what to do. `str()` is all of it as one text."""

    what: str
    data: str
    act: str

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.data, self.act) if part)


def sentence(code: str, **parameters: object) -> Sentence:
    """The sentence of a code, with its {parameters} filled in. Raises KeyError naming one that is missing."""
    found, rest = _nearest(code)
    given = {"code": rest, **parameters}
    return Sentence(*(part.format_map(given) for part in found))


def explained(code: str) -> Sentence | None:
    """The sentence of a code without its parameters, for a page that explains codes; None where nothing fits it."""
    found, rest = _nearest(code)
    if found is catalogue()[FALLBACK] and code != FALLBACK:
        return None
    return Sentence(*(part.format_map(_Unknown(code=rest)) for part in found))


class _Unknown(dict[str, object]):
    """Parameters of a sentence that is told without an occasion."""

    def __missing__(self, name: str) -> str:
        return "…"


def has(code: str) -> bool:
    """Whether the code has a sentence of its own."""
    return code in catalogue()


@cache
def catalogue(language: str = "en") -> Mapping[str, tuple[str, str, str]]:
    """{code: (what happened, what it means for the data, what to do)} as it stands in the file."""
    texts = tomllib.loads((Path(__file__).parent / f"{language}.toml").read_text(encoding="utf-8"))
    return {code: (what, data, act) for code, (what, data, act) in texts.items()}


def _nearest(code: str) -> tuple[tuple[str, str, str], str]:
    """The texts that fit, and the rest of the code that they do not cover."""
    texts, known = catalogue(), code
    while known and known not in texts:
        known = known.rpartition(".")[0]
    return (texts[known], code[len(known) :].lstrip(".") or code) if known else (texts[FALLBACK], code)
