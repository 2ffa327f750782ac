"""What classifiers in training share, whatever they classify: how they are judged, and which parts are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from torch import Tensor, nn
from torchmetrics import Metric

from jumok.tasks.running.layers import number_layers
from jumok.tasks.running.optimiser import group_parameters
from jumok.tasks.running.training_module import TrainingModule
from jumok.tasks.running.tuning_settings import TuningTraining

__all__ = ["Answers", "ClassTraining"]


class Answers(Protocol):
    """What a model answers, and how that is judged."""

    @property
    def figure_names(self) -> tuple[str, ...]:
        """Of a validation, the loss first."""

    def make_meter(self, name: str) -> Metric:
        """What adds up a figure of a validation."""

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """What is minimised, a scalar."""

    def judge(self, outputs: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """What each figure's meter is given for a batch of a validation."""

    def goodness(self, figures: Mapping[str, float]) -> tuple[float, ...]:
        """How good a validation was: the larger, the better."""

    def slack(self, best: float, judged: int, /) -> float | None:
        """By how much later weights may be worse than the best and still be kept; None: they must be better."""

    def is_perfect(self, figures: Mapping[str, float]) -> bool:
        """Whether a validation found no error."""


class ClassTraining(TrainingModule):
    """A model in training of which parts may be frozen, judged by the kind of its answers.

    Args:
        model: what is trained.
        kind: what it answers.
        figures: further figures of a validation.
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
        options: of the class that stands beside this one.
    """

    training_config: TuningTraining
    kind: Answers

    def __init__(
        self,
        model: nn.Module,
        *,
        kind: Answers,
        figures: tuple[str, ...] = (),
        training: TuningTraining,
        steps: int,
        **options: Any,
    ) -> None:
        self.figure_names = (*kind.figure_names, *figures)
        self.kind = kind
        super().__init__(model, training=training, steps=steps, **options)
        self.frozen: list[nn.Module] = []

    def make_meter(self, name: str) -> Metric:
        return self.kind.make_meter(name)

    def answer_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch, its targets smoothed."""
        return self.kind.loss(outputs.float(), targets, self.training_config.label_smoothing)

    def note_answers(self, outputs: Tensor, labels: Tensor) -> None:
        """Add a batch to the figures of a validation."""
        for name, values in self.kind.judge(outputs.float(), labels).items():
            self.note(name, *values)

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
        return self.kind.goodness(figures)

    def has_no_error(self, figures: Mapping[str, float]) -> bool:
        return self.kind.is_perfect(figures)

    def keeps(self, figures: dict[str, float], before: Sequence[dict[str, float]]) -> bool:
        """Later weights are kept unless they are clearly worse, where the kind of answer tells what that is.

        While the learning rate falls, weights get better by more than a validation of a few examples can tell. So the
        best validation is often a lucky one, and later weights replace earlier ones unless they lie more than a
        standard error below the best.
        """
        if not before or not self.judged_on:
            return super().keeps(figures, before)
        best, own = (max(self.goodness(row)[0] for row in rows) for rows in (before, [figures]))
        slack = self.kind.slack(best, self.judged_on)
        return super().keeps(figures, before) if slack is None else own >= best - slack
