"""Where commands write, and how they name what was written."""

from __future__ import annotations

from pathlib import Path

from jumok.errors import JumokError

__all__ = ["check_outside_runs"]

RUN_FILES = ("config.yaml", "weights.safetensors")


def check_outside_runs(out: Path) -> None:
    """Refuse to write pictures and pages among the files of a run.

    Raises:
        JumokError: the folder is a run's own.
    """
    if any((out / name).exists() for name in RUN_FILES):
        raise JumokError(f"--out {out} is the folder of a run: give another, such as --out {out / 'ask'}")
