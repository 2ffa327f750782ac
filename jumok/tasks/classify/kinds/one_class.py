"""One class for each image: cross-entropy, accuracy, and always naming the largest class."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.tasks.classify.kinds.kind import AnswerKind, Choice, Figures, Model, Report, Said
from jumok.tasks.classify.settings import ImageTraining, RunConfig
from jumok.tasks.running.class_figures import ClassFigures
from jumok.tasks.running.tuning_settings import settle_balance
from jumok.wording import describe_names, join_names, write_percent

if TYPE_CHECKING:
    from jumok.data.images.image_set import ImageSet

__all__ = ["OneClass"]


class OneClass(ClassFigures, AnswerKind):
    """One class for each image; see `ClassFigures` for what it is made with."""

    name = "class"
    of_systems_with_own_loss = True
    least_outputs = 2
    figure = "probability"
    noun = "images"
    may_help = "a larger --image-size, or a pretrained model"

    @classmethod
    def of(cls, config: RunConfig, folder: Path | None = None) -> Self:
        found = config.found
        return cls(found.classes, found.per_class, uneven=config.uneven, balance=config.training.balance)

    # -- from the data ----------------------------------------------------------------------------

    @classmethod
    def settle(cls, training: ImageTraining, images: ImageSet, asked: Collection[str]) -> Choice:
        if training.balance != "auto":
            return Choice({}, [])
        balance, told = settle_balance(images.classes, [*images.counts().values()], "images")
        return Choice({"balance": balance}, told)

    @classmethod
    def sort_out(cls, images: ImageSet) -> list[int]:
        return list(images.labels)

    # -- training ---------------------------------------------------------------------------------

    def encode(self, labels: Sequence[Any]) -> Tensor:
        return torch.tensor(labels)

    def to_targets(self, labels: Tensor) -> Tensor:
        return F.one_hot(labels, len(self.names)).float()

    # -- answers ----------------------------------------------------------------------------------

    def read(self, outputs: Tensor) -> Tensor:
        return outputs.float().softmax(-1)

    def say(self, values: Sequence[float]) -> Said:
        best = sorted(zip(self.names, values, strict=True), key=lambda pair: -pair[1])
        predicted, share = best[0]
        return Said(predicted, f"{predicted} {write_percent(share, 1)}", share, best)

    # -- judging ----------------------------------------------------------------------------------

    def evaluate(self, models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]]) -> Mapping[str, Report]:
        from jumok.tasks.classify.kinds.class_scores import evaluate_each

        return evaluate_each(models, batches, self.names)

    # -- words ------------------------------------------------------------------------------------

    def summary(self) -> str:
        return describe_names(self.names, "class", "classes")

    def describe(self) -> str:
        return f"of {len(self.names)} classes"

    def reached(self, best: Figures, labels: Tensor) -> str:
        return self.describe_reached(best)

    def shortfall(self, best: Figures, labels: Tensor) -> str:
        return self.describe_shortfall(best)

    def purpose(self, size: str) -> str:
        return f"classifies images of {size} pixels as {join_names(self.names, 'or')}"

    def card_figures(self, best: Figures) -> dict[str, str]:
        return {"validation accuracy": f"{best['val_accuracy']:.4f}", "validation loss": f"{best['val_loss']:.4f}"}
