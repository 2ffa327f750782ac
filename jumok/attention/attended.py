"""Attention whose weights need not exist: what can be asked of one call, each answer computed when it is asked for."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["ALL", "Attended", "Rows", "Sloped"]

Rows = list[int] | None
"""Queries by number; None: all."""
ALL = slice(None)


class Attended(Protocol):
    """One attention call: weights A of shape (batch, heads, queries, keys)."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, heads, queries, keys)."""

    @property
    def traced(self) -> Tensor | None:
        """The tensor of the call's graph whose gradient `pull_relevance` takes; None where no graph was made."""

    @property
    def device(self) -> torch.device:
        """Where the weights are computed."""

    def weights(self, rows: Rows = None) -> Tensor:
        """A[..., rows, :] in float32 (all rows if None)."""

    def pull(self, row: Tensor) -> Tensor:
        """(batch, queries) r -> (batch, keys): the mean over heads of r A."""

    def pull_relevance(self, row: Tensor, gradient: Tensor) -> Tensor:
        """(batch, queries) r -> (batch, keys): the mean over heads of r (dL/dA * A)+."""

    def relevant(self, gradient: Tensor, images: slice = ALL) -> Tensor:
        """(images, queries, keys): the mean over heads of (dL/dA * A)+, for a part of the batch."""


@runtime_checkable
class Sloped(Protocol):
    """What some calls can tell besides: what the target changes with, and how long their values are."""

    def find_read(self, gradient: Tensor) -> Tensor:
        """(batch, queries) bool: the queries whose outcome changes the target."""

    def pull_slope(self, row: Tensor, gradient: Tensor) -> Tensor:
        """(batch, queries) r -> (batch, keys): the mean over heads of r (dL/dA)+, where keys may be attended."""

    def value_norms(self) -> Tensor:
        """(batch, heads, keys): the length of each value."""
