"""A classifier of which LoRA adapters and the head alone learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from jumok.tasks.classify.training import Classifier
from jumok.tasks.running.adapters import add_adapters, merge_adapters

__all__ = ["AdaptedClassifier"]


class AdaptedClassifier(Classifier):
    """A model in training of which adapters and the head alone learn.

    Args:
        model: whose other weights stay as they are.
        head: the name of its head; None: only adapters learn.
        rank: of the adapters.
        options: as for `Classifier`.
    """

    def __init__(self, model: nn.Module, head: str | None, rank: int, **options: Any) -> None:
        add_adapters(model, head, rank)
        super().__init__(model, **options)

    def complete(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return merge_adapters(weights)
