"""What an image processor does, found by giving it images that tell: to colours, and to the places of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from jumok.attention.frames import Frame
from jumok.errors import JumokError

__all__ = ["Colours", "find_frame", "observe_colours"]

Run = Callable[[Image.Image], Tensor]
MIDDLE = 128
NEAR = 2e-3
"""Of a processor's range, by which a middle grey may lie beside the line from black to white."""
TRIMMED = 0.1
"""Of what is seen, at each border: there, resampling may not follow the ramp."""
BENT = 0.05
"""Of the image, by which a place may lie beside the line that the others make."""
SAME = 0.002
"""Of the image, by which an edge may lie beside its border and still be that."""


@dataclass(frozen=True)
class Colours:
    """What becomes of colours: mixed, scaled and shifted.

    Args:
        mixed: (channels, 3): of each channel that is given, how much of red, green and blue in [0, 1] it has.
        offset: (channels,): what black becomes.
        size: (height, width) that a square image is brought to.
    """

    mixed: Tensor
    offset: Tensor
    size: tuple[int, int]

    def apply(self, colours: Tensor) -> Tensor:
        """(..., 3, height, width) in [0, 1] to (..., channels, height, width)."""
        mixed, offset = self.mixed.to(colours), self.offset.to(colours)
        return torch.einsum("ck,...khw->...chw", mixed, colours) + offset[:, None, None]

    def undo(self, pixels: Tensor) -> Tensor:
        """(..., channels, height, width) to (..., 3, height, width) in [0, 1]; of one channel, grey."""
        shifted = pixels - self.offset.to(pixels)[:, None, None]
        return torch.einsum("kc,...chw->...khw", self._inverse.to(pixels), shifted)

    @cached_property
    def _inverse(self) -> Tensor:
        grey = len(self.mixed) == 1
        found: Tensor = (1 / self.mixed.sum(1, keepdim=True)).expand(3, 1) if grey else torch.linalg.inv(self.mixed)
        return found

    @property
    def mean(self) -> tuple[float, ...]:
        """The colour that becomes 0."""
        return _shorten(self.undo(torch.zeros(len(self.offset), 1, 1)).flatten())

    @property
    def std(self) -> tuple[float, ...]:
        """By how much each of red, green and blue must grow for the sum of what is given to grow by 1."""
        grown = self.mixed.sum(0) if len(self.mixed) > 1 else self.mixed.sum().expand(3)
        return _shorten(1 / grown)

    @property
    def order(self) -> tuple[int, ...] | None:
        """Of each channel that is given, the one colour that it is of; None where colours are mixed."""
        chosen = self.mixed.abs().argmax(1)
        alone = torch.zeros_like(self.mixed).scatter(1, chosen[:, None], self.mixed.gather(1, chosen[:, None]))
        kept = tuple(chosen.tolist())
        return kept if torch.equal(alone, self.mixed) and sorted(kept) == [0, 1, 2] else None


def _shorten(values: Tensor) -> tuple[float, ...]:
    """As many digits as were found."""
    return tuple(0.0 if abs(value) < 1e-6 else float(f"{value:.6g}") for value in values.tolist())


def observe_colours(run: Run, side: int, name: str) -> Colours:
    """Find what a processor makes of colours, in the middle of plain images.

    Args:
        run: the processor.
        side: of the images.
        name: of the model, for messages.
    Raises:
        JumokError: it does something else to them.
    """

    def give(*colour: int) -> Tensor:
        return run(Image.new("RGB", (side, side), colour))

    black, white = give(0, 0, 0), give(255, 255, 255)
    size = tuple(black.shape[1:])
    offset = _take_middle(black)
    primaries = [give(*(255 * (number == each) for each in range(3))) for number in range(3)]
    mixed = torch.stack([_take_middle(each) for each in primaries], 1) - offset[:, None]
    mixed[mixed.abs() < 1e-6 * mixed.abs().amax()] = 0
    colours = Colours(mixed, offset, (size[0], size[1]))
    _check_colours(colours, _take_middle(white), _take_middle(give(*[MIDDLE] * 3)), name)
    return colours


def _take_middle(image: Tensor) -> Tensor:
    """(channels,)."""
    return image[:, image.shape[1] // 2, image.shape[2] // 2]


def _check_colours(colours: Colours, white: Tensor, middle: Tensor, name: str) -> None:
    if len(colours.offset) not in (1, 3):
        raise JumokError(
            f"{name} is given images of {len(colours.offset)} channels: wanted 3 (red, green, blue) or 1 (grey)"
        )
    values = torch.stack([colours.offset, white, middle])
    if not bool(torch.isfinite(values).all()):
        raise JumokError(f"{name} is given NaN or infinity by its own processor: mend its mean and standard deviation")
    span = (white - colours.offset).abs()
    plain = colours.offset + colours.mixed.sum(1) * torch.tensor([[1.0], [MIDDLE / 255]])
    off = (plain - torch.stack([white, middle])).abs().amax(0)
    singular = len(colours.mixed) == 3 and not float(torch.linalg.det(colours.mixed / colours.mixed.abs().amax()))
    if not bool((span > 0).all()) or singular or bool((off > NEAR * span + 1e-6).any()):
        raise JumokError(
            f"the image processor of {name} does not keep colours apart in proportion, so what the model sees cannot "
            "be shown: in Python, use jumok.watch around it"
        )


def find_frame(run: Run, colours: Colours, height: int, width: int, name: str) -> Frame | None:
    """The part of an image that a processor gives a model, by ramps along both sides of an image of this size.

    Args:
        run: the processor.
        colours: of it.
        height, width: of the image.
        name: of the model, for messages.
    Returns:
        (top, left, bottom, right) of what the model is given, in shares of the image: within it where it is cropped,
        beyond it where there are margins; None: the image, no more and no less.
    Raises:
        JumokError: it turns or bends images.
    """
    seen = _find_seen(run, colours, height, width)
    vertical, horizontal = (_run_grey(run, colours, ramp) for ramp in _make_ramps(height, width))
    places = _fit(vertical, seen, name), _fit(horizontal.T, seen.T, name)
    (top, bottom), (left, right) = (
        [_snap(edge, pixels) for edge in edges] for edges, pixels in zip(places, (height, width), strict=True)
    )
    return None if (top, left, bottom, right) == (0, 0, 1, 1) else (top, left, bottom, right)


def _make_ramps(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images that become lighter downwards, and to the right: the share of the way that a pixel's centre lies at."""
    down, along = (((np.arange(count) + 0.5) / count * 255).round().astype(np.uint8) for count in (height, width))
    return np.repeat(down[:, None], width, 1), np.repeat(along[None], height, 0)


def _run_grey(run: Run, colours: Colours, grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(height, width): what a processor leaves of a grey image, in [0, 1]."""
    values = run(Image.fromarray(np.repeat(grey[..., None], 3, 2)))[0] - colours.offset[0]
    return np.asarray((values / colours.mixed[0].sum()).double())


def _find_seen(run: Run, colours: Colours, height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) of what the model is given: whether a pixel is one of the image, and no margin."""
    black, white = (_run_grey(run, colours, np.full((height, width), value, np.uint8)) for value in (0, 255))
    return np.asarray(np.abs(white - black) > 0.5)


def _fit(ramp: NDArray[np.float64], seen: NDArray[np.bool_], name: str) -> tuple[float, float]:
    """Where along the image the first and the last edge of the rows lie, from what a ramp along it became."""
    rows = np.flatnonzero(seen.any(1))
    cut = math.floor(len(rows) * TRIMMED) if len(rows) > 4 else 0
    rows = rows[cut : len(rows) - cut]
    values = np.array([np.median(ramp[row][seen[row]]) for row in rows])
    if len(rows) < 2:
        return (0.0, 1.0) if len(seen) < 2 else _refuse(name)
    slope, start = np.polyfit(rows + 0.5, values, 1)
    wrong = np.abs(np.where(seen, ramp - (start + slope * (np.arange(len(ramp)) + 0.5))[:, None], 0))[rows]
    if not slope > 0 or float(np.quantile(wrong, 0.99)) > BENT:
        return _refuse(name)
    return float(start), float(start + slope * len(ramp))


def _refuse(name: str) -> tuple[float, float]:
    raise JumokError(
        f"the image processor of {name} turns or bends images, or leaves too little of them: no map of the model can "
        "be laid over the image"
    )


def _snap(edge: float, pixels: int) -> float:
    """An edge that lies at the image's border, for what can be told of it, and else to a hundredth of a percent."""
    for border in (0.0, 1.0):
        if abs(edge - border) < max(SAME, 0.6 / pixels):
            return border
    return round(edge, 4)
