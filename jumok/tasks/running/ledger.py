"""The figures of a run: each epoch's loss and what was measured, the time it took, metrics.csv."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, distributed

from jumok.errors import JumokError
from jumok.files import write_atomically
from jumok.tasks.running.figures import Row
from jumok.tasks.running.training_module import need_module

METRICS = "metrics.csv"
"""In a run's folder: a row for each epoch."""
STEPS_PER_LOOK = 16
"""Steps after which a GPU is asked for its losses; asking makes it wait."""


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
        self.clock.count += need_module(pl_module).count(batch) * trainer.world_size
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
        figures = need_module(pl_module).figures
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train_loss": float(self._loss) / self._steps,
            **figures,
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            write_atomically(self._folder / METRICS, as_csv(self.rows))
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


def as_csv(rows: list[Row]) -> str:
    """The rows under their heading; numbers are written so that they read back exactly."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _average_over_processes(value: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(value)
        value = value / distributed.get_world_size()
    return value
