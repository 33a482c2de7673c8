"""The queue's doors: one message is one session of one mailbox; what failed too often makes its mailbox back off."""

import logging
from collections.abc import Callable

import azure.functions as func

from functions.quiet import quietly

bp = func.Blueprint()
log = logging.getLogger("mailspan")


@bp.function_name("session")
@bp.queue_trigger(arg_name="msg", queue_name="sessions", connection="AzureWebJobsStorage")
def session(msg: func.QueueMessage) -> None:
    from shared.wire import wire

    _answered(lambda: wire().session(msg.get_body().decode()))


@bp.function_name("session_poison")
@bp.queue_trigger(arg_name="msg", queue_name="sessions-poison", connection="AzureWebJobsStorage")
def session_poison(msg: func.QueueMessage) -> None:
    from shared.wire import wire

    _answered(lambda: wire().poisoned(msg.get_body().decode()))


def _answered(work: Callable[[], object]) -> None:
    from shared.core.ringing import NotARing

    def told() -> None:
        try:
            work()
        except NotARing:
            log.error('{"event": "not a ring"}')  # nothing to retry: it names no mailbox we know

    quietly(told)
