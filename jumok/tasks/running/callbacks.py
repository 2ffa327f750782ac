"""What happens beside the training steps: averaged weights, figures, checkpoints, stopping in good order."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, WeightAveraging
from torch import Tensor, distributed

from jumok.errors import Interrupted, JumokError
from jumok.files import replacing, write_atomically
from jumok.machine import World
from jumok.tasks.running.checkpoint import CHECKPOINTS, LAST, write_tensors
from jumok.tasks.running.training_module import TrainingModule
from jumok.wording import write_count

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1") if hasattr(signal, name)
)
"""Signals at which a training ends at its next step, with a checkpoint; SIGUSR1 is SLURM's warning."""
WAIT_FACTOR = 100
"""A checkpoint is due when so many times the seconds that one takes have gone by: under 1 % of the time."""
LEAST_SECONDS = 10.0
"""Seconds between two checkpoints within an epoch, at the least."""
STEPS_PER_LOOK = 16
"""Steps after which a GPU is asked for its losses; asking makes it wait."""

PERFECT_VALIDATIONS = 5
"""Validations in a row without an error, and without a lower loss, after which a run of a planned length ends."""

Row = dict[str, float]


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


class Clock:
    """Seconds spent on steps and on waiting for data, and how much of it they brought, over all parts of a run."""

    def __init__(self) -> None:
        self.busy = self.waiting = 0.0
        self.count = 0
        self._earlier, self._began = 0.0, time.monotonic()

    @property
    def wall(self) -> float:
        """Seconds in all, with validation and checkpoints."""
        return self._earlier + time.monotonic() - self._began

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"busy": self.busy, "waiting": self.waiting, "count": self.count, "wall": self.wall}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from there."""
        self.busy, self.waiting, self.count = float(state["busy"]), float(state["waiting"]), int(state["count"])
        self._earlier, self._began = float(state["wall"]), time.monotonic()

    @property
    def rate(self) -> float:
        """How much per second, in the unit of the training module."""
        return self.count / max(self.busy + self.waiting, 1e-9)

    @property
    def share_waiting(self) -> float:
        """The share of the time that was spent waiting for data."""
        return self.waiting / max(self.busy + self.waiting, 1e-9)


class Ledger(Callback):
    """Adds up each epoch's loss, stops at one that is no number, and writes metrics.csv and TensorBoard's log.

    The rows are part of the training state and the file is written anew from them, so that a resumed run neither
    repeats nor misses one.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.rows: list[Row] = []
        self.clock = clock
        self._folder = folder
        self._loss: Tensor | None = None
        self._recent: list[Tensor] = []
        self._steps = 0
        self._began = 0.0
        self._board: Any = None

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "loss": self._loss, "steps": self._steps, "clock": self.clock.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]
        self._loss, self._steps = state_dict["loss"], int(state_dict["steps"])
        self.clock.load_state_dict(state_dict["clock"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._loss is not None:
            self._loss = self._loss.to(pl_module.device)
        if trainer.is_global_zero:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(self._folder / "logs", purge_step=trainer.global_step + 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._loss, self._steps = None, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._began = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        exact = torch.float32 if pl_module.device.type == "mps" else torch.float64  # MPS has no float64
        loss = _average_over_processes(outputs["loss"].detach().to(exact))
        self._loss = loss if self._loss is None else self._loss + loss
        self._steps += 1
        self._recent.append(loss)
        if loss.device.type == "cpu" or len(self._recent) == STEPS_PER_LOOK:
            self.look(trainer)
        self.clock.count += _need_module(pl_module).count(batch) * trainer.world_size
        self.clock.busy += time.monotonic() - self._began

    def look(self, trainer: Trainer) -> None:
        """Check the losses since the last look, and log the newest.

        Raises:
            JumokError: one is NaN or infinite.
        """
        recent, self._recent = self._recent, []
        if not recent:
            return
        losses = torch.stack(recent).tolist()
        first = trainer.global_step - len(losses) + 1
        for step, loss in enumerate(losses, first):
            if not abs(loss) < float("inf"):
                raise JumokError(
                    f"the loss is {loss} at step {step}: training stopped, checkpoints of earlier steps are kept; "
                    "try a lower --lr, a smaller --clip or --precision 32"
                )
        if self._board:
            self._board.add_scalar("train/loss", losses[-1], trainer.global_step)
            self._board.add_scalar("train/lr", trainer.optimizers[0].param_groups[0]["lr"], trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.look(trainer)
        assert self._loss is not None
        figures = _need_module(pl_module).figures
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": float(self._loss) / self._steps,
            **figures,
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            write_atomically(self._folder / "metrics.csv", as_csv(self.rows))
            for name, value in figures.items():
                self._board.add_scalar(name.replace("_", "/", 1), value, trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """Finish TensorBoard's file."""
        board, self._board = self._board, None
        if board:
            board.close()


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
        self._stopped = self._stopped and not _need_module(pl_module).begins_anew()
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
        if _need_module(pl_module).keeps(row, before):
            self.best = dict(row)
            self._unwritten = {name: value.clone() for name, value in self._collect_weights(pl_module).items()}
        if self._is_enough(_need_module(pl_module)):
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
        state = self._averaging.weights() if self._averaging else module.state_dict()
        return {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}

    def _save(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the best weights that are not on disk yet, and then the whole state."""
        began = time.monotonic()
        self._ledger.look(trainer)
        _check_finite(module, trainer.global_step)
        if self._unwritten and self.best and trainer.is_global_zero:
            write_weights(self._folder, _need_module(module).complete(self._unwritten), self.best)
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


def as_csv(rows: list[Row]) -> str:
    """The rows under their heading; numbers are written so that they read back exactly."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _launch(processes: int) -> str:
    """The command that starts so many processes."""
    if processes == 1:
        return "jumok train --resume"
    return f"torchrun --nproc-per-node {processes} -m jumok train --resume"


def _make_interrupted(signum: int, step: int) -> Interrupted:
    return Interrupted(signum, f"stopped by {signal.Signals(signum).name} after step {step}; everything is saved")


def _need_module(module: LightningModule) -> TrainingModule:
    """What is trained here, as what it is."""
    assert isinstance(module, TrainingModule)
    return module


def _average_over_processes(value: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(value)
        value = value / distributed.get_world_size()
    return value


def _check_finite(module: LightningModule, step: int) -> None:
    if not all(bool(torch.isfinite(value).all()) for value in module.parameters()):
        raise JumokError(
            f"the weights are NaN or infinite at step {step}: training stopped, checkpoints of earlier steps are kept; "
            "try a lower --lr, a smaller --clip or --precision 32"
        )
