"""A classifier's training that is about to start, whatever it classifies: what is said of how good it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jumok.intervals import wilson
from jumok.tasks.running.callbacks import Row
from jumok.tasks.running.class_training import BALANCED
from jumok.tasks.running.prepared import RATES, Prepared
from jumok.tasks.running.tuning_settings import TuningTraining

__all__ = ["PreparedClasses", "join_names"]


@dataclass(frozen=True)
class PreparedClasses(Prepared):
    """Everything that the training of a classifier needs, `unit` being what is classified."""

    @property
    @abstractmethod
    def _per_class(self) -> Mapping[str, Sequence[int]]:
        """How many of each class there are, by part."""

    @property
    @abstractmethod
    def _classes(self) -> Sequence[str]:
        """Their names."""

    @property
    @abstractmethod
    def keeps_features(self) -> bool:
        """Whether a head is trained alone, on what the rest of the model made of each example."""

    @abstractmethod
    def _help(self) -> str:
        """What may help a model that learns nothing, beside more data and time."""

    @property
    def rates(self) -> tuple[float, ...]:
        training = self.training
        adapted = isinstance(training, TuningTraining) and training.lora is not None
        return RATES if self.keeps_features or adapted else super().rates

    def reached(self, best: Row) -> str:
        balanced = f", balanced accuracy {best[BALANCED]:.1%}" if BALANCED in best else ""
        largest, share = self._largest_class()
        return (
            f"{best['val_accuracy']:.1%} of {sum(self._per_class['val'])} validation {self.unit} correct{balanced}; "
            f"always saying {largest!r} gives {share:.1%}"
        )

    def shortfall(self, best: Row) -> str:
        count = sum(self._per_class["val"])
        largest, share = self._largest_class()
        if wilson(round(best["val_accuracy"] * count), count)[0] > share:
            return ""
        each = min(self._per_class["train"])
        return (
            f"this model is not surely better than always saying {largest!r}. What may help: more {self.unit} (the "
            f"smallest class has {each} to learn from), more --time, {self._help()}"
        )

    def _largest_class(self) -> tuple[str, float]:
        """The class with the most validation examples, and how often always naming it would be right there."""
        counts = self._per_class["val"]
        return self._classes[list(counts).index(max(counts))], max(counts) / sum(counts)


def join_names(names: Sequence[str], most: int = 20) -> str:
    """A few names, with "or" before the last.

    >>> join_names(["a", "b", "c"]), join_names(["a", "b", "c"], most=1)
    ('a, b or c', 'a or 2 more')
    """
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return f"{', '.join(shown[:-1])} or {shown[-1]}"
