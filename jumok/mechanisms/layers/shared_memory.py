"""Examples that look at the same memory, brought together, so that the memory need not be copied for each."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["EachItsOwn", "SharedMemory", "bring_together"]


class SharedMemory:
    """Puts examples that look at one entry of a memory side by side, as many places for each entry; and back.

    Args:
        of: (examples,) int64, which entry each example looks at.
        entries: how many there are.

    >>> together = SharedMemory(torch.tensor([1, 0, 1]), 2)
    >>> together.gather(torch.tensor([10, 20, 30]))
    tensor([[20,  0],
            [10, 30]])
    >>> together.part(together.gather(torch.tensor([10, 20, 30])))
    tensor([10, 20, 30])
    """

    def __init__(self, of: Tensor, entries: int) -> None:
        counts = torch.bincount(of, minlength=entries)
        self.entries, self.most = entries, int(counts.max())
        order = of.argsort(stable=True)
        turn = torch.empty_like(of)
        turn[order] = torch.arange(len(of), device=of.device) - (counts.cumsum(0) - counts)[of[order]]
        self._place = of * self.most + turn

    def gather(self, examples: Tensor) -> Tensor:
        """(examples, ...) to (entries, places, ...); 0 at places where nobody is."""
        rows = examples.new_zeros(self.entries * self.most, *examples.shape[1:])
        grouped: Tensor = rows.index_copy(0, self._place, examples).unflatten(0, (self.entries, self.most))
        return grouped

    def part(self, rows: Tensor) -> Tensor:
        """(entries, places, ...) to (examples, ...)."""
        return rows.flatten(0, 1)[self._place]


class EachItsOwn:
    """The same for examples of which the first looks at the first entry, the second at the second, and so on."""

    def gather(self, examples: Tensor) -> Tensor:
        """(examples, ...) to (entries, 1, ...)."""
        return examples[:, None]

    def part(self, rows: Tensor) -> Tensor:
        """(entries, 1, ...) to (examples, ...)."""
        return rows[:, 0]


def bring_together(of: Tensor, entries: int) -> SharedMemory | EachItsOwn:
    """Put examples beside those that look at the same entry; in an exported graph each has its own.

    Args:
        of: (examples,) int64, which entry each example looks at.
        entries: how many there are.
    """
    return EachItsOwn() if torch.compiler.is_exporting() else SharedMemory(of, entries)
