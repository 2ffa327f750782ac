"""How well a model tells classes apart, beside always naming the largest class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.intervals import wilson
from jumok.language import Later, later
from jumok.tasks.classify.kinds.kind import Model, Table

__all__ = ["Evaluation", "count_confusions", "evaluate", "evaluate_each"]

MOST_COLUMNS = 8
"""Classes whose confusion stands in the table."""
MOST_CLASSES = 50
"""Of more classes, those that do not occur are left out of tables and pictures."""


@dataclass(frozen=True)
class Evaluation:
    """How well a model tells classes apart.

    Args:
        classes: their names.
        confusion: (classes, classes), images of each true class (row) by predicted class (column).
        loss: mean cross-entropy, in nats.
        noun: what was judged, as figures call them.
        other: what may help a model that has learnt nothing, beside more data and time.
    """

    classes: tuple[str, ...]
    confusion: Tensor
    loss: float
    noun: str = "images"
    other: str = "a pretrained --system"

    @property
    def total(self) -> int:
        """How many were judged."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """How many were right."""
        return int(self.confusion.diagonal().sum())

    @property
    def accuracy(self) -> float:
        """The share that was right."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Between which the accuracy lies with 95% confidence."""
        return wilson(self.correct, self.total)

    @property
    def balanced_accuracy(self) -> float:
        """The mean, over the classes that have images, of the share of their images that was right."""
        return _mean([row["recall"] for row in self.per_class() if row["recall"] is not None])

    @property
    def macro_f1(self) -> float:
        """The mean F1 score of the classes that have images; a class that is never named counts 0."""
        right, named = self.confusion.diagonal().tolist(), self.confusion.sum(0).tolist()
        true = self.confusion.sum(1).tolist()
        return _mean([2 * right[label] / (named[label] + count) for label, count in enumerate(true) if count])

    @property
    def largest_class(self) -> tuple[str, float]:
        """The class with the most images, and how often always naming it would be right."""
        counts = self.confusion.sum(1)
        return self.classes[int(counts.argmax())], int(counts.max()) / self.total

    @property
    def beats_largest_class(self) -> bool:
        """Whether it is right more often than by always naming the largest class, with 95% confidence."""
        return self.interval[0] > self.largest_class[1]

    @property
    def balanced_interval(self) -> tuple[float, float]:
        """Between which the balanced accuracy lies with 95% confidence.

        Source: Zou, Huang & Zhang 2009, Computational Statistics & Data Analysis 53(4), 1080-1085: of a mean of shares,
            from the Wilson interval of each.
        """
        counts = self.confusion.sum(1).tolist()
        held = [(int(self.confusion[label, label]), count) for label, count in enumerate(counts) if count]
        spans = [(right / count, *wilson(right, count)) for right, count in held]
        below, above = (math.hypot(*(span[0] - span[end] for span in spans)) / len(spans) for end in (1, 2))
        return max(self.balanced_accuracy - below, 0.0), min(self.balanced_accuracy + above, 1.0)

    @property
    def balanced_chance(self) -> float:
        """The balanced accuracy of always naming one class."""
        return 1 / int((self.confusion.sum(1) > 0).sum())

    @property
    def shown(self) -> list[int]:
        """The classes that tables and pictures show: all, or of very many those with an image or a prediction."""
        every = list(range(len(self.classes)))
        if len(every) <= MOST_CLASSES:
            return every
        told = self.confusion.sum(0) + self.confusion.sum(1)
        return [number for number in every if told[number]]

    def per_class(self) -> list[dict[str, Any]]:
        """Each class's name, images, precision and recall; None where nothing was to be divided by."""
        right = self.confusion.diagonal().tolist()
        said, true = self.confusion.sum(0).tolist(), self.confusion.sum(1).tolist()
        return [
            {
                "class": name,
                self.noun: true[index],
                "precision": right[index] / said[index] if said[index] else None,
                "recall": right[index] / true[index] if true[index] else None,
            }
            for index, name in enumerate(self.classes)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        low, high = self.interval
        return {
            self.noun: self.total,
            "accuracy": self.accuracy,
            "accuracy_95": [low, high],
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "largest_class": dict(zip(("class", "accuracy"), self.largest_class, strict=True)),
            "beats_largest_class": self.beats_largest_class,
            "loss": self.loss,
            "per_class": self.per_class(),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        low, high = self.interval
        yield f"accuracy {self.accuracy:.1%} (95% interval {low:.1%} to {high:.1%})"
        yield f"balanced accuracy {self.balanced_accuracy:.1%}, macro F1 {self.macro_f1:.1%}"
        largest, share = self.largest_class
        yield f"baseline: always saying {largest!r} gives {share:.1%}, balanced accuracy {self.balanced_chance:.1%}"

    def table(self) -> Table:
        """Precision, recall and confusion of each class."""
        wide = len(self.classes) <= MOST_COLUMNS
        rows, every = [], list(zip(self.per_class(), self.confusion.tolist(), strict=True))
        for row, counts in (every[number] for number in self.shown):
            shares = ("-" if row[key] is None else f"{row[key]:.1%}" for key in ("precision", "recall"))
            rows.append([row["class"], str(row[self.noun]), *shares, *(map(str, counts) if wide else ())])
        header = (
            later("class"),
            Later(self.noun),
            later("precision"),
            later("recall"),
            *(self.classes if wide else ()),
        )
        return Table(header, rows, "rows: true class; columns on the right: predicted class" if wide else None)

    def warning(self) -> str:
        """Of a model that is not better than always naming the largest class, or of examples that cannot tell."""
        (largest, share), (low, high) = self.largest_class, self.balanced_interval
        if share == 1:
            return (
                f"all {self.noun} are of the class {largest!r}, so always saying it is right, too: give {self.noun} of "
                "other classes to see whether the model tells them apart"
            )
        if self.beats_largest_class:
            return ""
        if low > self.balanced_chance:
            return (
                f"this model is not right significantly more often than always saying {largest!r}, but its balanced "
                f"accuracy is significantly higher (95% interval {low:.1%} to {high:.1%})"
            )
        return (
            f"this model is not significantly better than always saying {largest!r}: it may have learnt "
            f"nothing; more {self.noun}, more --time, or {self.other} may help"
        )

    def brief(self) -> dict[str, Any]:
        """The accuracy."""
        low, high = self.interval
        text = f"{self.accuracy:.1%} ({low:.1%} to {high:.1%})"
        return {"accuracy": self.accuracy, "accuracy_95": [low, high], "loss": self.loss, "text": text}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def evaluate(model: Model, batches: Iterable[tuple[Tensor, Tensor]], classes: tuple[str, ...]) -> Evaluation:
    """Judge a model on images that it has not learned from.

    Args:
        model: in eval mode, pixels -> (batch, classes) logits.
        batches: of pixels (batch, 3, height, width), normalised, and labels (batch,), on the model's device.
        classes: their names.
    """
    return evaluate_each({"model": model}, batches, classes)["model"]


@torch.inference_mode()
def evaluate_each(
    models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]], classes: tuple[str, ...]
) -> dict[str, Evaluation]:
    """Judge several models on the same images, which are gone through once.

    Args:
        models: by name; as in `evaluate`.
        batches, classes: as in `evaluate`.
    """
    confusions = {name: torch.zeros(len(classes), len(classes), dtype=torch.int64) for name in models}
    losses = dict.fromkeys(models, 0.0)
    for pixels, labels in batches:
        for name, model in models.items():
            logits = model(pixels).float()
            losses[name] += float(F.cross_entropy(logits, labels, reduction="sum"))
            confusions[name] += count_confusions(logits.argmax(-1), labels, len(classes)).cpu()
    return {
        name: Evaluation(classes, counts, losses[name] / max(int(counts.sum()), 1))
        for name, counts in confusions.items()
    }


def count_confusions(said: Tensor, labels: Tensor, classes: int) -> Tensor:
    """How many of each true class (row) were taken for which (column).

    Args:
        said, labels: (rows,), numbers of classes.
        classes: how many there are.
    Returns:
        (classes, classes), whole numbers.

    >>> count_confusions(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    return torch.bincount(labels * classes + said, minlength=classes**2).view(classes, classes)
