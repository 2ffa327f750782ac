"""One class for each image: cross-entropy, accuracy, and always naming the largest class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.intervals import wilson
from jumok.tasks.classify.kinds.kind import AnswerKind, Choice, Figures, Report, Said, join_names
from jumok.tasks.classify.settings import EVEN_RATIO, ImageTraining, RunConfig

if TYPE_CHECKING:
    from jumok.data.images.image_set import ImageSet

__all__ = ["BALANCED", "OneClass"]

BALANCED = "val_balanced_accuracy"
"""The mean over classes of the share of their images that is named rightly."""


class OneClass(AnswerKind):
    """One class for each image.

    Args:
        names: of the classes.
        per_class: images of each class, by part; empty: not known.
        uneven: whether some classes have clearly more images than others.
        balance: "weights": images of rare classes count more.
    """

    name = "class"
    of_systems_with_own_loss = True
    least_outputs = 2
    figure = "probability"

    def __init__(
        self,
        names: tuple[str, ...],
        per_class: Mapping[str, Sequence[int]] | None = None,
        *,
        uneven: bool = False,
        balance: str = "none",
    ) -> None:
        super().__init__(names)
        self._per_class = per_class or {}
        self.weights: Tensor | None = None
        self.shares: Tensor | None = None
        if uneven:
            self.weights, self.shares = _weigh_classes(self._per_class, balance)
        self.figure_names = ("val_loss", "val_accuracy", *((BALANCED,) if uneven else ()))

    @classmethod
    def of(cls, config: RunConfig, folder: Path | None = None) -> Self:
        found = config.found
        return cls(found.classes, found.per_class, uneven=config.uneven, balance=config.training.balance)

    # -- from the data ----------------------------------------------------------------------------

    @classmethod
    def settle(cls, training: ImageTraining, images: ImageSet, asked: Collection[str]) -> Choice:
        if training.balance != "auto":
            return Choice({}, [])
        counts = Counter(images.labels)
        (most, largest), (least, smallest) = counts.most_common()[0], counts.most_common()[-1]
        if largest <= EVEN_RATIO * smallest:
            return Choice({"balance": "none"}, [])
        told = (
            f"uneven classes: {images.classes[most]!r} has {largest:,} training images, {images.classes[least]!r} "
            f"{smallest:,}; rare ones are shown more often, and the epoch to keep is chosen by balanced accuracy"
        )
        return Choice({"balance": "sampler"}, [told])

    @classmethod
    def count_shown(cls, images: ImageSet, balance: str) -> int:
        counts = Counter(images.labels)
        uneven = max(counts.values()) > EVEN_RATIO * min(counts.values())
        shown_often = balance == "sampler" or (balance == "auto" and uneven)
        return len(counts) * max(counts.values()) if shown_often else len(images)

    @classmethod
    def sort_out(cls, images: ImageSet) -> list[int]:
        return list(images.labels)

    # -- training ---------------------------------------------------------------------------------

    def encode(self, labels: Sequence[Any]) -> Tensor:
        return torch.tensor(labels)

    def to_targets(self, labels: Tensor) -> Tensor:
        return F.one_hot(labels, len(self.names)).float()

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        weights = None if self.weights is None else self.weights.to(outputs)
        return F.cross_entropy(outputs, targets, weights, label_smoothing=smoothing)

    def judge(self, outputs: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, ...]]:
        right = (outputs.argmax(-1) == labels).float()
        loss = F.cross_entropy(outputs, labels, reduction="none")
        found: dict[str, tuple[Tensor, ...]] = {"val_loss": (loss,), "val_accuracy": (right,)}
        if self.shares is not None:
            found[BALANCED] = (right * self.shares.to(right)[labels],)
        return found

    def goodness(self, figures: Figures) -> tuple[float, ...]:
        """The more right answers the better, each class counting alike; of the same number, the surer."""
        return figures.get(BALANCED, figures["val_accuracy"]), -figures["val_loss"]

    def slack(self, best: float, images: int) -> float | None:
        """Of a few images the best validation is often a lucky one: a standard error."""
        return math.sqrt(best * (1 - best) / images)

    def is_perfect(self, figures: Figures) -> bool:
        return figures["val_accuracy"] == 1

    # -- answers ----------------------------------------------------------------------------------

    def read(self, outputs: Tensor) -> Tensor:
        return outputs.float().softmax(-1)

    def say(self, values: Sequence[float]) -> Said:
        best = sorted(zip(self.names, values, strict=True), key=lambda pair: -pair[1])
        predicted, share = best[0]
        return Said(predicted, f"{predicted} {share:.1%}", share, best)

    # -- judging ----------------------------------------------------------------------------------

    def evaluate(
        self, models: Mapping[str, nn.Module], batches: Iterable[tuple[Tensor, Tensor]]
    ) -> Mapping[str, Report]:
        from jumok.tasks.classify.kinds.class_scores import evaluate_each

        return evaluate_each(models, batches, self.names)

    # -- words ------------------------------------------------------------------------------------

    def describe(self) -> str:
        return f"of {len(self.names)} classes"

    def reached(self, best: Figures, labels: Tensor) -> str:
        balanced = f", balanced accuracy {best[BALANCED]:.1%}" if BALANCED in best else ""
        largest, share = self._largest_class()
        return (
            f"{best['val_accuracy']:.1%} of {len(labels)} validation images correct{balanced}; "
            f"always saying {largest!r} gives {share:.1%}"
        )

    def shortfall(self, best: Figures, labels: Tensor) -> str:
        largest, share = self._largest_class()
        if wilson(round(best["val_accuracy"] * len(labels)), len(labels))[0] > share:
            return ""
        each = min(self._per_class["train"])
        return (
            f"this model is not surely better than always saying {largest!r}. What may help: more images (the smallest "
            f"class has {each} to learn from), more --time, a larger --image-size, or a pretrained model"
        )

    def purpose(self, size: str) -> str:
        return f"classifies images of {size} pixels as {join_names(self.names, 'or')}"

    def card_figures(self, best: Figures) -> dict[str, str]:
        return {"validation accuracy": f"{best['val_accuracy']:.4f}", "validation loss": f"{best['val_loss']:.4f}"}

    def _largest_class(self) -> tuple[str, float]:
        """The class with the most validation images, and how often always naming it would be right there."""
        counts = self._per_class["val"]
        return self.names[counts.index(max(counts))], max(counts) / sum(counts)


def _weigh_classes(counts: Mapping[str, Sequence[int]], balance: str) -> tuple[Tensor | None, Tensor]:
    """How much an image of each class counts in the loss, None: all alike; and in the balanced accuracy."""
    train, val = (torch.tensor(counts[part], dtype=torch.float32) for part in ("train", "val"))
    present = (val > 0).sum()
    shares = torch.where(val > 0, val.sum() / (present * val.clamp_min(1)), 0.0)
    return (train.sum() / (len(train) * train) if balance == "weights" else None), shares
