"""Dealing a set out in batches: in a fixed order, read ahead, shared among processes, and resumed exactly."""

from __future__ import annotations

import hashlib
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import torch
from torch import Tensor

from jumok.data.neighbours import Neighbours
from jumok.data.resumable_epochs import ResumableEpochs
from jumok.errors import JumokError

__all__ = ["AHEAD", "THREADS", "BatchPlan", "ShardedBatches", "check_options", "open_pool"]

AHEAD = 2
"""So many batches are read while the consumer works on one."""
THREADS = "jumok-"
"""Names of our threads begin so."""

T = TypeVar("T")


@dataclass(frozen=True)
class BatchPlan:
    """How a set is dealt out.

    Args:
        total: how many there are.
        batch_size: of them per step, over all ranks together.
        seed: of the order.
        shuffle: a new random order each epoch; otherwise that of the set.
        drop_last: leave out those that do not fill a batch (others in each epoch, if shuffled).
        rank, world_size: which part of each batch is wanted, of how many.
        neighbours: what is read together, and so stays near in a random order; None: any order will do.
    """

    total: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1
    neighbours: Neighbours | None = None

    def steps(self, noun: str) -> int:
        """Batches in an epoch.

        Raises:
            JumokError: numbers that do not fit together.
        """
        check_options(1, batch_size=self.batch_size, world_size=self.world_size)
        if not 0 <= self.rank < self.world_size:
            raise JumokError(
                f"rank must be from 0 to {self.world_size - 1} in a world of {self.world_size}, got {self.rank}"
            )
        if self.batch_size % self.world_size:
            raise JumokError(
                f"a global batch of {self.batch_size} does not divide among {self.world_size} ranks: choose a multiple "
                "of that"
            )
        full, rest = divmod(self.total, self.batch_size)
        if self.drop_last and not full:
            raise JumokError(
                f"{self.total} {noun} do not fill a batch of {self.batch_size}: choose a smaller batch, or keep the "
                "last"
            )
        if self.total < self.world_size:
            raise JumokError(f"{self.total} {noun} cannot be shared among {self.world_size} ranks: use fewer ranks")
        return full if self.drop_last or rest == 0 else full + (rest >= self.world_size)


class ShardedBatches(ResumableEpochs[T], Generic[T]):
    """Batches of a set, epoch after epoch, that can stop anywhere and resume exactly there.

    The order of an epoch depends on the seed and the epoch's number only. `batch_size` is the global batch, of which
    each rank gets its own contiguous slice, so that any number of ranks goes through the same batches. All ranks take
    the same number of steps and none is ever without anything: where the last, short batch has fewer than there are
    ranks, it joins the batch before it; where it does not divide evenly, the first ranks get one more. Nothing is ever
    given twice in an epoch.

    How epochs resume, `ResumableEpochs` says. A thread reads two batches ahead; it ends with the epoch. `state_dict`
    tells what the consumer was given, not what was read ahead.

    Args:
        deal: how it is dealt out.
        noun: what the set is one of, for errors and for telling one from another.
    Raises:
        JumokError: numbers that do not fit together.
    """

    def __init__(self, deal: BatchPlan, *, noun: str) -> None:
        self.deal, self._noun = deal, noun
        super().__init__(deal.steps(noun))

    @abstractmethod
    def _read(self, indices: Tensor) -> T:
        """The batch of these indices (n,)."""

    @abstractmethod
    def _checksum(self) -> dict[str, int]:
        """What tells another set from this one, by name."""

    def order(self, epoch: int) -> Tensor:
        """The indices (n,) in the order of one epoch."""
        if not self.deal.shuffle:
            return torch.arange(self.deal.total)
        chance = self._chance(epoch)
        if self.deal.neighbours is not None:
            return self.deal.neighbours.shuffle(chance)
        return torch.randperm(self.deal.total, generator=chance)

    def _chance(self, epoch: int) -> torch.Generator:
        """What decides one epoch's order."""
        digest = hashlib.sha256(f"{self.deal.seed}/{epoch}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7]))

    def _batches(self, epoch: int, begin: int) -> Generator[T, None, None]:
        order = self.order(epoch)
        steps = iter(range(begin, len(self)))
        with open_pool("ahead", 1) as pool:
            waiting = deque(pool.submit(self._step, order, step) for step in islice(steps, AHEAD + 1))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(self._step, order, step) for step in islice(steps, 1))

    def _identity(self) -> dict[str, int]:
        """What the batches of an epoch depend on, and what tells another set from this one."""
        return {
            self._noun: self.deal.total,
            **self._checksum(),
            "batch_size": self.deal.batch_size,
            "seed": self.deal.seed,
            "shuffle": int(self.deal.shuffle),
            "drop_last": int(self.deal.drop_last),
        }

    def _step(self, order: Tensor, step: int) -> T:
        """Read our rank's slice of one step's batch."""
        deal = self.deal
        begin = step * deal.batch_size
        end = begin + deal.batch_size if deal.drop_last or step < len(self) - 1 else len(order)
        share, extra = divmod(end - begin, deal.world_size)
        begin += deal.rank * share + min(deal.rank, extra)
        return self._read(order[begin : begin + share + (deal.rank < extra)])


@contextmanager
def open_pool(name: str, count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that is gone when the block ends, however it ends; what was not begun is not done."""
    owner = threading.current_thread()
    pool = ThreadPoolExecutor(count, thread_name_prefix=f"{THREADS}{name}")
    try:
        yield pool
    finally:
        # a forgotten pass may be cleared away by one of its own threads, which cannot wait for itself to end
        pool.shutdown(wait=threading.current_thread() is owner, cancel_futures=True)


def check_options(least: int, **numbers: int) -> None:
    """Refuse numbers that are too small, by name."""
    for name, number in numbers.items():
        if number < least:
            raise JumokError(f"{name} must be at least {least}, got {number}")
