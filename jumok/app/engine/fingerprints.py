"""What tells one model's weights from another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["add_weights"]


def add_weights(found: _Hash, model: nn.Module) -> None:
    """Add a model's weights and buffers, with their names, to a hash."""
    for name, values in sorted(model.state_dict().items()):
        found.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        found.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
