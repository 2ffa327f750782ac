"""What gates of channels share: how features are squeezed and scaled, and how watchers hear of the gates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from jumok.attention import Channels, One, Scale
from jumok.errors import JumokError
from jumok.mechanisms.example import Example
from jumok.mechanisms.layers.gate_ops import gate_features, mean
from jumok.watching.watchers import is_watched, report, unseen

__all__ = ["ChannelGates", "check_features", "make_gate_example", "report_channels", "scale", "squeeze"]


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


class ChannelGates(nn.Module):
    """A module that multiplies each channel by a gate of its own; `gates` says by which.

    Args:
        channels: of the feature maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        """Gate each channel.

        Args:
            features: (batch, channels, rows, columns), float.
        Returns:
            the same shape.
        Raises:
            JumokError: features of another shape.
        """
        check_features(features, self.channels)
        with unseen():
            gates = self.gates(features)
            gated = scale(features, gates)
        report_channels(gates)
        return gated

    def gates(self, features: Tensor) -> Tensor:
        """How far each channel is let through: (batch, channels) in [0, 1]."""
        raise NotImplementedError


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


def make_gate_example(module: nn.Module, gates: Callable[[Tensor], Tensor]) -> Example:
    """Two images of twelve channels go through a module.

    Args:
        module: for twelve channels, in eval mode.
        gates: of its channels, from features: (batch, channels).
    """
    return Example(
        output=module,
        weights=lambda features: gates(features)[:, None],
        inputs={"features": torch.randn(2, 12, 5, 7, generator=torch.Generator().manual_seed(0))},
        wrong={"features": torch.zeros(2, 11, 5, 7)},
        scale=Scale.GATE,
        module=module,
    )
