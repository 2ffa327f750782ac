"""What is known of an attention call: its tokens, and which of its axes are images, windows and heads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jumok.watching.provenance.axis_order import to_four_axes

TOKENS, CHANNELS, ROUTER, KERNEL, PART, UNKNOWN = "tokens", "channels", "router", "kernel", "part", "unknown"
"""Kinds of calls; a part is one of several products with the weights of one softmax, shown as one call."""
UNCONFIRMED = "whether they are the places of the window is not known"


@dataclass(frozen=True)
class Fold:
    """Heads that are folded into another axis: `count` of them, before or behind what else the axis holds."""

    count: int
    inner: bool

    def split(self, tensor: Tensor, axis: int) -> Tensor:
        """The axis as two, the heads the second."""
        sizes = (-1, self.count) if self.inner else (self.count, -1)
        split: Tensor = tensor.unflatten(axis, sizes)
        return split if self.inner else split.transpose(axis, axis + 1)


@dataclass(frozen=True)
class Arrangement:
    """How a call's own axes become (batch x windows, heads, queries, keys).

    Args:
        lead: sizes of the axes in front of the queries.
        batch, heads: which of them are what, in order; of those after a fold, the heads come after their axis.
        folded: heads folded into the first axis.
        packed: heads folded into the queries.
        turned: windows stand before the images: how many images there are; 0 where they do not.
    """

    lead: tuple[int, ...]
    batch: tuple[int, ...]
    heads: tuple[int, ...]
    folded: Fold | None = None
    packed: Fold | None = None
    turned: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the call has the axes (batch, heads) or (batch,) in front already."""
        plain = (self.batch, self.heads) in (((0,), (1,)), ((0,), ()), ((), ()))
        return plain and not (self.folded or self.packed or self.turned)

    def apply_four(self, tensor: Tensor, *, queries: bool = True) -> Tensor:
        """As `apply`, of axes that were brought to four: those in front but the last count as one."""
        count = len(self.lead)
        if count < 2:
            tensor = tensor[(0,) * (2 - count)] if count == 0 else tensor[:, 0]
        elif count > 2:
            tensor = tensor.unflatten(0, self.lead[:-1])
        return self.apply(tensor, queries=queries)

    def apply(self, tensor: Tensor, *, queries: bool = True) -> Tensor:
        """Bring (lead..., queries or keys, numbers) to (batch x windows, heads, queries or keys, numbers)."""
        missing = len(self.lead) + 2 - tensor.dim()
        tensor = tensor[(None,) * missing] if missing > 0 else tensor
        for axis in self.batch:  # keys that all images share
            if tensor.shape[axis] == 1 and self.lead[axis] > 1 and not (self.folded and axis == 0):
                tensor = tensor.expand(*(self.lead[axis] if a == axis else -1 for a in range(tensor.dim())))
        heads, batch = list(self.heads), list(self.batch)
        if self.folded:
            tensor = self.folded.split(tensor, 0)
            heads, batch = [1, *(axis + 1 for axis in heads)], [axis + (axis > 0) for axis in batch]
        tensor = tensor.permute(*batch, *heads, tensor.dim() - 2, tensor.dim() - 1)
        sizes = tensor.shape
        tensor = tensor.reshape(math.prod(sizes[: len(batch)]), math.prod(sizes[len(batch) : -2]), sizes[-2], sizes[-1])
        if self.packed and queries:
            tensor = self.packed.split(tensor, 2).movedim(3, 2).flatten(1, 2)
        if self.turned:
            tensor = tensor.unflatten(0, (-1, self.turned)).transpose(0, 1).flatten(0, 1)
        return tensor


@dataclass(frozen=True)
class CallTokens:
    """What is known of one call.

    Args:
        kind: tokens that look at tokens, or what else the call is: channels, a router, a kernel; or unknown.
        why: what hid the rest.
        queries: (batch x windows, queries) identities.
        keys: (batch x windows, keys); or (batch x windows, queries, keys), of queries that each have keys of their own.
        states: (batch x windows, queries) of the outputs.
        images: items of the batch, and windows of each.
        arrangement: of the call's axes; None: they are (batch, heads, queries, keys) already.
        order: of the weights' own axes, of a product by hand: (lead..., queries, keys).
        parts: the numbers of the calls whose weights stand beside one another in one softmax, in order of their keys.
        is_pooling: whether no token looks: what was gathered has no residual path of its own.
        samples: of queries that look at places between the keys, in the weights' own axes: which keys lie around each
            place, four for each, and their shares of it.
        changed: whether the weights were multiplied by something after their softmax.
    """

    kind: str
    why: str = ""
    queries: Tensor | None = None
    keys: Tensor | None = None
    states: Tensor | None = None
    images: tuple[int, int] = (0, 1)
    arrangement: Arrangement | None = None
    order: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()
    is_pooling: bool = False
    samples: tuple[Tensor, Tensor] | None = None
    changed: bool = False

    @classmethod
    def unknown(cls, why: str) -> CallTokens:
        """A call of which no token is known."""
        return cls(UNKNOWN, why)

    def looks_like(self, other: CallTokens) -> bool:
        """Whether the same queries look, in calls of the same axes."""
        if self.queries is None or other.queries is None or self.keys is None or other.keys is None:
            return False
        alike = self.queries.shape == other.queries.shape and self.keys.dim() == other.keys.dim() == 2
        same = self.arrangement == other.arrangement and self.order == other.order
        return alike and same and torch.equal(self.queries, other.queries)

    def arrange(self, tensor: Tensor, *, queries: bool = True) -> Tensor:
        """Weights, or what has their axes, to (batch x windows, heads, queries, keys)."""
        if self.order:
            rank = tensor.dim()
            tensor = tensor.permute(*(axis for axis in self.order if axis >= 0))
            if len(self.order) > rank:  # no axis of queries
                tensor = tensor.unsqueeze(-2)
            if self.arrangement is not None:
                return self.arrangement.apply(tensor, queries=queries)
            return to_four_axes(tensor)
        return tensor if self.arrangement is None else self.arrangement.apply_four(tensor, queries=queries)
