"""Pairs of encoded sentences as batches of about equal cost, with little padding, resumed exactly."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jumok.data.pairs.buckets import Buckets, Cut, Ints, seed_epoch
from jumok.data.resumable_epochs import ResumableEpochs
from jumok.errors import JumokError
from jumok.special_tokens import EOS, PAD, SOS


@dataclass(frozen=True)
class PairBatch:
    """Some pairs; what a decoder is fed is `target[:, :-1]`, and what is wanted of it `target[:, 1:]`.

    Args:
        source: (n, S) int64; each row is its tokens and EOS, then PAD.
        target: (n, T + 1) int64; each row is SOS, its tokens and EOS, then PAD.
        indices: (n,) int64; which of the set they are; empty where that is not known.
        count: target tokens to be predicted here, neither PAD nor SOS; counted, where it is not given.
        total: the same over all ranks of this step; 0: `count`.
    """

    source: Tensor
    target: Tensor
    indices: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    count: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        if not self.count:
            object.__setattr__(self, "count", int((self.target[:, 1:] != PAD).sum()))
        if not self.total:
            object.__setattr__(self, "total", self.count)

    def to(self, *args: Any, **options: Any) -> PairBatch:
        """Move its tensors, with the arguments of `torch.Tensor.to`."""
        moved = {name: getattr(self, name).to(*args, **options) for name in ("source", "target", "indices")}
        return replace(self, **moved)


class Sentences:
    """The tokens of many sentences in one array.

    Args:
        sentences: lists of ids without symbols.
    """

    def __init__(self, sentences: Sequence[Sequence[int]]) -> None:
        self.lengths: Ints = np.fromiter(map(len, sentences), np.int64, len(sentences))
        self._starts: Ints = np.cumsum(self.lengths) - self.lengths
        self._tokens = np.fromiter(chain.from_iterable(sentences), np.int32, int(self.lengths.sum()))

    def __len__(self) -> int:
        return len(self.lengths)

    def checksum(self) -> int:
        """What tells other sentences from these."""
        return zlib.crc32(self._tokens.tobytes(), zlib.crc32(self.lengths.tobytes()))

    def pad(self, indices: Ints, *, started: bool) -> Tensor:
        """Some sentences with EOS behind them, and SOS before if they are to be `started`: (n, longest) int64."""
        lengths = self.lengths[indices]
        places = np.arange(lengths.max(initial=0))
        there = places < lengths[:, None]
        block = np.full((len(indices), len(places) + started + 1), PAD, np.int64)
        block[:, :started] = SOS
        block[:, started : started + len(places)][there] = self._tokens[(self._starts[indices, None] + places)[there]]
        block[np.arange(len(indices)), lengths + started] = EOS
        return torch.from_numpy(block)


class PairBatches(ResumableEpochs[PairBatch]):
    """Batches of pairs of encoded sentences, epoch after epoch, that can stop anywhere and resume exactly there.

    Each batch holds pairs of like lengths, as many as fit `tokens`; every epoch has the same number of batches and
    gives every pair once. What is in an epoch's batches and their order depend on the seed and the epoch's number
    only. Of each batch, rank r of w gets the rows r, r + w, r + 2 w, ...: no rank is ever without a pair. For passes,
    see `ResumableEpochs`.

    Without shuffling, all epochs are alike and go from the longest sentences to the shortest, so that memory that
    does not suffice shows at once; `indices` tell which pair each row is.

    Args:
        sources, targets: ids without symbols (batches add SOS and EOS), one list for each sentence.
        tokens: places of a batch at most, over all ranks together: pairs times the longest sentence on either side,
            with EOS and with padding. A pair that is longer makes a batch of its own.
        seed: of the epochs.
        shuffle: other batches each epoch, in random order.
        rank, world_size: which part of each batch is wanted, of how many.
    Raises:
        JumokError: not as many sources as targets, none at all, or numbers that do not fit together.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        *,
        tokens: int,
        seed: int = 0,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(sources) != len(targets) or not len(sources):
            raise JumokError(
                "wanted the same number of source and target sentences, at least one: "
                f"got {len(sources)}, {len(targets)}"
            )
        if tokens < 1:
            raise JumokError(f"a batch must hold at least 1 token, got {tokens}")
        if not 0 <= rank < world_size:
            raise JumokError(f"rank must be from 0 to {world_size - 1} in a world of {world_size}, got {rank}")
        self._sources, self._targets = Sentences(sources), Sentences(targets)
        self.tokens, self.seed, self.shuffle = tokens, seed, shuffle
        self.rank, self.world_size = rank, world_size
        lengths = np.stack([self._sources.lengths, self._targets.lengths]) + 1  # with EOS
        self._buckets = Buckets.plan(lengths, tokens, world_size, seed, blurred=shuffle)
        self._checksum = zlib.crc32(f"{self._sources.checksum()} {self._targets.checksum()}".encode())
        self._cuts: dict[int, Cut] = {}  # the last epoch that was cut
        super().__init__(self._buckets.steps)

    @property
    def pairs(self) -> int:
        """How many pairs an epoch gives."""
        return len(self._sources)

    @property
    def padding(self) -> float:
        """Share of the places of the present epoch's batches, both sides together, that hold no token."""
        return self._cut(self.epoch).padding(self._buckets.lengths)

    def _cut(self, epoch: int) -> Cut:
        epoch = epoch if self.shuffle else 0
        if epoch not in self._cuts:
            self._cuts = {epoch: self._buckets.cut(epoch)}
        return self._cuts[epoch]

    def _batches(self, epoch: int, begin: int) -> Generator[PairBatch, None, None]:
        cut = self._cut(epoch)
        order = (
            np.arange(len(cut))[::-1]
            if not self.shuffle
            else seed_epoch(self.seed, epoch, "order").permutation(len(cut))
        )
        for number in order[begin:]:
            yield self._read(cut.order[cut.starts[number] : cut.starts[number + 1]])

    def _read(self, indices: Ints) -> PairBatch:
        """Our rows of one batch."""
        own: npt.NDArray[np.int64] = np.ascontiguousarray(indices[self.rank :: self.world_size])
        lengths = self._targets.lengths
        return PairBatch(
            self._sources.pad(own, started=False),
            self._targets.pad(own, started=True),
            torch.from_numpy(own),
            int(lengths[own].sum()) + len(own),
            int(lengths[indices].sum()) + len(indices),
        )

    def _identity(self) -> dict[str, int]:
        return {
            "pairs": self.pairs,
            "text": self._checksum,
            "tokens": self.tokens,
            "seed": self.seed,
            "shuffle": int(self.shuffle),
            "world_size": self.world_size,
        }
