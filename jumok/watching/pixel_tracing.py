"""Where the numbers that an image processor makes lie in its images: found by handing it images that hold their places.

Processors resize, crop, pad, tile and cut into patches, each in its own way and order. Black and white images tell
which numbers come from an image at all; ramps, from the left and from the top, tell where in it each lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from jumok.errors import JumokError
from jumok.watching.provenance.pictures import PADDING, TracedPixels

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["trace_pixels"]

WHITE = 255
STEEPEST, TOP = 4.0, 252
"""Levels of a ramp for each pixel, at most; where it ends."""
MOST_RAMPS = 8
"""In each direction; larger images have flatter ones."""
MOST_MIXED = 0.35
"""How far a ramp may have risen before the one before it has ended: resizing smooths the bend between them."""

LEAST_SHARE = 0.3
"""Of an image in a number, of the largest share; below it is padding."""

Process = Callable[[Any], Mapping[str, Tensor]]


def trace_pixels(processor: Any, images: Any, inputs: Mapping[str, Any], **options: Any) -> list[TracedPixels]:
    """Find where the numbers of a model's inputs lie in the images that a processor made them from.

    Args:
        processor: an image processor of `transformers`, or a processor that holds one.
        images: as the processor was given them: Pillow images, arrays or tensors, in lists or lists of lists.
        inputs: what the processor made of them, as the model is given it.
        options: with which it was called, such as `do_resize=False`.
    Returns:
        For `watch(model, pixels=...)`, one for each input that holds pixels.
    Raises:
        JumokError: the processor makes inputs of other shapes, or mixes pixels so that they lie nowhere.
    """
    process = _bind(getattr(processor, "image_processor", None) or processor, options)
    sizes = [_measure(image) for image in _walk(images)]
    if not sizes:
        raise JumokError("no image to trace: give those that the processor was given")
    black, white = (process(_paint(images, sizes, [level] * len(sizes))) for level in (0, WHITE))
    names = [name for name, value in inputs.items() if _holds_pixels(value, black.get(name))]
    if not names:
        raise JumokError("none of these inputs was made from pixels: give the inputs that the processor made")
    for name in names:
        if black[name].shape != inputs[name].shape:
            raise JumokError(
                f"{name} is {tuple(inputs[name].shape)}, and the processor makes {tuple(black[name].shape)} of these "
                "images: give the images and options that it was made with"
            )
    trials = _Trials(process, images, sizes, black, white, names)
    numbers = _number_images(trials)
    rows, columns = (_locate(trials, axis) for axis in (0, 1))
    return [TracedPixels(inputs[name], numbers[name], rows[name], columns[name], tuple(sizes)) for name in names]


def _bind(processor: Any, options: Mapping[str, Any]) -> Process:
    def process(images: Any) -> Mapping[str, Tensor]:
        made = processor(images=images, return_tensors="pt", **options)
        return {name: value.cpu() for name, value in made.items() if isinstance(value, Tensor)}

    return process


def _holds_pixels(value: Any, made: Tensor | None) -> bool:
    return isinstance(value, Tensor) and made is not None and made.is_floating_point() and made.dim() > 1


# -- images ---------------------------------------------------------------------------------------


def _walk(images: Any) -> Iterator[Any]:
    if isinstance(images, list | tuple):
        for each in images:
            yield from _walk(each)
    else:
        yield images


def _measure(image: Any) -> tuple[int, int]:
    """(height, width)."""
    if hasattr(image, "size") and hasattr(image, "getbands"):
        return image.size[1], image.size[0]
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) not in (2, 3):
        raise JumokError(f"an image is one of Pillow's, an array or a tensor, got {type(image).__name__}")
    return shape[-2:] if len(shape) == 2 or shape[0] in (1, 3, 4) else shape[:2]


def _paint(images: Any, sizes: Sequence[tuple[int, int]], levels: Sequence[Any]) -> Any:
    """Grey images of the same sizes, in the same lists."""
    from PIL import Image

    painted = iter(
        Image.fromarray(torch.as_tensor(level, dtype=torch.uint8).expand(*size, 3).contiguous().numpy())
        for size, level in zip(sizes, levels, strict=True)
    )

    def put(given: Any) -> Image.Image | list[Any]:
        return [put(each) for each in given] if isinstance(given, list | tuple) else next(painted)

    return put(images)


# -- which image, and where in it -----------------------------------------------------------------


@dataclass(frozen=True)
class _Trials:
    """A processor that is handed painted images, and what it makes of black and of white ones.

    Args:
        process: the processor.
        images: in the lists in which it wants them.
        sizes: (height, width) of each.
        black, white: what it makes of them, by name.
        names: of the inputs that are traced.
    """

    process: Process
    images: Any
    sizes: Sequence[tuple[int, int]]
    black: Mapping[str, Tensor]
    white: Mapping[str, Tensor]
    names: Sequence[str]

    def make(self, levels: Sequence[Any]) -> Mapping[str, Tensor]:
        """What the processor makes of images of these levels, one for each or a ramp."""
        return self.process(_paint(self.images, self.sizes, levels))

    def is_padding(self, name: str) -> Tensor:
        """Which numbers of an input come from no image."""
        return _is_padding(self.black[name], self.white[name])


def _number_images(trials: _Trials) -> dict[str, Tensor]:
    """The number of each number's image, told by which are white while others are black."""
    count, black, white = len(trials.sizes), trials.black, trials.white
    found = {name: torch.where(trials.is_padding(name), PADDING, 0) for name in trials.names}
    for bit in range((count - 1).bit_length()):
        made = trials.make([WHITE * (number >> bit & 1) for number in range(count)])
        for name in trials.names:
            near_white = (made[name] - black[name]).abs() > (made[name] - white[name]).abs()
            found[name] += (near_white & (found[name] != PADDING)) * (1 << bit)
    return {name: number.to(torch.int32) for name, number in found.items()}


def _is_padding(black: Tensor, white: Tensor) -> Tensor:
    """Whether numbers were made from no image, or for the smaller part: resized padding mixes with its edge."""
    reach = (white - black).abs()
    return reach <= LEAST_SHARE * reach.max()


def _locate(trials: _Trials, axis: int) -> dict[str, Tensor]:
    """How many pixels each number lies from the top (axis 0) or the left (axis 1)."""
    sizes, black, white = trials.sizes, trials.black, trials.white
    longest = max(size[axis] for size in sizes)
    slope = STEEPEST
    while (longest - 1) * slope > MOST_RAMPS * TOP:
        slope /= 2
    found = {name: torch.zeros_like(black[name]) for name in trials.names}
    before: dict[str, Tensor] = {}
    for start in range(0, max(longest - 1, 1), int(TOP / slope)):
        made = trials.make([_ramp(size, axis, start, slope) for size in sizes])
        for name in trials.names:
            share = (made[name] - black[name]) / (white[name] - black[name]) * (WHITE / TOP)
            share = share.masked_fill(trials.is_padding(name), 0.0)
            _check_order(name, before.get(name), share)
            before[name] = share
            found[name] += share * (TOP / slope)
    return found


def _ramp(size: tuple[int, int], axis: int, start: int, slope: float) -> Tensor:
    """(height, width, 1): 0 up to a row or column, then rising to `TOP`."""
    rising = ((torch.arange(size[axis]) - start) * slope).clamp(0, TOP).round()
    return rising.view(-1, 1, 1) if axis == 0 else rising.view(1, -1, 1)


def _check_order(name: str, before: Tensor | None, share: Tensor) -> None:
    """A number that lies behind the start of a ramp lies behind the end of the one before."""
    outside = bool((share < -MOST_MIXED).any()) or bool((share > 1 + MOST_MIXED).any())
    early = before is not None and bool((torch.minimum(1 - before, share) > MOST_MIXED).any())
    if outside or early:
        raise JumokError(f"{name}: this processor mixes pixels of an image, so its numbers lie at no place of it")
