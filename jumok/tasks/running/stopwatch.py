"""Times the first steps of a training and a validation, or a part of it, and then stops it."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from jumok.tasks.running.prepared import Batches

__all__ = ["Sampled", "Stopwatch"]

WARM_UP_STEPS, TIMED_STEPS = 3, 12
"""Training steps before the clock is started, and those that are timed, to foresee how long a run takes."""
LEAST_STEPS, LEAST_BATCHES = 4, 2
"""Steps and batches of a validation that are taken however long they take."""


class Stopwatch(Callback):
    """Times some steps of a training and one validation, and then stops it.

    Args:
        seconds: for the steps after the first two, which take longer; some are timed however long they take.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._steps: list[float] = []
        self._began = self._began_looking = 0.0
        self._validations: list[float] = []

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
        late = len(self._steps) >= LEAST_STEPS and self._steps[-1] - self._steps[1] > self._seconds
        trainer.should_stop = late or len(self._steps) > WARM_UP_STEPS + TIMED_STEPS

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began_looking = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validations.append(time.perf_counter() - self._began_looking)


class Sampled:
    """The first batches of a validation, as many as a time allows.

    Args:
        batches: of the validation.
        seconds: for them; some are given however long they take.
    """

    def __init__(self, batches: Batches, seconds: float) -> None:
        self._batches, self._seconds = batches, seconds
        self.share = 1.0
        """Of all batches that were given the last time, by their number."""

    def __len__(self) -> int:
        return len(self._batches)

    def state_dict(self) -> dict[str, Any]:
        return self._batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._batches.load_state_dict(state)

    def __iter__(self) -> Iterator[Any]:
        began = time.perf_counter()
        for number, batch in enumerate(self._batches, 1):
            yield batch
            self.share = number / len(self._batches)
            if number >= LEAST_BATCHES and time.perf_counter() - began > self._seconds:
                return
