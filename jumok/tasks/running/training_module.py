"""What all training modules share: reproducible randomness, the optimiser, the learning rate, the figures."""

from __future__ import annotations

import hashlib
import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric, Metric

from jumok.tasks.running.config import Training
from jumok.tasks.running.optimiser import group_parameters, make_optimiser

ENOUGH_JUDGED = 400
"""Examples of a validation without an error that show, with 95% confidence, that fewer than 1% are wrong."""


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
        self.schedule_start = 0  # the step at which a lengthened run began its learning-rate schedule anew
        self.judged_on = 0  # how many examples a validation judges, where one may be free of errors
        self.figures: dict[str, float] = {}
        self.meters = nn.ModuleDict({name: self.make_meter(name) for name in self.figure_names})

    @property
    def size(self) -> int:
        """How many numbers the model learns."""
        return sum(value.numel() for value in self.model.parameters())

    def is_perfect(self, figures: Mapping[str, float]) -> bool:
        """Whether a validation of enough examples to trust it found no error."""
        return self.judged_on >= ENOUGH_JUDGED and self.has_no_error(figures)

    def has_no_error(self, figures: Mapping[str, float]) -> bool:
        """Whether a validation found no error."""
        return figures["val_accuracy"] == 1

    def make_meter(self, name: str) -> Metric:
        """What adds up a figure of a validation: its mean."""
        return MeanMetric()

    @abstractmethod
    def goodness(self, figures: dict[str, float]) -> tuple[float, ...]:
        """How good a validation was: the larger, the better."""

    def keeps(self, figures: dict[str, float], before: Sequence[dict[str, float]]) -> bool:
        """Whether the weights of an epoch are kept, in place of those kept before.

        Args:
            figures: of its validation.
            before: those of the epochs before it.
        """
        return not before or self.goodness(figures) > max(map(self.goodness, before))

    @abstractmethod
    def count(self, batch: Any) -> int:
        """How much a batch is, in `unit`s."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """What is minimised, for one batch."""

    def complete(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights of the run's model, given those that are trained here: the same, unless a part is not."""
        return weights

    def learning_groups(self) -> list[dict[str, Any]]:
        """The weights that learn, with the decay of each group and the factor on its learning rate."""
        return group_parameters(self.model, self.training_config.weight_decay)

    def training_step(self, batch: Any, _: int) -> Tensor:
        """The loss of a batch, with randomness of its own."""
        seed_everything(self.training_config.seed, self.global_step, self.global_rank)
        return self.loss(batch)

    def note(self, name: str, *values: Tensor) -> None:
        """Add a batch's values, or what they come to, to a figure."""
        self._meter(name).update(*values)

    def _meter(self, name: str) -> Metric:
        meter = self.meters[name]
        assert isinstance(meter, Metric)
        return meter

    def on_validation_epoch_end(self) -> None:
        """Take the figures over all processes."""
        for name in self.figure_names:
            meter = self._meter(name)
            self.figures[name] = round(float(meter.compute()), 7)
            meter.reset()

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule; see `running.optimiser`."""
        fused = self.training_config.precision == "32" and self.device.type in ("cpu", "cuda")
        groups = self.learning_groups()
        return make_optimiser(groups, self.training_config, self.steps, fused=fused, start=self.schedule_start)

    def begins_anew(self) -> bool:
        """Whether the next step is the first one that a finished run was lengthened by."""
        return 0 < self.schedule_start == self.global_step

    def on_train_start(self) -> None:
        """Let a lengthened run begin with its new learning rate: the checkpoint holds the last one, about 0."""
        if self.begins_anew():
            schedule = self.lr_schedulers()
            assert isinstance(schedule, LambdaLR)
            for group, base, share in zip(
                schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
            ):
                group["lr"] = base * share(self.global_step)


def seed_everything(*parts: int) -> None:
    """Seed the generators of torch (every device), numpy and Python."""
    seed = mix_seed(*parts)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def mix_seed(*parts: int | str) -> int:
    """One 63-bit seed out of several numbers and names, well stirred.

    >>> mix_seed(0, 1) == mix_seed(0, 1), mix_seed(0, 1) == mix_seed(1, 0)
    (True, False)
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def need_module(module: LightningModule) -> TrainingModule:
    """What is trained here, as what it is."""
    assert isinstance(module, TrainingModule)
    return module
