"""What an engine would know of one mailbox through the Graph adapter; the fixture that gives it is in `graph_fixtures`.

Rules that hold here: every pull is a session of its own, with an adapter that knows nothing but the cursors.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import requests

from shared.core.mail import Mail
from shared.mailbox.graph import GraphMailbox
from shared.ports import Bearer, MailPage
from tests.contract.microsoft_world import ADA, CLIENT, PERMISSIONS, TENANT, Stand

DELTA = "GET /v1.0/users/{user}/mailFolders/{folder}/messages/delta"
FOLDER_DELTA = "GET /v1.0/users/{user}/mailFolders/delta"
LISTING = "GET /v1.0/users/{user}/messages"
BATCH = "POST /v1.0/$batch"


class Token:
    """The stand-in's access as the product holds it; `renewed` counts how often another one was asked for."""

    def __init__(self, ms: Stand) -> None:
        self.ms, self.token, self.renewed = ms, ms.token, 0

    def current(self) -> Bearer:
        return Bearer(self.token, f"{self.ms.url}/v1.0")

    def after(self, refused: Bearer) -> Bearer:
        self.renewed += 1
        self.token = self.ms.do(lambda: self.ms.microsoft.tokens.access(CLIENT, TENANT, None, PERMISSIONS)[0])
        return self.current()


class Seen:
    """What an engine would know of the mailbox: cursors, mails as they were last seen."""

    def __init__(self, ms: Stand, http: requests.Session) -> None:
        self.ms, self.http, self.token = ms, http, Token(ms)
        self.since = ms.world.clock.now() - timedelta(days=6)
        self.cursors: dict[str, str] = {}
        self.mails: dict[str, Mail] = {}
        self.gone: set[str] = set()
        self.restarted: list[str] = []
        self.adapter = self.fresh()

    def fresh(self) -> GraphMailbox:
        """Another session's adapter."""
        return GraphMailbox(self.http, self.token, ADA, self.ms.world.clock, "5f0c8a52-51c7-4a9c-9a2b-0e7d3b1f6c11")

    def pull(self) -> MailPage:
        self.adapter = self.fresh()
        page = self.adapter.pull(self.cursors, self.since)
        self.cursors = dict(page.cursors)
        self.mails.update((mail.id, mail) for mail in page.mails)
        self.gone.update(page.gone)
        self.restarted += page.restarted
        assert len({mail.id for mail in page.mails}) == len(page.mails)
        return page

    def all(self, limit: int = 60) -> dict[str, Mail]:
        """Pulls until nothing waits; answers what these rounds saw."""
        self.mails, self.gone, self.restarted = {}, set(), []
        for _ in range(limit):
            if not self.pull().more:
                return self.mails
        raise AssertionError("the mailbox always has more")

    def idle(self, seconds: float = 3600) -> None:
        """Lets time pass, so that what was seen lies behind every margin, and sees that nothing is left."""
        self.ms.world.clock.advance(seconds)
        self.token.after(self.token.current())
        self.all()

    def http_calls(self) -> int:
        return self.ms.world.calls.http["microsoft"]


def subjects(mails: dict[str, Mail]) -> set[str]:
    return {mail.subject for mail in mails.values()}


def old(ms: Stand) -> datetime:
    return ms.world.clock.now() - timedelta(days=400)
