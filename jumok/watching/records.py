"""What `watch` keeps of attention whose weights a model formed itself, and of PyTorch's multi-head attention.

A fused kernel's record is in `dot_product.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from jumok.attention.attended import ALL, Rows
from jumok.errors import JumokError
from jumok.watching.dot_product import DotProduct
from jumok.watching.record_parts import Unchanged, aside, widen


class Projected:
    """A call of `multi_head_attention_forward`: inputs, projections and masks, worked out when asked for.

    Args:
        build: makes the call's heads; runs once, when something is first read.
        shape: (batch, heads, queries, keys).
        output: what the call gave back, after the output projection: (queries, batch, size); None without a graph.
        out_weight: (size, size) of the output projection.
        unchanged: the tensors that `build` will read.
    """

    def __init__(
        self,
        build: Callable[[], DotProduct],
        shape: tuple[int, int, int, int],
        output: Tensor | None = None,
        out_weight: Tensor | None = None,
        unchanged: Unchanged | None = None,
    ) -> None:
        self._build, self.shape, self.traced, self._out_weight = build, shape, output, out_weight
        self.unchanged = unchanged or Unchanged()
        self.unchanged._copy = self._copy

    def _copy(self) -> Sequence[Tensor | None]:
        """The heads, worked out now."""
        return self._heads._copy()

    @property
    def device(self) -> torch.device:
        """As in `Attended`."""
        return self._heads.device

    @cached_property
    def _heads(self) -> DotProduct:
        self.unchanged.check()
        with torch.no_grad():
            return self._build()

    def weights(self, rows: Rows = None) -> Tensor:
        """As in `Attended`."""
        return self._heads.weights(rows)

    def pull(self, row: Tensor) -> Tensor:
        """As in `Attended`."""
        return self._heads.pull(row)

    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Attended`."""
        return self._heads.pull_relevance(row, self._change(gradient))

    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As in `Attended`."""
        return self._heads.relevant(self._change(gradient), images)

    def pull_slope(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Sloped`."""
        return self._heads.pull_slope(row, self._change(gradient))

    def find_read(self, gradient: Tensor) -> Tensor:
        """As in `Sloped`."""
        return self._change(gradient).ne(0).any(-1).any(1)

    def value_norms(self) -> Tensor:
        """As in `Sloped`."""
        return self._heads.value_norms()

    @aside
    def _change(self, gradient: Tensor) -> Tensor:
        """The gradient goes back through the output projection: dL/dO = dL/dY W."""
        assert self._out_weight is not None
        if gradient.dim() == 2:  # an input without a batch axis
            gradient = gradient[:, None]
        weight = self._out_weight.detach()
        split: Tensor = (gradient.to(weight.dtype) @ weight).unflatten(-1, (self.shape[1], -1))
        return split.permute(1, 2, 0, 3)


@dataclass
class Given:
    """Weights that the model formed itself, by a softmax of its own: (batch, heads, queries, keys).

    Args:
        softmax: the weights as the model has them, in its graph.
        arrange: brings them, or their gradient, to (batch, heads, queries, keys).
        origin: guards the record that this one was made from.
    """

    softmax: Tensor
    arrange: Callable[[Tensor], Tensor]
    origin: Unchanged | None = None
    unchanged: Unchanged = field(init=False)

    def __post_init__(self) -> None:
        self._values = self.softmax.detach()
        self.unchanged = Unchanged(self._values, copy=self._copy, origin=self.origin)

    def _copy(self) -> Sequence[Tensor]:
        self._values = self._values.clone()
        return (self._values,)

    def arranged(self, arrange: Callable[[Tensor], Tensor]) -> Given:
        """The same weights, brought to (batch, heads, queries, keys) in another way."""
        found = Given(self.softmax, arrange, self.unchanged)
        found._values = self._values
        return found

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        batch, heads, queries, keys = self.arrange(self.softmax).shape
        return batch, heads, queries, keys

    @property
    def traced(self) -> Tensor | None:
        return self.softmax if self.softmax.requires_grad else None

    @property
    def device(self) -> torch.device:
        return self.softmax.device

    @aside
    def weights(self, rows: Rows = None) -> Tensor:
        self.unchanged.check()
        weights = self.arrange(self._values)
        return (weights if rows is None else weights[:, :, rows]).float()

    @aside
    def pull(self, row: Tensor) -> Tensor:
        self.unchanged.check()
        return self._pull(row, lambda images: self.arrange(self._values)[images])

    @aside
    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        self.unchanged.check()
        return self._pull(row, self._relevant(gradient))

    @aside
    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As in `Attended`; one image at a time."""
        self.unchanged.check()
        relevant_of = self._relevant(gradient)
        numbers = range(*images.indices(self.shape[0]))
        return torch.cat([widen(relevant_of(slice(number, number + 1))).mean(1) for number in numbers])

    def relevant_heads(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """As `relevant`, of each head: (images, heads, queries, keys)."""
        self.unchanged.check()
        return widen(self._relevant(gradient)(images))

    @aside
    def pull_slope(self, row: Tensor, gradient: Tensor) -> Tensor:
        """As in `Sloped`."""
        self.unchanged.check()
        change, weights = self.arrange(gradient), self.arrange(self._values)
        return self._pull(row, lambda images: change[images].clamp(min=0) * (weights[images] > 0))

    def find_read(self, gradient: Tensor) -> Tensor:
        """As in `Sloped`."""
        return self.arrange(gradient).ne(0).any(-1).any(1)

    def value_norms(self) -> Tensor:
        """As in `Sloped`: they were not kept."""
        raise JumokError(
            "the values of attention that a model computes by hand are not kept: choose the model's `sdpa` attention"
        )

    def _relevant(self, gradient: Tensor) -> Callable[[slice], Tensor]:
        change, weights = self.arrange(gradient), self.arrange(self._values)
        return lambda images: (change[images] * weights[images]).clamp_(min=0)

    def _pull(self, row: Tensor, weights_of: Callable[[slice], Tensor]) -> Tensor:
        """One image at a time, so that what is formed on the way stays small."""
        images = [slice(number, number + 1) for number in range(self.shape[0])]
        return torch.cat([(row[i, None, None, :] @ widen(weights_of(i)).to(row.dtype)).mean(1)[:, 0] for i in images])
