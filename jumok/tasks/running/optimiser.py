"""The optimiser and the learning-rate schedule: AdamW that decays matrices only, up in a line and down in a cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from jumok.tasks.running.config import Training

__all__ = ["FACTOR", "group_parameters", "make_optimiser", "rate"]


FACTOR = "lr_factor"
"""Where a group of parameters keeps the factor on its learning rate."""


def make_optimiser(
    groups: Sequence[dict[str, Any]], settings: Training, steps: int, *, fused: bool, start: int = 0
) -> dict[str, Any]:
    """The optimiser with its schedule, as Lightning takes them.

    Args:
        groups: of parameters; see `group_parameters`.
        settings: of the training.
        steps: of the whole training.
        fused: by PyTorch's fused kernel.
        start: step at which the schedule begins, for a run that was lengthened.
    """
    rated = [{**group, "lr": settings.lr * group.get(FACTOR, 1.0)} for group in groups]
    optimizer = torch.optim.AdamW(rated, lr=settings.lr, fused=fused)
    schedule = LambdaLR(optimizer, lambda step: rate(step - start, steps - start, settings.warmup))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def group_parameters(
    model: nn.Module, weight_decay: float, factors: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Split the parameters: weights with two or more dimensions decay; biases, norms, positions and tokens do not.

    Args:
        model: whose; frozen ones are left out.
        weight_decay: of those that decay.
        factors: on the learning rate, by name of the parameter; the groups with the largest come first.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            decays = value.ndim >= 2 and name.rpartition(".")[2].endswith("weight")
            groups.setdefault((factors[name] if factors else 1.0, decays), []).append(value)
    return [
        {"params": values, "weight_decay": weight_decay if decays else 0.0, **({FACTOR: factor} if factors else {})}
        for (factor, decays), values in sorted(groups.items(), reverse=True, key=lambda pair: pair[0])
    ]


def rate(step: int, steps: int, warmup: float) -> float:
    """The learning rate of a step as a share of the highest: up in a line, down in half a cosine.

    >>> [round(rate(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    >>> rate(-3, 2, 0.1)
    1.0
    """
    rising, step = round(steps * warmup), max(step, 0)  # before its start where a run is lengthened
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(steps - rising, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
