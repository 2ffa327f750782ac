"""Squeeze and excitation: each channel of a feature map gets a gate, from the means of all channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jumok.attention import Channels, One, Scale
from jumok.errors import JumokError
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.gate_ops import gate_features, mean
from jumok.watching.recorder import is_watched, report, unseen

__all__ = ["SqueezeExcitation", "check_features", "example", "report_channels", "scale", "squeeze"]

FEWEST_MIDDLE_UNITS = 4  # units of the middle layer: one or two would hardly tell channels apart
FIRST_GATE_LOGIT = 2.0  # what gates begin with, before the sigmoid


def squeeze(features: Tensor) -> Tensor:
    """Take the mean of each channel over all places: z_c = 1/(H W) sum_ij u_c(i, j).

    Args:
        features: (batch, channels, rows, columns), float.
    Returns:
        (batch, channels).
    Source: Hu, Shen & Sun 2018, arXiv 1709.01507, equation 2.

    >>> squeeze(torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]]]))
    tensor([[2., 2.]])
    """
    return mean(features, (2, 3))


def scale(features: Tensor, gates: Tensor) -> Tensor:
    """Multiply each channel by its gate: x_c = s_c u_c.

    Args:
        features: (batch, channels, rows, columns), float.
        gates: (batch, channels).
    Returns:
        (batch, channels, rows, columns).
    Source: Hu, Shen & Sun 2018, arXiv 1709.01507, equation 4.
    """
    return gate_features(features, gates[:, :, None, None])


class SqueezeExcitation(nn.Module):
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
        super().__init__()
        if min(channels, reduction) < 1:
            raise JumokError(f"channels and reduction are 1 or more, got {channels} and {reduction}")
        middle = max(channels // reduction, FEWEST_MIDDLE_UNITS)
        self.reduce, self.expand = nn.Linear(channels, middle), nn.Linear(middle, channels)  # W1, W2
        nn.init.constant_(self.expand.bias, FIRST_GATE_LOGIT)

    def forward(self, features: Tensor) -> Tensor:
        """Gate each channel.

        Args:
            features: (batch, channels, rows, columns), float.
        Returns:
            the same shape.
        Raises:
            JumokError: features of another shape.
        """
        check_features(features, self.reduce.in_features)
        with unseen():
            gates = self.gates(features)
            gated = scale(features, gates)
        report_channels(gates)
        return gated

    def gates(self, features: Tensor) -> Tensor:
        """How far each channel is let through: (batch, channels) in [0, 1]."""
        # s = sigmoid(W2 relu(W1 z)), equation 3
        return torch.sigmoid(self.expand(F.relu(self.reduce(squeeze(features)))))


def check_features(features: Tensor, channels: int | None = None) -> None:
    """Refuse what is not a batch of feature maps with so many channels.

    Raises:
        JumokError: the shape differs; the message names both.
    """
    if features.dim() != 4 or features.shape[1] != (channels or features.shape[1]):
        wanted = f"(batch, {channels or 'channels'}, rows, columns)"
        raise JumokError(f"features have shape {tuple(features.shape)}, wanted {wanted}")


def report_channels(gates: Tensor) -> None:
    """Report one gate per image and channel to watchers: (batch, channels)."""
    if is_watched():
        report(gates[:, None], (One("image"), Channels.numbered(gates.shape[1])), Scale.GATE)


def example() -> Example:
    """Two images of twelve channels."""
    module = SqueezeExcitation(12, 2).eval()
    features = torch.randn(2, 12, 5, 7, generator=torch.Generator().manual_seed(0))
    return Example(
        output=module,
        weights=lambda features: module.gates(features)[:, None],
        inputs={"features": features},
        wrong={"features": torch.zeros(2, 11, 5, 7)},
        scale=Scale.GATE,
        module=module,
    )
