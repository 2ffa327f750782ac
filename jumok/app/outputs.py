"""Where commands write, and how they name what was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jumok.errors import JumokError
from jumok.files import RESULTS_MARK, write_atomically

__all__ = ["check_outside_runs", "marking_results"]

RUN_FILES = ("config.yaml", "weights.safetensors")


def check_outside_runs(out: Path) -> None:
    """Refuse to write pictures and pages among the files of a run.

    Raises:
        JumokError: the folder is a run's own.
    """
    if any((out / name).exists() for name in RUN_FILES):
        raise JumokError(f"--out {out} is the folder of a run: give another, such as --out {out / 'ask'}")


@contextmanager
def marking_results(out: Path | None) -> Iterator[None]:
    """Mark a folder that the block writes its results to; one that held other things before is nobody's alone.

    Args:
        out: the folder; None: nothing is marked.
    """
    fresh = out is not None and not (out.is_dir() and any(out.iterdir()))
    try:
        yield
    finally:
        if out is not None and fresh and out.is_dir() and any(out.iterdir()):
            write_atomically(out / RESULTS_MARK, "What jumok has written: left out where it looks for images.\n")
