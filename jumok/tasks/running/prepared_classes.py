"""A classifier's training that is about to start, whatever it classifies: which learning rates are worth a trial."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from jumok.tasks.running.prepared import RATES, Prepared
from jumok.tasks.running.tuning_settings import TuningTraining

__all__ = ["PreparedClasses"]


@dataclass(frozen=True)
class PreparedClasses(Prepared):
    """Everything that the training of a classifier needs."""

    @property
    @abstractmethod
    def keeps_features(self) -> bool:
        """Whether a head is trained alone, on what the rest of the model made of each example."""

    @property
    def rates(self) -> tuple[float, ...]:
        training = self.training
        adapted = isinstance(training, TuningTraining) and training.lora is not None
        return RATES if self.keeps_features or adapted else super().rates
