"""What a person sees while training: a line per epoch; a bar under it on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from jumok.durations import format_duration
from jumok.language import translate

LOSS_STEPS = 8
"""Steps between two looks at the loss; each look makes a GPU wait."""
LINE_SECONDS = 30.0
"""Where there is no terminal, a line is written so often within an epoch."""


class Bar(Callback):
    """Shows how far training is and how well it goes.

    Args:
        console: where to; a quiet one shows nothing.
        epochs: of the run.
        steps: per epoch.
    """

    def __init__(self, console: Console, epochs: int, steps: int) -> None:
        self._console, self._epochs, self._steps = console, epochs, steps
        self._progress: Progress | None = None
        self._loss = ""
        self._began = self._last_line = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = self._last_line = time.monotonic()
        self._first_step = trainer.global_step
        if not self._console.is_terminal or self._console.quiet:
            return
        columns = (
            TextColumn("{task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(translate("steps")),
        )
        self._progress = Progress(*columns, TextColumn("{task.fields[text]}"), console=self._console, transient=True)
        total = self._epochs * self._steps
        epoch = self._tell_epoch(trainer)
        self._progress.add_task("", total=total, completed=trainer.global_step, epoch=epoch, text="")
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        quiet = self._console.quiet or (self._progress is None and not self._is_due())
        if quiet:
            return
        if trainer.global_step % LOSS_STEPS == 0 or self._progress is None:
            self._loss = translate("loss {value}", value=f"{float(outputs['loss']):.3f}")
        epoch, text = self._tell_epoch(trainer), f"{self._tell_time(trainer)}  {self._loss}"
        if self._progress is None:
            self._last_line = time.monotonic()
            done, total = f"{trainer.global_step:,}", f"{self._epochs * self._steps:,}"
            self._console.print(f"{translate('step {done} of {total}', done=done, total=total)}  {text}")
        else:
            self._progress.update(self._progress.task_ids[0], completed=trainer.global_step, epoch=epoch, text=text)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures: dict[str, float] = pl_module.figures  # type: ignore[assignment]
        told = "  ".join(f"{name} {figure:.4f}" for name, figure in figures.items())
        self._console.print(f"{self._tell_epoch(trainer)}  {told}  {self._tell_time(trainer)}")
        self._last_line = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _is_due(self) -> bool:
        return time.monotonic() - self._last_line >= LINE_SECONDS

    def _tell_epoch(self, trainer: Trainer) -> str:
        return translate("epoch {number}/{total}", number=trainer.current_epoch + 1, total=self._epochs)

    def _tell_time(self, trainer: Trainer) -> str:
        """How long this took, and how long the rest will take at the same speed."""
        elapsed = time.monotonic() - self._began
        done, left = trainer.global_step - self._first_step, self._epochs * self._steps - trainer.global_step
        if not done or left <= 0:
            return translate("elapsed {time}", time=format_duration(elapsed))
        remaining = format_duration(elapsed / done * left)
        return translate("elapsed {time}, remaining {rest}", time=format_duration(elapsed), rest=remaining)

    def _stop(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None
