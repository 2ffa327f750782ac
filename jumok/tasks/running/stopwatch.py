"""Times the first steps and one validation of a training, and then stops it."""

from __future__ import annotations

import itertools
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["Stopwatch"]

WARM_UP_STEPS, TIMED_STEPS = 3, 12
"""Training steps before the clock is started, and those that are timed, to foresee how long a run takes."""


class Stopwatch(Callback):
    """Times some steps of a training and one validation, and then stops it."""

    def __init__(self) -> None:
        self._steps: list[float] = []
        self._began = self._began_looking = 0.0
        self._validations: list[float] = []

    @property
    def first_step(self) -> float:
        """When the first step was done, by `time.perf_counter`."""
        return self._steps[0]

    @property
    def step(self) -> float:
        """Seconds of a step, its batch read: the mean without the slowest, which other work may have held up.

        Of a single step, the time since the training began.
        """
        gaps = [after - before for before, after in itertools.pairwise(self._steps)]
        timed = sorted(gaps[min(WARM_UP_STEPS, max(len(gaps) - 2, 0)) :])
        kept = timed[: max(len(timed) - 1, 1)]
        return sum(kept) / len(kept) if kept else self._steps[0] - self._began

    @property
    def validation(self) -> float:
        """Seconds of a validation: the mean, for a first one takes longer."""
        return sum(self._validations) / max(len(self._validations), 1)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._steps.append(time.perf_counter())
        trainer.should_stop = len(self._steps) > WARM_UP_STEPS + TIMED_STEPS

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began_looking = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validations.append(time.perf_counter() - self._began_looking)
