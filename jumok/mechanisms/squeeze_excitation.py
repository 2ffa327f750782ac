"""Squeeze and excitation: each channel of a feature map gets a gate, from the means of all channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.channel_gates import ChannelGates, make_gate_example, squeeze

__all__ = ["SqueezeExcitation", "example"]

FEWEST_MIDDLE_UNITS = 4  # units of the middle layer: one or two would hardly tell channels apart
FIRST_GATE_LOGIT = 2.0  # what gates begin with, before the sigmoid


class SqueezeExcitation(ChannelGates):
    """The gate of SENet: s = sigmoid(W2 relu(W1 z)), z the means of the channels; the features times s.

    Args:
        channels: of the feature maps.
        reduction: how many times fewer units the middle layer has; it keeps at least 4.
    Raises:
        JumokError: a number below 1.
    Source: Hu, Shen & Sun 2018, arXiv 1709.01507, 3.1 and 3.2. Differs: the layers have biases, and
        gates begin nearly open, at 0.88: a network whose branches begin halved learns more slowly.

    >>> SqueezeExcitation(8)(torch.zeros(2, 8, 5, 6)).shape
    torch.Size([2, 8, 5, 6])
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(channels)
        if min(channels, reduction) < 1:
            raise JumokError(f"channels and reduction are 1 or more, got {channels} and {reduction}")
        middle = max(channels // reduction, FEWEST_MIDDLE_UNITS)
        self.reduce, self.expand = nn.Linear(channels, middle), nn.Linear(middle, channels)  # W1, W2
        nn.init.constant_(self.expand.bias, FIRST_GATE_LOGIT)

    def gates(self, features: Tensor) -> Tensor:
        """How far each channel is let through: (batch, channels) in [0, 1]."""
        # s = sigmoid(W2 relu(W1 z)), equation 3
        return torch.sigmoid(self.expand(F.relu(self.reduce(squeeze(features)))))


def example() -> Example:
    """Two images of twelve channels."""
    module = SqueezeExcitation(12, 2).eval()
    return make_gate_example(module, module.gates)
