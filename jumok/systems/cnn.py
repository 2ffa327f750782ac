"""A small convolutional network that attends to nothing: the plain baseline for those that do.

Pixels -> blocks of convolution, norm and pooling, each at half the size -> mean -> logits. Where it looked is told by
Grad-CAM on its last feature map.
"""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.systems.resnet import check_pixels, convolution

__all__ = ["CNN", "CNNConfig"]

LEAST = 8  # places of the last feature map's shorter side, below which nothing more is halved

Side = Annotated[int, Field(ge=1, le=8192)]
Width = Annotated[int, Field(ge=1, le=8192)]


class CNNConfig(BaseModel):
    """Everything needed to build a `CNN`.

    Args:
        classes: how many to tell apart.
        image_size: pixels, one side of a square or (height, width): it decides how often the image is halved, until the
            last feature map has 8 places on its shorter side, or as many as `widths` allow. Other sizes can be shown to
            the model later.
        widths: channels of each block.
        dropout: probability, on what the class is read off, in training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=1, le=1_000_000)
    image_size: Side | tuple[Side, Side] = 64
    widths: tuple[Width, ...] = (16, 32, 64, 128)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> CNNConfig:
        if not 1 <= len(self.widths) <= 16:
            raise JumokError(f"widths are given for 1 to 16 blocks, got {len(self.widths)}: such as [16, 32, 64, 128]")
        return self

    @property
    def halvings(self) -> int:
        """How many of the blocks halve their input."""
        side = self.image_size if isinstance(self.image_size, int) else min(self.image_size)
        return sum(side >> number + 1 >= LEAST for number in range(len(self.widths)))


class CNN(nn.Module):
    """A convolutional network that classifies images.

    >>> model = CNN(CNNConfig(classes=4, image_size=(32, 48), widths=(8, 16)))
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        sizes = itertools.pairwise((3, *config.widths))
        self.blocks = nn.Sequential(
            *(Block(size_in, size, number < config.halvings) for number, (size_in, size) in enumerate(sizes))
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.widths[-1], config.classes)

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
        if min(pixels.shape[2:]) >> self.config.halvings == 0:
            least = 1 << self.config.halvings
            raise JumokError(f"pixels have shape {tuple(pixels.shape)}, wanted sides of {least} or more")
        if pixels.device.type == "cpu":  # where convolutions are faster so
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.dropout(self.blocks(pixels).mean((2, 3))))
        return logits


class Block(nn.Module):
    """Convolution, norm, ReLU, and pooling that halves where it is wanted."""

    def __init__(self, channels_in: int, channels: int, halve: bool) -> None:
        super().__init__()
        self.conv, self.norm = convolution(channels_in, channels, 3), nn.BatchNorm2d(channels)
        self.halve = halve

    def forward(self, features: Tensor) -> Tensor:
        features = F.relu(self.norm(self.conv(features)))
        return F.max_pool2d(features, 2) if self.halve else features
