"""Searches bytes for canaries in every writing in which a text could have been kept without being seen.

A canary is a word of letters and digits that stands nowhere else (`sandbox/sample/words.py`). It is looked for plain and in
lower or upper case, in UTF-16, inside base64 at every offset, behind URL, HTML, JSON and quoted-printable escapes, inside gzip
and zlib; and by the MD5, SHA-1 and SHA-256 of the bare word and of the whole texts that hold it, in hex and base64.

Shares no code with the product.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import html
import quopri
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote_to_bytes

PLAIN = re.compile(rb"[qQ][zZ][a-zA-Z2-7]{13}")
WIDE = re.compile(rb"(?:[qQ]\0[zZ]\0(?:[a-zA-Z2-7]\0){13})")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}={0,2}")
HEX = re.compile(rb"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})(?![0-9a-fA-F])")
JSON_ESCAPE = re.compile(rb"\\u([0-9a-fA-F]{4})")
DEPTH = 3
DIGESTS = (hashlib.md5, hashlib.sha1, hashlib.sha256)


class Search:
    """`words`: the canaries. `texts`: whole texts that hold one, whose digests count as well."""

    def __init__(self, words: Iterable[str], texts: Iterable[str] = ()) -> None:
        self._words = {word.lower().encode(): word for word in words}
        self._digests = {
            digest(text.encode()).digest(): word
            for word, text in [*((word, word) for word in self._words.values()), *self._holding(texts)]
            for digest in DIGESTS
        }

    def _holding(self, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
        for text in texts:
            for word in {self._words.get(found.lower()) for found in PLAIN.findall(text.encode())} - {None}:
                yield str(word), text

    def plain(self, content: bytes) -> set[str]:
        """The canaries that stand there in the open."""
        return {word for match in PLAIN.findall(content) if (word := self._words.get(match.lower())) is not None}

    def found(self, content: bytes) -> dict[str, str]:
        """Canary -> the writing in which it was found first."""
        hits: dict[str, str] = {}
        seen: set[bytes] = set()
        waiting = [(content, "plain", 0)]
        while waiting:
            part, writing, depth = waiting.pop()
            for match in PLAIN.findall(part):
                if (word := self._words.get(match.lower())) is not None:
                    hits.setdefault(word, writing)
            for match in WIDE.findall(part):
                if (word := self._words.get(match.replace(b"\0", b"").lower())) is not None:
                    hits.setdefault(word, f"UTF-16 in {writing}")
            for word, how in self._hashed(part):
                hits.setdefault(word, f"{how} in {writing}")
            if depth < DEPTH:
                for inner, how in _writings(part):
                    mark = hashlib.sha256(inner).digest()
                    if inner and inner != part and mark not in seen:
                        seen.add(mark)
                        waiting.append((inner, f"{how} in {writing}", depth + 1))
        return hits

    def _hashed(self, part: bytes) -> Iterator[tuple[str, str]]:
        for run in HEX.findall(part):
            if (word := self._digests.get(bytes.fromhex(run.decode()))) is not None:
                yield word, "hex digest"
        for run in BASE64.findall(part):
            if len(run.rstrip(b"=")) in (22, 27, 43) and (raw := _decoded(run)) is not None and raw in self._digests:
                yield self._digests[raw], "base64 digest"


def _writings(part: bytes) -> Iterator[tuple[bytes, str]]:
    """What the bytes may mean when somebody reads them."""
    for run in BASE64.findall(part):
        for offset in range(4):
            if raw := _decoded(run[offset:]):
                yield raw, f"base64 at offset {offset}"
    if b"%" in part:
        yield unquote_to_bytes(part), "URL"
    if b"&" in part:
        yield html.unescape(part.decode("utf-8", "replace")).encode(), "HTML"
    if b"\\u" in part:
        yield JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)).encode("utf-8", "replace"), part), "JSON"
    if b"=" in part:
        yield quopri.decodestring(part), "quoted-printable"
    for start in (match.start() for match in re.finditer(rb"\x1f\x8b\x08", part)):
        yield _inflated(part[start:], 31), "gzip"
    for start in (match.start() for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", part)):
        yield _inflated(part[start:], 15), "zlib"


def _decoded(run: bytes) -> bytes | None:
    text = run.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    text = text[: len(text) - (len(text) % 4 == 1)]
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None


def _inflated(part: bytes, window: int) -> bytes:
    try:
        return zlib.decompressobj(window).decompress(part, 50_000_000)
    except zlib.error:
        return b""


def searched(parts: Mapping[str, bytes], search: Search) -> dict[str, dict[str, str]]:
    """Part -> what was found in it."""
    return {name: hits for name, content in parts.items() if (hits := search.found(content))}


def hidden(word: str) -> dict[str, bytes]:
    """The word in every writing that the search knows, to try the search itself."""
    plain = f"before {word} after"
    return {
        "plain": plain.encode(),
        "upper case": plain.upper().encode(),
        "UTF-16 LE": plain.encode("utf-16-le"),
        "UTF-16 BE": plain.encode("utf-16-be"),
        **{f"base64 offset {n}": base64.b64encode(b"x" * n + plain.encode()) for n in range(3)},
        "base64 url": base64.urlsafe_b64encode(plain.encode()),
        "URL": "".join(f"%{byte:02X}" for byte in plain.encode()).encode(),
        "HTML": "".join(f"&#{ord(letter)};" for letter in plain).encode(),
        "JSON": "".join(f"\\u{ord(letter):04x}" for letter in plain).encode(),
        "quoted-printable": "".join(f"={byte:02X}" for byte in plain.encode()).encode(),
        "soft line break": plain.replace(word, f"{word[:6]}=\r\n{word[6:]}").encode(),
        "gzip": b"xx" + gzip.compress(plain.encode()),
        "zlib": zlib.compress(plain.encode()),
        "gzip in base64": base64.b64encode(gzip.compress(plain.encode())),
        **{f"{digest.__name__} hex": digest(word.encode()).hexdigest().encode() for digest in DIGESTS},
        **{f"{digest.__name__} base64": base64.b64encode(digest(word.encode()).digest()) for digest in DIGESTS},
    }
