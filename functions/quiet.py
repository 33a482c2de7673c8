"""What goes wrong behind a door leaves it without its words: an exception's text may hold what a mail or a vendor said.

The host writes every exception of a function with its text into its log and its telemetry. So a door raises `Failed` instead,
which holds the class of the exception and the place in our code, and nothing else (design section 9, "Seeing").
"""

from collections.abc import Callable


class Failed(Exception):
    """Something unexpected; the text is `CLASS at FILE:LINE`."""


def quietly[T](work: Callable[[], T], *, told: tuple[type[Exception], ...] = ()) -> T:
    """The result of the work. Raises Failed, and what is to be `told` to the caller as it is."""
    try:
        return work()
    except Exception as problem:
        if isinstance(problem, (Failed, *told)):
            raise
        from shared.core.errors import Bug, SyncError
        from shared.settings import SettingsError

        if isinstance(problem, SettingsError):
            raise  # our own words, for whoever deploys
        bug = Bug.of(problem)
        code = f" ({problem.code})" if isinstance(problem, SyncError) else ""
        raise Failed(f"{bug.kind}{code} at {bug.place}") from None
