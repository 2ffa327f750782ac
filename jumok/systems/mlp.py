"""A multi-layer perceptron on the raw pixels: the plainest baseline, that knows nothing of places.

Pixels -> one vector -> hidden layers -> logits.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.systems.parts import Side, as_pair, check_pixels

__all__ = ["MLP", "MLPConfig"]

MOST_INPUTS = 1 << 12  # pixels that are looked at; a larger image is averaged down to no more than these

Hidden = Annotated[int, Field(ge=1, le=65_536)]


class MLPConfig(BaseModel):
    """Everything needed to build an `MLP`.

    Args:
        classes: how many to tell apart.
        image_size: pixels, one side of a square or (height, width); the model takes this size only.
        hidden: units of each hidden layer.
        dropout: probability, after each hidden layer, in training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=1, le=1_000_000)
    image_size: Side | tuple[Side, Side] = 64
    hidden: tuple[Hidden, ...] = (128, 128)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> MLPConfig:
        if len(self.hidden) > 16:
            raise JumokError(f"hidden has at most 16 layers, got {len(self.hidden)}")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return as_pair(self.image_size)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) that the image is averaged down to, at most 4,096 in all and no more than it has pixels."""
        height, width = self.size
        shrink = max(1, math.ceil(math.sqrt(height * width / MOST_INPUTS)))
        return max(1, height // shrink), max(1, width // shrink)


class MLP(nn.Module):
    """A multi-layer perceptron that classifies images of one size.

    >>> import torch
    >>> model = MLP(MLPConfig(classes=4, image_size=(32, 48)))
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (3 * math.prod(config.grid), *config.hidden)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sizes))
        self.head = nn.Linear(sizes[-1], config.classes)
        self.dropout = nn.Dropout(config.dropout)
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify images.

        Args:
            pixels: (batch, 3, height, width) float, normalised, of the size in the configuration.
        Returns:
            logits: (batch, classes).
        Raises:
            JumokError: pixels of another kind or size.
        """
        check_pixels(pixels)
        if tuple(pixels.shape[2:]) != self.config.size:
            raise JumokError(
                f"pixels have shape {tuple(pixels.shape)}, wanted (batch, 3, {self.config.size[0]}, "
                f"{self.config.size[1]}): an MLP takes one size only, resize the images"
            )
        units = F.adaptive_avg_pool2d(pixels, self.config.grid).flatten(1)
        for layer in self.layers:
            units = self.dropout(F.relu(layer(units)))
        logits: Tensor = self.head(units)
        return logits
