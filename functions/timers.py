"""The clock's doors: the sweep rings mailboxes whose turn it is, the poll asks each org what changed, old decisions are
pruned. Times are UTC (NCRONTAB)."""

import azure.functions as func

from functions.quiet import quietly

bp = func.Blueprint()


@bp.function_name("sweep")
@bp.timer_trigger(arg_name="timer", schedule="0 * * * * *", use_monitor=True)
def sweep(timer: func.TimerRequest) -> None:
    from shared.wire import wire

    quietly(lambda: wire().sweep())


@bp.function_name("poll")
@bp.timer_trigger(arg_name="timer", schedule="30 * * * * *", use_monitor=True)
def poll(timer: func.TimerRequest) -> None:
    from shared.wire import wire

    quietly(lambda: wire().poll())


@bp.function_name("prune")
@bp.timer_trigger(arg_name="timer", schedule="0 17 3 * * *", use_monitor=True)
def prune(timer: func.TimerRequest) -> None:
    from shared.wire import wire

    quietly(lambda: wire().prune())
