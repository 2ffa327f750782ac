"""Glimpses: attention over places. A retina cuts a few small windows out of an image, and sees nothing else of it.

A *location* is (y, x) in [-1, 1], (0, 0) the image's middle, (-1, -1) the outer corner of its first pixel. A *glimpse*
is what the retina sees there: `scales` windows about the location, each twice as wide as the one before, all brought to
the same few pixels. The finest one is the fovea.

Source: Mnih, Heess, Graves & Kavukcuoglu 2014, NIPS 27 and arXiv 1406.6247, 3.1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from jumok.attention import Glimpses, One
from jumok.errors import JumokError
from jumok.mechanisms.example import Example
from jumok.watching.watchers import is_watched, report

__all__ = [
    "Retina",
    "draw_seeded_noise",
    "example",
    "glimpse",
    "log_probability",
    "make_scanpaths",
    "place_windows",
    "report_scanpath",
]


class Retina:
    """Cut glimpses out of a batch of images: any number of places each, all scales, in one call.

    A window lies on whole pixels, so that a glimpse has the image's own values in its fovea; what lies outside the
    image is 0, which is the mean of normalised pixels. A coarser window is averaged down to the fovea's pixels.
    Gradients flow to the pixels, none to the locations: they are chosen.

    Args:
        pixels: (batch, channels, height, width) float.
        size: pixels of a window's side in the glimpse; even if there are several scales, so that they have one centre.
        scales: how many windows.
    Raises:
        JumokError: pixels of another shape or kind, or a size or number of scales that is not possible.
    """

    def __init__(self, pixels: Tensor, size: int, scales: int = 1) -> None:
        _check(pixels, size, scales)
        self.size, self.scales, (self._batch, channels, *sides) = size, scales, pixels.shape
        self.sides: tuple[int, int] = (sides[0], sides[1])
        self.features = scales * channels * size * size
        self._views = []
        for scale in range(scales):
            wide = size << scale
            # a window may be centred on each border: half of it lies outside then
            padded = F.pad(pixels, (wide // 2, wide - wide // 2) * 2)
            self._views.append(padded.unfold(2, wide, 1).unfold(3, wide, 1))  # all windows, none copied
        self._rows = torch.arange(self._batch, device=pixels.device)

    def see(self, places: Tensor, rows: Tensor | None = None) -> Tensor:
        """What is seen at some places.

        Args:
            places: (batch, glimpses, 2), or (count, glimpses, 2) where `rows` is given.
            rows: (count,) which image each row looks at; None: each its own.
        Returns:
            (batch or count, glimpses, features): per place, scale by scale from the fovea, channel by channel.
        """
        rows = (self._rows if rows is None else rows)[:, None]
        top, left = self.corners(places)
        seen = []
        for scale, view in enumerate(self._views):
            # the padding is half a window, so the padded corner of a coarser window is that of the fovea
            cut = view[rows, :, top, left]  # (rows, glimpses, channels, wide, wide)
            if scale:
                cut = F.avg_pool2d(cut.flatten(0, 1), 1 << scale)
            seen.append(cut.reshape(*places.shape[:2], -1))
        return seen[0] if self.scales == 1 else torch.cat(seen, -1)

    def corners(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The first row and column of each place's fovea, counted in the image with half a fovea around it."""
        return _find_corner(places[..., 0], self.sides[0], self.size), _find_corner(
            places[..., 1], self.sides[1], self.size
        )


def _find_corner(place: Tensor, side: int, size: int) -> Tensor:
    """From [-1, 1] to whole pixels; half a window of padding before the image, half a window before the centre."""
    odd = (size % 2) / 2  # an odd window's centre is the middle of a pixel, an even one's lies between two
    return torch.round((place + 1) * (side / 2) - odd).long().clamp_(0, side - size % 2)


def place_windows(
    places: Tensor, sides: tuple[int, int], size: int, scales: int = 1
) -> tuple[Tensor, tuple[float, ...]]:
    """Where the windows of a `Retina` lie after rounding to pixels.

    Args:
        places: (..., 2).
        sides: of the image, (height, width).
        size, scales: as of the retina.
    Returns:
        centres: (..., 2) in [-1, 1], of all scales alike: the locations moved to whole pixels.
        widths: of the windows, in pixels, from the fovea.
    """
    sized = places.new_tensor(sides)
    corners = torch.stack([_find_corner(places[..., axis], side, size) for axis, side in enumerate(sides)], -1)
    return (corners + (size % 2) / 2) / sized * 2 - 1, tuple(float(size << scale) for scale in range(scales))


def glimpse(pixels: Tensor, places: Tensor, size: int, scales: int = 1) -> Tensor:
    """Look at some places of each image, and tell watchers which they were.

    Args:
        pixels: (batch, channels, height, width) float.
        places: (batch, glimpses, 2), (y, x) in [-1, 1].
        size: pixels of a window's side in the glimpse.
        scales: how many windows, each twice as wide as the one before.
    Returns:
        (batch, glimpses, scales x channels x size x size).
    Raises:
        JumokError: shapes that do not fit each other, or locations outside [-1, 1].
    Source: Mnih et al. 2014, 3.1 and 4 ("retina and location encodings").

    >>> glimpse(torch.arange(16.0).view(1, 1, 4, 4), torch.tensor([[[0.0, 0.0], [-0.5, 0.5]]]), size=2)
    tensor([[[ 5.,  6.,  9., 10.],
             [ 2.,  3.,  6.,  7.]]])
    """
    retina = Retina(pixels, size, scales)
    if places.dim() != 3 or places.shape[0] != len(pixels) or places.shape[2] != 2 or not places.shape[1]:
        raise JumokError(f"places have shape {tuple(places.shape)}, wanted ({len(pixels)}, glimpses, 2)")
    if not bool((places.abs() <= 1).all()):
        raise JumokError("places lie outside the image: each is (y, x) in [-1, 1]")
    report_scanpath(places, retina.sides, size, scales)
    return retina.see(places)


def report_scanpath(places: Tensor, sides: tuple[int, int], size: int, scales: int = 1) -> None:
    """Tell watchers where each image was looked at: one row, the image, over its own `Glimpses`, all weighing alike.

    Each scale of a glimpse is an entry of its own, fovea first, in the order of looking; so entries of one centre nest,
    and a pixel of the fovea, which was seen at every scale, weighs most.

    Args:
        places: (batch, glimpses, 2).
        sides, size, scales: of the images and the retina.
    """
    if is_watched():
        keys = make_scanpaths(places, sides, size, scales)
        weights = places.new_full((len(places), 1, len(keys[0])), 1 / len(keys[0]), dtype=torch.float32)
        report(weights, (One("image"), keys))


def make_scanpaths(places: Tensor, sides: tuple[int, int], size: int, scales: int = 1) -> tuple[Glimpses, ...]:
    """One axis for each image: its glimpses in the order of looking, each scale an entry of its own, fovea first."""
    centres, widths = place_windows(places.detach().cpu().double(), sides, size, scales)
    sizes = tuple((width / sides[0], width / sides[1]) for width in widths) * places.shape[1]
    return tuple(Glimpses(tuple((y, x) for y, x in image for _ in widths), sizes) for image in centres.tolist())


# -- choosing a location ------------------------------------------------------------------------


def log_probability(mean: Tensor, noise: Tensor, std: float) -> Tensor:
    """The log of the density with which a location is chosen, for the location that is really used.

    The location is l = tanh(u) with u = mean + std x noise, so it lies in the image by itself: nothing is clipped after
    the draw, and what is cut out, what the network is told and what has this density are one and the same l:
    log p(l) = log N(u; mean, std) - log(1 - l^2), added up over y and x. The gradient reaches the mean only.

    Args:
        mean: (..., 2), before tanh, part of the graph.
        noise: (..., 2), as drawn from N(0, 1) for the location; u is taken as given.
        std: of u.
    Returns:
        (...), natural logarithm of a density over [-1, 1] x [-1, 1].
    Source: Mnih et al. 2014, equation 2, with the policy of Haarnoja et al. 2018, arXiv 1801.01290, appendix C.
        Differs: a Gaussian of fixed spread without bounds there.
    """
    u = (mean + std * noise).detach()
    normal = -0.5 * ((u - mean) / std).square() - math.log(std * math.sqrt(2 * math.pi))
    stretch = 2 * (math.log(2) - u - F.softplus(-2 * u))  # log(1 - tanh^2 u), also where tanh rounds to 1
    return (normal - stretch).sum(-1)


def draw_seeded_noise(pixels: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Random numbers that an image's own pixels decide: the same whatever batch it is in and how often it is asked.

    Args:
        pixels: (batch, ...) float.
        count: numbers per image.
        seed: for other numbers of the same images.
    Returns:
        (batch, count) in (0, 1), as if drawn uniformly.
    """
    bits = pixels.detach().reshape(len(pixels), -1).float().cpu().view(torch.int32).long()
    places = torch.arange(1, bits.shape[1] + 1)
    key = _mix_bits(bits + _mix_bits(places)).sum(1, keepdim=True)  # the order of pixels counts, by their places
    drawn = _mix_bits(key + _mix_bits(torch.arange(1, count + 1) + (seed << 32)))
    return (
        ((drawn >> 11) & ((1 << 40) - 1))
        .double()
        .add_(0.5)
        .div_(1 << 40)
        .float()
        .clamp_(1e-7, 1 - 1e-7)
        .to(pixels.device)
    )


def _mix_bits(numbers: Tensor) -> Tensor:
    """Stir 64-bit numbers so that neighbours differ in about half of their bits.

    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", figure 16 (shifts with signs).
    """
    numbers = numbers * -7046029254386353131
    numbers = (numbers ^ (numbers >> 30)) * -4658895280553007687
    numbers = (numbers ^ (numbers >> 27)) * -7723592293110705685
    return numbers ^ (numbers >> 31)


# -- for the contract ---------------------------------------------------------------------------


def example() -> Example:
    """Two images are each looked at in two places of their own, at two scales."""
    draw = torch.Generator().manual_seed(0)
    places = torch.tensor([[[0.0, 0.0], [0.5, -0.5]], [[-1.0, 1.0], [0.25, 0.0]]])
    return Example(
        output=lambda pixels: glimpse(pixels, places, size=4, scales=2),
        weights=lambda pixels: pixels.new_full((len(pixels), 1, 4), 0.25),
        inputs={"pixels": torch.randn((2, 3, 12, 10), generator=draw)},
        wrong={"pixels": torch.zeros(3, 12, 10)},
    )


def _check(pixels: Tensor, size: int, scales: int) -> None:
    if pixels.dim() != 4 or not pixels.numel():
        raise JumokError(f"pixels have shape {tuple(pixels.shape)}, wanted (batch, channels, height, width)")
    if not pixels.is_floating_point():
        raise JumokError(f"pixels are {pixels.dtype}, wanted float")
    if size < 1 or scales < 1 or (scales > 1 and size % 2):
        raise JumokError(f"a retina of size {size} with {scales} scales: wanted 1 or more of both, and an even size")
