"""Batches, epoch after epoch, that can stop anywhere and resume exactly there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any, Generic, Self, TypeVar

from jumok.errors import JumokError

Batch = TypeVar("Batch")


class ResumableEpochs(ABC, Generic[Batch]):
    """Where the consumer of some batches is: epoch and position, kept, restored, and told to Lightning.

    Each `iter` begins a pass: where `load_state_dict` said for the first one, else at the start of the next epoch
    (of the first epoch, where nothing was drawn yet). A pass that is left early is over.

    Args:
        steps: batches per epoch, the same in every epoch.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._epoch = self._position = 0
        self._goes_on = True  # the next pass begins at this position, even if it lies within the epoch
        self._current: object = None  # the pass under way
        self._restored = False

    @abstractmethod
    def _batches(self, epoch: int, begin: int) -> Generator[Batch, None, None]:
        """The batches of an epoch from this position on."""

    @abstractmethod
    def _identity(self) -> dict[str, int]:
        """What the batches of an epoch depend on."""

    def __len__(self) -> int:
        """Steps per epoch."""
        return self._steps

    @property
    def epoch(self) -> int:
        """The epoch that the next batch of this pass belongs to, from 0."""
        return self._epoch

    @property
    def position(self) -> int:
        """How many batches of that epoch the consumer was given."""
        return self._position

    @property
    def sampler(self) -> Self:
        """Itself: where Lightning's training loop, used to a DataLoader, looks for `set_epoch`."""
        return self

    batch_sampler = None  # and where it looks next

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless it is under way or a state was restored that begins another.

        Lightning calls this, and restores no state when it resumes at the end of an epoch.
        """
        if epoch != self._epoch and not (self._restored and self._position == 0):
            self._go_to(epoch, 0)

    def __iter__(self) -> Iterator[Batch]:
        """Begin a pass. It changes no position before its first batch is asked for."""
        if self._position and not self._goes_on:
            self._epoch, self._position = self._epoch + 1, 0
        self._current = pass_ = object()
        with closing(self._batches(self._epoch, self._position)) as batches:
            for batch in batches:
                if self._current is not pass_:
                    raise JumokError("this pass over the batches ended when a newer one began: keep one at a time")
                self._count_one()
                yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the consumer is: plain numbers, the same on every rank."""
        return {"epoch": self._epoch, "position": self._position, **self._identity()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on, with the next pass, behind the last batch that was given out when the state was taken.

        Raises:
            JumokError: the state is damaged, or of other data or settings.
        """
        for name, own in self._identity().items():
            if state_dict.get(name) != own:
                raise JumokError(
                    f"cannot resume: the saved state has {name} {state_dict.get(name)}, but now it is {own}; "
                    "resume with the same data and settings"
                )
        epoch, position = state_dict.get("epoch"), state_dict.get("position")
        if not (isinstance(epoch, int) and isinstance(position, int) and epoch >= 0 and 0 <= position < self._steps):
            raise JumokError(
                f"cannot resume at epoch {epoch}, batch {position}: an epoch has batches 0 to {self._steps - 1}"
            )
        self._restored = True
        self._go_to(epoch, position)

    def _go_to(self, epoch: int, position: int) -> None:
        """Let the next pass begin here, and the present one be over."""
        self._epoch, self._position = epoch, position
        self._goes_on, self._current = True, None

    def _count_one(self) -> None:
        """The consumer gets one more batch; with the last one of an epoch, the state is at the start of the next."""
        self._goes_on = False
        self._position += 1
        if self._position == self._steps:
            self._epoch, self._position = self._epoch + 1, 0
