"""A model of images in training: its loss and the figures of its validation, which its kind of answer gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from jumok.data.images.batches import Batch
from jumok.machine import World
from jumok.tasks.classify.augment import Augmentation, Draw
from jumok.tasks.classify.kinds import AnswerKind, kind_of
from jumok.tasks.classify.own_training import OwnFigures, OwnLoss
from jumok.tasks.classify.run import build_model
from jumok.tasks.classify.settings import ImageTraining, RunConfig
from jumok.tasks.image_training import ImageTrainingModule
from jumok.tasks.preprocessing import normalise, to_unit
from jumok.tasks.running.class_training import ClassTraining
from jumok.tasks.running.training_module import seed_everything


class Classifier(ClassTraining, ImageTrainingModule):
    """A model of images, in training.

    Args:
        model: (batch, 3, height, width) float, normalised -> (batch, outputs): logits, or a standardised number.
        kind: what it answers.
        mean, std: (3,) each, of the training images' channels, for pixels in [0, 1].
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    training_config: ImageTraining
    kind: AnswerKind

    def __init__(
        self, model: nn.Module, *, kind: AnswerKind, mean: Tensor, std: Tensor, training: ImageTraining, steps: int
    ) -> None:
        own = model.own_figures if isinstance(model, OwnFigures) else ()
        figures = tuple(f"val_{name}" for name in own)
        super().__init__(model, kind=kind, figures=figures, mean=mean, std=std, training=training, steps=steps)
        self.augmentation = Augmentation(
            training.augment, training.flips, training.mixup, strength=training.augment_strength
        )

    def count(self, batch: Batch) -> int:
        return len(batch.labels)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixels)
        return logits

    def loss(self, batch: Batch) -> Tensor:
        """The loss of augmented, mixed images, their targets smoothed."""
        pixels, targets = self.vary(batch)
        if isinstance(self.model, OwnLoss):
            smoothing = self.training_config.label_smoothing
            return self.model.loss(pixels, targets + smoothing * (1 / targets.shape[1] - targets))
        return self.answer_loss(self(pixels), targets)

    def vary(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the model is given in training, and (batch, outputs) targets."""
        targets = self.kind.to_targets(batch.labels)
        images, targets = self.augmentation(to_unit(batch.images), targets, self._draw(len(batch.labels)))
        return normalise(images, self.mean, self.std), targets

    def validation_step(self, batch: Batch, _: int) -> None:
        pixels = self.normalise(batch.images)
        self.note_answers(self(pixels), batch.labels)
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
