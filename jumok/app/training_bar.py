"""What a person sees while training: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOSS_STEPS = 8
"""Steps between two looks at the loss; each look makes a GPU wait."""


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
        self._figures, self._loss = "", ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._console.is_terminal or self._console.quiet:
            return
        columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns, TimeRemainingColumn(), TextColumn("{task.fields[text]}"), console=self._console
        )
        total = self._epochs * self._steps
        self._progress.add_task(
            "", total=total, completed=trainer.global_step, epoch=trainer.current_epoch + 1, text=""
        )
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._progress is None:
            return
        if trainer.global_step % LOSS_STEPS == 0:
            self._loss = f"loss {float(outputs['loss']):.3f}"
        self._show(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures: dict[str, float] = pl_module.figures  # type: ignore[assignment]
        self._figures = "  ".join(f"{name} {figure:.4f}" for name, figure in figures.items())
        if self._progress is None:
            self._console.print(f"epoch {trainer.current_epoch + 1}/{self._epochs}  {self._figures}")
        else:
            self._show(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _show(self, trainer: Trainer) -> None:
        if self._progress:
            epoch, text = f"{trainer.current_epoch + 1}/{self._epochs}", f"{self._loss}  {self._figures}"
            self._progress.update(self._progress.task_ids[0], completed=trainer.global_step, epoch=epoch, text=text)

    def _stop(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None
