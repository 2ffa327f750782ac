"""Efficient channel attention: each channel's gate is told by the means of that channel and its next neighbours."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.channel_gates import ChannelGates, make_gate_example, squeeze

__all__ = ["EfficientChannel", "choose_reach", "example"]


def choose_reach(channels: int, gamma: float = 2.0, b: float = 1.0) -> int:
    """How many channels tell one gate, the nearest odd number to (log2(C) + b) / gamma, rounded as the authors do.

    Source: Wang et al. 2020, arXiv 1910.03151, equation 12.

    >>> [choose_reach(channels) for channels in (16, 64, 256, 512)]
    [3, 3, 5, 5]
    """
    size = int(abs((math.log2(channels) + b) / gamma))
    return size if size % 2 else size + 1


class EfficientChannel(ChannelGates):
    """The gate of ECA-Net: s = sigmoid(a convolution along the channels' means); the features times s.

    Args:
        channels: of the feature maps.
        size: how many neighbouring channels tell one gate, odd. None: grows with their number; see `choose_reach`.
    Raises:
        JumokError: a number below 1, or a size that is even.
    Source: Wang et al. 2020, arXiv 1910.03151, 3.2.2, equations 9 to 12.

    >>> EfficientChannel(8)(torch.zeros(2, 8, 5, 6)).shape
    torch.Size([2, 8, 5, 6])
    """

    def __init__(self, channels: int, size: int | None = None) -> None:
        super().__init__(channels)
        if channels < 1:
            raise JumokError(f"channels are 1 or more, got {channels}")
        size = choose_reach(channels) if size is None else size
        if size < 1 or size % 2 == 0:
            raise JumokError(f"size is an odd number of channels, 1 or more, got {size}")
        self.neighbours = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def gates(self, features: Tensor) -> Tensor:
        """How far each channel is let through: (batch, channels) in [0, 1]."""
        return torch.sigmoid(self.neighbours(squeeze(features)[:, None])[:, 0])


def example() -> Example:
    """Two images of twelve channels."""
    module = EfficientChannel(12).eval()
    return make_gate_example(module, module.gates)
