"""Whether torchrun has started a training anew, after one of its processes died (`--max-restarts`)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from jumok.files import write_atomically
from jumok.machine import World

__all__ = ["JOB", "is_restart", "note_job"]

JOB = "torchrun.txt"
"""In a run's folder: which torchrun began it."""


def note_job(folder: Path) -> None:
    """Keep which torchrun begins a run in this folder, where it may start it anew."""
    if os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        write_atomically(folder / JOB, _name_job())


def is_restart(folder: Path) -> bool:
    """Whether this torchrun began the run in a folder, and has started its processes anew since."""
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0" or not (folder / JOB).is_file():
        return False
    # Only the first process is sure to run beside the torchrun that noted itself; where that is another, it ends all
    return not World.found().first or (folder / JOB).read_text("utf-8") == _name_job()


def _name_job() -> str:
    return f"{os.environ.get('TORCHELASTIC_RUN_ID', '')} {socket.gethostname()} {os.getppid()}"
