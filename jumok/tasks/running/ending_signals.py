"""Signals that ask a training to end in good order."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name)
)
"""Signals at which a training ends at its next step, with a checkpoint; SIGUSR1 is SLURM's warning."""


class Signals:
    """Notes Ctrl-C and signals that ask for the end instead of dying of them; a second Ctrl-C stops at once.

    Within the block `install` takes them over, but for those that are ignored, as under nohup; afterwards they are as
    they were before it.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the two signals over, where this thread may."""
        for signum in self._before:
            signal.signal(signum, self._note)

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            found = {signum: signal.getsignal(signum) for signum in ENDING}
            self._before = {signum: handler for signum, handler in found.items() if handler is not signal.SIG_IGN}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)

    def _note(self, signum: int, _: FrameType | None) -> None:
        if signum == signal.SIGINT and self.received == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or signum
