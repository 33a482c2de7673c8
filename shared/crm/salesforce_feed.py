"""What changed in a Salesforce org: `ChangeFeed` of the ports. Ids, stamps and owners only, one call for all kinds.

Rules that hold here (design section 5, "Cursors"): SystemModstamp and not LastModifiedDate, because system changes move only
the first; `queryAll`, because what is deleted is told too; ordered by stamp and id. A kind that this org or user has not got
has no changes, and the other kinds go on; it is asked for again after AGAIN, and by a new process. Saved mail is watched for
its deletion alone: nothing else of it comes down. Of events everything is told but the copies of invitees and the main records
of series.

Source: SOQL and SOSL Reference; REST API Developer Guide, "QueryAll"; Object Reference, "System Fields".
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import requests

from shared.core.errors import Refused, SyncError
from shared.crm.budget import Budget
from shared.crm.salesforce_client import QUERIES, Client, Part, Row
from shared.crm.salesforce_errors import translated
from shared.ports import AccessToken, Changed, Clock

_DELETED = "SELECT Id, SystemModstamp, IsDeleted FROM {what} AND SystemModstamp >= {{since}} ORDER BY SystemModstamp, Id"
_CHANGED = (
    "SELECT Id, SystemModstamp, IsDeleted, OwnerId FROM {what} AND SystemModstamp >= {{since}} ORDER BY SystemModstamp, Id"
)
#: kind -> statements, the first that the org understands counts; {since} is a SOQL time
STATEMENTS: Mapping[str, tuple[str, ...]] = {
    "mail": (
        _DELETED.format(what="EmailMessage WHERE IsDeleted = true"),
        _DELETED.format(what="Task WHERE TaskSubtype = 'Email' AND IsDeleted = true"),
    ),
    "event": (
        _CHANGED.format(what="Event WHERE IsChild = false AND IsRecurrence = false"),
        _CHANGED.format(what="Event WHERE IsChild = false"),
    ),
}
UNKNOWN = frozenset({"refused.invalid_type", "refused.invalid_field"})
AGAIN = timedelta(days=1)

log = logging.getLogger("mailspan")


@dataclass
class Understood:
    """What one user of one org was refused: by kind the statement that is asked now, and since when there is none left."""

    statement: dict[str, int] = field(default_factory=dict)
    nothing_since: dict[str, datetime] = field(default_factory=dict)


class SalesforceFeed:
    """One org as one user sees it; `understood` is that user's and kept by the caller, so that a statement is refused once."""

    def __init__(
        self, session: requests.Session, token: AccessToken, *, budget: Budget, clock: Clock, session_id: str,
        understood: Understood | None = None,
    ) -> None:  # fmt: skip
        self._client = Client(session, token, budget=budget, clock=clock, session_id=session_id)
        self._clock = clock
        self._understood = understood if understood is not None else Understood()

    def changed(self, since: Mapping[str, datetime]) -> Sequence[Changed]:
        found: list[Changed] = []
        left = [kind for kind in since if self._is_there(kind)]
        while left:
            asked, left = left[:QUERIES], left[QUERIES:]
            parts = [Part("GET", f"queryAll?q={quote(self._statement(kind, since[kind]), safe='')}") for kind in asked]
            for kind, reply in zip(asked, self._client.composite(parts), strict=True):
                if reply.status >= 300:
                    left += self._refused(kind, translated(reply.status, reply.body, self._clock.now()))
                else:
                    found += [_changed(kind, row) for row in self._client.all_pages(reply.body)]
        return found

    def _is_there(self, kind: str) -> bool:
        """Whether the kind is to be asked for. One that was not there is tried anew, from its first statement on."""
        nothing_since = self._understood.nothing_since.get(kind)
        if nothing_since is None:
            return True
        if self._clock.now() - nothing_since < AGAIN:
            return False
        del self._understood.nothing_since[kind], self._understood.statement[kind]
        return True

    def _statement(self, kind: str, since: datetime) -> str:
        time = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return STATEMENTS[kind][self._understood.statement.get(kind, 0)].format(since=time)

    def _refused(self, kind: str, problem: SyncError) -> list[str]:
        """The kind again where it has another statement. Raises what has nothing to do with the statement."""
        if not isinstance(problem, Refused) or problem.code not in UNKNOWN:
            raise problem
        following = self._understood.statement.get(kind, 0) + 1
        self._understood.statement[kind] = following
        if following < len(STATEMENTS[kind]):
            return [kind]
        self._understood.nothing_since[kind] = self._clock.now()
        log.warning(json.dumps({"event": "kind not there", "kind": kind, "code": problem.code}))
        return []


def _changed(kind: str, row: Row) -> Changed:
    return Changed(kind, str(row["Id"]), str(row["SystemModstamp"]), str(row.get("OwnerId") or ""), bool(row["IsDeleted"]))
