"""A training run that is about to start, whatever its task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from torch import Tensor

from jumok.files import write_atomically
from jumok.tasks.running.beginning import TUNING_RATES, begin_with, write_initial
from jumok.tasks.running.config import Begun, Change, Recorded, Settings, Training
from jumok.tasks.running.figures import Row
from jumok.tasks.running.run import CONFIG
from jumok.tasks.running.training_module import TrainingModule
from jumok.wording import write_count

M = TypeVar("M", bound=TrainingModule)
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
"""Peak learning rates that are tried for a model with random weights, the usual one among them."""


class Batches(Protocol):
    """Batches, epoch after epoch, in an order that depends on the epoch's number only."""

    def __len__(self) -> int:
        """Steps per epoch."""

    def __iter__(self) -> Iterator[Any]:
        """A pass: from where `load_state_dict` said, else from the start of the next epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Where the pass is: "epoch" and "position", and whatever else must not change."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin the next pass there."""


@dataclass(frozen=True)
class Prepared(ABC):
    """Everything that training needs.

    Args:
        train, val: the batches.
        remarks: lines on what was found in the data.
        config: everything that the run is made of.
        initial: weights to begin with, where these are not random.
    """

    train: Batches
    val: Batches
    remarks: tuple[str, ...]
    config: Settings
    initial: Mapping[str, Tensor] = field(default_factory=dict, kw_only=True)

    unit = "examples"
    """What the speed of training is counted in."""

    @property
    def training(self) -> Training:
        """The settings of the training."""
        return self.config.training

    @property
    def steps_per_epoch(self) -> int:
        """Steps between two validations."""
        return self.training.steps_per_epoch or len(self.train)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.training.epochs * self.steps_per_epoch

    @property
    def pass_steps(self) -> float:
        """Steps in which as many examples are seen as there are, even where some are drawn more often than others."""
        return len(self.train)

    @property
    def rates(self) -> tuple[float, ...]:
        """Peak learning rates that are worth a trial, the lowest first."""
        return TUNING_RATES if self.initial else RATES

    @property
    def trusted_rate(self) -> float | None:
        """A peak learning rate, one of those, that long trainings of this model are known to like; None: not known."""
        return None

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was changed in the run after it had begun."""
        return self.config.changes if isinstance(self.config, Recorded) else ()

    @property
    def schedule_start(self) -> int:
        """The step at which the learning-rate schedule began, the last time that it did."""
        return max((change.step for change in self.changes if change.schedule), default=0)

    def with_change(self, change: Change) -> Self:
        """The same with one more change noted."""
        return replace(self, config=self.config.model_copy(update={"changes": (*self.changes, change)}))

    def with_training(self, **settings: Any) -> Self:
        """The same with other settings of the training."""
        training = self.training.model_copy(update=settings)
        return replace(self, config=self.config.model_copy(update={"training": training}))

    def remark(self, line: str) -> Self:
        """The same with one more remark."""
        return replace(self, remarks=(*self.remarks, line))

    def suit(self, asked: Collection[str], *, passes: float) -> Self:
        """The same with what should follow from how often the training data will be seen.

        Args:
            asked: names of the settings that were given, which stay as they are.
            passes: over the training data.
        """
        return self

    def plain(self) -> Self:
        """The same with nothing that makes the training data harder to learn."""
        quiet = {name: 0.0 for name in self.config.options if "dropout" in name}
        config = self.config.model_copy(update={"options": {**self.config.options, **quiet}})
        return replace(self, config=config).with_training(label_smoothing=0.0)

    def length(self) -> str:
        """How long the training is, in a few words."""
        return f"{write_count(self.training.epochs, 'epoch')} of {write_count(self.steps_per_epoch, 'step')}"

    @property
    def beginning(self) -> Begun | None:
        """With which weights the run began; None: with random ones."""
        begun: Begun | None = getattr(getattr(self.config, "found", None), "begun", None)
        return begun

    def begun(self, module: M) -> M:
        """A model in training that begins with the weights from elsewhere."""
        if self.initial:
            begin_with(module.model, self.initial, "what this run began with")
        return module

    @abstractmethod
    def module(self) -> TrainingModule:
        """The model in training, its weights as the seed decides."""

    def write(self, folder: Path) -> None:
        """Write what the run's model needs beside its weights.

        Raises:
            JumokError: the folder cannot be written.
        """
        if self.initial:
            write_initial(folder, self.initial)
        write_atomically(folder / CONFIG, self.config.to_yaml())

    def settle(self, folder: Path, device: str) -> list[str]:
        """Settle what a trained model needs beside its weights, and keep it in the run.

        Args:
            folder: of the run, its weights written.
            device: for the model.
        Returns:
            what to say of it.
        Raises:
            JumokError: the folder cannot be written.
        """
        return []

    @abstractmethod
    def about(self, parameters: int) -> str:
        """One line: data, model, and length of the training."""

    @abstractmethod
    def reached(self, best: Row) -> str:
        """How good the kept weights are, on the validation data, in a few words."""

    def shortfall(self, best: Row) -> str:
        """What to tell of kept weights that are not significantly better than guessing, with what helps; else empty."""
        return ""

    @abstractmethod
    def purpose(self, parameters: int) -> str:
        """What the model is and does, as a sentence."""

    @abstractmethod
    def facts(self, best: Row) -> dict[str, str]:
        """Data, figures and settings for the run's card."""

    @abstractmethod
    def evaluate_with(self, folder: Path) -> str:
        """The command that judges the trained model."""
