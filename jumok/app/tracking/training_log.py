"""What a training logs to a tracker: each epoch's figures as they come, and at the end the run's small files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning import Callback, LightningModule, Trainer

from jumok.tasks.running.ledger import METRICS, Ledger
from jumok.tasks.running.run import CARD, CONFIG
from jumok.tasks.running.trust import TRUST

if TYPE_CHECKING:
    from jumok.app.tracking.log import Log

__all__ = ["TrainingLog", "keep_run"]


class TrainingLog(Callback):
    """Logs the row of each epoch.

    Args:
        log: of the run.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        ledger = next(each for each in trainer.callbacks if isinstance(each, Ledger))  # type: ignore[attr-defined]
        row = ledger.rows[-1]
        self._log.log({name: value for name, value in row.items() if name != "step"}, int(row["step"]))


def keep_run(log: Log, folder: Path) -> None:
    """Keep a run's card, its settings, its figures and the map that was found the most faithful."""
    log.keep(folder / name for name in (CARD, CONFIG, METRICS, TRUST))
