"""Signals that ask a command to end: it says so in one line instead of dying without a word."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from jumok.errors import Stopped

__all__ = ["stopping_in_order"]

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name))
"""Beside Ctrl-C: asked to end, the terminal gone, Ctrl-backslash, and SLURM's warning that the time is nearly over."""

SECONDS_UNTIL_ASKED_AGAIN = 0.5


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Have signals raise `Stopped` in the block; those that are ignored, as under nohup, stay so.

    A training takes them over while it runs, and ends at a checkpoint. Where a library swallows what is raised within
    its calls, as numba does with anything that its look-up of types raises, it is raised again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.getsignal(signum) for signum in ENDING}
    taken = [signum for signum in ENDING if before[signum] is signal.SIG_DFL]
    for signum in taken:
        signal.signal(signum, _stop)
    try:
        yield
    finally:
        _ask_no_more()
        for signum in taken:
            signal.signal(signum, before[signum])


def _stop(signum: int, _: FrameType | None) -> None:
    if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGALRM, partial(_stop_again, signum))
        signal.setitimer(signal.ITIMER_REAL, SECONDS_UNTIL_ASKED_AGAIN, SECONDS_UNTIL_ASKED_AGAIN)
    raise Stopped(signum)


def _stop_again(signum: int, _number: int, _frame: FrameType | None) -> None:
    """Stop what goes on as if nothing had been asked; not what tidies up on its way to the end."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    if error is None:
        raise Stopped(signum)


def _ask_no_more() -> None:
    if hasattr(signal, "setitimer") and getattr(signal.getsignal(signal.SIGALRM), "func", None) is _stop_again:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
