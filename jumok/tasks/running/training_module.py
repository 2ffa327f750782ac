"""What all training modules share: reproducible randomness, the optimiser, the learning rate, the figures."""

from __future__ import annotations

import hashlib
import math
import random
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from jumok.tasks.running.config import Training


class TrainingModule(LightningModule):
    """A model in training. A task gives the loss of a batch and adds up the figures of its validation.

    Every random number of a step comes from the seed, the step's number and the process's rank. So a run that was
    stopped after any step goes on as if nothing had happened, with no generator's state to keep.

    Args:
        model: what is trained.
        training: the settings.
        steps: of the whole training, for the learning rate's schedule.
    """

    figure_names: tuple[str, ...]
    """The figures of a validation, in the order in which they are shown."""

    def __init__(self, model: nn.Module, *, training: Training, steps: int) -> None:
        super().__init__()
        self.model, self.training_config, self.steps = model, training, steps
        self.figures: dict[str, float] = {}
        self.means = nn.ModuleDict({name: MeanMetric() for name in self.figure_names})

    @property
    def size(self) -> int:
        """How many numbers the model learns."""
        return sum(value.numel() for value in self.model.parameters())

    @abstractmethod
    def goodness(self, figures: dict[str, float]) -> tuple[float, ...]:
        """What decides which epoch's weights are kept: the larger, the better."""

    @abstractmethod
    def count(self, batch: Any) -> int:
        """How much a batch is, in `unit`s."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """What is minimised, for one batch."""

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The loss of a batch, with randomness of its own."""
        seed_everything(self.training_config.seed, self.global_step, self.global_rank)
        return self.loss(batch)

    def note(self, name: str, value: Tensor) -> None:
        """Add a batch's values, or what they come to, to a figure's mean."""
        self._mean(name).update(value)

    def _mean(self, name: str) -> MeanMetric:
        mean = self.means[name]
        assert isinstance(mean, MeanMetric)
        return mean

    def on_validation_epoch_end(self) -> None:
        """Take the figures over all processes."""
        for name in self.figure_names:
            mean = self._mean(name)
            self.figures[name] = round(float(mean.compute()), 7)
            mean.reset()

    def configure_optimizers(self) -> Any:
        """AdamW that decays matrices only, with a learning rate that rises in a line and falls in a cosine."""
        settings = self.training_config
        fused = settings.precision == "32" and self.device.type in ("cpu", "cuda")
        groups = group_parameters(self.model, settings.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=settings.lr, fused=fused)
        schedule = LambdaLR(optimizer, lambda step: rate(step, self.steps, settings.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def seed_everything(*parts: int) -> None:
    """Seed the generators of torch (every device), numpy and Python."""
    seed = mix_seed(*parts)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def group_parameters(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
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


def mix_seed(*parts: int | str) -> int:
    """One 63-bit seed out of several numbers and names, well stirred.

    >>> mix_seed(0, 1) == mix_seed(0, 1), mix_seed(0, 1) == mix_seed(1, 0)
    (True, False)
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
