"""Texts as batches: token ids, filled up to the longest text of the batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from jumok.data.sharded_batches import BatchPlan, ShardedBatches

__all__ = ["TextBatch", "TextBatches", "pad_texts"]


class TextBatch(NamedTuple):
    """Some texts.

    Args:
        tokens: (n, longest) int64.
        there: (n, longest) bool; False: padding.
        labels: (n,) int64.
        indices: which of the set they are, (n,) int64.
    """

    tokens: Tensor
    there: Tensor
    labels: Tensor
    indices: Tensor


def pad_texts(ids: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Fill texts up to the longest one.

    Returns:
        tokens (n, longest) int64, and which of them are there (n, longest) bool.

    >>> pad_texts([[5, 6], [7]], padding=0)[0].tolist()
    [[5, 6], [7, 0]]
    """
    lengths = torch.tensor([len(each) for each in ids])
    longest = int(lengths.max())
    tokens = torch.tensor([[*each, *[padding] * (longest - len(each))] for each in ids], dtype=torch.int64)
    return tokens, torch.arange(longest) < lengths[:, None]


class TextBatches(ShardedBatches[TextBatch]):
    """Batches of texts; see `ShardedBatches`.

    Args:
        ids: tokens of each text.
        labels: (n,) int64, of each text.
        padding: the token behind shorter texts.
        plan: how they are dealt out.
    """

    def __init__(self, ids: Sequence[Sequence[int]], labels: Tensor, padding: int, plan: BatchPlan) -> None:
        self._ids, self._labels, self._padding = ids, labels.to(torch.int64), padding
        super().__init__(plan, noun="texts")

    def _read(self, indices: Tensor) -> TextBatch:
        tokens, there = pad_texts([self._ids[number] for number in indices.tolist()], self._padding)
        return TextBatch(tokens, there, self._labels[indices], indices)

    def _checksum(self) -> dict[str, int]:
        return {"labels": zlib.crc32(self._labels.numpy().tobytes())}
