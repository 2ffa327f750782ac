"""The convolutional block attention module: a gate for each channel, then a gate for each place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.attention import One, Patches, Scale
from jumok.errors import JumokError
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.channel_gates import ChannelGates, check_features, make_gate_example
from jumok.mechanisms.layers.gate_ops import gate_features, mean_and_largest
from jumok.mechanisms.squeeze_excitation import FEWEST_MIDDLE_UNITS, FIRST_GATE_LOGIT
from jumok.watching.watchers import is_watched, report, unseen

__all__ = ["CBAM", "ChannelGate", "SpatialGate", "example"]


class ChannelGate(ChannelGates):
    """A gate for each channel, from its mean and its largest value: sigmoid(MLP(mean) + MLP(max)).

    Args:
        channels: of the feature maps.
        reduction: how many times fewer units the middle layer has; it keeps at least 4.
    Raises:
        JumokError: a number below 1.
    Source: Woo et al. 2018, arXiv 1807.06521, 3, equation 2.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(channels)
        if min(channels, reduction) < 1:
            raise JumokError(f"channels and reduction are 1 or more, got {channels} and {reduction}")
        middle = max(channels // reduction, FEWEST_MIDDLE_UNITS)
        self.reduce, self.expand = nn.Linear(channels, middle), nn.Linear(middle, channels)  # W0, W1
        nn.init.constant_(self.expand.bias, FIRST_GATE_LOGIT / 2)  # it counts twice

    def gates(self, features: Tensor) -> Tensor:
        """How far each channel is let through: (batch, channels) in [0, 1]."""
        both = torch.stack(mean_and_largest(features, (2, 3)))  # (2, batch, channels)
        # W1 is linear: it need only be applied once, to the sum
        return torch.sigmoid(F.linear(F.relu(self.reduce(both)).sum(0), self.expand.weight, 2 * self.expand.bias))


class SpatialGate(nn.Module):
    """A gate for each place, from the mean and the largest of its channels, by a convolution over the places around.

    Args:
        size: places of the convolution's side, odd.
    Raises:
        JumokError: a size below 1 or even.
    Source: Woo et al. 2018, arXiv 1807.06521, 3, equation 3.
    """

    def __init__(self, size: int = 7) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise JumokError(f"size is an odd number of places, 1 or more, got {size}")
        self.around = nn.Conv2d(2, 1, size, padding=size // 2)
        assert self.around.bias is not None
        nn.init.constant_(self.around.bias, FIRST_GATE_LOGIT)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, rows, columns) to the same, each place times its gate."""
        check_features(features)
        with unseen():
            gates = self.gates(features)
            gated = gate_features(features, gates)
        if is_watched():
            report(gates.flatten(2), (One("image"), Patches(*gates.shape[2:])), Scale.GATE)
        return gated

    def gates(self, features: Tensor) -> Tensor:
        """How far each place is let through: (batch, 1, rows, columns) in [0, 1]."""
        both = torch.stack(mean_and_largest(features, (1,)), 1)
        return torch.sigmoid(self.around(both))


class CBAM(nn.Module):
    """The gate for channels, then the gate for places.

    Args:
        channels: of the feature maps.
        reduction: how many times fewer units the middle layer of the channels' gate has; it keeps at least 4.
        size: places of the side of the spatial gate's convolution, odd.
    Raises:
        JumokError: a number below 1, or a size that is even.
    Source: Woo et al. 2018, arXiv 1807.06521, 3, equation 1. Differs: no norm after the spatial gate's convolution,
        which the authors' code has and the equation has not; gates begin nearly open, at 0.88.

    >>> CBAM(8)(torch.zeros(2, 8, 5, 6)).shape
    torch.Size([2, 8, 5, 6])
    """

    def __init__(self, channels: int, reduction: int = 16, size: int = 7) -> None:
        super().__init__()
        self.channel, self.spatial = ChannelGate(channels, reduction), SpatialGate(size)

    def forward(self, features: Tensor) -> Tensor:
        """Gate the channels, then the places.

        Args:
            features: (batch, channels, rows, columns), float.
        Returns:
            the same shape.
        Raises:
            JumokError: features of another shape.
        """
        gated: Tensor = self.spatial(self.channel(features))
        return gated


def example() -> Example:
    """Two images of twelve channels; the weights are the channels' gates, which come first."""
    module = CBAM(12, 2).eval()
    return make_gate_example(module, module.channel.gates)
