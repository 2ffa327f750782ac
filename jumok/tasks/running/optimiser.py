"""The optimiser and the learning-rate schedule: AdamW that decays matrices only, up in a line and down in a cosine."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from jumok.tasks.running.config import Training

__all__ = ["group_parameters", "make_optimiser", "rate"]


def make_optimiser(model: nn.Module, settings: Training, steps: int, *, fused: bool, start: int = 0) -> dict[str, Any]:
    """The optimiser with its schedule, as Lightning takes them.

    Args:
        model: what is trained.
        settings: of the training.
        steps: of the whole training.
        fused: by PyTorch's fused kernel.
        start: step at which the schedule begins, for a run that was lengthened.
    """
    optimizer = torch.optim.AdamW(group_parameters(model, settings.weight_decay), lr=settings.lr, fused=fused)
    schedule = LambdaLR(optimizer, lambda step: rate(step - start, steps - start, settings.warmup))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def group_parameters(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters: weights with two or more dimensions decay; biases, norms, positions and tokens do not."""
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    decayed = [value for name, value in named if value.ndim >= 2 and name.rpartition(".")[2].endswith("weight")]
    chosen = {id(value) for value in decayed}
    kept = [value for _, value in named if id(value) not in chosen]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def rate(step: int, steps: int, warmup: float) -> float:
    """The learning rate of a step as a share of the highest: up in a line, down in half a cosine.

    >>> [round(rate(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rising = round(steps * warmup)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(steps - rising, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
