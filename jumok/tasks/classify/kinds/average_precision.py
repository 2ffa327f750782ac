"""The average precision of a validation, gathered batch by batch while a model trains."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from jumok.tasks.classify.kinds.label_scores import score_average_precision

__all__ = ["MeanAveragePrecision", "find_lucky"]

ORDERS, AT_ONCE = 1000, 50
"""Random orders of the images that luck is judged by; so many of them at a time."""
LUCKY = 0.975
"""The share of them that is no luckier."""
MOST_SORTED = 20_000_000
"""Images, times labels, times orders; of more, luck is not looked for."""


class MeanAveragePrecision(Metric):
    """The mean over labels of a validation's average precision, without labels that no image has."""

    full_state_update = False
    shares: list[Tensor]
    held: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("shares", default=[], dist_reduce_fx="cat")
        self.add_state("held", default=[], dist_reduce_fx="cat")

    def update(self, shares: Tensor, held: Tensor) -> None:
        """Add a batch, (batch, labels) each."""
        self.shares.append(shares)
        self.held.append(held)

    def compute(self) -> Tensor:
        """Over all batches, of all processes."""
        shares, held = (torch.cat(_as_list(each)).cpu().numpy() for each in (self.shares, self.held))
        found = [each for each in score_average_precision(shares, held.astype(bool)) if each is not None]
        return torch.tensor(float(np.mean(found)) if found else 0.0)


def find_lucky(held: NDArray[np.bool_]) -> float:
    """The mean average precision that only one in 40 random orders of some images is above.

    Args:
        held: (images, labels), which images have which label.
    Returns:
        infinity where there are too many to be tried, or no image has a label.
    """
    if not held.any() or held.size * ORDERS > MOST_SORTED:
        return float("inf")
    chance = np.random.default_rng(0)
    drawn = [[_draw_precision(own, chance) for own in held.T[held.any(0)]] for _ in range(ORDERS // AT_ONCE)]
    return float(np.quantile(np.mean(drawn, axis=1), LUCKY))


def _draw_precision(own: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.float64]:
    """The average precision of some random orders of images (images,) that have a label or not."""
    orders = chance.permuted(np.tile(own, (AT_ONCE, 1)), axis=1)
    found: NDArray[np.float64] = (orders.cumsum(1) / np.arange(1, len(own) + 1) * orders).sum(1) / own.sum()
    return found


def _as_list(state: list[Tensor] | Tensor) -> list[Tensor]:
    """A state, which is one tensor when it comes from several processes."""
    return [state] if isinstance(state, Tensor) else state
