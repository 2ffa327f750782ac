"""A number for each image: what is learnt is standardised, and held against always saying the median."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.errors import JumokError
from jumok.intervals import NORMAL_95
from jumok.tasks.classify.kinds.kind import AnswerKind, Choice, Figures, Model, Report, Said, read_all
from jumok.tasks.classify.settings import ImageTraining, RunConfig, Scale
from jumok.tasks.prediction import Prediction
from jumok.wording import write_count

if TYPE_CHECKING:
    from jumok.data.images.image_set import ImageSet

__all__ = ["OneNumber"]

RANGES = 4
"""In so many ranges of their numbers, images count as alike."""
LAST_PLACES = 4e-3
"""By a tolerance of 1e-4, so many times the number allow for about 7 units in its last place."""
LARGEST = 1e30
"""Numbers beyond are none that single precision can hold beside others."""


class OneNumber(AnswerKind):
    """A number for each image.

    Args:
        names: of the number.
        scale: of the training images' numbers.
    """

    name = "number"
    are_shares = False
    answer_type = float
    measured = "the number, in standard deviations"
    usual: ClassVar[Mapping[str, Any]] = {"augment": False, "mixup": 0.0, "label_smoothing": 0.0}
    figure_names = ("val_loss", "val_mae")

    def __init__(self, names: tuple[str, ...], scale: Scale) -> None:
        super().__init__(names)
        self.scale = scale

    @classmethod
    def of(cls, config: RunConfig, folder: Path | None = None) -> Self:
        if config.found.target is None:
            raise JumokError("config.yaml lacks found.target, the scale of the numbers: restore it, or train anew")
        return cls(config.found.classes, config.found.target)

    # -- from the data ----------------------------------------------------------------------------

    @classmethod
    def find(cls, sets: Mapping[str, ImageSet]) -> dict[str, Any]:
        numbers = np.array(sets["train"].labels, np.float64)
        if np.abs(numbers).max() > LARGEST:
            raise JumokError(f"a label is {np.abs(numbers).max():.3g}: give numbers of at most {LARGEST:g}")
        spread = float(numbers.std())
        if not spread > 1e-7 * float(np.abs(numbers).max()):
            raise JumokError(f"the numbers of the training images hardly differ ({numbers[0]:.9g}): nothing to learn")
        return {
            "target": Scale(
                mean=float(numbers.mean()),
                std=spread,
                median=float(np.median(numbers)),
                low=float(numbers.min()),
                high=float(numbers.max()),
            )
        }

    @classmethod
    def settle(cls, training: ImageTraining, images: ImageSet, asked: Collection[str]) -> Choice:
        if training.balance not in ("auto", "none"):
            raise JumokError(f"--balance {training.balance} needs classes, and these images have numbers: leave it out")
        if training.label_smoothing and "label_smoothing" in asked:
            raise JumokError("--label-smoothing needs classes, and these images have numbers: leave it out")
        settings = {name: value for name, value in cls.usual.items() if name not in asked}
        told = ["images are not turned, scaled or lit otherwise, which may change their number; --augment does it"]
        return Choice({**settings, "balance": "none"}, told if "augment" in settings else [])

    @classmethod
    def sort_out(cls, images: ImageSet) -> list[int]:
        edges = np.quantile(images.labels, np.linspace(0, 1, RANGES + 1)[1:-1])
        found: list[int] = np.searchsorted(edges, images.labels).tolist()
        return found

    # -- training ---------------------------------------------------------------------------------

    def encode(self, labels: Sequence[Any]) -> Tensor:
        """Standardised, so that no large mean takes the place of digits that matter."""
        return ((torch.tensor(labels, dtype=torch.float64) - self.scale.mean) / self.scale.std).float()

    def to_targets(self, labels: Tensor) -> Tensor:
        return labels[:, None]

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Huber's: squares of small errors, so that few large ones do not rule."""
        return F.smooth_l1_loss(outputs, targets)

    def judge(self, outputs: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, ...]]:
        wanted = self.to_targets(labels)
        loss = F.smooth_l1_loss(outputs, wanted, reduction="none")[:, 0]
        return {"val_loss": (loss,), "val_mae": ((outputs - wanted).abs()[:, 0] * self.scale.std,)}

    def goodness(self, figures: Figures) -> tuple[float, ...]:
        return -figures["val_mae"], -figures["val_loss"]

    # -- answers ----------------------------------------------------------------------------------

    def read(self, outputs: Tensor) -> Tensor:
        return outputs.detach().cpu().double() * self.scale.std + self.scale.mean

    def say(self, values: Sequence[float]) -> Said:
        number = float(f"{values[0]:.7g}")
        text = f"{number:.4g}"
        return Said(number, text, None, (), text)

    def predict(self, values: Sequence[float]) -> Prediction:
        answer = super().predict(values)
        return replace(answer, number=float(answer.label))

    def measure_by(self, outputs: Tensor) -> Tensor:
        """The number, in standard deviations of the training images' numbers."""
        return outputs.float()

    def make_answering(self, model: nn.Module) -> tuple[nn.Module, str]:
        return _Answering(model, self.scale), "number"

    @property
    def unit(self) -> float:
        """A standard deviation, and some units in the last place of numbers far from 0."""
        return self.scale.std + LAST_PLACES * abs(self.scale.mean)

    def facts(self) -> dict[str, Any]:
        return {"answer": self.name, "trained_on": self.scale.model_dump()}

    # -- judging ----------------------------------------------------------------------------------

    def evaluate(self, models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]]) -> Mapping[str, Report]:
        from jumok.tasks.classify.kinds.number_scores import NumberReport

        values, labels = read_all(self, models, batches)
        true = self.read(labels).numpy()
        return {name: NumberReport(found[:, 0].numpy(), true, self.scale.median) for name, found in values.items()}

    # -- words ------------------------------------------------------------------------------------

    def summary(self) -> str:
        return f"a number, from {self.scale.low:.4g} to {self.scale.high:.4g} in training"

    def describe(self) -> str:
        return f"with numbers from {self.scale.low:.4g} to {self.scale.high:.4g}"

    def reached(self, best: Figures, labels: Tensor) -> str:
        return (
            f"mean absolute error {best['val_mae']:.4g} on {write_count(len(labels), 'validation image')}; always "
            f"saying the median, {self.scale.median:.4g}, gives {float(self._guess(labels).mean()):.4g}"
        )

    def shortfall(self, best: Figures, labels: Tensor) -> str:
        guess = self._guess(labels)
        error = float(guess.std()) / math.sqrt(len(labels)) if len(labels) > 1 else 0.0
        if best["val_mae"] < float(guess.mean()) - NORMAL_95 * error:
            return ""
        return (
            f"this model is not significantly better than always saying the median, {self.scale.median:.4g}. What may "
            "help: more images, more --time, a larger --image-size, or a pretrained model"
        )

    def _guess(self, labels: Tensor) -> Tensor:
        """(images,), the absolute errors of always saying the median."""
        return (self.read(labels) - self.scale.median).abs()

    def purpose(self, size: str) -> str:
        return (
            f"gives a number for images of {size} pixels; it was trained on numbers from {self.scale.low:.4g} to "
            f"{self.scale.high:.4g}"
        )

    def card_figures(self, best: Figures) -> dict[str, str]:
        return {
            "answers": "a number for each image, in the unit of the table",
            "validation mean absolute error": f"{best['val_mae']:.6g}",
            "validation loss": f"{best['val_loss']:.4f}",
        }


class _Answering(nn.Module):
    """A network that gives the number in place of the standardised one.

    Args:
        model: (batch, ...) -> (batch, 1), alone or first of several.
        scale: of the numbers.
    """

    def __init__(self, model: nn.Module, scale: Scale) -> None:
        super().__init__()
        self.model, self._mean, self._std = model, scale.mean, scale.std

    def forward(self, pixels: Tensor) -> Any:
        said = self.model(pixels)
        output, *more = said if isinstance(said, tuple) else (said,)
        number = output * self._std + self._mean
        return (number, *more) if more else number
