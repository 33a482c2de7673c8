"""The composition root: the only module that knows adapters. Everything is made at first use and kept per instance."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING

from shared.core import ringing
from shared.ports import Bell, Clock, LinkStore, MailboxKey, Place, Ring, Why
from shared.settings import Settings, current

if TYPE_CHECKING:
    from shared.session.run import Part, SessionReport

log = logging.getLogger("mailspan")


class Wire:
    """What one instance of the product is made of."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def clock(self) -> Clock:
        from shared.clock import SystemClock

        return SystemClock(self.settings.clock_file)

    @cached_property
    def store(self) -> LinkStore:
        from shared.store.tables import connect

        return connect(self.settings.storage)

    @cached_property
    def bell(self) -> Bell:
        from shared.store.queue import QueueBell

        return QueueBell(self.settings.storage)

    def mailbox_place(self, mailbox: MailboxKey) -> Place:
        return Place("state", self.settings.tenant, "mailbox", mailbox)

    def parts(self, mailbox: MailboxKey) -> Sequence[Part]:
        """The work of one mailbox's session, by what is connected. Vendors' adapters are added here."""
        return ()

    def session(self, message: str) -> SessionReport:
        """Answers one queue message; one JSON line tells how it went. Raises NotARing and what the session raises."""
        from shared.session.run import run_session

        mailbox, why, at = ringing.decoded(message)
        key, session_id = MailboxKey(mailbox), uuid.uuid4().hex
        ring = Ring(key, _why(why), at)
        report = run_session(
            ring,
            place=self.mailbox_place(key),
            store=self.store,
            bell=self.bell,
            clock=self.clock,
            session_id=session_id,
            parts=lambda: self.parts(key),
        )
        log.info(json.dumps({"event": "session", "session": session_id, **asdict(report)}))
        return report

    def poisoned(self, message: str) -> None:
        """A ring that failed too often: its mailbox backs off, and health shows it."""
        from shared.session.run import mark_broken

        mailbox, _, _ = ringing.decoded(message)
        mark_broken(self.store, self.clock, self.mailbox_place(MailboxKey(mailbox)), "mailbox.broken")
        log.error(json.dumps({"event": "poison", "mailbox": mailbox}))


def _why(text: str) -> Why:
    reasons: dict[str, Why] = {"push": "push", "poll": "poll", "sweep": "sweep", "user": "user", "self": "self", "wake": "wake"}
    return reasons[text]


_wire: list[Wire] = []


def wire() -> Wire:
    """The instance's Wire, made at first use."""
    if not _wire:
        _wire.append(Wire(current()))
    return _wire[0]
