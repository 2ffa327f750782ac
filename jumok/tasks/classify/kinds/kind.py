"""What a kind of answer has: a loss, figures, the meaning of outputs, words, and something to be held against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from jumok.data.images.label_cells import Kind
from jumok.tasks.prediction import Prediction

if TYPE_CHECKING:
    from torchmetrics import Metric

    from jumok.data.images.image_set import ImageSet
    from jumok.tasks.classify.settings import ImageTraining, RunConfig

__all__ = ["AnswerKind", "Choice", "Report", "Said", "Table"]

Figures = Mapping[str, float]
Model = Callable[[Tensor], Tensor]
"""In eval mode, pixels -> (batch, outputs)."""


class Choice(NamedTuple):
    """Settings of the training, and what to say of them."""

    settings: dict[str, Any]
    remarks: list[str]


class Said(NamedTuple):
    """What a model says of one image.

    Args:
        answer: the class, the labels with bars between them, or the number.
        text: the same for people, with its probability.
        share: the probability of the class or of the most probable label; None of a number.
        best: classes or labels with their probabilities, the most probable first; empty of a number.
        note: the answer, where the most probable class does not tell it.
    """

    answer: str | float
    text: str
    share: float | None
    best: Sequence[tuple[str, float]]
    note: str = ""


class Table(NamedTuple):
    """Figures of each class or label: a heading, and cells, for each column; a line below."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str | None = None


class Report(Protocol):
    """How good a model's answers are."""

    @property
    def total(self) -> int:
        """How many were judged."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""

    def lines(self) -> Iterator[str]:
        """The main figures with their intervals, and what they are held against."""

    def table(self) -> Table | None:
        """The figures of each class or label; None where there is nothing of the kind."""

    def warning(self) -> str:
        """What to say of a model that is not better than what it is held against; else empty."""

    def brief(self) -> dict[str, Any]:
        """What is kept of the same weights put to use in another way: plain values, and as `text` a few words."""


class AnswerKind(ABC):
    """What a model of images answers.

    Args:
        names: of its outputs: classes, labels, or of the number.
    """

    name: ClassVar[Kind]
    usual: ClassVar[Mapping[str, Any]] = {}
    """Settings of the training that this kind has unless others are asked for."""
    of_systems_with_own_loss: ClassVar[bool] = False
    """Whether systems that bring a loss of their own can learn it."""
    least_outputs: ClassVar[int] = 1
    """Fewer say nothing."""
    answer_type: ClassVar[type] = str
    figure: ClassVar[str | None] = None
    """What an answer's `share` is called; None where it is that of no whole answer."""
    are_shares: ClassVar[bool] = True
    """Whether values are probabilities, from 0 to 1."""
    names: tuple[str, ...]

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    # -- from the data ----------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def of(cls, config: RunConfig, folder: Path | None = None) -> Self:
        """That of a run; see `kind_of`."""

    @classmethod
    def find(cls, sets: Mapping[str, ImageSet]) -> dict[str, Any]:
        """What a run records of the labels of its three parts, as fields of `Found`.

        Raises:
            JumokError: nothing can be learnt from them.
        """
        return {"per_class": {part: tuple(images.counts().values()) for part, images in sets.items()}}

    @classmethod
    def settle(cls, training: ImageTraining, images: ImageSet, asked: Collection[str]) -> Choice:
        """What follows for the training from the labels of its images.

        Args:
            training: as asked for.
            images: of the training.
            asked: names of the settings that were given.
        Raises:
            JumokError: a setting that this kind has no use for.
        """
        return Choice({}, [])

    @classmethod
    @abstractmethod
    def sort_out(cls, images: ImageSet) -> list[int]:
        """Of each image, a number that it shares with those that are alike by their labels, for a test of mirroring."""

    # -- training ---------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, labels: Sequence[Any]) -> Tensor:
        """Labels as batches carry them, (n, ...), from those of an `ImageSet`."""

    @abstractmethod
    def to_targets(self, labels: Tensor) -> Tensor:
        """What the outputs are held against, (n, outputs) float, from encoded labels."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """What is minimised, a scalar, from outputs and targets (n, outputs)."""

    figure_names: tuple[str, ...]
    """Of a validation, the loss first."""

    def make_meter(self, name: str) -> Metric:
        """What adds up a figure of a validation: its mean over images."""
        from torchmetrics import MeanMetric

        return MeanMetric()

    @abstractmethod
    def judge(self, outputs: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """What each figure's meter is given for a batch of a validation."""

    @abstractmethod
    def goodness(self, figures: Figures) -> tuple[float, ...]:
        """How good a validation was: the larger, the better."""

    def slack(self, best: float, images: int) -> float | None:
        """By how much later weights may be worse than the best and still be kept; None: they must be better.

        Args:
            best: the first number of the best `goodness`.
            images: of the validation.
        """
        return None

    def is_perfect(self, figures: Figures) -> bool:
        """Whether a validation found no error."""
        return False

    def settle_answers(self, values: Tensor, labels: Tensor, folder: Path) -> list[str]:
        """Settle, on the validation, what a model needs beside its weights to answer, and keep it in the run.

        Args:
            values: as `read` gives them, of the weights that were kept.
            labels: as batches carry them.
            folder: of the run.
        Returns:
            what to say of it.
        """
        return []

    settles_answers: ClassVar[bool] = False
    """Whether `settle_answers` has anything to do."""

    # -- answers ----------------------------------------------------------------------------------

    @abstractmethod
    def read(self, outputs: Tensor) -> Tensor:
        """What outputs (n, outputs) mean, (n, outputs): probabilities, or numbers in the unit of the table."""

    @abstractmethod
    def say(self, values: Sequence[float]) -> Said:
        """What the values (outputs,) of one image come to."""

    def predict(self, values: Sequence[float]) -> Prediction:
        """The same for Python."""
        said = self.say(values)
        return Prediction(str(said.answer), said.share, dict(said.best))

    def measure_by(self, outputs: Tensor) -> Tensor:
        """What is watched while parts of an image are taken away, (n, outputs): probabilities."""
        return self.read(outputs)

    measured: ClassVar[str] = ""
    """What `measure_by` gives, in words, where it is no probability."""

    def make_answering(self, model: nn.Module) -> tuple[nn.Module, str]:
        """A module that gives what an exported graph gives in place of outputs, and what that is called."""
        return model, "logits"

    @property
    def unit(self) -> float:
        """What counts as 1 when an exported graph's answers are compared with the model's."""
        return 1.0

    def facts(self) -> dict[str, Any]:
        """What whoever calls an exported graph must know of its answers."""
        return {"answer": self.name, "classes": list(self.names)}

    # -- judging ----------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(self, models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]]) -> Mapping[str, Report]:
        """Judge several models on the same images, which are gone through once.

        Args:
            models: by name; in eval mode, pixels -> (batch, outputs).
            batches: of pixels (batch, 3, height, width), normalised, and encoded labels, on the models' device.
        """

    # -- words ------------------------------------------------------------------------------------

    @abstractmethod
    def summary(self) -> str:
        """What it answers, in a few words."""

    @abstractmethod
    def describe(self) -> str:
        """What the images of the data are labelled with: "of 3 classes"."""

    @abstractmethod
    def reached(self, best: Figures, labels: Tensor) -> str:
        """How good the kept weights are on the validation, and what it is held against; labels are encoded."""

    @abstractmethod
    def shortfall(self, best: Figures, labels: Tensor) -> str:
        """What to say of weights that are not significantly better than what they are held against; else empty."""

    @abstractmethod
    def purpose(self, size: str) -> str:
        """What a model does with images of a size, after "that": "classifies images of ..."."""

    @abstractmethod
    def card_figures(self, best: Figures) -> dict[str, str]:
        """The figures of the kept weights for the run's card."""


def read_all(
    kind: AnswerKind, models: Mapping[str, Model], batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[dict[str, Tensor], Tensor]:
    """What several models say of the same images, (images, outputs) by model, and the labels of these.

    Args:
        kind: of the models.
        models, batches: as for `AnswerKind.evaluate`.
    """
    values: dict[str, list[Tensor]] = {name: [] for name in models}
    every: list[Tensor] = []
    with torch.inference_mode():
        for pixels, labels in batches:
            every.append(labels.cpu())
            for name, model in models.items():
                values[name].append(kind.read(model(pixels)).cpu())
    return {name: torch.cat(found) for name, found in values.items()}, torch.cat(every)
