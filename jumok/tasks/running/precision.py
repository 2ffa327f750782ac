"""Which parts of a model this machine cannot run in the precision that was asked for."""

from __future__ import annotations

import torch
from torch import nn

from jumok.machine import World, accelerator_of
from jumok.mechanisms.recurrent.cells import runs_in

__all__ = ["precision_remarks"]


def precision_remarks(model: nn.Module, precision: str, device: str) -> list[str]:
    """A line for each kind of layer that this machine cannot run in the precision asked for, and runs in float32.

    Args:
        model: as it will be trained or used.
        precision: as in the settings.
        device: as in the settings.
    """
    accelerator, _ = accelerator_of(device, World.found())
    if accelerator != "cpu" or precision != "bf16":
        return []
    layers = {type(layer).__name__: layer for layer in model.modules() if isinstance(layer, nn.RNNBase)}
    missing = sorted(name for name, layer in layers.items() if not runs_in(torch.bfloat16, layer))
    return [f"this processor has no {name} of {precision}: that part runs in float32" for name in missing]
