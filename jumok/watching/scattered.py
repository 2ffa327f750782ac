"""Records of calls in which each query has keys of its own, as calls over all tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.attention.attended import ALL, Attended, Rows
from jumok.watching.record_parts import aside, widen
from jumok.watching.records import Given


class _Around:
    """What is told by the call within."""

    _inner: Attended

    @property
    def traced(self) -> Tensor | None:
        """As in `Attended`."""
        return self._inner.traced

    @property
    def device(self) -> torch.device:
        """As in `Attended`."""
        return self._inner.device


class Scattered(_Around):
    """A call in which each query has keys of its own, as in windows that slide, as one over all tokens.

    Args:
        inner: the call, (batch, heads, queries, own keys).
        keys: (batch, queries, own keys), identities.
    """

    def __init__(self, inner: Attended, keys: Tensor) -> None:
        self._inner = inner
        rows = [row.unique() for row in keys.flatten(1)]
        rows = [row[row > 0] for row in rows]
        count = max(len(row) for row in rows)
        self.tokens = torch.stack([F.pad(row, (0, count - len(row))) for row in rows])
        places = [torch.searchsorted(row, each.contiguous()) for row, each in zip(rows, keys, strict=True)]
        place = torch.stack(places)
        self._place = torch.where(keys > 0, place.clamp(max=count), count)  # the last column holds what is no token

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As in `Attended`."""
        return (*self._inner.shape[:3], self.tokens.shape[1])

    def weights(self, rows: Rows = None) -> Tensor:
        """As in `Attended`."""
        place = self._place if rows is None else self._place[:, rows]
        return self._scatter(self._inner.weights(rows), place[:, None])

    @aside
    def pull(self, row: Tensor) -> Tensor:
        """As in `Attended`."""
        return (row[:, None, None].to(self.device) @ self.weights().to(row)).mean(1)[:, 0]

    @aside
    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Attended`."""
        return (row[:, None] @ self.relevant(gradient).to(row))[:, 0]

    @aside
    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As in `Attended`."""
        return self._scatter(self._inner.relevant(gradient, images), self._place[images])

    def _scatter(self, values: Tensor, place: Tensor) -> Tensor:
        count = self.tokens.shape[1]
        found = values.new_zeros(*values.shape[:-1], count + 1)
        return found.scatter_add_(-1, place.to(values.device).expand(values.shape), values)[..., :count]


class Sampled(_Around):
    """A call in which queries look at places between the tokens: each place is made of the four around it.

    Args:
        inner: the weights of the places, (batch, heads, queries, places).
        columns: (batch, heads, queries, places x 4), which keys lie around each place.
        shares: as `columns`, the share of each in the place.
        count: of the keys.
    Source: Zhu et al. 2021, Deformable DETR, arXiv 2010.04159, eq. 3.
    """

    def __init__(self, inner: Given, columns: Tensor, shares: Tensor, count: int) -> None:
        self._inner: Given = inner
        self._columns, self._shares, self._count = columns, shares, count

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As in `Attended`."""
        return (*self._inner.shape[:3], self._count)

    def weights(self, rows: Rows = None) -> Tensor:
        """As in `Attended`."""
        chosen = slice(None) if rows is None else rows
        return self._spread(self._inner.weights(rows), self._columns[:, :, chosen], self._shares[:, :, chosen])

    @aside
    def pull(self, row: Tensor) -> Tensor:
        """As in `Attended`."""
        return self._pull(row, widen(self._inner.weights()))

    @aside
    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Attended`."""
        return self._pull(row, self._inner.relevant_heads(gradient))

    @aside
    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As in `Attended`."""
        values = self._inner.relevant_heads(gradient, images)
        return self._spread(values, self._columns[images], self._shares[images]).mean(1)

    def _pull(self, row: Tensor, values: Tensor) -> Tensor:
        """All queries at once, without an array of queries x keys."""
        weighed = values * row[:, None, :, None].to(values)
        flat = [each.flatten(2)[:, :, None] for each in (self._columns, self._shares)]
        return self._spread(weighed.flatten(2)[:, :, None], *flat).mean(1)[:, 0].to(row)

    def _spread(self, values: Tensor, columns: Tensor, shares: Tensor) -> Tensor:
        parts = values.repeat_interleave(4, -1) * shares.to(values)
        found = values.new_zeros(*values.shape[:-1], self._count)
        return found.scatter_add_(-1, columns.to(values.device), parts)
