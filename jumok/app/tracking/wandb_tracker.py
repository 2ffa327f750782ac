"""A run in Weights & Biases, online or, with WANDB_MODE=offline, in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jumok.app.tracking.tracker import DEFAULT_PROJECT, DONE, flatten

__all__ = ["WandbTracker"]


class WandbTracker:
    """One run; see `jumok.app.tracking.tracker.Tracker`. It sends neither code nor what is printed.

    Args:
        title: of a new run.
        known: the id of the run to go on with; None: a new one.
    """

    def __init__(self, title: str, known: str | None) -> None:
        import wandb

        quiet = wandb.Settings(silent=True, disable_git=True, disable_code=True, console="off")
        project = os.environ.get("WANDB_PROJECT", DEFAULT_PROJECT)
        self._run = wandb.init(project=project, name=title, id=known, resume="allow" if known else None, settings=quiet)
        self.id: str = self._run.id

    def note(self, settings: Mapping[str, Any]) -> None:
        self._run.config.update(dict(flatten(settings)), allow_val_change=True)

    def log(self, figures: Mapping[str, float], step: int | None) -> None:
        self._run.log(dict(figures), step=step)

    def keep(self, path: Path) -> None:
        from wandb import Artifact

        kept = Artifact(f"{self.id}-{path.stem}", type="jumok")
        kept.add_file(str(path))
        self._run.log_artifact(kept)

    def end(self, state: str) -> None:
        self._run.finish(exit_code=0 if state == DONE else 1)
