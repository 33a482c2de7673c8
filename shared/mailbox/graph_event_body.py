"""The body of an event: the text a person wrote in it, and how another text takes its place. Pure.

Rules that hold here:
- The join block of an online meeting is no text of a person. It is known by the markup of who put it there: a link to an
  address to join at that shows words instead of it or stands below a line of underscores; in plain text by such a line alone.
  It begins with that line, or, without one, with the link, and reaches to the end: nothing from there on is read, and nothing
  of it is ever changed, for without its block the meeting is none any more.
- An address that can be read is text like any other: people write it into their agenda, and programs make links of it.
- Text is written as escaped HTML that is read back as the same text: lines, indents and empty lines stay.
- What replaces a text keeps the document around it; what is put above keeps every byte below.

Source: learn.microsoft.com/graph/api/event-update ("body property and online meetings").
It must never let a text of ours become markup or be taken for a block, and never fail on what somebody else's program wrote.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from shared.mailbox.graph_map import text

_BODY = re.compile(r"<body\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][\w:-]*)[^<>]*>")
#: the line above a block: alone in what it stands in, where one that we write has a <br> beside it
_LINE = re.compile(r"(?<!<br)>\s*+(_{20,}+)\s*+<(?!br>)", re.IGNORECASE)
_TEXT_LINE = re.compile(r"^[ \t]*+_{20,}+[ \t]*+\r?$", re.MULTILINE)
_ONLY_LINE = re.compile(r"\s*_{20,}\s*")
_SLASH = r"(?:/|%2f)"
#: addresses at which one joins a meeting, also where they are wrapped in the address of a filter
_JOIN = re.compile(
    rf"teams\.microsoft\.com{_SLASH}(?:l{_SLASH}meetup-join|meet){_SLASH}|teams\.live\.com{_SLASH}meet{_SLASH}"
    rf"|zoom\.us{_SLASH}[jw]{_SLASH}|meet\.google\.com{_SLASH}|webex\.com{_SLASH}",
    re.IGNORECASE,
)
_HIDDEN = frozenset(("head", "style", "script", "title"))
_BLOCKS = frozenset(
    "address article blockquote dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 header hr li ol p pre section table tr ul"
    .split()
)  # fmt: skip
_CELLS = frozenset(("td", "th"))
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
#: tags that show something by themselves: a block does not begin above them
_SHOWN = frozenset(("hr", "img", "input", "embed"))
#: how far out an end tag looks for its begin: as deep as a page is nested, not as an attack is
DEEPEST = 200
_BROKEN_LINE = re.compile(r"[ \t]*[\r\n]+[ \t\r\n]*")
_SPACES = re.compile(r" {2,}")


@dataclass(frozen=True)
class Body:
    """`content` as the vendor keeps it. `join`: the address to join at, "" where the event knows none."""

    content: str
    is_text: bool = False
    join: str = ""


def body_of(event: Mapping[str, Any]) -> Body:
    given, online = event.get("body"), event.get("onlineMeeting")
    given = given if isinstance(given, dict) else {}
    content = given.get("content")
    is_text = str(given.get("contentType", "")).lower() == "text"
    join = online.get("joinUrl") if isinstance(online, dict) else None
    return Body(content if isinstance(content, str) else "", is_text, join if isinstance(join, str) else "")


def as_json(body: Body) -> dict[str, str]:
    return {"contentType": "text" if body.is_text else "html", "content": body.content}


def plain(body: Body) -> str:
    """The text above the join block."""
    begin = _begin(body)
    block = _block(body, begin)
    own = body.content[begin : len(body.content) if block is None else block]
    if body.is_text:
        return text(own)
    reader = _Reader()
    reader.feed(own)
    reader.close()
    return text("".join(reader.pieces))


def new_body(written: str) -> Body:
    return Body(_html(written))


def with_text(body: Body, written: str) -> Body:
    """The body with another text above its block."""
    begin = _begin(body)
    block = _block(body, begin)
    if body.is_text:
        if block is None:
            whole = Body(written, True, body.join)
            return whole if _block(whole, 0) is None else Body(_html(written), False, body.join)
        return Body(f"{written}\n{body.content[block:]}", True, body.join)
    own = _html(written)
    if block is not None:
        return Body(body.content[:begin] + own + _open_at(body.content, begin, block) + body.content[block:], False, body.join)
    end = body.content.lower().rfind("</body", begin)
    return Body(body.content[:begin] + own + (body.content[end:] if end >= 0 else ""), False, body.join)


def with_text_above(body: Body, written: str) -> Body:
    """The body with a text above all that stands there."""
    begin = _begin(body)
    above = f"{written}\n" if body.is_text else _html(written)
    return Body(body.content[:begin] + above + body.content[begin:], body.is_text, body.join)


def _begin(body: Body) -> int:
    """Where what is shown begins."""
    found = None if body.is_text else _BODY.search(body.content)
    return found.end() if found else 0


def _block(body: Body, begin: int) -> int | None:
    """Where the join block begins; None where there is none."""
    if body.is_text:
        last = max(_addresses(body, body.content), default=-1)
        return max((line.start() for line in _TEXT_LINE.finditer(body.content) if line.end() < last), default=None)
    link = _link(body, begin)
    if link is None:
        return None
    lines = _LINE.finditer(body.content, max(begin - 1, 0), link + 1)
    return _above_tags(body.content, begin, max((line.start(1) for line in lines), default=link))


def _link(body: Body, begin: int) -> int | None:
    """Where the first link of a meeting service stands."""
    content = body.content
    line = _LINE.search(content, max(begin - 1, 0))
    for tag in _TAG.finditer(content, begin):
        if not _has_address(body, tag[0]):
            continue
        end = content.find("<", tag.end())
        shown = content[tag.end() : end if end >= 0 else len(content)]
        if (line is not None and line.start(1) < tag.start()) or not _has_address(body, shown):
            return tag.start()
    return None


def _has_address(body: Body, within: str) -> bool:
    return next(_addresses(body, within), None) is not None


def _addresses(body: Body, within: str) -> Iterator[int]:
    """Where addresses to join at stand."""
    for found in _JOIN.finditer(within):
        yield found.start()
    forms = {body.join, html.escape(body.join), html.escape(body.join, quote=False)} if body.join else set()
    for form in forms:
        at = within.find(form)
        while at >= 0:
            yield at
            at = within.find(form, at + len(form))


def _above_tags(content: str, begin: int, at: int) -> int:
    """Further up over the tags that only open or break, so that a block is taken with what it lies in."""
    while True:
        end = at
        while end > begin and content[end - 1].isspace():
            end -= 1
        open_at = content.rfind("<", begin, end) if end > begin and content[end - 1] == ">" else -1
        tag = _TAG.fullmatch(content, open_at, end) if open_at >= 0 else None
        if tag is None or tag[1] or tag[2].lower() in _SHOWN:
            return at
        at = open_at


def _open_at(content: str, begin: int, end: int) -> str:
    """The tags that are open there, as they stand."""
    stack: list[tuple[str, str]] = []
    for tag in _TAG.finditer(content, begin, end):
        name = tag[2].lower()
        if name in _VOID or tag[0].endswith("/>"):
            continue
        if not tag[1]:
            stack.append((name, tag[0]))
        elif any(name == one for one, _ in stack[-DEEPEST:]):
            while stack.pop()[0] != name:
                pass
    return "".join(tag for _, tag in stack)


def _html(written: str) -> str:
    """Lines as HTML; spaces that HTML would drop are written so that it does not. No line stands alone as that of a block."""
    shown = []
    for line in written.split("\n"):
        kept = html.escape(line, quote=False)
        kept = re.sub(r"^ | (?= )", "&nbsp;", kept)
        shown.append(kept)
    end = "<br>" if _ONLY_LINE.fullmatch(written) else ""
    return f"<div>{'<br>'.join(shown)}{end}</div>" if written else ""


class _Reader(HTMLParser):
    """What a person sees of HTML, as lines."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "br":
            self.pieces.append("\n")
        elif tag in _BLOCKS:
            self._fresh_line()
        elif tag in _CELLS:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self._fresh_line()

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        shown = _SPACES.sub(" ", _BROKEN_LINE.sub(" ", data))
        if not self.pieces or self.pieces[-1].endswith(("\n", " ")):
            shown = shown.lstrip(" ")
        if shown:
            self.pieces.append(shown)

    def _fresh_line(self) -> None:
        if self.pieces and not self.pieces[-1].endswith("\n"):
            self.pieces.append("\n")
