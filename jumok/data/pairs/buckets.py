"""Which pairs make a batch: alike in both lengths, so that little is padded, and others in every epoch."""

from __future__ import annotations

import hashlib
import heapq
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from jumok.errors import JumokError

Ints = npt.NDArray[np.int64]
NOISE = 0.6
"""Lengths are blurred by up to so many tokens before they are sorted: that mixes neighbours and pads little more."""
SPARE = 0.02
"""So many more steps are planned than the trials needed; they are filled by halving the batches that pad most."""
TRIALS = 3
FEW_BANDS = 12
"""Fewer than so many are all tried; of more, some."""


@dataclass(frozen=True)
class Cut:
    """An epoch's batches: `order[starts[i]:starts[i + 1]]` are the pairs of batch i.

    Args:
        order: (pairs,) indices.
        starts: (batches + 1,), from 0 to pairs.
    """

    order: Ints
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    def padding(self, lengths: Ints) -> float:
        """Share of the places, of sources and targets together, that hold no token."""
        longest = np.maximum.reduceat(lengths[:, self.order], self.starts[:-1], axis=1)
        places = int((longest.sum(axis=0) * np.diff(self.starts)).sum())
        return 1 - int(lengths.sum()) / places


@dataclass(frozen=True)
class Buckets:
    """How the epochs of a set of pairs are cut into batches, always equally many.

    Pairs are grouped into bands by the length of their sources, sorted in each band by the length of their targets,
    and taken as long as they fit. Lengths are blurred a little, and the first batch is cut short at random, so that
    an epoch's batches are other than the last one's.

    Args:
        lengths: (2, pairs) of sources and targets, symbols counted.
        tokens: places of a batch on its longer side at most, padding counted; a pair that is longer goes alone.
        least: pairs per batch, at least.
        seed: of the epochs.
        blurred: whether epochs differ; otherwise lengths are taken as they are.
    Raises:
        JumokError: fewer pairs than one batch needs.
    """

    lengths: Ints
    tokens: int
    least: int
    seed: int
    blurred: bool
    bands: int = 0
    steps: int = 0

    @classmethod
    def plan(cls, lengths: Ints, tokens: int, least: int, seed: int, *, blurred: bool) -> Buckets:
        """Choose the number of bands that pads least, and the number of steps that all epochs have."""
        pairs = lengths.shape[1]
        if pairs < least:
            raise JumokError(f"{pairs} pairs cannot be shared among {least} ranks: use fewer ranks")
        root = math.sqrt(lengths.max(axis=0).sum() / tokens)
        few = range(1, FEW_BANDS) if root < FEW_BANDS else ()
        trials = [
            cls(lengths, tokens, least, seed, blurred, bands)
            for bands in sorted({*few, *(max(round(root * factor), 1) for factor in (0.5, 1, 2))})
        ]
        best = min(trials, key=lambda trial: trial._free(-1).padding(lengths))
        most = max(len(best._free(-1 - trial)) for trial in range(TRIALS if blurred else 1))
        steps = min(most + math.ceil(SPARE * most), pairs // least) if blurred else most
        return cls(lengths, tokens, least, seed, blurred, best.bands, steps)

    def cut(self, epoch: int) -> Cut:
        """Cut an epoch into batches that lie in order of length."""
        order, room = self._sort(epoch)
        for attempt in range(100):
            starts = self._starts(order, room, self.tokens * (1 + 0.02 * attempt))
            if len(starts) - 1 <= self.steps:
                break
        return Cut(order, self._halve(order, starts))

    def _free(self, epoch: int) -> Cut:
        """The batches as they fall, however many."""
        order, room = self._sort(epoch)
        return Cut(order, np.array(self._starts(order, room, self.tokens)))

    def _sort(self, epoch: int) -> tuple[Ints, float]:
        """The pairs' indices so that neighbours are alike, and what share of the first batch is to be filled."""
        lengths, room = self.lengths.astype(np.float64), 1.0
        if self.blurred:
            draw = seed_epoch(self.seed, epoch, "lengths")
            lengths += draw.uniform(-NOISE, NOISE, lengths.shape)
            room = draw.uniform(0.2, 1)
        if self.bands == 1:
            return np.argsort(lengths.sum(axis=0), kind="stable"), room
        by_source = np.argsort(lengths[0], kind="stable")
        cost = np.cumsum(self.lengths.max(axis=0)[by_source])
        band = np.empty(len(by_source), np.int64)
        band[by_source] = (cost - 1) * self.bands // cost[-1]
        target = np.where(band % 2, -lengths[1], lengths[1])  # there and back, so that bands meet where they are alike
        return np.lexsort((target, band)), room

    def _starts(self, order: Ints, room: float, tokens: float) -> list[int]:
        """Fill one batch after the other."""
        longest = self.lengths.max(axis=0)[order]
        starts, end = [0], len(order)
        while starts[-1] < end:
            begin = starts[-1]
            budget = tokens * (room if begin == 0 else 1)
            some = np.maximum.accumulate(longest[begin : begin + int(budget // longest[begin])])
            fit = int(np.count_nonzero(some * np.arange(1, len(some) + 1) <= budget))
            following = begin + max(fit, self.least)
            starts.append(following if end - following >= self.least else end)
        return starts

    def _halve(self, order: Ints, starts: list[int]) -> Ints:
        """Halve the batches that pad most until there are as many as all epochs have."""
        lengths = self.lengths[:, order]

        def waste(begin: int, end: int) -> int:
            own = lengths[:, begin:end]
            return int(own.max(axis=1).sum()) * (end - begin) - int(own.sum())

        heap = [(-waste(*ends), *ends) for ends in pairwise(starts) if ends[1] - ends[0] >= 2 * self.least]
        heapq.heapify(heap)
        found = list(starts)
        while len(found) - 1 < self.steps and heap:
            _, begin, end = heapq.heappop(heap)
            middle = (begin + end) // 2
            found.append(middle)
            for half in ((begin, middle), (middle, end)):
                if half[1] - half[0] >= 2 * self.least:
                    heapq.heappush(heap, (-waste(*half), *half))
        if len(found) - 1 != self.steps:  # a handful of pairs that greed cannot part: share them evenly
            return np.arange(self.steps + 1) * len(order) // self.steps
        return np.array(sorted(found))


def seed_epoch(seed: int, epoch: int, what: str) -> np.random.Generator:
    """What is random in one epoch; the same on every rank."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{what}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16])))
