"""What a system may bring along for its training: a loss of its own, and figures to show at each validation."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["OwnFigures", "OwnLoss"]


@runtime_checkable
class OwnLoss(Protocol):
    """A system that is not trained by cross-entropy alone, such as one that chooses where to look."""

    def loss(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """What is minimised.

        Args:
            pixels: (batch, 3, height, width) float, normalised.
            targets: (batch, classes) float, each row summing to 1.
        Returns:
            a scalar.
        """


@runtime_checkable
class OwnFigures(Protocol):
    """A system with figures of its own to show at each validation, such as how much of its region lies outside."""

    own_figures: tuple[str, ...]

    def figures(self, pixels: Tensor) -> dict[str, Tensor]:
        """Those figures.

        Args:
            pixels: (batch, 3, height, width) float, normalised.
        Returns:
            (batch,) for each name of `own_figures`.
        """
