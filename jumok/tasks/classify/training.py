"""A model of images in training: its loss and the figures of its validation, which its kind of answer gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from jumok.data.images.batches import Batch
from jumok.machine import World
from jumok.tasks.classify.augment import Augmentation, Draw
from jumok.tasks.classify.kinds import AnswerKind, kind_of
from jumok.tasks.classify.layers import number_layers
from jumok.tasks.classify.own_training import OwnFigures, OwnLoss
from jumok.tasks.classify.run import build_model
from jumok.tasks.classify.settings import ImageTraining, RunConfig
from jumok.tasks.image_training import ImageTrainingModule
from jumok.tasks.preprocessing import normalise, to_unit
from jumok.tasks.running.optimiser import group_parameters
from jumok.tasks.running.training_module import seed_everything


class Classifier(ImageTrainingModule):
    """A model of images, in training.

    Args:
        model: (batch, 3, height, width) float, normalised -> (batch, outputs): logits, or a standardised number.
        kind: what it answers.
        mean, std: (3,) each, of the training images' channels, for pixels in [0, 1].
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    training_config: ImageTraining

    def __init__(
        self, model: nn.Module, *, kind: AnswerKind, mean: Tensor, std: Tensor, training: ImageTraining, steps: int
    ) -> None:
        own = model.own_figures if isinstance(model, OwnFigures) else ()
        self.figure_names = (*kind.figure_names, *(f"val_{name}" for name in own))
        self.kind = kind
        super().__init__(model, mean=mean, std=std, training=training, steps=steps)
        self.frozen: list[nn.Module] = []
        self.augmentation = Augmentation(
            training.augment, training.flips, training.mixup, strength=training.augment_strength
        )

    def make_meter(self, name: str) -> Metric:
        return self.kind.make_meter(name)

    def count(self, batch: Batch) -> int:
        return len(batch.labels)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixels)
        return logits

    def loss(self, batch: Batch) -> Tensor:
        """The loss of augmented, mixed images, their targets smoothed."""
        pixels, targets = self.vary(batch)
        smoothing = self.training_config.label_smoothing
        if isinstance(self.model, OwnLoss):
            return self.model.loss(pixels, targets + smoothing * (1 / targets.shape[1] - targets))
        return self.kind.loss(self(pixels).float(), targets, smoothing)

    def vary(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the model is given in training, and (batch, outputs) targets."""
        targets = self.kind.to_targets(batch.labels)
        images, targets = self.augmentation(to_unit(batch.images), targets, self._draw(len(batch.labels)))
        return normalise(images, self.mean, self.std), targets

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

        While the learning rate falls, weights get better by more than a validation of a few images can tell. So the
        best validation is often a lucky one, and later weights replace earlier ones unless they lie more than a
        standard error below the best.
        """
        if not before or not self.judged_on:
            return super().keeps(figures, before)
        best, own = (max(self.goodness(row)[0] for row in rows) for rows in (before, [figures]))
        slack = self.kind.slack(best, self.judged_on)
        return super().keeps(figures, before) if slack is None else own >= best - slack

    def validation_step(self, batch: Batch, _: int) -> None:
        pixels = self.normalise(batch.images)
        for name, values in self.kind.judge(self(pixels).float(), batch.labels).items():
            self.note(name, *values)
        if isinstance(self.model, OwnFigures):
            for name, value in self.model.figures(pixels).items():
                self.note(f"val_{name}", value)

    def _draw(self, mine: int) -> Draw:
        """Random numbers of the step for the images of this process, an equal share of the whole batch."""
        world, rank = World.found().size, self.global_rank
        seed, step = self.training_config.seed, self.global_step
        return Draw(seed, step, mine * world, mine * rank, mine * (rank + 1), self.device)


def make_classifier(config: RunConfig, *, steps: int) -> Classifier:
    """Build a run's model, with weights that the seed decides, ready to be trained.

    Raises:
        JumokError: the configuration does not make a model.
    """
    seed_everything(config.training.seed)
    return Classifier(build_model(config), **classifier_options(config, steps=steps))


def classifier_options(config: RunConfig, *, steps: int) -> dict[str, Any]:
    """What a `Classifier` is made with, beside its model."""
    return {
        "kind": kind_of(config),
        "mean": torch.tensor(config.found.mean),
        "std": torch.tensor(config.found.std),
        "training": config.training,
        "steps": steps,
    }
