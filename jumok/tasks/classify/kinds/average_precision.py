"""The average precision of a validation, gathered batch by batch while a model trains."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from jumok.tasks.classify.kinds.label_scores import score_average_precision

__all__ = ["MeanAveragePrecision"]


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


def _as_list(state: list[Tensor] | Tensor) -> list[Tensor]:
    """A state, which is one tensor when it comes from several processes."""
    return [state] if isinstance(state, Tensor) else state
