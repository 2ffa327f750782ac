"""A random order in which what is read together stays near: blocks are shuffled, and then what some of them hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Neighbours"]


@dataclass(frozen=True)
class Neighbours:
    """What lies near what.

    Args:
        blocks: (n,) int64, the block that each of a set lies in.
        sizes: (blocks,) int64, of each block.
        window: blocks of about so much in all are shuffled among each other.
    """

    blocks: Tensor
    sizes: Tensor
    window: int

    def shuffle(self, chance: torch.Generator) -> Tensor:
        """An order (n,) of the set: each once, those of one window after those of another."""
        order = torch.randperm(len(self.sizes), generator=chance)
        ends = self.sizes[order].cumsum(0)
        windows = torch.empty_like(order)
        windows[order] = (ends - self.sizes[order]).div(self.window, rounding_mode="floor")
        drawn = torch.randperm(len(self.blocks), generator=chance)
        return drawn[torch.argsort(windows[self.blocks[drawn]], stable=True)]

    def choose(self, indices: Tensor) -> Neighbours:
        """The same of a set that holds these of it, some perhaps several times."""
        return Neighbours(self.blocks[indices], self.sizes, self.window)
