"""What classifiers in training share, whatever they classify: loss, figures, balance of classes, frozen parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.tasks.running.layers import number_layers
from jumok.tasks.running.optimiser import group_parameters
from jumok.tasks.running.training_module import TrainingModule
from jumok.tasks.running.tuning_settings import TuningTraining

__all__ = ["BALANCED", "ClassTraining"]

BALANCED = "val_balanced_accuracy"
"""The mean over classes of the share of their examples that is named rightly."""


class ClassTraining(TrainingModule):
    """A model that gives class scores, in training.

    Args:
        model: what is trained.
        classes: how many there are.
        counts: examples of each class, by part; empty: classes count as even.
        figures: further figures of a validation.
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
        options: of the class that stands beside this one.
    """

    training_config: TuningTraining

    def __init__(
        self,
        model: nn.Module,
        *,
        classes: int,
        counts: Mapping[str, Sequence[int]] | None = None,
        figures: tuple[str, ...] = (),
        training: TuningTraining,
        steps: int,
        **options: Any,
    ) -> None:
        self.figure_names = ("val_loss", "val_accuracy", *((BALANCED,) if counts else ()), *figures)
        super().__init__(model, training=training, steps=steps, **options)
        self.classes = classes
        self.frozen: list[nn.Module] = []
        self.weights, self.shares = _weigh_classes(counts, training.balance)

    def smoothed_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The smoothed cross-entropy.

        Args:
            logits: (batch, classes).
            targets: (batch, classes) shares, or (batch,) labels.
        """
        weights = None if self.weights is None else self.weights.to(logits.device)
        smoothing = self.training_config.label_smoothing
        return F.cross_entropy(logits.float(), targets, weights, label_smoothing=smoothing)

    def note_answers(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch to the figures of a validation: (batch, classes) logits and (batch,) labels."""
        logits = logits.float()
        self.note("val_loss", F.cross_entropy(logits, labels, reduction="none"))
        right = (logits.argmax(-1) == labels).float()
        self.note("val_accuracy", right)
        if self.shares is not None:
            self.note(BALANCED, right * self.shares.to(right)[labels])

    def learning_groups(self) -> list[dict[str, Any]]:
        """As for all models; by `layer_decay` each layer learns more slowly than the one behind it."""
        decay, rate = self.training_config.weight_decay, self.training_config.layer_decay
        if rate == 1:
            return super().learning_groups()
        depths = number_layers(self.model)
        factors = {name: rate ** (depths.layers + 1 - depth) for name, depth in depths.of.items()}
        return group_parameters(self.model, decay, factors)

    def train(self, mode: bool = True) -> Self:
        """Training or eval mode; frozen modules stay in eval mode, so that they answer as they always did."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def goodness(self, figures: dict[str, float]) -> tuple[float, ...]:
        """The more right answers the better, each class counting alike; of the same number, the surer."""
        return figures.get(BALANCED, figures["val_accuracy"]), -figures["val_loss"]

    def keeps(self, figures: dict[str, float], before: Sequence[dict[str, float]]) -> bool:
        """Later weights are kept unless they are clearly worse.

        While the learning rate falls, weights get better by more than a validation of a few examples can tell. So the
        best validation is often a lucky one, and later weights replace earlier ones unless they lie more than a
        standard error below the best.
        """
        if not before or not self.judged_on:
            return super().keeps(figures, before)
        best, own = (max(self.goodness(row)[0] for row in rows) for rows in (before, [figures]))
        return own >= best - math.sqrt(best * (1 - best) / self.judged_on)


def _weigh_classes(counts: Mapping[str, Sequence[int]] | None, balance: str) -> tuple[Tensor | None, Tensor | None]:
    """How much an example of each class counts in the loss, and in the balanced accuracy; None: all alike."""
    if not counts:
        return None, None
    train, val = (torch.tensor(counts[part], dtype=torch.float32) for part in ("train", "val"))
    present = (val > 0).sum()
    shares = torch.where(val > 0, val.sum() / (present * val.clamp_min(1)), 0.0)
    return (train.sum() / (len(train) * train) if balance == "weights" else None), shares
