"""Parts that several systems share: checks of pixels, convolutions, a plain classifier, layers of Transformers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.layers.dropout import Dropout
from jumok.mechanisms.layers.linear import Linear

__all__ = [
    "ConvolutionBlock",
    "ConvolutionalClassifier",
    "Share",
    "Side",
    "TokenMLP",
    "as_pair",
    "channels_last",
    "check_pixels",
    "convolution",
    "count_halvings",
    "initialise",
    "resize_positions",
]

LAST_MAP_SIDE = 8
"""The classifier halves nothing more once its feature map's shorter side would have fewer places."""

Side = Annotated[int, Field(ge=1, le=8192)]
"""Pixels of an image's side, in a configuration."""
Share = Annotated[float, Field(ge=0, lt=1)]
"""A probability that may be 0, in a configuration."""


# -- pixels ---------------------------------------------------------------------------------------


def as_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image size as configurations hold it."""
    return (size, size) if isinstance(size, int) else size


def check_pixels(pixels: Tensor) -> None:
    """Refuse what is not a batch of normalised images.

    Raises:
        JumokError: pixels of another kind, number of axes or channels.
    """
    if pixels.dim() != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise JumokError(f"pixels have shape {tuple(pixels.shape)}, wanted (batch, 3, height, width)")
    if not pixels.is_floating_point():
        raise JumokError(f"pixels are {pixels.dtype}, wanted float, normalised as in training")


def channels_last(pixels: Tensor) -> Tensor:
    """The same pixels in the order of memory in which convolutions are faster on a CPU, a third for a ResNet."""
    return pixels.contiguous(memory_format=torch.channels_last) if pixels.device.type == "cpu" else pixels


# -- convolutions ---------------------------------------------------------------------------------


def convolution(channels_in: int, channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size but for its stride; the norm after it has the bias."""
    layer = nn.Conv2d(channels_in, channels, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class ConvolutionBlock(nn.Module):
    """Convolution, norm, ReLU, and pooling that halves where it is wanted."""

    def __init__(self, channels_in: int, channels: int, halve: bool) -> None:
        super().__init__()
        self.conv, self.norm = convolution(channels_in, channels, 3), nn.BatchNorm2d(channels)
        self.halve = halve

    def forward(self, features: Tensor) -> Tensor:
        features = F.relu(self.norm(self.conv(features)))
        return F.max_pool2d(features, 2) if self.halve else features


def count_halvings(image_size: int | tuple[int, int], blocks: int) -> int:
    """How many of a `ConvolutionalClassifier`'s blocks halve their input, for images of this size."""
    return sum(min(as_pair(image_size)) >> number + 1 >= LAST_MAP_SIDE for number in range(blocks))


class ConvolutionalClassifier(nn.Module):
    """Blocks of convolution, norm and pooling, their mean, and one linear layer.

    Args:
        classes: how many to tell apart.
        image_size: pixels, one side of a square or (height, width): it decides how many blocks halve their input.
        widths: channels of each block.
        dropout: probability, on what the class is read off, in training.
    """

    def __init__(
        self, classes: int, image_size: int | tuple[int, int], widths: Sequence[int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.halvings = count_halvings(image_size, len(widths))
        sizes = itertools.pairwise((3, *widths))
        self.blocks = nn.Sequential(
            *(ConvolutionBlock(size_in, size, number < self.halvings) for number, (size_in, size) in enumerate(sizes))
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify images.

        Args:
            pixels: (batch, 3, height, width) float, normalised.
        Returns:
            logits: (batch, classes).
        Raises:
            JumokError: pixels of another kind, number of axes or channels, or too small to be halved so often.
        """
        check_pixels(pixels)
        if min(pixels.shape[2:]) >> self.halvings == 0:
            least = 1 << self.halvings
            raise JumokError(f"pixels have shape {tuple(pixels.shape)}, wanted sides of {least} or more")
        logits: Tensor = self.head(self.dropout(self.blocks(channels_last(pixels)).mean((2, 3))))
        return logits


# -- Transformers ---------------------------------------------------------------------------------


class TokenMLP(nn.Module):
    """Each token by itself: widen, GELU, narrow."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.widen, self.narrow = Linear(width, hidden), Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        narrowed: Tensor = self.dropout(self.narrow(self.dropout(F.gelu(self.widen(tokens)))))
        return narrowed


def resize_positions(position: Tensor, rows: int, columns: int) -> Tensor:
    """Interpolate (1, width, rows, columns) to another grid, bicubically (Dosovitskiy et al. 2021, 3.2)."""
    if position.shape[2:] == (rows, columns):
        return position
    return F.interpolate(position, (rows, columns), mode="bicubic", align_corners=False)


def initialise(module: nn.Module) -> None:
    """Linear layers and convolutions begin so that they keep the spread of what they are given, their biases with 0.

    A spread of 0.02 for all, as is usual, suits a width of 768 and more; narrow models hardly begin to learn from it.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
