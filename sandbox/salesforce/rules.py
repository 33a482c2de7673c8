"""What an object may add to the common rules of a write, as one frozen record of functions.

Rules that hold here: `gather` sees the lists of a request first; `update` may refuse a change of an existing row; `before` may
refuse or fill in derived fields of the new row, in place; `after` runs once the row is written; `gone` once it is in the
recycle bin, `back` once it is out of it again. `junctions` are list fields that are no columns: they are taken out of the
request and handed to `gather` and `after`.

It must never hold a rule itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.store import Row

if TYPE_CHECKING:
    from sandbox.salesforce.records import Records


def _nothing(*_: Any) -> None:
    return None


@dataclasses.dataclass(frozen=True)
class Rules:
    gather: Callable[[Records, Row, Row | None, Mapping[str, Any]], None] = _nothing
    before: Callable[[Records, Row, Row | None], None] = _nothing
    update: Callable[[Records, Row, Row, Row], None] = _nothing
    after: Callable[[Records, Row, Row | None, Mapping[str, Any]], None] = _nothing
    gone: Callable[[Records, Row, str], None] = _nothing
    back: Callable[[Records, Row, str], None] = _nothing
    junctions: tuple[str, ...] = ()
