"""How well a trained classifier tells its classes apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_confusion_matrix

from jumok.data.images.batches import Batches, PixelStore
from jumok.data.images.folders import ImageSet
from jumok.intervals import wilson


@dataclass(frozen=True)
class Evaluation:
    """How well a model tells classes apart.

    Args:
        classes: their names.
        confusion: (classes, classes), images of each true class (row) by predicted class (column).
        loss: mean cross-entropy, in nats.
        noun: what was judged, as figures call them.
    """

    classes: tuple[str, ...]
    confusion: Tensor
    loss: float
    noun: str = "images"

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
        """Between which the accuracy lies with 95 % confidence."""
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
        """Whether it is right more often than by always naming the largest class, with 95 % confidence."""
        return self.interval[0] > self.largest_class[1]

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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@runtime_checkable
class Controlled(Protocol):
    """A model whose accuracy says little by itself, such as one that chooses where to look."""

    def controls(self) -> dict[str, nn.Module]:
        """The same weights put to use in another way, by name: what the accuracy is to be held against."""


class Judged(Protocol):
    """A classifier that knows what is done to its images."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its images."""

    @property
    def bits(self) -> int | None:
        """That 16-bit grey images use; None: what each image's values need."""

    def normalise(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) uint8 to what it takes, on its device."""


def read_batches(run: Judged, images: ImageSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches that a run is judged on: normalised pixels and labels, on its device; each image is read once."""
    store = PixelStore(images.paths, *run.size, bits=run.bits, memory_limit=0)
    for batch in Batches(store, torch.tensor(images.labels), batch_size=size, shuffle=False, drop_last=False):
        pixels = run.normalise(batch.images)
        yield pixels, batch.labels.to(pixels.device)


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], classes: tuple[str, ...]) -> Evaluation:
    """Judge a model on images that it has not learned from.

    Args:
        model: in eval mode, pixels -> (batch, classes) logits.
        batches: of pixels (batch, 3, height, width), normalised, and labels (batch,), on the model's device.
        classes: their names.
    """
    return evaluate_each({"model": model}, batches, classes)["model"]


@torch.inference_mode()
def evaluate_each(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    batches: Iterable[tuple[Tensor, Tensor]],
    classes: tuple[str, ...],
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
            said = multiclass_confusion_matrix(logits.argmax(-1), labels, num_classes=len(classes))
            confusions[name] += said.cpu()
    return {
        name: Evaluation(classes, counts, losses[name] / max(int(counts.sum()), 1))
        for name, counts in confusions.items()
    }


def controls_of(model: nn.Module) -> dict[str, nn.Module]:
    """What a model's accuracy is to be held against; for most models, nothing."""
    return {name: control.eval() for name, control in model.controls().items()} if isinstance(model, Controlled) else {}
