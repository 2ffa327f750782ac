"""One class for each example, whatever it is: the loss, the figures, and always naming the largest class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.intervals import NORMAL_95, wilson

if TYPE_CHECKING:
    from torchmetrics import Metric

__all__ = ["BALANCED", "ClassFigures"]

BALANCED = "val_balanced_accuracy"
"""The mean over classes of the share of their examples that is named rightly."""


class ClassFigures:
    """How the training of a classifier is driven and judged.

    Args:
        names: of the classes.
        per_class: examples of each class, by part; empty: not known.
        uneven: whether some classes have clearly more examples than others.
        balance: "weights": examples of rare classes count more.
    """

    noun: ClassVar[str]
    """What is classified."""
    may_help: ClassVar[str]
    """What may help a model that learns nothing, beside more data and time."""

    def __init__(
        self,
        names: tuple[str, ...],
        per_class: Mapping[str, Sequence[int]] | None = None,
        *,
        uneven: bool = False,
        balance: str = "none",
    ) -> None:
        self.names = names
        self._per_class = per_class or {}
        self.weights: Tensor | None = None
        self.shares: Tensor | None = None
        if uneven:
            self.weights, self.shares = _weigh_classes(self._per_class, balance)
        self.figure_names = ("val_loss", "val_accuracy", *((BALANCED,) if uneven else ()))

    def make_meter(self, name: str) -> Metric:
        """What adds up a figure of a validation: its mean over examples."""
        from torchmetrics import MeanMetric

        return MeanMetric()

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """The smoothed cross-entropy.

        Args:
            outputs: (batch, classes), logits.
            targets: (batch, classes) shares, or (batch,) labels.
            smoothing: the share of the targets that is spread over all classes.
        """
        weights = None if self.weights is None else self.weights.to(outputs)
        return F.cross_entropy(outputs, targets, weights, label_smoothing=smoothing)

    def judge(self, outputs: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """What each figure's meter is given: of (batch, classes) logits and (batch,) labels."""
        right = (outputs.argmax(-1) == labels).float()
        loss = F.cross_entropy(outputs, labels, reduction="none")
        found: dict[str, tuple[Tensor, ...]] = {"val_loss": (loss,), "val_accuracy": (right,)}
        if self.shares is not None:
            found[BALANCED] = (right * self.shares.to(right)[labels],)
        return found

    def goodness(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """The more right answers the better, each class counting alike; of the same number, the surer."""
        return figures.get(BALANCED, figures["val_accuracy"]), -figures["val_loss"]

    def slack(self, best: float, judged: int) -> float | None:
        """Of a few examples the best validation is often a lucky one: a standard error."""
        return math.sqrt(best * (1 - best) / judged)

    def is_perfect(self, figures: Mapping[str, float]) -> bool:
        """Whether all were named rightly."""
        return figures["val_accuracy"] == 1

    def describe_reached(self, best: Mapping[str, float]) -> str:
        """How good the kept weights are on the validation, and what always naming the largest class gives."""
        balanced = f", balanced accuracy {best[BALANCED]:.1%}" if BALANCED in best else ""
        largest, share = self._largest_class()
        return (
            f"{best['val_accuracy']:.1%} of {sum(self._per_class['val']):,} validation {self.noun} correct{balanced}; "
            f"always saying {largest!r} gives {share:.1%}"
        )

    def describe_shortfall(self, best: Mapping[str, float]) -> str:
        """What to say of weights that are not significantly better than that; else empty."""
        count = sum(self._per_class["val"])
        largest, share = self._largest_class()
        if wilson(round(best["val_accuracy"] * count), count)[0] > share or self._beats_in_balance(best):
            return ""
        if share == 1:
            return (
                f"all validation {self.noun} are of the class {largest!r}, so always saying it is right, too: only "
                "others show whether this model tells classes apart"
            )
        each = min(self._per_class["train"])
        return (
            f"this model is not significantly better than always saying {largest!r}. What may help: more {self.noun} "
            f"(the smallest class has {each} to learn from), more --time, {self.may_help}"
        )

    def _beats_in_balance(self, best: Mapping[str, float]) -> bool:
        """Whether the balanced accuracy is surely above that of naming one class, however right each class is."""
        counts = [count for count in self._per_class["val"] if count]
        widest = math.sqrt(sum(1 / (4 * count) for count in counts)) / len(counts)  # of a share of one half
        return best.get(BALANCED, 0.0) - NORMAL_95 * widest > 1 / len(counts)

    def _largest_class(self) -> tuple[str, float]:
        """The class with the most validation examples, and how often always naming it would be right there."""
        counts = self._per_class["val"]
        return self.names[list(counts).index(max(counts))], max(counts) / sum(counts)


def _weigh_classes(counts: Mapping[str, Sequence[int]], balance: str) -> tuple[Tensor | None, Tensor]:
    """How much an example of each class counts in the loss, None: all alike; and in the balanced accuracy."""
    train, val = (torch.tensor(counts[part], dtype=torch.float32) for part in ("train", "val"))
    present = (val > 0).sum()
    shares = torch.where(val > 0, val.sum() / (present * val.clamp_min(1)), 0.0)
    return (train.sum() / (len(train) * train) if balance == "weights" else None), shares
