"""Runs of the program's own commands: trained where they are not there yet, and what their folders tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from jumok.app.cli import run

WALL = re.compile(r"\| wall time \| (?:(\d+) h )?(\d+) min(?: (\d+) s)?")


def train(flags: Sequence[str], folder: Path, threads: int, seed: int) -> None:
    """Train where the folder holds no finished run; one that was stopped goes on.

    Args:
        flags: of `jumok train`, the data first, without the folder.
        folder: of the run.
    """
    if (folder / "card.md").exists():
        return
    begun = (folder / "config.yaml").exists()
    start = ["--resume", str(folder)] if begun else [*flags, "--out", str(folder), "--seed", str(seed)]
    run(["train", *start, "--threads", str(threads)])


def steps(folder: Path) -> int:
    """Of the optimiser, in all epochs."""
    last = (folder / "metrics.csv").read_text("utf-8").splitlines()[-1]
    return int(last.split(",")[1])


def seconds(folder: Path) -> float:
    """Wall time of the training, as the run's card has it."""
    found = WALL.search((folder / "card.md").read_text("utf-8"))
    hours, minutes, rest = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return 3600.0 * hours + 60 * minutes + rest
