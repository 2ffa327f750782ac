"""What happens beside the training steps: averaged weights, checkpoints, stopping in good order."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, WeightAveraging
from torch import Tensor, distributed

from jumok.errors import Interrupted, JumokError
from jumok.files import replacing
from jumok.machine import World
from jumok.tasks.running.checkpoint import CHECKPOINTS, LAST, write_tensors
from jumok.tasks.running.ending_signals import Signals
from jumok.tasks.running.figures import Row
from jumok.tasks.running.ledger import Ledger
from jumok.tasks.running.sharded_weights import are_finite, gather
from jumok.tasks.running.training_module import TrainingModule, need_module
from jumok.wording import write_count

WAIT_FACTOR = 100
"""A checkpoint is due when so many times the seconds that one takes have gone by: under 1% of the time."""
LEAST_SECONDS = 10.0
"""Seconds between two checkpoints within an epoch, at the least."""

PERFECT_VALIDATIONS = 5
"""Validations in a row without an error, and without a lower loss, after which a run of a planned length ends."""


class Averaging(WeightAveraging):
    """Keeps an exponential moving average of the weights, that is used for validation and kept in the end.

    The decay grows with the steps, min(decay, (1 + step) / (10 + step)), so that the first, poor weights are
    forgotten and short runs have an average worth having. Buffers, such as the running means of batch norms, are
    averaged alike, so that they belong to the averaged weights; those of whole numbers are taken as they are.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=self._blend)
        self._decay, self._step = decay, 0

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, named as the module names them."""
        assert self._average_model is not None
        return dict(self._average_model.module.state_dict())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._step = trainer.global_step
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _blend(self, averaged: list[Tensor], current: list[Tensor], _: Tensor | int) -> None:
        decay = min(self._decay, (1 + self._step) / (10 + self._step))
        if averaged[0].is_floating_point():  # all of one call are of one type
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:
            torch._foreach_copy_(averaged, current)


class Keeper(Checkpoint):
    """Writes checkpoints, keeps the best weights, ends the training early, and obeys signals.

    It ends early where patience is asked for, and in a run of a planned length once nothing is left to gain.

    Checkpoints are taken after a step that is not an epoch's last, or after an epoch with its validation. In both
    places the trainer's own counters are whole.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        averaging: Averaging | None,
        signals: Signals,
        *,
        every: int | None,
        patience: int | None,
        planned: bool = False,
    ) -> None:
        self.best: Row | None = None
        self.started = False
        self._folder, self._ledger, self._averaging, self._signals = folder, ledger, averaging, signals
        self._every, self._patience, self._planned = every, patience, planned
        self._stopped = False
        self._unwritten: dict[str, Tensor] | None = None
        self._last_save = time.monotonic()
        self._cost = 0.1

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "stopped": self._stopped, "processes": World.found().size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self._stopped = state_dict["best"], bool(state_dict["stopped"])
        before, here = int(state_dict.get("processes", 1)), World.found().size
        if before != here:
            raise JumokError(
                f"this run began with {write_count(before, 'process', 'processes')} and is resumed with {here}, so it "
                f"would end elsewhere: resume it with {_launch(before)}, or train anew"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = True
        self._signals.install()
        self._stopped = self._stopped and not need_module(pl_module).begins_anew()
        trainer.should_stop = self._stopped

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_last_batch:  # the epoch's end takes it over, with the validation done
            return
        due = self._is_due(LEAST_SECONDS) if self._every is None else trainer.global_step % self._every == 0
        signum, due = self._agree(trainer, due)
        if signum or due:
            self._save(trainer, pl_module)
        if signum:
            raise _make_interrupted(signum, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        *before, row = self._ledger.rows
        if need_module(pl_module).keeps(row, before):
            self.best = dict(row)
            self._unwritten = {name: value.clone() for name, value in self._collect_weights(pl_module).items()}
        if self._is_enough(need_module(pl_module)):
            trainer.should_stop = self._stopped = True
        over = self._stopped or row["epoch"] == trainer.max_epochs
        signum, due = self._agree(trainer, over or self._every is not None or self._is_due(0))
        if signum or due:
            self._save(trainer, pl_module)
        if signum and not over:
            raise _make_interrupted(signum, trainer.global_step)

    def _is_enough(self, module: TrainingModule) -> bool:
        """Whether patience is over, or a run whose length was planned has nothing left to gain."""
        if self._patience and self._count_in_vain(module) >= self._patience:
            return True
        rows = [row for row in self._ledger.rows if row["step"] > module.schedule_start]
        return self._planned and is_perfect(rows, module)

    def _count_in_vain(self, module: TrainingModule) -> int:
        """Epochs since the best one, of those since the schedule began."""
        best = max(self._ledger.rows, key=module.goodness)["epoch"]
        return sum(row["epoch"] > best and row["step"] > module.schedule_start for row in self._ledger.rows)

    def _is_due(self, least: float) -> bool:
        return time.monotonic() - self._last_save >= max(WAIT_FACTOR * self._cost, least)

    def _agree(self, trainer: Trainer, due: bool) -> tuple[int, bool]:
        """What any process was told to do, all do after the same step."""
        if trainer.world_size == 1:
            return self._signals.received, due
        told = torch.tensor([self._signals.received, int(due)], device=trainer.strategy.root_device)
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        return int(told[0]), bool(told[1])

    def _collect_weights(self, module: LightningModule) -> dict[str, Tensor]:
        """The model's weights, averaged where the run averages, under the model's own names."""
        state = self._averaging.weights() if self._averaging else gather(module.state_dict())
        return {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}

    def _save(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the best weights that are not on disk yet, and then the whole state."""
        began = time.monotonic()
        self._ledger.look(trainer)
        _check_finite(module, trainer.global_step)
        if self._unwritten and self.best and trainer.is_global_zero:
            write_weights(self._folder, need_module(module).complete(self._unwritten), self.best)
        self._unwritten = None
        trainer.save_checkpoint(self._folder / CHECKPOINTS / LAST)
        self._last_save = time.monotonic()
        self._cost = self._last_save - began


def is_perfect(rows: Sequence[Row], module: TrainingModule) -> bool:
    """Whether the last validations found no error, and their loss was not below that of those before them."""
    last, before = rows[-PERFECT_VALIDATIONS:], rows[:-PERFECT_VALIDATIONS]
    if not before or not all(map(module.is_perfect, last)):
        return False
    return min(row["val_loss"] for row in last) >= min(row["val_loss"] for row in before)


def write_weights(folder: Path, weights: Mapping[str, Tensor], figures: Mapping[str, float]) -> None:
    """Write a run's weights, with the figures that they reached in the header; checkpoints/best is the same file."""
    path = folder / "weights.safetensors"
    write_tensors(weights, path, {"format": "jumok-weights/1"} | {name: str(value) for name, value in figures.items()})
    with replacing(folder / "checkpoints" / "best.safetensors") as fresh:
        try:
            os.link(path, fresh)
        except OSError:  # a file system without links
            shutil.copyfile(path, fresh)


def _launch(processes: int) -> str:
    """The command that starts so many processes."""
    if processes == 1:
        return "jumok train --resume"
    return f"torchrun --nproc-per-node {processes} -m jumok train --resume"


def _make_interrupted(signum: int, step: int) -> Interrupted:
    return Interrupted(signum, f"stopped by {signal.Signals(signum).name} after step {step}; everything is saved")


def _check_finite(module: LightningModule, step: int) -> None:
    if not are_finite(module):
        raise JumokError(
            f"the weights are NaN or infinite at step {step}: training stopped, checkpoints of earlier steps are kept; "
            "try a lower --lr, a smaller --clip or --precision 32"
        )
