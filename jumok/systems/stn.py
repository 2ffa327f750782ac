"""A spatial transformer network: choose a region of the image, look at a crop of it, name its class.

Pixels -> a small picture of them -> localisation network -> transform -> crop -> a plain CNN -> logits.

Source: Jaderberg, Simonyan, Zisserman & Kavukcuoglu 2015, arXiv 1506.02025, 3. Differs: the localisation network halves
what it sees by convolutions of 3 x 3 with norms, so that images of any size have one of a fitting depth; the classifier
is the network that is the baseline here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from jumok.errors import JumokError
from jumok.mechanisms.layers.linear import Linear
from jumok.mechanisms.spatial_transformer import MOST_POINTS, Outside, SpatialTransformer
from jumok.systems.parts import ConvolutionalClassifier, Share, as_pair, check_pixels

__all__ = ["STN", "STNConfig"]

Side = Annotated[int, Field(ge=2, le=4096)]
Width = Annotated[int, Field(ge=1, le=8192)]
SEEN_SIDE = 64
"""The localisation network sees the whole image at this many pixels a side, or fewer."""
LEAST_CROP_SIDE = 64
"""A crop whose size is not given has at least so many pixels a side, where the image has them."""
LAST_MAP_SIDE = 8
"""The localisation network halves what it sees until a side has so many places or fewer."""


class STNConfig(BaseModel):
    """Everything needed to build an `STN`.

    Args:
        classes: how many to tell apart.
        image_size: pixels, one side of a square or (height, width).
        transform: how the region may lie in the image: `attention` scales and moves it, `affine` also turns and shears
            it, `projective` also sees it in perspective, `thin-plate-spline` also bends it.
        crop: pixels of the region as the classifier sees it, one side or (height, width). None: half of the image's,
            but no fewer than 64 where the image has them.
        outside: what is read outside the image: "zeros", which is the mean of all images, or its "border".
        oversampling: sample the region so many times as densely along each side, and average: against aliasing where
            the crop has far fewer pixels than the region.
        widths: channels of each block of the classifier, which is that of `CNN`.
        localisation: channels of the localisation network's convolutions, and units of its hidden layer.
        dropout: probability, before the last layer, in training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(ge=1, le=1_000_000)
    image_size: Side | tuple[Side, Side] = 224
    transform: Literal["affine", "attention", "projective", "thin-plate-spline"] = "affine"
    crop: Side | tuple[Side, Side] | None = None
    outside: Outside = "zeros"
    oversampling: int = Field(default=1, ge=1, le=8)
    widths: tuple[Width, ...] = Field(default=(16, 32, 64, 128), min_length=1, max_length=16)
    localisation: int = Field(default=32, ge=4, le=1024)
    dropout: Share = 0.0

    @property
    def crop_size(self) -> tuple[int, int]:
        """The crop's (height, width)."""
        if self.crop is not None:
            return as_pair(self.crop)
        height, width = (max(side // 2, min(side, LEAST_CROP_SIDE)) for side in as_pair(self.image_size))
        return height, width

    @model_validator(mode="after")
    def _fits(self) -> STNConfig:
        height, width = self.crop_size
        samples = height * width * self.oversampling**2
        if samples > MOST_POINTS:
            raise JumokError(
                f"a crop of {height} x {width} with oversampling {self.oversampling} takes {samples:,} samples, "
                f"wanted at most {MOST_POINTS:,}: choose a smaller crop"
            )
        return self


class STN(nn.Module):
    """A network that classifies what it sees in a region of its own choice.

    >>> model = STN(STNConfig(classes=4, image_size=(48, 64)))
    >>> model(torch.zeros(5, 3, 48, 64)).shape
    torch.Size([5, 4])
    """

    own_figures = ("outside", "scale")

    def __init__(self, config: STNConfig) -> None:
        super().__init__()
        self.config = config
        height, width = (min(side, SEEN_SIDE) for side in as_pair(config.image_size))
        self.seen = height, width
        self.localise = Localisation(self.seen, config.localisation)
        self.look = SpatialTransformer(
            config.localisation,
            config.crop_size,
            config.transform,
            outside=config.outside,
            oversampling=config.oversampling,
        )
        self.classify = ConvolutionalClassifier(config.classes, config.crop_size, config.widths, config.dropout)

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify images.

        Args:
            pixels: (batch, 3, height, width) float, normalised; of any size, the region is told from a small picture.
        Returns:
            logits: (batch, classes).
        Raises:
            JumokError: pixels of another kind, number of axes or channels.
        """
        crop = self.look(pixels, self._features(pixels))
        logits: Tensor = self.classify(crop)
        return logits

    def figures(self, pixels: Tensor) -> dict[str, Tensor]:
        """How the regions lie: the share of their samples outside the image, and their side in the image's sides.

        A region that leaves the image or is larger than it, and so sees less and less of anything, is how such a
        network fails; it shows here before it shows in the loss.

        Args:
            pixels: as `forward` takes them.
        Returns:
            `outside` and `scale`, (batch,) each.
        """
        points = self.look.points(self._features(pixels))
        outside = (points.abs().amax(-1) > 1).float().mean((1, 2))
        return {"outside": outside, "scale": _scale(points)}

    def _features(self, pixels: Tensor) -> Tensor:
        """What the region is told from: (batch, localisation)."""
        check_pixels(pixels)
        features: Tensor = self.localise(F.adaptive_avg_pool2d(pixels, self.seen))
        return features


class Localisation(nn.Sequential):
    """What tells the region: convolutions that halve what they see, and a hidden layer to which each place is its own.

    Instance norm takes each image's light and texture out and does not mix the examples of a batch.
    """

    def __init__(self, seen: tuple[int, int], width: int) -> None:
        layers: list[nn.Module] = []
        size_in, (rows, columns) = 3, seen
        while max(rows, columns) > LAST_MAP_SIDE or not layers:
            convolution = nn.Conv2d(size_in, width, 3, stride=2, padding=1, bias=False)
            nn.init.trunc_normal_(convolution.weight, std=(2 / (9 * size_in)) ** 0.5)
            layers += [convolution, nn.GroupNorm(width, width), nn.GELU()]
            size_in, rows, columns = width, (rows + 1) // 2, (columns + 1) // 2
        hidden = Linear(width * rows * columns, width)
        nn.init.trunc_normal_(hidden.weight, std=hidden.in_features**-0.5)
        nn.init.zeros_(hidden.bias)
        super().__init__(*layers, nn.Flatten(), hidden, nn.Tanh())


def _scale(points: Tensor) -> Tensor:
    """The root of the area between the outermost samples, as a multiple of what it is at the identity: (batch,)."""
    border = torch.cat([points[:, 0, :-1], points[:, :-1, -1], points[:, -1, 1:].flip(1), points[:, 1:, 0].flip(1)], 1)
    (y, x), (next_y, next_x) = border.unbind(-1), border.roll(-1, 1).unbind(-1)
    rows, columns = points.shape[1:3]
    whole = 4 * (1 - 1 / rows) * (1 - 1 / columns)
    return ((y * next_x - next_y * x).sum(1).abs() / 2 / whole).sqrt()
