"""The model of Itti, Koch and Niebur: centre against surround in brightness, colour and orientation, over scales."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from jumok.mechanisms.saliency.pixels import blur_binomial, cut_chunks, resize_back, shrink_to, to_unit

__all__ = ["itti_koch_niebur", "normalise"]

LONGEST_SIDE = 640
"""Images are brought to so many pixels on the longer side, those of the paper, so that scales mean what they mean."""
CENTRE_SCALES, SURROUND_DELTAS = (2, 3, 4), (3, 4)
"""Scales of the centres, and how much coarser their surrounds are; each scale has half the pixels of the one before."""
COMMON_SCALE = 4
"""The scale at which maps are added."""
GABOR_ANGLES = (0, 45, 90, 135)
GABOR_PERIOD, GABOR_SIGMA, GABOR_REACH = 7.0, 7 / 3, 4
"""Of the Gabor filters, in pixels of their scale: wavelength, sigma, and how far they are taken to either side."""
LEAST_CONTRAST = 1e-3
"""Contrast, of brightness from 0 to 1, below which a map holds nothing but rounding errors."""
LEAST_PEAK_SHARE = 0.1
"""A local maximum counts if it is above this share of the largest."""


def itti_koch_niebur(images: Tensor) -> Tensor:
    """Add what stands out in brightness, in opponent colours and in orientation, after each was normalised by N(.).

    S = (N(I) + N(C) + N(O)) / 3 with, over centres c in 2, 3, 4 and surrounds s = c + 3, c + 4:
    I = sum N(|I(c) - I(s)|), C = sum N(RG(c, s)) + N(BY(c, s)), O = sum over angles of N(sum N(|O(c) - O(s)|)).

    Args:
        images: (batch, 1 or 3, height, width), uint8, or float from 0 to 1.
    Returns:
        (batch, height, width) float32, from 0 to 1; all 0 where nothing stands out.
    Source: Itti, Koch & Niebur 1998, A Model of Saliency-Based Visual Attention for Rapid Scene Analysis, eq. 1-9.
        Differs: images are first brought to 640 pixels on the longer side; opponency is |(R - G)(c) - (R - G)(s)|, red
        on green as the text has it, where eq. 2 as printed would answer to a field of one colour; local maxima are
        those of 3 x 3 above a tenth of the largest; the sum is interpolated from its scale, and no winner is taken.
    """
    return cut_chunks(images, _process_few)


def _process_few(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    pixels = shrink_to(to_unit(images), LONGEST_SIDE).clamp(0, 1)
    brightness = pixels.mean(1, keepdim=True)  # I = (r + g + b) / 3
    levels = _build_pyramid(brightness)
    found = [_add_up_contrasts(levels), _add_up_orientations(levels)]
    if images.shape[1] == 3:
        found.append(_add_up_contrasts(_build_pyramid(_find_opponents(pixels, brightness))))
    saliency = torch.stack([normalise(each) for each in found]).sum(0) / 3
    return resize_back(saliency, height, width)


def _build_pyramid(images: Tensor) -> list[Tensor]:
    """Scales 0 to 8, each blurred and with every second pixel of the one before."""
    levels = [images]
    for _ in range(CENTRE_SCALES[-1] + SURROUND_DELTAS[-1]):
        levels.append(blur_binomial(levels[-1], 2))
    return levels


def _find_opponents(pixels: Tensor, brightness: Tensor) -> Tensor:
    """R - G and B - Y of each pixel, (batch, 2, height, width): hue without brightness, and none where it is dark."""
    largest = brightness.amax((2, 3), keepdim=True)
    r, g, b = torch.where(brightness > largest / 10, pixels / brightness.clamp_min(LEAST_CONTRAST), 0.0).unbind(1)
    red, green, blue = r - (g + b) / 2, g - (r + b) / 2, b - (r + g) / 2
    yellow = (r + g) / 2 - (r - g).abs() / 2 - b
    red, green, blue, yellow = (each.clamp_min(0) for each in (red, green, blue, yellow))
    return torch.stack([red - green, blue - yellow], 1)


def _add_up_contrasts(levels: list[Tensor]) -> Tensor:
    """The normalised differences of all centres and surrounds, added at the common scale and over channels.

    Args:
        levels: (batch, channels, rows, columns) of each scale.
    Returns:
        (batch, rows, columns) of the common scale.
    """
    rows, columns = levels[COMMON_SCALE].shape[2:]
    total = levels[COMMON_SCALE].new_zeros(levels[0].shape[0], rows, columns)
    for centre in CENTRE_SCALES:
        for delta in SURROUND_DELTAS:
            surround = _scale_to(levels[centre + delta], *levels[centre].shape[2:])
            difference = normalise((levels[centre] - surround).abs())
            total = total + _scale_to(difference, rows, columns).sum(1)
    return total


def _add_up_orientations(levels: list[Tensor]) -> Tensor:
    """For each angle the conspicuity of its Gabor energy; they compete before they are added."""
    unused = [level[:, :0] for level in levels[: CENTRE_SCALES[0]]]
    energies = [*unused, *map(_measure_energy, levels[CENTRE_SCALES[0] :])]
    return torch.stack(
        [
            normalise(_add_up_contrasts([energy[:, angle : angle + 1] for energy in energies]))
            for angle in range(len(GABOR_ANGLES))
        ]
    ).sum(0)


def _measure_energy(level: Tensor) -> Tensor:
    """How strong each orientation is: (batch, 1, rows, columns) to (batch, angles, rows, columns)."""
    answers = F.conv2d(F.pad(level, (GABOR_REACH,) * 4, mode="replicate"), _make_gabors()).unflatten(
        1, (len(GABOR_ANGLES), 2)
    )
    energy: Tensor = answers.square().sum(2).sqrt()
    return energy


@functools.cache
def _make_gabors() -> Tensor:
    """Cosine and sine waves under a Gaussian, for each angle, that answer 0 to plain grey: (2 angles, 1, 9, 9)."""
    y, x = torch.meshgrid(*[torch.arange(-GABOR_REACH, GABOR_REACH + 1.0)] * 2, indexing="ij")
    filters = []
    for angle in GABOR_ANGLES:
        turn = math.radians(angle)
        along = 2 * math.pi / GABOR_PERIOD * (x * math.cos(turn) + y * math.sin(turn))
        window = torch.exp(-(x**2 + y**2) / (2 * GABOR_SIGMA**2))
        window /= window.sum()
        filters += [window * (along.cos() - (window * along.cos()).sum()), window * along.sin()]
    return torch.stack(filters)[:, None]


def _scale_to(maps: Tensor, rows: int, columns: int) -> Tensor:
    if maps.shape[2:] == (rows, columns):
        return maps
    return F.interpolate(maps, (rows, columns), mode="bilinear", antialias=True)


def normalise(maps: Tensor) -> Tensor:
    """N(.): promote maps with one strong peak, and press down those with many alike.

    Each map is scaled so that its largest value M is 1, and multiplied by (M - m)^2, with m the mean of its other local
    maxima. A map of rounding errors becomes 0.

    Args:
        maps: (..., rows, columns), 0 or more.
    Returns:
        the same shape, from 0 to 1.
    Source: Itti, Koch & Niebur 1998, section 2.2.
    """
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    largest = flat.amax((2, 3), keepdim=True)
    scaled = torch.where(largest > LEAST_CONTRAST, flat / largest.clamp_min(LEAST_CONTRAST), 0.0)
    peaks = (scaled == F.max_pool2d(scaled, 3, 1, 1)) & (scaled > LEAST_PEAK_SHARE)
    count = peaks.sum((2, 3), keepdim=True)
    others = ((scaled * peaks).sum((2, 3), keepdim=True) - 1) / (count - 1).clamp_min(1)
    return (scaled * (1 - others.clamp_min(0)).square()).reshape(maps.shape)
