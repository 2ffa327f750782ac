"""A small convolutional network that attends to nothing: the plain baseline for those that do.

Pixels -> blocks of convolution, norm and pooling, each at half the size -> mean -> logits. Where it looked is told by
Grad-CAM on its last feature map.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jumok.errors import JumokError
from jumok.systems.parts import ConvolutionalClassifier, Side, count_halvings

__all__ = ["CNN", "CNNConfig"]

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
        return count_halvings(self.image_size, len(self.widths))


class CNN(ConvolutionalClassifier):
    """A convolutional network that classifies images.

    >>> import torch
    >>> model = CNN(CNNConfig(classes=4, image_size=(32, 48), widths=(8, 16)))
    >>> model(torch.zeros(5, 3, 32, 48)).shape
    torch.Size([5, 4])
    """

    def __init__(self, config: CNNConfig) -> None:
        super().__init__(config.classes, config.image_size, config.widths, config.dropout)
        self.config = config
