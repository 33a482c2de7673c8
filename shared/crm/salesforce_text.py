"""Text made to fit Salesforce: what it cannot carry is taken out, what is too long is cut so that it stays sound. Pure.

Rules that hold here:
- Lengths are UTF-16 units, as Salesforce counts; half a surrogate pair is never left.
- HTML is cut between tags or in text, never inside a tag, entity, comment, script or style; open elements are closed.
- Pictures that were parts of the mail (`cid:`) are taken out: nobody could show them.
- Every scan is linear in the text, whatever a sender wrote.

Source: XML 1.0 section 2.2 (characters); HTML Living Standard, "Tokenization" and "Void elements".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE = re.compile(r"[\t\r\n]+")
_CID_IMAGE = re.compile(r"""<img\b[^<>]*?\bsrc\s*+=\s*+["']?\s*+cid:[^<>]*>""", re.IGNORECASE)
#: a tag as a browser reads it: a quote opens a value only after =.
_TAG = re.compile(r"""</?([a-zA-Z][a-zA-Z0-9:-]*+)(?:=\s*+"[^"]*+"|=\s*+'[^']*+'|=(?!\s*+["'])|[^<>=])*+>|<[!?][^>]*+>""")
_SIMPLE_TAG = re.compile(r"</?([a-zA-Z][^\s<>/]*+)[^<>]*+>|<[!?]()[^<>]*+>")
_COMMENT, _HIDDEN = re.compile("<!--"), re.compile(r"<(script|style|title)\b", re.IGNORECASE)
_SPACES, _EMPTY_LINES = re.compile(r"\s+"), re.compile(r"\n{3,}")
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_RAW = frozenset({"script", "style", "title", "textarea", "noscript", "iframe", "xmp"})
#: elements that begin a new line in plain text.
_BLOCKS = frozenset(
    "address article blockquote br dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre "
    "section table tr ul".split()
)


def clean(text: str) -> str:
    """Without control characters, lone surrogates and non-characters."""
    return _FORBIDDEN.sub("", text)


def line(text: str) -> str:
    """The cleaned text on one line."""
    return _SPACE.sub(" ", clean(text)).strip()


def units(text: str) -> int:
    """The length in UTF-16 units."""
    return len(text) + sum(1 for letter in text if letter > "\uffff") if not text.isascii() else len(text)


def narrow(text: str, most: int) -> str:
    """The text cut to `most` UTF-16 units, without half a pair and without spaces at its ends."""
    return _cut(text, most).strip()


def _cut(text: str, most: int) -> str:
    if len(text) * 2 <= most or units(text) <= most:
        return text
    return text.encode("utf-16-le", "surrogatepass")[: max(0, most) * 2].decode("utf-16-le", "ignore")


def joined(entries: list[str], most: int, separator: str = "; ") -> str:
    """As many whole entries as fit."""
    taken: list[str] = []
    used = 0
    for entry in entries:
        used += units(entry) + (len(separator) if taken else 0)
        if used > most:
            break
        taken.append(entry)
    return separator.join(taken)


def without_cid(html: str) -> str:
    return _CID_IMAGE.sub("", html)


def narrow_html(html: str, most: int) -> str:
    """The HTML cut to `most` UTF-16 units; open elements are closed."""
    if units(html) <= most:
        return html.strip()
    html = html[: most + 1]  # no more could stay
    taken: list[str] = []
    open_elements: list[str] = []
    room, at = most, 0
    while at < len(html):
        token, opened, closed = _token(html, at)
        if token[:1] not in ("", "<") and units(token) > room:
            taken.append(_cut_text(token, room))
            break
        ended = _ended(open_elements, closed)
        cost = units(token) + (_end_length([opened]) if opened else 0) - _end_length(ended)
        if not token or cost > room:
            break
        taken.append(token)
        room, at = room - cost, at + len(token)
        del open_elements[len(open_elements) - len(ended) :]
        open_elements += [opened] if opened else []
    return "".join(taken).strip() + "".join(f"</{name}>" for name in reversed(open_elements))


def _end_length(elements: list[str]) -> int:
    return sum(len(f"</{name}>") for name in elements)


def _ended(open_elements: list[str], closed: str) -> list[str]:
    """The open elements that an end tag ends; looked for as deep as a page is nested, not as an attack is."""
    deep = open_elements[-200:]
    return deep[len(deep) - 1 - deep[::-1].index(closed) :] if closed in deep else []


def _token(html: str, at: int) -> tuple[str, str, str]:
    """(the token at this place, the element it opens, the element it closes); no token where one never ends."""
    if html[at] != "<":
        end = html.find("<", at)
        return html[at : end if end >= 0 else len(html)], "", ""
    if html.startswith("<!--", at):
        return _up_to(html, at, html.find("-->", at + 4)), "", ""
    found = _TAG.match(html, at)
    if found is None:
        following = html[at + 1 : at + 2]
        return ("" if following.isalpha() or following in ("", "/", "!", "?") else "<"), "", ""
    name = (found[1] or "").lower()
    if found[0].startswith("</"):
        return found[0], "", name
    if name in _RAW:
        end_tag = re.compile(f"</{name}", re.IGNORECASE).search(html, found.end())
        return _up_to(html, at, end_tag.start() if end_tag else -1), "", ""
    return found[0], "" if not name or name in _VOID or found[0].endswith("/>") else name, ""


def _up_to(html: str, at: int, end: int) -> str:
    """From `at` to the first > from `end` on; "" where there is none."""
    close = html.find(">", end) if end >= 0 else -1
    return html[at : close + 1] if close >= 0 else ""


def _cut_text(text: str, room: int) -> str:
    """The beginning of a run of text, not ending inside an entity."""
    cut = _cut(text, room)
    start = cut.rfind("&", max(0, len(cut) - 33))
    return cut[:start] if start >= 0 and ";" not in cut[start:] else cut


def plain(html: str) -> str:
    """The text of an HTML body: one line per block, no two empty lines in a row."""
    shown = _without(_without(html, _COMMENT, lambda _: "-->"), _HIDDEN, lambda found: f"</{found[1]}[^<>]*>")
    pieces = []
    at = 0
    for tag in _SIMPLE_TAG.finditer(shown):
        pieces.append(_SPACES.sub(" ", shown[at : tag.start()]))
        if (tag[1] or "").lower() in _BLOCKS:
            pieces.append("\n")
        at = tag.end()
    pieces.append(_SPACES.sub(" ", shown[at:]))
    lines = (one.strip() for one in unescape("".join(pieces)).replace("\xa0", " ").split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _without(html: str, begin: re.Pattern[str], end_of: Callable[[re.Match[str]], str]) -> str:
    """Without what stands between a begin and its end; one without an end swallows the rest, as in a browser."""
    kept, at = [], 0
    while found := begin.search(html, at):
        kept.append(html[at : found.start()])
        end = re.compile(end_of(found), re.IGNORECASE).search(html, found.end())
        if end is None:
            return "".join(kept)
        at = end.end()
    return "".join(kept) + html[at:]
