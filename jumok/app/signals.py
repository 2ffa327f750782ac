"""Signals that ask a command to end: it says so in one line instead of dying without a word."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jumok.errors import Stopped

__all__ = ["stopping_in_order"]

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name))
"""Beside Ctrl-C: asked to end, the terminal gone, Ctrl-backslash, and SLURM's warning that the time is nearly over."""


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Have signals raise `Stopped` in the block; those that are ignored, as under nohup, stay so.

    A training takes them over while it runs, and ends at a checkpoint.
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
        for signum in taken:
            signal.signal(signum, before[signum])


def _stop(signum: int, _: FrameType | None) -> None:
    raise Stopped(signum)
