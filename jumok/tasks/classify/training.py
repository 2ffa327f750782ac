"""A classifier in training: its loss and the figures of its validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jumok.data.images.batches import Batch
from jumok.machine import World
from jumok.tasks.classify.augment import Augmentation, Draw
from jumok.tasks.classify.layers import number_layers
from jumok.tasks.classify.own_training import OwnFigures, OwnLoss
from jumok.tasks.classify.run import build_model
from jumok.tasks.classify.settings import ImageTraining, RunConfig
from jumok.tasks.image_training import ImageTrainingModule
from jumok.tasks.preprocessing import normalise, to_unit
from jumok.tasks.running.optimiser import group_parameters
from jumok.tasks.running.training_module import seed_everything

BALANCED = "val_balanced_accuracy"
"""The mean over classes of the share of their images that is named rightly."""


class Classifier(ImageTrainingModule):
    """A model that gives class scores, in training.

    Args:
        model: (batch, 3, height, width) float, normalised -> (batch, classes) logits.
        classes: how many there are.
        counts: images of each class, by part; empty: classes count as even.
        mean, std: (3,) each, of the training images' channels, for pixels in [0, 1].
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    training_config: ImageTraining

    def __init__(
        self,
        model: nn.Module,
        *,
        classes: int,
        counts: Mapping[str, Sequence[int]] | None = None,
        mean: Tensor,
        std: Tensor,
        training: ImageTraining,
        steps: int,
    ) -> None:
        own = model.own_figures if isinstance(model, OwnFigures) else ()
        balanced = (BALANCED,) if counts else ()
        self.figure_names = (*Classifier.figure_names, *balanced, *(f"val_{name}" for name in own))
        super().__init__(model, mean=mean, std=std, training=training, steps=steps)
        self.classes = classes
        self.frozen: list[nn.Module] = []
        self.augmentation = Augmentation(
            training.augment, training.flips, training.mixup, strength=training.augment_strength
        )
        self.weights, self.shares = _weigh_classes(counts, training.balance)

    def count(self, batch: Batch) -> int:
        return len(batch.labels)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixels)
        return logits

    def loss(self, batch: Batch) -> Tensor:
        """The smoothed cross-entropy of augmented, mixed images."""
        pixels, targets = self.vary(batch)
        smoothing = self.training_config.label_smoothing
        if isinstance(self.model, OwnLoss):
            return self.model.loss(pixels, targets + smoothing * (1 / self.classes - targets))
        weights = None if self.weights is None else self.weights.to(pixels)
        return F.cross_entropy(self(pixels).float(), targets, weights, label_smoothing=smoothing)

    def vary(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the model is given in training, and (batch, classes) targets."""
        images, targets = self.augmentation(
            to_unit(batch.images), batch.labels, self.classes, self._draw(len(batch.labels))
        )
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
        """The more right answers the better, each class counting alike; of the same number, the surer."""
        return figures.get(BALANCED, figures["val_accuracy"]), -figures["val_loss"]

    def keeps(self, figures: dict[str, float], before: Sequence[dict[str, float]]) -> bool:
        """Later weights are kept unless they are clearly worse.

        While the learning rate falls, weights get better by more than a validation of a few images can tell. So the
        best validation is often a lucky one, and later weights replace earlier ones unless they lie more than a
        standard error below the best.
        """
        if not before or not self.judged_on:
            return super().keeps(figures, before)
        best, own = (max(self.goodness(row)[0] for row in rows) for rows in (before, [figures]))
        return own >= best - math.sqrt(best * (1 - best) / self.judged_on)

    def validation_step(self, batch: Batch, _: int) -> None:
        pixels = self.normalise(batch.images)
        logits = self(pixels).float()
        self.note("val_loss", F.cross_entropy(logits, batch.labels, reduction="none"))
        right = (logits.argmax(-1) == batch.labels).float()
        self.note("val_accuracy", right)
        if self.shares is not None:
            self.note(BALANCED, right * self.shares.to(right)[batch.labels])
        if isinstance(self.model, OwnFigures):
            for name, values in self.model.figures(pixels).items():
                self.note(f"val_{name}", values)

    def _draw(self, mine: int) -> Draw:
        """Random numbers of the step for the images of this process, an equal share of the whole batch."""
        world, rank = World.found().size, self.global_rank
        seed, step = self.training_config.seed, self.global_step
        return Draw(seed, step, mine * world, mine * rank, mine * (rank + 1), self.device)


def _weigh_classes(counts: Mapping[str, Sequence[int]] | None, balance: str) -> tuple[Tensor | None, Tensor | None]:
    """How much an image of each class counts in the loss, and in the balanced accuracy; None: all alike."""
    if not counts:
        return None, None
    train, val = (torch.tensor(counts[part], dtype=torch.float32) for part in ("train", "val"))
    present = (val > 0).sum()
    shares = torch.where(val > 0, val.sum() / (present * val.clamp_min(1)), 0.0)
    return (train.sum() / (len(train) * train) if balance == "weights" else None), shares


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
        "classes": len(config.found.classes),
        "counts": config.found.per_class if config.uneven else None,
        "mean": torch.tensor(config.found.mean),
        "std": torch.tensor(config.found.std),
        "training": config.training,
        "steps": steps,
    }
