"""Images to classes: the loss, the training module, and the figures of a trained model."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric
from torchmetrics.functional.classification import multiclass_confusion_matrix

from jumok.data.batches import Batch
from jumok.tasks.augment import Augmentation, Draw, mixed_seed
from jumok.tasks.config import RunConfig, TrainingConfig
from jumok.tasks.run import build_model

NORMAL_95 = 1.959963984540054
"""The normal distribution's two-sided 95 % point."""


class Classifier(LightningModule):
    """A model that gives class scores, in training.

    Every random number of a step comes from the seed, the step's number and the process's rank. So a run that was
    stopped after any step goes on as if nothing had happened, with no generator's state to keep.

    Args:
        model: (batch, 3, height, width) float, normalised -> (batch, classes) logits.
        classes: how many there are.
        mean, std: (3,) each, of the training images' channels, for pixels in [0, 1].
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    def __init__(
        self, model: nn.Module, *, classes: int, mean: Tensor, std: Tensor, training: TrainingConfig, steps: int
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.model, self.classes, self.training_config, self.steps = model, classes, training, steps
        self.augmentation = Augmentation(training.augment, training.flips, training.mixup)
        self.register_buffer("mean", mean.reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", std.reshape(3, 1, 1), persistent=False)
        self.val_loss, self.val_accuracy = MeanMetric(), MeanMetric()
        self.figures: dict[str, float] = {}

    @property
    def size(self) -> int:
        """How many numbers the model learns."""
        return sum(value.numel() for value in self.model.parameters())

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.model(pixels)
        return logits

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The smoothed cross-entropy of augmented, mixed images."""
        seed_everything(self.training_config.seed, self.global_step, self.global_rank)
        images, targets = self.augmentation(
            unit(batch.images), batch.labels, self.classes, self._draw(len(batch.labels))
        )
        return F.cross_entropy(
            self(self._normalised(images)).float(), targets, label_smoothing=self.training_config.label_smoothing
        )

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self(self._normalised(unit(batch.images))).float()
        self.val_loss.update(F.cross_entropy(logits, batch.labels, reduction="none"))
        self.val_accuracy.update((logits.argmax(-1) == batch.labels).float())

    def on_validation_epoch_end(self) -> None:
        """Take the figures over all processes."""
        for name, metric in (("val_loss", self.val_loss), ("val_accuracy", self.val_accuracy)):
            self.figures[name] = round(float(metric.compute()), 7)
            metric.reset()

    def configure_optimizers(self) -> Any:
        """AdamW that decays matrices only, with a learning rate that rises in a line and falls in a cosine."""
        settings = self.training_config
        fused = settings.precision == "32" and self.device.type in ("cpu", "cuda")
        groups = parameter_groups(self.model, settings.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=settings.lr, fused=fused)
        schedule = LambdaLR(optimizer, lambda step: rate(step, self.steps, settings.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _normalised(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def _draw(self, mine: int) -> Draw:
        """Random numbers of the step for the images of this process, an equal share of the whole batch."""
        world, rank = self.trainer.world_size, self.global_rank
        seed, step = self.training_config.seed, self.global_step
        return Draw(seed, step, mine * world, mine * rank, mine * (rank + 1), self.device)


def make_classifier(config: RunConfig, *, steps_per_epoch: int) -> Classifier:
    """Build a run's model, with weights that the seed decides, ready to be trained.

    Raises:
        JumokError: the configuration does not make a model.
    """
    training = config.training
    seed_everything(training.seed)
    return Classifier(
        build_model(config),
        classes=len(config.found.classes),
        mean=torch.tensor(config.found.mean),
        std=torch.tensor(config.found.std),
        training=training,
        steps=training.epochs * steps_per_epoch,
    )


def unit(images: Tensor) -> Tensor:
    """Pixels of uint8 as float in [0, 1]."""
    return images.to(torch.float32) / 255


def seed_everything(*parts: int) -> None:
    """Seed the generators of torch (every device), numpy and Python."""
    seed = mixed_seed(*parts)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters: weights with two or more dimensions decay; biases, norms, positions and tokens do not."""
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    decayed = [value for name, value in named if value.ndim >= 2 and name.rpartition(".")[2].endswith("weight")]
    chosen = {id(value) for value in decayed}
    kept = [value for _, value in named if id(value) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def rate(step: int, steps: int, warmup: float) -> float:
    """The learning rate of a step as a share of the highest: up in a line, down in half a cosine.

    >>> [round(rate(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rising = round(steps * warmup)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(steps - rising, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


@dataclass(frozen=True)
class Evaluation:
    """How well a model tells classes apart.

    Args:
        classes: their names.
        confusion: (classes, classes), images of each true class (row) by predicted class (column).
        loss: mean cross-entropy, in nats.
    """

    classes: tuple[str, ...]
    confusion: Tensor
    loss: float

    @property
    def images(self) -> int:
        """How many were judged."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """How many were right."""
        return int(self.confusion.diagonal().sum())

    @property
    def accuracy(self) -> float:
        """The share that was right."""
        return self.correct / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Between which the accuracy lies with 95 % confidence."""
        return wilson(self.correct, self.images)

    def per_class(self) -> list[dict[str, Any]]:
        """Each class's name, images, precision and recall; None where nothing was to be divided by."""
        right = self.confusion.diagonal().tolist()
        said, true = self.confusion.sum(0).tolist(), self.confusion.sum(1).tolist()
        return [
            {
                "class": name,
                "images": true[index],
                "precision": right[index] / said[index] if said[index] else None,
                "recall": right[index] / true[index] if true[index] else None,
            }
            for index, name in enumerate(self.classes)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        low, high = self.interval
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "accuracy_95": [low, high],
            "loss": self.loss,
            "per_class": self.per_class(),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
        }


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    >>> [round(end, 3) for end in wilson(95, 100)]
    [0.888, 0.978]

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    z2 = NORMAL_95**2
    share = hits / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = NORMAL_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], classes: tuple[str, ...]) -> Evaluation:
    """Judge a model on images that it has not learned from.

    Args:
        model: in eval mode, pixels -> (batch, classes) logits.
        batches: of pixels (batch, 3, height, width), normalised, and labels (batch,), on the model's device.
        classes: their names.
    """
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    loss = 0.0
    for pixels, labels in batches:
        logits = model(pixels).float()
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        confusion += multiclass_confusion_matrix(logits.argmax(-1), labels, num_classes=len(classes)).cpu()
    return Evaluation(classes, confusion, loss / max(int(confusion.sum()), 1))
