"""Sets merge element by element (attendees, addresses, categories): what a person added stays, what a person took out goes.

How an element is decided that only one side holds. Each side was last observed when the last write about the set was
announced (`Announcement.held`), else it is as its base says; what is announced to a side since may have landed or not.
- Held by a side that neither held it then nor was sent it: a person added it there; it stays.
- Missing on a side that held it then, and that no announced write takes it from: a person took it out there; it goes.
- Else it is our own, half-way: the last announcement says whether it stays. An element that was sent and is not there stays
  too, unless something else of the same write is there: then the write was made and a person took the element out since.
  Where nothing tells, it stays, for an addition must not be lost, and the ledger names the field (`unsure`).

Source: design sections 3 and 4 ("one digest per element", "known values"). Never looks at a time or an author.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.core.model import SIDES, Announcement, Link, Side, other

Mark = Callable[[str, int], str]  # (element, canon) -> its digest


@dataclass(frozen=True)
class Merged:
    """`unsure`: the side on which an element may have been taken out by a person; nobody can tell."""

    value: tuple[str, ...]
    unsure: Side | None = None


@dataclass(frozen=True)
class SetHistory:
    """What is remembered of one set field of a link. `made`: announced writes that certainly were made."""

    link: Link
    name: str
    mark: Mark
    made: tuple[Announcement, ...]

    def merged(self, now: Mapping[Side, tuple[str, ...] | None]) -> Merged:
        """`now`: what each side holds; None = not reported, as its base says."""
        unsure: Side | None = None
        kept = []
        for element in sorted({element for side in SIDES for element in now[side] or ()}):
            missing = [side for side in SIDES if not self._holds(element, side, now[side])]
            stays, doubt = self._decided(element, missing[0]) if missing else (True, False)
            if stays:
                kept.append(element)
            if doubt:
                unsure = missing[0]
        return Merged(tuple(kept), unsure)

    def for_crm(self, merged: tuple[str, ...], crm: tuple[str, ...] | None) -> tuple[str, ...]:
        """Of a set that is carried to the CRM alone, what the CRM is to hold: what a person took out there stays out, although
        the mailbox goes on holding it."""
        if self._sent_to("crm"):
            return merged
        taken_out = {one for one in merged if self._in_base(one, "mail") and not self._in_base(one, "crm")}
        return tuple(one for one in merged if one not in taken_out or self._holds(one, "crm", crm))

    def _decided(self, element: str, missing: Side) -> tuple[bool, bool]:
        """(whether it stays, whether that is a guess), for an element that only the other side holds."""
        there = other(missing)
        if not self._held_then(element, there) and not any(self._names(element, a) for a in self._sent_to(there)):
            return True, False  # added there by a person
        sent, last = self._sent_to(missing), self._last()
        latest = [a for a in sent if last is not None and a.at == last.at]  # what was sent before was observed since
        if self._held_then(element, missing) and all(self._names(element, a) for a in latest):
            return False, False  # taken out here by a person
        if last is None or not sent:
            return last is None or self._names(element, last), False
        if not self._names(element, last):
            return False, False
        was_there = any(a in self.made and self._names(element, a) for a in sent)
        return not was_there, not was_there

    def _holds(self, element: str, side: Side, now: tuple[str, ...] | None) -> bool:
        return element in now if now is not None else self._in_base(element, side)

    def _held_then(self, element: str, side: Side) -> bool:
        last = self._last()
        if last is None or self.name not in last.held.get(side, {}):
            return self._in_base(element, side)
        return self.mark(element, last.canon) in last.held[side][self.name].split(",")

    def _in_base(self, element: str, side: Side) -> bool:
        end = self.link.end(side)
        return self.mark(element, end.canon) in end.base.get(self.name, "").split(",")

    def _names(self, element: str, announced: Announcement) -> bool:
        return self.mark(element, announced.canon) in announced.of(announced.side).get(self.name, "").split(",")

    def _sent_to(self, side: Side) -> list[Announcement]:
        return [a for a in self.link.announced if a.side == side and self.name in a.of(side)]

    def _last(self) -> Announcement | None:
        return next((a for a in reversed(self.link.announced) if self.name in a.of(a.side)), None)
