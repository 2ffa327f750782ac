"""Steps from the tokens of the last call back to the input, and whether those of several images can go at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

NOBODY = 1 << 40


@dataclass(frozen=True)
class Step:
    """What is to be done for the tokens of one block, by their places in a row.

    Args:
        kind: of their block.
        place: of the call among those that are followed, if it is one.
        here: their places in the row.
        inside: which of the block they are.
        base: places of the tokens that they were made around.
        members: (count, most) places of those that they were made of.
        count: (count, 1), how many these are.
        shape: of the call's queries.
        keys: places of the call's keys.
        past: which of the block a residual connection leads past; none, where the call's queries are no tokens.
        shared: whether those that it was made of are parts of one, as heads are.
    """

    kind: str
    place: int | None
    here: Tensor
    inside: Tensor
    base: Tensor
    members: Tensor
    count: Tensor
    shape: tuple[int, ...]
    keys: Tensor
    past: Tensor
    shared: bool = False

    @cached_property
    def _all_past(self) -> bool:
        return bool(self.past.all())

    @cached_property
    def of_all(self) -> bool:
        """Whether the tokens are all of the call's queries, in their order."""
        return self.inside.numel() == math.prod(self.shape)

    def choose(self, past: float, alone: float, like: Tensor) -> Tensor | float:
        """One number for tokens that a residual connection leads past, and another for the rest."""
        return past if self._all_past else torch.where(self.past, past, alone).to(like)

    def to(self, device: torch.device) -> Step:
        """The same on another device."""
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {n: each.to(device) for n, each in vars(self).items() if isinstance(each, Tensor)}
        return replace(self, **moved)


def are_apart(size: int, steps: Sequence[Step], starts: Sequence[Tensor], entries: Tensor) -> bool:
    """Whether each token that images begin with is led to by its own image alone.

    Args:
        size: how many places a row has; the last one is that of all that leads nowhere.
        steps: from the last call to the first.
        starts: (images, tokens) places that each image starts from.
        entries: (images, tokens, most) places of what it begins with.
    """
    device = entries.device
    least, most = (torch.full((size,), nobody, device=device) for nobody in (NOBODY, -NOBODY))
    for start in starts:
        image = torch.arange(len(start), device=device)[:, None].expand_as(start)
        _spread(least, most, start, image, image)
    for step in steps:
        low, high = least[step.here], most[step.here]
        _spread(least, most, step.base, low, high)
        if step.members.numel():
            _spread(least, most, step.members, *(each[:, None].expand_as(step.members) for each in (low, high)))
        if step.place is not None:
            _spread(least, most, step.keys, *_reach_keys(step, low, high))
    image = torch.arange(len(entries), device=device)[:, None, None].expand_as(entries)
    low, high, real = least[entries], most[entries], entries != size - 1
    own = (low >= image) & (high <= image)
    return bool((own | (low > high) | ~real).all())


def _reach_keys(step: Step, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Who leads to the keys of a call: all that lead to one of its slice's outputs."""
    found = []
    for values, nobody in ((low, NOBODY), (high, -NOBODY)):
        whole = values.new_full((step.shape[0] * step.shape[1],), nobody).index_copy_(0, step.inside, values)
        slices = whole.view(step.shape[0], step.shape[1])
        best = slices.amin(1) if nobody > 0 else slices.amax(1)
        found.append(best[:, None].expand(len(best), len(step.keys) // len(best)).reshape(-1))
    return found[0], found[1]


def _spread(least: Tensor, most: Tensor, places: Tensor, low: Tensor, high: Tensor) -> None:
    least.scatter_reduce_(0, places.reshape(-1), low.reshape(-1), "amin")
    most.scatter_reduce_(0, places.reshape(-1), high.reshape(-1), "amax")
